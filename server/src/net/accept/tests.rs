//! Readers that do not take their answers, on real connections.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::data::Unread;
use crate::net::limits::Limits;

/// More than the buffers of a socket take.
const LONG: usize = 16 << 20;

/// Answers with so many bytes as the path says.
struct Plain;

impl Plane for Plain {
    async fn answer(
        &self,
        watched: &Watched,
        request: Request<Incoming>,
    ) -> Result<hyper::Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let unread = Unread::new(head.version, &head.headers, body);
        let bytes = head.uri.path().trim_start_matches('/').parse().unwrap();
        let answer = watched.answer(Bytes::from(vec![b'x'; bytes])).unwrap();
        watched.enter(crate::net::watch::Phase::Idle);
        Ok(Response::new(unread.answer(answer)))
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
        let (watch, stop) = (Watch::new(Limits::default()), CancellationToken::new());
        let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let serving = tokio::spawn(serve(
            TcpListener::from_std(listener).unwrap(),
            None,
            Arc::new(Plain),
            Arc::clone(&watch),
            stop.clone(),
            Duration::ZERO,
        ));
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
