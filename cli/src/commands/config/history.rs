//! `logctl config history`: what was decided, when, by whom.

use admin_api::HistoryItem;
use serde::Serialize;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct ConfigHistory {
    log: String,
    history: Vec<HistoryItem>,
}

pub(in crate::commands) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let history = server.admin.history(&log, server.deadline).await?.history;
    Outcome::done(&ConfigHistory { log, history })
}

impl Present for ConfigHistory {
    const KIND: &'static str = "ConfigHistory";
    const LIST: Option<&'static str> = Some("history");
    const NAME: &'static str = "/generation";

    fn page(&self) -> Page {
        let rows = self.history.iter().map(|item| {
            vec![
                Cell::number(Some(item.generation)),
                item.time.as_str().into(),
                Cell::number(Some(item.at_index)),
                Cell::maybe(item.actor.as_deref()),
                item.summary.as_str().into(),
                Cell::maybe(item.etag.as_deref()),
            ]
        });
        let header = vec!["GENERATION", "TIME", "AT INDEX", "BY", "WHAT", "ETAG"];
        Page::new().with(Block::Table {
            header,
            rows: rows.collect(),
            spare: 1,
        })
    }
}
