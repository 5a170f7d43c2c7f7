//! Uploads that resume: which parts of a stream are ordered, from the rows that the slots' own transactions wrote.
//!
//! What must never happen: an entry of an upload twice in the log, or one passed over. So a part is ordered only where the
//! upload stands, one at a time: on this server under a lock, and between servers because a part's offset is ordered once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{Either, ready};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::log::{AppendError, Appended, Core, Log};
use crate::order::WINDOW;
use crate::order::answer::Mine;
use crate::order::place::{Place, PlacedRow};
use crate::order::slot::Token;
use crate::qos::{Advice, Chunk, TenantId, Ticket, UploadId, UploadPart};
use crate::record;
use crate::store::StoreError;

/// Uploads whose standing is remembered here; more are read again.
const REMEMBERED: usize = 1024;

/// Rows read at a time.
const PAGE: usize = 512;

/// A run of an upload's entries with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadRange {
    /// Position in the upload of its first entry.
    pub first: u64,
    /// Global index of that entry.
    pub index: u64,
    /// How many there are.
    pub entries: u64,
}

/// What was accepted of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadProgress {
    /// Entries from its beginning; the next part has this offset.
    pub accepted: u64,
    /// Where they are, in order.
    pub ranges: Vec<UploadRange>,
}

/// Where an upload stands, when that is known here.
type Standing = Option<u64>;

/// The uploads under way on this server. A part holds its upload's lock until it is answered.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<UploadId, Arc<tokio::sync::Mutex<Standing>>>>);

impl Uploads {
    async fn lock(&self, id: UploadId) -> OwnedMutexGuard<Standing> {
        let lock = {
            let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if uploads.len() >= REMEMBERED && !uploads.contains_key(&id) {
                // Those that nobody holds; what they say is read again.
                uploads.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(uploads.entry(id).or_default())
        };
        lock.lock_owned().await
    }
}

impl UploadId {
    /// The same upload of one tenant: whoever else knows its id neither sees nor changes it.
    pub fn of(self, tenant: &str) -> Self {
        let mut text = self.0.to_vec();
        text.extend_from_slice(tenant.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&record::digest(&text).0[..16]);
        Self(bytes)
    }
}

fn decode(key: &str, bytes: &[u8]) -> Result<PlacedRow, StoreError> {
    record::decode(bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))
}

impl Core {
    /// The row of a batch's place, once it is ordered.
    pub(crate) async fn placed(
        &self,
        place: Place,
        token: Token,
    ) -> Result<Option<PlacedRow>, StoreError> {
        let key = self.order.keys.placed(&place, token);
        let row = self.store.get(&key).await?;
        row.map(|bytes| decode(&key, &bytes)).transpose()
    }

    async fn part(&self, id: UploadId, offset: u64) -> Result<Option<PlacedRow>, StoreError> {
        // A part's row does not depend on the token of the batch.
        self.placed(Place::Upload { id, offset }, Token::from_bytes([0; 16]))
            .await
    }

    /// The place of an entry that is ordered.
    pub(crate) fn appended(&self, index: u64) -> Option<Appended> {
        let state = self.order.state();
        let shard = state.shard_at(index)?;
        Some(Appended {
            index,
            shard: Arc::clone(&self.shards.get(&state, &shard.identity.name)?.name),
            leaf_index: index - shard.start()?,
        })
    }

    /// Parts that waited for longer than the duplicate filter reaches are looked for in their rows, so that they may still be
    /// proposed.
    pub(crate) async fn renew_births(&self, mine: &mut [Mine]) {
        for m in mine {
            let birth = self.order.state().len;
            let old = m.birth.is_some_and(|b| birth > b + WINDOW / 2);
            let Some((id, offset)) = m.work.batch().and_then(|b| b.part()).filter(|_| old) else {
                continue;
            };
            if let Ok(None) = self.part(id, offset).await {
                m.birth = Some(birth);
            }
        }
    }
}

impl Log {
    /// What was accepted of an upload, for a writer that goes on with it.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn upload(&self, id: UploadId) -> Result<UploadProgress, StoreError> {
        let core = &self.core;
        let prefix = core.order.keys.placed_parts(id);
        let (mut progress, mut from) = (UploadProgress::default(), prefix.clone());
        loop {
            let page = core.store.scan(&prefix, &from, PAGE).await?;
            let full = page.len() == PAGE;
            for (key, bytes) in page {
                let row = decode(&key, &bytes)?;
                if crate::order::keys::trailing_number(&key) != Some(progress.accepted) {
                    return Ok(progress); // Its beginning was swept; nothing joins on.
                }
                match progress.ranges.last_mut() {
                    Some(last) if last.index + last.entries == row.index => {
                        last.entries += row.entries
                    }
                    _ => progress.ranges.push(UploadRange {
                        first: progress.accepted,
                        index: row.index,
                        entries: row.entries,
                    }),
                }
                progress.accepted += row.entries;
                from = format!("{key}\0");
            }
            if !full {
                return Ok(progress);
            }
        }
    }

    /// Submits a part. The same part twice has one place; one that is not where the upload stands is refused, saying where that
    /// is.
    pub(crate) async fn submit_part(
        &self,
        part: UploadPart,
        chunk: Chunk,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        let core = Arc::clone(&self.core);
        let UploadPart { id, offset } = part;
        let place = Place::Upload { id, offset };
        let mut standing = core.uploads.lock(id).await;
        let (entries, digest) = (chunk.entries, record::digest(&chunk.bytes));
        let failed = |e: StoreError| {
            tracing::warn!(error = %e, "cannot look for a part of an upload");
            AppendError::overloaded("the store does not answer")
        };
        // Before the row is looked for: whatever was decided below it has its row.
        let birth = core.order.state().len;
        let answered = |row: PlacedRow| {
            if row.digest == digest {
                core.appended(row.index).ok_or(AppendError::Unknown)
            } else {
                Err(AppendError::UploadAt {
                    accepted: offset + row.entries,
                })
            }
        };
        if let Some(row) = core.part(id, offset).await.map_err(failed)? {
            core.order.refresh().await.map_err(failed)?;
            let policy = core.policy.load();
            let granted = policy.granted(policy.grant(tenant, advice));
            let answer = Either::Left(ready(answered(row)));
            return Ok(Ticket { granted, answer });
        }
        let accepted = match *standing {
            Some(accepted) if accepted == offset => accepted,
            _ => self.upload(id).await.map_err(failed)?.accepted,
        };
        if accepted != offset {
            return Err(AppendError::UploadAt { accepted });
        }
        let ticket = self
            .enqueue_chunk(chunk, Some((place, birth)), tenant, advice)
            .await?;
        let (reply, answer) = oneshot::channel();
        let log = self.clone();
        // The writer may go away, the part is under way all the same; the next one waits for it.
        tokio::spawn(async move {
            let mut result = ticket.answer.await;
            *standing = result.as_ref().ok().map(|_| offset + entries);
            if matches!(result, Err(AppendError::Unknown))
                && let Ok(Some(row)) = log.core.part(id, offset).await
                && log.core.order.refresh().await.is_ok()
            {
                result = if row.digest == digest {
                    log.core.appended(row.index).ok_or(AppendError::Unknown)
                } else {
                    Err(AppendError::UploadAt {
                        accepted: offset + row.entries,
                    })
                };
            }
            drop(standing);
            let _ = reply.send(result);
        });
        let answer = Either::Right(async { answer.await.unwrap_or(Err(AppendError::Unknown)) });
        Ok(Ticket {
            granted: ticket.granted,
            answer,
        })
    }
}

#[cfg(test)]
mod tests;
