//! `logctl shard list`.

use serde::Serialize;
use wire::{LogCondition, LogStatus, Shard};

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct ShardList {
    log: String,
    /// A frozen log accepts no writes, and its last shard stays the active one.
    frozen: bool,
    shards: Vec<Shard>,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let LogStatus {
        condition, shards, ..
    } = server.admin.log(&log, server.deadline).await?;
    let frozen = condition == LogCondition::Frozen;
    Outcome::done(&ShardList {
        log,
        frozen,
        shards,
    })
}

impl Present for ShardList {
    const KIND: &'static str = "ShardList";
    const LIST: Option<&'static str> = Some("shards");
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        // Most logs have no keys to announce.
        let announced = self.shards.iter().any(|shard| shard.announced.is_some());
        let rows = self.shards.iter().map(|shard| {
            let mut row = vec![shard.name.as_str().into(), super::state(shard)];
            if announced {
                let since = shard.announced.as_ref().map(|seen| seen.since.as_str());
                row.push(Cell::maybe(since));
            }
            row.extend([
                Cell::number(shard.start_index),
                Cell::number(shard.length),
                Cell::number(shard.published),
                shard.tree_id.as_str().into(),
                shard.origin.as_str().into(),
            ]);
            row
        });
        let mut header = vec!["NAME", "STATE"];
        if announced {
            header.push("SEEN SINCE");
        }
        header.extend(["START", "LENGTH", "PUBLISHED", "TREE ID", "ORIGIN"]);
        let page = Page::new().with(Block::Table {
            header,
            rows: rows.collect(),
            spare: 2,
        });
        match self.frozen {
            true => page.text(format!(
                "the log is frozen: its active shard accepts no writes until `logctl log unfreeze {}`",
                self.log
            )),
            false => page,
        }
    }
}
