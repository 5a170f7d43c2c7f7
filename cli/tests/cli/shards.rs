//! The effects and requests of the commands when all goes well.

use std::collections::HashSet;

use crate::fake::{Answer, OPERATION, operation, problem, replica, running, status};
use crate::runner::Bench;
use serde_json::json;

#[test]
fn reports() {
    let (mut bench, _fake) = Bench::served();
    for columns in ["60", "200"] {
        bench.env("COLUMNS", columns);
        let mut shown = String::new();
        for line in [
            "shard list",
            "shard show 2025z",
            "shard show 2026b",
            "status",
            "op list",
            "config history",
            "shard rotate --yes",
        ] {
            let ran = bench.run(line);
            assert_eq!(ran.code, Some(0), "{}", ran.shown());
            shown.push_str(&ran.shown());
            shown.push_str("\n=====\n");
        }
        insta::assert_snapshot!(format!("reports_{columns}"), shown);
    }
}

#[test]
fn reports_as_json() {
    let (bench, _fake) = Bench::served();
    for (line, kind) in [
        ("shard list", "ShardList"),
        ("shard show 2025z", "Shard"),
        ("status", "Status"),
        ("op list", "OperationList"),
        ("config history", "ConfigHistory"),
        ("shard rotate --yes", "Change"),
        ("shard plan --dry-run", "Change"),
    ] {
        let ran = bench.run(&format!("{line} -o json"));
        assert_eq!(ran.json()["kind"], kind, "{}", ran.shown());
    }
    insta::assert_snapshot!("list_json", bench.run("shard list -o json").out);
    insta::assert_snapshot!("rotate_json", bench.run("shard rotate --yes -o json").out);
}

#[test]
fn create_then_use() {
    let (bench, fake) = Bench::served();
    let created = bench.run("shard --create-config next.yaml");
    insta::assert_snapshot!("create", created.shown());
    let next = logconfig::parse(&bench.read("next.yaml")).unwrap();
    assert_eq!(next.generation, Some(7));
    let states: Vec<_> = next
        .shards
        .iter()
        .map(|shard| (shard.name.as_str(), shard.state))
        .collect();
    assert_eq!(states[0], ("2026a", logconfig::ShardState::Frozen));
    assert_eq!(states[1].1, logconfig::ShardState::Active);

    let used = bench.run("shard --use-config next.yaml --yes");
    insta::assert_snapshot!("use", used.shown());
    let puts = fake.asked("PUT");
    let paths: Vec<_> = puts.iter().map(|put| put.path.as_str()).collect();
    assert_eq!(paths, ["/logs/dev/config?dryRun=true", "/logs/dev/config"]);
    for put in &puts {
        assert_eq!(put.headers["if-match"], "\"g7\"");
        assert_eq!(put.headers["content-type"], "application/json");
        assert_eq!(put.body, serde_json::to_value(&next).unwrap());
        assert!(put.headers["idempotency-key"].len() == 32);
        assert!(!put.headers.contains_key("authorization"));
    }
    let keys: HashSet<_> = puts
        .iter()
        .map(|put| &put.headers["idempotency-key"])
        .collect();
    assert_eq!(keys.len(), 2, "a preview and the change are two requests");
}

#[test]
fn a_second_use_is_a_no_op_that_says_so() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    let mut unchanged = operation("configure", "unchanged", [8, 8]);
    unchanged["differences"] = json!([]);
    unchanged.as_object_mut().unwrap().remove("atIndex");
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, unchanged)],
    );
    let ran = bench.run("shard --use-config next.yaml");
    insta::assert_snapshot!("use_again", ran.shown());
    assert_eq!(fake.asked("PUT").len(), 1);
    assert_eq!(
        bench.run("shard --use-config next.yaml -o json").json()["unchanged"],
        true
    );
}

