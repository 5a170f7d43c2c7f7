//! A server that speaks S3: `moto`, a Python package, which shares no code with the product. It keeps its buckets in memory.
//!
//! It is looked for in the folder that `TESTS_MOTO` names and in `PATH`; `cargo xtask test` installs it where it can.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::auditor::Source;
use crate::http::Http;

/// Names the folder with `moto_server`.
pub const MOTO: &str = "TESTS_MOTO";

/// The credentials that a process needs, as words for `env`.
pub const CREDENTIALS: [&str; 3] = [
    "env",
    "AWS_ACCESS_KEY_ID=tests",
    "AWS_SECRET_ACCESS_KEY=tests-secret",
];

/// A false signature: the server checks only that a request is signed. Unsigned requests are refused.
const SIGNED: [(&str, &str); 1] = [(
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
)];

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct S3 {
    child: Child,
    pub address: SocketAddr,
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os(MOTO).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = named.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join("moto_server"))
        .find(|program| program.is_file())
}

impl S3 {
    /// Starts one on a free port; nothing where it is not installed.
    ///
    /// # Errors
    /// When it ends before it listens.
    pub fn start() -> Result<Option<Self>> {
        Self::start_with(&[], "127.0.0.1:0")
    }

    /// The same, run by another program, and listening there.
    ///
    /// # Errors
    /// When it ends before it listens.
    pub fn start_with(wrapper: &[String], listen: &str) -> Result<Option<Self>> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let (host, port) = listen.rsplit_once(':').context("a host and a port")?;
        let mut command = match wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let mut child = command
            .args(["-H", host, "-p", port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let (send, listening) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end: it says a line for each request.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let named = line.split_once("Running on http://");
                if let Some(address) = named.and_then(|(_, rest)| rest.trim().parse().ok()) {
                    let _ = send.send(address);
                }
            }
        });
        let Ok(address) = listening.recv_timeout(Duration::from_secs(120)) else {
            let _ = child.kill();
            bail!("moto_server did not start: {}", child.wait()?);
        };
        Ok(Some(Self { child, address }))
    }

    /// Makes a bucket, and empties one that exists.
    ///
    /// # Errors
    /// When it is not made.
    pub fn bucket(&self, name: &str) -> Result<Bucket> {
        let bucket = Bucket::new(self.address, name);
        let mut http = Http::new(self.address);
        http.send("PUT", &format!("/{name}"), &SIGNED, Some(b""))?
            .expect_status(200)?;
        Ok(bucket)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bucket, read with permission.
#[derive(Debug)]
pub struct Bucket {
    http: Http,
    name: String,
}

impl Bucket {
    /// The bucket of that name at a server.
    pub fn new(address: SocketAddr, name: &str) -> Self {
        Self {
            http: Http::new(address),
            name: name.to_owned(),
        }
    }

    /// The keys of all objects in it.
    ///
    /// # Errors
    /// When they are not listed.
    pub fn keys(&mut self) -> Result<Vec<String>> {
        let path = format!("/{}?list-type=2&max-keys=1000", self.name);
        let answer = self.http.get(&path, &SIGNED)?.expect_status(200)?.text();
        let keys = answer.split("<Key>").skip(1);
        let keys = keys.filter_map(|rest| rest.split_once("</Key>"));
        Ok(keys.map(|(key, _)| key.to_owned()).collect())
    }

    /// An answer to a request for an object.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask(&mut self, key: &str) -> Result<crate::http::Answer> {
        self.http.get(&format!("/{}/{key}", self.name), &SIGNED)
    }

    /// Puts other bytes in the place of an object.
    ///
    /// # Errors
    /// When that is refused.
    pub fn put(&mut self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = format!("/{}/{key}", self.name);
        let answer = self.http.send("PUT", &path, &SIGNED, Some(bytes))?;
        answer.expect_status(200)?;
        Ok(())
    }
}

/// A log in a bucket: its objects are below `at`.
#[derive(Debug)]
pub struct InBucket<'a> {
    pub bucket: &'a mut Bucket,
    pub at: &'a str,
}

impl Source for InBucket<'_> {
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.bucket.ask(&format!("{}/{path}", self.at))?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = answer.expect_status(200);
        Ok(Some(answer.with_context(|| path.to_owned())?.body))
    }
}
