//! The data plane as a client sees it, byte by byte, over a real engine.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Request;
use tlog::{Checkpoint, GlobalIndex, Hash, VerifierKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::testing::{Reply, Server, engine, read_all, request};

#[tokio::test]
async fn an_entry_is_readable_at_once_and_provable_once_published() {
    let server = Server::start().await;
    for n in 0..5u8 {
        let reply = server.add(&[n; 40]).await;
        assert_eq!(
            (reply.status, reply.text()),
            (200, format!("{n}\n").as_str())
        );
        let entry = server.get(&format!("/dev/entries/{n}")).await;
        assert_eq!((entry.status, entry.body), (200, vec![n; 40]));
    }
    let reply = server
        .ask(
            "POST /dev/add",
            "accept: application/json\r\nlog-ack: published\r\n",
            b"last",
        )
        .await;
    let added = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(
        (
            added["index"].as_u64(),
            added["leafIndex"].as_u64(),
            added["shard"].as_str()
        ),
        (Some(5), Some(5), Some("a"))
    );
    assert_eq!(
        added["leafHash"].as_str().unwrap(),
        tlog::leaf_hash(b"last").to_string()
    );

    // Proved with nothing but the answer and the shard's key.
    let shards = server.get_json("/dev/shards").await;
    let key: VerifierKey = shards[0]["vkey"].as_str().unwrap().parse().unwrap();
    let entry = server.get_json("/dev/entries/5").await;
    assert_eq!(
        STANDARD.decode(entry["entry"].as_str().unwrap()).unwrap(),
        b"last"
    );
    let signed = Checkpoint::open(entry["checkpoint"].as_str().unwrap(), &key).unwrap();
    let proof: Vec<Hash> = entry["inclusionProof"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h.as_str().unwrap().parse().unwrap())
        .collect();
    tlog::verify_inclusion(
        5,
        signed.size,
        &tlog::leaf_hash(b"last"),
        &proof,
        &signed.root,
    )
    .unwrap();

    let marks = server.get_json("/dev/watermarks").await;
    assert_eq!(
        (marks["ordered"].as_u64(), marks["published"].as_u64()),
        (Some(6), Some(6))
    );
    assert!(marks["publishedAt"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn reads_say_how_long_they_may_be_kept() {
    let server = Server::start().await;
    assert_eq!(
        server
            .ask("POST /dev/add", "log-ack: published\r\n", b"x")
            .await
            .status,
        200
    );
    let for_ever = Some("public, max-age=31536000, immutable");
    for (path, kind, cache) in [
        (
            "/dev/a/checkpoint",
            "text/plain; charset=utf-8",
            Some("no-cache"),
        ),
        (
            "/dev/a/tile/0/000.p/1",
            "application/octet-stream",
            for_ever,
        ),
        (
            "/dev/a/tile/entries/000.p/1",
            "application/octet-stream",
            for_ever,
        ),
        ("/dev/entries/0", "application/octet-stream", for_ever),
        ("/dev/shards", "application/json", Some("no-cache")),
        ("/healthz", "text/plain; charset=utf-8", Some("no-cache")),
        ("/readyz", "text/plain; charset=utf-8", Some("no-cache")),
    ] {
        let reply = server.get(path).await;
        assert_eq!(
            (
                reply.status,
                reply.header("content-type"),
                reply.header("cache-control")
            ),
            (200, Some(kind), cache),
            "{path}"
        );
        let head = server.ask(&format!("HEAD {path}"), "", b"").await;
        assert_eq!(
            (
                head.status,
                head.header("content-type"),
                head.header("cache-control")
            ),
            (200, Some(kind), cache),
            "HEAD {path}"
        );
    }
    assert_eq!(
        server.get("/dev/a/tile/entries/000.p/1").await.body,
        b"\x00\x01x"
    );
    let checkpoint = server.get("/dev/a/checkpoint").await;
    assert!(
        checkpoint.text().starts_with("example.org/dev/a\n1\n"),
        "{checkpoint:?}"
    );
}

#[tokio::test]
async fn what_is_wrong_gets_its_own_answer() {
    let server = Server::start().await;
    let long = vec![b'x'; 65_536];
    for (line, headers, body, status, needle) in [
        ("POST /dev/add", "", &b""[..], 400, "at least one byte"),
        ("POST /dev/add", "", &long[..], 413, "65535"),
        ("POST /dev/add", "log-ack: maybe\r\n", b"x", 400, "log-ack"),
        ("POST /nope/add", "", b"x", 404, "no log is called nope"),
        ("POST /system/add", "", b"x", 404, "no log is called system"),
        ("GET /system/shards", "", b"", 404, "no log"),
        ("GET /dev/add", "", b"", 405, "method"),
        ("POST /dev/shards", "", b"x", 405, "method"),
        ("PUT /dev/add", "", b"x", 405, "method"),
        ("GET /dev/b/checkpoint", "", b"", 404, "no shard called b"),
        (
            "GET /dev/b/tile/0/000.p/1",
            "",
            b"",
            404,
            "no shard called b",
        ),
        ("GET /dev/a/tile/0/000.p/1", "", b"", 404, "yet"),
        ("GET /dev/a/tile/0/0", "", b"", 400, "path of a tile"),
        ("GET /dev/a/tile/0/000.p/0", "", b"", 400, "path of a tile"),
        ("GET /dev/a/tile/../../kek", "", b"", 400, "path of a tile"),
        ("GET /dev/a/tile/%2e%2e/000", "", b"", 400, "path of a tile"),
        ("GET /dev/a/seal", "", b"", 404, "not sealed"),
        ("GET /dev/entries/0", "", b"", 404, "no entry 0 yet"),
        ("GET /dev/entries/00", "", b"", 400, "decimal"),
        ("GET /dev/entries/x", "", b"", 400, "decimal"),
        ("GET /", "", b"", 404, "nothing is served"),
        ("GET /metrics", "", b"", 404, "nothing is served"),
    ] {
        let reply = server.ask(line, headers, body).await;
        assert_eq!(
            (reply.status, reply.header("cache-control")),
            (status, Some("no-store")),
            "{line}"
        );
        assert!(
            reply.text().contains(needle) && reply.text().ends_with('\n'),
            "{line}: {}",
            reply.text()
        );
        let reply = server
            .ask(
                line,
                &format!("accept: application/json\r\n{headers}"),
                body,
            )
            .await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, Some("application/problem+json")),
            "{line}"
        );
        let problem: wire::Problem = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (problem.status, problem.kind),
            (status, format!("urn:logctl:problem:{}", problem.code)),
            "{line}"
        );
        assert!(problem.detail.contains(needle), "{line}");
    }
    assert_eq!(
        server.get_json("/dev/watermarks").await["ordered"],
        0,
        "nothing of it was written"
    );
}

#[tokio::test]
async fn the_largest_entry_fits_however_it_arrives() {
    let server = Server::start().await;
    let largest: Vec<u8> = (0..65_535u32).map(|n| n as u8).collect();
    assert_eq!(server.add(&largest).await.text(), "0\n");
    let mut chunked = b"POST /dev/add HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in largest.chunks(1000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    let too_large = [&chunked[..], b"1\r\nx\r\n0\r\n\r\n"].concat();
    chunked.extend_from_slice(b"0\r\n\r\n");
    for (bytes, status) in [(chunked, 200), (too_large, 413)] {
        let mut stream = server.connect().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        assert_eq!(read_all(&mut stream, false).await[0].status, status);
    }
    for index in [0, 1] {
        assert_eq!(
            server.get(&format!("/dev/entries/{index}")).await.body,
            largest
        );
    }
    assert_eq!(server.get("/dev/entries/2").await.status, 404);
}

#[tokio::test]
async fn a_connection_is_used_again_and_answers_keep_their_order() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let mut bytes = Vec::new();
    for n in 0..20u8 {
        bytes.extend(request("POST /dev/add", "", &[n + 1]));
        bytes.extend(request("GET /dev/shards", "", b""));
    }
    bytes.extend(request("GET /healthz", "connection: close\r\n", b""));
    stream.write_all(&bytes).await.unwrap();
    let replies = read_all(&mut stream, false).await;
    assert_eq!(replies.len(), 41);
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );
    let indexes: Vec<&str> = replies
        .iter()
        .step_by(2)
        .take(20)
        .map(Reply::text)
        .collect();
    assert_eq!(
        indexes,
        (0..20).map(|n| format!("{n}\n")).collect::<Vec<_>>()
    );
    assert_eq!(server.http.total(), 41);
}

