//! The engine with programs that run alone, hours apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bytes::Bytes;

use crate::tests::rig::{Rig, census};
use crate::{Log, Program};
use tlog::{GlobalIndex, Hash};

use order::deletion::{Evidence, STORED, Unnamed};
use order::keys::Keys;
use order::slot::{BatchRef, Slot};
use order::state::State;
use order::token::Token;
use order::work::Work;
use order::{Limits, SlotNumber, WINDOW};
use store::fault::{Fault, Faults, Operation};
use store::record;
use store::{Coordination as _, Objects as _, Outcome, StoreError, Transaction};

fn token(number: u64) -> Token {
    Token::from_bytes(u128::from(number).to_be_bytes())
}

fn batch(number: u64) -> BatchRef {
    BatchRef {
        token: token(number),
        entries: 1,
        digest: Hash([0; 32]),
        object: false,
        shard: None,
        location: None,
    }
}

/// Batches by where they are: rows and objects.
fn batches(rig: &Rig) -> (usize, usize) {
    let objects = rig.objects.objects();
    let objects = objects.keys().filter(|path| path.contains("/batch/"));
    (rig.with("log/dev/batch/"), objects.count())
}

async fn fill(log: &Log, from: u64, to: u64) {
    for n in from..to {
        log.append(Bytes::from(format!("entry {n}"))).await.unwrap();
    }
}

fn once(entries: u64) -> BTreeMap<String, u64> {
    (0..entries).map(|n| (format!("entry {n}"), 1)).collect()
}

/// A server that only orders, and each program alone, one after the other, while the clock advances by hours and is set to other years:
/// nothing unpublished is deleted.
#[tokio::test(start_paused = true)]
async fn programs_that_run_alone_hours_apart_lose_nothing() {
    const HOURS: i64 = 5 * 3_600_000;
    const YEARS: i64 = 10 * 365 * 86_400_000;
    let rig = Rig::new();
    let clock = rig.clock();
    let alone = async |program| {
        let engine = rig.alone(&[program], false, &clock).await;
        engine.shutdown().await
    };
    let mut written = 0;
    let order = async |written: &mut u64, more: u64| {
        let engine = rig.alone(&[], true, &clock).await;
        let log = engine.log("dev").unwrap();
        fill(&log, *written, *written + more).await;
        *written += more;
        engine.shutdown().await;
    };
    order(&mut written, 1_100).await;
    rig.time.pass(HOURS);
    alone(Program::Publish).await;
    assert_eq!(batches(&rig).0, 1_100);
    alone(Program::Integrate).await;
    // It is away while the server orders on; what it has integrated is published, and collected.
    order(&mut written, 1_100).await;
    rig.time.pass(HOURS);
    clock.set_ahead(YEARS);
    alone(Program::Publish).await;
    clock.set_ahead(0);
    let keys = Keys::new("dev");
    let floor = rig.rows.rows()[&keys.floor()].clone();
    assert!(
        record::decode_number(&floor).unwrap() >= WINDOW,
        "collected"
    );
    assert_eq!(batches(&rig).0, 1_100);
    // Each on a clock of another year, and some entries more between them.
    for years in [0, -YEARS, YEARS] {
        rig.time.pass(HOURS);
        clock.set_ahead(years);
        alone(Program::Publish).await;
        alone(Program::Distribute).await;
        clock.set_ahead(-years);
        alone(Program::Replicate).await;
        alone(Program::Integrate).await;
        clock.set_ahead(0);
        order(&mut written, 100).await;
    }
    rig.time.pass(HOURS);
    alone(Program::Integrate).await;
    rig.time.pass(HOURS);
    alone(Program::Publish).await;
    let engine = rig.alone(&Program::ALL, true, &clock).await;
    let log = engine.log("dev").unwrap();
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(written));
    assert_eq!(log.status().reason, None);
    assert_eq!(census(&log).await, once(written));
    assert_eq!(batches(&rig), (0, 0));
    engine.shutdown().await;
}

