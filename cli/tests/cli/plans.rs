//! Plans, roll-backs and changes on probation.

use serde_json::{Value, json};

use crate::fake::{Answer, OPERATION, operation, problem, problem_with, replica, running};
use crate::runner::{Bench, timeless};

/// The running document with another setting.
fn edited() -> logconfig::LogConfig {
    let mut next = running();
    next.merge.checkpoint_interval = logconfig::Span::from_millis(500);
    next
}

fn configured(state: &str) -> Value {
    let mut operation = operation("configure", state, [7, 8]);
    operation["etag"] = json!(edited().etag(8));
    operation["differences"] =
        json!([{ "subject": "merge.checkpointInterval", "before": "200ms", "after": "500ms" }]);
    operation
}

/// A server that would make the change, and does.
fn willing() -> (Bench, crate::fake::Fake) {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &edited().to_yaml());
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, configured("planned"))],
    );
    fake.says(
        "PUT /logs/dev/config",
        [Answer::Json(200, configured("decided"))],
    );
    (bench, fake)
}

fn planned() -> (Bench, crate::fake::Fake) {
    let (bench, fake) = willing();
    let ran = bench.run("config plan next.yaml -o plan.json");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    (bench, fake)
}

#[test]
fn a_plan_is_made_and_applied() {
    let (bench, fake) = willing();
    let made = bench.run("config plan next.yaml -o plan.json");
    insta::assert_snapshot!("plan", made.shown());
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.path.ends_with("?dryRun=true"))
    );
    let file: Value = serde_json::from_str(&bench.read("plan.json")).unwrap();
    assert_eq!(file["kind"], "ConfigPlan");
    assert_eq!(file["plan"]["madeBy"], "uid:0");
    assert_eq!(file["plan"]["next"]["etag"], json!(edited().etag(8)));
    // The same with -o json, but for the time.
    let mut printed = bench.run("config plan next.yaml -o json").json();
    for field in ["/plan/madeAt", "/digest"] {
        *printed.pointer_mut(field).unwrap() = file.pointer(field).unwrap().clone();
    }
    assert_eq!(printed, file);
    // A plan may be made again over itself, over nothing else.
    assert_eq!(
        bench.run("config plan next.yaml -o plan.json").code,
        Some(0)
    );
    bench.write("mine.txt", "mine");
    let ran = bench.run("config plan next.yaml -o mine.txt -o mine.txt");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    let ran = bench.run("config plan next.yaml -o mine.txt");
    assert!(
        ran.code == Some(2) && bench.read("mine.txt") == "mine",
        "{}",
        ran.shown()
    );

    let applied = bench.run("config apply plan.json --yes");
    insta::assert_snapshot!("plan_applied", applied.shown());
    let put = fake.asked("PUT").pop().unwrap();
    assert_eq!(put.path, "/logs/dev/config");
    assert_eq!(
        put.headers["if-match"],
        format!("\"{}\"", running().etag(7))
    );
    assert_eq!(put.body, serde_json::to_value(edited().stripped()).unwrap());
}

#[test]
fn a_plan_of_what_runs_already() {
    let (bench, fake) = planned();
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(
            200,
            operation("configure", "unchanged", [8, 8]),
        )],
    );
    let ran = bench.run("config apply plan.json --yes -o json");
    assert_eq!(ran.json()["unchanged"], true, "{}", ran.shown());
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.path.contains("dryRun"))
    );
}

#[test]
fn a_stale_plan_says_what_moved() {
    let (bench, fake) = planned();
    let mut theirs = running();
    theirs.generation = Some(9);
    theirs.merge.checkpoint_interval = logconfig::Span::from_millis(300);
    theirs.merge.idle_republish = logconfig::Span::from_secs(30);
    let more = json!({ "currentEtag": theirs.etag(9), "changedBy": "token:ci", "changedAt": "2026-11-21T08:00:00Z" });
    let stale = || {
        problem_with(
            412,
            "stale",
            "the base is generation 7, generation 9 runs",
            more.clone(),
        )
    };
    fake.says(
        "GET /logs/dev/config",
        [Answer::Json(
            200,
            json!({ "etag": theirs.etag(9), "config": theirs }),
        )],
    );
    fake.says("PUT /logs/dev/config?dryRun=true", [stale()]);
    let ran = bench.run("config apply plan.json --yes");
    assert_eq!(ran.code, Some(5), "{}", ran.shown());
    insta::assert_snapshot!("plan_stale", ran.shown());
    let error = &bench.run("config apply plan.json --yes -o json").json()["error"];
    assert_eq!(error["code"], "stale");
    assert_eq!(error["moved"][0]["conflict"], true);
    assert_eq!(error["moved"][1]["theirs"], "30s");
    // Also when it moves between the preview and the decision.
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, configured("planned"))],
    );
    fake.says("PUT /logs/dev/config", [stale()]);
    assert_eq!(bench.run("config apply plan.json --yes").code, Some(5));
}

