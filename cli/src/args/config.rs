//! `logctl config`: documents, without applying them.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

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
    /// List the decided changes, newest first
    #[command(after_help = "Example:
  logctl config history")]
    History,
    /// Print the JSON schema of the document
    #[command(after_help = "Example:
  logctl config schema > logconfig.schema.json")]
    Schema,
}
