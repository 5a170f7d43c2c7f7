//! `logctl load`: writing to a log, in bulk or to measure it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::{DAY, ImportArgs, parse_between};

/// What to write.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// Write a file of entries into a log, as fast as it takes them
    ///
    /// The entries become leaves in the order of the file, in runs: other writers' entries may stand between them, and the result
    /// says where they are. A broken connection or a server that starts again is waited for, and nothing is written twice. An
    /// import that ended early goes on with --resume, with the same file.
    #[command(after_help = "Examples:
  logctl load import entries.txt
  zcat Packages.gz | logctl load import - --priority 6 --log debian
  logctl load import entries.bundle --format bundle --resume 9f86d081884c7d659a2feaa0c55ad015")]
    Import(ImportArgs),
    /// Write like many writers at once, and measure what they see
    ///
    /// Streams of writes run side by side: an open loop (rate=), which writes at its own times whatever the server does; a
    /// closed loop (connections=), in which each connection waits for its answer; a backfill, which writes batches as fast
    /// as they are taken. Told for each stream: the time until an entry has its durable index (ordered), and until a signed
    /// checkpoint covers it (published); rates, refusals and their reasons, promises granted and missed. Times of an open loop
    /// count from when a write was due. Entries are made up, and stay in the log.
    #[command(after_help = "Examples:
  logctl load run --stream rate=500/s --duration 30s
  logctl load run --stream name=live,rate=500/s,priority=1 --stream name=fill,backfill,priority=6 --html report.html
  logctl load run --scenario day.yaml --warm-up 5s --verify -o json

A scenario file has the same words:
  duration: 30s
  warmUp: 5s
  streams:
    - {name: live, rate: 500/s, priority: 1, mergeBy: 2s, tokenFile: live.token}
    - {name: loop, connections: 16, size: 1000, start: 10s, duration: 10s}
    - {name: fill, backfill: true, batch: 16384}")]
    Run(RunArgs),
}

/// `load run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A stream: rate=500/s, connections=8 or backfill, and name=, size=, priority=, merge-by=, shard=, token-file=, start=, duration=, spacing=even, batch=
    #[arg(
        long,
        value_name = "WORDS",
        required_unless_present = "scenario",
        conflicts_with = "scenario"
    )]
    pub(crate) stream: Vec<String>,
    /// Streams from a YAML file; `-` is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) scenario: Option<PathBuf>,
    /// How long to write; else as the streams say, else 30s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Leave this much of the beginning out of every figure
    #[arg(long, value_name = "TIME", value_parser = parse_pause)]
    pub(crate) warm_up: Option<Duration>,
    /// How often to look what is published: times to published are exact to this
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_poll)]
    pub(crate) poll: Duration,
    /// Write a report with plots into FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
    /// Write each plot into a file of its own in DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) svg: Option<PathBuf>,
    /// The server's metrics, for the queues over time: http://127.0.0.1:9090/metrics
    #[arg(long, value_name = "URL")]
    pub(crate) metrics: Option<String>,
    /// Afterwards, check that each acknowledged index holds its entry
    #[arg(long)]
    pub(crate) verify: bool,
    /// Where writers and readers reach the log; else as the context or the server says
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// From a second to a day.
fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_secs(1), DAY, "from 1s to 24h")
}

/// Up to a day.
fn parse_pause(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::ZERO, DAY, "at most 24h")
}

/// From a millisecond to ten seconds.
fn parse_poll(text: &str) -> Result<Duration, String> {
    let ten = Duration::from_secs(10);
    parse_between(text, Duration::from_millis(1), ten, "from 1ms to 10s")
}
