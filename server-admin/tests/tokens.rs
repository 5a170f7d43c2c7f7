//! Tokens that are made, listed and revoked over the endpoint; and what many failed logins come to.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::http::StatusCode;
use common::{Endpoint, Reply, bare, request};
use serde_json::{Value, json};
use server_admin::{Limits, Peer, router};
use tlog::GlobalIndex;
use wire::{NewToken, Revoked, Token, Tokens, WhoAmI, codes};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn ask(endpoint: &Endpoint, method: &str, path: &str, secret: &str, body: &Value) -> Reply {
    let value = bearer(secret);
    let headers = [
        ("authorization", value.as_str()),
        ("content-type", "application/json"),
    ];
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    endpoint
        .ask_bare(request(method, path, &headers, body))
        .await
}

fn wanted(name: &str, scopes: &[&str]) -> Value {
    json!({"name": name, "scopes": scopes, "lifetimeSeconds": 3600})
}

async fn create(endpoint: &Endpoint, secret: &str, name: &str, scopes: &[&str]) -> Reply {
    ask(endpoint, "POST", "/tokens", secret, &wanted(name, scopes)).await
}

async fn who(endpoint: &Endpoint, secret: &str) -> Reply {
    ask(endpoint, "GET", "/whoami", secret, &Value::Null).await
}

#[tokio::test]
async fn a_token_is_made_used_listed_and_revoked_on_all_replicas() {
    let endpoint = Endpoint::new();
    let made: NewToken = create(&endpoint, &endpoint.root, "ci.a-1", &["shard:rotate:argon"])
        .await
        .json();
    assert_eq!(made.audit_index.map(GlobalIndex::get), Some(0));
    assert_eq!(made.audit.unwrap().index, GlobalIndex::ZERO);
    assert_eq!(made.token.created_by.as_deref(), Some("token:root"));
    assert!(made.token.revocable);

    // Another server on the same stores, without the token file.
    let mut replica = Endpoint::new();
    replica.app = router(endpoint.toy.clone(), replica.access.clone());
    for at in [&endpoint, &replica] {
        let who: WhoAmI = who(at, &made.secret).await.json();
        assert_eq!(who.actor, "token:ci.a-1");
        assert_eq!(who.permissions, ["shard:rotate:argon"]);
        let other = ask(
            at,
            "POST",
            "/logs/boron/rotations",
            &made.secret,
            &json!({}),
        )
        .await;
        other.problem(codes::FORBIDDEN);
    }
    let list: Tokens = ask(&endpoint, "GET", "/tokens", &endpoint.root, &Value::Null)
        .await
        .json();
    let names: Vec<(&str, bool)> = list
        .tokens
        .iter()
        .map(|token: &Token| (token.name.as_str(), token.revocable))
        .collect();
    assert_eq!(names, [("ci.a-1", true), ("root", false)]);
    assert_eq!(list.tokens[0], made.token);

    let gone: Revoked = ask(
        &replica,
        "DELETE",
        "/tokens/ci.a-1",
        &replica.root,
        &Value::Null,
    )
    .await
    .json();
    assert_eq!(
        (gone.name.as_str(), gone.audit_index.map(GlobalIndex::get)),
        ("ci.a-1", Some(1))
    );
    for at in [&endpoint, &replica] {
        who(at, &made.secret).await.problem(codes::UNAUTHENTICATED);
    }
    let again = ask(
        &endpoint,
        "DELETE",
        "/tokens/ci.a-1",
        &endpoint.root,
        &Value::Null,
    )
    .await;
    again.problem(codes::NOT_FOUND);
    let events = endpoint.toy.memory.events.lock().unwrap().clone();
    assert_eq!(
        (events[0].action, events[1].action),
        ("token-create", "token-revoke")
    );
    assert!(events[0].detail.contains("ci.a-1") && events[0].detail.contains("shard:rotate:argon"));
    // The name is free again, and the old text stays worthless.
    create(&endpoint, &endpoint.root, "ci.a-1", &["*:*:*"])
        .await
        .json::<NewToken>();
    who(&endpoint, &made.secret)
        .await
        .problem(codes::UNAUTHENTICATED);
}

