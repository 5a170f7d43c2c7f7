//! One module per command: what it takes on the command line, what it does, and its report. Nothing here prints.

pub(crate) mod api;
pub(crate) mod audit;
mod audit_receipt;
pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod context;
mod doctor;
pub(crate) mod document;
mod explain;
pub(crate) mod import;
pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod op;
pub(crate) mod pages;
pub(crate) mod qos;
pub(crate) mod receipt;
pub(crate) mod shard;
mod status;
pub(crate) mod token;
pub(crate) mod top;
mod version;
mod whoami;

use std::time::{SystemTime, UNIX_EPOCH};

use wire::{Capabilities, Difference, LogStatus, Problem, codes};

use self::change::ChangeArgs;
use crate::cli::{Command, LoadCommand};
use crate::client::{Admin, Asked, Deadline, idempotency_key};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Tone};
use crate::settings::{self, Overrides, Settings};
use crate::ui::Ui;

/// What every command may need. Addresses and files are looked up when a command asks for them, not before.
#[derive(Debug)]
pub struct Session<'a> {
    /// How to talk to the person or the script.
    pub ui: &'a Ui,
    overrides: &'a Overrides,
    /// For each answer of the server.
    pub timeout: std::time::Duration,
    change: ChangeArgs,
}

/// A log's public address.
#[derive(Clone, Debug)]
pub struct LogAddress {
    /// `https://HOST:PORT`, without the log's name.
    pub url: String,
    /// The certificate authority that counts there.
    pub ca: Option<std::path::PathBuf>,
    /// The log's name.
    pub log: String,
}

/// An endpoint and what is known of the log to work on.
#[derive(Debug)]
struct Server {
    admin: Admin,
    settings: Settings,
    deadline: Deadline,
}

/// Does what was asked for, or says what it needs where that is asked.
pub(crate) async fn run(
    session: &Session<'_>,
    command: Command,
    spelled: String,
    explain: bool,
) -> Result<Outcome, Error> {
    if explain {
        return explain::run(session, &command, spelled).await;
    }
    let named = command.log_by_name();
    match dispatch(session, command).await {
        Err(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
            Err(session.misnamed(named, problem).await)
        }
        other => other,
    }
}

async fn dispatch(session: &Session<'_>, command: Command) -> Result<Outcome, Error> {
    match command {
        Command::Shard(args) => shard::run(session, args).await,
        Command::Status => status::run(session).await,
        Command::Config(command) => config::run(session, command).await,
        Command::Qos(command) => qos::run(session, command).await,
        Command::Merge(command) => merge::run(session, command).await,
        Command::Op(command) => op::run(session, command).await,
        Command::Log(command) => log::run(session, command).await,
        Command::Token(command) => token::run(session, command).await,
        Command::Audit(command) => audit::run(session, command).await,
        Command::Receipt(command) => receipt::run(session, command).await,
        Command::Doctor => doctor::run(session).await,
        Command::Import(args) | Command::Load(LoadCommand::Import(args)) => {
            import::run(session, args).await
        }
        Command::Top(args) => top::run(session, args).await,
        Command::Whoami => whoami::run(session).await,
        Command::Version => version::run(session).await,
        Command::Api(args) => api::run(session, args).await,
        Command::Context(command) => context::run(session, command).await,
        Command::Completions(args) => pages::completions(args),
        Command::Help(args) => pages::help(&args),
        Command::Man(args) => pages::man(&args),
    }
}

impl<'a> Session<'a> {
    /// For commands that change nothing.
    pub fn new(ui: &'a Ui, overrides: &'a Overrides, timeout: std::time::Duration) -> Self {
        Self {
            ui,
            overrides,
            timeout,
            change: ChangeArgs::default(),
        }
    }

