//! Copies on secondaries, and witnesses: real mirrors in this process, behind a network that fails as it is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use config::{LogConfig, LogName, SecondaryConfig, ShardName};
use futures_util::future::BoxFuture;
use log::mirror::{Ended, Mirror, MirrorOptions, Refusal, SignedManifest};
use log::store::{Directory, Sqlite};
use log::{
    Caller, ChangeError, Engine, EngineOptions, Kek, Log, MergeOptions, PeerAnswer, PeerError,
    PeerRequest, Peers, Request,
};
use tlog::mirror::{AddCheckpoint, EntriesHead, SIZE_TYPE, origin_hash};
use tlog::{Checkpoint, Cosigner, Note, VerifierKey};

const LONG: Duration = Duration::from_secs(60);
const ORIGIN: &str = "example.org/dev";

/// How the way to a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing arrives.
    Dead,
    /// It arrives, and the answer is lost.
    Mute,
    /// Nobody ever answers.
    Silent,
}

/// A witness: keeps a size, and knows its logs by the origin only; without a list, all of them.
struct Witness {
    key: Cosigner,
    size: u64,
    knows: Option<Vec<String>>,
}

#[derive(Default)]
struct Network {
    mirrors: Mutex<BTreeMap<String, Arc<Mirror>>>,
    witnesses: Mutex<BTreeMap<String, Witness>>,
    ways: Mutex<BTreeMap<String, Way>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    fn set(&self, host: &str, way: Way) {
        self.ways.lock().unwrap().insert(host.to_owned(), way);
    }

    /// What readers of a mirror get.
    async fn page(&self, host: &str, path: &str) -> PeerAnswer {
        let mirror = self.mirrors.lock().unwrap().get(host).cloned().unwrap();
        let (hash, rest) = path.split_once('/').unwrap();
        let body = match (hash, rest) {
            ("manifest", hash) => mirror.manifest(hash).await.unwrap(),
            (hash, "checkpoint") => mirror.checkpoint(hash).await.map(Bytes::from),
            (hash, tile) => mirror.tile(hash, tile.parse().unwrap()).await.unwrap(),
        };
        PeerAnswer {
            status: if body.is_some() { 200 } else { 404 },
            body: body.unwrap_or_default(),
            ..PeerAnswer::default()
        }
    }

    async fn answer(&self, host: &str, path: &str, body: Bytes) -> PeerAnswer {
        let text = String::from_utf8_lossy(&body).into_owned();
        if body.is_empty() {
            return self.page(host, path).await;
        }
        if let Some(witness) = self.witnesses.lock().unwrap().get_mut(host) {
            let message = AddCheckpoint::parse(&text).unwrap();
            let note = Note::parse(&message.checkpoint).unwrap();
            let Checkpoint { origin, size, .. } = Checkpoint::parse(note.text).unwrap();
            if witness
                .knows
                .as_ref()
                .is_some_and(|all| !all.contains(&origin))
            {
                return PeerAnswer {
                    status: 404,
                    body: "unknown log\n".into(),
                    ..PeerAnswer::default()
                };
            }
            if message.old != witness.size {
                let body = format!("{}\n", witness.size).into();
                return PeerAnswer {
                    status: 409,
                    kind: SIZE_TYPE.into(),
                    body,
                    ..PeerAnswer::default()
                };
            }
            assert_eq!(
                message.proof.is_empty(),
                message.old == 0 || message.old == size
            );
            witness.size = size;
            let body = witness.key.cosign(note.text, 7).unwrap().into();
            return PeerAnswer {
                status: 200,
                body,
                ..PeerAnswer::default()
            };
        }
        let Some(mirror) = self.mirrors.lock().unwrap().get(host).cloned() else {
            return PeerAnswer {
                status: 404,
                ..PeerAnswer::default()
            };
        };
        let result: Result<(u16, String, String), Refusal> = match path {
            "add-checkpoint" => mirror
                .add_checkpoint(&text)
                .await
                .map(|()| (200, String::new(), String::new())),
            "manifest" => mirror
                .put_manifest(&body)
                .await
                .map(|()| (200, String::new(), String::new())),
            "add-entries" => {
                async {
                    let (head, used) = EntriesHead::read(&body).unwrap().unwrap();
                    let mut upload = mirror.begin(&head).await?;
                    let mut rest = body.slice(used..);
                    while !rest.is_empty() {
                        let used = upload.write(rest.clone()).await?;
                        rest = rest.slice(used..);
                    }
                    Ok(match upload.end().await? {
                        Ended::Cosigned(line) => (200, String::new(), line),
                        Ended::Partial(info) => {
                            (202, tlog::mirror::INFO_TYPE.to_owned(), info.to_body())
                        }
                    })
                }
                .await
            }
            _ => unreachable!("{path}"),
        };
        let alarm = match &result {
            Err(Refusal::Alarm(alarm)) => Some(alarm.size),
            _ => None,
        };
        let (status, kind, body) = result.unwrap_or_else(|refusal| {
            let (status, kind, body) = refusal.answer();
            (status, kind.to_owned(), body)
        });
        let incarnation = Some(mirror.incarnation().to_owned());
        PeerAnswer {
            status,
            kind,
            incarnation,
            alarm,
            body: body.into(),
        }
    }
}

