//! `logctl log`: whole logs, from their first document to their end.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;

use super::ChangeArgs;
use crate::complete;

/// What to do with logs.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List the logs of the server
    #[command(after_help = "Examples:
  logctl log list
  logctl log list --deleted")]
    List {
        /// Only those that were deleted: their data is kept, and their names stay taken
        #[arg(long)]
        deleted: bool,
    },
    /// Freeze the log: it takes no writes until it is unfrozen. Its shard stays the active one
    #[command(after_help = "Example:
  logctl log freeze argon --yes")]
    Freeze {
        /// The log; the one in use when absent
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: Option<String>,
        /// Do not wait for promised work
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let the frozen log take writes again, in the same shard
    #[command(after_help = "Example:
  logctl log unfreeze argon --yes")]
    Unfreeze {
        /// The log; the one in use when absent
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Create the log that FILE describes
    #[command(after_help = "Example:
  logctl shard --create-config first.yaml --log argon --origin log.example.org/argon
  logctl log create first.yaml")]
    Create {
        /// Its first document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Hide a frozen log; its data is kept, and `undelete` shows it again
    #[command(after_help = "Example:
  logctl log freeze argon --yes
  logctl log delete argon")]
    Delete {
        /// The log; on a terminal its name is typed once more
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a deleted log again, still frozen
    #[command(after_help = "Example:
  logctl log undelete argon")]
    Undelete {
        /// The log
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}
