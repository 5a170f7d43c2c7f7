//! `logctl shard`: two flags for whole documents, and one subcommand per step.

mod announce;
pub(super) mod create_config;
mod export;
mod import;
mod list;
mod show;
pub(super) mod step;
pub(super) mod use_config;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;
use wire::{Shard, ShardState};

use super::Session;
use super::change::{ChangeArgs, Trial, parse_confirm_within};
use crate::cli::{Cli, Global};
use crate::complete;
use crate::error::Error;
use crate::file::File;
use crate::report::{Cell, Outcome, Tone};

use create_config::NewLog;
use export::ExportArgs;
pub(crate) use step::ShardStep;
use verify::VerifyArgs;

/// `logctl shard` with its flags or one of its subcommands.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "logctl shard --create-config <FILE> [OPTIONS]
       logctl shard --use-config <FILE> [OPTIONS]
       logctl shard <COMMAND> [OPTIONS]",
    after_help = "Examples:
  logctl shard --create-config next.yaml            # today's shard frozen, the next one active
  logctl shard --use-config next.yaml               # shows the difference, asks, applies, waits
  logctl shard --use-config next.yaml --dry-run     # shows the difference
  logctl shard --create-config first.yaml --log argon --origin log.example.org/argon"
)]
pub(crate) struct ShardArgs {
    /// Write the next configuration to FILE (`-`: standard output): the running one with the active shard frozen and
    /// the next shard active
    #[arg(long, value_name = "FILE", conflicts_with = "use_config", value_hint = ValueHint::FilePath)]
    pub(super) create_config: Option<File>,
    /// Validate FILE (`-`: standard input), show the differences from the running configuration, ask, apply, and
    /// wait until every replica runs it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) use_config: Option<File>,
    /// With --create-config: overwrite FILE
    #[arg(long)]
    force: bool,
    /// With --create-config: write the first configuration of a new log with this origin; needs --log and no server
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// With --use-config: stop after showing the differences
    #[arg(long)]
    dry_run: bool,
    /// With --create-config: write the first configuration of a new log that imports the shards of an old Rekor. SOURCE is the URL of
    /// the Rekor, a folder that `logctl import rekor --save` wrote, or a file with its list of shards; needs --log
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
    /// With --from: a PEM file of authorities to trust for the old Rekor, instead of the system's
    #[arg(long, value_name = "FILE", requires = "from", value_hint = ValueHint::FilePath)]
    from_ca: Option<PathBuf>,
    /// With --use-config: revert the change automatically unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = parse_confirm_within)]
    confirm_within: Option<Duration>,
    #[command(flatten)]
    change: ChangeArgs,
    /// A single step, instead of a document.
    #[command(subcommand)]
    pub(super) command: Option<ShardCommand>,
}

/// The subcommands of `logctl shard`.
#[derive(Debug, Subcommand)]
pub(crate) enum ShardCommand {
    /// List all shards, oldest first
    #[command(after_help = "Example:
  logctl shard list")]
    List,
    /// Show one shard: its origin, key, length and root
    #[command(after_help = "Example:
  logctl shard show 2026a")]
    Show {
        /// Name of the shard
        #[arg(add = ArgValueCompleter::new(complete::shards))]
        name: String,
    },
    #[command(flatten)]
    Step(ShardStep),
    /// Verify shards as a reader sees them: tiles, roots, checkpoints, seals, global index
    #[command(after_help = "Example:
  logctl shard verify
  logctl shard verify 2026a --url https://log.example.org")]
    Verify(VerifyArgs),
    /// Print the shards in the format of another system
    #[command(after_help = "Example:
  logctl shard export --format rekor > sharding.yaml
  logctl shard export --format trusted-root --merge trusted_root.json")]
    Export(ExportArgs),
}

pub(super) async fn run(session: &Session<'_>, args: ShardArgs) -> Result<Outcome, Error> {
    let ShardArgs {
        create_config,
        use_config,
        force,
        origin,
        dry_run,
        from,
        from_ca,
        confirm_within,
        command,
        change: _,
    } = args;
    if let Some(file) = create_config {
        let log = session.overrides.log.clone();
        if let Some((from, log)) = from.zip(log.clone()) {
            // Without one, the log's name is its origin.
            let origin = origin.unwrap_or_else(|| log.clone());
            let source = import::OldList { from, from_ca };
            return import::run(session, file, force, NewLog { log, origin }, source).await;
        }
        let new = origin.zip(log).map(|(origin, log)| NewLog { log, origin });
        return create_config::run(session, file, force, new).await;
    }
    if let Some(file) = use_config {
        let trial = Trial {
            dry_run,
            confirm_within,
        };
        return use_config::run(session, &file, trial).await;
    }
    // `check` accepts a line without flag and command; it means a list, which changes nothing.
    match command.unwrap_or(ShardCommand::List) {
        ShardCommand::List => list::run(session).await,
        ShardCommand::Show { name } => show::run(session, &name).await,
        ShardCommand::Step(step) => step::run(session, step).await,
        ShardCommand::Verify(args) => verify::run(session, args).await,
        ShardCommand::Export(args) => export::run(session, args).await,
    }
}

