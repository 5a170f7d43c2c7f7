//! The merge as programs that know of each other only rows: a backup quorum, programs alone and in sequence, restarts.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{LogConfig, LogName, SecondaryConfig, ShardName};
use log::merge::position::{self, Live, Verified};
use log::order::keys::Keys;
use log::store::{Coordination, Directory, Outcome, Sqlite, Transaction};
use log::{Caller, Engine, EngineOptions, Kek, Log, MergeOptions, Program, Request, record};
use tlog::{Checkpoint, Hash};

const LONG: Duration = Duration::from_secs(60);

fn store(dir: &Path) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap())
}

async fn open(dir: &Path, merge: MergeOptions) -> Arc<Engine> {
    let kek_path = dir.join("kek");
    if !kek_path.exists() {
        Kek::generate().unwrap().write_new(&kek_path).unwrap();
    }
    Engine::open(EngineOptions {
        coordination: store(dir),
        objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        kek: Kek::from_file(&kek_path).unwrap(),
        label: "test".into(),
        min_free: 0,
        max_pending_bytes: 1 << 20,
        merge,
    })
    .await
    .unwrap()
}

fn caller() -> Caller {
    Caller {
        actor: "test".into(),
        idempotency_key: None,
    }
}

fn secondary(name: &str) -> SecondaryConfig {
    let seed = [name.len() as u8; 32];
    let key = tlog::Cosigner::from_seed(&format!("{name}.example.org"), &seed).unwrap();
    SecondaryConfig {
        name: name.parse().unwrap(),
        url: format!("http://{name}.example.org"),
        vkey: key.verifier().to_string(),
    }
}

async fn create(engine: &Arc<Engine>, quorum: u32) -> Arc<Log> {
    let name = LogName::try_from("dev".to_owned()).unwrap();
    let shard = ShardName::try_from("a".to_owned()).unwrap();
    let mut config = LogConfig::new(name, "example.org/dev".into(), shard);
    config.merge.checkpoint_interval = config::Span::from_millis(10);
    config.merge.secondaries = ["x", "yy", "zzz"].map(secondary).to_vec();
    config.merge.backup_quorum = quorum;
    engine.create_log(config, caller()).await.unwrap();
    engine.log("dev").unwrap()
}

async fn set_quorum(log: &Log, quorum: u32) {
    let mut document = log.config();
    document.merge.backup_quorum = quorum;
    let request = Request::Configure {
        base: Some(log.status().generation),
        next: Box::new(document),
    };
    log.change(request, caller()).await.unwrap();
}

/// Writes what `backup` would.
struct Backup {
    store: Arc<Sqlite>,
    keys: Keys,
}

impl Backup {
    fn new(dir: &Path) -> Self {
        Self {
            store: store(dir),
            keys: Keys::new("dev"),
        }
    }

    async fn put(&self, key: String, row: Bytes) {
        let transaction = Transaction {
            puts: vec![(key, row)],
            ..Transaction::default()
        };
        let outcome = self.store.transact(transaction).await;
        assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
    }

    async fn live(&self, name: &str, incarnation: &str) {
        let live = Live {
            incarnation: incarnation.to_owned(),
            vkey: secondary(name).vkey,
            since: 0,
        };
        self.put(self.keys.secondary(name), record::encode(&live))
            .await;
    }

    async fn verified(&self, name: &str, incarnation: &str, size: u64, root: Hash) {
        let row = Verified {
            size,
            root,
            cosignature: None,
            time: 0,
        };
        let key = self.keys.verified(name, incarnation, "a");
        self.put(key, record::encode_numbered(size, &row)).await;
    }

