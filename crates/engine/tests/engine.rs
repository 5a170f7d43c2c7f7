//! The engine on its embedded stores: what is acknowledged stays, at its index, through rotations, freezes and restarts.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use order::Generation;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ambient::Ambient;
use bytes::Bytes;
use engine::{
    AppendError, Applied, Audited, Author, ChangeError, ChangeOutcome, Condition, Engine,
    EngineOptions, Kek, Log, Request,
    testing::{self, author as caller},
};
use logconfig::{SecondaryConfig, ShardName, ShardState};
use store::fault::{Fault, Faults, FaultyCoordination};
use store::{MemoryCoordination, MemoryObjects, StoreError};
use tlog::{Checkpoint, Cosigner, GlobalIndex, Seal, TreeSize, VerifierKey};

async fn open(dir: &Path) -> Arc<Engine> {
    let options = EngineOptions {
        max_pending_bytes: 64 << 20,
        ..testing::options(dir, &dir.join("kek"))
    };
    Engine::open(options).await.unwrap()
}

async fn create(engine: &Arc<Engine>) -> Arc<Log> {
    let audited = Audited::new(Arc::clone(engine));
    let created = audited.create(testing::config(), caller());
    created.await.unwrap();
    engine.log("dev").unwrap()
}

async fn change(
    engine: &Arc<Engine>,
    log: &Log,
    request: Request,
    caller: Author,
) -> Result<Applied, ChangeError> {
    let audited = Audited::new(Arc::clone(engine));
    Ok(audited.change(log, request, caller).await?.0)
}

