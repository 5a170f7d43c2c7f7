//! HTTP as clients speak it: connections in memory to the data plane of a server, and what an answer means.
//!
//! The listener, the parsing of requests and the handlers are those that ship ([`logd::memory`]). What is here reads answers as the
//! documentation of the interface has it (docs/errors.md, docs/writing.md), and shares no code with the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::AppendError;
use logd::memory::MemoryPlane;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::plan::Plan;
use crate::random::Dice;
use crate::server::Running;
use crate::world::World;

/// How much of a life goes through HTTP, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Of what writers send.
    pub writes: u32,
    /// Of what readers ask for.
    pub reads: u32,
    /// Of the requests: the connection ends before the request does.
    pub breaks: u32,
}

impl Http {
    /// Whether servers have connections at all.
    pub fn is_used(self) -> bool {
        self != Self::default()
    }
}

/// Clients that speak HTTP, in three of five lives. Drawn from a stream of its own, so that lives without HTTP do not depend on it.
pub fn join(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed).fork("http");
    if !dice.chance(600_000) {
        return;
    }
    let mut share = |low: u64, high: u64| u32::try_from(dice.spread(low, high)).unwrap_or(0);
    plan.http = Http {
        writes: share(50_000, 1_000_000),
        reads: share(50_000, 1_000_000),
        breaks: share(1, 100_000),
    };
}

/// Why a write has no place, as its writer understands what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is in the log, or not.
    Unknown,
    /// Its key belongs to a write with another body.
    KeyReused,
    /// The upload stands at this entry.
    UploadAt(u64),
    /// Nothing was written, for this reason.
    Refused(String),
}

impl From<AppendError> for Told {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unknown => Self::Unknown,
            AppendError::KeyReused => Self::KeyReused,
            AppendError::UploadAt { accepted } => Self::UploadAt(accepted),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A request as its client means it.
#[derive(Clone, Debug)]
pub struct Request {
    line: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Request {
    /// Asks for a path, without a body.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path, Bytes::new())
    }

    /// Sends a body to a path.
    pub fn post(path: &str, body: Bytes) -> Self {
        Self::new("POST", path, body)
    }

    fn new(method: &str, path: &str, body: Bytes) -> Self {
        Self {
            line: format!("{method} {path}"),
            headers: Vec::new(),
            body,
        }
    }

    /// The same with a header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer that came whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of HTTP that came.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, without the form of its transfer.
    pub body: Bytes,
}

impl Answer {
    /// The value of a header, by its name in lowercase letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text; empty if it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// Why nothing was written, or that nobody knows, as docs/errors.md says of this status.
    pub fn told(&self) -> Told {
        match self.status {
            500 => Told::Unknown,
            422 => Told::KeyReused,
            status => {
                let text = self.text().trim();
                let text: String = text.chars().take(200).collect();
                Told::Refused(format!("HTTP {status}: {text}"))
            }
        }
    }
}

/// Each code of docs/errors.md with its status, and whether `Retry-After` comes with it.
const CODES: [(&str, u16, bool); 37] = [
    ("bad-request", 400, false),
    ("no-promise", 400, false),
    ("bad-advice", 400, false),
    ("bad-batch", 400, false),
    ("unauthenticated", 401, false),
    ("unknown-log", 404, false),
    ("unknown-shard", 404, false),
    ("not-found", 404, false),
    ("method-not-allowed", 405, false),
    ("slow-body", 408, false),
    ("frozen", 409, false),
    ("closing", 409, false),
    ("fronted", 409, false),
    ("wrong-shard", 409, false),
    ("upload-offset", 409, false),
    ("upload-superseded", 409, false),
    ("deleted", 410, false),
    ("too-large", 413, false),
    ("too-many-ranges", 413, false),
    ("unsupported-media-type", 415, false),
    ("idempotency-key-reused", 422, false),
    ("limited", 429, true),
    ("unknown-outcome", 500, false),
    ("damaged", 500, false),
    ("store-failed", 500, false),
    ("starting", 503, true),
    ("unwitnessed", 503, true),
    ("unsigned", 503, true),
    ("overloaded", 503, true),
    ("no-room", 503, true),
    ("upload-busy", 503, true),
    ("too-many-bodies", 503, true),
    ("too-many-answers", 503, true),
    ("too-many-batches", 503, true),
    ("shutting-down", 503, true),
    ("halted", 503, false),
    ("full", 507, false),
];

/// Whether an answer has a status and the form that the documentation says.
fn documented(answer: &Answer) -> Result<(), String> {
    if [200, 202].contains(&answer.status) {
        return Ok(());
    }
    let after = answer.header("retry-after");
    let seconds = after.map(str::parse::<u64>);
    if seconds.is_some_and(|seconds| !seconds.is_ok_and(|seconds| seconds > 0)) {
        return Err(format!("Retry-After: {after:?}"));
    }
    if answer.header("cache-control") != Some("no-store") {
        return Err("a refusal that caches may keep".to_owned());
    }
    let known = CODES.iter();
    let mut possible: Vec<_> = known.filter(|known| known.1 == answer.status).collect();
    if answer.header("content-type") == Some("application/problem+json") {
        let problem = answer.json();
        possible.retain(|known| problem["code"] == known.0);
        if problem["status"] != u64::from(answer.status) {
            return Err("a problem of another status".to_owned());
        }
    }
    match possible.as_slice() {
        [] => Err("no code of this status is documented".to_owned()),
        all if after.is_none() && all.iter().all(|known| known.2) => {
            Err("no Retry-After".to_owned())
        }
        _ => Ok(()),
    }
}

/// How a request is sent.
#[derive(Clone, Debug, Default)]
struct Manner {
    /// Bytes of a chunk; 0 for a body of a known length.
    chunk: usize,
    /// The client is silent after this many bytes, for this time.
    pause: Option<(usize, Duration)>,
    /// It closes its side when all is sent.
    closes: bool,
    /// The connection ends after this many bytes.
    cut: Option<usize>,
}

/// Somebody who speaks HTTP now and then.
pub struct Client {
    world: Arc<World>,
    name: String,
    dice: Dice,
}

/// A client's way to one server.
#[derive(Clone)]
pub struct Way {
    /// The world of this life.
    pub world: Arc<World>,
    plane: Arc<MemoryPlane>,
    name: String,
}

/// A request that is about to be sent.
pub struct Call {
    /// The way that it goes.
    pub way: Way,
    line: String,
    bytes: Vec<u8>,
    /// How long its head is.
    head: usize,
    manner: Manner,
}

impl Client {
    /// A client with decisions of its own.
    pub fn new(world: &Arc<World>, name: &str) -> Self {
        Self {
            world: Arc::clone(world),
            name: name.to_owned(),
            dice: world.dice(&format!("{name} http")),
        }
    }