impl ShardArgs {
    /// Checks that flags and subcommands are not mixed, and that a flag has the flag it needs; global options may stand anywhere.
    pub(crate) fn check(&self, global: &Global) -> Result<(), clap::Error> {
        let flag = self.flag();
        if let (Some(flag), Some(command)) = (flag, &self.command) {
            return Err(conflict(&format!("{flag} <FILE>"), command.name()));
        }
        let create = (self.create_config.is_some(), "--create-config <FILE>");
        let using = (self.use_config.is_some(), "--use-config <FILE>");
        // A flag without effect must be refused, above all `--dry-run`.
        for (given, name, (there, needed)) in [
            (self.force, "--force", create),
            (self.origin.is_some(), "--origin <ORIGIN>", create),
            (self.dry_run, "--dry-run", using),
            (self.from.is_some(), "--from <SOURCE>", create),
            (
                self.confirm_within.is_some(),
                "--confirm-within <TIME>",
                using,
            ),
            (self.change.reason.is_some(), "--reason <TEXT>", using),
            (
                self.change.idempotency_key.is_some(),
                "--idempotency-key <KEY>",
                using,
            ),
        ] {
            match &self.command {
                Some(command) if given => return Err(conflict(name, command.name())),
                _ if given && !there => return Err(missing(needed)),
                _ => {}
            }
        }
        if flag.is_none() && self.command.is_none() {
            return Err(missing(
                "--create-config <FILE>, --use-config <FILE> or a command",
            ));
        }
        if (self.origin.is_some() || self.from.is_some()) && global.overrides.log.is_none() {
            return Err(missing("--log <NAME>"));
        }
        Ok(())
    }

    /// The flag that stands for a whole document.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        match (&self.create_config, &self.use_config) {
            (Some(_), _) => Some("--create-config"),
            (_, Some(_)) => Some("--use-config"),
            _ => None,
        }
    }

    /// The options for a change, if this is one.
    pub(crate) fn change(&self) -> Option<&ChangeArgs> {
        match &self.command {
            Some(ShardCommand::Step(step)) => Some(step.change()),
            Some(_) => None,
            None => Some(&self.change),
        }
    }

    /// Whether it makes the first document of a new log, which needs no server.
    pub(super) fn is_offline(&self) -> bool {
        self.create_config.is_some() && (self.origin.is_some() || self.from.is_some())
    }
}

impl ShardCommand {
    fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show { .. } => "show",
            Self::Step(step) => step.verb(),
            Self::Verify(_) => "verify",
            Self::Export(_) => "export",
        }
    }
}

fn conflict(flag: &str, other: &str) -> clap::Error {
    let prior = ContextValue::String(other.to_owned());
    let mut error = usage(
        ErrorKind::ArgumentConflict,
        ContextValue::String(flag.to_owned()),
    );
    error.insert(ContextKind::PriorArg, prior);
    error
}

fn missing(what: &str) -> clap::Error {
    usage(
        ErrorKind::MissingRequiredArgument,
        ContextValue::Strings(vec![what.to_owned()]),
    )
}

/// A usage error that looks like clap's own.
fn usage(kind: ErrorKind, what: ContextValue) -> clap::Error {
    let mut command = Cli::command();
    command.build();
    let mut error = clap::Error::new(kind);
    if let Some(shard) = command.find_subcommand_mut("shard") {
        let usage = shard.render_usage();
        error = error.with_cmd(shard);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error.insert(ContextKind::InvalidArg, what);
    error
}

/// A shard's state as a cell. A planned shard whose key was seen is announced.
pub(super) fn state(shard: &Shard) -> Cell {
    match shard.state {
        ShardState::Planned if shard.announced.is_some() => Cell::toned("announced", Tone::Next),
        ShardState::Planned => Cell::toned("planned", Tone::Next),
        ShardState::Active => Cell::toned("active", Tone::Good),
        ShardState::Frozen => Cell::toned("frozen", Tone::Past),
    }
}
