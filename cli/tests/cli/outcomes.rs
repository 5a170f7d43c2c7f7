//! Every way in which a command can end badly: exit code, words, one JSON document, nothing changed that should not be.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::{
    Answer, Fake, OPERATION, nowhere, operation, problem, problem_with, replica, running,
};
use crate::runner::{Bench, Ran, until};

/// Runs the line both ways and checks the code; returns what a person sees.
pub(crate) fn ends(bench: &Bench, line: &str, code: i32, word: &str) -> String {
    let ran = bench.run(line);
    let json = bench.run(&format!("{line} -o json"));
    ended(&ran, &json, code, word)
}

/// The same with a time limit that cuts it off; `early` as in [`Bench::cut_off`].
pub(crate) fn ends_cut_off(
    bench: &Bench,
    line: &str,
    early: impl Fn(&Ran) -> bool,
    code: i32,
    word: &str,
) -> String {
    let ran = bench.cut_off(line, &early);
    let json = bench.cut_off(&format!("{line} -o json"), &early);
    ended(&ran, &json, code, word)
}

fn ended(ran: &Ran, json: &Ran, code: i32, word: &str) -> String {
    assert_eq!(ran.code, Some(code), "{}", ran.shown());
    assert_eq!(json.json()["error"]["code"], word, "{}", json.shown());
    assert!(
        !json.json()["error"]["hint"].as_str().unwrap().is_empty(),
        "{}",
        json.shown()
    );
    ran.shown()
}

#[test]
fn server_not_running() {
    let mut bench = Bench::new();
    bench.context("log = \"dev\"\nadmin = \"unix:admin.sock\"\n");
    insta::assert_snapshot!("no_socket", ends(&bench, "shard list", 11, "unreachable"));
    let address = nowhere();
    bench.context(&format!("log = \"dev\"\nadmin = \"{address}\"\n"));
    let shown = ends(&bench, "shard rotate --yes", 11, "unreachable")
        .replace(&address, "http://127.0.0.1:PORT");
    insta::assert_snapshot!("no_port", shown);
}

#[test]
fn not_an_admin_endpoint() {
    let (bench, fake) = Bench::served();
    for answer in [
        Answer::Html(200),
        Answer::Html(404),
        Answer::Json(200, json!({ "hello": "world" })),
    ] {
        fake.says("GET /logs/dev", [answer]);
        ends(&bench, "shard list", 11, "not-an-admin-endpoint");
    }
    insta::assert_snapshot!("foreign", bench.run("shard list").shown());
}

#[test]
fn a_silent_server() {
    let (bench, fake) = Bench::served();
    fake.says("GET /logs/dev", [Answer::Silence]);
    insta::assert_snapshot!(
        "silent",
        ends(&bench, "shard list --timeout 50ms", 11, "unreachable")
    );
}

#[test]
fn problems() {
    let (bench, fake) = Bench::served();
    let mut shown = String::new();
    for (status, code, exit) in [
        (401, "unauthenticated", 4),
        (403, "forbidden", 4),
        (403, "browser-refused", 4),
        (404, "not-found", 6),
        (409, "conflict", 5),
        (412, "stale", 5),
        (413, "too-large", 6),
        (422, "invalid", 6),
        (422, "idempotency-key-reused", 6),
        (428, "precondition-required", 2),
        (429, "too-many-requests", 13),
        (500, "internal", 1),
        (501, "unsupported", 6),
        (503, "halted", 13),
        (503, "unavailable", 11),
        (507, "full", 13),
    ] {
        fake.says(
            "POST /logs/dev/rotations",
            [problem(status, code, &format!("the server says {code}"))],
        );
        shown.push_str(&ends(&bench, "shard rotate --yes", exit, code));
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("problems", shown);
}

#[test]
fn a_stale_base_says_what_moved() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    let more = json!({ "currentEtag": "g9-0badcafe", "changedBy": "token:ci", "changedAt": "2026-11-21T08:00:00Z",
        "hint": "take the running configuration and carry your edits over",
        "differences": [{ "subject": "shard 2026b", "after": "active" }] });
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [problem_with(
            412,
            "stale",
            "the base is generation 7, generation 9 runs",
            more,
        )],
    );
    insta::assert_snapshot!(
        "stale",
        ends(&bench, "shard --use-config next.yaml --yes", 5, "stale")
    );
}

