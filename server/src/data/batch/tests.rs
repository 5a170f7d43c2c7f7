//! Batches over a real engine, byte by byte as a client sends them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::CHUNK;
use crate::testing::{Reply, Server, read_all};
use tlog::GlobalIndex;

const BUNDLE: &str = "content-type: application/octet-stream\r\n";
const LINES: &str = "content-type: application/x-ndjson\r\n";

fn bundle(entries: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&entry);
    }
    bytes
}

/// Entries of a hundred bytes that are all different.
fn numbered(range: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|n| format!("{n:0100}").into_bytes())
}

async fn batch(server: &Server, headers: &str, body: &[u8]) -> Reply {
    server.ask("POST /dev/add-batch", headers, body).await
}

/// Every entry that the ranges name is the one that was sent there.
async fn check(server: &Server, ranges: &Value, entries: &[Vec<u8>]) {
    let log = server.engine.log("dev").unwrap();
    let mut seen = 0;
    for range in ranges.as_array().unwrap() {
        let number = |name: &str| range[name].as_u64().unwrap();
        for n in 0..number("entries") {
            let at = usize::try_from(number("first") + n).unwrap();
            let entry = log
                .entry(GlobalIndex::new(number("index") + n))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(entry.bytes, entries[at], "{range} {n}");
            seen += 1;
        }
    }
    assert_eq!(seen, entries.len());
}

#[tokio::test]
async fn both_encodings_land_where_the_answer_says() {
    let server = Server::start().await;
    let entries: Vec<_> = numbered(0..3000).collect();
    let reply = batch(&server, BUNDLE, &bundle(entries.clone())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("log-tier"), Some("interactive"));
    assert!(reply.text().ends_with("}\n") && reply.text().lines().count() == 1);
    let done = reply.json();
    assert_eq!(
        (&done["entries"], &done["shard"]),
        (&json!(3000), &json!("a"))
    );
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(2999)).await.unwrap();
    check(&server, &done["ranges"], &entries).await;
    let reply = batch(
        &server,
        LINES,
        b"{\"entry\":\"aGVsbG8=\"}\n{\"entry\":\"d29ybGQ=\"}",
    )
    .await;
    assert_eq!(
        reply.json(),
        json!({"entries": 2, "accepted": 2, "shard": "a", "ranges": [{"first": 0, "index": 3000, "entries": 2}]})
    );
    log.wait_published(GlobalIndex::new(3001)).await.unwrap();
    assert_eq!(
        log.entry(GlobalIndex::new(3001))
            .await
            .unwrap()
            .unwrap()
            .bytes,
        "world"
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_anything_is_taken() {
    let server = Server::start().await;
    let good = bundle([b"x".to_vec()]);
    let cut = &bundle([b"x".to_vec(), b"yz".to_vec()])[..6];
    for (query, headers, body, status, code) in [
        ("", "", &good[..], 415, "unsupported-media-type"),
        (
            "",
            "content-type: text/plain\r\n",
            &good,
            415,
            "unsupported-media-type",
        ),
        (
            "",
            "content-type: application/octet-stream\r\ncontent-encoding: gzip\r\n",
            &good,
            415,
            "unsupported-media-type",
        ),
        ("", BUNDLE, b"", 400, "bad-batch"),
        ("", LINES, b"", 400, "bad-batch"),
        ("", BUNDLE, b"\x00", 400, "bad-batch"),
        ("", BUNDLE, b"\x00\x00", 400, "bad-batch"),
        ("", BUNDLE, cut, 400, "bad-batch"),
        ("", BUNDLE, b"plain text", 400, "bad-batch"),
        ("", LINES, b"plain text\n", 400, "bad-batch"),
        ("?what=1", BUNDLE, &good, 400, "bad-request"),
        ("?upload=1", BUNDLE, &good, 400, "bad-request"),
        ("?offset=1", BUNDLE, &good, 400, "bad-request"),
    ] {
        let headers = format!("accept: application/json\r\n{headers}");
        let line = format!("POST /dev/add-batch{query}");
        let reply = server.ask_any(&line, &headers, body).await;
        let problem = reply.json();
        assert_eq!(
            (
                reply.status,
                problem["code"].as_str(),
                problem["status"].as_u64()
            ),
            (status, Some(code), Some(u64::from(status))),
            "{query} {headers} {body:?}: {problem}"
        );
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
    }
    let reply = server.ask_any("POST /nope/add-batch", BUNDLE, &good).await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        server.ask("PUT /dev/add-batch", BUNDLE, &good).await.status,
        405
    );
    assert_eq!(server.get_json("/dev/watermarks").await["ordered"], 0);
}

