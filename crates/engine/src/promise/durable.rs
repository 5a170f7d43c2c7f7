//! Group commit in front of the durable queue: entries that are promised together become durable in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{PromiseId, Promiser};
use crate::ingest::answer::AppendError;
use crate::ledger::Ledger;
use crate::running::Running;
use order::location::Location;
use order::mutant::{Mutant, left_out};
use order::queue::QueueRefusal;
use order::slot::BatchRef;
use order::work::Promised;
use order::{SlotNumber, batch};
use store::record;
use store::{Outcome, StoreError};
use tlog::UnixMillis;

/// Bytes of entries that may wait here to become durable; without room the writer is refused at once.
const ROOM: usize = 16 << 20;
/// Bytes made durable in one step, at most (one entry may pass it).
const MAX_COMMIT: usize = 1 << 20;
/// Rows made durable in one step, at most.
const MAX_ROWS: usize = 64;
/// How long to retry while the store fails, before the outcome is reported as unknown.
const PROMISE_RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// A promise as it was made, with its deadline.
type Made = Result<(PromiseId, UnixMillis), AppendError>;
type Reply = oneshot::Sender<Made>;

/// An entry on its way to the queue.
struct Ask {
    entry: Bytes,
    arrived: UnixMillis,
    reply: Reply,
}

/// Entries of one group may share a batch: tier, tenant and delay in milliseconds.
type Group = (Arc<str>, Arc<str>, u64);

#[derive(Default)]
pub(super) struct Asks {
    groups: BTreeMap<Group, Vec<Ask>>,
    bytes: usize,
    closed: bool,
}

/// A batch of entries that were asked for together, and their writers.
struct Batch {
    promised: Promised,
    bytes: Bytes,
    replies: Vec<Reply>,
}

impl Promiser {
    pub(super) fn ask(
        &self,
        group: Group,
        entry: Bytes,
        arrived: UnixMillis,
    ) -> Result<oneshot::Receiver<Made>, AppendError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut asks = self.asks();
            if asks.closed {
                return Err(AppendError::ShuttingDown);
            }
            if asks.bytes + entry.len() > ROOM {
                return Err(AppendError::overloaded(
                    "promises arrive faster than the store can make them durable; try again later",
                ));
            }
            asks.bytes += entry.len();
            asks.groups.entry(group).or_default().push(Ask {
                entry,
                arrived,
                reply,
            });
        }
        self.wake.notify_one();
        Ok(answer)
    }

    /// Accepts no more; entries that were asked for are made durable.
    pub(crate) fn close(&self) {
        self.asks().closed = true;
        self.wake.notify_one();
    }

    /// Makes entries durable, until closed and empty.
    pub(crate) async fn run(&self) {
        loop {
            let limit = self.ingest.ledger.store.value_limit();
            let batches = {
                let mut asks = self.asks();
                let batches = take(&mut asks, limit, &self.ingest.ledger);
                if batches.is_empty() && asks.closed {
                    return;
                }
                batches
            };
            if batches.is_empty() {
                self.wake.notified().await;
            } else {
                flush(self, batches).await;
                self.queued.notify_one();
            }
        }
    }
}

/// The work of the next step: batches of one group each, below the store's value limit.
fn take(asks: &mut Asks, limit: usize, ledger: &Ledger) -> Vec<Batch> {
    let (mut batches, mut total) = (Vec::new(), 0);
    while total < MAX_COMMIT && batches.len() < MAX_ROWS {
        let Some(mut first) = asks.groups.first_entry() else {
            break;
        };
        let (tier, tenant, delay) = first.key().clone();
        let waiting = first.get_mut();
        let (mut bytes, mut size) = (BytesMut::new(), 0);
        let fits = |ask: &&Ask| {
            let length = ask.entry.len() + 2;
            size += length;
            size == length || size <= limit
        };
        let count = waiting.iter().take_while(fits).count();
        let taken: Vec<Ask> = waiting.drain(..count).collect();
        if waiting.is_empty() {
            first.remove();
        }
        let arrived = taken
            .iter()
            .map(|ask| ask.arrived)
            .min()
            .unwrap_or_default();
        taken
            .iter()
            .for_each(|ask| batch::push(&mut bytes, &ask.entry));
        let bytes = bytes.freeze();
        total += bytes.len();
        asks.bytes -= bytes.len() - 2 * taken.len();
        let batch = BatchRef {
            token: ledger.tokens.make_promised(arrived),
            entries: taken.len() as u64,
            digest: record::digest(&bytes),
            object: bytes.len() > limit,
            shard: None,
            location: Some(Location::Promise),
        };
        batches.push(Batch {
            promised: Promised {
                batch,
                tier: tier.to_string(),
                tenant: tenant.to_string(),
                bytes: bytes.len() as u64,
                deadline: arrived + Duration::from_millis(delay),
                first_slot: SlotNumber::ZERO,
            },
            bytes,
            replies: taken.into_iter().map(|ask| ask.reply).collect(),
        });
    }
    batches
}

