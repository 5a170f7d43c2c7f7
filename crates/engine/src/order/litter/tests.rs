//! The rule against everything that there could be, and the engine with programs that run alone, hours apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tlog::Hash;

use super::super::WINDOW;
use super::super::keys::Keys;
use super::super::slot::Promised;
use super::*;
use crate::promise::tests::{Rig, census};
use crate::{Clock, Log, Program};
use store::fault::Faults;
use store::record;
use store::{Coordination as _, Objects as _, Outcome, Transaction};

fn token(number: u64) -> Token {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Token::from_bytes(bytes)
}

fn batch(number: u64) -> BatchRef {
    BatchRef {
        token: token(number),
        entries: 1,
        digest: Hash([0; 32]),
        object: false,
        shard: None,
        place: None,
    }
}

fn slot(number: u64, batches: Vec<BatchRef>) -> Slot {
    Slot {
        format: 1,
        number,
        start: 0,
        time: 0,
        previous: Hash([0; 32]),
        batches,
        control: None,
    }
}

fn limits(window: u64) -> Limits {
    Limits {
        window,
        filter: window,
        batches: 4,
        bytes: crate::order::MAX_SLOT,
    }
}

/// A log as it was, and who knows how much of it.
#[derive(Clone, Debug)]
struct World {
    window: u64,
    /// By batch: announced under, and the slot that ordered it, at most `window` later.
    batches: Vec<(u64, Option<u64>)>,
    len: u64,
    /// Slots published whole, in truth.
    published: u64,
    /// What the one who sweeps knows, each no more than the truth.
    known: (u64, u64),
}

fn world() -> impl Strategy<Value = World> {
    (1u64..5, 4u64..60).prop_flat_map(|(window, len)| {
        let one = (0..len, prop::option::of(0..=window));
        let batches = prop::collection::vec(one, 1..40);
        (Just((window, len)), batches, 0..=len, 0u64..=60, 0u64..=60).prop_map(
            |((window, len), batches, published, a, b)| {
                let ordered = |(seen, after): (u64, Option<u64>)| {
                    let at = after.map(|after| seen + after).filter(|at| *at < len);
                    (seen, at)
                };
                World {
                    window,
                    len,
                    published,
                    batches: batches.into_iter().map(ordered).collect(),
                    known: (a.min(published), b.min(len)),
                }
            },
        )
    })
}

impl World {
    fn slots(&self, from: u64, to: u64) -> Vec<Slot> {
        let named = |number| {
            let all = (0..).zip(&self.batches);
            let here = all.filter(move |(_, (_, at))| *at == Some(number));
            here.map(|(n, _)| batch(n)).collect()
        };
        (from..to)
            .map(|number| slot(number, named(number)))
            .collect()
    }

    /// What the one who sweeps judges by, at the highest floor that it may raise.
    fn evidence(&self) -> Evidence {
        let (published, read) = self.known;
        let slots = self.slots(published, read.max(published));
        let evidence = Evidence::new(limits(self.window), published, &slots);
        let floor = evidence.len().saturating_sub(self.window).min(published);
        evidence.with_floor(floor)
    }
}

proptest! {
    /// Partial tiles go exactly where a tree of that size has the full one, and nothing that grows brings one back.
    #[test]
    fn partial_tiles_go_where_the_full_one_is(size in 0u64..200_000, more in 0u64..200_000) {
        let has = |size| -> std::collections::BTreeSet<_> {
            let tiles = crate::merge::tree::tiles_between(0, size);
            tiles.filter(|tile| tile.width == 256).collect()
        };
        let (now, later) = (has(size), has(size + more));
        for tile in &later {
            prop_assert_eq!(partials_go(tile, size), now.contains(tile), "{}", tile);
            prop_assert!(partials_go(tile, size + more));
        }
    }

    /// The root of the position stays, and of all later ones; what went stays away.
    #[test]
    fn the_root_of_a_position_stays(cut in any::<u64>(), published in any::<u64>(), more in 0u64..1_000) {
        prop_assert!(!root_goes(published, published));
        prop_assert!(!root_goes(cut, published) || root_goes(cut, published.saturating_add(more)));
        prop_assert!(root_goes(cut, published) || cut >= published);
    }
}