/// The entries before the fault stay, and the answer says how many they are.
#[tokio::test]
async fn a_fault_late_in_the_body_keeps_what_came_before() {
    let server = Server::start().await;
    let entries: Vec<_> = numbered(0..5000).collect();
    let mut body = bundle(entries.clone());
    body.extend_from_slice(b"\xff\xfftoo short");
    let reply = server.ask_any("POST /dev/add-batch", BUNDLE, &body).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let problem = reply.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("inside entry 5000") && detail.contains("9 of 65535"),
        "{detail}"
    );
    let accepted = usize::try_from(problem["accepted"].as_u64().unwrap()).unwrap();
    // All but what was not yet a chunk.
    assert!(
        (1..5000).contains(&accepted) && (5000 - accepted) * 102 <= CHUNK,
        "{accepted}"
    );
    assert_eq!(problem["entries"], accepted);
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(accepted as u64 - 1))
        .await
        .unwrap();
    check(&server, &problem["ranges"], &entries[..accepted]).await;
    assert_eq!(
        log.status().watermarks.ordered,
        GlobalIndex::new(accepted as u64)
    );
}

/// The answer comes though the client has much more to send, and sends it.
#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /dev/add-batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{BUNDLE}content-length: 3000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // An empty entry first, and then far more than fits into the buffers of a socket.
    stream.write_all(&vec![0; 3_000_000]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("entry 0 of this body is empty"), "{answer}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_keeps_the_chunks_that_came() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let body = bundle(numbered(0..2000));
    let head = format!(
        "POST /dev/add-batch HTTP/1.1\r\nhost: x\r\n{BUNDLE}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..150_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(read_all(&mut stream, false).await);
    let log = server.engine.log("dev").unwrap();
    // Two whole chunks of 642 entries; the third was not whole.
    log.wait_published(GlobalIndex::new(1283)).await.unwrap();
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(1284));
    assert_eq!(
        log.entry(GlobalIndex::new(1283))
            .await
            .unwrap()
            .unwrap()
            .bytes,
        format!("{:0100}", 1283)
    );
}

/// A stop ends an upload between two frames, with an answer that says how far it came.
#[tokio::test]
async fn a_stop_ends_an_upload_and_says_how_far_it_came() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /dev/add-batch HTTP/1.1\r\nhost: x\r\n{BUNDLE}transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = bundle(numbered(0..1000));
    let mut piece = format!("{:x}\r\n", body.len()).into_bytes();
    piece.extend_from_slice(&body);
    piece.extend_from_slice(b"\r\n");
    stream.write_all(&piece).await.unwrap();
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(641)).await.unwrap();
    server.readiness.drain();
    server.readiness.close();
    stream.write_all(b"3\r\n\x00\x01x\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let mut rest = vec![0; 4096];
    let read = stream.read(&mut rest).await.unwrap();
    let rest = String::from_utf8_lossy(&rest[..read]).to_lowercase();
    assert!(rest.contains("retry-after: 1\r\n"), "{rest}");
    assert!(rest.contains("\"accepted\":642"), "{rest}");
}

