//! `logctl status`: every log, and the replicas that serve it.

use logconfig::SYSTEM;
use logconfig::text::count;
use serde::Serialize;
use wire::{LogCondition, LogStatus, Replica, SearchIndex, ShardState, codes};

use super::log::NO_LOG;
use super::{Session, log_name, version};
use crate::client::{Admin, Deadline};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use tlog::GlobalIndex;

#[derive(Debug, Serialize)]
struct Status {
    server: String,
    versions: Versions,
    logs: Vec<LogStatus>,
    replicas: Vec<Serving>,
    /// Replicas whose heartbeats stopped without a clean stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<Replica>,
}

/// The versions of the command and of the server.
#[derive(Debug, Serialize)]
struct Versions {
    logctl: &'static str,
    /// Absent when the server does not say.
    server: Option<String>,
}

/// The replicas that serve a log.
#[derive(Debug, Serialize)]
struct Serving {
    log: String,
    replica: Replica,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let (admin, deadline) = (&server.admin, server.deadline);
    // A log that the context names is the default for commands and does not hide the others. One that was named in this call does.
    let logs = match &session.overrides.log {
        Some(log) => vec![admin.log(&log_name(log)?, deadline).await?],
        None => {
            let mut logs = admin.logs(deadline).await?;
            logs.extend(halted_trail(admin, deadline).await?);
            logs
        }
    };
    let (mut replicas, mut silent) = (Vec::new(), Vec::new());
    for LogStatus { log, .. } in &logs {
        let all = admin.all_replicas(log, deadline).await?;
        for replica in all.silent {
            if !silent.iter().any(|known: &Replica| known.id == replica.id) {
                silent.push(replica);
            }
        }
        replicas.extend(all.replicas.into_iter().map(|replica| Serving {
            log: log.clone(),
            replica,
        }));
    }
    let caller = admin.whoami(deadline).await?;
    let halted = logs.iter().filter(|log| is_halted(log));
    let halted: Vec<String> = halted.map(|log| log.log.clone()).collect();
    let trouble = (!halted.is_empty()).then_some(Error::Halted { logs: halted });
    let status = Status {
        server: admin.address(),
        versions: Versions {
            logctl: version::OWN,
            server: caller.server,
        },
        logs,
        replicas,
        silent,
    };
    Outcome::with_trouble(&status, trouble)
}

fn is_halted(log: &LogStatus) -> bool {
    log.condition == LogCondition::Halted
}

/// The server's own log (audit trail), which is in no list, if it is halted: no change can be made then. A host may have none, and a caller
/// may not be allowed to read it.
async fn halted_trail(admin: &Admin, deadline: Deadline) -> Result<Option<LogStatus>, Error> {
    match admin.log(SYSTEM, deadline).await {
        Ok(log) => Ok(Some(log).filter(is_halted)),
        Err(Error::Problem(problem))
            if matches!(problem.code.as_str(), codes::NOT_FOUND | codes::FORBIDDEN) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A position, or a dash if the log is halted and has not read it.
fn position(log: &LogStatus, at: u64) -> Cell {
    let known = !is_halted(log) || at > 0 || log.watermarks.ordered == GlobalIndex::ZERO;
    Cell::number(known.then_some(at))
}

impl Present for Status {
    const KIND: &'static str = "Status";
    const LIST: Option<&'static str> = Some("logs");
    const NAME: &'static str = "/log";
    const ADVICE: &'static [&'static str] = &["reason"];

    fn page(&self) -> Page {
        let logs = self.logs.iter().map(|log| {
            let active = log
                .shards
                .iter()
                .find(|shard| shard.state == ShardState::Active);
            vec![
                log.log.as_str().into(),
                condition(log.condition),
                Cell::maybe(active.map(|shard| shard.name.as_str())),
                Cell::number(Some(log.watermarks.ordered)),
                position(log, log.watermarks.published.get()),
                Cell::number(Some(log.generation)),
                position(log, log.watermarks.integrated.get()),
            ]
        });
        let header = vec![
            "LOG",
            "STATE",
            "ACTIVE",
            "ORDERED",
            "PUBLISHED",
            "GENERATION",
            "INTEGRATED",
        ];
        let table = Block::Table {
            header,
            rows: logs.collect(),
            spare: 2,
        };
        let mut page = Page::listing(table, NO_LOG);
        for log in &self.logs {
            if let Some(reason) = &log.reason {
                page = page.text(format!("{}: {reason}", log.log));
            }
            if let Some(index) = &log.search_index {
                page = page.text(search_index(&log.log, index));
            }
            if log.log == SYSTEM {
                page = page.text(
                    "system is the audit trail: while it is halted, no change can be recorded, so none is made",
                );
            }
        }
        let replicas = self.replicas.iter().map(|Serving { log, replica }| {
            let age = format!("{} s ago", replica.age_seconds);
            vec![
                log.as_str().into(),
                replica.label.as_str().into(),
                Cell::number(replica.generation),
                age.into(),
                replica.id.as_str().into(),
                Cell::number(Some(replica.format)),
            ]
        });
        let header = vec!["LOG", "REPLICA", "GENERATION", "SEEN", "ID", "FORMAT"];
        if !self.replicas.is_empty() {
            page = page.with(Block::Table {
                header,
                rows: replicas.collect(),
                spare: 2,
            });
        }
        for replica in &self.silent {
            page = page.text(format!(
                "{} has been silent for {} s and did not stop cleanly",
                replica.label, replica.age_seconds
            ));
        }
        page.text(match &self.versions.server {
            Some(server) => format!("{server}, logctl {}", self.versions.logctl),
            None => format!("logctl {}", self.versions.logctl),
        })
    }
}

/// `argon: search index at entry 1200, 3 entries behind`.
fn search_index(log: &str, index: &SearchIndex) -> String {
    let behind = match index.lag {
        0 => String::new(),
        lag => format!(", {} behind", count(lag, "entry")),
    };
    let trouble = index.trouble.as_ref();
    let trouble = trouble.map(|why| format!("; not extended: {why}"));
    format!(
        "{log}: search index at entry {}{behind}{}",
        index.position,
        trouble.unwrap_or_default()
    )
}

fn condition(condition: LogCondition) -> Cell {
    match condition {
        LogCondition::Open => Cell::toned("open", Tone::Good),
        LogCondition::Closing => Cell::toned("closing", Tone::Next),
        LogCondition::Frozen => Cell::toned("frozen", Tone::Past),
        LogCondition::Halted => Cell::toned("halted", Tone::Bad),
    }
}
