//! Copies on secondaries, and witnesses: real mirrors in this process, behind a network that fails as it is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod churn;
mod copies;
mod keys;
mod network;
mod restores;
mod witnesses;
mod world;
