//! Logging in: token files are tried in `outcomes`, here a program that prints the token, and the identity of a CI job.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake::{Answer, Fake, problem};
use crate::runner::Bench;

const AUDIENCE: &str = "https://log.example.org";

/// An admin endpoint that wants a session, and an endpoint of GitHub Actions that gives identity tokens.
struct Job {
    bench: Bench,
    admin: Fake,
    actions: Fake,
}

fn session(secret: &str, seconds: i64) -> Answer {
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    Answer::Json(
        200,
        json!({ "secret": secret, "actor": "oidc:ci", "permissions": ["shard:rotate:dev"], "expiresAt": ends.to_string() }),
    )
}

impl Job {
    fn new(oidc: &str) -> Self {
        let mut bench = Bench::new();
        let (admin, port) = Fake::on_loopback();
        let (actions, actions_port) = Fake::on_loopback();
        bench.context(&format!(
            "log = \"dev\"\nadmin = \"http://127.0.0.1:{port}\"\noidc = {{ {oidc} }}\n"
        ));
        bench.env(
            "XDG_RUNTIME_DIR",
            bench.path("run").to_str().unwrap().to_owned().as_str(),
        );
        bench.env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            &format!("http://127.0.0.1:{actions_port}/token?api-version=2.0"),
        );
        bench.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "r3quest");
        bench.env("LOGCTL_ID_TOKEN", "1dentity.gitlab");
        actions.says(
            "GET /token?api-version=2.0&audience=https%3A%2F%2Flog.example.org",
            [
                Answer::Json(200, json!({ "value": "1dentity.one" })),
                Answer::Json(200, json!({ "value": "1dentity.two" })),
            ],
        );
        admin.says("POST /sessions", [session("s3ssion", 900)]);
        Self {
            bench,
            admin,
            actions,
        }
    }

    fn bearers(&self, method: &str) -> Vec<String> {
        let bearer = |asked: crate::fake::Asked| asked.headers["authorization"].clone();
        self.admin.asked(method).into_iter().map(bearer).collect()
    }

    /// Runs the line; nothing that is secret may be anywhere in what it prints.
    fn run(&self, line: &str) -> crate::runner::Ran {
        let ran = self.bench.run(line);
        for secret in ["1dentity", "s3ssion", "r3quest"] {
            assert!(
                !ran.out.contains(secret) && !ran.err.contains(secret),
                "{}",
                ran.shown()
            );
        }
        ran
    }
}

#[test]
fn github_actions_gives_an_identity_and_the_server_a_session() {
    let job = Job::new(&format!("audience = \"{AUDIENCE}\""));
    for _ in 0..3 {
        let ran = job.run("shard list");
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
    }
    // One identity token, one session, for all three.
    let asked = job.actions.asked("GET");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer r3quest");
    assert_eq!(job.bearers("POST"), ["Bearer 1dentity.one"]);
    assert_eq!(job.admin.asked("POST")[0].body, json!({}));
    assert_eq!(job.bearers("GET"), ["Bearer s3ssion"; 3]);
    // Kept where only the owner can read it.
    let folder = job.bench.path("run/logctl/sessions");
    let kept: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        kept[0].metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn a_session_is_for_one_job_and_one_context() {
    let mut job = Job::new(&format!("audience = \"{AUDIENCE}\""));
    job.admin.says(
        "POST /sessions",
        [session("s3ssion.a", 900), session("s3ssion.b", 900)],
    );
    assert_eq!(job.run("shard list").code, Some(0));
    job.bench
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "r3quest.other");
    assert_eq!(job.run("shard list").code, Some(0));
    assert_eq!(job.bearers("GET"), ["Bearer s3ssion.a", "Bearer s3ssion.b"]);
}

#[test]
fn a_session_that_ended_is_replaced() {
    let job = Job::new(&format!("audience = \"{AUDIENCE}\""));
    // About to end: not used again.
    job.admin.says(
        "POST /sessions",
        [
            session("s3ssion.a", 20),
            session("s3ssion.b", 900),
            session("s3ssion.c", 900),
        ],
    );
    assert_eq!(job.run("shard list").code, Some(0));
    assert_eq!(job.run("shard list").code, Some(0));
    // The server has forgotten it.
    let status = crate::fake::status("dev");
    job.admin.says(
        "GET /logs/dev",
        [
            problem(401, "unauthenticated", "no such session"),
            Answer::Json(200, status),
        ],
    );
    let ran = job.run("shard list");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert_eq!(
        job.bearers("GET"),
        [
            "Bearer s3ssion.a",
            "Bearer s3ssion.b",
            "Bearer s3ssion.b",
            "Bearer s3ssion.c"
        ]
    );
}

#[test]
fn gitlab_puts_the_identity_into_a_variable() {
    let job = Job::new(&format!(
        "audience = \"{AUDIENCE}\", token_env = \"LOGCTL_ID_TOKEN\""
    ));
    for _ in 0..2 {
        let ran = job.run("shard list -o json");
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
    }
    assert_eq!(job.bearers("POST"), ["Bearer 1dentity.gitlab"]);
    assert_eq!(job.actions.asked("GET").len(), 0);
    // It works once: there is no second attempt with it.
    job.admin.says(
        "GET /logs/dev",
        [problem(401, "unauthenticated", "no such session")],
    );
    let ran = job.run("shard list");
    assert_eq!(ran.code, Some(4), "{}", ran.shown());
    assert_eq!(job.admin.asked("POST").len(), 1);
}

