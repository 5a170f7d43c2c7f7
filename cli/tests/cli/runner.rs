//! Runs `logctl` in a directory of its own, with nothing of the caller's environment that matters.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::fake::Fake;

/// A guard against a hang, not a measure.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until this is so.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < HANG_TIMEOUT, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    environment: Vec<(String, String)>,
}

pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// With a server, and a context that names it.
    pub(crate) fn served() -> (Self, Fake) {
        let mut bench = Self::new();
        let fake = Fake::on_socket(&bench.path("admin.sock"));
        bench.context("log = \"dev\"\nadmin = \"unix:admin.sock\"\nurl = \"http://127.0.0.1:1\"\n");
        (bench, fake)
    }

    /// Writes a context file with one context, and points to it.
    pub(crate) fn context(&mut self, body: &str) {
        let path = self.write(
            "logctl.toml",
            &format!("current = \"dev\"\n[contexts.dev]\n{body}"),
        );
        self.env("LOGCTL_CONFIG", path.to_str().unwrap());
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line, "")
    }

    /// A command that its time limit cuts off, whatever the speed of the machine. A run that met its limit before it came to what the
    /// test is about (`early` knows such a run) is made again with twice the limit. The limit is shown as `LIMIT`.
    pub(crate) fn cut_off(&self, line: &str, early: impl Fn(&Ran) -> bool) -> Ran {
        const MOST: Duration = Duration::from_secs(30);
        let mut limit = Duration::from_millis(200);
        loop {
            let mut ran = self.run(&format!("{line} --timeout {}ms", limit.as_millis()));
            if limit < MOST && early(&ran) {
                limit *= 2;
                continue;
            }
            ran.line = format!("{line} --timeout LIMIT");
            let seconds = format!("{} s", limit.as_secs_f64());
            ran.err = ran.err.replace(&seconds, "LIMIT");
            return ran;
        }
    }

    /// With text on standard input.
    pub(crate) fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut child = self.spawn(line);
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        self.finish(line, child)
    }

    /// With a standard output that takes nothing, as on a full disk.
    pub(crate) fn run_full(&self, line: &str) -> Ran {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        self.finish(line, self.spawn_to(line, full.into()))
    }

    /// With a standard output that nobody reads any more.
    pub(crate) fn run_unread(&self, line: &str) -> Ran {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.finish(line, self.spawn_to(line, writer.into()))
    }

    pub(crate) fn spawn(&self, line: &str) -> Child {
        self.spawn_to(line, Stdio::piped())
    }

    fn spawn_to(&self, line: &str, stdout: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logctl"));
        command
            .env_clear()
            .env("XDG_CONFIG_HOME", self.directory.path().join("nowhere"));
        command
            .envs(self.environment.iter().cloned())
            .current_dir(self.directory.path());
        command.args(line.split(' ').filter(|word| !word.is_empty()));
        command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn finish(&self, line: &str, child: Child) -> Ran {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(self.directory.path().to_str().unwrap(), "DIR")
        };
        Ran {
            line: line.to_owned(),
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ran {
    /// Whether its exit code is one of these.
    pub(crate) fn ended(&self, codes: &[i32]) -> bool {
        self.code.is_some_and(|code| codes.contains(&code))
    }

    /// Everything, for a snapshot.
    pub(crate) fn shown(&self) -> String {
        let code = self
            .code
            .map_or("signal".to_owned(), |code| code.to_string());
        format!(
            "$ logctl {}\nexit {code}\n--- stdout\n{}--- stderr\n{}",
            self.line, self.out, self.err
        )
    }

    /// Standard output as the one document that it must be.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}", self.shown()));
        assert_eq!(value["apiVersion"], "logctl/v1", "{}", self.shown());
        assert!(value["kind"].is_string(), "{}", self.shown());
        if let Some(code) = value["error"]["exitCode"].as_i64() {
            assert_eq!(Some(code), self.code.map(i64::from), "{}", self.shown());
        } else {
            assert_eq!(self.code, Some(0), "{}", self.shown());
        }
        value
    }
}

/// With the word TIME for every time, which no two runs have in common.
pub(crate) fn timeless(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let is_time = |window: &[u8]| {
        window.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
    };
    let mut text = text.to_owned();
    while let Some(at) = text.as_bytes().windows(SHAPE.len()).position(is_time) {
        text.replace_range(at..at + SHAPE.len(), "TIME");
    }
    text
}
