//! What one log signs with, and what has to be known before it signs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::OnceCell;

use crate::health::Health;
use crate::ingest::batcher::Batcher;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::objects::LogObjects;
use crate::peers::Peers;
use crate::progress::Progress;
use crate::publish::lost::Lost;
use crate::publish::mark::Mark;
use crate::running::Running;
use crate::shard::Shards;
use crate::shard::keys::Kek;

pub(crate) struct Signing {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) running: Arc<Running>,
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) shards: Shards,
    pub(crate) kek: Arc<Kek>,
    /// What was compared before anything is signed here.
    pub(super) mark: Mark,
    /// Shards that are done and whose checkpoint or seal was found lost.
    pub(super) lost: Lost,
    /// What is known of secondaries and witnesses.
    pub(crate) replicas: Peers,
    /// What the log was restored with, once it was looked for.
    pub(crate) life: OnceCell<Option<Life>>,
    /// It may sign: it was not restored, or is announced.
    pub(crate) announced: AtomicBool,
}

impl Signing {
    pub(crate) fn new(
        running: &Arc<Running>,
        batcher: Arc<Batcher>,
        health: Arc<Health>,
        kek: Arc<Kek>,
    ) -> Self {
        let peers = Arc::clone(&running.merge.peers);
        Self {
            ledger: Arc::clone(&running.ledger),
            health,
            progress: Arc::clone(&running.progress),
            objects: Arc::clone(&running.objects),
            running: Arc::clone(running),
            batcher,
            shards: Shards::default(),
            kek,
            mark: Mark::default(),
            lost: Lost::default(),
            replicas: Peers::new(peers),
            life: OnceCell::new(),
            announced: AtomicBool::new(false),
        }
    }
}
