//! The real binary against a scripted admin endpoint: every help text, every outcome with its exit code, and JSON in each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod contexts;
mod fake;
mod help;
mod login;
mod outcomes;
mod plans;
mod resources;
mod runner;
mod shards;
mod terminal;
mod trail;
mod verify;
