//! A real terminal: tmux draws it, and tells what is on its screen.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::runner::{Bench, HANG_TIMEOUT};

/// How many terminals there were: a server that ends still holds its socket for a moment.
static STARTED: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Terminal {
    socket: PathBuf,
}

/// Whether these programs are installed; says so, and is counted, where one is not.
pub(crate) fn there(check: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = programs
        .iter()
        .find(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if let Some(missing) = missing {
        skip(check, &format!("{missing} is not installed"));
    }
    missing.is_none()
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped check must be seen in the test output"
)]
fn skip(check: &str, why: &str) {
    let line = format!("SKIPPED {check}: {why}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("TESTS_SKIP_LIST") {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

impl Terminal {
    /// A terminal of so many columns, in which a shell runs `line`. `logctl` is on its path, and knows the bench's context.
    pub(crate) fn start(bench: &Bench, columns: u16, line: &str) -> Self {
        let terminal = Self {
            socket: bench.path(&format!(
                "tmux{}.sock",
                STARTED.fetch_add(1, Ordering::Relaxed)
            )),
        };
        let programs = std::path::Path::new(env!("CARGO_BIN_EXE_logctl"))
            .parent()
            .unwrap();
        let home = bench.directory.path();
        let environment = format!(
            "env -i PATH={}:/usr/local/bin:/usr/bin:/bin HOME={} LOGCTL_CONFIG={} TERM=screen-256color LC_ALL=C.UTF-8",
            programs.display(),
            home.display(),
            bench.path("logctl.toml").display(),
        );
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns.to_string(),
            "-y",
            "50",
            "-c",
            home.to_str().unwrap(),
            &format!("{environment} {line}"),
        ]);
        terminal
    }

    /// A terminal in which one command line of `logctl` runs; its exit code is shown after it. Ctrl-C reaches the shell
    /// too, which stays.
    pub(crate) fn runs(bench: &Bench, columns: u16, line: &str) -> Self {
        Self::start(
            bench,
            columns,
            &format!("sh -c 'trap : INT; logctl {line}; echo exit=$?; exec cat'"),
        )
    }

    pub(crate) fn types(&self, keys: &str) {
        self.tmux(&["send-keys", "-l", keys]);
    }

    pub(crate) fn interrupts(&self) {
        self.tmux(&["send-keys", "C-c"]);
    }

    /// The content of the screen, line by line, without blanks at the end of each.
    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with its colours.
    pub(crate) fn colored(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the text is on the screen, and returns all of it.
    pub(crate) fn shows(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < HANG_TIMEOUT, "no `{text}` in\n{screen}");
            std::thread::yield_now();
        }
    }

    /// Types `keys` and waits until the text is on the screen; types them again where it is not after a while, because what they ask for
    /// has a limit of its own.
    pub(crate) fn types_until(&self, keys: &str, text: &str) {
        const AGAIN: Duration = Duration::from_secs(5);
        let began = Instant::now();
        let mut typed = None::<Instant>;
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return;
            }
            assert!(began.elapsed() < HANG_TIMEOUT, "no `{text}` in\n{screen}");
            if typed.is_none_or(|last| last.elapsed() > AGAIN) {
                self.types(keys);
                typed = Some(Instant::now());
            }
            std::thread::yield_now();
        }
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(words)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only this server: nobody else has its socket.
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}