/// Every acknowledged entry is at its index, and proven; shards are contiguous and sealed.
async fn audit(log: &Log, acknowledged: &BTreeMap<GlobalIndex, String>) {
    let size = log.status().watermarks.ordered;
    assert_eq!(acknowledged.len() as u64, size.get());
    assert_eq!(
        acknowledged.keys().copied().collect::<Vec<_>>(),
        GlobalIndex::ZERO.until(size).collect::<Vec<_>>()
    );
    if size > GlobalIndex::ZERO {
        log.wait_published(size.back(1)).await.unwrap();
    }
    for (index, text) in acknowledged {
        let entry = log.entry(*index).await.unwrap().unwrap();
        assert_eq!(entry.bytes, text.as_bytes(), "entry {index}");
    }
    for index in GlobalIndex::ZERO.until(size).step_by(37) {
        let proof = log.inclusion(index).await.unwrap().unwrap();
        assert_eq!(
            proof.leaf_index,
            log.entry(index).await.unwrap().unwrap().leaf_index
        );
    }
    let shards = log.status().shards;
    let mut next = GlobalIndex::ZERO;
    for (at, shard) in shards
        .iter()
        .enumerate()
        .filter(|(_, s)| s.state != ShardState::Planned)
    {
        assert_eq!(shard.start_index, Some(next));
        next = next + shard.length.unwrap();
        let key: VerifierKey = shard.vkey.parse().unwrap();
        let note = log.checkpoint(&shard.name).await.unwrap().unwrap();
        let checkpoint = Checkpoint::open(&note, &key).unwrap();
        assert_eq!(
            Some(checkpoint.size),
            shard.length.map(TreeSize::get),
            "shard {}",
            shard.name
        );
        let rotated = shards
            .get(at + 1)
            .is_some_and(|s| s.state != ShardState::Planned);
        if rotated {
            // The seal follows the last checkpoint.
            let note = loop {
                if let Some(bytes) = log.object(&shard.name, "seal").await.unwrap() {
                    break String::from_utf8(bytes.to_vec()).unwrap();
                }
                tokio::task::yield_now().await;
            };
            let seal = Seal::open(&note, &key).unwrap();
            assert_eq!((seal.size, seal.root), (checkpoint.size, checkpoint.root));
            assert_eq!(seal.successor_origin, shards[at + 1].origin);
        }
    }
    assert_eq!(next, size);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_under_load_lose_nothing_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for i in 0..150 {
                    let text = format!("{writer}/{i}");
                    let at = log.append(Bytes::from(text.clone())).await.unwrap();
                    assert_eq!(
                        log.entry(at.index).await.unwrap().unwrap().bytes,
                        text.as_bytes()
                    );
                    acknowledged.push((at.index, text));
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..5 {
        let before = log.status().generation;
        let done = change(&engine, &log, engine::testing::rotation(), caller())
            .await
            .unwrap();
        assert_eq!(done.outcome, ChangeOutcome::Decided);
        assert_eq!(log.status().generation, before.next());
    }
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    audit(&log, &acknowledged).await;
    assert_eq!(log.status().shards.len(), 6);
    assert_eq!(log.history().await.unwrap().len(), 6);

    drop(log);
    engine.shutdown().await;
    drop(engine);
    let engine = open(dir.path()).await;
    let log = engine.log("dev").unwrap();
    audit(&log, &acknowledged).await;
    for i in 0..300 {
        let text = format!("again {i}");
        let at = log.append(Bytes::from(text.clone())).await.unwrap();
        acknowledged.insert(at.index, text);
    }
    audit(&log, &acknowledged).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_refuses_definitely_and_an_unfreeze_goes_on_in_the_same_shard() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    log.append(Bytes::from_static(b"one")).await.unwrap();
    let frozen = change(&engine, &log, Request::Freeze { now: false }, caller())
        .await
        .unwrap();
    let note = frozen.checkpoint.unwrap();
    let key: VerifierKey = log.status().shards[0].vkey.parse().unwrap();
    assert_eq!(Checkpoint::open(&note, &key).unwrap().size, 1);
    assert_eq!(log.status().condition, Condition::Frozen);
    let refused = log.append(Bytes::from_static(b"two")).await.unwrap_err();
    assert!(matches!(refused, AppendError::Frozen { shard, .. } if shard == "a"));
    let again = change(&engine, &log, Request::Freeze { now: true }, caller())
        .await
        .unwrap();
    assert_eq!(again.outcome, ChangeOutcome::Unchanged);
    let rotate = change(&engine, &log, engine::testing::rotation(), caller())
        .await
        .unwrap_err();
    assert!(matches!(rotate, ChangeError::Conflict(_)));
    change(&engine, &log, Request::Unfreeze, caller())
        .await
        .unwrap();
    let two = log.append(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(
        (two.index.get(), &*two.shard, two.leaf_index.get()),
        (1, "a", 1)
    );
    engine.shutdown().await;
    assert!(engine.logs().is_empty());
    let late = log.append(Bytes::from_static(b"late")).await;
    assert_eq!(late, Err(AppendError::ShuttingDown));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_by_name_is_done_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let (name, base) = (Some(ShardName::try_from("w47".to_owned()).unwrap()), None);
    for request in [
        Request::PlanShard {
            name: name.clone(),
            base,
        },
        Request::Rotate {
            name,
            base,
            force: false,
        },
    ] {
        let first = change(&engine, &log, request.clone(), caller())
            .await
            .unwrap();
        assert_eq!(first.outcome, ChangeOutcome::Decided);
        let again = change(&engine, &log, request, caller()).await.unwrap();
        assert_eq!(again.outcome, ChangeOutcome::Unchanged);
    }
    let states: Vec<_> = log.status().shards.iter().map(|s| s.state).collect();
    assert_eq!(states, [ShardState::Frozen, ShardState::Active]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_repeats_the_answer_and_a_stale_base_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let keyed = Author {
        actor: "ci".into(),
        idempotency_key: Some("night".into()),
        reason: None,
    };
    let request = engine::testing::rotation();
    let first = change(&engine, &log, request.clone(), keyed.clone())
        .await
        .unwrap();
    let second = change(&engine, &log, request, keyed.clone()).await.unwrap();
    assert_eq!(
        (first.operation, first.generation),
        (second.operation, second.generation)
    );
    assert_eq!(log.status().shards.len(), 2);
    let other = change(&engine, &log, Request::Unfreeze, keyed)
        .await
        .unwrap_err();
    assert!(matches!(other, ChangeError::KeyReused { .. }));
    let stale = change(
        &engine,
        &log,
        Request::Rotate {
            name: None,
            base: Some(Generation::new(1)),
            force: false,
        },
        caller(),
    )
    .await
    .unwrap_err();
    let ChangeError::Stale {
        differences,
        changed_by,
        ..
    } = stale
    else {
        panic!("{stale}")
    };
    assert!(
        differences.iter().any(|d| d.subject.contains("shard")),
        "what moved: {differences:?}"
    );
    assert_eq!(changed_by.as_deref(), Some("ci"));
    let mut same = log.config();
    same.generation = Some(1);
    let noop = Request::Configure {
        next: Box::new(same),
        base: Some(Generation::new(1)),
    };
    assert_eq!(
        change(&engine, &log, noop, caller()).await.unwrap().outcome,
        ChangeOutcome::Unchanged
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_on_one_directory_share_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let log = create(&first).await;
    let second = open(dir.path()).await;
    let twin = second.log("dev").unwrap();
    let write = |log: Arc<Log>, who: &'static str| {
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for i in 0..200 {
                let text = format!("{who} {i}");
                acknowledged.push((
                    log.append(Bytes::from(text.clone())).await.unwrap().index,
                    text,
                ));
            }
            acknowledged
        })
    };
    let (one, two) = (
        write(Arc::clone(&log), "one"),
        write(Arc::clone(&twin), "two"),
    );
    change(&second, &twin, engine::testing::rotation(), caller())
        .await
        .unwrap();
    let mut acknowledged: BTreeMap<GlobalIndex, String> = one.await.unwrap().into_iter().collect();
    acknowledged.extend(two.await.unwrap());
    for (index, text) in &acknowledged {
        assert_eq!(
            log.entry(*index).await.unwrap().unwrap().bytes,
            text.as_bytes()
        );
        assert_eq!(
            twin.entry(*index).await.unwrap().unwrap().bytes,
            text.as_bytes()
        );
    }
    audit(&log, &acknowledged).await;
    audit(&twin, &acknowledged).await;
    assert_eq!(second.replicas(Some("dev")).await.unwrap().len(), 2);
    first.shutdown().await;
    second.shutdown().await;
}

/// Large entries go through the object store; many slots go below the floor.
#[tokio::test(flavor = "multi_thread")]
async fn large_entries_and_collection() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let mut acknowledged = BTreeMap::new();
    for i in 0..3u8 {
        let text = String::from_utf8(vec![b'a' + i; 65_535]).unwrap();
        acknowledged.insert(
            log.append(Bytes::from(text.clone())).await.unwrap().index,
            text,
        );
    }
    assert_eq!(
        log.append(Bytes::from(vec![0; 65_536])).await,
        Err(AppendError::TooLarge)
    );
    assert_eq!(log.append(Bytes::new()).await, Err(AppendError::Empty));
    for i in 0..2_600 {
        let text = format!("{i}");
        acknowledged.insert(
            log.append(Bytes::from(text.clone())).await.unwrap().index,
            text,
        );
    }
    audit(&log, &acknowledged).await;
    engine.shutdown().await;
    drop((log, engine));
    let engine = open(dir.path()).await;
    let log = engine.log("dev").unwrap();
    log.append(Bytes::from_static(b"after"))
        .await
        .map(|at| acknowledged.insert(at.index, "after".into()))
        .unwrap();
    audit(&log, &acknowledged).await;
    engine.shutdown().await;
}

