//! A log, its secondaries and its witnesses, and what tests do with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub(crate) use engine::testing::author as caller;
use engine::{Engine, EngineOptions, Kek, Log, MergeOptions, PeerClient, Request, testing};
use logconfig::{LogConfig, SecondaryConfig};
use mirror::{Folder, Mirror, MirrorOptions};
use store::{Directory, Sqlite};
use tlog::{Checkpoint, Cosigner, GlobalIndex, Note, VerifierKey};

use crate::copies::copy_folder;
use crate::network::{Network, Way, Witness};

pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const ORIGIN: &str = "example.org/dev";
/// The secondaries of [`on_three`].
pub(crate) const FROM: [&str; 3] = ["x", "yy", "zzz"];

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

impl World {
    /// A restore into the stores of a folder, from these secondaries.
    pub(crate) fn restore(&self, to: &str, from: &[&str], force: bool) -> engine::Restore {
        let dir = self.path(to);
        std::fs::create_dir_all(&dir).unwrap();
        engine::Restore {
            origin: ORIGIN.to_owned(),
            from: from
                .iter()
                .map(|name| format!("http://{name}.example.org/"))
                .collect(),
            kek: Kek::from_file(&self.path("kek")).unwrap(),
            ambient: ambient::Ambient::unset(),
            force,
            peers: Arc::clone(&self.network) as Arc<dyn PeerClient>,
            coordination: Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        }
    }
    pub(crate) async fn gone(&self, name: &str) {
        std::fs::remove_dir_all(self.path(name)).unwrap();
    }

    /// Copies the disk of the only secondary, `x`, to the folder `older`, while nobody writes to it; then `x` runs again.
    pub(crate) async fn copy_of_x(&self, mirror: Arc<Mirror>, key: &VerifierKey) -> Arc<Mirror> {
        self.network.mirrors.lock().unwrap().clear();
        // A request that it has begun to answer still writes.
        until("the secondary has answered", || {
            Arc::strong_count(&mirror) == 1
        })
        .await;
        mirror.rest().await;
        drop(mirror);
        copy_folder(&self.path("x"), &self.path("older"));
        self.secondary("x", "x", key).await
    }

    /// The checkpoint of the first shard that readers of this primary get.
    pub(crate) fn checkpoint_of(&self, primary: &str) -> Option<Checkpoint> {
        let path = self.path(primary).join("objects/dev/a/checkpoint");
        let note = std::fs::read_to_string(path).ok()?;
        Some(Checkpoint::parse(Note::parse(&note).unwrap().text).unwrap())
    }

    /// Only these secondaries answer.
    pub(crate) fn only_reachable(&self, open: &[&str]) {
        for name in FROM {
            let way = if open.contains(&name) {
                Way::Open
            } else {
                Way::Dead
            };
            self.network.set(&format!("{name}.example.org"), way);
        }
    }

    /// The secondary that answers at a name now.
    pub(crate) fn mirror(&self, name: &str) -> Arc<Mirror> {
        let mirrors = self.network.mirrors.lock().unwrap();
        Arc::clone(&mirrors[&format!("{name}.example.org")])
    }
}

