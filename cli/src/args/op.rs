//! `logctl op`: changes, as asked for and as they went.

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

use super::ChangeArgs;
use crate::complete;

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    /// List changes, newest first
    #[command(after_help = "Example:
  logctl op list")]
    List,
    /// Show one change: what it changed, which actor asked for it and why, and which replicas run it
    #[command(after_help = "Example:
  logctl op show 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Show {
        /// The operation: its id, or the first digits of it (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Wait until every replica runs a change
    #[command(after_help = "Example:
  logctl op wait 4f1c0a9be2d84c7fa1b36d5e90c2a871 --timeout 5m")]
    Wait {
        /// The operation: its id, or the first digits of it (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Follow a change as it goes, one line per step, until it is over
    #[command(after_help = "Example:
  logctl op watch 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Watch {
        /// The operation: its id, or the first digits of it (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Keep a change that is reverted unless somebody confirms it
    #[command(after_help = "Example:
  logctl op confirm 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Confirm {
        /// The operation: its id, or the first digits of it (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}
