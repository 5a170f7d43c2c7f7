//! What is to be done, as plain values: the middle of args → request → run → report → render.
//!
//! What must never happen: a clap type past this module.

mod api;
mod audit;
mod context;
mod log;
mod qos;
mod receipt;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use api::ApiRequest;
pub(crate) use audit::AuditRequest;
pub(crate) use context::ContextRequest;
pub(crate) use log::LogRequest;
pub(crate) use qos::{AddToken, QosEdit, QosRequest, TenantEdit, TierEdit};
pub(crate) use receipt::ReceiptRequest;
pub(crate) use token::TokenRequest;

use crate::args::{
    Cli, ColorWhen, Command, ConfigCommand, ExportFormat, Generations, LoadCommand, MergeCommand,
    OpCommand, Output, OutputForm, ShardArgs, ShardCommand, ShellName, TokenCommand,
};
use crate::commands::import::ImportArgs;
use crate::settings::Overrides;

/// A resolved command line.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// What was said about contexts and addresses; read only by commands that talk to a server.
    pub(crate) overrides: Overrides,
    /// How to talk to the person or the script.
    pub(crate) manner: Manner,
    /// For the server's answers, and again for its replicas.
    pub(crate) timeout: Duration,
    /// Whether to say what the work needs instead of doing it.
    pub(crate) explain: bool,
    /// What is said about the change, if it is one.
    pub(crate) note: Note,
    /// The request that the command line makes.
    pub(crate) request: Request,
}

/// What is said about a change, whatever it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// The idempotency key to use; a fresh one, or that of the same request before, when absent.
    pub(crate) key: Option<String>,
    /// Why it is made, for the audit trail and the history.
    pub(crate) reason: Option<String>,
}

/// How to talk to the person or the script.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// What stands on standard output.
    pub form: Form,
    /// `Some`: decided by a flag.
    pub color: Option<bool>,
    /// Every question is answered yes.
    pub yes: bool,
    /// Every question is answered yes, if this is the context in use.
    pub confirm: Option<String>,
    /// Ask no questions.
    pub no_input: bool,
}

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A page for people.
    #[default]
    Table,
    /// One document.
    Json,
    /// One document a line.
    JsonLines,
    /// One name a line.
    Names,
}

impl From<OutputForm> for Form {
    fn from(form: OutputForm) -> Self {
        match form {
            OutputForm::Table => Self::Table,
            OutputForm::Json => Self::Json,
            OutputForm::Jsonl => Self::JsonLines,
            OutputForm::Name => Self::Names,
        }
    }
}

impl From<ColorWhen> for Option<bool> {
    fn from(when: ColorWhen) -> Self {
        match when {
            ColorWhen::Auto => None,
            ColorWhen::Always => Some(true),
            ColorWhen::Never => Some(false),
        }
    }
}

