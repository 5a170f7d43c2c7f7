//! Adaptive group commit: entries that arrive while a commit is under way may go into the next one. No fixed wait: a lone
//! writer waits for one commit, and under load the batches grow by themselves.
//!
//! The scheduler ([`crate::qos`]) says what goes into a commit, and in which order; the pace says how much. While too much is
//! ordered and not yet published the gate is shut: the backlog waits in the batcher's queue, where urgent work can overtake it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::health::Health;
use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::arrivals::Recorder;
use crate::ingest::commit::{BatchWriters, Commit, Item, Payload};
use crate::ingest::in_flight::Kept;
use crate::ingest::in_flight::{ArrivalGroup, InFlight, InFlights};
use crate::ingest::prewrite::{Prewrite, ReadyCommit, prepared, refuse};
use crate::ingest::release::{Next, Queue, Released, Waiting, take};
use crate::ledger::{CommitError, Ledger, Placed};
use crate::progress::Progress;
use crate::running::Running;
use crate::shard::Shards;
use order::slot::{Decision, Promised};
use order::state::State;
use qos::admission::{Promise, Refused};
use qos::job::cost;
use qos::tally::Tally;
use qos::{
    Admission, Ask, Backlog, Grant, Job, Names, Pace, Policy, QosView, Schedule, Scheduler,
    TenantId,
};
use store::StoreError;

/// The queue in front of the order.
pub(crate) struct Batcher {
    queue: Mutex<Queue>,
    /// Start of its clock, which no jump of the system's clock moves.
    epoch: Instant,
    /// The clock that times of other processes are compared with.
    clock: Clock,
    wake: Notify,
    /// Something was taken from the queue.
    taken: Notify,
}

impl Batcher {
    /// An empty queue for a configuration, and its rules.
    pub(crate) fn new(config: &logconfig::LogConfig, clock: Clock) -> (Self, Policy) {
        let mut names = Names::default();
        let interval = config.merge.checkpoint_interval.duration();
        let policy = Policy::new(&config.qos, interval, &mut names);
        let queue = Queue {
            scheduler: Scheduler::new(&policy),
            admission: Admission::new(0, micros(interval)),
            pace: Pace::default(),
            tally: Tally::default(),
            flights: InFlights::default(),
            arrivals: Recorder::default(),
            names,
            memory: 0,
            controls: VecDeque::new(),
            closed: false,
            interval: micros(interval),
            parked: false,
        };
        let batcher = Self {
            queue: Mutex::new(queue),
            clock,
            epoch: Instant::now(),
            wake: Notify::new(),
            taken: Notify::new(),
        };
        (batcher, policy)
    }

