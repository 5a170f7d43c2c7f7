//! The merge as programs that know of each other only rows: a backup quorum, programs alone and in sequence, restarts.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use order::Generation;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::position::{self, Described, Live, Verified};
use engine::{
    ChangeError, Engine, EngineOptions, Folders, Log, MergeOptions, Places as _, Program, Programs,
    ReadError, Request,
    testing::{self, author as caller},
};
use logconfig::{LogConfig, SecondaryConfig};
use order::keys::Keys;
use store::record;
use store::{Coordination, Directory, Outcome, Sqlite, Transaction};
use tlog::{Checkpoint, GlobalIndex, Hash, TreeSize, UnixMillis};

const LONG: Duration = Duration::from_secs(60);

fn store(dir: &Path) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap())
}

async fn open(dir: &Path, merge: MergeOptions) -> Arc<Engine> {
    let options = testing::options(dir, &dir.join("kek"));
    Engine::open(EngineOptions { merge, ..options })
        .await
        .unwrap()
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
    let mut config = testing::config();
    config.merge.secondaries = ["x", "yy", "zzz"].map(secondary).to_vec();
    config.merge.backup_quorum = quorum;
    engine.create_log_unaudited(config, caller()).await.unwrap();
    engine.log("dev").unwrap()
}

async fn set_quorum(log: &Log, quorum: u32) {
    let mut document = log.config();
    document.merge.backup_quorum = quorum;
    let request = Request::Configure {
        base: Some(log.status().generation),
        next: Box::new(document),
    };
    log.change_unaudited(request, caller()).await.unwrap();
}

