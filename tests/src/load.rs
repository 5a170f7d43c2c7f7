//! A closed-loop load generator: every connection sends one write, waits for its answer, and sends the next. It keeps
//! what became of each write, so that afterwards the log can be checked against every acknowledgement it gave.
//!
//! A write is sent once and never again: after a broken connection its outcome is [`Outcome::Unknown`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait;

/// Writes the entry `sequence` of `connection` into the buffer; false when that connection has no more.
pub type Entries = Arc<dyn Fn(u32, u32, &mut Vec<u8>) -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub path: String,
    /// Number of connections, each with one write in flight.
    pub connections: u32,
    /// More headers, each `Name: value\r\n`.
    pub headers: String,
    pub entries: Entries,
    /// Continue after a broken connection (with a new one) or a refusal; else that connection's work ends there.
    pub persist: bool,
}

impl Plan {
    /// Unique entries of ~112 bytes, without end, to the log `dev`.
    pub fn synthetic(address: SocketAddr, connections: u32, run: &str) -> Self {
        let run = run.to_owned();
        let entries = Arc::new(move |connection, sequence, out: &mut Vec<u8>| {
            synthetic(&run, connection, sequence, out);
            true
        });
        Self {
            address,
            path: "/dev/add".into(),
            connections,
            headers: String::new(),
            entries,
            persist: false,
        }
    }
}

/// `count` unique entries from each connection.
pub fn limited(run: &str, count: u32) -> Entries {
    let run = run.to_owned();
    Arc::new(move |connection, sequence, out| {
        synthetic(&run, connection, sequence, out);
        sequence < count
    })
}

/// One unique entry of 112 bytes (for a `run` of up to 8 bytes).
pub fn synthetic(run: &str, connection: u32, sequence: u32, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a vector can't fail.
    let _ = write!(
        out,
        "run {run:<8} connection {connection:05} sequence {sequence:010} {:-<62}",
        ""
    );
}

/// The outcome of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged at this global index.
    Acknowledged(u64),
    /// Answered with this status.
    Refused(u16),
    /// No answer: it may be in the log, once, or not.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The outcome of this write.
    pub outcome: Outcome,
    /// When it was answered, microseconds since the start of the run.
    pub end_us: u32,
    /// How long the answer took, microseconds.
    pub took_us: u32,
}

/// The outcome of a run.
pub struct Report {
    /// For each connection its writes, in order of their sequence number.
    pub writes: Vec<Vec<Write>>,
    /// Texts of the first refusals and breaks, for a person.
    pub complaints: Vec<String>,
    /// How long the run took.
    pub took: Duration,
    pub entries: Entries,
}

impl Report {
    pub fn all(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().flatten()
    }
    /// Number of acknowledged writes.
    pub fn acknowledged(&self) -> u64 {
        self.all()
            .filter(|write| matches!(write.outcome, Outcome::Acknowledged(_)))
            .count() as u64
    }
    /// Number of writes that were refused or not answered.
    pub fn failed(&self) -> u64 {
        self.all()
            .filter(|write| !matches!(write.outcome, Outcome::Acknowledged(_)))
            .count() as u64
    }
}

/// A run under way, on threads of its own.
pub struct Load {
    shared: Arc<Shared>,
    start: Instant,
    thread: Option<JoinHandle<Result<Report>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    running: AtomicU64,
    complaints: std::sync::Mutex<Vec<String>>,
}

impl Shared {
    fn complain(&self, text: impl FnOnce() -> String) {
        if let Ok(mut complaints) = self.complaints.lock()
            && complaints.len() < 5
        {
            complaints.push(text());
        }
    }
}

impl Load {
    pub fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared::default());
        shared
            .running
            .store(plan.connections.into(), Ordering::Relaxed);
        let start = Instant::now();
        let thread = {
            let shared = shared.clone();
            std::thread::spawn(move || run(plan, shared, start))
        };
        Self {
            shared,
            start,
            thread: Some(thread),
        }
    }
    /// Acknowledged writes so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }
    /// Refused and unanswered writes so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
    /// Like [`Load::reach`], for goals that are minutes away: only a stretch without any progress is a hang.
    ///
    /// # Errors
    /// When the run ends before, or makes no progress.
    pub fn reach_slowly(&self, acknowledged: u64) -> Result<()> {
        while self.acknowledged() < acknowledged {
            self.reach(acknowledged.min(self.acknowledged() + 100_000))?;
        }
        Ok(())
    }
    /// Waits until that many writes in all are acknowledged.
    ///
    /// # Errors
    /// When the run ends before, or makes no progress.
    pub fn reach(&self, acknowledged: u64) -> Result<()> {
        wait::until(
            &format!(
                "{acknowledged} acknowledged writes, have {}",
                self.acknowledged()
            ),
            || {
                if self.acknowledged() >= acknowledged {
                    return Ok(Some(()));
                }
                if self.shared.running.load(Ordering::Relaxed) == 0 {
                    bail!(
                        "the run ended at {} writes: {:?}",
                        self.acknowledged(),
                        self.shared.complaints.lock()
                    );
                }
                Ok(None)
            },
        )
    }
    /// Lets each connection finish the write it waits for, and ends the run.
    ///
    /// # Errors
    /// When the run could not be made.
    pub fn stop(self) -> Result<Report> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish()
    }
    /// Waits until the entries, or all connections, have come to an end.
    ///
    /// # Errors
    /// When the run could not be made.
    pub fn finish(mut self) -> Result<Report> {
        let thread = self.thread.take().context("a run ends once")?;
        thread
            .join()
            .map_err(|_| anyhow!("the load generator panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn run(plan: Plan, shared: Arc<Shared>, start: Instant) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let writes = runtime.block_on(async {
        let tasks: Vec<_> = (0..plan.connections)
            .map(|connection| {
                let (plan, shared) = (plan.clone(), shared.clone());
                tokio::spawn(async move {
                    let writes = write_all(&plan, &shared, connection, start).await;
                    shared.running.fetch_sub(1, Ordering::Relaxed);
                    writes
                })
            })
            .collect();
        let mut writes = Vec::with_capacity(tasks.len());
        for task in tasks {
            writes.push(task.await?);
        }
        anyhow::Ok(writes)
    })?;
    let complaints = shared
        .complaints
        .lock()
        .map(|list| list.clone())
        .unwrap_or_default();
    Ok(Report {
        writes,
        complaints,
        took: start.elapsed(),
        entries: plan.entries,
    })
}