impl Peers for Network {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(async move {
            let rest = request.url.strip_prefix("http://").unwrap();
            let (host, path) = rest.split_once('/').unwrap();
            let way = self
                .ways
                .lock()
                .unwrap()
                .get(host)
                .copied()
                .unwrap_or(Way::Open);
            let lost = || PeerError::Unreachable("cut".into());
            let body = request.body.map_or(Bytes::new(), |(_, body)| body);
            match way {
                Way::Dead => Err(lost()),
                Way::Silent => {
                    tokio::time::sleep(request.timeout).await;
                    Err(PeerError::Timeout(request.timeout))
                }
                Way::Open => Ok(self.answer(host, path, body).await),
                Way::Mute => {
                    self.answer(host, path, body).await;
                    Err(lost())
                }
            }
        })
    }
}

struct World {
    dir: tempfile::TempDir,
    network: Arc<Network>,
}

fn cosigner(name: &str) -> Cosigner {
    Cosigner::from_seed(&format!("{name}.example.org"), &[name.len() as u8 + 40; 32]).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            network: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn primary(&self, name: &str) -> Arc<Engine> {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).unwrap();
        let kek = self.path("kek");
        if !kek.exists() {
            Kek::generate().unwrap().write_new(&kek).unwrap();
        }
        Engine::open(EngineOptions {
            coordination: Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
            kek: Kek::from_file(&kek).unwrap(),
            label: "test".into(),
            min_free: 0,
            max_pending_bytes: 1 << 20,
            merge: MergeOptions {
                peers: Arc::clone(&self.network) as Arc<dyn Peers>,
                ..MergeOptions::default()
            },
        })
        .await
        .unwrap()
    }

    /// Starts a secondary; `storage` names its folder, so that another name is a lost disk.
    async fn secondary(&self, name: &str, storage: &str, log: &VerifierKey) -> Arc<Mirror> {
        let dir = self.path(storage);
        std::fs::create_dir_all(&dir).unwrap();
        // The old process goes first.
        self.network
            .mirrors
            .lock()
            .unwrap()
            .remove(&format!("{name}.example.org"));
        let mirror = Mirror::open(MirrorOptions {
            rows: Arc::new(Sqlite::open(&dir.join("rows.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
            dir,
            logs: vec![log.clone()],
            cosigner: cosigner(name),
            min_free: 0,
        })
        .await
        .unwrap();
        let mirror = Arc::new(mirror);
        self.network
            .mirrors
            .lock()
            .unwrap()
            .insert(format!("{name}.example.org"), Arc::clone(&mirror));
        mirror
    }

    fn witness(&self, name: &str) -> String {
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
            },
        );
        line
    }
}

fn caller() -> Caller {
    Caller {
        actor: "test".into(),
        idempotency_key: None,
    }
}

async fn create(engine: &Arc<Engine>, secondaries: &[&str], quorum: u32) -> Arc<Log> {
    let name = LogName::try_from("dev".to_owned()).unwrap();
    let shard = ShardName::try_from("a".to_owned()).unwrap();
    let mut config = LogConfig::new(name, ORIGIN.into(), shard);
    config.merge.checkpoint_interval = config::Span::from_millis(10);
    config.merge.secondaries = secondaries
        .iter()
        .map(|name| SecondaryConfig {
            name: name.parse().unwrap(),
            url: format!("http://{name}.example.org"),
            vkey: cosigner(name).verifier().to_string(),
        })
        .collect();
    config.merge.backup_quorum = quorum;
    engine.create_log(config, caller()).await.unwrap();
    engine.log("dev").unwrap()
}

