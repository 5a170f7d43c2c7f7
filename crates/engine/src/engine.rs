//! All logs of one pair of stores, the system log among them, and the other work of a server process: heartbeats, checks of the clock and
//! the free space, logs that other replicas created.

use ambient::{Ambient, NoRandomness, Random};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use logconfig::{LogConfig, LogName, OriginForm, ShardName};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, ClockFault};
use crate::distribute::Distributor;
use crate::formats::Formats;
use crate::halt::Halt;
use crate::health::Health;
use crate::heart;
use crate::heart::Heart;
pub use crate::heart::ReplicaInfo;
use crate::ingest::batcher::Batcher;
use crate::ingest::{Ingest, arrivals, space};
use crate::integrate::cut::Cutter;
use crate::integrate::grow::Integrator;
use crate::leaving;
use crate::ledger::Ledger;
use crate::life::LogLife;
use crate::log::Log;
use crate::metrics::LogMetrics;
use crate::nodes;
use crate::nodes::Nodes;
use crate::objects::LogObjects;
use crate::pending::{Pending, Step};
use crate::program::{Done, Finished, MergeOptions, Program, Trouble};
use crate::progress::Progress;
use crate::promise::{Promiser, releaser};
use crate::publish::Publisher;
use crate::publish::publication::Publication;
use crate::publish::sign_guard::SignGuard;
use crate::publish::{follow, lost, sign_guard};
use crate::recover;
use crate::recover::Resumed;
use crate::repair::{self, scrub};
use crate::replicate::Replicator;
use crate::running::Running;
use crate::shard::Shards;
use crate::shard::keys::Kek;
use crate::status::view;
use crate::supervise::Faults;
use crate::uploads::Uploads;
use order::keys::{CLOCK, Keys, LOGS};
use order::slot::FORMAT;
use order::state::State;
use store::record;
use store::{Coordination, Guard, Objects, Outcome, StoreError, Transaction};

/// The log that orders what belongs to no single log.
pub const SYSTEM: &str = logconfig::SYSTEM;
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Logs looked for at a time.
const SCAN_PAGE: usize = 512;
/// Shortest pause between searches for new logs.
const DISCOVER: Duration = Duration::from_millis(100);
/// How long a stop waits for copies and pushes; the next start continues them.
const PEERS: Duration = Duration::from_secs(2);
/// Time between sweeps of expired rows.
const SWEEP: Duration = Duration::from_secs(60);
/// The most that the age of a store grows in one such step, milliseconds.
const GROWTH_MS: u64 = 120_000;
/// Pause between reads of other replicas' slots, so that a busy replica costs a bounded share.
const FOLLOW: Duration = Duration::from_millis(20);
/// A start that began again may keep at most this many doublings of `max_pending` in memory.
const MORE: u32 = 4;

/// The stores, keys and settings of an engine.
pub struct EngineOptions {
    /// Slots, positions, small batches.
    pub coordination: Arc<dyn Coordination>,
    /// Tiles, bundles, checkpoints, large batches.
    pub objects: Arc<dyn Objects>,
    /// Opens the shards' signing keys.
    pub kek: Kek,
    /// Host and process id, for people.
    pub label: String,
    /// Bytes that stay free: with less, writes are refused as `Full`.
    pub min_free: u64,
    /// Bytes of entries that may wait for publication, per log.
    pub max_pending_bytes: usize,
    /// How this process takes part in the merge.
    pub merge: MergeOptions,
    /// Where time and randomness come from.
    pub ambient: Ambient,
}

