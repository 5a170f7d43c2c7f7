//! Committers under abuse: several servers on one folder, many writers, and a task that pauses, kills, rotates and freezes.
//!
//! `trouble` is what is done to the servers, in which order; `servers` are the processes; `writers` write and note what they are
//! told; `history` compares that with the log: every acknowledged entry once, at its index, a refused one never. `trouble` and
//! `history` are pure.
//!
//! What must never happen: an answer that is called a refusal without being one. Whatever ends without a clear word is unknown.

pub(crate) mod history;
pub(crate) mod page;
pub(crate) mod servers;
pub(crate) mod trouble;
pub(crate) mod writers;