#[tokio::test]
async fn a_head_has_its_limit() {
    let server = Server::start().await;
    let long = format!("x-long: {}\r\n", "x".repeat(20_000));
    let mut stream = server.connect().await;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(&request("GET /healthz", &long, b"")).await;
    assert_eq!(read_all(&mut stream, false).await[0].status, 431);
    let fits = format!("x-long: {}\r\n", "x".repeat(10_000));
    assert_eq!(server.ask("GET /healthz", &fits, b"").await.status, 200);
}

#[tokio::test]
async fn a_frozen_log_says_which_shard_and_since_when() {
    let server = Server::start().await;
    server.add(b"x").await;
    let log = server.engine.log("dev").unwrap();
    let caller = engine::testing::author();
    let audited = engine::Audited::new(Arc::clone(&server.engine));
    let freeze = Request::Freeze { now: false };
    audited.change(&log, freeze, caller.clone()).await.unwrap();
    let reply = server.add(b"y").await;
    assert_eq!((reply.status, reply.header("retry-after")), (409, None));
    assert!(
        reply
            .text()
            .starts_with("log dev is frozen: shard a has accepted no entries since 20"),
        "{}",
        reply.text()
    );
    assert_eq!(
        server.get("/dev/entries/0").await.status,
        200,
        "reads go on"
    );
    let unfreeze = audited.change(&log, Request::Unfreeze, caller);
    unfreeze.await.unwrap();
    assert_eq!(server.add(b"y").await.text(), "1\n");
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight() {
    let server = Server::start().await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    // One answered request shows that both connections are with the server.
    for stream in [&mut busy, &mut idle] {
        stream
            .write_all(&request("POST /dev/add", "", b"first"))
            .await
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    let whole = request("POST /dev/add", "", b"second");
    let (begun, rest) = whole.split_at(whole.len() - 3);
    busy.write_all(begun).await.unwrap();
    server.watch.wait_for_body().await;
    server.readiness.drain();
    server.stop.cancel();
    // The idle one is closed at once, the busy one after its answer.
    let mut end = Vec::new();
    idle.read_to_end(&mut end).await.unwrap();
    assert!(!server.serving.is_finished());
    busy.write_all(rest).await.unwrap();
    let mut end = String::new();
    busy.read_to_string(&mut end).await.unwrap();
    assert!(
        end.contains("HTTP/1.1 200 OK") && end.ends_with("\r\n\r\n2\n"),
        "{end}"
    );
    server.serving.await.unwrap();
    server.engine.shutdown().await;
    drop(server.engine);
    let engine = engine(&server.folder).await;
    assert_eq!(
        engine
            .log("dev")
            .unwrap()
            .entry(GlobalIndex::new(2))
            .await
            .unwrap()
            .unwrap()
            .bytes,
        "second"
    );
}

#[tokio::test]
async fn probes_tell_starting_ready_and_draining_apart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let server = Server::closed(folder, engine).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (503, "starting\n"));
    let refused = server.add(b"x").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    server.readiness.open(Arc::clone(&server.engine));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    server.readiness.drain();
    assert_eq!(server.get("/readyz").await.text(), "draining\n");
}

