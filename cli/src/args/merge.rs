//! `logctl merge`: how far the merge of a log is.

use clap::Subcommand;

/// What to do with the merge.
#[derive(Debug, Subcommand)]
pub(crate) enum MergeCommand {
    /// Show how far each program and each peer is: storage nodes, secondaries, frontends, witnesses
    #[command(after_help = "Examples:
  logctl merge status
  logctl merge status --log argon -o json")]
    Status,
}