    /// Waits for a cut of that size.
    async fn cut(&self, size: u64) -> Hash {
        let wait = async {
            loop {
                let at = position::integrated(&*self.store, &self.keys, "a")
                    .await
                    .unwrap();
                if let Some(at) = at.filter(|at| at.size == size) {
                    return at.root;
                }
                self.store
                    .changed(&self.keys.all_integrated(), Duration::from_millis(100))
                    .await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap()
    }

    async fn published(&self) -> u64 {
        let row = position::published(&*self.store, &self.keys, "a")
            .await
            .unwrap();
        row.map_or(0, |row| row.size)
    }
}

async fn append(log: &Log, count: u64) {
    for _ in 0..count {
        let entry = Bytes::from(format!("entry {}", log.status().watermarks.ordered));
        log.append(entry).await.unwrap();
    }
}

fn checkpoint(note: &str, log: &Log) -> Checkpoint {
    let key = log.status().shards[0].vkey.parse().unwrap();
    Checkpoint::open(note, &key).unwrap()
}

async fn reaches(log: &Log, published: u64) {
    let waited = tokio::time::timeout(LONG, log.wait_published(published - 1)).await;
    waited.unwrap().unwrap();
}

/// The order goes on; nothing is published that too few hold; what counts is the live incarnation, over our root; a higher
/// quorum takes nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_published_when_the_quorum_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), MergeOptions::default()).await;
    let log = create(&engine, 2).await;
    let backup = Backup::new(dir.path());
    append(&log, 5).await;
    let five = backup.cut(5).await;
    backup.live("x", "1").await;
    backup.verified("x", "1", 5, five).await;
    // Other roots, dead incarnations and strangers are no copies.
    backup.live("yy", "2").await;
    backup.verified("yy", "1", 5, five).await;
    backup.verified("zzz", "1", 5, five).await;
    backup
        .verified("yy", "2", 5, tlog::leaf_hash(b"other"))
        .await;
    append(&log, 5).await;
    let ten = backup.cut(10).await;
    assert_eq!(
        (backup.published().await, log.status().watermarks.published),
        (0, 0)
    );
    let lacking = async {
        while log.status().reason.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, lacking).await.unwrap();
    let reason = log.status().reason.unwrap();
    assert!(
        reason.contains("0 of the 2") && reason.contains("yy"),
        "{reason}"
    );

    // The slower of the two says how far.
    backup.verified("x", "1", 10, ten).await;
    backup.verified("yy", "2", 5, five).await;
    reaches(&log, 5).await;
    let note = log.checkpoint("a").await.unwrap().unwrap();
    assert_eq!(checkpoint(&note, &log).size, 5);
    backup.verified("yy", "2", 10, ten).await;
    reaches(&log, 10).await;

    // One loses its disk: what is published stays, and goes on when it is back.
    backup.live("yy", "3").await;
    append(&log, 1).await;
    let eleven = backup.cut(11).await;
    backup.verified("x", "1", 11, eleven).await;
    backup.verified("yy", "3", 5, five).await;
    set_quorum(&log, 3).await;
    append(&log, 1).await;
    backup.cut(12).await;
    assert_eq!(backup.published().await, 10);
    // Hot: one copy is enough from now on.
    set_quorum(&log, 1).await;
    reaches(&log, 11).await;
    set_quorum(&log, 0).await;
    reaches(&log, 12).await;
    engine.shutdown().await;
    clean(dir.path()).await;
}

/// Nothing is wrong with the stores.
async fn clean(dir: &Path) {
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = log::fsck::fsck(&*store(dir), &objects, &mut |_| {})
        .await
        .unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// A restart between cut and publication: the trees go on from the cut, and the readers have what was signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), MergeOptions::default()).await;
    let log = create(&engine, 1).await;
    let backup = Backup::new(dir.path());
    backup.live("x", "1").await;
    append(&log, 300).await;
    let root = backup.cut(300).await;
    backup.verified("x", "1", 300, root).await;
    reaches(&log, 300).await;
    append(&log, 400).await;
    backup.cut(700).await;
    engine.shutdown().await;
    // Cuts that are ahead of the publication are no damage.
    clean(dir.path()).await;

    let engine = open(dir.path(), MergeOptions::default()).await;
    let log = engine.log("dev").unwrap();
    assert_eq!(log.status().watermarks.published, 300);
    let note = log.checkpoint("a").await.unwrap().unwrap();
    assert_eq!(checkpoint(&note, &log).size, 300);
    for index in [0, 299, 300, 699] {
        let entry = log.entry(index).await.unwrap().unwrap();
        assert_eq!(entry.bytes, format!("entry {index}"));
    }
    assert!(log.inclusion(299).await.unwrap().is_some());
    assert!(log.inclusion(300).await.unwrap().is_none());
    append(&log, 1).await;
    let root = backup.cut(701).await;
    backup.verified("x", "1", 701, root).await;
    reaches(&log, 701).await;
    for index in (0..701).step_by(53) {
        assert!(log.inclusion(index).await.unwrap().is_some());
    }
    engine.shutdown().await;
}

/// A server that only orders, and each program in a process of its own beside it.
#[tokio::test(flavor = "multi_thread")]
async fn programs_in_processes_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let only = |programs: &[Program], writes| MergeOptions {
        programs: programs.iter().copied().collect(),
        writes,
        ..MergeOptions::default()
    };
    let server = open(dir.path(), only(&[], true)).await;
    let log = create(&server, 1).await;
    append(&log, 10).await;
    assert_eq!(log.status().watermarks.published, 0);
    let fetch = open(dir.path(), only(&[Program::Fetch], false)).await;
    let backup = Backup::new(dir.path());
    let root = backup.cut(10).await;
    let sth = open(dir.path(), only(&[Program::Sth], false)).await;
    backup.live("x", "1").await;
    backup.verified("x", "1", 10, root).await;
    reaches(&log, 10).await;
    let rotated = Request::Rotate {
        name: None,
        base: None,
    };
    log.change(rotated, caller()).await.unwrap();
    set_quorum(&log, 0).await;
    append(&log, 600).await;
    reaches(&log, 610).await;
    let sealed = async {
        while log.object("a", "seal").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, sealed).await.unwrap();
    for engine in [server, fetch, sth] {
        engine.shutdown().await;
    }
    clean(dir.path()).await;
}
