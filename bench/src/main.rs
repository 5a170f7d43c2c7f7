//! Drives optimised binaries: `bench demo` shows what the product does, `bench bench` measures it. Both are run by
//! `cargo xtask`, which builds what they need.
//!
//! What must never happen here: a figure from a run in which something went wrong.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to a terminal"
)]

mod admin;
mod changes;
mod cli;
mod commits;
mod demo;
mod disk;
mod figures;
mod memory;
mod merge;
mod proc;
mod qos;
mod rekor;
mod rotation;
mod secondary;
mod shards;
mod single;
mod table;
mod writes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The demo and the benchmarks.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show everything in one run
    Demo {
        /// How many entries to write
        #[arg(long)]
        entries: Option<u64>,
    },
    /// Measure figures, all or those named
    Bench(figures::Options),
}

fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Demo { entries } => demo::run(entries).map(|()| true),
        What::Bench(options) => figures::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
