//! `cargo xtask`: everything that a developer or a CI job runs, as one program, so that both run the same.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to a terminal"
)]

mod checks;
mod debian;
mod fuzz;
mod generate;
mod handles;
mod house;
mod layers;
mod licences;
mod literals;
mod numbers;
mod pictures;
mod python;
mod release;
mod run;
mod schemathesis;
mod sigstore;
mod simulate;
mod summary;
mod test;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must pass: format, lints, generated files, words, layering, licences, tests, OpenAPI, end-to-end campaign
    Test(test::Options),
    /// Compare the admin endpoint with its OpenAPI document, by schemathesis (`test` does it too)
    Openapi {
        /// How many requests are made up for each operation
        #[arg(long, default_value_t = schemathesis::EXAMPLES)]
        examples: u64,
    },
    /// Start a log, write the Debian package index, rotate shards while writing, verify everything
    Demo {
        /// How many entries to write (the index is repeated when it has fewer) [default: the whole index once]
        #[arg(long)]
        entries: Option<u64>,
    },
    /// Measure: writes, single, memory, rotation, converge, storm, admin, cli, qos, commits, merge (all when none is named); a markdown table and JSON
    Bench {
        /// Which figures, and options: --entries N (memory), --seconds N (writes), --rotations N (rotation)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Live simulated lives until one fails: `--seeds N`, `--seed S` for one with its trace, `--help` for the rest
    Simulate {
        /// Options, passed on to the simulation
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Look for the words that docs/glossary.md lists as not used, in docs, help texts and what programs say (`test` does it too)
    Words,
    /// Look for long files, docs that say nothing, and public items that nobody uses or classed (`test` does it too)
    House,
    /// Write the generated files: completions, man pages, JSON schema, OpenAPI document, pictures
    Generate,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Openapi { examples } => schemathesis::run(examples),
        Task::Demo { entries } => release::demo(entries),
        Task::Bench { arguments } => release::bench(&arguments),
        Task::Simulate { arguments } => simulate::run(&arguments),
        Task::Words => words::check(),
        Task::House => house::check(),
        Task::Generate => generate::write(),
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
