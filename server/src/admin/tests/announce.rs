//! Announced keys: what is recorded, for which key, and which rotations wait for it.

use std::sync::Arc;

use engine::audit::Record;
use logconfig::{LogConfig, OriginForm, Span};
use server_admin::{Change, Host as _, HostError, Mode};
use wire::{AnnounceRequest, Finding, OperationState, PlanRequest, RotateRequest, Shard};

use super::{Answered, caller, host, trail, until};
use crate::admin::EngineHost;
use crate::testing::{engine, open};

const AT: &str = "https://example.org/trusted_root.json";

/// An engine with the log `dev`, whose shards' origins are host names.
async fn hosts(folder: &tempfile::TempDir) -> Arc<engine::Engine> {
    let engine = open(folder).await;
    let mut config = LogConfig::new(
        "dev".parse().unwrap(),
        "log.example.org".to_owned(),
        "a".parse().unwrap(),
    );
    config.origin_form = OriginForm::Host;
    engine
        .create_log_unaudited(config, engine::testing::author())
        .await
        .unwrap();
    engine
}

async fn configure(host: &EngineHost, key: &str, edit: impl FnOnce(&mut LogConfig)) -> Answered {
    let running = host.config("dev").await.unwrap();
    let mut next = running.config.clone();
    edit(&mut next);
    let change = Change::Configure {
        document: Box::new(next),
        base: running.etag.parse().unwrap(),
        confirm_within: None,
    };
    host.apply("dev", change, Mode::Apply, caller(key)).await
}

async fn plan(host: &EngineHost, name: &str) {
    let request = PlanRequest {
        name: Some(name.to_owned()),
    };
    let change = Change::Plan {
        request,
        base: None,
    };
    let key = format!("plan {name} {}", host.config("dev").await.unwrap().etag);
    host.apply("dev", change, Mode::Apply, caller(&key))
        .await
        .unwrap();
}

/// The ID of a shard's key, as its readers compute it.
async fn key_of(host: &EngineHost, name: &str) -> String {
    let key: tlog::VerifierKey = shard(host, name).await.vkey.parse().unwrap();
    key.log_id().to_base64()
}

async fn shard(host: &EngineHost, name: &str) -> Shard {
    let shards = host.status("dev").await.unwrap().shards;
    let mut shards = shards.into_iter();
    shards.find(|shard| shard.name == name).unwrap()
}

async fn announce(host: &EngineHost, name: &str, key: &str, at: &[&str], by: &str) -> Answered {
    report(host, (name, key), at, false, by).await
}

async fn report(
    host: &EngineHost,
    (name, key): (&str, &str),
    at: &[&str],
    gone: bool,
    by: &str,
) -> Answered {
    let request = AnnounceRequest {
        shard: name.to_owned(),
        key: key.to_owned(),
        seen_at: at.iter().map(|at| (*at).to_owned()).collect(),
        gone,
    };
    let change = Change::Announce(request);
    host.apply("dev", change, Mode::Apply, caller(by)).await
}

async fn rotate(host: &EngineHost, request: RotateRequest, by: &str) -> Answered {
    let change = Change::Rotate {
        request,
        base: None,
    };
    host.apply("dev", change, Mode::Apply, caller(by)).await
}

fn codes(answer: Answered) -> Vec<Finding> {
    match answer {
        Err(HostError::Invalid(findings)) => findings,
        other => panic!("{other:?}"),
    }
}

