//! Clocks that are set: ten years ahead, ten years back, some minutes; while a server runs, and before it starts.

use ambient::Clocks as _;
use ambient::testing::Moved;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logconfig::RotateConfig;
use proptest::prelude::*;

use crate::clock::*;
use crate::tests::rig::{Rig, caller};
use crate::{AppendError, ChangeError, Engine, Log, Placement, Program, Request};
use qos::Advice;
use store::Coordination as _;
use tlog::{GlobalIndex, UnixMillis};

const YEARS: i64 = 10 * 365 * 86_400_000;
const NOW: u64 = 1_800_000_000_000;

async fn server(rig: &Rig, clock: &Moved) -> (Arc<Engine>, Arc<Log>) {
    let engine = rig.alone(&Program::ALL, true, clock).await;
    let log = engine.log("dev").unwrap();
    (engine, log)
}

async fn append(log: &Log) -> Result<u64, AppendError> {
    let appended = log.append(Bytes::from_static(b"entry")).await;
    appended.map(|at| at.index.get())
}

/// An entry is refused, and the answer names the clock.
async fn refused(log: &Log, direction: &str) {
    let answer = append(log).await;
    let Err(AppendError::Overloaded { reason, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert!(reason.contains("the clock of this server"), "{reason}");
    assert!(reason.contains(direction), "{reason}");
}

async fn time_of(log: &Log, index: u64) -> u64 {
    log.wait_published(GlobalIndex::new(index)).await.unwrap();
    log.status().published_at.unwrap().get()
}

/// A running server then orders nothing, decides nothing, releases nothing and promises nothing; it says why, and continues.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_stops_a_server_until_it_is_right_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, log) = server(&rig, &clock).await;
    assert_eq!(append(&log).await.unwrap(), 0);
    let jumps = [(YEARS, "ahead"), (-YEARS, "back"), (600_000, "ahead")];
    for (before, (by, direction)) in (1..).zip(jumps) {
        clock.set_ahead(by);
        refused(&log, direction).await;
        let reason = log.status().reason.unwrap();
        assert!(reason.contains(direction), "{reason}");
        assert!(engine.clock_fault().is_some());
        let freeze = log.change(Request::Freeze { now: true }, caller()).await;
        assert!(matches!(freeze, Err(ChangeError::Store(_))), "{freeze:?}");
        let tenant = log.policy().own();
        let entry = Bytes::from_static(b"promised");
        let promise = log.promise(entry, tenant, &Advice::default()).await;
        assert!(matches!(promise, Err(AppendError::Overloaded { .. })));

        clock.set_ahead(0);
        // The heart looks at the clock every two seconds.
        while append(&log).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(
            log.status().watermarks.ordered,
            GlobalIndex::new(before + 1)
        );
        assert_eq!(log.status().reason, None);
    }
    engine.shutdown().await;
    let (engine, log) = server(&rig, &clock).await;
    let (entry, advice) = (Bytes::from_static(b"promised"), Advice::default());
    let promised = log.promise(entry, log.policy().own(), &advice).await;
    let promised = promised.unwrap();
    let now = clock.now_ms();
    let placed = loop {
        match log.placement(promised.id).await.unwrap() {
            Some(Placement::Ordered { time, .. }) => break time.get(),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(
        placed.abs_diff(now) < 3_600_000,
        "no slot has a time of then"
    );
    engine.shutdown().await;
}

/// Promised work waits for the clock, and is kept.
#[tokio::test(start_paused = true)]
async fn what_is_promised_waits_for_the_clock() {
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, log) = server(&rig, &clock).await;
    append(&log).await.unwrap();
    let promise = async |text: &'static str| {
        let tenant = log.policy().own();
        let entry = Bytes::from_static(text.as_bytes());
        log.promise(entry, tenant, &Advice::default()).await
    };
    let promised = promise("one").await.unwrap();
    clock.set_ahead(YEARS);
    refused(&log, "ahead").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    clock.set_ahead(0);
    let now = clock.now_ms();
    let time = loop {
        match log.placement(promised.id).await.unwrap() {
            Some(Placement::Ordered { time, .. }) => break time.get(),
            Some(Placement::Queued) => tokio::time::sleep(Duration::from_millis(10)).await,
            None => panic!("lost"),
        }
    };
    assert!(time.abs_diff(now) < 3_600_000);
    engine.shutdown().await;
}

/// A server that starts on a clock that is years ahead or behind cannot know it, unless its store's clock is another one: then it takes no
/// writes. A correction of some minutes is believed after as many.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_not_the_stores_takes_no_writes() {
    let rig = Rig::new();
    let (engine, _) = server(&rig, &rig.time).await;
    engine.shutdown().await;
    let ways = [
        (YEARS, "ahead of the store's", "back by 3650d"),
        (-YEARS, "behind the store's", "ahead by 3650d"),
    ];
    for (index, (by, apart, jumped)) in (0..).zip(ways) {
        let bad = rig.clock();
        bad.set_ahead(by);
        let (engine, log) = server(&rig, &bad).await;
        refused(&log, apart).await;
        bad.set_ahead(0);
        // Now it went ten years against the steady clock: that has to be said to the server by a restart.
        tokio::time::sleep(Duration::from_secs(3)).await;
        refused(&log, jumped).await;
        engine.shutdown().await;
        let (engine, log) = server(&rig, &rig.time).await;
        assert_eq!(append(&log).await.unwrap(), index);
        time_of(&log, index).await;
        engine.shutdown().await;
    }
}