#[test]
fn without_a_folder_a_session_lasts_for_one_run() {
    let mut job = Job::new(&format!("audience = \"{AUDIENCE}\""));
    job.bench.env("XDG_RUNTIME_DIR", "");
    assert_eq!(job.run("status").code, Some(0));
    assert_eq!(job.admin.asked("POST").len(), 1);
    assert!(job.admin.asked("GET").len() > 1);
    assert_eq!(job.run("status").code, Some(0));
    assert_eq!(job.admin.asked("POST").len(), 2);
}

#[test]
fn what_goes_wrong_says_what_to_do() {
    let mut shown = String::new();
    let mut note = |job: &Job, code: i32| {
        let port = |text: String| {
            text.split("127.0.0.1:")
                .enumerate()
                .map(|(index, part)| {
                    if index == 0 {
                        part.to_owned()
                    } else {
                        format!(
                            "127.0.0.1:PORT{}",
                            part.trim_start_matches(|c: char| c.is_ascii_digit())
                        )
                    }
                })
                .collect::<String>()
        };
        let ran = job.run("shard list");
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        shown.push_str(&port(ran.shown()));
        shown.push_str("\n=====\n");
        assert_eq!(
            job.run("shard list -o json").json()["error"]["exitCode"],
            code
        );
    };
    let audience = format!("audience = \"{AUDIENCE}\"");
    let job = Job::new(&audience);
    job.admin.says(
        "POST /sessions",
        [problem(
            401,
            "unauthenticated",
            "the token's audience is another",
        )],
    );
    note(&job, 4);
    job.admin.says(
        "POST /sessions",
        [problem(429, "too-many-requests", "too many failed logins")],
    );
    note(&job, 13);
    job.admin.says("POST /sessions", [Answer::Html(404)]);
    note(&job, 11);
    job.admin.says(
        "POST /sessions",
        [Answer::Json(200, json!({ "secret": ["s3ssion"] }))],
    );
    note(&job, 11);
    job.actions.says(
        "GET /token?api-version=2.0&audience=https%3A%2F%2Flog.example.org",
        [Answer::Html(403)],
    );
    note(&job, 4);
    job.actions.says(
        "GET /token?api-version=2.0&audience=https%3A%2F%2Flog.example.org",
        [Answer::Json(200, Value::String("1dentity".into()))],
    );
    note(&job, 4);
    let mut job = Job::new(&audience);
    job.bench
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", "http://192.0.2.1/token");
    note(&job, 4);
    job.bench.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "");
    note(&job, 4);
    let job = Job::new(&format!("{audience}, token_env = \"NO_SUCH_VARIABLE\""));
    note(&job, 4);
    insta::assert_snapshot!("login", shown);
}

#[test]
fn a_program_prints_the_token() {
    let mut bench = Bench::new();
    let (fake, port) = Fake::on_loopback();
    let context = |bench: &mut Bench, script: &str| {
        bench.context(&format!("log = \"dev\"\nadmin = \"http://127.0.0.1:{port}\"\ntoken_command = [\"/bin/sh\", \"-c\", {script:?}]\n"));
    };
    context(&mut bench, "echo s3cret");
    assert_eq!(bench.run("shard list").code, Some(0));
    assert_eq!(
        fake.asked("GET")[0].headers["authorization"],
        "Bearer s3cret"
    );
    context(
        &mut bench,
        "echo s3cret; echo vault is sealed, not s3cret >&2; exit 2",
    );
    let ran = bench.run("shard list");
    assert_eq!(ran.code, Some(4), "{}", ran.shown());
    assert!(
        ran.err.contains("vault is sealed, not [secret]"),
        "{}",
        ran.shown()
    );
    assert!(!ran.shown().contains("s3cret\n---"), "{}", ran.shown());
    context(&mut bench, "sleep 1000");
    let ran = bench.run("shard list --timeout 100ms");
    assert_eq!(ran.code, Some(4), "{}", ran.shown());
    assert!(ran.err.contains("did not end within"), "{}", ran.shown());
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let mut bench = Bench::new();
    bench.write("cert.pem", "nothing\n");
    let key = bench.write("key.pem", "nothing\n");
    bench.context("log = \"dev\"\nadmin = \"https://127.0.0.1:1\"\nclient_cert = \"cert.pem\"\nclient_key = \"key.pem\"\n");
    let ran = bench.run("status");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(
        ran.err.contains("cert.pem: holds no certificate"),
        "{}",
        ran.shown()
    );
    let certified = rcgen::generate_simple_self_signed(vec!["op".into()]).unwrap();
    bench.write("cert.pem", &certified.cert.pem());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = bench.run("status");
    assert_eq!(ran.code, Some(4), "{}", ran.shown());
    assert!(
        ran.err.contains("key.pem can be read by others"),
        "{}",
        ran.shown()
    );
    bench.write("key.pem", &certified.signing_key.serialize_pem());
    // All is well with the files; nothing listens there.
    assert_eq!(bench.run("status").code, Some(11));
}
