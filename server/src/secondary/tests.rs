//! A secondary on a real socket, and unauthenticated senders whose requests never end.

use plane_http::Limits;
use tempfile::TempDir;
use tlog::mirror::{AddCheckpoint, EntriesHead, push_proof};
use tlog::{Checkpoint, Cosigner, Signer, TreeSize, leaf_hash, tile_root};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Reply, read_all, request};

const LOG: &str = "example.org/log";
const ORIGIN: &str = "example.org/log/a";
/// Entries of the log: one whole package.
const SIZE: u64 = 256;

struct Server {
    mirror: Arc<Mirror>,
    watch: Arc<Watch>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

fn head() -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = EntriesHead {
        origin: ORIGIN.to_owned(),
        start: 0,
        end: SIZE,
        ticket: Vec::new(),
    };
    assert!(head.write(&mut bytes));
    bytes
}

impl Server {
    /// One with memory for two packages, that knows which entries come next.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Signer::from_seed(LOG, &[1; 32]).unwrap();
        let mirror = Mirror::open(MirrorOptions {
            disk: Arc::new(Folder::new(dir.path())),
            logs: vec![key.verifier().clone()],
            cosigner: Cosigner::from_seed("mirror", &[2; 32]).unwrap(),
            rows: Arc::new(Sqlite::open(&dir.path().join("mirror.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.path().join("objects")).unwrap()),
            min_free: 0,
            ambient: Ambient::system(),
        })
        .await
        .unwrap();
        let leaves = std::array::from_fn(|n| leaf_hash(&(n as u64).to_be_bytes()));
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: SIZE,
            root: tile_root(&leaves),
            extensions: Vec::new(),
        };
        let pending = AddCheckpoint {
            old: 0,
            proof: Vec::new(),
            checkpoint: tlog::sign(&checkpoint.to_text(), &[&key]).unwrap(),
        };
        mirror.add_checkpoint(&pending.to_body(), 0).await.unwrap();
        let limits = Limits {
            bodies: 32 << 20,
            ..Limits::default()
        };
        let (mirror, watch) = (Arc::new(mirror), Watch::new(limits));
        let (listener, address) = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let stop = CancellationToken::new();
        let serving = plane_http::serve(
            listener,
            Arc::new(MirrorPlane::new(Arc::clone(&mirror), watch.limits())),
            Arc::clone(&watch),
            stop.clone(),
            Duration::ZERO,
        );
        let serving = tokio::spawn(serving.unwrap());
        Self {
            mirror,
            watch,
            address,
            stop,
            serving,
            _dir: dir,
        }
    }

    /// A request that announces more than it sends.
    async fn begin(&self, path: &str, announced: usize, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("content-length: {announced}\r\n");
        let head = request(&format!("POST {path}"), &head, b"");
        stream.write_all(&head).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream
    }

    async fn ask(&self, path: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let bytes = request(&format!("POST {path}"), "connection: close\r\n", body);
        stream.write_all(&bytes).await.unwrap();
        read_all(&mut stream, false).await.remove(0)
    }
}

#[tokio::test]
async fn what_others_never_end_keeps_no_log_from_being_copied() {
    let server = Server::start().await;
    let mut outsiders = Vec::new();
    for _ in 0..2 {
        let stream = server.begin("/manifest", 1 << 20, b"x").await;
        outsiders.push(stream);
    }
    let mut large = head();
    for _ in 1..SIZE {
        assert!(tlog::bundle::push(&mut large, &[b'x'; 65_535]));
    }
    for _ in 0..3 {
        let stream = server.begin("/add-entries", 17 << 20, &large).await;
        outsiders.push(stream);
    }
    let answer = server.ask("/manifest", b"no manifest").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let mut upload = head();
    for n in 0..SIZE {
        assert!(tlog::bundle::push(&mut upload, &n.to_be_bytes()));
    }
    assert!(push_proof(&mut upload, &[]));
    let answer = server.ask("/add-entries", &upload).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.mirror.status()[0].mirrored, TreeSize::new(SIZE));
    // Senders that were cut off are told, and one that is alone continues.
    let told = &mut outsiders[2];
    let mut status = [0; 12];
    told.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    while server.watch.bodies().held() > 24 << 20 {
        tokio::task::yield_now().await;
    }
    drop(outsiders);
    while server.watch.bodies().held() > 0 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    server.serving.await.unwrap();
}
