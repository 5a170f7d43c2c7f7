//! Quality of service through the handle of a log: grants, limits, chunks, and a queue that refuses instead of hanging.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::Chunk;
use engine::{AppendError, Engine, EngineOptions, Log, testing};
use logconfig::{LogConfig, LogName, ShardName};
use qos::{Advice, Denied, RefusalReason};
use tlog::{GlobalIndex, UnixMillis};

async fn open(dir: &Path, max_pending_bytes: usize) -> Arc<Engine> {
    let options = EngineOptions {
        max_pending_bytes,
        ..testing::options(dir, &dir.join("kek"))
    };
    Engine::open(options).await.unwrap()
}

async fn create(engine: &Arc<Engine>, change: impl FnOnce(&mut LogConfig)) -> Arc<Log> {
    let name = LogName::try_from("dev".to_owned()).unwrap();
    let shard = ShardName::try_from("a".to_owned()).unwrap();
    let mut config = LogConfig::new(name, "example.org/dev".into(), shard);
    change(&mut config);
    let audited = engine::Audited::new(Arc::clone(engine));
    audited.create(config, testing::author()).await.unwrap();
    engine.log("dev").unwrap()
}

fn chunk(entries: u64) -> Chunk {
    let mut bytes = Vec::new();
    for n in 0..entries {
        let entry = format!("entry {n} of a chunk");
        bytes.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        bytes.extend_from_slice(entry.as_bytes());
    }
    Chunk {
        bytes: bytes.into(),
        entries,
        upload: None,
    }
}

#[tokio::test]
async fn advice_is_granted_and_chunks_are_contiguous() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 64 << 20).await;
    let log = create(&engine, |_| {}).await;
    let tenant = log.policy().tenant(None, UnixMillis::ZERO).unwrap();
    assert_eq!(
        log.policy().tenant(Some("logw_x"), UnixMillis::ZERO),
        Err(Denied::UnknownToken)
    );

    let plain = log
        .submit("one".into(), tenant, &Advice::default())
        .unwrap();
    assert_eq!(&*plain.granted.tier, "interactive");
    assert_eq!(plain.granted.merge_by, Some(Duration::from_secs(2)));
    let advice = Advice {
        urgency: Some(4),
        merge_by: Some(Duration::from_secs(7)),
        shard: Some("a".into()),
    };
    let advised = log.submit("two".into(), tenant, &advice).unwrap();
    assert_eq!(&*advised.granted.tier, "standard");
    assert_eq!(advised.granted.merge_by, Some(Duration::from_secs(7)));
    // Advice beyond the tenant's limits, or impossible advice, is clamped.
    let absurd = Advice {
        urgency: Some(0),
        merge_by: Some(Duration::ZERO),
        shard: None,
    };
    let clamped = log.submit("three".into(), tenant, &absurd).unwrap();
    assert_eq!(&*clamped.granted.tier, "interactive");
    assert_eq!(clamped.granted.merge_by, Some(Duration::from_millis(400)));
    let elsewhere = Advice {
        shard: Some("b".into()),
        ..Advice::default()
    };
    let Err(AppendError::WrongShard { active }) = log.submit("x".into(), tenant, &elsewhere) else {
        panic!("another shard than the active one was taken");
    };
    assert_eq!(active.as_deref(), Some("a"));

    let bulk = Advice {
        urgency: Some(5),
        ..Advice::default()
    };
    let mut places = Vec::new();
    for entries in [3, 2_000, 1, 3_000] {
        let ticket = log
            .submit_chunk(chunk(entries), tenant, &bulk)
            .await
            .unwrap();
        assert_eq!(&*ticket.granted.tier, "bulk");
        places.push((entries, ticket.answer));
    }
    for answer in [
        plain.answer.await,
        advised.answer.await,
        clamped.answer.await,
    ] {
        assert!(answer.unwrap().index < GlobalIndex::new(5_007));
    }
    let mut last = None;
    for (entries, answer) in places {
        let first = answer.await.unwrap().index;
        for (n, index) in [
            (0, first),
            (
                entries - 1,
                GlobalIndex::new(first + entries - GlobalIndex::new(1)),
            ),
        ] {
            let record = log.entry(index).await.unwrap().unwrap();
            assert_eq!(record.bytes, format!("entry {n} of a chunk"));
        }
        assert!(
            last.is_none_or(|last| last < first),
            "in the order they came"
        );
        last = Some(first);
    }
    log.wait_published(GlobalIndex::new(5_006)).await.unwrap();
    let view = log.qos();
    let bulk = view.classes.iter().find(|c| &*c.tier == "bulk").unwrap();
    assert_eq!(
        (bulk.counts.accepted, bulk.counts.share.entries),
        (5_004, 5_004)
    );
    assert_eq!(bulk.queue.entries, 0);
    let counted: u64 = log
        .metrics()
        .qos()
        .tiers()
        .iter()
        .map(|t| t.published.counts().iter().sum::<u64>())
        .sum();
    assert_eq!(counted, 5_007);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_tenant_over_its_rate_is_told_when_to_continue() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 64 << 20).await;
    let log = create(&engine, |config| {
        config.qos.tenants[0].rate = Some("1/s".parse().unwrap());
        config.qos.tiers.iter_mut().for_each(|t| t.burst = 5);
    })
    .await;
    let tenant = log.policy().tenant(None, UnixMillis::ZERO).unwrap();
    let mut answers = Vec::new();
    let began = tokio::time::Instant::now();
    let refused = loop {
        match log.submit("entry".into(), tenant, &Advice::default()) {
            Ok(ticket) => answers.push(ticket.answer),
            Err(refused) => break refused,
        }
    };
    // The burst, and one more for each second that a slow machine took.
    let most = 5 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((5..=most).contains(&answers.len()), "{}", answers.len());
    let AppendError::Limited {
        reason,
        retry_after,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, RefusalReason::EntryRate);
    assert!(retry_after <= Duration::from_secs(1));
    for answer in answers {
        answer.await.unwrap();
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_refuses_with_a_time_and_keeps_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1 << 20).await;
    let log = create(&engine, |_| {}).await;
    let tenant = log.policy().tenant(None, UnixMillis::ZERO).unwrap();
    let scavenge = Advice {
        urgency: Some(7),
        ..Advice::default()
    };
    let mut answers = Vec::new();
    let refused = loop {
        match log.submit(Bytes::from(vec![7; 50_000]), tenant, &scavenge) {
            Ok(ticket) => answers.push(ticket.answer),
            Err(refused) => break refused,
        }
    };
    let AppendError::NoRoom {
        reason,
        retry_after,
        ..
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, RefusalReason::Queue);
    assert!(retry_after > Duration::ZERO);
    // Another tier still has room, and whoever was taken is served.
    let other = log
        .submit("small".into(), tenant, &Advice::default())
        .unwrap();
    other.answer.await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    engine.shutdown().await;
}
