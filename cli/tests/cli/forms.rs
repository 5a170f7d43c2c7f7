//! The forms of a result: a page, one document, a document a line, a name a line.

use serde_json::{Value, json};

use crate::fake::{Answer, operation, problem, replica};
use crate::runner::{Bench, Ran};

/// Commands whose result has names, and those names.
const NAMED: [(&str, &str); 9] = [
    ("status", "dev\n"),
    ("shard list", "2025z\n2026a\n2026b\n"),
    ("shard show 2026a", "2026a\n"),
    ("config history", "7\n1\n"),
    ("op list", "0123456789abcdef0123456789abcdef\n"),
    ("shard rotate --yes", "0123456789abcdef0123456789abcdef\n"),
    ("context list", "dev\n"),
    ("context show", "dev\n"),
    ("config validate next.yaml", "next.yaml\n"),
];

#[test]
fn names_are_one_a_line() {
    let (bench, _fake) = Bench::served();
    bench.write("next.yaml", &crate::fake::running().to_yaml());
    for (line, names) in NAMED {
        let ran = bench.run(&format!("{line} -o name"));
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(0), names),
            "{}",
            ran.shown()
        );
    }
}

#[test]
fn lines_are_the_elements_of_the_document() {
    let (bench, _fake) = Bench::served();
    for (line, list) in [
        ("status", "logs"),
        ("shard list", "shards"),
        ("config history", "history"),
        ("op list", "operations"),
        ("context list", "contexts"),
    ] {
        let document = bench.run(&format!("{line} -o json")).json();
        let lines = bench.run(&format!("{line} -o jsonl"));
        let lines: Vec<Value> = lines
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(Value::from(lines), document[list], "{line}");
    }
    // A result that is no list is one line.
    let ran = bench.run("shard show 2026a -o jsonl");
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.shown());
    assert_eq!(ran.json()["shard"]["name"], "2026a");
}

#[test]
fn how_it_ended_is_a_line_too() {
    let (bench, fake) = Bench::served();
    let ran = bench.run("shard lst -o jsonl");
    assert_eq!(
        (ran.code, ran.json()["error"]["code"].as_str()),
        (Some(2), Some("usage"))
    );
    assert!(ran.err.starts_with("error: "), "{}", ran.shown());
    fake.says("GET /logs/dev", [problem(403, "forbidden", "no")]);
    let ran = bench.run("shard list -o jsonl");
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.shown());
    assert_eq!(ran.json()["error"]["exitCode"], 4);
    // A name that is not there is no name.
    let ran = bench.run("shard list -o name");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(4), ""),
        "{}",
        ran.shown()
    );
    let mut decided = operation("rotate", "decided", [7, 8]);
    decided["replicas"] = json!([replica("one:11", 7)]);
    fake.says(
        "GET /operations/0123456789abcdef0123456789abcdef",
        [Answer::Json(200, decided)],
    );
    // Not decided yet, or not looked at.
    let unseen = |ran: &Ran| ran.ended(&[11, 8, 7]);
    let ran = bench.cut_off("shard rotate --yes -o name", unseen);
    assert_eq!(
        (ran.code, ran.out.trim()),
        (Some(9), crate::fake::OPERATION),
        "{}",
        ran.shown()
    );
}

#[test]
fn off_a_terminal_each_phase_is_a_plain_line() {
    let (bench, _fake) = Bench::served();
    let ran = bench.run("shard rotate --yes");
    assert_eq!(
        ran.err,
        "deciding the change of dev\nwaiting until every replica runs generation 8\n"
    );
    let colored = |bench: &Bench, line: &str| bench.run(line).out.contains('\u{1b}');
    assert!(!colored(&bench, "shard list"));
    assert!(colored(&bench, "shard list --color always"));
    let (mut bench, _fake) = Bench::served();
    bench.env("CLICOLOR_FORCE", "1");
    assert!(colored(&bench, "shard list"));
    assert!(!colored(&bench, "shard list --color never"));
    bench.env("NO_COLOR", "1");
    assert!(!colored(&bench, "shard list"));
    assert!(colored(&bench, "shard list --color always"));
}
