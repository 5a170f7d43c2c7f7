//! Promises on stores that lose, delay and double writes, on several servers: what was promised is in the log once.

use ambient::Clocks as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tlog::{GlobalIndex, Receipt, VerifierKey, leaf_hash};

use crate::log::Log;
use crate::promise::*;
use crate::tests::rig::{Rig, caller, census};
use crate::{ChangeOutcome, Request};
use order::SlotNumber;
use order::keys::{CLOCK, Keys};
use order::work::Promised;
use qos::Cost;
use store::fault::{Fault, Faults, Operation};
use store::{Coordination, Outcome, Transaction, record};

/// A guard against a hang, not a measure.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// The system's steady clock, which no paused runtime stops.
fn steady() -> Duration {
    Duration::from_millis(ambient::Ambient::unset().time.steady_ms())
}

async fn promise(log: &Log, text: &str) -> Result<Promise, AppendError> {
    let tenant = log.policy().own();
    log.promise(Bytes::from(text.to_owned()), tenant, &Advice::default())
        .await
}

/// Waits until it has its place.
async fn placed(log: &Log, id: PromiseId) -> Appended {
    let began = steady();
    loop {
        assert!(steady() - began < HANG_TIMEOUT, "{id} gets no place");
        match log.placement(id).await.unwrap() {
            Some(Placement::Ordered { at, .. }) => return at,
            Some(Placement::Queued) => tokio::time::sleep(Duration::from_millis(10)).await,
            None => panic!("{id} is nowhere"),
        }
    }
}

/// Nothing leaves the queue while this holds.
fn hold_queue(faults: &Faults) {
    faults.plan(|_, operation| match operation {
        Operation::Transact(t) if t.deletes.iter().any(|k| k.contains("/queue/")) => {
            Some(Fault::Lose)
        }
        _ => None,
    });
}

#[tokio::test(start_paused = true)]
async fn what_is_promised_is_published_and_its_receipt_names_it() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let texts: Vec<String> = (0..300).map(|i| format!("entry {i}")).collect();
    let promises = join_all(texts.iter().map(|t| promise(&log, t))).await;
    let key: VerifierKey = log.status().shards[0].vkey.parse().unwrap();
    for (text, promise) in texts.iter().zip(promises) {
        let promise = promise.unwrap();
        let receipt = Receipt::open(&promise.receipt, &key).unwrap();
        assert_eq!(receipt.leaf, leaf_hash(text.as_bytes()));
        assert_eq!(
            (receipt.deadline, &receipt.promise),
            (promise.deadline.get(), &promise.id.to_string())
        );
        let delay = promise.granted.merge_by.unwrap();
        let latest = rig.time.now_ms() + u64::try_from(delay.as_millis()).unwrap();
        assert!(promise.deadline.get() <= latest && promise.deadline.get() + 60_000 > latest);
        let at = placed(&log, promise.id).await;
        let entry = log.entry(at.index).await.unwrap().unwrap();
        assert_eq!(
            (&*entry.bytes, entry.leaf_index),
            (text.as_bytes(), at.leaf_index)
        );
        log.wait_published(at.index).await.unwrap();
        let now = log.placement(promise.id).await.unwrap();
        assert!(
            matches!(
                now,
                Some(Placement::Ordered {
                    published: true,
                    ..
                })
            ),
            "{now:?}"
        );
        // The id has one spelling, and an entry that the batch does not have is nowhere.
        assert_eq!(promise.id.to_string().parse(), Ok(promise.id));
        let beyond = PromiseId {
            entry: 999_999,
            ..promise.id
        };
        assert_eq!(log.placement(beyond).await.unwrap(), None);
    }
    let census = census(&log).await;
    assert_eq!(census.len(), 300);
    assert!(census.values().all(|times| *times == 1));
    let keys = Keys::new("dev");
    for (what, left) in [
        ("queue", rig.with(&keys.queue())),
        ("bag", rig.with(&keys.bag())),
    ] {
        assert_eq!(left, 0, "{what} is empty");
    }
    for bad in [
        "",
        "x",
        "00-1",
        "00000000000000000000000000000000-01",
        "00000000000000000000000000000000",
    ] {
        assert!(bad.parse::<PromiseId>().is_err(), "{bad}");
    }
    engine.shutdown().await;
    assert_eq!(promise(&log, "late").await, Err(AppendError::ShuttingDown));
}

