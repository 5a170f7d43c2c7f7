//! Each row of the table of requests, and the requests that have rules of their own.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod common;

use std::time::Duration;

use axum::http::{Request, StatusCode};
use common::{Endpoint, bare, operation, request};
use http_body_util::BodyExt;
use server_admin::{Change, HostError, Limits};
use tower::ServiceExt;
use wire::routes::{Base, Body, Kind, Name, ROUTES, Route, Scope};
use wire::{ConfigAnswer, Operation, OperationState, Problem, Simulation, codes};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A request for this row that has all that it needs, about the log `argon`.
fn whole(route: &Route) -> Request<axum::body::Body> {
    whole_with(route, "", &[])
}

fn whole_with(route: &Route, query: &str, headers: &[(&str, &str)]) -> Request<axum::body::Body> {
    let path = route
        .path
        .replace("{log}", "argon")
        .replace("{id}", &operation("argon", 1, "").id)
        .replace("{name}", "ci")
        .replace("{*path}", "0/checkpoint");
    let mut all = headers.to_vec();
    if !matches!(route.body, Body::None) {
        all.push(JSON);
    }
    if route.kind == Kind::Write(Base::Required) {
        all.push(("if-match", "\"g1\""));
    }
    let body = route.example.unwrap_or("");
    request(route.method.as_str(), &format!("{path}{query}"), &all, body)
}

/// Rows whose requests are answered elsewhere.
fn elsewhere(route: &Route) -> bool {
    let names = [
        Name::ListTokens,
        Name::CreateToken,
        Name::RevokeToken,
        Name::CreateSession,
    ];
    names.contains(&route.name)
}

