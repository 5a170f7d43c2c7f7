//! On a real screen of 60 and of 200 columns: tables, questions, progress, Ctrl-C.

use serde_json::json;

use crate::fake::{Answer, Fake, OPERATION, operation, replica};
use crate::runner::{Bench, until};
use crate::tmux::{self, Terminal};

/// A bench, when there are terminals here.
fn served(check: &str) -> Option<(Bench, Fake)> {
    tmux::there(check, &["tmux"]).then(Bench::served)
}

#[test]
fn tables_fit_the_screen() {
    let Some((bench, _fake)) = served("tables on a screen") else {
        return;
    };
    for (columns, line, there, not_there) in [
        (60, "shard list", "PUBLISHED", Some("ORIGIN")),
        (200, "shard list", "ORIGIN", None),
        (60, "status", "ORDERED", Some("INTEGRATED")),
        (200, "status", "INTEGRATED", None),
        (60, "op list", "STATE", Some("DECIDED")),
        (200, "op list", "uid:0", None),
    ] {
        let terminal = Terminal::runs(&bench, columns, line);
        let screen = terminal.shows("exit=0");
        assert!(screen.contains(there), "{columns}: {screen}");
        assert!(
            not_there.is_none_or(|word| !screen.contains(word)),
            "{columns}: {screen}"
        );
        // A line that does not fit continues in the next row, which then begins with its rest.
        let broken = screen
            .lines()
            .any(|line| line.chars().count() >= usize::from(columns));
        assert!(!broken, "{columns}: {screen}");
    }
}

#[test]
fn colours_on_a_screen_unless_unwanted() {
    let Some((bench, _fake)) = served("colours on a screen") else {
        return;
    };
    for (line, colored) in [("shard list", true), ("shard list --color never", false)] {
        let terminal = Terminal::runs(&bench, 100, line);
        terminal.shows("exit=0");
        assert_eq!(terminal.colored().contains('\u{1b}'), colored, "{line}");
    }
    let terminal = Terminal::start(
        &bench,
        100,
        "sh -c 'NO_COLOR=1 logctl shard list; echo exit=$?; exec cat'",
    );
    terminal.shows("exit=0");
    assert!(!terminal.colored().contains('\u{1b}'));
}

#[test]
fn a_question_on_a_narrow_screen() {
    let Some((bench, fake)) = served("a question on a screen") else {
        return;
    };
    let terminal = Terminal::runs(&bench, 60, "shard rotate");
    let screen = terminal.shows("?");
    assert!(screen.contains("BEFORE"), "{screen}");
    terminal.types("y\n");
    let screen = terminal.shows("exit=0");
    // The progress lines are gone.
    assert!(
        !screen.contains("deciding") && !screen.contains("waiting"),
        "{screen}"
    );
    assert_eq!(fake.asked("POST").len(), 2);
}

#[test]
fn the_name_of_a_protected_context_is_typed() {
    let Some((mut bench, fake)) = served("a protected context on a screen") else {
        return;
    };
    bench.context("log = \"dev\"\nadmin = \"unix:admin.sock\"\nprotected = true\n");
    for (keys, code, posts) in [
        ("y\n", 130, 0),
        ("prod\n", 130, 0),
        ("\n", 130, 0),
        ("dev\n", 0, 1),
    ] {
        // --yes does not spare it.
        let terminal = Terminal::runs(&bench, 60, "shard freeze --yes");
        terminal.shows("type its name");
        terminal.types(keys);
        let screen = terminal.shows(&format!("exit={code}"));
        assert_eq!(fake.asked("POST").len(), posts, "{screen}");
    }
    let terminal = Terminal::runs(&bench, 60, "shard freeze");
    terminal.shows("type its name");
    terminal.interrupts();
    let screen = terminal.shows("exit=130");
    assert!(screen.contains("nothing was changed"), "{screen}");
    assert_eq!(fake.asked("POST").len(), 1);
}

#[test]
fn progress_is_drawn_and_ctrl_c_says_how_to_go_on() {
    let Some((bench, fake)) = served("progress on a screen") else {
        return;
    };
    let mut decided = operation("rotate", "decided", [7, 8]);
    decided["replicas"] = json!([replica("one:11", 8), replica("two:22", 7)]);
    fake.says(
        &format!("GET /operations/{OPERATION}"),
        [Answer::Json(200, decided)],
    );
    for columns in [60, 200] {
        let terminal = Terminal::runs(&bench, columns, "shard rotate --yes");
        terminal.shows("waiting for 1 replica to run generation 8");
        terminal.interrupts();
        let screen = terminal.shows("exit=130");
        assert!(screen.contains("the change is decided"), "{screen}");
        assert!(
            screen
                .replace('\n', "")
                .contains(&format!("logctl op wait {OPERATION}")),
            "{screen}"
        );
    }
}

#[test]
fn ctrl_c_while_the_server_is_silent() {
    let Some((bench, fake)) = served("Ctrl-C on a screen") else {
        return;
    };
    fake.says("GET /logs/dev", [Answer::Silence]);
    let terminal = Terminal::runs(&bench, 60, "shard list");
    fake.wait_for("GET", "/logs/dev");
    terminal.interrupts();
    let screen = terminal.shows("exit=130");
    assert!(screen.contains("nothing was changed"), "{screen}");
    fake.says("POST /logs/dev/freeze", [Answer::Silence]);
    let terminal = Terminal::runs(&bench, 60, "shard freeze --yes");
    fake.wait_for("POST", "/logs/dev/freeze");
    terminal.interrupts();
    let screen = terminal.shows("exit=130");
    assert!(
        screen
            .replace('\n', "")
            .contains("may or may not have been made"),
        "{screen}"
    );
}

#[test]
fn top_is_drawn_listens_and_gives_the_screen_back() {
    let Some((bench, fake)) = served("top on a screen") else {
        return;
    };
    for columns in [60, 200] {
        let terminal = Terminal::runs(&bench, columns, "top --interval 100ms");
        let screen = terminal.shows("? help");
        assert!(
            screen.contains("dev") && screen.contains("2026a"),
            "{screen}"
        );
        terminal.types("?");
        terminal.shows("this explanation");
        terminal.types("q");
        // It looks again by itself.
        let looks = fake.asked("GET").len();
        until("two more looks", || fake.asked("GET").len() >= looks + 2);
        terminal.types("q");
        let screen = terminal.shows("exit=0");
        assert!(
            !screen.contains("PER SECOND"),
            "what was there before is there again: {screen}"
        );
    }
    let terminal = Terminal::runs(&bench, 60, "top");
    terminal.shows("? help");
    terminal.interrupts();
    terminal.shows("exit=0");
    // Asked to end from outside, too: its shell can be used afterwards.
    let terminal = Terminal::start(
        &bench,
        60,
        "sh -c 'sh -c \"echo \\$\\$ >pid; exec logctl top\"; echo exit=$?; exec cat'",
    );
    terminal.shows("? help");
    let pid: i32 = bench.read("pid").trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    terminal.shows("exit=0");
    terminal.types("what is typed\n");
    let screen = terminal.shows("what is typed\nwhat is typed");
    assert!(!screen.contains("PER SECOND"), "{screen}");
}

#[test]
fn top_without_a_terminal_names_what_works_there() {
    let (bench, fake) = Bench::served();
    for line in ["top", "top -o json"] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        assert!(ran.err.contains("logctl status -o json"), "{}", ran.shown());
    }
    assert!(fake.asked("GET").is_empty());
}