/// A batch holds more entries than a bundle may.
#[tokio::test(flavor = "multi_thread")]
async fn many_small_entries_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let writes: Vec<_> = (0..3_000)
        .map(|i| (i, log.append(Bytes::from(i.to_string()))))
        .collect();
    let mut acknowledged = BTreeMap::new();
    for (i, write) in writes {
        acknowledged.insert(write.await.unwrap().index, i.to_string());
    }
    audit(&log, &acknowledged).await;
    engine.shutdown().await;
}

/// A lost checkpoint file never turns into a signed empty checkpoint: the restart signs the published size again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_of_a_sealed_shard_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    let log = create(&engine).await;
    let mut acknowledged = BTreeMap::new();
    for text in ["one", "two"] {
        acknowledged.insert(
            log.append(Bytes::from(text)).await.unwrap().index,
            text.to_owned(),
        );
        change(&engine, &log, engine::testing::rotation(), caller())
            .await
            .unwrap();
    }
    audit(&log, &acknowledged).await;
    let before = log.checkpoint("a").await.unwrap();
    engine.shutdown().await;
    drop((log, engine));
    std::fs::remove_file(dir.path().join("objects/dev/a/checkpoint")).unwrap();
    let engine = open(dir.path()).await;
    let log = engine.log("dev").unwrap();
    loop {
        match log.checkpoint("a").await {
            Ok(after) => break assert_eq!(after, before),
            Err(e) => assert!(e.to_string().contains("checkpoint"), "{e}"),
        }
        tokio::task::yield_now().await;
    }
    audit(&log, &acknowledged).await;
    engine.shutdown().await;
}

/// Tasks whose owner is gone could spin forever.
#[tokio::test(start_paused = true)]
async fn an_engine_that_is_given_up_leaves_no_task_behind() {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let ended = || async {
        for _ in 0..1_000 {
            if alive() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} tasks go on", alive());
    };
    let ambient = Ambient::simulated(1, 1_800_000_000_000);
    let store = Arc::new(MemoryCoordination::new().by(ambient.time.clone()));
    let objects = Arc::new(MemoryObjects::new());
    let options = |faults: &Faults| EngineOptions {
        max_pending_bytes: 1 << 20,
        ambient: ambient.clone(),
        ..testing::options_on(
            Arc::new(FaultyCoordination::new(store.clone(), faults.clone())),
            objects.clone(),
            Kek::generate(&ambient::Random::seeded(7)).unwrap(),
        )
    };
    let engine = Engine::open(options(&Faults::new())).await.unwrap();
    let log = create(&engine).await;
    let mut next = log.config();
    let mirror = Cosigner::from_seed("mirror.example.net", &[2; 32]).unwrap();
    next.merge.secondaries = vec![SecondaryConfig {
        name: "mirror".parse().unwrap(),
        url: "http://mirror.example.net".to_owned(),
        vkey: mirror.verifier().to_string(),
    }];
    let request = Request::Configure {
        next: Box::new(next),
        base: None,
    };
    change(&engine, &log, request, caller()).await.unwrap();
    drop(log);
    // A stop that is given up.
    let stop = tokio::time::timeout(std::time::Duration::ZERO, engine.shutdown());
    let _ = stop.await;
    drop(engine);
    ended().await;
    // An opening that fails, at each of its operations.
    for nth in 0.. {
        let faults = Faults::new();
        faults.nth(nth, Fault::Fail(StoreError::Io("injected".into())));
        let opened = Engine::open(options(&faults)).await;
        let through = opened.is_ok();
        if let Ok(engine) = opened {
            engine.crash();
        }
        ended().await;
        if through && faults.operations() <= nth {
            return;
        }
    }
}