    /// Takes the rules of another configuration. Waiting work stays where it is.
    pub(crate) fn configure(&self, config: &logconfig::LogConfig) -> Policy {
        let interval = config.merge.checkpoint_interval.duration();
        let mut queue = self.queue();
        let policy = Policy::new(&config.qos, interval, &mut queue.names);
        queue.interval = micros(interval);
        queue.scheduler.configure(&policy);
        policy
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds on the queue's clock.
    pub(crate) fn now(&self) -> u64 {
        micros(self.epoch.elapsed())
    }

    /// The current state of quality of service.
    pub(crate) fn view(&self, policy: &Policy) -> QosView {
        let (now, queue) = (self.now(), self.queue());
        let service = queue.admission.service();
        QosView {
            classes: queue.tally.view(now, policy, queue.scheduler.backlogs()),
            rate: service.rate,
            latency: Duration::from_micros(service.latency),
            elastic: queue.pace.elastic(),
            cruise: queue.pace.cruises(),
        }
    }

    /// The recorded arrivals, for the task that stores them.
    pub(crate) fn arrivals<T>(&self, take: impl FnOnce(&mut Recorder) -> T) -> T {
        take(&mut self.queue().arrivals)
    }

    /// Queues entries, or says why not. The answer comes when they are ordered and durable.
    pub(crate) fn submit(
        &self,
        policy: &Policy,
        tenant: TenantId,
        grant: Grant,
        shard: Option<Arc<str>>,
        payload: Payload,
        room: usize,
    ) -> Result<
        impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>,
        AppendError,
    > {
        let (reply, answer) = oneshot::channel();
        let item = Item {
            tier: grant.tier,
            shard,
            payload,
            reply,
        };
        let (bytes, memory, entries) = (item.bytes(), item.memory(), item.entries());
        let patient = matches!(item.payload, Payload::Chunk { .. });
        let (now, second) = (self.now(), self.clock.now_ms() / 1_000);
        let parked = {
            let mut queue = self.queue();
            let queue = &mut *queue;
            if queue.closed {
                return Err(AppendError::ShuttingDown);
            }
            let ask = Ask {
                tenant,
                grant,
                entries,
                bytes: bytes as u64,
                own: queue.scheduler.backlog(grant.tier, tenant),
                free: room.saturating_sub(queue.memory) as u64,
            };
            let admitted = queue.admission.admit(now, policy, &ask);
            // A chunk that has to wait comes again.
            if admitted.is_ok() || !patient {
                let class = (grant.tier, tenant);
                queue.arrivals.arrived(second, class, entries, bytes as u64);
                let counts = queue.tally.of(grant.tier, tenant);
                counts.admitted(entries, &admitted);
            }
            let promise = admitted?;
            queue.memory += memory;
            let job = Job {
                tier: grant.tier,
                tenant,
                entries,
                bytes: bytes as u64,
                arrived: now,
                deadline: promise.map(|p| p.deadline),
                payload: Waiting::Write(item, promise),
            };
            queue.scheduler.push(now, job);
            std::mem::take(&mut queue.parked)
        };
        if parked {
            self.wake.notify_one();
        }
        Ok(async { answer.await.unwrap_or(Err(AppendError::Unknown)) })
    }

    /// Asks admission for one entry that is to wait in the durable queue, of which `free` bytes are left. An admitted entry counts as
    /// accepted work until [`Batcher::settled`].
    pub(crate) fn promise(
        &self,
        policy: &Policy,
        tenant: TenantId,
        grant: Grant,
        bytes: u64,
        free: u64,
    ) -> Result<Option<Promise>, AppendError> {
        let ask = Ask {
            tenant,
            grant,
            entries: 1,
            bytes,
            own: Backlog::default(),
            free,
        };
        let mut queue = self.queue();
        let queue = &mut *queue;
        let admitted = queue.admission.admit(self.now(), policy, &ask);
        let counts = queue.tally.of(grant.tier, tenant);
        counts.admitted(1, &admitted);
        Ok(admitted?)
    }

    /// Counts promised work that another process admitted.
    pub(crate) fn adopt(&self, left: Duration, cost: u64) -> Promise {
        let now = self.now();
        let deadline = now.saturating_add(micros(left));
        self.queue().admission.adopt(now, deadline, cost)
    }

    /// Asks for a turn of promised work, rows of one tier with the earliest deadline first. Resolves when it may be released; an error says
    /// that the queue accepts no more.
    pub(crate) fn turn(&self, rows: &[Promised]) -> oneshot::Receiver<()> {
        let (go, turn) = oneshot::channel();
        let Some(first) = rows.first() else {
            return turn;
        };
        let (now, now_ms) = (self.now(), self.clock.now_ms());
        let parked = {
            let mut queue = self.queue();
            if queue.closed {
                return turn;
            }
            let (tier, tenant) = queue.names.class(&first.tier, &first.tenant);
            let job = Job {
                tier,
                tenant,
                entries: rows.iter().map(|r| r.batch.entries).sum(),
                bytes: rows.iter().map(|r| r.bytes).sum(),
                arrived: now,
                deadline: Some(at(now, now_ms, first.deadline)),
                payload: Waiting::Turn(go),
            };
            queue.scheduler.push(now, job);
            std::mem::take(&mut queue.parked)
        };
        if parked {
            self.wake.notify_one();
        }
        turn
    }

    /// Promised work is ordered from `start` on; all that remains is to measure when it is published.
    pub(crate) fn placed(&self, ledger: &Ledger, start: u64, kept: &Kept) {
        let (now, now_ms) = (self.now(), self.clock.now_ms());
        {
            let mut queue = self.queue();
            let (tier, _) = queue.names.class(&kept.tier, "");
            let mut flight = InFlight {
                end: start,
                tier,
                entries: 0,
                bytes: kept.bytes,
                released: now,
                runs: Vec::new(),
            };
            flight.push(ArrivalGroup {
                entries: kept.entries,
                arrived: at(now, now_ms, kept.arrived),
                deadline: Some(at(now, now_ms, kept.deadline)),
            });
            flight.end += flight.entries;
            let run = flight.runs[0];
            let mut metrics = ledger.metrics.qos();
            metrics
                .tier(tier)
                .ordered(now, now, run.arrived, run.entries);
            queue.flights.push(flight);
        }
        // It may be in the meantime.
        self.published(ledger, ledger.metrics.published.get());
    }

    /// Cost of the promised work that is planned for.
    #[cfg(test)]
    pub(crate) fn accepted(&self) -> u64 {
        self.queue().admission.accepted()
    }

    /// Promised work no longer waits.
    pub(crate) fn settled(&self, promise: &Promise, cost: u64) {
        self.queue().admission.release(promise.due, cost);
    }

    /// Resolves when work was taken from the queue, when it takes no more, or after `at_most`. Ask for it before looking.
    pub(crate) fn taken(&self, at_most: Duration) -> impl Future<Output = ()> + Send + '_ {
        let taken = self.taken.notified();
        async move { drop(tokio::time::timeout(at_most, taken).await) }
    }

