//! Rotation by itself: by size and by age, once, whoever looks.

use std::sync::Arc;

use engine::Engine;
use server_admin::{Change, Host as _, Mode};
use wire::{Action, FreezeRequest, RotateRequest};

use super::{caller, host, until};
use crate::admin::EngineHost;
use crate::testing::engine;
use tlog::UnixMillis;

async fn rule(host: &EngineHost, edit: impl FnOnce(&mut logconfig::RotateConfig)) {
    let running = host.config("dev").await.unwrap();
    let mut next = running.config.clone();
    edit(&mut next.rotate);
    let change = Change::Configure {
        document: Box::new(next),
        base: running.etag.parse().unwrap(),
        confirm_within: None,
    };
    host.apply("dev", change, Mode::Apply, caller("rule"))
        .await
        .unwrap();
}

async fn add(engine: &Engine, count: u64) {
    let log = engine.log("dev").unwrap();
    for n in 0..count {
        log.append(format!("entry {n}").into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_full_shard_is_rotated_out_once_by_two_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (engine(&folder).await, engine(&folder).await);
    let (one, two) = (host(&first), host(&second));
    rule(&one, |rotate| rotate.max_entries = Some(10)).await;
    let watching = [&one, &two].map(|host| tokio::spawn(Arc::clone(&host.audited).watch_shards()));
    for round in 1..=3 {
        add(if round % 2 == 0 { &first } else { &second }, 10).await;
        for engine in [&first, &second] {
            until("rotated", async || {
                let shards = engine.log("dev").unwrap().status().shards;
                (shards.len() == round + 1).then_some(())
            })
            .await;
        }
    }
    // An entry more than a full shard is needed for another one.
    add(&first, 9).await;
    let history = two.history("dev").await.unwrap();
    let rotations: Vec<_> = history
        .iter()
        .filter(|item| item.action == Action::Rotate)
        .collect();
    assert_eq!(rotations.len(), 3, "{history:?}");
    for item in rotations {
        assert_eq!(item.actor.as_deref(), Some("auto"));
        assert!(item.summary.ends_with("had 10 entries"), "{}", item.summary);
    }
    // Frozen logs keep their shards, however full.
    let freeze = Change::Freeze(FreezeRequest { now: true });
    one.apply("dev", freeze, Mode::Apply, caller("f"))
        .await
        .unwrap();
    let log = first.log("dev").unwrap();
    assert_eq!(log.rotating(), None);
    assert_eq!(log.overdue(None, UnixMillis::ZERO), None);
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A shard that no witness could know is not opened by the server itself; that is seen, and leaves no trace in the trail.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_witnesses_would_stop_is_held_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let running = host.config("dev").await.unwrap();
    let mut next = running.config.clone();
    next.rotate.max_entries = Some(10);
    let key = tlog::Cosigner::from_seed("w.example.org", &[7; 32]).unwrap();
    let witness = format!("witness w {} http://127.0.0.1:9", key.verifier());
    next.witnesses.policy = format!("{witness}\nquorum w\n");
    let change = Change::Configure {
        document: Box::new(next),
        base: running.etag.parse().unwrap(),
        confirm_within: None,
    };
    let made = host.apply("dev", change, Mode::Apply, caller("policy"));
    made.await.unwrap();
    let before = host.audit(server_admin::AuditQuery {
        limit: 100,
        ..Default::default()
    });
    let before = before.await.unwrap().entries.len();
    let watching = tokio::spawn(Arc::clone(&host.audited).watch_shards());
    add(&engine, 10).await;
    let log = engine.log("dev").unwrap();
    let why = until("held back", async || log.rotation_held()).await;
    assert!(why.contains("witness w would not cosign"), "{why}");
    let found = host.diagnose().await.unwrap();
    let check = found.checks.iter().find(|check| check.check == "rotation");
    assert!(
        check.is_some_and(|check| check.remedy.is_some()),
        "{found:?}"
    );
    assert_eq!(log.status().shards.len(), 1);
    let after = host.audit(server_admin::AuditQuery {
        limit: 100,
        ..Default::default()
    });
    assert_eq!(after.await.unwrap().entries.len(), before);
    // By hand it goes with force; then nothing is held back any more.
    let force = Change::Rotate {
        request: RotateRequest {
            force: true,
            ..RotateRequest::default()
        },
        base: None,
    };
    let made = host.apply("dev", force, Mode::Apply, caller("force"));
    let made = made.await.unwrap();
    assert_eq!(made.warnings[0].code, "witness-does-not-know");
    let hint = made.warnings[0].hint.as_deref().unwrap();
    assert!(!hint.contains("--force"), "{hint}");
    until("no more", async || {
        log.rotation_held().is_none().then_some(())
    })
    .await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_shard_is_rotated_out_unless_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    rule(&host, |rotate| {
        rotate.max_age = Some(logconfig::Span::from_secs(1))
    })
    .await;
    let watching = tokio::spawn(Arc::clone(&host.audited).watch_shards());
    let log = engine.log("dev").unwrap();
    let opened = log.opened_at("a").await.unwrap().unwrap();
    // Old, but empty.
    assert_eq!(
        log.overdue(Some(opened), opened + std::time::Duration::from_secs(10)),
        None
    );
    add(&engine, 1).await;
    let item = until("rotated", async || {
        let history = host.history("dev").await.unwrap();
        history
            .into_iter()
            .find(|item| item.action == Action::Rotate)
    })
    .await;
    assert!(item.summary.contains("a was open for "), "{}", item.summary);
    // The new one is empty, so it stays.
    assert_eq!(
        log.overdue(Some(opened), opened + std::time::Duration::from_secs(10)),
        None
    );
    watching.abort();
}