#[tokio::test]
async fn each_row_is_served_and_only_with_its_permission() {
    let endpoint = Endpoint::new();
    for route in ROUTES.iter().filter(|route| !elsewhere(route)) {
        let reply = endpoint.ask(whole(route)).await;
        assert_eq!(reply.status, StatusCode::OK, "{:?}: {reply:?}", route.name);
        let Some((need, scope)) = route.need else {
            continue;
        };
        let asked_with = |name: &str, scope: String| {
            let login = format!("Bearer {}", endpoint.token(name, &[&scope]));
            let mut request = whole(route);
            let login = login.parse().unwrap();
            request.headers_mut().insert("authorization", login);
            request
        };
        let log = match scope {
            Scope::NamedOrAll | Scope::All => "*",
            _ => "argon",
        };
        let reply = endpoint
            .ask(asked_with("one", format!("{need}:{log}")))
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{:?}: {reply:?}", route.name);
        // All but the resource, all but the verb, all but the log.
        for scope in [
            format!("x:{}:*", need.verb),
            format!("{}:x:*", need.resource),
            format!("{need}:xenon"),
        ] {
            let reply = endpoint.ask(asked_with("none", scope.clone())).await;
            let hidden = scope.ends_with("xenon");
            let wanted = match route.need {
                Some((_, Scope::Some | Scope::NamedOrSome)) if hidden => StatusCode::OK,
                Some((_, Scope::Operation)) if hidden => StatusCode::NOT_FOUND,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(reply.status, wanted, "{:?} with {scope}", route.name);
            assert!(!reply.body.contains("argon") || wanted == StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn each_row_is_as_strict_as_the_others() {
    let endpoint = Endpoint::new();
    for route in ROUTES.iter().filter(|route| !elsewhere(route)) {
        let name = route.name;
        let refused = async |request, status: StatusCode| {
            let reply = endpoint.ask(request).await;
            assert_eq!(reply.status, status, "{name:?}: {reply:?}");
        };
        let bad = StatusCode::BAD_REQUEST;
        refused(whole_with(route, "?surprise=1", &[]), bad).await;
        refused(whole_with(route, "?surprise", &[]), bad).await;
        let gzip = [("content-encoding", "gzip")];
        let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        refused(whole_with(route, "", &gzip), unsupported).await;
        if let Kind::Write(base) = route.kind {
            let with = |headers: &[(&str, &str)]| whole_with(route, "", headers);
            refused(with(&[("if-none-match", "*")]), bad).await;
            refused(with(&[("idempotency-key", "a b")]), bad).await;
            match base {
                Base::None => refused(with(&[("if-match", "\"g1\"")]), bad).await,
                Base::Optional => {
                    let reply = endpoint.ask(with(&[("if-match", "\"g1\"")])).await;
                    assert_eq!(reply.status, StatusCode::OK);
                }
                Base::Required => {
                    let mut without = whole(route);
                    without.headers_mut().remove("if-match");
                    refused(without, StatusCode::PRECONDITION_REQUIRED).await;
                }
            }
        }
        if matches!(route.body, Body::Json(_) | Body::Optional(_)) {
            let (parts, _) = whole(route).into_parts();
            for (body, status) in [
                (r#"{"surprise": 1}"#, StatusCode::UNPROCESSABLE_ENTITY),
                ("[]", StatusCode::UNPROCESSABLE_ENTITY),
                ("{", bad),
            ] {
                refused(Request::from_parts(parts.clone(), body.into()), status).await;
            }
        }
    }
}

#[tokio::test]
async fn writes_carry_a_tag_and_previews_none() {
    let endpoint = Endpoint::new();
    for route in ROUTES {
        if !matches!(route.kind, Kind::Write(_)) {
            continue;
        }
        let reply = endpoint.ask(whole(route)).await;
        let operation: Operation = reply.json();
        assert_eq!(reply.headers["etag"], format!("\"{}\"", operation.etag));
        assert_eq!(operation.audit_index, Some(tlog::GlobalIndex::new(3)));
        if route.name != Name::ConfirmOperation {
            let reply = endpoint.ask(whole_with(route, "?dryRun=true", &[])).await;
            assert!(!reply.headers.contains_key("etag"), "{:?}", route.name);
        }
    }
}

#[tokio::test]
async fn earlier_configurations_are_read_by_generation() {
    let endpoint = Endpoint::new();
    let ask = |query: &str| endpoint.ask(bare("GET", &format!("/logs/argon/config{query}")));
    let reply = ask("?generation=0").await;
    let answer: ConfigAnswer = reply.json();
    assert!(answer.etag.starts_with("g0-"), "{}", answer.etag);
    assert_eq!(reply.headers["etag"], format!("\"{}\"", answer.etag));
    ask("?generation=2").await.problem(codes::NOT_FOUND);
    for query in [
        "?generation=",
        "?generation=-1",
        "?generation=x",
        "?generation=18446744073709551616",
        "?generation=0&generation=0",
    ] {
        ask(query).await.problem(codes::BAD_REQUEST);
    }
    let tag = format!("\"{}\"", answer.etag);
    let again = [("if-none-match", tag.as_str())];
    let again = request("GET", "/logs/argon/config?generation=0", &again, "");
    assert_eq!(endpoint.ask(again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_change_on_probation_says_for_how_long() {
    let endpoint = Endpoint::new();
    let route = Name::PutConfig.route();
    let last = || {
        let seen = endpoint.toy.seen.lock().unwrap();
        match seen.last().map(|(_, change, ..)| change.clone()) {
            Some(Change::Configure { confirm_within, .. }) => confirm_within,
            other => panic!("{other:?}"),
        }
    };
    for (query, time) in [
        ("", None),
        ("?confirmWithin=1s", Some(1)),
        ("?confirmWithin=10m", Some(600)),
        ("?confirmWithin=24h", Some(86_400)),
        ("?confirmWithin=1d&dryRun=true", Some(86_400)),
    ] {
        endpoint.ask(whole_with(route, query, &[])).await;
        assert_eq!(last(), time.map(Duration::from_secs), "{query}");
    }
    let seen = endpoint.toy.seen.lock().unwrap().len();
    for query in [
        "?confirmWithin=",
        "?confirmWithin=600",
        "?confirmWithin=0s",
        "?confirmWithin=999ms",
        "?confirmWithin=86401s",
        "?confirmWithin=99999999999999999d",
        "?confirmWithin=10m&confirmWithin=10m",
        "?confirm_within=10m",
    ] {
        let reply = endpoint.ask(whole_with(route, query, &[])).await;
        reply.problem(codes::BAD_REQUEST);
    }
    let rotate = whole_with(Name::RotateShard.route(), "?confirmWithin=10m", &[]);
    endpoint.ask(rotate).await.problem(codes::BAD_REQUEST);
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), seen);
}

#[tokio::test]
async fn an_operation_is_confirmed_by_who_may_write_its_log() {
    let endpoint = Endpoint::new();
    let id = operation("argon", 1, "").id;
    let path = format!("/operations/{id}/confirm");
    let confirm = |headers: &[(&str, &str)], body: &'static str| {
        endpoint.ask(request("POST", &path, headers, body))
    };
    let key = [("idempotency-key", "k"), JSON];
    let operation: Operation = confirm(&key, "{}").await.json();
    assert_eq!(operation.state, OperationState::Decided);
    assert_eq!(confirm(&[], "").await.status, StatusCode::OK);
    let asked = endpoint.toy.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            format!("{id} token:root Some(\"k\")"),
            format!("{id} token:root None")
        ]
    );
    for id in ["0".repeat(32), "x".to_owned(), "f".repeat(33)] {
        let absent = bare("POST", &format!("/operations/{id}/confirm"));
        endpoint.ask(absent).await.problem(codes::NOT_FOUND);
    }
    let dry = bare("POST", &format!("{path}?dryRun=true"));
    endpoint.ask(dry).await.problem(codes::BAD_REQUEST);
    assert_eq!(endpoint.toy.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_log_is_created_from_a_document_with_all_its_findings() {
    let endpoint = Endpoint::new();
    let post = |body: &str| endpoint.ask(request("POST", "/logs", &[JSON], body.to_owned()));
    let example = Name::CreateLog.route().example.unwrap();
    assert_eq!(post(example).await.status, StatusCode::OK);
    {
        let seen = endpoint.toy.seen.lock().unwrap();
        let (log, change, ..) = seen.last().unwrap();
        assert_eq!(log, "argon");
        assert!(matches!(change, Change::Create(_)), "{change:?}");
    }
    let problem = post(
        r#"{"config": {"log": "argon", "shrads": [], "merge": {"checkpointInterval": "soon"}}}"#,
    )
    .await
    .problem(codes::INVALID);
    assert!(problem.findings.len() >= 2, "{problem:?}");
    let below = |pointer: &str| pointer.starts_with("/config/") || pointer == "/config";
    assert!(
        problem.findings.iter().all(|f| below(&f.pointer)),
        "{problem:?}"
    );
    post("{}").await.problem(codes::INVALID);
    // A member twice is an error, not the last one's victory.
    let twice = r#"{"config": {"log": "argon", "log": "boron"}}"#;
    post(twice).await.problem(codes::INVALID);

    // The log of the document decides who may.
    let boron = endpoint.token("boron", &["log:create:boron"]);
    let login = format!("Bearer {boron}");
    let headers = [JSON, ("authorization", login.as_str())];
    let refused = endpoint
        .ask(request("POST", "/logs", &headers, example))
        .await;
    refused.problem(codes::FORBIDDEN);
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_trail_is_paged() {
    let endpoint = Endpoint::new();
    for (query, asked) in [
        ("", "AuditQuery { before: None, limit: 100, log: None }"),
        (
            "?before=7&limit=1000&log=argon",
            "AuditQuery { before: Some(7), limit: 1000, log: Some(\"argon\") }",
        ),
    ] {
        let reply = endpoint.ask(bare("GET", &format!("/audit{query}"))).await;
        assert_eq!(reply.status, StatusCode::OK);
        let last = endpoint.toy.asked.lock().unwrap().last().cloned();
        assert_eq!(last.as_deref(), Some(asked));
    }
    for query in [
        "?limit=0",
        "?limit=1001",
        "?limit=-1",
        "?before=x",
        "?after=1",
    ] {
        let reply = endpoint.ask(bare("GET", &format!("/audit{query}"))).await;
        reply.problem(codes::BAD_REQUEST);
    }
}

#[tokio::test]
async fn objects_of_the_trail_are_raw_and_tricks_never_reach_the_host() {
    let endpoint = Endpoint::new();
    let get = |path: &str| endpoint.ask(bare("GET", &format!("/audit/tree/{path}")));
    let checkpoint = get("0/checkpoint").await;
    assert_eq!(
        checkpoint.headers["content-type"],
        "text/plain; charset=utf-8"
    );
    assert_eq!(checkpoint.body, "bytes\n");
    let tile = get("0/tile/0/000.p/1").await;
    assert_eq!(tile.headers["content-type"], "application/octet-stream");
    get("0/tile/0/001").await.problem(codes::NOT_FOUND);
    let asked = endpoint.toy.asked.lock().unwrap().len();
    for path in [
        "",
        "0",
        "0/",
        "0//checkpoint",
        "../checkpoint",
        "0/../checkpoint",
        "%2e%2e/checkpoint",
        "0/%2e%2e/checkpoint",
        "0/tile/%2e%2e/checkpoint",
        "0/tile/0/%00",
        "0/checkpoint%00",
        "%2fetc/checkpoint",
        "0/tile/0/..%2f..%2fcheckpoint",
        "0%5ccheckpoint",
        &"a/".repeat(5_000),
        &"a".repeat(10_000),
    ] {
        get(path).await.problem(codes::NOT_FOUND);
    }
    get("0/%ff").await.problem(codes::BAD_REQUEST);
    assert_eq!(endpoint.toy.asked.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn what_describes_the_endpoint_is_for_every_caller() {
    let endpoint = Endpoint::new();
    let login = format!("Bearer {}", endpoint.token("nobody", &[]));
    let login = [("authorization", login.as_str())];
    for (path, member) in [("/openapi.json", "openapi"), ("/schema", "$id")] {
        let reply = endpoint.ask(request("GET", path, &login, "")).await;
        let document: serde_json::Value = reply.json();
        assert!(document[member].is_string());
        let anonymous = endpoint.ask_bare(bare("GET", path)).await;
        anonymous.problem(codes::UNAUTHENTICATED);
    }
}

/// An operation that is not over, which the host knows.
fn under_way(endpoint: &Endpoint) -> Operation {
    let under_way = Operation {
        id: "f".repeat(32),
        state: OperationState::Decided,
        ..operation("argon", 2, "g2-00000000")
    };
    put(endpoint, &under_way);
    under_way
}

fn put(endpoint: &Endpoint, operation: &Operation) {
    let mut stored = endpoint.toy.stored.lock().unwrap();
    stored.insert(operation.id.clone(), operation.clone());
}

async fn follow(endpoint: &Endpoint, operation: &Operation) -> axum::response::Response {
    let login = format!("Bearer {}", endpoint.root);
    let headers = [
        ("authorization", login.as_str()),
        ("accept", "text/event-stream"),
    ];
    let path = format!("/operations/{}", operation.id);
    let request = request("GET", &path, &headers, "");
    endpoint.app.clone().oneshot(request).await.unwrap()
}

/// The next event's name and data.
async fn event(body: &mut axum::body::Body) -> Option<(String, String)> {
    loop {
        let frame = body.frame().await?.unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        if text.starts_with(':') {
            continue;
        }
        let (name, data) = text.trim_end().split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        return Some((name.to_owned(), data.to_owned()));
    }
}

#[tokio::test]
async fn an_operation_is_followed_to_its_end() {
    let endpoint = Endpoint::new();
    let mut now = under_way(&endpoint);
    let response = follow(&endpoint, &now).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut body = response.into_body();
    for state in [
        OperationState::Decided,
        OperationState::Unconfirmed,
        OperationState::Done,
    ] {
        now.state = state;
        put(&endpoint, &now);
        let (name, data) = event(&mut body).await.unwrap();
        assert_eq!(name, "operation");
        let told: Operation = serde_json::from_str(&data).unwrap();
        assert_eq!(told, now);
    }
    assert_eq!(event(&mut body).await, None, "done is the end");

    let mut over = follow(&endpoint, &now).await.into_body();
    assert!(event(&mut over).await.is_some() && event(&mut over).await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_why_the_host_fails() {
    let endpoint = Endpoint::new();
    let mut body = follow(&endpoint, &under_way(&endpoint)).await.into_body();
    event(&mut body).await.unwrap();
    *endpoint.toy.fail.lock().unwrap() = Some(HostError::Halted("broken".to_owned()));
    let (name, data) = event(&mut body).await.unwrap();
    let problem: Problem = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (name.as_str(), problem.code.as_str()),
        ("problem", codes::HALTED)
    );
    assert_eq!(event(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_in_number_and_time() {
    let limits = Limits {
        streams: 2,
        stream_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let endpoint = Endpoint::with(limits, |access| access);
    let operation = under_way(&endpoint);
    let mut first = follow(&endpoint, &operation).await.into_body();
    let second = follow(&endpoint, &operation).await;
    let third = follow(&endpoint, &operation).await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(third.headers().contains_key("retry-after"));
    let plain = bare("GET", &format!("/operations/{}", operation.id));
    assert_eq!(endpoint.ask(plain).await.status, StatusCode::OK);
    // A caller that hangs up gives its place back.
    drop(second);
    let again = follow(&endpoint, &operation).await;
    assert_eq!(again.status(), StatusCode::OK);
    // Its time ends without a final state: time passes only while everybody waits.
    event(&mut first).await.unwrap();
    assert_eq!(event(&mut first).await, None);
    drop(first);
    assert_eq!(follow(&endpoint, &operation).await.status(), StatusCode::OK);
}

/// A document in the body of a request that changes nothing: bounded and checked as one that does.
#[tokio::test]
async fn a_simulation_wants_a_valid_document_of_its_log_and_a_time_that_is_recorded() {
    let endpoint = Endpoint::new();
    let ask = async |query: &str, body: &str| {
        let path = format!("/logs/argon/qos/simulate{query}");
        let headers = [("content-type", "application/yaml")];
        endpoint
            .ask(request("POST", &path, &headers, body.to_owned()))
            .await
    };
    let one = "log: argon\nqos: {tiers: [{name: a}], tenants: [{name: t, tiers: [a]}]}\n";
    for (query, since) in [
        ("", "86400s"),
        ("?since=1m", "60s"),
        ("?since=7d", "604800s"),
    ] {
        let simulation: Simulation = ask(query, one).await.json();
        assert_eq!(simulation.log, "argon");
        let asked = endpoint.toy.asked.lock().unwrap().pop().unwrap();
        assert_eq!(asked, format!("1 tiers since {since}"));
    }
    for query in ["?since=59s", "?since=8d", "?since=soon", "?until=1d"] {
        ask(query, one).await.problem(codes::BAD_REQUEST);
    }
    let problem = ask("", "log: boron\n").await.problem(codes::INVALID);
    assert_eq!(problem.findings[0].code, "other-log");
    let two =
        "log: argon\nqos: {tiers: [{name: a, weight: 0}], tenants: [{name: t, tiers: [b]}]}\n";
    let problem = ask("", two).await.problem(codes::INVALID);
    assert!(problem.findings.len() > 1, "{problem:?}");
    assert!(endpoint.toy.asked.lock().unwrap().is_empty());
}
