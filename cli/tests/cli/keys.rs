//! One request, however often it is sent: idempotency keys, retries, and commands that are run again.

use serde_json::json;

use crate::fake::{Answer, OPERATION, operation, problem, problem_with, running, status};
use crate::outcomes::{ends_cut_off, interrupt};
use crate::runner::{Bench, Ran};

/// The limit has passed before the change was sent.
fn unsent(ran: &Ran) -> bool {
    ran.ended(&[11])
}

#[test]
fn a_broken_connection_is_retried_with_the_same_key() {
    let (bench, fake) = Bench::served();
    let unknown = problem_with(
        503,
        "unknown-outcome",
        "the store did not answer",
        json!({ "operation": OPERATION }),
    );
    let done = Answer::Json(200, operation("rotate", "done", [7, 8]));
    fake.says(
        "POST /logs/dev/rotations",
        [Answer::HangUp, unknown, Answer::Html(502), done],
    );
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let posts = fake.asked("POST");
    assert_eq!(posts.len(), 4);
    assert!(
        posts
            .iter()
            .all(|post| post.headers["idempotency-key"] == posts[0].headers["idempotency-key"])
    );
}

#[test]
fn an_unknown_outcome_is_called_unknown() {
    let (bench, fake) = Bench::served();
    fake.says("POST /logs/dev/rotations", [Answer::HangUp]);
    ends_cut_off(&bench, "shard rotate --yes", unsent, 8, "unknown-outcome");
    fake.says("POST /logs/dev/rotations", [Answer::Silence]);
    ends_cut_off(&bench, "shard rotate --yes", unsent, 8, "unknown-outcome");
    fake.says(
        "POST /logs/dev/rotations",
        [Answer::Json(200, json!({ "hello": "world" }))],
    );
    ends_cut_off(&bench, "shard rotate --yes", unsent, 8, "unknown-outcome");
    let unknown = problem_with(
        503,
        "unknown-outcome",
        "the store did not answer",
        json!({ "operation": OPERATION }),
    );
    fake.says("POST /logs/dev/rotations", [unknown]);
    // The last attempt may have no time for its answer, and a long wait is told.
    let unanswered = |ran: &Ran| unsent(ran) || ran.err.contains("no answer in time");
    let shown = ends_cut_off(
        &bench,
        "shard rotate --yes --idempotency-key job-17",
        unanswered,
        8,
        "unknown-outcome",
    );
    let told = |line: &&str| !line.contains("the same request is sent again until");
    let shown: Vec<&str> = shown.lines().filter(told).collect();
    insta::assert_snapshot!("unknown", shown.join("\n"));
}

#[test]
fn a_command_that_is_run_again_continues_its_request() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    let made = || Answer::Json(200, operation("rotate", "done", [7, 8]));
    let line = "shard rotate --yes";
    fake.says("POST /logs/dev/rotations", [Answer::HangUp]);
    let json = bench.cut_off(&format!("{line} -o json"), unsent);
    assert_eq!(json.code, Some(8), "{}", json.shown());
    let key = json.json()["error"]["idempotencyKey"].clone();
    let key = key.as_str().unwrap();
    let lost = fake.asked("POST").len();

    // It was made after all, so another generation runs already.
    let mut now = status("dev");
    now["etag"] = json!("g8-00c0ffee");
    fake.says("GET /logs/dev", [Answer::Json(200, now)]);
    fake.says("POST /logs/dev/rotations", [made()]);
    let again = bench.run(line);
    assert_eq!(again.code, Some(0), "{}", again.shown());
    assert!(
        again.err.contains("continues the request of"),
        "{}",
        again.shown()
    );
    for post in fake.asked("POST") {
        assert_eq!(post.headers["idempotency-key"], key);
        assert_eq!(post.headers["if-match"], "\"g7-1a2b3c4d\"");
    }
    assert_eq!(fake.asked("POST").len(), lost + 1);

    // It has its answer: the next one is a new change, on what runs now.
    let next = bench.run(line);
    assert_eq!(next.code, Some(0), "{}", next.shown());
    let last = fake.asked("POST").pop().unwrap();
    assert_ne!(last.headers["idempotency-key"], key);
    assert_eq!(last.headers["if-match"], "\"g8-00c0ffee\"");

    // A refusal is an answer; what says nothing about the lost request is none.
    for (status, code, exit, continues) in [
        (412, "stale", 5, false),
        (403, "forbidden", 4, true),
        (503, "unavailable", 11, true),
        (409, "conflict", 5, false),
    ] {
        fake.says("POST /logs/dev/rotations", [Answer::HangUp]);
        ends_cut_off(&bench, line, unsent, 8, "unknown-outcome");
        let lost = fake.asked("POST").pop().unwrap();
        fake.says("POST /logs/dev/rotations", [problem(status, code, code)]);
        assert_eq!(bench.run(line).code, Some(exit), "{code}");
        fake.says("POST /logs/dev/rotations", [made()]);
        assert_eq!(bench.run(line).code, Some(0));
        let last = fake.asked("POST").pop().unwrap();
        let same = last.headers["idempotency-key"] == lost.headers["idempotency-key"];
        assert_eq!(same, continues, "{code}");
    }
}