#[tokio::test]
async fn promises_are_measured_and_a_missed_one_is_counted() {
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    // What is not held is in time on every machine.
    let mut patient = log.config();
    for tier in &mut patient.qos.tiers {
        tier.max_merge_delay = Some(logconfig::Span::from_millis(60_000));
    }
    let patient = Request::Configure {
        base: None,
        next: Box::new(patient),
    };
    log.change(patient, caller()).await.unwrap();
    let kept = promise(&log, "kept").await.unwrap();
    placed(&log, kept.id).await;
    hold_queue(&faults);
    let hurry = Advice {
        merge_by: Some(Duration::ZERO),
        ..Advice::default()
    };
    let tenant = log.policy().own();
    let late = log.promise(Bytes::from("late"), tenant, &hurry).await;
    let late = late.unwrap();
    while rig.time.now_ms() <= late.deadline.get() + 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    faults.clear();
    // It is kept anyway, and said to have been late.
    placed(&log, late.id).await;
    let counted = || {
        let metrics = log.progress.metrics.qos();
        let tiers = metrics.tiers().iter();
        tiers.fold((0, 0, 0), |(ordered, published, missed), tier| {
            let all =
                |histogram: &crate::metrics::Histogram| histogram.counts().iter().sum::<u64>();
            (
                ordered + all(&tier.ordered),
                published + all(&tier.slack),
                missed + tier.missed,
            )
        })
    };
    let began = steady();
    while counted() != (2, 2, 1) {
        let (ordered, published, missed) = counted();
        assert!(steady() - began < HANG_TIMEOUT, "{:?}", counted());
        assert!(ordered <= 2 && published <= 2 && missed <= 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(log.promiser.counted().is_empty());
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_promised_is_refused_before_anything_is_written() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let tenant = log.policy().own();
    let before = rig.with(&Keys::new("dev").batches());
    let ask = |advice: Advice, bytes: &'static [u8]| {
        let log = Arc::clone(&log);
        async move {
            log.promise(Bytes::from_static(bytes), tenant, &advice)
                .await
        }
    };
    let scavenger = Advice {
        urgency: Some(7),
        ..Advice::default()
    };
    let shard = Advice {
        shard: Some("a".into()),
        ..Advice::default()
    };
    for advice in [scavenger, shard] {
        let refused = ask(advice, b"x").await.unwrap_err();
        assert!(matches!(refused, AppendError::Unpromisable(_)), "{refused}");
    }
    assert_eq!(ask(Advice::default(), b"").await, Err(AppendError::Empty));
    assert_eq!(rig.with(&Keys::new("dev").batches()), before);
    engine.shutdown().await;
}

/// Two servers on one queue; the store of one loses, doubles and delays writes, then it dies, and its zombies land.
#[tokio::test(start_paused = true)]
async fn a_promise_survives_its_server_and_is_kept_once() {
    for seed in 1..=12u64 {
        let rig = Rig::new();
        let (faults, sound) = (Faults::new(), Faults::new());
        let (_dying, one) = rig.server(&faults).await;
        let (second, two) = rig.server(&sound).await;
        let mut dice = seed * 7919;
        faults.plan(move |_, operation| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (operation.writes() && dice % 10 < 4).then(|| match dice / 16 % 4 {
                0 => Fault::Lose,
                1 => Fault::Unknown,
                2 => Fault::Hold,
                _ => Fault::Fail(StoreError::Io("injected".into())),
            })
        });
        let ask = |log: &Arc<Log>, who: u64| {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for round in 0..6 {
                    let texts: Vec<String> = (0..5).map(|i| format!("{who} {round} {i}")).collect();
                    let all = join_all(texts.iter().map(|t| promise(&log, t))).await;
                    answers.extend(texts.into_iter().zip(all));
                }
                answers
            })
        };
        let (first, other) = (ask(&one, 1), ask(&two, 2));
        let mut answers = first.await.unwrap();
        answers.extend(other.await.unwrap());
        // Dead: nothing it does arrives any more, but what it sent before does.
        faults.every_write(Fault::Lose);
        let kept = answers.iter().filter(|(_, a)| a.is_ok()).count();
        assert!(kept >= 30, "seed {seed}: the sound server promises");
        for (_, answer) in &answers {
            if let Ok(promise) = answer {
                placed(&two, promise.id).await;
            }
        }
        faults.release().await;
        // The late copies are looked at, and the log continues.
        for i in 0..3 {
            two.append(Bytes::from(format!("after {i}"))).await.unwrap();
        }
        let keys = Keys::new("dev");
        while rig.with(&keys.queue()) > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let census = census(&two).await;
        for (text, answer) in &answers {
            let times = census.get(text).copied().unwrap_or(0);
            match answer {
                Ok(promise) => {
                    assert_eq!(times, 1, "seed {seed}: promised {text}");
                    let at = placed(&two, promise.id).await;
                    let entry = two.entry(at.index).await.unwrap().unwrap();
                    assert_eq!(entry.bytes, text.as_bytes(), "seed {seed}");
                }
                Err(AppendError::Unknown) => assert!(times <= 1, "seed {seed}: {text} twice"),
                Err(e) => assert_eq!(times, 0, "seed {seed}: {text} was refused ({e})"),
            }
        }
        second.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_freeze_merges_what_is_promised_or_names_what_it_leaves() {
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    hold_queue(&faults);
    let waiting = join_all(["one", "two", "three"].map(|t| promise(&log, t))).await;
    let freeze = |now| log.change(Request::Freeze { now }, caller());
    let frozen = freeze(true).await.unwrap();
    assert_eq!(frozen.outcome, ChangeOutcome::Decided);
    let named: Vec<_> = frozen
        .differences
        .iter()
        .filter_map(|d| d.after.clone())
        .collect();
    assert!(
        named.contains(&"3 wait for an unfreeze".to_owned()),
        "{named:?}"
    );
    faults.clear();
    assert!(matches!(
        promise(&log, "four").await,
        Err(AppendError::Frozen { .. })
    ));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        log.status().watermarks.ordered,
        GlobalIndex::ZERO,
        "nothing is ordered into a frozen log"
    );
    for promised in &waiting {
        let id = promised.as_ref().unwrap().id;
        assert_eq!(log.placement(id).await.unwrap(), Some(Placement::Queued));
    }
    // A server that starts now plans for them, until they are ordered.
    let (later, twin) = rig.server(&Faults::new()).await;
    let size: Cost = ["one", "two", "three"]
        .map(|t| Cost::of(1, t.len() as u64 + 2))
        .into_iter()
        .sum();
    while twin.ingest.batcher.accepted() != size {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    log.change(Request::Unfreeze, caller()).await.unwrap();
    for promised in waiting {
        placed(&log, promised.unwrap().id).await;
    }
    while twin.ingest.batcher.accepted() != Cost::ZERO {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    later.shutdown().await;
    // Closing merges first, however long the queue is held.
    hold_queue(&faults);
    let five = promise(&log, "five").await.unwrap();
    let asked = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.change(Request::Freeze { now: false }, caller()).await })
    };
    while log.status().condition == crate::Condition::Open {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(promise(&log, "six").await, Err(AppendError::Closing));
    assert_eq!(
        log.placement(five.id).await.unwrap(),
        Some(Placement::Queued)
    );
    faults.clear();
    assert_eq!(
        asked.await.unwrap().unwrap().outcome,
        ChangeOutcome::Decided
    );
    assert_eq!(placed(&log, five.id).await.index, GlobalIndex::new(3));
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(4));
    engine.shutdown().await;
}

