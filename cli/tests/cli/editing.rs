//! `config edit`, `config history`, `config diff --generation`, and the small commands that people look for.

use serde_json::json;

use crate::fake::{
    Answer, Fake, OPERATION, operation, problem, problem_with, replica, running, status,
};
use crate::runner::Bench;

/// A server, a place for state, and an editor that is this script.
fn editing(script: &str) -> (Bench, Fake) {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    bench.write("edit.sh", script);
    bench.env("EDITOR", "sh edit.sh");
    (bench, fake)
}

/// The files that hold what was written.
fn kept(bench: &Bench) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(bench.path("state/logctl/edited")) else {
        return Vec::new();
    };
    files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn an_edit_is_applied_and_an_unchanged_document_is_not() {
    let (bench, fake) = editing("sed -i s/2026a/2026z/ \"$1\"\n");
    let made = Answer::Json(200, operation("configure", "decided", [7, 8]));
    fake.says("PUT /logs/dev/config?reason=typo", [made]);
    let ran = bench.run("config edit --yes --reason typo");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let puts = fake.asked("PUT");
    assert_eq!(puts.len(), 2, "a preview and the change");
    assert_eq!(puts[1].path, "/logs/dev/config?reason=typo");
    assert_eq!(puts[1].body["shards"][0]["name"], "2026z");
    assert_eq!(
        puts[1].headers["if-match"],
        format!("\"{}\"", running().etag(7))
    );
    assert!(kept(&bench).is_empty(), "what was made need not be kept");

    for script in ["true\n", "echo '# a remark' >> \"$1\"\n"] {
        let (bench, fake) = editing(script);
        let ran = bench.run("config edit --yes");
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        assert!(ran.out.contains("nothing to do"), "{}", ran.shown());
        assert!(fake.asked("PUT").is_empty());
        assert!(kept(&bench).is_empty());
    }
}

