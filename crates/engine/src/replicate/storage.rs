//! Decides which storage of a secondary counts, and whether that storage has everything that an earlier one was ever counted for.
//!
//! A secondary that lost its disk comes back as another **incarnation**: from its first answer on, the rows of the earlier one no longer count. For a
//! restore that is not enough: it asks N-q+1 of N secondaries, and relies on each of them still having what it had verified, on whatever disk. So the
//! row `storage/{name}` says which storage the secondary had last, and whether that one is *whole*: it is the first one that this log knew, or it has
//! verified everything that was published when it replaced the earlier one. Manifests carry these rows.
//!
//! What must never happen: a storage is called whole although it lacks entries that an earlier one of the same secondary was counted for. The row has
//! a number, which grows with every write and guards these writes:
//!
//! - the row itself, and `secondary/{name}`, which is written with it: by the number that was read;
//! - each `verified` row: by the number under which its author learned that the older shards are there;
//! - each `manifest` row: by the number under which the manifest was sent;
//! - each published position, hand-over and announcement: by the numbers under which the secondaries were counted.

use std::sync::Arc;

use bytes::Bytes;

use crate::position;
use crate::position::{Live, Storage};
use crate::replicate::{Copier, CopyError};
use order::mutant::{Mutant, left_out};
use store::record;
use store::{Guard, Key, Outcome, StoreError, Transaction};
use tlog::TreeSize;

/// How often a row is written again after a conflict with other writers.
const TRIES: u32 = 5;

impl Copier {
    /// Forgets the assumed state of the secondary if another process wrote the row since: that process may have seen another storage,
    /// or one that has less than it had verified.
    pub(crate) async fn recall(&mut self) -> Result<(), StoreError> {
        let guard = Arc::clone(&self.guard);
        let (number, _) =
            position::storage(&*guard.ledger.store, &guard.ledger.keys, &self.name).await?;
        self.assumed.read(number);
        Ok(())
    }

    /// How much of a shard the answering storage has verified, according to its row.
    pub(crate) async fn verified(&self, shard: &str) -> Result<Option<TreeSize>, StoreError> {
        let Some(incarnation) = self.assumed.incarnation() else {
            return Ok(None);
        };
        let (store, keys) = (&*self.guard.ledger.store, &self.guard.ledger.keys);
        let live = position::live(store, keys, &self.name).await?;
        if live.is_none_or(|live| live.incarnation != incarnation || live.vkey != self.vkey) {
            return Ok(None);
        }
        let row = position::verified(store, keys, &self.name, incarnation, shard).await?;
        Ok(row.map(|row| row.size))
    }