/// A freeze whose promised work cannot be merged says so; the log stays closed, and an unfreeze opens it again.
#[tokio::test(start_paused = true)]
async fn a_freeze_does_not_wait_for_ever() {
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    hold_queue(&faults);
    let one = promise(&log, "one").await.unwrap();
    let refused = log
        .change(Request::Freeze { now: false }, caller())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("1 of the promised entries"),
        "{refused}"
    );
    assert_eq!(promise(&log, "two").await, Err(AppendError::Closing));
    faults.clear();
    log.change(Request::Unfreeze, caller()).await.unwrap();
    placed(&log, one.id).await;
    promise(&log, "three").await.unwrap();
    engine.shutdown().await;
}

/// An announcement that died goes back to the queue, and a row of ordered work is deleted, whichever server left it.
#[tokio::test(start_paused = true)]
async fn dead_announcements_go_back_and_leftovers_go() {
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    for request in [Request::Freeze { now: true }, Request::Unfreeze] {
        log.change(request, caller()).await.unwrap();
    }
    hold_queue(&faults);
    let one = promise(&log, "one").await.unwrap();
    let keys = Keys::new("dev");
    let queued = rig
        .rows
        .scan(&keys.queue(), &keys.queue(), 9)
        .await
        .unwrap();
    let [(key, row)] = queued.as_slice() else {
        panic!("{queued:?}")
    };
    let promised: Promised = record::decode(row).unwrap();
    // A server moved it before the freeze, and stopped.
    let work = record::encode(&order::work::Work::Promised(promised));
    let bag = keys.announcement(SlotNumber::ZERO, one.id.token);
    let moved = Transaction {
        puts: vec![(bag, work.clone())],
        deletes: vec![key.clone()],
        ..Transaction::default()
    };
    assert!(matches!(rig.rows.transact(moved).await, Outcome::Committed));
    faults.clear();
    let at = placed(&log, one.id).await;
    // Late copies of both rows.
    let late = Transaction {
        puts: vec![
            (key.clone(), row.clone()),
            (keys.announcement(SlotNumber::new(1), one.id.token), work),
        ],
        ..Transaction::default()
    };
    assert!(matches!(rig.rows.transact(late).await, Outcome::Committed));
    while rig.with(&keys.queue()) + rig.with(&keys.bag()) > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(placed(&log, one.id).await, at);
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(1));
    engine.shutdown().await;
}