async fn write_all(plan: &Plan, shared: &Shared, connection: u32, start: Instant) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut socket = None;
    let (mut entry, mut request, mut answer) = (Vec::new(), Vec::new(), Vec::new());
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n{}Content-Length: ",
        plan.path, plan.address, plan.headers
    );
    for sequence in 0.. {
        entry.clear();
        if shared.stop.load(Ordering::Relaxed) || !(plan.entries)(connection, sequence, &mut entry)
        {
            break;
        }
        request.clear();
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(entry.len().to_string().as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(&entry);
        let begin = Instant::now();
        let outcome = match exchange(plan.address, &mut socket, &request, &mut answer).await {
            Ok(Answered { status: 200, body }) => match index(body) {
                Some(index) => {
                    shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                    Outcome::Acknowledged(index)
                }
                None => {
                    shared.complain(|| {
                        format!("200 without an index: {:?}", String::from_utf8_lossy(body))
                    });
                    Outcome::Unknown
                }
            },
            Ok(Answered { status, body }) => {
                shared
                    .complain(|| format!("{status}: {}", String::from_utf8_lossy(body).trim_end()));
                Outcome::Refused(status)
            }
            Err(error) => {
                shared.complain(|| format!("{error:#}"));
                socket = None;
                Outcome::Unknown
            }
        };
        let (end, took) = (start.elapsed(), begin.elapsed());
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        writes.push(Write {
            outcome,
            end_us: micros(end),
            took_us: micros(took),
        });
        if !matches!(outcome, Outcome::Acknowledged(_)) {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            if !plan.persist {
                break;
            }
            // A server that is away or full is asked again soon, not in a spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    writes
}

struct Answered<'a> {
    status: u16,
    body: &'a [u8],
}

/// The first line of the body, decimal.
fn index(body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim_end().parse().ok()
}

/// Sends one request and reads its answer.
async fn exchange<'a>(
    address: SocketAddr,
    socket: &mut Option<TcpStream>,
    request: &[u8],
    buffer: &'a mut Vec<u8>,
) -> Result<Answered<'a>> {
    let stream = match socket {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).await.context("connect")?;
            stream.set_nodelay(true)?;
            socket.insert(stream)
        }
    };
    stream.write_all(request).await.context("send")?;
    buffer.clear();
    let head = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.context("receive")? == 0 {
            bail!("the server closed the connection before it answered");
        }
    };
    let text = std::str::from_utf8(&buffer[..head]).context("headers")?;
    let status = text
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .context("status line")?;
    let mut length = 0usize;
    let mut close = false;
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("Content-Length")?;
            }
            close |= name.eq_ignore_ascii_case("connection")
                && value.trim().eq_ignore_ascii_case("close");
        }
    }
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await.context("receive")? == 0 {
            bail!("the server closed the connection inside an answer");
        }
    }
    if close {
        *socket = None;
    }
    Ok(Answered {
        status,
        body: &buffer[head..head + length],
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_unique_and_of_one_size() {
        let mut seen = std::collections::HashSet::new();
        for connection in 0..20 {
            for sequence in 0..20 {
                let mut entry = Vec::new();
                synthetic("test", connection, sequence, &mut entry);
                assert_eq!(entry.len(), 112);
                assert!(seen.insert(entry));
            }
        }
    }

    #[test]
    fn the_index_is_the_first_line() {
        assert_eq!(index(b"17\n"), Some(17));
        assert_eq!(index(b"17"), Some(17));
        assert_eq!(index(b"17\r\nmore"), Some(17));
        assert_eq!(index(b""), None);
        assert_eq!(index(b"{}"), None);
    }
}
