//! Configuration by slot, in a process that learns late what the slots say.

use order::Generation;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use logconfig::{LogConfig, SecondaryConfig};

use crate::life::Life;
use crate::position;
use crate::position::{Described, Live, Verified};
use crate::running::eras::Membership;
use crate::tests::rig::{Rig, caller};
use crate::{Engine, Log, MergeOptions, Program, Request};
use order::keys::Keys;
use store::fault::{Fault, Faults, Operation};
use store::record;
use store::{Coordination as _, Outcome, StoreError, Transaction};
use tlog::{GlobalIndex, TreeSize, UnixMillis};

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn secondary(name: &str) -> SecondaryConfig {
    let key = tlog::Cosigner::from_seed(name, &[name.len() as u8; 32]).unwrap();
    SecondaryConfig {
        name: name.parse().unwrap(),
        url: format!("https://{name}.example"),
        vkey: key.verifier().to_string(),
    }
}

async fn configure(log: &Log, change: impl FnOnce(&mut LogConfig)) {
    let mut next = log.config();
    change(&mut next);
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(request, caller()).await.unwrap();
}

async fn append(log: &Log) {
    log.append(Bytes::from_static(b"entry")).await.unwrap();
}

async fn put(rig: &Rig, puts: Vec<(String, Bytes)>) {
    let transaction = Transaction {
        puts,
        ..Transaction::default()
    };
    let outcome = rig.rows.transact(transaction).await;
    assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
}

/// Writes what `replicate` would: a secondary has verified the cut of this size, once there is one.
async fn verified(rig: &Rig, name: &str, size: u64) {
    let keys = Keys::new("dev");
    let root = loop {
        match position::root(&*rig.rows, &keys, "a", TreeSize::new(size))
            .await
            .unwrap()
        {
            Some(root) => break root,
            None => pause().await,
        }
    };
    let live = Live {
        incarnation: "1".to_owned(),
        vkey: secondary(name).vkey,
        since: UnixMillis::ZERO,
    };
    let row = Verified {
        size: TreeSize::new(size),
        root,
        cosignature: None,
        time: UnixMillis::ZERO,
    };
    let key = keys.verified(name, "1", "a");
    let puts = vec![
        (keys.secondary(name), record::encode(&live)),
        (key, record::encode_numbered(size, &row)),
    ];
    put(rig, puts).await;
}

async fn published(rig: &Rig) -> u64 {
    let keys = Keys::new("dev");
    let row = position::published(&*rig.rows, &keys, "a").await.unwrap();
    row.map_or(TreeSize::ZERO.get(), |row| row.size.get())
}

/// Waits until the log says so, while no more than this is published.
async fn says(rig: &Rig, size: u64, log: &Log, words: &str) {
    while !log.status().reason.is_some_and(|why| why.contains(words)) {
        assert_eq!(published(rig).await, size, "{words}");
        pause().await;
    }
}

/// A task that waits for a new document learns of it, also where the store failed while the document was read.
#[tokio::test(start_paused = true)]
async fn a_document_runs_only_when_everything_about_it_is_read() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (_one, log) = rig.server(&Faults::new()).await;
    let (_other, late) = rig.server(&faults).await;
    let failed = Arc::new(AtomicU64::new(0));
    let fails = Arc::clone(&failed);
    faults.plan(move |_, operation| match operation {
        Operation::Scan(prefix) if prefix.contains("/leaving/") => {
            let first = fails.fetch_add(1, SeqCst) == 0;
            first.then(|| Fault::Fail(StoreError::Io("injected".into())))
        }
        _ => None,
    });
    let mut merged = late.running.progress.merged.subscribe();
    merged.borrow_and_update();
    configure(&log, |next| {
        next.merge.checkpoint_interval = logconfig::Span::from_millis(777);
    })
    .await;
    let interval = || late.config().merge.checkpoint_interval;
    while interval() != log.config().merge.checkpoint_interval {
        pause().await;
    }
    assert!(failed.load(SeqCst) > 1, "it was read again");
    assert!(merged.has_changed().unwrap());
}

