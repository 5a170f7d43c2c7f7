//! `logctl audit`: the trail of what operators did.

use clap::Subcommand;

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List requests, their actors and their outcomes; newest first
    #[command(after_help = "Examples:
  logctl audit list
  logctl audit list --limit 500 --before 12000 -o json")]
    List {
        /// How many entries, at most 1000
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only entries before this index
        #[arg(long, value_name = "INDEX")]
        before: Option<u64>,
    },
    /// Recompute the whole trail and compare it with every checkpoint that was pinned before
    #[command(
        after_help = "The first checkpoint that logctl sees of an endpoint is pinned in $XDG_STATE_HOME/logctl/pins; from then on the
trail must contain it, or the command fails with exit code 12.

Examples:
  logctl audit verify
  logctl audit verify --repin     # after the server was replaced on purpose"
    )]
    Verify {
        /// Forget what was pinned, and pin what is served now if it is sound in itself
        #[arg(long)]
        repin: bool,
    },
}
