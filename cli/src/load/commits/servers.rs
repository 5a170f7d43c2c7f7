//! The servers: `logd dev` processes on one folder. They end with this program, unless it is killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::error::Error;

/// How long a server may take to start, or to stop when it is told to.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an operator's command may take; an unanswered one is not repeated.
const OPERATION: &str = "20s";

/// How servers are started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) logd: PathBuf,
    /// Holds `log`, the servers' folder, and what they wrote to standard error.
    pub(crate) folder: PathBuf,
    /// What each operation of their stores takes at least.
    pub(crate) delay: Duration,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where writers reach it.
    pub(crate) address: SocketAddr,
}

/// `logd` beside this program, or as named.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("logd"));
    let found = named.map(Path::to_owned).or_else(beside);
    found.filter(|path| path.is_file()).ok_or_else(|| {
        let message = match named {
            Some(path) => format!("there is no program {}", path.display()),
            None => "there is no logd beside logctl".to_owned(),
        };
        Error::Usage {
            message,
            hint: "name the server's program with --logd PATH".into(),
        }
    })
}

impl Launch {
    /// The servers' folder.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts a server and waits until it serves.
    pub(crate) async fn start(&self, number: usize) -> Result<Server, Error> {
        let errors = self.folder.join(format!("server-{number}.stderr"));
        let failed = |cause: String| Error::Unreachable {
            address: format!("server {number} ({})", self.logd.display()),
            cause,
            hint: format!("{} has what it said", errors.display()),
        };
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&errors)
            .map_err(|source| Error::Write {
                what: errors.display().to_string(),
                source,
            })?;
        let mut command = Command::new(&self.logd);
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--dir")
            .arg(self.log())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        if !self.delay.is_zero() {
            let delay = format!("{}ms", self.delay.as_millis());
            command.env("LOGD_TEST_STORE_DELAY", delay);
        }
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let stdout = child.stdout.take();
        let mut lines = BufReader::new(stdout.ok_or_else(|| failed("no output".into()))?).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = ready_at(&line) {
                    return Some(address);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Some(address)) => Ok(Server { child, address }),
            Ok(None) => Err(failed("it ended before it was ready".into())),
            Err(_) => Err(failed(format!("not ready after {} s", PATIENCE.as_secs()))),
        }
    }

    /// What an operator does, by a `logctl` of its own. Answers the exit code.
    pub(crate) async fn operate(&self, arguments: &[&str]) -> Result<i32, Error> {
        let program = std::env::current_exe().map_err(|source| Error::Read {
            what: "this program's own path".into(),
            source,
        })?;
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .args(["--yes", "--timeout", OPERATION])
            .env("LOGCTL_CONFIG", self.log().join("logctl.toml"))
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .env_remove("LOGCTL_CONTEXT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let status = command.status().await.map_err(|source| Error::Read {
            what: program.display().to_string(),
            source,
        })?;
        Ok(status.code().unwrap_or(-1))
    }

    /// `logd fsck` on the folder, which no server uses any more: what it said, if it found something.
    pub(crate) async fn fsck(&self) -> Result<Option<String>, Error> {
        let mut command = Command::new(&self.logd);
        command.arg("fsck").arg("--dir").arg(self.log());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let done = command.output().await.map_err(|source| Error::Read {
            what: self.logd.display().to_string(),
            source,
        })?;
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok((!done.status.success()).then_some(said))
    }
}

impl Server {
    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // One that has ended takes no signal; that is found out when it is written to.
            let _ = kill_process(pid, signal);
        }
    }

    /// It takes no further step.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a stopped process (SIGCONT).
    pub(crate) fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`, and waits for the end.
    pub(crate) async fn kill(mut self) {
        // What can't be killed has ended.
        let _ = self.child.kill().await;
    }

    /// Asks it to stop, and waits for the end; one that does not stop is killed.
    pub(crate) async fn stop(mut self) -> bool {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let stopped = matches!(ended, Ok(Ok(status)) if status.success());
        if !stopped {
            self.kill().await;
        }
        stopped
    }
}

/// Of `logd ready: log dev at http://127.0.0.1:PORT/dev, …` the address.
fn ready_at(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("logd ready: log dev at http://")?;
    rest.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line() {
        let line = "logd ready: log dev at http://127.0.0.1:7070/dev, admin https://127.0.0.1:7071, contexts in d/logctl.toml";
        assert_eq!(ready_at(line), "127.0.0.1:7070".parse().ok());
        assert_eq!(ready_at("logd ready: http://127.0.0.1:7070"), None);
    }

    #[test]
    fn a_program_that_is_not_there() {
        let error = find(Some(Path::new("/nowhere/logd"))).unwrap_err();
        assert_eq!(error.to_string(), "there is no program /nowhere/logd");
    }
}
