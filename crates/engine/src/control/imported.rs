//! The end of an [import](super::import): the log is made with the imported shards, frozen and whole.
//!
//! No slot ordered their entries, so the log begins as one does whose first slots were collected: with a snapshot after slot 0. All
//! of it is one transaction, the log's name and the end of the import with it.
//!
//! What must never happen: a log with a shard that is not whole, or over another root than the old Rekor signed.

use std::sync::Arc;

use bytes::Bytes;
use logconfig::{Finding, LogConfig, ShardState};
use store::{Guard, Key, Outcome, StoreError, Transaction, record};
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

use super::create::{checked, created, in_use};
use super::import::{Importing, ImportingShard, standstill, unverified};
use crate::control::prepare::planned;
use crate::control::{Action, Applied, Author, ChangeError, ChangeOutcome, fits};
use crate::document;
use crate::engine::Engine;
use crate::keyring::kek_opens;
use crate::ledger::snapshot;
use crate::position::Position;
use order::keys::{IMPORTING, Keys, LOGS, ORIGINS, RESTORING};
use order::mutant::{Mutant, left_out};
use order::slot::{Control, Decision, ShardIdentity, Slot};
use order::state::{Phase, Remembered, Shard, State};
use order::token::Token;
use order::{Generation, SlotNumber};

/// A row to be put.
type Row = (Key, Bytes);

impl Engine {
    /// The import that a document completes; `None` for a log without imported shards.
    ///
    /// # Errors
    /// [`ChangeError`] where document and import do not belong together, or the import is not complete.
    pub(super) async fn import_of(
        &self,
        config: &LogConfig,
    ) -> Result<Option<Importing>, ChangeError> {
        let name = config.log.as_str();
        let Some(importing) = self.importing(name).await? else {
            return match frozen(config).next() {
                None => Ok(None),
                Some(shard) => Err(ChangeError::Invalid(vec![Finding::new(
                    "frozen-in-new-log",
                    format!(
                        "shard {shard} is frozen: a new log has no entries, unless they are imported"
                    ),
                    "/shards/0/state".to_owned(),
                    "list only active and planned shards, or import the shards of a Rekor with `logctl import rekor`",
                )])),
            };
        };
        self.imports_are_understood()?;
        check_frozen_shards(config, &importing)?;
        self.nobody_deletes(name, &importing).await?;
        for (at, shard) in importing.shards.iter().enumerate() {
            if shard.imported != shard.size {
                return Err(ChangeError::Conflict(format!(
                    "only {} of the {} entries of tree {} have been copied; run the same `logctl import rekor` command again",
                    shard.imported, shard.size, shard.tree_id
                )));
            }
            if shard.so_far != shard.root {
                let why = format!(
                    "the {} entries of tree {} have the root {}, but the tree head says {}: the old Rekor did not return the entries that it signed, so none of them are served; drop the import with `logctl import rekor --drop --log {name}`",
                    shard.size, shard.tree_id, shard.so_far, shard.root
                );
                return Err(unverified(why, format!("/config/shards/{at}")));
            }
        }
        Ok(Some(importing))
    }

    /// Refuses to make a log while a run of an earlier drop may still delete objects.
    async fn nobody_deletes(&self, name: &str, importing: &Importing) -> Result<(), ChangeError> {
        if importing.continued.is_none() {
            return Ok(());
        }
        let now = self.sound_time()?;
        match standstill::left(&*self.store, name, importing, now).await? {
            0 => Ok(()),
            seconds => Err(ChangeError::Conflict(format!(
                "{}; wait until then, and run the same `logctl import rekor` command again",
                standstill::refusal(name, seconds)
            ))),
        }
    }

