//! Entries that are ordered and not yet published: readers get them from memory, and the programs of the merge take them from queues.
//!
//! A slot enters before its writers are answered, so an acknowledged entry is readable at once. It leaves when a signed checkpoint covers
//! it; then the bundles have it. Admission bounds the memory, so it is counted exactly: the bytes, and the overhead of each slot and batch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::mpsc;

use order::slot::{BatchRef, Slot};
use order::state::State;
use tlog::GlobalIndex;

/// Memory of an unpublished slot beside its batches: itself and the state after it, each counted by reference, and its places in the
/// queues. The last part covers the rounding of allocations and the reserve of containers; `tests/memory.rs` measures all of it.
const SLOT: usize = size_of::<Slot>() + size_of::<State>() + 2 * size_of::<Step>() + 192;

/// Memory of a batch beside its bytes: its name in the slot and here, its place in the map, the buffer of its bytes, and the record that
/// measures its publication ([`crate::ingest::in_flight`]).
const BATCH: usize = 2 * size_of::<BatchRef>() + size_of::<PendingBatch>() + 496;

/// A batch that is not published yet.
#[derive(Debug)]
pub struct PendingBatch {
    /// Global index of its first entry.
    pub start: GlobalIndex,
    /// Its name and size.
    pub batch: BatchRef,
    /// Its bytes, once known here.
    pub bytes: OnceLock<Bytes>,
    /// Its memory beside those bytes.
    beside: usize,
}

/// A slot and the state after it.
pub type Step = (Arc<Slot>, Arc<State>);

/// All ordered slots of one log that are not published.
#[derive(Debug)]
pub struct Pending {
    held: RwLock<BTreeMap<GlobalIndex, Arc<PendingBatch>>>,
    bytes: AtomicUsize,
    /// Those bytes, and the overhead beside them.
    memory: AtomicUsize,
    /// To the integrator and to the publisher, where they run here.
    queues: [mpsc::UnboundedSender<Step>; 2],
}

impl Pending {
    /// Makes an empty one, and returns two ends of the queue: the integrator's and the publisher's. The queue is unbounded because its
    /// slots are already decided; admission bounds it, by [`Pending::memory`].
    pub fn new() -> (Self, [mpsc::UnboundedReceiver<Step>; 2]) {
        let ((integrator, to_integrate), (publisher, to_publish)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let pending = Self {
            held: RwLock::default(),
            bytes: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            queues: [integrator, publisher],
        };
        (pending, [to_integrate, to_publish])
    }

    /// Takes the batches of a slot, with the bytes of those that this replica has. Called once per slot, in order, before the state
    /// shows the slot: an entry that the state shows is here or published.
    pub fn hold(&self, slot: &Slot, bytes: Vec<Option<Bytes>>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // The first batch stands for the slot.
        let mut beside = SLOT;
        for ((start, batch), bytes) in slot.placed().zip(bytes) {
            beside += BATCH + batch.shard.as_ref().map_or(0, |name| 2 * name.len());
            let length = bytes.as_ref().map_or(0, Bytes::len);
            self.bytes.fetch_add(length, Relaxed);
            self.memory.fetch_add(length + beside, Relaxed);
            let bytes = bytes.map_or_else(OnceLock::new, OnceLock::from);
            held.insert(
                start,
                Arc::new(PendingBatch {
                    start,
                    batch: batch.clone(),
                    bytes,
                    beside: std::mem::take(&mut beside),
                }),
            );
        }
    }

    /// Gives a slot to the programs. Called once per slot, in order, after the state shows it: a program that works on a slot finds its
    /// entries in the state.
    pub fn hand_on(&self, step: &Step) {
        for queue in &self.queues {
            // The program has ended and no longer needs the slot, or it runs in another process.
            let _ = queue.send(step.clone());
        }
    }

    /// The batch that holds a global index.
    pub fn find(&self, index: GlobalIndex) -> Option<Arc<PendingBatch>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let (_, batch) = held.range(..=index).next_back()?;
        (index < batch.start + batch.batch.entries).then(|| Arc::clone(batch))
    }

    /// The large batches from a global index on.
    pub fn objects(&self, from: GlobalIndex) -> Vec<Arc<PendingBatch>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let end = |one: &Arc<PendingBatch>| one.start + one.batch.entries;
        let all = held.values().filter(|one| one.batch.object);
        all.filter(|one| end(one) > from).cloned().collect()
    }

    /// Notes bytes that were read from the store.
    pub fn fill(&self, held: &PendingBatch, bytes: &Bytes) {
        if held.bytes.set(bytes.clone()).is_ok() {
            self.bytes.fetch_add(bytes.len(), Relaxed);
            self.memory.fetch_add(bytes.len(), Relaxed);
        }
    }

    /// Drops everything below a global index.
    pub fn release(&self, below: GlobalIndex) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = held.first_entry() {
            if first.get().start + first.get().batch.entries > below {
                break;
            }
            let gone = first.remove();
            let length = gone.bytes.get().map_or(0, Bytes::len);
            self.bytes.fetch_sub(length, Relaxed);
            self.memory.fetch_sub(length + gone.beside, Relaxed);
        }
    }

    /// Batches held that are on storage nodes.
    pub(crate) fn on_nodes(&self) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().filter(|held| held.batch.object).count()
    }

    /// Bytes held, of entries that are not published.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// How much memory all of it takes: an entry of one byte that was ordered alone takes far more than one byte.
    pub fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::tests::rig::caller;
    use crate::{AppendError, Engine, EngineOptions};
    use store::{MemoryCoordination, MemoryObjects};

    /// While the quorum is away, entries of one byte fill the limit by the memory that they take, not by their bytes.
    #[tokio::test(start_paused = true)]
    async fn the_smallest_entries_are_refused_in_time_while_the_quorum_is_away() {
        const MOST: usize = 1 << 20;
        let (rows, objects) = (MemoryCoordination::new(), MemoryObjects::new());
        let kek = testing::fresh_kek();
        let engine = Engine::open(EngineOptions {
            max_pending_bytes: MOST,
            ..testing::options_on(Arc::new(rows), Arc::new(objects), kek)
        })
        .await
        .unwrap();
        let vkey = tlog::Cosigner::from_seed("away", &[7; 32]).unwrap();
        let config = serde_json::json!({
            "apiVersion": "logctl/v1",
            "kind": "LogConfig",
            "log": "dev",
            "origin": "example.org/dev",
            "shards": [{"name": "a", "state": "active"}],
            "merge": {
                "checkpointInterval": "10ms",
                "backupQuorum": 1,
                "secondaries": [{
                    "name": "away",
                    "url": "https://away.example",
                    "vkey": vkey.verifier().to_string(),
                }],
            },
        });
        let config = logconfig::parse(&config.to_string()).unwrap();
        engine.create_log(config, caller()).await.unwrap();
        let log = engine.log("dev").unwrap();
        let most = MOST / (SLOT + BATCH);
        let mut taken = 0;
        let refused = loop {
            match log.append(Bytes::from_static(b"x")).await {
                Ok(_) => taken += 1,
                Err(refused) => break refused,
            }
            assert!(taken <= most + 2, "{taken} of about {most}");
        };
        assert!(
            matches!(refused, AppendError::Overloaded { .. }),
            "{refused:?}"
        );
        assert!(
            (most - 2..=most + 2).contains(&taken),
            "{taken} of about {most}"
        );
        drop((log, engine));
    }
}
