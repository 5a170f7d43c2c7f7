//! A data plane over a real engine in a temporary folder, and a client that shows every byte: for the tests of this crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineOptions, testing};
use logconfig::LogConfig;
use plane_http::{Limits, Listener, Watch};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::data::DataPlane;
use crate::indexes::Indexes;
use crate::metrics::HttpMetrics;
use crate::readiness::Readiness;
use crate::settings::RekorRoots;

/// Long enough for never.
const LONG: Duration = Duration::from_secs(3600);

/// Opens the folder's engine, as it is.
pub(crate) async fn open(folder: &TempDir) -> Arc<Engine> {
    let path = folder.path();
    let options = EngineOptions {
        ambient: ambient::Ambient::system(),
        ..testing::options(path, &path.join("kek"))
    };
    Engine::open(options).await.unwrap()
}

/// Opens the folder's engine, with one log called `dev`.
pub(crate) async fn engine(folder: &TempDir) -> Arc<Engine> {
    let engine = open(folder).await;
    let config = LogConfig::new(
        "dev".parse().unwrap(),
        "example.org/dev".to_owned(),
        "a".parse().unwrap(),
    );
    // Without intent: tests count the entries of the trail.
    engine
        .create_log_unaudited(config, testing::author())
        .await
        .unwrap();
    engine
}

/// A serving data plane.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) http: Arc<HttpMetrics>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder).await;
        let server = Self::closed(folder, engine).await;
        server.readiness.open(Arc::clone(&server.engine));
        server
    }

    /// One that does not know its engine yet.
    pub(crate) async fn closed(folder: TempDir, engine: Arc<Engine>) -> Self {
        Self::patient(folder, engine, LONG).await
    }

    /// One whose batches may be silent, or behind, for so long.
    pub(crate) async fn hasty(patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder).await;
        let server = Self::patient(folder, engine, patience).await;
        server.readiness.open(Arc::clone(&server.engine));
        server
    }

    async fn patient(folder: TempDir, engine: Arc<Engine>, patience: Duration) -> Self {
        let (readiness, http) = (
            Arc::new(Readiness::default()),
            Arc::new(HttpMetrics::default()),
        );
        let limits = Limits {
            connections: 64,
            header_bytes: 16 << 10,
            header_timeout: LONG,
            body_timeout: LONG,
            idle_timeout: LONG,
            bodies: 1 << 20,
            ..Limits::default()
        };
        let (watch, stop) = (Watch::new(limits), CancellationToken::new());
        let (listener, address) = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let plane = Arc::new(DataPlane::new(
            Arc::clone(&readiness),
            Arc::clone(&http),
            patience,
            LONG,
            RekorRoots::default(),
        ));
        let serving = plane_http::serve(
            listener,
            Arc::clone(&plane),
            Arc::clone(&watch),
            stop.clone(),
            LONG,
        );
        let serving = tokio::spawn(serving.unwrap());
        Self {
            engine,
            plane,
            readiness,
            http,
            watch,
            stop,
            serving,
            address,
            folder,
        }
    }

    /// Follows the logs that have a search index.
    pub(crate) fn follow(&self) -> Arc<Indexes> {
        let indexes = Indexes::new(self.folder.path().join("index"));
        self.readiness.search(Arc::clone(&indexes));
        tokio::spawn(Arc::clone(&indexes).run(Arc::clone(&self.engine)));
        indexes
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, line: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        stream
            .write_all(request(line, &format!("connection: close\r\n{headers}"), body).as_slice())
            .await
            .unwrap();
        let mut replies = read_all(&mut stream, line.starts_with("HEAD")).await;
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    /// As [`Server::ask`], of a server that may answer before it has read everything.
    pub(crate) async fn ask_any(&self, line: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        let bytes = request(line, &format!("connection: close\r\n{headers}"), body);
        let _ = stream.write_all(&bytes).await;
        let mut replies = read_all(&mut stream, false).await;
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), "", b"").await
    }

    pub(crate) async fn get_json(&self, path: &str) -> serde_json::Value {
        let reply = self
            .ask(&format!("GET {path}"), "accept: application/json\r\n", b"")
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    pub(crate) async fn add(&self, body: &[u8]) -> Reply {
        self.ask("POST /dev/add", "", body).await
    }
}

/// The bytes of a request.
pub(crate) fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let own = headers.lines().any(|header| header.starts_with("host: "));
    let host = if own { "" } else { "host: test\r\n" };
    let mut bytes = format!("{line} HTTP/1.1\r\n{host}{headers}").into_bytes();
    if !body.is_empty() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Reads answers until the server closes the connection.
pub(crate) async fn read_all(stream: &mut TcpStream, head_only: bool) -> Vec<Reply> {
    let mut bytes = Vec::new();
    // A reset after the answer (the server did not read all of the body) is an end too.
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    let (mut rest, mut replies) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(rest[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        rest = &rest[end..];
        if !head_only {
            if reply.header("transfer-encoding") == Some("chunked") {
                (reply.body, rest) = unchunked(rest);
            } else {
                let length = reply.header("content-length").unwrap_or("0");
                let length: usize = length.parse().unwrap();
                reply.body = rest[..length].to_vec();
                rest = &rest[length..];
            }
        }
        replies.push(reply);
    }
    replies
}

/// A chunked body, and what comes after it.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body.extend_from_slice(&rest[end + 2..][..length]);
        rest = &rest[end + 2 + length + 2..];
        if length == 0 {
            return (body, rest);
        }
    }
}
