//! Logins, and the permissions of each caller.

mod common;

use std::time::Duration;

use axum::Extension;
use axum::http::StatusCode;
use common::{Endpoint, bare, request};
use server_admin::{Limits, Peer, Permission, issue};
use wire::{Logs, Operations, WhoAmI, codes};

/// Every resource with a method, and the permission it needs on `argon`.
const RESOURCES: &[(&str, &str, &str)] = &[
    ("GET", "/logs", "log:read"),
    ("GET", "/logs/argon", "log:read"),
    ("GET", "/logs/argon/config", "config:read"),
    ("PUT", "/logs/argon/config", "config:write"),
    ("POST", "/logs/argon/rotations", "shard:rotate"),
    ("GET", "/logs/argon/shards", "shard:read"),
    ("POST", "/logs/argon/shards", "shard:plan"),
    ("POST", "/logs/argon/freeze", "log:freeze"),
    ("POST", "/logs/argon/unfreeze", "log:unfreeze"),
    ("GET", "/logs/argon/history", "history:read"),
    ("GET", "/operations", "operation:read"),
    ("GET", "/operations?log=argon", "operation:read"),
    (
        "GET",
        "/operations/00000000000000000000000000000005",
        "operation:read",
    ),
    ("GET", "/replicas?log=argon", "replica:read"),
];

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn each_resource_needs_its_permission_and_no_other() {
    let endpoint = Endpoint::new();
    for (method, path, needed) in RESOURCES {
        let exact = bearer(&endpoint.token("exact", &[&format!("{needed}:argon")]));
        let (resource, verb) = needed.split_once(':').unwrap();
        let all_others: Vec<String> = RESOURCES
            .iter()
            .map(|(.., other)| *other)
            .filter(|other| other != needed)
            .map(|other| format!("{other}:*"))
            .chain([
                format!("{resource}:x:*"),
                format!("x:{verb}:*"),
                format!("{needed}:argo"),
                format!("{needed}:argonx"),
            ])
            .collect();
        let all_others: Vec<&str> = all_others.iter().map(String::as_str).collect();
        let others = bearer(&endpoint.token("others", &all_others));

        let allowed = endpoint
            .ask(request(method, path, &[("authorization", &exact)], ""))
            .await;
        // A configuration without If-Match gets past the permission only.
        let expected = if *method == "PUT" {
            StatusCode::PRECONDITION_REQUIRED
        } else {
            StatusCode::OK
        };
        assert_eq!(allowed.status, expected, "{method} {path}: {allowed:?}");

        let refused = endpoint
            .ask(request(method, path, &[("authorization", &others)], ""))
            .await;
        // Lists over all logs and single operations are filtered: `:argo` sees that there is a list, but nothing in it.
        match *path {
            "/logs" => assert!(refused.json::<Logs>().logs.is_empty()),
            "/operations" => assert!(refused.json::<Operations>().operations.is_empty()),
            path if path.starts_with("/operations/") => {
                assert_eq!(refused.status, StatusCode::NOT_FOUND)
            }
            path => {
                let problem = refused.problem(codes::FORBIDDEN);
                assert!(
                    problem
                        .detail
                        .contains(&format!("token:others lacks {needed}:argon")),
                    "{path}: {problem:?}"
                );
            }
        }

        let nobody = endpoint.ask_bare(bare(method, path)).await;
        nobody.problem(codes::UNAUTHENTICATED);
        assert_eq!(nobody.headers["www-authenticate"], "Bearer realm=\"admin\"");
    }
}

#[tokio::test]
async fn lists_show_only_what_the_caller_may_read() {
    let endpoint = Endpoint::new();
    let token = bearer(&endpoint.token("one", &["log:read:argon", "operation:read:boron"]));
    let ask = |path: &str| endpoint.ask(request("GET", path, &[("authorization", &token)], ""));
    let logs: Logs = ask("/logs").await.json();
    assert_eq!(
        logs.logs
            .iter()
            .map(|status| status.log.as_str())
            .collect::<Vec<_>>(),
        ["argon"]
    );
    let operations: Operations = ask("/operations").await.json();
    assert!(
        operations
            .operations
            .iter()
            .all(|operation| operation.log == "boron")
            && !operations.operations.is_empty()
    );
    ask("/logs/boron").await.problem(codes::FORBIDDEN);
    ask("/replicas").await.problem(codes::FORBIDDEN);
    ask("/logs/absent").await.problem(codes::FORBIDDEN);
    let all = endpoint.ask(bare("GET", "/replicas")).await;
    assert_eq!(all.status, StatusCode::OK);
}

