//! `--explain-auth`: compared with what the commands really ask for.

use std::collections::BTreeSet;

use serde_json::json;

use crate::fake::{Answer, OPERATION, problem, running};
use crate::runner::Bench;

fn caller(permissions: &[&str]) -> Answer {
    Answer::Json(
        200,
        json!({ "actor": "token:ci", "permissions": permissions }),
    )
}

/// `GET /logs/{log}` for `GET /logs/dev`.
fn row(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap();
    let route = wire::routes::ROUTES.iter().find(|route| {
        let (pattern, words): (Vec<_>, Vec<_>) =
            (route.path.split('/').collect(), path.split('/').collect());
        route.method.as_str() == method
            && pattern.len() == words.len()
            && pattern
                .iter()
                .zip(&words)
                .all(|(part, word)| part.starts_with('{') || part == word)
    });
    format!("{method} /admin/v1{}", route.unwrap().path)
}

#[test]
fn it_names_what_each_command_really_asks_for() {
    for line in [
        "status",
        "shard list",
        "shard show 2026a",
        "shard plan --yes",
        "shard rotate --yes",
        "shard freeze --yes",
        "shard unfreeze --yes",
        "shard --create-config new.yaml",
        "shard --use-config next.yaml --yes",
        "config diff next.yaml",
        "config history",
        "config validate next.yaml",
        "op list",
        &format!("op wait {OPERATION}"),
        "context list",
        "context show --check",
        "doctor",
        "api GET logs/dev/config",
        "api POST logs/dev/rotations --yes",
        "log list",
        "token list",
        "token revoke ci --yes",
        "token create ci --scope shard:rotate:dev --out ci.token --yes",
        "audit list",
        "config plan next.yaml",
        "qos list",
        "qos show bulk",
        "qos set tier bulk --weight 2 --yes",
        "qos simulate next.yaml",
        "config rollback 1 --yes",
        "shard export --format rekor",
        &format!("op watch {OPERATION}"),
        &format!("op confirm {OPERATION} --yes"),
    ] {
        let (bench, fake) = Bench::served();
        bench.write("next.yaml", &running().to_yaml());
        fake.says("GET /whoami", [caller(&["*:*:*"])]);
        let ran = bench.run(line);
        let really: BTreeSet<String> = ["GET", "PUT", "POST", "DELETE"]
            .iter()
            .flat_map(|method| fake.asked(method))
            .map(|asked| row(&asked.method, &asked.path))
            .collect();
        let (bench, fake) = Bench::served();
        fake.says("GET /whoami", [caller(&["*:*:*"])]);
        let json = bench.run(&format!("{line} --explain-auth -o json")).json();
        let needs = json["needs"].as_array().unwrap();
        let said = |always: bool| -> BTreeSet<String> {
            let wanted = needs
                .iter()
                .filter(|need| need["always"] == always || !always);
            wanted
                .map(|need| need["request"].as_str().unwrap().to_owned())
                .collect()
        };
        let (least, most) = (said(true), said(false));
        // A command stops at the first missing answer.
        assert!(
            ran.code != Some(0) || least.is_subset(&really),
            "{line}: {really:?} but said {least:?}"
        );
        assert!(
            really.is_subset(&most),
            "{line}: {really:?} but said {most:?}"
        );
        // It asked who asks, and did nothing.
        let asked = fake.asked("GET");
        assert!(asked.iter().all(|asked| asked.path == "/whoami"), "{line}");
        assert!(
            fake.asked("POST").is_empty() && fake.asked("PUT").is_empty(),
            "{line}"
        );
    }
}

/// An import is about the log of its document, whatever log is in use.
#[test]
fn an_import_names_the_log_that_it_makes() {
    let (bench, fake) = Bench::served();
    let neon = running().to_yaml().replacen("log: dev", "log: neon", 1);
    bench.write("neon.yaml", &neon);
    fake.says("GET /whoami", [caller(&["*:*:*"])]);
    for (line, needs) in [
        ("import rekor neon.yaml --from saved", 6),
        ("import rekor neon.yaml --from saved --dry-run", 1),
        ("import rekor --drop --log neon", 1),
        ("import rekor --from saved --save more", 0),
    ] {
        let ran = bench.run(&format!("{line} --explain-auth -o json"));
        let json = ran.json();
        let all = json["needs"].as_array().unwrap();
        assert_eq!(all.len(), needs, "{line}: {json}");
        for need in all {
            let permission = need["permission"].as_str().unwrap();
            assert!(permission.ends_with(":neon"), "{line}: {permission}");
        }
    }
}

#[test]
fn it_says_what_is_missing() {
    let (bench, fake) = Bench::served();
    fake.says(
        "GET /whoami",
        [caller(&[
            "log:read:*",
            "shard:rotate:argon",
            "operation:read:dev",
        ])],
    );
    let shown = bench.run("shard rotate --explain-auth");
    assert_eq!(shown.code, Some(4), "{}", shown.shown());
    insta::assert_snapshot!("explain", shown.shown());
    fake.says(
        "GET /whoami",
        [caller(&[
            "log:read:*",
            "shard:rotate:dev",
            "operation:read:dev",
        ])],
    );
    assert_eq!(bench.run("shard rotate --explain-auth").code, Some(0));
    assert_eq!(
        bench.run("shard rotate --explain-auth --log argon").code,
        Some(4)
    );
    // Everything but that is for all logs.
    assert_eq!(bench.run("token list --explain-auth").code, Some(4));
    fake.says(
        "GET /whoami",
        [problem(401, "unauthenticated", "who are you")],
    );
    let shown = bench.run("token list --explain-auth");
    assert_eq!(shown.code, Some(0), "{}", shown.shown());
    assert!(
        shown.out.contains("token:read:*") && shown.out.contains("who are you"),
        "{}",
        shown.shown()
    );
    // Without any server.
    let bench = Bench::new();
    let shown = bench.run("shard freeze --log dev --explain-auth");
    assert!(shown.out.contains("log:freeze:dev"), "{}", shown.shown());
    assert_eq!(
        bench.run("config schema --explain-auth -o json").json()["needs"],
        json!([])
    );
}