#[test]
fn a_no_op_still_waits_for_the_replicas() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    let mut unchanged = operation("configure", "unchanged", [8, 8]);
    unchanged["replicas"] = json!([replica("one:11", 8), replica("two:22", 7)]);
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, unchanged)],
    );
    let replicas = |generation| {
        Answer::Json(
            200,
            json!({ "replicas": [replica("one:11", 8), replica("two:22", generation)] }),
        )
    };
    fake.says(
        "GET /replicas?log=dev",
        [replicas(7), replicas(7), replicas(8)],
    );
    let ran = bench.run("shard --use-config next.yaml");
    assert!(
        ran.code == Some(0) && ran.out.contains("runs on 2 of 2 replicas"),
        "{}",
        ran.shown()
    );
}

#[test]
fn documents_from_a_pipe_and_to_a_pipe() {
    let (bench, fake) = Bench::served();
    let created = bench.run("shard --create-config -");
    assert!(
        logconfig::parse(&created.out).is_ok() && created.code == Some(0),
        "{}",
        created.shown()
    );
    let as_json = bench.run("shard --create-config - -o json");
    assert_eq!(as_json.json()["kind"], "LogConfig");
    for document in [&created.out, &as_json.out] {
        let ran = bench.run_with("shard --use-config - --yes", document);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
    }
    assert_eq!(fake.asked("PUT").len(), 4);
    assert_eq!(bench.run("shard --create-config next.json").code, Some(0));
    assert!(bench.read("next.json").starts_with('{'));
}

#[test]
fn a_first_configuration_needs_no_server() {
    let bench = Bench::new();
    let ran =
        bench.run("shard --create-config first.yaml --log argon --origin log.example.org/argon");
    insta::assert_snapshot!("create_offline", ran.shown());
    let config = logconfig::parse(&bench.read("first.yaml")).unwrap();
    assert_eq!((config.log.as_str(), config.generation), ("argon", None));
    assert_eq!(
        config.active().map(|shard| shard.state),
        Some(logconfig::ShardState::Active)
    );
    let bad = bench.run("shard --create-config - --log argon --origin bad\u{7}origin");
    assert_eq!(
        (bad.code, bad.out.as_str()),
        (Some(6), ""),
        "{}",
        bad.shown()
    );
}

#[test]
fn a_document_without_generation_is_based_on_what_runs() {
    let (bench, fake) = Bench::served();
    let mut config = running();
    config.generation = None;
    bench.write("next.yaml", &config.to_yaml());
    assert_eq!(
        bench.run("shard --use-config next.yaml --yes").code,
        Some(0)
    );
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.headers["if-match"] == "\"g7-1a2b3c4d\"")
    );
}

#[test]
fn steps_send_what_they_are_told() {
    let (bench, fake) = Bench::served();
    for (line, path, body) in [
        ("shard rotate --yes", "/logs/dev/rotations", json!({})),
        (
            "shard rotate 2026b -y",
            "/logs/dev/rotations",
            json!({ "name": "2026b" }),
        ),
        (
            "shard rotate --dry-run",
            "/logs/dev/rotations?dryRun=true",
            json!({}),
        ),
        (
            "shard plan 2027a --yes",
            "/logs/dev/shards",
            json!({ "name": "2027a" }),
        ),
        (
            "shard freeze --yes",
            "/logs/dev/freeze",
            json!({ "now": false }),
        ),
        (
            "shard freeze --now --yes",
            "/logs/dev/freeze",
            json!({ "now": true }),
        ),
        ("shard unfreeze --yes", "/logs/dev/unfreeze", json!({})),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        let post = fake.asked("POST").pop().unwrap();
        // A step that means whatever comes next says what it was decided on; freezing takes no base.
        let next = body == json!({}) && !line.contains("freeze") && !line.contains("dry-run");
        assert_eq!(post.headers.contains_key("if-match"), next, "{line}");
        assert_eq!((post.path.as_str(), post.body), (path, body));
    }
    assert_eq!(fake.asked("POST").len(), 7, "one request a step");
}

