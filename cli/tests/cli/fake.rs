//! An admin endpoint that says what it is told to say, on a Unix socket or a loopback port, and remembers what it was
//! asked. Plain enough to do what no honest server does: hang up in the middle.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::runner::HANG_TIMEOUT;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Different for each connection.
    pub(crate) connection: u64,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status and JSON body.
    Json(u16, Value),
    Problem(u16, Value),
    /// A file of a log.
    File(Vec<u8>),
    /// Server-sent events, and the end of the connection.
    Events(Vec<Value>),
    /// Something that is no admin endpoint.
    Html(u16),
    /// The connection closes without an answer.
    HangUp,
    /// Nothing happens until the client gives up.
    Silence,
}

/// The answers, by `METHOD /path` below `/admin/v1`; each list is used up to its last, which stays.
pub(crate) type Script = HashMap<String, Vec<Answer>>;

#[derive(Clone)]
pub(crate) struct Fake {
    script: Arc<Mutex<Script>>,
    asked: Arc<(Mutex<Vec<Asked>>, Condvar)>,
}

trait Stream: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> Self;
}

impl Stream for UnixStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }
}

impl Stream for TcpStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }
}

impl Fake {
    pub(crate) fn on_socket(path: &Path) -> Self {
        let fake = Self::new();
        let (listener, server) = (UnixListener::bind(path).unwrap(), fake.clone());
        std::thread::spawn(move || {
            listener
                .incoming()
                .for_each(|stream| server.clone().spawn(stream.unwrap()))
        });
        fake
    }

    /// The port it listens on, too.
    pub(crate) fn on_loopback() -> (Self, u16) {
        let fake = Self::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, server) = (listener.local_addr().unwrap().port(), fake.clone());
        std::thread::spawn(move || {
            listener
                .incoming()
                .for_each(|stream| server.clone().spawn(stream.unwrap()))
        });
        (fake, port)
    }

    fn new() -> Self {
        Self {
            script: Arc::new(Mutex::new(happy())),
            asked: Arc::default(),
        }
    }

    /// Answers `request` (`PUT /logs/dev/config?dryRun=true`) like this from now on.
    pub(crate) fn says(&self, request: &str, answers: impl IntoIterator<Item = Answer>) -> &Self {
        self.script
            .lock()
            .unwrap()
            .insert(request.to_owned(), answers.into_iter().collect());
        self
    }

    /// All requests whose method is this one.
    pub(crate) fn asked(&self, method: &str) -> Vec<Asked> {
        let asked = self.asked.0.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.method == method)
            .cloned()
            .collect()
    }

    /// Waits until such a request arrives.
    pub(crate) fn wait_for(&self, method: &str, path: &str) {
        let wanted = |asked: &Asked| asked.method == method && asked.path.starts_with(path);
        let asked = self.asked.0.lock().unwrap();
        let unasked = |asked: &mut Vec<Asked>| !asked.iter().any(wanted);
        let waited = self
            .asked
            .1
            .wait_timeout_while(asked, HANG_TIMEOUT, unasked);
        let (asked, waited) = waited.unwrap();
        drop(asked);
        assert!(!waited.timed_out(), "nobody asks for {method} {path}");
    }

    fn spawn(self, stream: impl Stream) {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(
            move || while self.serve(number, stream.twin(), stream.twin()).is_some() {},
        );
    }

    fn serve(&self, connection: u64, input: impl Read, mut output: impl Write) -> Option<()> {
        let mut input = BufReader::new(input);
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let (method, rest) = line.split_once(' ')?;
        let path = rest.split(' ').next()?;
        let path = path.strip_prefix("/admin/v1").unwrap_or(path).to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            input.read_line(&mut header).ok()?;
            match header.trim().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        input.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let request = format!("{method} {path}");
        self.asked.0.lock().unwrap().push(Asked {
            method: method.to_owned(),
            path,
            connection,
            headers,
            body,
        });
        self.asked.1.notify_all();
        let (status, kind, body) = match self.answer(&request) {
            Answer::Json(status, body) => {
                (status, "application/json", body.to_string().into_bytes())
            }
            Answer::Problem(status, body) => (
                status,
                "application/problem+json",
                body.to_string().into_bytes(),
            ),
            Answer::Events(events) => {
                let body: String = events
                    .iter()
                    .map(|event| format!("event: operation\ndata: {event}\n\n"))
                    .collect();
                (200, "text/event-stream", body.into_bytes())
            }
            Answer::File(bytes) => (200, "application/octet-stream", bytes),
            Answer::Html(status) => (status, "text/html", "<h1>hello</h1>".into()),
            Answer::HangUp => return None,
            // Until the other side closes.
            Answer::Silence => return input.read(&mut [0]).ok().and(None),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        output.write_all(&[head.into_bytes(), body].concat()).ok()
    }

    pub(crate) fn answer(&self, request: &str) -> Answer {
        let mut script = self.script.lock().unwrap();
        match script.get_mut(request) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => problem(404, "not-found", &format!("nothing at {request}")),
        }
    }
}

