//! Servers on one pair of stores in memory, for the engine's own tests.

use ambient::Ambient;
use ambient::testing::Moved;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::Log;
use crate::testing;
pub(crate) use crate::testing::author as caller;
use crate::{Engine, EngineOptions, Program};
use store::fault::{Faults, FaultyCoordination, FaultyObjects};
use store::{MemoryCoordination, MemoryObjects};

/// The rows of a store in memory.
pub(crate) type Rows = BTreeMap<String, Bytes>;

/// Servers on one pair of stores.
pub(crate) struct Rig {
    /// The clocks of the stores, and of each server that has none of its own.
    pub(crate) time: Moved,
    pub(crate) rows: Arc<MemoryCoordination>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) kek: Arc<tempfile::TempDir>,
    /// Bytes that may wait for publication.
    pub(crate) max_pending: usize,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let kek = tempfile::tempdir().unwrap();
        testing::kek(&kek.path().join("kek"));
        let time = Moved::system();
        Self {
            rows: Arc::new(MemoryCoordination::new().by(time.time())),
            time,
            objects: Arc::new(MemoryObjects::new()),
            kek: Arc::new(kek),
            max_pending: 64 << 20,
        }
    }

    /// The clocks of a server, which may be set against the stores'.
    pub(crate) fn clock(&self) -> Moved {
        Moved::over(self.time.time())
    }

    /// The same key over other stores.
    pub(crate) fn on(&self, rows: Rows, objects: Rows) -> Self {
        Self {
            time: self.time.clone(),
            rows: Arc::new(MemoryCoordination::with(rows).by(self.time.time())),
            objects: Arc::new(MemoryObjects::with(objects)),
            kek: Arc::clone(&self.kek),
            max_pending: self.max_pending,
        }
    }

    /// A server whose coordination store has faults.
    pub(crate) async fn server(&self, faults: &Faults) -> (Arc<Engine>, Arc<Log>) {
        self.faulty_server(faults, &Faults::new()).await
    }

    /// A server whose stores have faults: of rows, and of objects.
    pub(crate) async fn faulty_server(
        &self,
        rows: &Faults,
        objects: &Faults,
    ) -> (Arc<Engine>, Arc<Log>) {
        self.process(rows, objects, crate::MergeOptions::default())
            .await
    }

    /// A process that takes part in the merge in this way.
    pub(crate) async fn process(
        &self,
        rows: &Faults,
        objects: &Faults,
        merge: crate::MergeOptions,
    ) -> (Arc<Engine>, Arc<Log>) {
        let engine = self.open(merge, &self.time, rows, objects).await;
        let log = engine.log("dev").unwrap();
        (engine, log)
    }

    /// A process that runs some programs, by this clock, and takes writes or not.
    pub(crate) async fn alone(
        &self,
        programs: &[Program],
        writes: bool,
        clock: &Moved,
    ) -> Arc<Engine> {
        let merge = crate::MergeOptions {
            programs: programs.iter().copied().collect(),
            writes,
            ..crate::MergeOptions::default()
        };
        let none = Faults::new();
        self.open(merge, clock, &none, &none).await
    }

    async fn open(
        &self,
        merge: crate::MergeOptions,
        clock: &Moved,
        rows: &Faults,
        objects: &Faults,
    ) -> Arc<Engine> {
        let writes = merge.writes;
        let options = EngineOptions {
            max_pending_bytes: self.max_pending,
            merge,
            ambient: Ambient {
                time: clock.time(),
                random: Ambient::unset().random,
            },
            ..testing::options_on(
                Arc::new(FaultyCoordination::new(self.rows.clone(), rows.clone())),
                Arc::new(FaultyObjects::new(self.objects.clone(), objects.clone())),
                testing::kek(&self.kek.path().join("kek")),
            )
        };
        let engine = Engine::open(options).await.unwrap();
        if engine.log("dev").is_none() && writes {
            let created = engine.create_log(testing::config(), caller());
            created.await.unwrap();
        }
        engine
    }

    pub(crate) fn with(&self, prefix: &str) -> usize {
        let rows = self.rows.rows();
        rows.keys().filter(|key| key.starts_with(prefix)).count()
    }
}

/// How often each text is in the log.
pub(crate) async fn census(log: &Log) -> BTreeMap<String, u64> {
    log.ledger.refresh().await.unwrap();
    let size = log.ledger.state().size;
    let mut texts = BTreeMap::new();
    for index in tlog::GlobalIndex::ZERO.until(size) {
        let entry = log.entry(index).await.unwrap().unwrap();
        *texts
            .entry(String::from_utf8(entry.bytes.to_vec()).unwrap())
            .or_default() += 1;
    }
    texts
}