#[test]
fn findings_stand_where_they_are_in_the_file() {
    let (bench, fake) = Bench::served();
    bench.write("bad.yaml", "apiVersion: logctl/v1\nkind: LogConfig\nlog: dev\nshards:\n  - name: 2026a\n    stat: active\n  - {name: 2026b, state: opened}\n");
    insta::assert_snapshot!(
        "bad_file",
        ends(&bench, "shard --use-config bad.yaml", 6, "invalid")
    );
    assert_eq!(fake.asked("PUT").len(), 0);

    bench.write("next.yaml", &running().to_yaml());
    let findings = json!({ "findings": [
        { "code": "other-log", "message": "the document is for the log dev, this is argon", "pointer": "/log", "line": 1, "column": 99, "hint": "choose the other log" },
        { "code": "shard-dropped", "message": "shard 2025z is missing", "pointer": "/shards" } ] });
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [problem_with(422, "invalid", "2 findings", findings)],
    );
    insta::assert_snapshot!(
        "refused",
        ends(&bench, "shard --use-config next.yaml --yes", 6, "invalid")
    );
    let json = bench
        .run("shard --use-config next.yaml --yes -o json")
        .json();
    let line = |n: usize| json["error"]["findings"][n]["line"].as_u64().unwrap() as usize;
    let text = bench.read("next.yaml");
    assert!(text.lines().nth(line(0) - 1).unwrap().starts_with("log:"));
}

#[test]
fn files_that_cannot_be_read_or_written() {
    let (bench, _fake) = Bench::served();
    bench.write("latin1.yaml", "");
    std::fs::write(bench.path("latin1.yaml"), b"log: \xe4").unwrap();
    ends(&bench, "shard --use-config missing.yaml", 2, "cannot-read");
    ends(&bench, "shard --use-config latin1.yaml", 2, "cannot-read");
    ends(&bench, "shard --use-config .", 2, "cannot-read");
    ends(
        &bench,
        "shard --create-config missing/next.yaml",
        2,
        "cannot-write",
    );
    ends(&bench, "shard list --config missing.toml", 2, "cannot-read");
}

#[test]
fn an_existing_file_is_kept() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", "mine");
    insta::assert_snapshot!(
        "exists",
        ends(&bench, "shard --create-config next.yaml", 2, "file-exists")
    );
    assert_eq!(bench.read("next.yaml"), "mine");
    assert_eq!(fake.asked("GET").len(), 0);
    assert_eq!(
        bench.run("shard --create-config next.yaml --force").code,
        Some(0)
    );
    assert!(logconfig::parse(&bench.read("next.yaml")).is_ok());
}

#[test]
fn nothing_changes_without_consent() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    let mut shown = String::new();
    for line in [
        "shard rotate",
        "shard freeze",
        "shard --use-config next.yaml",
        "shard unfreeze --no-input",
        "shard plan",
    ] {
        shown.push_str(&ends(&bench, line, 2, "confirmation-required"));
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("unconfirmed", shown);
    assert_eq!(fake.asked("POST").len(), 0);
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.path.ends_with("?dryRun=true"))
    );
}

#[test]
fn a_replica_that_lags() {
    let (bench, fake) = Bench::served();
    let mut decided = operation("rotate", "decided", [7, 8]);
    decided["replicas"] = json!([replica("one:11", 8), replica("two:22", 7)]);
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, decided)],
    );
    // Not decided yet, or not looked at.
    let unseen = |ran: &Ran| ran.ended(&[11, 8, 7]);
    insta::assert_snapshot!(
        "lagging",
        ends_cut_off(&bench, "shard rotate --yes", unseen, 9, "not-converged")
    );
    ends_cut_off(
        &bench,
        &format!("op wait {OPERATION}"),
        unseen,
        9,
        "not-converged",
    );
    // The report is there anyway.
    let json = bench.cut_off("shard rotate --yes -o json", unseen).json();
    assert_eq!(json["operation"]["id"], OPERATION);
    assert_eq!(json["error"]["lagging"][0]["label"], "two:22");
}

#[test]
fn a_server_that_dies_after_the_decision() {
    let (bench, fake) = Bench::served();
    fake.says(&format!("GET /operations/{OPERATION}"), [Answer::HangUp]);
    // Not decided yet, or the last look had no time to be hung up on.
    let early = |ran: &Ran| ran.ended(&[11, 8]) || ran.err.contains("no answer within");
    insta::assert_snapshot!(
        "timeout",
        ends_cut_off(&bench, "shard rotate --yes", early, 7, "timeout")
    );
}

#[test]
fn names_that_are_not_there() {
    let (bench, _fake) = Bench::served();
    insta::assert_snapshot!("no_shard", ends(&bench, "shard show 2026c", 6, "not-found"));
    ends(&bench, "shard list --log argon", 6, "not-found");
    ends(
        &bench,
        "op wait ffffffffffffffffffffffffffffffff",
        6,
        "not-found",
    );
}

