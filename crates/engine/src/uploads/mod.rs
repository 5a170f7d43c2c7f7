//! Uploads that resume: which parts of a stream are ordered, from the rows that the slots' own transactions wrote.
//!
//! What must never happen: an entry of an upload that is twice in the log, or one that is skipped. So a part is ordered only at the
//! upload's position, one at a time: on one server because one task sends them, and between servers because a part's offset is
//! ordered once. The entries that arrive while a part is under way become the next part, so that the stream is as fast as large
//! batches are.

pub(crate) mod keyed;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, oneshot};

use crate::ingest::Ingest;
use crate::ingest::answer::{AppendError, Appended};
use crate::ledger::Ledger;
use crate::publish::signing::Signing;
use order::WINDOW;
use order::answer::Proposal;
use order::chunk::{Chunk, UploadId, UploadPart};
use order::keys::trailing_number;
use order::location::{Location, LocationRow};
use order::slot::Token;
use qos::job::cost;
use qos::{Advice, TenantId, Ticket};
use store::StoreError;
use store::record;

/// Uploads whose position is kept in memory; others are read again.
const REMEMBERED: usize = 1024;

/// Rows read at a time.
const PAGE: usize = 512;

/// Bytes that wait while a part is under way: of one upload, and of all. A single piece always may.
const AHEAD: (usize, usize) = (4 << 20, 64 << 20);

/// How long a part waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// The uploads of this server.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    by_id: Mutex<HashMap<UploadId, Arc<Upload>>>,
    /// Bytes that wait to be in the next part of their upload, of all of them.
    ahead: AtomicUsize,
}

/// One upload on this server.
#[derive(Debug, Default)]
struct Upload {
    parts: Mutex<Parts>,
    /// Wakes when there is room again, or no part is under way.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Parts {
    /// Its position, if it is in memory.
    standing: Option<u64>,
    /// The advice of the part that is under way.
    under_way: Option<Advice>,
    /// After everything that was taken.
    tail: u64,
    /// What will be the next part.
    waiting: VecDeque<Piece>,
    bytes: usize,
}

/// A chunk as its writer sent it.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    entries: u64,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Uploads {
    fn get(&self, id: UploadId) -> Arc<Upload> {
        let mut uploads = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= REMEMBERED && !uploads.contains_key(&id) {
            // Uploads without a request; their rows are read again.
            uploads.retain(|_, upload| Arc::strong_count(upload) > 1);
        }
        Arc::clone(uploads.entry(id).or_default())
    }
}

impl Ingest {
    /// An upload has an end: where it stands is read again.
    pub(crate) fn upload_ended(&self, id: UploadId) {
        self.uploads.get(id).parts().standing = None;
    }
}

impl Upload {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        // No code that can panic runs under this lock.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// What fits into a part of so much cost, and at least one piece.
    fn take(&mut self, most: u64) -> Vec<Piece> {
        let (mut pieces, mut sum) = (Vec::new(), 0);
        let size = |p: &Piece| cost(p.entries, p.bytes.len() as u64);
        while let Some(piece) = self
            .waiting
            .pop_front_if(|p| pieces.is_empty() || sum + size(p) <= most)
        {
            sum += size(&piece);
            self.bytes -= piece.bytes.len();
            pieces.push(piece);
        }
        pieces
    }
}

fn decode(key: &str, bytes: &[u8]) -> Result<LocationRow, StoreError> {
    record::decode(bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))
}

impl Ledger {
    /// The row of a batch's place, once it is ordered.
    pub(crate) async fn placed(
        &self,
        place: Location,
        token: Token,
    ) -> Result<Option<LocationRow>, StoreError> {
        let key = self.keys.placed(&place, token);
        let row = self.store.get(&key).await?;
        row.map(|bytes| decode(&key, &bytes)).transpose()
    }

    pub(crate) async fn part(
        &self,
        id: UploadId,
        offset: u64,
    ) -> Result<Option<LocationRow>, StoreError> {
        // A part's row does not depend on the token of the batch.
        self.placed(Location::Upload { id, offset }, Token::from_bytes([0; 16]))
            .await
    }