    /// Makes a log with imported shards; `None` if another process has made it.
    pub(super) async fn create_imported(
        self: &Arc<Self>,
        config: &LogConfig,
        importing: &Importing,
        caller: Author,
    ) -> Result<Option<Applied>, ChangeError> {
        let name = config.log.as_str();
        self.imports_are_understood()?;
        self.vacant(config).await?;
        self.has_all_of(name, importing).await?;
        self.is_stored_as_signed(name, importing).await?;
        let origin = self.check_creatable(config).await?;
        // Nothing is decided with a wrong clock.
        let sound = self.clock.sound();
        sound.map_err(|fault| StoreError::Clock(fault.to_string()))?;
        let operation = match caller.operation(name) {
            Some(operation) => operation,
            None => Token::from_bytes(self.random.bytes().map_err(StoreError::from)?),
        };
        let written = config.written();
        let made = Made {
            operation,
            document: Hash(written.digest),
            time: self.clock.now(),
            caller,
        };
        let (shards, mut puts) = self.shards_of(config, importing)?;
        let (state, slot) = made.state(shards);
        document::check(&written.stored, &made.document, &state).map_err(|e| {
            ChangeError::Conflict(format!("the document does not fit the log: {e}"))
        })?;
        let keys = Keys::new(name);
        let limit = self.store.value_limit();
        puts.extend(document::rows(&keys, limit, &made.document, written.stored));
        puts.extend(snapshot::frozen_rows(&keys, &state, 0));
        puts.extend(snapshot::rows(&keys, &state));
        puts.extend(positions(&keys, importing, state.len));
        puts.extend([
            (keys.history_item(slot.number), record::encode(&slot)),
            (
                keys.generation(state.generation),
                record::encode_number(slot.number.get()),
            ),
            (
                keys.operation(operation),
                record::encode_number(slot.number.get()),
            ),
            (keys.floor(), record::encode_number(state.len.get())),
            (origin.clone(), record::encode(&name)),
            (format!("{LOGS}{name}"), record::encode(&name)),
        ]);
        let absent = [
            format!("{LOGS}{name}"),
            format!("{RESTORING}{name}"),
            origin,
        ];
        let import = format!("{IMPORTING}{name}");
        let mut as_read = vec![
            Guard::Present(import.clone()),
            Guard::AtMost(import.clone(), importing.edition),
        ];
        if left_out(Mutant::DroppedImportIsMade) {
            as_read.clear();
        }
        let transaction = Transaction {
            guards: absent
                .into_iter()
                .map(Guard::Absent)
                .chain(as_read)
                .collect(),
            puts,
            deletes: vec![import],
        };
        let outcome = self.store.transact(transaction).await;
        if let Outcome::Failed(e) = outcome {
            return Err(e.into());
        }
        let unknown = |e: &dyn std::fmt::Display| {
            tracing::warn!(error = %e, name, "it is not known whether the log was created");
            ChangeError::Unknown {
                operation: operation.to_string(),
            }
        };
        // Whoever made it: it is there, or not.
        let is_there = self.open_made(name).await;
        match (outcome, is_there) {
            (Outcome::Committed, Ok(_)) => {}
            (_, Ok(true)) => return Ok(None),
            (Outcome::Refused, there) => return there.map(|_| None).map_err(Into::into),
            // It may be decided, so no failure from here on is a refusal.
            (Outcome::Unknown(e), Ok(false)) | (_, Err(e)) => return Err(unknown(&e)),
            (Outcome::Failed(e), _) => return Err(e.into()),
        }
        if let Some(log) = self.opened(name) {
            let runs = log.running.update_running().await;
            runs.map_err(|e| unknown(&e))?;
        }
        self.partials_deleted(name, importing).await;
        Ok(Some(Applied {
            outcome: ChangeOutcome::Decided,
            time_ms: Some(slot.time),
            at_index: Some(slot.start),
            ..created(config, operation.to_string())
        }))
    }

    /// Refuses to begin an import that could not end in a log with this document, whatever its entries are.
    pub(super) async fn can_end(
        &self,
        name: &str,
        document: Option<&LogConfig>,
        importing: &Importing,
    ) -> Result<(), ChangeError> {
        let Some(document) = document else {
            return Ok(());
        };
        if document.log.as_str() != name {
            return Err(ChangeError::Invalid(vec![Finding::new(
                "other-log",
                format!(
                    "the document is of the log {}, but the request is for {name}",
                    document.log
                ),
                "/config/log",
                "use the same log name in the document and in the path",
            )]));
        }
        let document = checked(document.clone(), self.clock.now_seconds())?;
        check_frozen_shards(&document, importing)?;
        self.check_creatable(&document).await.map(drop)
    }

