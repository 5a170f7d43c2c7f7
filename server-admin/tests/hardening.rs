//! Attacks by unauthenticated senders: honest clients are still answered, and nothing reaches the host.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails panics, and one that does less than it should says so"
)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Endpoint, HANG_TIMEOUT, operation, until};
use rustix::process::{Resource, getrlimit, setrlimit};
use server_admin::{Access, Limits, Listeners, Options, Running, TcpOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use wire::{Operation, OperationState, WhoAmI};

fn start(endpoint: &Endpoint, limits: Limits) -> (Running, SocketAddr) {
    let options = Options {
        tcp: Some(TcpOptions {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
        }),
        limits,
        ..Options::default()
    };
    let listeners = Listeners::bind(endpoint.access.clone(), options).unwrap();
    let running = listeners.serve_apart(endpoint.toy.clone()).unwrap();
    let address = running.address().unwrap();
    (running, address)
}

/// Sends these bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(endpoint: &Endpoint, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        endpoint.root
    )
}

/// Somebody with a good token asks.
async fn the_good_caller_is_answered(endpoint: &Endpoint, address: SocketAddr) {
    let request = get(endpoint, "/admin/v1/whoami");
    let answer = talk(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| {
        panic!("not answered: {answer:?}");
    });
    assert!(head.to_lowercase().contains("content-length"), "{head}");
    let who: WhoAmI = serde_json::from_str(body).unwrap();
    assert_eq!(who.actor, "token:root");
}

/// As many connections as this process may have open, up to 10,000.
fn many() -> usize {
    const WANTED: u64 = 10_000;
    const SPARE: u64 = 500;
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    limit.current = Some(most.min(WANTED + SPARE).max(limit.current.unwrap_or(0)));
    setrlimit(Resource::Nofile, limit).unwrap();
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let number = open.saturating_sub(SPARE).min(WANTED);
    if number < WANTED {
        eprintln!("only {number} idle connections: this process may open {open} files");
    }
    usize::try_from(number).unwrap()
}