pub(crate) const OPERATION: &str = "0123456789abcdef0123456789abcdef";
const HEX: &str = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";

/// The configuration that the fake runs, generation 7.
pub(crate) fn running() -> logconfig::LogConfig {
    let mut config = logconfig::parse(
        "apiVersion: logctl/v1\nkind: LogConfig\nlog: dev\norigin: log.example.org/dev\nshards:\n  - {name: 2026a, state: active}\n",
    )
    .unwrap();
    config.generation = Some(7);
    config
}

pub(crate) fn problem(status: u16, code: &str, detail: &str) -> Answer {
    problem_with(status, code, detail, json!({}))
}

pub(crate) fn problem_with(status: u16, code: &str, detail: &str, more: Value) -> Answer {
    let mut body = json!({ "type": format!("urn:logctl:problem:{code}"), "title": code, "status": status, "code": code, "detail": detail });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Answer::Problem(status, body)
}

pub(crate) fn operation(action: &str, state: &str, generations: [u64; 2]) -> Value {
    json!({ "id": OPERATION, "log": "dev", "action": action, "state": state, "baseGeneration": generations[0],
        "generation": generations[1], "etag": format!("g{}-00c0ffee", generations[1]),
        "decidedAt": "2026-11-21T08:00:00Z", "atIndex": 1000, "actor": "uid:0",
        "differences": [
            { "subject": "shard 2026a", "before": "active", "after": "frozen" },
            { "subject": "shard 2026b", "after": "active" } ],
        "replicas": [replica("one:11", generations[1])] })
}

pub(crate) fn replica(label: &str, generation: u64) -> Value {
    json!({ "id": "00112233445566aa", "label": label, "format": 1, "generation": generation, "ageSeconds": 1 })
}

pub(crate) fn status(log: &str) -> Value {
    json!({ "log": log, "condition": "open", "generation": 7, "etag": "g7-1a2b3c4d",
        "watermarks": { "ordered": 1000, "integrated": 990, "published": 980 },
        "publishedAt": "2026-11-21T08:00:00Z",
        "shards": [
            { "name": "2025z", "state": "frozen", "treeId": "5577006791947779410", "origin": format!("log.example.org/{log}/2025z"),
              "vkey": format!("log.example.org/{log}/2025z+c1d2e3f4+AQIDBAUG"), "startIndex": 0, "length": 600, "published": 600, "rootHash": HEX },
            { "name": "2026a", "state": "active", "treeId": "8674665223082153551", "origin": format!("log.example.org/{log}/2026a"),
              "vkey": format!("log.example.org/{log}/2026a+a1b2c3d4+AQIDBAUH"), "startIndex": 600, "length": 400, "published": 380, "rootHash": HEX },
            { "name": "2026b", "state": "planned", "treeId": "6129484611666145821", "origin": format!("log.example.org/{log}/2026b"),
              "vkey": format!("log.example.org/{log}/2026b+b1b2c3d4+AQIDBAUI") } ] })
}

fn happy() -> Script {
    let ok = |value: Value| vec![Answer::Json(200, value)];
    let mut script = Script::new();
    let mut says = |request: &str, value: Value| script.insert(request.to_owned(), ok(value));
    says("GET /logs", json!({ "logs": [status("dev")] }));
    says("GET /logs/dev", status("dev"));
    says(
        "GET /whoami",
        json!({ "actor": "uid:0", "permissions": ["*:*:*"] }),
    );
    says(
        "GET /logs/dev/config",
        json!({ "etag": running().etag(7), "config": running() }),
    );
    says(
        "GET /logs/dev/history",
        json!({ "history": [
        { "generation": 7, "action": "rotate", "time": "2026-11-21T08:00:00Z", "slot": 42, "atIndex": 600,
          "operation": OPERATION, "actor": "token:ci", "summary": "opened 2026a, froze 2025z at 600" },
        { "generation": 1, "action": "create", "time": "2025-12-01T08:00:00Z", "slot": 0, "atIndex": 0,
          "operation": OPERATION, "summary": "created with 2025z" } ] }),
    );
    says(
        "GET /operations?log=dev",
        json!({ "operations": [operation("rotate", "done", [6, 7])] }),
    );
    says(
        &format!("GET /operations/{OPERATION}"),
        operation("rotate", "done", [7, 8]),
    );
    let replicas = json!({ "replicas": [replica("one:11", 7), replica("two:22", 7)] });
    says("GET /replicas?log=dev", replicas);
    for (request, action) in [
        ("PUT /logs/dev/config", "configure"),
        ("POST /logs/dev/rotations", "rotate"),
        ("POST /logs/dev/shards", "plan"),
        ("POST /logs/dev/freeze", "freeze"),
        ("POST /logs/dev/unfreeze", "unfreeze"),
    ] {
        says(
            &format!("{request}?dryRun=true"),
            operation(action, "planned", [7, 8]),
        );
        says(request, operation(action, "decided", [7, 8]));
    }
    script
}

/// A loopback address where nothing listens.
pub(crate) fn nowhere() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