/// A collection that fails after it raised the floor is continued with the next publication, not a window later.
#[tokio::test(start_paused = true)]
async fn what_a_failed_collection_left_goes_with_the_next_publication() {
    let (rig, faults, keys) = (Rig::new(), Faults::new(), Keys::new("dev"));
    let (engine, log) = rig.server(&faults).await;
    let (bag, failed) = (keys.bag(), Arc::new(AtomicBool::new(false)));
    let (floor, rows, hit) = (keys.floor(), rig.rows.clone(), Arc::clone(&failed));
    faults.plan(move |_, operation| {
        let raised = rows.rows().contains_key(&floor);
        let scans = matches!(operation, Operation::Scan(prefix) if *prefix == bag);
        let first = raised && scans && !hit.swap(true, SeqCst);
        first.then(|| Fault::Fail(StoreError::Io("injected".into())))
    });
    let mut written = 0;
    let mut write = async || {
        fill(&log, written, written + 1).await;
        log.wait_published(GlobalIndex::new(written)).await.unwrap();
        written += 1;
    };
    while !failed.load(SeqCst) {
        write().await;
    }
    for _ in 0..3 {
        write().await;
    }
    let slots = rig.with(&keys.slots()) as u64;
    assert!(slots <= WINDOW + 64, "{slots} slots");
    assert!(rig.with(&keys.snapshots()) > 0, "a start needs one");
    engine.shutdown().await;
}

/// A publication deletes the batches of the slots that its author has read; the batches that it leaves, because the slot was not read or a
/// copy lands late, are deleted with their slot.
#[tokio::test(start_paused = true)]
async fn what_a_publication_left_goes_with_its_slot() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let keys = Keys::new("dev");
    fill(&log, 0, 50).await;
    log.wait_published(GlobalIndex::new(49)).await.unwrap();
    let slots = rig.rows.rows();
    let slots = slots
        .iter()
        .filter(|(key, _)| key.starts_with(&keys.slots()));
    let slots: Vec<Slot> = slots.map(|(_, row)| record::decode(row).unwrap()).collect();
    let ordered = slots.iter().flat_map(|slot| &slot.batches);
    let left: Vec<_> = ordered
        .map(|b| (keys.batch(b.token), Bytes::from_static(b"x")))
        .collect();
    assert_eq!(left.len(), 50);
    let transaction = Transaction {
        puts: left.clone(),
        ..Transaction::default()
    };
    assert!(matches!(
        rig.rows.transact(transaction).await,
        Outcome::Committed
    ));
    rig.objects.put(left[..1].to_vec()).await.unwrap();
    let floor = || {
        let rows = rig.rows.rows();
        let row = rows.get(&keys.floor());
        row.map_or(0, |row| record::decode_number(row).unwrap())
    };
    let mut written = 50;
    while floor() <= slots.len() as u64 {
        fill(&log, written, written + 100).await;
        written += 100;
        log.wait_published(GlobalIndex::new(written - 1))
            .await
            .unwrap();
    }
    engine.shutdown().await;
    let rows = rig.rows.rows();
    assert!(left.iter().all(|(key, _)| !rows.contains_key(key)));
}

/// An announcement whose author died is deleted below the floor, with its bytes; rows and objects that nothing points at are noted.
#[tokio::test(start_paused = true)]
async fn what_a_dead_author_left_is_swept() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let keys = Keys::new("dev");
    let bytes = Bytes::from_static(b"\0\x01x");
    let mut dead = batch(1);
    dead.digest = Hash([9; 32]);
    // For a shard that never opens, so that nobody helps.
    dead.shard = Some("z".into());
    let row = record::encode(&Work::Batch(dead.clone()));
    let transaction = Transaction {
        puts: vec![
            (keys.announcement(SlotNumber::new(1), dead.token), row),
            (keys.batch(dead.token), bytes.clone()),
            (keys.batch(token(2)), bytes.clone()),
        ],
        ..Transaction::default()
    };
    assert!(matches!(
        rig.rows.transact(transaction).await,
        Outcome::Committed
    ));
    let object = (keys.batch(token(3)), bytes);
    rig.objects.put(vec![object]).await.unwrap();
    let mut written = 0;
    while rig.with(&keys.bag()) > 0 {
        written += 1;
        let at = log.append(Bytes::from(format!("{written}"))).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    }
    while rig.with(&keys.all_noted()) < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(batches(&rig), (1, 1));
    // They were noted long ago.
    let long_ago = |n: u64| (keys.noted(token(n)), record::encode_counted(0));
    let state = State::clone(&log.ledger.state());
    let evidence =
        Evidence::new(Limits::default(), state.len, &[]).with_floor(SlotNumber::new(STORED + 1));
    assert_eq!(
        evidence.unnamed(token(2), Some(SlotNumber::ZERO)),
        Unnamed::Goes
    );
    let transaction = Transaction {
        puts: vec![long_ago(2), long_ago(3)],
        ..Transaction::default()
    };
    assert!(matches!(
        rig.rows.transact(transaction).await,
        Outcome::Committed
    ));
    crate::collect::sweep_unnamed(&log.ledger, &log.objects.nodes, evidence)
        .await
        .unwrap();
    assert_eq!(batches(&rig), (0, 0));
    assert_eq!(rig.with(&keys.all_noted()), 0);
    engine.shutdown().await;
}
