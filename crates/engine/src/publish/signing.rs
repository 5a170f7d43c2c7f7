//! What one log signs with, and what has to be known before it signs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::OnceCell;

use crate::life::Life;
use crate::peers::Peers;
use crate::publish::lost::Lost;
use crate::publish::mark::Mark;
use crate::shard::Shards;
use crate::shard::keys::Kek;
use mirror::PeerClient;

pub(crate) struct Signing {
    pub(crate) shards: Shards,
    pub(crate) kek: Arc<Kek>,
    /// What was compared before anything is signed here.
    pub(crate) mark: Mark,
    /// Shards that are done and whose checkpoint or seal was found lost.
    pub(crate) lost: Lost,
    /// What is known of secondaries and witnesses.
    pub(crate) replicas: Peers,
    /// What the log was restored with, once it was looked for.
    pub(crate) life: OnceCell<Option<Life>>,
    /// It may sign: it was not restored, or is announced.
    pub(crate) announced: AtomicBool,
}

impl Signing {
    pub(crate) fn new(kek: Arc<Kek>, peers: Arc<dyn PeerClient>) -> Self {
        Self {
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
