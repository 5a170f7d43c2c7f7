//! The command line: [`Cli`], the options of every command and the table of commands. The arguments of each command are beside the command,
//! in [`crate::commands`], and are its request: nothing translates them.
//!
//! What must never happen: two spellings of one thing behave differently.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::commands::api::ApiArgs;
use crate::commands::audit::AuditCommand;
use crate::commands::change::ChangeArgs;
use crate::commands::config::{ApplyArgs, ConfigCommand, EditArgs, RollbackArgs};
use crate::commands::context::ContextCommand;
use crate::commands::import::ImportArgs;
use crate::commands::import_rekor::{ImportSource, RekorArgs};
use crate::commands::log::LogCommand;
use crate::commands::merge::MergeCommand;
use crate::commands::op::OpCommand;
use crate::commands::pages::{CompletionsArgs, HelpArgs, ManArgs};
use crate::commands::qos::{QosCommand, QosSet, TenantArgs, TierArgs};
use crate::commands::receipt::ReceiptCommand;
use crate::commands::shard::ShardArgs;
use crate::commands::token::{CreateArgs, TokenCommand};
use crate::commands::top::TopArgs;
use crate::manner::{Form, Manner, Output};
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
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The command as it is typed, for progress and hints.
    #[arg(skip)]
    pub(crate) spelled: String,
}

/// Options that every command has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server's address and credentials.
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// How long to wait for the server and for its replicas: 500ms, 60s, 5m
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) manner: Manner,
    /// Say which permissions the command needs, and whether you have them, instead of running it
    #[arg(long, global = true)]
    pub(crate) explain_auth: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show, rotate, freeze and verify the shards of a log
    Shard(ShardArgs),
    /// Show the state of every log
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
    /// List, change and simulate tiers and tenants: what each writer is promised, and its share
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl qos set tier interactive --weight 4"
    )]
    Qos(QosCommand),
    /// Show the progress of the merge on storage nodes, secondaries, frontends and witnesses
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
    /// Create, list and revoke bearer tokens
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl token create ci --scope shard:rotate:argon --expires 30d --out ci.token"
    )]
    Token(TokenCommand),
    /// List and verify the audit trail: the record of each change
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl audit verify"
    )]
    Audit(AuditCommand),
    /// Check a receipt, and whether the log kept its promise
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl receipt verify entry.receipt"
    )]
    Receipt(ReceiptCommand),
    /// Check this machine, the connection and the server; each finding names its remedy
    #[command(after_help = "Example:
  logctl doctor")]
    Doctor,
    /// Write a file of entries into a log, as fast as the log takes them
    ///
    /// The entries become leaves in the order of the file, in ranges: other writers' entries may stand between them, and the
    /// result says where they are. logctl waits while the connection is broken or the server restarts, and writes nothing
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
    /// Show the state of a log, live: shards, watermarks, queues
    #[command(after_help = "Example:
  logctl top --log argon")]
    Top(TopArgs),
    /// Show your name on the server, and your permissions
    #[command(after_help = "Example:
  logctl whoami")]
    Whoami,
    /// Print the versions of logctl and of the server
    #[command(after_help = "Example:
  logctl version -o json")]
    Version,
    /// Send one request to the admin endpoint, and print the answer
    Api(ApiArgs),
    /// Manage contexts (named servers), and show the settings in effect
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:
  logctl context set prod admin=https://log.example.org:7071 token_file=prod.token protected=true"
    )]
    Context(ContextCommand),
    /// Print the completion script of a shell; it completes the names of shards, logs, operations and contexts
    #[command(after_help = "Examples:
  source <(logctl completions bash)             # in ~/.bashrc
  source <(logctl completions zsh)              # in ~/.zshrc
  logctl completions fish | source              # in ~/.config/fish/config.fish
  logctl completions bash --static > /usr/share/bash-completion/completions/logctl")]
    Completions(CompletionsArgs),
    /// Print the help of a command
    #[command(after_help = "Example:
  logctl help shard rotate")]
    Help(HelpArgs),
    /// Print a manual page
    #[command(after_help = "Example:
  logctl man shard rotate | man -l -")]
    Man(ManArgs),
}

const IMPORT_EXAMPLES: &str = "Examples:
  logctl import entries.txt
  zcat Packages.gz | logctl import - --priority 6 --log debian
  logctl import entries.bundle --format bundle --resume 9f86d081884c7d659a2feaa0c55ad015";

/// `logctl load`, of which one command is left; the load generator is a program of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// The older name of `logctl import`
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
}

