//! The commands that hints name act on the log of the command that failed.

use serde_json::json;

use crate::fake::{Answer, OPERATION, operation, problem, problem_with, status};
use crate::runner::Bench;

#[test]
fn a_hint_names_the_log_that_the_command_named() {
    let (bench, fake) = Bench::served();
    let refused = |log: &str, detail: &str| {
        for path in ["DELETE /logs/LOG", "POST /logs/LOG/rotations"] {
            fake.says(
                &path.replace("LOG", log),
                [problem(409, "conflict", detail)],
            );
        }
    };
    refused(
        "argon",
        "it takes writes; freeze it first (`logctl shard freeze`)",
    );
    refused(
        "dev",
        "it takes writes; freeze it first (`logctl shard freeze`)",
    );
    fake.says("GET /logs/argon", [Answer::Json(200, status("argon"))]);
    for (line, expected) in [
        (
            "log delete argon --yes",
            "`logctl shard freeze --log argon`",
        ),
        (
            "shard rotate --log argon --yes",
            "`logctl shard freeze --log argon`",
        ),
        (
            "shard rotate --yes --context dev",
            "`logctl shard freeze --context dev`",
        ),
        ("shard rotate --yes", "`logctl shard freeze`"),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(5), "{}", ran.shown());
        assert!(ran.err.contains(expected), "{}", ran.shown());
        let json = bench.run(&format!("{line} -o json")).json();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

/// Pages and documents on standard output have hints as well; the words of a user are shown as they are.
#[test]
fn a_hint_on_standard_output_names_the_context() {
    let (bench, fake) = Bench::served();
    let check = json!({ "check": "frozen", "severity": "warning", "measured": "the log is frozen: `logctl op list` shows why",
        "remedy": "`logctl log unfreeze argon` lets it accept writes again" });
    let diagnostics =
        json!({ "time": "2026-11-21T08:00:00Z", "replica": "one:11", "checks": [check] });
    fake.says("GET /diagnostics", [Answer::Json(200, diagnostics)]);
    let mut frozen = status("dev");
    frozen["condition"] = json!("frozen");
    frozen["reason"] = json!("damaged; see `logctl doctor`");
    fake.says(
        "GET /logs",
        [Answer::Json(200, json!({ "logs": [frozen.clone()] }))],
    );
    fake.says("GET /logs/dev", [Answer::Json(200, frozen)]);
    fake.says("GET /logs/system", [problem(404, "not-found", "none")]);
    let mut tried = operation("configure", "unconfirmed", [7, 8]);
    tried["reason"] = json!("ran `logctl doctor`");
    let one = [Answer::Json(200, tried.clone())];
    fake.says(&format!("GET /operations/{OPERATION}"), one);
    let all = Answer::Json(200, json!({ "operations": [tried] }));
    fake.says("GET /operations?log=dev", [all]);
    let unfreeze = "`logctl log unfreeze argon --context dev`";
    for (line, expected) in [
        ("doctor", unfreeze),
        ("doctor -o json", unfreeze),
        ("doctor -o jsonl", unfreeze),
        ("doctor", "`logctl op list --context dev`"),
        ("doctor -o json", "`logctl op list --context dev`"),
        ("status", "`logctl doctor --context dev`"),
        ("status -o json", "`logctl doctor --context dev`"),
        ("shard list", "`logctl log unfreeze dev --context dev`"),
        (
            &*format!("op show {OPERATION}"),
            &*format!("`logctl op confirm {OPERATION} --context dev`"),
        ),
        (&*format!("op show {OPERATION}"), "ran `logctl doctor`"),
        (
            &*format!("op show {OPERATION} -o json"),
            "ran `logctl doctor`",
        ),
        ("op list", "ran `logctl doctor`"),
    ] {
        let ran = bench.run(&format!("{line} --context dev"));
        assert!(ran.out.contains(expected), "{expected}: {}", ran.shown());
    }
}

/// A hint about headers is for clients without options of their own; any other hint of the server is better than ours.
#[test]
fn a_hint_about_http_gives_way_to_one_about_options() {
    let (bench, fake) = Bench::served();
    for (about_http, expected) in [(true, "LOGCTL_TOKEN_FILE"), (false, "as Authorization: X")] {
        let more = json!({ "hint": "send it as Authorization: X", "hintIsAboutHttp": about_http });
        fake.says(
            "GET /logs/dev",
            [problem_with(401, "unauthenticated", "who are you?", more)],
        );
        let ran = bench.run("shard list");
        assert_eq!(ran.code, Some(4), "{}", ran.shown());
        assert!(ran.err.contains(expected), "{}", ran.shown());
    }
}