#[test]
fn a_request_of_long_ago_is_not_continued() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    let line = "shard rotate --yes";
    fake.says("POST /logs/dev/rotations", [Answer::HangUp]);
    assert_eq!(bench.cut_off(line, unsent).code, Some(8));
    let folder = bench.path("state/logctl/unfinished");
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["since"] = json!(kept["since"].as_i64().unwrap() - 3700);
    std::fs::write(&file, kept.to_string()).unwrap();
    let made = Answer::Json(200, operation("rotate", "done", [7, 8]));
    fake.says("POST /logs/dev/rotations", [made]);
    let ran = bench.run(line);
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(ran.err.contains("this is a new change"), "{}", ran.shown());
    let last = fake.asked("POST").pop().unwrap();
    assert_ne!(
        last.headers["idempotency-key"],
        kept["key"].as_str().unwrap()
    );
}

#[test]
fn two_runs_of_one_command_at_once_are_one_change() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    let line = "shard plan --yes";
    let made = Answer::Json(200, operation("plan", "done", [7, 8]));
    fake.says("POST /logs/dev/shards", [Answer::Silence, made]);
    let first = bench.spawn(line);
    fake.wait_for("POST", "/logs/dev/shards");
    assert_eq!(bench.run(line).code, Some(0));
    interrupt(first.id());
    let first = bench.finish(line, first);
    assert_eq!(first.code, Some(130), "{}", first.shown());
    let posts = fake.asked("POST");
    assert_eq!(posts.len(), 2);
    assert_eq!(
        posts[0].headers["idempotency-key"],
        posts[1].headers["idempotency-key"]
    );
}

#[test]
fn a_step_without_a_name_says_what_it_was_decided_on() {
    let (bench, fake) = Bench::served();
    for (line, sent) in [
        ("shard rotate --yes", true),
        ("shard plan --yes", true),
        ("shard rotate 2026b --yes", false),
        ("shard plan 2026c --yes", false),
        ("shard freeze --yes", false),
    ] {
        assert_eq!(bench.run(line).code, Some(0), "{line}");
        let post = fake.asked("POST").pop().unwrap();
        let base = post.headers.get("if-match").map(String::as_str);
        assert_eq!(base, sent.then_some("\"g7-1a2b3c4d\""), "{line}");
    }
    // A caller who may rotate and not read.
    fake.says("GET /logs/dev", [problem(403, "forbidden", "not you")]);
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let post = fake.asked("POST").pop().unwrap();
    assert_eq!(post.headers["if-match"], "\"g7\"");
}

#[test]
fn a_key_that_is_named_is_the_one_that_is_sent() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &running().to_yaml());
    for line in [
        "shard rotate",
        "shard plan",
        "shard freeze",
        "shard unfreeze",
        "shard --use-config next.yaml",
        "api POST logs/dev/freeze",
    ] {
        let line = format!("{line} --yes --idempotency-key job-17");
        let ran = bench.run(&line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        let sent = ["POST", "PUT"].map(|method| fake.asked(method).pop());
        let keys: Vec<_> = sent
            .iter()
            .flatten()
            .map(|asked| asked.headers["idempotency-key"].as_str())
            .collect();
        assert!(keys.contains(&"job-17"), "{line}: {keys:?}");
    }
    for line in [
        "shard list --idempotency-key x",
        "shard --create-config x.yaml --idempotency-key x",
        "shard rotate --idempotency-key ä",
    ] {
        assert_eq!(bench.run(line).code, Some(2), "{line}");
    }
}