async fn add(engine: &engine::Engine, count: u64) {
    let log = engine.log("dev").unwrap();
    for n in 0..count {
        log.append(format!("entry {n}").into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rotation_waits_until_the_key_was_seen_and_has_settled() {
    let folder = tempfile::tempdir().unwrap();
    let engine = hosts(&folder).await;
    let host = host(&engine);
    let rule = configure(&host, "rule", |config| {
        config.rotate.require_announced = true;
        config.rotate.settle = Some(Span::from_secs(3650 * 86_400));
        config.rotate.max_entries = Some(10);
    });
    rule.await.unwrap();
    let log = engine.log("dev").unwrap();
    // Early enough to do something about it.
    let check = async || {
        let checks = host.diagnose().await.unwrap().checks;
        checks.into_iter().find(|check| check.check == "rotation")
    };
    let early = check().await.unwrap();
    assert!(early.remedy.unwrap().contains("plan --announce"));
    let watching = tokio::spawn(Arc::clone(&host.audited).watch_shards());
    let began = std::time::Instant::now();
    add(&engine, 10).await;
    let held = async |words: &'static str| {
        let seen = || async { log.rotation_held().filter(|why| why.contains(words)) };
        until(words, seen).await
    };
    held("not planned yet").await;
    let found = codes(rotate(&host, RotateRequest::default(), "now").await);
    assert_eq!(found[0].code, "not-announced");
    let hint = found[0].hint.as_deref().unwrap();
    assert!(
        hint.contains("--announce") && hint.contains("--force"),
        "{hint}"
    );

    plan(&host, "b").await;
    held("the key of shard b has not been seen").await;
    // A document may open it no more than a command, not even one that drops the rule.
    let opens = configure(&host, "opens", |config| {
        *config = logconfig::with_rotation(config, None, 0).unwrap();
        config.rotate.require_announced = false;
    });
    assert_eq!(codes(opens.await)[0].code, "not-announced");

    // Another key under its name counts for nothing.
    let other = key_of(&host, "a").await;
    let found = codes(announce(&host, "b", &other, &[AT], "other").await);
    assert_eq!(found[0].code, "other-key");
    assert_eq!(shard(&host, "b").await.announced, None);
    assert!(!log.is_next_announced());

    let key = key_of(&host, "b").await;
    let made = announce(&host, "b", &key, &[AT], "seen").await.unwrap();
    assert_eq!(made.state, OperationState::Done);
    let record = shard(&host, "b").await.announced.unwrap();
    assert_eq!(record.seen[0].at, AT);
    assert!(log.is_next_announced() && !log.lacks_announcement());
    let why = held("settles until").await;
    let found = codes(rotate(&host, RotateRequest::default(), "settles").await);
    assert_eq!(found[0].code, "not-settled");
    assert!(why.contains(&found[0].message), "{why}");
    // `logctl` reads the time from the end of it.
    let time = found[0].message.rsplit(' ').next().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(log.status().shards.len(), 2);

    let settled = configure(&host, "settled", |config| {
        config.rotate.settle = Some(Span::from_secs(0));
    });
    settled.await.unwrap();
    until("rotated", async || {
        let open = log.status().shards.len() == 2 && log.status().shards[1].start_index.is_some();
        open.then_some(())
    })
    .await;
    let opened = shard(&host, "b").await;
    assert_eq!(opened.announced, Some(record));
    until("no more", async || {
        log.rotation_held().is_none().then_some(())
    })
    .await;
    // Three times what held it back changed, and each time the server looked again at once, not when it would have tried again.
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(25), "{took:?}");
    watching.abort();
}

#[tokio::test]
async fn force_and_records_are_in_the_trail_and_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let rule = configure(&host, "rule", |config| {
        config.rotate.require_announced = true
    });
    rule.await.unwrap();
    plan(&host, "b").await;
    plan(&host, "c").await;
    let key = key_of(&host, "c").await;
    announce(&host, "c", &key, &[AT], "seen").await.unwrap();
    // Where nobody says how long, a key settles for as long as `logctl` waits.
    let early = RotateRequest {
        name: Some("c".to_owned()),
        ..RotateRequest::default()
    };
    assert_eq!(
        codes(rotate(&host, early, "early").await)[0].code,
        "not-settled"
    );
    let soon = configure(&host, "soon", |config| {
        config.rotate.settle = Some(Span::from_secs(0))
    });
    soon.await.unwrap();
    // Seen is seen: the other shard waits, this one opens.
    assert_eq!(
        codes(rotate(&host, RotateRequest::default(), "next").await)[0].code,
        "not-announced"
    );
    let named = RotateRequest {
        name: Some("c".to_owned()),
        ..RotateRequest::default()
    };
    rotate(&host, named, "c").await.unwrap();
    let force = RotateRequest {
        force: true,
        ..RotateRequest::default()
    };
    let made = rotate(&host, force, "force").await.unwrap();
    let mut warnings = made.warnings.iter();
    assert!(warnings.any(|found| found.code == "not-announced"));
    let records = trail(&engine).await;
    let actions = records.iter().filter_map(|record| match record {
        Record::Intent(intent) => Some(intent.action.as_str()),
        _ => None,
    });
    let actions: Vec<_> = actions.collect();
    assert!(actions.contains(&"announce"), "{actions:?}");
    assert_eq!(actions.last(), Some(&"rotate-forced"));
    let said = records.iter().any(|record| match record {
        Record::Intent(intent) => intent.reason.as_ref().is_some_and(|r| r.contains(AT)),
        _ => false,
    });
    assert!(said, "{records:?}");
    let history = host.history("dev").await.unwrap();
    let reason = history[0].reason.as_deref().unwrap();
    assert!(reason.contains("forced: the key of shard b"), "{reason}");
    let seen = history.iter().find(|item| {
        let reason = item.reason.as_deref();
        reason.is_some_and(|reason| reason.contains(AT))
    });
    assert!(seen.is_some(), "{history:?}");
}

