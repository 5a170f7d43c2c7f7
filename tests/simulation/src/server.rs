//! Servers: processes with an engine over the stores, started again whenever they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use ambient::{Ambient, Random};
use engine::{Audited, Engine, EngineOptions, MergeOptions, Program, Programs};
use logd::memory::MemoryPlane;
use store::{MemoryCoordination, MemoryObjects};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::changes;
use crate::frontends;
use crate::process::{Lag, Process};
use crate::stores::{HeldCoordination, HeldObjects, Watcher};
use crate::world::World;

/// The stores that servers share: one machine's disk, or one database and one bucket.
pub struct Site {
    /// Slots, positions, small batches.
    pub coordination: Arc<MemoryCoordination>,
    /// Tiles, bundles, checkpoints, large batches.
    pub objects: Arc<MemoryObjects>,
}

impl Site {
    /// A site whose stores are empty.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            coordination: Arc::new(MemoryCoordination::new()),
            objects: Arc::new(MemoryObjects::new()),
        })
    }
}

/// A server that runs.
#[derive(Clone)]
pub struct Running {
    /// The process that it lives in.
    pub process: Arc<Process>,
    /// The engine of that process.
    pub engine: Arc<Engine>,
    /// The way to change its logs.
    pub audited: Arc<Audited>,
    /// Its data plane, where somebody speaks HTTP.
    pub http: Option<Arc<MemoryPlane>>,
    tasks: Arc<Vec<JoinHandle<()>>>,
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes writes and does everything after the order.
    Whole,
    /// It takes writes, nothing else.
    Writes,
    /// One of the four programs.
    Merges(Program),
    /// Everything, on stores of its own: the log that it has is another one's.
    Twin,
}

/// What is to become of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Up,
    /// Not before this long after it ended.
    Down(Duration),
    /// Finish what is begun, then as above.
    Finish(Duration),
}

/// A server over its lives.
pub struct Server {
    /// Its name in the trace.
    pub name: String,
    role: Role,
    site: Mutex<Arc<Site>>,
    /// The clocks of this server.
    pub clocks: Moved,
    running: Mutex<Option<Running>>,
    process: Mutex<Option<Arc<Process>>>,
    order: watch::Sender<Order>,
    /// It has no stores, and does not start.
    held: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// A server that is not started.
    pub fn new(name: String, role: Role, site: Arc<Site>, clocks: Moved) -> Arc<Self> {
        Arc::new(Self {
            name,
            role,
            site: Mutex::new(site),
            clocks,
            running: Mutex::default(),
            process: Mutex::default(),
            order: watch::Sender::new(Order::Up),
            held: watch::Sender::new(false),
        })
    }

    /// The server, if it runs and takes requests.
    pub fn running(&self) -> Option<Running> {
        lock(&self.running).clone()
    }

    /// Whether it takes writes.
    pub fn takes_writes(&self) -> bool {
        matches!(self.role, Role::Whole | Role::Writes)
    }

