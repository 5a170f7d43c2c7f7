//! The real binaries as processes: `logd` until it is dropped, `logctl` once per call.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::auditor::{Served, Shard};
use crate::http::Http;
use crate::wait;

/// Names a folder with ready-made `logd`, `logctl` and `logload`; without it they are built once per process.
pub const BINARIES: &str = "TESTS_BINARIES";

/// The path of a binary of this workspace, of the profile that this program was built with.
///
/// # Errors
/// When it is not there and can't be built.
pub fn binary(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER
        .get_or_init(|| binaries().map_err(|e| format!("{e:#}")))
        .as_ref()
        .map_err(|e| anyhow!("{e}"))?;
    let path = folder.join(name);
    ensure!(path.is_file(), "{} is missing", path.display());
    Ok(path)
}

fn binaries() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BINARIES) {
        return Ok(folder.into());
    }
    let me = std::env::current_exe()?;
    let mut folder = me.parent().context("a program is in a folder")?;
    if folder.file_name() == Some(OsStr::new("deps")) {
        folder = folder.parent().context("deps/ is in a target folder")?;
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args([
        "build",
        "--quiet",
        "--package",
        "logd",
        "--package",
        "logctl",
        "--package",
        "logload",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().context("run cargo build")?;
    ensure!(
        status.success(),
        "cargo build of logd, logctl and logload failed"
    );
    Ok(folder.to_owned())
}

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// A program that runs the server, with its arguments (`strace -D …`): the server must stay the direct child.
    pub wrapper: Vec<String>,
    pub arguments: Vec<String>,
    /// `logd serve` with this settings file, instead of `logd dev`.
    pub settings: Option<PathBuf>,
}

/// A running `logd dev`; killed when dropped.
#[derive(Debug)]
pub struct Logd {
    child: Child,
    /// The address of the data plane.
    pub address: SocketAddr,
    /// The ready line's words after `admin `: `https://127.0.0.1:PORT`.
    pub admin: String,
    pub directory: PathBuf,
    /// Its messages about halted logs before it was ready.
    pub halted: Vec<String>,
    errors: tempfile::NamedTempFile,
}

/// Positions of a log, as `GET /{log}/watermarks` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Watermarks {
    pub ordered: u64,
    pub integrated: u64,
    /// Covered by signed checkpoints.
    pub published: u64,
}

