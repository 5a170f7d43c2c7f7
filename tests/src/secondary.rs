//! A running `logd secondary`, and what an auditor reads of it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::auditor::Source;
use crate::http::Http;
use crate::process::{binary, logctl, logd};

/// A process; killed when dropped.
#[derive(Debug)]
pub struct Secondary {
    child: Child,
    pub address: SocketAddr,
    pub vkey: String,
    pub incarnation: String,
    pub directory: PathBuf,
}

/// How to start one.
#[derive(Clone, Debug, Default)]
pub struct StartSecondary {
    /// A program that runs it, with its arguments.
    pub wrapper: Vec<String>,
    /// The address; by default any free port.
    pub listen: Option<String>,
    /// HTTPS with this certificate and key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Secondary {
    /// Makes the key of one that does not run yet; answers its vkey.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn key(directory: &Path, name: &str) -> Result<String> {
        std::fs::create_dir_all(directory)?;
        let file = directory.join("mirror.key");
        let file = file.to_str().context("a path of a test is UTF-8")?;
        let mut words = vec!["secondary", "key", "--file", file];
        if !Path::new(file).exists() {
            words.extend(["--name", name]);
        }
        Ok(logd(&words)?.expect_code(0)?.stdout.trim().to_owned())
    }

    /// Starts one on `directory`, which has a key, and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn start(directory: &Path, logs: &[String], how: &StartSecondary) -> Result<Self> {
        let logd = binary("logd")?;
        let mut command = match how.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&logd);
                command
            }
            None => Command::new(&logd),
        };
        let errors = std::fs::File::options()
            .create(true)
            .append(true)
            .open(directory.join("stderr"))?;
        let listen = how.listen.as_deref().unwrap_or("127.0.0.1:0");
        command.arg("secondary");
        match &how.tls {
            None => {
                command.args(["--listen", listen, "--dir"]).arg(directory);
                for log in logs {
                    command.args(["--log", log]);
                }
            }
            Some((cert, key)) => {
                let file = directory.with_extension("toml");
                std::fs::write(
                    &file,
                    format!(
                        "listen = {listen:?}\ntls = {{ cert = {cert:?}, key = {key:?} }}\ndir = {directory:?}\nlogs = {logs:?}\n"
                    ),
                )?;
                command.arg("--config").arg(file);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let Ok(line) = lines.recv_timeout(Duration::from_secs(120)) else {
            let _ = child.kill();
            let status = child.wait()?;
            let text = std::fs::read_to_string(directory.join("stderr")).unwrap_or_default();
            bail!("the secondary did not start ({status}): {text}");
        };
        let parse = || {
            let rest = line.strip_prefix("logd ready: ")?;
            let rest = match how.tls {
                None => rest.strip_prefix("http://")?,
                Some(_) => rest.strip_prefix("https://")?,
            };
            let (address, rest) = rest.split_once(", secondary ")?;
            let (vkey, incarnation) = rest.split_once(", incarnation ")?;
            Some((
                address.parse().ok()?,
                vkey.to_owned(),
                incarnation.to_owned(),
            ))
        };
        let (address, vkey, incarnation) =
            parse().with_context(|| format!("ready line: {line:?}"))?;
        Ok(Self {
            child,
            address,
            vkey,
            incarnation,
            directory: directory.to_owned(),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// The copy of one shard, as an auditor reads it.
    pub fn copy(&self, origin: &str) -> Copy {
        Copy {
            http: Http::new(self.address),
            hash: origin_hash(origin),
        }
    }
}

impl Drop for Secondary {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Changes the running configuration of the log `dev` of the server in `at`.
///
/// # Errors
/// When it is not accepted.
pub fn configure(at: &Path, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let mut document = logctl(at, &["api", "GET", "/admin/v1/logs/dev/config"])?
        .expect_code(0)?
        .json()?["config"]
        .take();
    edit(&mut document);
    let file = at.join("next.json");
    std::fs::write(&file, document.to_string())?;
    let path = file.to_str().context("a path of a test is UTF-8")?;
    logctl(at, &["shard", "--use-config", path, "--yes"])?.expect_code(0)?;
    Ok(())
}

/// The folder of a log (C2SP tlog-mirror): the SHA-256 of its origin.
fn origin_hash(origin: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(origin);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A copy of one shard.
#[derive(Debug)]
pub struct Copy {
    http: Http,
    hash: String,
}

impl Source for Copy {
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        // The auditor's paths begin with the shard's name; here the origin says which it is.
        let rest = path.split_once('/').map_or(path, |(_, rest)| rest);
        let answer = self.http.get(&format!("/{}/{rest}", self.hash), &[])?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(answer.expect_status(200)?.body))
    }
}
