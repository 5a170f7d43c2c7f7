//! An attacker on the admin endpoint, for tests and benchmarks of its effect on the rest of the server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::process::{Logd, Start};
use crate::skip::skip;

/// Idle connections that a whole attack keeps.
const IDLE: u64 = 10_000;
/// Files that the rest of the process may need.
const SPARE: u64 = 500;
/// How long an attacker waits for an answer that he does not expect.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);

/// The requests that each attacker but the idle one sends, again and again, on a new connection each time.
const REQUESTS: [&str; 8] = [
    // Slow heads: the rest never comes.
    "GET /admin/v1/whoami HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    // Slow bodies.
    "POST /admin/v1/logs/dev/freeze HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
    // Oversized bodies.
    "PUT /admin/v1/logs/dev/config HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    // Compressed bodies.
    "POST /admin/v1/logs HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n..",
    // Path tricks.
    "GET /admin/v1/audit/tree/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /admin/v1/logs/%2e%2e%2f%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    // Guessed tokens.
    "GET /admin/v1/logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n\r\n",
    // Not HTTP at all, or the beginning of a TLS handshake.
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
];

/// An attack that continues until it is dropped or [stopped](Self::stop).
#[derive(Debug)]
pub struct Attack {
    going_on: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    /// Idle connections that are open.
    pub idle: u64,
    attackers: Vec<JoinHandle<()>>,
}

/// A server to attack: its admin endpoint takes plain HTTP, so that an attack gets past TLS; and where that is.
///
/// # Errors
/// When the server does not start, or its settings have another form.
pub fn target(folder: &Path) -> Result<(Logd, SocketAddr)> {
    ensure!(Logd::start(folder)?.terminate()?.success());
    let settings = folder.join("logd.toml");
    let text = std::fs::read_to_string(&settings)?;
    let plain: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("tls = "))
        .collect();
    ensure!(plain.len() + 1 == text.lines().count(), "{text}");
    std::fs::write(&settings, plain.join("\n"))?;
    let how = Start {
        settings: Some(settings),
        ..Start::default()
    };
    let logd = Logd::start_as(folder, &how)?;
    let endpoint = logd.admin.strip_prefix("http://").context("plain HTTP")?;
    let endpoint = endpoint.parse()?;
    Ok((logd, endpoint))
}

impl Attack {
    /// Opens 10,000 idle connections (or as many as the process may) to an endpoint without TLS, then makes requests of every
    /// bad kind from `threads` threads. A kind that begins a TLS handshake suits an endpoint with TLS too.
    ///
    /// # Errors
    /// When the endpoint does not take the idle connections.
    pub fn start(endpoint: SocketAddr, threads: usize) -> Result<Self> {
        let wanted = allowed()?;
        let mut idle = Vec::new();
        for _ in 0..wanted {
            let stream = TcpStream::connect_timeout(&endpoint, Duration::from_secs(60))
                .with_context(|| format!("idle connection {}", idle.len()))?;
            idle.push(stream);
        }
        let going_on = Arc::new(AtomicBool::new(true));
        let attempts = Arc::new(AtomicU64::new(0));
        let mut attackers: Vec<JoinHandle<()>> = (0..threads)
            .map(|first| {
                let (going_on, attempts) = (going_on.clone(), attempts.clone());
                std::thread::spawn(move || {
                    let kinds = REQUESTS.iter().cycle().skip(first);
                    for request in kinds.take_while(|_| going_on.load(Ordering::Relaxed)) {
                        // The server may refuse in any way it likes, also by closing.
                        let _ = attempt(endpoint, request.as_bytes());
                        attempts.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let number = idle.len() as u64;
        let waits = going_on.clone();
        attackers.push(std::thread::spawn(move || {
            while waits.load(Ordering::Relaxed) {
                std::thread::park();
            }
            drop(idle);
        }));
        Ok(Self {
            going_on,
            attempts,
            idle: number,
            attackers,
        })
    }

    /// Requests made so far.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Ends it, and returns how many requests were made.
    ///
    /// # Errors
    /// When an attacker panicked.
    pub fn stop(mut self) -> Result<u64> {
        for attacker in self.end() {
            attacker
                .join()
                .map_err(|_| anyhow!("an attacker panicked"))?;
        }
        Ok(self.attempts())
    }

    fn end(&mut self) -> Vec<JoinHandle<()>> {
        self.going_on.store(false, Ordering::Relaxed);
        for attacker in &self.attackers {
            attacker.thread().unpark();
        }
        std::mem::take(&mut self.attackers)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.end();
    }
}

fn attempt(endpoint: SocketAddr, request: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&endpoint, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(request)?;
    let _ = stream.read(&mut [0; 1024])?;
    Ok(())
}

/// How many idle connections this process may have; says so when they are too few.
fn allowed() -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let current = limit.current.unwrap_or(u64::MAX);
    limit.current = Some(most.min(IDLE + SPARE).max(current));
    setrlimit(Resource::Nofile, limit)?;
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let allowed = open.saturating_sub(SPARE).min(IDLE);
    if allowed < IDLE {
        skip(
            "an attack with 10,000 idle connections",
            &format!("this process may open {open} files: {allowed} it is"),
        );
    }
    Ok(allowed)
}
