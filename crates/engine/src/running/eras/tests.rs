//! Configuration by slot, in a process that learns late what the slots say.

use order::Generation;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use logconfig::{LogConfig, SecondaryConfig};

use crate::position;
use crate::position::{Live, Verified};
use crate::promise::tests::{Rig, caller};
use crate::running::eras::Membership;
use crate::{Log, MergeOptions, Program, Request};
use order::keys::Keys;
use store::fault::{Fault, Faults, Operation};
use store::record;
use store::{Coordination as _, Outcome, StoreError, Transaction};

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
        match position::root(&*rig.rows, &keys, "a", size).await.unwrap() {
            Some(root) => break root,
            None => pause().await,
        }
    };
    let live = Live {
        incarnation: "1".to_owned(),
        vkey: secondary(name).vkey,
        since: 0,
    };
    let row = Verified {
        size,
        root,
        cosignature: None,
        time: 0,
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
    row.map_or(0, |row| row.size)
}

/// Waits until the log says so, while no more than this is published.
async fn says(rig: &Rig, size: u64, log: &Log, words: &str) {
    while !log.status().reason.is_some_and(|why| why.contains(words)) {
        assert_eq!(published(rig).await, size, "{words}");
        pause().await;
    }
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
        let cut = async || position::root(&*rig.rows, &keys, "a", size).await.unwrap();
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
    while log.status().watermarks.published < 1 {
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
        assert_eq!(log.status().watermarks.published, 1);
        pause().await;
    }
    engine.shutdown().await;
}

fn membership(count: usize, quorum: usize) -> Membership {
    let one = |n| SecondaryConfig {
        name: format!("s{n}").parse().unwrap(),
        url: format!("https://s{n}.example.org"),
        vkey: format!("key {n}"),
    };
    Membership {
        generation: Generation::new(1),
        start: 0,
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