    /// The stores that it uses.
    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&lock(&self.site))
    }

    /// Kills it, and starts it again after this time.
    pub fn crash(&self, down: Duration) {
        self.order.send_replace(Order::Down(down));
        self.kill();
    }

    fn kill(&self) {
        if let Some(process) = lock(&self.process).clone() {
            process.kill();
        }
    }

    /// Its stores are lost: it ends, and does not start before there are others.
    pub fn hold(&self) {
        self.held.send_replace(true);
        self.kill();
    }

    /// It uses these stores from now on.
    pub fn adopt(&self, site: &Arc<Site>) {
        *lock(&self.site) = Arc::clone(site);
    }

    /// It may start again.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Stops it as SIGTERM does, and starts it again after this time.
    pub fn stop(&self, down: Duration) {
        self.order.send_replace(Order::Finish(down));
    }

    /// Stands still, or continues.
    pub fn pause(&self, paused: bool) {
        if let Some(process) = lock(&self.process).clone() {
            process.pause(paused);
        }
    }

    /// Its operations take longer, until it is started again.
    pub fn lag(&self, lag: Lag) {
        if let Some(process) = lock(&self.process).clone() {
            process.lag(lag);
        }
    }

    /// Runs it until the life ends: a dead process is started again.
    pub async fn live(self: Arc<Self>, world: Arc<World>) {
        let mut held = self.held.subscribe();
        for life in 1_u64.. {
            let _ = held.wait_for(|held| !*held).await;
            let process = world.process(&format!("{}.{life}", self.name), &self.clocks);
            let older = match self.role {
                Role::Twin => None,
                _ => world.upgrade.starts(&process, life),
            };
            *lock(&self.process) = Some(Arc::clone(&process));
            let started = tokio::select! {
                () = process.dead() => None,
                started = self.start(&world, &process, older) => started,
            };
            if let Some(running) = started {
                world.trace.say(format_args!("{} runs", process.name));
                *lock(&self.running) = Some(running.clone());
                self.until_it_ends(&world, &running).await;
                *lock(&self.running) = None;
                running.tasks.iter().for_each(JoinHandle::abort);
                running.http.iter().for_each(|http| http.close());
                running.engine.crash();
            }
            process.kill();
            world.upgrade.ended(&process);
            *lock(&self.process) = None;
            let down = match self.order.send_replace(Order::Up) {
                Order::Up => Duration::from_millis(100),
                Order::Down(down) | Order::Finish(down) => down,
            };
            tokio::time::sleep(down).await;
        }
    }

    async fn until_it_ends(&self, world: &World, running: &Running) {
        let mut order = self.order.subscribe();
        tokio::select! {
            () = running.process.dead() => return,
            what = running.engine.faults().reported() => {
                world.judge.object("no part of a server ends for good", format!("{}: {what}", self.name));
                return;
            }
            () = async { drop(order.wait_for(|order| matches!(order, Order::Finish(_))).await) } => {}
        }
        world
            .trace
            .say(format_args!("{} stops", running.process.name));
        // As a server does: requests in flight finish first.
        if let Some(http) = &running.http {
            tokio::select! {
                () = running.process.dead() => return,
                () = http.stop() => {}
            }
        }
        let shutdown = tokio::time::timeout(Duration::from_secs(10), running.engine.shutdown());
        tokio::select! {
            () = running.process.dead() => {}
            _ = shutdown => {}
        }
    }

    async fn start(
        &self,
        world: &World,
        process: &Arc<Process>,
        older: Option<u32>,
    ) -> Option<Running> {
        loop {
            match self.open(world, process, older).await {
                Ok(running) => return Some(running),
                Err(error) => {
                    world
                        .trace
                        .say(format_args!("{} does not start: {error}", process.name));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn open(
        &self,
        world: &World,
        process: &Arc<Process>,
        older: Option<u32>,
    ) -> Result<Running, engine::EngineError> {
        let site = self.site();
        let (judge, name) = (Arc::clone(&world.judge), process.name.clone());
        let (network, there) = (Arc::clone(&world.network), Arc::clone(&site.objects));
        let storage = Arc::clone(&world.storage);
        let watcher: Watcher = Arc::new(move |path, bytes| {
            storage.put(&name, path, bytes);
            if path.ends_with("/checkpoint")
                && let Ok(note) = std::str::from_utf8(bytes)
            {
                judge.shown(&name, path, note);
                if let Err(what) = frontends::covered(&there, None, path) {
                    judge.object("what a checkpoint covers is there", what);
                }
                network.copies.shown(path, note);
            }
            if path.ends_with("/seal")
                && let Ok(seal) = std::str::from_utf8(bytes)
            {
                judge.sealed(seal);
            }
        });
        let (network, store) = (Arc::clone(&world.network), Arc::clone(&site.coordination));
        let (judge, clocks) = (Arc::clone(&world.judge), world.clocks.clone());
        let elsewhere = self.role == Role::Twin;
        let (upgrade, name) = (Arc::clone(&world.upgrade), process.name.clone());
        let rows: Watcher = Arc::new(move |key, row| {
            let now = clocks.time().now_ms();
            if let Err(what) = upgrade.written(&name, key, row, now) {
                judge.object(
                    "a server is given nothing that it does not understand",
                    what,
                );
            }
            let secondaries = &network.secondaries;
            let copies = &network.copies;
            copies.written(secondaries, &store, (key, row), elsewhere);
            if let Err(what) = changes::timely(key, row, now) {
                judge.object("the time of a slot is never ahead", what);
            }
        });
        let (programs, writes) = match self.role {
            Role::Whole | Role::Twin => (Programs::ALL, true),
            Role::Writes => (Programs::NONE, true),
            Role::Merges(program) => (Programs::from_iter([program]), false),
        };
        let seed = process.dice().number();
        let (held, objects) = (Arc::clone(process), Arc::clone(&site.objects));
        let held = HeldObjects::new(held, objects, watcher).judged(Arc::clone(&world.judge));
        let engine = Engine::open(EngineOptions {
            coordination: Arc::new(
                HeldCoordination::new(
                    Arc::clone(process),
                    Arc::clone(&site.coordination),
                    world.clocks.clone(),
                )
                .with_values(world.storage.values())
                .of_version(older)
                .watched(rows),
            ),
            objects: Arc::new(held),
            kek: world.kek(),
            label: self.name.clone(),
            min_free: 0,
            max_pending_bytes: world.plan.memory,
            merge: MergeOptions {
                programs,
                writes,
                peers: world.network.client(&self.name, process),
                places: match self.role {
                    Role::Twin => world.places_of(process),
                    _ => world.places(process, &site.objects),
                },
            },
            ambient: Ambient {
                time: process.clocks.time(),
                random: Random::seeded(seed),
            },
        })
        .await?;
        let audited = Audited::new(Arc::clone(&engine));
        let mut tasks = Vec::new();
        if writes {
            tasks.push(tokio::spawn(Arc::clone(&audited).settle()));
            tasks.push(tokio::spawn(Arc::clone(&audited).watch_probations()));
            tasks.push(tokio::spawn(Arc::clone(&audited).watch_shards()));
        }
        let http = match world.plan.http.is_used() && writes {
            true => MemoryPlane::serve(Arc::clone(&engine)).ok().map(Arc::new),
            false => None,
        };
        Ok(Running {
            process: Arc::clone(process),
            engine,
            audited,
            http,
            tasks: Arc::new(tasks),
        })
    }
}
