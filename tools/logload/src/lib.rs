//! `logload`: writers of every kind against a real server, and the figures that they measure.
//!
//! [`scenario`] says what to write, [`arrivals`] when, [`wire`] sends it, [`measure`] makes figures of the answers, [`drive`]
//! brings them together; [`figures`] is the result, [`page`], [`plot`] and [`html`] show it, [`verify`] reads back what was
//! acknowledged. All but `wire`, `drive` and `run` are pure.
//!
//! What must never happen: a figure that flatters the server. Lateness counts from when a write was due.

mod arrivals;
mod drive;
mod figures;
mod html;
mod measure;
mod page;
mod plot;
mod remarks;
mod run;
mod scenario;
mod verify;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use logctl::kit::{ColorWhen, Form, Manner, Output, Overrides, Program, Session, Ui};
use logctl::kit::{drive, parse_timeout, usage, wanted_form};

use crate::run::RunArgs;

/// The description from which completion scripts and manual pages are generated.
pub const PROGRAM: Program = Program::new("logload", command).with_exits(&EXITS);

/// The exit codes; each means what it means for `logctl`.
const EXITS: [(u8, &str); 7] = [
    (0, "Done: the run took place, whatever its figures are."),
    (1, "A bug."),
    (
        2,
        "Wrong usage: the command line, the scenario, or a file that cannot be read or written.",
    ),
    (
        4,
        "Not authenticated: a token file, or the identity for the admin endpoint.",
    ),
    (11, "The server cannot be reached."),
    (
        12,
        "Verification failed: an acknowledged index does not hold its entry.",
    ),
    (130, "Interrupted; the result has the figures until then."),
];

/// Writes to a transparency log like many writers at once, and measures the answers
#[derive(Debug, Parser)]
#[command(
    name = "logload",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Example:
  logload run --stream rate=500/s --duration 30s --html report.html"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command: those of `logctl` for the server and the output.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    #[command(flatten)]
    overrides: Overrides,
    /// How long to wait for the admin endpoint, and for each file of --verify: 500ms, 60s, 5m
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    timeout: Duration,
    /// Form of the result on standard output
    #[arg(
        long,
        short = 'o',
        global = true,
        value_name = "FORM",
        value_enum,
        default_value_t
    )]
    output: Form,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    color: ColorWhen,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write streams of entries side by side, and measure rates and latencies
    ///
    /// An open loop (rate=) writes at its own times whatever the server does; in a closed loop (connections=) each connection
    /// waits for its answer; a backfill writes batches as fast as the server accepts them. For each stream the result has the
    /// time until an entry has its durable index (ordered) and until a signed checkpoint covers it (published), rates,
    /// refusals with their reasons, and promises granted and missed. Times of an open loop count from when a write was due.
    /// The entries are synthetic, and stay in the log.
    #[command(after_help = "Examples:
  logload run --stream rate=500/s --duration 30s
  logload run --stream name=live,rate=500/s,priority=1 --stream name=fill,backfill,priority=6 --html report.html
  logload run --scenario day.yaml --warm-up 5s --verify -o json

A scenario file has the same words:
  duration: 30s
  warmUp: 5s
  streams:
    - {name: live, rate: 500/s, priority: 1, mergeBy: 2s, tokenFile: live.token}
    - {name: loop, connections: 16, size: 1000, start: 10s, duration: 10s}
    - {name: fill, backfill: true, batch: 16384}")]
    Run(RunArgs),
}

/// The command's definition, for generated files and tests.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    cli.global.overrides.note_environment(&matches);
    Ok(cli)
}

/// Runs a command line to its end. Prints the result; never panics, never calls `exit`.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let Cli { global, command } = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => return usage("logload", &error, None, wanted_form(&args)),
    };
    let manner = Manner {
        output: Output::Form(global.output),
        color: global.color,
        ..Manner::default()
    };
    let ui = Ui::new(manner, "logload run");
    let session = Session::new(&ui, &global.overrides, global.timeout);
    let Command::Run(args) = command;
    drive(&ui, true, run::run(&session, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}
