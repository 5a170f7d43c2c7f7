//! Brings the shards of another Rekor into a log that is about to be made: as its first shards, frozen, under their tree IDs and indexes.
//!
//! An import has three steps. It begins with the keys and the last tree heads of the shards. Their entries are added in order, each with its time and
//! its signed entry timestamp. Then the log is created, with the shards as frozen ones in its document ([`super::imported`]). Until that is
//! decided there is no log: no reader sees any of it, nothing is signed, and it can be dropped.
//!
//! A row, `importing/{log}`, says how far it is, and it grows like the cuts of a log: tiles and times first, then size and root in the row. So an
//! import that is interrupted continues where the row says.
//!
//! What must never happen: an entry that the other Rekor has not signed with that index and time, or a shard whose root is not the one under
//! its last tree head. Nobody here has its private key, so what it signed is kept and answered as it is.

mod entries;
mod row;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use logconfig::LogName;
use store::{Guard, Outcome, StoreError, Transaction, record};
use tlog::{TilePath, TreeSize, UnixMillis};

use self::entries::{grow, verified};
pub(super) use self::row::{Importing, ImportingShard};
use crate::control::ChangeError;
use crate::engine::{Engine, SYSTEM};
use crate::nodes::Nodes;
use crate::objects::LogObjects;
use crate::orphans;
use crate::times;
use order::keys::{IMPORTING, LOGS, RESTORING};
use order::slot::IMPORTS;

/// The most shards that one import brings: all of them are in one row.
const MAX_SHARDS: usize = 32;

/// A shard of another Rekor, as it describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldShard {
    /// The number of its tree.
    pub tree_id: u64,
    /// Its key: SubjectPublicKeyInfo of P-256, DER.
    pub key: Vec<u8>,
    /// The signed note over its last size and root.
    pub note: String,
}

/// An entry of another Rekor, as it answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldEntry {
    /// The bytes that its tree has a hash of.
    pub leaf: Bytes,
    /// When it was integrated, seconds since the Unix epoch.
    pub seconds: u64,
    /// Its signed entry timestamp (ASN.1 DER).
    pub timestamp: Vec<u8>,
}

/// How far a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSoFar {
    /// The number of its tree; its name here is the same in decimal.
    pub tree_id: u64,
    /// How many entries its tree head covers.
    pub size: TreeSize,
    /// How many of them are here.
    pub imported: TreeSize,
}

fn row(log: &str) -> String {
    format!("{IMPORTING}{log}")
}

impl Engine {
    /// The import into a log that is not made yet.
    pub(super) async fn importing(&self, log: &str) -> Result<Option<Importing>, StoreError> {
        let key = row(log);
        let Some(bytes) = self.store.get(&key).await? else {
            return Ok(None);
        };
        let read = record::decode_numbered(&bytes);
        let (_, importing) = read.map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
        Ok(Some(importing))
    }

    /// Begins the import of another Rekor's shards, oldest first, or looks how far it is. Newer tree heads of the same shards replace the
    /// known ones.
    pub(super) async fn import_begun(
        self: &Arc<Self>,
        log: &LogName,
        shards: &[OldShard],
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        let name = log.as_str();
        if shards.is_empty() || shards.len() > MAX_SHARDS {
            return Err(ChangeError::Conflict(format!(
                "an import brings from 1 to {MAX_SHARDS} shards, not {}",
                shards.len()
            )));
        }
        if name == SYSTEM {
            return Err(ChangeError::Conflict(format!(
                "the name {SYSTEM} is reserved"
            )));
        }
        self.imports_are_understood()?;
        let mut next = Importing {
            begun: self.clock.now(),
            shards: Vec::new(),
        };
        for old in shards {
            let shard = ImportingShard::verified(old).map_err(ChangeError::Conflict)?;
            if next
                .shards
                .iter()
                .any(|other| other.tree_id == shard.tree_id)
            {
                return Err(ChangeError::Conflict(format!(
                    "tree {} is there twice",
                    shard.tree_id
                )));
            }
            next.shards.push(shard);
        }
        let mut sizes = next.shards.iter().map(|shard| shard.size.get());
        let sum = sizes.try_fold(0, u64::checked_add);
        if sum.is_none_or(|sum| i64::try_from(sum).is_err()) {
            return Err(ChangeError::Conflict(
                "the shards have more entries than a log can have".to_owned(),
            ));
        }
        let before = self.importing(name).await?;
        let mut guards = vec![
            Guard::Absent(format!("{LOGS}{name}")),
            Guard::Absent(format!("{RESTORING}{name}")),
        ];
        match before {
            Some(before) => {
                next.continue_from(&before).map_err(|why| {
                    ChangeError::Conflict(format!(
                        "another import into the log {name} has begun: {why}; `logctl import rekor --drop --log {name}` drops it"
                    ))
                })?;
                guards.push(Guard::Present(row(name)));
            }
            None => {
                // Another process may have made it.
                let is_there = self.open_made(name).await?;
                let made = self.log(name);
                if let Some(progress) = made.and_then(|log| next.is_done(&log.ledger.state())) {
                    return Ok(progress);
                }
                if is_there {
                    return Err(ChangeError::Conflict(format!(
                        "there is a log {name} already: imported shards are the first ones of a log, so they come into one that is made with them; choose another name"
                    )));
                }
                if let Some(orphan) = orphans::of_log(&*self.objects, name).await? {
                    return Err(ChangeError::Conflict(orphans::occupied(name, &orphan)));
                }
                guards.push(Guard::Absent(row(name)));
            }
        }
        self.note_import(name, guards, &next).await?;
        Ok(next.progress())
    }