    /// Queues a control; it goes into the next commit.
    pub(crate) async fn control(&self, decision: Decision) -> Result<Placed, CommitError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.closed {
                return Err(CommitError::Store(StoreError::Io(
                    "this server is shutting down".into(),
                )));
            }
            queue.controls.push_back((decision, reply));
        }
        self.wake.notify_one();
        answer
            .await
            .unwrap_or_else(|_| Err(CommitError::Unknown("the committer stopped".into())))
    }

    /// Accepts no more; queued work is still committed.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_one();
        self.taken.notify_waiters();
    }

    /// Cost of the largest piece of elastic work that fits into one commit, and into a promise of a second beside other work.
    pub(crate) fn piece(&self) -> u64 {
        let queue = self.queue();
        let quarter = queue.admission.service().rate / 4.0;
        queue.pace.elastic().min(quarter as u64)
    }

    /// Called when everything below a global index is published.
    pub(crate) fn published(&self, ledger: &Ledger, below: u64) {
        {
            let (now, mut queue) = (self.now(), self.queue());
            let queue = &mut *queue;
            let mut metrics = ledger.metrics.qos();
            if let Some(published) = queue.flights.published(now, below, &mut metrics) {
                queue.admission.rate().published(now, &published);
                let service = queue.admission.service();
                queue
                    .pace
                    .published(published.latency, &service, queue.interval);
            }
        }
        self.wake.notify_one();
    }

    /// Takes the next commit's worth; `None` when closed and empty. `busy`: no more of a backlog. May be dropped at any time.
    async fn next(
        &self,
        health: &Health,
        progress: &Progress,
        busy: bool,
    ) -> Option<Box<Released>> {
        loop {
            let wait = match self.try_next(health, progress, busy) {
                Next::Some(taken) => return Some(taken),
                Next::Closed => return None,
                Next::None(wait) => wait,
            };
            let woken = async {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = health.turned.notified() => {}
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, woken).await),
                None => woken.await,
            }
        }
    }

    /// Takes the work that may be committed now.
    fn try_next(&self, health: &Health, progress: &Progress, busy: bool) -> Next {
        let mut queue = self.queue();
        let mut wait = None;
        while !queue.scheduler.is_empty() || !queue.controls.is_empty() {
            let open = if queue.closed || health.trouble().is_some() {
                u64::MAX // Admission bounds it then.
            } else {
                let entries = progress.metrics.ordered.get();
                let entries = entries.saturating_sub(progress.metrics.published.get());
                let unpublished = cost(entries, progress.pending.bytes() as u64);
                Pace::window(unpublished, &queue.admission.service(), queue.interval)
            };
            let (taken, later) = take(&mut queue, self.now(), open, busy);
            wait = later;
            if queue.scheduler.is_empty()
                || (queue.pace.cruises().is_some() && !queue.scheduler.fast_waits())
            {
                // All waiting work is released, except work that waits for others: more could have been committed.
                queue.admission.rate().idle();
            }
            if !taken.jobs.is_empty() || taken.control.is_some() {
                self.taken.notify_waiters();
                return Next::Some(Box::new(taken));
            }
            if taken.turns == 0 {
                queue.parked = true;
                return Next::None(wait);
            }
        }
        if queue.closed {
            return Next::Closed;
        }
        queue.admission.rate().idle();
        queue.parked = true;
        Next::None(wait)
    }

    /// Commits queued work, until closed and empty.
    ///
    /// A backlog's large batches are made durable beside the commits, one commit's worth at a time, and go into the first commit after
    /// that, so that only their own writer waits for them.
    pub(crate) async fn run(&self, running: &Running, health: &Health, shards: &Shards) {
        let mut ahead: Option<Prewrite> = None;
        loop {
            let busy = ahead.is_some();
            let (mut ready, taken) = tokio::select! {
                biased;
                ready = Prewrite::end(&mut ahead, &running.ledger) => {
                    self.queue().pace.stored(micros(ready.stored));
                    (ready, self.try_next(health, &running.progress, ahead.is_some()))
                }
                taken = self.next(health, &running.progress, busy) => match taken {
                    Some(taken) => (ReadyCommit::default(), Next::Some(taken)),
                    None if !busy => return,
                    None => (Prewrite::end(&mut ahead, &running.ledger).await, Next::Closed),
                },
            };
            let mut rest = Commit::default();
            if let Next::Some(taken) = taken {
                let Released {
                    now,
                    jobs,
                    mut classes,
                    elastic,
                    company,
                    control,
                    ..
                } = *taken;
                ready.company |= company;
                // Work that belongs behind a backlog that is being prepared stays behind it.
                if let Some(ahead) = &ahead {
                    classes.extend(&ahead.classes);
                }
                let (backlog, others): (Vec<_>, _) = jobs
                    .into_iter()
                    .partition(|job| classes.contains(&(job.tier, job.tenant)));
                rest = Commit::of(&running.ledger, others, now, false, control);
                let backlog = Commit::of(&running.ledger, backlog, now, true, None);
                match &mut ahead {
                    Some(ahead) => ahead.behind.append(backlog),
                    None if backlog.has_objects() => {
                        ahead = Some(Prewrite::begin(&running.ledger, backlog, elastic, classes));
                    }
                    None => {
                        ready.load.append(prepared(&running.ledger, backlog).await);
                        ready.elastic += elastic;
                    }
                }
            }
            ready.load.append(prepared(&running.ledger, rest).await);
            if !ready.load.is_empty() {
                self.commit(running, shards, ready).await;
            }
        }
    }

    /// Commits prepared work, and answers its writers.
    async fn commit(&self, running: &Running, shards: &Shards, ready: ReadyCommit) {
        let ReadyCommit {
            load,
            elastic,
            company,
            ..
        } = ready;
        let mut load = load.into_load();
        let (began, start) = (Instant::now(), self.now());
        running.progress.metrics.commits_in_flight.add(1);
        running.ledger.renew_births(&mut load.mine).await;
        let answers = running.ledger.commit_prepared(load.mine).await;
        running.progress.metrics.commits_in_flight.sub(1);
        let done = self.now();
        let (mut entries, mut flights, mut fast) = (0, Vec::new(), None);
        let mut answers = answers.into_iter();
        let state = running.ledger.state();
        let policy = running.policy.load();
        for (parts, answer) in load.parts.into_iter().zip(answers.by_ref()) {
            match answer {
                Ok(placed) => {
                    if let Some(target) = policy.tier(parts.tier).latency_target {
                        let oldest = parts.parts.iter().map(|p| p.run.arrived).min();
                        let waited = done.saturating_sub(oldest.unwrap_or(done));
                        let (before, longest) = fast.unwrap_or((u64::MAX, 0));
                        fast = Some((before.min(micros(target)), longest.max(waited)));
                    }
                    let flight = place(shards, &state, &placed, parts);
                    entries += flight.entries;
                    flights.push(flight);
                }
                Err(e) => refuse(&running.ledger, parts, e),
            }
        }
        self.committed(
            &running.ledger,
            done,
            (start, (elastic, company), fast),
            flights,
        );
        // A change in these slots, ours or another replica's, runs at once.
        if state.generation != running.now.load().generation
            && let Err(e) = running.update_running().await
        {
            tracing::warn!(error = %e, log = running.ledger.name, "cannot read the configuration");
        }
        if let (Some(reply), Some(answer)) = (load.control, answers.next()) {
            let _ = reply.send(answer);
        }
        running.progress.metrics.committed(entries, began.elapsed());
    }

    /// Notes a commit: for the pace, the rate and the metrics.
    fn committed(
        &self,
        ledger: &Ledger,
        now: u64,
        (released, elastic, fast): (u64, (u64, bool), Option<(u64, u64)>),
        flights: Vec<InFlight>,
    ) {
        let mut queue = self.queue();
        queue.pace.committed(now, now - released, elastic, fast);
        let mut metrics = ledger.metrics.qos();
        for flight in flights {
            let tier = metrics.tier(flight.tier);
            for run in &flight.runs {
                tier.ordered(now, flight.released, run.arrived, run.entries);
            }
            queue.flights.push(flight);
        }
    }
}

