//! The queue in front of the order, and the choice of the work for one commit.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ingest::arrivals::Recorder;
use crate::ingest::commit::{ControlReply, Item, UnderWay};
use crate::ingest::in_flight::InFlights;
use order::slot::Decision;
use qos::admission::Promise;
use qos::pace::{Class, Classes};
use qos::tally::Tally;
use qos::{Admission, Cost, Job, Limits, Names, Pace, QueueTime, Schedule, Scheduler};

/// The most work that is not elastic in one commit (one entry may pass it).
const MAX_COMMIT: Cost = Cost::new(2 << 20);
/// Jobs in one commit, at most: fewer than there may be batches, if each were one.
const MAX_JOBS: usize = 64 << 10;

#[derive(Debug)]
pub(crate) enum QueuedWork {
    /// A write, and the promise that was given for it.
    Write(Item, Option<Promise>),
    /// Promised work in the durable queue: its releaser is told when it is its turn.
    Turn(oneshot::Sender<()>),
}

/// The waiting work, and the rules that decide about it.
pub(crate) struct Queue {
    pub(crate) scheduler: Scheduler<QueuedWork>,
    pub(crate) admission: Admission,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    pub(crate) flights: InFlights,
    pub(crate) arrivals: Recorder,
    pub(crate) names: Names,
    /// How much memory the waiting work takes, bytes.
    pub(crate) memory: usize,
    /// Memory of work that has left the queue and has no answer yet, bytes.
    pub(crate) under_way: Arc<AtomicUsize>,
    pub(crate) controls: VecDeque<(Decision, ControlReply)>,
    pub(crate) closed: bool,
    /// Time between two checkpoints.
    pub(crate) interval: Duration,
    /// The committer sleeps: no work waits, or none that may be committed yet. New work wakes it.
    pub(crate) parked: bool,
}

/// The work that the scheduler released for one commit.
pub(crate) struct Released {
    pub(crate) now: QueueTime,
    pub(crate) jobs: Vec<Job<Item>>,
    /// The tiers and tenants whose backlog is in it.
    pub(crate) classes: BTreeSet<Class>,
    /// Turns that were given.
    pub(crate) turns: usize,
    /// Cost of the backlogs in it.
    pub(crate) elastic: Cost,
    /// Whether others are beside them.
    pub(crate) beside_others: bool,
    pub(crate) control: Option<(Decision, ControlReply)>,
}

/// The work that may be committed now, if any; else how long it has to wait, if that is known.
pub(crate) enum Next {
    Some(Box<Released>),
    None(Option<Duration>),
    Closed,
}

/// The work of the next commit, and how long the elastic work must wait that may not be released yet. Little is done under the lock.
pub(crate) fn release(
    queue: &mut Queue,
    now: QueueTime,
    open: Cost,
    busy: bool,
) -> (Released, Option<Duration>) {
    let service = queue.admission.service();
    let flow = match queue.closed {
        _ if busy => Ok(Cost::ZERO),
        true => Ok(queue.pace.elastic()),
        false => queue.pace.flow(now, &service, queue.interval),
    };
    let elastic = flow.unwrap_or_default().min(Pace::share(open));
    let mut limits = Limits {
        total: open.min(elastic.max(MAX_COMMIT)),
        elastic,
        spent: Cost::ZERO,
        urgent_until: queue.admission.pressing(now),
    };
    let mut released = Released {
        now,
        jobs: Vec::new(),
        classes: BTreeSet::new(),
        turns: 0,
        elastic: Cost::ZERO,
        beside_others: false,
        control: queue.controls.pop_front(),
    };
    let (mut chunks, mut spent, mut classes) = (0, Cost::ZERO, Classes::default());
    while let Some(job) = queue.scheduler.next(now, &mut limits) {
        let share = &mut queue.tally.of(job.tier, job.tenant).share;
        share.entries += job.entries;
        share.bytes += job.bytes;
        classes.note((job.tier, job.tenant), limits.spent > spent);
        spent = limits.spent;
        chunks += usize::from(job.entries > 1);
        match job.payload {
            QueuedWork::Turn(go) => {
                released.turns += 1;
                let _ = go.send(());
            }
            QueuedWork::Write(mut item, promise) => {
                let memory = item.memory();
                queue.memory -= memory;
                item.under_way = Some(UnderWay::begin(&queue.under_way, memory));
                if let Some(promise) = promise {
                    queue
                        .admission
                        .release(promise.due, Cost::of(job.entries, job.bytes));
                }
                released.jobs.push(Job {
                    tier: job.tier,
                    tenant: job.tenant,
                    entries: job.entries,
                    bytes: job.bytes,
                    arrived: job.arrived,
                    deadline: job.deadline,
                    payload: item,
                });
            }
        }
        // Each chunk may be a batch of its own.
        if released.jobs.len() >= MAX_JOBS || chunks + 96 > order::MAX_BATCHES {
            break;
        }
    }
    released.elastic = spent;
    released.beside_others = classes.beside_others(!queue.scheduler.is_empty());
    released.classes = classes.backlogs();
    queue.pace.taken(spent);
    (released, flow.err())
}