#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let endpoint = Endpoint::new();
    // Nobody leaves by himself: it is the one who comes that makes room.
    let limits = Limits {
        header_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let (running, address) = start(&endpoint, limits);
    let number = many();
    let mut idle = Vec::with_capacity(number);
    while idle.len() < number {
        for _ in 0..500.min(number - idle.len()) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if idle.len() % 2 == 0 {
                // Sent away already is fine.
                let _ = stream
                    .write_all(b"GET /admin/v1/whoami HTTP/1.1\r\nX")
                    .await;
            }
            idle.push(stream);
        }
        the_good_caller_is_answered(&endpoint, address).await;
    }
    drop(idle);
    the_good_caller_is_answered(&endpoint, address).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn slow_bodies_end_and_nobody_waits_longer() {
    let endpoint = Endpoint::new();
    let limits = Limits {
        body_time: Duration::from_millis(100),
        connections: 4,
        ..Limits::default()
    };
    let (running, address) = start(&endpoint, limits);
    let head = |token: &str| {
        format!(
            "POST /admin/v1/logs/argon/freeze HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: Bearer {token}\r\n\r\n{{"
        )
    };
    let mut timed_out = 0;
    let began = tokio::time::Instant::now();
    // On a busy machine it may happen that none of them has sent anything when the places are taken.
    while timed_out == 0 {
        assert!(began.elapsed() < HANG_TIMEOUT, "no body was timed out");
        let mut slow = Vec::new();
        // Even those who may: they hold their places for the time that a body may take.
        for token in [endpoint.root.as_str(), "no-token"].repeat(8) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Sent away already is fine.
            let _ = stream.write_all(head(token).as_bytes()).await;
            slow.push((stream, token));
        }
        the_good_caller_is_answered(&endpoint, address).await;
        for (mut stream, token) in slow {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            // Connections that had not sent anything when the places were taken were closed.
            match (token, answer.get(9..12)) {
                ("no-token", Some("401" | "429")) | (_, None) => {}
                (_, Some("408")) => timed_out += 1,
                _ => panic!("{answer:?}"),
            }
        }
    }
    assert!(endpoint.toy.seen.lock().unwrap().is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn bodies_and_long_answers_end_at_their_budget_over_all_connections() {
    let endpoint = Endpoint::new();
    let limits = Limits {
        bodies: 250_000,
        body_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let (running, address) = start(&endpoint, limits);
    let request = format!(
        "POST /admin/v1/logs/argon/freeze?dryRun=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 150000\r\nAuthorization: Bearer {}\r\n\r\n{}{{}}",
        endpoint.root,
        " ".repeat(149_998)
    );
    let status = async || {
        let answer = talk(address, request.as_bytes()).await;
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    assert_eq!(status().await, "200");
    let (most, _) = request.as_bytes().split_at(request.len() - 1);
    let mut slow = None;
    // The last of several simultaneous requests is refused; one that has arrived holds what it sent. One that was refused itself holds
    // nothing, and is answered only when it is whole: another takes its place.
    until("a body that is not whole takes the memory", async || {
        drop(slow.take());
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(most).await.unwrap();
        slow = Some(stream);
        // Meanwhile the server reads it.
        the_good_caller_is_answered(&endpoint, address).await;
        status().await == "503"
    })
    .await;
    the_good_caller_is_answered(&endpoint, address).await;
    drop(slow);
    until("the memory is free again", async || status().await == "200").await;
    running.stop().await.unwrap();

    // The longest answer, where it fits and where it does not.
    for (bodies, wanted) in [(250_000, "200"), (90_000, "503")] {
        let limits = Limits {
            bodies,
            ..Limits::default()
        };
        let (running, address) = start(&endpoint, limits);
        let long = get(&endpoint, "/admin/v1/openapi.json");
        for _ in 0..5 {
            let answer = talk(address, long.as_bytes()).await;
            assert_eq!(answer.get(9..12), Some(wanted), "{answer:.300}");
            the_good_caller_is_answered(&endpoint, address).await;
        }
        running.stop().await.unwrap();
    }
}

/// On the socket no system gives up on a peer that is alive.
#[tokio::test]
async fn a_reader_that_takes_nothing_ends() {
    let mut endpoint = Endpoint::new();
    let path = endpoint.folder.path().join("admin.sock");
    let tokens = Access::new(ambient::Ambient::unset())
        .with_tokens(endpoint.tokens())
        .unwrap();
    endpoint.access = Arc::new(tokens);
    let options = Options {
        limits: Limits {
            header_time: Duration::from_secs(1),
            ..Limits::default()
        },
        ..Options::on_socket(&path)
    };
    let listeners = Listeners::bind(endpoint.access.clone(), options).unwrap();
    let running = listeners.serve_apart(endpoint.toy.clone()).unwrap();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let asked = get(&endpoint, "/admin/v1/openapi.json").replace("close", "keep-alive");
    // It asks until nothing more is taken of it, and reads none of the answers.
    let ended = async { while stream.write_all(asked.as_bytes()).await.is_ok() {} };
    let ended = tokio::time::timeout(HANG_TIMEOUT, ended).await;
    assert!(ended.is_ok(), "it is still there");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn strange_requests_are_refused_and_never_reach_the_host() {
    let endpoint = Endpoint::new();
    let (running, address) = start(&endpoint, Limits::default());
    let login = format!(
        "Authorization: Bearer {}\r\nConnection: close\r\n",
        endpoint.root
    );
    let line = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{login}\r\n").into_bytes();
    let mut requests: Vec<Vec<u8>> = [
        "GET /admin/v1/logs/../logs/argon/../../x",
        "GET /admin/v1/%2e%2e/%2e%2e/etc/passwd",
        "GET /admin/v1/logs/%2e%2e%2fargon",
        "GET /admin/v1/logs/argon%00",
        "GET /admin/v1/logs/argon%2fconfig",
        "GET //admin/v1/logs",
        "GET /admin//v1/logs",
        "GET /ADMIN/v1/logs",
        "GET /admin/v1/audit/tree/../../logs",
        "GET /admin/v1/audit/tree/0/%2e%2e/checkpoint",
        "GET \\admin\\v1\\logs",
        "OPTIONS *",
        "CONNECT example.org:443",
        "BREW /admin/v1/logs",
        "TRACE /admin/v1/logs",
        "PRI *",
        "GET",
        "",
    ]
    .into_iter()
    .map(line)
    .collect();
    let flood: String = (0..5_000).map(|n| format!("X-{n}: y\r\n")).collect();
    requests.push(format!("GET /admin/v1/logs HTTP/1.1\r\nHost: x\r\n{flood}{login}\r\n").into());
    requests.push(line(&format!("GET /admin/v1/{}", "a/".repeat(50_000))));
    requests.push(line(&format!(
        "GET /admin/v1/logs?{}",
        "a=b&".repeat(5_000)
    )));
    requests.push(b"GET /admin/v1/logs HTTP/1.1\r\nHost: x\r\n\0\r\n\r\n".to_vec());
    requests.push(vec![
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03,
    ]);
    requests.push(vec![0; 100_000]);
    let body = |headers: &str, body: &str| {
        format!(
            "POST /admin/v1/logs/argon/freeze HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{login}\r\n{body}"
        )
        .into_bytes()
    };
    for encoding in ["gzip", "br", "deflate", "zstd"] {
        let headers = format!("Content-Encoding: {encoding}\r\nContent-Length: 4");
        requests.push(body(&headers, "\u{1f}\u{8b}.."));
    }
    requests.push(body("Content-Length: -1", "{}"));
    requests.push(body("Content-Length: 2\r\nContent-Length: 3", "{}"));
    requests.push(body("Content-Length: 99999999999999999999", "{}"));
    requests.push(body("Content-Length: 9999999999", "{}"));
    requests.push(body(
        "Transfer-Encoding: gzip, chunked",
        "2\r\n{}\r\n0\r\n\r\n",
    ));
    requests.push(body(
        "Transfer-Encoding: chunked",
        "fffffffffffffffff\r\n{}",
    ));
    requests.push(body("Transfer-Encoding: chunked", "zz\r\n{}"));
    requests.push(body("Content-Length: 2", "[]"));
    // Some of them never end: all are asked together, so that their limit, which is the good caller's, too, can be a long one.
    let mut all = Vec::new();
    for request in requests {
        let sent = request.clone();
        let asked = tokio::spawn(async move {
            let asked = talk(address, &sent);
            tokio::time::timeout(HANG_TIMEOUT, asked).await
        });
        all.push((request, asked));
        the_good_caller_is_answered(&endpoint, address).await;
    }
    for (request, asked) in all {
        let answer = asked.await.unwrap().expect("ended, answered or not");
        let status = answer.get(9..12).unwrap_or("none");
        let text = String::from_utf8_lossy(&request[..request.len().min(120)]);
        assert!(
            status == "none" || status.starts_with('4'),
            "{text:?}: {answer:?}"
        );
        the_good_caller_is_answered(&endpoint, address).await;
    }
    assert!(endpoint.toy.seen.lock().unwrap().is_empty());
    assert!(endpoint.toy.asked.lock().unwrap().is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn streams_take_no_places_from_others_and_a_stop_ends_them() {
    let endpoint = Endpoint::new();
    // A stop that waited for streams would wait for an hour.
    let limits = Limits {
        drain_time: Duration::from_secs(3600),
        stream_time: Duration::from_secs(3600),
        ..Limits::default()
    };
    let under_way = Operation {
        id: "f".repeat(32),
        state: OperationState::Decided,
        ..operation("argon", 2, "g2-00000000")
    };
    let stored = (under_way.id.clone(), under_way.clone());
    endpoint.toy.stored.lock().unwrap().extend([stored]);
    let (running, address) = start(&endpoint, limits);
    let follow = get(&endpoint, &format!("/admin/v1/operations/{}", under_way.id))
        .replace("Host: x", "Host: x\r\nAccept: text/event-stream");
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(follow.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        match &status[9..] {
            b"200" => streams.push(stream),
            b"429" => refused += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
        the_good_caller_is_answered(&endpoint, address).await;
    }
    assert_eq!(
        (streams.len(), refused),
        (limits.streams, 100 - limits.streams)
    );
    running.stop().await.unwrap();
    for mut stream in streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("event: operation"), "{rest}");
    }
}
