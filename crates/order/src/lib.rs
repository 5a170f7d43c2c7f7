//! The order: slots, and how committers agree on the next one.
//!
//! Nothing else in the project orders anything. What must never happen: a slot changes, a token is in two slots, an acknowledged batch is
//! in none, or an entry is in a shard after its freeze.
//!
//! - [`slot`] the record that is decided; [`location`] where a batch went, kept for its author; [`state`] the pure transition
//!   function slots → state;
//! - [`propose`] what to put in the next slot, a pure function of the state and the bag;
//! - [`attempt`] a committer's program, step by step, and [`writes`] the transactions it makes; [`answer`] has the answers;
//! - [`queue`] promised work that was not taken; [`batch`] the bytes of a batch; [`chunk`] what writers hand in beside single entries;
//! - [`litter`] the rule that says what may be deleted; [`snapshot`] a state as rows; [`keys`] the keys of the rows;
//! - [`SlotNumber`] and [`Generation`] are the numbers of the order;
//! - `model` all of it under a model checker.
//!
//! Everything here is a function from values to values: no task, no clock, no store. The engine's `ledger` runs it over a store.

pub mod answer;
pub mod attempt;
pub mod batch;
pub mod chunk;
pub mod keys;
pub mod litter;
pub mod location;
#[cfg(test)]
mod model;
mod number;
pub mod propose;
pub mod queue;
#[cfg(any(test, feature = "testing"))]
pub mod samples;
pub mod slot;
pub mod snapshot;
pub mod state;
#[cfg(test)]
mod tests;
pub mod writes;

pub use number::{Generation, SlotNumber};

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
        Self {
            window: WINDOW,
            filter: WINDOW,
            batches: MAX_BATCHES,
            bytes: MAX_SLOT,
        }
    }
}

impl Limits {
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
