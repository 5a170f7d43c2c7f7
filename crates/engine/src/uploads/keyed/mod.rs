//! Writes with an idempotency key: a write that is sent again keeps its place.
//!
//! A key names an upload of its tenant ([`crate::uploads`]): an entry is its first part, a batch is the whole upload. So the row of the
//! place is written in the transaction of the slot that orders it, and no two batches with one place are ordered, on one server or many;
//! the digest in the row tells a repeat from another request. A write without a key has no place and pays nothing for this.
//!
//! A batch comes in pieces, and one that broke off continues when its body is sent again. So its end is written down, too, before it
//! is answered, in a row of its own that no slot writes. Each key has at most one, put in a transaction which demands that there is
//! no other end and no next part. Where a longer body is sent at the same time, one of two things happens:
//!
//! - The end is there before the next part of the longer body is ordered: the longer body finds an end that is not its own.
//! - The part is there first: the shorter body gets no end.
//!
//! An entry by itself has no such row, which would be a transaction more. It cannot be mistaken for a batch that broke off, because the
//! first part of a batch has two entries or more unless it is the whole batch. So a batch of one entry and that entry by itself are the
//! same write.
//!
//! What must never happen: an entry is in the log twice because its writer sent it twice with one key; an answer names a place that holds
//! another entry; two different bodies are answered under one key.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::Either;
use sha2::{Digest as _, Sha256};
use tlog::Hash;

use crate::ingest::Ingest;
use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::commit::Payload;
use crate::ledger::Ledger;
use crate::ledger::locations::UploadProgress;
use crate::uploads::Uploads;
use order::batch;
use order::chunk::UploadId;
use order::location::{Location, LocationRow};
use order::mutant::{Mutant, left_out};
use order::token::Token;
use qos::{Advice, TenantId, Ticket};
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};

/// Separates these names from those of uploads, which a writer chooses.
const CONTEXT: &str = "logctl.dev/idempotency-key/v1";

/// An idempotency key of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteKey(UploadId);

impl WriteKey {
    /// The key as its tenant sent it.
    pub fn new(tenant: &str, key: &str) -> Self {
        let text = format!("{CONTEXT}\n{tenant}\n{key}");
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&record::digest(text.as_bytes()).0[..16]);
        Self(UploadId(bytes))
    }

    /// The upload that a batch with this key is.
    pub fn upload(self) -> UploadId {
        self.0
    }

    fn place(self) -> Location {
        Location::Upload {
            id: self.0,
            offset: 0,
        }
    }
}

/// The answer to a repeated batch with these bytes, from the row of its place.
fn repeated(ingest: &Ingest, row: &LocationRow, digest: &Hash) -> Result<Appended, AppendError> {
    if row.digest != *digest && !left_out(Mutant::KeyIsNotCompared) {
        return Err(AppendError::KeyReused);
    }
    ingest.appended(row.index).ok_or(AppendError::Unknown)
}

impl Ledger {
    async fn keyed(&self, key: WriteKey) -> Result<Option<LocationRow>, StoreError> {
        let row = self.part(key.0, 0).await?;
        let row = row.filter(|_| !left_out(Mutant::PlaceIsNotLookedFor));
        if row.is_some() {
            // The slot that ordered it may not be known here.
            self.refresh().await?;
        }
        Ok(row)
    }
}

impl Uploads {
    pub(crate) async fn submit_keyed(
        &self,
        key: WriteKey,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        AppendError::of_size(&entry)?;
        let mut bytes = BytesMut::with_capacity(entry.len() + 2);
        batch::push(&mut bytes, &entry);
        let ingest = Arc::clone(&self.ingest);
        let bytes = bytes.freeze();
        let digest = record::digest(&bytes);
        // Read before the row is looked for: every slot below it has already written its row.
        let first_slot = ingest.ledger.state().len;
        let row = ingest.ledger.keyed(key).await.map_err(|error| {
            tracing::warn!(%error, "cannot look for an idempotency key");
            AppendError::overloaded("the store does not answer")
        })?;
        if let Some(row) = row {
            let policy = self.ingest.running.policy.load();
            let granted = policy.granted(policy.grant(tenant, advice));
            let answer = repeated(&ingest, &row, &digest)?;
            let answer = Either::Left(std::future::ready(Ok(answer)));
            return Ok(Ticket { granted, answer });
        }
        let payload = Payload::Placed {
            bytes,
            at: (key.place(), first_slot),
        };
        let ticket = self.ingest.enqueue(payload, tenant, advice)?;
        let answer = Either::Right(async move {
            let result = ticket.answer.await;
            // Another batch was ordered under this key, or the outcome is unknown: the row decides.
            if matches!(result, Err(AppendError::Unknown))
                && let Ok(Some(row)) = ingest.ledger.keyed(key).await
            {
                return repeated(&ingest, &row, &digest);
            }
            result
        });
        Ok(Ticket {
            granted: ticket.granted,
            answer,
        })
    }