/// A place is for those that send: bytes now and then are not enough to keep one, and what came is taken anyway.
#[tokio::test]
async fn a_batch_that_drips_is_told_and_loses_its_place() {
    // Long against every pause of the machine.
    const BODY_TIMEOUT: Duration = Duration::from_secs(5);
    let server = Server::hasty(BODY_TIMEOUT).await;
    let stream = server.connect().await;
    let (mut reads, mut writes) = stream.into_split();
    let head = format!(
        "POST /dev/add-batch HTTP/1.1\r\nhost: x\r\n{BUNDLE}transfer-encoding: chunked\r\n\r\n"
    );
    writes.write_all(head.as_bytes()).await.unwrap();
    let body = bundle(numbered(0..700));
    let mut piece = format!("{:x}\r\n", body.len()).into_bytes();
    piece.extend_from_slice(&body);
    piece.extend_from_slice(b"\r\n");
    writes.write_all(&piece).await.unwrap();
    let drip = tokio::spawn(async move {
        // Never silent for long.
        while writes.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    // While nobody needs its place it continues, however far it is behind.
    tokio::select! {
        told = reads.read_exact(&mut answer) => panic!("{told:?}"),
        () = tokio::time::sleep(2 * BODY_TIMEOUT) => {}
    }
    let mut others = server.watch.bodies().begin(0).unwrap();
    others.grow(600 << 10).unwrap();
    reads.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    let mut rest = vec![0; 4096];
    let read = reads.read(&mut rest).await.unwrap();
    let rest = String::from_utf8_lossy(&rest[..read]).to_lowercase();
    assert!(rest.contains("\"code\":\"slow-body\""), "{rest}");
    assert!(rest.contains("4096 bytes a second"), "{rest}");
    assert!(rest.contains("\"accepted\":642"), "{rest}");
    drip.abort();
}

const ID: &str = "00112233445566778899aabbccddeeff";

async fn progress(server: &Server, id: &str) -> Value {
    server
        .get_json(&format!("/dev/add-batch?upload={id}"))
        .await
}

/// However often the whole body, or a part of it, is sent again: nothing is written twice, nothing is passed over.
#[tokio::test]
async fn an_upload_sent_again_is_written_once() {
    let server = Server::start().await;
    let entries: Vec<_> = numbered(0..12_000).collect();
    let body = bundle(entries.clone());
    assert_eq!(
        progress(&server, ID).await,
        json!({"accepted": 0, "ranges": []})
    );
    let line = format!("POST /dev/add-batch?upload={ID}");
    // A beginning, the whole, the whole once more, and its end.
    let done = server.ask(&line, BUNDLE, &body[..102 * 5000]).await.json();
    assert_eq!(
        (&done["entries"], &done["accepted"]),
        (&json!(5000), &json!(5000))
    );
    let done = server.ask(&line, BUNDLE, &body).await.json();
    assert_eq!(
        (&done["entries"], &done["accepted"]),
        (&json!(7000), &json!(12_000))
    );
    assert_eq!(
        done["ranges"],
        json!([{"first": 5000, "index": 5000, "entries": 7000}])
    );
    let done = server.ask(&line, BUNDLE, &body).await.json();
    assert_eq!(
        (&done["entries"], &done["accepted"]),
        (&json!(0), &json!(12_000))
    );
    let rest = format!("{line}&offset=11000");
    let more = bundle(numbered(11_000..12_500));
    let done = server.ask(&rest, BUNDLE, &more).await.json();
    assert_eq!(
        (&done["entries"], &done["accepted"]),
        (&json!(500), &json!(12_500))
    );
    let known = progress(&server, ID).await;
    assert_eq!(known["accepted"], 12_500);
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(12_499)).await.unwrap();
    let all: Vec<_> = numbered(0..12_500).collect();
    check(&server, &known["ranges"], &all).await;
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(12_500));
    // Another upload is another one, and a gap is refused with the way on.
    let other = format!(
        "POST /dev/add-batch?upload={}&offset=1",
        ID.replace('0', "f")
    );
    let refused = server.ask_any(&other, BUNDLE, &body[..102]).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused
            .text()
            .contains("0 entries of this upload were accepted"),
        "{}",
        refused.text()
    );
    assert_eq!(server.get("/dev/add-batch").await.status, 400);
    assert_eq!(server.get("/dev/add-batch?upload=x").await.status, 400);
}

/// The connection breaks, and the writer is back at once: its earlier chunks are waited for.
#[tokio::test]
async fn a_writer_that_comes_again_at_once_goes_on_where_it_stopped() {
    let server = Server::start().await;
    let entries: Vec<_> = numbered(0..40_000).collect();
    let body = bundle(entries.clone());
    let head = format!(
        "POST /dev/add-batch?upload={ID} HTTP/1.1\r\nhost: x\r\n{BUNDLE}content-length: {}\r\n\r\n",
        body.len()
    );
    let mut broken = Vec::new();
    for sent in [1_100_000, 2_300_000] {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body[..sent]).await.unwrap();
        // Still open: the server can't know yet.
        broken.push(stream);
    }
    let line = format!("POST /dev/add-batch?upload={ID}");
    let done = server.ask(&line, BUNDLE, &body).await;
    assert_eq!(done.json()["accepted"], 40_000, "{done:?}");
    let known = progress(&server, ID).await;
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(39_999)).await.unwrap();
    check(&server, &known["ranges"], &entries).await;
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(40_000));
    // Those before were told, not left hanging.
    for mut stream in broken {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 409");
    }
}
