//! All logs of one pair of stores, the system log among them, and the other work of a server process.

mod leases;
mod open;
mod process;
mod tasks;

use ambient::{Ambient, NoRandomness, Random};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use logconfig::OriginForm;
use tokio::sync::Notify;

pub use self::leases::MemoryError;
use self::tasks::{Opened, Task};
use crate::clock::Clock;
use crate::formats::Formats;
use crate::halt::StoreHalt;
pub use crate::heart::ReplicaInfo;
use crate::heart::{self, Heart};
use crate::log::Log;
use crate::object_cache::ObjectCache;
use crate::program::{Finished, MergeOptions};
use crate::shard::keys::Kek;
use crate::supervise::Faults;
pub use logconfig::SYSTEM;
use order::StoreAge;
use store::{Coordination, Objects, StoreError};

/// The stores, keys and settings of an engine.
pub struct EngineOptions {
    /// Slots, positions, small batches.
    pub coordination: Arc<dyn Coordination>,
    /// Tiles, bundles, checkpoints, large batches.
    pub objects: Arc<dyn Objects>,
    /// Opens the shards' signing keys.
    pub kek: Kek,
    /// Host and process id, for people.
    pub label: String,
    /// Bytes that stay free: with less, writes are refused as `Full`.
    pub min_free: u64,
    /// Bytes of entries that may wait for publication, per log.
    pub max_pending_bytes: usize,
    /// How this process takes part in the merge.
    pub merge: MergeOptions,
    /// The source of time and randomness.
    pub ambient: Ambient,
}

/// Why the engine or a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change that opening needs.
    #[error("cannot create the log {log}: {error}")]
    Create {
        /// The log that was to be made.
        log: String,
        /// Why the change was not made.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// All logs of one pair of stores.
pub struct Engine {
    pub(crate) store: Arc<dyn Coordination>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) kek: Arc<Kek>,
    id: String,
    min_free: u64,
    max_pending: usize,
    pub(crate) merge: MergeOptions,
    pub(crate) low_space: Arc<AtomicBool>,
    /// Tiles and bundles that readers have asked for lately.
    pub(crate) object_cache: Arc<ObjectCache>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The age of the store as it was last known here, and the steady time then; milliseconds.
    age: std::sync::Mutex<Option<(StoreAge, u64)>>,
    pub(crate) formats: Arc<Formats>,
    logs: RwLock<BTreeMap<String, Opened>>,
    halts: Arc<StoreHalt>,
    /// A log runs another generation, or there is another log.
    moved: Arc<Notify>,
    /// The rows that this process has written for the other replicas.
    heart: tokio::sync::Mutex<Heart>,
    /// One log is opened at a time.
    opening: tokio::sync::Mutex<()>,
    tasks: std::sync::Mutex<Vec<Task>>,
    /// The comparison of all logs. It ends by itself; a shutdown does not stop it, because ordered entries are published after it.
    comparing: std::sync::Mutex<Option<Task>>,
    faults: Faults,
    /// The edition of each import whose objects were read before a log is made of them, by the name of the log. One is read at a time.
    pub(crate) reviewed: Arc<tokio::sync::Mutex<HashMap<String, u64>>>,
}

impl Engine {
    /// Opens every log of the stores. Until [`Engine::run`], no other server learns of this one.
    pub(crate) async fn load(options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        let Ambient { time, random } = options.ambient;
        let id = format!("{:016x}", random.number()?);
        let engine = Arc::new(Self {
            heart: tokio::sync::Mutex::new(Heart::new(id.clone(), options.label)),
            store: options.coordination,
            objects: options.objects,
            kek: Arc::new(options.kek),
            id,
            min_free: options.min_free,
            max_pending: options.max_pending_bytes,
            merge: options.merge,
            low_space: Arc::default(),
            object_cache: Arc::default(),
            clock: Clock::new(time),
            random,
            age: std::sync::Mutex::default(),
            formats: Arc::default(),
            logs: RwLock::default(),
            halts: Arc::default(),
            moved: Arc::default(),
            opening: tokio::sync::Mutex::default(),
            tasks: std::sync::Mutex::default(),
            comparing: std::sync::Mutex::default(),
            faults: Faults::default(),
            reviewed: Arc::default(),
        });
        // Before a log is open, and may be proposed to.
        engine.compare_clocks().await?;
        engine.open_new_logs().await?;
        engine.compare_all();
        Ok(engine)
    }

