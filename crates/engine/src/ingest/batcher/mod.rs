//! Adaptive group commit: entries that arrive while a commit is under way may go into the next one. No fixed wait: a lone
//! writer waits for one commit, and under load the batches grow by themselves.
//!
//! The scheduler ([`qos`]) says what goes into a commit, and in which order; the pace says how much. While too much is
//! ordered and not yet published nothing is released: the backlog waits in the batcher's queue, where urgent work can overtake it.

mod enqueue;
mod group_commit;
mod measure;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::ingest::arrivals::Recorder;
use crate::ingest::in_flight::InFlights;
use crate::ingest::release::Queue;
use qos::tally::Tally;
use qos::{Admission, Cost, Names, Pace, Policy, QosView, QueueTime, Scheduler};
use tlog::UnixMillis;

/// The queue in front of the order.
pub(crate) struct Batcher {
    queue: Mutex<Queue>,
    /// Start of its clock, which no jump of the system's clock moves.
    epoch: Instant,
    /// The clock that times of other processes are compared with.
    clock: Clock,
    wake: Notify,
    /// Wakes writers that wait for room: work was taken from the queue.
    released: Notify,
}

impl Batcher {
    /// An empty queue for a configuration, and its rules.
    pub(crate) fn new(config: &logconfig::LogConfig, clock: Clock) -> (Self, Policy) {
        let mut names = Names::default();
        let interval = config.merge.checkpoint_interval.duration();
        let policy = Policy::new(&config.qos, interval, &mut names);
        let queue = Queue {
            scheduler: Scheduler::new(&policy),
            admission: Admission::new(QueueTime::ZERO, interval),
            pace: Pace::default(),
            tally: Tally::default(),
            flights: InFlights::default(),
            arrivals: Recorder::default(),
            names,
            memory: 0,
            under_way: Arc::default(),
            controls: VecDeque::new(),
            closed: false,
            interval,
            parked: false,
        };
        let batcher = Self {
            queue: Mutex::new(queue),
            clock,
            epoch: Instant::now(),
            wake: Notify::new(),
            released: Notify::new(),
        };
        (batcher, policy)
    }

    /// Takes the rules of another configuration. Waiting work stays where it is.
    pub(crate) fn configure(&self, config: &logconfig::LogConfig) -> Policy {
        let interval = config.merge.checkpoint_interval.duration();
        let mut queue = self.queue();
        let policy = Policy::new(&config.qos, interval, &mut queue.names);
        queue.interval = interval;
        queue.scheduler.configure(&policy);
        policy
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time on the queue's clock.
    pub(crate) fn now(&self) -> QueueTime {
        QueueTime::ZERO + self.epoch.elapsed()
    }

    /// The current state of quality of service.
    pub(crate) fn view(&self, policy: &Policy) -> QosView {
        let (now, queue) = (self.now(), self.queue());
        let service = queue.admission.service();
        QosView {
            classes: queue.tally.view(now, policy, queue.scheduler.backlogs()),
            rate: service.rate,
            latency: service.latency,
            elastic: queue.pace.elastic(),
            rate_beside_others: queue.pace.rate_beside_others(),
        }
    }

    /// The recorded arrivals, for the task that stores them.
    pub(crate) fn arrivals<T>(&self, take: impl FnOnce(&mut Recorder) -> T) -> T {
        take(&mut self.queue().arrivals)
    }

    /// Cost of the largest piece of elastic work that fits into one commit, and into a promise of a second beside other work.
    pub(crate) fn piece(&self) -> Cost {
        let queue = self.queue();
        let quarter = queue.admission.service().rate / 4.0;
        queue.pace.elastic().min(Cost::whole(quarter))
    }

    /// Resolves when work was taken from the queue, when it takes no more, or after `at_most`. Ask for it before looking.
    pub(crate) fn wait_released(&self, at_most: Duration) -> impl Future<Output = ()> + Send + '_ {
        let released = self.released.notified();
        async move { drop(tokio::time::timeout(at_most, released).await) }
    }

    /// Accepts no more; queued work is still committed.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_one();
        self.released.notify_waiters();
    }
}

/// A time on the queue's clock, which shows `now` when it is `today`.
fn at(now: QueueTime, today: UnixMillis, time: UnixMillis) -> QueueTime {
    now + time.since(today) - today.since(time)
}