proptest! {
    /// Nothing that an unpublished slot names, and nothing that may still be ordered, ever goes.
    #[test]
    fn nothing_goes_that_is_needed_or_may_be(world in world()) {
        let evidence = world.evidence();
        for (n, (seen, at)) in (0..).zip(&world.batches) {
            let unpublished = at.is_some_and(|at| at >= world.published);
            let open = at.is_none() && seen + world.window >= world.len;
            let fate = evidence.announced(*seen, &Work::Batch(batch(n)));
            if unpublished || open {
                prop_assert_ne!(fate.clone(), Announced::GoesWithBatch);
            }
            if open {
                prop_assert_eq!(fate, Announced::Stays);
            }
        }
        for slot in world.slots(0, world.len) {
            if evidence.slot_goes(slot.number) {
                prop_assert!(slot.number < world.published);
                prop_assert!(slot.number + world.window < world.len);
            }
        }
        // An object of which nothing was known until now, or for too short a time, stays.
        for noted in [None, Some(world.len), Some(world.len.saturating_sub(world.window))] {
            prop_assert_ne!(evidence.unnamed(token(1_000), noted), Unnamed::Goes);
        }
    }

    /// What is certainly dead goes once the one who sweeps knows everything, and its bytes with the last row that points at them.
    #[test]
    fn what_is_dead_goes(world in world()) {
        let all = World { known: (world.published, world.len), ..world };
        let evidence = all.evidence();
        let floor = evidence.floor();
        prop_assert_eq!(floor, all.len.saturating_sub(all.window).min(all.published));
        for (n, (seen, at)) in (0..).zip(&all.batches) {
            let fate = evidence.announced(*seen, &Work::Batch(batch(n)));
            let expected = match at {
                _ if *seen >= floor => Announced::Stays,
                Some(at) if *at >= all.published => Announced::Goes,
                _ => Announced::GoesWithBatch,
            };
            prop_assert_eq!(fate, expected);
        }
        for number in 0..floor {
            prop_assert!(evidence.slot_goes(number));
        }
    }

    /// A slot that was not read leaves everything in doubt that it could name.
    #[test]
    fn a_gap_is_no_evidence(world in world(), gap in 0u64..60) {
        let (published, read) = world.known;
        let slots = world.slots(published, read.max(published));
        let kept: Vec<_> = slots.into_iter().filter(|slot| slot.number != gap).collect();
        let evidence = Evidence::new(limits(world.window), published, &kept);
        if (published..read).contains(&gap) {
            prop_assert_eq!(evidence.len(), gap);
        }
    }
}

#[test]
fn promised_work_and_controls() {
    let evidence = Evidence::new(limits(2), 8, &[]).with_floor(5);
    let promised = Work::Promised(Promised {
        batch: batch(1),
        tier: "t".into(),
        tenant: "t".into(),
        bytes: 1,
        deadline: 1,
        birth: 1,
    });
    assert_eq!(evidence.announced(4, &promised), Announced::Settles);
    assert_eq!(evidence.announced(5, &promised), Announced::Stays);
    // A floor that others raised above what is known to be published says nothing of what is in between.
    let behind = evidence.with_floor(9);
    assert_eq!(behind.announced(4, &promised), Announced::Stays);
    assert!(!behind.slot_goes(8) && behind.slot_goes(7));
}

#[test]
fn objects_that_nothing_points_at_are_noted_first() {
    let len = 3 * WINDOW;
    let slots: Vec<Slot> = (len - 1..len).map(|n| slot(n, vec![batch(7)])).collect();
    let mut evidence = Evidence::new(Limits::default(), len - 1, &slots).with_floor(len - WINDOW);
    assert_eq!(evidence.unnamed(token(7), None), Unnamed::IsNeeded);
    assert_eq!(evidence.unnamed(token(8), None), Unnamed::IsNoted(len));
    evidence = evidence.with_floor(len + STORED);
    assert_eq!(evidence.unnamed(token(8), Some(len)), Unnamed::IsWatched);
    evidence = evidence.with_floor(len + STORED + 1);
    assert_eq!(evidence.unnamed(token(8), Some(len)), Unnamed::Goes);
    evidence.need(token(8));
    assert_eq!(evidence.unnamed(token(8), Some(len)), Unnamed::IsNeeded);
}

