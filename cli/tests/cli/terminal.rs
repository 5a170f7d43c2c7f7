//! With a person at a terminal: a pseudo-terminal is standard input and standard error.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::runner::{Bench, HANG_TIMEOUT};

/// Runs the line, types `keys` once it asks something, and returns the exit code and what was on the screen.
fn typed(bench: &Bench, line: &str, keys: &str) -> (Option<i32>, String) {
    let (code, screen) = drawn(bench, 100, line, keys);
    (code, console::strip_ansi_codes(&screen).into_owned())
}

/// The same with keys that were typed before the command began.
fn typed_ahead(bench: &Bench, line: &str, keys: &str) -> (Option<i32>, String) {
    let (code, screen) = screen(bench, 100, line, keys, "");
    (code, console::strip_ansi_codes(&screen).into_owned())
}

/// The same on a screen of so many columns, with what tells the terminal how to draw it.
fn drawn(bench: &Bench, columns: u16, line: &str, keys: &str) -> (Option<i32>, String) {
    screen(bench, columns, line, "", keys)
}

fn screen(
    bench: &Bench,
    columns: u16,
    line: &str,
    ahead: &str,
    keys: &str,
) -> (Option<i32>, String) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_logctl"));
    command
        .env_clear()
        .env("LOGCTL_CONFIG", bench.path("logctl.toml"))
        .env("TERM", "xterm")
        .env("COLUMNS", columns.to_string());
    command
        .args(line.split(' '))
        .current_dir(bench.directory.path());
    command
        .stdin(Stdio::from(terminal.try_clone().unwrap()))
        .stderr(Stdio::from(terminal.try_clone().unwrap()));
    let mut keyboard = File::from(controller);
    keyboard.write_all(ahead.as_bytes()).unwrap();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    drop((terminal, command));

    let mut screen = keyboard.try_clone().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // Ends with an error when the last user of the terminal is gone.
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            sender.send(buffer[..count].to_vec()).unwrap();
        }
    });
    let mut seen = Vec::new();
    while !seen.contains(&b'?') {
        match receiver.recv_timeout(HANG_TIMEOUT) {
            Ok(bytes) => seen.extend(bytes),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no question in {}", String::from_utf8_lossy(&seen))
            }
        }
    }
    // A key typed before the question listens for single keys is the terminal's: Ctrl-C would be lost.
    let listens =
        || tcgetattr(&keyboard).is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON));
    let began = Instant::now();
    while !keys.is_empty() && !listens() && child.try_wait().unwrap().is_none() {
        assert!(
            began.elapsed() < HANG_TIMEOUT,
            "the question listens for no key"
        );
        std::thread::yield_now();
    }
    let _ = keyboard.write_all(keys.as_bytes());
    let code = child.wait().unwrap().code();
    seen.extend(receiver.into_iter().flatten());
    reader.join().unwrap();
    (code, String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_rotation_is_shown_and_asked_about() {
    let (bench, fake) = Bench::served();
    let (code, screen) = typed(&bench, "shard rotate", "y\r");
    assert_eq!(code, Some(0), "{screen}");
    assert!(
        screen.contains("freeze shard 2026a for good and open 2026b?") && screen.contains("BEFORE"),
        "{screen}"
    );
    let posts = fake.asked("POST");
    assert_eq!(
        posts
            .iter()
            .map(|post| post.path.as_str())
            .collect::<Vec<_>>(),
        ["/logs/dev/rotations?dryRun=true", "/logs/dev/rotations"]
    );
    // The change is made only if it is the one that was shown.
    assert!(
        posts
            .iter()
            .all(|post| post.headers["if-match"] == "\"g7-1a2b3c4d\"")
    );
}

#[test]
fn no_is_no() {
    let (bench, fake) = Bench::served();
    // The whole line is the answer, not its last letter.
    for keys in [
        "n\r",
        "\r",
        "not yet\r",
        "no way\r",
        "maybe\r",
        "yy\r",
        "yes no\r",
        "ny\r",
    ] {
        let (code, screen) = typed(&bench, "shard freeze", keys);
        assert_eq!(code, Some(130), "{keys:?}: {screen}");
        assert!(screen.contains("nothing was changed"), "{keys:?}: {screen}");
    }
    assert_eq!(fake.asked("POST").len(), 0);
    for (keys, posts) in [("y\r", 1), (" YES \r", 2), ("no\u{7f}\u{7f}Yes\r", 3)] {
        let (code, screen) = typed(&bench, "shard freeze", keys);
        assert_eq!(code, Some(0), "{keys:?}: {screen}");
        assert_eq!(fake.asked("POST").len(), posts, "{keys:?}");
    }
}

/// Also before the question listens: the terminal of `script` without input ends at once.
#[test]
fn the_end_of_the_input_and_esc_are_no() {
    let (bench, fake) = Bench::served();
    let delete = "log delete dev";
    for line in ["shard freeze", delete] {
        for keys in ["\u{4}", "\u{1b}", "y\u{4}", "dev\u{1b}"] {
            let (code, screen) = typed(&bench, line, keys);
            assert_eq!(code, Some(130), "{keys:?}: {screen}");
            assert!(
                screen.contains("declined; nothing was changed"),
                "{keys:?}: {screen}"
            );
        }
    }
    let (code, screen) = typed_ahead(&bench, "shard freeze", "\u{4}");
    assert_eq!(code, Some(130), "{screen}");
    assert!(fake.asked("POST").is_empty() && fake.asked("DELETE").is_empty());
}

#[test]
fn ctrl_c_at_the_question() {
    let (bench, fake) = Bench::served();
    let (code, screen) = typed(&bench, "shard freeze", "\u{3}");
    assert_eq!(code, Some(130), "{screen}");
    assert!(
        screen.contains("interrupted; nothing was changed"),
        "{screen}"
    );
    assert_eq!(fake.asked("POST").len(), 0);
    // The cursor is there afterwards, whether the question hid it or not.
    let (_, screen) = drawn(&bench, 100, "shard freeze", "\u{3}");
    let (hidden, shown) = (screen.rfind("\u{1b}[?25l"), screen.rfind("\u{1b}[?25h"));
    assert!(shown.is_some() && hidden < shown, "{screen:?}");
}

/// A prompt that wraps is drawn wrong: what does not fit on its line stands above it.
#[test]
fn a_question_that_does_not_fit_stands_above_its_prompt() {
    let (bench, fake) = Bench::served();
    for (columns, prompt) in [(100, "unfrozen. ["), (50, "go ahead? [")] {
        let (code, screen) = drawn(&bench, columns, "shard freeze", "n\r");
        let screen = console::strip_ansi_codes(&screen);
        assert_eq!(code, Some(130), "{screen}");
        assert!(screen.contains(prompt), "{columns}: {screen}");
    }
    assert_eq!(fake.asked("POST").len(), 0);
}

#[test]
fn an_existing_file_is_asked_about() {
    let (bench, _fake) = Bench::served();
    bench.write("next.yaml", "mine");
    let (code, screen) = typed(&bench, "shard --create-config next.yaml", "n\r");
    assert!(
        code == Some(130) && bench.read("next.yaml") == "mine",
        "{screen}"
    );
    let (code, screen) = typed(&bench, "shard --create-config next.yaml", "y\r");
    assert!(
        code == Some(0) && logconfig::parse(&bench.read("next.yaml")).is_ok(),
        "{screen}"
    );
}

#[test]
fn no_input_never_asks() {
    let (bench, _fake) = Bench::served();
    let (code, screen) = typed(&bench, "shard freeze --no-input", "");
    assert_eq!(code, Some(2), "{screen}");
}

#[test]
fn a_change_on_probation_is_confirmed_over_a_new_connection() {
    let (bench, fake) = Bench::served();
    bench.write("next.yaml", &crate::fake::running().to_yaml());
    let id = crate::fake::OPERATION;
    let mut kept = crate::fake::operation("configure", "unconfirmed", [7, 8]);
    kept["confirmBy"] = "2026-11-21T08:10:00Z".into();
    let answer = |value: &serde_json::Value| [crate::fake::Answer::Json(200, value.clone())];
    fake.says("PUT /logs/dev/config?confirmWithin=10m", answer(&kept));
    let mut planned = kept.clone();
    planned["state"] = "planned".into();
    fake.says(
        "PUT /logs/dev/config?dryRun=true&confirmWithin=10m",
        answer(&planned),
    );
    let mut done = kept.clone();
    done["state"] = "done".into();
    fake.says(&format!("POST /operations/{id}/confirm"), answer(&done));
    let line = "shard --use-config next.yaml --confirm-within 10m";
    let (code, screen) = typed(&bench, line, "y\ry\r");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("keep generation 8 of dev?"), "{screen}");
    let (put, confirm) = (fake.asked("PUT").pop().unwrap(), &fake.asked("POST")[0]);
    assert_ne!(put.connection, confirm.connection);
    // After a no, the change is not reverted at once: the time runs on.
    let (code, screen) = typed(&bench, line, "y\rn\r");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(fake.asked("POST").len(), 1);
    // Ctrl-C says how to keep it.
    let (code, screen) = typed(&bench, line, "y\r\u{3}");
    assert_eq!(code, Some(130), "{screen}");
    assert!(
        screen.contains(&format!("logctl op confirm {id}")),
        "{screen}"
    );
    // Nor is a confirmation that fails a change that was not made.
    let busy = crate::fake::problem(503, "unavailable", "the store is busy");
    fake.says(&format!("POST /operations/{id}/confirm"), [busy]);
    let (code, screen) = typed(&bench, line, "y\ry\r");
    assert_eq!(code, Some(8), "{screen}");
    assert!(
        screen.contains("generation 8 runs; it is reverted at 2026-11-21T08:10:00Z unless it is confirmed, but a later step failed")
            && screen.contains(&format!("`logctl op confirm {id}` keeps it"))
            && !screen.contains("nothing was changed"),
        "{screen}"
    );
}

#[test]
fn deleting_a_log_wants_its_name() {
    let (bench, fake) = Bench::served();
    let done = crate::fake::operation("delete", "done", [7, 7]);
    fake.says("DELETE /logs/dev", [crate::fake::Answer::Json(200, done)]);
    for keys in ["y\r", "de\r", "\r"] {
        let (code, screen) = typed(&bench, "log delete dev", keys);
        assert_eq!(code, Some(130), "{screen}");
    }
    assert_eq!(fake.asked("DELETE").len(), 0);
    let (code, screen) = typed(&bench, "log delete dev", "dev\r");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(fake.asked("DELETE").len(), 1);
}
