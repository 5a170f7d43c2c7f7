//! Secondaries: processes with a mirror over a disk in memory, started again whenever they end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use ambient::{Ambient, Random};
use futures_util::FutureExt as _;
use mirror::{MemoryDisk, Mirror, MirrorOptions};
use store::{Coordination as _, MemoryCoordination, MemoryObjects, StoreError, record};
use tlog::mirror::origin_hash;
use tlog::{Cosigner, Hash, VerifierKey};

use crate::process::Process;
use crate::stores::{HeldCoordination, HeldObjects};
use crate::world::World;

/// How long a secondary whose storage has failed runs on until somebody starts it again.
const ATTENTION: Duration = Duration::from_secs(2);

/// What a secondary has: all of it is on one machine.
struct Storage {
    disk: MemoryDisk,
    rows: Arc<MemoryCoordination>,
    objects: Arc<MemoryObjects>,
}

/// How a secondary ends, and how long it is down.
#[derive(Clone, Copy)]
struct End {
    down: Duration,
    /// Its machine loses its power.
    power: bool,
}

/// A secondary over its lives.
pub struct Secondary {
    /// The name in the configuration and in the trace.
    pub name: String,
    /// The machine behind its URL.
    pub host: String,
    /// The clocks of its machine.
    pub clocks: Moved,
    seed: [u8; 32],
    storage: Mutex<Storage>,
    process: Mutex<Option<Arc<Process>>>,
    running: Mutex<Option<(Arc<Process>, Arc<Mirror>)>>,
    end: Mutex<Option<End>>,
    born: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key of a peer.
pub fn cosigner(host: &str, seed: &[u8; 32]) -> Cosigner {
    Cosigner::from_seed(host, seed)
        .unwrap_or_else(|error| unreachable!("a host is a name: {error}"))
}

impl Secondary {
    /// A secondary with an empty disk.
    pub fn new(name: String, host: String, seed: [u8; 32], clocks: Moved) -> Arc<Self> {
        Arc::new(Self {
            name,
            host,
            clocks,
            seed,
            storage: Mutex::new(Storage {
                disk: MemoryDisk::new(),
                rows: Arc::new(MemoryCoordination::new()),
                objects: Arc::new(MemoryObjects::new()),
            }),
            process: Mutex::default(),
            running: Mutex::default(),
            end: Mutex::default(),
            born: Mutex::default(),
        })
    }

    /// The key of its cosignatures.
    pub fn cosigner(&self) -> Cosigner {
        cosigner(&self.host, &self.seed)
    }

    /// The process and the mirror, if it takes requests.
    pub fn running(&self) -> Option<(Arc<Process>, Arc<Mirror>)> {
        lock(&self.running).clone()
    }

    /// The size and the root that its rows say it has, of a shard: what it has cosigned.
    pub fn holds(&self, origin: &str) -> Option<(u64, Hash)> {
        let rows = Arc::clone(&lock(&self.storage).rows);
        let key = format!("mirror/{}", origin_hash(origin));
        let row = rows.get(&key).now_or_never()?.ok()??;
        let (size, row) =
            record::decode_numbered::<BTreeMap<String, serde_json::Value>>(&row).ok()?;
        let root = serde_json::from_value(row.get("root")?.clone()).ok()?;
        Some((size, root))
    }

    /// Whether it was started once, and does not take all requests now; with the reason.
    pub fn lacking(&self) -> Option<String> {
        let Some((_, mirror)) = self.running() else {
            let born = lock(&self.born);
            return born.then(|| format!("{} does not run", self.name));
        };
        let shards = mirror.status();
        let why = shards.iter().find_map(|shard| shard.broken.clone())?;
        Some(format!("{}: {why}", self.name))
    }

    /// Ends it, and starts it again after this time.
    pub fn crash(&self, down: Duration, power: bool) {
        *lock(&self.end) = Some(End { down, power });
        if let Some(process) = lock(&self.process).clone() {
            process.kill();
        }
    }

    /// Stands still, or continues.
    pub fn pause(&self, paused: bool) {
        if let Some(process) = lock(&self.process).clone() {
            process.pause(paused);
        }
    }

    /// Runs it until the life ends: it mirrors the log with this key.
    pub async fn live(self: Arc<Self>, world: Arc<World>, key: VerifierKey) {
        *lock(&self.born) = true;
        for life in 1_u64.. {
            let process = world.process(&format!("{}.{life}", self.name), &self.clocks);
            *lock(&self.process) = Some(Arc::clone(&process));
            let opened = tokio::select! {
                () = process.dead() => None,
                opened = self.start(&world, &process, &key) => opened,
            };
            if let Some(mirror) = opened {
                world.trace.say(format_args!("{} runs", process.name));
                world.network.copies.restarted(&self, &mirror);
                *lock(&self.running) = Some((Arc::clone(&process), Arc::clone(&mirror)));
                tokio::select! {
                    () = process.dead() => {}
                    () = broken(&mirror) => world.trace.say(format_args!("{} is broken", process.name)),
                }
                *lock(&self.running) = None;
            }
            process.kill();
            *lock(&self.process) = None;
            let power = process.dice().chance(500_000);
            let down = Duration::from_millis(100);
            let end = lock(&self.end).take().unwrap_or(End { down, power });
            self.fall(&world, &process, end.power);
            tokio::time::sleep(end.down).await;
        }
    }

    /// The process is gone, and perhaps the power.
    fn fall(&self, world: &World, process: &Process, power: bool) {
        let mut storage = lock(&self.storage);
        let random = Random::seeded(process.dice().number());
        let found = match power {
            true => storage.disk.crash(&random),
            false => Ok(storage.disk.kill()),
        };
        match found {
            Ok(disk) => storage.disk = disk,
            Err(error) => world.judge.object("a seed has numbers", error.to_string()),
        }
    }

    async fn start(
        &self,
        world: &World,
        process: &Arc<Process>,
        key: &VerifierKey,
    ) -> Option<Arc<Mirror>> {
        loop {
            match self.open(world, process, key).await {
                Ok(mirror) => return Some(Arc::new(mirror)),
                Err(error @ StoreError::Corrupt(_)) => {
                    let what = format!("{}: {error}", process.name);
                    world.judge.object("a secondary finds what it had", what);
                    return None;
                }
                Err(error) => world
                    .trace
                    .say(format_args!("{} does not start: {error}", process.name)),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn open(
        &self,
        world: &World,
        process: &Arc<Process>,
        key: &VerifierKey,
    ) -> Result<Mirror, StoreError> {
        let random = Random::seeded(process.dice().number());
        let (held, clock) = (Arc::clone(process), world.clocks.clone());
        let (disk, rows, objects) = {
            let storage = lock(&self.storage);
            let (rows, objects) = (Arc::clone(&storage.rows), Arc::clone(&storage.objects));
            (storage.disk.clone(), rows, objects)
        };
        Mirror::open(MirrorOptions {
            disk: Arc::new(disk),
            logs: vec![key.clone()],
            cosigner: self.cosigner(),
            rows: Arc::new(HeldCoordination::new(Arc::clone(&held), rows, clock).local()),
            objects: Arc::new(HeldObjects::new(held, objects, Arc::new(|_, _| {}))),
            min_free: 0,
            ambient: Ambient {
                time: process.clocks.time(),
                random,
            },
        })
        .await
    }
}

/// Resolves a while after the storage has failed under a shard.
async fn broken(mirror: &Mirror) {
    loop {
        tokio::time::sleep(ATTENTION).await;
        if mirror.status().iter().any(|shard| shard.broken.is_some()) {
            return;
        }
    }
}