impl Logd {
    /// Starts a server on `directory` and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before it is ready; with what it wrote to stderr.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_as(directory, &Start::default())
    }

    /// Starts a server with more to say about how.
    ///
    /// # Errors
    /// When it ends before it is ready; with what it wrote to stderr.
    pub fn start_as(directory: &Path, how: &Start) -> Result<Self> {
        let errors = tempfile::NamedTempFile::new()?;
        let logd = binary("logd")?;
        let mut command = match how.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&logd);
                command
            }
            None => Command::new(&logd),
        };
        match &how.settings {
            Some(settings) => command.args(["serve", "--config"]).arg(settings),
            None => command
                .args([
                    "dev",
                    "--listen",
                    "127.0.0.1:0",
                    "--admin",
                    "127.0.0.1:0",
                    "--dir",
                ])
                .arg(directory),
        };
        command.args(&how.arguments);
        // No balancer looks, so nobody is waited for; a test about that says so itself.
        if how.settings.is_some() && !how.arguments.iter().any(|word| word == "--drain") {
            command.args(["--drain", "0s"]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.reopen()?);
        let mut child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout)
                .lines()
                .map_while(std::result::Result::ok)
            {
                // Nobody listens after the ready line; the pipe is still read, so that the server never blocks on it.
                let _ = send.send(line);
            }
        });
        let mut halted = Vec::new();
        let ready = loop {
            match lines.recv_timeout(Duration::from_secs(120)) {
                Ok(line) if line.starts_with("logd ready: ") => break Ok(line),
                Ok(line) if line.starts_with("logd halted: ") => halted.push(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break Err("ended before it was ready"),
                Err(RecvTimeoutError::Timeout) => break Err("neither ready nor ended after 120 s"),
            }
        };
        let ready = match ready {
            Ok(line) => line,
            Err(what) => {
                // It may be gone already.
                let _ = child.kill();
                let status = child.wait()?;
                bail!("logd {what} ({status}): {}", tail(errors.path()));
            }
        };
        let (address, admin) =
            parse_ready(&ready).with_context(|| format!("ready line: {ready:?}"))?;
        Ok(Self {
            child,
            address,
            admin,
            directory: directory.to_owned(),
            halted,
            errors,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of the data plane.
    pub fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// The log `dev`, as an auditor reads it.
    pub fn served(&self) -> Served {
        Served::new(self.address, "dev")
    }

    /// The shards of the log `dev`.
    ///
    /// # Errors
    /// When the server does not list them.
    pub fn shards(&self) -> Result<Vec<Shard>> {
        self.served().shards()
    }

    /// The positions of the log `dev`.
    ///
    /// # Errors
    /// When the server does not give them.
    pub fn watermarks(&self) -> Result<Watermarks> {
        let answer = self
            .http()
            .get("/dev/watermarks", &[])?
            .expect_status(200)?;
        serde_json::from_slice(&answer.body).with_context(|| answer.text())
    }

    /// Adds one entry to the log `dev` and returns its global index.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub fn add(&self, entry: &[u8]) -> Result<u64> {
        let answer = self
            .http()
            .post("/dev/add", &[], entry)?
            .expect_status(200)?;
        let text = answer.text();
        text.lines()
            .next()
            .and_then(|line| line.parse().ok())
            .with_context(|| format!("no index in {text:?}"))
    }

    /// Waits until all that is ordered is published and every rotated-out shard is sealed, and returns the position.
    ///
    /// # Errors
    /// When the server goes away, or does not get there.
    pub fn settled(&self) -> Result<u64> {
        let mut http = self.http();
        wait::until("everything ordered is published and sealed", || {
            let at = self.watermarks()?;
            ensure!(
                at.ordered >= at.integrated && at.integrated >= at.published,
                "watermarks in disorder: {at:?}"
            );
            let opened: Vec<Shard> = self
                .shards()?
                .into_iter()
                .filter(|shard| shard.state != "planned")
                .collect();
            let (_, rotated_out) = opened.split_last().context("a log has a shard")?;
            for shard in rotated_out {
                if http.get(&format!("/dev/{}/seal", shard.name), &[])?.status != 200 {
                    return Ok(None);
                }
            }
            Ok((at.ordered == at.published).then_some(at.ordered))
        })
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and waits for the end.
    ///
    /// # Errors
    /// When the process can't be signalled.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid().try_into()?).context("a process id is positive")?;
        kill_process(pid, signal).context("signal logd")
    }

    /// The exit status, when it has ended by itself.
    ///
    /// # Errors
    /// When that can't be known.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its standard error so far.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap_or_default()
    }
}

impl Drop for Logd {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            say(&format!(
                "stderr of logd {}: {}",
                self.child.id(),
                tail(self.errors.path())
            ));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the only trace of a server in a failed test"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// `logd ready: log dev at http://127.0.0.1:PORT/dev, admin https://127.0.0.1:PORT, contexts in DIR/logctl.toml`, and of
/// `logd serve` `logd ready: http://127.0.0.1:PORT, admin https://127.0.0.1:PORT`.
fn parse_ready(line: &str) -> Result<(SocketAddr, String)> {
    let rest = line
        .strip_prefix("logd ready: ")
        .context("not a ready line")?;
    let Some(rest) = rest.strip_prefix("log dev at ") else {
        let (url, admin) = rest
            .split_once(", admin ")
            .context("does not name the admin endpoint")?;
        return Ok((address(url)?, admin.to_owned()));
    };
    let (url, rest) = rest
        .split_once("/dev, admin ")
        .context("does not name the admin endpoint")?;
    let (admin, contexts) = rest
        .split_once(", contexts in ")
        .context("does not name the contexts")?;
    ensure!(
        contexts.ends_with("logctl.toml"),
        "contexts are not in a logctl.toml"
    );
    Ok((address(url)?, admin.to_owned()))
}

fn address(url: &str) -> Result<SocketAddr> {
    Ok(url
        .strip_prefix("http://")
        .context("not an http:// address")?
        .parse()?)
}

/// A `logd` that is no server of a log: a program of the merge, a secondary, a frontend. Killed when dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// The ready line, without `logd ready: `.
    pub ready: String,
}

