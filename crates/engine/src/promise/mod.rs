//! Promises: entries that are accepted (202) before they have a place. Each is durable in the queue, with its deadline, before
//! it is promised, and the writer gets a signed receipt.
//!
//! What must never happen: a receipt for an entry that a crash can lose, or that could still be refused.

pub(crate) mod releaser;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tlog::{Hash, Receipt, leaf_hash};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::ingest::Ingest;
use crate::ingest::answer::{AppendError, Appended, Unpromisable};
use crate::ingest::batcher::Batcher;
use crate::ingest::in_flight::Kept;
use crate::ledger::Ledger;
use crate::promise::releaser::KEEP_PLACES;
use crate::publish::sign_guard::SignGuard;
use crate::running::Running;
use crate::shard::SignError;
use order::location::Location;
use order::queue::Refused;
use order::slot::{BatchRef, Promised, Token};
use order::{SlotNumber, batch};
use qos::admission::Promise as Due;
use qos::job::cost;
use qos::{Advice, Granted, TenantId};
use store::record;
use store::{Objects as _, Outcome, StoreError};

/// Bytes of entries that may wait here to become durable; without room the writer is refused at once.
const ROOM: usize = 16 << 20;
/// Bytes that may wait in the durable queue of one log; then promises are refused, with the time after which to try again.
const QUEUE: u64 = 4 << 30;
/// Bytes made durable in one step, at most (one entry may pass it).
const MAX_COMMIT: usize = 1 << 20;
/// Rows made durable in one step, at most.
const MAX_ROWS: usize = 64;
/// Late promises that are looked for in one step.
const LATE: usize = 64;
/// How long to retry while the store fails, before the outcome is reported as unknown.
const PROMISE_RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Names a promise: the batch that holds its entry, and which entry of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromiseId {
    token: Token,
    entry: u32,
}

impl fmt::Display for PromiseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.token, self.entry)
    }
}

impl FromStr for PromiseId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "expected 32 lowercase hex digits, a hyphen and a number";
        let (token, entry) = text.split_once('-').ok_or(WHAT)?;
        let id = Self {
            token: token.parse().map_err(|_| WHAT)?,
            entry: entry.parse().map_err(|_| WHAT)?,
        };
        // One spelling only.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(WHAT)
        }
    }
}

/// An entry that will be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The id of the promise.
    pub id: PromiseId,
    /// The tier it waits in, and its merge delay.
    pub granted: Granted,
    /// When it is published at the latest, milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// Leaf hash of the promised entry (RFC 9162, section 2.1.1).
    pub leaf_hash: Hash,
    /// The receipt: a signed note, see [`tlog::Receipt`].
    pub receipt: String,
}

/// Where promised work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Durable, not ordered yet.
    Queued,
    /// It has its place.
    Ordered {
        /// Where the entry is in the log.
        at: Appended,
        /// Under a signed checkpoint.
        published: bool,
        /// When it was ordered, milliseconds since the Unix epoch.
        time_ms: u64,
    },
}

/// A promise as it was made, with its deadline.
type Made = Result<(PromiseId, u64), AppendError>;
type Reply = oneshot::Sender<Made>;

/// An entry on its way to the queue.
struct Ask {
    entry: Bytes,
    arrived: u64,
    reply: Reply,
}

/// Entries of one group may share a batch: tier, tenant and delay in milliseconds.
type Group = (Arc<str>, Arc<str>, u64);

#[derive(Default)]
struct Asks {
    groups: BTreeMap<Group, Vec<Ask>>,
    bytes: usize,
    closed: bool,
}

/// Group commit in front of the durable queue.
pub(crate) struct Promiser {
    pub(crate) ingest: Arc<Ingest>,
    guard: Arc<SignGuard>,
    asks: Mutex<Asks>,
    wake: Notify,
    /// Wakes the releaser after a put into the queue.
    pub(crate) queued: Notify,
    /// Bytes in the durable queue: as last counted, and what was put there since.
    held: AtomicU64,
    counted: Mutex<AllCounted>,
}

/// A cost that admission counts as accepted: returned when this is dropped, unless it is kept until the entry is ordered.
struct Counted {
    promiser: Arc<Promiser>,
    due: Option<Due>,
    cost: u64,
}

impl Counted {
    fn new(promiser: &Arc<Promiser>, due: Option<Due>, cost: u64) -> Self {
        Self {
            promiser: Arc::clone(promiser),
            due,
            cost,
        }
    }

