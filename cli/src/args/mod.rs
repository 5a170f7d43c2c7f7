//! What can be typed: clap structures, and nothing else. [`crate::request`] turns them into values that know nothing of
//! clap, so no run function can depend on how something was spelled.
//!
//! What must never happen: two spellings of one thing that behave differently. `shard --use-config` and `shard rotate`
//! become requests of one kind and take one path from there.

mod api;
mod audit;
mod change;
mod config;
mod context;
mod log;
mod merge;
mod op;
mod output;
mod qos;
mod receipt;
mod shard;
mod token;

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

pub(crate) use api::ApiArgs;
pub(crate) use audit::AuditCommand;
pub(crate) use change::ChangeArgs;
pub(crate) use config::{ConfigCommand, Generations};
pub(crate) use context::ContextCommand;
pub(crate) use log::LogCommand;
pub(crate) use merge::MergeCommand;
pub(crate) use op::OpCommand;
pub(crate) use output::Output;
pub use output::OutputForm;
pub(crate) use qos::{How, QosCommand, QosSet, TenantArgs, TierArgs};
pub(crate) use receipt::ReceiptCommand;
pub(crate) use shard::{ExportFormat, ShardArgs, ShardCommand};
pub(crate) use token::TokenCommand;

use crate::commands::import::ImportArgs;
use crate::complete;
use crate::settings::Overrides;

/// Changes a running transparency log: shards, configuration, operations.
#[derive(Debug, Parser)]
#[command(
    name = "logctl",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:
  logctl status
  logctl shard --create-config next.yaml
  logctl shard --use-config next.yaml
  logctl shard rotate --yes"
)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the server is.
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// How long to wait for the server and for its replicas: 500ms, 60s, 5m
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
    /// Answer yes to every question; a protected context wants --confirm
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
    /// Answer yes if NAME is the context in use; refuse otherwise
    #[arg(add = ArgValueCompleter::new(complete::contexts), long, global = true, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Form of the result on standard output; for `config plan` also a file: plan.json
    #[arg(long, short = 'o', global = true, value_name = "FORM", value_parser = output::OutputParser, default_value = "table")]
    pub(crate) output: Output,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorWhen::Auto)]
    pub(crate) color: ColorWhen,
    /// Say which permissions the command needs, and whether you have them, instead of running it
    #[arg(long, global = true)]
    pub(crate) explain_auth: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show, rotate, freeze and verify the shards of a log
    Shard(ShardArgs),
    /// Show what every log is doing
    #[command(after_help = "Example:
  logctl status -o json")]
    Status,
    /// Check, compare and follow configuration documents
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl config diff next.yaml"
    )]
    Config(ConfigCommand),
    /// List, change and try out tiers and tenants: what writers are promised, and who comes first
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl qos set tier interactive --weight 4"
    )]
    Qos(QosCommand),
    /// How far the merge is: storage nodes, secondaries, frontends, witnesses
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl merge status"
    )]
    Merge(MergeCommand),
    /// List changes and wait for them
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl op list"
    )]
    Op(OpCommand),
    /// List, create and delete logs
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl log list"
    )]
    Log(LogCommand),
    /// Make, list and revoke bearer tokens
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl token create ci --scope shard:rotate:argon --expires 30d --out ci.token"
    )]
    Token(TokenCommand),
    /// List and verify the trail of what operators did
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl audit verify"
    )]
    Audit(AuditCommand),
    /// Check what a log promised, and whether it kept that
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl receipt verify entry.receipt"
    )]
    Receipt(ReceiptCommand),
    /// Check this side, the way to the server, and the server; each finding comes with its remedy
    #[command(after_help = "Example:
  logctl doctor")]
    Doctor,
    /// Write a file of entries into a log, as fast as the log takes them
    ///
    /// The entries become leaves in the order of the file, in ranges: other writers' entries may stand between them, and the
    /// result says where they are. A broken connection or a server that restarts is waited for, and nothing is written
    /// twice. --resume continues an import that ended early, with the same file.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// The older form of `logctl import`
    #[command(
        subcommand,
        hide = true,
        arg_required_else_help = true,
        after_help = "Example:
  logctl import entries.txt"
    )]
    Load(LoadCommand),
    /// Show what a log is doing, live: shards, watermarks, queues
    #[command(after_help = "Example:
  logctl top --log argon")]
    Top {
        /// How often to look
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
        interval: Duration,
    },
    /// Show who you are to the server, and what you may do
    #[command(after_help = "Example:
  logctl whoami")]
    Whoami,
    /// Print the versions of logctl and of the server
    #[command(after_help = "Example:
  logctl version -o json")]
    Version,
    /// Send one request to the admin endpoint, and print the answer
    Api(ApiArgs),
    /// Name the servers to work on, choose one, show what is in effect
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl context set prod admin=https://log.example.org:7071 token_file=prod.token protected=true"
    )]
    Context(ContextCommand),
    /// Print the completion script of a shell, which offers live names of shards, logs, operations and contexts
    #[command(after_help = "Examples:
  source <(logctl completions bash)             # in ~/.bashrc
  source <(logctl completions zsh)              # in ~/.zshrc
  logctl completions fish | source              # in ~/.config/fish/config.fish
  logctl completions bash --static > /usr/share/bash-completion/completions/logctl")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: ShellName,
        /// Print the script that offers commands and options only, for files that outlive this version
        #[arg(long = "static")]
        fixed: bool,
    },
    /// Print the help of a command
    #[command(after_help = "Example:
  logctl help shard rotate")]
    Help {
        /// The command; logctl itself when absent
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Print a manual page
    #[command(after_help = "Example:
  logctl man shard rotate | man -l -")]
    Man {
        /// The command whose page to print; logctl's own when absent
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

const IMPORT_EXAMPLES: &str = "Examples:
  logctl import entries.txt
  zcat Packages.gz | logctl import - --priority 6 --log debian
  logctl import entries.bundle --format bundle --resume 9f86d081884c7d659a2feaa0c55ad015";

/// What is left of `logctl load`; the load generator is a program of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// The older name of `logctl import`
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
}

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellName {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// Parses a command line. Clap's own error carries help and version too.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(args)?;
    let mut cli =
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    cli.check()?;
    cli.global.overrides.note_environment(&matches);
    Ok(cli)
}

impl Command {
    /// How to ask for the change, where it is one.
    pub(crate) fn change(&self) -> Option<&ChangeArgs> {
        match self {
            Self::Shard(args) => match &args.command {
                Some(command) => command.change(),
                None => Some(&args.change),
            },
            Self::Config(
                ConfigCommand::Apply { change, .. }
                | ConfigCommand::Edit { change, .. }
                | ConfigCommand::Rollback { change, .. },
            )
            | Self::Op(OpCommand::Confirm { change, .. })
            | Self::Log(
                LogCommand::Create { change, .. }
                | LogCommand::Delete { change, .. }
                | LogCommand::Freeze { change, .. }
                | LogCommand::Unfreeze { change, .. }
                | LogCommand::Undelete { change, .. },
            )
            | Self::Token(TokenCommand::Create { change, .. })
            | Self::Api(ApiArgs { change, .. })
            | Self::Qos(
                QosCommand::Set(QosSet::Tier(TierArgs { change, .. }))
                | QosCommand::Set(QosSet::Tenant(TenantArgs { change, .. })),
            ) => Some(change),
            _ => None,
        }
    }
}

impl Cli {
    /// Rules that clap's attributes cannot say without also refusing global options before a subcommand.
    fn check(&self) -> Result<(), clap::Error> {
        output::check(&self.global.output, &self.command)?;
        match &self.command {
            Command::Shard(shard) => shard.check(&self.global),
            _ => Ok(()),
        }
    }
}

/// The form that a command line asks for which clap may have refused: even then, standard output holds one document.
pub fn wanted_form(args: &[OsString]) -> OutputForm {
    let mut form = None;
    let mut words = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let value = match word.as_ref() {
            "-o" | "--output" => words.next().map(|value| value.into_owned()),
            other => other
                .strip_prefix("--output=")
                .or_else(|| other.strip_prefix("-o="))
                .or_else(|| {
                    other
                        .strip_prefix("-o")
                        .filter(|_| !other.starts_with("--"))
                })
                .map(str::to_owned),
        };
        if let Some(value) = value {
            form = Some(value);
        }
    }
    form.and_then(|form| OutputForm::from_str(&form, false).ok())
        .unwrap_or_default()
}

