//! Brings the shards of another Rekor into a log that is about to be made: as its first shards, frozen, under their tree IDs and indexes.
//!
//! An import has three steps. It begins with the keys and the last tree heads of the shards. Their entries are added in order, each with its time and
//! its signed entry timestamp. Then the log is created, with the shards as frozen ones in its document ([`super::imported`]). Until that is
//! decided there is no log: no reader sees any of it, nothing is signed, and it can be dropped.
//!
//! A row, `importing/{log}`, says how far it is, and it grows like the cuts of a log: tiles and times first, then size and root in the row. So an
//! import that is interrupted continues where the row says. Each write of the row follows the one that it knows, so of two processes that
//! change an import, drop it or make the log with it, one is refused before it has touched what the other relies on. Objects have no such guard: a
//! process that stands still may write those of an import that was dropped over those of the next one. So all of them are read once more before the
//! log is made ([`stored`]).
//!
//! What must never happen: an entry that the other Rekor has not signed with that index and time, or a shard whose root is not the one under
//! its last tree head. Nobody here has its private key, so what it signed is kept and answered as it is. Nor may objects be deleted of
//! which a log is made. So a drop is noted in the row first, and no log is made from such a row. A process that was suspended may delete what it has
//! listed before, although another import has written it again. So only a drop deletes objects before the log is made. After a drop that
//! continued an interrupted one, the log is made only once the interrupted one can no longer delete anything.

mod dropped;
mod entries;
mod fence;
mod row;
pub(super) mod standstill;
mod stored;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use logconfig::{Finding, LogConfig, LogName};
use store::{Coordination, Guard, Key, Outcome, StoreError, Transaction, record};
use tlog::{TreeSize, UnixMillis};

use self::entries::{grow, verified};
pub(crate) use self::fence::foreign;
pub(crate) use self::row::{Importing, ImportingShard};
use self::row::{Made, Stage};
use crate::control::ChangeError;
use crate::engine::{Engine, SYSTEM};
use crate::nodes::Nodes;
use crate::objects::LogObjects;

use order::keys::{IMPORTING, LOGS, RESTORING};
use order::mutant::{Mutant, left_out};
use order::slot::IMPORTS;

/// The most shards that one import brings: all of them are in one row.
const MAX_SHARDS: usize = 32;
/// Attempts to add the same entries, while other processes write the same import.
const ADD_ATTEMPTS: usize = 4;

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

/// The outcome of beginning an import.
#[derive(Debug)]
pub(super) enum Beginning {
    /// Nothing is to be written: it has begun with these shards, or the log is made with them.
    Known(Vec<ImportedSoFar>),
    /// It begins, or gets newer tree heads.
    New(Begins),
}

/// An import that begins, and what its row must follow.
#[derive(Debug)]
pub(super) struct Begins {
    next: Importing,
    guards: Vec<Guard>,
}

impl Begins {
    /// The shards, for the trail.
    pub(super) fn described(&self) -> String {
        self.next.described()
    }

    /// How far each shard is.
    pub(super) fn progress(&self) -> Vec<ImportedSoFar> {
        self.next.progress()
    }
}

/// That no import into a log is under way: what a transaction guards that makes the log, and the rows that it deletes.
#[derive(Debug)]
pub(crate) struct Free {
    pub(crate) guards: Vec<Guard>,
    pub(crate) deletes: Vec<Key>,
}

/// The refusal of shards or entries that cannot be imported.
fn not_importable(why: String) -> ChangeError {
    ChangeError::Invalid(vec![Finding::new(
        "not-importable",
        why,
        "",
        "see \"Replace a running Rekor\" in docs/sigstore.md for what can be imported",
    )])
}

/// The refusal of what the old Rekor did not sign, at this place of the request.
pub(in crate::control) fn unverified(why: String, pointer: String) -> ChangeError {
    ChangeError::Unverified(Box::new(Finding::new(
        "unverified",
        why,
        pointer,
        "readers see none of the imported entries; `logctl import rekor --drop` deletes them",
    )))
}

fn row(log: &str) -> String {
    format!("{IMPORTING}{log}")
}

