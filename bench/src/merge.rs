//! The merge against a script that does one thing after the other, and the time from the order to the signed checkpoint.
//!
//! The comparison runs in this process: every store is in memory and takes 20 ms for each object that it reads or writes. The
//! script has the same programs and the same stores, but one operation at a time, and each program in its turn.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ambient::Ambient;
use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use engine::Chunk;
use engine::{
    Audited, Author, Engine, EngineOptions, Kek, Log, MergeOptions, Opening, PeerAnswer,
    PeerClient, PeerError, PeerRequest, Places, Program, Programs,
};
use futures_util::future::{BoxFuture, join_all};
use hdrhistogram::Histogram;
use logconfig::{FrontendConfig, LogConfig, SecondaryConfig, StorageNode};
use mirror::{Ended, Folder, Mirror, MirrorOptions, Refusal};
use qos::Advice;
use store::{Objects, Sqlite, StoreError};
use tests::process::{Logd, Worker, logctl, logctl_with, logd};
use tlog::mirror::{EntriesHead, INFO_TYPE};
use tlog::{Cosigner, GlobalIndex, VerifierKey};
use tokio::sync::Semaphore;

use crate::figures::{Figure, Options};

/// The time that each object operation takes.
const LATENCY: Duration = Duration::from_millis(20);
/// Operations that a store does at a time; the script's stores do one, all together.
const AT_ONCE: usize = 64;
/// Entries that are merged, and of how many each batch is.
const ENTRIES: u64 = 20_480;
const BATCH: u64 = 1_024;
/// Writes whose publication is timed.
const WRITES: u32 = 200;

/// Objects in memory, behind a network.
#[derive(Clone)]
struct Slow {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    permits: Arc<Semaphore>,
}

impl Slow {
    fn new(permits: &Arc<Semaphore>) -> Self {
        Self {
            objects: Arc::default(),
            permits: Arc::clone(permits),
        }
    }

    async fn wait(&self) {
        let _one = self.permits.acquire().await;
        tokio::time::sleep(LATENCY).await;
    }

    fn look<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        look(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Objects for Slow {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            join_all(objects.iter().map(|_| self.wait())).await;
            self.look(|all| all.extend(objects));
            Ok(())
        })
    }
    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            self.wait().await;
            Ok(self.look(|all| all.get(&path).cloned()))
        })
    }
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        Box::pin(async move {
            self.wait().await;
            let found = |all: &mut BTreeMap<String, Bytes>| -> Vec<String> {
                let paths = all.keys().filter(|path| path.starts_with(&prefix));
                paths.cloned().collect()
            };
            Ok(self.look(found))
        })
    }
    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            join_all(paths.iter().map(|_| self.wait())).await;
            self.look(|all| paths.iter().for_each(|path| drop(all.remove(path))));
            Ok(())
        })
    }
    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Storage nodes and frontends by name.
struct Named(HashMap<String, Slow>);

impl Named {
    fn find(&self, name: &str) -> Result<Arc<dyn Objects>, String> {
        let found = self
            .0
            .get(name)
            .context("unknown")
            .map_err(|e| e.to_string())?;
        Ok(Arc::new(found.clone()))
    }
}

impl Places for Named {
    fn node(&self, name: &str) -> Opening<'_> {
        Box::pin(std::future::ready(self.find(name)))
    }
    fn frontend(&self, frontend: &FrontendConfig) -> Opening<'_> {
        Box::pin(std::future::ready(self.find(frontend.name.as_str())))
    }
}

/// The secondaries, without a network between.
#[derive(Default)]
struct Mirrors(Mutex<HashMap<String, Arc<Mirror>>>);

impl std::fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mirrors")
    }
}

