//! Contexts: the file and its edits, what is in effect and why, and the ones that are protected.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::Answer;
use crate::runner::Bench;

/// Everything a person sees of these lines, one after the other. Columns are as wide as the path of the test's folder, so
/// blanks between them are two.
fn session(bench: &Bench, lines: &[&str]) -> String {
    let mut shown: String = lines
        .iter()
        .map(|line| bench.run(line).shown() + "\n=====\n")
        .collect();
    while shown.contains("   ") {
        shown = shown.replace("   ", "  ");
    }
    shown
}

#[test]
fn a_file_is_made_and_edited() {
    let mut bench = Bench::new();
    let path = bench.path("made/config.toml");
    bench.env("LOGCTL_CONFIG", path.to_str().unwrap());
    let shown = session(
        &bench,
        &[
            "context set dev admin=unix:admin.sock log=dev",
            "context set prod admin=https://log.example.org:7071 ca=ca.pem token_file=prod.token protected=true",
            "context set prod protected=true",
            "context list",
            "context use prod",
            "context use prdo",
            "context use nothing-like-it",
            "context list -o name",
            "context list -o jsonl",
            "context show",
            "context set prod token=s3cret",
            "context set prod nonsense",
            "context set prod admin=http://192.0.2.1",
        ],
    );
    assert!(!shown.contains("s3cret\n---"), "{shown}");
    insta::assert_snapshot!("edits", shown);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    insta::assert_snapshot!(
        "edited",
        bench
            .read("made/config.toml")
            .replace(bench.directory.path().to_str().unwrap(), "DIR")
    );
}

#[test]
fn comments_survive() {
    let mut bench = Bench::new();
    let text = "# ours\ncurrent = \"a\" # now\n\n[contexts.a]\nlog = \"a\"\n# keep me\n[contexts.b]\nlog = \"b\"\n";
    let path = bench.write("logctl.toml", text);
    bench.env("LOGCTL_CONFIG", path.to_str().unwrap());
    assert_eq!(bench.run("context use b").code, Some(0));
    assert_eq!(
        bench.read("logctl.toml"),
        text.replace("\"a\" # now", "\"b\" # now")
    );
    assert_eq!(bench.run("context set b log=c").code, Some(0));
    assert!(
        bench
            .read("logctl.toml")
            .contains("# keep me\n[contexts.b]\nlog = \"c\"")
    );
}

#[test]
fn each_value_says_where_it_came_from() {
    let (mut bench, fake) = Bench::served();
    fake.says(
        "GET /whoami",
        [Answer::Json(
            200,
            json!({ "actor": "uid:0", "permissions": ["*:*:*"] }),
        )],
    );
    bench.env("LOGCTL_LOG", "argon");
    insta::assert_snapshot!(
        "sources",
        session(
            &bench,
            &[
                "context show --check",
                "context show --log boron",
                "context show --admin unix:/elsewhere"
            ]
        )
    );
    let json = bench
        .run("context show --log boron --ca x.pem -o json")
        .json();
    let source = |key: &str| {
        let all = json["values"].as_array().unwrap();
        all.iter().find(|value| value["key"] == key).unwrap()["source"].clone()
    };
    assert_eq!(source("log"), "flag --log");
    assert_eq!(source("ca"), "flag --ca");
    assert_eq!(source("admin"), "DIR/logctl.toml:4");
    assert_eq!(source("protected"), "default");
    let json = bench.run("context show -o json").json();
    assert_eq!(json["values"][0]["source"], "environment LOGCTL_LOG");
}

#[test]
fn two_ways_to_log_in_are_refused() {
    let mut bench = Bench::new();
    for (body, message) in [
        (
            "token_file = \"a\"\ntoken_command = [\"b\"]\n",
            "logctl.toml:6: `token_file` and `token_command` are two ways",
        ),
        (
            "oidc = { token_env = \"A\" }\n",
            "logctl.toml:5: `oidc` needs an `audience`",
        ),
        (
            "client_key = \"a.pem\"\n",
            "logctl.toml:5: `client_key` needs `client_cert`",
        ),
        ("token_command = []\n", "logctl.toml:5: names no program"),
    ] {
        bench.context(&format!("log = \"dev\"\nadmin = \"unix:x\"\n{body}"));
        let ran = bench.run("status");
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        assert!(ran.err.contains(message), "{}", ran.shown());
    }
}

#[test]
fn a_protected_context_wants_its_name() {
    let (mut bench, fake) = Bench::served();
    bench.context("log = \"dev\"\nadmin = \"unix:admin.sock\"\nprotected = true\n");
    insta::assert_snapshot!(
        "protected",
        session(
            &bench,
            &[
                "shard freeze --yes",
                "shard freeze --yes --no-input -o json",
                "shard freeze --confirm prod"
            ]
        )
    );
    assert_eq!(bench.run("shard freeze --yes").code, Some(2));
    assert_eq!(bench.run("shard freeze --confirm prod --yes").code, Some(2));
    assert_eq!(fake.asked("POST").len(), 0);
    let ran = bench.run("shard freeze --confirm dev");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    // Looking is free.
    assert_eq!(bench.run("shard list").code, Some(0));
    assert_eq!(bench.run("shard rotate --dry-run").code, Some(0));
}

#[test]
fn confirm_is_for_the_context_in_use_only() {
    let (bench, fake) = Bench::served();
    assert_eq!(bench.run("shard freeze --confirm prod").code, Some(2));
    assert_eq!(fake.asked("POST").len(), 0);
    assert_eq!(bench.run("shard freeze --confirm dev").code, Some(0));
    let elsewhere = format!(
        "shard freeze --confirm dev --admin unix:{}/./other.sock",
        bench.directory.path().display()
    );
    assert_ne!(bench.run(&elsewhere).code, Some(0));
}
