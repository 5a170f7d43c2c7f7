//! Three schedulers that are simpler than the engine's, for comparison only: first come first served, strict priority, and
//! earliest deadline first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use qos::{Cost, Job, Limits, QueueTime, Schedule};

/// First come, first served.
pub(crate) struct Fifo<P>(VecDeque<Job<P>>);

/// The tier with the smallest number first; inside it, first come.
pub(crate) struct Strict<P> {
    tiers: BTreeMap<usize, VecDeque<Job<P>>>,
    jobs: usize,
}

/// The earliest deadline first; what has none comes last.
pub(crate) struct Earliest<P> {
    order: BinaryHeap<Reverse<(QueueTime, u64)>>,
    jobs: BTreeMap<u64, Job<P>>,
    next: u64,
}

impl<P> Default for Fifo<P> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<P> Default for Strict<P> {
    fn default() -> Self {
        Self {
            tiers: BTreeMap::new(),
            jobs: 0,
        }
    }
}

impl<P> Default for Earliest<P> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            jobs: BTreeMap::new(),
            next: 0,
        }
    }
}

/// Takes from the limits, as the engine's does.
fn within<P>(limits: &mut Limits, pick: impl FnOnce() -> Option<Job<P>>) -> Option<Job<P>> {
    if limits.total == Cost::ZERO {
        return None;
    }
    let job = pick()?;
    limits.total -= job.cost();
    Some(job)
}

impl<P> Schedule<P> for Fifo<P> {
    fn push(&mut self, _: QueueTime, job: Job<P>) {
        self.0.push_back(job);
    }

    fn next(&mut self, _: QueueTime, limits: &mut Limits) -> Option<Job<P>> {
        within(limits, || self.0.pop_front())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<P> Schedule<P> for Strict<P> {
    fn push(&mut self, _: QueueTime, job: Job<P>) {
        self.jobs += 1;
        self.tiers
            .entry(job.tier.index())
            .or_default()
            .push_back(job);
    }

    fn next(&mut self, _: QueueTime, limits: &mut Limits) -> Option<Job<P>> {
        let tiers = &mut self.tiers;
        let job = within(limits, || tiers.values_mut().find_map(VecDeque::pop_front))?;
        self.jobs -= 1;
        Some(job)
    }

    fn len(&self) -> usize {
        self.jobs
    }
}

impl<P> Schedule<P> for Earliest<P> {
    fn push(&mut self, _: QueueTime, job: Job<P>) {
        self.order
            .push(Reverse((job.deadline.unwrap_or(QueueTime::MAX), self.next)));
        self.jobs.insert(self.next, job);
        self.next += 1;
    }

    fn next(&mut self, _: QueueTime, limits: &mut Limits) -> Option<Job<P>> {
        let (order, jobs) = (&mut self.order, &mut self.jobs);
        within(limits, || {
            let Reverse((_, number)) = order.pop()?;
            jobs.remove(&number)
        })
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }
}
