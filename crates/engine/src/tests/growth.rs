//! Tests with old logs, large logs and many logs: no value grows with them, so they start, rotate, are collected and checked like
//! any other. `LOG_GROWTH=1` runs the large bounds.

use ambient::Ambient;
use order::{Generation, SlotNumber};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

use bytes::Bytes;
use logconfig::{LogConfig, LogName, ShardConfig, ShardName, ShardState};
use tlog::{
    Checkpoint, GlobalIndex, Hash, Signer, TileKind, TilePath, TreeSize, UnixMillis, leaf_hash,
};

use crate::document;
use crate::ledger::snapshot;
use crate::position::Position;
use crate::recover;
use crate::tests::rig::{Rig, caller};
use crate::{Author, ChangeError, Engine, Kek, Log, Request};
use order::keys::{Keys, LOGS};
use order::slot::{Action, ShardIdentity};
use order::state::{Phase, Remembered, Shard, State};
use store::fault::{Faults, Operation};
use store::record;
use store::{Coordination, Objects, Outcome, Transaction};

/// The bound of a normal run, or the large one.
fn bound(normal: u64, large: u64) -> u64 {
    match std::env::var_os("LOG_GROWTH") {
        Some(_) => large,
        None => normal,
    }
}

#[expect(clippy::print_stdout, reason = "what it took, for those who run it")]
fn told(what: &str, since: Instant) {
    println!("{what}: {:?}", since.elapsed());
}

const ROTATE: Request = crate::testing::rotation();

async fn append(log: &Log) -> u64 {
    let entry = Bytes::from_static(b"entry");
    log.append(entry).await.unwrap().index.get()
}

async fn fsck(rig: &Rig) -> Vec<crate::fsck::Finding> {
    let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
    let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, none, &mut |_| {}).await;
    report.unwrap().findings
}

/// A log that was rotated often, by an operator with a long name, is collected and restarted; its history is whole and `fsck` finds
/// nothing.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_rotated_often_is_collected_and_starts_again() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let long = || Author {
        actor: "cert:spiffe://example.org/".to_owned() + &"x".repeat(480),
        idempotency_key: None,
        reason: None,
    };
    let rotations = bound(270, 5000);
    let mut documents = BTreeMap::new();
    for n in 0..rotations {
        append(&log).await;
        log.change(ROTATE, long()).await.unwrap();
        if n % 50 == 7 {
            let (config, etag) = log.configuration();
            documents.insert(config.generation.unwrap(), (config.stripped(), etag));
        }
    }
    let keys = Keys::new("dev");
    let floor = || {
        let row = rig.rows.rows().get(&keys.floor()).cloned();
        row.map_or(0, |row| record::decode_number(&row).unwrap())
    };
    let mut last = append(&log).await;
    while floor() == 0 {
        for _ in 0..50 {
            last = append(&log).await;
        }
        log.wait_published(GlobalIndex::new(last)).await.unwrap();
    }
    let known = log.status();
    assert_eq!(known.shards.len() as u64, rotations + 1);
    engine.shutdown().await;
    assert_eq!(fsck(&rig).await, []);
    // In rows, of which none is large: the store would have refused it, but not every store is that strict.
    let rows = rig.rows.rows();
    let largest = rows.iter().max_by_key(|(_, row)| row.len()).unwrap();
    assert!(largest.1.len() <= order::MAX_SLOT, "{}", largest.0);
    assert!(rig.with(&keys.frozen_shards()) as u64 >= rotations - 10);
    let started = Instant::now();
    let (engine, log) = rig.server(&Faults::new()).await;
    told("start", started);
    let again = log.status();
    assert_eq!((again.shards, again.etag), (known.shards, known.etag));
    for (generation, (config, etag)) in documents {
        let (then, tag) = log
            .config_at(Generation::new(generation))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((then.stripped(), tag), (config, etag));
    }
    assert_eq!(append(&log).await, last + 1);
    log.change(ROTATE, caller()).await.unwrap();
    assert_eq!(append(&log).await, last + 2);
    log.wait_published(GlobalIndex::new(last + 2))
        .await
        .unwrap();
    engine.shutdown().await;
}