    /// The dice of its own decisions.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// The way to a server, if a write goes through HTTP now.
    pub fn writes(&mut self, running: &Running) -> Option<Way> {
        self.way(running, self.world.plan.http.writes)
    }

    /// The way to a server, if a reader uses HTTP now.
    pub fn reads(&mut self, running: &Running) -> Option<Way> {
        self.way(running, self.world.plan.http.reads)
    }

    fn way(&mut self, running: &Running, share: u32) -> Option<Way> {
        let plane = running.http.as_ref()?;
        self.dice.chance(share).then(|| Way {
            world: Arc::clone(&self.world),
            plane: Arc::clone(plane),
            name: self.name.clone(),
        })
    }

    /// Prepares a request, and draws how it is sent. `breaks`: its connection may end before it is sent.
    pub fn call(&mut self, way: Way, request: Request, breaks: bool) -> Call {
        let length = request.body.len() as u64;
        let mut manner = Manner::default();
        if length > 0 && self.dice.chance(250_000) {
            // Few of them: a short one costs as much as a long one.
            let chunk = self.dice.spread(1, length).max(length / 16);
            manner.chunk = usize::try_from(chunk).unwrap_or(1);
        }
        let mut call = Call::new(way, request, manner);
        let last = call.bytes.len() as u64 - 1;
        let somewhere = |dice: &mut Dice| usize::try_from(dice.between(0, last)).unwrap_or(0);
        if self.dice.chance(30_000) {
            let pause = self.dice.span(1, 60_000);
            call.manner.pause = Some((somewhere(&mut self.dice), pause));
        }
        call.manner.closes = self.dice.chance(100_000);
        let share = self.world.plan.http.breaks;
        if breaks && self.dice.chance(share) {
            call.manner.cut = Some(somewhere(&mut self.dice));
        }
        call
    }
}

impl Way {
    /// Reports a violation, unless what servers say is void.
    pub fn object(&self, rule: &'static str, what: String) {
        if !self.world.judge.is_in_doubt() {
            self.world
                .judge
                .object(rule, format!("{}: {what}", self.name));
        }
    }