/// Why the engine or a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change that opening needs.
    #[error("cannot create the log {log}: {error}")]
    Create {
        /// The log that was to be made.
        log: String,
        /// Why the change was not made.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// An open log and its tasks.
struct Opened {
    log: Arc<Log>,
    batcher: Option<JoinHandle<()>>,
    promiser: Option<JoinHandle<()>>,
    /// The programs, in the order of the pipeline: so they are stopped.
    programs: Vec<Started>,
    others: Vec<JoinHandle<()>>,
}

impl Opened {
    /// Lets the committer end, then lets each program finish its work, one after the other.
    async fn finish(self) -> Vec<Finished> {
        for task in [self.promiser, self.batcher].into_iter().flatten() {
            let _ = task.await;
        }
        let log = &self.log;
        let mut finished = Vec::new();
        for mut running in self.programs {
            running.closing.send_replace(true);
            let program = running.program;
            // A peer that does not answer must not hold up a server's publication.
            let patience = match program {
                Program::Replicate | Program::Distribute if log.running.merge.writes => PEERS,
                _ => Duration::MAX,
            };
            let ended = tokio::time::timeout(patience, &mut running.task).await;
            if ended.is_err() {
                running.task.abort();
            }
            let halted = log.health.halt.reason().map(Trouble::new);
            finished.push(Finished {
                log: log.ledger.name.clone(),
                program,
                done: ended.ok().and_then(Result::ok).unwrap_or_default(),
                trouble: halted.or_else(|| log.health.trouble_of(program)),
                peers: log.unreached(program),
            });
        }
        self.others.iter().for_each(JoinHandle::abort);
        finished
    }
}

/// A program of the merge at work.
struct Started {
    program: Program,
    closing: watch::Sender<bool>,
    task: JoinHandle<Done>,
}

impl Started {
    /// Starts a program; `closed` is set when it must finish its remaining work and end. Nothing is made of the order before the stores
    /// were compared with what others hold.
    fn start<F: Future<Output = Done> + Send + 'static>(
        program: Program,
        guard: &Arc<SignGuard>,
        run: impl FnOnce(watch::Receiver<bool>) -> F,
    ) -> Self {
        let (closing, closed) = watch::channel(false);
        let name = format!("{program} of the log {}", guard.ledger.name);
        let (guard, run) = (Arc::clone(guard), run(closed));
        let task = guard.health.faults.clone().watch(name, async move {
            guard.passed().await;
            run.await
        });
        Self {
            program,
            closing,
            task: tokio::spawn(task),
        }
    }
}

/// All logs of one pair of stores.
pub struct Engine {
    pub(crate) store: Arc<dyn Coordination>,
    pub(crate) objects: Arc<dyn Objects>,
    kek: Arc<Kek>,
    id: String,
    min_free: u64,
    max_pending: usize,
    pub(crate) merge: MergeOptions,
    low_space: Arc<AtomicBool>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The age of the store as it was last known here, and the steady time then; milliseconds.
    age: std::sync::Mutex<Option<(u64, u64)>>,
    pub(crate) formats: Arc<Formats>,
    logs: RwLock<BTreeMap<String, Opened>>,
    /// A log runs another generation, or there is another log.
    moved: Arc<Notify>,
    /// The rows that this process has written for the other replicas.
    heart: tokio::sync::Mutex<Heart>,
    /// One log is opened at a time.
    opening: tokio::sync::Mutex<()>,
    tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
    faults: Faults,
}

impl Engine {
    /// Opens every log of the stores. Until [`Engine::run`], no other server learns of this one.
    pub(crate) async fn load(options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        let Ambient { time, random } = options.ambient;
        let id = format!("{:016x}", random.number()?);
        let engine = Arc::new(Self {
            heart: tokio::sync::Mutex::new(Heart::new(id.clone(), options.label)),
            store: options.coordination,
            objects: options.objects,
            kek: Arc::new(options.kek),
            id,
            min_free: options.min_free,
            max_pending: options.max_pending_bytes,
            merge: options.merge,
            low_space: Arc::default(),
            clock: Clock::new(time),
            random,
            age: std::sync::Mutex::default(),
            formats: Arc::default(),
            logs: RwLock::default(),
            moved: Arc::default(),
            opening: tokio::sync::Mutex::default(),
            tasks: std::sync::Mutex::default(),
            faults: Faults::default(),
        });
        engine.open_new_logs().await?;
        Ok(engine)
    }

