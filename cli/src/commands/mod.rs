//! One module per command: request in, report out. Nothing here prints, and nothing knows how it was typed.

mod api;
mod audit;
mod change;
mod config;
mod context;
mod doctor;
pub(crate) mod document;
mod explain;
pub(crate) mod import;
mod log;
mod merge;
mod op;
mod pages;
mod qos;
mod receipt;
mod shard;
mod status;
mod token;
mod top;
mod version;
mod whoami;
mod witness;

use std::time::{SystemTime, UNIX_EPOCH};

use wire::{Capabilities, Difference, LogStatus, Problem, codes};

use crate::client::{Admin, Asked, Deadline, idempotency_key};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Tone};
use crate::request::{Export, Note, Request};
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
    note: Note,
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

/// Does what was asked for.
pub(crate) async fn run(
    request: Request,
    ui: &Ui,
    overrides: &Overrides,
    timeout: std::time::Duration,
    note: Note,
    explain: bool,
) -> Result<Outcome, Error> {
    let session = Session {
        ui,
        overrides,
        timeout,
        note,
    };
    if explain {
        return explain::run(&session, &request).await;
    }
    let named = request.log_by_name();
    match dispatch(&session, request).await {
        Err(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
            Err(session.misnamed(named, problem).await)
        }
        other => other,
    }
}

async fn dispatch(session: &Session<'_>, request: Request) -> Result<Outcome, Error> {
    match request {
        Request::CreateConfig {
            file,
            force,
            offline,
        } => shard::create_config::run(session, file, force, offline).await,
        Request::UseConfig {
            file,
            dry_run,
            confirm_within,
        } => shard::use_config::run(session, file, dry_run, confirm_within).await,
        Request::ImportConfig {
            file,
            force,
            log,
            from,
        } => shard::import::run(session, file, force, log, &from).await,
        Request::ShardExport(Export::Rekor) => shard::export::run(session).await,
        Request::ShardList => shard::list::run(session).await,
        Request::ShardShow { name } => shard::show::run(session, &name).await,
        Request::Step(step) => shard::step::run(session, step).await,
        Request::ShardVerify { names, url } => shard::verify::run(session, names, url).await,
        Request::Status => status::run(session).await,
        Request::ConfigDiff { file, exit_code } => {
            config::diff::run(session, file, exit_code).await
        }
        Request::ConfigCompare {
            from,
            to,
            exit_code,
        } => config::compare::run(session, from, to, exit_code).await,
        Request::ConfigEdit {
            dry_run,
            confirm_within,
        } => config::edit::run(session, dry_run, confirm_within).await,
        Request::ConfigValidate { file } => config::validate::run(file).await,
        Request::ConfigPlan { file, out } => config::plan::run(session, file, out).await,
        Request::ConfigApply {
            file,
            confirm_within,
        } => config::apply::run(session, file, confirm_within).await,
        Request::ConfigRollback {
            generation,
            dry_run,
            confirm_within,
        } => config::rollback::run(session, generation, dry_run, confirm_within).await,
        Request::ConfigShow { generation } => config::show::run(session, generation).await,
        Request::ConfigHistory { since, until, by } => {
            config::history::run(session, since, until, by).await
        }
        Request::ConfigSchema => config::schema::run(),
        Request::Qos(request) => qos::run(session, request).await,
        Request::MergeStatus => merge::status(session).await,
        Request::OpList => op::list::run(session).await,
        Request::OpShow { id } => op::show::run(session, &id).await,
        Request::OpWait { id } => op::wait::run(session, &id).await,
        Request::OpWatch { id } => op::watch::run(session, &id).await,
        Request::OpConfirm { id } => op::confirm::run(session, &id).await,
        Request::Log(request) => log::run(session, request).await,
        Request::Top { interval } => top::run(session, interval).await,
        Request::Import(args) => import::run(session, args).await,
        Request::Token(request) => token::run(session, request).await,
        Request::Audit(request) => audit::run(session, request).await,
        Request::Receipt(request) => receipt::run(session, request).await,
        Request::Api(request) => api::run(session, request).await,
        Request::Doctor => doctor::run(session).await,
        Request::Context(request) => context::run(session, request).await,
        Request::Completions { shell, fixed } => pages::completions(shell, fixed),
        Request::WhoAmI => whoami::run(session).await,
        Request::Version => version::run(session).await,
        Request::Help { command } => pages::help(&command),
        Request::Man { command } => pages::man(&command),
    }
}

impl<'a> Session<'a> {
    /// For a command that changes nothing.
    pub fn new(ui: &'a Ui, overrides: &'a Overrides, timeout: std::time::Duration) -> Self {
        Self {
            ui,
            overrides,
            timeout,
            note: Note::default(),
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// The idempotency key of a request that stands alone: as it was named, else a fresh one.
    fn key(&self) -> Result<String, Error> {
        match &self.note.key {
            Some(key) => Ok(key.clone()),
            None => idempotency_key(),
        }
    }

    /// How a change with this key is asked for.
    fn asked<'k>(&'k self, key: &'k str) -> Asked<'k> {
        Asked {
            key,
            reason: self.note.reason.as_deref(),
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