    /// Refuses a document other than the one that the existing log was created with.
    pub(super) async fn is_made(&self, document: Option<&LogConfig>) -> Result<(), ChangeError> {
        let Some(document) = document else {
            return Ok(());
        };
        let nobody = Author {
            actor: String::new(),
            idempotency_key: None,
            reason: None,
        };
        let document = checked(document.clone(), self.clock.now_seconds())?;
        self.existing(&document, &nobody).await.map(drop)
    }

    /// Refuses a document that no log on these stores may have; the name is not checked. Returns the key of the origin's row.
    async fn check_creatable(&self, config: &LogConfig) -> Result<Key, ChangeError> {
        if let Some(why) = self.formats.refuses(config, None, false) {
            return Err(ChangeError::Conflict(why));
        }
        // A key that is sealed with another key-encryption key could not be opened anywhere.
        let own = kek_opens(&self.kek, &*self.store).await;
        own.map_err(|e| ChangeError::Halted {
            reason: e.to_string(),
        })?;
        self.origin_is_free(config)?;
        let origin = format!("{ORIGINS}{}", config.origin);
        if let Some(owner) = self.store.get(&origin).await? {
            let owner: String = record::decode(&owner)
                .map_err(|e| StoreError::Corrupt(format!("{origin}: {e}")))?;
            return Err(ChangeError::Conflict(in_use(&config.origin, &owner)));
        }
        Ok(origin)
    }

    /// Opens the log of that name if there is one in the store; whether there is.
    pub(super) async fn open_made(self: &Arc<Self>, name: &str) -> Result<bool, StoreError> {
        let is_there = self.store.get(&format!("{LOGS}{name}")).await?.is_some();
        if is_there {
            self.open_log(name).await?;
        }
        Ok(is_there)
    }

    /// The shards of the log, and the rows with their sealed keys. An imported shard gets an Ed25519 key under its origin here, which signs
    /// the checkpoint over it for readers of tiles, auditors and secondaries; it never signs for Rekor's clients.
    fn shards_of(
        &self,
        config: &LogConfig,
        importing: &Importing,
    ) -> Result<(Vec<Shard>, Vec<Row>), ChangeError> {
        let keys = Keys::new(config.log.as_str());
        let (mut shards, mut puts) = (Vec::new(), Vec::new());
        let mut at = GlobalIndex::ZERO;
        let mut imported = importing.shards.iter();
        for shard in &config.shards {
            let old = match shard.state {
                ShardState::Frozen => imported.next(),
                _ => None,
            };
            let tree_id = match old {
                Some(old) => old.tree_id,
                None => self.vacant_tree(&shards, importing)?,
            };
            let key = match old {
                Some(_) => logconfig::Algorithm::Ed25519,
                None => shard.key.algorithm,
            };
            let (mut identity, sealed) =
                planned(config, &shard.name, key, tree_id, &self.kek, &self.random)?;
            identity.imported = old.map(|old| old.from.clone());
            puts.push((keys.signing_key(tree_id), sealed));
            let phase = match old {
                Some(ImportingShard { size, .. }) => Phase::Frozen {
                    start: at,
                    length: *size,
                },
                None if shard.state == ShardState::Active => Phase::Active { start: at },
                None => Phase::Planned,
            };
            at = at + old.map_or(TreeSize::ZERO, |old| old.size);
            shards.push(Shard {
                identity: Arc::new(identity),
                phase,
            });
        }
        Ok((shards, puts))
    }

    fn vacant_tree(&self, shards: &[Shard], importing: &Importing) -> Result<u64, StoreError> {
        loop {
            let id = self.random.number()? >> 1;
            let has = |identity: &ShardIdentity| identity.tree_id == id;
            let is_old = importing.shards.iter().any(|old| old.tree_id == id);
            if id > 0 && !is_old && !shards.iter().any(|shard| has(&shard.identity)) {
                return Ok(id);
            }
        }
    }
}

/// The frozen shards of a document, by name.
fn frozen(config: &LogConfig) -> impl Iterator<Item = &str> {
    let shards = config.shards.iter();
    let frozen = shards.filter(|shard| shard.state == ShardState::Frozen);
    frozen.map(|shard| shard.name.as_str())
}

