//! The protocol under a model checker: the programs of the server, step by step, over every store there could be.
//!
//! The model checks the code that runs: the transition function ([`crate::state`]), the proposal ([`crate::propose`]), the answers
//! ([`crate::answer`]), the committer's program ([`crate::attempt`]), the transactions with their guards ([`crate::writes`]), keys and
//! records are the server's own. The model adds what surrounds them:
//!
//! - [`rows`]: a store. A transaction is committed or refused in one step, or its author is told that the outcome is unknown and it
//!   lands at any later time or never (a zombie), or it is committed and lands once more (a duplicate), or it fails for certain.
//! - [`actors`]: program counters, and [`steps`]: one step for one operation on the store, of committers, those who promise, releasers, the
//!   collector. A process that stops is one that takes no more steps, and every run of the others is explored.
//! - [`world`]: all of it together, with what has happened so far, and [`checks`]: the invariants.
//! - [`scenes`]: actors, their work and the bounds; [`mutants`]: the protocol with one rule left out, and that it is missed.
//!
//! Checked: S1 to S6, S10, S11, L2 in the form that holds for each single slot (whoever decides it takes the announcements that were there
//! when the slot before was undecided, oldest first, as far as there is room), and that nobody waits for one who stopped (L1, L3 as far as
//! the bounds reach). Elsewhere: S7, S8, S9 and S12 concern what follows from the order, and are checked by the engine's tests, `fsck` and
//! the auditor of the end-to-end tests; L4 and L5 by the tests of the merge and of the quality of service. Left out of the model: reads
//! that fail (they are repeated), a process that starts again from a snapshot (`fsck` and the tests of recovery), the time for which places
//! are kept (here: those of promises no time, those of parts forever).
//!
//! `MODEL_LONG=1` widens the bounds and adds random walks through everything at once (`cargo xtask test --model-long`).

#![expect(
    clippy::print_stdout,
    reason = "tells how much was searched, and the way to a broken rule"
)]

mod actors;
mod checks;
mod mutants;
mod rows;
mod scenes;
mod steps;
mod world;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// A freeze is a row of its own, which committers look at before they propose.
    FreezeIsAFlag,
    /// A write with an unknown outcome is reported as failed.
    TimeoutIsRefusal,
    /// A freeze does not end earlier announcements.
    FreezeSparesAnnouncements,
    /// A slot is put whatever the floor.
    NoFloorGuard,
    /// A queue row is deleted, then announced.
    QueueRowFirst,
    /// The bag is scanned before the slots are read.
    ScanBeforeRead,
    /// A place is deleted while copies of its work are left.
    ForgetsWhatIsLeft,
    /// A dead announcement is deleted with its batch, even if a slot orders the batch.
    DeletesWithoutSlots,
    /// A batch whose announcement is dead is announced again.
    AnnouncesAgain,
}