#[test]
fn what_is_no_plan_or_another_one() {
    let (bench, fake) = planned();
    let text = bench.read("plan.json");
    bench.write("edited.json", &text.replace("500ms", "501ms"));
    bench.write("half.json", &text[..text.len() / 2]);
    let mut shown = String::new();
    for (line, code) in [
        ("config apply edited.json --yes", 6),
        ("config apply half.json --yes", 6),
        ("config apply next.yaml --yes", 6),
        ("config apply missing.json --yes", 2),
        ("config apply plan.json --yes --log other", 2),
        ("config apply plan.json", 2),
        ("config apply plan.json --confirm-within 25h", 2),
        ("config apply plan.json --confirm-within 0s", 2),
        ("status -o plan.json", 2),
        ("status -o ./json", 2),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        shown.push_str(&timeless(&ran.shown()));
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("no_plan", shown);
    assert!(
        fake.asked("PUT")
            .iter()
            .all(|put| put.path.contains("dryRun"))
    );
}

#[test]
fn a_server_that_understands_something_else_gets_no_plan() {
    let (bench, fake) = willing();
    let mut other = configured("planned");
    other["etag"] = json!("g8-00000000");
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, other)],
    );
    let ran = bench.run("config plan next.yaml -o plan.json");
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
    assert!(!bench.path("plan.json").exists());
}

fn on_probation() -> Value {
    let mut operation = configured("unconfirmed");
    operation["confirmBy"] = json!("2026-11-21T08:10:00Z");
    operation
}

fn probation() -> (Bench, crate::fake::Fake) {
    let (bench, fake) = planned();
    let query = "confirmWithin=10m";
    fake.says(
        &format!("PUT /logs/dev/config?dryRun=true&{query}"),
        [Answer::Json(200, configured("planned"))],
    );
    fake.says(
        &format!("PUT /logs/dev/config?{query}"),
        [Answer::Json(200, on_probation())],
    );
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, on_probation())],
    );
    fake.says(
        &format!("POST /operations/{OPERATION}/confirm"),
        [Answer::Json(200, configured("done"))],
    );
    (bench, fake)
}

#[test]
fn a_change_on_probation() {
    let (bench, fake) = probation();
    for line in [
        "config apply plan.json --confirm-within 10m --yes",
        "shard --use-config next.yaml --confirm-within 10m --yes",
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        assert!(
            ran.out.contains("reverted at 2026-11-21T08:10:00Z"),
            "{}",
            ran.shown()
        );
        insta::assert_snapshot!(
            format!("probation_{}", line.split(' ').next().unwrap()),
            ran.shown()
        );
    }
    // Yes to the change is no confirmation of it.
    assert_eq!(fake.asked("POST").len(), 0);
    let waited = bench.run(&format!("op wait {OPERATION}"));
    assert!(
        waited.code == Some(0) && waited.out.contains("logctl op confirm"),
        "{}",
        waited.shown()
    );
    let confirmed = bench.run(&format!("op confirm {OPERATION}"));
    insta::assert_snapshot!("confirmed", confirmed.shown());
}

/// What already runs may be about to end: a second run of the command says so.
#[test]
fn what_runs_already_may_be_on_probation() {
    let (bench, fake) = probation();
    let unchanged = operation("configure", "unchanged", [8, 8]);
    fake.says(
        "PUT /logs/dev/config?dryRun=true&confirmWithin=10m",
        [Answer::Json(200, unchanged)],
    );
    let others = [operation("configure", "done", [6, 7]), on_probation()];
    fake.says(
        "GET /operations?log=dev",
        [Answer::Json(200, json!({ "operations": others }))],
    );
    let line = "config apply plan.json --confirm-within 10m --yes";
    let ran = bench.run(line);
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    insta::assert_snapshot!("probation_again", ran.shown());
    let json = bench.run(&format!("{line} -o json")).json();
    assert_eq!(
        json["probation"],
        json!({ "operation": OPERATION, "confirmBy": "2026-11-21T08:10:00Z" })
    );
    // Of another generation, confirmed meanwhile, or not to be seen.
    let mut older = on_probation();
    older["generation"] = json!(6);
    for answer in [
        Answer::Json(200, json!({ "operations": [older] })),
        Answer::Json(200, json!({ "operations": [configured("done")] })),
        problem(403, "forbidden", "no"),
    ] {
        fake.says("GET /operations?log=dev", [answer]);
        let json = bench.run(&format!("{line} -o json")).json();
        assert_eq!(json["unchanged"], true);
        assert!(json["probation"].is_null(), "{json}");
    }
}

