//! Rekor's API, version 1: hashedrekord and dsse, and for older clients intoto and rekord.
//!
//! Clients keep the answer as it is and check the signed entry timestamp over it, so the body of an entry must never be
//! written in a second way.

mod answer;
mod dsse;
mod entry_id;
mod envelope;
mod error;
mod hashedrekord;
mod intoto;
mod keys;
mod query;
mod rekord;
mod request;
mod signed;

#[cfg(test)]
mod tests;

pub use answer::{LogEntry, LogInfo, SignedTree, answer, answers, ids, proof, public_key};
pub use entry_id::{EntryId, TreeId, Uuid};
pub use error::{Error, Reason, Rule, refusal};
pub use keys::{MAX_KEYS, search_keys};
pub use query::{MAX_QUERY, MAX_RETRIEVED, Operator, Query, Retrieve};
pub use request::{Entry, MAX_BODY, Request};