async fn configure(log: &Log, change: impl FnOnce(&mut LogConfig)) {
    let mut document = log.config();
    change(&mut document);
    let request = Request::Configure {
        base: Some(log.status().generation),
        next: Box::new(document),
    };
    log.change(request, caller()).await.unwrap();
}

async fn append(log: &Log, count: usize) {
    for i in 0..count {
        log.append(Bytes::from(format!("entry {i}"))).await.unwrap();
    }
}

async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let wait = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

async fn published(log: &Log, size: u64) {
    until("published", || log.status().watermarks.published >= size).await;
}

fn folder(world: &World, shard: &str) -> PathBuf {
    world.path("primary").join("objects/dev").join(shard)
}

/// The checkpoint that readers get, with the names of those who cosigned it.
fn checkpoint(folder: &Path, names: &[&str]) -> (Checkpoint, Vec<String>) {
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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_before_the_quorum_has_it() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x", "yy", "zzz"], 2).await;
    let key = log.replication_key().await.unwrap();
    assert_eq!(key.name(), ORIGIN);
    let x = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    until("one secondary has it", || {
        x.status().first().is_some_and(|s| s.mirrored == 300)
    })
    .await;
    assert_eq!(log.status().watermarks.published, 0, "one is not two");
    until("the dead one is told of", || {
        log.replicas()
            .secondaries()
            .get("yy")
            .is_some_and(|s| s.trouble.is_some())
    })
    .await;
    let yy = world.secondary("yy", "yy", &key).await;
    published(&log, 300).await;
    let (at, names) = checkpoint(&folder(&world, "a"), &["x", "yy", "zzz"]);
    assert_eq!(
        (at.size, names),
        (300, vec!["x".to_owned(), "yy".to_owned()])
    );
    // What the secondaries serve is what the primary serves.
    let hash = origin_hash(&format!("{ORIGIN}/a"));
    for tile in tlog::partial_tiles(300) {
        let here = std::fs::read(folder(&world, "a").join(tile.to_string())).unwrap();
        assert_eq!(yy.tile(&hash, tile).await.unwrap().unwrap(), here);
    }
    // Everything a restore needs is there, and nobody without the key-encryption key can read it.
    let manifest = x.manifest(&origin_hash(ORIGIN)).await.unwrap().unwrap();
    let opened = SignedManifest::parse(&manifest).unwrap();
    opened.verify(&key).unwrap();
    let opened = opened
        .open(&Kek::from_file(&world.path("kek")).unwrap())
        .unwrap();
    assert_eq!((opened.log.as_str(), opened.state.generation), ("dev", 1));
    // A change goes there too, without any entry.
    configure(&log, |config| {
        config.merge.checkpoint_interval = config::Span::from_millis(11);
    })
    .await;
    let kek = Kek::from_file(&world.path("kek")).unwrap();
    let newer = async {
        loop {
            let bytes = x.manifest(&origin_hash(ORIGIN)).await.unwrap().unwrap();
            let opened = SignedManifest::parse(&bytes).unwrap().open(&kek).unwrap();
            if opened.state.generation == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, newer).await.unwrap();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_dead_secondary_slows_only_itself_and_catches_up() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x", "yy"], 1).await;
    let key = log.replication_key().await.unwrap();
    let x = world.secondary("x", "x", &key).await;
    let yy = world.secondary("yy", "yy", &key).await;
    for (round, way) in [Way::Silent, Way::Dead, Way::Mute, Way::Open]
        .into_iter()
        .enumerate()
    {
        world.network.set("yy.example.org", way);
        append(&log, 100).await;
        published(&log, 100 * (round as u64 + 1)).await;
        assert_eq!(x.status()[0].mirrored, 100 * (round as u64 + 1));
    }
    until("it has caught up", || {
        yy.status().first().is_some_and(|s| s.mirrored == 400)
    })
    .await;
    // A rotation: the older shard first.
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 50).await;
    published(&log, 450).await;
    until("both shards", || {
        yy.status().iter().map(|s| s.mirrored).sum::<u64>() == 450
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_does_not_count_until_it_has_verified_again() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    let first = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    let old = first.incarnation().to_owned();
    drop(first);
    let second = world.secondary("x", "x-new-disk", &key).await;
    assert_ne!(second.incarnation(), old);
    append(&log, 10).await;
    published(&log, 310).await;
    assert_eq!(
        second.status()[0].mirrored,
        310,
        "copied from zero, before anything was published"
    );
    let known = log.replicas().secondaries();
    assert_eq!(
        known["x"].incarnation.as_deref(),
        Some(second.incarnation())
    );
    // The same storage again, after a restart of its process: goes on where it was.
    drop(second);
    let third = world.secondary("x", "x-new-disk", &key).await;
    append(&log, 10).await;
    published(&log, 320).await;
    assert_eq!(third.status()[0].mirrored, 320);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_is_an_alarm_on_both_sides() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    engine.shutdown().await;
    drop((log, engine));
    let copy = World {
        dir: tempfile::tempdir().unwrap(),
        network: Arc::clone(&world.network),
    };
    std::fs::copy(world.path("kek"), copy.path("kek")).unwrap();
    let engine = copy.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    // Another log of that name has another replication key: the secondary does not even listen.
    append(&log, 5).await;
    until("refused", || {
        let all = log.replicas().secondaries();
        all.get("x")
            .and_then(|s| s.trouble.clone())
            .is_some_and(|why| why.contains("403"))
    })
    .await;
    assert!(mirror.status()[0].alarm.is_none());
    assert_eq!(log.status().watermarks.published, 0);
    // With the same key, as from a copy of the stores, it is a second history.
    let key = log.replication_key().await.unwrap();
    let other = world.secondary("x", "x-other", &key).await;
    published(&log, 5).await;
    engine.shutdown().await;
    drop((log, engine));
    let (from, to) = (copy.path("primary"), copy.path("fork"));
    copy_folder(&from, &to);
    for (folder, text) in [("primary", "one"), ("fork", "two")] {
        let engine = copy.primary(folder).await;
        let log = engine.log("dev").unwrap();
        for i in 0..9 {
            log.append(Bytes::from(format!("{text} {i}")))
                .await
                .unwrap();
        }
        if folder == "primary" {
            published(&log, 14).await;
        } else {
            until("alarm", || {
                log.replicas()
                    .secondaries()
                    .get("x")
                    .is_some_and(|s| s.alarm.is_some())
            })
            .await;
            assert_eq!(
                log.status().watermarks.published,
                5,
                "the fork publishes nothing more"
            );
            append(&log, 1).await;
        }
        engine.shutdown().await;
    }
    assert!(other.status()[0].alarm.is_some());
    assert_eq!(other.status()[0].mirrored, 14);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_decide_what_readers_get() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    append(&log, 10).await;
    published(&log, 10).await;
    let names = ["w", "ww", "www"];
    let mut policy: String = names.iter().map(|name| world.witness(name)).collect();
    policy.push_str("group two 2 w ww www\nquorum two\n");
    // One is not there, one has cosigned something else before.
    world.network.set("www.example.org", Way::Dead);
    configure(&log, |config| config.witnesses.policy.clone_from(&policy)).await;
    append(&log, 10).await;
    published(&log, 20).await;
    let (at, cosigned) = checkpoint(&folder(&world, "a"), &names);
    assert_eq!(
        (at.size, cosigned),
        (20, vec!["w".to_owned(), "ww".to_owned()])
    );
    log.replicas()
        .witnesses(|all| assert!(all["www"].failures.contains_key("unreachable"), "{all:?}"));
    // Too few: readers keep what they have, the order goes on.
    world.network.set("ww.example.org", Way::Dead);
    append(&log, 10).await;
    until("it is told", || {
        log.status()
            .reason
            .is_some_and(|why| why.contains("too few witnesses"))
    })
    .await;
    assert_eq!(checkpoint(&folder(&world, "a"), &names).0.size, 20);
    // One that comes back with another size is asked again.
    world
        .network
        .witnesses
        .lock()
        .unwrap()
        .get_mut("www.example.org")
        .unwrap()
        .size = 13;
    world.network.set("www.example.org", Way::Open);
    published(&log, 30).await;
    let (at, cosigned) = checkpoint(&folder(&world, "a"), &names);
    assert_eq!(
        (at.size, cosigned),
        (30, vec!["w".to_owned(), "www".to_owned()])
    );
    // A shard that no witness has seen yet: its readers keep the empty checkpoint.
    for host in ["w.example.org", "ww.example.org", "www.example.org"] {
        world.network.set(host, Way::Dead);
        let mut witnesses = world.network.witnesses.lock().unwrap();
        witnesses.get_mut(host).unwrap().size = 0;
    }
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 5).await;
    let second = log.status().shards[1].name.clone();
    until("it is told", || {
        log.status()
            .reason
            .is_some_and(|why| why.contains(&format!("shard {second}")))
    })
    .await;
    let note = log.checkpoint(&second).await.unwrap().unwrap();
    let empty = Checkpoint::parse(Note::parse(&note).unwrap().text).unwrap();
    assert_eq!(empty.size, 0);
    for host in ["w.example.org", "ww.example.org", "www.example.org"] {
        world.network.set(host, Way::Open);
    }
    published(&log, 35).await;
    assert_eq!(checkpoint(&folder(&world, &second), &names).0.size, 5);
    log.replicas()
        .witnesses(|all| assert!(all["www"].seconds.counts().iter().sum::<u64>() > 0));
    engine.shutdown().await;
}

/// A shard that too few witnesses know could not be published: it is not opened, unless somebody insists.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_witnesses_do_not_know_is_not_opened() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    append(&log, 3).await;
    let names = ["w", "ww", "www"];
    let mut policy: String = names.iter().map(|name| world.witness(name)).collect();
    policy.push_str("group two 2 w ww www\nquorum two\n");
    configure(&log, |config| config.witnesses.policy.clone_from(&policy)).await;
    let knows = |name: &str, origins: &[&String]| {
        let mut all = world.network.witnesses.lock().unwrap();
        let witness = all.get_mut(&format!("{name}.example.org")).unwrap();
        witness.knows = Some(origins.iter().map(|origin| (*origin).clone()).collect());
    };
    let rotate = |force| Request::Rotate {
        name: None,
        base: None,
        force,
    };
    let refused = |request: Request| {
        let log = &log;
        async move {
            match log.preview(request).await {
                Err(ChangeError::Invalid(findings)) => {
                    assert!(findings.iter().all(|f| f.code == "witness-does-not-know"));
                    let all = findings.iter().map(|f| format!("{}\n", f.message));
                    all.collect::<String>()
                }
                other => panic!("{other:?}"),
            }
        }
    };
    // One that is not planned has no key that anybody could know.
    let why = refused(rotate(false)).await;
    assert!(
        why.contains("witness ww would") && why.contains("no key yet"),
        "{why}"
    );
    let plan = Request::PlanShard {
        name: None,
        base: None,
    };
    log.change(plan, caller()).await.unwrap();
    let shards = log.status().shards;
    let (first, second) = (&shards[0].origin, &shards[1].origin);
    knows("w", &[first, second]);
    knows("ww", &[first]);
    knows("www", &[first]);
    let why = refused(rotate(false)).await;
    assert!(
        !why.contains("witness w would") && why.contains("witness ww would"),
        "{why}"
    );
    let by_itself = Request::RotateOut {
        shard: shards[0].name.parse().unwrap(),
        why: "full".into(),
    };
    refused(by_itself.clone()).await;
    let document = config::with_rotation(&log.config(), None, 0).unwrap();
    let whole = Request::Configure {
        next: Box::new(document),
        base: None,
    };
    refused(whole).await;
    assert_eq!(log.status().shards[1].state, config::ShardState::Planned);
    // One that does not answer is as good as one that does not know it.
    world.network.set("ww.example.org", Way::Dead);
    knows("ww", &[first, second]);
    let why = refused(rotate(false)).await;
    assert!(why.contains("witness ww would not cosign"), "{why}");
    world.network.set("ww.example.org", Way::Open);
    let applied = log.preview(rotate(false)).await.unwrap();
    assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
    assert!(applied.warnings[0].message.contains("witness www would"));
    log.preview(by_itself).await.unwrap();
    // Nobody was bound by being asked: the shard is published from its beginning.
    log.change(rotate(false), caller()).await.unwrap();
    append(&log, 4).await;
    published(&log, 7).await;
    // And with force, which stays on record.
    let applied = log.change(rotate(true), caller()).await.unwrap();
    assert_eq!(applied.warnings.len(), 3);
    let history = log.history().await.unwrap();
    assert!(
        history[0].summary.contains("forced: witness w, ww, www"),
        "{history:?}"
    );
    engine.shutdown().await;
}