    /// With what is said about the change.
    pub(crate) fn with(self, change: ChangeArgs) -> Self {
        Self { change, ..self }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// The idempotency key of a request that stands alone: as it was named, else a fresh one.
    fn key(&self) -> Result<String, Error> {
        match &self.change.idempotency_key {
            Some(key) => Ok(key.clone()),
            None => idempotency_key(),
        }
    }

    /// How a change with this key is asked for.
    fn asked<'k>(&'k self, key: &'k str) -> Asked<'k> {
        Asked {
            key,
            reason: self.change.reason.as_deref(),
        }
    }

    fn settings(&self) -> Result<Settings, Error> {
        settings::resolve(self.overrides)
    }

    /// Why something was not found: where the log is not there, with the one that was probably meant.
    async fn misnamed(&self, named: Option<String>, problem: Box<Problem>) -> Error {
        let missing = problem.detail.contains("no log named");
        if let Ok(server) = self.server()
            && missing
            && let Some(name) = named.or_else(|| server.settings.log.clone())
            && let Ok(logs) = server.admin.logs(server.deadline).await
        {
            let known: Vec<String> = logs.into_iter().map(|log| log.log).collect();
            if !known.contains(&name) {
                return Error::NotFound {
                    kind: "log",
                    name,
                    known,
                };
            }
        }
        Error::Problem(problem)
    }

    /// The admin endpoint. Connects at the first call only.
    fn server(&self) -> Result<Server, Error> {
        self.connect(self.settings()?)
    }

    /// Where readers and writers reach the log: as told, else as the context says, else as the server says.
    pub async fn place(&self, url: Option<String>) -> Result<LogAddress, Error> {
        let settings = self.settings()?;
        let log = match &settings.log {
            Some(log) => log_name(log)?,
            None => self.server()?.log().await?,
        };
        let ca = self.overrides.ca.clone();
        // A certificate authority belongs to the context's own address.
        let (url, ca) = match (url, settings.url) {
            (Some(url), _) => (url, ca),
            (None, Some(url)) => (url, ca.or(settings.url_ca)),
            (None, None) => {
                let server = self.server()?;
                let status = server.admin.log(&log, server.deadline).await?;
                let url = status.url.ok_or_else(|| Error::Usage {
                    message: format!("the server does not say where {log} is reached"),
                    hint: "name it with --url, or as `url` in the context".into(),
                })?;
                (url, ca)
            }
        };
        Ok(LogAddress { url, ca, log })
    }

    /// The admin endpoint of these settings.
    fn connect(&self, settings: Settings) -> Result<Server, Error> {
        let Some(endpoint) = &settings.admin else {
            return Err(Error::NoEndpoint {
                tried: settings.tried,
                choose: settings.choose,
            });
        };
        if let Some(name) = &settings.context {
            self.ui.enter(name, settings.protected);
        }
        Ok(Server {
            admin: Admin::new(endpoint)?,
            settings,
            deadline: self.deadline(),
        })
    }
}

impl Server {
    /// The server's capabilities. A server that does not say counts as one that can do everything: it refuses what it cannot do.
    async fn capabilities(&self) -> Capabilities {
        let caller = self.admin.whoami(self.deadline).await;
        caller.map(|caller| caller.capabilities).unwrap_or_default()
    }

    /// The log to work on: as named, else the server's only one.
    async fn log(&self) -> Result<String, Error> {
        if let Some(log) = &self.settings.log {
            return log_name(log);
        }
        only_log(self.admin.logs(self.deadline).await?).map(|log| log.log)
    }
}

/// The log that is meant where none was named: the only one.
pub(crate) fn only_log(mut logs: Vec<LogStatus>) -> Result<LogStatus, Error> {
    match logs.pop() {
        Some(only) if logs.is_empty() => Ok(only),
        last => Err(Error::WhichLog {
            logs: logs.into_iter().chain(last).map(|log| log.log).collect(),
        }),
    }
}

/// A name that can stand in a path, or why not.
fn log_name(name: &str) -> Result<String, Error> {
    match ::logconfig::LogName::try_from(name.to_owned()) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(Error::Usage {
            message: format!("`{name}` is not the name of a log: {error}"),
            hint: "`logctl status` lists the logs".into(),
        }),
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

/// RFC 3339, in UTC.
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// What moved under a change, as a table.
pub(crate) fn moved(all: &[::logconfig::Moved]) -> Block {
    let value = |value: &Option<String>, changed: bool, tone| match (value, changed) {
        (_, false) => "=".into(),
        (Some(value), true) => Cell::toned(value, tone),
        (None, true) => Cell::toned("removed", Tone::Bad),
    };
    let rows = all.iter().map(|moved| {
        let conflict = if moved.conflict {
            Cell::toned("conflict", Tone::Bad)
        } else {
            "".into()
        };
        vec![
            moved.subject.as_str().into(),
            Cell::maybe(moved.base.as_deref()),
            value(&moved.mine, moved.is_mine(), Tone::Next),
            value(&moved.theirs, moved.is_theirs(), Tone::Good),
            conflict,
        ]
    });
    Block::Table {
        header: vec!["WHAT", "BASE", "YOURS", "NOW", ""],
        rows: rows.collect(),
        spare: 0,
    }
}

/// Differences as a table.
pub(crate) fn differences(all: &[Difference]) -> Block {
    let rows = all.iter().map(|difference| {
        vec![
            difference.subject.as_str().into(),
            match &difference.before {
                Some(before) => Cell::toned(before, Tone::Past),
                None => "-".into(),
            },
            match &difference.after {
                Some(after) => Cell::toned(after, Tone::Good),
                None => Cell::toned("removed", Tone::Bad),
            },
        ]
    });
    Block::Table {
        header: vec!["CHANGE", "BEFORE", "AFTER"],
        rows: rows.collect(),
        spare: 0,
    }
}

/// From the engine's type to the wire's, which reports use.
fn wire_difference(difference: ::logconfig::Difference) -> Difference {
    Difference {
        subject: difference.subject,
        before: difference.before,
        after: difference.after,
    }
}