#[test]
fn waiting_lasts_until_every_replica_runs_it() {
    let (bench, fake) = Bench::served();
    let decided = |generation| {
        let mut decided = operation("rotate", "decided", [7, 8]);
        decided["replicas"] = json!([replica("one:11", 8), replica("two:22", generation)]);
        Answer::Json(200, decided)
    };
    let asking = format!("GET /operations/{OPERATION}");
    // A server that goes away after the decision does not undo it.
    fake.says(
        &asking,
        [
            decided(7),
            Answer::HangUp,
            decided(7),
            Answer::Json(200, operation("rotate", "done", [7, 8])),
        ],
    );
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let again = bench.run(&format!("op wait {OPERATION}"));
    assert_eq!(again.code, Some(0), "{}", again.shown());
}

#[test]
fn a_frozen_log_shows_its_final_checkpoint() {
    let (bench, fake) = Bench::served();
    let mut frozen = operation("freeze", "done", [7, 8]);
    frozen["checkpoint"] =
        json!("log.example.org/dev/2026a\n1000\nAAAA\n\n\u{2014} log.example.org/dev/2026a AAAA\n");
    fake.says("POST /logs/dev/freeze", [Answer::Json(200, frozen)]);
    insta::assert_snapshot!("freeze", bench.run("shard freeze --yes").shown());
}

#[test]
fn the_only_log_needs_no_name() {
    let (mut bench, fake) = Bench::served();
    bench.context("admin = \"unix:admin.sock\"\n");
    assert_eq!(bench.run("shard list -o json").json()["log"], "dev");
    fake.says(
        "GET /logs",
        [Answer::Json(
            200,
            json!({ "logs": [status("argon"), status("xenon")] }),
        )],
    );
    insta::assert_snapshot!("which_log", bench.run("shard list").shown());
}

#[test]
fn validate_diff_and_schema() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    let mut shown = String::new();
    for line in [
        "config validate next.yaml",
        "config diff next.yaml",
        "config diff next.yaml --exit-code",
    ] {
        shown.push_str(&bench.run(line).shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("config", shown);
    assert_eq!(
        bench
            .run("config diff next.yaml --exit-code -o json")
            .json()["error"]["code"],
        "differs"
    );
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.path.ends_with("?dryRun=true"))
    );
    let schema = bench.run("config schema");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&schema.out).unwrap(),
        logconfig::schema()
    );
}

/// A halted log is named, also the one that the server keeps of itself, and the exit code is that of any halted log.
#[test]
fn a_halted_log_is_no_success() {
    let (bench, fake) = Bench::served();
    let halted = |log: &str, published: u64| {
        let mut said = status(log);
        said["condition"] = "halted".into();
        said["reason"] =
            "the coordination store is older than what was made from it: WHAT; REMEDY".into();
        said["watermarks"]["integrated"] = 0.into();
        said["watermarks"]["published"] = published.into();
        said
    };
    fake.says("GET /logs/system", [Answer::Json(200, halted("system", 0))]);
    fake.says(
        "GET /replicas?log=system",
        [Answer::Json(200, json!({ "replicas": [] }))],
    );
    let only_the_trail = bench.run("status");
    fake.says(
        "GET /logs",
        [Answer::Json(200, json!({ "logs": [halted("dev", 980)] }))],
    );
    let both = bench.run("status");
    insta::assert_snapshot!(
        "halted",
        format!("{}\n=====\n{}", only_the_trail.shown(), both.shown())
    );
    let json = bench.run("status -o json");
    assert_eq!(json.code, Some(13), "{}", json.shown());
    let json = json.json();
    assert_eq!(json["logs"][1]["log"], "system", "{json}");
    assert_eq!(json["error"]["code"], "halted", "{json}");
    // One that the caller may not read is left out.
    let (bench, fake) = Bench::served();
    fake.says("GET /logs/system", [problem(403, "forbidden", "not yours")]);
    assert_eq!(bench.run("status").code, Some(0));
}