    /// Refuses imports while an older server lives on these stores.
    pub(super) fn imports_are_understood(&self) -> Result<(), ChangeError> {
        match self.formats.lacking(IMPORTS) {
            None => Ok(()),
            Some(server) => Err(ChangeError::Conflict(format!(
                "server {server} on these stores runs an older version, which does not understand imported shards; upgrade it first"
            ))),
        }
    }

    /// Adds entries to a shard that is being imported, `from` its first one. Those that are there already are compared with nothing: the
    /// root shows in the end whether they are right.
    pub(super) async fn import_added(
        &self,
        log: &LogName,
        tree_id: u64,
        from: TreeSize,
        entries: Vec<OldEntry>,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        let name = log.as_str();
        let none = || {
            ChangeError::Conflict(format!(
                "no import into the log {name} has begun, or the log is made already"
            ))
        };
        if self.low_space.load(Relaxed) {
            let why = "less space is free than is kept in reserve";
            return Err(ChangeError::Full(why.to_owned()));
        }
        let mut importing = self.importing(name).await?.ok_or_else(none)?;
        let at = importing
            .shards
            .iter()
            .position(|shard| shard.tree_id == tree_id);
        let at = at.ok_or_else(|| {
            ChangeError::Conflict(format!("tree {tree_id} is not part of this import"))
        })?;
        let before: u64 = importing
            .shards
            .iter()
            .take(at)
            .map(|shard| shard.size.get())
            .sum();
        let shard = &mut importing.shards[at];
        let end = from.get().saturating_add(entries.len() as u64);
        if from > shard.imported || end > shard.size.get() {
            return Err(ChangeError::Conflict(format!(
                "tree {tree_id} has {} of its {} entries here; entries {from} to {end} do not continue them",
                shard.imported, shard.size
            )));
        }
        let known = usize::try_from(shard.imported - from).unwrap_or(usize::MAX);
        if known >= entries.len() {
            return Ok(importing.progress());
        }
        let entries = entries.into_iter().skip(known).collect();
        let first = before + shard.imported.get();
        let (entries, since) = verified(shard, first, entries).await?;
        let known = shard.from.since;
        if known == UnixMillis::ZERO || since < known {
            shard.from.since = since;
        }
        let objects = LogObjects::new(
            name,
            Arc::clone(&self.objects),
            Nodes::new(Arc::clone(&self.objects), Arc::clone(&self.merge.places)),
            self.clock.clone(),
        );
        let old = shard.imported;
        grow(&objects, shard, &entries).await?;
        let size = shard.imported;
        let (identity, progress) = (shard.identity(), importing.progress());
        let guards = vec![
            Guard::Absent(format!("{LOGS}{name}")),
            Guard::Present(row(name)),
        ];
        self.note_import(name, guards, &importing).await?;
        // Nobody reads them any more; what an error leaves is harmless.
        let behind = tlog::partial_tiles(old.get()).into_iter();
        let stale =
            behind.filter(|tile| TilePath::at(tile.kind, tile.index, size.get()) != Some(*tile));
        let stale = stale.flat_map(|tile| {
            let times = (tile.kind == tlog::TileKind::Entries).then(|| times::path(tile));
            [Some(tile.to_string()), times]
        });
        let stale = stale
            .flatten()
            .map(|path| objects.path(&identity.name, &path))
            .collect();
        if let Err(error) = objects.store.delete(stale).await {
            tracing::warn!(log = name, %error, "partial tiles of an import are left");
        }
        Ok(progress)
    }

    /// Drops an import: its entries and the row. Returns whether there was one.
    pub(super) async fn import_dropped(&self, log: &LogName) -> Result<bool, ChangeError> {
        let name = log.as_str();
        if self.store.get(&row(name)).await?.is_none() {
            return Ok(false);
        }
        if self.store.get(&format!("{LOGS}{name}")).await?.is_some() {
            return Err(ChangeError::Conflict(format!("the log {name} is made")));
        }
        // The row goes last: what is left of an interrupted drop is dropped by the next one.
        let objects = self.objects.list(&format!("{name}/")).await?;
        for some in objects.chunks(256) {
            self.objects.delete(some.to_vec()).await?;
        }
        let transaction = Transaction {
            guards: vec![Guard::Absent(format!("{LOGS}{name}"))],
            deletes: vec![row(name)],
            ..Transaction::default()
        };
        self.written(name, transaction).await?;
        Ok(true)
    }

    async fn note_import(
        &self,
        name: &str,
        mut guards: Vec<Guard>,
        importing: &Importing,
    ) -> Result<(), ChangeError> {
        let number = importing.number();
        guards.push(Guard::AtMost(row(name), number));
        let puts = vec![(row(name), record::encode_numbered(number, importing))];
        let transaction = Transaction {
            guards,
            puts,
            ..Transaction::default()
        };
        self.written(name, transaction).await
    }

    async fn written(&self, name: &str, transaction: Transaction) -> Result<(), ChangeError> {
        match self.store.transact(transaction).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused => Err(ChangeError::Conflict(format!(
                "another process changes the import into the log {name}, or the log is made already; ask again"
            ))),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }
}