impl World {
    fn restore(&self, to: &str, from: &[&str], force: bool) -> log::Restore {
        let dir = self.path(to);
        std::fs::create_dir_all(&dir).unwrap();
        log::Restore {
            origin: ORIGIN.to_owned(),
            from: from
                .iter()
                .map(|name| format!("http://{name}.example.org/"))
                .collect(),
            kek: Kek::from_file(&self.path("kek")).unwrap(),
            force,
            peers: Arc::clone(&self.network) as Arc<dyn Peers>,
            coordination: Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_rebuilt_and_goes_on() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x", "yy", "zzz"], 2).await;
    let key = log.replication_key().await.unwrap();
    for name in ["x", "yy", "zzz"] {
        world.secondary(name, name, &key).await;
    }
    append(&log, 600).await;
    published(&log, 600).await;
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 300).await;
    published(&log, 900).await;
    // One secondary is behind from here on.
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 1000).await;
    let before = log.status();
    let second = before.shards[1].name.clone();
    let old = std::fs::read_to_string(folder(&world, &second).join("checkpoint")).unwrap();
    let seal = std::fs::read(folder(&world, "a").join("seal")).unwrap();
    engine.shutdown().await;
    drop((log, engine));
    std::fs::remove_dir_all(world.path("primary")).unwrap();