#[test]
fn what_was_written_is_never_lost() {
    // A key that nobody knows, twice: the second time nothing was corrected.
    let (bench, fake) = editing("grep -q bogus \"$1\" || echo 'bogus: 1' >> \"$1\"\n");
    let ran = bench.run("config edit --yes");
    assert_eq!(ran.code, Some(6), "{}", ran.shown());
    let [text] = &kept(&bench)[..] else {
        panic!("{}", ran.shown())
    };
    assert!(text.contains("\nbogus: 1\n"), "{text}");
    assert!(
        text.contains("#| This configuration is not valid:"),
        "{text}"
    );
    let line = text.lines().position(|line| line == "bogus: 1").unwrap() + 1;
    assert!(text.contains(&format!("#| line:{line}:1: ")), "{text}");
    assert!(
        ran.err.contains(&format!(".yaml:{line}:1: ")),
        "{}",
        ran.shown()
    );
    assert!(
        ran.err.contains("`logctl shard --use-config"),
        "{}",
        ran.shown()
    );
    assert!(fake.asked("PUT").is_empty());

    // The server's findings are in the file, too; a correction is then applied.
    let (bench, fake) = editing(
        "if grep -q 'is taken' \"$1\"; then sed -i s/2026y/2026z/ \"$1\"; else sed -i s/2026a/2026y/ \"$1\"; fi\n",
    );
    let findings = json!({ "findings": [{ "code": "bad-name", "message": "2026y is taken", "pointer": "/shards/0/name" }] });
    let refused = problem_with(422, "invalid", "1 finding", findings);
    let planned = Answer::Json(200, operation("configure", "planned", [7, 8]));
    fake.says("PUT /logs/dev/config?dryRun=true", [refused, planned]);
    let ran = bench.run("config edit --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let last = fake.asked("PUT").pop().unwrap();
    assert_eq!(last.body["shards"][0]["name"], "2026z");

    // Nobody says yes, or the editor fails.
    for (script, line, code) in [
        ("sed -i s/2026a/2026z/ \"$1\"\n", "config edit", 2),
        ("echo '# mine' >> \"$1\"; exit 3\n", "config edit --yes", 2),
    ] {
        let (bench, fake) = editing(script);
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        assert_eq!(kept(&bench).len(), 1);
        assert!(ran.err.contains("your text is in"), "{}", ran.shown());
        assert!(
            fake.asked("PUT")
                .iter()
                .all(|put| put.path.contains("dryRun"))
        );
    }
    // Nothing was written: nothing is kept, and nobody is offered it.
    let (bench, _fake) = editing("exit 3\n");
    let ran = bench.run("config edit --yes");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(!ran.err.contains("your text"), "{}", ran.shown());
    assert!(kept(&bench).is_empty());
    // It was made, if not everywhere: nobody is told to apply it.
    let (bench, fake) = editing("sed -i s/2026a/2026z/ \"$1\"\n");
    let mut decided = operation("configure", "decided", [7, 8]);
    decided["replicas"] = json!([replica("one:11", 8), replica("two:22", 7)]);
    let behind = [Answer::Json(200, decided)];
    fake.says(&format!("GET /operations/{OPERATION}"), behind);
    // Not decided yet, or not looked at.
    let ran = bench.cut_off("config edit --yes", |ran| ran.ended(&[11, 8, 7]));
    assert_eq!(ran.code, Some(9), "{}", ran.shown());
    assert!(!ran.err.contains("your text"), "{}", ran.shown());
    let (bench, _fake) = Bench::served();
    let ran = bench.run("config edit --yes");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(ran.err.contains("EDITOR"), "{}", ran.shown());
}

#[test]
fn history_says_what_changed_and_is_searched() {
    let (bench, fake) = Bench::served();
    let item = |generation: u64, time: &str, actor: &str| {
        json!({ "generation": generation, "action": "configure", "time": time, "slot": generation, "atIndex": 0,
            "operation": OPERATION, "actor": actor, "summary": "changed settings: TICKET-7", "reason": "TICKET-7",
            "differences": [{ "subject": "merge.checkpointInterval", "before": "200ms", "after": "1s" }] })
    };
    let history = json!({ "history": [
        item(9, "2026-11-21T08:00:00Z", "uid:0 (root)"),
        item(8, "2026-11-20T08:00:00Z", "token:ci"),
        item(7, "2026-10-01T00:00:00Z", "uid:0 (root)") ] });
    fake.says("GET /logs/dev/history", [Answer::Json(200, history)]);
    insta::assert_snapshot!("history", bench.run("config history").shown());
    for (line, found) in [
        ("", vec![9, 8, 7]),
        ("--by root", vec![9, 7]),
        ("--by token:ci", vec![8]),
        ("--by nobody", vec![]),
        ("--since 2026-11-01", vec![9, 8]),
        ("--until 2026-11-01", vec![7]),
        (
            "--since 2026-11-20T08:00:00Z --until 2026-11-21T08:00:00Z",
            vec![8],
        ),
        ("--since 1m", vec![]),
    ] {
        let ran = bench.run(&format!("config history {line} -o name"));
        let names: Vec<u64> = ran.out.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(names, found, "{line}: {}", ran.shown());
    }
    assert_eq!(bench.run("config history --since yesterday").code, Some(2));
}

#[test]
fn two_generations_are_compared() {
    let (bench, fake) = Bench::served();
    let mut before = running();
    before.generation = Some(3);
    before.merge.checkpoint_interval = "5s".parse().unwrap();
    let etag = before.etag(3);
    fake.says(
        "GET /logs/dev/config?generation=3",
        [Answer::Json(200, json!({ "etag": etag, "config": before }))],
    );
    insta::assert_snapshot!("compared", bench.run("config diff --generation 3").shown());
    let same = bench.run("config diff --generation 3..3 --exit-code");
    assert_eq!(same.code, Some(0), "{}", same.shown());
    let differs = bench.run("config diff --generation 3 --exit-code -o json");
    assert_eq!(differs.json()["error"]["exitCode"], 3);
    assert_eq!(differs.json()["to"], 7);
    for wrong in [
        "config diff",
        "config diff x.yaml --generation 3",
        "config diff --generation x",
    ] {
        assert_eq!(bench.run(wrong).code, Some(2), "{wrong}");
    }
}

#[test]
fn small_commands_that_people_look_for() {
    let (bench, fake) = Bench::served();
    let caller =
        json!({ "actor": "uid:0 (root)", "permissions": ["*:*:*"], "server": "logd 0.0.1" });
    fake.says("GET /whoami", [Answer::Json(200, caller)]);
    let mut shown = String::new();
    for line in ["whoami", "version", &format!("op show {OPERATION}")] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        shown.push_str(&ran.shown().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("small", shown);
    assert_eq!(bench.run("whoami -o name").out, "uid:0 (root)\n");
    let status = bench.run("status");
    assert!(
        status.out.contains("logd 0.0.1, logctl "),
        "{}",
        status.shown()
    );
    let doctor = bench.run("doctor -o json");
    let checks = doctor.json()["checks"].clone();
    let mut checks = checks
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["result"]);
    assert!(checks.any(|check| check["check"] == "version" && check["severity"] == "warning"));

    let nowhere = Bench::new();
    let version = nowhere.run("version -o json");
    assert_eq!(version.code, Some(0), "{}", version.shown());
    assert_eq!(version.json()["logctl"], env!("CARGO_PKG_VERSION"));
    assert!(version.json()["unasked"].is_string());
    assert_eq!(
        nowhere.run("help shard rotate").out,
        nowhere.run("shard rotate --help").out
    );
    assert_eq!(nowhere.run("help").code, Some(0));
    // A name alone is enough where it is one command's.
    assert_eq!(
        nowhere.run("help rotate").out,
        nowhere.run("shard rotate --help").out
    );
    assert_eq!(
        nowhere.run("man rotate").out,
        nowhere.run("man shard rotate").out
    );
    let several = nowhere.run("help freeze");
    assert_eq!(several.code, Some(2), "{}", several.shown());
    assert!(
        several
            .err
            .contains("name one of them whole: shard freeze, log freeze"),
        "{}",
        several.shown()
    );
    let unknown = nowhere.run("help shard rotat");
    assert_eq!(unknown.code, Some(6), "{}", unknown.shown());
    assert!(
        unknown.err.contains("did you mean `shard rotate`?"),
        "{}",
        unknown.shown()
    );
}

#[test]
fn a_planned_shard_is_taken_back() {
    let (bench, fake) = Bench::served();
    let mut planned = running();
    let name = "2026b".parse().unwrap();
    planned.shards.push(logconfig::ShardConfig::new(
        name,
        logconfig::ShardState::Planned,
    ));
    let answer = json!({ "etag": planned.etag(7), "config": planned });
    fake.says("GET /logs/dev/config", [Answer::Json(200, answer)]);
    let ran = bench.run("shard unplan 2026b --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let put = fake.asked("PUT").pop().unwrap();
    assert_eq!(put.body["shards"].as_array().unwrap().len(), 1);
    assert_eq!(put.headers["if-match"], format!("\"{}\"", planned.etag(7)));
    let open = bench.run("shard unplan 2026a --yes");
    assert_eq!(open.code, Some(2), "{}", open.shown());
    let typo = bench.run("shard unplan 2026c --yes");
    assert_eq!(typo.code, Some(6), "{}", typo.shown());
    assert!(
        typo.err.contains("did you mean `2026b`?"),
        "{}",
        typo.shown()
    );
}

#[test]
fn logs_are_frozen_by_name_and_deleted_ones_are_listed() {
    let (bench, fake) = Bench::served();
    let deleted = json!({ "logs": [status("boron")] });
    fake.says("GET /logs?deleted=true", [Answer::Json(200, deleted)]);
    insta::assert_snapshot!("deleted", bench.run("log list --deleted").shown());
    for (line, path) in [
        ("log freeze --yes", "/logs/dev/freeze"),
        ("log freeze dev --now --yes", "/logs/dev/freeze"),
        ("log unfreeze dev --yes", "/logs/dev/unfreeze"),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        assert_eq!(fake.asked("POST").pop().unwrap().path, path);
    }
    assert_eq!(fake.asked("POST")[1].body["now"], true);
}

#[test]
fn contexts_are_not_lost_and_can_be_deleted() {
    let mut bench = Bench::new();
    let path = bench.path("made/config.toml");
    bench.env("LOGCTL_CONFIG", path.to_str().unwrap());
    let lines: Vec<String> = (0..8)
        .map(|n| format!("context set c{n} admin=https://log{n}.example.org"))
        .collect();
    let running: Vec<_> = lines.iter().map(|line| bench.spawn(line)).collect();
    for (line, child) in lines.iter().zip(running) {
        let ran = bench.finish(line, child);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
    }
    let listed = bench.run("context list -o name").out;
    assert_eq!(listed.lines().count(), 8, "{listed}");

    assert_eq!(bench.run("context use c3").code, Some(0));
    let ran = bench.run("context delete c3");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    let ran = bench.run("context delete c3 --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let listed = bench.run("context list -o json").json();
    let all = listed["contexts"].as_array().unwrap();
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|context| context["current"] == false));
    let next = bench.run("status");
    assert_eq!(next.code, Some(2), "{}", next.shown());
    insta::assert_snapshot!("no_current_context", next.shown());
    assert!(
        bench
            .run("context delete c0 --yes")
            .out
            .contains("no context is in use now"),
        "what comes next is said"
    );
    bench.run("context set c0 admin=https://log0.example.org");
    assert_eq!(bench.run("context delete c3 --yes").code, Some(2));
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    let bench = Bench::new();
    for line in [
        "status --admin https://ops:s3cret@127.0.0.1:1",
        "context set x admin=https://ops:s3cret@h",
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        let said = ran.out + &ran.err;
        assert!(!said.contains("s3cret"), "{said}");
        assert!(said.contains("token_file"), "{said}");
    }
}

#[test]
fn an_operation_is_known_by_its_first_digits() {
    let (bench, fake) = Bench::served();
    let mut other = operation("rotate", "done", [5, 6]);
    other["id"] = "0123ffff89abcdef0123456789abcdef".into();
    let both = json!({ "operations": [operation("rotate", "done", [6, 7]), other] });
    fake.says("GET /operations", [Answer::Json(200, both)]);
    for line in ["op show 01234", "op wait 01234567", "op watch 01234"] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
    }
    let mut shown = String::new();
    for line in [
        "op show 0123",
        "op show abcd",
        "op show 012",
        "op show 0123456G",
    ] {
        let ran = bench.run(line);
        assert_ne!(ran.code, Some(0), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("short_ids", shown);
}

#[test]
fn the_log_that_was_probably_meant_is_named() {
    let (bench, fake) = Bench::served();
    let missing = |name: &str| problem(404, "not-found", &format!("no log named {name}"));
    fake.says("GET /logs/devv", [missing("devv")]);
    fake.says("POST /logs/dvv/freeze", [missing("dvv")]);
    for line in ["shard list --log devv", "log freeze dvv --yes"] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(6), "{}", ran.shown());
        assert!(ran.err.contains("did you mean `dev`?"), "{}", ran.shown());
    }
    let ran = bench.run("status --context devv");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(ran.err.contains("did you mean `dev`?"), "{}", ran.shown());
}

#[test]
fn an_empty_list_says_what_to_do() {
    let (bench, fake) = Bench::served();
    fake.says("GET /logs", [Answer::Json(200, json!({ "logs": [] }))]);
    fake.says("GET /tokens", [Answer::Json(200, json!({ "tokens": [] }))]);
    let none = json!({ "operations": [] });
    fake.says("GET /operations?log=dev", [Answer::Json(200, none)]);
    let mut shown = String::new();
    for line in [
        "log list",
        "log list --deleted",
        "status",
        "token list",
        "op list",
        "config history --by nobody",
    ] {
        if line.contains("deleted") {
            fake.says(
                "GET /logs?deleted=true",
                [Answer::Json(200, json!({ "logs": [] }))],
            );
        }
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("empty_lists", shown);
}
