//! `logctl log`: whole logs. Creating and deleting go through the same steps as every other change: preview, question, decision, audit.

use clap::{Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use wire::routes::Name;
use wire::{CreateLogRequest, LogCondition, LogStatus, NoRequest};

use super::change::{self, ChangeArgs, Consent, Trial};
use super::document::Document;
use super::shard::step::{self, Step};
use super::{Session, log_name};
use crate::client::Call;
use crate::complete;
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// The subcommands of `logctl log`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List the logs of the server
    #[command(after_help = "Examples:
  logctl log list
  logctl log list --deleted")]
    List {
        /// List only deleted logs: their data is kept, and their names stay taken
        #[arg(long)]
        deleted: bool,
    },
    /// Freeze the log: it accepts no writes until it is unfrozen. Its shard stays active
    #[command(after_help = "Example:
  logctl log freeze argon --yes")]
    Freeze {
        /// The log; by default the one in use
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: Option<String>,
        /// Do not wait for promised work
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Unfreeze the log: it accepts writes again, in the same shard
    #[command(after_help = "Example:
  logctl log unfreeze argon --yes")]
    Unfreeze {
        /// The log; by default the one in use
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Create the log that FILE describes
    #[command(after_help = "Example:
  logctl shard --create-config first.yaml --log argon --origin log.example.org/argon
  logctl log create first.yaml")]
    Create {
        /// The log's first document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: File,
        /// Show what the command would do, and stop
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Hide a frozen log; its data is kept, and `undelete` shows it again
    #[command(after_help = "Example:
  logctl log freeze argon --yes
  logctl log delete argon")]
    Delete {
        /// The log; on a terminal you type its name once more
        #[arg(add = ArgValueCompleter::new(complete::logs))]
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a deleted log again, still frozen
    #[command(after_help = "Example:
  logctl log undelete argon")]
    Undelete {
        /// Name of the deleted log
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(super) async fn run(session: &Session<'_>, command: LogCommand) -> Result<Outcome, Error> {
    match command {
        LogCommand::List { deleted } => list(session, deleted).await,
        LogCommand::Freeze { name, now, .. } => {
            step::of_log(session, name, |log| Step::freeze(log, now)).await
        }
        LogCommand::Unfreeze { name, .. } => step::of_log(session, name, Step::unfreeze).await,
        LogCommand::Create { file, dry_run, .. } => create(session, file, dry_run).await,
        LogCommand::Delete { name, .. } => {
            let log = log_name(&name)?;
            let question = format!(
                "delete {log}? It can no longer be read or written; its data is kept, and `logctl log undelete {log}` shows it again."
            );
            let call = Call::new(Name::DeleteLog, &log, &NoRequest {})?;
            let consent = Consent {
                typed: Some(log.clone()),
                ..simple(log, question)
            };
            let server = session.server()?;
            change::carry_out(session, &server, call, consent).await
        }
        LogCommand::Undelete { name, .. } => {
            let log = log_name(&name)?;
            let question = format!("undelete {log}?");
            let call = Call::new(Name::UndeleteLog, &log, &NoRequest {})?;
            let server = session.server()?;
            change::carry_out(session, &server, call, simple(log, question)).await
        }
    }
}

/// A change that needs no document and no preview.
fn simple(log: String, question: String) -> Consent {
    Consent {
        log,
        base: None,
        question: Some(question),
        typed: None,
        preview: false,
        trial: Trial::default(),
    }
}

async fn create(session: &Session<'_>, file: File, dry_run: bool) -> Result<Outcome, Error> {
    let document = Document::read(&file).await?;
    let server = session.server()?;
    let log = document.config.log.as_str().to_owned();
    let config = document.config.clone();
    let call = Call::new(Name::CreateLog, "", &CreateLogRequest { config })?;
    let question = format!("create the log {log} from {}?", document.subject);
    let consent = Consent {
        preview: true,
        trial: Trial {
            dry_run,
            ..Trial::default()
        },
        ..simple(log, question)
    };
    change::carry_out(session, &server, call, consent)
        .await
        // The request holds the document under `config`; the file is the document.
        .map_err(|error| document.place_below("/config", error))
}

/// The hint for a caller that sees no log: the commands that make one.
pub(super) const NO_LOG: &str = "there are no logs that you may see; to create one, write a first document with `logctl shard --create-config FILE --log NAME --origin ORIGIN`, then run `logctl log create FILE`";

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
    const ADVICE: &'static [&'static str] = &["reason"];

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