/// Parses a command line. Clap's own error carries help and version too.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = Cli::command()
        .try_get_matches_from(&args)
        .map_err(|error| without_environment(error, &args))?;
    let mut cli =
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    check_output(&cli.global.manner.output, &mut cli.command)?;
    if let Command::Shard(shard) = &cli.command {
        shard.check(&cli.global)?;
    }
    cli.global.overrides.note_environment(&matches);
    cli.spelled = spelled(&matches, &cli.command);
    Ok(cli)
}

/// The same refusal with a usage line that shows no option as required because the environment gives it.
fn without_environment(error: clap::Error, args: &[OsString]) -> clap::Error {
    // A help text names the variables.
    let shows_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if shows_help {
        return error;
    }
    let plain = Cli::command().mut_args(|arg| arg.env(None::<&'static str>));
    match plain.try_get_matches_from(args) {
        Err(plain) if plain.kind() == error.kind() => plain,
        _ => error,
    }
}

/// `logctl shard rotate`, `logctl shard --use-config`.
fn spelled(matches: &ArgMatches, command: &Command) -> String {
    let mut words = vec!["logctl"];
    let mut inner = matches.subcommand();
    while let Some((name, matches)) = inner {
        words.push(name);
        inner = matches.subcommand();
    }
    if let Command::Shard(shard) = command {
        words.extend(shard.flag());
    }
    words.join(" ")
}

impl Command {
    /// The options for a change, if the command makes one.
    pub(crate) fn change(&self) -> ChangeArgs {
        let change = match self {
            Self::Shard(args) => args.change(),
            Self::Config(
                ConfigCommand::Apply(ApplyArgs { change, .. })
                | ConfigCommand::Edit(EditArgs { change, .. })
                | ConfigCommand::Rollback(RollbackArgs { change, .. }),
            )
            | Self::Op(OpCommand::Confirm { change, .. })
            | Self::Log(
                LogCommand::Create { change, .. }
                | LogCommand::Delete { change, .. }
                | LogCommand::Freeze { change, .. }
                | LogCommand::Unfreeze { change, .. }
                | LogCommand::Undelete { change, .. },
            )
            | Self::Token(TokenCommand::Create(CreateArgs { change, .. }))
            | Self::Api(ApiArgs { change, .. })
            | Self::Import(ImportArgs {
                source: Some(ImportSource::Rekor(RekorArgs { change, .. })),
                ..
            })
            | Self::Qos(QosCommand::Set(
                QosSet::Tier(TierArgs { change, .. }) | QosSet::Tenant(TenantArgs { change, .. }),
            )) => Some(change),
            Self::Token(TokenCommand::Revoke { reason, .. }) => {
                return ChangeArgs {
                    reason: reason.clone(),
                    idempotency_key: None,
                };
            }
            _ => None,
        };
        change.cloned().unwrap_or_default()
    }

    /// Whether the command handles Ctrl-C itself: it ends in good order and shows its result so far.
    pub(crate) fn ends_itself(&self) -> bool {
        matches!(self, Self::Top(_))
    }

    /// The log that the command's own arguments name.
    pub(crate) fn log_by_name(&self) -> Option<String> {
        match self {
            Self::Log(LogCommand::Freeze { name, .. } | LogCommand::Unfreeze { name, .. }) => {
                name.clone()
            }
            Self::Log(LogCommand::Delete { name, .. } | LogCommand::Undelete { name, .. }) => {
                Some(name.clone())
            }
            _ => None,
        }
    }
}

/// `-o FILE` is for `config plan` only, which gets the file's name here.
fn check_output(output: &Output, command: &mut Command) -> Result<(), clap::Error> {
    let Output::File(path) = output else {
        return Ok(());
    };
    if let Command::Config(ConfigCommand::Plan(args)) = command {
        args.out = Some(path.clone());
        return Ok(());
    }
    let forms = Form::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
        .map(|form| form.get_name().to_owned());
    let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(&Cli::command());
    for (kind, value) in [
        (
            ContextKind::InvalidArg,
            ContextValue::String("--output <FORM>".into()),
        ),
        (
            ContextKind::InvalidValue,
            ContextValue::String(path.display().to_string()),
        ),
        (
            ContextKind::ValidValue,
            ContextValue::Strings(forms.collect()),
        ),
    ] {
        error.insert(kind, value);
    }
    Err(error)
}

/// The form that a command line asks for, even one that clap refuses: standard output holds one document then, too.
pub fn wanted_form(args: &[OsString]) -> Form {
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
    form.and_then(|form| Form::from_str(&form, false).ok())
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

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

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
            assert_eq!(wanted_form(&words(line)), Form::Json, "{line}");
        }
        assert_eq!(wanted_form(&words("logctl -o jsonl")), Form::Jsonl);
        for line in [
            "logctl x",
            "logctl -o table",
            "logctl -- -o json",
            "logctl -o",
            "logctl --origin json",
        ] {
            assert_eq!(wanted_form(&words(line)), Form::Table, "{line}");
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