/// A server whose clock is wrong makes no log, and leaves no row of a key, however often it is asked.
#[tokio::test(start_paused = true)]
async fn starts_on_a_wrong_clock_leave_nothing() {
    let rig = Rig::new();
    let (engine, _) = server(&rig, &rig.time).await;
    let bad = rig.clock();
    engine.shutdown().await;
    bad.set_ahead(600_000);
    let (engine, _) = server(&rig, &bad).await;
    let mut rows = 0;
    for n in 0..5 {
        let origin = "example.org/new".to_owned();
        let config =
            logconfig::LogConfig::new("new".parse().unwrap(), origin, "a".parse().unwrap());
        let refused = engine.create_log_unaudited(config, caller()).await;
        assert!(matches!(refused, Err(ChangeError::Store(_))), "{refused:?}");
        // The first one takes the name.
        if n == 0 {
            rows = rig.with("");
        }
    }
    assert_eq!(rig.with(""), rows);
    engine.shutdown().await;
}

/// A server that started on a bad clock, with a store whose clock is as bad, cannot know it. Its slots have times years ahead; servers that
/// come after it write and promise by the real time.
#[tokio::test(start_paused = true)]
async fn times_far_ahead_in_a_store_are_no_harm() {
    let rig = Rig::new();
    rig.time.pass(YEARS);
    let (engine, log) = server(&rig, &rig.time).await;
    assert_eq!(append(&log).await.unwrap(), 0);
    let poisoned = log.ledger.state().time;
    engine.shutdown().await;
    rig.time.pass(-YEARS);
    let clock = &rig.time;
    assert!(poisoned.get() > clock.now_ms() + YEARS.unsigned_abs() / 2);
    let (engine, log) = server(&rig, clock).await;
    assert_eq!(append(&log).await.unwrap(), 1);
    assert_eq!(log.ledger.state().time, poisoned, "it never goes back");
    let (entry, advice) = (Bytes::from_static(b"promised"), Advice::default());
    let promise = log.promise(entry, log.policy().own(), &advice).await;
    let promise = promise.unwrap();
    assert!(promise.deadline.get() < clock.now_ms() + 86_400_000);
    while let Some(Placement::Queued) = log.placement(promise.id).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(log.status().reason, None);
    engine.shutdown().await;
}

