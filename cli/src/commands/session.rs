//! The context of every command: the terminal, the server and the log, and the connection to them.

use std::path::PathBuf;
use std::time::Duration;

use wire::{Capabilities, LogStatus, Problem};

use super::change::ChangeArgs;
use crate::client::{Admin, ChangeHeaders, Deadline, idempotency_key};
use crate::error::Error;
use crate::settings::{self, Overrides, Settings};
use crate::ui::Ui;

/// The context of every command. Addresses and files are looked up when a command asks for them, not before.
#[derive(Debug)]
pub struct Session<'a> {
    /// Options for output and questions.
    pub ui: &'a Ui,
    pub(super) overrides: &'a Overrides,
    /// The longest wait for each answer of the server.
    pub timeout: Duration,
    pub(super) change: ChangeArgs,
}

/// A log's public address.
#[derive(Clone, Debug)]
pub struct LogAddress {
    /// `https://HOST:PORT`, without the log's name.
    pub url: String,
    /// The certificate authority for that address.
    pub ca: Option<PathBuf>,
    /// The log that the command works on.
    pub log: String,
}

/// An endpoint and the settings of the log to work on.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) admin: Admin,
    pub(super) settings: Settings,
    pub(super) deadline: Deadline,
}

impl<'a> Session<'a> {
    /// A session for a command that changes nothing.
    pub fn new(ui: &'a Ui, overrides: &'a Overrides, timeout: Duration) -> Self {
        Self {
            ui,
            overrides,
            timeout,
            change: ChangeArgs::default(),
        }
    }

    /// Adds the options of the change.
    pub(crate) fn with(self, change: ChangeArgs) -> Self {
        Self { change, ..self }
    }

    /// The same session with another reason for its change.
    pub(super) fn because(&self, reason: String) -> Self {
        Self {
            change: ChangeArgs {
                reason: Some(reason),
                ..self.change.clone()
            },
            ..*self
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// The idempotency key of a single request: the given one, else a fresh one.
    pub(super) fn key(&self) -> Result<String, Error> {
        match &self.change.idempotency_key {
            Some(key) => Ok(key.clone()),
            None => idempotency_key(),
        }
    }

    /// The headers of a change with this key.
    pub(super) fn asked<'k>(&'k self, key: &'k str) -> ChangeHeaders<'k> {
        ChangeHeaders {
            key,
            reason: self.change.reason.as_deref(),
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, Error> {
        settings::resolve(self.overrides)
    }

    /// Why something was not found: if the log is missing, with the log that was probably meant.
    pub(super) async fn misnamed(&self, named: Option<String>, problem: Box<Problem>) -> Error {
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
    pub(super) fn server(&self) -> Result<Server, Error> {
        self.connect(self.settings()?)
    }

    /// Notes the context for a change that is made without the admin endpoint.
    pub(super) fn enter(&self) -> Result<(), Error> {
        let settings = self.settings()?;
        if let Some(name) = &settings.context {
            self.ui.enter(name, settings.protected);
        }
        Ok(())
    }

    /// The log's public address: the given one, else the context's, else the server's.
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
    pub(super) fn connect(&self, settings: Settings) -> Result<Server, Error> {
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
    /// The server's capabilities. A server that lists none is assumed to have all: it refuses what it cannot do.
    pub(super) async fn capabilities(&self) -> Capabilities {
        let caller = self.admin.whoami(self.deadline).await;
        caller.map(|caller| caller.capabilities).unwrap_or_default()
    }

    /// The log to work on: the named one, else the server's only one.
    pub(super) async fn log(&self) -> Result<String, Error> {
        if let Some(log) = &self.settings.log {
            return log_name(log);
        }
        only_log(self.admin.logs(self.deadline).await?).map(|log| log.log)
    }
}

/// The log if none was named: the only one.
pub(crate) fn only_log(mut logs: Vec<LogStatus>) -> Result<LogStatus, Error> {
    match logs.pop() {
        Some(only) if logs.is_empty() => Ok(only),
        last => Err(Error::WhichLog {
            logs: logs.into_iter().chain(last).map(|log| log.log).collect(),
        }),
    }
}

/// A name that can stand in a path, or why not.
pub(super) fn log_name(name: &str) -> Result<String, Error> {
    match ::logconfig::LogName::try_from(name.to_owned()) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(Error::Usage {
            message: format!("`{name}` is not the name of a log: {error}"),
            hint: "`logctl status` lists the logs".into(),
        }),
    }
}
