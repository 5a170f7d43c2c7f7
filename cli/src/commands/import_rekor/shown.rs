//! What `logctl import rekor` reports.

use serde::Serialize;

use crate::import::shard::OldShard;
use crate::numbers::grouped;
use crate::report::{Block, Cell, Page, Present};

/// The shards that an import brings, and where they go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    pub(super) log: String,
    pub(super) from: String,
    pub(super) entries: u64,
    /// How many of them the server has; absent where no server was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) copied: Option<u64>,
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
    /// SHA-256 of its public key, hex: `logID` of an entry of Rekor.
    log_id: String,
    /// The same in base64: `logId.keyId` in a trusted root.
    key_id: String,
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
    pub(super) fn new(log: &str, from: &str, shards: &[OldShard], copied: Option<u64>) -> Self {
        let shards: Vec<_> = shards
            .iter()
            .map(|shard| PlannedShard {
                tree_id: shard.tree_id.clone(),
                name: shard.key.name().to_owned(),
                start_index: shard.start,
                length: shard.head.size,
                root_hash: tlog::hex(&shard.head.root.0),
                log_id: tlog::hex(&shard.key.log_id().0),
                key_id: shard.key.log_id().to_base64(),
            })
            .collect();
        Self {
            log: log.to_owned(),
            from: from.to_owned(),
            entries: shards.iter().map(|shard| shard.length).sum(),
            copied,
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
            ]
        });
        let table = Block::Table {
            header: vec!["TREE", "NAME", "FIRST INDEX", "ENTRIES"],
            rows: rows.collect(),
            spare: 1,
        };
        let mut page = Page::new().with(table);
        for shard in &self.shards {
            page = page.with(Block::Fields(vec![
                ("tree", shard.tree_id.as_str().into()),
                ("log ID in a trusted root", shard.key_id.as_str().into()),
                ("log ID in Rekor", shard.log_id.as_str().into()),
            ]));
        }
        let copied = match self.copied {
            Some(copied) if copied > 0 => {
                format!(", {} of them already copied", grouped(copied))
            }
            _ => String::new(),
        };
        page.text(format!(
            "the log {} will begin with these shards: {} entries from {}{copied}; compare the log IDs with those in your clients' trusted root",
            self.log,
            grouped(self.entries),
            self.from
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
            true => format!(
                "dropped the entries that were copied for the log {}",
                self.log
            ),
            false => format!("there is no import into {} to drop", self.log),
        })
    }
}