/// A shard that was opened by a clock far ahead is rotated by age anyway.
#[tokio::test(start_paused = true)]
async fn a_shard_that_opens_in_the_future_grows_old() {
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, log) = server(&rig, &clock).await;
    append(&log).await.unwrap();
    let mut next = log.config();
    next.rotate = RotateConfig {
        max_age: Some("1d".parse().unwrap()),
        ..RotateConfig::default()
    };
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(request, caller()).await.unwrap();
    let now = UnixMillis::new(clock.now_ms());
    let opened = Some(now + Duration::from_millis(YEARS.unsigned_abs()));
    assert_eq!(log.overdue(opened, now), None);
    rig.time.pass(3_600_000);
    assert_eq!(log.overdue(opened, UnixMillis::new(clock.now_ms())), None);
    rig.time.pass(86_400_000);
    let overdue = log
        .overdue(opened, UnixMillis::new(clock.now_ms()))
        .unwrap();
    assert_eq!(overdue.shard.as_str(), "a");
    // One that opened when it should is measured as ever.
    assert!(
        log.overdue(Some(now), now + Duration::from_secs(86_400))
            .is_some()
    );
    assert_eq!(log.overdue(Some(now), now + Duration::from_secs(1)), None);
    engine.shutdown().await;
}

/// Sessions and tokens have an end by the store's clock, which may be this server's: while that is wrong, none is treated as expired.
#[tokio::test(start_paused = true)]
async fn nothing_is_over_by_a_wrong_clock() {
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, _log) = server(&rig, &clock).await;
    clock.set_ahead(YEARS);
    let session = rig.rows.now().await.unwrap() - Duration::from_secs(1);
    let key = "memory/session/one".to_owned();
    let row = store::record::encode_numbered(session.get(), &"one");
    let put = store::Transaction {
        puts: vec![(key, row)],
        ..Default::default()
    };
    rig.rows.transact(put).await;
    let sweeps = || tokio::time::sleep(Duration::from_secs(600));
    sweeps().await;
    assert_eq!(rig.with("memory/"), 1);
    clock.set_ahead(0);
    sweeps().await;
    assert_eq!(rig.with("memory/"), 0);
    engine.shutdown().await;
}

/// Old arrivals are swept, but not with a wrong clock, for which everything is old.
#[tokio::test(start_paused = true)]
async fn no_arrival_is_old_by_a_wrong_clock() {
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, log) = server(&rig, &clock).await;
    let (keys, old) = (&log.ledger.keys, || rig.rows.rows());
    let key = keys.arrivals_of(1, "other");
    let put = store::Transaction {
        puts: vec![(key.clone(), Bytes::from_static(b"row"))],
        ..Default::default()
    };
    rig.rows.transact(put).await;
    for (ahead, stays) in [(YEARS, true), (0, false)] {
        clock.set_ahead(ahead);
        crate::ingest::arrivals::write(&log.ingest, "this")
            .await
            .unwrap();
        assert_eq!(old().contains_key(&key), stays);
    }
    engine.shutdown().await;
}

/// The age of a store, by which places are forgotten, is the time that some process has spent on it: neither a clock that is set
/// nor the time that a process was away moves it.
#[tokio::test(start_paused = true)]
async fn the_age_of_a_store_is_no_wall_clocks() {
    const WEEK: i64 = 8 * 86_400_000;
    let rig = Rig::new();
    let clock = rig.clock();
    let (engine, _log) = server(&rig, &clock).await;
    let age = || {
        let rows = rig.rows.rows();
        let row = rows.get(order::keys::CLOCK);
        row.map_or(0, |row| store::record::decode_counted(row).unwrap())
    };
    // Longer than the pause between two looks.
    let look = || tokio::time::sleep(Duration::from_secs(600));
    look().await;
    clock.set_ahead(WEEK);
    look().await;
    assert!(age() < 3_600_000, "{}", age());
    clock.set_ahead(0);
    look().await;
    rig.time.pass(60_000);
    look().await;
    assert!((60_000..3_600_000).contains(&age()), "{}", age());
    // The process was stopped for a week.
    rig.time.pass(WEEK);
    look().await;
    assert!(age() < 3_600_000, "{}", age());
    engine.shutdown().await;
}