async fn answer(
    mirror: &Arc<Mirror>,
    path: &str,
    body: Bytes,
) -> Result<(u16, String, String), Refusal> {
    let plain = |()| (200, String::new(), String::new());
    match path {
        "add-checkpoint" => mirror
            .add_checkpoint(&String::from_utf8_lossy(&body), 0)
            .await
            .map(plain),
        "manifest" => mirror.put_manifest(&body, None).await.map(|_| plain(())),
        _ => {
            let bad = || Refusal::Malformed("head".to_owned());
            let read = EntriesHead::read(&body).map_err(|_| bad())?;
            let (head, used) = read.ok_or_else(bad)?;
            let mut upload = mirror.begin(&head, 0).await?;
            let mut rest = body.slice(used..);
            while !rest.is_empty() {
                let used = upload.write(rest.clone()).await?;
                rest = rest.slice(used..);
            }
            Ok(match upload.end().await? {
                Ended::Cosigned(line) => (200, String::new(), line),
                Ended::Partial(info) => (202, INFO_TYPE.to_owned(), info.to_body()),
            })
        }
    }
}

impl PeerClient for Mirrors {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(async move {
            let unreachable = || PeerError::Unreachable("unknown".to_owned());
            let rest = request
                .url
                .strip_prefix("http://")
                .ok_or_else(unreachable)?;
            let (host, path) = rest.split_once('/').ok_or_else(unreachable)?;
            let mirror = {
                let mirrors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                mirrors.get(host).cloned()
            };
            let mirror = mirror.ok_or_else(unreachable)?;
            let body = request.body.map(|(_, body)| body).unwrap_or_default();
            let answered = answer(&mirror, path, body).await;
            let (status, kind, body) = answered.unwrap_or_else(|refusal| {
                let (status, kind, body) = refusal.answer();
                (status, kind.to_owned(), body)
            });
            Ok(PeerAnswer {
                status,
                kind,
                incarnation: Some(mirror.incarnation().to_owned()),
                alarm: None,
                life: None,
                body: body.into(),
            })
        })
    }
}

/// 4 storage nodes, 3 secondaries, 2 frontends.
struct World {
    dir: tempfile::TempDir,
    permits: Option<Arc<Semaphore>>,
    own: Slow,
    places: Arc<Named>,
    mirrors: Arc<Mirrors>,
}

impl World {
    /// A world whose stores work side by side, or one after the other.
    fn new(parallel: bool) -> Result<Self> {
        let one = (!parallel).then(|| Arc::new(Semaphore::new(1)));
        let slow = || {
            Slow::new(
                &one.clone()
                    .unwrap_or_else(|| Arc::new(Semaphore::new(AT_ONCE))),
            )
        };
        let names = ["b", "c", "d", "f", "g"];
        Ok(Self {
            dir: tempfile::tempdir()?,
            own: slow(),
            places: Arc::new(Named(names.map(|name| (name.to_owned(), slow())).into())),
            mirrors: Arc::default(),
            permits: one.clone(),
        })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    async fn open(&self, programs: Programs, writes: bool) -> Result<Arc<Engine>> {
        let kek = self.path("kek");
        if !kek.exists() {
            Kek::generate(&Ambient::system().random)?.write_new(&kek)?;
        }
        let options = EngineOptions {
            coordination: Arc::new(Sqlite::open(&self.path("coordination.db"))?),
            objects: Arc::new(self.own.clone()),
            kek: Kek::from_file(&kek)?,
            label: "bench".to_owned(),
            min_free: 0,
            max_pending_bytes: 256 << 20,
            ambient: Ambient::system(),
            merge: MergeOptions {
                programs,
                writes,
                peers: Arc::clone(&self.mirrors) as Arc<dyn PeerClient>,
                places: Arc::clone(&self.places) as Arc<dyn Places>,
            },
        };
        Ok(Engine::open(options).await?)
    }

    async fn secondary(&self, name: &str, log: &VerifierKey) -> Result<SecondaryConfig> {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir)?;
        let host = format!("{name}.example.org");
        let cosigner = Cosigner::from_seed(&host, &[name.len() as u8; 32])?;
        let vkey = cosigner.verifier().to_string();
        let permits = self.permits.clone();
        let permits = permits.unwrap_or_else(|| Arc::new(Semaphore::new(AT_ONCE)));
        let mirror = Mirror::open(MirrorOptions {
            rows: Arc::new(Sqlite::open(&dir.join("rows.db"))?),
            objects: Arc::new(Slow::new(&permits)),
            disk: Arc::new(Folder::new(dir)),
            logs: vec![log.clone()],
            cosigner,
            min_free: 0,
            ambient: Ambient::system(),
        });
        let mirror = Arc::new(mirror.await?);
        let mut mirrors = self
            .mirrors
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mirrors.insert(host.clone(), mirror);
        Ok(SecondaryConfig {
            name: name.parse()?,
            url: format!("http://{host}"),
            vkey,
        })
    }