/// Every answer about a log says which configuration it runs, errors too; a change shows at once.
#[tokio::test]
async fn every_answer_about_a_log_names_its_configuration() {
    let server = Server::start().await;
    let log = server.engine.log("dev").unwrap();
    let cases = [
        ("POST /dev/add", "", &b"entry"[..]),
        ("POST /dev/add", "accept: application/json\r\n", b"entry"),
        ("POST /dev/add", "", b""),
        ("POST /dev/add", "log-ack: never\r\n", b"entry"),
        ("GET /dev/add", "", b""),
        ("GET /dev/shards", "", b""),
        ("GET /dev/watermarks", "", b""),
        ("GET /dev/entries/0", "", b""),
        ("GET /dev/entries/99", "", b""),
        ("GET /dev/entries/x", "accept: application/json\r\n", b""),
        ("GET /dev/a/checkpoint", "", b""),
        ("GET /dev/nope/checkpoint", "", b""),
        ("GET /dev/a/seal", "", b""),
        ("GET /dev/a/tile/0/000", "", b""),
        ("PUT /dev/watermarks", "", b""),
        ("GET /dev/nothing/here/at/all", "", b""),
    ];
    for generation in 1..=2 {
        let etag = log.status().etag;
        assert!(etag.starts_with(&format!("g{generation}-")), "{etag}");
        for (line, headers, body) in cases {
            let reply = server.ask(line, headers, body).await;
            assert_eq!(
                reply.header("log-config"),
                Some(etag.as_str()),
                "{line}: {reply:?}"
            );
        }
        let rotate = engine::Request::Rotate {
            name: None,
            base: None,
            force: false,
        };
        let caller = engine::testing::author();
        let audited = engine::Audited::new(Arc::clone(&server.engine));
        audited.change(&log, rotate, caller).await.unwrap();
        // An entry of the new shard was ordered under the new configuration.
        let added = server
            .ask("POST /dev/add", "accept: application/json\r\n", b"entry")
            .await;
        assert_eq!(added.json()["shard"], log.status().shards[generation].name);
        assert_eq!(added.header("log-config"), Some(log.status().etag.as_str()));
    }
    for path in ["/healthz", "/readyz", "/", "/nope/shards", "/system/shards"] {
        assert_eq!(server.get(path).await.header("log-config"), None, "{path}");
    }
    let reply = server.ask("POST /nope/add", "", b"entry").await;
    assert_eq!((reply.status, reply.header("log-config")), (404, None));
}

