//! Mutants: rules that a test leaves out on purpose, to see that somebody misses them.
//!
//! The rule itself asks [`left_out`]. In a build without the feature `testing` the answer is a constant, and nothing is left of the question.
//! A test leaves out one rule at a time, for everything that runs on its thread.

/// Makes the list of the mutants: each has a name for people, and a sentence that says what happens without its rule.
macro_rules! mutants {
    ($($mutant:ident $name:literal $what:literal,)*) => {
        /// A rule that can be left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $what] $mutant,)*
        }

        impl Mutant {
            /// All rules that can be left out.
            pub const ALL: &[Self] = &[$(Self::$mutant,)*];

            /// The name that a person types.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => $name,)*
                }
            }

            /// What happens without the rule.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$mutant => $what,)*
                }
            }
        }
    };
}

mutants! {
    // The order.
    FreezeIsAFlag "freeze-is-a-flag"
        "A freeze is a flag that committers look at before they propose; the slots do not enforce it.",
    FreezeSparesAnnouncements "freeze-spares-announcements"
        "A freeze does not end earlier announcements.",
    TimeoutIsARefusal "timeout-is-a-refusal"
        "A write with an unknown outcome is reported as failed.",
    DoubtIsForgotten "doubt-is-forgotten"
        "A write that failed is reported as failed, although an earlier one of the same work may have landed.",
    NoWindow "no-window"
        "An announcement counts for every later slot.",
    ShortFilter "short-filter"
        "The duplicate filter is shorter than the window.",
    SnapshotWithoutFilter "snapshot-without-filter"
        "A server that starts from a snapshot does not read the slots before it into its duplicate filter.",
    NoSecondLook "no-second-look"
        "Work is proposed although slots were read since it was last looked for.",
    SlotIsReplaced "slot-is-replaced"
        "A slot is put although there is one of that number.",
    NoFloorGuard "no-floor-guard"
        "Slots and announcements are put whatever the floor.",
    FloorWithoutSnapshot "floor-without-snapshot"
        "The floor is raised without the snapshot that covers it.",
    CollectsUnpublishedSlots "collects-unpublished-slots"
        "The floor rises above what is published.",
    DeletesUnpublishedBatches "deletes-unpublished-batches"
        "A publication deletes the batches of all slots that its server knows.",
    DemandIsIgnored "demand-is-ignored"
        "A batch for one shard only is ordered into whichever is active.",
    RepeatIsDecidedAgain "repeat-is-decided-again"
        "A change that was decided is decided again under its key.",
    RequestIsNotCompared "request-is-not-compared"
        "Another change under a used key gets the answer of the first.",
    SlotsFillByNumber "slots-fill-by-number"
        "A slot takes as many batches as there may be, however many bytes that is.",
    SnapshotIsOneRow "snapshot-is-one-row"
        "A snapshot is one row, which grows with the log's life.",
    // Places: promised work, uploads, idempotency keys.
    PartIsOrderedTwice "part-is-ordered-twice"
        "Two batches with one part of an upload are ordered.",
    PlaceIsNotLookedFor "place-is-not-looked-for"
        "A write with a key does not look for the place that the key already has.",
    KeyIsNotCompared "key-is-not-compared"
        "Another entry under a used key gets the place of the first.",
    KeysForgottenEarly "keys-forgotten-early"
        "Places are swept once their slots are marked, not after seven days.",
    PlacesGoByTheWallClock "places-go-by-the-wall-clock"
        "The age of places is measured by the wall clock of whichever server sweeps.",
    ReceiptBeforeDurable "receipt-before-durable"
        "A receipt is given whether or not its entry became durable.",
    ReleasedTwice "released-twice"
        "Released work stays in the queue, and is released whether or not it was ordered.",
    PromiseEndsAtAFreeze "promise-ends-at-a-freeze"
        "Promised work whose announcement ended does not go back to the queue.",
    // Publication.
    CutBeforeItsTiles "cut-before-its-tiles"
        "A position is written although its tiles could not be.",
    QuorumIsNotAwaited "quorum-is-not-awaited"
        "A size is published before the backup quorum has it.",
    WitnessesAreNotAwaited "witnesses-are-not-awaited"
        "A checkpoint is shown without the cosignatures that the policy asks for.",
    CheckpointGoesBack "checkpoint-goes-back"
        "A server serves the checkpoint that it signed last, not the newest.",
    SealBeforeTheEnd "seal-before-the-end"
        "A shard is sealed before its last entry is published.",
    LeafFromTheLog "leaf-from-the-log"
        "The index of a leaf is counted from the start of the log, not of its shard.",
    WallClockIsBelieved "wall-clock-is-believed"
        "The time of a slot is that of its server's wall clock, even after a jump.",
    QuorumIsThatOfBefore "quorum-is-that-of-before"
        "A quorum that was raised counts only once the change is handed over.",
    WipedSecondaryCounts "wiped-secondary-counts"
        "A secondary with an empty disk counts with what its earlier disk had.",
    // Storage nodes.
    LeavingNodesAreNotAsked "leaving-nodes-are-not-asked"
        "Batches are read only from the nodes that the newest document names.",
    RepairCopiesAnything "repair-copies-anything"
        "A node that lacks a batch gets what another one has under its name, whether or not the digest fits.",
    // Changes.
    NoIntent "no-intent"
        "A change is made without an intent in the audit trail.",
    ProbationIsNotDurable "probation-is-not-durable"
        "A change on probation is proposed although the row that reverses it could not be written.",
    ProbationIsForgotten "probation-is-forgotten"
        "The row of a change on probation is deleted while the change may still be decided.",
    OneOriginForTwo "one-origin-for-two"
        "Two logs may have one origin.",
    FormatsAreNotAsked "formats-are-not-asked"
        "What an older server does not understand is accepted while it lives.",
    // Imports.
    ImportRowIsNotFollowed "import-row-is-not-followed"
        "A process that imports writes the row of the import whatever another one has made of it.",
    DroppedImportIsMade "dropped-import-is-made"
        "A log is made with an import that was dropped meanwhile.",
    // What clients are told over HTTP.
    UnknownIsUnavailable "unknown-is-unavailable"
        "A write with an unknown outcome is answered with 503, which says that nothing was written.",
    // A log that is restored, or put back.
    OlderStoreIsBelieved "older-store-is-believed"
        "A coordination store that is older than what was signed from it is taken for the newest one.",
    ManifestIsNotAwaited "manifest-is-not-awaited"
        "A change of the secondaries is handed over before the old ones know of it.",
}

#[cfg(any(test, feature = "testing"))]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static LEFT_OUT: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether a test leaves this rule out, on this thread.
    pub fn left_out(rule: Mutant) -> bool {
        LEFT_OUT.get() == Some(rule)
    }

    /// Leaves out this rule on this thread from now on, and no other.
    pub fn leave_out(rule: Option<Mutant>) {
        LEFT_OUT.set(rule);
    }
}

#[cfg(any(test, feature = "testing"))]
pub use switch::{leave_out, left_out};

/// Whether a test leaves this rule out: no, in this build.
#[cfg(not(any(test, feature = "testing")))]
#[inline]
pub const fn left_out(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_at_a_time_is_left_out() {
        let out = || Mutant::ALL.iter().filter(|rule| left_out(**rule)).count();
        assert_eq!(out(), 0);
        for rule in Mutant::ALL {
            leave_out(Some(*rule));
            assert!(left_out(*rule) && out() == 1, "{}", rule.name());
        }
        leave_out(Some(Mutant::NoWindow));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| left_out(Mutant::NoWindow));
            assert!(!other.join().unwrap(), "another thread keeps every rule");
        });
        leave_out(None);
        assert_eq!(out(), 0);
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Mutant::ALL.iter().map(|m| m.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }
}