/// What the command line asks for, without how to show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `shard --create-config`.
    CreateConfig {
        /// Where the document goes.
        file: File,
        /// Overwrite without asking.
        force: bool,
        /// A new log, without a server.
        offline: Option<NewLog>,
    },
    /// `shard --create-config --from`.
    ImportConfig {
        /// Where the document goes.
        file: File,
        /// Overwrite without asking.
        force: bool,
        log: NewLog,
        /// `rekor:FILE` or `rekor:URL`, as typed.
        from: String,
    },
    /// `shard --use-config`.
    UseConfig {
        /// Where the document is.
        file: File,
        /// Stop after showing the difference.
        dry_run: bool,
        /// On probation for so long.
        confirm_within: Option<Duration>,
    },
    ShardList,
    ShardShow {
        /// The shard to show.
        name: String,
    },
    /// `shard plan|rotate|freeze|unfreeze`.
    Step(Step),
    ShardVerify {
        /// Shards; all when empty.
        names: Vec<String>,
        /// Where readers reach the log.
        url: Option<String>,
    },
    ShardExport(Export),
    Status,
    ConfigDiff {
        /// Where the document is.
        file: File,
        /// A difference is an exit code.
        exit_code: bool,
    },
    /// `config diff --generation`.
    ConfigCompare {
        /// From this generation.
        from: u64,
        /// To this one; the running one when absent.
        to: Option<u64>,
        /// A difference is an exit code.
        exit_code: bool,
    },
    ConfigEdit {
        /// Only a preview.
        dry_run: bool,
        /// On probation for so long.
        confirm_within: Option<Duration>,
    },
    ConfigValidate {
        /// Where the document is.
        file: File,
    },
    ConfigPlan {
        /// Where the document is.
        file: File,
        /// Where the plan goes; standard output when absent.
        out: Option<PathBuf>,
    },
    ConfigApply {
        /// Where the plan is.
        file: File,
        /// On probation for so long.
        confirm_within: Option<Duration>,
    },
    ConfigRollback {
        /// To this generation; the one before the running one when absent.
        generation: Option<u64>,
        /// Only a preview.
        dry_run: bool,
        /// On probation for so long.
        confirm_within: Option<Duration>,
    },
    ConfigShow {
        /// Of this generation; the running one when absent.
        generation: Option<u64>,
    },
    ConfigHistory {
        /// From then on, seconds since 1970.
        since: Option<i64>,
        /// Changes before this time, seconds since the Unix epoch.
        until: Option<i64>,
        /// Changes by this actor.
        by: Option<String>,
    },
    ConfigSchema,
    Qos(QosRequest),
    MergeStatus,
    OpList,
    OpShow {
        /// The operation's id, or its first digits.
        id: String,
    },
    OpWait {
        /// The operation's id, or its first digits.
        id: String,
    },
    OpWatch {
        /// The operation's id, or its first digits.
        id: String,
    },
    OpConfirm {
        /// The operation's id, or its first digits.
        id: String,
    },
    Log(LogRequest),
    Top {
        /// How often to look.
        interval: Duration,
    },
    Import(ImportArgs),
    Token(TokenRequest),
    Audit(AuditRequest),
    Receipt(ReceiptRequest),
    Api(ApiRequest),
    Doctor,
    Context(ContextRequest),
    Completions {
        /// For which shell.
        shell: Shell,
        /// The script that offers the words of the commands only, and does not ask the program.
        fixed: bool,
    },
    WhoAmI,
    Version,
    Help {
        /// The words after `logctl`.
        command: Vec<String>,
    },
    Man {
        /// The words after `logctl`.
        command: Vec<String>,
    },
}

/// Another system's form of the list of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Export {
    /// Rekor's sharding configuration.
    Rekor,
}

/// A change that needs no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Plan {
        /// Its name; by the template when absent.
        name: Option<String>,
        /// Only a preview.
        dry_run: bool,
    },
    /// Take a planned shard back.
    Unplan {
        /// The planned shard to take back.
        name: String,
        /// Only a preview.
        dry_run: bool,
    },
    /// Freeze the active shard, open the next.
    Rotate {
        /// The shard to open.
        name: Option<String>,
        /// Only a preview.
        dry_run: bool,
        /// Although too few witnesses or secondaries know it.
        force: bool,
    },
    Freeze {
        /// Skip the wait for promised work.
        now: bool,
    },
    /// Open the log again.
    Unfreeze,
}

/// A new log that no server knows yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewLog {
    /// The new log's name.
    pub(crate) log: String,
    /// Its checkpoint origin.
    pub(crate) origin: String,
}

/// A file, or the standard stream that `-` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Standard input or output.
    Standard,
    /// A file at this path.
    Path(PathBuf),
}

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl From<PathBuf> for File {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" {
            Self::Standard
        } else {
            Self::Path(path)
        }
    }
}

impl From<OsString> for File {
    fn from(path: OsString) -> Self {
        PathBuf::from(path).into()
    }
}

impl Note {
    fn of(command: &Command) -> Self {
        if let Command::Token(TokenCommand::Revoke { reason, .. }) = command {
            return Self {
                key: None,
                reason: reason.clone(),
            };
        }
        let args = command.change().cloned().unwrap_or_default();
        Self {
            key: args.idempotency_key,
            reason: args.reason,
        }
    }
}

impl From<Cli> for Invocation {
    fn from(cli: Cli) -> Self {
        let global = cli.global;
        let offline_log = global.overrides.log.clone();
        Self {
            overrides: global.overrides,
            manner: Manner {
                form: global.output.form().into(),
                color: global.color.into(),
                yes: global.yes,
                confirm: global.confirm,
                no_input: global.no_input,
            },
            timeout: global.timeout,
            explain: global.explain_auth,
            note: Note::of(&cli.command),
            request: request(cli.command, offline_log, file(global.output)),
        }
    }
}

fn file(output: Output) -> Option<PathBuf> {
    match output {
        Output::File(path) => Some(path),
        Output::Form(_) => None,
    }
}