/// Writes a log of this many frozen shards, with one entry each, as if servers had kept it all along; returns its state.
async fn old_log(rig: &Rig, count: u64) -> State {
    let keys = Keys::new("dev");
    let kek = Kek::from_file(&rig.kek.path().join("kek")).unwrap();
    let (mut puts, mut objects) = (Vec::new(), Vec::new());
    let mut bundle = Vec::new();
    tlog::bundle::push(&mut bundle, b"entry");
    let (bundle, root) = (Bytes::from(bundle), leaf_hash(b"entry"));
    let first: ShardName = "s0".parse().unwrap();
    let name: LogName = "dev".parse().unwrap();
    let mut config = LogConfig::new(name, "example.org/dev".into(), first);
    config.merge.checkpoint_interval = logconfig::Span::from_millis(10);
    config.shards.clear();
    let (mut shards, mut operations) = (Vec::new(), Vec::new());
    for n in 0..=count {
        let (shard, frozen) = (format!("s{n}"), n < count);
        let origin = format!("example.org/dev/{shard}");
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        let signer = Signer::from_seed(&origin, &seed).unwrap();
        puts.push((
            keys.signing_key(n + 1),
            Bytes::from(kek.seal(&seed, &origin, &Ambient::unset().random).unwrap()),
        ));
        let phase = if frozen {
            let checkpoint = Checkpoint {
                origin: origin.clone(),
                size: 1,
                root,
                extensions: Vec::new(),
            };
            let path = |rest: &str| format!("dev/{shard}/{rest}");
            let note = checkpoint.sign(&signer).unwrap();
            objects.push((path("checkpoint"), Bytes::from(note)));
            objects.push((path("seal"), Bytes::from_static(b"sealed")));
            let tile = TilePath::at(TileKind::Hashes(0), 0, 1).unwrap();
            objects.push((path(&tile.to_string()), Bytes::copy_from_slice(&root.0)));
            let entries = TilePath::at(TileKind::Entries, 0, 1).unwrap();
            objects.push((path(&entries.to_string()), bundle.clone()));
            let cut = Position {
                size: TreeSize::new(1),
                root,
                slots: SlotNumber::new(2 * n + 2),
            };
            let published = crate::shard::Published {
                size: TreeSize::new(1),
                root,
                time: UnixMillis::new(1),
            };
            puts.push((keys.root(&shard, TreeSize::new(1)), record::encode(&root)));
            puts.push((keys.integrated(&shard), record::encode_numbered(1, &cut)));
            puts.push((
                keys.published(&shard),
                record::encode_numbered(1, &published),
            ));
            Phase::Frozen {
                start: GlobalIndex::new(n),
                length: TreeSize::new(1),
            }
        } else {
            Phase::Active {
                start: GlobalIndex::new(n),
            }
        };
        let state = if frozen {
            ShardState::Frozen
        } else {
            ShardState::Active
        };
        let named = shard.parse().unwrap();
        config.shards.push(ShardConfig::new(named, state));
        let identity = Arc::new(ShardIdentity {
            imported: None,
            name: shard,
            origin,
            tree_id: n + 1,
            vkey: signer.verifier().to_string(),
            ecdsa: None,
        });
        shards.push(Shard { identity, phase });
        operations.push(Remembered {
            operation: order::token::Token::from_bytes((n as u128).to_be_bytes()),
            request: Hash([1; 32]),
            action: Action::Rotate,
            actor: "test".repeat(100),
            slot: SlotNumber::new(2 * n),
            time: UnixMillis::new(1),
            at_index: GlobalIndex::new(n),
            base: Generation::new(n),
            generation: Generation::new(n + 1),
        });
    }
    let operations = operations.split_off(operations.len().saturating_sub(256));
    let state = State {
        len: SlotNumber::new(2 * count + 1),
        size: GlobalIndex::new(count),
        time: UnixMillis::new(1),
        last: Hash([3; 32]),
        generation: Generation::new(count + 1),
        document: Hash(config.digest()),
        shards: Arc::new(shards),
        operations: Arc::new(operations.into()),
        ..State::default()
    };
    let limit = rig.rows.value_limit();
    puts.extend(document::rows(
        &keys,
        limit,
        &state.document,
        config.stored(),
    ));
    puts.extend(snapshot::frozen_rows(&keys, &state, 0));
    puts.extend(snapshot::rows(&keys, &state));
    puts.push((keys.floor(), record::encode_number(state.len.get())));
    puts.push((keys.sealed(), record::encode_counted(count)));
    puts.push((format!("{LOGS}dev"), record::encode(&"dev")));
    let transaction = Transaction {
        puts,
        ..Transaction::default()
    };
    let put = rig.rows.transact(transaction).await;
    assert!(matches!(put, Outcome::Committed), "{put:?}");
    rig.objects.put(objects).await.unwrap();
    state
}

