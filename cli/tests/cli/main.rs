//! The real binary against a scripted admin endpoint: every help text, every outcome with its exit code, and JSON in each.

mod fake;
mod help;
mod outcomes;
mod runner;
mod shards;
mod terminal;