    /// Makes the log and configures it.
    async fn create(&self, engine: &Arc<Engine>) -> Result<Arc<Log>> {
        let caller = || Author {
            actor: "bench".to_owned(),
            idempotency_key: None,
            reason: None,
        };
        let config = LogConfig::new("dev".parse()?, "example.org/dev".to_owned(), "a".parse()?);
        let audited = Audited::new(Arc::clone(engine));
        audited.create(config, caller()).await?;
        let log = engine.log("dev").context("the log is there")?;
        let key = log
            .merge()
            .await?
            .replication_key
            .context("a key")?
            .parse()?;
        let mut config = log.config();
        for name in ["x", "yy", "zzz"] {
            let secondary = self.secondary(name, &key).await?;
            config.merge.secondaries.push(secondary);
        }
        config.merge.backup_quorum = 2;
        config.merge.storage.quorum = 2;
        for name in ["b", "c", "d"] {
            config.merge.storage.nodes.push(StorageNode {
                name: name.parse()?,
            });
        }
        for name in ["f", "g"] {
            config.merge.frontends.push(FrontendConfig {
                name: name.parse()?,
                url: format!("file:///srv/{name}"),
            });
        }
        let request = engine::Request::Configure {
            base: Some(log.status().generation),
            next: Box::new(config),
        };
        audited.change(&log, request, caller()).await?;
        Ok(log)
    }
}

/// Orders all entries, in batches that are too large for the coordination store.
async fn write(log: &Log) -> Result<()> {
    for batch in 0..ENTRIES / BATCH {
        let mut bytes = BytesMut::new();
        for entry in 0..BATCH {
            let entry = format!("{:0>96}", batch * BATCH + entry);
            bytes.extend_from_slice(&(entry.len() as u16).to_be_bytes());
            bytes.extend_from_slice(entry.as_bytes());
        }
        let chunk = Chunk {
            bytes: bytes.freeze(),
            entries: BATCH,
            upload: None,
        };
        let tenant = log.policy().own();
        let ticket = log.submit_chunk(chunk, tenant, &Advice::default()).await?;
        ticket.answer.await?;
    }
    Ok(())
}

/// Everything is published, on every secondary and at every frontend.
async fn everywhere(log: &Log) -> Result<bool> {
    let view = log.merge().await?;
    let mut peers = view.secondaries.iter().chain(&view.frontends);
    let all = peers.all(|peer| peer.position == Some(GlobalIndex::new(ENTRIES)));
    Ok(all && view.positions == [tlog::GlobalIndex::new(ENTRIES); 3])
}

async fn in_parallel() -> Result<Duration> {
    let world = World::new(true)?;
    let engine = world.open(Programs::ALL, true).await?;
    let log = world.create(&engine).await?;
    let began = Instant::now();
    write(&log).await?;
    while !everywhere(&log).await? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    engine.shutdown().await;
    Ok(took)
}

