//! The world of one life: who is there, the time, the trace, the judge.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use ambient::{Ambient, Random};
use engine::{HistoryRecord, Kek, Places, Program, ShardView};
use store::MemoryObjects;

use tokio::task::JoinSet;

use crate::changes::Changes;
use crate::frontends::Frontends;
use crate::importer::old;
use crate::importer::rules::Imports;
use crate::judge::Judge;
use crate::loss::Primary;
use crate::network::Network;
use crate::older::Copies;
use crate::plan::Plan;
use crate::process::{Process, Rates};
use crate::random::Dice;
use crate::recall::Recall;
use crate::remote::Reach;
use crate::server::{Role, Running, Server, Site};
use crate::storage::Storage;
use crate::trace::{Detail, Trace};
use crate::trail::Trail;
use crate::twins::Twins;
use crate::versions::Upgrade;

/// When a life begins: milliseconds since the Unix epoch.
const START_MS: u64 = 1_800_000_000_000;

/// Everything that there is.
pub struct World {
    /// What is meant to happen.
    pub plan: Plan,
    /// The true time, and that of the stores.
    pub clocks: Moved,
    /// The trace of what happened.
    pub trace: Arc<Trace>,
    /// Who says whether it may.
    pub judge: Arc<Judge>,
    /// Who says whether the audit trail is true.
    pub trail: Trail,
    /// Who says whether what was decided holds.
    pub changes: Changes,
    /// Who says whether an imported log is as it was.
    pub imports: Imports,
    /// What is asked for again at the end.
    pub recall: Recall,
    /// The servers and programs.
    pub servers: Vec<Arc<Server>>,
    /// Secondaries and witnesses, and the way to them.
    pub network: Arc<Network>,
    /// Where large batches are.
    pub storage: Arc<Storage>,
    /// Where readers find a copy.
    pub frontends: Arc<Frontends>,
    /// What became of the servers' stores.
    pub primary: Primary,
    /// Requests that operators sent.
    pub requests: AtomicU64,
    /// Processes that were started.
    pub started: AtomicU64,
    /// The copy of the coordination store.
    pub copies: Copies,
    /// The other restored primary.
    pub twins: Twins,
    /// The servers of an older version.
    pub upgrade: Arc<Upgrade>,
    rates: Arc<Mutex<Rates>>,
    calm: AtomicBool,
    shards: Mutex<BTreeMap<String, Vec<ShardView>>>,
    /// What was decided on the log, as a server told it last.
    history: Mutex<Vec<HistoryRecord>>,
    /// Whoever does something that ends.
    busy: Mutex<JoinSet<()>>,
}

impl World {
    /// The world of a plan, with nothing started.
    pub fn new(plan: Plan, detail: Detail) -> Arc<Self> {
        let clocks = Moved::over(Ambient::simulated(plan.seed, START_MS).time);
        let site = Site::new();
        let server = |name: String, role| {
            let clocks = Moved::over(clocks.time());
            Server::new(name, role, Arc::clone(&site), clocks)
        };
        let role = if plan.split {
            Role::Writes
        } else {
            Role::Whole
        };
        let mut servers: Vec<_> = (0..plan.servers)
            .map(|n| server(format!("server-{n}"), role))
            .collect();
        if plan.split {
            let programs = Program::ALL.into_iter();
            servers.extend(programs.map(|p| server(p.to_string(), Role::Merges(p))));
        }
        let judge: Arc<Judge> = Arc::default();
        Arc::new(Self {
            network: Network::new(plan.peers, &judge, &clocks),
            frontends: Frontends::new(plan.frontends, &judge),
            storage: Storage::new(plan.nodes, &site.objects, &judge),
            rates: Arc::new(Mutex::new(plan.rates.clone())),
            trace: Arc::new(Trace::new(detail)),
            judge,
            trail: Trail::default(),
            changes: Changes::default(),
            imports: Imports::new(plan.old.and_then(old::log)),
            recall: Recall::default(),
            primary: Primary::default(),
            requests: AtomicU64::new(0),
            started: AtomicU64::new(0),
            copies: Copies::default(),
            twins: Twins::default(),
            upgrade: Arc::new(Upgrade::from(plan.older)),
            calm: AtomicBool::new(false),
            shards: Mutex::default(),
            history: Mutex::default(),
            busy: Mutex::default(),
            clocks,
            servers,
            plan,
        })
    }

    /// A new process of this name.
    pub fn process(&self, name: &str, clocks: &Moved) -> Arc<Process> {
        self.started.fetch_add(1, Relaxed);
        let dice = Dice::new(self.plan.seed).fork(name);
        let (rates, trace) = (Arc::clone(&self.rates), Arc::clone(&self.trace));
        Process::new(name.to_owned(), dice, rates, clocks.clone(), trace)
    }

    /// The storage nodes and frontends as a process reaches them, whose own store is `local`.
    pub fn places(&self, process: &Arc<Process>, local: &Arc<MemoryObjects>) -> Arc<dyn Places> {
        self.storage.adopt(local);
        self.places_of(process)
    }

    /// The same for a process that is not one of the servers.
    pub fn places_of(&self, process: &Arc<Process>) -> Arc<dyn Places> {
        let (storage, frontends) = (Arc::clone(&self.storage), Arc::clone(&self.frontends));
        Arc::new(Reach::new(process, storage, frontends))
    }

    /// The key-encryption key of this life.
    pub fn kek(&self) -> Kek {
        let random = Random::seeded(self.plan.seed);
        Kek::generate(&random).unwrap_or_else(|error| unreachable!("a seed has numbers: {error}"))
    }

    /// The random decisions of somebody.
    pub fn dice(&self, who: &str) -> Dice {
        Dice::new(self.plan.seed).fork(who)
    }

    /// How often things go wrong from now on.
    pub fn set_rates(&self, rates: Rates) {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// Lets somebody do something that ends.
    pub fn employ(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }

    /// Waits until all have done what they do, or so long.
    pub async fn rest(&self, most: Duration) {
        let mut busy =
            std::mem::take(&mut *self.busy.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while busy.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(most, all).await;
        busy.shutdown().await;
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        self.calm.store(true, Relaxed);
        self.set_rates(Rates::default());
    }

    /// Whether nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    /// A server that takes writes and runs; which of them, is drawn.
    pub fn any_server(&self, dice: &mut Dice) -> Option<Running> {
        let ready: Vec<Running> = self
            .servers
            .iter()
            .filter(|server| server.takes_writes())
            .filter_map(|server| server.running())
            .collect();
        dice.pick(&ready).cloned()
    }

    /// The shards of a log, as a server showed them last.
    pub fn show_shards(&self, log: &str, shards: Vec<ShardView>) {
        let mut known = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known.entry(log.to_owned()).or_default();
        if kept.len() <= shards.len() {
            *kept = shards;
        }
    }

    /// Keeps the log's history.
    pub fn set_history(&self, history: Vec<HistoryRecord>) {
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = history;
    }

    /// What [`World::set_history`] was told.
    pub fn history(&self) -> Vec<HistoryRecord> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.clone()
    }

    /// All logs that a server showed the shards of, with how many there are.
    pub fn shown(&self) -> Vec<(String, u64)> {
        let known = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let all = known.iter();
        all.map(|(log, shards)| (log.clone(), shards.len() as u64))
            .collect()
    }

    /// What [`World::show_shards`] was told.
    pub fn shards(&self, log: &str) -> Option<Vec<ShardView>> {
        let known = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(log).cloned()
    }
}