/// The row of an import into a log, also of one that was dropped.
pub(crate) async fn known(
    store: &dyn Coordination,
    log: &str,
) -> Result<Option<Importing>, StoreError> {
    let key = row(log);
    let Some(bytes) = store.get(&key).await? else {
        return Ok(None);
    };
    let read = Importing::read(&bytes);
    read.map(Some)
        .map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))
}

/// Whether an import stands in the way of a log of its name that is made without it.
#[derive(Debug)]
pub(crate) enum Beside {
    /// Nothing that gets in the way.
    Nothing(Free),
    /// An import, or a drop of one.
    Import,
    /// A drop is complete, and a run of it that was interrupted may still delete objects for so many seconds.
    Standstill(u64),
}

/// Looks whether an import stands in the way of a log of its name. It asks the clock only if a drop was continued.
pub(crate) async fn beside(
    store: &dyn Coordination,
    log: &str,
    now: impl FnOnce() -> Result<UnixMillis, StoreError>,
) -> Result<Beside, StoreError> {
    let key = row(log);
    let Some(known) = known(store, log).await? else {
        return Ok(Beside::Nothing(Free {
            guards: vec![Guard::Absent(key)],
            deletes: Vec::new(),
        }));
    };
    if known.stage != Stage::Dropped {
        return Ok(Beside::Import);
    }
    let left = match known.continued {
        Some(_) => standstill::left(store, log, &known, now()?).await?,
        None => 0,
    };
    Ok(match left {
        0 => Beside::Nothing(Free {
            guards: vec![Guard::AtMost(key.clone(), known.edition)],
            deletes: vec![key],
        }),
        seconds => Beside::Standstill(seconds),
    })
}

impl Engine {
    /// The import into a log that is not made yet; `None` also for one that was dropped.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] while it is being dropped.
    pub(super) async fn importing(&self, log: &str) -> Result<Option<Importing>, ChangeError> {
        let importing = known(&*self.store, log).await?;
        match importing.as_ref().map(|importing| importing.stage) {
            Some(Stage::Dropping) => Err(ChangeError::Conflict(format!(
                "the import into the log {log} is being dropped, and some of it is deleted; `logctl import rekor --drop --log {log}` continues that"
            ))),
            Some(Stage::Dropped) => Ok(None),
            Some(Stage::Growing) | None => Ok(importing),
        }
    }

    /// Refuses what needs imported shards while a server lives that does not understand them.
    pub(super) fn imports_are_understood(&self) -> Result<(), ChangeError> {
        match self.formats.lacking(IMPORTS) {
            Some(server) => Err(ChangeError::Conflict(format!(
                "server {server} on these stores runs an older version, which does not understand imported shards; upgrade it first"
            ))),
            None => Ok(()),
        }
    }

    /// Checks whether an import of these shards, oldest first, can begin. Newer tree heads of the same shards replace the known ones, and
    /// shards that the old Rekor has added since follow them. With the document of the log, everything that would be refused at the end is
    /// refused here, except what only the entries can show. Nothing is written.
    pub(super) async fn import_beginning(
        self: &Arc<Self>,
        log: &LogName,
        shards: &[OldShard],
        document: Option<&LogConfig>,
    ) -> Result<Beginning, ChangeError> {
        let name = log.as_str();
        if shards.is_empty() || shards.len() > MAX_SHARDS {
            return Err(not_importable(format!(
                "an import has 1 to {MAX_SHARDS} shards, not {}",
                shards.len()
            )));
        }
        if name == SYSTEM {
            return Err(ChangeError::Conflict(format!(
                "the name {SYSTEM} is reserved"
            )));
        }
        self.imports_are_understood()?;
        let mut next = Importing::of(shards)?;
        let mut guards = vec![
            Guard::Absent(format!("{LOGS}{name}")),
            Guard::Absent(format!("{RESTORING}{name}")),
        ];
        if let Some(before) = self.importing(name).await? {
            next.continue_from(&before).map_err(|why| {
                ChangeError::Conflict(format!(
                    "another import into the log {name} has begun: {why}; `logctl import rekor --drop --log {name}` drops it"
                ))
            })?;
            self.can_end(name, document, &next).await?;
            if next.has_heads_of(&before) {
                return Ok(Beginning::Known(next.progress()));
            }
            guards.push(Guard::Present(row(name)));
        } else {
            // Another process may have made it.
            let is_there = self.open_made(name).await?;
            let made = self.log(name);
            if let Some(log) = made {
                match next.is_in(&log.ledger.state()) {
                    Made::Whole(progress) => {
                        self.is_made(document).await?;
                        return Ok(Beginning::Known(progress));
                    }
                    Made::Otherwise(why) => {
                        return Err(ChangeError::Conflict(format!(
                            "the log {name} was created with {why}. Its indexes continue from there, so nothing can be added before them: make sure that nobody writes to the old Rekor any more, and import it into a log with another name and origin"
                        )));
                    }
                    Made::Other => {}
                }
            }
            if is_there {
                return Err(ChangeError::Conflict(format!(
                    "the log {name} already exists, and shards can be imported only into a new log, as its first shards; choose another name"
                )));
            }
            self.not_restoring(name).await?;
            self.can_end(name, document, &next).await?;
            match known(&*self.store, name).await? {
                Some(dropped) => {
                    if let Some(left) = self.left_of(name, &dropped).await? {
                        return Err(ChangeError::Conflict(format!(
                            "the object store holds {left}, of an import that was dropped; `logctl import rekor --drop --log {name}` removes it"
                        )));
                    }
                    (next.edition, next.continued) = (dropped.edition, dropped.continued);
                    guards.push(Guard::Present(row(name)));
                }
                None => guards.push(Guard::Absent(row(name))),
            }
        }
        self.only_imported(name, &next).await?;
        Ok(Beginning::New(Begins { next, guards }))
    }