#[test]
fn a_jump_is_noticed_and_over_when_the_clock_is_back() {
    for by in [YEARS, -YEARS, 60_000, -60_000] {
        let mut watch = Watch::default();
        assert_eq!(watch.look(NOW, 0), Ok(()));
        // Slewed by some milliseconds a second, for a day.
        let slewed = |at: u64| NOW + at + at / 500;
        for at in (0..86_400_000).step_by(600_000) {
            assert_eq!(watch.look(slewed(at), at), Ok(()));
        }
        let at = 86_400_000;
        let jumped = slewed(at).saturating_add_signed(by);
        let fault = watch.look(jumped, at).unwrap_err();
        assert!(matches!(fault, ClockFault::Jumped { by_ms } if by_ms.signum() == by.signum()));
        assert_eq!(watch.fault(), Some(fault));
        assert!(watch.look(jumped + 30_000, at + 30_000).is_err());
        assert_eq!(watch.look(slewed(at + 31_000), at + 31_000), Ok(()));
        assert_eq!(watch.fault(), None);
    }
}

#[test]
fn a_correction_is_believed_after_its_own_length_and_years_never() {
    let mut watch = Watch::default();
    watch.look(NOW, 0).unwrap();
    for at in (1..90_000).step_by(1_000) {
        assert!(watch.look(NOW + 90_000 + at, at).is_err(), "{at}");
    }
    assert_eq!(watch.look(NOW + 180_500, 90_500), Ok(()));
    assert_eq!(watch.look(NOW + 181_500, 91_500), Ok(()));
    let years = NOW + YEARS.unsigned_abs();
    for at in (91_501..400 * 86_400_000).step_by(86_400_000) {
        assert!(watch.look(years + at, at).is_err(), "{at}");
    }
}

/// A machine that sleeps with a wrong clock does not believe it when it wakes, whatever the store's clock says: it may be the same one.
/// Nor while the store has another time; when the clock is set right, it is believed at once. Simulated life 33863818880261.
#[test]
fn a_jump_is_believed_only_by_those_who_watch_it() {
    let time = Moved::system();
    let clock = Clock::new(time.time());
    let compare = |store_ms: i64| {
        let now = clock.now();
        let store = UnixMillis::new(now.get().saturating_add_signed(store_ms));
        clock.compare(now, store, now);
    };
    let watched = |store_ms: i64| {
        for _ in 0..50 {
            time.pass(2_000);
            compare(store_ms);
            if clock.sound().is_ok() {
                return true;
            }
        }
        false
    };
    time.set_ahead(84_000);
    assert!(clock.sound().is_err());
    time.pass(86_400_000);
    compare(0);
    assert!(clock.sound().is_err(), "nobody has looked meanwhile");
    assert!(!watched(-84_000), "the store says that it is wrong");
    time.set_ahead(86_400_000 + 100_000);
    compare(0);
    assert!(clock.sound().is_ok(), "it was set right");
    time.set_ahead(86_400_000 + 100_000 + 84_000);
    assert!(watched(0), "it stayed, and the store has the same time");
}