    /// Starts what an engine does beside its logs.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<(), EngineError> {
        self.beat().await?;
        let heart = self.keep("the heartbeats", Self::heartbeats);
        let space = self.keep("the watch over free space", Self::watch_space);
        let sweep = self.keep("the sweep of what is remembered", Self::sweep);
        let discover = self.keep("the look for new logs", Self::discover);
        let scrub = self.keep("the look at published objects", Self::scrub);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend([heart, space, sweep, discover, scrub]);
        Ok(())
    }

    /// Runs a task for as long as the engine.
    fn keep<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        task: fn(Arc<Self>) -> F,
    ) -> JoinHandle<()> {
        let engine = Arc::clone(self);
        let start = move || task(Arc::clone(&engine));
        tokio::spawn(self.faults.clone().keep(name, start))
    }

    /// Parts that this process has lost and cannot get back; with any of them, it must end.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The log of that name. Not before it has its first configuration: a log that is being created is not there yet.
    pub fn log(&self, name: &str) -> Option<Arc<Log>> {
        self.opened(name).filter(|log| log.is_created())
    }

    /// The log of that name, with or without its first slot.
    pub(crate) fn opened(&self, name: &str) -> Option<Arc<Log>> {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(|r| Arc::clone(&r.log))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Log>> {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|r| Arc::clone(&r.log))
            .filter(|log| log.is_created())
            .collect()
    }

    /// Every log but the system log, by name.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.all()
            .into_iter()
            .filter(|l| l.name() != SYSTEM)
            .collect()
    }

    /// The log whose shards have the origins SHARD.ORIGIN. Anybody can ask for any host, so this copies nothing before it has found it.
    pub fn log_of_hosts(&self, origin: &str) -> Option<Arc<Log>> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let found = logs.values().map(|opened| &opened.log).find(|log| {
            let now = log.running.now.load();
            let config = &now.document;
            config.origin_form == OriginForm::Host && config.origin == origin && log.is_created()
        });
        found.map(Arc::clone)
    }

    /// The system log; `None` only while the engine opens.
    pub fn system(&self) -> Option<Arc<Log>> {
        self.log(SYSTEM)
    }

    /// This process's replica id.
    pub fn replica_id(&self) -> &str {
        &self.id
    }

    /// Opens the logs that are in the store and not open here.
    async fn open_new_logs(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut from = LOGS.to_owned();
        loop {
            let rows = self.store.scan(LOGS, &from, SCAN_PAGE).await?;
            let full = rows.len() == SCAN_PAGE;
            for (key, _) in rows {
                let name = &key[LOGS.len()..];
                if self.opened(name).is_none() {
                    self.open_log(name).await?;
                }
                from = format!("{key}\0");
            }
            if !full {
                return Ok(());
            }
        }
    }

    pub(crate) async fn open_log(self: &Arc<Self>, name: &str) -> Result<(), StoreError> {
        let _one = self.opening.lock().await;
        if self.opened(name).is_some() {
            return Ok(());
        }
        let mut tries = 0;
        let running = loop {
            // A start that has to begin again for lack of memory gets more of it.
            let most = self.max_pending.saturating_mul(1 << tries);
            if let Some(running) = self.start(name, most).await? {
                break running;
            }
            tries = MORE.min(tries + 1);
        };
        self.logs
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), running);
        self.moved.notify_one();
        Ok(())
    }

    /// Reads a log's state back and starts its tasks. A log whose stores contradict each other opens halted, so that an operator can
    /// inspect it. `None`: another process has collected what this one was about to read; there is a newer snapshot.
    async fn start(
        self: &Arc<Self>,
        name: &str,
        most: usize,
    ) -> Result<Option<Opened>, StoreError> {
        let (halt, metrics) = (Arc::new(Halt::default()), Arc::new(LogMetrics::default()));
        let (pending, [to_integrate, to_publish]) = Pending::new();
        let pending = Arc::new(pending);
        let corrupt = |e: StoreError| match e {
            StoreError::Corrupt(why) => {
                halt.halt(why);
                Ok(())
            }
            other => Err(other),
        };
        let view = match recover::view(&Keys::new(name), &*self.store).await {
            Ok(view) => view,
            Err(e) => {
                corrupt(e)?;
                order::state::View::default()
            }
        };
        let snapshot = Arc::new(view.state.clone());
        let nodes = Nodes::new(Arc::clone(&self.objects), Arc::clone(&self.merge.places));
        let batches: Arc<dyn Objects> = Arc::new(nodes.clone());
        let stores = (Arc::clone(&self.store), batches);
        let ledger = Ledger::new(
            name,
            stores,
            view,
            Arc::clone(&pending),
            Arc::clone(&metrics),
            Arc::clone(&halt),
            (self.clock.clone(), self.random.clone()),
        )?
        .stored_under(nodes.generation());
        let placeholder = LogConfig::new(
            LogName::try_from(name.to_owned()).unwrap_or_else(|_| LogName::system()),
            name.to_owned(),
            ShardName::try_from("1".to_owned()).map_err(|e| StoreError::Io(e.to_string()))?,
        );
        let batcher = Arc::new(Batcher::new(&placeholder, self.clock.clone()).0);
        let rules = Arc::clone(&batcher);
        let ledger = Arc::new(ledger);
        let health = Arc::new(Health::new(
            Arc::clone(&halt),
            Arc::clone(&self.low_space),
            self.clock.clone(),
            self.faults.clone(),
        ));
        let progress = Arc::new(Progress::new(pending, metrics));
        let objects = Arc::new(LogObjects::new(
            name,
            Arc::clone(&self.objects),
            nodes,
            self.clock.clone(),
        ));
        let running = Arc::new(Running::new(
            Arc::clone(&ledger),
            Arc::clone(&objects),
            Arc::clone(&progress),
            self.merge.clone(),
            (placeholder, Box::new(move |config| rules.configure(config))),
            Arc::clone(&self.moved),
        ));
        let shards = Arc::<Shards>::default();
        let life = Arc::new(LogLife::new(Arc::clone(&running)));
        let guard = Arc::new(SignGuard::new(
            &running,
            Arc::clone(&health),
            Arc::clone(&shards),
            Arc::clone(&life),
            Arc::clone(&self.kek),
        ));
        let publication = Arc::new(Publication::new(Arc::clone(&guard), Arc::clone(&batcher)));
        let ingest = Arc::new(Ingest::new(
            &running,
            Arc::clone(&health),
            Arc::clone(&shards),
            life,
            Arc::clone(&batcher),
            (self.max_pending, Arc::clone(&self.formats)),
        ));
        let uploads = Arc::new(Uploads::new(Arc::clone(&ingest)));
        let promiser = Arc::new(Promiser::new(Arc::clone(&ingest), Arc::clone(&guard)));
        let mut resumed = Resumed::default();
        if !halt.is_halted() {
            let trees = self.merge.programs.has(Program::Integrate);
            match recover::start(&publication, trees, most).await {
                Ok(Some(read)) => resumed = read,
                Ok(None) => return Ok(None),
                Err(e) => corrupt(e)?,
            }
        }
        progress.metrics.integrated.set(resumed.integrated);
        progress.integrated.send_replace(resumed.integrated);
        publication.tell_published();
        if halt.is_halted() {
            recover::show_published(&ledger, &progress).await;
        }
        let tasks = Tasks {
            name,
            faults: &self.faults,
        };
        let open = [&*resumed.open, &*resumed.lost].concat();
        let asking = sign_guard::ask(Arc::clone(&guard), open);
        let mut others = vec![
            // Nothing is accepted or signed before.
            tasks.watch("the comparison with what others hold", asking),
            tasks.keep("the reader of slots", &guard, follow),
            tasks.keep("the repair of storage nodes", &running, repair_nodes),
            tasks.keep("the release of positions", &guard, leaving::release),
            tasks.keep("the view of the merge", &guard, view::watch),
        ];
        if self.merge.programs.has(Program::Publish) {
            let look = lost::look_at_settled;
            others.push(tasks.keep("the look at sealed shards", &publication, look));
            let again = lost::sign_again;
            others.push(tasks.keep("the repair of sealed shards", &publication, again));
        } else {
            let follow = follow::follow;
            others.push(tasks.keep("the reader of positions", &publication, follow));
        }
        let (mut committing, mut promising) = (None, None);
        if self.merge.writes {
            let committer = Arc::clone(&publication);
            committing = Some(tasks.watch("the committer", async move {
                committer.guard.passed().await;
                let (running, health) = (&committer.running, &committer.health);
                batcher.run(running, health, &committer.shards).await;
            }));
            let (passed, promises) = (Arc::clone(&guard), Arc::clone(&promiser));
            promising = Some(tasks.watch("the promiser", async move {
                passed.passed().await;
                promises.run().await;
            }));
            let id = self.id.clone();
            let arrivals = move |ingest| arrivals::keep(ingest, id.clone());
            others.push(tasks.keep("the record of arrivals", &ingest, arrivals));
            let passed = Arc::clone(&guard);
            let release = move |promiser| {
                let passed = Arc::clone(&passed);
                async move {
                    passed.passed().await;
                    releaser::run(promiser).await;
                }
            };
            others.push(tasks.keep("the releaser", &promiser, release));
            let mend = |publication: Arc<Publication>| async move {
                publication.guard.passed().await;
                repair::mend(publication).await;
            };
            others.push(tasks.keep("the repair of damaged objects", &publication, mend));
        }
        let programs = self.programs(
            &publication,
            resumed,
            snapshot,
            (to_integrate, to_publish),
            (&tasks, &mut others),
        );
        Ok(Some(Opened {
            batcher: committing,
            promiser: promising,
            programs,
            others,
            log: Arc::new(Log {
                ledger,
                health,
                progress,
                objects,
                running,
                shards,
                guard,
                publication,
                ingest,
                uploads,
                promiser,
            }),
        }))
    }

    /// Starts the programs that this process runs.
    fn programs(
        &self,
        shared: &Arc<Publication>,
        resumed: Resumed,
        snapshot: Arc<State>,
        (to_integrate, to_publish): (mpsc::UnboundedReceiver<Step>, mpsc::UnboundedReceiver<Step>),
        (tasks, others): (&Tasks<'_>, &mut Vec<JoinHandle<()>>),
    ) -> Vec<Started> {
        let recovered = resumed.slots;
        let has = |program| self.merge.programs.has(program);
        let mut programs = Vec::new();
        let guard = &shared.guard;
        if has(Program::Integrate) {
            let (cuts, requests) = mpsc::channel(1);
            let cuts_here = Arc::new(AtomicBool::new(false));
            let fetch = Integrator {
                ledger: Arc::clone(&shared.ledger),
                progress: Arc::clone(&shared.progress),
                objects: Arc::clone(&shared.objects),
                slots: to_integrate,
                cuts: requests,
                growing: resumed.growing,
                state: Arc::clone(&snapshot),
                recovered,
                cuts_here: Arc::clone(&cuts_here),
            };
            others.push(tasks.watch("fetch", fetch.run()));
            let (running, health) = (Arc::clone(&shared.running), Arc::clone(&shared.health));
            let slots = snapshot.len;
            programs.push(Started::start(Program::Integrate, guard, |closing| {
                Cutter {
                    running,
                    health,
                    cuts,
                    closing,
                    slots,
                    cuts_here,
                }
                .run()
            }));
        }
        if has(Program::Replicate) {
            let own = Arc::clone(guard);
            programs.push(Started::start(Program::Replicate, guard, |closing| {
                Replicator {
                    guard: own,
                    closing,
                }
                .run()
            }));
        }
        if has(Program::Publish) {
            let (own, open) = (Arc::clone(shared), resumed.open);
            let (sealed, opened) = (resumed.sealed, resumed.opened);
            programs.push(Started::start(Program::Publish, guard, |closing| {
                Publisher {
                    shared: own,
                    closing,
                    steps: to_publish,
                    unpublished: VecDeque::new(),
                    published: snapshot,
                    open,
                    sealed,
                    opened,
                }
                .run()
            }));
        }
        if has(Program::Distribute) {
            let own = Arc::clone(shared);
            programs.push(Started::start(Program::Distribute, guard, |closing| {
                Distributor {
                    shared: own,
                    closing,
                }
                .run()
            }));
        }
        programs
    }

    /// Checks published objects, one place after the other.
    async fn scrub(self: Arc<Self>) {
        if !self.merge.writes {
            // No task checks suspected objects.
            return std::future::pending().await;
        }
        scrub::run(|| self.all()).await;
    }

    async fn heartbeats(self: Arc<Self>) {
        loop {
            if let Err(e) = self.beat().await {
                tracing::warn!(error = %e, "cannot report to the other replicas");
            }
            // A new generation is reported at once, everything else in the slow rhythm.
            let _ = tokio::time::timeout(HEARTBEAT, self.moved.notified()).await;
        }
    }

    /// Opens the logs that other replicas create.
    async fn discover(self: Arc<Self>) {
        loop {
            self.store.changed(LOGS, HEARTBEAT).await;
            if let Err(e) = self.open_new_logs().await {
                tracing::warn!(error = %e, "cannot look for new logs");
            }
            // A store that can't tell what changed wakes at every write.
            tokio::time::sleep(DISCOVER).await;
        }
    }

    /// How far this replica's clock differs from the store's, milliseconds, beyond the duration of the request.
    pub async fn clock_off(&self) -> Result<u64, StoreError> {
        let before = self.clock.now_ms();
        let time = self.store.now().await?;
        let after = self.clock.now_ms();
        Ok(before
            .saturating_sub(time)
            .max(time.saturating_sub(after.max(before))))
    }

    /// Why nothing is proposed here, if the clock, checked now, cannot be believed.
    pub fn clock_fault(&self) -> Option<ClockFault> {
        self.clock.sound().err()
    }

    /// Adds the time that passed to the age of the store: steady time that some process has spent on it. It never counts more than
    /// has passed, however many processes add to it, and no clock that is set moves it.
    async fn grow_older(&self) -> Result<(), StoreError> {
        let row = match self.store.get(CLOCK).await? {
            Some(row) => record::decode_counted(&row)
                .map_err(|e| StoreError::Corrupt(format!("{CLOCK}: {e}; run `logd fsck`")))?,
            None => 0,
        };
        let steady = self.clock.steady_ms();
        let known = {
            let mut age = self.age.lock().unwrap_or_else(PoisonError::into_inner);
            // A process that was paused for days does not know what others noted meanwhile.
            let passed = |since| steady.saturating_sub(since).min(GROWTH_MS);
            let own = age.map_or(0, |(age, since)| age + passed(since));
            let known = own.max(row);
            *age = Some((known, steady));
            known
        };
        let transaction = Transaction {
            guards: vec![Guard::AtMost(CLOCK.to_owned(), known)],
            puts: vec![(CLOCK.to_owned(), record::encode_counted(known))],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
            Outcome::Committed | Outcome::Refused => Ok(()),
        }
    }

    /// Bytes free for new objects, where the store can tell.
    pub async fn free(&self) -> Result<Option<u64>, StoreError> {
        self.objects.free().await
    }

    /// Bytes that stay free.
    pub fn reserve(&self) -> u64 {
        self.min_free
    }

    /// The store's clock, milliseconds since the Unix epoch.
    pub async fn now(&self) -> Result<u64, StoreError> {
        self.store.now().await
    }

    /// Tells the other replicas what this one runs; compares the clocks; forgets replicas that are long gone.
    async fn beat(&self) -> Result<(), StoreError> {
        let before = self.clock.now_ms();
        let time = self.store.now().await?;
        self.clock.compare(before, time, self.clock.now_ms());
        let _ = self.clock.sound();
        let runs = self.all();
        let runs = runs
            .iter()
            .map(|log| (log.name(), log.running.now.load().generation));
        let mut heart = self.heart.lock().await;
        let live = heart.beat(&*self.store, time, runs).await?;
        self.formats.heard(FORMAT, live.into_iter());
        Ok(())
    }

    async fn watch_space(self: Arc<Self>) {
        space::watch(&*self.objects, self.min_free, &self.low_space).await;
    }

    async fn sweep(self: Arc<Self>) {
        loop {
            if let Err(e) = self.grow_older().await {
                tracing::warn!(error = %e, "cannot note the age of the store");
            }
            tokio::time::sleep(SWEEP).await;
            // With a wrong clock, rows that are still needed would have expired.
            if self.clock.sound().is_ok()
                && let Err(e) = self.sweep_memory().await
            {
                tracing::warn!(error = %e, "cannot sweep the memory");
            }
        }
    }

    /// Every live replica, with the generation it runs of `log`.
    pub async fn replicas(&self, log: Option<&str>) -> Result<Vec<ReplicaInfo>, StoreError> {
        heart::replicas(&*self.store, log).await
    }

    /// The processes whose heartbeats ended without a clean stop. They are listed for an hour, or until a process of the same host and role
    /// starts.
    pub async fn silent(&self) -> Result<Vec<ReplicaInfo>, StoreError> {
        heart::silent(&*self.store).await
    }

    /// Accepts no more writes, commits queued work, publishes ordered entries, and stops. Returns what the programs of the merge did, by
    /// log and in the order of the pipeline; in a process that accepts no writes, each has finished its work.
    pub async fn shutdown(&self) -> Vec<Finished> {
        // First the heart: it would find the logs missing and open them again.
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        let logs = std::mem::take(&mut *self.logs.write().unwrap_or_else(PoisonError::into_inner));
        let logs: Vec<Opened> = logs.into_values().collect();
        for log in &logs {
            log.log.ingest.batcher.close();
            log.log.promiser.close();
        }
        let mut finished = Vec::new();
        for log in logs {
            finished.extend(log.finish().await);
        }
        if let Err(e) = heart::forget(&*self.store, &self.id, None).await {
            tracing::warn!(error = %e, "cannot take back the heartbeat; it expires by itself");
        }
        self.rest().await;
        finished
    }

    /// Leaves the coordination store as one whole file, as far as other processes let it. Part of every shutdown.
    pub async fn rest(&self) {
        self.store.rest().await;
    }
}

