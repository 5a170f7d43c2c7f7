//! `logd`, the transparency-log server: the data plane over HTTP, the admin endpoint, and the wiring between them and the engine.
//!
//! What must never happen: an answer says "ordered" before the engine does, a request can cause a panic, or a secret is in a log line. All
//! decisions are made in the crate `engine`; this crate only translates.
//!
//! It is a library so that tests can call it without a socket (`memory.rs`, with the feature `testing`).

mod admin;
mod args;
mod backup;
mod buckets;
mod clock;
mod data;
mod dev;
mod error;
mod exit;
mod frontend;
mod fsck;
mod handover;
mod indexes;
mod init;
mod lifecycle;
mod listen;
#[cfg(feature = "testing")]
pub mod memory;
mod merge;
mod metrics;
mod peers;
mod process;
mod readiness;
mod restore;
mod rfc3339;
mod run;
mod secondary;
mod settings;
mod telemetry;
#[cfg(test)]
mod testing;
mod tls;

/// Does what the command line says.
pub fn main() -> std::process::ExitCode {
    exit::report(args::parse().and_then(run::command))
}
