//! Identity tokens and the sessions that they are exchanged for.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod common;

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use common::issuer::{Discovery, Issuer, Signer, base64};
use common::{Endpoint, Reply, bare, request};
use jiff::Timestamp;
use serde_json::{Value, json};
use server_admin::{Access, Limits};
use wire::{Problem, Session, WhoAmI, codes};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn exchange(endpoint: &Endpoint, token: &str) -> Reply {
    let headers = [
        ("authorization", bearer(token)),
        ("content-type", "application/json".to_owned()),
    ];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    endpoint
        .ask_bare(request("POST", "/sessions", &headers, "{}"))
        .await
}

async fn with(endpoint: &Endpoint, method: &str, path: &str, secret: &str) -> Reply {
    let value = bearer(secret);
    let headers = [("authorization", value.as_str())];
    endpoint.ask_bare(request(method, path, &headers, "")).await
}

fn endpoint(issuer: &Issuer) -> Endpoint {
    Endpoint::with(Limits::default(), |access| {
        access.with_identity(issuer.rule()).unwrap()
    })
}

#[tokio::test]
async fn an_identity_token_of_each_kind_works_once() {
    let issuer = Issuer::start().await;
    let signers = [Signer::rsa(), Signer::p256(), Signer::ed25519()];
    issuer.publish(&[("r", &signers[0]), ("e", &signers[1]), ("d", &signers[2])]);
    let endpoint = endpoint(&issuer);
    for (kid, signer) in ["r", "e", "d"].into_iter().zip(&signers) {
        let token = signer.usual(kid, &issuer.claims());
        let session: Session = exchange(&endpoint, &token).await.json();
        assert_eq!(session.actor, "oidc:nightly");
        assert_eq!(
            session.permissions,
            ["shard:rotate:argon", "log:read:argon"]
        );
        let left = session.expires_at.parse::<Timestamp>().unwrap() - common::now();
        let minutes = left.total(jiff::Unit::Minute).unwrap();
        assert!((14.0..=15.0).contains(&minutes), "{minutes}");

        let who: WhoAmI = with(&endpoint, "GET", "/whoami", &session.secret)
            .await
            .json();
        assert_eq!(who.actor, "oidc:nightly");
        let rotate = |log: &str| format!("/logs/{log}/rotations");
        let done = with(&endpoint, "POST", &rotate("argon"), &session.secret).await;
        assert_eq!(done.status, StatusCode::OK);
        let other = with(&endpoint, "POST", &rotate("boron"), &session.secret).await;
        other.problem(codes::FORBIDDEN);

        let again = exchange(&endpoint, &token).await;
        let problem = again.problem(codes::UNAUTHENTICATED);
        assert!(problem.detail.contains("used before"), "{problem:?}");
    }
    assert_eq!(issuer.asked(), 1, "the keys are kept");
    let actions = endpoint.toy.memory.actions();
    let sessions = actions.iter().filter(|action| **action == "session-create");
    assert_eq!(sessions.count(), 3);
    assert!(actions.contains(&"login-failed"), "the replay");
}

