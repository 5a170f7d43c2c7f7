//! From the order to signed checkpoints. Everything here is a pure function of the slots, so any replica may do it, twice is
//! harmless, and a difference means HALT.
//!
//! - [`tree`] the tree of one shard: leaves in, tiles and roots out; no I/O;
//! - [`pending`] entries that are ordered but not yet published, readable from the moment they are acknowledged;
//! - [`fetch`] slots → trees; [`sth`] trees → durable tiles → signed checkpoints → seals;
//! - [`copy`] what a secondary is sent;
//! - [`recover`] where a restarted replica takes up the work.

pub mod copy;
pub mod fetch;
pub mod pending;
pub mod recover;
pub mod sth;
pub mod tree;