#[test]
fn a_change_that_was_taken_back() {
    let (bench, fake) = probation();
    let mut reverted = configured("reverted");
    reverted["revertedBy"] = json!("f".repeat(32));
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, reverted)],
    );
    fake.says(
        &format!("POST /operations/{OPERATION}/confirm"),
        [problem(409, "conflict", "the time to confirm it is over")],
    );
    let mut shown = String::new();
    for line in ["op wait", "op watch", "op confirm"] {
        let ran = bench.run(&format!("{line} {OPERATION}"));
        assert_eq!(ran.code, Some(10), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
        let json = bench.run(&format!("{line} {OPERATION} -o json")).json();
        assert_eq!(json["error"]["code"], "rolled-back");
        assert_eq!(json["operation"]["state"], "reverted");
    }
    insta::assert_snapshot!("rolled_back", shown);
    // The connection that made it cannot confirm it: that is a conflict, and nothing was reverted.
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, on_probation())],
    );
    assert_eq!(bench.run(&format!("op confirm {OPERATION}")).code, Some(5));
}

#[test]
fn a_refused_operation() {
    let (bench, fake) = willing();
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, configured("refused"))],
    );
    for line in ["op wait", "op watch"] {
        let ran = bench.run(&format!("{line} {OPERATION} -o json"));
        assert_eq!(ran.json()["error"]["code"], "refused", "{}", ran.shown());
        assert_eq!(ran.code, Some(6));
    }
}

#[test]
fn watching() {
    let (bench, fake) = willing();
    let mut decided = configured("decided");
    decided["replicas"] = json!([replica("one:11", 8), replica("two:22", 7)]);
    let mut done = configured("done");
    done["replicas"] = json!([replica("one:11", 8), replica("two:22", 8)]);
    let path = format!("GET /operations/{OPERATION}");
    fake.says(
        &path,
        [Answer::Events(vec![
            decided.clone(),
            decided.clone(),
            done.clone(),
        ])],
    );
    let ran = bench.run(&format!("op watch {OPERATION}"));
    insta::assert_snapshot!("watch", ran.shown());
    assert_eq!(
        fake.asked("GET").last().unwrap().headers["accept"],
        "text/event-stream"
    );
    // A stream that breaks off, then a server that has none.
    fake.says(
        &path,
        [
            Answer::Events(vec![decided.clone()]),
            Answer::Json(200, decided.clone()),
            Answer::HangUp,
            Answer::HangUp,
            Answer::Json(200, decided.clone()),
            Answer::Json(200, done),
        ],
    );
    let ran = bench.run(&format!("op watch {OPERATION} -o json"));
    assert_eq!(ran.json()["operation"]["state"], "done", "{}", ran.shown());
    // One that continues.
    fake.says(&path, [Answer::Json(200, decided)]);
    let watch = format!("op watch {OPERATION}");
    let ran = bench.cut_off(&watch, |ran| ran.ended(&[11]));
    assert_eq!(ran.code, Some(7), "{}", ran.shown());
    assert_eq!(bench.run("op watch 17").code, Some(2));
}

