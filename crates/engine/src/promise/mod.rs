//! Promises: entries that are accepted (202) before they have a place. Each is durable in the queue, with its deadline, before
//! it is promised, and the writer gets a signed receipt.
//!
//! What must never happen: a receipt for an entry that a crash can lose, or that could still be refused.

mod accounting;
mod durable;
pub(crate) mod releaser;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tlog::{Hash, Receipt, UnixMillis, leaf_hash};
use tokio::sync::Notify;

use self::accounting::{AllCounted, Counted};
use self::durable::Asks;
use crate::ingest::Ingest;
use crate::ingest::answer::{AppendError, Appended, Unpromisable};
use crate::ingest::in_flight::Kept;
use crate::publish::sign_guard::SignGuard;
use crate::shard::SignError;
use order::location::Location;
use order::token::Token;
use qos::{Advice, Cost, Granted, TenantId};
use store::{Objects as _, StoreError};

/// Bytes that may wait in the durable queue of one log; then promises are refused, with the time after which to try again.
const QUEUE: u64 = 4 << 30;

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
    /// When it is published at the latest.
    pub deadline: UnixMillis,
    /// Leaf hash of the promised entry (RFC 9162, section 2.1.1).
    pub leaf_hash: Hash,
    /// The receipt: a signed note, see [`tlog::Receipt`].
    pub receipt: String,
}

/// The state of promised work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Durable, not ordered yet.
    Queued,
    /// The entry is ordered.
    Ordered {
        /// The position of the entry in the log.
        at: Appended,
        /// Whether a signed checkpoint covers it.
        published: bool,
        /// When it was ordered.
        time: UnixMillis,
    },
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

    /// Bytes for which there is room in the durable queue.
    fn free(&self) -> u64 {
        QUEUE.saturating_sub(self.held.load(Relaxed))
    }

    /// Notes how many bytes wait in the durable queue, from all replicas.
    pub(crate) fn holds(&self, bytes: u64) {
        self.held.store(bytes, Relaxed);
    }

    pub(crate) async fn promise(
        self: &Arc<Self>,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<Promise, AppendError> {
        let ingest = &self.ingest;
        AppendError::of_size(&entry)?;
        ingest.takes_writes()?;
        ingest.knows_locations()?;
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
        let counted = Counted::new(self, due, Cost::of(1, bytes));
        // A receipt names a time, which must not come from a wrong clock.
        let arrived = ingest.health.clock.sound();
        let arrived = arrived.map_err(|fault| AppendError::overloaded(&fault.to_string()))?;
        let answer = self.ask(group, entry, arrived)?;
        let (id, deadline) = answer.await.unwrap_or(Err(AppendError::Unknown))?;
        let kept = Kept {
            tier: Arc::clone(&granted.tier),
            entries: 1,
            bytes,
            arrived,
            deadline,
            due: Vec::new(),
        };
        counted.keep(id.token, kept);
        let receipt = Receipt {
            origin: shard.identity.origin.clone(),
            deadline: deadline.get(),
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
            deadline,
            leaf_hash,
            receipt,
        })
    }

    pub(crate) async fn placement(
        &self,
        promise: PromiseId,
    ) -> Result<Option<Placement>, StoreError> {
        let (ingest, PromiseId { token, entry }) = (&self.ingest, promise);
        if !token.is_promised() {
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
                        // It may be on nodes that this replica has not heard of.
                        ingest.ledger.refresh().await?;
                        ingest.running.update_running().await?;
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
            time: row.time,
        }))
    }
}
