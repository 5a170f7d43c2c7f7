//! What `logctl import rekor` reports.

use serde::Serialize;

use crate::import::rekor::OldShard;
use crate::numbers::grouped;
use crate::report::{Block, Cell, Page, Present};

/// What would be imported.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    pub(super) log: String,
    pub(super) from: String,
    pub(super) entries: u64,
    pub(super) shards: Vec<PlannedShard>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedShard {
    tree_id: String,
    /// The name that signs its tree heads.
    name: String,
    start_index: u64,
    length: u64,
    root_hash: String,
    /// SHA-256 of its public key: what clients call the ID of a log.
    log_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Saved {
    pub(super) folder: String,
    pub(super) from: String,
    pub(super) entries: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dropped {
    pub(super) log: String,
    pub(super) dropped: bool,
}

impl Planned {
    pub(super) fn new(log: &str, from: &str, shards: &[OldShard]) -> Self {
        let shards: Vec<_> = shards
            .iter()
            .map(|shard| PlannedShard {
                tree_id: shard.tree_id.clone(),
                name: shard.key.name().to_owned(),
                start_index: shard.start,
                length: shard.head.size,
                root_hash: tlog::hex(&shard.head.root.0),
                log_id: tlog::hex(&shard.key.log_id().0),
            })
            .collect();
        Self {
            log: log.to_owned(),
            from: from.to_owned(),
            entries: shards.iter().map(|shard| shard.length).sum(),
            shards,
        }
    }
}

impl Present for Planned {
    const KIND: &'static str = "ImportPlan";
    const LIST: Option<&'static str> = Some("shards");

    fn page(&self) -> Page {
        let rows = self.shards.iter().map(|shard| {
            vec![
                shard.tree_id.as_str().into(),
                shard.name.as_str().into(),
                Cell::number(Some(shard.start_index)),
                Cell::number(Some(shard.length)),
                shard.log_id.as_str().into(),
            ]
        });
        let table = Block::Table {
            header: vec!["TREE", "NAME", "FIRST INDEX", "ENTRIES", "LOG ID"],
            rows: rows.collect(),
            spare: 4,
        };
        Page::new().with(table).text(format!(
            "{} entries of {} become the first shards of {}; compare the log IDs with those in your clients' trusted root",
            grouped(self.entries),
            self.from,
            self.log
        ))
    }
}

impl Present for Saved {
    const KIND: &'static str = "RekorSaved";
    const NAME: &'static str = "/folder";

    fn page(&self) -> Page {
        Page::new().text(format!(
            "{} entries of {} are in {}; `logctl import rekor FILE --from {}` imports them",
            grouped(self.entries),
            self.from,
            self.folder,
            self.folder
        ))
    }
}

impl Present for Dropped {
    const KIND: &'static str = "ImportDropped";

    fn page(&self) -> Page {
        Page::new().text(match self.dropped {
            true => format!("dropped what was copied for {}", self.log),
            false => format!("nothing was copied for {}", self.log),
        })
    }
}