/// Five thousand shards: what a server does at its start and for each rotation.
#[tokio::test(start_paused = true)]
async fn a_log_of_five_thousand_shards_starts_and_rotates() {
    let (rig, count) = (Rig::new(), 5000);
    let began = Instant::now();
    let state = old_log(&rig, count).await;
    told("made", began);
    let keys = Keys::new("dev");
    let read = recover::view(&keys, &*rig.rows).await.unwrap();
    assert_eq!(read.state, state);
    let began = Instant::now();
    let (engine, log) = rig.server(&Faults::new()).await;
    told("start", began);
    assert_eq!(log.status().shards.len() as u64, count + 1);
    for n in 0..3 {
        assert_eq!(append(&log).await, count + n);
        let began = Instant::now();
        log.change(ROTATE, caller()).await.unwrap();
        told("rotation", began);
    }
    log.wait_published(GlobalIndex::new(count + 2))
        .await
        .unwrap();
    let began = Instant::now();
    let (config, _) = log.configuration();
    told("document", began);
    assert_eq!(config.shards.len() as u64, count + 4);
    let frozen = &config.shards[count as usize];
    assert_eq!((frozen.start_index, frozen.length), (Some(count), Some(1)));
    let largest = rig.rows.rows().into_values().map(|row| row.len()).max();
    assert!(largest.unwrap() <= order::MAX_SLOT);
    // The documents of three rotations are small, as the one before them is.
    let rows = rig.rows.rows();
    let documents = rows
        .iter()
        .filter(|(key, _)| key.starts_with("log/dev/document"));
    let documents: Vec<usize> = documents.map(|(_, row)| row.len()).collect();
    assert_eq!(documents.len(), 4);
    assert!(documents.iter().all(|size| *size < 5000), "{documents:?}");
    // Another server reads what this one would write as its next snapshot.
    let state = log.ledger.state();
    let mut puts: Vec<_> = snapshot::frozen_rows(&keys, &state, count).collect();
    assert_eq!(puts.len(), 3);
    puts.extend(snapshot::rows(&keys, &state));
    let transaction = Transaction {
        puts,
        ..Transaction::default()
    };
    rig.rows.transact(transaction).await;
    assert_eq!(
        recover::view(&keys, &*rig.rows).await.unwrap().state,
        *state
    );
    // A row that is missing is named.
    let lost = Transaction {
        deletes: vec![keys.frozen_shard(4711)],
        ..Transaction::default()
    };
    rig.rows.transact(lost).await;
    let error = recover::view(&keys, &*rig.rows).await.unwrap_err();
    assert!(error.to_string().contains("4711"), "{error}");
    engine.shutdown().await;
}