/// Another process has raised the quorum, ordered an entry under it and cut that. The one that publishes cannot read the slots yet, or not
/// the document that they name: it does not publish the entry under the earlier quorum.
#[tokio::test(start_paused = true)]
async fn what_is_ordered_after_a_change_waits_until_the_change_is_read() {
    for unread in ["/slot/", "/document/"] {
        let rig = Rig::new();
        let none = Faults::new();
        let only = |program: Program, writes| MergeOptions {
            programs: [program].into_iter().collect(),
            writes,
            ..MergeOptions::default()
        };
        let (server, log) = rig
            .process(&none, &none, only(Program::Integrate, true))
            .await;
        configure(&log, |config| {
            config.merge.secondaries = ["x", "yy"].map(secondary).to_vec();
            config.merge.backup_quorum = 1;
        })
        .await;
        let late = Faults::new();
        let (publisher, second) = rig
            .process(&late, &none, only(Program::Publish, false))
            .await;
        append(&log).await;
        verified(&rig, "x", 1).await;
        while published(&rig).await < 1 {
            pause().await;
        }

        let looks = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&looks);
        late.plan(move |_, operation| match operation {
            Operation::Get(key) | Operation::Scan(key) if key.contains(unread) => {
                count.fetch_add(1, SeqCst);
                Some(Fault::Fail(StoreError::Io("injected".into())))
            }
            _ => None,
        });
        configure(&log, |config| config.merge.backup_quorum = 2).await;
        append(&log).await;
        verified(&rig, "x", 2).await;
        let before = looks.load(SeqCst);
        while looks.load(SeqCst) < before + 20 {
            pause().await;
        }
        assert_eq!(published(&rig).await, 1, "{unread}");
        // Read at last, it asks for the quorum of the entry.
        late.clear();
        says(&rig, 1, &second, "1 of the 2 secondaries").await;
        verified(&rig, "yy", 2).await;
        while published(&rig).await < 2 {
            pause().await;
        }
        publisher.shutdown().await;
        server.shutdown().await;
    }
}

/// A policy that came later binds the entries that were ordered under it, and not those before.
#[tokio::test(start_paused = true)]
async fn a_size_is_cosigned_by_the_witnesses_of_its_entries() {
    let (rig, none) = (Rig::new(), Faults::new());
    let (engine, log) = rig.server(&none).await;
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("x")];
        config.merge.backup_quorum = 1;
    })
    .await;
    let keys = Keys::new("dev");
    for size in [1, 2] {
        append(&log).await;
        let cut = async || {
            position::root(&*rig.rows, &keys, "a", TreeSize::new(size))
                .await
                .unwrap()
        };
        while cut().await.is_none() {
            pause().await;
        }
    }
    // Nobody is there.
    let away = secondary("away");
    let policy = format!("witness away {} {}\nquorum away\n", away.vkey, away.url);
    configure(&log, |config| config.witnesses.policy = policy).await;
    append(&log).await;
    verified(&rig, "x", 1).await;
    while log.status().watermarks.published < GlobalIndex::new(1) {
        let reason = log.status().reason.unwrap_or_default();
        assert!(!reason.contains("witnesses"), "{reason}");
        pause().await;
    }
    verified(&rig, "x", 3).await;
    while !log
        .status()
        .reason
        .is_some_and(|why| why.contains("too few witnesses"))
    {
        assert_eq!(log.status().watermarks.published, GlobalIndex::new(1));
        pause().await;
    }
    engine.shutdown().await;
}

/// A log whose only secondary is `x`, with one published entry.
async fn published_with_x(rig: &Rig, rows: &Faults) -> (Arc<Engine>, Arc<Log>) {
    let (engine, log) = rig.server(rows).await;
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("x")];
        config.merge.backup_quorum = 1;
    })
    .await;
    append(&log).await;
    verified(rig, "x", 1).await;
    while published(rig).await < 1 {
        pause().await;
    }
    (engine, log)
}

