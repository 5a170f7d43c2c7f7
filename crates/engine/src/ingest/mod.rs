//! From a request to a commit: what waits, which of it goes next, and how it becomes durable.

pub(crate) mod arrivals;
pub(crate) mod batcher;
pub(crate) mod commit;
pub(crate) mod in_flight;
pub(crate) mod keyed;
pub(crate) mod prewrite;
pub(crate) mod release;

use std::sync::Arc;

use crate::formats::Formats;
use crate::promise::Promiser;
use crate::uploads::Uploads;
use batcher::Batcher;

/// What takes writes.
pub(crate) struct Ingest {
    pub(crate) batcher: Batcher,
    pub(crate) promiser: Promiser,
    pub(crate) uploads: Uploads,
    /// Bytes of entries that may wait for publication.
    pub(crate) max_pending: usize,
    /// What the servers on the stores understand.
    pub(crate) formats: Arc<Formats>,
}
