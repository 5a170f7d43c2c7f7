//! Whatever is run, and however it ends: what is secret is in nothing that is printed.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::{Answer, Fake, OPERATION, problem, running};
use crate::runner::Bench;

#[test]
fn no_secret_is_ever_printed() {
    let logins = [
        "token_file = \"admin.token\"",
        "token_command = [\"/bin/cat\", \"admin.token\"]",
        "oidc = { audience = \"a\", token_file = \"admin.token\" }",
    ];
    for login in logins {
        let mut bench = Bench::new();
        let (fake, port) = Fake::on_loopback();
        bench.write("admin.token", "s3cret.token");
        bench.write("next.yaml", &running().to_yaml());
        bench.context(&format!(
            "log = \"dev\"\nadmin = \"http://127.0.0.1:{port}\"\n{login}\n"
        ));
        bench.env("RUST_LOG", "trace");
        bench.env("RUST_BACKTRACE", "full");
        fake.says(
            "GET /whoami",
            [Answer::Json(
                200,
                json!({ "actor": "token:ci", "permissions": ["*:*:*"] }),
            )],
        );
        fake.says("POST /sessions", [Answer::Json(200, json!({ "secret": "s3cret.session", "actor": "oidc:ci", "permissions": [], "expiresAt": "2999-01-01T00:00:00Z" }))]);
        let check = |bench: &Bench| {
            for line in [
                "status",
                "shard list",
                "shard show 2026a",
                "shard show nothing",
                "shard rotate --yes",
                "shard freeze",
                "config diff next.yaml",
                "shard --use-config next.yaml --yes",
                "config history",
                "op list",
                &format!("op wait {OPERATION}"),
                "context list",
                "context show",
                "context show --check",
                "doctor",
                "api GET whoami",
                "api POST logs/dev/freeze --yes",
                "shard list --explain-auth",
                "shard list --timeout 1ms",
                "shard list --nonsense",
            ] {
                for form in ["table", "json", "jsonl", "name"] {
                    let ran = bench.run(&format!("{line} -o {form}"));
                    assert!(
                        !ran.out.contains("s3cret") && !ran.err.contains("s3cret"),
                        "{}",
                        ran.shown()
                    );
                }
            }
        };
        check(&bench);
        let sent = fake.asked("GET");
        assert!(
            sent.iter()
                .any(|asked| asked.headers["authorization"].starts_with("Bearer s3cret")),
            "it was used, though"
        );
        fake.says("GET /logs/dev", [problem(401, "unauthenticated", "no")]);
        fake.says("POST /sessions", [problem(401, "unauthenticated", "no")]);
        check(&bench);
        std::fs::set_permissions(
            bench.path("admin.token"),
            std::fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        check(&bench);
        bench.write("admin.token", "s3cret with blanks");
        check(&bench);
    }
}