fn request(command: Command, log: Option<String>, out: Option<PathBuf>) -> Request {
    match command {
        Command::Shard(args) => shard(args, log),
        Command::Status => Request::Status,
        Command::Config(ConfigCommand::Diff {
            generation: Some(Generations { from, to }),
            exit_code,
            ..
        }) => Request::ConfigCompare {
            from,
            to,
            exit_code,
        },
        Command::Config(ConfigCommand::Diff {
            file, exit_code, ..
        }) => Request::ConfigDiff {
            // Clap asks for one of the two; standard input is the harmless reading.
            file: file.map_or(File::Standard, File::from),
            exit_code,
        },
        Command::Config(ConfigCommand::Edit {
            dry_run,
            confirm_within,
            ..
        }) => Request::ConfigEdit {
            dry_run,
            confirm_within,
        },
        Command::Config(ConfigCommand::Validate { file }) => {
            Request::ConfigValidate { file: file.into() }
        }
        Command::Config(ConfigCommand::Plan { file }) => Request::ConfigPlan {
            file: file.into(),
            out,
        },
        Command::Config(ConfigCommand::Apply {
            file,
            confirm_within,
            ..
        }) => Request::ConfigApply {
            file: file.into(),
            confirm_within,
        },
        Command::Config(ConfigCommand::Rollback {
            generation,
            dry_run,
            confirm_within,
            ..
        }) => Request::ConfigRollback {
            generation,
            dry_run,
            confirm_within,
        },
        Command::Config(ConfigCommand::Show { generation }) => Request::ConfigShow { generation },
        Command::Config(ConfigCommand::History { since, until, by }) => {
            Request::ConfigHistory { since, until, by }
        }
        Command::Config(ConfigCommand::Schema) => Request::ConfigSchema,
        Command::Qos(command) => Request::Qos(command.into()),
        Command::Merge(MergeCommand::Status) => Request::MergeStatus,
        Command::Op(OpCommand::List) => Request::OpList,
        Command::Op(OpCommand::Show { id }) => Request::OpShow { id },
        Command::Op(OpCommand::Wait { id }) => Request::OpWait { id },
        Command::Op(OpCommand::Watch { id }) => Request::OpWatch { id },
        Command::Op(OpCommand::Confirm { id, .. }) => Request::OpConfirm { id },
        Command::Log(command) => Request::Log(command.into()),
        Command::Top { interval } => Request::Top { interval },
        Command::Import(args) | Command::Load(LoadCommand::Import(args)) => Request::Import(args),
        Command::Token(command) => Request::Token(command.into()),
        Command::Audit(command) => Request::Audit(command.into()),
        Command::Receipt(command) => Request::Receipt(command.into()),
        Command::Doctor => Request::Doctor,
        Command::Api(args) => Request::Api(ApiRequest {
            method: args.method.to_uppercase(),
            path: args.path,
            body: args.body.map(File::from),
            if_match: args.if_match,
        }),
        Command::Context(command) => Request::Context(command.into()),
        Command::Completions { shell, fixed } => Request::Completions {
            shell: match shell {
                ShellName::Bash => Shell::Bash,
                ShellName::Zsh => Shell::Zsh,
                ShellName::Fish => Shell::Fish,
            },
            fixed,
        },
        Command::Whoami => Request::WhoAmI,
        Command::Version => Request::Version,
        Command::Help { command } => Request::Help { command },
        Command::Man { command } => Request::Man { command },
    }
}

fn shard(args: ShardArgs, log: Option<String>) -> Request {
    let ShardArgs {
        create_config,
        use_config,
        force,
        origin,
        dry_run,
        from,
        confirm_within,
        command,
        change: _,
    } = args;
    if let Some(file) = create_config {
        if let Some((from, log)) = from.zip(log.clone()) {
            // Without one, the log's name is its origin.
            let origin = origin.unwrap_or_else(|| log.clone());
            return Request::ImportConfig {
                file: file.into(),
                force,
                log: NewLog { log, origin },
                from,
            };
        }
        let offline = origin.zip(log).map(|(origin, log)| NewLog { log, origin });
        return Request::CreateConfig {
            file: file.into(),
            force,
            offline,
        };
    }
    if let Some(file) = use_config {
        return Request::UseConfig {
            file: file.into(),
            dry_run,
            confirm_within,
        };
    }
    match command {
        Some(ShardCommand::Show { name }) => Request::ShardShow { name },
        Some(ShardCommand::Plan { name, dry_run, .. }) => {
            Request::Step(Step::Plan { name, dry_run })
        }
        Some(ShardCommand::Unplan { name, dry_run, .. }) => {
            Request::Step(Step::Unplan { name, dry_run })
        }
        Some(ShardCommand::Rotate {
            name,
            dry_run,
            force,
            ..
        }) => Request::Step(Step::Rotate {
            name,
            dry_run,
            force,
        }),
        Some(ShardCommand::Freeze { now, .. }) => Request::Step(Step::Freeze { now }),
        Some(ShardCommand::Unfreeze { .. }) => Request::Step(Step::Unfreeze),
        Some(ShardCommand::Verify(verify)) => Request::ShardVerify {
            names: verify.names,
            url: verify.url,
        },
        Some(ShardCommand::Export {
            format: ExportFormat::Rekor,
        }) => Request::ShardExport(Export::Rekor),
        // `ShardArgs::check` refuses neither flag nor command; a list is the harmless reading.
        Some(ShardCommand::List) | None => Request::ShardList,
    }
}