/// Counts what a server reads and writes from now on, by the kind of operation and the folder.
fn counted(faults: &Faults) -> Arc<Mutex<BTreeMap<String, u64>>> {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let all = Arc::clone(&counts);
    faults.plan(move |_, operation| {
        let of = |kind: &str, key: &str| {
            let folder: Vec<&str> = key.split('/').take(3).collect();
            format!("{kind} {}", folder.join("/"))
        };
        let what = match operation {
            Operation::Get(key) => of("get", key),
            Operation::Scan(prefix) => of("scan", prefix),
            Operation::Transact(_) => "transact".to_owned(),
            Operation::Put(_) => "put".to_owned(),
            Operation::Delete(_) => "delete".to_owned(),
        };
        *all.lock().unwrap().entry(what).or_default() += 1;
        None
    });
    counts
}

/// A start reads the rows of the frozen shards page by page and none of their objects; a rotation reads none of them.
#[tokio::test(start_paused = true)]
async fn frozen_shards_cost_a_start_pages_and_a_rotation_nothing() {
    let (rig, count) = (Rig::new(), 1000);
    old_log(&rig, count).await;
    let (rows, objects) = (Faults::new(), Faults::new());
    let counts = [counted(&rows), counted(&objects)];
    let taken = || {
        let all = counts
            .iter()
            .map(|of| std::mem::take(&mut *of.lock().unwrap()));
        let all: BTreeMap<String, u64> = all.flatten().collect();
        (all.values().sum::<u64>(), all)
    };
    let (engine, log) = rig.faulty_server(&rows, &objects).await;
    let (sum, all) = taken();
    assert!(sum < 150, "{sum} operations of a start: {all:#?}");
    for n in 0..2 {
        append(&log).await;
        log.change(ROTATE, caller()).await.unwrap();
        log.wait_published(GlobalIndex::new(count + n))
            .await
            .unwrap();
        let (sum, all) = taken();
        assert!(sum < 150, "{sum} operations of a rotation: {all:#?}");
    }
    // Readers still get what they ask for.
    let note = log.checkpoint("s7").await.unwrap().unwrap();
    assert!(note.starts_with("example.org/dev/s7\n1\n"), "{note}");
    assert!(log.inclusion(GlobalIndex::new(7)).await.unwrap().is_some());
    engine.shutdown().await;
}

