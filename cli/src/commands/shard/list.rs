//! `logctl shard list`.

use serde::Serialize;
use wire::Shard;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct ShardList {
    log: String,
    shards: Vec<Shard>,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let shards = server.admin.log(&log, server.deadline).await?.shards;
    Outcome::done(&ShardList { log, shards })
}

impl Present for ShardList {
    const KIND: &'static str = "ShardList";
    const LIST: Option<&'static str> = Some("shards");
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        let rows = self.shards.iter().map(|shard| {
            vec![
                shard.name.as_str().into(),
                super::state(shard.state),
                Cell::number(shard.start_index),
                Cell::number(shard.length),
                Cell::number(shard.published),
                shard.tree_id.as_str().into(),
                shard.origin.as_str().into(),
            ]
        });
        let header = vec![
            "NAME",
            "STATE",
            "START",
            "LENGTH",
            "PUBLISHED",
            "TREE ID",
            "ORIGIN",
        ];
        Page::new().with(Block::Table {
            header,
            rows: rows.collect(),
            spare: 2,
        })
    }
}
