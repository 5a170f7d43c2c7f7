//! `logctl load`: writing to a log, in bulk or to measure it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::{DAY, ImportArgs, parse_between};

/// What `logctl load` writes.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// Write a file of entries into a log, as fast as it takes them
    ///
    /// The entries become leaves in the order of the file, in runs: other writers' entries may stand between them, and the result
    /// says where they are. A broken connection or a server that starts again is waited for, and nothing is written twice.
    /// --resume continues an import that ended early, with the same file.
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
    /// Start several servers on one folder, write to all, pause and kill them, and look for a lie
    ///
    /// Nothing that runs is touched: the servers (`logd dev`) and their folder are this command's own. While writers write, servers
    /// are stopped and woken, killed and started again; the log is rotated, frozen and opened, also while one of them sleeps, so
    /// that its writes come late. Then the whole log is read and compared with what the writers were told: every acknowledged entry
    /// is there once, at its index; a refused one never; one without an answer once at most. `logd fsck` has the last word.
    #[command(after_help = "Examples:
  logctl load commits
  logctl load commits --writers 64 --processes 5 --store-delay 20ms --duration 10m -o json
  logctl load commits --dir run --seed 42      keep everything; the same order of faults again")]
    Commits(CommitsArgs),
}

/// `load commits`.
#[derive(Debug, clap::Args)]
pub(crate) struct CommitsArgs {
    /// How many write at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) writers: u32,
    /// How many servers
    #[arg(long, value_name = "M", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) processes: u8,
    /// How long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// What each operation of the servers' stores takes at least
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_delay)]
    pub(crate) store_delay: Duration,
    /// Repeats the order of what is done to the servers; else another one each time
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The server's program; else the one beside logctl
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) logd: Option<PathBuf>,
    /// An empty folder for the servers and the history, which is kept; else a temporary one, kept only if something is wrong
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
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

/// Up to a second.
fn parse_delay(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::ZERO, Duration::from_secs(1), "at most 1s")
}

/// From a millisecond to ten seconds.
fn parse_poll(text: &str) -> Result<Duration, String> {
    let ten = Duration::from_secs(10);
    parse_between(text, Duration::from_millis(1), ten, "from 1ms to 10s")
}
