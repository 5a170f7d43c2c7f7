//! From a request to a commit: admission, the queue, the choice of the next work, and the commits that make it durable.

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod arrivals;
pub(crate) mod batcher;
pub(crate) mod commit;
pub(crate) mod full_disk;
pub(crate) mod in_flight;
pub(crate) mod prewrite;
pub(crate) mod release;

use std::sync::Arc;

use crate::formats::Formats;
use crate::health::Health;
use crate::ledger::Ledger;
use crate::life::LogLife;
use crate::progress::Progress;
use crate::running::Running;
use crate::shard::Shards;
use answer::Appended;
use batcher::Batcher;
use order::mutant::{Mutant, left_out};
use tlog::GlobalIndex;

pub(crate) struct Ingest {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) running: Arc<Running>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) life: Arc<LogLife>,
    pub(crate) batcher: Arc<Batcher>,
    /// Bytes of entries that may wait for publication.
    pub(crate) max_pending: usize,
    /// The formats that all servers on these stores understand.
    pub(crate) formats: Arc<Formats>,
}

impl Ingest {
    pub(crate) fn new(
        running: &Arc<Running>,
        health: Arc<Health>,
        shards: Arc<Shards>,
        life: Arc<LogLife>,
        batcher: Arc<Batcher>,
        (max_pending, formats): (usize, Arc<Formats>),
    ) -> Self {
        Self {
            ledger: Arc::clone(&running.ledger),
            health,
            progress: Arc::clone(&running.progress),
            running: Arc::clone(running),
            shards,
            life,
            batcher,
            max_pending,
            formats,
        }
    }

    /// The place of an entry that is ordered.
    pub(crate) fn appended(&self, index: GlobalIndex) -> Option<Appended> {
        let state = self.ledger.state();
        let shard = state.shard_at(index)?;
        let start = match left_out(Mutant::LeafFromTheLog) {
            true => GlobalIndex::ZERO,
            false => shard.start()?,
        };
        Some(Appended {
            index,
            shard: Arc::clone(&self.shards.get(&state, &shard.identity.name)?.name),
            leaf_index: index.leaf(start)?,
        })
    }
}
