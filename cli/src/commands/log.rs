//! `logctl log`: whole logs. Creating and deleting take the way of every other change: preview, question, decision, audit.

use serde::Serialize;
use wire::{LogCondition, LogStatus};

use super::change::{self, Plan};
use super::document::Document;
use super::{Session, log_name};
use crate::client::Write;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use crate::request::{File, LogRequest, Step};

pub(super) async fn run(session: &Session<'_>, request: LogRequest) -> Result<Outcome, Error> {
    match request {
        LogRequest::List { deleted } => list(session, deleted).await,
        LogRequest::Freeze { name, now } => {
            super::shard::step::gate(session, name, Step::Freeze { now }).await
        }
        LogRequest::Unfreeze { name } => {
            super::shard::step::gate(session, name, Step::Unfreeze).await
        }
        LogRequest::Create { file, dry_run } => create(session, file, dry_run).await,
        LogRequest::Delete { name } => {
            let log = log_name(&name)?;
            let question = format!(
                "delete {log}? It can no longer be read or written; its data is kept, and `logctl log undelete {log}` shows it again."
            );
            let plan = Plan {
                typed: Some(log.clone()),
                ..simple(log, Write::Delete, question)
            };
            let server = session.server()?;
            change::carry_out(session, &server, plan).await
        }
        LogRequest::Undelete { name } => {
            let log = log_name(&name)?;
            let question = format!("show {log} again?");
            let server = session.server()?;
            let plan = simple(log, Write::Undelete, question);
            change::carry_out(session, &server, plan).await
        }
    }
}

/// A change that needs no document and no preview.
fn simple(log: String, write: Write, question: String) -> Plan {
    Plan {
        log,
        write,
        base: None,
        question,
        typed: None,
        preview: false,
        dry_run: false,
    }
}

async fn create(session: &Session<'_>, file: File, dry_run: bool) -> Result<Outcome, Error> {
    let document = Document::read(&file).await?;
    let server = session.server()?;
    let log = document.config.log.as_str().to_owned();
    let plan = Plan {
        preview: true,
        dry_run,
        ..simple(
            log.clone(),
            Write::Create(Box::new(document.config.clone())),
            format!("create {log} as {} says?", document.subject),
        )
    };
    change::carry_out(session, &server, plan)
        .await
        // The request holds the document under `config`; the file is the document.
        .map_err(|error| document.place_below("/config", error))
}

/// The answer to a caller who sees no log: the commands that make one.
pub(super) const NO_LOG: &str = "there is no log that you may see; `logctl shard --create-config FILE --log NAME --origin ORIGIN` writes a first document, `logctl log create FILE` creates the log";

#[derive(Debug, Serialize)]
struct LogList {
    /// Whether these are the logs that were deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    logs: Vec<LogStatus>,
}

async fn list(session: &Session<'_>, deleted: bool) -> Result<Outcome, Error> {
    let server = session.server()?;
    let logs = match deleted {
        false => server.admin.logs(server.deadline).await?,
        true => server.admin.deleted(server.deadline).await?,
    };
    Outcome::done(&LogList { deleted, logs })
}

impl Present for LogList {
    const KIND: &'static str = "LogList";
    const LIST: Option<&'static str> = Some("logs");
    const NAME: &'static str = "/log";

    fn page(&self) -> Page {
        if self.deleted && self.logs.is_empty() {
            return Page::new().text("no log was deleted");
        }
        let rows = self.logs.iter().map(|log| {
            let condition = match log.condition {
                _ if self.deleted => Cell::toned("deleted", Tone::Past),
                LogCondition::Open => Cell::toned("open", Tone::Good),
                LogCondition::Closing => Cell::toned("closing", Tone::Next),
                LogCondition::Frozen => Cell::toned("frozen", Tone::Past),
                LogCondition::Halted => Cell::toned("halted", Tone::Bad),
            };
            vec![
                log.log.as_str().into(),
                condition,
                Cell::number(Some(log.generation)),
                Cell::number(Some(log.watermarks.ordered)),
                Cell::number(u64::try_from(log.shards.len()).ok()),
                Cell::maybe(log.url.as_deref()),
            ]
        });
        let table = Block::Table {
            header: vec!["LOG", "CONDITION", "GENERATION", "ENTRIES", "SHARDS", "URL"],
            rows: rows.collect(),
            spare: 2,
        };
        let page = Page::listing(table, NO_LOG);
        match self.deleted {
            true => page.text("`logctl log undelete NAME` shows one again, with all its entries"),
            false => page,
        }
    }
}