#[test]
fn tokens_are_sent_from_private_files_only() {
    let mut bench = Bench::new();
    let (fake, port) = Fake::on_loopback();
    bench.context(&format!(
        "log = \"dev\"\nadmin = \"http://127.0.0.1:{port}\"\ntoken_file = \"admin.token\"\n"
    ));
    let path = bench.write("admin.token", "s3cret\n");
    assert_eq!(bench.run("shard list").code, Some(0));
    assert_eq!(
        fake.asked("GET")[0].headers["authorization"],
        "Bearer s3cret"
    );

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = ends(&bench, "shard list", 4, "secret-exposed");
    insta::assert_snapshot!("exposed", shown);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.write("admin.token", "\n");
    ends(&bench, "shard list", 4, "secret-empty");
    bench.write("other.token", "0ther");
    bench.env(
        "LOGCTL_TOKEN_FILE",
        bench
            .path("other.token")
            .to_str()
            .unwrap()
            .to_owned()
            .as_str(),
    );
    assert_eq!(bench.run("shard list").code, Some(0));
    assert_eq!(
        fake.asked("GET").pop().unwrap().headers["authorization"],
        "Bearer 0ther"
    );
}

#[test]
fn context_files() {
    let mut bench = Bench::new();
    insta::assert_snapshot!("no_context", ends(&bench, "shard list", 2, "context"));
    bench.context("log = \"dev\"\n");
    ends(&bench, "shard list", 2, "context");
    bench.context("log = \"dev\"\nadmin = \"unix:x\"\ntokenfile = \"x\"\n");
    insta::assert_snapshot!("bad_context", ends(&bench, "shard list", 2, "context"));
    bench.context("log = \"dev\"\nadmin = \"https://127.0.0.1:1\"\nca = \"missing.pem\"\n");
    ends(&bench, "shard list", 2, "cannot-read");
    bench.write("empty.pem", "nothing\n");
    bench.context("log = \"dev\"\nadmin = \"https://127.0.0.1:1\"\nca = \"empty.pem\"\n");
    ends(&bench, "shard list", 2, "tls");
    ends(&bench, "shard list --context dve", 2, "context");
}

#[test]
fn an_interrupt_says_how_to_go_on() {
    let (bench, fake) = Bench::served();
    fake.says("POST /logs/dev/rotations", [Answer::Silence]);
    let line = "shard rotate --yes -o json";
    let child = bench.spawn(line);
    fake.wait_for("POST", "/logs/dev/rotations");
    interrupt(child.id());
    let ran = bench.finish(line, child);
    assert_eq!(ran.code, Some(130), "{}", ran.shown());
    let error = &ran.json()["error"];
    assert_eq!(error["code"], "interrupted");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("may or may not"),
        "{}",
        ran.shown()
    );

    let mut decided = operation("rotate", "decided", [7, 8]);
    decided["replicas"] = json!([replica("one:11", 7)]);
    fake.says("POST /logs/dev/rotations", [Answer::Json(200, decided)]);
    fake.says(&format!("GET /operations/{OPERATION}"), [Answer::Silence]);
    let line = "shard rotate --yes";
    let child = bench.spawn(line);
    fake.wait_for("GET", "/operations/");
    interrupt(child.id());
    insta::assert_snapshot!("interrupted", bench.finish(line, child).shown());
}

#[test]
fn a_read_from_a_silent_pipe_can_be_interrupted() {
    let (bench, _fake) = Bench::served();
    let mut child = bench.spawn("shard --use-config - --yes");
    let input = child.stdin.take();
    // It listens for the signal before it reads.
    let status = format!("/proc/{}/status", child.id());
    let listens = |line: &str| {
        line.starts_with("SigCgt:") && line.ends_with(|c: char| "2367abef".contains(c))
    };
    until("it listens for the signal", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.lines().any(listens)
    });
    interrupt(child.id());
    let ran = bench.finish("shard --use-config - --yes", child);
    assert_eq!(ran.code, Some(130), "{}", ran.shown());
    drop(input);
}

pub(crate) fn interrupt(process: u32) {
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &process.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_single_finding_is_said_once() {
    let (bench, fake) = Bench::served();
    let message = "shard 2026a is frozen, and stays so";
    let findings = json!({ "findings": [{ "code": "shard-reopened", "message": message, "pointer": "/shards/0/state", "hint": "choose a new name" }] });
    fake.says(
        "POST /logs/dev/rotations",
        [problem_with(422, "invalid", message, findings)],
    );
    insta::assert_snapshot!(
        "one_finding",
        ends(&bench, "shard rotate 2026a --yes", 6, "invalid")
    );
}

#[test]
fn another_servers_problem_document() {
    let (bench, fake) = Bench::served();
    fake.says(
        "GET /logs",
        [problem(404, "not-found", "nothing is served here")],
    );
    ends(&bench, "status", 11, "not-an-admin-endpoint");
}