#[test]
fn rolling_back() {
    let (bench, fake) = willing();
    let shard = |name: &str, state| logconfig::ShardConfig::new(name.parse().unwrap(), state);
    let mut running = running();
    running
        .shards
        .insert(0, shard("2025z", logconfig::ShardState::Frozen));
    let answer = json!({ "etag": running.etag(7), "config": running });
    fake.says("GET /logs/dev/config", [Answer::Json(200, answer)]);
    let mut earlier = running.clone();
    earlier.generation = Some(6);
    earlier.shards = vec![
        shard("2025z", logconfig::ShardState::Active),
        shard("2026a", logconfig::ShardState::Planned),
    ];
    earlier.merge.checkpoint_interval = logconfig::Span::from_millis(500);
    let answer = json!({ "etag": earlier.etag(6), "config": earlier });
    fake.says(
        "GET /logs/dev/config?generation=6",
        [Answer::Json(200, answer)],
    );
    let item = |generation: u64, action: &str| {
        json!({ "generation": generation, "action": action, "time": "2026-11-21T08:00:00Z", "slot": generation,
            "atIndex": 0, "operation": OPERATION, "summary": "" })
    };
    fake.says(
        "GET /logs/dev/history",
        [Answer::Json(
            200,
            json!({ "history": [item(7, "configure"), item(6, "create")] }),
        )],
    );
    fake.says(
        "PUT /logs/dev/config?reason=roll%20back%20to%20generation%206",
        [Answer::Json(200, configured("decided"))],
    );
    let ran = bench.run("config rollback --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    insta::assert_snapshot!("rollback", ran.shown());
    let put = fake.asked("PUT").pop().unwrap();
    assert_eq!(put.headers["if-match"], format!("\"{}\"", running.etag(7)));
    // The settings of then, the shards of now.
    assert_eq!(put.body["merge"]["checkpointInterval"], "500ms");
    assert_eq!(put.body["shards"][1]["state"], "active");
    let shown = bench.run("config show --generation 6").out;
    assert_eq!(logconfig::parse(&shown).unwrap(), earlier);
    assert_eq!(bench.run("config show -o json").json()["generation"], 7);
    assert_eq!(
        logconfig::parse(&bench.run("config show").out).unwrap(),
        running
    );
    // After a revert the generation before is the one that was bad.
    fake.says(
        "GET /logs/dev/history",
        [Answer::Json(
            200,
            json!({ "history": [item(7, "revert"), item(6, "configure"), item(5, "create")] }),
        )],
    );
    let none = bench.run("config rollback --yes");
    assert_eq!(none.code, Some(2), "{}", none.shown());
    assert!(none.err.contains("were not taken back"), "{}", none.shown());
    // Somebody applied the file of generation 5 again: no mark says what that took back.
    let answer = json!({ "etag": running.etag(5), "config": running });
    fake.says(
        "GET /logs/dev/config?generation=5",
        [Answer::Json(200, answer)],
    );
    let says = |newest: serde_json::Value| {
        let history = json!({ "history": [newest, item(6, "configure"), item(5, "create")] });
        fake.says("GET /logs/dev/history", [Answer::Json(200, history)]);
    };
    says(item(7, "configure"));
    let puts = fake.asked("PUT").len();
    let maybe = bench.run("config rollback --yes");
    assert_eq!(maybe.code, Some(2), "{}", maybe.shown());
    assert!(
        maybe.err.contains("may have been taken back")
            && maybe.err.contains("`logctl config rollback 6`"),
        "{}",
        maybe.shown()
    );
    // The server knows that it ended a probation.
    let mut newest = item(7, "configure");
    newest["takesBack"] = json!("f".repeat(32));
    says(newest);
    let none = bench.run("config rollback --yes");
    assert_eq!(none.code, Some(2), "{}", none.shown());
    assert!(none.err.contains("no settings before"), "{}", none.shown());
    assert_eq!(fake.asked("PUT").len(), puts);
    // As long as it is on probation, the one before it runs again.
    says(item(7, "configure"));
    let tried = Answer::Json(200, configured("unconfirmed"));
    fake.says(&format!("GET /operations/{OPERATION}"), [tried]);
    let back = bench.run("config rollback --yes");
    assert_eq!(back.code, Some(0), "{}", back.shown());
    for line in [
        "config rollback 8 --yes",
        "config rollback 0 --yes",
        "config rollback --yes --generation 3",
    ] {
        let ran = bench.run(line);
        assert!(matches!(ran.code, Some(2 | 6)), "{}", ran.shown());
    }
}

/// The server's warnings are on standard error, once, and in the report; they refuse nothing.
#[test]
fn warnings_are_told_and_stop_nothing() {
    let (bench, fake) = willing();
    let warned = |state: &str| {
        let mut operation = configured(state);
        operation["warnings"] = json!([{ "code": "backup-quorum-not-live", "pointer": "/merge/backupQuorum",
            "message": format!("1 of 2 secondaries are live when {state}"), "hint": "wait" }]);
        operation
    };
    fake.says(
        "PUT /logs/dev/config?dryRun=true",
        [Answer::Json(200, warned("planned"))],
    );
    fake.says(
        "PUT /logs/dev/config",
        [Answer::Json(200, warned("decided"))],
    );
    let told = "warning: 1 of 2 secondaries are live when planned; wait [backup-quorum-not-live]";
    let made = bench.run("config plan next.yaml -o plan.json");
    assert_eq!(made.code, Some(0), "{}", made.shown());
    assert!(made.err.contains(told), "{}", made.err);
    assert!(!made.out.contains("warning"), "{}", made.out);
    let file: Value = serde_json::from_str(&bench.read("plan.json")).unwrap();
    assert!(
        file["plan"].get("warnings").is_none(),
        "no part of what is approved"
    );
    let differs = bench.run("config diff next.yaml");
    assert!(differs.err.contains(told), "{}", differs.err);
    let applied = bench.run("config apply plan.json --yes -o json");
    assert_eq!(applied.code, Some(0), "{}", applied.shown());
    assert_eq!(
        applied.err.matches("warning: ").count(),
        1,
        "{}",
        applied.err
    );
    assert!(applied.err.contains(told), "{}", applied.err);
    let warnings = &applied.json()["operation"]["warnings"];
    assert_eq!(warnings[0]["code"], "backup-quorum-not-live");
}
