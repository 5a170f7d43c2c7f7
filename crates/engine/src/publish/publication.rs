//! The values that the publisher of one log needs, and the tasks that take over what was published.

use std::sync::Arc;

use crate::health::Health;
use crate::ingest::batcher::Batcher;
use crate::ledger::Ledger;
use crate::objects::LogObjects;
use crate::progress::Progress;
use crate::publish::lost::Lost;
use crate::publish::sign_guard::SignGuard;
use crate::running::Running;
use crate::shard::Shards;

pub(crate) struct Publication {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) running: Arc<Running>,
    pub(crate) health: Arc<Health>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) guard: Arc<SignGuard>,
    /// The batcher, which is told of each publication.
    pub(super) batcher: Arc<Batcher>,
    /// Shards that are done and whose checkpoint or seal was found lost.
    pub(super) lost: Lost,
}

impl Publication {
    pub(crate) fn new(guard: Arc<SignGuard>, batcher: Arc<Batcher>) -> Self {
        Self {
            ledger: Arc::clone(&guard.ledger),
            progress: Arc::clone(&guard.running.progress),
            objects: Arc::clone(&guard.objects),
            running: Arc::clone(&guard.running),
            health: Arc::clone(&guard.health),
            shards: Arc::clone(&guard.shards),
            guard,
            batcher,
            lost: Lost::default(),
        }
    }
}
