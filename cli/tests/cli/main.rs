//! The real binary against a scripted admin endpoint: every help text, every outcome with its exit code, and JSON in each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod api;
mod completion;
mod contexts;
mod doctor;
mod editing;
mod exits;
mod explain;
mod fake;
mod forms;
mod help;
mod hints;
mod imports;
mod keys;
mod login;
mod outcomes;
mod plans;
mod qos;
mod resources;
mod runner;
mod screen;
mod secrets;
mod shards;
mod terminal;
mod tmux;
mod trail;
mod verify;