    /// Parts that waited for longer than the duplicate filter reaches are looked for in their rows, so that they may still be
    /// proposed.
    pub(crate) async fn renew_births(&self, mine: &mut [Proposal]) {
        for m in mine {
            let first_slot = self.state().len;
            let old = m.first_slot.is_some_and(|b| first_slot > b + WINDOW / 2);
            let Some((id, offset)) = m.work.batch().and_then(|b| b.part()).filter(|_| old) else {
                continue;
            };
            if let Ok(None) = self.part(id, offset).await {
                m.first_slot = Some(first_slot);
            }
        }
    }

    /// After how many entries an upload ends, where that was written down.
    pub(crate) async fn end_of(&self, id: UploadId) -> Result<Option<u64>, StoreError> {
        let ends = self.keys.placed_ends(id);
        let rows = self.store.scan(&ends, &ends, 1).await?;
        let end = rows.first().map(|(key, _)| trailing_number(key));
        Ok(end.flatten())
    }

    /// [`Log::upload`], and each part of it in order; at its `end` the row that says so.
    pub(crate) async fn parts(
        &self,
        id: UploadId,
        end: Option<u64>,
        mut each: impl FnMut(&LocationRow),
    ) -> Result<UploadProgress, StoreError> {
        let prefix = self.keys.placed_parts(id);
        let (mut progress, mut from) = (UploadProgress::default(), prefix.clone());
        loop {
            let page = self.store.scan(&prefix, &from, PAGE).await?;
            let full = page.len() == PAGE;
            for (key, bytes) in page {
                let row = decode(&key, &bytes)?;
                from = format!("{key}\0");
                // What was ordered behind the end belongs to nothing.
                let behind = end == Some(progress.accepted) && !row.is_end();
                if behind {
                    continue;
                }
                if trailing_number(&key) != Some(progress.accepted) {
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
                each(&row);
                progress.accepted += row.entries;
            }
            if !full {
                return Ok(progress);
            }
        }
    }
}

impl Signing {
    /// The place of an entry that is ordered.
    pub(crate) fn appended(&self, index: u64) -> Option<Appended> {
        let state = self.ledger.state();
        let shard = state.shard_at(index)?;
        Some(Appended {
            index,
            shard: Arc::clone(&self.shards.get(&state, &shard.identity.name)?.name),
            leaf_index: index - shard.start()?,
        })
    }
}

impl Ingest {
    /// Submits a part. The same part twice has one place; one that is not where the upload stands is refused, saying where that
    /// is. Waits while enough of the upload is on its way.
    pub(crate) async fn submit_part(
        self: &Arc<Self>,
        part: UploadPart,
        chunk: Chunk,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        let UploadPart { id, offset } = part;
        let Chunk { bytes, entries, .. } = chunk;
        let upload = self.uploads.get(id);
        let (reply, answer) = oneshot::channel();
        let piece = Piece {
            bytes,
            entries,
            reply,
        };
        let policy = self.running.policy.load();
        let granted = policy.granted(policy.grant(tenant, advice));
        let answer = async { answer.await.unwrap_or(Err(AppendError::Unknown)) };
        loop {
            let moved = upload.moved.notified();
            {
                let mut parts = upload.parts();
                if parts.under_way.is_none() {
                    parts.under_way = Some(advice.clone());
                    parts.tail = offset + entries;
                    // The writer may go away, what it sent is under way anyway.
                    let sender = Sender {
                        ingest: Arc::clone(self),
                        upload: Arc::clone(&upload),
                        id,
                        tenant,
                        advice: advice.clone(),
                    };
                    tokio::spawn(sender.run(offset, piece));
                    return Ok(Ticket { granted, answer });
                }
                let length = piece.bytes.len();
                let room = parts.waiting.is_empty()
                    || parts.bytes + length <= AHEAD.0
                        && self.uploads.ahead.load(Relaxed) + length <= AHEAD.1;
                if parts.tail == offset && parts.under_way.as_ref() == Some(advice) && room {
                    parts.tail += entries;
                    parts.bytes += length;
                    self.uploads.ahead.fetch_add(length, Relaxed);
                    parts.waiting.push_back(piece);
                    return Ok(Ticket { granted, answer });
                }
            }
            moved.await;
        }
    }
}

/// Orders what comes of an upload, part after part, until nothing waits or one fails.
struct Sender {
    ingest: Arc<Ingest>,
    upload: Arc<Upload>,
    id: UploadId,
    tenant: TenantId,
    advice: Advice,
}

impl Sender {
    async fn run(self, mut offset: u64, first: Piece) {
        let mut pieces = vec![first];
        while !pieces.is_empty() {
            let entries = pieces.iter().map(|p| p.entries).sum::<u64>();
            let result = self.order(offset, &pieces, entries).await;
            let mut before = 0;
            for piece in pieces {
                let _ = piece.reply.send(result.clone().map(|first| Appended {
                    index: first.index + before,
                    leaf_index: first.leaf_index + before,
                    shard: first.shard,
                }));
                before += piece.entries;
            }
            offset += entries;
            pieces = self.next(offset, result);
        }
    }

