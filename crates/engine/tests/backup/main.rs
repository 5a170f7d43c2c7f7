//! Copies on secondaries, and witnesses: real mirrors in this process, behind a network that fails as it is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod churn;
mod closed_shards;
mod copies;
mod hand_over;
mod keys;
mod lives;
mod network;
mod older_copies;
mod restores;
mod sources;
mod witnesses;
mod world;
