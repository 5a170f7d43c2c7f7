//! `logctl config`: documents, without applying them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::ChangeArgs;

/// What to do with configuration documents.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what applying FILE would change
    #[command(after_help = "Example:
  logctl config diff next.yaml --exit-code")]
    Diff {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Exit with 3 when there is a difference
        #[arg(long)]
        exit_code: bool,
    },
    /// Check FILE without a server: syntax, keys, types, rules
    #[command(after_help = "Example:
  logctl config validate next.yaml")]
    Validate {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Freeze a change as a file: its exact content, its base, and what the server says it would do
    #[command(after_help = "Examples:
  logctl config plan next.yaml -o plan.json
  logctl config apply plan.json")]
    Plan {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Do just what a plan says, or say what moved since it was made
    #[command(after_help = "Examples:
  logctl config apply plan.json
  logctl config apply plan.json --confirm-within 10m")]
    Apply {
        /// The plan, made by `config plan`; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
        #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
        confirm_within: Option<Duration>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Bring back the settings of an earlier generation; shards stay as they are
    #[command(after_help = "Examples:
  logctl config rollback            # to the generation before this one
  logctl config rollback 12 --dry-run")]
    Rollback {
        /// The generation; the one before the running one when absent
        generation: Option<u64>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
        #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
        confirm_within: Option<Duration>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Print the running document, or that of an earlier generation
    #[command(after_help = "Examples:
  logctl config show > running.yaml
  logctl config show --generation 12 -o json")]
    Show {
        /// The generation; the running one when absent
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
    },
    /// List the decided changes, newest first
    #[command(after_help = "Example:
  logctl config history")]
    History,
    /// Print the JSON schema of the document
    #[command(after_help = "Example:
  logctl config schema > logconfig.schema.json")]
    Schema,
}
