//! The commands of `logd` as plain values; they know nothing of clap but the words of an output form.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use logconfig::{LogName, Span};

use crate::indexes;
use crate::restore::RestoreArgs;

/// The command that `logd` runs, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve one log from one directory.
    Dev(Dev),
    /// Serve logs with the settings of a file.
    Serve {
        config: PathBuf,
        /// The drain time; the settings' one if absent.
        drain: Option<Span>,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    Fsck {
        /// The stores to check.
        stores: Stores,
        /// The form of the report on standard output.
        output: ReportFormat,
    },
    /// Copy the coordination store.
    Backup {
        /// The stores whose coordination store is copied.
        stores: Stores,
        /// A new file, or a folder.
        to: PathBuf,
        /// The form of the report on standard output.
        output: ReportFormat,
    },
    /// Run one program of the merge.
    Merge {
        /// The program to run.
        program: engine::Program,
        /// Do the waiting work, and end.
        once: bool,
        /// The stores to work on.
        stores: Stores,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// End the wait for the old secondaries after a change.
    HandOver {
        log: String,
        /// End it although the old secondaries do not hold the manifest that names the change.
        force: bool,
        /// The stores to work on.
        stores: Stores,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Build search indexes again.
    IndexRebuild {
        /// The indexes to build again.
        which: indexes::Which,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Serve the files that `distribute` pushed.
    Frontend(FrontendOptions),
    /// Make a folder with all that a server needs.
    Init(Init),
    /// List all that is wrong with a settings file.
    ConfigCheck {
        /// The settings file to check.
        file: PathBuf,
        /// The form of the report on standard output.
        output: ReportFormat,
    },
    /// Print the commented example of a settings file.
    ConfigExample,
    /// Copy logs and cosign verified checkpoints.
    Secondary {
        /// How it is set up.
        from: SecondaryFrom,
        /// The drain time, if any.
        drain: Option<Span>,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Rebuild a lost log.
    Restore {
        /// The log, its secondaries and the new folder.
        args: RestoreArgs,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Make or show a secondary's key.
    SecondaryKey {
        file: PathBuf,
        /// Make a key of this name.
        name: Option<String>,
    },
}

/// The source of a secondary's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecondaryFrom {
    Config(PathBuf),
    /// On the command line.
    Flags {
        dir: PathBuf,
        /// The address that logs and readers connect to.
        listen: SocketAddr,
        /// The logs' replication keys.
        logs: Vec<String>,
        /// Metrics listener, if any.
        metrics: Option<SocketAddr>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dev {
    /// The folder for everything.
    pub(crate) dir: PathBuf,
    /// Data plane; port 0 for any free one.
    pub(crate) listen: SocketAddr,
    /// Admin endpoint; port 0 for any free one.
    pub(crate) admin: SocketAddr,
    /// Metrics listener, if any.
    pub(crate) metrics: Option<SocketAddr>,
    /// Whether there are logs for Sigstore's clients.
    pub(crate) rekor: bool,
    /// The programs of the merge to run.
    pub(crate) merge: Vec<engine::Program>,
    /// The drain time, if any.
    pub(crate) drain: Option<Span>,
    /// The form of log lines on standard error.
    pub(crate) format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    /// The log's name; the origin's last part when absent.
    pub(crate) log: Option<LogName>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) yes: bool,
}

/// The place of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// In a directory of `logd dev`.
    Dir(PathBuf),
    /// The places that a settings file names.
    Config(PathBuf),
}

impl Stores {
    /// The settings file that names their places.
    pub(crate) fn settings(&self) -> PathBuf {
        match self {
            Self::Dir(dir) => dir.join("logd.toml"),
            Self::Config(path) => path.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrontendOptions {
    pub(crate) dir: PathBuf,
    /// Port 0 for any free one.
    pub(crate) listen: SocketAddr,
    /// Certificate chain and key; plain HTTP without.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// The drain time, if any.
    pub(crate) drain: Option<Span>,
    /// The form of log lines on standard error.
    pub(crate) format: LogFormat,
}

/// The form of a command's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A table for people.
    #[default]
    Table,
    /// One JSON document on standard output.
    Json,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