async fn one_after_the_other() -> Result<Duration> {
    let world = World::new(false)?;
    let engine = world.open(Programs::NONE, true).await?;
    let log = world.create(&engine).await?;
    let began = Instant::now();
    write(&log).await?;
    for program in Program::ALL {
        let one = world.open(Programs::from_iter([program]), false).await?;
        one.shutdown().await;
    }
    ensure!(everywhere(&log).await?, "the script did not do everything");
    let took = began.elapsed();
    engine.shutdown().await;
    Ok(took)
}

/// The programs side by side, against one after the other.
pub(crate) fn parallel(_: &Options) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let parallel = runtime.block_on(in_parallel())?.as_secs_f64();
    let script = runtime.block_on(one_after_the_other())?.as_secs_f64();
    let rate = |seconds: f64| ENTRIES as f64 / seconds;
    Ok(vec![
        Figure::plain("merge, one after the other", rate(script), "entries/s"),
        Figure::plain("merge, in parallel", rate(parallel), "entries/s"),
        Figure::least(
            "in parallel / one after the other: 4 nodes, 3 secondaries, 2 frontends, 20 ms",
            script / parallel,
            "",
            8.0,
        ),
    ])
}

fn configure(at: &Path, edits: &[(&str, String)]) -> Result<()> {
    let mut document = logctl(at, &["config", "show"])?.expect_code(0)?.stdout;
    for (from, to) in edits {
        document = document.replacen(from, to, 1);
    }
    let words = ["shard", "--use-config", "-", "--yes"];
    logctl_with(at, &words, &document, &[])?.expect_code(0)?;
    Ok(())
}

/// From the order to the signed checkpoint, with a quorum of 2 of 3 real secondaries.
pub(crate) fn published(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = &folder.path().join("log");
    let server = Logd::start(at)?;
    let status = logctl(at, &["merge", "status", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    let key = status["replicationKey"]
        .as_str()
        .context("a replication key")?;
    let (mut secondaries, mut list) = (Vec::new(), Vec::new());
    for name in ["x", "y", "z"] {
        let dir = folder.path().join(name);
        std::fs::create_dir(&dir)?;
        let file = dir.join("mirror.key").to_string_lossy().into_owned();
        let host = format!("{name}.example.org");
        logd(&["secondary", "key", "--file", &file, "--name", &host])?.expect_code(0)?;
        let dir = dir.to_string_lossy();
        let words = [
            "secondary",
            "--dir",
            &dir,
            "--listen",
            "127.0.0.1:0",
            "--log",
            key,
        ];
        let worker = Worker::start(&words)?;
        let vkey = worker.ready.split("secondary ").nth(1);
        let vkey = vkey
            .and_then(|rest| rest.split(',').next())
            .context("a vkey")?;
        let url = format!("http://{}", worker.address()?);
        list.push(format!(
            "{{name: {name}, url: \"{url}\", vkey: \"{vkey}\"}}"
        ));
        secondaries.push(worker);
    }
    let list = format!("  secondaries: [{}]", list.join(", "));
    let quorum = ("  backupQuorum: 0", "  backupQuorum: 2".to_owned());
    configure(at, &[("  secondaries: []", list), quorum])?;
    let mut http = server.http();
    let mut waited = Histogram::<u64>::new(3)?;
    for write in 0..WRITES + 20 {
        let entry = format!("entry {write}");
        let began = Instant::now();
        http.post("/dev/add", &[("Log-Ack", "published")], entry.as_bytes())?
            .expect_status(200)?;
        // The first ones make files and connections.
        if write >= 20 {
            waited.record(u64::try_from(began.elapsed().as_micros())?)?;
        }
    }
    let ms = |quantile| waited.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![
        Figure::plain("written to published, quorum 2 of 3, p50", ms(0.5), "ms"),
        Figure::most(
            "written to published, quorum 2 of 3, p99, at a checkpointInterval of 200 ms",
            ms(0.99),
            "ms",
            300.0,
        ),
    ])
}