/// A client that says all it has to say and closes its side still waits for the answer: the entry is ordered.
#[tokio::test]
async fn a_client_that_shuts_down_its_sending_side_gets_the_answer() {
    let server = Server::start().await;
    for (head, status) in [
        (request("POST /dev/add", "", b"half"), 200),
        (request("GET /dev/watermarks", "", b""), 200),
        (
            request(
                "POST /dev/add-batch",
                "content-type: application/octet-stream\r\n",
                b"\0\x01x",
            ),
            200,
        ),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(&head).await.unwrap();
        stream.shutdown().await.unwrap();
        let replies = read_all(&mut stream, false).await;
        assert_eq!(replies.len(), 1, "{}", String::from_utf8_lossy(&head));
        assert_eq!(replies[0].status, status);
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_the_form_that_is_taken() {
    let server = Server::start().await;
    for (headers, status) in [
        ("content-encoding: gzip\r\n", 415),
        (
            "content-encoding: identity\r\ncontent-encoding: zstd\r\n",
            415,
        ),
        ("content-encoding: gzip, identity\r\n", 415),
        ("content-encoding: Identity\r\n", 200),
    ] {
        let reply = server.ask("POST /dev/add", headers, b"\x1f\x8b").await;
        assert_eq!(reply.status, status, "{headers}");
        let taken = (status == 415).then_some("identity");
        assert_eq!(reply.header("accept-encoding"), taken, "{headers}");
    }
    let two = "content-type: application/octet-stream\r\ncontent-encoding: identity\r\ncontent-encoding: br\r\n";
    assert_eq!(
        server
            .ask("POST /dev/add-batch", two, b"\0\x01x")
            .await
            .status,
        415
    );
    assert_eq!(server.get_json("/dev/watermarks").await["ordered"], 1);
}

#[tokio::test]
async fn a_path_is_decoded_for_writes_as_for_reads() {
    let server = Server::start().await;
    assert_eq!(server.ask("POST /d%65v/add", "", b"x").await.status, 200);
    let batch = "content-type: application/octet-stream\r\n";
    let reply = server.ask("POST /%64ev/add-batch", batch, b"\0\x01x").await;
    assert_eq!(reply.status, 200);
    let reply = server.get("/d%65v/watermarks").await;
    assert!(reply.status == 200 && reply.header("log-config").is_some());
    for path in ["/d%2fv/add", "/%ff/add", "/dev%00/add", "/%73ystem/add"] {
        assert_eq!(
            server.ask(&format!("POST {path}"), "", b"x").await.status,
            404,
            "{path}"
        );
    }
}

/// A client that writes all of its body before it reads must not find the connection reset instead of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_writes_before_it_reads_reads_the_refusal() {
    let server = Server::start().await;
    let long = vec![b'x'; 8 << 20];
    for (line, headers, status) in [
        ("POST /dev/add", "", 413),
        ("POST /nope/add", "", 404),
        ("POST /dev/shards", "", 405),
        ("POST /dev/nothing", "", 404),
        ("GET /dev/watermarks", "", 200),
        ("POST /dev/add", "content-encoding: gzip\r\n", 415),
    ] {
        let bytes = request(line, &format!("connection: close\r\n{headers}"), &long);
        let address = server.address;
        let replies = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(&bytes)?;
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&reply).into_owned())
        });
        let reply = replies
            .await
            .unwrap()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {reply}"
        );
    }
}