/// A clock that jumped and is slewed back is off by another amount with each look. It waits once, not again for each of them.
#[test]
fn a_jump_that_is_slewed_back_is_waited_for_once() {
    for direction in [1, -1] {
        let mut watch = Watch::default();
        watch.look(NOW, 0).unwrap();
        // An hour off, and back by a tenth of the time.
        let off = |at: u64| 3_600_000 - i64::try_from(at / 10).unwrap();
        let mut at = 1_000;
        let wall = |at: u64| (NOW + at).saturating_add_signed(direction * off(at));
        while watch.look(wall(at), at).is_err() {
            at += 1_000;
            assert!(at < 2 * 3_600_000);
        }
        // As long as it was off at the end.
        assert!(at.abs_diff(off(at).unsigned_abs()) < 3_000, "{at}");
        assert_eq!(watch.fault(), None);
    }
    // A clock that jumps further, or to the other side, has made another jump.
    for other in [70_000, -30_000] {
        let mut watch = Watch::default();
        watch.look(NOW, 0).unwrap();
        for at in (1_000..29_000).step_by(1_000) {
            assert!(watch.look(NOW + at + 30_000, at).is_err());
        }
        for at in (29_000..58_000).step_by(1_000) {
            let wall = (NOW + at).saturating_add_signed(other);
            assert!(watch.look(wall, at).is_err(), "{other} {at}");
        }
    }
}

#[test]
fn a_clock_that_is_not_the_stores_is_named() {
    let time = Moved::system();
    let clock = Clock::new(time.time());
    assert_eq!(clock.fault(), None);
    clock.compare(
        UnixMillis::new(NOW),
        UnixMillis::new(NOW + 3_000),
        UnixMillis::new(NOW + 10),
    );
    assert!(clock.sound().is_ok());
    clock.compare(
        UnixMillis::new(NOW),
        UnixMillis::new(NOW + 90_000),
        UnixMillis::new(NOW + 10),
    );
    let said = clock.sound().unwrap_err().to_string();
    assert!(said.contains("behind the store's by 90s"), "{said}");
    clock.compare(
        UnixMillis::new(NOW),
        UnixMillis::new(NOW),
        UnixMillis::new(NOW),
    );
    time.set_ahead(YEARS);
    assert!(clock.sound().is_err());
    let said = clock.fault().unwrap().to_string();
    assert!(said.contains("jumped ahead by 3650d"), "{said}");
    time.set_ahead(0);
    assert!(clock.sound().is_ok() && clock.fault().is_none());
    // Time that passes is no jump.
    time.pass(YEARS);
    assert!(clock.sound().is_ok());
}

/// A machine that sleeps while it asks for the store's time does not forget that its clock is wrong. Simulated life 225.
#[test]
fn a_comparison_that_takes_long_forgets_no_difference() {
    let clock = Clock::new(Moved::system().time());
    let compare = |ahead: u64, took: u64| {
        let before = UnixMillis::new(NOW + ahead);
        clock.compare(
            before,
            UnixMillis::new(NOW + took),
            before + Duration::from_millis(took),
        );
        clock.fault()
    };
    let apart = Some(ClockFault::Apart { by_ms: 245_000 });
    assert_eq!(compare(245_000, 0), apart);
    assert_eq!(compare(245_000, 86_400_000), apart, "it slept for a day");
    assert_eq!(compare(245_000, 300_000), apart);
    assert_eq!(
        compare(0, 300_000),
        apart,
        "it may be right, and this does not show it"
    );
    assert_eq!(
        compare(0, 8_000),
        None,
        "the store is slow, and so far off it is not"
    );
}

proptest! {
    /// Whatever the wall clock does, the time that is believed gains on the steady one only what it stayed at, and the limit for
    /// every look.
    #[test]
    fn a_believed_time_is_never_far_ahead(jumps in prop::collection::vec((-YEARS..YEARS, 1u64..100_000), 1..40)) {
        let mut watch = Watch::default();
        let (mut steady, mut wall, mut looks) = (0u64, NOW, 0u64);
        watch.look(wall, steady).unwrap();
        for (by, later) in jumps {
            steady += later;
            wall = wall.saturating_add(later).saturating_add_signed(by / 1_000);
            looks += 1;
            if watch.look(wall, steady).is_ok() {
                let ahead = wall.saturating_sub(NOW + steady);
                prop_assert!(ahead <= steady + looks * LIMIT_MS, "{ahead} ahead after {steady}");
            }
        }
    }
}