/// More than zero, at most a day.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse_between(
        text,
        Duration::from_millis(1),
        DAY,
        "more than 0 and at most 24h",
    )
}

/// What a server accepts as the time for a confirmation.
fn parse_confirm_within(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_secs(1), DAY, "from 1s to 24h")
}

/// How often `top` looks.
fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_between(
        text,
        Duration::from_millis(100),
        Duration::from_secs(3600),
        "from 100ms to 1h",
    )
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A length of time within bounds, which `bounds` says in words.
pub fn parse_between(
    text: &str,
    least: Duration,
    most: Duration,
    bounds: &str,
) -> Result<Duration, String> {
    let span: ::logconfig::Span = text
        .parse()
        .map_err(|error: ::logconfig::SpanError| error.to_string())?;
    if (least..=most).contains(&span.duration()) {
        Ok(span.duration())
    } else {
        Err(format!("must be {bounds}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn json_is_noticed_in_every_spelling() {
        for line in [
            "logctl -o json x",
            "logctl x --output=json",
            "logctl -ojson",
            "logctl -o=json",
            "logctl x -o table -o json",
        ] {
            assert_eq!(wanted_form(&words(line)), OutputForm::Json, "{line}");
        }
        assert_eq!(wanted_form(&words("logctl -o jsonl")), OutputForm::Jsonl);
        for line in [
            "logctl x",
            "logctl -o table",
            "logctl -- -o json",
            "logctl -o",
            "logctl --origin json",
        ] {
            assert_eq!(wanted_form(&words(line)), OutputForm::Table, "{line}");
        }
    }

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_timeout("5m"), Ok(Duration::from_secs(300)));
        for wrong in [
            "",
            "s",
            "60",
            "-1s",
            "1.5s",
            "0s",
            "25h",
            "18446744073709551615h",
            "3 s",
        ] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
    }
}
