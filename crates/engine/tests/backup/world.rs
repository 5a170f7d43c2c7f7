//! A log, its secondaries and its witnesses, and what tests do with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub(crate) use engine::testing::author as caller;
use engine::{Engine, EngineOptions, Log, MergeOptions, PeerClient, Request, testing};
use logconfig::{LogConfig, SecondaryConfig};
use mirror::{Folder, Mirror, MirrorOptions};
use store::{Directory, Sqlite};
use tlog::{Checkpoint, Cosigner, GlobalIndex, Note, VerifierKey};

use crate::network::{Network, Witness};

pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const ORIGIN: &str = "example.org/dev";

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) network: Arc<Network>,
}

pub(crate) fn cosigner(name: &str) -> Cosigner {
    Cosigner::from_seed(&format!("{name}.example.org"), &[name.len() as u8 + 40; 32]).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            network: Arc::default(),
        }
    }

    /// A world with a server that has a log of these secondaries, and the log's replication key.
    pub(crate) async fn with_log(
        secondaries: &[&str],
        quorum: u32,
    ) -> (Self, Arc<Engine>, Arc<Log>, VerifierKey) {
        let world = Self::new();
        let engine = world.primary("primary").await;
        let log = create(&engine, secondaries, quorum).await;
        let key = log.replication_key().await.unwrap();
        (world, engine, log, key)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn primary(&self, name: &str) -> Arc<Engine> {
        let merge = MergeOptions {
            peers: Arc::clone(&self.network) as Arc<dyn PeerClient>,
            ..MergeOptions::default()
        };
        self.primary_with(name, merge).await
    }

    pub(crate) async fn primary_with(&self, name: &str, merge: MergeOptions) -> Arc<Engine> {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).unwrap();
        let options = testing::options(&dir, &self.path("kek"));
        Engine::open(EngineOptions { merge, ..options })
            .await
            .unwrap()
    }

    /// Starts a secondary; `storage` names its folder, so that another name is a lost disk.
    pub(crate) async fn secondary(
        &self,
        name: &str,
        storage: &str,
        log: &VerifierKey,
    ) -> Arc<Mirror> {
        let mirror = self.unreachable(name, storage, log).await;
        self.reach(name, &mirror);
        mirror
    }

    /// From now on this secondary answers at the name.
    pub(crate) fn reach(&self, name: &str, mirror: &Arc<Mirror>) {
        self.network
            .mirrors
            .lock()
            .unwrap()
            .insert(format!("{name}.example.org"), Arc::clone(mirror));
    }

    /// Starts a secondary that nobody reaches yet, nor the one before it.
    pub(crate) async fn unreachable(
        &self,
        name: &str,
        storage: &str,
        log: &VerifierKey,
    ) -> Arc<Mirror> {
        let dir = self.path(storage);
        std::fs::create_dir_all(&dir).unwrap();
        // The old process is stopped first.
        self.network
            .mirrors
            .lock()
            .unwrap()
            .remove(&format!("{name}.example.org"));
        let mirror = Mirror::open(MirrorOptions {
            rows: Arc::new(Sqlite::open(&dir.join("rows.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
            disk: Arc::new(Folder::new(dir)),
            logs: vec![log.clone()],
            cosigner: cosigner(name),
            min_free: 0,
            ambient: ambient::Ambient::unset(),
        })
        .await
        .unwrap();
        Arc::new(mirror)
    }

    /// Starts secondaries, each with a storage of its own name.
    pub(crate) async fn secondaries(&self, names: &[&str], log: &VerifierKey) {
        for name in names {
            self.secondary(name, name, log).await;
        }
    }

    pub(crate) fn witness(&self, name: &str) -> String {
        let key = cosigner(name);
        let line = format!(
            "witness {name} {} http://{name}.example.org\n",
            key.verifier()
        );
        self.network.witnesses.lock().unwrap().insert(
            format!("{name}.example.org"),
            Witness {
                key,
                size: 0,
                knows: None,
                apart: None,
            },
        );
        line
    }
}

pub(crate) async fn create(engine: &Arc<Engine>, secondaries: &[&str], quorum: u32) -> Arc<Log> {
    let mut config = testing::config();
    config.merge.secondaries = secondaries
        .iter()
        .map(|name| SecondaryConfig {
            name: name.parse().unwrap(),
            url: format!("http://{name}.example.org"),
            vkey: cosigner(name).verifier().to_string(),
        })
        .collect();
    config.merge.backup_quorum = quorum;
    engine.create_log_unaudited(config, caller()).await.unwrap();
    engine.log("dev").unwrap()
}

pub(crate) async fn configure(log: &Log, change: impl FnOnce(&mut LogConfig)) {
    let mut document = log.config();
    change(&mut document);
    let request = Request::Configure {
        base: Some(log.status().generation),
        next: Box::new(document),
    };
    log.change_unaudited(request, caller()).await.unwrap();
}

pub(crate) async fn append(log: &Log, count: usize) {
    for i in 0..count {
        log.append(Bytes::from(format!("entry {i}"))).await.unwrap();
    }
}

pub(crate) async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let wait = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

pub(crate) async fn published(log: &Log, size: u64) {
    until("published", || {
        log.status().watermarks.published >= GlobalIndex::new(size)
    })
    .await;
}

pub(crate) fn folder(world: &World, shard: &str) -> PathBuf {
    world.path("primary").join("objects/dev").join(shard)
}

/// The checkpoint that readers get, with the names of its cosigners.
pub(crate) fn checkpoint(folder: &Path, names: &[&str]) -> (Checkpoint, Vec<String>) {
    let note = std::fs::read_to_string(folder.join("checkpoint")).unwrap();
    let parsed = Note::parse(&note).unwrap();
    let signed = names
        .iter()
        .filter(|name| cosigner(name).verifier().find(&parsed).unwrap().is_some());
    (
        Checkpoint::parse(parsed.text).unwrap(),
        signed.map(|name| (*name).to_owned()).collect(),
    )
}