    /// The answer to a request that is sent at once, if one comes.
    pub async fn ask(self, request: Request) -> Option<Answer> {
        Call::new(self, request, Manner::default()).send().await
    }
}

impl Call {
    fn new(way: Way, request: Request, manner: Manner) -> Self {
        let Request {
            line,
            headers,
            body,
        } = request;
        let mut bytes = format!("{line} HTTP/1.1\r\nhost: log\r\nconnection: close\r\n");
        for (name, value) in &headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        bytes += &match (body.len(), manner.chunk) {
            (0, _) => "\r\n".to_owned(),
            (length, 0) => format!("content-length: {length}\r\n\r\n"),
            _ => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        };
        let mut bytes = bytes.into_bytes();
        let head = bytes.len();
        if manner.chunk == 0 {
            bytes.extend_from_slice(&body);
        } else {
            for chunk in body.chunks(manner.chunk) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        Self {
            way,
            line,
            bytes,
            head,
            manner,
        }
    }

    /// How many bytes of the body are sent before the connection ends; `None` if all of the request is.
    pub fn broken_off(&self) -> Option<usize> {
        let mut left = self.manner.cut?.saturating_sub(self.head);
        let chunk = self.manner.chunk;
        if chunk == 0 {
            return Some(left);
        }
        let mut sent = 0;
        let frame = format!("{chunk:x}\r\n").len();
        while left > frame {
            sent += (left - frame).min(chunk);
            left = left.saturating_sub(frame + chunk + 2);
        }
        Some(sent)
    }

    /// The answer, if one comes.
    pub async fn send(self) -> Option<Answer> {
        let mut stream = self.way.plane.connect();
        let sent = self.manner.cut.unwrap_or(self.bytes.len());
        let bytes = &self.bytes[..sent];
        let (at, pause) = self.manner.pause.unwrap_or_default();
        let (first, rest) = bytes.split_at(at.min(sent));
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(first).await;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let _ = stream.write_all(rest).await;
        if self.manner.closes || self.manner.cut.is_some() {
            let _ = stream.shutdown().await;
        }
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        let answer = match parsed(&all) {
            Ok(answer) => answer,
            Err(what) => {
                self.object(&format!("{what}: {}", String::from_utf8_lossy(&all)));
                None
            }
        };
        let how = answer.as_ref().map_or(0, |answer| answer.status);
        let trace = &self.way.world.trace;
        trace.step(&self.way.name, "asks", &self.line, &how.to_string());
        let answer = answer?;
        if self.manner.cut.is_none()
            && let Err(what) = documented(&answer)
        {
            self.object(&format!("{what}: {answer:?}"));
        }
        Some(answer)
    }

    fn object(&self, what: &str) {
        let rule = "an answer is what its documentation says";
        let what: String = what.chars().take(600).collect();
        let what = format!("{}, {}: {what}", self.way.name, self.line);
        self.way.world.judge.object(rule, what);
    }
}

/// The answer in these bytes; `None` where the connection ended before it did.
fn parsed(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|e| e.to_string())?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)?.parse().ok());
    let status = status.ok_or("no status line")?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or("not a header")?;
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Bytes::new(),
    };
    let length = answer.header("content-length").map(str::parse::<usize>);
    let body = match (answer.header("transfer-encoding"), length) {
        (Some("chunked"), None) => unchunked(body)?,
        (None, Some(Ok(length))) if body.len() > length => {
            return Err("bytes after the end of the answer".to_owned());
        }
        (None, Some(Ok(length))) => (body.len() == length).then(|| body.to_vec()),
        _ => return Err("a body of no length".to_owned()),
    };
    Ok(body.map(|body| {
        answer.body = body.into();
        answer
    }))
}

/// A chunked body; `None` where it ends early.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let length = std::str::from_utf8(&rest[..line]).unwrap_or_default();
        let length = usize::from_str_radix(length, 16).map_err(|e| e.to_string())?;
        rest = &rest[line + 2..];
        let Some(chunk) = rest.get(..length + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..length]);
        rest = &rest[length + 2..];
        match (length, rest) {
            (0, []) => return Ok(Some(body)),
            (0, _) => return Err("bytes after the end of the answer".to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Option<(u16, Bytes)> {
        let answer = parsed(text.as_bytes()).unwrap();
        answer.map(|answer| (answer.status, answer.body))
    }

    #[test]
    fn an_answer_that_ends_early_is_none() {
        let fixed = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n7\n";
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n7\n\r\n0\r\n\r\n";
        for whole in [fixed, chunked] {
            assert_eq!(status(whole), Some((200, Bytes::from("7\n"))));
            for end in 0..whole.len() {
                assert_eq!(status(&whole[..end]), None, "{end}");
            }
            assert!(parsed(format!("{whole}x").as_bytes()).is_err());
        }
    }

    #[test]
    fn a_refusal_has_a_documented_code() {
        let answer = |status: u16, headers: &[(&str, &str)], body: &str| Answer {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned().into(),
        };
        let (store, later) = (("cache-control", "no-store"), ("retry-after", "1"));
        let json = ("content-type", "application/problem+json");
        assert!(documented(&answer(429, &[store, later], "")).is_ok());
        assert!(documented(&answer(429, &[store], "")).is_err());
        assert!(documented(&answer(429, &[store, ("retry-after", "0")], "")).is_err());
        assert!(documented(&answer(503, &[store], "halted")).is_ok());
        let overloaded = r#"{"code":"overloaded","status":503}"#;
        assert!(documented(&answer(503, &[store, json], overloaded)).is_err());
        assert!(documented(&answer(503, &[store, json, later], overloaded)).is_ok());
        assert!(documented(&answer(500, &[store, json, later], overloaded)).is_err());
        assert!(documented(&answer(502, &[store, later], "")).is_err());
        assert!(documented(&answer(404, &[], "")).is_err());
    }
}