/// A time in milliseconds since the Unix epoch on the queue's clock, which shows `now` at `now_ms`.
fn at(now: u64, now_ms: u64, time: u64) -> u64 {
    let ahead = time.saturating_sub(now_ms).saturating_mul(1_000);
    let behind = now_ms.saturating_sub(time).saturating_mul(1_000);
    now.saturating_add(ahead).saturating_sub(behind)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> Self {
        let Refused {
            reason,
            retry_after,
            available,
        } = refused;
        if reason.is_limit() {
            Self::Limited {
                reason,
                retry_after,
            }
        } else {
            Self::NoRoom {
                reason,
                retry_after,
                available,
            }
        }
    }
}

/// Answers the writers of a batch; returns the record of it that is kept until it is published.
fn place(shards: &Shards, state: &State, placed: &Placed, batch: BatchWriters) -> InFlight {
    let shard = state
        .shard_at(placed.start)
        .and_then(|s| Some((s.start()?, shards.get(state, &s.identity.name)?)));
    let mut flight = InFlight {
        end: placed.start,
        tier: batch.tier,
        entries: 0,
        bytes: batch.bytes,
        released: batch.released,
        runs: Vec::new(),
    };
    for part in batch.parts {
        let index = placed.start + flight.entries;
        let answer = match &shard {
            Some((start, shard)) => Ok(Appended {
                index,
                shard: Arc::clone(&shard.name),
                leaf_index: index - start,
            }),
            None => Err(AppendError::Unknown),
        };
        flight.push(part.run);
        let _ = part.reply.send(answer);
    }
    flight.end += flight.entries;
    flight
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use logconfig::{LogConfig, LogName, ShardName};

    use super::*;
    use crate::pending::Pending;
    use crate::program::{Program, Trouble};
    use crate::supervise::Faults;
    use qos::Advice;

    /// While publication is stuck, memory alone bounds what waits, so the committer is told at once.
    #[tokio::test(start_paused = true)]
    async fn the_gate_opens_when_a_program_gets_stuck() {
        let shard = ShardName::try_from("a".to_owned()).unwrap();
        let config = LogConfig::new(LogName::system(), "example.org".to_owned(), shard);
        let clock = Clock::new(ambient::Ambient::unset().time);
        let (batcher, policy) = Batcher::new(&config, clock.clone());
        let (pending, _steps) = Pending::new();
        let progress = Progress::new(Arc::new(pending), Arc::default());
        progress.metrics.ordered.set(1 << 40);
        let health = Health::new(Arc::default(), Arc::default(), clock, Faults::default());
        let grant = policy.grant(policy.own(), &Advice::default());
        let payload = Payload::Entry(Bytes::from_static(b"x"));
        let answer = batcher.submit(&policy, policy.own(), grant, None, payload, usize::MAX);
        let _waiting = answer.unwrap();
        let mut next = pin!(batcher.next(&health, &progress, false));
        let shut = tokio::time::timeout(Duration::from_secs(3600), &mut next).await;
        assert!(shut.is_err(), "too much is ordered and not yet published");
        health.set_trouble(Program::Publish, Some(Trouble::new("no answer")));
        let taken = tokio::time::timeout(Duration::ZERO, next).await;
        assert_eq!(taken.unwrap().unwrap().jobs.len(), 1);
    }
}