/// The publisher has read that the secondary has two entries, and is slow. Meanwhile another process learns of a new disk of that secondary, which
/// will be called whole once it has what is published now: one entry. So two are not published.
#[tokio::test(start_paused = true)]
async fn a_storage_that_is_lost_while_a_size_is_published_does_not_count() {
    let (rig, rows) = (Rig::new(), Faults::new());
    let (engine, log) = published_with_x(&rig, &rows).await;
    append(&log).await;
    let (store, keys) = (Arc::clone(&rig.rows), Keys::new("dev"));
    let mut found = false;
    rows.plan(move |_, operation| {
        let persists = matches!(operation, Operation::Scan(key) if key.contains("/root/"));
        let seen = store.rows();
        let two = seen.get(&keys.verified("x", "1", "a"));
        let two = two.is_some_and(|row| record::decode_number(&row[..8]) == Ok(2));
        if persists && two && !found {
            found = true;
            let live = Live {
                incarnation: "2".to_owned(),
                vkey: secondary("x").vkey,
                since: UnixMillis::ZERO,
            };
            let storage = position::Storage {
                incarnation: "2".to_owned(),
                vkey: secondary("x").vkey,
                whole: false,
            };
            let transaction = Transaction {
                puts: vec![
                    (keys.secondary("x"), record::encode(&live)),
                    (keys.storage("x"), record::encode_numbered(1, &storage)),
                ],
                deletes: vec![keys.verified("x", "1", "a")],
                ..Transaction::default()
            };
            let done = store.transact(transaction).now_or_never();
            assert!(matches!(done, Some(Outcome::Committed)));
        }
        None
    });
    verified(&rig, "x", 2).await;
    says(&rig, 1, &log, "missing: x").await;
    engine.shutdown().await;
}

/// The row of the manifest that a secondary holds.
fn described(name: &str, generation: u64, life: u64) -> (String, Bytes) {
    sent(name, generation, life, false)
}

fn sent(name: &str, generation: u64, life: u64, unsettled: bool) -> (String, Bytes) {
    let row = Described {
        unsettled,
        incarnation: "1".to_owned(),
        vkey: secondary(name).vkey,
        generation: Generation::new(generation),
        life,
    };
    let key = Keys::new("dev").manifest(name);
    (key, record::encode_numbered(generation, &row))
}

/// Just before a row is put, another process finds that the storage of `x` is an older copy of itself, which lacks the manifest.
fn forgets_before(rig: &Rig, faults: &Faults, row: String) {
    let (store, keys) = (Arc::clone(&rig.rows), Keys::new("dev"));
    let mut found = false;
    faults.plan(move |_, operation| {
        let puts = matches!(operation, Operation::Transact(t) if t.puts.iter().any(|(key, _)| *key == row));
        if puts && !found {
            found = true;
            let storage = position::Storage {
                incarnation: "1".to_owned(),
                vkey: secondary("x").vkey,
                whole: false,
            };
            let transaction = Transaction {
                puts: vec![(keys.storage("x"), record::encode_numbered(9, &storage))],
                deletes: vec![keys.manifest("x")],
                ..Transaction::default()
            };
            let done = store.transact(transaction).now_or_never();
            assert!(matches!(done, Some(Outcome::Committed)));
        }
        None
    });
}

