//! The base of the end-to-end tests, the demo and the benchmarks: the real binaries as processes ([`process`]), a load generator that
//! remembers every answer ([`load`]), and an auditor that shares no code with the product ([`auditor`]).
//!
//! Two things must never happen here: a check that passes because it looked at nothing, and a wait that ends because time
//! passed instead of because its condition holds.

#![expect(
    missing_docs,
    reason = "only tests and benchmarks use it; most names say it all"
)]

pub mod attack;
pub mod auditor;
pub mod bucket;
pub mod cable;
pub mod commits;
pub mod dataset;
pub mod http;
pub mod ledger;
pub mod load;
pub mod merkle;
pub mod notes;
pub mod process;
pub mod proof;
pub mod random;
pub mod secondary;
pub mod sigstore;
pub mod skip;
pub mod verify;
pub mod wait;
