//! `logctl shard`: two flags for whole documents, and a subcommand for each single step.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;

use super::{ChangeArgs, Cli, Global};

use crate::complete;

/// `logctl shard` with its flags or one of its subcommands.
#[derive(Debug, Args)]
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
    /// Write the next configuration to FILE (`-`: standard output): the running one with its active shard frozen and
    /// the next shard active
    #[arg(long, value_name = "FILE", conflicts_with = "use_config", value_hint = ValueHint::FilePath)]
    pub(crate) create_config: Option<PathBuf>,
    /// Validate FILE (`-`: standard input), show the difference to what runs, confirm, apply, and wait until every
    /// replica runs it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) use_config: Option<PathBuf>,
    /// With --create-config: overwrite FILE
    #[arg(long)]
    pub(crate) force: bool,
    /// With --create-config: write the first configuration of a new log with this origin; needs no server, but --log
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// With --use-config: stop after showing the difference
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --create-config: make the first configuration of a new log from another system's list of
    /// shards: rekor:FILE, rekor:URL; needs --log
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: Option<String>,
    /// With --use-config: take the change back by itself unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
    pub(crate) confirm_within: Option<Duration>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// One step at a time.
    #[command(subcommand)]
    pub(crate) command: Option<ShardCommand>,
}

/// One step.
#[derive(Debug, Subcommand)]
pub(crate) enum ShardCommand {
    /// List all shards, oldest first
    #[command(after_help = "Example:
  logctl shard list")]
    List,
    /// Show one shard: origin, key, length, root
    #[command(after_help = "Example:
  logctl shard show 2026a")]
    Show {
        /// The shard
        #[arg(add = ArgValueCompleter::new(complete::shards))]
        name: String,
    },
    /// Give the next shard its origin and key, to open at a later rotation
    #[command(after_help = "Example:
  logctl shard plan --yes")]
    Plan {
        /// Name of the shard; by the configured template when absent
        name: Option<String>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a planned shard back: it never opens. Planned again, it has the same origin and key
    #[command(after_help = "Example:
  logctl shard unplan 2026c --yes")]
    Unplan {
        /// The planned shard
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: String,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the active shard and open the next one, in one step
    ///
    /// Where the configuration has a policy of witnesses, enough of them must know the shard that opens: plan it first, give its
    /// key to their operators, then rotate.
    #[command(after_help = "Examples:
  logctl shard rotate --yes
  logctl shard rotate 2026c --force --yes     # although too few witnesses or secondaries know it yet")]
    Rotate {
        /// Shard to open: a planned one or a new name; the oldest planned one when absent
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: Option<String>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Open the shard although too few witnesses or secondaries know it: nothing of it is published until they do
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the whole log: it takes no writes until it is unfrozen; the same as `log freeze`
    ///
    /// A shard is frozen for good, and the next one opened, by `shard rotate`.
    #[command(after_help = "Example:
  logctl shard freeze --yes")]
    Freeze {
        /// Do not wait for promised work
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let the frozen log take writes again, in the same shard; the same as `log unfreeze`
    #[command(after_help = "Example:
  logctl shard unfreeze --yes")]
    Unfreeze {
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Audit shards from the outside: tiles, roots, checkpoints, seals, global index
    #[command(after_help = "Example:
  logctl shard verify
  logctl shard verify 2026a --url https://log.example.org")]
    Verify(VerifyArgs),
    /// Print the shards in another system's form
    #[command(after_help = "Example:
  logctl shard export --format rekor > sharding.yaml")]
    Export {
        /// The form: rekor is the list that Rekor's --trillian_log_server.sharding_config reads
        #[arg(long, value_name = "FORMAT", value_enum)]
        format: ExportFormat,
    },
}

/// Other systems whose list of shards can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Sharding configuration of Rekor: inactive shards, oldest first
    Rekor,
}

/// `logctl shard verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Shards to verify; all when absent
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::shards))]
    pub(crate) names: Vec<String>,
    /// Where readers reach the log, instead of the context's `url`
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) url: Option<String>,
}

impl ShardArgs {
    /// Flags and subcommands exclude each other, and some flags need another; global options may stand anywhere.
    pub(super) fn check(&self, global: &Global) -> Result<(), clap::Error> {
        let flag = match (&self.create_config, &self.use_config) {
            (Some(_), _) => Some("--create-config <FILE>"),
            (_, Some(_)) => Some("--use-config <FILE>"),
            _ => None,
        };
        if let (Some(flag), Some(command)) = (flag, &self.command) {
            return Err(conflict(flag, command.name()));
        }
        let create = (self.create_config.is_some(), "--create-config <FILE>");
        let using = (self.use_config.is_some(), "--use-config <FILE>");
        // A flag that is silently without effect is worst where it is `--dry-run`.
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
}

impl ShardCommand {
    /// How to ask for the change, where it is one.
    pub(super) fn change(&self) -> Option<&ChangeArgs> {
        match self {
            Self::Plan { change, .. }
            | Self::Unplan { change, .. }
            | Self::Rotate { change, .. }
            | Self::Freeze { change, .. }
            | Self::Unfreeze { change } => Some(change),
            Self::List | Self::Show { .. } | Self::Verify(_) | Self::Export { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show { .. } => "show",
            Self::Plan { .. } => "plan",
            Self::Unplan { .. } => "unplan",
            Self::Rotate { .. } => "rotate",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
            Self::Verify(_) => "verify",
            Self::Export { .. } => "export",
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
