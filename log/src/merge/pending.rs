//! Ordered, not yet published: the entries that readers get from memory, and the queues to those who work on them.
//!
//! A slot enters before its writers are answered, so an acknowledged entry is readable at once. It leaves when a signed
//! checkpoint covers it; then the bundles have it. The memory is bounded by admission.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::order::slot::{BatchRef, Slot};
use crate::order::state::State;

/// A slot on its way to the integrator.
#[derive(Debug)]
pub struct Ordered {
    /// The slot.
    pub slot: Arc<Slot>,
    /// The state after it.
    pub state: Arc<State>,
    /// The bytes of each batch, where this replica has them.
    pub bytes: Vec<Option<Bytes>>,
}

/// A batch that is not published yet.
#[derive(Debug)]
pub struct Held {
    /// Global index of its first entry.
    pub start: u64,
    /// Its name and size.
    pub batch: BatchRef,
    /// Its bytes, once known here.
    pub bytes: OnceLock<Bytes>,
}

/// A slot and the state after it.
pub type Step = (Arc<Slot>, Arc<State>);

/// All ordered slots of one log that are not published.
#[derive(Debug)]
pub struct Pending {
    held: RwLock<BTreeMap<u64, Arc<Held>>>,
    bytes: AtomicUsize,
    /// To the integrator and to the publisher, where they run here.
    queues: [mpsc::UnboundedSender<Step>; 2],
}

impl Pending {
    /// An empty one, and two ends of the queue: the integrator's and the publisher's. The queue is unbounded because what is in
    /// it is decided already; admission bounds it, by [`Pending::bytes`].
    pub fn new() -> (Self, [mpsc::UnboundedReceiver<Step>; 2]) {
        let ((fetch, to_fetch), (sth, to_sth)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let pending = Self {
            held: RwLock::default(),
            bytes: AtomicUsize::new(0),
            queues: [fetch, sth],
        };
        (pending, [to_fetch, to_sth])
    }

    /// Takes a slot. Called once per slot, in order.
    pub fn push(&self, ordered: Ordered) {
        let Ordered { slot, state, bytes } = ordered;
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            for ((start, batch), bytes) in slot.placed().zip(bytes) {
                self.bytes
                    .fetch_add(bytes.as_ref().map_or(0, Bytes::len), Relaxed);
                let bytes = bytes.map_or_else(OnceLock::new, OnceLock::from);
                held.insert(
                    start,
                    Arc::new(Held {
                        start,
                        batch: batch.clone(),
                        bytes,
                    }),
                );
            }
        }
        for queue in &self.queues {
            // Who ends has no use for the slot any more, or runs in another process.
            let _ = queue.send((Arc::clone(&slot), Arc::clone(&state)));
        }
    }

    /// The batch that holds a global index.
    pub fn find(&self, index: u64) -> Option<Arc<Held>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let (_, batch) = held.range(..=index).next_back()?;
        (index < batch.start + batch.batch.entries).then(|| Arc::clone(batch))
    }

    /// The large batches from a global index on.
    pub fn objects(&self, from: u64) -> Vec<Arc<Held>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let end = |one: &Arc<Held>| one.start + one.batch.entries;
        let all = held.values().filter(|one| one.batch.object);
        all.filter(|one| end(one) > from).cloned().collect()
    }

    /// Notes bytes that were read from the store.
    pub fn fill(&self, held: &Held, bytes: &Bytes) {
        if held.bytes.set(bytes.clone()).is_ok() {
            self.bytes.fetch_add(bytes.len(), Relaxed);
        }
    }

    /// Lets go of everything below a global index.
    pub fn release(&self, below: u64) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = held.first_entry() {
            if first.get().start + first.get().batch.entries > below {
                break;
            }
            self.bytes
                .fetch_sub(first.remove().bytes.get().map_or(0, Bytes::len), Relaxed);
        }
    }

    /// Batches held that are on storage nodes.
    pub fn on_nodes(&self) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().filter(|held| held.batch.object).count()
    }

    /// Bytes held, of entries that are not published.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}