/// Promised work outlives the window, the collection of the slots since its first slot, and the server; its place outlives all of it.
#[tokio::test(start_paused = true)]
async fn a_promise_waits_longer_than_the_slots_are_kept() {
    use order::WINDOW;
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    hold_queue(&faults);
    let one = promise(&log, "one").await.unwrap();
    let keys = Keys::new("dev");
    let queued = rig.rows.scan(&keys.queue(), &keys.queue(), 9);
    let copy = queued.await.unwrap();
    let floor = || {
        let rows = rig.rows.rows();
        rows.get(&keys.floor())
            .map_or(0, |row| record::decode_number(row).unwrap())
    };
    let mut written = 0;
    while floor() < WINDOW {
        written += 1;
        let at = log.append(Bytes::from(format!("{written}"))).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    }
    assert_eq!(
        log.placement(one.id).await.unwrap(),
        Some(Placement::Queued)
    );
    engine.shutdown().await;
    faults.clear();
    let (engine, log) = rig.server(&faults).await;
    placed(&log, one.id).await;
    assert_eq!(census(&log).await.get("one"), Some(&1));
    // The row of its place is deleted after its time, not before, and only once the slot is collected.
    let all = keys.all_placed();
    let sweep = || crate::promise::releaser::sweep_locations(&log.ledger, &all);
    // Time is what the store has lived through, and no clock.
    let age = async |days: u64| {
        let row = rig.rows.get(CLOCK).await.unwrap();
        let age = row.map_or(0, |row| record::decode_counted(&row).unwrap());
        let older = record::encode_counted(age + days * 86_400_000);
        let transaction = Transaction {
            puts: vec![(CLOCK.to_owned(), older)],
            ..Transaction::default()
        };
        let aged = rig.rows.transact(transaction).await;
        assert!(matches!(aged, Outcome::Committed));
    };
    for days in [0, 6, 2] {
        age(days).await;
        assert_eq!(sweep().await.unwrap(), keys.all_placed());
        assert_eq!(rig.with(&all), 1, "{days} days");
    }
    let until = log.ledger.state().len;
    while floor() < until.get() {
        written += 1;
        let at = log.append(Bytes::from(format!("{written}"))).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    }
    // Nor while something is left of the work: it would be ordered once more.
    hold_queue(&faults);
    let late = Transaction {
        puts: copy,
        ..Transaction::default()
    };
    assert!(matches!(rig.rows.transact(late).await, Outcome::Committed));
    sweep().await.unwrap();
    assert_eq!((rig.with(&all), rig.with(&keys.queue())), (1, 1));
    faults.clear();
    while rig.with(&keys.queue()) > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sweep().await.unwrap();
    assert_eq!(rig.with(&all), 0);
    assert_eq!(log.placement(one.id).await.unwrap(), None);
    engine.shutdown().await;
}