    /// The next part; none when nothing waits, or when what waits would follow on a part that is not there.
    fn next(&self, offset: u64, result: Result<Appended, AppendError>) -> Vec<Piece> {
        let mut parts = self.upload.parts();
        let before = parts.bytes;
        let pieces = match result {
            Ok(_) => {
                parts.standing = Some(offset);
                parts.take(self.ingest.batcher.piece())
            }
            Err(error) => {
                parts.standing = None;
                for piece in parts.take(u64::MAX) {
                    let _ = piece.reply.send(Err(error.clone()));
                }
                Vec::new()
            }
        };
        self.ingest
            .uploads
            .ahead
            .fetch_sub(before - parts.bytes, Relaxed);
        if pieces.is_empty() {
            parts.under_way = None;
        }
        drop(parts);
        self.upload.moved.notify_waiters();
        pieces
    }

    /// One part: the place of its first entry.
    async fn order(
        &self,
        offset: u64,
        pieces: &[Piece],
        entries: u64,
    ) -> Result<Appended, AppendError> {
        let bytes = match pieces {
            [one] => one.bytes.clone(),
            many => {
                let mut all = BytesMut::with_capacity(many.iter().map(|p| p.bytes.len()).sum());
                many.iter().for_each(|p| all.extend_from_slice(&p.bytes));
                all.freeze()
            }
        };
        let (id, digest) = (self.id, record::digest(&bytes));
        let failed = |e: StoreError| {
            tracing::warn!(error = %e, "cannot look for a part of an upload");
            AppendError::overloaded("the store does not answer")
        };
        let answered = |row: LocationRow| match row.digest == digest {
            true => self
                .ingest
                .signing
                .appended(row.index)
                .ok_or(AppendError::Unknown),
            false => Err(AppendError::UploadAt {
                accepted: offset + row.entries,
            }),
        };
        // Before the row is looked for: whatever was decided below it has its row.
        let first_slot = self.ingest.ledger.state().len;
        if let Some(row) = self.ingest.ledger.part(id, offset).await.map_err(failed)? {
            self.ingest.ledger.refresh().await.map_err(failed)?;
            return answered(row);
        }
        let standing = self.upload.parts().standing;
        if standing != Some(offset) {
            let end = self.ingest.ledger.end_of(id).await.map_err(failed)?;
            let progress = self.ingest.ledger.parts(id, end, |_| ()).await;
            let accepted = progress.map_err(failed)?.accepted;
            if accepted != offset || end == Some(offset) {
                return Err(AppendError::UploadAt { accepted });
            }
        }
        let chunk = Chunk {
            bytes,
            entries,
            upload: None,
        };
        let place = Location::Upload { id, offset };
        let queued =
            self.ingest
                .enqueue_chunk(chunk, Some((place, first_slot)), self.tenant, &self.advice);
        let Ok(ticket) = tokio::time::timeout(PATIENCE, queued).await else {
            return Err(AppendError::overloaded("the queue was full for a minute"));
        };
        let result = ticket?.answer.await;
        if matches!(result, Err(AppendError::Unknown))
            && let Ok(Some(row)) = self.ingest.ledger.part(id, offset).await
            && self.ingest.ledger.refresh().await.is_ok()
        {
            return answered(row);
        }
        result
    }
}

#[cfg(test)]
mod tests;