impl Request {
    /// Whether Ctrl-C is for the command itself: it ends in good order and shows what it has.
    pub(crate) fn ends_itself(&self) -> bool {
        matches!(self, Self::Top { .. })
    }

    /// The log that the command's own words name.
    pub(crate) fn log_by_name(&self) -> Option<String> {
        match self {
            Self::Log(LogRequest::Freeze { name, .. } | LogRequest::Unfreeze { name, .. }) => {
                name.clone()
            }
            Self::Log(LogRequest::Delete { name } | LogRequest::Undelete { name }) => {
                Some(name.clone())
            }
            _ => None,
        }
    }

    /// The command, as a person would say it: for progress and hints.
    pub(crate) fn spelled(&self) -> String {
        match self {
            Self::CreateConfig { .. } | Self::ImportConfig { .. } => {
                "logctl shard --create-config".into()
            }
            Self::UseConfig { .. } => "logctl shard --use-config".into(),
            Self::ShardList => "logctl shard list".into(),
            Self::ShardShow { .. } => "logctl shard show".into(),
            Self::Step(step) => format!("logctl shard {}", step.verb()),
            Self::ShardVerify { .. } => "logctl shard verify".into(),
            Self::ShardExport(_) => "logctl shard export".into(),
            Self::Status => "logctl status".into(),
            Self::ConfigDiff { .. } => "logctl config diff".into(),
            Self::ConfigCompare { .. } => "logctl config diff".into(),
            Self::ConfigEdit { .. } => "logctl config edit".into(),
            Self::ConfigValidate { .. } => "logctl config validate".into(),
            Self::ConfigPlan { .. } => "logctl config plan".into(),
            Self::ConfigApply { .. } => "logctl config apply".into(),
            Self::ConfigRollback { .. } => "logctl config rollback".into(),
            Self::ConfigShow { .. } => "logctl config show".into(),
            Self::ConfigHistory { .. } => "logctl config history".into(),
            Self::ConfigSchema => "logctl config schema".into(),
            Self::Qos(request) => format!("logctl qos {}", request.verb()),
            Self::MergeStatus => "logctl merge status".into(),
            Self::OpList => "logctl op list".into(),
            Self::OpShow { .. } => "logctl op show".into(),
            Self::OpWait { .. } => "logctl op wait".into(),
            Self::OpWatch { .. } => "logctl op watch".into(),
            Self::OpConfirm { .. } => "logctl op confirm".into(),
            Self::Log(request) => format!("logctl log {}", request.verb()),
            Self::Top { .. } => "logctl top".into(),
            Self::Import(_) => "logctl import".into(),
            Self::Token(request) => format!("logctl token {}", request.verb()),
            Self::Audit(request) => format!("logctl audit {}", request.verb()),
            Self::Receipt(request) => format!("logctl receipt {}", request.verb()),
            Self::Api(_) => "logctl api".into(),
            Self::Doctor => "logctl doctor".into(),
            Self::Context(request) => format!("logctl context {}", request.verb()),
            Self::Completions { .. } => "logctl completions".into(),
            Self::WhoAmI => "logctl whoami".into(),
            Self::Version => "logctl version".into(),
            Self::Help { .. } => "logctl help".into(),
            Self::Man { .. } => "logctl man".into(),
        }
    }
}

impl Step {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Plan { .. } => "plan",
            Self::Unplan { .. } => "unplan",
            Self::Rotate { .. } => "rotate",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze => "unfreeze",
        }
    }

    /// Whether only a preview is wanted.
    pub(crate) fn dry_run(&self) -> bool {
        matches!(
            self,
            Self::Plan { dry_run: true, .. }
                | Self::Unplan { dry_run: true, .. }
                | Self::Rotate { dry_run: true, .. }
        )
    }
}
