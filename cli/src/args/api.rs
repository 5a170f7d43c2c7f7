//! `logctl api`: what has no command of its own.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::ChangeArgs;

/// One request.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  logctl api GET logs/argon
  logctl api GET openapi.json
  logctl api PUT logs/argon/config?dryRun=true --body next.json --if-match g7-1a2b3c4d
  logctl api POST logs/argon/freeze --body - --yes < freeze.json")]
pub(crate) struct ApiArgs {
    /// GET, POST, PUT or DELETE; all but GET ask first, except with ?dryRun=true
    #[arg(value_parser = ["GET", "POST", "PUT", "DELETE"], ignore_case = true, hide_possible_values = true)]
    pub(crate) method: String,
    /// Path below /admin/v1
    pub(crate) path: String,
    /// File to send (`-`: standard input), JSON or YAML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) body: Option<PathBuf>,
    /// Entity tag that the change was made from
    #[arg(long, value_name = "TAG")]
    pub(crate) if_match: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}