#[tokio::test]
async fn a_rotation_may_ask_for_an_announcement_where_no_rule_does() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    plan(&host, "b").await;
    let asked = |settle| RotateRequest {
        name: Some("b".to_owned()),
        settle: Some(Span::from_secs(settle)),
        ..RotateRequest::default()
    };
    let found = codes(rotate(&host, asked(0), "unseen").await);
    assert_eq!(
        (found[0].code.as_str(), &*found[0].pointer),
        ("not-announced", "/settle")
    );
    let key = key_of(&host, "b").await;
    announce(&host, "b", &key, &[AT], "seen").await.unwrap();
    // Two operators may tell it at once: the first time stays.
    let again = announce(&host, "b", &key, &[AT], "again").await.unwrap();
    assert_eq!(again.state, OperationState::Unchanged);
    let before = shard(&host, "b").await.announced.unwrap();
    let more = ["https://example.org/other", AT];
    announce(&host, "b", &key, &more, "more").await.unwrap();
    let after = shard(&host, "b").await.announced.unwrap();
    assert_eq!((after.seen.len(), &after.seen[0]), (2, &before.seen[0]));
    let found = codes(rotate(&host, asked(3650 * 86_400), "settles").await);
    assert_eq!(found[0].code, "not-settled");
    rotate(&host, asked(0), "seen long enough").await.unwrap();
    // A run that is repeated finds it open.
    let again = rotate(&host, asked(0), "repeated").await.unwrap();
    assert_eq!(again.state, OperationState::Unchanged);
    // A name that is no shard opens none.
    let unknown = RotateRequest {
        name: Some("x".to_owned()),
        ..asked(0)
    };
    assert_eq!(
        codes(rotate(&host, unknown, "unknown").await)[0].code,
        "not-announced"
    );
}

#[tokio::test]
async fn a_record_outlives_documents_of_before_and_ends_with_its_shard() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    plan(&host, "b").await;
    let file = host.config("dev").await.unwrap().config;
    let key = key_of(&host, "b").await;
    announce(&host, "b", &key, &[AT], "seen").await.unwrap();
    let record = shard(&host, "b").await.announced;
    assert!(record.is_some());
    // A file from before the announcement changes a setting.
    let old = configure(&host, "old file", |config| {
        *config = file.clone();
        config.merge.idle_republish = Span::from_secs(77);
    });
    let made = old.await.unwrap();
    assert_eq!(made.differences.len(), 1, "{:?}", made.differences);
    assert_eq!(shard(&host, "b").await.announced, record);
    // Nobody says with a document what was never seen.
    let invents = configure(&host, "invents", |config| {
        let shard = config.shards.last_mut().unwrap();
        shard.announced.as_mut().unwrap().seen[0].since = "2020-01-01T00:00:00Z".to_owned();
    });
    assert_eq!(codes(invents.await)[0].code, "announced-mismatch");
    // Taken back and planned again, it has the same key, and nothing was seen yet.
    let unplan = configure(&host, "unplan", |config| drop(config.shards.pop()));
    unplan.await.unwrap();
    plan(&host, "b").await;
    assert_eq!(key_of(&host, "b").await, key);
    assert_eq!(shard(&host, "b").await.announced, None);
}

#[tokio::test]
async fn a_key_that_is_gone_opens_nothing_until_it_is_seen_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let rule = configure(&host, "rule", |config| {
        config.rotate.require_announced = true;
        config.rotate.settle = Some(Span::from_secs(0));
    });
    rule.await.unwrap();
    plan(&host, "b").await;
    let key = key_of(&host, "b").await;
    let log = engine.log("dev").unwrap();
    // Nothing was seen, so nothing can be withdrawn.
    let early = report(&host, ("b", &key), &[AT], true, "early").await;
    assert_eq!(early.unwrap().state, OperationState::Unchanged);
    announce(&host, "b", &key, &[AT], "seen").await.unwrap();
    assert!(log.is_next_announced());
    // A report about another key withdraws nothing.
    let other = key_of(&host, "a").await;
    let found = report(&host, ("b", &other), &[AT], true, "other").await;
    assert_eq!(codes(found)[0].code, "other-key");
    let gone = report(&host, ("b", &key), &[AT], true, "gone").await;
    assert_eq!(gone.unwrap().state, OperationState::Done);
    assert!(!log.is_next_announced());
    assert_eq!(shard(&host, "b").await.announced, None);
    // A file from before does not bring the record back, and nobody else does.
    let kept = configure(&host, "kept", |config| {
        config.shards.last_mut().unwrap().announced = None;
        config.merge.idle_republish = Span::from_secs(77);
    });
    assert_eq!(kept.await.unwrap().differences.len(), 1);
    let found = codes(rotate(&host, RotateRequest::default(), "held").await);
    assert_eq!(found[0].code, "not-announced");
    assert!(found[0].message.contains(AT), "{}", found[0].message);
    let records = trail(&engine).await;
    let said = records.iter().any(|record| match record {
        Record::Intent(intent) => {
            let said = intent.reason.as_deref().unwrap_or_default();
            intent.action == "withdraw" && said.contains("is gone from") && said.contains(AT)
        }
        _ => false,
    });
    assert!(said, "{records:?}");
    announce(&host, "b", &key, &[AT], "back").await.unwrap();
    rotate(&host, RotateRequest::default(), "opens")
        .await
        .unwrap();
}