/// A lost note of a shard that was sealed long ago is signed again: when a reader asks for it, and after a start.
#[tokio::test(start_paused = true)]
async fn lost_objects_of_a_sealed_shard_come_back() {
    let rig = Rig::new();
    old_log(&rig, 40).await;
    let path = |shard: &str, rest: &str| format!("dev/{shard}/{rest}");
    let before = rig.objects.get(&path("s39", "checkpoint")).await.unwrap();
    let lost = [
        path("s7", "checkpoint"),
        path("s20", "seal"),
        path("s30", "checkpoint"),
        path("s30", "seal"),
    ];
    let kept = rig.objects.get(&lost[0]).await.unwrap().unwrap();
    rig.objects.delete(lost.to_vec()).await.unwrap();
    let torn = Bytes::from_static(b"example.org/dev/s8\n1\n");
    let damaged = vec![(path("s8", "checkpoint"), torn.clone())];
    rig.objects.put(damaged).await.unwrap();
    let (engine, log) = rig.server(&Faults::new()).await;
    // A reader is not told to wait for the rest.
    let note = log.checkpoint("s7").await.unwrap().unwrap();
    assert_eq!(note.as_bytes(), kept);
    let there = async |path: &str| match rig.objects.get(path).await.unwrap() {
        Some(bytes) => bytes != torn,
        None => false,
    };
    for path in lost.iter().chain([&path("s8", "checkpoint")]) {
        while !there(path).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(
        rig.objects.get(&path("s39", "checkpoint")).await.unwrap(),
        before
    );
    append(&log).await;
    log.change(ROTATE, caller()).await.unwrap();
    log.wait_published(GlobalIndex::new(40)).await.unwrap();
    engine.shutdown().await;
}

/// How many shards are sealed is written down as they come, so that the next start does not look at them.
#[tokio::test(start_paused = true)]
async fn what_is_sealed_is_written_down() {
    let (rig, keys) = (Rig::new(), Keys::new("dev"));
    let (engine, log) = rig.server(&Faults::new()).await;
    let sealed = || {
        let row = rig.rows.rows().get(&keys.sealed()).cloned();
        row.map_or(0, |row| record::decode_counted(&row).unwrap())
    };
    for n in 0..40 {
        append(&log).await;
        log.change(ROTATE, caller()).await.unwrap();
        log.wait_published(GlobalIndex::new(n)).await.unwrap();
        assert!(sealed() <= n + 1);
    }
    append(&log).await;
    log.wait_published(GlobalIndex::new(40)).await.unwrap();
    assert!(sealed() >= 24, "{}", sealed());
    engine.shutdown().await;
    assert_eq!(fsck(&rig).await, []);
    // A row with too large a number would hide shards that must be checked.
    let put = |number: u64| Transaction {
        puts: vec![(keys.sealed(), record::encode_counted(number))],
        ..Transaction::default()
    };
    rig.rows.transact(put(41)).await;
    let found = fsck(&rig).await;
    assert_eq!(found[0].place, keys.sealed());
    // A damaged row hides nothing.
    let damaged = Transaction {
        puts: vec![(keys.sealed(), record::encode_number(3))],
        ..Transaction::default()
    };
    rig.rows.transact(damaged).await;
    assert_eq!(fsck(&rig).await[0].place, keys.sealed());
    let (engine, log) = rig.server(&Faults::new()).await;
    append(&log).await;
    log.wait_published(GlobalIndex::new(41)).await.unwrap();
    assert!(sealed() >= 24, "{}", sealed());
    engine.shutdown().await;
}

/// A snapshot that is one row with everything in it, and a document with all of its shards: as an earlier version left them.
#[tokio::test(start_paused = true)]
async fn a_log_of_an_earlier_version_goes_on() {
    let (rig, keys) = (Rig::new(), Keys::new("dev"));
    let state = old_log(&rig, 20).await;
    let old = rig.rows.rows();
    let stored = document::read(&*rig.rows, &keys, &state.document)
        .await
        .unwrap();
    let whole = document::whole(&stored, &state.document, &state).unwrap();
    let whole = whole.canonical();
    assert!(whole.len() > stored.len());
    let mut deletes: Vec<String> = old.into_keys().collect();
    deletes.retain(|key| {
        let new = [
            keys.snapshots(),
            keys.snapshot_pages(),
            keys.frozen_shards(),
        ];
        new.iter().any(|prefix| key.starts_with(prefix))
    });
    let transaction = Transaction {
        deletes,
        puts: vec![
            (keys.snapshot(state.len), record::encode(&state)),
            (keys.document(&state.document), Bytes::from(whole)),
        ],
        ..Transaction::default()
    };
    rig.rows.transact(transaction).await;
    let (engine, log) = rig.server(&Faults::new()).await;
    let (before, etag) = log.configuration();
    assert!(etag.ends_with(&state.document.to_string()[..8]), "{etag}");
    assert_eq!(before.shards.len(), 21);
    append(&log).await;
    log.change(ROTATE, caller()).await.unwrap();
    assert_eq!(log.config().shards.len(), 22);
    let then = log.ledger.document(&state.document).await.unwrap();
    assert_eq!(then, before.stripped());
    engine.shutdown().await;
}

fn tenants(config: &mut LogConfig, count: usize, tokens: usize) {
    let one = config.qos.tenants[0].clone();
    config
        .qos
        .tenants
        .extend((config.qos.tenants.len()..count).map(|n| {
            let token = |m| logconfig::WriterToken {
                name: format!("token-{m}"),
                sha256: format!("{:064x}", n * 1000 + m),
                expires: None,
            };
            logconfig::TenantConfig {
                name: format!("tenant-{n}").parse().unwrap(),
                anonymous: false,
                tokens: (0..tokens).map(token).collect(),
                ..one.clone()
            }
        }));
}

/// A document that is larger than a row is kept in parts; one that is too large is refused by the preview, with a hint.
#[tokio::test(start_paused = true)]
async fn a_thousand_tenants_with_tokens() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let configure = |next: LogConfig| Request::Configure {
        next: Box::new(next),
        base: None,
    };
    let mut next = log.config();
    tenants(&mut next, 1000, 1);
    let preview = log.preview(configure(next.clone())).await.unwrap();
    let made = log.change(configure(next.clone()), caller()).await.unwrap();
    assert_eq!(preview.etag, made.etag);
    assert!(rig.with(&Keys::new("dev").document_parts()) > 1);
    append(&log).await;
    log.change(ROTATE, caller()).await.unwrap();
    engine.shutdown().await;
    assert_eq!(fsck(&rig).await, []);
    let (engine, log) = rig.server(&Faults::new()).await;
    assert_eq!(log.config().qos, next.qos);
    assert_eq!(
        log.config_at(Generation::new(2)).await.unwrap().unwrap().1,
        made.etag
    );
    let mut next = log.config();
    next.qos.tenants.truncate(2);
    tenants(&mut next, 1000, 20);
    let refused = log.preview(configure(next)).await.unwrap_err();
    let ChangeError::Invalid(findings) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(findings[0].code, "document-too-large");
    assert_eq!(findings[0].pointer, "/qos/tenants");
    // New shards: as many as one decision holds, and no more are planned than may wait.
    let plan = |count: usize, from: usize| {
        let mut next = log.config();
        next.shards.extend((from..from + count).map(|n| {
            let name = format!("{n:0>60}").parse().unwrap();
            ShardConfig::new(name, ShardState::Planned)
        }));
        configure(next)
    };
    let code = |refused: ChangeError| match refused {
        ChangeError::Invalid(findings) => findings[0].code,
        other => panic!("{other:?}"),
    };
    let many = log.preview(plan(200, 0)).await.unwrap_err();
    assert_eq!(code(many), "too-many-new-shards");
    for n in 0..4 {
        log.change(plan(64, 64 * n), caller()).await.unwrap();
    }
    let more = log.preview(plan(1, 999)).await.unwrap_err();
    assert_eq!(code(more), "too-many");
    log.change(ROTATE, caller()).await.unwrap();
    let long = Author {
        actor: "x".repeat(513),
        idempotency_key: None,
        reason: None,
    };
    let refused = log.change(ROTATE, long).await.unwrap_err();
    assert!(refused.to_string().contains("513 bytes"), "{refused}");
    engine.shutdown().await;
}

