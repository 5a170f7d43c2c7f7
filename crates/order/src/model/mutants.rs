//! Each rule left out in turn: the checker must find the way to the harm. In the same scene with the rule nothing is found.

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::Mutant;
use crate::model::actors::{Actor, Item};
use crate::model::scenes::{collector, committer, companion, limits, promiser, releaser, story};
use crate::model::world::Protocol;

/// The first violation in a scene, with the shortest path to it.
fn finds(protocol: Protocol) -> Option<(&'static str, String)> {
    let checker = protocol
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{} states, depth {}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    let found = checker.discoveries().into_iter().next();
    found.map(|(rule, path)| (rule, story(&path)))
}

/// The scene with the rule holds; without it, one of these invariants breaks.
fn is_missed(protocol: Protocol, leave_out: impl Fn(&mut Protocol), invariants: &[&str]) {
    let mut mutant = protocol.clone();
    leave_out(&mut mutant);
    let found = finds(mutant);
    let (rule, story) = found.expect("the rule is not missed");
    println!("{rule}\n{story}");
    assert!(invariants.contains(&rule), "{rule}\n{story}");
    if let Some((rule, story)) = finds(protocol) {
        panic!("{rule} breaks with the rule, too\n{story}");
    }
}

fn scene(faults: u8, window: u64, actors: Vec<Actor>) -> Protocol {
    Protocol {
        faults,
        ..Protocol::new(limits(window, 3), actors)
    }
}

fn writers() -> Vec<Actor> {
    [1, 2].map(|n| committer(&[Item::Batch(n)])).into()
}

/// A writer, and an operator that freezes and unfreezes the log.
fn frozen() -> Vec<Actor> {
    vec![
        committer(&[Item::Batch(1)]),
        committer(&[
            Item::Batch(2),
            Item::Freeze(3),
            Item::Unfreeze(4),
            Item::Batch(5),
        ]),
    ]
}

/// One committer whose write may come late, and one that continues for long.
fn late() -> Vec<Actor> {
    let many = [2, 3, 4].map(Item::Batch);
    vec![committer(&[Item::Batch(1)]), committer(&many)]
}

#[test]
fn a_freeze_beside_the_slots() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::FreezeIsAFlag);
    let actors = vec![committer(&[Item::Batch(1)]), committer(&[Item::Freeze(3)])];
    is_missed(scene(0, 2, actors), leave_out, &["S5"]);
}

#[test]
fn a_timeout_that_is_called_a_refusal() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::TimeoutIsRefusal);
    is_missed(scene(1, 2, writers()), leave_out, &["S10"]);
}

#[test]
fn announcements_without_a_window() {
    let leave_out = |p: &mut Protocol| p.limits.window = 1_000;
    is_missed(scene(1, 1, late()), leave_out, &["S3", "S6"]);
}

#[test]
fn a_duplicate_filter_shorter_than_the_window() {
    let leave_out = |p: &mut Protocol| p.limits.filter -= 1;
    let many = [2, 3, 4].map(Item::Batch);
    // Announced at once, so ordered as early as may be, with a copy that lands as late as may be.
    let actors = vec![companion(&[Item::Batch(1)]), committer(&many)];
    is_missed(scene(1, 2, actors), leave_out, &["S3"]);
}

#[test]
fn a_freeze_that_leaves_announcements_alive() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::FreezeSparesAnnouncements);
    is_missed(scene(0, 4, frozen()), leave_out, &["S10"]);
}

#[test]
fn a_slot_put_without_the_floor() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::NoFloorGuard);
    let two = committer(&[Item::Batch(2), Item::Batch(3)]);
    let actors = vec![committer(&[Item::Batch(1)]), two, collector()];
    is_missed(scene(1, 1, actors), leave_out, &["S11"]);
}

#[test]
fn a_queue_row_deleted_before_the_order() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::QueueRowFirst);
    let actors = vec![promiser(1), releaser(), committer(&[Item::Batch(2)])];
    is_missed(scene(0, 1, actors), leave_out, &["S10"]);
}

#[test]
fn a_bag_scanned_before_the_slots_are_read() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::ScanBeforeRead);
    let actors = vec![
        committer(&[Item::Batch(1)]),
        committer(&[Item::Batch(2)]),
        committer(&[Item::Batch(3), Item::Batch(4)]),
    ];
    is_missed(scene(0, 4, actors), leave_out, &["L2"]);
}

#[test]
fn a_place_that_is_forgotten_before_its_work() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::ForgetsWhatIsLeft);
    let three = companion(&[2, 3, 4].map(Item::Batch));
    let actors = vec![promiser(1), releaser(), three, collector()];
    let mut late_copy = scene(1, 1, actors);
    late_copy.clumsy = Some(0);
    is_missed(late_copy, leave_out, &["S3"]);
}

#[test]
fn deletions_that_are_judged_without_the_slots() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::DeletesWithoutSlots);
    let actors = vec![
        companion(&[Item::Batch(1)]),
        committer(&[Item::Batch(2), Item::Batch(3)]),
        collector(),
    ];
    let mut late_copy = scene(1, 2, actors);
    (late_copy.lag, late_copy.clumsy) = (2, Some(0));
    is_missed(late_copy, leave_out, &["S4"]);
}

#[test]
fn a_batch_that_is_announced_again() {
    let leave_out = |p: &mut Protocol| p.mutant = Some(Mutant::AnnouncesAgain);
    let mut actors: Vec<Actor> = [2, 3, 4].map(|n| companion(&[Item::Batch(n)])).into();
    actors.push(collector());
    let mut passed_over = scene(0, 1, actors);
    passed_over.limits.batches = 1;
    is_missed(passed_over, leave_out, &["S4"]);
}