#[test]
fn marks_tell_how_old_slots_are() {
    let marks = [(10, 1_000), (20, 2_000), (30, 3_000)];
    for (age, old) in [(0, 0), (5_999, 0), (6_000, 10), (7_500, 20), (u64::MAX, 30)] {
        assert_eq!(aged(&marks, age, 5_000), old, "{age}");
    }
    assert_eq!(aged(&[], u64::MAX, 1), 0);
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

/// A server that only orders, and each program alone, one after the other, while the clock goes on for hours and is set to other
/// years: nothing that is not published is let go.
#[tokio::test(start_paused = true)]
async fn programs_that_run_alone_hours_apart_lose_nothing() {
    const HOURS: i64 = 5 * 3_600_000;
    const YEARS: i64 = 10 * 365 * 86_400_000;
    let (rig, clock) = (Rig::new(), Clock::system());
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
    clock.pass(HOURS);
    alone(Program::Sth).await;
    assert_eq!(batches(&rig).0, 1_100);
    alone(Program::Fetch).await;
    // It is away while the server orders on; what it has integrated is published, and collected.
    order(&mut written, 1_100).await;
    clock.pass(HOURS);
    clock.set_ahead(2 * HOURS + YEARS);
    alone(Program::Sth).await;
    clock.set_ahead(2 * HOURS);
    let keys = Keys::new("dev");
    let floor = rig.rows.rows()[&keys.floor()].clone();
    assert!(
        record::decode_number(&floor).unwrap() >= WINDOW,
        "collected"
    );
    assert_eq!(batches(&rig).0, 1_100);
    // Each on a clock of another year, and some entries more between them.
    for (round, years) in (3..).zip([0, -YEARS, YEARS]) {
        clock.pass(HOURS);
        clock.set_ahead(round * HOURS + years);
        alone(Program::Sth).await;
        alone(Program::Dist).await;
        clock.set_ahead(round * HOURS - years);
        alone(Program::Backup).await;
        alone(Program::Fetch).await;
        clock.set_ahead(round * HOURS);
        order(&mut written, 100).await;
    }
    clock.pass(HOURS);
    alone(Program::Fetch).await;
    clock.pass(HOURS);
    alone(Program::Sth).await;
    let engine = rig.alone(&Program::ALL, true, &clock).await;
    let log = engine.log("dev").unwrap();
    assert_eq!(log.status().watermarks.published, written);
    assert_eq!(log.status().reason, None);
    assert_eq!(census(&log).await, once(written));
    assert_eq!(batches(&rig), (0, 0));
    engine.shutdown().await;
}

/// A publication takes along the batches of the slots that its author has read; what it leaves, because it has not or because a
/// copy lands late, goes with its slot.
#[tokio::test(start_paused = true)]
async fn what_a_publication_left_goes_with_its_slot() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let keys = Keys::new("dev");
    fill(&log, 0, 50).await;
    log.wait_published(49).await.unwrap();
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
        log.wait_published(written - 1).await.unwrap();
    }
    engine.shutdown().await;
    let rows = rig.rows.rows();
    assert!(left.iter().all(|(key, _)| !rows.contains_key(key)));
}

/// An announcement whose author died goes below the floor, and its bytes with it; rows and objects that nothing points at are noted.
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
            (keys.announcement(1, dead.token), row),
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
    let state = State::clone(&log.core.order.state());
    let evidence = Evidence::new(Limits::default(), state.len, &[]).with_floor(STORED + 1);
    assert_eq!(evidence.unnamed(token(2), Some(0)), Unnamed::Goes);
    let transaction = Transaction {
        puts: vec![long_ago(2), long_ago(3)],
        ..Transaction::default()
    };
    assert!(matches!(
        rig.rows.transact(transaction).await,
        Outcome::Committed
    ));
    let core = Arc::clone(&log.core);
    super::super::collect::sweep_unnamed(&core, evidence)
        .await
        .unwrap();
    assert_eq!(batches(&rig), (0, 0));
    assert_eq!(rig.with(&keys.all_noted()), 0);
    engine.shutdown().await;
}