    pub(crate) async fn keyed_entry(&self, key: WriteKey) -> Result<Option<Appended>, StoreError> {
        let row = self.ingest.ledger.keyed(key).await?;
        Ok(row.and_then(|row| self.ingest.appended(row.index)))
    }

    pub(crate) async fn end_keyed_batch(
        &self,
        key: WriteKey,
        entries: u64,
    ) -> Result<(), AppendError> {
        let unknown = |error: StoreError| {
            tracing::warn!(%error, "cannot write down the end of a batch with an idempotency key");
            AppendError::Unknown
        };
        for _ in 0..2 {
            // Every part of this body is already ordered: an end before one of them was written first.
            if let Some(end) = self.ingest.ledger.end_of(key.0).await.map_err(unknown)? {
                return (end == entries).then_some(()).ok_or(AppendError::KeyReused);
            }
            let mut last = None;
            let progress = self
                .ingest
                .ledger
                .parts(key.0, None, |row| last = Some(*row))
                .await;
            let progress = progress.map_err(unknown)?;
            let Some(last) = last.filter(|_| progress.accepted == entries) else {
                return Err(match progress.accepted > entries {
                    true => AppendError::KeyReused,
                    false => AppendError::Unknown,
                });
            };
            let next = Location::Upload {
                id: key.0,
                offset: entries,
            };
            let keys = &self.ingest.ledger.keys;
            let next = keys.placed(&next, Token::from_bytes([0; 16]));
            let ends = keys.placed_ends(key.0);
            let row = keys.placed_end(key.0, entries);
            let transaction = Transaction {
                guards: vec![Guard::Absent(next), Guard::NoneFrom(ends.clone(), ends)],
                puts: vec![(row, record::encode(&last.end()))],
                deletes: Vec::new(),
            };
            match self.ingest.ledger.store.transact(transaction).await {
                Outcome::Committed => {
                    self.ended(key.0);
                    return Ok(());
                }
                // Another request wrote the same end, or added a part.
                Outcome::Refused => {}
                Outcome::Failed(error) | Outcome::Unknown(error) => return Err(unknown(error)),
            }
        }
        Err(AppendError::Unknown)
    }

    pub(crate) async fn keyed_batch(
        &self,
        key: WriteKey,
    ) -> Result<(UploadProgress, Repeat), StoreError> {
        let (mut parts, mut ended) = (VecDeque::new(), false);
        let each = |row: &LocationRow| match row.is_end() {
            true => ended = true,
            false => parts.push_back((row.entries, row.digest)),
        };
        let end = self.ingest.ledger.end_of(key.0).await?;
        let progress = self.ingest.ledger.parts(key.0, end, each).await?;
        if progress.accepted > 0 {
            self.ingest.ledger.refresh().await?;
        }
        // A body of more entries begins with a part of at least two.
        ended |= progress.accepted == 1;
        let repeat = Repeat {
            parts,
            ended,
            hash: Sha256::new(),
            entries: 0,
        };
        Ok((progress, repeat))
    }
}

/// The beginning of a batch that was accepted under a key: a repeat must be the same, entry by entry.
#[derive(Clone, Debug, Default)]
pub struct Repeat {
    /// Entries and digest of each part that is not passed yet.
    parts: VecDeque<(u64, Hash)>,
    /// Whether the batch ends after them.
    ended: bool,
    hash: Sha256,
    /// How many entries the first part has.
    entries: u64,
}

/// The batch differs from the one that was accepted under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reused;

impl Repeat {
    /// Takes the next entry of the repeat.
    ///
    /// # Errors
    /// [`Reused`] at the end of a part that differs, and behind the end.
    pub fn entry(&mut self, entry: &[u8]) -> Result<(), Reused> {
        let Some((entries, digest)) = self.parts.front() else {
            return (!self.ended).then_some(()).ok_or(Reused);
        };
        self.hash.update((entry.len() as u16).to_be_bytes());
        self.hash.update(entry);
        self.entries += 1;
        if self.entries < *entries {
            return Ok(());
        }
        let same = self.hash.finalize_reset().as_slice() == digest.0;
        self.parts.pop_front();
        self.entries = 0;
        same.then_some(()).ok_or(Reused)
    }

    /// Whether a whole body was accepted, so that nothing can come after it.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Checks that the body ends where the accepted one does.
    ///
    /// # Errors
    /// [`Reused`] when it is shorter than the accepted one.
    pub fn end(&self) -> Result<(), Reused> {
        self.parts.is_empty().then_some(()).ok_or(Reused)
    }
}

#[cfg(test)]
mod tests;