    world.network.set("zzz.example.org", Way::Open);
    let few = world.restore("few", &["zzz"], false).run().await;
    assert!(
        matches!(&few, Err(log::RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("2 must")),
        "{few:?}"
    );
    let twice = world.restore("few", &["x", "x"], false).run().await;
    assert!(
        matches!(twice, Err(log::RestoreError::TooFew(_))),
        "one that is named twice is one"
    );
    let other = log::Restore {
        kek: Kek::generate().unwrap(),
        ..world.restore("few", &["x", "yy"], false)
    };
    assert!(matches!(
        other.run().await,
        Err(log::RestoreError::Manifest { .. })
    ));
    let forced = world.restore("forced", &["zzz"], true).run().await.unwrap();
    assert!(forced.warnings.iter().any(|w| w.contains("forced")) && forced.shards[1].1 == 300);

    let restored = world
        .restore("restored", &["zzz", "yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.shards[0].1, 600);
    assert_eq!(
        (restored.shards[1].1, restored.warnings.len()),
        (400, 0),
        "{restored:?}"
    );
    let again = world.restore("restored", &["zzz", "yy"], false).run().await;
    assert!(matches!(again, Err(log::RestoreError::Exists(_))));

    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 1000).await;
    let after = log.status();
    assert_eq!(after.generation, before.generation);
    for (old, new) in before.shards.iter().zip(&after.shards) {
        assert_eq!(
            (&old.origin, &old.vkey, old.start_index),
            (&new.origin, &new.vkey, new.start_index)
        );
    }
    // What readers hold is a prefix of what they get; here it is the same.
    let at = |text: &str| Checkpoint::parse(Note::parse(text).unwrap().text).unwrap();
    let path = world
        .path("restored/objects/dev")
        .join(&second)
        .join("checkpoint");
    until("it is signed again", || path.exists()).await;
    assert_eq!(at(&std::fs::read_to_string(&path).unwrap()), at(&old));
    assert_eq!(
        std::fs::read(world.path("restored/objects/dev/a/seal")).unwrap(),
        seal
    );
    // And it goes on: writes, the quorum, the manifest, a rotation.
    append(&log, 50).await;
    published(&log, 1050).await;
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 10).await;
    published(&log, 1060).await;
    until("no secondary complains", || {
        let all = log.replicas().secondaries();
        all.len() == 3
            && all
                .values()
                .all(|s| s.trouble.is_none() && s.alarm.is_none())
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

async fn fsck(dir: &Path) -> Vec<String> {
    let store = Sqlite::open(&dir.join("coordination.db")).unwrap();
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = log::fsck::fsck(&store, &objects, &|_| Err("none".into()), &mut |_| {})
        .await
        .unwrap();
    report.findings.iter().map(|f| format!("{f:?}")).collect()
}
