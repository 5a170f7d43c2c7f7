//! The configuration that runs: the document of the newest generation, its rules, and the configurations under which the entries that
//! are not published were ordered.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use logconfig::LogConfig;
use tlog::Hash;
use tokio::sync::Notify;

use crate::eras::Eras;
use crate::ingest::batcher::Batcher;
use crate::ledger::Ledger;
use crate::objects::LogObjects;
use crate::progress::Progress;
use qos::Policy;
use store::StoreError;

/// A configuration as it was decided.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) generation: u64,
    pub(crate) document: Arc<LogConfig>,
    /// Of the document as it was decided, whatever this version would write.
    pub(crate) etag: String,
}

/// The entity tag of a generation whose document has this digest.
pub(crate) fn etag(generation: u64, document: &Hash) -> String {
    format!("g{generation}-{}", &document.to_string()[..8])
}

pub(crate) struct Running {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) progress: Arc<Progress>,
    /// Its rules change with the configuration.
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) now: ArcSwap<Current>,
    /// Held while a new configuration is read: everybody sees at once that there is one, and one of them is enough to read it.
    pub(crate) updating: tokio::sync::Mutex<()>,
    /// The configurations of what is not published.
    pub(crate) eras: ArcSwap<Eras>,
    /// The rules of the current configuration.
    pub(crate) policy: ArcSwap<Policy>,
    /// The generation that they are of.
    configured: Mutex<u64>,
    /// Wakes the heart of this process: another generation runs.
    moved: Arc<Notify>,
}

impl Running {
    /// Nothing but a placeholder runs before the first configuration is read.
    pub(crate) fn new(
        ledger: Arc<Ledger>,
        objects: Arc<LogObjects>,
        progress: Arc<Progress>,
        (placeholder, batcher, policy): (LogConfig, Arc<Batcher>, Policy),
        moved: Arc<Notify>,
    ) -> Self {
        Self {
            ledger,
            objects,
            progress,
            batcher,
            now: ArcSwap::from_pointee(Current {
                generation: 0,
                document: Arc::new(placeholder),
                etag: "g0-00000000".to_owned(),
            }),
            updating: tokio::sync::Mutex::default(),
            eras: ArcSwap::default(),
            policy: ArcSwap::from_pointee(policy),
            configured: Mutex::default(),
            moved,
        }
    }

    pub(crate) fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.now.load().document)
    }

    /// Loads the config document that the state names, when it is not the one that runs.
    pub(crate) async fn update_running(&self) -> Result<(), StoreError> {
        let runs = || self.ledger.state().generation == self.now.load().generation;
        if runs() {
            return Ok(());
        }
        let updating = self.updating.lock().await;
        if runs() {
            return Ok(());
        }
        let state = self.ledger.state();
        self.update_eras().await?;
        let running = Arc::new(Current {
            generation: state.generation,
            document: Arc::new(self.ledger.document(&state.document).await?),
            etag: etag(state.generation, &state.document),
        });
        {
            // One at a time, so that rules of an older generation never come after newer ones.
            let mut configured = self
                .configured
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if *configured < running.generation {
                *configured = running.generation;
                let storage = &running.document.merge.storage;
                self.objects.nodes.configure(storage, running.generation);
                let policy = self.batcher.configure(&running.document);
                self.policy.store(Arc::new(policy));
            }
        }
        self.now.rcu(|old| {
            if old.generation < running.generation {
                Arc::clone(&running)
            } else {
                Arc::clone(old)
            }
        });
        self.update_leaving(&updating).await?;
        self.moved.notify_one();
        self.progress.merged.send_modify(|count| *count += 1);
        Ok(())
    }
}