    fn keep(mut self, token: Token, promise: Kept) {
        if let Some(due) = self.due.take() {
            let mut counted = self.promiser.counted();
            let kept = counted.entry(token).or_insert(Kept {
                entries: 0,
                bytes: 0,
                ..promise.clone()
            });
            kept.entries += promise.entries;
            kept.bytes += promise.bytes;
            kept.arrived = kept.arrived.min(promise.arrived);
            kept.due.push((due, self.cost));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(due) = &self.due {
            self.promiser.ingest.batcher.settled(due, self.cost);
        }
    }
}

type AllCounted = HashMap<Token, Kept>;

/// A batch of entries that were asked for together, and their writers.
struct Batch {
    promised: Promised,
    bytes: Bytes,
    replies: Vec<Reply>,
}

impl Promiser {
    pub(crate) fn new(ingest: Arc<Ingest>, guard: Arc<SignGuard>) -> Self {
        Self {
            ingest,
            guard,
            asks: Mutex::default(),
            wake: Notify::default(),
            queued: Notify::default(),
            held: AtomicU64::default(),
            counted: Mutex::default(),
        }
    }

    fn asks(&self) -> std::sync::MutexGuard<'_, Asks> {
        // No code that can panic runs under this lock.
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        group: Group,
        entry: Bytes,
        arrived: u64,
    ) -> Result<oneshot::Receiver<Made>, AppendError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut asks = self.asks();
            if asks.closed {
                return Err(AppendError::ShuttingDown);
            }
            if asks.bytes + entry.len() > ROOM {
                return Err(AppendError::overloaded(
                    "promises are asked for faster than they can be made durable",
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

    fn counted(&self) -> std::sync::MutexGuard<'_, AllCounted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes for which there is room in the durable queue.
    fn free(&self) -> u64 {
        QUEUE.saturating_sub(self.held.load(Relaxed))
    }

    /// Notes how many bytes wait in the durable queue, from all replicas.
    pub(crate) fn holds(&self, bytes: u64) {
        self.held.store(bytes, Relaxed);
    }

    /// Checks the state of the promises. Ordered ones are on their way; late ones are no longer planned for, and searched for.
    pub(crate) async fn settle(
        &self,
        ledger: &Ledger,
        batcher: &Batcher,
    ) -> Result<(), StoreError> {
        let now_ms = ledger.clock.now_ms();
        let forgotten = u64::try_from(KEEP_PLACES.as_millis()).unwrap_or(u64::MAX);
        let (mut over, mut placed, mut late) = (Vec::new(), Vec::new(), Vec::new());
        self.counted().retain(|token, kept| {
            let index = ledger.index_of(*token);
            if let Some(index) = index {
                placed.push((index, kept.clone()));
            } else if kept.deadline < now_ms && late.len() < LATE {
                late.push(*token);
            }
            if index.is_some() || kept.deadline < now_ms {
                over.append(&mut kept.due);
            }
            index.is_none() && kept.deadline.saturating_add(forgotten) > now_ms
        });
        for (due, cost) in over {
            batcher.settled(&due, cost);
        }
        for token in late {
            // It may have been ordered longer ago than the last slots show.
            if let Some(row) = ledger.placed(Location::Promise, token).await?
                && let Some(kept) = self.counted().remove(&token)
            {
                placed.push((row.index, kept));
            }
        }
        for (index, kept) in placed {
            batcher.placed(ledger, index, &kept);
        }
        Ok(())
    }

    /// Counts work that was promised before this server started, or by another one, so that new promises are tested beside it.
    pub(crate) async fn adopt(&self, ledger: &Ledger, batcher: &Batcher) -> Result<(), StoreError> {
        let now_ms = ledger.clock.now_ms();
        let found = ledger.each_promised(|promised| {
            let left = Duration::from_millis(promised.deadline.saturating_sub(now_ms));
            let cost = cost(promised.batch.entries, promised.bytes);
            let mut counted = self.counted();
            let kept = counted.entry(promised.batch.token);
            // Promises that were given here meanwhile are already counted.
            kept.or_insert_with(|| {
                let due = batcher.adopt(left, cost);
                Kept {
                    tier: promised.tier.as_str().into(),
                    entries: promised.batch.entries,
                    bytes: promised.bytes,
                    arrived: promised.batch.token.birth_ms(),
                    deadline: promised.deadline,
                    due: vec![(due, cost)],
                }
            });
        });
        found.await
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
            token: ledger.tokens.make_kept(arrived),
            entries: taken.len() as u64,
            digest: record::digest(&bytes),
            object: bytes.len() > limit,
            shard: None,
            place: Some(Location::Promise),
        };
        batches.push(Batch {
            promised: Promised {
                batch,
                tier: tier.to_string(),
                tenant: tenant.to_string(),
                bytes: bytes.len() as u64,
                deadline: arrived.saturating_add(delay),
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
    let result = put(&promiser.ingest.running, &mut batches).await;
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
                        match Refused::of(doubt, somewhere, closing.is_some()) {
                            Refused::Promised => return Ok(()),
                            Refused::Unknown => return Err(AppendError::Unknown),
                            Refused::Closed => {
                                let frozen = running.ledger.frozen(&running.ledger.state());
                                return Err(frozen.unwrap_or(AppendError::Closing));
                            }
                            Refused::Again => {}
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
            return Err(AppendError::Halted { reason });
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

impl Promiser {
    pub(crate) async fn promise(
        self: &Arc<Self>,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<Promise, AppendError> {
        let ingest = &self.ingest;
        AppendError::of_size(&entry)?;
        ingest.takes_writes()?;
        ingest.knows_places()?;
        if advice.shard.is_some() {
            return Err(AppendError::Unpromisable(Unpromisable::Shard));
        }
        let policy = ingest.running.policy.load_full();
        let grant = policy.grant(tenant, advice);
        let granted = policy.granted(grant);
        let owner = policy.tenants().get(tenant.index());
        let owner = owner.map(|t| Arc::clone(&t.name)).unwrap_or_default();
        let Some(delay) = granted.merge_by else {
            return Err(AppendError::Unpromisable(Unpromisable::Tier));
        };
        // Checked before anything is written: without the key there is no receipt.
        let state = ingest.ledger.state();
        let shard = state
            .active()
            .and_then(|active| ingest.shards.get(&state, &active.identity.name))
            .ok_or(AppendError::Unknown)?;
        let receipts = self.guard.receipts(&shard).await.map_err(|e| {
            if let SignError::Halted(reason) = e {
                return AppendError::Halted { reason };
            }
            tracing::error!(error = %e, log = ingest.ledger.name, "cannot sign receipts");
            AppendError::overloaded("this server cannot sign a receipt; see its log")
        })?;
        let leaf_hash = leaf_hash(&entry);
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let group = (Arc::clone(&granted.tier), owner, delay);
        let bytes = entry.len() as u64;
        let free = self.free();
        let due = ingest
            .batcher
            .promise(&policy, tenant, grant, bytes, free)?;
        let counted = Counted::new(self, due, cost(1, bytes));
        // A receipt names a time, which must not come from a wrong clock.
        let arrived = ingest.health.clock.sound();
        let arrived = arrived.map_err(|fault| AppendError::overloaded(&fault.to_string()))?;
        let answer = self.ask(group, entry, arrived)?;
        let (id, deadline_ms) = answer.await.unwrap_or(Err(AppendError::Unknown))?;
        let kept = Kept {
            tier: Arc::clone(&granted.tier),
            entries: 1,
            bytes,
            arrived,
            deadline: deadline_ms,
            due: Vec::new(),
        };
        counted.keep(id.token, kept);
        let receipt = Receipt {
            origin: shard.identity.origin.clone(),
            deadline: deadline_ms,
            leaf: leaf_hash,
            promise: id.to_string(),
        };
        let receipt = receipts.sign(&receipt).map_err(|e| {
            tracing::error!(error = %e, log = ingest.ledger.name, "cannot sign a receipt");
            AppendError::Unknown
        })?;
        Ok(Promise {
            id,
            granted,
            deadline_ms,
            leaf_hash,
            receipt,
        })
    }

    pub(crate) async fn placement(
        &self,
        promise: PromiseId,
    ) -> Result<Option<Placement>, StoreError> {
        let (ingest, PromiseId { token, entry }) = (&self.ingest, promise);
        if !token.is_kept() {
            return Ok(None);
        }
        let row = match ingest.ledger.placed(Location::Promise, token).await? {
            Some(row) => row,
            None => {
                // Its batch is deleted once it is published, and then the row is there.
                let batch = ingest.ledger.keys.batch(token);
                if ingest.ledger.store.get(&batch).await?.is_some() {
                    return Ok(Some(Placement::Queued));
                }
                match ingest.ledger.placed(Location::Promise, token).await? {
                    Some(row) => row,
                    None => {
                        let large = ingest.running.objects.nodes.get(&batch).await?.is_some();
                        return Ok(large.then_some(Placement::Queued));
                    }
                }
            }
        };
        if u64::from(entry) >= row.entries {
            return Ok(None);
        }
        let index = row.index + u64::from(entry);
        // Another replica may have ordered it a moment ago.
        if index >= ingest.ledger.state().size {
            ingest.ledger.refresh().await?;
        }
        let at = ingest.appended(index);
        let published = ingest.shards.published(&ingest.ledger.state()) > index;
        Ok(at.map(|at| Placement::Ordered {
            at,
            published,
            time_ms: row.time,
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests;
