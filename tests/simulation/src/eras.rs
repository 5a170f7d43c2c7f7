//! The eras of the log as its history tells them: which secondaries, which quorum and which witnesses bind which entries.
//!
//! An era is the run of entries that are ordered under one generation. The judge reads them from the rows of the history, by the definition,
//! and believes nothing that the engine has made of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use logconfig::LogConfig;
use order::keys::Keys;
use order::slot::{Control, Slot};
use store::{Key, record};
use tlog::{Hash, Policy};

use crate::writer::LOG;

/// The entries that are ordered under one generation, and what binds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Era {
    /// Which one it is; each change of the document begins the next.
    pub generation: u64,
    /// Global index of the first entry that is ordered under it.
    pub start: u64,
    /// As many secondaries must have what is published.
    pub quorum: usize,
    /// The secondaries that count.
    pub secondaries: Vec<String>,
    /// The policy for witnesses.
    pub policy: String,
}

impl Era {
    fn new(slot: &Slot, generation: u64, config: LogConfig) -> Self {
        let secondaries = config.merge.secondaries.iter();
        Self {
            generation,
            start: slot.start.get(),
            quorum: config.merge.backup_quorum as usize,
            secondaries: secondaries.map(|one| one.name.to_string()).collect(),
            policy: config.witnesses.policy,
        }
    }

    /// Whether enough of its secondaries are among these.
    pub fn is_held(&self, by: &[String]) -> bool {
        let named = by.iter().filter(|name| self.secondaries.contains(name));
        named.count() >= self.quorum
    }

    /// Whether these cosigners satisfy the policy.
    pub fn is_witnessed(&self, by: &[String]) -> bool {
        let Ok(policy) = Policy::parse(&self.policy) else {
            return self.policy.is_empty();
        };
        policy.satisfied(|at| by.contains(&policy.witnesses[at].name))
    }
}

/// What the history of one life of the log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eras {
    /// By their generation, the oldest first.
    list: Vec<Era>,
    /// Global index of the first entry of each shard that was opened, by origin.
    starts: BTreeMap<String, u64>,
}

impl Eras {
    /// Reads the history from the rows of a store. `starts` are the shards that were there before it.
    ///
    /// # Errors
    /// A row that is not what it should be.
    pub fn read(
        rows: &BTreeMap<Key, Bytes>,
        starts: &BTreeMap<String, u64>,
    ) -> Result<Self, String> {
        let keys = Keys::new(LOG);
        let prefix = keys.history();
        let mut eras = Self {
            list: Vec::new(),
            starts: starts.clone(),
        };
        let history = rows.range(prefix.clone()..);
        for (key, row) in history.take_while(|(key, _)| key.starts_with(&prefix)) {
            let slot: Slot = record::decode(row).map_err(|e| format!("{key}: {e}"))?;
            let Some(Control::Reconfigure {
                base,
                document,
                open,
                ..
            }) = slot.control.as_ref().map(|decision| &decision.control)
            else {
                continue;
            };
            let config = document_of(rows, &keys, document)?;
            if let Some(open) = open {
                let start = slot.start.get();
                eras.starts.insert(config.shard_origin(open), start);
            }
            eras.list.push(Era::new(&slot, base.next().get(), config));
        }
        Ok(eras)
    }

    /// Global index of the first entry of a shard.
    pub fn start(&self, origin: &str) -> Option<u64> {
        self.starts.get(origin).copied()
    }

    /// The era of the last entry before a global index: of the newest that begins before that.
    pub fn of_last(&self, end: u64) -> Option<&Era> {
        self.list.iter().rev().find(|era| era.start < end)
    }

    /// The eras whose quorum may have allowed what ends there: that of the last entry, or a later one that has taken over.
    pub fn binding(&self, end: u64, until: u64) -> impl Iterator<Item = &Era> {
        let first = self.of_last(end).map_or(0, |era| era.generation);
        let list = self.list.iter();
        list.filter(move |era| (first..=until.max(first)).contains(&era.generation))
    }

    /// The eras whose policy may be that of a checkpoint that ends there. A change right behind the last entry may have come before or after;
    /// what is older than the history is under the first.
    pub fn at(&self, end: u64) -> impl Iterator<Item = &Era> {
        let behind = self.list.iter().filter(move |era| era.start == end);
        let last = self.of_last(end).or(self.list.first());
        last.into_iter().chain(behind)
    }

    /// The era of a generation.
    pub fn generation(&self, generation: u64) -> Option<&Era> {
        self.list.iter().find(|era| era.generation == generation)
    }

    /// The one that is in force for what is ordered next.
    pub fn newest(&self) -> Option<&Era> {
        self.list.last()
    }
}

/// A document without its frozen shards, from one row or several.
fn document_of(
    rows: &BTreeMap<Key, Bytes>,
    keys: &Keys,
    digest: &Hash,
) -> Result<LogConfig, String> {
    let key = keys.document(digest);
    let get = |key: &str| rows.get(key).ok_or_else(|| format!("{key} is missing"));
    let row = get(&key)?;
    let Ok(head) = record::decode::<serde_json::Value>(row) else {
        return logconfig::settings(row).map_err(|e| format!("{key}: {e}"));
    };
    let mut document = Vec::new();
    for part in 0..head["parts"].as_u64().unwrap_or(0) {
        document.extend_from_slice(get(&keys.document_part(digest, part))?);
    }
    logconfig::settings(&document).map_err(|e| format!("{key}: {e}"))
}
