//! Well-formed requests, and the answer to each other one.

mod common;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use common::{Endpoint, bare, request};
use futures_util::{StreamExt, stream};
use server_admin::Limits;
use wire::{ConfigAnswer, Finding, LogStatus, codes};

const JSON: (&str, &str) = ("content-type", "application/json");
const YAML: (&str, &str) = ("content-type", "application/yaml");

async fn running(endpoint: &Endpoint) -> ConfigAnswer {
    endpoint.ask(bare("GET", "/logs/argon/config")).await.json()
}

fn put(etag: &str, body: impl Into<Body>) -> Request<Body> {
    request(
        "PUT",
        "/logs/argon/config",
        &[YAML, ("if-match", &format!("\"{etag}\""))],
        body,
    )
}

#[tokio::test]
async fn requests_are_parsed_strictly() {
    let endpoint = Endpoint::new();
    let post =
        |path: &'static str, body: &'static str| endpoint.ask(request("POST", path, &[JSON], body));
    let last = || format!("{:?}", endpoint.toy.seen.lock().unwrap().last().unwrap().1);
    assert_eq!(
        post("/logs/argon/rotations", r#"{"name":"2026c"}"#)
            .await
            .status,
        StatusCode::OK
    );
    assert!(
        last().contains("Rotate") && last().contains("2026c"),
        "{}",
        last()
    );
    assert_eq!(
        post("/logs/argon/shards", r#"{"name":"2026d"}"#)
            .await
            .status,
        StatusCode::OK
    );
    assert!(last().contains("Plan") && last().contains("2026d"));
    assert_eq!(
        post("/logs/argon/freeze", r#" {"now":true} "#).await.status,
        StatusCode::OK
    );
    assert!(last().contains("now: true"));
    assert_eq!(
        post("/logs/argon/freeze", "{}").await.status,
        StatusCode::OK
    );
    assert!(last().contains("now: false"));
    assert_eq!(
        post("/logs/argon/unfreeze", "{}").await.status,
        StatusCode::OK
    );
    let seen = endpoint.toy.seen.lock().unwrap().len();

    for (path, body, code, pointer, column) in [
        (
            "/logs/argon/rotations",
            r#"{"nmae":"x"}"#,
            codes::INVALID,
            "/nmae",
            Some(7),
        ),
        (
            "/logs/argon/rotations",
            r#"{"name":7}"#,
            codes::INVALID,
            "/name",
            Some(9),
        ),
        (
            "/logs/argon/rotations",
            r#"{"name":"Not A Name"}"#,
            codes::INVALID,
            "/name",
            None,
        ),
        (
            "/logs/argon/shards",
            r#"{"name":"checkpoint"}"#,
            codes::INVALID,
            "/name",
            None,
        ),
        (
            "/logs/argon/freeze",
            r#"{"now":"yes"}"#,
            codes::INVALID,
            "/now",
            Some(12),
        ),
        (
            "/logs/argon/unfreeze",
            r#"{"now":true}"#,
            codes::INVALID,
            "/now",
            Some(6),
        ),
        ("/logs/argon/freeze", r#"[]"#, codes::INVALID, "", None),
        (
            "/logs/argon/freeze",
            r#"{"now":true"#,
            codes::BAD_REQUEST,
            "",
            Some(11),
        ),
        (
            "/logs/argon/freeze",
            r#"{"now":true} {}"#,
            codes::BAD_REQUEST,
            "",
            Some(14),
        ),
        (
            "/logs/argon/freeze",
            "nonsense",
            codes::BAD_REQUEST,
            "",
            Some(2),
        ),
        (
            "/logs/argon/freeze",
            "\u{0}",
            codes::BAD_REQUEST,
            "",
            Some(1),
        ),
    ] {
        let problem = post(path, body).await.problem(code);
        let [
            Finding {
                pointer: at,
                column: given,
                message,
                ..
            },
        ] = problem.findings.as_slice()
        else {
            panic!("{body}: {problem:?}");
        };
        assert_eq!(
            (at.as_str(), *given),
            (pointer, column),
            "{body}: {message}"
        );
        assert!(!message.is_empty());
    }
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), seen);
}

#[tokio::test]
async fn a_document_is_refused_with_all_its_findings() {
    let endpoint = Endpoint::new();
    let ConfigAnswer { etag, config } = running(&endpoint).await;
    let two =
        "log: argon\norigin: example.org/argon\nshrads: []\nmerge: {checkpointInterval: soon}\n";
    let problem = endpoint.ask(put(&etag, two)).await.problem(codes::INVALID);
    assert!(problem.findings.len() >= 2, "{problem:?}");
    assert!(
        problem
            .findings
            .iter()
            .any(|finding| finding.line == Some(3)),
        "{problem:?}"
    );
    assert!(
        problem
            .findings
            .iter()
            .any(|finding| finding.line == Some(4)),
        "{problem:?}"
    );

    let other = config.to_yaml().replace("log: argon", "log: boron");
    let problem = endpoint
        .ask(put(&etag, other))
        .await
        .problem(codes::INVALID);
    assert_eq!(
        (
            problem.findings[0].code.as_str(),
            problem.findings[0].pointer.as_str()
        ),
        ("other-log", "/log")
    );

    endpoint
        .ask(put(&etag, vec![b'a', 0xff]))
        .await
        .problem(codes::BAD_REQUEST);
    endpoint.ask(put(&etag, "")).await.problem(codes::INVALID);
    let json = |body: String| {
        request(
            "PUT",
            "/logs/argon/config",
            &[JSON, ("if-match", "\"g1\"")],
            body,
        )
    };
    let problem = endpoint
        .ask(json(config.to_yaml()))
        .await
        .problem(codes::BAD_REQUEST);
    assert_eq!(
        problem.findings[0].line,
        Some(1),
        "YAML is not JSON: {problem:?}"
    );
    endpoint
        .ask(json("[".repeat(100_000)))
        .await
        .problem(codes::BAD_REQUEST);
    endpoint
        .ask(put(&etag, "[".repeat(100_000)))
        .await
        .problem(codes::INVALID);
    assert!(endpoint.toy.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_plain_bodies_of_a_known_type_are_read() {
    let endpoint = Endpoint::new();
    let freeze = |headers: &[(&str, &str)]| {
        endpoint.ask(request("POST", "/logs/argon/freeze", headers, "{}"))
    };
    assert_eq!(
        freeze(&[JSON, ("content-encoding", "identity")])
            .await
            .status,
        StatusCode::OK
    );
    for encoding in ["gzip", "br", "identity, gzip", "x"] {
        freeze(&[JSON, ("content-encoding", encoding)])
            .await
            .problem(codes::UNSUPPORTED_MEDIA_TYPE);
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin1",
        "",
    ] {
        freeze(&[("content-type", kind)])
            .await
            .problem(codes::UNSUPPORTED_MEDIA_TYPE);
    }
    freeze(&[YAML]).await.problem(codes::UNSUPPORTED_MEDIA_TYPE);
    freeze(&[]).await.problem(codes::UNSUPPORTED_MEDIA_TYPE);
    let put = request(
        "PUT",
        "/logs/argon/config",
        &[("if-match", "\"g1\"")],
        "log: argon",
    );
    endpoint
        .ask(put)
        .await
        .problem(codes::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let limits = Limits {
        body_bytes: 1000,
        body_time: Duration::from_millis(20),
        ..Limits::default()
    };
    let endpoint = Endpoint::with(limits, |access| access);
    let post = |body: Body| endpoint.ask(request("POST", "/logs/argon/freeze", &[JSON], body));
    let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    assert_eq!(post(padded(1000).into()).await.status, StatusCode::OK);
    post(padded(1001).into()).await.problem(codes::TOO_LARGE);
    let chunks = stream::iter((0..1001).map(|_| Ok::<_, std::io::Error>(" ")));
    post(Body::from_stream(chunks))
        .await
        .problem(codes::TOO_LARGE);
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    post(Body::from_stream(endless))
        .await
        .problem(codes::TOO_LARGE);
    let announced = [JSON, ("content-length", "99999999999")];
    endpoint
        .ask(request("POST", "/logs/argon/freeze", &announced, "{}"))
        .await
        .problem(codes::TOO_LARGE);

    let stuck = stream::iter([Ok::<_, std::io::Error>("{")]).chain(stream::pending());
    post(Body::from_stream(stuck))
        .await
        .problem(codes::REQUEST_TIMEOUT);
    let broken = stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
    post(Body::from_stream(broken))
        .await
        .problem(codes::BAD_REQUEST);
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_resources_and_methods_are_problems_too() {
    let endpoint = Endpoint::new();
    for path in [
        "",
        "/",
        "/nowhere",
        "/logs/",
        "/logs/argon/",
        "/logs/argon/nowhere",
        "/operations/a/b",
        "/logs/argon/config/x",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let reply = endpoint.ask(bare(method, path)).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    for (method, path, allow) in [
        ("PATCH", "/logs/argon", "GET,HEAD,DELETE"),
        ("PUT", "/logs", "GET,HEAD,POST"),
        ("POST", "/logs/argon/config", "GET,HEAD,PUT"),
        ("GET", "/logs/argon/rotations", "POST"),
        ("PATCH", "/whoami", "GET,HEAD"),
        ("TRACE", "/logs/argon/shards", "GET,HEAD,POST"),
        ("OPTIONS", "/logs/argon/history", "GET,HEAD"),
    ] {
        let reply = endpoint.ask(bare(method, path)).await;
        reply.problem(codes::METHOD_NOT_ALLOWED);
        assert_eq!(reply.headers["allow"], allow, "{method} {path}");
    }
    for path in [
        "/logs/absent",
        "/logs/absent/config",
        "/logs/absent/history",
        "/logs//config",
        "/logs/%2e%2e",
        "/logs/a%2Fb",
        "/operations/ff",
    ] {
        endpoint
            .ask(bare("GET", path))
            .await
            .problem(codes::NOT_FOUND);
    }
    endpoint
        .ask(bare("GET", "/logs/%ff"))
        .await
        .problem(codes::BAD_REQUEST);
    endpoint
        .ask(bare("POST", "/logs/absent/rotations"))
        .await
        .problem(codes::NOT_FOUND);
    let status: LogStatus = endpoint.ask(bare("GET", "/logs/boron")).await.json();
    assert_eq!(status.log, "boron");
}

#[tokio::test]
async fn a_bug_of_the_host_is_a_problem_and_the_endpoint_lives_on() {
    let endpoint = Endpoint::new();
    // A change may have been made before something else failed: that is not "it was not made".
    for (method, path, code) in [
        ("GET", "/logs/argon/config", codes::INTERNAL),
        ("POST", "/logs/argon/rotations?dryRun=true", codes::INTERNAL),
        ("POST", "/logs/argon/rotations", codes::UNKNOWN_OUTCOME),
    ] {
        *endpoint.toy.panic.lock().unwrap() = true;
        endpoint.ask(bare(method, path)).await.problem(code);
        assert_eq!(
            endpoint.ask(bare(method, path)).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn the_router_leaves_the_rest_of_a_server_alone() {
    let mut endpoint = Endpoint::new();
    let own = Router::new()
        .route("/own", get(|| async { "own" }))
        .fallback(|| async { (StatusCode::IM_A_TEAPOT, "fallback") });
    let merged = own.merge(endpoint.app.clone());
    for (path, status) in [
        ("/own", 200),
        ("/elsewhere", 418),
        ("/admin/v1/whoami", 401),
        ("/admin/v1/x", 401),
        ("/admin", 418),
    ] {
        let request = Request::get(path)
            .header("origin", "http://x")
            .body(Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(merged.clone(), request)
            .await
            .unwrap();
        let status = if status == 401 { 403 } else { status };
        assert_eq!(response.status().as_u16(), status, "{path}");
        if status != 403 {
            assert!(!response.headers().contains_key("cache-control"), "{path}");
        }
    }
    endpoint.app = Router::new().nest("/ops", endpoint.app);
    let nested = Request::get("/ops/admin/v1/logs/argon")
        .header("authorization", format!("Bearer {}", endpoint.root))
        .body(Body::empty())
        .unwrap();
    assert_eq!(endpoint.ask(nested).await.status, StatusCode::OK);
}