impl Worker {
    /// Starts it and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary("logd")?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start logd {arguments:?}"))?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        let mut read = lines.read_line(&mut line);
        while line.starts_with("logd halted: ") && matches!(read, Ok(1..)) {
            line.clear();
            read = lines.read_line(&mut line);
        }
        let ready = line.strip_prefix("logd ready: ").map(str::trim_end);
        match (read, ready) {
            (Ok(_), Some(ready)) => {
                // Its last messages need a reader.
                std::thread::spawn(move || {
                    lines.lines().map_while(std::result::Result::ok).count()
                });
                Ok(Self {
                    ready: ready.to_owned(),
                    child,
                })
            }
            _ => {
                let _ = child.kill();
                let status = child.wait()?;
                bail!("logd {arguments:?} was not ready ({status}): {line:?}")
            }
        }
    }

    /// The address that its ready line names.
    ///
    /// # Errors
    /// When it names none.
    pub fn address(&self) -> Result<SocketAddr> {
        address(self.ready.split(',').next().unwrap_or_default())
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and waits for the end.
    ///
    /// # Errors
    /// When the process can't be signalled.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("a process id is positive")?;
        kill_process(pid, Signal::TERM).context("signal logd")?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The result of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// The command's standard output.
    pub stdout: String,
    /// The command's standard error.
    pub stderr: String,
}

impl Ran {
    /// The one document on stdout (`-o json`).
    ///
    /// # Errors
    /// When stdout is not exactly one JSON document.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("not one JSON document: {self:?}"))
    }
    /// The answer itself when the exit code is `code`.
    ///
    /// # Errors
    /// Any other exit code, with all output.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == code,
            "expected exit {code}, got {}\n{}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }
}

/// Runs `logd` with these arguments to its end.
///
/// # Errors
/// When it can't be started.
pub fn logd(arguments: &[&str]) -> Result<Ran> {
    run(Command::new(binary("logd")?).args(arguments), "")
}

/// `logd fsck` on a folder.
///
/// # Errors
/// When it can't be started.
pub fn fsck(directory: &Path) -> Result<Ran> {
    let directory = directory.to_str().context("a path of a test is UTF-8")?;
    logd(&["fsck", "--dir", directory])
}

/// Runs `logctl` against the server whose data is in `directory`.
///
/// # Errors
/// When it can't be started.
pub fn logctl(directory: &Path, arguments: &[&str]) -> Result<Ran> {
    logctl_with(directory, arguments, "", &[])
}

/// Runs `logctl` with something on stdin and more environment.
///
/// # Errors
/// When it can't be started.
pub fn logctl_with(
    directory: &Path,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &OsStr)],
) -> Result<Ran> {
    client("logctl", directory, arguments, input, environment)
}

/// Runs `logload` against the server whose data is in `directory`.
///
/// # Errors
/// When it can't be started.
pub fn logload(directory: &Path, arguments: &[&str]) -> Result<Ran> {
    client("logload", directory, arguments, "", &[])
}

fn client(
    program: &str,
    directory: &Path,
    arguments: &[&str],
    input: &str,
    environment: &[(&str, &OsStr)],
) -> Result<Ran> {
    let mut command = Command::new(binary(program)?);
    command
        .args(arguments)
        .env("LOGCTL_CONFIG", directory.join("logctl.toml"))
        // Its pins of an audit trail belong to this test's server only.
        .env("XDG_STATE_HOME", directory.join("state"));
    command
        .env("NO_COLOR", "1")
        .env_remove("LOGCTL_CONTEXT")
        .envs(environment.iter().copied());
    run(&mut command, input)
}

fn run(command: &mut Command, input: &str) -> Result<Ran> {
    let (mut stdin, mut stdout, mut stderr) = (
        tempfile::tempfile()?,
        tempfile::tempfile()?,
        tempfile::tempfile()?,
    );
    use std::io::{Read as _, Seek as _, Write as _};
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    command
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    let text = |file: &mut File| -> Result<String> {
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        Ok(text)
    };
    Ok(Ran {
        code: status.code().unwrap_or(-1),
        stdout: text(&mut stdout)?,
        stderr: text(&mut stderr)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_a_contract() {
        let line = "logd ready: log dev at http://127.0.0.1:7070/dev, admin https://127.0.0.1:7071, contexts in d/logctl.toml";
        let (address, admin) = parse_ready(line).unwrap();
        assert_eq!(address, "127.0.0.1:7070".parse().unwrap());
        assert_eq!(admin, "https://127.0.0.1:7071");
        assert!(
            parse_ready("logd ready: http://127.0.0.1:7070, admin https://127.0.0.1:7071").is_ok()
        );
        assert!(parse_ready("logd ready: log other at http://127.0.0.1:7070/other").is_err());
    }
}
