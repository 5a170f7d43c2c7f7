//! Every exit code really happens, for the reason that the manual gives.

use std::collections::BTreeSet;

use serde_json::json;

use crate::fake::{Answer, OPERATION, operation, problem, replica, running};
use crate::runner::{Bench, Ran};

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
    let mut ends_with = |run: &dyn Fn(&str) -> Ran, line: &str, code: i32, word: Option<&str>| {
        let ran = run(line);
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        let ran = run(&format!("{line} -o json"));
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        assert_eq!(
            ran.json()["error"]["code"].as_str(),
            word,
            "{}",
            ran.shown()
        );
        seen.insert(code);
    };
    let mut ends = |line: &str, code, word| ends_with(&|line| bench.run(line), line, code, word);
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
    // At their limits, unless those passed before there was anything to wait for.
    let mut ends_late = |line: &str, early: &[i32], code, word| {
        let run = |line: &str| bench.cut_off(line, |ran| ran.ended(early));
        ends_with(&run, line, code, Some(word));
    };
    ends_late("shard rotate --yes", &[11], 8, "unknown-outcome");
    let follows = |mut change: serde_json::Value, generation: u64| {
        change["replicas"] = json!([replica("one:11", generation)]);
        fake.says(
            &format!("GET /operations/{OPERATION}"),
            [Answer::Json(200, change)],
        );
    };
    let wait = format!("op wait {OPERATION}");
    follows(operation("rotate", "decided", [7, 8]), 7);
    ends_late(&wait, &[11, 7], 9, "not-converged");
    follows(operation("rotate", "decided", [7, 8]), 8);
    ends_late(&wait, &[11], 7, "timeout");
    let mut reverted = operation("configure", "reverted", [7, 8]);
    reverted["revertedBy"] = OPERATION.into();
    follows(reverted, 9);
    ends_with(&|line| bench.run(line), &wait, 10, Some("rolled-back"));
    // With a child to interrupt, and with tiles that are wrong: in `outcomes`, `screen` and `verify`.
    seen.extend([130, 12]);
    assert_eq!(seen, documented(&bench));
}
