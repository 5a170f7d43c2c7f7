//! The queue in front of the order, and which work one commit takes from it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ingest::arrivals::Recorder;
use crate::ingest::commit::{ControlReply, Item};
use crate::ingest::in_flight::InFlights;
use order::slot::Decision;
use qos::admission::Promise;
use qos::job::cost;
use qos::pace::{Class, Classes};
use qos::tally::Tally;
use qos::{Admission, Job, Limits, Names, Pace, Schedule, Scheduler};

/// Cost of one commit of work that is not elastic, at most (one entry may pass it).
const MAX_COMMIT: u64 = 2 << 20;
/// Jobs in one commit, at most: fewer than there may be batches, if each were one.
const MAX_JOBS: usize = 64 << 10;

#[derive(Debug)]
pub(crate) enum Waiting {
    /// A write, and the promise that was given for it.
    Write(Item, Option<Promise>),
    /// Promised work in the durable queue: its releaser is told when it is its turn.
    Turn(oneshot::Sender<()>),
}

/// The waiting work, and the rules that decide about it.
pub(crate) struct Queue {
    pub(crate) scheduler: Scheduler<Waiting>,
    pub(crate) admission: Admission,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    pub(crate) flights: InFlights,
    pub(crate) arrivals: Recorder,
    pub(crate) names: Names,
    /// How much memory the waiting work takes, bytes.
    pub(crate) memory: usize,
    pub(crate) controls: VecDeque<(Decision, ControlReply)>,
    pub(crate) closed: bool,
    /// Time between two checkpoints, microseconds.
    pub(crate) interval: u64,
    /// The committer sleeps: no work waits, or none that may be committed yet. New work wakes it.
    pub(crate) parked: bool,
}

/// The work that the scheduler released for one commit.
pub(crate) struct Released {
    pub(crate) now: u64,
    pub(crate) jobs: Vec<Job<Item>>,
    /// The tiers and tenants whose backlog is in it.
    pub(crate) classes: HashSet<Class>,
    /// Turns that were given.
    pub(crate) turns: usize,
    /// Cost of the backlogs in it.
    pub(crate) elastic: u64,
    /// Whether others are beside them.
    pub(crate) company: bool,
    pub(crate) control: Option<(Decision, ControlReply)>,
}

/// The work that may be committed now, if any; else how long it has to wait, if that is known.
pub(crate) enum Next {
    Some(Box<Released>),
    None(Option<Duration>),
    Closed,
}

/// The work of the next commit, and how long the elastic work must wait that may not be released yet. Little is done under the lock.
pub(crate) fn take(
    queue: &mut Queue,
    now: u64,
    open: u64,
    busy: bool,
) -> (Released, Option<Duration>) {
    let service = queue.admission.service();
    let flow = match queue.closed {
        _ if busy => Ok(0),
        true => Ok(queue.pace.elastic()),
        false => queue.pace.flow(now, &service, queue.interval),
    };
    let elastic = flow.unwrap_or(0).min(Pace::share(open));
    let mut limits = Limits {
        total: open.min(elastic.max(MAX_COMMIT)),
        elastic,
        spent: 0,
        urgent_until: queue.admission.pressing(now),
    };
    let mut taken = Released {
        now,
        jobs: Vec::new(),
        classes: HashSet::new(),
        turns: 0,
        elastic: 0,
        company: false,
        control: queue.controls.pop_front(),
    };
    let (mut chunks, mut spent, mut classes) = (0, 0, Classes::default());
    while let Some(job) = queue.scheduler.next(now, &mut limits) {
        let share = &mut queue.tally.of(job.tier, job.tenant).share;
        share.entries += job.entries;
        share.bytes += job.bytes;
        classes.note((job.tier, job.tenant), limits.spent > spent);
        spent = limits.spent;
        chunks += usize::from(job.entries > 1);
        match job.payload {
            Waiting::Turn(go) => {
                taken.turns += 1;
                let _ = go.send(());
            }
            Waiting::Write(item, promise) => {
                queue.memory -= item.memory();
                if let Some(promise) = promise {
                    queue
                        .admission
                        .release(promise.due, cost(job.entries, job.bytes));
                }
                taken.jobs.push(Job {
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
        if taken.jobs.len() >= MAX_JOBS || chunks + 96 > order::MAX_BATCHES {
            break;
        }
    }
    taken.elastic = spent;
    taken.company = classes.company(!queue.scheduler.is_empty());
    taken.classes = classes.backlogs();
    queue.pace.taken(spent);
    (taken, flow.err().map(Duration::from_micros))
}
