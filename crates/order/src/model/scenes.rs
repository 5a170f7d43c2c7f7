//! Scenes: actors, their work and the bounds. Each scene is searched to its end.

use stateright::{Checker, Model, UniformChooser};

use crate::model::actors::{
    Actor, Collecting, Collector, Committer, Item, Promiser, Releaser, Releasing,
};
use crate::model::world::{Protocol, Reach, World};
use crate::slot::{Control, Slot};
use crate::{Limits, SlotNumber};

pub(super) fn committer(items: &[Item]) -> Actor {
    Actor::Committer(Committer {
        len: SlotNumber::new(1),
        items: items.into(),
        next: 0,
        work: None,
        contended: false,
        flagged: false,
    })
}

/// A committer that expects others, so that it announces at once.
pub(super) fn companion(items: &[Item]) -> Actor {
    let mut actor = committer(items);
    if let Actor::Committer(committer) = &mut actor {
        committer.contended = true;
    }
    actor
}

pub(super) fn promiser(token: u8) -> Actor {
    Actor::Promiser(Promiser {
        len: SlotNumber::new(1),
        token,
        doubt: false,
        refused: false,
    })
}

pub(super) fn releaser() -> Actor {
    let at = Releasing::Idle;
    Actor::Releaser(Releaser {
        len: SlotNumber::new(1),
        at,
    })
}

pub(super) fn collector() -> Actor {
    let at = Collecting::Idle;
    Actor::Collector(Collector {
        len: SlotNumber::new(1),
        at,
    })
}

pub(super) fn limits(window: u64, batches: usize) -> Limits {
    Limits {
        window,
        filter: window,
        batches,
        bytes: crate::MAX_SLOT,
    }
}

