//! How a change gets to the host, and what the caller is told about it.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::{Endpoint, bare, request};
use logconfig::LogConfig;
use server_admin::{Change, HostError, Mode};
use wire::{ConfigAnswer, Difference, Finding, Operation, OperationState, codes};

const YAML: (&str, &str) = ("content-type", "application/yaml");

async fn running(endpoint: &Endpoint) -> ConfigAnswer {
    endpoint.ask(bare("GET", "/logs/argon/config")).await.json()
}

/// The running document with another planned shard.
fn edited(config: &LogConfig, shard: &str) -> LogConfig {
    let shard: logconfig::ShardName = shard.parse().unwrap();
    logconfig::with_planned(config, Some(shard), 0).unwrap()
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
async fn a_configuration_is_read_changed_and_read_again() {
    let endpoint = Endpoint::new();
    let reply = endpoint.ask(bare("GET", "/logs/argon/config")).await;
    let before: ConfigAnswer = reply.json();
    assert_eq!(reply.headers["etag"], format!("\"{}\"", before.etag));
    assert_eq!(before.config.generation, Some(1));

    let next = edited(&before.config, "b");
    let reply = endpoint.ask(put(&before.etag, next.to_yaml())).await;
    let operation: Operation = reply.json();
    assert_eq!(
        (reply.status, operation.state, operation.generation),
        (StatusCode::OK, OperationState::Done, 2)
    );
    assert_eq!(reply.headers["etag"], format!("\"{}\"", operation.etag));
    assert_eq!(operation.actor.as_deref(), Some("token:root"));
    let after = running(&endpoint).await;
    assert_eq!(
        (after.etag.as_str(), after.config.canonical()),
        (operation.etag.as_str(), next.canonical())
    );

    let json = request(
        "PUT",
        "/logs/argon/config",
        &[
            ("content-type", "Application/JSON; charset=UTF-8"),
            ("if-match", "\"g2\""),
        ],
        edited(&after.config, "c").to_json(),
    );
    assert_eq!(
        endpoint.ask(json).await.json::<Operation>().generation,
        3,
        "JSON, and a base by generation alone"
    );
}

#[tokio::test]
async fn a_read_is_conditional() {
    let endpoint = Endpoint::new();
    let etag = format!("\"{}\"", running(&endpoint).await.etag);
    for (tag, status) in [
        (etag.as_str(), StatusCode::NOT_MODIFIED),
        (&format!("\"x\", W/{etag}"), StatusCode::NOT_MODIFIED),
        ("\"g1-00000000\"", StatusCode::OK),
    ] {
        let reply = endpoint
            .ask(request(
                "GET",
                "/logs/argon/config",
                &[("if-none-match", tag)],
                "",
            ))
            .await;
        assert_eq!(
            (reply.status, reply.headers["etag"].to_str().unwrap()),
            (status, etag.as_str())
        );
        assert_eq!(reply.body.is_empty(), status == StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn a_write_says_what_it_is_based_on() {
    let endpoint = Endpoint::new();
    let ConfigAnswer { etag, config } = running(&endpoint).await;
    let next = edited(&config, "b").to_yaml();
    let without = request("PUT", "/logs/argon/config", &[YAML], next.clone());
    endpoint
        .ask(without)
        .await
        .problem(codes::PRECONDITION_REQUIRED);
    for bad in [
        "*",
        "\"*\"",
        "g1",
        &format!("W/\"{etag}\""),
        &format!("\"{etag}\", \"g2\""),
        "\"x\"",
        "",
    ] {
        let reply = endpoint
            .ask(request(
                "PUT",
                "/logs/argon/config",
                &[YAML, ("if-match", bad)],
                next.clone(),
            ))
            .await;
        assert!(reply.problem(codes::BAD_REQUEST).hint.is_some(), "{bad}");
    }
    let create = [YAML, ("if-match", "\"g1\""), ("if-none-match", "*")];
    endpoint
        .ask(request("PUT", "/logs/argon/config", &create, next.clone()))
        .await
        .problem(codes::BAD_REQUEST);
    assert!(endpoint.toy.seen.lock().unwrap().is_empty());

    let stale = endpoint
        .ask(put("g0-00000000", next))
        .await
        .problem(codes::STALE);
    assert_eq!(stale.current_etag.as_deref(), Some(etag.as_str()));
    assert_eq!(stale.changed_by.as_deref(), Some("uid:7"));
    assert!(stale.changed_at.is_some() && stale.hint.is_some());
    assert_eq!(stale.differences.len(), 1, "{:?}", stale.differences);

    // A document that runs already is no conflict, whatever its base.
    let same: Operation = endpoint
        .ask(put("g0-00000000", config.to_yaml()))
        .await
        .json();
    assert_eq!((same.state, same.etag), (OperationState::Unchanged, etag));
}

#[tokio::test]
async fn a_base_is_passed_on_where_it_has_a_meaning() {
    let endpoint = Endpoint::new();
    let base = ("if-match", "\"g7-1a2b3c4d\"");
    for path in ["/logs/argon/rotations", "/logs/argon/shards"] {
        assert_eq!(
            endpoint
                .ask(request("POST", path, &[base], ""))
                .await
                .status,
            StatusCode::OK
        );
        assert_eq!(
            endpoint.ask(bare("POST", path)).await.status,
            StatusCode::OK
        );
    }
    for path in ["/logs/argon/freeze", "/logs/argon/unfreeze"] {
        endpoint
            .ask(request("POST", path, &[base], ""))
            .await
            .problem(codes::BAD_REQUEST);
    }
    let bases: Vec<_> = endpoint
        .toy
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, change, ..)| match change {
            Change::Rotate { base, .. } | Change::Plan { base, .. } => {
                base.as_ref().map(ToString::to_string)
            }
            _ => panic!(),
        })
        .collect();
    assert_eq!(
        bases,
        [
            Some("g7-1a2b3c4d".to_owned()),
            None,
            Some("g7-1a2b3c4d".to_owned()),
            None
        ]
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let endpoint = Endpoint::new();
    let ConfigAnswer { etag, config } = running(&endpoint).await;
    let if_match = format!("\"{etag}\"");
    let path = "/logs/argon/config?dryRun=true";
    let reply = endpoint
        .ask(request(
            "PUT",
            path,
            &[YAML, ("if-match", &if_match)],
            edited(&config, "b").to_yaml(),
        ))
        .await;
    assert_eq!(reply.json::<Operation>().state, OperationState::Planned);
    assert!(
        !reply.headers.contains_key("etag"),
        "what it names does not exist"
    );
    assert_eq!(running(&endpoint).await.etag, etag);

    for (query, mode) in [
        ("", Mode::Apply),
        ("?dryRun=false", Mode::Apply),
        ("?dryRun=true", Mode::Preview),
    ] {
        endpoint
            .ask(bare("POST", &format!("/logs/argon/freeze{query}")))
            .await;
        assert_eq!(
            endpoint.toy.seen.lock().unwrap().last().unwrap().2,
            mode,
            "{query}"
        );
    }
    let seen = endpoint.toy.seen.lock().unwrap().len();
    for query in [
        "?dryRun=yes",
        "?dryRun=1",
        "?dryRun",
        "?dryrun=true",
        "?dry_run=true",
        "?dryRun=true&dryRun=false",
        "?x=1",
    ] {
        endpoint
            .ask(bare("POST", &format!("/logs/argon/freeze{query}")))
            .await
            .problem(codes::BAD_REQUEST);
    }
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), seen);
    for path in [
        "/logs?x=1",
        "/logs/argon?dryRun=true",
        "/operations?logs=argon",
        "/whoami?x",
        "/replicas?log=a&log=b",
    ] {
        endpoint
            .ask(bare("GET", path))
            .await
            .problem(codes::BAD_REQUEST);
    }
}

#[tokio::test]
async fn an_idempotency_key_reaches_the_host_with_its_actor() {
    let endpoint = Endpoint::new();
    let key = "8a1f-!~".repeat(18);
    for path in [
        "/logs/argon/rotations",
        "/logs/argon/shards",
        "/logs/argon/freeze",
        "/logs/argon/unfreeze",
    ] {
        endpoint
            .ask(request("POST", path, &[("idempotency-key", &key)], ""))
            .await;
        let caller = endpoint.toy.seen.lock().unwrap().last().unwrap().3.clone();
        assert_eq!(
            (caller.actor.as_str(), caller.idempotency_key.as_deref()),
            ("token:root", Some(key.as_str()))
        );
    }
    for bad in ["", "a b", &"x".repeat(129), "ü"] {
        let reply = endpoint
            .ask(request(
                "POST",
                "/logs/argon/rotations",
                &[("idempotency-key", bad)],
                "",
            ))
            .await;
        reply.problem(codes::BAD_REQUEST);
    }
    let two = [("idempotency-key", "a"), ("idempotency-key", "a")];
    endpoint
        .ask(request("POST", "/logs/argon/rotations", &two, ""))
        .await
        .problem(codes::BAD_REQUEST);
    assert_eq!(endpoint.toy.seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn each_error_of_the_host_is_its_problem() {
    let endpoint = Endpoint::new();
    let finding = |code: &str| Finding {
        code: code.to_owned(),
        message: "m".to_owned(),
        pointer: String::new(),
        line: None,
        column: None,
        hint: None,
    };
    let difference = Difference {
        subject: "s".to_owned(),
        before: None,
        after: None,
    };
    let text = || "why".to_owned();
    let errors = [
        (HostError::NotFound(text()), 404, codes::NOT_FOUND),
        (
            HostError::Invalid(vec![finding("a"), finding("b")]),
            422,
            codes::INVALID,
        ),
        (
            HostError::Stale {
                current_etag: text(),
                changed_by: None,
                changed_at: None,
                differences: vec![difference],
            },
            412,
            codes::STALE,
        ),
        (HostError::Conflict(text()), 409, codes::CONFLICT),
        (
            HostError::KeyReused {
                operation: Some(text()),
            },
            422,
            codes::KEY_REUSED,
        ),
        (HostError::Halted(text()), 503, codes::HALTED),
        (HostError::Full(text()), 507, codes::FULL),
        (HostError::Unavailable(text()), 503, codes::UNAVAILABLE),
        (
            HostError::UnknownOutcome { operation: text() },
            503,
            codes::UNKNOWN_OUTCOME,
        ),
        (HostError::Internal(text()), 500, codes::INTERNAL),
    ];
    for (error, status, code) in errors {
        *endpoint.toy.fail.lock().unwrap() = Some(error.clone());
        let reply = endpoint.ask(bare("POST", "/logs/argon/rotations")).await;
        let problem = reply.problem(code);
        assert_eq!(reply.status.as_u16(), status);
        match error {
            HostError::Invalid(findings) => assert_eq!(problem.findings, findings),
            HostError::KeyReused { .. } | HostError::UnknownOutcome { .. } => {
                assert_eq!(problem.operation, Some(text()))
            }
            HostError::Stale { differences, .. } => assert_eq!(problem.differences, differences),
            _ => assert!(problem.detail.contains("why"), "{problem:?}"),
        }
    }
}

#[tokio::test]
async fn one_write_at_a_time_per_log() {
    let endpoint = Endpoint::new();
    let write = |path: &'static str| endpoint.ask(bare("POST", path));
    let writes =
        futures_util::future::join_all((0..8).map(|_| write("/logs/argon/rotations"))).await;
    assert!(writes.iter().all(|reply| reply.status == StatusCode::OK));
    assert_eq!(endpoint.toy.most_running.load(Ordering::SeqCst), 1);

    // While argon's writer is stuck, boron's continues, and so do previews of argon.
    endpoint.toy.permits.forget_permits(usize::MAX);
    let stuck = tokio::spawn({
        let (app, root) = (endpoint.app.clone(), endpoint.root.clone());
        let freeze = request(
            "POST",
            "/logs/argon/freeze",
            &[("authorization", &format!("Bearer {root}"))],
            "",
        );
        async move {
            tower::ServiceExt::oneshot(app, freeze)
                .await
                .unwrap()
                .status()
        }
    });
    endpoint.toy.is_running(1).await;
    let others = async {
        futures_util::future::join(
            write("/logs/boron/freeze"),
            write("/logs/argon/freeze?dryRun=true"),
        )
        .await
    };
    let (others, ()) = futures_util::future::join(others, async {
        endpoint.toy.is_running(3).await;
        endpoint.toy.permits.add_permits(3);
    })
    .await;
    assert_eq!(
        (others.0.status, others.1.status, stuck.await.unwrap()),
        (StatusCode::OK, StatusCode::OK, StatusCode::OK)
    );
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_change() {
    let endpoint = Endpoint::new();
    endpoint.toy.permits.forget_permits(usize::MAX);
    for path in ["/logs/argon/rotations", "/logs/argon/freeze"] {
        let asked = tokio::time::timeout(Duration::ZERO, endpoint.ask(bare("POST", path)));
        assert!(
            asked.await.is_err(),
            "the caller is gone before the host is done"
        );
    }
    endpoint.toy.permits.add_permits(2);
    endpoint.toy.finished.acquire().await.unwrap().forget();
    // The second was still waiting for its turn.
    let unfreeze = endpoint.ask(bare("POST", "/logs/argon/unfreeze")).await;
    assert_eq!(unfreeze.status, StatusCode::OK);
    let seen = endpoint.toy.seen.lock().unwrap();
    let changes: Vec<_> = seen.iter().map(|(_, change, ..)| change).collect();
    assert!(
        matches!(
            changes.as_slice(),
            [Change::Rotate { .. }, Change::Unfreeze]
        ),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_reason_reaches_the_host() {
    let endpoint = Endpoint::new();
    let ask = |query: &str| {
        let path = format!("/logs/argon/rotations?{query}");
        request("POST", &path, &[], "")
    };
    endpoint
        .ask(ask("reason=the%20disk%20is%20f%C3%BCll"))
        .await;
    let caller = endpoint.toy.seen.lock().unwrap().last().unwrap().3.clone();
    assert_eq!(caller.reason.as_deref(), Some("the disk is füll"));
    let long = format!("reason={}", "x".repeat(501));
    for bad in ["reason=", "reason=a%0Ab", &long] {
        endpoint.ask(ask(bad)).await.problem(codes::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_host_is_not_asked_for_what_it_cannot_do() {
    let endpoint = Endpoint::new();
    endpoint
        .toy
        .basic
        .store(true, std::sync::atomic::Ordering::SeqCst);
    // The plug-in fills in what the tag says.
    let ConfigAnswer { etag, config } = running(&endpoint).await;
    assert_eq!(config.generation, Some(1));

    let mut tiers = config.clone();
    tiers.qos.tiers[0].weight += 1;
    tiers.witnesses.timeout = "3s".parse().unwrap();
    tiers.merge.frontends = vec![logconfig::FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: "file:///srv/cdn".to_owned(),
    }];
    for path in ["/logs/argon/config", "/logs/argon/config?dryRun=true"] {
        let tag = format!("\"{etag}\"");
        let headers = [YAML, ("if-match", tag.as_str())];
        let asked = request("PUT", path, &headers, tiers.to_yaml());
        let refused = endpoint.ask(asked).await.problem(codes::INVALID);
        let found: Vec<_> = refused
            .findings
            .iter()
            .map(|f| f.pointer.as_str())
            .collect();
        assert_eq!(found, ["/qos", "/merge", "/witnesses"], "{refused:?}");
        assert!(refused.findings.iter().all(|found| found.hint.is_some()));
    }
    // It can't wait for what it does not record.
    let settle = r#"{"settle": "0s"}"#;
    let settled = request(
        "POST",
        "/logs/argon/rotations",
        &[("content-type", "application/json")],
        settle,
    );
    endpoint.ask(settled).await.problem(codes::UNSUPPORTED);
    assert!(
        endpoint.toy.seen.lock().unwrap().is_empty(),
        "the host was not asked"
    );

    // The settings that every host supports are accepted: a shard, and how often a tree is signed.
    let mut basics = edited(&config, "b");
    basics.merge.checkpoint_interval = "300ms".parse().unwrap();
    let done = endpoint.ask(put(&etag, basics.to_yaml())).await;
    assert_eq!(done.json::<Operation>().generation, 2);
}
