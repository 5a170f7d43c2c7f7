//! Uploads that resume: which parts of a stream are ordered, from the rows that the slots' own transactions wrote.
//!
//! What must never happen: an entry of an upload is in the log twice, or is skipped. So a part is ordered only at the upload's position,
//! one at a time: on one server because one task sends them, and between servers because a part's offset is ordered once. The entries that
//! arrive while a part is under way become the next part, so that the stream is as fast as large batches are.

pub(crate) mod keyed;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::Either;
use tokio::sync::{Notify, oneshot};

use crate::ingest::Ingest;
use crate::ingest::answer::{AppendError, Appended};
use order::chunk::{Chunk, UploadId, UploadPart};
use order::location::{Location, LocationRow};
use qos::{Advice, Cost, TenantId, Ticket};
use store::StoreError;
use store::record;

/// Uploads whose position is kept in memory; others are read again.
const REMEMBERED: usize = 1024;

/// Bytes that may wait while a part is under way: of one upload, and of all together. A single piece may always wait.
const AHEAD: (usize, usize) = (4 << 20, 64 << 20);

/// How long a part waits for room in the queue.
const PART_ROOM_TIMEOUT: Duration = Duration::from_secs(60);

/// The uploads of this server.
pub(crate) struct Uploads {
    ingest: Arc<Ingest>,
    by_id: Mutex<HashMap<UploadId, Arc<Upload>>>,
    /// Bytes that wait for the next part of their upload, of all uploads.
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
    /// The position after all accepted pieces.
    tail: u64,
    /// The pieces of the next part.
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
    pub(crate) fn new(ingest: Arc<Ingest>) -> Self {
        Self {
            ingest,
            by_id: Mutex::default(),
            ahead: AtomicUsize::default(),
        }
    }

    fn get(&self, id: UploadId) -> Arc<Upload> {
        let mut uploads = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= REMEMBERED && !uploads.contains_key(&id) {
            // Uploads without a request; their rows are read again.
            uploads.retain(|_, upload| Arc::strong_count(upload) > 1);
        }
        Arc::clone(uploads.entry(id).or_default())
    }

    /// An upload has an end: its position must be read again.
    fn ended(&self, id: UploadId) {
        self.get(id).parts().standing = None;
    }
}

impl Upload {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        // No code that can panic runs under this lock.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Takes the pieces that fit into a part of this cost, and at least one.
    fn take(&mut self, most: Cost) -> Vec<Piece> {
        let (mut pieces, mut sum) = (Vec::new(), Cost::ZERO);
        let size = |p: &Piece| Cost::of(p.entries, p.bytes.len() as u64);
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

impl Uploads {
    pub(crate) async fn submit_chunk(
        self: &Arc<Self>,
        chunk: Chunk,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        if chunk.entries == 0 || chunk.bytes.is_empty() {
            return Err(AppendError::Empty);
        }
        if chunk.bytes.len() > Chunk::MAX_BYTES {
            return Err(AppendError::TooLarge);
        }
        let ticket = match chunk.upload {
            Some(part) => {
                let ticket = self.submit_part(part, chunk, tenant, advice).await?;
                (ticket.granted, Either::Left(ticket.answer))
            }
            None => {
                let ticket = self
                    .ingest
                    .enqueue_chunk(chunk, None, tenant, advice)
                    .await?;
                (ticket.granted, Either::Right(ticket.answer))
            }
        };
        let (granted, answer) = ticket;
        Ok(Ticket { granted, answer })
    }

    /// Submits a part. A repeated part has one place. A part that is not at the upload's position is refused with that position. Waits
    /// while enough of the upload is on its way.
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
        let upload = self.get(id);
        let (reply, answer) = oneshot::channel();
        let piece = Piece {
            bytes,
            entries,
            reply,
        };
        let policy = self.ingest.running.policy.load();
        let granted = policy.granted(policy.grant(tenant, advice));
        let answer = async { answer.await.unwrap_or(Err(AppendError::Unknown)) };
        loop {
            let moved = upload.moved.notified();
            {
                let mut parts = upload.parts();
                if parts.under_way.is_none() {
                    parts.under_way = Some(advice.clone());
                    parts.tail = offset + entries;
                    // The writer may disconnect; the pieces that it sent are ordered anyway.
                    let sender = Sender {
                        uploads: Arc::clone(self),
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
                        && self.ahead.load(Relaxed) + length <= AHEAD.1;
                if parts.tail == offset && parts.under_way.as_ref() == Some(advice) && room {
                    parts.tail += entries;
                    parts.bytes += length;
                    self.ahead.fetch_add(length, Relaxed);
                    parts.waiting.push_back(piece);
                    return Ok(Ticket { granted, answer });
                }
            }
            moved.await;
        }
    }
}

/// Orders the parts of an upload one after the other, until nothing waits or one fails.
struct Sender {
    uploads: Arc<Uploads>,
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

    /// The next part; `None` when nothing waits, or when the waiting pieces would follow a part that failed.
    fn next(&self, offset: u64, result: Result<Appended, AppendError>) -> Vec<Piece> {
        let mut parts = self.upload.parts();
        let before = parts.bytes;
        let pieces = match result {
            Ok(_) => {
                parts.standing = Some(offset);
                parts.take(self.uploads.ingest.batcher.piece())
            }
            Err(error) => {
                parts.standing = None;
                for piece in parts.take(Cost::MAX) {
                    let _ = piece.reply.send(Err(error.clone()));
                }
                Vec::new()
            }
        };
        self.uploads.ahead.fetch_sub(before - parts.bytes, Relaxed);
        if pieces.is_empty() {
            parts.under_way = None;
        }
        drop(parts);
        self.upload.moved.notify_waiters();
        pieces
    }

    /// Orders one part, and returns the place of its first entry.
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
                .uploads
                .ingest
                .appended(row.index)
                .ok_or(AppendError::Unknown),
            false => Err(AppendError::UploadAt {
                accepted: offset + row.entries,
            }),
        };
        // Before the row is looked for: whatever was decided below it has its row.
        let first_slot = self.uploads.ingest.ledger.state().len;
        if let Some(row) = self
            .uploads
            .ingest
            .ledger
            .part(id, offset)
            .await
            .map_err(failed)?
        {
            self.uploads.ingest.ledger.refresh().await.map_err(failed)?;
            return answered(row);
        }
        let standing = self.upload.parts().standing;
        if standing != Some(offset) {
            let end = self
                .uploads
                .ingest
                .ledger
                .end_of(id)
                .await
                .map_err(failed)?;
            let progress = self.uploads.ingest.ledger.parts(id, end, |_| ()).await;
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
        let queued = self.uploads.ingest.enqueue_chunk(
            chunk,
            Some((place, first_slot)),
            self.tenant,
            &self.advice,
        );
        let Ok(ticket) = tokio::time::timeout(PART_ROOM_TIMEOUT, queued).await else {
            return Err(AppendError::overloaded("the queue was full for a minute"));
        };
        let result = ticket?.answer.await;
        if matches!(result, Err(AppendError::Unknown))
            && let Ok(Some(row)) = self.uploads.ingest.ledger.part(id, offset).await
            && self.uploads.ingest.ledger.refresh().await.is_ok()
        {
            return answered(row);
        }
        result
    }
}

#[cfg(test)]
mod tests;
