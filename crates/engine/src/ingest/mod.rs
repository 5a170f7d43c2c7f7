//! From a request to a commit: what waits, which of it goes next, and how it becomes durable.

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod arrivals;
pub(crate) mod batcher;
pub(crate) mod commit;
pub(crate) mod in_flight;
pub(crate) mod prewrite;
pub(crate) mod release;

use std::sync::Arc;

use crate::formats::Formats;
use crate::health::Health;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::promise::Promiser;
use crate::publish::signing::Signing;
use crate::running::Running;
use crate::uploads::Uploads;
use batcher::Batcher;

pub(crate) struct Ingest {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) running: Arc<Running>,
    pub(crate) signing: Arc<Signing>,
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) promiser: Promiser,
    pub(crate) uploads: Uploads,
    /// Bytes of entries that may wait for publication.
    pub(crate) max_pending: usize,
    /// What the servers on the stores understand.
    pub(crate) formats: Arc<Formats>,
}

impl Ingest {
    pub(crate) fn new(signing: &Arc<Signing>, max_pending: usize, formats: Arc<Formats>) -> Self {
        Self {
            ledger: Arc::clone(&signing.ledger),
            health: Arc::clone(&signing.health),
            progress: Arc::clone(&signing.progress),
            running: Arc::clone(&signing.running),
            signing: Arc::clone(signing),
            batcher: Arc::clone(&signing.batcher),
            promiser: Promiser::default(),
            uploads: Uploads::default(),
            max_pending,
            formats,
        }
    }
}
