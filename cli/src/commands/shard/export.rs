//! `logctl shard export --format rekor`: the shards as Rekor's sharding configuration lists them.

use clap::ValueEnum;
use serde::Serialize;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Outcome, Page, Present};

/// Other systems whose list of shards can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Sharding configuration of Rekor: inactive shards, oldest first
    Rekor,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RekorShards {
    log: String,
    /// What `--trillian_log_server.tlog_id` is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_tree_id: Option<String>,
    /// What `--trillian_log_server.sharding_config` is to hold.
    sharding_config: String,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?.config;
    Outcome::done(&RekorShards {
        log,
        active_tree_id: running.active().and_then(|shard| shard.tree_id.clone()),
        sharding_config: logconfig::write_rekor(&running),
    })
}

impl Present for RekorShards {
    const KIND: &'static str = "RekorShards";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.sharding_config.clone()))
    }
}
