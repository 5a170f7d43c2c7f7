//! The rule against everything that there could be.

use proptest::prelude::*;
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

use super::*;
use crate::work::Promised;
use crate::{StoreAge, WINDOW};

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
        location: None,
    }
}

fn slot(number: u64, batches: Vec<BatchRef>) -> Slot {
    Slot {
        format: 1,
        number: SlotNumber::new(number),
        start: GlobalIndex::ZERO,
        time: UnixMillis::ZERO,
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
        bytes: crate::MAX_SLOT,
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
    /// The knowledge of the sweeper, no part of which exceeds the truth.
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

    /// The evidence of the sweeper, at the highest floor that it may raise.
    fn evidence(&self) -> Evidence {
        let (published, read) = self.known;
        let slots = self.slots(published, read.max(published));
        let evidence = Evidence::new(limits(self.window), SlotNumber::new(published), &slots);
        let floor = evidence.len().back(self.window);
        let floor = floor.min(SlotNumber::new(published));
        evidence.with_floor(floor)
    }
}

proptest! {
    /// The root of the position stays, and of all later ones; what went stays away.
    #[test]
    fn the_root_of_a_position_stays(cut in any::<u64>(), published in any::<u64>(), more in 0u64..1_000) {
        prop_assert!(!root_goes(TreeSize::new(published), TreeSize::new(published)));
        prop_assert!(!root_goes(TreeSize::new(cut), TreeSize::new(published)) || root_goes(TreeSize::new(cut), TreeSize::new(published.saturating_add(more))));
        prop_assert!(root_goes(TreeSize::new(cut), TreeSize::new(published)) || cut >= published);
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
            let fate = evidence.announced(SlotNumber::new(*seen), &Work::Batch(batch(n)));
            if unpublished || open {
                prop_assert_ne!(fate.clone(), Announced::GoesWithBatch);
            }
            if open {
                prop_assert_eq!(fate, Announced::Stays);
            }
        }
        for slot in world.slots(0, world.len) {
            if evidence.slot_goes(slot.number) {
                prop_assert!(slot.number < SlotNumber::new(world.published));
                prop_assert!(slot.number + world.window < SlotNumber::new(world.len));
            }
        }
        // An object of which nothing was known until now, or for too short a time, stays.
        for noted in [None, Some(world.len), Some(world.len.saturating_sub(world.window))] {
            prop_assert_ne!(evidence.unnamed(token(1_000), noted.map(SlotNumber::new)), Unnamed::Goes);
        }
    }

    /// Dead work is deleted once the sweeper knows everything, and its bytes with the last row that points at them.
    #[test]
    fn what_is_dead_goes(world in world()) {
        let all = World { known: (world.published, world.len), ..world };
        let evidence = all.evidence();
        let floor = evidence.floor();
        prop_assert_eq!(floor.get(), all.len.saturating_sub(all.window).min(all.published));
        for (n, (seen, at)) in (0..).zip(&all.batches) {
            let fate = evidence.announced(SlotNumber::new(*seen), &Work::Batch(batch(n)));
            let expected = match at {
                _ if *seen >= floor.get() => Announced::Stays,
                Some(at) if *at >= all.published => Announced::Goes,
                _ => Announced::GoesWithBatch,
            };
            prop_assert_eq!(fate, expected);
        }
        for number in SlotNumber::ZERO.until(floor) {
            prop_assert!(evidence.slot_goes(number));
        }
    }

    /// A slot that was not read leaves everything in doubt that it could name.
    #[test]
    fn a_gap_is_no_evidence(world in world(), gap in 0u64..60) {
        let (published, read) = world.known;
        let slots = world.slots(published, read.max(published));
        let kept: Vec<_> = slots.into_iter().filter(|slot| slot.number != SlotNumber::new(gap)).collect();
        let evidence = Evidence::new(limits(world.window), SlotNumber::new(published), &kept);
        if (published..read).contains(&gap) {
            prop_assert_eq!(evidence.len().get(), gap);
        }
    }
}