/// On a full disk the change is still made: the message says so, and the same command shows the answer instead of making it twice.
#[test]
fn a_change_whose_answer_cannot_be_printed_is_not_made_twice() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    bench.write("next.yaml", &running().to_yaml());
    for (line, method) in [
        ("shard rotate --yes -o json", "POST"),
        ("shard plan --yes -o jsonl", "POST"),
        ("shard freeze --yes -o name", "POST"),
        ("log unfreeze --yes", "POST"),
        ("shard --use-config next.yaml --yes", "PUT"),
    ] {
        let ran = bench.run_full(line);
        assert_eq!(ran.code, Some(8), "{}", ran.shown());
        assert!(
            ran.err.contains(&format!("operation {OPERATION} was made"))
                && ran.err.contains("No space left"),
            "{}",
            ran.shown()
        );
        let key = |method| fake.asked(method).pop().unwrap().headers["idempotency-key"].clone();
        let first = key(method);
        assert!(
            ran.err.contains(&format!("(idempotency key {first})")),
            "{}",
            ran.shown()
        );
        let again = bench.run(line);
        assert_eq!(again.code, Some(0), "{}", again.shown());
        assert_eq!(key(method), first, "{line}");
        // It was printed: the next one is a new change.
        assert_eq!(bench.run(line).code, Some(0), "{line}");
        assert_ne!(key(method), first, "{line}");
    }
    let done = || Answer::Json(200, operation("configure", "done", [7, 8]));
    fake.says(&format!("POST /operations/{OPERATION}/confirm"), [done()]);
    for (line, said) in [
        (&*format!("op confirm {OPERATION}"), "was confirmed"),
        ("api POST logs/dev/freeze --yes", "was answered with 200"),
    ] {
        let ran = bench.run_full(line);
        assert_eq!(ran.code, Some(8), "{}", ran.shown());
        assert!(ran.err.contains(said), "{}", ran.shown());
    }
    // Nothing was changed here.
    let ran = bench.run_full("status");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
}

/// Once a change is decided, a look at it that fails is no reason to make it again.
#[test]
fn a_decided_change_that_cannot_be_followed_is_not_made_twice() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    let look = format!("GET /operations/{OPERATION}");
    let line = "shard rotate --yes";
    let key = || fake.asked("POST").pop().unwrap().headers["idempotency-key"].clone();
    for (answer, code) in [
        (problem(503, "unavailable", "the store is busy"), 7),
        (problem(429, "too-many-requests", "wait"), 7),
        (problem(500, "internal", "a fault"), 7),
        (Answer::Html(502), 7),
        (problem(401, "unauthenticated", "who are you?"), 9),
        (problem(403, "forbidden", "not you"), 9),
    ] {
        fake.says(&look, [answer]);
        // What passes is looked at until the limit; the rest ends it.
        let run = |line: &str| match code {
            7 => bench.cut_off(line, |ran| ran.ended(&[11, 8])),
            _ => bench.run(line),
        };
        let first = run(line);
        let sent = key();
        let json = run(&format!("{line} -o json"));
        for ran in [&first, &json] {
            assert_eq!(ran.code, Some(code), "{}", ran.shown());
            assert!(ran.err.contains(OPERATION), "{}", ran.shown());
            assert!(!ran.err.contains("nothing was changed"), "{}", ran.shown());
        }
        assert_eq!(json.json()["operation"]["id"], OPERATION);
        assert_eq!(json.json()["error"]["operation"], OPERATION);
        assert_eq!(key(), sent);
        // It is seen to end: the next one is a new change.
        let done = Answer::Json(200, operation("rotate", "done", [7, 8]));
        fake.says(&look, [done]);
        assert_eq!(bench.run(line).code, Some(0));
        assert_eq!(key(), sent);
        assert_eq!(bench.run(line).code, Some(0));
        assert_ne!(key(), sent);
    }
    // One failure passes.
    let done = Answer::Json(200, operation("rotate", "done", [7, 8]));
    fake.says(&look, [problem(503, "unavailable", "busy"), done]);
    let ran = bench.run(line);
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
}

/// A pipeline whose reader never started: nobody has seen the answer.
#[test]
fn a_change_whose_answer_nobody_reads_is_not_made_twice() {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    let key = || fake.asked("POST").pop().unwrap().headers["idempotency-key"].clone();
    for line in ["shard rotate --yes -o json", "shard freeze --yes"] {
        let ran = bench.run_unread(line);
        assert_eq!(ran.code, Some(8), "{}", ran.shown());
        assert!(ran.err.contains(OPERATION), "{}", ran.shown());
        let first = key();
        assert_eq!(bench.run(line).code, Some(0));
        assert_eq!(key(), first, "{line}");
        assert_eq!(bench.run(line).code, Some(0));
        assert_ne!(key(), first, "{line}");
    }
    // Where nothing was changed, that is the reader's affair.
    let ran = bench.run_unread("status -o json");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
}
