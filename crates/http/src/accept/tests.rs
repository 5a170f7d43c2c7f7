//! Readers that do not take their answers, on real connections.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::body::Unread;
use crate::limits::Limits;

/// More than the buffers of a socket take.
const LONG: usize = 16 << 20;

/// Answers with so many bytes as the path says.
struct Plain;

impl Plane for Plain {
    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let unread = Unread::new(head.version, &head.headers, body);
        let bytes = head.uri.path().trim_start_matches('/').parse().unwrap();
        let answer = watched.answer(Bytes::from(vec![b'x'; bytes]));
        let mut response = Response::new(Body::Whole(Bytes::new()));
        match answer {
            Ok(answer) => *response.body_mut() = unread.answer(answer),
            Err(_) => *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE,
        }
        response
    }
}

struct Server {
    watch: Arc<Watch>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        // No memory for bodies.
        let limits = Limits {
            bodies: 0,
            ..Limits::default()
        };
        let (watch, stop) = (Watch::new(limits), CancellationToken::new());
        let (listener, address) = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let serving = serve(
            listener,
            Arc::new(Plain),
            Arc::clone(&watch),
            stop.clone(),
            Duration::ZERO,
        );
        let serving = tokio::spawn(serving.unwrap());
        Self {
            watch,
            address,
            stop,
            serving,
        }
    }

    fn held(&self) -> usize {
        self.watch.answers().held()
    }

    /// The status of the answer with so many bytes, which is taken whole.
    async fn get(&self, bytes: usize) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET /{bytes} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        std::str::from_utf8(&answer[9..12])
            .unwrap()
            .parse()
            .unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_long_answer_counts_while_its_reader_does_not_take_it() {
    let server = Server::start();
    // The second one is answered before it was read to its end.
    for rest in ["\r\n", "content-length: 100000\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /{LONG} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{rest}");
        stream.write_all(request.as_bytes()).await.unwrap();
        // The answer is on its way out, and most of it is still here.
        stream.read_u8().await.unwrap();
        assert!(server.held() >= LONG, "{rest:?}: {}", server.held());
        let mut bytes = Vec::new();
        while bytes.iter().filter(|b| **b == b'x').count() < LONG {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{rest:?}");
        }
        while server.held() > 0 {
            tokio::task::yield_now().await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_listener_that_is_dropped_closes_its_connections() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get(1).await, 200);
    server.serving.abort();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// An HTTP/2 client whose streams take nothing.
struct Stuck {
    stream: TcpStream,
    streams: u32,
}

impl Stuck {
    async fn connect(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        // SETTINGS_INITIAL_WINDOW_SIZE is 0.
        let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
        stream
            .write_all(&[&preface[..], &settings].concat())
            .await
            .unwrap();
        Self { stream, streams: 0 }
    }

    /// Asks for so many bytes.
    async fn get(&mut self, bytes: usize) {
        let path = format!("/{bytes}");
        // GET, http, the path and an authority.
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(&[0x01, 1, b'x']);
        let stream = 2 * self.streams + 1;
        self.streams += 1;
        self.stream
            .write_all(&frame(1, 5, stream, &block))
            .await
            .unwrap();
    }

    /// Has so many pings answered; `false` when the connection has ended.
    async fn pings(&mut self, count: usize) -> bool {
        let pings = frame(6, 0, 0, &[7; 8]).repeat(count);
        let mut left = count;
        if self.stream.write_all(&pings).await.is_err() {
            return false;
        }
        while left > 0 {
            let mut head = [0; 9];
            if self.stream.read_exact(&mut head).await.is_err() {
                return false;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if self.stream.read_exact(&mut payload).await.is_err() {
                return false;
            }
            left -= usize::from(head[3] == 6 && head[4] == 1);
        }
        true
    }
}

#[tokio::test]
async fn pings_do_not_pay_for_an_answer_that_is_not_taken() {
    let server = Server::start();
    let mut stuck = Stuck::connect(&server).await;
    stuck.get(LONG).await;
    while server.held() < LONG {
        tokio::task::yield_now().await;
    }
    let mut seconds = 0;
    // The answers to 300 pings are more than it has to take in a second.
    while stuck.pings(300).await {
        assert!(seconds < 100, "it is still there");
        if seconds % 50 == 0 {
            // So it is not idle.
            stuck.get(0).await;
        }
        server.watch.sweep();
        seconds += 1;
    }
    while server.held() > 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn those_that_take_nothing_make_way_for_other_readers() {
    let server = Server::start();
    let mut stuck = [Stuck::connect(&server).await, Stuck::connect(&server).await];
    for client in &mut stuck {
        client.get(15 << 20).await;
        client.get(15 << 20).await;
    }
    while server.held() < 60 << 20 {
        tokio::task::yield_now().await;
    }
    // A tile of hashes needs no memory of others.
    let mut small = Stuck::connect(&server).await;
    small.get(8 << 10).await;
    assert!(small.pings(1).await);
    assert_eq!(server.get(LONG).await, 503);
    let mut seconds = 0;
    while server.get(LONG).await != 200 {
        assert!(seconds < 10, "they are still there");
        server.watch.sweep();
        seconds += 1;
    }
    server.stop().await;
}