    /// Lets the logs that are open continue when all of them were compared with what others hold, or are halted.
    fn compare_all(&self) {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let guards: Vec<_> = logs.values().map(|o| Arc::clone(&o.log.guard)).collect();
        drop(logs);
        let halts = Arc::clone(&self.halts);
        let compared = self
            .faults
            .clone()
            .watch("the comparison of all logs", async move {
                for guard in guards {
                    guard.compared().await;
                }
                halts.pass();
            });
        *self
            .comparing
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Task::new(tokio::spawn(compared)));
    }

    /// Starts the engine's tasks beside its logs.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<(), EngineError> {
        self.beat().await?;
        let heart = self.keep("the heartbeats", Self::heartbeats);
        let space = self.keep("the watch over free space", Self::watch_space);
        let sweep = self.keep("the sweep of what is remembered", Self::sweep);
        let discover = self.keep("the look for new logs", Self::discover);
        let scrub = self.keep("the look at published objects", Self::scrub);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend([heart, space, sweep, discover, scrub]);
        Ok(())
    }

    /// Runs a task for as long as the engine.
    fn keep<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        task: fn(Arc<Self>) -> F,
    ) -> Task {
        let engine = Arc::clone(self);
        let start = move || task(Arc::clone(&engine));
        Task::new(tokio::spawn(self.faults.clone().keep(name, start)))
    }

    /// Parts that this process has lost and cannot get back; with any of them, it must end.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The log of that name. Not before it has its first configuration: a log that is being created is not there yet.
    pub fn log(&self, name: &str) -> Option<Arc<Log>> {
        self.opened(name).filter(|log| log.is_created())
    }

    /// The log of that name, with or without its first slot.
    pub(crate) fn opened(&self, name: &str) -> Option<Arc<Log>> {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(|r| Arc::clone(&r.log))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Log>> {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|r| Arc::clone(&r.log))
            .filter(|log| log.is_created())
            .collect()
    }

    /// Every log but the system log, by name.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.all()
            .into_iter()
            .filter(|l| l.name() != SYSTEM)
            .collect()
    }

    /// The log whose shards have the origins SHARD.ORIGIN. Anybody can ask for any host, so nothing is copied before the log is found.
    pub fn log_of_hosts(&self, origin: &str) -> Option<Arc<Log>> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let found = logs.values().map(|opened| &opened.log).find(|log| {
            let now = log.running.now.load();
            let config = &now.document;
            config.origin_form == OriginForm::Host && config.origin == origin && log.is_created()
        });
        found.map(Arc::clone)
    }

    /// The system log; `None` only while the engine opens.
    pub fn system(&self) -> Option<Arc<Log>> {
        self.log(SYSTEM)
    }

    /// This process's replica id.
    pub fn replica_id(&self) -> &str {
        &self.id
    }

    /// Accepts no more writes, commits queued work, publishes ordered entries, and stops. Returns the results of the programs of the merge,
    /// by log and in the order of the pipeline; in a process that accepts no writes, each has finished its work.
    pub async fn shutdown(&self) -> Vec<Finished> {
        // The heartbeat is stopped first: it would find the logs missing and open them again.
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        let logs = std::mem::take(&mut *self.logs.write().unwrap_or_else(PoisonError::into_inner));
        let logs: Vec<Opened> = logs.into_values().collect();
        for log in &logs {
            log.log.ingest.batcher.close();
            log.log.promiser.close();
        }
        let mut finished = Vec::new();
        for log in logs {
            finished.extend(log.finish().await);
        }
        if let Err(e) = heart::forget(&*self.store, &self.id, None).await {
            tracing::warn!(error = %e, "cannot take back the heartbeat; it expires by itself");
        }
        self.rest().await;
        finished
    }

    /// Ends every task at once, as a crash does: nothing is finished, and nobody is answered. For tests that continue with the same stores.
    #[cfg(feature = "testing")]
    pub fn crash(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let logs = std::mem::take(&mut *self.logs.write().unwrap_or_else(PoisonError::into_inner));
        let comparing = self
            .comparing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop((tasks, logs, comparing));
    }

    /// Leaves the coordination store as one whole file, as far as other processes let it. Part of every shutdown.
    pub async fn rest(&self) {
        self.store.rest().await;
    }
}
