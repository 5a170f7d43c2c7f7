//! The order: slots, and how committers agree on the next one.
//!
//! Nothing else in the project orders anything. What must never happen: a slot that changes, a token in two slots, an
//! acknowledged batch in none, an entry in a shard after its freeze.
//!
//! - [`slot`] the record that is decided; [`place`] where a batch went, kept for its author; [`state`] the pure transition
//!   function slots → state;
//! - [`propose`] what to put in the next slot, a pure function of the state and the bag;
//! - [`batch`] what a batch's bytes are; [`commit`] the protocol over a store, [`answer`] what it answers; [`batcher`] adaptive
//!   group commit in front of it, `load` what one commit carries;
//! - [`queue`] promised work between queue and bag, [`releaser`] what moves it;
//! - [`collect`] the floor: what may go, in which order; [`keys`] where everything lies.

pub mod answer;
pub mod batch;
pub mod batcher;
pub mod collect;
pub mod commit;
pub mod keys;
pub(crate) mod load;
pub mod place;
pub mod propose;
pub mod queue;
pub mod releaser;
pub mod slot;
pub mod state;
#[cfg(test)]
mod tests;

/// How many slots an announcement counts for, and the length of the duplicate filter, in slots.
pub const WINDOW: u64 = 1024;

/// The most batches in one slot.
pub const MAX_BATCHES: usize = 256;