/// Each must be refused for its own reason, else the test proves nothing.
#[tokio::test]
async fn whatever_is_wrong_with_an_identity_token_is_refused() {
    let issuer = Issuer::start().await;
    let (rsa, other, p256) = (Signer::rsa(), Signer::rsa(), Signer::p256());
    issuer.publish(&[("r", &rsa), ("e", &p256)]);
    let now = common::now().as_second();
    let changed = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        claims
    };
    let usual = |claims: &Value| rsa.usual("r", claims);
    let good = issuer.claims();
    let (head, tail) = {
        let token = usual(&good);
        let (head, tail) = token.rsplit_once('.').unwrap();
        (head.to_owned(), tail.to_owned())
    };
    let unsigned = |alg: &str| {
        let header = json!({"typ": "JWT", "alg": alg, "kid": "r"});
        format!(
            "{}.{}",
            base64(header.to_string()),
            base64(good.to_string())
        )
    };
    // The key confusion: the public key's bytes as the secret of an HMAC.
    let hmac = |alg: &str| {
        let message = unsigned(alg);
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &rsa.public_der());
        let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", base64(tag))
    };
    let not_signed = "signature is not RS256, ES256 or EdDSA";
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "audience",
            usual(&changed("aud", json!("other"))),
            "another audience",
        ),
        (
            "no audience",
            usual(&changed("aud", json!(null))),
            "another audience",
        ),
        (
            "issuer",
            usual(&changed("iss", json!("https://example.org"))),
            "issuer",
        ),
        (
            "issuer, nearly",
            usual(&changed("iss", json!(format!("{}/", issuer.url)))),
            "issuer",
        ),
        (
            "expired",
            usual(&changed("exp", json!(now - 31))),
            "expired",
        ),
        (
            "not before",
            usual(&changed("nbf", json!(now + 300))),
            "not valid yet",
        ),
        (
            "from the future",
            usual(&changed("iat", json!(now + 300))),
            "not valid yet",
        ),
        (
            "for ever",
            usual(&changed("exp", json!(now + 90_000))),
            "longer than a day",
        ),
        ("no expiry", usual(&changed("exp", json!(null))), "a time"),
        ("none", format!("{}.", unsigned("none")), not_signed),
        ("None", format!("{}.{tail}", unsigned("NONE")), not_signed),
        ("HMAC", hmac("HS256"), not_signed),
        ("HMAC as RSA", hmac("RS256"), "signature is wrong"),
        ("RS512", format!("{}.{tail}", unsigned("RS512")), not_signed),
        ("no signature", format!("{head}."), "signature is wrong"),
        (
            "another key of that id",
            other.usual("r", &good),
            "signature is wrong",
        ),
        ("another kind of key", p256.usual("r", &good), "no key with"),
        ("key id", rsa.usual("x", &good), "no key with"),
        (
            "no key id",
            rsa.token(&json!({"alg": "RS256"}), &good),
            "not an identity token",
        ),
        (
            "critical extension",
            rsa.token(
                &json!({"alg": "RS256", "kid": "r", "crit": ["b64"], "b64": false}),
                &good,
            ),
            "not an identity token",
        ),
        (
            "access token",
            rsa.token(&json!({"alg": "RS256", "kid": "r", "typ": "at+jwt"}), &good),
            "not an identity token",
        ),
        ("two parts", head.clone(), "not an identity token"),
        (
            "five parts",
            format!("{head}.{tail}.{tail}.{tail}"),
            "not an identity token",
        ),
        (
            "huge",
            usual(&changed("x", json!("x".repeat(16 << 10)))),
            "not an identity token",
        ),
        ("empty", String::new(), "not an identity token"),
        ("bytes", "a.b.c".to_owned(), "not an identity token"),
    ];
    // One endpoint each: after ten failures the answer is another.
    for (what, token, reason) in cases {
        let endpoint = endpoint(&issuer);
        let problem = exchange(&endpoint, &token)
            .await
            .problem(codes::UNAUTHENTICATED);
        assert!(problem.detail.contains(reason), "{what}: {problem:?}");
        let rows = endpoint.toy.memory.rows.lock().unwrap().len();
        assert_eq!(rows, 0, "{what}: nothing is remembered");
        assert_eq!(endpoint.toy.memory.actions(), ["login-failed"], "{what}");
    }
    for claim in ["environment", "repository_id"] {
        for value in [json!("staging"), json!(null), json!(["7", "production"])] {
            let endpoint = endpoint(&issuer);
            let token = usual(&changed(claim, value));
            let problem = exchange(&endpoint, &token).await.problem(codes::FORBIDDEN);
            assert!(!problem.detail.contains(claim), "{problem:?}");
            assert_eq!(endpoint.toy.memory.actions(), ["login-failed"]);
        }
    }
    // The control: the same token, unspoilt.
    let endpoint = endpoint(&issuer);
    assert_eq!(
        exchange(&endpoint, &format!("{head}.{tail}")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_new_key_of_the_issuer_works_at_once_and_unknown_ones_do_not_flood_it() {
    let issuer = Issuer::start().await;
    let (old, new) = (Signer::p256(), Signer::p256());
    issuer.publish(&[("old", &old)]);
    let endpoint = endpoint(&issuer);
    let exchange = |token: String| {
        let endpoint = &endpoint;
        async move { exchange(endpoint, &token).await }
    };
    let first = exchange(old.usual("old", &issuer.claims())).await;
    assert_eq!(first.status, StatusCode::OK);

    issuer.publish(&[("new", &new)]);
    let rotated = exchange(new.usual("new", &issuer.claims())).await;
    assert_eq!(rotated.status, StatusCode::OK);
    assert_eq!(issuer.asked(), 2);
    let withdrawn = exchange(old.usual("old", &issuer.claims())).await;
    withdrawn.problem(codes::UNAUTHENTICATED);
    for n in 0..5 {
        let kid = format!("x{n}");
        let unknown = exchange(new.usual(&kid, &issuer.claims())).await;
        unknown.problem(codes::UNAUTHENTICATED);
    }
    assert_eq!(
        issuer.asked(),
        2,
        "unknown keys are not asked for each time"
    );
    let still = exchange(new.usual("new", &issuer.claims())).await;
    assert_eq!(still.status, StatusCode::OK);
}

#[tokio::test]
async fn an_issuer_that_fails_is_not_the_callers_fault() {
    let signer = Signer::ed25519();
    for (discovery, reason) in [
        (Discovery::Status(500), "answered 500"),
        (Discovery::Status(302), "answered 302"),
        (Discovery::OfAnother, "of another issuer"),
        (Discovery::Huge, "too large"),
        (Discovery::Never, "in time"),
        (Discovery::Garbage, "not understood"),
        (Discovery::PlainKeys, "https://"),
    ] {
        let issuer = Issuer::start().await;
        issuer.publish(&[("d", &signer)]);
        issuer.answer_with(discovery);
        unreachable(&issuer, &signer, reason).await;
    }
    let issuer = Issuer::start().await.stop().await;
    unreachable(&issuer, &signer, "no connection").await;
    // A certificate that the rule's authorities did not sign.
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    std::fs::copy(&other.ca, &issuer.ca).unwrap();
    unreachable(&issuer, &signer, "no connection").await;
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_an_error_at_once() {
    let issuer = Issuer::start().await;
    let with = |rules: Vec<server_admin::IdentityRule>| {
        let mut rules = rules.into_iter();
        let added = rules.try_fold(Access::new(ambient::Ambient::unset()), |access, rule| {
            access.with_identity(rule)
        });
        added.unwrap_err().to_string()
    };
    let changed = |change: &dyn Fn(&mut server_admin::IdentityRule)| {
        let mut rule = issuer.rule();
        change(&mut rule);
        rule
    };
    let twice = with(vec![issuer.rule(), issuer.rule()]);
    assert!(twice.contains("another rule has this name"), "{twice}");
    let other_ca = changed(&|rule| {
        rule.name = "other".to_owned();
        rule.issuer_ca = None;
    });
    let other_ca = with(vec![issuer.rule(), other_ca]);
    assert!(other_ca.contains("another issuer_ca"), "{other_ca}");
    let everybody = with(vec![changed(&|rule| rule.claims.clear())]);
    assert!(everybody.contains("pins no claim"), "{everybody}");
    let missing = with(vec![changed(&|rule| {
        rule.issuer_ca = Some("/nonexistent".into())
    })]);
    assert!(missing.contains("/nonexistent"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = with(vec![changed(&|rule| rule.issuer_ca = Some(empty.clone()))]);
    assert!(empty.contains("no certificate"), "{empty}");
}

async fn unreachable(issuer: &Issuer, signer: &Signer, reason: &str) {
    let endpoint = endpoint(issuer);
    let token = signer.usual("d", &issuer.claims());
    for _ in 0..2 {
        let reply = exchange(&endpoint, &token).await;
        let problem: Problem = reply.problem(codes::UNAVAILABLE);
        assert!(problem.detail.contains(reason), "{reason}: {problem:?}");
        assert!(reply.headers.contains_key("retry-after"));
    }
    assert!(
        endpoint.toy.memory.actions().is_empty(),
        "no failed login of the caller's"
    );
    assert_eq!(
        endpoint.ask(bare("GET", "/whoami")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_identity_token_is_good_for_nothing_else_and_a_session_ends() {
    let issuer = Issuer::start().await;
    let signer = Signer::p256();
    issuer.publish(&[("e", &signer)]);
    let endpoint = endpoint(&issuer);
    let token = signer.usual("e", &issuer.claims());
    let problem = with(&endpoint, "GET", "/whoami", &token)
        .await
        .problem(codes::UNAUTHENTICATED);
    assert!(problem.hint.unwrap().contains("POST sessions"));
    let bodies = [("content-type", "application/json"), ("authorization", "")];
    let value = bearer(&token);
    for (body, expected) in [
        (r#"{"x":1}"#.to_owned(), codes::INVALID),
        ("[]".to_owned(), codes::INVALID),
        (" ".repeat(2000), codes::TOO_LARGE),
    ] {
        let headers = [bodies[0], ("authorization", value.as_str())];
        endpoint
            .ask_bare(request("POST", "/sessions", &headers, body))
            .await
            .problem(expected);
    }
    let headers = [("authorization", value.as_str()), ("origin", "null")];
    endpoint
        .ask_bare(request("POST", "/sessions", &headers, ""))
        .await
        .problem(codes::BROWSER_REFUSED);
    endpoint
        .ask_bare(bare("GET", "/sessions"))
        .await
        .problem(codes::METHOD_NOT_ALLOWED);
    endpoint
        .ask_bare(bare("POST", "/sessions"))
        .await
        .problem(codes::UNAUTHENTICATED);

    // None of that used it up.
    let session: Session = exchange(&endpoint, &token).await.json();
    exchange(&endpoint, &session.secret)
        .await
        .problem(codes::UNAUTHENTICATED);
    let row = {
        let rows = endpoint.toy.memory.rows.lock().unwrap();
        let mut sessions = rows.keys().filter(|key| key.starts_with("session/"));
        let row = sessions.next().unwrap().clone();
        assert_eq!(sessions.next(), None);
        row
    };
    // A memory that is slow to forget.
    {
        let mut rows = endpoint.toy.memory.rows.lock().unwrap();
        let (value, _) = rows.get_mut(&row).unwrap();
        let mut changed: Value = serde_json::from_str(value).unwrap();
        changed["expires"] = json!(common::now().to_string());
        *value = changed.to_string();
    }
    let over = with(&endpoint, "GET", "/whoami", &session.secret).await;
    let problem = over.problem(codes::UNAUTHENTICATED);
    assert!(problem.detail.contains("ended"), "{problem:?}");
    endpoint.toy.memory.rows.lock().unwrap().remove(&row);
    let gone = with(&endpoint, "GET", "/whoami", &session.secret).await;
    gone.problem(codes::UNAUTHENTICATED);
}

#[tokio::test]
async fn of_many_that_show_one_token_at_once_one_gets_a_session() {
    let issuer = Issuer::start().await;
    let signer = Signer::p256();
    issuer.publish(&[("e", &signer)]);
    let endpoint = endpoint(&issuer);
    let mut claims = issuer.claims();
    claims.as_object_mut().unwrap().remove("jti");
    let token = signer.usual("e", &claims);
    let all = futures_util::future::join_all((0..8).map(|_| exchange(&endpoint, &token))).await;
    let good = all.iter().filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(good.count(), 1);
    // Signed again, the same claims are another token; a jti says that it is not.
    let resigned = signer.usual("e", &issuer.claims());
    assert_eq!(exchange(&endpoint, &resigned).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_store_or_trail_there_is_no_session_and_no_token_is_lost() {
    let issuer = Issuer::start().await;
    let signer = Signer::p256();
    issuer.publish(&[("e", &signer)]);
    let endpoint = endpoint(&issuer);
    let token = signer.usual("e", &issuer.claims());
    let memory = &endpoint.toy.memory;
    memory.down.store(true, Ordering::SeqCst);
    exchange(&endpoint, &token)
        .await
        .problem(codes::UNAVAILABLE);
    memory.down.store(false, Ordering::SeqCst);
    memory.mute.store(true, Ordering::SeqCst);
    exchange(&endpoint, &token)
        .await
        .problem(codes::UNAVAILABLE);
    assert!(memory.rows.lock().unwrap().is_empty());
    memory.mute.store(false, Ordering::SeqCst);
    let session: Session = exchange(&endpoint, &token).await.json();

    memory.down.store(true, Ordering::SeqCst);
    with(&endpoint, "GET", "/whoami", &session.secret)
        .await
        .problem(codes::UNAVAILABLE);
    assert_eq!(
        endpoint.ask(bare("GET", "/whoami")).await.status,
        StatusCode::OK,
        "a token of the file"
    );
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged_audited_kept_or_shown() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let issuer = Issuer::start().await;
    let signer = Signer::p256();
    issuer.publish(&[("e", &signer)]);
    let endpoint = endpoint(&issuer);
    let token = signer.usual("e", &issuer.claims());
    let reply = exchange(&endpoint, &token).await;
    let session: Session = reply.json();
    let replayed = exchange(&endpoint, &token).await;
    let misused = with(&endpoint, "GET", "/whoami", &token).await;
    let mut claims = issuer.claims();
    claims["environment"] = json!("staging");
    let differs = signer.usual("e", &claims);
    let refused = exchange(&endpoint, &differs).await;
    let used = with(&endpoint, "GET", "/whoami", &session.secret).await;
    let body = r#"{"name":"ci","scopes":["log:read:*"],"lifetimeSeconds":60}"#;
    let headers = [("content-type", "application/json")];
    let created = endpoint
        .ask(request("POST", "/tokens", &headers, body))
        .await;
    let made: wire::NewToken = created.json();
    let wrong = format!("{}x", made.secret);
    let wronged = with(&endpoint, "GET", "/whoami", &wrong).await;
    with(&endpoint, "GET", "/whoami", &made.secret).await;

    let logged = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("login failed"), "the log is looked at");
    let seen = format!(
        "{logged}{}{session:?}{made:?}{:?}{replayed:?}{misused:?}{refused:?}{used:?}{wronged:?}",
        endpoint.toy.memory.dump(),
        endpoint.access,
    );
    let mut secrets = vec![
        session.secret.clone(),
        made.secret.clone(),
        endpoint.root.clone(),
    ];
    for token in [&token, &differs] {
        secrets.extend(token.split('.').skip(1).map(str::to_owned));
    }
    for secret in secrets {
        let end = &secret[secret.len() - 40..];
        assert!(!seen.contains(end), "{end} in {seen}");
    }
}