/// Refuses a document that does not belong to an import.
fn check_frozen_shards(config: &LogConfig, importing: &Importing) -> Result<(), ChangeError> {
    if !importing.folders().eq(frozen(config)) {
        let name = &config.log;
        return Err(ChangeError::Conflict(format!(
            "the document lists other frozen shards than the import into the log {name}; run `logctl import rekor` again with this document, or drop the import with `logctl import rekor --drop --log {name}`"
        )));
    }
    check_imported_fields(config, importing)?;
    match config.active() {
        Some(_) => Ok(()),
        None => Err(ChangeError::Invalid(vec![Finding::new(
            "no-active-shard",
            "no shard is active, so the log could take no writes".to_owned(),
            "/shards".to_owned(),
            "list a shard with `state: active` after the imported ones",
        )])),
    }
}

/// Refuses a document that contradicts what was imported for a shard.
fn check_imported_fields(config: &LogConfig, importing: &Importing) -> Result<(), ChangeError> {
    let mut start = 0;
    for (at, (shard, old)) in config.shards.iter().zip(&importing.shards).enumerate() {
        let size = old.size.get();
        let (tree, root) = (old.tree_id.to_string(), old.root.to_string());
        let wrong = [
            (
                "treeId",
                shard.tree_id.as_ref().is_some_and(|id| *id != tree),
            ),
            (
                "startIndex",
                shard.start_index.is_some_and(|index| index != start),
            ),
            ("length", shard.length.is_some_and(|length| length != size)),
            (
                "rootHash",
                shard.root_hash.as_ref().is_some_and(|hash| *hash != root),
            ),
        ];
        if let Some((field, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
            return Err(ChangeError::Invalid(vec![Finding::new(
                "frozen-shard-changed",
                format!(
                    "shard {tree} was imported with {size} entries from index {start} on and the root {root}"
                ),
                format!("/shards/{at}/{field}"),
                "leave the field out: the server fills it in",
            )]));
        }
        start += size;
    }
    Ok(())
}

/// The creation of a log as its history and its state have it.
struct Made {
    operation: Token,
    document: Hash,
    time: UnixMillis,
    caller: Author,
}

impl Made {
    /// The state that the log begins with, and the slot for its history, which was never in the order.
    fn state(&self, shards: Vec<Shard>) -> (State, Slot) {
        let whole = shards.iter().filter_map(|shard| match shard.phase {
            Phase::Frozen { start, length } => Some(start + length),
            _ => None,
        });
        let size = whole.max().unwrap_or(GlobalIndex::ZERO);
        let open = shards
            .iter()
            .find(|shard| matches!(shard.phase, Phase::Active { .. }));
        let slot = Slot {
            format: 1,
            number: SlotNumber::ZERO,
            start: size,
            time: self.time,
            previous: Hash([0; 32]),
            batches: Vec::new(),
            control: Some(Decision {
                operation: self.operation,
                request: self.document,
                action: Action::Create,
                actor: self.caller.actor.clone(),
                control: Control::Reconfigure {
                    base: Generation::ZERO,
                    document: self.document,
                    plan: Vec::new(),
                    open: open.map(|shard| shard.identity.name.clone()),
                },
                reason: self.caller.reason.clone().map(fits::reason),
            }),
        };
        let made = Remembered {
            operation: self.operation,
            request: self.document,
            action: Action::Create,
            actor: self.caller.actor.clone(),
            slot: slot.number,
            time: slot.time,
            at_index: slot.start,
            base: Generation::ZERO,
            generation: Generation::ZERO.next(),
        };
        let state = State {
            len: slot.number.next(),
            size,
            time: slot.time,
            last: record::digest(&record::encode(&slot)),
            generation: made.generation,
            document: self.document,
            shards: Arc::new(shards),
            operations: Arc::new([made].into()),
            ..State::default()
        };
        (state, slot)
    }
}

/// How far the imported shards are integrated: whole. They are published like any cut, once a quorum of the secondaries has them.
fn positions(keys: &Keys, importing: &Importing, slots: SlotNumber) -> Vec<Row> {
    let shards = importing.shards.iter();
    let rows = shards.flat_map(|shard| {
        let (name, size, root) = (shard.tree_id.to_string(), shard.size, shard.root);
        let cut = Position { size, root, slots };
        [
            (keys.root(&name, size), record::encode(&root)),
            (
                keys.integrated(&name),
                record::encode_numbered(size.get(), &cut),
            ),
        ]
    });
    rows.collect()
}