/// Many logs: they are all found, at the start and by another server, and each server reports which generation of each it runs. 600 are
/// what fits into 40 s on a busy machine; `LOG_GROWTH` makes 2,000.
#[tokio::test(start_paused = true)]
async fn many_logs() {
    let (rig, count) = (Rig::new(), bound(600, 2000));
    let (engine, _) = rig.server(&Faults::new()).await;
    let began = Instant::now();
    let shard: ShardName = "a".parse().unwrap();
    for n in 0..count {
        let name = LogName::try_from(format!("log-{n}")).unwrap();
        let config = LogConfig::new(name, format!("example.org/log-{n}"), shard.clone());
        engine.create_log(config, caller()).await.unwrap();
    }
    told("created", began);
    let began = Instant::now();
    let (second, _) = rig.server(&Faults::new()).await;
    told("start", began);
    assert_eq!(second.logs().len() as u64, count + 1);
    let last = format!("log-{}", count - 1);
    let runs = async |engine: &Engine| {
        let live = engine.replicas(Some(&last)).await.unwrap();
        live.iter()
            .filter(|r| r.generation == Some(Generation::new(1)))
            .count()
    };
    while runs(&second).await < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let largest = rig.rows.rows().into_values().map(|row| row.len()).max();
    assert!(largest.unwrap() < 10_000, "{largest:?}");
    second.shutdown().await;
    engine.shutdown().await;
}
