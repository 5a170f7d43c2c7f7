//! Every exit code really happens, for the reason that the manual gives.

use std::collections::BTreeSet;

use serde_json::json;

use crate::fake::{Answer, OPERATION, operation, problem, replica, running};
use crate::runner::Bench;

/// The codes of the manual, which begin the lines of its table.
fn documented(bench: &Bench) -> BTreeSet<i32> {
    let page = bench.run("man").out;
    let table = page.split(".SH \"EXIT STATUS\"").nth(1).unwrap();
    let table = table.split(".SH").next().unwrap();
    let number = |line: &str| {
        line.strip_prefix("\\fB")?
            .strip_suffix("\\fR")?
            .parse()
            .ok()
    };
    table.lines().filter_map(number).collect()
}

#[test]
fn every_code_happens() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    bench.write("bad.yaml", "log: 1\n");
    let mut seen = BTreeSet::new();
    let mut ends = |line: &str, code: i32, word: Option<&str>| {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        let ran = bench.run(&format!("{line} -o json"));
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        assert_eq!(
            ran.json()["error"]["code"].as_str(),
            word,
            "{}",
            ran.shown()
        );
        seen.insert(code);
    };
    ends("shard rotate --yes", 0, None);
    ends("shard rotate", 2, Some("confirmation-required"));
    ends("config diff next.yaml --exit-code", 3, Some("differs"));
    ends("config diff next.yaml", 0, None);
    ends("config validate bad.yaml", 6, Some("invalid"));
    ends("status --admin unix:nowhere.sock", 11, Some("unreachable"));
    for (status, word, code) in [
        (500, "internal", 1),
        (403, "forbidden", 4),
        (412, "stale", 5),
        (503, "halted", 13),
    ] {
        fake.says("POST /logs/dev/rotations", [problem(status, word, word)]);
        ends("shard rotate --yes", code, Some(word));
    }
    fake.says("POST /logs/dev/rotations", [Answer::HangUp]);
    ends(
        "shard rotate --yes --timeout 200ms",
        8,
        Some("unknown-outcome"),
    );
    let follows = |mut change: serde_json::Value, generation: u64| {
        change["replicas"] = json!([replica("one:11", generation)]);
        fake.says(
            &format!("GET /operations/{OPERATION}"),
            [Answer::Json(200, change)],
        );
    };
    let wait = format!("op wait {OPERATION} --timeout 300ms");
    follows(operation("rotate", "decided", [7, 8]), 7);
    ends(&wait, 9, Some("not-converged"));
    follows(operation("rotate", "decided", [7, 8]), 8);
    ends(&wait, 7, Some("timeout"));
    let mut reverted = operation("configure", "reverted", [7, 8]);
    reverted["revertedBy"] = OPERATION.into();
    follows(reverted, 9);
    ends(&wait, 10, Some("rolled-back"));
    // With a child to interrupt, and with tiles that are wrong: in `outcomes`, `screen` and `verify`.
    seen.extend([130, 12]);
    assert_eq!(seen, documented(&bench));
}
