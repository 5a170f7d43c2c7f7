//! `logctl load`, resolved.

use std::path::PathBuf;
use std::time::Duration;

use super::{File, LoadImport};
use crate::args::LoadCommand;

/// What `logctl load` is asked to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LoadRequest {
    /// `load import`.
    Import(LoadImport),
    /// `load run`.
    Run(LoadRun),
    /// `load commits`.
    Commits(LoadCommits),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadCommits {
    /// How many write at a time.
    pub(crate) writers: u32,
    /// How many servers.
    pub(crate) processes: usize,
    /// How long the servers are put under load.
    pub(crate) duration: Duration,
    /// What each operation of the servers' stores takes at least.
    pub(crate) store_delay: Duration,
    /// Repeats the order of what is done.
    pub(crate) seed: Option<u64>,
    /// The server's program, when it was named.
    pub(crate) logd: Option<PathBuf>,
    /// Where everything is kept.
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadRun {
    /// The streams to run.
    pub(crate) what: Streams,
    /// How long, when that was said.
    pub(crate) duration: Option<Duration>,
    /// How much of it is not measured, when that was said.
    pub(crate) warm_up: Option<Duration>,
    /// How often the watermarks are read.
    pub(crate) poll: Duration,
    /// Where the report goes.
    pub(crate) html: Option<PathBuf>,
    /// Where single plots go.
    pub(crate) svg: Option<PathBuf>,
    /// Where the server's metrics are.
    pub(crate) metrics: Option<String>,
    /// Check every acknowledgement.
    pub(crate) verify: bool,
    /// Where the log is.
    pub(crate) url: Option<String>,
}

/// Where the streams are described.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    Flags(Vec<String>),
    File(File),
}

impl From<LoadCommand> for LoadRequest {
    fn from(command: LoadCommand) -> Self {
        match command {
            LoadCommand::Import(args) => Self::Import(args.into()),
            LoadCommand::Run(args) => Self::Run(LoadRun {
                what: match args.scenario {
                    Some(file) => Streams::File(file.into()),
                    None => Streams::Flags(args.stream),
                },
                duration: args.duration,
                warm_up: args.warm_up,
                poll: args.poll,
                html: args.html,
                svg: args.svg,
                metrics: args.metrics,
                verify: args.verify,
                url: args.url,
            }),
            LoadCommand::Commits(args) => Self::Commits(LoadCommits {
                writers: args.writers,
                processes: usize::from(args.processes),
                duration: args.duration,
                store_delay: args.store_delay,
                seed: args.seed,
                logd: args.logd,
                dir: args.dir,
            }),
        }
    }
}

impl LoadRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Import(_) => "import",
            Self::Run(_) => "run",
            Self::Commits(_) => "commits",
        }
    }
}
