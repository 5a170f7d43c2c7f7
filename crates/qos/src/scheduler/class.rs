//! The work of one tenant in one tier: lanes by merge delay, in each of which deadlines ascend, and late work.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Backlog, SPARSE, virtual_time};
use crate::number::micros;
use crate::{Cost, Job, QueueTime};

/// The delay that names a lane; the largest is for work without a promise.
pub(super) type LaneKey = Duration;

const NO_PROMISE: LaneKey = Duration::MAX;

#[derive(Debug)]
struct Lane<P> {
    delay: LaneKey,
    /// With the deadline by which the lane is ordered: at most the job's own, and ascending.
    jobs: VecDeque<(QueueTime, Job<P>)>,
    /// Whether the scheduler has a row for its first promise.
    listed: bool,
}

#[derive(Debug)]
pub(super) struct Class<P> {
    lanes: Vec<Lane<P>>,
    /// Late work, oldest first. It no longer raises the urgency.
    late: VecDeque<Job<P>>,
    pub(super) weight: u64,
    /// Virtual time among the tenants of the tier.
    pub(super) start: u64,
    /// Whether the tier has a row for it.
    pub(super) ready: bool,
    pub(super) jobs: usize,
    pub(super) backlog: Backlog,
}

impl<P> Default for Class<P> {
    fn default() -> Self {
        Self {
            lanes: Vec::new(),
            late: VecDeque::new(),
            weight: 1,
            start: 0,
            ready: false,
            jobs: 0,
            backlog: Backlog::default(),
        }
    }
}

/// A delay rounded down, so that there are few lanes: by at most a fifth, four lanes for each doubling.
pub(super) fn rounded(delay: Duration) -> Duration {
    let delay = micros(delay);
    let octave = delay.checked_ilog2().unwrap_or(0);
    let step = octave.saturating_sub(2);
    Duration::from_micros(delay >> step << step)
}

impl<P> Class<P> {
    /// Takes a job. Returns the row of its lane if the scheduler has none.
    pub(super) fn push(
        &mut self,
        now: QueueTime,
        tier_delay: Option<Duration>,
        job: Job<P>,
    ) -> Option<(QueueTime, LaneKey)> {
        self.jobs += 1;
        self.backlog.entries += job.entries;
        self.backlog.bytes += job.bytes;
        let (due, key) = match job.deadline {
            None => (QueueTime::MAX, NO_PROMISE),
            Some(deadline) => {
                let delay = deadline.since(now);
                let key = match tier_delay {
                    Some(own) if delay >= own => own,
                    _ => rounded(delay),
                };
                (now + key, key)
            }
        };
        let lane = match self.lanes.iter_mut().position(|l| l.delay == key) {
            Some(at) => &mut self.lanes[at],
            None => {
                let lane = Lane {
                    delay: key,
                    jobs: VecDeque::new(),
                    listed: false,
                };
                let at = self.lanes.partition_point(|l| l.delay < key);
                self.lanes.insert(at, lane);
                &mut self.lanes[at]
            }
        };
        // A clock that went back would break the lane's order, so the order is kept here.
        let due = lane.jobs.back().map_or(due, |(last, _)| due.max(*last));
        lane.jobs.push_back((due, job));
        if lane.listed || key == NO_PROMISE {
            return None;
        }
        lane.listed = true;
        Some((due, key))
    }

    /// When the first promise of a lane is due; late work leaves the lane. `None`, and the lane unlisted, when it has none.
    pub(super) fn first_due(&mut self, key: LaneKey, now: QueueTime) -> Option<QueueTime> {
        let lane = self.lanes.iter_mut().find(|l| l.delay == key)?;
        while let Some((due, job)) = lane.jobs.front() {
            if job.deadline.is_none_or(|deadline| deadline >= now) {
                return Some(*due);
            }
            if let Some((_, job)) = lane.jobs.pop_front() {
                self.late.push_back(job);
            }
        }
        lane.listed = false;
        None
    }

    /// The lane whose first job is due first.
    fn soonest(&self) -> Option<usize> {
        let dues = self.lanes.iter().enumerate();
        let dues = dues.filter_map(|(at, lane)| Some((lane.jobs.front()?.0, at)));
        dues.min().map(|(_, at)| at)
    }

    /// Takes the first job of a lane, or of the class: late work first, then by deadline.
    pub(super) fn pop(&mut self, lane: Option<LaneKey>) -> Option<Job<P>> {
        let job = match lane {
            Some(key) => {
                let lane = self.lanes.iter_mut().find(|l| l.delay == key)?;
                lane.jobs.pop_front().map(|(_, job)| job)
            }
            None => match self.late.pop_front() {
                Some(job) => Some(job),
                None => {
                    let at = self.soonest()?;
                    self.lanes[at].jobs.pop_front().map(|(_, job)| job)
                }
            },
        }?;
        self.jobs -= 1;
        self.backlog.entries -= job.entries;
        self.backlog.bytes -= job.bytes;
        self.start += virtual_time(job.cost(), self.weight);
        if self.jobs == 0 {
            // The lanes stay, they are few; the memory of a burst does not.
            let large = self.lanes.iter_mut().map(|l| &mut l.jobs);
            let large = large.filter(|jobs| jobs.capacity() > 1024);
            large.for_each(|jobs| jobs.shrink_to(64));
            self.late.shrink_to(64);
        }
        Some(job)
    }

    pub(super) fn is_sparse(&self) -> bool {
        Cost::of(self.backlog.entries, self.backlog.bytes) <= SPARSE
    }

    /// Cost of the job that is next.
    pub(super) fn first_cost(&self) -> Cost {
        let first = self.late.front().or_else(|| {
            let at = self.soonest()?;
            self.lanes[at].jobs.front().map(|(_, job)| job)
        });
        first.map_or(Cost::ZERO, Job::cost)
    }

    /// When the oldest job came.
    pub(super) fn oldest(&self) -> Option<QueueTime> {
        let lanes = self.lanes.iter().filter_map(|l| l.jobs.front());
        let lanes = lanes.map(|(_, job)| job.arrived);
        lanes.chain(self.late.front().map(|j| j.arrived)).min()
    }
}