/// Starts the tasks of one log.
struct Tasks<'a> {
    name: &'a str,
    faults: &'a Faults,
}

impl Tasks<'_> {
    /// Runs a task that is started again when it ends badly.
    fn keep<T: Send + Sync + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &str,
        on: &Arc<T>,
        task: impl Fn(Arc<T>) -> F + Send + 'static,
    ) -> JoinHandle<()> {
        let (name, on) = (format!("{name} of the log {}", self.name), Arc::clone(on));
        let start = move || task(Arc::clone(&on));
        tokio::spawn(self.faults.clone().keep(name, start))
    }

    /// Runs a task without which the log cannot make progress.
    fn watch(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let name = format!("{name} of the log {}", self.name);
        tokio::spawn(self.faults.clone().watch(name, task))
    }
}

/// Writes again what storage nodes missed.
async fn repair_nodes(running: Arc<Running>) {
    nodes::repair(&running.ledger, &running.objects.nodes).await;
}

/// Reads the slots that other replicas decide.
async fn follow(guard: Arc<SignGuard>) {
    let ledger = &guard.ledger;
    let prefix = ledger.keys.slots();
    loop {
        tokio::select! {
            () = ledger.store.changed(&prefix, Duration::from_secs(1)) => {}
            _ = ledger.halt.halted() => return,
        }
        if let Err(e) = async {
            ledger.refresh().await?;
            guard.running.update_running().await?;
            guard.life.unannounced(&ledger.state()).await.map(drop)
        }
        .await
        {
            tracing::warn!(error = %e, log = ledger.name, "cannot read the slots");
        }
        tokio::time::sleep(FOLLOW).await;
    }
}
