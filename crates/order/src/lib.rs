//! The order: slots, and how committers agree on the next one.
//!
//! Nothing else in the project orders anything. What must never happen: a slot changes, a token is in two slots, an acknowledged batch is
//! in none, or an entry is in a shard after its freeze.
//!
//! - [`slot`] the record that is decided; [`token`] the names of batches and operations; [`location`] where a batch went, kept for its author;
//! - [`state`] the pure transition function slots → state; [`view`] the state and the duplicate filter, which a committer has;
//! - [`work`] what is not decided yet; [`proposal`] what a committer is asked to order; [`propose`] what to put in the next slot, a pure
//!   function of the state and the bag;
//! - [`attempt`] a committer's program, step by step, and [`writes`] the transactions it makes; [`answer`] has the answers;
//! - [`queue`] promised work that was not taken; [`batch`] the bytes of a batch; [`chunk`] what writers hand in beside single entries;
//! - [`deletion`] the rule that says what may be deleted; [`snapshot`] a state as rows; [`keys`] the keys of the rows;
//! - [`mutant`] lets a test leave out a rule;
//! - [`SlotNumber`] and [`Generation`] are the numbers of the order;
//! - `model` all of it under a model checker.
//!
//! Everything here is a function from values to values: no task, no clock, no store. The engine's `ledger` runs it over a store.

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

pub mod answer;
pub mod attempt;
pub mod batch;
pub mod chunk;
pub mod deletion;
pub mod keys;
pub mod location;
#[cfg(test)]
mod model;
pub mod mutant;
mod number;
pub mod proposal;
pub mod propose;
pub mod queue;
#[cfg(any(test, feature = "testing"))]
pub mod samples;
pub mod slot;
pub mod snapshot;
pub mod state;
#[cfg(test)]
mod tests;
pub mod token;
pub mod view;
pub mod work;
pub mod writes;

use mutant::{Mutant, left_out};
pub use number::{Generation, SlotNumber, StoreAge};

/// How many slots an announcement counts for, and the length of the duplicate filter, in slots.
pub const WINDOW: u64 = 1024;

/// The most batches in one slot.
pub const MAX_BATCHES: usize = 256;

/// The largest record of a slot, bytes: every coordination store accepts a value of this size. A larger proposal could be neither decided
/// nor skipped, so none is made. Servers of one log need not agree on it: the winner's slot counts.
pub const MAX_SLOT: usize = 64 << 10;

/// Bytes of a slot's record beside its control and its batches, and room for one batch.
const SLOT_HEAD: usize = 1024;

/// The protocol's bounds. Every server has the default; the model checker takes smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many slots an announcement counts for.
    pub window: u64,
    /// Length of the duplicate filter, in slots: not below `window`, or late announcements are ordered twice.
    pub filter: u64,
    /// The most batches in a proposal.
    pub batches: usize,
    /// The largest record of a slot, bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let window = window();
        Self {
            window,
            filter: if left_out(Mutant::ShortFilter) {
                window / 4
            } else {
                window
            },
            batches: MAX_BATCHES,
            bytes: MAX_SLOT,
        }
    }
}

/// The window of the logs on this thread.
#[cfg(not(any(test, feature = "testing")))]
const fn window() -> u64 {
    WINDOW
}

#[cfg(any(test, feature = "testing"))]
fn window() -> u64 {
    SHORT_WINDOW.get()
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static SHORT_WINDOW: std::cell::Cell<u64> = const { std::cell::Cell::new(WINDOW) };
}

impl Limits {
    /// Gives all logs on this thread a window of so many slots, so that a short test reaches what comes after it.
    #[cfg(any(test, feature = "testing"))]
    pub fn shorten(window: u64) {
        SHORT_WINDOW.set(window);
    }

    /// Whether the filter of a view with `len` slots has every slot from `since` on.
    pub fn covers(&self, len: SlotNumber, since: SlotNumber) -> bool {
        len <= since + self.window
    }

    /// The largest control that is ever proposed, as JSON, bytes. It does not depend on the slot, so that one that fits now fits
    /// later.
    pub const fn control(&self) -> usize {
        self.bytes.saturating_sub(SLOT_HEAD)
    }
}