/// The budget is one megabyte here. Bodies that come slowly hold what came of them; past the budget a body is not read.
#[tokio::test]
async fn long_answers_end_at_their_budget() {
    let server = Server::start().await;
    for entry in [[b'x'; 60_000], [b'y'; 60_000]] {
        assert_eq!(server.add(&entry).await.status, 200);
    }
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(1)).await.unwrap();
    let path = "/dev/a/tile/entries/000.p/2";
    let answers = server.watch.answers();
    let mut others = answers.begin(0).unwrap();
    others.grow((64 << 20) - 100_000).unwrap();
    let reply = server.get(path).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1")),
        "{}",
        reply.text()
    );
    // Short answers are in no budget.
    assert_eq!(server.get("/dev/entries/1").await.status, 200);
    let head = server.ask(&format!("HEAD {path}"), "", b"").await;
    assert_eq!(head.header("content-length"), Some("120004"));
    drop(others);
    let reply = server.get(path).await;
    assert_eq!((reply.status, reply.body.len()), (200, 120_004));
    assert_eq!(reply.header("content-length"), Some("120004"));
    while answers.held() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bodies_under_way_end_at_the_budget() {
    let server = Server::start().await;
    let mut slow = Vec::new();
    let head = request("POST /dev/add", "content-length: 65535\r\n", b"");
    let held = || server.watch.bodies().held();
    while held() + 65_535 <= 1 << 20 {
        let mut stream = server.connect().await;
        stream.write_all(&head).await.unwrap();
        let before = held();
        stream.write_all(&vec![b'x'; 60_000]).await.unwrap();
        while held() < before + 60_000 {
            tokio::task::yield_now().await;
        }
        slow.push(stream);
    }
    let reply = server.ask("POST /dev/add", "", &vec![b'y'; 65_535]).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    let json = server
        .ask(
            "POST /dev/add",
            "accept: application/json\r\n",
            &vec![b'y'; 65_535],
        )
        .await;
    assert_eq!(json.json()["code"], "too-many-bodies");
    // A request without a body is answered, and so is a small one that fits.
    assert_eq!(server.get("/dev/watermarks").await.status, 200);
    assert_eq!(server.add(b"small").await.status, 200);
    // A request that continues is accepted, and those that end give back what they held.
    let mut first = slow.remove(0);
    first.write_all(&vec![b'x'; 5_535]).await.unwrap();
    first.shutdown().await.unwrap();
    let reply = read_all(&mut first, false).await.remove(0);
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(slow);
    while held() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.add(&vec![b'y'; 65_535]).await.status, 200);
}