/// Writes what `replicate` would.
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
            since: UnixMillis::ZERO,
        };
        self.put(self.keys.secondary(name), record::encode(&live))
            .await;
    }

    async fn verified(&self, name: &str, incarnation: &str, size: u64, root: Hash) {
        let row = Verified {
            size: TreeSize::new(size),
            root,
            cosignature: None,
            time: UnixMillis::ZERO,
        };
        let key = self.keys.verified(name, incarnation, "a");
        self.put(key, record::encode_numbered(size, &row)).await;
    }

    /// It has taken the manifest of a generation.
    async fn told(&self, name: &str, incarnation: &str, generation: u64) {
        let row = Described {
            unsettled: false,
            incarnation: incarnation.to_owned(),
            vkey: secondary(name).vkey,
            generation: Generation::new(generation),
            life: 0,
        };
        let key = self.keys.manifest(name);
        self.put(key, record::encode_numbered(generation, &row))
            .await;
    }

    /// Waits for a cut of that size.
    async fn cut(&self, size: u64) -> Hash {
        let wait = async {
            loop {
                let at = position::integrated(&*self.store, &self.keys, "a")
                    .await
                    .unwrap();
                if let Some(at) = at.filter(|at| at.size == TreeSize::new(size)) {
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
        row.map_or(0, |row| row.size.get())
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
    let waited =
        tokio::time::timeout(LONG, log.wait_published(GlobalIndex::new(published - 1))).await;
    waited.unwrap().unwrap();
}

/// Waits until the log says with all these words why it publishes nothing.
async fn lacks(log: &Log, words: &[&str]) {
    let said = async {
        loop {
            let reason = log.status().reason.unwrap_or_default();
            if words.iter().all(|word| reason.contains(word)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let said = tokio::time::timeout(LONG, said).await;
    assert!(said.is_ok(), "{words:?} not in {:?}", log.status().reason);
}

/// The order continues; nothing is published that too few hold; what counts is the live incarnation, over our root; a higher quorum takes
/// nothing back.
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
    // Other roots, dead incarnations and unknown secondaries are no copies.
    backup.live("yy", "2").await;
    backup.verified("yy", "1", 5, five).await;
    backup.verified("zzz", "1", 5, five).await;
    backup
        .verified("yy", "2", 5, tlog::leaf_hash(b"other"))
        .await;
    append(&log, 5).await;
    let ten = backup.cut(10).await;
    assert_eq!(
        (
            backup.published().await,
            log.status().watermarks.published.get()
        ),
        (0, 0)
    );
    lacks(&log, &["0 of the 2", "yy"]).await;

    // The slower of the two says how far.
    backup.verified("x", "1", 10, ten).await;
    backup.verified("yy", "2", 5, five).await;
    reaches(&log, 5).await;
    let note = log.checkpoint("a").await.unwrap().unwrap();
    assert_eq!(checkpoint(&note, &log).size, 5);
    backup.verified("yy", "2", 10, ten).await;
    reaches(&log, 10).await;

    // One loses its disk: what is published stays, and publication continues when it is back.
    backup.live("yy", "3").await;
    append(&log, 1).await;
    let eleven = backup.cut(11).await;
    backup.verified("x", "1", 11, eleven).await;
    backup.verified("yy", "3", 5, five).await;
    set_quorum(&log, 3).await;
    append(&log, 1).await;
    let twelve = backup.cut(12).await;
    assert_eq!(backup.published().await, 10);
    // Hot: one copy is enough, once as many as before know it, and have what was ordered before.
    set_quorum(&log, 1).await;
    append(&log, 1).await;
    let thirteen = backup.cut(13).await;
    backup.verified("x", "1", 12, twelve).await;
    backup.told("x", "1", 3).await;
    // That storage is gone.
    backup.told("yy", "2", 3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    lacks(&log, &["generation 1"]).await;
    assert_eq!(backup.published().await, 10);
    backup.told("yy", "3", 3).await;
    reaches(&log, 12).await;
    backup.verified("x", "1", 13, thirteen).await;
    reaches(&log, 13).await;
    set_quorum(&log, 0).await;
    append(&log, 1).await;
    backup.told("zzz", "1", 4).await;
    reaches(&log, 14).await;
    engine.shutdown().await;
    clean(dir.path()).await;
}

/// Nothing is wrong with the stores.
async fn clean(dir: &Path) {
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = engine::fsck::fsck(
        &*store(dir),
        &objects,
        &|_| Box::pin(std::future::ready(Err("none".into()))),
        &mut |_| {},
    )
    .await
    .unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// A restart between cut and publication: the trees continue from the cut, and the readers have what was signed.
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
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(300));
    let note = log.checkpoint("a").await.unwrap().unwrap();
    assert_eq!(checkpoint(&note, &log).size, 300);
    for index in [0, 299, 300, 699] {
        let entry = log.entry(GlobalIndex::new(index)).await.unwrap().unwrap();
        assert_eq!(entry.bytes, format!("entry {index}"));
    }
    assert!(
        log.inclusion(GlobalIndex::new(299))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        log.inclusion(GlobalIndex::new(300))
            .await
            .unwrap()
            .is_none()
    );
    append(&log, 1).await;
    let root = backup.cut(701).await;
    backup.verified("x", "1", 701, root).await;
    reaches(&log, 701).await;
    for index in (0..701).step_by(53) {
        assert!(
            log.inclusion(GlobalIndex::new(index))
                .await
                .unwrap()
                .is_some()
        );
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
    assert_eq!(log.status().watermarks.published, GlobalIndex::ZERO);
    let fetch = open(dir.path(), only(&[Program::Integrate], false)).await;
    let backup = Backup::new(dir.path());
    let root = backup.cut(10).await;
    let publisher = open(dir.path(), only(&[Program::Publish], false)).await;
    backup.live("x", "1").await;
    backup.verified("x", "1", 10, root).await;
    reaches(&log, 10).await;
    let rotated = engine::testing::rotation();
    log.change_unaudited(rotated, caller()).await.unwrap();
    set_quorum(&log, 0).await;
    append(&log, 600).await;
    backup.told("x", "1", log.status().generation.get()).await;
    reaches(&log, 610).await;
    let sealed = async {
        while log.object("a", "seal").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, sealed).await.unwrap();
    for engine in [server, fetch, publisher] {
        engine.shutdown().await;
    }
    clean(dir.path()).await;
}

/// A place that this process could never use is refused while it is the only one; if another process may use it, there is a warning.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_may_use_is_refused_before_it_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), MergeOptions::default()).await;
    let log = create(&engine, 0).await;
    let mut next = log.config();
    next.merge.frontends.push(logconfig::FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: format!("file://{}/elsewhere", dir.path().display()),
    });
    let mut node = next.merge.storage.nodes[0].clone();
    node.name = "b".parse().unwrap();
    next.merge.storage.nodes.push(node);
    let request = |next: &LogConfig| Request::Configure {
        base: None,
        next: Box::new(next.clone()),
    };
    for dry in [true, false] {
        let refused = match dry {
            true => log.preview(request(&next)).await,
            false => log.change_unaudited(request(&next), caller()).await,
        };
        let Err(ChangeError::Invalid(findings)) = refused else {
            panic!("{refused:?}");
        };
        let found: Vec<_> = findings
            .iter()
            .map(|f| (f.code, f.pointer.as_str()))
            .collect();
        let expected = [
            ("storage-node-not-allowed", "/merge/storage/nodes/1/name"),
            ("frontend-not-allowed", "/merge/frontends/0/url"),
        ];
        assert_eq!(found, expected);
    }
    assert!(!dir.path().join("elsewhere").exists());
    // Another process may be allowed to.
    let other = open(dir.path(), MergeOptions::default()).await;
    let applied = log
        .change_unaudited(request(&next), caller())
        .await
        .unwrap();
    assert_eq!(applied.warnings.len(), 2, "{:?}", applied.warnings);
    other.shutdown().await;
    // A running setting is not refused again: the rest can still be changed, and it can be removed.
    let mut later = log.config();
    later.merge.checkpoint_interval = logconfig::Span::from_millis(20);
    assert_eq!(log.preview(request(&later)).await.unwrap().warnings, []);
    engine.shutdown().await;
}

/// Before the change a warning that names who is missing; after it a state that says so; then, with the missing one back, neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_above_the_live_secondaries_is_a_warning_and_then_a_state() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody copies here but the test.
    let mine = [Program::Integrate, Program::Publish, Program::Distribute];
    let merge = MergeOptions {
        programs: mine.into_iter().collect(),
        ..MergeOptions::default()
    };
    let engine = open(dir.path(), merge).await;
    let log = create(&engine, 0).await;
    append(&log, 10).await;
    let backup = Backup::new(dir.path());
    let root = backup.cut(10).await;
    for name in ["x", "yy"] {
        backup.live(name, "1").await;
        backup.verified(name, "1", 10, root).await;
    }
    reaches(&log, 10).await;
    let request = |quorum| {
        let mut next = log.config();
        next.merge.backup_quorum = quorum;
        Request::Configure {
            base: None,
            next: Box::new(next),
        }
    };
    assert_eq!(log.preview(request(2)).await.unwrap().warnings, []);
    assert_eq!(log.held_up(), None);
    let applied = log.change_unaudited(request(3), caller()).await.unwrap();
    let [warning] = &applied.warnings[..] else {
        panic!("{:?}", applied.warnings);
    };
    assert_eq!(warning.code, "backup-quorum-not-live");
    let said = &warning.message;
    assert!(said.contains("zzz") && !said.contains("yy"), "{said}");
    // Nothing waits to be published, and still it is told.
    let told = async {
        while log.held_up() != Some("publication waits for secondaries") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    let reason = log.status().reason.unwrap();
    assert!(
        reason.contains("2 of the 3") && reason.contains("zzz"),
        "{reason}"
    );
    backup.live("zzz", "1").await;
    backup.verified("zzz", "1", 10, root).await;
    let well = async {
        while log.held_up().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, well).await.unwrap();
    assert_eq!(log.preview(request(2)).await.unwrap().warnings, []);
    engine.shutdown().await;
}

/// Another process publishes and its witnesses are missing, or it died before it signed: readers hear that it waits, not that
/// something is broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_checkpoint_that_waits_for_witnesses_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let only = |programs: &[Program], writes| MergeOptions {
        programs: programs.iter().copied().collect(),
        writes,
        ..MergeOptions::default()
    };
    let server = open(dir.path(), only(&[Program::Integrate], true)).await;
    let log = create(&server, 0).await;
    let mut next = log.config();
    let key = tlog::Cosigner::from_seed("w.example.org", &[7; 32]).unwrap();
    let witness = format!("witness w {} http://w.example.org", key.verifier());
    next.witnesses.policy = format!("{witness}\nquorum w\n");
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change_unaudited(request, caller()).await.unwrap();
    append(&log, 10).await;
    // It asks nobody: it has no client.
    let publisher = open(dir.path(), only(&[Program::Publish], false)).await;
    let backup = Backup::new(dir.path());
    let waits = async {
        loop {
            let row = position::published(&*backup.store, &backup.keys, "a").await;
            if row.unwrap().is_some_and(|row| row.size > TreeSize::ZERO) {
                return log.checkpoint("a").await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(LONG, waits).await.unwrap();
    let Err(ReadError::Unwitnessed { shard }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(shard, "a");
    publisher.shutdown().await;
    // Nobody signs any more, and no witnesses are waited for.
    let mut next = log.config();
    next.witnesses.policy = String::new();
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change_unaudited(request, caller()).await.unwrap();
    let answer = log.checkpoint("a").await;
    assert!(
        matches!(&answer, Err(ReadError::Unsigned { shard }) if shard == "a"),
        "{answer:?}"
    );
    server.shutdown().await;
}

/// A batch whose one node was taken out of the configuration is there as long as that node is leaving.
#[tokio::test]
async fn a_batch_on_a_node_that_is_leaving_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let nodes = ["b", "c"].map(|name| (name.to_owned(), at(name)));
    let places = || Arc::new(Folders::new(nodes.clone().into(), Vec::new()));
    let merge = MergeOptions {
        programs: Programs::NONE,
        places: places(),
        ..MergeOptions::default()
    };
    let engine = open(dir.path(), merge).await;
    let log = create(&engine, 0).await;
    for name in ["b", "c"] {
        let mut next = log.config();
        next.merge.storage.nodes[0].name = name.parse().unwrap();
        let request = Request::Configure {
            base: None,
            next: Box::new(next),
        };
        log.change_unaudited(request, caller()).await.unwrap();
        if name == "b" {
            log.append(Bytes::from(vec![7; 65_535])).await.unwrap();
        }
    }
    engine.shutdown().await;
    let objects = Directory::open(&at("objects")).unwrap();
    let places = places();
    let rows = store(dir.path());
    let report = engine::fsck::fsck(&*rows, &objects, &|name| places.node(name), &mut |_| {})
        .await
        .unwrap();
    let findings: Vec<_> = report.findings.into_iter().map(|f| f.what).collect();
    assert_eq!(findings, Vec::<String>::new());
    let dev = report.logs.iter().find(|log| log.name == "dev").unwrap();
    let found: Vec<_> = dev
        .nodes
        .iter()
        .map(|node| (&*node.name, node.intact))
        .collect();
    assert_eq!(found, [("c", 0), ("b", 1), ("local", 0)]);
}

/// A large batch is there when any storage node has it; what a node lacks is counted, what it has wrong is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_on_any_storage_node_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let nodes = ["b", "c"].map(|name| (name.to_owned(), at(name)));
    let places = || Arc::new(Folders::new(nodes.clone().into(), Vec::new()));
    let merge = MergeOptions {
        programs: Programs::NONE,
        places: places(),
        ..MergeOptions::default()
    };
    let engine = open(dir.path(), merge).await;
    let log = create(&engine, 0).await;
    let mut next = log.config();
    for name in ["b", "c"] {
        let mut node = next.merge.storage.nodes[0].clone();
        node.name = name.parse().unwrap();
        next.merge.storage.nodes.push(node);
    }
    next.merge.storage.quorum = 3;
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change_unaudited(request, caller()).await.unwrap();
    log.append(Bytes::from(vec![7; 65_535])).await.unwrap();
    engine.shutdown().await;

    let away = AtomicBool::new(false);
    let look = async || {
        let objects = Directory::open(&dir.path().join("objects")).unwrap();
        let places = places();
        let node = |name: &str| match name {
            "c" if away.load(Ordering::Relaxed) => {
                Box::pin(std::future::ready(Err("gone".to_owned())))
            }
            name => places.node(name),
        };
        let rows = store(dir.path());
        let report = engine::fsck::fsck(&*rows, &objects, &node, &mut |_| {})
            .await
            .unwrap();
        let dev = report.logs.iter().find(|log| log.name == "dev").unwrap();
        let nodes: Vec<_> = dev
            .nodes
            .iter()
            .map(|node| (node.intact, node.lacks, node.damaged))
            .collect();
        let of = |f: engine::fsck::Finding| (f.store, f.place, f.what);
        (
            nodes,
            report.findings.into_iter().map(of).collect::<Vec<_>>(),
        )
    };
    let (found, findings) = look().await;
    assert_eq!((found, findings), (vec![(1, 0, 0); 3], vec![]));
    let batch = |node: &Path| -> std::path::PathBuf {
        let folder = node.join("log/dev/batch");
        let mut files = std::fs::read_dir(folder).unwrap();
        files.next().unwrap().unwrap().path()
    };
    std::fs::remove_file(batch(&at("objects"))).unwrap();
    let (found, findings) = look().await;
    assert_eq!(found, [(0, 1, 0), (1, 0, 0), (1, 0, 0)]);
    assert_eq!(findings, []);
    let file = batch(&at("b"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (found, findings) = look().await;
    assert_eq!(found, [(0, 1, 0), (0, 0, 1), (1, 0, 0)]);
    let [(engine::fsck::StoreKind::Node, place, _)] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(place.starts_with("b/log/dev/batch/"), "{place}");
    // The last good copy is on a node that can't be looked at.
    std::fs::remove_file(file).unwrap();
    away.store(true, Ordering::Relaxed);
    let (_, findings) = look().await;
    let [(engine::fsck::StoreKind::Objects, _, what)] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(
        what.contains("missing on every storage node") && what.contains("c: gone"),
        "{what}"
    );
    away.store(false, Ordering::Relaxed);
    assert_eq!(look().await.1, []);
}

/// A node that is taken out while it alone has what is ordered and not integrated.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_node_that_is_taken_out_is_read_from_while_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let nodes = ["b", "c"].map(|name| (name.to_owned(), at(name)));
    let places = || Arc::new(Folders::new(nodes.clone().into(), Vec::new()));
    let only = |programs| MergeOptions {
        programs,
        places: places(),
        ..MergeOptions::default()
    };
    let engine = open(dir.path(), only(Programs::NONE)).await;
    let log = create(&engine, 0).await;
    let nodes = async |names: &[&str]| {
        let mut next = log.config();
        let named = names.iter().map(|name| logconfig::StorageNode {
            name: name.parse().unwrap(),
        });
        next.merge.storage.nodes = named.collect();
        next.merge.storage.quorum = 1;
        let request = Request::Configure {
            base: None,
            next: Box::new(next),
        };
        log.change_unaudited(request, caller()).await.unwrap()
    };
    assert_eq!(nodes(&["b"]).await.warnings, []);
    let large = Bytes::from(vec![7; 65_535]);
    for _ in 0..3 {
        log.append(large.clone()).await.unwrap();
    }
    let left = nodes(&["c"]).await;
    let [warning] = &left.warnings[..] else {
        panic!("{:?}", left.warnings);
    };
    assert_eq!(warning.code, "storage-node-needed");
    assert!(
        warning.message.contains("node b ") && warning.message.contains("3 are ordered"),
        "{}",
        warning.message
    );
    log.append(large.clone()).await.unwrap();
    // Another change, and a start: still known.
    nodes(&["c", "local"]).await;
    engine.shutdown().await;
    drop(log);
    let engine = open(dir.path(), only(MergeOptions::default().programs)).await;
    let log = engine.log("dev").unwrap();
    reaches(&log, 4).await;
    for index in 0..4 {
        let entry = log.entry(GlobalIndex::new(index)).await.unwrap().unwrap();
        assert_eq!(entry.bytes, large);
    }
    engine.shutdown().await;
}
