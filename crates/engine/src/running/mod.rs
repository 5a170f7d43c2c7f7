//! The configuration that runs: the document of the newest generation, its rules, and the configurations under which the entries that
//! are not published were ordered.

pub(crate) mod eras;
mod told;

use order::Generation;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use logconfig::LogConfig;
use tokio::sync::{MutexGuard, Notify};

use crate::ledger::{Ledger, etag};
use crate::objects::LogObjects;
use crate::program::MergeOptions;
use crate::progress::Progress;
use qos::Policy;
use store::StoreError;

use eras::Eras;

/// Rows read at a time.
const SCAN_PAGE: usize = 512;

/// A configuration as it was decided.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) generation: Generation,
    pub(crate) document: Arc<LogConfig>,
    /// The entity tag of the document as it was decided, even if this version would write it differently.
    pub(crate) etag: String,
}

/// Makes the rules of a configuration, and takes them into use.
pub(crate) type Configure = Box<dyn Fn(&LogConfig) -> Policy + Send + Sync>;

pub(crate) struct Running {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) progress: Arc<Progress>,
    /// How this process takes part in the merge.
    pub(crate) merge: MergeOptions,
    configure: Configure,
    pub(crate) now: ArcSwap<Current>,
    /// Held while a new configuration is read: all tasks notice it at the same time, and one read is enough.
    pub(crate) updating: tokio::sync::Mutex<()>,
    /// The configurations under which unpublished entries were ordered.
    pub(crate) eras: ArcSwap<Eras>,
    /// The rules of the current configuration.
    pub(crate) policy: ArcSwap<Policy>,
    /// The generation of those rules.
    configured: Mutex<Generation>,
    /// Wakes the heart of this process: another generation runs.
    moved: Arc<Notify>,
}

impl Running {
    /// A placeholder runs until the first configuration is read.
    pub(crate) fn new(
        ledger: Arc<Ledger>,
        objects: Arc<LogObjects>,
        progress: Arc<Progress>,
        merge: MergeOptions,
        (placeholder, configure): (LogConfig, Configure),
        moved: Arc<Notify>,
    ) -> Self {
        Self {
            ledger,
            objects,
            progress,
            merge,
            policy: ArcSwap::from_pointee(configure(&placeholder)),
            configure,
            now: ArcSwap::from_pointee(Current {
                generation: Generation::ZERO,
                document: Arc::new(placeholder),
                etag: "g0-00000000".to_owned(),
            }),
            updating: tokio::sync::Mutex::default(),
            eras: ArcSwap::default(),
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
                self.objects.nodes.configure(storage);
                let policy = (self.configure)(&running.document);
                self.policy.store(Arc::new(policy));
            }
        }
        // Before it runs: once it does, nobody would try that again, and those that wait for a change would wait on.
        self.update_leaving(&updating).await?;
        self.objects.nodes.complete(running.generation);
        self.now.rcu(|old| {
            if old.generation < running.generation {
                Arc::clone(&running)
            } else {
                Arc::clone(old)
            }
        });
        self.moved.notify_one();
        self.progress.merged.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Tells the reading side which nodes are leaving. `updating` is held, so that an older list never replaces a newer one.
    pub(crate) async fn update_leaving(&self, _: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let prefix = self.ledger.keys.all_leaving();
        let rows = self.ledger.store.scan(&prefix, &prefix, SCAN_PAGE).await?;
        let rows = rows
            .into_iter()
            .map(|(key, _)| key[prefix.len()..].to_owned());
        let eras = self.eras.load_full();
        self.objects
            .nodes
            .leave(rows.chain(eras.nodes().map(str::to_owned)));
        Ok(())
    }
}