#[tokio::test]
async fn a_write_with_a_key_is_taken_once() {
    let server = Server::start().await;
    let key = "idempotency-key: 8e03978e-40d5\r\n";
    let first = server.ask("POST /dev/add", key, b"one").await;
    assert_eq!((first.status, first.text()), (200, "0\n"));
    assert_eq!(server.add(b"between").await.text(), "1\n");
    for headers in [
        key.to_owned(),
        format!("{key}prefer: respond-async\r\n"),
        format!("{key}log-ack: published\r\n"),
    ] {
        let again = server.ask("POST /dev/add", &headers, b"one").await;
        assert_eq!((again.status, again.text()), (200, "0\n"), "{headers}");
    }
    let json = format!("{key}accept: application/json\r\n");
    let other = server.ask("POST /dev/add", &json, b"two").await;
    assert_eq!(
        (other.status, other.json()["code"].as_str().unwrap()),
        (422, "idempotency-key-reused")
    );
    assert_eq!(
        server
            .ask("POST /dev/add", "idempotency-key: a b\r\n", b"x")
            .await
            .status,
        400
    );
    assert_eq!(server.get_json("/dev/watermarks").await["ordered"], 2);
}

#[tokio::test]
async fn a_batch_with_a_key_is_taken_once_and_answered_the_same() {
    let server = Server::start().await;
    let headers = "content-type: application/octet-stream\r\nidempotency-key: batch\r\n";
    let body: Vec<u8> = (0..5_000u32)
        .flat_map(|n| {
            let entry = format!("entry {n}");
            let mut bytes = u16::try_from(entry.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(entry.as_bytes());
            bytes
        })
        .collect();
    let first = server.ask("POST /dev/add-batch", headers, &body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.json()["entries"], 5_000);
    server.add(b"between").await;
    let again = server.ask("POST /dev/add-batch", headers, &body).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    // Lines say the same entries.
    let lines: String = (0..5_000)
        .map(|n| {
            format!(
                "{{\"entry\":\"{}\"}}\n",
                STANDARD.encode(format!("entry {n}"))
            )
        })
        .collect();
    let as_lines = "content-type: application/x-ndjson\r\nidempotency-key: batch\r\n";
    let again = server
        .ask("POST /dev/add-batch", as_lines, lines.as_bytes())
        .await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    // Another body: other bytes, an end that comes too early, or too late.
    let mut other = body.clone();
    other[40] ^= 1;
    let longer = [&body[..], b"\x00\x04more"].concat();
    for other in [&other[..], &body[..9], &longer] {
        let reply = server.ask_any("POST /dev/add-batch", headers, other).await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str().unwrap()),
            (422, "idempotency-key-reused")
        );
    }
    let both = server
        .ask_any(
            "POST /dev/add-batch?upload=00112233445566778899aabbccddeeff",
            headers,
            &body,
        )
        .await;
    assert_eq!(both.status, 400);
    assert_eq!(server.get_json("/dev/watermarks").await["ordered"], 5_001);
}

