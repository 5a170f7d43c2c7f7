//! `logctl doctor`: what it finds on this side and on the way, and what it repeats of the server's own findings.

use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, problem};
use crate::runner::{Bench, Ran};

fn diagnostics(apart: SignedDuration, checks: Value) -> Answer {
    let time = (Timestamp::now() + apart).to_string();
    Answer::Json(
        200,
        json!({ "time": time, "replica": "one:11", "checks": checks }),
    )
}

fn healthy(fake: &Fake) {
    fake.says(
        "GET /whoami",
        [Answer::Json(
            200,
            json!({ "actor": "token:ci", "permissions": ["*:*:*"] }),
        )],
    );
    fake.says(
        "GET /tokens",
        [tokens(SignedDuration::from_hours(24 * 300))],
    );
    let checks = json!([{ "check": "disk", "severity": "ok", "measured": "42 GiB free" }]);
    fake.says(
        "GET /diagnostics",
        [diagnostics(SignedDuration::ZERO, checks)],
    );
}

fn tokens(left: SignedDuration) -> Answer {
    let end = (Timestamp::now() + left).to_string();
    Answer::Json(
        200,
        json!({ "tokens": [{ "name": "ci", "scopes": ["*:*:*"], "expiresAt": end, "revocable": true }] }),
    )
}

/// The severity of a check.
fn severity(ran: &Ran, check: &str) -> String {
    let json = ran.json();
    let all = json["checks"].as_array().unwrap();
    let found = all.iter().find(|one| one["result"]["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check}: {}", ran.shown()));
    if found["result"]["severity"] != "ok" {
        assert!(found["result"]["remedy"].is_string(), "{}", ran.shown());
    }
    found["result"]["severity"].as_str().unwrap().to_owned()
}

#[test]
fn all_is_well() {
    let (bench, fake) = Bench::served();
    healthy(&fake);
    let ran = bench.run("doctor -o json");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    for check in [
        "context",
        "login",
        "endpoint",
        "token-expiry",
        "clock-skew",
        "disk",
    ] {
        assert_eq!(severity(&ran, check), "ok", "{}", ran.shown());
    }
    assert!(bench.run("doctor").out.ends_with("all is well\n"));
    assert_eq!(fake.asked("POST").len(), 0);
}

/// A check in a job must not pass because of a typo in the name, wherever the name is from.
#[test]
fn a_named_log_is_the_only_one_and_must_exist() {
    let (mut bench, fake) = Bench::served();
    healthy(&fake);
    let one = |log: &str| json!({ "check": "checkpoint-age", "log": log, "severity": "critical", "measured": "9 s", "remedy": "look" });
    let disk = json!({ "check": "disk", "severity": "ok", "measured": "42 GiB free" });
    let checks = json!([one("neon"), disk, { "check": "publication", "log": "dev", "severity": "ok", "measured": "0 s" }]);
    fake.says(
        "GET /diagnostics",
        [diagnostics(SignedDuration::ZERO, checks)],
    );
    fake.says(
        "GET /logs/nosuch",
        [problem(404, "not-found", "there is no log named nosuch")],
    );
    // The log of the context hides no other.
    assert_eq!(bench.run("doctor").code, Some(13));
    let ran = bench.run("doctor --log dev -o json");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert_eq!(severity(&ran, "publication"), "ok");
    assert_eq!(severity(&ran, "disk"), "ok");
    assert!(!ran.out.contains("checkpoint-age"), "{}", ran.shown());
    let refused = |ran: Ran| {
        assert_eq!(ran.code, Some(6), "{}", ran.shown());
        assert!(ran.err.contains("no log `nosuch`"), "{}", ran.shown());
    };
    refused(bench.run("doctor --log nosuch"));
    bench.env("LOGCTL_LOG", "nosuch");
    refused(bench.run("doctor"));
}

#[test]
fn what_is_wrong_comes_with_its_remedy() {
    let (bench, fake) = Bench::served();
    healthy(&fake);
    for (apart, found, code) in [
        (4, "ok", 0),
        (20, "warning", 0),
        (-20, "warning", 0),
        (90, "critical", 13),
        (-90, "critical", 13),
    ] {
        fake.says(
            "GET /diagnostics",
            [diagnostics(SignedDuration::from_secs(apart), json!([]))],
        );
        let ran = bench.run("doctor -o json");
        assert_eq!(
            (ran.code, severity(&ran, "clock-skew").as_str()),
            (Some(code), found),
            "{apart}"
        );
    }
    healthy(&fake);
    for (hours, found, code) in [(24 * 10, "warning", 0), (2, "critical", 13)] {
        fake.says("GET /tokens", [tokens(SignedDuration::from_hours(hours))]);
        let ran = bench.run("doctor -o json");
        assert_eq!(
            (ran.code, severity(&ran, "token-expiry").as_str()),
            (Some(code), found),
            "{hours}"
        );
    }
    healthy(&fake);
    let checks = json!([
        { "check": "disk", "severity": "critical", "measured": "12 MiB free", "remedy": "make space on the store" },
        { "check": "checkpoint-age", "log": "dev", "severity": "warning", "measured": "9 s", "remedy": "look at the merge" }]);
    fake.says(
        "GET /diagnostics",
        [diagnostics(SignedDuration::ZERO, checks)],
    );
    let ran = bench.run("doctor");
    assert_eq!(ran.code, Some(13), "{}", ran.shown());
    for text in [
        "2 findings:",
        "disk: make space on the store",
        "checkpoint-age: look at the merge",
        "1 critical finding",
    ] {
        assert!(ran.shown().contains(text), "{}", ran.shown());
    }
    let ran = bench.run("doctor -o name");
    assert!(
        ran.out.lines().any(|line| line == "disk"),
        "{}",
        ran.shown()
    );
}

#[test]
fn a_server_that_does_not_tell() {
    let (bench, fake) = Bench::served();
    healthy(&fake);
    fake.says(
        "GET /diagnostics",
        [problem(403, "forbidden", "token:ci may not")],
    );
    fake.says(
        "GET /tokens",
        [problem(403, "forbidden", "token:ci may not")],
    );
    let ran = bench.run("doctor -o json");
    assert_eq!(
        (ran.code, severity(&ran, "diagnostics").as_str()),
        (Some(0), "warning"),
        "{}",
        ran.shown()
    );
    fake.says(
        "GET /whoami",
        [problem(401, "unauthenticated", "who are you")],
    );
    let ran = bench.run("doctor -o json");
    assert_eq!(
        (ran.code, severity(&ran, "endpoint").as_str()),
        (Some(4), "critical"),
        "{}",
        ran.shown()
    );
}

#[test]
fn this_side() {
    let mut bench = Bench::new();
    bench.write("admin.token", "s3cret");
    bench.context("log = \"dev\"\nadmin = \"unix:admin.sock\"\ntoken_file = \"admin.token\"\n");
    let ran = bench.run("doctor -o json");
    // Nothing listens there.
    assert_eq!(
        (ran.code, severity(&ran, "endpoint").as_str()),
        (Some(11), "critical"),
        "{}",
        ran.shown()
    );
    assert_eq!(severity(&ran, "token-file"), "ok");
    let set = |name: &str, mode: u32| {
        std::fs::set_permissions(bench.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set("admin.token", 0o644);
    set("logctl.toml", 0o666);
    let ran = bench.run("doctor -o json");
    assert_eq!(severity(&ran, "token-file"), "critical");
    assert_eq!(severity(&ran, "context"), "critical");
    assert!(!ran.shown().contains("s3cret"));
    let ran = Bench::new().run("doctor");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
}