pub(crate) async fn create(engine: &Arc<Engine>, secondaries: &[&str], quorum: u32) -> Arc<Log> {
    let mut config = testing::config();
    config.merge.secondaries = secondaries.iter().map(|name| member(name)).collect();
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

pub(crate) async fn until(what: &str, check: impl FnMut() -> bool) {
    assert!(comes(check).await, "{what}");
}

/// Whether something comes true in time.
async fn comes(mut check: impl FnMut() -> bool) -> bool {
    let wait = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.is_ok()
}

pub(crate) async fn published(log: &Log, size: u64) {
    let is_published = || log.status().watermarks.published >= GlobalIndex::new(size);
    let seen = || log.peers().secondaries();
    assert!(
        comes(is_published).await,
        "size {size} is not published: {:#?}, {:#?}",
        log.status(),
        seen()
    );
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

/// A secondary as the configuration names it.
pub(crate) fn member(name: &str) -> SecondaryConfig {
    SecondaryConfig {
        name: name.parse().unwrap(),
        url: format!("http://{name}.example.org"),
        vkey: cosigner(name).verifier().to_string(),
    }
}

/// A log on three secondaries, with so many published entries, and its replication key.
pub(crate) async fn on_three(entries: usize) -> (World, Arc<Engine>, Arc<Log>, VerifierKey) {
    let (world, engine, log, key) = World::with_log(&FROM, 2).await;
    world.secondaries(&FROM, &key).await;
    append(&log, entries).await;
    published(&log, entries as u64).await;
    (world, engine, log, key)
}

/// A log on three secondaries, with so many entries, whose primary is lost.
pub(crate) async fn lost(entries: usize) -> World {
    let (world, engine, log, _) = on_three(entries).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world
}

/// The log of a restored primary, of which so many entries are published, publishes another one.
pub(crate) async fn continues(world: &World, name: &str, entries: u64) {
    let engine = world.primary(name).await;
    let log = engine.log("dev").unwrap();
    published(&log, entries).await;
    append(&log, 1).await;
    published(&log, entries + 1).await;
    engine.shutdown().await;
}

/// Seals the shard behind its last entry, and writes none to the next one.
pub(crate) async fn seal(world: &World, name: &str, log: &Log) {
    rotate(log).await;
    let seal = world.path(name).join("objects/dev/a/seal");
    until("it is sealed", || seal.exists()).await;
}

pub(crate) async fn rotate(log: &Log) {
    let rotate = engine::testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
}

/// Rotates although the secondaries would not copy the next shard.
pub(crate) async fn rotate_by_force(log: &Log) {
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change_unaudited(rotate, caller()).await.unwrap();
}

/// Waits until the manifest that a secondary keeps is such a one.
pub(crate) async fn until_manifest(of: &Mirror, is: impl Fn(&mirror::SignedManifest) -> bool) {
    let hash = tlog::mirror::origin_hash(ORIGIN);
    let wait = async {
        loop {
            let bytes = of.manifest(&hash).await.unwrap();
            let kept = bytes.and_then(|bytes| mirror::SignedManifest::parse(&bytes).ok());
            if kept.is_some_and(|kept| is(&kept)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

/// The newest manifest that a secondary keeps.
pub(crate) async fn newest_manifest(world: &World, of: &Mirror) -> Option<engine::Manifest> {
    let kek = Kek::from_file(&world.path("kek")).unwrap();
    let bytes = of.manifest(&tlog::mirror::origin_hash(ORIGIN)).await;
    let signed = mirror::SignedManifest::parse(&bytes.unwrap()?).unwrap();
    Some(engine::Manifest::open(&signed, &kek).unwrap())
}

/// Waits for the first manifest that a storage keeps.
pub(crate) async fn first_manifest(world: &World, of: &Mirror) -> engine::Manifest {
    let wait = async {
        loop {
            if let Some(manifest) = newest_manifest(world, of).await {
                return manifest;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap()
}

/// Waits until a secondary has verified so much.
pub(crate) async fn has_verified(log: &Log, name: &str, size: u64) {
    let wait = async {
        loop {
            let view = log.merge().await.unwrap();
            let of = view.secondaries.into_iter().find(|one| one.name == name);
            if of.is_some_and(|of| of.position.is_some_and(|at| at >= GlobalIndex::new(size))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

pub(crate) async fn append_when_accepted(log: &Log) {
    let wait = async {
        while log.append(Bytes::from_static(b"later")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

/// A log whose only secondary has so many entries, and a copy of its disk in the folder `older`; with the log's replication key.
pub(crate) async fn copied_at(
    world: &World,
    engine: &Arc<Engine>,
    entries: usize,
) -> (Arc<Log>, VerifierKey) {
    let log = create(engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, entries).await;
    published(&log, entries as u64).await;
    world.copy_of_x(mirror, &key).await;
    (log, key)
}

pub(crate) async fn fsck(dir: &Path) -> Vec<String> {
    let store = Sqlite::open(&dir.join("coordination.db")).unwrap();
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = engine::fsck::fsck(
        &store,
        &objects,
        &|_| Box::pin(std::future::ready(Err("none".into()))),
        &mut |_| {},
    )
    .await
    .unwrap();
    report.findings.iter().map(|f| format!("{f:?}")).collect()
}

/// Whether the log says that one secondary has accepted it, and which ones have not.
pub(crate) fn has_accepted(log: &Log, missing: &str) -> bool {
    let why = log.status().reason.unwrap_or_default();
    why.contains(&format!(
        "accepted by 1 so far; not yet accepted by: {missing} ("
    ))
}