#[test]
fn promised_work_and_controls() {
    let evidence = Evidence::new(limits(2), SlotNumber::new(8), &[]).with_floor(SlotNumber::new(5));
    let promised = Work::Promised(Promised {
        batch: batch(1),
        tier: "t".into(),
        tenant: "t".into(),
        bytes: 1,
        deadline: UnixMillis::new(1),
        first_slot: SlotNumber::new(1),
    });
    assert_eq!(
        evidence.announced(SlotNumber::new(4), &promised),
        Announced::Settles
    );
    assert_eq!(
        evidence.announced(SlotNumber::new(5), &promised),
        Announced::Stays
    );
    // A floor that others raised above what is known to be published says nothing of what is in between.
    let behind = evidence.with_floor(SlotNumber::new(9));
    assert_eq!(
        behind.announced(SlotNumber::new(4), &promised),
        Announced::Stays
    );
    assert!(!behind.slot_goes(SlotNumber::new(8)) && behind.slot_goes(SlotNumber::new(7)));
}

#[test]
fn objects_that_nothing_points_at_are_noted_first() {
    let len = 3 * WINDOW;
    let slots: Vec<Slot> = (len - 1..len).map(|n| slot(n, vec![batch(7)])).collect();
    let mut evidence = Evidence::new(Limits::default(), SlotNumber::new(len - 1), &slots)
        .with_floor(SlotNumber::new(len - WINDOW));
    assert_eq!(evidence.unnamed(token(7), None), Unnamed::IsNeeded);
    assert_eq!(
        evidence.unnamed(token(8), None),
        Unnamed::IsNoted(SlotNumber::new(len))
    );
    evidence = evidence.with_floor(SlotNumber::new(len + STORED));
    assert_eq!(
        evidence.unnamed(token(8), Some(SlotNumber::new(len))),
        Unnamed::IsWatched
    );
    evidence = evidence.with_floor(SlotNumber::new(len + STORED + 1));
    assert_eq!(
        evidence.unnamed(token(8), Some(SlotNumber::new(len))),
        Unnamed::Goes
    );
    evidence.need(token(8));
    assert_eq!(
        evidence.unnamed(token(8), Some(SlotNumber::new(len))),
        Unnamed::IsNeeded
    );
}

#[test]
fn marks_tell_how_old_slots_are() {
    let marks = [(10, 1_000), (20, 2_000), (30, 3_000)];
    let marks = marks.map(|(slots, age)| (SlotNumber::new(slots), StoreAge::new(age)));
    for (age, old) in [(0, 0), (5_999, 0), (6_000, 10), (7_500, 20), (u64::MAX, 30)] {
        assert_eq!(
            aged(&marks, StoreAge::new(age), Duration::from_secs(5)),
            SlotNumber::new(old),
            "{age}"
        );
    }
    assert_eq!(
        aged(&[], StoreAge::new(u64::MAX), Duration::from_millis(1)),
        SlotNumber::ZERO
    );
}

proptest! {
    /// Partial tiles go exactly where a tree of that size has the full one, and nothing that grows brings one back.
    #[test]
    fn partial_tiles_go_where_the_full_one_is(size in 0u64..200_000, more in 0u64..200_000) {
        let has = |size| -> BTreeSet<_> {
            let tiles = tlog::tiles_between(0, size);
            tiles.filter(|tile| tile.width == 256).collect()
        };
        let (now, later) = (has(size), has(size + more));
        for tile in &later {
            prop_assert_eq!(partials_go(tile, TreeSize::new(size)), now.contains(tile), "{}", tile);
            prop_assert!(partials_go(tile, TreeSize::new(size + more)));
        }
        let mut full = later.clone();
        let partial: BTreeSet<_> = tlog::tiles_between(0, size).filter(TilePath::is_partial).map(|tile| tile.full()).collect();
        full.retain(|tile| partial.contains(tile));
        prop_assert_eq!(completed(&[TreeSize::new(size)], TreeSize::new(size + more)), full);
    }
}
