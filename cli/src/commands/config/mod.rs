//! `logctl config`: checks, compares, applies and lists configuration documents.

mod apply;
mod compare;
mod diff;
mod earlier;
mod edit;
mod history;
mod plan;
mod rollback;
mod schema;
mod show;
mod validate;

use clap::{Subcommand, ValueHint};

use super::Session;
use crate::error::Error;
use crate::file::File;
use crate::report::Outcome;

pub(crate) use apply::ApplyArgs;
pub(crate) use diff::DiffArgs;
pub(crate) use edit::EditArgs;
pub(crate) use history::HistoryArgs;
pub(crate) use plan::PlanArgs;
pub(crate) use rollback::RollbackArgs;

/// The subcommands of `logctl config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what applying FILE would change, or what changed between two generations
    #[command(after_help = "Examples:
  logctl config diff next.yaml --exit-code
  logctl config diff --generation 7..9
  logctl config diff --generation 7          # from then to what runs")]
    Diff(DiffArgs),
    /// Check FILE without a server: syntax, keys, types, rules
    #[command(after_help = "Example:
  logctl config validate next.yaml")]
    Validate {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: File,
    },
    /// Write a change to a file: its exact content, its base, and its effect according to the server
    #[command(after_help = "Examples:
  logctl config plan next.yaml -o plan.json
  logctl config apply plan.json")]
    Plan(PlanArgs),
    /// Apply exactly the plan, or show what changed since it was made
    #[command(after_help = "Examples:
  logctl config apply plan.json
  logctl config apply plan.json --confirm-within 10m")]
    Apply(ApplyArgs),
    /// Edit the running document in $VISUAL or $EDITOR, and apply the result
    ///
    /// If the document has faults, the editor opens again with the findings in the file. Your text is kept in a file until it is applied.
    #[command(after_help = "Examples:
  logctl config edit
  EDITOR='code --wait' logctl config edit --dry-run")]
    Edit(EditArgs),
    /// Restore the settings of an earlier generation; shards stay as they are
    #[command(after_help = "Examples:
  logctl config rollback            # to the generation before this one
  logctl config rollback 12 --dry-run")]
    Rollback(RollbackArgs),
    /// Print the running document, or that of an earlier generation
    #[command(after_help = "Examples:
  logctl config show > running.yaml
  logctl config show --generation 12 -o json")]
    Show {
        /// The generation; by default the running one
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
    },
    /// List the decided changes, newest first, with the actor, the reason and the differences of each
    #[command(after_help = "Examples:
  logctl config history
  logctl config history --since 7d --by token:ci
  logctl config history --since 2026-11-01 --until 2026-12-01 -o json")]
    History(HistoryArgs),
    /// Print the JSON schema of the document
    #[command(after_help = "Example:
  logctl config schema > logconfig.schema.json")]
    Schema,
}

pub(super) async fn run(session: &Session<'_>, command: ConfigCommand) -> Result<Outcome, Error> {
    match command {
        ConfigCommand::Diff(args) => diff::run(session, args).await,
        ConfigCommand::Validate { file } => validate::run(&file).await,
        ConfigCommand::Plan(args) => plan::run(session, args).await,
        ConfigCommand::Apply(args) => apply::run(session, args).await,
        ConfigCommand::Edit(args) => edit::run(session, args.trial).await,
        ConfigCommand::Rollback(args) => rollback::run(session, args).await,
        ConfigCommand::Show { generation } => show::run(session, generation).await,
        ConfigCommand::History(args) => history::run(session, args).await,
        ConfigCommand::Schema => schema::run(),
    }
}
