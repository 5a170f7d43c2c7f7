//! Secondaries: processes with a mirror over a disk in memory, started again whenever they end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use ambient::{Ambient, Random};
use mirror::{Mirror, MirrorOptions};
use store::StoreError;
use tlog::{Cosigner, Hash, VerifierKey};

use crate::copies::storage_number;
use crate::disks::{Fate, Lost, Machine};
use crate::process::Process;
use crate::random::Dice;
use crate::stores::{HeldCoordination, HeldObjects};
use crate::world::World;

/// How long a secondary whose storage has failed runs on until somebody starts it again.
const ATTENTION: Duration = Duration::from_secs(2);

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
    machine: Mutex<Machine>,
    /// Somebody's copy of it.
    copy: Mutex<Option<Machine>>,
    /// What it had and has not again.
    lost: Mutex<Vec<Lost>>,
    /// Its files may not be what it left.
    touched: Mutex<bool>,
    /// Its disk is an older copy, and it has not received a manifest since.
    older: Mutex<bool>,
    /// How many disks it has had.
    disks: AtomicU64,
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
            machine: Mutex::new(Machine::empty()),
            copy: Mutex::default(),
            lost: Mutex::default(),
            touched: Mutex::default(),
            older: Mutex::default(),
            disks: AtomicU64::new(1),
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
        lock(&self.machine).cosigned(origin)
    }

    /// The same of storages that were lost, where the log cannot know of it: its row about this secondary has this number.
    pub fn had(&self, origin: &str, number: u64) -> Vec<(u64, Hash)> {
        let lost = lock(&self.lost);
        let unknown = lost.iter().filter(|lost| lost.is_unknown(number));
        unknown.filter_map(|lost| lost.had(origin)).collect()
    }

    /// The log, whose row about its storage has this number, is lost: what it knew, the next life of it need not know.
    pub fn forget_known(&self, number: u64) {
        let mut lost = lock(&self.lost);
        lost.iter_mut().for_each(|lost| lost.known_at(number));
    }

    /// Whether it has not everything again that it ever lost.
    pub fn is_hurt(&self) -> bool {
        let machine = lock(&self.machine).clone();
        let mut lost = lock(&self.lost);
        lost.retain(|lost| !lost.is_made_up(&machine));
        !lost.is_empty()
    }

    /// The newest life of the log whose manifest it keeps.
    pub fn life(&self) -> u64 {
        let objects = lock(&self.machine).objects.objects();
        let manifests = objects.values();
        let read = manifests.filter_map(|bytes| mirror::SignedManifest::parse(bytes).ok());
        read.map(|manifest| manifest.age().0).max().unwrap_or(0)
    }

    /// Whether somebody changed its files, so that it may have to be told to begin again.
    pub fn is_touched(&self) -> bool {
        *lock(&self.touched)
    }

    /// How many disks it has had.
    pub fn disks(&self) -> u64 {
        self.disks.load(Relaxed)
    }

    /// Whether it says that it is a storage that had more, or was told more.
    pub fn poses(&self) -> bool {
        *lock(&self.older) || self.is_hurt() && lock(&self.lost).iter().any(|lost| lost.poses)
    }

    /// It has received a current manifest.
    pub fn told(&self) {
        *lock(&self.older) = false;
    }

    /// Somebody copies its whole disk.
    pub fn keep_copy(&self) {
        let copy = lock(&self.machine).copy();
        *lock(&self.copy) = Some(copy);
    }

    /// Its disk is lost, or comes back as it was, while it is down. The log's row about its storage has this number.
    pub fn lose(&self, world: &World, fate: Fate, dice: &mut Dice) {
        let copy = lock(&self.copy).clone();
        let next = lock(&self.machine).after(fate, copy.as_ref(), dice);
        self.replace(world, next, fate != Fate::Empty);
        self.crash(dice.span(1, 20_000), false);
    }

    /// It has another disk, which poses as the one before or is empty.
    fn replace(&self, world: &World, next: Machine, poses: bool) {
        let server = world.servers.first();
        let number = server.map_or(0, |server| {
            storage_number(&server.site().coordination, &self.name)
        });
        let mut machine = lock(&self.machine);
        let mut lost = lock(&self.lost);
        // What is there now poses as each of those that it lacks something of.
        lost.iter_mut().for_each(|lost| lost.poses = poses);
        lost.push(machine.lost(number, poses));
        *machine = next;
        *lock(&self.touched) = poses;
        *lock(&self.older) = poses;
        self.disks.fetch_add(1, Relaxed);
    }

    /// Its operator gives it an empty folder and its old key, as the documentation says.
    fn begin_again(&self, world: &World, process: &Process) {
        process
            .trace
            .say(format_args!("{} gets an empty folder", self.name));
        self.replace(world, Machine::empty(), false);
        process.kill();
    }

    /// Whether it was started once, and does not run now.
    pub fn is_down(&self) -> bool {
        *lock(&self.born) && self.running().is_none()
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
                    () = broken(&mirror) => {
                        world.trace.say(format_args!("{} is broken", process.name));
                        if self.is_touched() {
                            self.begin_again(&world, &process);
                        }
                    }
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
        let mut machine = lock(&self.machine);
        let random = Random::seeded(process.dice().number());
        let found = match power {
            true => machine.disk.crash(&random),
            false => Ok(machine.disk.kill()),
        };
        match found {
            Ok(disk) => machine.disk = disk,
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
                Err(error @ StoreError::Corrupt(_)) if self.is_touched() => {
                    world
                        .trace
                        .say(format_args!("{} does not start: {error}", process.name));
                    tokio::time::sleep(ATTENTION).await;
                    self.begin_again(world, process);
                    return None;
                }
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
        let Machine {
            disk,
            rows,
            objects,
        } = lock(&self.machine).clone();
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