    /// Writes the row of an import that begins, or gets newer tree heads.
    pub(super) async fn import_begun(
        &self,
        log: &LogName,
        begins: Begins,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        let Begins { next, guards } = begins;
        let progress = next.progress();
        self.note_import(log.as_str(), guards, next).await?;
        Ok(progress)
    }

    /// Adds entries to a shard that is being imported, `from` its first one. Entries that are already there are not compared; the root
    /// shows at the end whether they are right.
    pub(super) async fn import_added(
        &self,
        log: &LogName,
        tree_id: u64,
        from: TreeSize,
        entries: Vec<OldEntry>,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        let name = log.as_str();
        if self.low_space.load(Relaxed) {
            let why = "less space is free than is kept in reserve";
            return Err(ChangeError::Full(why.to_owned()));
        }
        let mut left = ADD_ATTEMPTS;
        loop {
            self.not_restoring(name).await?;
            let importing = self.importing(name).await?.ok_or_else(|| {
                ChangeError::Conflict(format!(
                    "no import into the log {name} has begun, or the log has been created already"
                ))
            })?;
            let edition = importing.edition;
            let error = match self
                .add(name, importing, (tree_id, from, entries.clone()))
                .await
            {
                Ok(progress) => return Ok(progress),
                Err(error) => error,
            };
            // Another process wrote the row, and may have removed what was read here: what it left is what counts.
            left -= 1;
            let now = known(&*self.store, name).await?;
            if left == 0 || now.is_some_and(|now| now.edition == edition) {
                return Err(error);
            }
        }
    }

    /// Adds entries to an import as it was read.
    async fn add(
        &self,
        name: &str,
        mut importing: Importing,
        (tree_id, from, entries): (u64, TreeSize, Vec<OldEntry>),
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
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
            &Arc::default(),
        );
        grow(&objects, shard, &entries).await?;
        let progress = importing.progress();
        let guards = vec![
            Guard::Absent(format!("{LOGS}{name}")),
            Guard::Absent(format!("{RESTORING}{name}")),
            Guard::Present(row(name)),
        ];
        self.note_import(name, guards, importing).await?;
        Ok(progress)
    }

    /// Writes the row that follows the one that was read.
    async fn note_import(
        &self,
        name: &str,
        mut guards: Vec<Guard>,
        importing: Importing,
    ) -> Result<(), ChangeError> {
        if !left_out(Mutant::ImportRowIsNotFollowed) {
            guards.push(Guard::AtMost(row(name), importing.edition));
        }
        let puts = vec![(
            row(name),
            record::encode_numbered(importing.edition + 1, &importing),
        )];
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
                "another process changes the import into the log {name}, or the log has been created already; ask again"
            ))),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }
}
