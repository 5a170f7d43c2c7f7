//! Dynamic completion: what the program offers, and that the shells themselves show it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake::{Answer, Fake, OPERATION};
use crate::runner::{Bench, HANG_TIMEOUT};
use crate::tmux::{self, Terminal};

/// The completions of the last word (fish's protocol is the plainest), and the time that they took.
fn offered(bench: &Bench, words: &[&str]) -> (Vec<String>, Duration) {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_logctl"))
        .env_clear()
        .env("LOGCTL_COMPLETE", "fish")
        .env("LOGCTL_CONFIG", bench.path("logctl.toml"))
        .arg("--")
        .arg("logctl")
        .args(words)
        .output()
        .unwrap();
    let took = began.elapsed();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let word = |line: &str| line.split('\t').next().unwrap().to_owned();
    (text.lines().map(word).collect(), took)
}

fn names(bench: &Bench, line: &str) -> Vec<String> {
    offered(bench, &line.split(' ').collect::<Vec<_>>()).0
}

#[test]
fn live_names_are_offered() {
    let (bench, fake) = Bench::served();
    for (line, wanted) in [
        ("shard show ", &["2025z", "2026a", "2026b"][..]),
        ("shard show 2026", &["2026a", "2026b"]),
        ("shard show --log dev 2025", &["2025z"]),
        ("shard rotate ", &["2026b"]),
        ("shard verify 2025", &["2025z"]),
        ("status --log ", &["dev"]),
        ("status --context d", &["dev"]),
        ("context use ", &["dev"]),
        ("shard freeze --confirm ", &["dev"]),
        ("op wait ", &[OPERATION]),
        ("log delete d", &["dev"]),
        ("qos show i", &["interactive"]),
        ("qos show d", &["default"]),
        ("qos set tier in", &["interactive"]),
        ("qos set tenant d", &["default"]),
        ("qos set tier bulk --for op", &["operator"]),
    ] {
        let mut found = names(&bench, line);
        let all = |found: &[String]| {
            wanted.iter().all(|name| {
                let value = format!("={name}");
                found.iter().any(|one| one == name || one.ends_with(&value))
            })
        };
        // A busy machine may not ask and answer in the time that a shell has.
        let began = Instant::now();
        while !all(&found) {
            assert!(began.elapsed() < HANG_TIMEOUT, "{line}: {found:?}");
            found = names(&bench, line);
        }
        let foreign = found
            .iter()
            .filter(|one| !one.starts_with('-') && !wanted.contains(&one.as_str()));
        assert_eq!(foreign.count(), 0, "{line}: {found:?}");
    }
    assert!(names(&bench, "sha").contains(&"shard".to_owned()));
    assert!(names(&bench, "shard ro").contains(&"rotate".to_owned()));
    assert_eq!(fake.asked("POST").len(), 0);
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let (mut bench, fake) = Bench::served();
    fake.says("GET /logs/dev", [Answer::Silence]);
    // 300 ms: 250 ms for the server, and the start of the program, which takes more than the rest on a slow machine. A busy one
    // takes its time now and then, not always.
    let began = Instant::now();
    loop {
        let (_, started) = offered(&bench, &["sha"]);
        let (found, took) = offered(&bench, &["shard", "show", "2"]);
        assert_eq!(found, [""; 0]);
        let most = Duration::from_millis(250) + started.max(Duration::from_millis(50));
        if took < most {
            break;
        }
        assert!(
            began.elapsed() < HANG_TIMEOUT,
            "it took more than {most:?} each time"
        );
    }
    for context in [
        "log = \"dev\"\nadmin = \"unix:nowhere.sock\"\n",
        "log = \"dev\"\nadmin = \"http://192.0.2.1:1\"\n",
        "log = \"dev\"\ntoken_file = \"missing\"\nadmin = \"unix:admin.sock\"\n",
        "this is no TOML\n",
    ] {
        bench.context(context);
        assert_eq!(names(&bench, "shard show 2"), [""; 0], "{context}");
    }
}

#[test]
fn a_tab_starts_no_program_and_spends_no_identity() {
    let mut bench = Bench::new();
    let (fake, port) = Fake::on_loopback();
    for login in [
        "token_command = [\"/usr/bin/touch\", \"ran\"]",
        "oidc = { audience = \"a\", token_env = \"HOME\" }",
    ] {
        bench.context(&format!(
            "log = \"dev\"\nadmin = \"http://127.0.0.1:{port}\"\n{login}\n"
        ));
        assert_eq!(names(&bench, "shard show 2"), [""; 0]);
    }
    assert!(!bench.path("ran").exists());
    assert_eq!(fake.asked("POST").len() + fake.asked("GET").len(), 0);
}

/// Starts a shell in a terminal, registers the completion as the help says, types, presses Tab.
fn in_shell(shell: &str, start: &str, register: &str) {
    let check = format!("completion in {shell}");
    if !tmux::there(&check, &["tmux", shell]) {
        return;
    }
    let (bench, fake) = Bench::served();
    let list = json!([{ "name": "2026-unlikely", "state": "frozen", "treeId": "1", "origin": "o", "vkey": "v" }]);
    let mut status = crate::fake::status("dev");
    status["shards"] = list;
    fake.says("GET /logs/dev", [Answer::Json(200, status)]);
    let terminal = Terminal::start(&bench, 100, start);
    // A marker that is not in what is typed: the prompt is there and the line was carried out.
    terminal.types(&format!("{register}; echo rea''dy\n"));
    terminal.shows("ready");
    terminal.types("logctl shard show 2026-u");
    terminal.types_until("\t", "logctl shard show 2026-unlikely");
    terminal.types("\n");
    terminal.shows("tree ID");
}

#[test]
fn in_bash() {
    in_shell(
        "bash",
        "bash --norc --noprofile -i",
        "source <(logctl completions bash)",
    );
}

#[test]
fn in_zsh() {
    in_shell(
        "zsh",
        "zsh -f -i",
        "autoload -Uz compinit; compinit -u -D; source <(logctl completions zsh)",
    );
}

#[test]
fn in_fish() {
    in_shell(
        "fish",
        "fish --no-config -i",
        "logctl completions fish | source",
    );
}