    /// Called when another storage than before answers. From now on the earlier one counts for nothing, even before this one has verified anything,
    /// and the manifest may be lost with it.
    pub(crate) async fn meet(&mut self, named: &str) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        for _ in 0..TRIES {
            let (number, _) = position::storage(store, keys, &self.name).await?;
            let live = position::live(store, keys, &self.name).await?;
            let told = position::manifest(store, keys, &self.name).await?;
            let other = live.filter(|live| live.incarnation != named);
            let mut written = number;
            let mut transaction = Transaction {
                guards: vec![Guard::AtMost(keys.storage(&self.name), number)],
                ..Transaction::default()
            };
            if told.is_some_and(|told| told.incarnation != named) {
                transaction.deletes.push(keys.manifest(&self.name));
            }
            if let Some(old) = other {
                tracing::warn!(
                    log = guard.ledger.name,
                    secondary = self.name,
                    incarnation = named,
                    before = old.incarnation,
                    "another incarnation answers: it counts when it has verified what is published"
                );
                let now = self.live(named);
                let prefix = keys.verified(&self.name, &old.incarnation, "");
                let rows = store.scan(&prefix, &prefix, 10_000).await?;
                if left_out(Mutant::WipedSecondaryCounts) {
                    let moved = |(key, row): &(Key, Bytes)| {
                        let shard = key.strip_prefix(&prefix).unwrap_or_default();
                        (keys.verified(&self.name, named, shard), row.clone())
                    };
                    transaction.puts.extend(rows.iter().map(moved));
                }
                let deletes = &mut transaction.deletes;
                deletes.extend(rows.into_iter().map(|(key, _)| key));
                // A storage that comes back counts again.
                deletes.push(keys.gone(&self.name, named));
                let gone = keys.gone(&self.name, &old.incarnation);
                let puts = &mut transaction.puts;
                puts.push((gone, record::encode_number(now.since.get())));
                puts.push((keys.secondary(&self.name), record::encode(&now)));
                puts.push(self.storage_row(named, number + 1, false));
                written += 1;
            }
            if !transaction.deletes.is_empty() {
                match store.transact(transaction).await {
                    Outcome::Committed => guard
                        .running
                        .progress
                        .merged
                        .send_modify(|count| *count += 1),
                    // Another process has met this storage too.
                    Outcome::Refused => continue,
                    Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
                }
            }
            self.assumed.meet(named, written);
            // Told at once, because entries that it gets next may be published before this pass ends.
            guard.peers.secondary(&self.name, |state| {
                state.incarnation = Some(named.to_owned())
            });
            return Ok(());
        }
        Err(self.contended())
    }

    fn live(&self, incarnation: &str) -> Live {
        Live {
            incarnation: incarnation.to_owned(),
            vkey: self.vkey.clone(),
            since: self.guard.ledger.clock.now(),
        }
    }

    fn storage_row(&self, incarnation: &str, number: u64, whole: bool) -> (Key, Bytes) {
        let row = Storage {
            incarnation: incarnation.to_owned(),
            vkey: self.vkey.clone(),
            whole,
        };
        let key = self.guard.ledger.keys.storage(&self.name);
        (key, record::encode_numbered(number, &row))
    }

    pub(crate) fn contended(&self) -> CopyError {
        CopyError::Refused(format!(
            "another server is updating the storage row of secondary {}; trying again",
            self.name
        ))
    }

    /// Adds to a transaction what must be written with the first rows of this storage, if that is not written yet. Guards the transaction,
    /// and returns the number of the storage's row after it.
    pub(crate) async fn counts(&self, transaction: &mut Transaction) -> Result<u64, StoreError> {
        let incarnation = self.assumed.incarnation().unwrap_or_default();
        let (store, keys) = (&*self.guard.ledger.store, &self.guard.ledger.keys);
        let (number, storage) = position::storage(store, keys, &self.name).await?;
        let live = position::live(store, keys, &self.name).await?;
        // Another process may have found out more since, which this one does not know yet.
        let number = self.assumed.row().unwrap_or(number);
        let guard = Guard::AtMost(keys.storage(&self.name), number);
        transaction.guards.push(guard);
        let first = live.is_none() && storage.is_none();
        let is = |of: &str, vkey: &str| of == incarnation && vkey == self.vkey;
        let known = live.is_some_and(|live| is(&live.incarnation, &live.vkey));
        let noted = storage.filter(|row| is(&row.incarnation, &row.vkey));
        if known && noted.is_some() {
            return Ok(number);
        }
        // A restored log begins with the rows of the life before. Until this life may sign, it is unknown what the earlier life has
        // counted on since.
        let whole = match noted {
            Some(row) => row.whole,
            None => first && self.guard.life.may_sign().await?,
        };
        let puts = &mut transaction.puts;
        puts.push((
            keys.secondary(&self.name),
            record::encode(&self.live(incarnation)),
        ));
        puts.push(self.storage_row(incarnation, number + 1, whole));
        Ok(number + 1)
    }

    /// Calls this storage whole once it has verified everything that was published when it was found not to be whole. Returns whether that
    /// changed.
    pub(crate) async fn vouch(&mut self) -> Result<bool, CopyError> {
        let guard = Arc::clone(&self.guard);
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        let Some(incarnation) = self.assumed.incarnation().map(str::to_owned) else {
            return Ok(false);
        };
        // An earlier life may have counted on more than this one was restored with.
        if !guard.life.may_sign().await? {
            return Ok(false);
        }
        let (number, row) = position::storage(store, keys, &self.name).await?;
        let is = |of: &str, vkey: &str| of == incarnation && vkey == self.vkey;
        let noted = row.filter(|row| is(&row.incarnation, &row.vkey));
        if noted.as_ref().is_some_and(|row| row.whole) {
            self.assumed.owes(None);
            return Ok(false);
        }
        if self.assumed.row().is_some_and(|known| known != number) {
            // Another server wrote something about it: the next pass begins with that.
            return Ok(true);
        }
        let live = position::live(store, keys, &self.name).await?;
        if live.is_none_or(|live| !is(&live.incarnation, &live.vkey)) {
            // Nothing that this storage has counts yet.
            return Ok(false);
        }
        let state = guard.ledger.state();
        // Since this storage answers, no other storage of the secondary has been counted for a publication.
        let owed = match self.assumed.owed(number) {
            Some(owed) => owed,
            None => position::published_index(store, keys, &state).await?,
        };
        self.assumed.owes(Some((number, owed)));
        let has = match position::end(&state, owed) {
            None => true,
            Some((shard, size)) => {
                let shard = &shard.identity.name;
                let row = position::verified(store, keys, &self.name, &incarnation, shard).await?;
                row.is_some_and(|row| row.size >= size)
            }
        };
        // A server from before there was this row has written none.
        if !has && noted.is_some() {
            return Ok(false);
        }
        let transaction = Transaction {
            guards: vec![Guard::AtMost(keys.storage(&self.name), number)],
            puts: vec![self.storage_row(&incarnation, number + 1, has)],
            ..Transaction::default()
        };
        match store.transact(transaction).await {
            Outcome::Committed => {
                self.assumed.wrote(number + 1);
                Ok(true)
            }
            Outcome::Refused => Err(self.contended()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }

    /// Called when a storage has less of a shard than it had verified.
    pub(crate) async fn lacks(
        &mut self,
        shard: &str,
        had: TreeSize,
        has: TreeSize,
    ) -> Result<CopyError, CopyError> {
        let what =
            format!("it has {has} of the {had} entries of shard {shard} that it had verified");
        self.set_back(&what).await
    }

    /// Called when a storage lacks something that it had; `what` says what. It is then an older copy of itself, and counts again once it has accepted
    /// the manifest and verified all entries again.
    pub(crate) async fn set_back(&mut self, what: &str) -> Result<CopyError, CopyError> {
        let guard = Arc::clone(&self.guard);
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        let incarnation = self.assumed.incarnation().unwrap_or_default();
        let (mut number, _) = position::storage(store, keys, &self.name).await?;
        // It may also have less of the other shards, and an older manifest. Done twice: a row that another server writes while the rows are
        // listed is in the second list; once the number is raised, that server writes none.
        let prefix = keys.verified(&self.name, incarnation, "");
        for _ in 0..2 {
            let rows = store.scan(&prefix, &prefix, 10_000).await?;
            let mut transaction = Transaction {
                guards: vec![Guard::AtMost(keys.storage(&self.name), number)],
                puts: vec![self.storage_row(incarnation, number + 1, false)],
                deletes: rows.into_iter().map(|(key, _)| key).collect(),
            };
            transaction.deletes.push(keys.manifest(&self.name));
            match store.transact(transaction).await {
                Outcome::Committed => number += 1,
                Outcome::Refused => return Err(self.contended()),
                Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            }
        }
        self.assumed.is_older(number);
        guard
            .running
            .progress
            .merged
            .send_modify(|count| *count += 1);
        Ok(CopyError::Refused(format!(
            "{what}: its storage is an older copy, and is filled again"
        )))
    }
}
