//! `logctl token`: bearer tokens that the server manages.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::ChangeArgs;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token: its text is shown once, now, and never again
    #[command(after_help = "Examples:
  logctl token create ci --scope shard:rotate:argon --expires 30d --out ci.token
  logctl token create ci --scope shard:rotate:argon --scope log:read:argon -o json | jq -r .secret")]
    Create {
        /// Who the caller is then: token:NAME
        name: String,
        /// What it may do, as RESOURCE:VERB:LOG with `*` for any; repeat it for more
        #[arg(
            long = "scope",
            value_name = "SCOPE",
            required = true,
            value_delimiter = ','
        )]
        scopes: Vec<String>,
        /// For how long it is good: 12h, 30d; at most 365d
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_lifetime)]
        expires: Duration,
        /// Write the token's text to a new file that only you can read, instead of standard output
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List tokens: what each may do and when it ends
    #[command(after_help = "Example:
  logctl token list")]
    List,
    /// End a token now
    #[command(after_help = "Example:
  logctl token revoke ci")]
    Revoke {
        /// The token
        name: String,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", value_parser = super::change::parse_reason)]
        reason: Option<String>,
    },
}

/// At least a minute, at most a year.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let year = Duration::from_secs(365 * 86_400);
    super::parse_between(text, Duration::from_secs(60), year, "from 1m to 365d")
}