/// Without the manifest of the one that was told, a restore from the old secondaries would not know of the new ones.
#[tokio::test(start_paused = true)]
async fn a_change_is_not_handed_over_on_the_word_of_a_storage_that_has_forgotten() {
    let (rig, rows) = (Rig::new(), Faults::new());
    let (engine, log) = published_with_x(&rig, &rows).await;
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("yy")];
    })
    .await;
    verified(&rig, "yy", 1).await;
    while log.held_by_before().is_none() {
        pause().await;
    }
    // Nor on that of one that may drop it again, for another copy of the log.
    put(&rig, vec![sent("x", 3, 0, true)]).await;
    append(&log).await;
    for _ in 0..100 {
        assert!(log.held_by_before().is_some());
        pause().await;
    }
    forgets_before(&rig, &rows, Keys::new("dev").handover());
    put(&rig, vec![described("x", 3, 0)]).await;
    // The publisher looks again once it has something to do.
    append(&log).await;
    let forgotten = async || {
        rig.rows
            .get(&described("x", 3, 0).0)
            .await
            .unwrap()
            .is_none()
    };
    while !forgotten().await {
        pause().await;
    }
    for _ in 0..100 {
        assert!(log.held_by_before().is_some());
        pause().await;
    }
    put(&rig, vec![described("x", 3, 0)]).await;
    append(&log).await;
    while log.held_by_before().is_some() {
        pause().await;
    }
    engine.shutdown().await;
}

/// Nor does a restored log begin on its word: the storage may accept the earlier life again.
#[tokio::test(start_paused = true)]
async fn a_restored_log_is_not_announced_to_a_storage_that_has_forgotten() {
    for forced in [true, false] {
        let (rig, rows) = (Rig::new(), Faults::new());
        let (engine, log) = rig.server(&rows).await;
        configure(&log, |config| {
            config.merge.secondaries = vec![secondary("x")];
            config.merge.backup_quorum = 1;
        })
        .await;
        engine.shutdown().await;
        let keys = Keys::new("dev");
        let life = Life {
            storages: [("x".to_owned(), ("1".to_owned(), false))].into(),
            lowered: std::collections::BTreeMap::new(),
            settled: None,
            id: 7,
            generation: Generation::new(2),
            entries: GlobalIndex::ZERO,
            forced: forced.then(|| vec!["x".to_owned()]),
            forks: None,
        };
        let restored = (keys.life(), record::encode(&life));
        put(&rig, vec![restored, described("x", 2, 7)]).await;
        forgets_before(&rig, &rows, keys.announced());
        let (engine, log) = rig.server(&rows).await;
        while rig.rows.get(&keys.manifest("x")).await.unwrap().is_some() {
            pause().await;
        }
        for _ in 0..100 {
            let announced = rig.rows.get(&keys.announced()).await.unwrap();
            assert_eq!(announced, None, "forced: {forced}");
            assert!(log.append(Bytes::from_static(b"early")).await.is_err());
            pause().await;
        }
        put(&rig, vec![described("x", 2, 7)]).await;
        while rig.rows.get(&keys.announced()).await.unwrap().is_none() {
            pause().await;
        }
        engine.shutdown().await;
    }
}

fn membership(count: usize, quorum: usize) -> Membership {
    let one = |n| SecondaryConfig {
        name: format!("s{n}").parse().unwrap(),
        url: format!("https://s{n}.example.org"),
        vkey: format!("key {n}"),
    };
    Membership {
        generation: Generation::new(1),
        start: GlobalIndex::ZERO,
        quorum: u32::try_from(quorum).unwrap(),
        secondaries: (0..count).map(one).collect(),
    }
}

/// Every restore without force asks at least one counting secondary that was told of the next membership, and never needs more of them than
/// there are.
#[test]
fn a_restore_meets_one_that_was_told_whoever_keeps_no_manifest() {
    for count in 1..6 {
        for quorum in 0..=count {
            for foreign in 0..=count {
                let (of, own) = (membership(count, quorum), count - foreign);
                let told = of.told(foreign);
                assert!(told <= own, "{count} {quorum} {foreign}: it would never be");
                if quorum > 0 && of.enough() <= own {
                    assert!(told + of.enough() > own, "{count} {quorum} {foreign}");
                }
                if foreign == 0 {
                    assert_eq!(told, quorum);
                }
            }
        }
    }
}
