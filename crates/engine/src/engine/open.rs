//! Opens a log: reads its state back, and starts its tasks and the programs that this process runs.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use logconfig::{LogConfig, LogName, ShardName};
use tokio::sync::mpsc;

use super::Engine;
use super::tasks::{Opened, Started, Task, Tasks, follow, repair_nodes};
use crate::distribute::Distributor;
use crate::health::Health;
use crate::ingest::batcher::Batcher;
use crate::ingest::{Ingest, arrivals};
use crate::integrate::cut::Cutter;
use crate::integrate::grow::Integrator;
use crate::leaving;
use crate::ledger::Ledger;
use crate::life::LogLife;
use crate::log::Log;
use crate::metrics::LogMetrics;
use crate::nodes::Nodes;
use crate::objects::LogObjects;
use crate::pending::{Pending, Step};
use crate::program::Program;
use crate::progress::Progress;
use crate::promise::{Promiser, releaser};
use crate::publish::Publisher;
use crate::publish::publication::Publication;
use crate::publish::sign_guard::SignGuard;
use crate::publish::{lost, sign_guard};
use crate::recover;
use crate::recover::Resumed;
use crate::repair;
use crate::replicate::Replicator;
use crate::running::Running;
use crate::shard::Shards;
use crate::status::view;
use crate::uploads::Uploads;
use order::keys::{Keys, LOGS};
use order::state::State;
use store::{Objects, StoreError};

/// Logs looked for at a time.
const SCAN_PAGE: usize = 512;
/// A start that began again may keep at most this many doublings of `max_pending` in memory.
const MORE: u32 = 4;

impl Engine {
    /// Opens the logs that are in the store and not open here.
    pub(super) async fn open_new_logs(self: &Arc<Self>) -> Result<(), StoreError> {
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
        let (halt, metrics) = (self.halts.log(), Arc::new(LogMetrics::default()));
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
                order::view::View::default()
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
            &self.object_cache,
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
        progress.metrics.integrated.set(resumed.integrated.get());
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
            let follow = crate::publish::follow::follow;
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
            let repairs = |publication: Arc<Publication>| async move {
                publication.guard.passed().await;
                repair::run(publication).await;
            };
            others.push(tasks.keep("the repair of damaged objects", &publication, repairs));
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
        (tasks, others): (&Tasks<'_>, &mut Vec<Task>),
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
            others.push(tasks.watch("integrate", fetch.run()));
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
                    sweep_owed: false,
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
}