#[tokio::test]
async fn nobody_gives_what_he_does_not_have() {
    let endpoint = Endpoint::new();
    let maker = endpoint.token("maker", &["token:create:*", "shard:*:argon", "*:read:*"]);
    for (scopes, allowed) in [
        (&["shard:rotate:argon"][..], true),
        (&["shard:*:argon", "log:read:boron"], true),
        (&["token:create:*"], true),
        (&["shard:rotate:boron"], false),
        (&["shard:rotate:*"], false),
        (&["shard:rotate:argon", "config:write:argon"], false),
        (&["*:*:argon"], false),
        (&["*:*:*"], false),
    ] {
        let name = format!("t{}", scopes.join("").len());
        let reply = create(&endpoint, &maker, &name, scopes).await;
        match allowed {
            true => drop(reply.json::<NewToken>()),
            false => drop(reply.problem(codes::FORBIDDEN)),
        }
    }
    for (permissions, method, path) in [
        (&["token:read:*", "token:revoke:*"][..], "POST", "/tokens"),
        (&["token:create:*", "token:revoke:*"], "GET", "/tokens"),
        (&["token:read:*", "token:create:*"], "DELETE", "/tokens/x"),
        (&["token:*:argon"], "GET", "/tokens"),
    ] {
        let some = endpoint.token("some", permissions);
        let body = wanted("x", &["token:read:*"]);
        let body = if method == "POST" {
            &body
        } else {
            &Value::Null
        };
        let reply = ask(&endpoint, method, path, &some, body).await;
        reply.problem(codes::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_request_for_a_token_is_checked_as_a_whole() {
    let endpoint = Endpoint::new();
    let root = endpoint.root.clone();
    let reply = ask(
        &endpoint,
        "POST",
        "/tokens",
        &root,
        &json!({"name": "A", "scopes": ["x", "log:read:c", "*"], "lifetimeSeconds": 0}),
    )
    .await;
    let problem = reply.problem(codes::INVALID);
    let pointers: Vec<&str> = problem
        .findings
        .iter()
        .map(|finding| finding.pointer.as_str())
        .collect();
    assert_eq!(
        pointers,
        ["/name", "/scopes/0", "/scopes/2", "/lifetimeSeconds"]
    );
    for (changed, value) in [
        ("name", json!("a_b")),
        ("name", json!("")),
        ("name", json!("a".repeat(64))),
        ("scopes", json!([])),
        ("scopes", json!(vec!["log:read:c"; 65])),
        ("lifetimeSeconds", json!(366 * 24 * 3600 + 1)),
        ("lifetimeSeconds", json!(u64::MAX)),
        ("lifetimeSeconds", json!(-1)),
        ("extra", json!(1)),
    ] {
        let mut body = wanted("ok", &["log:read:c"]);
        body[changed] = value;
        let reply = ask(&endpoint, "POST", "/tokens", &root, &body).await;
        reply.problem(codes::INVALID);
    }
    ask(
        &endpoint,
        "POST",
        "/tokens?dryRun=true",
        &root,
        &wanted("ok", &["log:read:c"]),
    )
    .await
    .problem(codes::BAD_REQUEST);
    create(&endpoint, &root, "one", &["log:read:c"])
        .await
        .json::<NewToken>();
    create(&endpoint, &root, "one", &["log:read:c"])
        .await
        .problem(codes::CONFLICT);
    create(&endpoint, &root, "root", &["log:read:c"])
        .await
        .problem(codes::CONFLICT);
    let filed = ask(&endpoint, "DELETE", "/tokens/root", &root, &Value::Null).await;
    filed.problem(codes::CONFLICT);
    for name in ["..%2fx", "A", "a%0ab", "%ff"] {
        let path = format!("/tokens/{name}");
        let reply = ask(&endpoint, "DELETE", &path, &root, &Value::Null).await;
        assert!(reply.status.is_client_error(), "{reply:?}");
    }
    assert_eq!(endpoint.toy.memory.actions(), ["token-create"]);
    {
        let mut rows = endpoint.toy.memory.rows.lock().unwrap();
        let (row, until) = rows["token/one/"].clone();
        for n in 0..999 {
            rows.insert(format!("token/n{n}/"), (row.clone(), until));
        }
    }
    create(&endpoint, &root, "more", &["log:read:c"])
        .await
        .problem(codes::CONFLICT);
}

#[tokio::test]
async fn of_many_that_want_a_name_at_once_one_gets_it() {
    let endpoint = Endpoint::new();
    let all = (0..8).map(|_| create(&endpoint, &endpoint.root, "ci", &["log:read:c"]));
    let all = futures_util::future::join_all(all).await;
    let made = all.iter().filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn a_token_ends_and_without_store_or_trail_none_is_made() {
    let endpoint = Endpoint::new();
    let root = endpoint.root.clone();
    let memory = &endpoint.toy.memory;
    memory.mute.store(true, Ordering::SeqCst);
    create(&endpoint, &root, "ci", &["log:read:c"])
        .await
        .problem(codes::UNAVAILABLE);
    assert!(
        memory.rows.lock().unwrap().is_empty(),
        "audited before the effect"
    );
    memory.mute.store(false, Ordering::SeqCst);
    let made: NewToken = create(&endpoint, &root, "ci", &["log:read:c"]).await.json();

    memory.mute.store(true, Ordering::SeqCst);
    let kept = ask(&endpoint, "DELETE", "/tokens/ci", &root, &Value::Null).await;
    kept.problem(codes::UNAVAILABLE);
    memory.mute.store(false, Ordering::SeqCst);
    assert_eq!(who(&endpoint, &made.secret).await.status, StatusCode::OK);

    memory.down.store(true, Ordering::SeqCst);
    who(&endpoint, &made.secret)
        .await
        .problem(codes::UNAVAILABLE);
    assert_eq!(who(&endpoint, &root).await.status, StatusCode::OK);
    memory.down.store(false, Ordering::SeqCst);

    {
        let mut rows = memory.rows.lock().unwrap();
        let (row, _) = rows.get_mut("token/ci/").unwrap();
        let mut changed: Value = serde_json::from_str(row).unwrap();
        changed["expires"] = json!(common::now().to_string());
        *row = changed.to_string();
    }
    let over = who(&endpoint, &made.secret).await;
    assert!(
        over.problem(codes::UNAUTHENTICATED)
            .detail
            .contains("expired")
    );
    // Only a client that has the text is told that it was one.
    let guess = format!("logctl_t_ci_{}", "0".repeat(64));
    let problem = who(&endpoint, &guess).await.problem(codes::UNAUTHENTICATED);
    assert!(!problem.detail.contains("expired"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_failed_logins_are_limited_audited_and_harm_nobody() {
    // Time passes only while everybody waits: all of them are within it.
    let window = Duration::from_secs(10);
    let mut endpoint = Endpoint::with(Limits::default(), |access| {
        access.with_failure_window(window)
    });
    let made: NewToken = create(&endpoint, &endpoint.root, "ci", &["log:read:c"])
        .await
        .json();
    let peer = Peer::tcp(([192, 0, 2, 7], 7).into());
    endpoint.app = endpoint.app.clone().layer(Extension(peer));
    let mut limited = 0;
    for n in 0..1000u32 {
        let guess = match n % 3 {
            0 => format!("logctl_{n:064x}"),
            1 => format!("logctl_s_{n:064x}"),
            _ => format!("logctl_t_ci_{n:064x}"),
        };
        match who(&endpoint, &guess).await.status {
            StatusCode::TOO_MANY_REQUESTS => limited += 1,
            status => assert_eq!(status, StatusCode::UNAUTHORIZED),
        }
        if n % 100 == 0 {
            // From the same address.
            for good in [&made.secret, &endpoint.root] {
                assert_eq!(who(&endpoint, good).await.status, StatusCode::OK);
            }
        }
    }
    assert!(limited >= 980, "{limited}");
    let memory = &endpoint.toy.memory;
    let failed = || -> Vec<(String, String)> {
        let events = memory.events.lock().unwrap();
        let failed = events.iter().filter(|event| event.action == "login-failed");
        failed
            .map(|event| (event.actor.clone(), event.detail.clone()))
            .collect()
    };
    let first = failed();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].0, "ip:192.0.2.7");
    let summed = async {
        while failed().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(10 * window, summed).await.unwrap();
    let all = failed();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].1, "999 more failed logins within 10 s");
    // Nothing was offered: no failed login.
    for _ in 0..20 {
        let reply = endpoint.ask_bare(bare("GET", "/whoami")).await;
        reply.problem(codes::UNAUTHENTICATED);
    }
    assert_eq!(failed().len(), 2);
}

#[tokio::test]
async fn a_host_without_a_memory_has_no_such_tokens() {
    struct Plain;
    impl server_admin::Host for Plain {
        fn logs(&self) -> server_admin::Answer<'_, Vec<wire::LogStatus>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn config<'a>(&'a self, _: &'a str) -> server_admin::Answer<'a, wire::ConfigAnswer> {
            Box::pin(async { Err(server_admin::HostError::NotFound("none".to_owned())) })
        }
        fn apply<'a>(
            &'a self,
            _: &'a str,
            _: server_admin::Change,
            _: server_admin::Mode,
            _: server_admin::Caller,
        ) -> server_admin::Answer<'a, wire::Operation> {
            Box::pin(async { Err(server_admin::HostError::NotFound("none".to_owned())) })
        }
        fn history<'a>(&'a self, _: &'a str) -> server_admin::Answer<'a, Vec<wire::HistoryItem>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn operations<'a>(
            &'a self,
            _: Option<&'a str>,
        ) -> server_admin::Answer<'a, Vec<wire::Operation>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn replicas<'a>(
            &'a self,
            _: Option<&'a str>,
        ) -> server_admin::Answer<'a, Vec<wire::Replica>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }
    let mut endpoint = Endpoint::with(Limits::default(), |access| access);
    endpoint.app = router(std::sync::Arc::new(Plain), endpoint.access.clone());
    let root = endpoint.root.clone();
    let list: Tokens = ask(&endpoint, "GET", "/tokens", &root, &Value::Null)
        .await
        .json();
    assert_eq!(list.tokens.len(), 1);
    create(&endpoint, &root, "ci", &["log:read:c"])
        .await
        .problem(codes::UNSUPPORTED);
    for text in ["logctl_s_", "logctl_t_ci_"] {
        let guess = format!("{text}{}", "0".repeat(64));
        who(&endpoint, &guess).await.problem(codes::UNAUTHENTICATED);
    }
}

/// The text can't be told twice. Whoever lost the answer asks again with his key, and gets another text.
#[tokio::test]
async fn a_repeat_after_a_lost_answer_gets_a_new_text() {
    let endpoint = Endpoint::new();
    let ask = async |secret: &str, key: &str, body: &Value| {
        let value = bearer(secret);
        let headers = [
            ("authorization", value.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let request = request("POST", "/tokens", &headers, body.to_string());
        endpoint.ask_bare(request).await
    };
    let body = wanted("ci", &["shard:rotate:argon"]);
    let lost: NewToken = ask(&endpoint.root, "one", &body).await.json();
    let again: NewToken = ask(&endpoint.root, "one", &body).await.json();
    assert_ne!(lost.secret, again.secret);
    who(&endpoint, &lost.secret)
        .await
        .problem(codes::UNAUTHENTICATED);
    assert_eq!(who(&endpoint, &again.secret).await.status, StatusCode::OK);

    // Another key, another request, another caller, no key: the name is taken, and the token stays as it is.
    let other = endpoint.token("other", &["*:*:*"]);
    let more = wanted("ci", &["shard:rotate:*"]);
    for reply in [
        ask(&endpoint.root, "two", &body).await,
        ask(&endpoint.root, "one", &more).await,
        ask(&other, "one", &body).await,
        create(&endpoint, &endpoint.root, "ci", &["shard:rotate:argon"]).await,
    ] {
        reply.problem(codes::CONFLICT);
    }
    assert_eq!(who(&endpoint, &again.secret).await.status, StatusCode::OK);
    let events = endpoint.toy.memory.events.lock().unwrap().clone();
    let told: Vec<bool> = events
        .iter()
        .filter(|event| event.action == "token-create")
        .map(|event| event.detail.contains("a new text"))
        .collect();
    assert_eq!(told, [false, true]);
    ask(&endpoint.root, "a b", &body)
        .await
        .problem(codes::BAD_REQUEST);
}

#[tokio::test]
async fn a_scope_that_allows_nothing_is_refused_with_what_was_meant() {
    let endpoint = Endpoint::new();
    let secret = endpoint.token("owner", &["*:*:*"]);
    let reply = create(
        &endpoint,
        &secret,
        "ci",
        &["shard:rotat:dev", "log:read:dev"],
    )
    .await;
    let problem = reply.problem(codes::INVALID);
    let [finding] = &problem.findings[..] else {
        panic!("{problem:?}")
    };
    assert_eq!(finding.pointer, "/scopes/0");
    assert_eq!(
        finding.hint.as_deref(),
        Some("did you mean `shard:rotate:dev`?")
    );
}