/// Whether the wide bounds are asked for.
fn long() -> bool {
    std::env::var_os("MODEL_LONG").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Searches a scene to its end with at most this many faults, more of them in the long run. Everything in `reaches` must happen in it, so
/// that no rule holds because nothing does.
fn holds(name: &str, faults: [u8; 2], protocol: Protocol, reaches: &[Reach]) {
    for faults in 0..=faults[usize::from(long())] {
        let protocol = Protocol {
            faults,
            reaches: reaches.to_vec(),
            ..protocol.clone()
        };
        let checker = protocol.checker().threads(2).spawn_bfs().join();
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        println!("{name}, {faults} faults: {states} states, depth {depth}");
        tell(&checker);
        for (reach, _) in reaches {
            assert!(checker.discovery(reach).is_some(), "{name}: never {reach}");
        }
    }
}

/// Fails with the way to a broken rule, if there is one.
fn tell(checker: &impl Checker<Protocol>) {
    for (rule, path) in checker.discoveries() {
        if let Some((_, why)) = &path.last_state().broken {
            panic!("{rule}: {why}\n{}", story(&path));
        }
        assert!(
            rule.starts_with(char::is_lowercase),
            "{rule}\n{}",
            story(&path)
        );
    }
}

/// A way, for people: each act, and the rows after it.
pub(super) fn story(path: &stateright::Path<World, crate::model::world::Act>) -> String {
    let mut text = String::new();
    for (world, act) in path.clone().into_vec() {
        let rows = world.rows.scan("", "").map(|(key, _)| key);
        let rows = rows.filter(|key| !key.contains("/batch/"));
        let rows: Vec<String> = rows
            .map(|key| key.trim_start_matches("log/m/").replace("00000000", ""))
            .collect();
        text += &format!(
            "{} slots, {rows:?}, {} held\n",
            world.history.len(),
            world.held.len()
        );
        text += &act.map_or(String::new(), |act| format!("  {act:?}\n"));
    }
    text
}

fn slots(world: &World) -> impl Iterator<Item = &Slot> {
    world.history.iter().map(|d| &*d.slot)
}

const HELPED: Reach = ("a helper carries a batch", |_, w| {
    slots(w).any(|s| s.batches.len() > 1)
});
const REFUSED: Reach = ("a work is refused", |_, w| !w.rejected.is_empty());
const THAWED: Reach = ("the log continues after a freeze", |_, w| {
    let mut all =
        slots(w).skip_while(|s| !matches!(&s.control, Some(d) if d.control == Control::Unfreeze));
    all.any(|s| !s.batches.is_empty())
});
const COLLECTED: Reach = ("the floor rises", |m, w| w.rows.number(&m.keys.floor()) > 0);
const KEPT: Reach = ("a promise is kept", |_, w| {
    slots(w)
        .flat_map(|s| &s.batches)
        .any(|b| b.token.is_promised())
});
/// Twice in the bag, so once back in the queue.
const RETURNED: Reach = ("promised work goes back to the queue", |m, w| {
    w.history.len() > 2 && m.queued(&w.rows).next().is_some() && w.put_at.is_empty()
});

fn three() -> Vec<Actor> {
    [1, 2, 3].map(|n| committer(&[Item::Batch(n)])).into()
}

#[test]
fn three_committers() {
    holds(
        "three committers",
        [1, 3],
        Protocol::new(limits(2, 3), three()),
        &[HELPED],
    );
}

#[test]
fn committers_that_expect_each_other() {
    let actors = vec![
        companion(&[Item::Batch(1)]),
        companion(&[Item::Batch(2), Item::Batch(3)]),
        committer(&[Item::Freeze(4), Item::Unfreeze(5)]),
    ];
    let protocol = Protocol::new(limits(3, 3), actors);
    holds("contended", [0, 1], protocol, &[HELPED, REFUSED, THAWED]);
}

#[test]
fn slots_that_hold_one_batch() {
    holds(
        "one batch a slot",
        [1, 3],
        Protocol::new(limits(2, 1), three()),
        &[],
    );
}

#[test]
fn whoever_is_alone_comes_to_an_end() {
    let mut actors = three();
    actors[2] = committer(&[Item::Freeze(3), Item::Unfreeze(4)]);
    let mut protocol = Protocol::new(limits(2, 3), actors);
    protocol.alone = true;
    holds("alone", [0, 1], protocol, &[]);
}

#[test]
fn a_freeze_and_an_unfreeze() {
    let actors = vec![
        committer(&[Item::Batch(1)]),
        committer(&[Item::Batch(2)]),
        committer(&[Item::Freeze(3), Item::Unfreeze(4), Item::Batch(5)]),
    ];
    let protocol = Protocol::new(limits(2, 3), actors);
    holds("freeze", [1, 2], protocol, &[REFUSED, THAWED]);
}

#[test]
fn rotations_and_a_batch_for_one_shard() {
    let actors = vec![
        committer(&[Item::BatchFor(1, "a"), Item::BatchFor(5, "b")]),
        committer(&[Item::Rotate(2, "b"), Item::Rotate(2, "b")]),
        committer(&[Item::Rotate(3, "c")]),
    ];
    holds(
        "rotation",
        [1, 3],
        Protocol::new(limits(2, 3), actors),
        &[REFUSED],
    );
}

/// A refused control stays refused, whatever opens and closes the log afterwards.
#[test]
fn controls_of_the_intake() {
    let closing = [
        Item::Closing(1),
        Item::Batch(5),
        Item::Closing(2),
        Item::Batch(6),
    ];
    let actors = vec![
        committer(&closing),
        committer(&[Item::Unfreeze(3)]),
        committer(&[Item::Unfreeze(4)]),
    ];
    holds(
        "intake",
        [0, 1],
        Protocol::new(limits(8, 3), actors),
        &[REFUSED],
    );
    let deleting = [
        Item::Freeze(1),
        Item::Delete(2),
        Item::Delete(3),
        Item::Delete(6),
    ];
    let actors = vec![
        committer(&deleting),
        committer(&[Item::Undelete(4)]),
        committer(&[Item::Undelete(5)]),
    ];
    holds(
        "deletion",
        [0, 1],
        Protocol::new(limits(3, 3), actors),
        &[REFUSED],
    );
}

/// Two authors of one part, which found that it was not ordered, and a third one whose slots they may not have read.
#[test]
fn a_part_of_an_upload_by_two() {
    let actors = vec![
        companion(&[Item::Part(1, 0)]),
        companion(&[Item::Part(2, 0)]),
        committer(&[Item::Batch(4), Item::Batch(5), Item::Batch(6)]),
    ];
    holds(
        "parts",
        [1, 2],
        Protocol::new(limits(1, 3), actors),
        &[REFUSED, HELPED],
    );
}

#[test]
fn promises_by_two_releasers() {
    let actors = vec![
        promiser(1),
        releaser(),
        releaser(),
        committer(&[Item::Batch(2)]),
    ];
    holds(
        "promises",
        [1, 3],
        Protocol::new(limits(1, 3), actors),
        &[KEPT],
    );
}

#[test]
fn promises_and_a_freeze() {
    let freeze = committer(&[Item::Freeze(2), Item::Unfreeze(3)]);
    let actors = vec![promiser(1), releaser(), freeze];
    let protocol = Protocol::new(limits(1, 3), actors);
    holds("promises, freeze", [1, 3], protocol, &[KEPT, RETURNED]);
}

#[test]
fn collection() {
    let two = committer(&[Item::Batch(1), Item::Batch(2)]);
    let actors = vec![two, committer(&[Item::Batch(3)]), collector()];
    holds(
        "collection",
        [1, 3],
        Protocol::new(limits(1, 3), actors),
        &[COLLECTED],
    );
}

/// Unpublished batches are kept whole, and a full slot leaves announcements out.
#[test]
fn collection_behind_a_slow_publication() {
    let two = committer(&[Item::Batch(1), Item::Batch(2)]);
    let actors = vec![two, companion(&[Item::Batch(3)]), collector()];
    let mut protocol = Protocol::new(limits(1, 1), actors);
    protocol.lag = 1;
    holds("slow publication", [1, 2], protocol, &[COLLECTED]);
}

#[test]
fn collection_of_promises() {
    let two = committer(&[Item::Batch(1), Item::Batch(2)]);
    let actors = vec![two, promiser(3), releaser(), collector()];
    let protocol = Protocol::new(limits(1, 3), actors);
    holds("collection, promises", [1, 2], protocol, &[COLLECTED, KEPT]);
}

/// Everything at once is too much for a full search, so many random paths are tried.
#[test]
fn everything_at_once() {
    let actors = vec![
        committer(&[Item::Batch(1), Item::Rotate(2, "b"), Item::Batch(3)]),
        committer(&[Item::BatchFor(4, "a"), Item::Freeze(5), Item::Unfreeze(6)]),
        committer(&[
            Item::Batch(7),
            Item::Closing(8),
            Item::Unfreeze(9),
            Item::Batch(10),
        ]),
        promiser(11),
        promiser(12),
        releaser(),
        releaser(),
        collector(),
    ];
    let mut protocol = Protocol::new(limits(2, 2), actors);
    protocol.faults = 6;
    let ways = if long() { 20_000_000 } else { 20_000 };
    let checker = protocol
        .checker()
        .threads(2)
        .target_state_count(ways)
        .target_max_depth(150)
        .spawn_simulation(7, UniformChooser)
        .join();
    println!("everything: {} states", checker.state_count());
    tell(&checker);
}