#[tokio::test]
async fn whoami_says_who_and_what() {
    let endpoint = Endpoint::new();
    let token = bearer(&endpoint.token("ci", &["shard:rotate:argon", "*:read:*"]));
    let who: WhoAmI = endpoint
        .ask(request("GET", "/whoami", &[("authorization", &token)], ""))
        .await
        .json();
    assert_eq!(who.actor, "token:ci");
    assert_eq!(who.permissions, ["shard:rotate:argon", "*:read:*"]);
}

#[tokio::test]
async fn a_wrong_credential_is_refused() {
    let endpoint = Endpoint::new();
    let expired = issue(
        &endpoint.tokens(),
        "old",
        Duration::ZERO,
        &[Permission::everything()],
        &ambient::Ambient::unset(),
    )
    .unwrap();
    let mut off_by_one = endpoint.root.clone();
    let last = if off_by_one.pop() == Some('0') {
        "1"
    } else {
        "0"
    };
    off_by_one.push_str(last);
    let wrong = [
        bearer(""),
        bearer("logctl_"),
        bearer(&off_by_one),
        bearer(&endpoint.root.to_uppercase()),
        endpoint.root.clone(),
        format!("Basic {}", endpoint.root),
        String::new(),
    ];
    for value in &wrong {
        endpoint
            .ask(request("GET", "/whoami", &[("authorization", value)], ""))
            .await
            .problem(codes::UNAUTHENTICATED);
    }
    let reply = endpoint
        .ask(request(
            "GET",
            "/whoami",
            &[("authorization", &bearer(expired.expose()))],
            "",
        ))
        .await;
    assert_eq!(
        reply.problem(codes::UNAUTHENTICATED).detail,
        "token old has expired"
    );
    let good = bearer(&endpoint.root);
    let twice = request(
        "GET",
        "/whoami",
        &[("authorization", &good), ("authorization", &good)],
        "",
    );
    endpoint.ask(twice).await.problem(codes::BAD_REQUEST);
    let lowercase = request(
        "GET",
        "/whoami",
        &[("authorization", &format!("bearer {}", endpoint.root))],
        "",
    );
    assert_eq!(endpoint.ask(lowercase).await.status, StatusCode::OK);
}

#[tokio::test]
async fn failed_logins_are_limited_and_lock_nobody_out() {
    let endpoint = Endpoint::new();
    let guess = |n: u32| {
        endpoint.ask(request(
            "GET",
            "/whoami",
            &[("authorization", &bearer(&format!("logctl_{n:064x}")))],
            "",
        ))
    };
    for n in 0..10 {
        guess(n).await.problem(codes::UNAUTHENTICATED);
    }
    let limited = guess(10).await;
    limited.problem(codes::TOO_MANY);
    assert!(
        limited.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 0
    );
    assert_eq!(
        endpoint.ask(bare("GET", "/whoami")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_peer_is_known_by_its_uid_and_a_token_decides() {
    let mut endpoint = Endpoint::with(Limits::default(), |access| {
        access.with_uid(7, ["log:read:*".parse().unwrap()])
    });
    let router = endpoint.app.clone();
    let mut who = Vec::new();
    for uid in [7, 8] {
        endpoint.app = router.clone().layer(Extension(Peer::unix(uid)));
        who.push(endpoint.ask_bare(bare("GET", "/whoami")).await);
    }
    let actor = who[0].json::<WhoAmI>().actor;
    assert_eq!(actor.split(' ').next(), Some("uid:7"));
    who[1].problem(codes::FORBIDDEN);

    endpoint.app = router.clone().layer(Extension(Peer::unix(7)));
    let wrong = endpoint
        .ask_bare(request(
            "GET",
            "/whoami",
            &[("authorization", "Bearer logctl_wrong")],
            "",
        ))
        .await;
    wrong.problem(codes::UNAUTHENTICATED);
    assert_eq!(
        endpoint
            .ask(bare("GET", "/whoami"))
            .await
            .json::<WhoAmI>()
            .actor,
        "token:root"
    );

    endpoint.app = router
        .clone()
        .layer(Extension(Peer::tcp(([127, 0, 0, 1], 7).into())));
    endpoint
        .ask_bare(bare("GET", "/whoami"))
        .await
        .problem(codes::UNAUTHENTICATED);
}

#[tokio::test]
async fn browsers_are_refused_before_anything_else() {
    let endpoint = Endpoint::new();
    for (name, value) in [
        ("origin", "http://127.0.0.1"),
        ("origin", "null"),
        ("origin", ""),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
    ] {
        for (method, path) in [
            ("GET", "/logs"),
            ("POST", "/logs/argon/freeze"),
            ("OPTIONS", "/logs"),
            ("GET", "/nowhere"),
        ] {
            endpoint
                .ask(request(method, path, &[(name, value)], ""))
                .await
                .problem(codes::BROWSER_REFUSED);
        }
    }
    assert!(endpoint.toy.seen.lock().unwrap().is_empty());
}