/// A full bundle is compressed for those who ask, and for nobody else; everything else never.
#[tokio::test]
async fn a_full_bundle_is_compressed_for_who_asks() {
    let server = Server::start().await;
    let entries: Vec<u8> = (0..300u32)
        .flat_map(|n| [&[0, 100][..], format!("{n:0100}").as_bytes()].concat())
        .collect();
    let kind = "content-type: application/octet-stream\r\n";
    let done = server.ask("POST /dev/add-batch", kind, &entries).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(299)).await.unwrap();
    let gzip = "accept-encoding: br, gzip\r\n";
    let path = "/dev/a/tile/entries/000";
    let plain = server.get(path).await;
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.body, entries[..256 * 102]);
    let packed = server.ask(&format!("GET {path}"), gzip, b"").await;
    assert_eq!(
        (packed.status, packed.header("content-encoding")),
        (200, Some("gzip"))
    );
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    assert_eq!(
        packed.header("cache-control"),
        plain.header("cache-control")
    );
    assert!(packed.body.len() < plain.body.len() / 2);
    let mut whole = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&packed.body[..]);
    std::io::Read::read_to_end(&mut reader, &mut whole).unwrap();
    assert_eq!(whole, plain.body);
    for path in ["tile/0/000", "tile/entries/001.p/44", "checkpoint"] {
        let reply = server.ask(&format!("GET /dev/a/{path}"), gzip, b"").await;
        assert_eq!(
            (reply.status, reply.header("content-encoding")),
            (200, None),
            "{path}"
        );
    }
}

/// A batch that broke off is taken up by the same body, and by no shorter one.
#[tokio::test]
async fn a_batch_with_a_key_that_broke_off_goes_on() {
    let server = Server::start().await;
    let headers = "content-type: application/octet-stream\r\nidempotency-key: broken\r\n";
    let body: Vec<u8> = (0..2_000u32)
        .flat_map(|n| [&[0, 100][..], format!("{n:0100}").as_bytes()].concat())
        .collect();
    let whole = request("POST /dev/add-batch", headers, &body);
    let mut stream = server.connect().await;
    stream
        .write_all(&whole[..whole.len() - 50_000])
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    drop(read_all(&mut stream, false).await);
    let log = server.engine.log("dev").unwrap();
    log.wait_published(GlobalIndex::new(1283)).await.unwrap();
    server.add(b"between").await;
    let short = server
        .ask_any("POST /dev/add-batch", headers, &body[..102_000])
        .await;
    assert_eq!(short.status, 422, "{}", short.text());
    for _ in 0..2 {
        let done = server.ask("POST /dev/add-batch", headers, &body).await;
        assert_eq!(done.status, 200, "{}", done.text());
        let done = done.json();
        assert_eq!(
            (&done["entries"], &done["accepted"]),
            (&2_000.into(), &2_000.into())
        );
        assert_eq!(done["ranges"].as_array().unwrap().len(), 2);
    }
    let longer = [&body[..], b"\x00\x04more"].concat();
    let longer = server
        .ask_any("POST /dev/add-batch", headers, &longer)
        .await;
    assert_eq!(longer.json()["code"], "idempotency-key-reused");
    assert_eq!(server.get_json("/dev/watermarks").await["ordered"], 2_001);
}

/// A reader is told that something is damaged; the operator is told which object.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_refused_and_halts_nothing() {
    let server = Server::start().await;
    for n in 0..300u32 {
        server.add(format!("entry {n}").as_bytes()).await;
    }
    while server.get_json("/dev/watermarks").await["published"] != 300 {
        tokio::task::yield_now().await;
    }
    let lost = server.folder.path().join("objects/dev/a/tile/entries/000");
    std::fs::remove_file(&lost).unwrap();
    for path in ["/dev/entries/7", "/dev/a/tile/entries/000"] {
        let reply = server
            .ask(&format!("GET {path}"), "accept: application/json\r\n", b"")
            .await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str().unwrap()),
            (500, "damaged"),
            "{path}"
        );
        assert!(!reply.text().contains("entries/000"), "{}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let log = server.engine.log("dev").unwrap();
    while log.damaged().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.damaged()[0].path, "dev/a/tile/entries/000");
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.add(b"goes on").await.status, 200);
}