/// Makes batches durable in one transaction, and answers their writers.
async fn flush(promiser: &Promiser, mut batches: Vec<Batch>) {
    let mut result = put(&promiser.ingest.running, &mut batches).await;
    if left_out(Mutant::ReceiptBeforeDurable) {
        result = Ok(());
    }
    if result.is_ok() {
        let bytes = batches.iter().map(|b| b.promised.bytes).sum();
        promiser.held.fetch_add(bytes, Relaxed);
    }
    for batch in batches {
        for (entry, reply) in (0..).zip(batch.replies) {
            let (token, deadline) = (batch.promised.batch.token, batch.promised.deadline);
            let answer = result
                .clone()
                .map(|()| (PromiseId { token, entry }, deadline));
            let _ = reply.send(answer);
        }
    }
}

async fn put(running: &Running, batches: &mut [Batch]) -> Result<(), AppendError> {
    let (began, mut doubt) = (Instant::now(), false);
    loop {
        if !doubt {
            let first_slot = running.ledger.state().len;
            batches
                .iter_mut()
                .for_each(|b| b.promised.first_slot = first_slot);
        }
        let rows: Vec<(Promised, Bytes)> = batches
            .iter()
            .map(|b| (b.promised.clone(), b.bytes.clone()))
            .collect();
        match running.ledger.enqueue(&rows).await {
            Outcome::Committed => return Ok(()),
            Outcome::Failed(StoreError::Full(detail)) if !doubt => {
                return Err(AppendError::Full { detail });
            }
            Outcome::Failed(e) if !doubt => {
                tracing::warn!(error = %e, "a promise could not be made durable; nothing was written");
                return Err(AppendError::overloaded(
                    "the store failed; nothing was written",
                ));
            }
            Outcome::Failed(e) | Outcome::Unknown(e) => {
                doubt = true;
                running.progress.metrics.failure("promise", &e);
                tracing::warn!(error = %e, "the coordination store failed; trying the same again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Outcome::Refused => {
                // All rows came in one transaction, so the first one speaks for all.
                let known = match rows.first() {
                    Some((first, _)) if doubt => is_somewhere(&running.ledger, first).await,
                    _ => Ok(false),
                };
                // Refreshed, so that the current storage nodes are used, too.
                let refreshed = match running.ledger.refresh().await {
                    Ok(_) => running.update_running().await,
                    Err(e) => Err(e),
                };
                let closing = running
                    .ledger
                    .store
                    .get(&running.ledger.keys.closing())
                    .await;
                match (known, refreshed, closing) {
                    (Ok(somewhere), Ok(_), Ok(closing)) => {
                        match QueueRefusal::of(doubt, somewhere, closing.is_some()) {
                            QueueRefusal::Promised => return Ok(()),
                            QueueRefusal::Unknown => return Err(AppendError::Unknown),
                            QueueRefusal::Closed => {
                                let frozen = running.ledger.frozen(&running.ledger.state());
                                return Err(frozen.unwrap_or(AppendError::Closing));
                            }
                            QueueRefusal::Again => {}
                        }
                    }
                    (Err(e), _, _) | (_, Err(e), _) | (_, _, Err(e)) => {
                        tracing::warn!(error = %e, "the coordination store does not answer");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
        if let Some(reason) = running.ledger.halt.reason() {
            return Err(match doubt {
                true => AppendError::Unknown,
                false => AppendError::Halted { reason },
            });
        }
        if began.elapsed() > PROMISE_RETRY_TIMEOUT {
            return Err(AppendError::Unknown);
        }
    }
}

/// Whether promised work is in the queue, in the bag or ordered.
async fn is_somewhere(ledger: &Ledger, promised: &Promised) -> Result<bool, StoreError> {
    let token = promised.batch.token;
    // Tried twice, because the work may move meanwhile.
    for _ in 0..2 {
        if ledger
            .store
            .get(&ledger.keys.queued(promised))
            .await?
            .is_some()
            || ledger.placed(Location::Promise, token).await?.is_some()
        {
            return Ok(true);
        }
        let bag = ledger.announced().await?;
        let mut all = bag.live.iter().chain(bag.dead.iter().map(|(_, p)| p));
        if all.any(|p| p.batch.token == token) {
            return Ok(true);
        }
    }
    Ok(false)
}
