//! The counters of one stream.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::{Counter, Histogram};

/// Latencies are kept up to this; longer ones count as this long. Microseconds.
pub(super) const LONGEST_US: u64 = 3600 * 1_000_000;
/// The counters of one stream.
#[derive(Debug)]
pub(crate) struct Record {
    /// Entries of acknowledged writes.
    pub(crate) acknowledged: u64,
    /// Requests without a valid answer.
    pub(crate) broken: u64,
    /// The first of what broke, for a person.
    pub(crate) complaint: Option<String>,
    /// Entries of refused requests, by status and reason.
    pub(crate) refused: BTreeMap<(u16, String), u64>,
    /// Due, but never sent: the run ended first.
    pub(crate) unsent: u64,
    /// From due to answered.
    pub(crate) ordered: Histogram<u64>,
    /// From due to published.
    pub(crate) published: Histogram<u64>,
    /// Promises, granted and missed.
    pub(crate) promises: Promises,
    pub(crate) line: Line,
    /// Entries by granted tier.
    pub(crate) tiers: BTreeMap<Arc<str>, u64>,
    pub(super) pending: BinaryHeap<Reverse<Pending>>,
    pub(super) now: Bin,
}

/// Entries whose promise was granted, and those whose promise was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promises {
    /// A time was promised.
    pub(crate) granted: u64,
    pub(crate) kept: u64,
    /// Not published in time.
    pub(crate) missed: u64,
    /// How much the latest was late, microseconds.
    pub(crate) worst_us: u64,
}

/// A value for each interval of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) refused: Vec<u64>,
    /// 99th percentile to ordered, microseconds; 0 where nothing came.
    pub(crate) ordered_p99: Vec<u64>,
    /// 99th percentile to published, microseconds.
    pub(crate) published_p99: Vec<u64>,
}

/// The interval that is being filled.
#[derive(Debug)]
pub(super) struct Bin {
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) ordered: Histogram<u32>,
    published: Histogram<u32>,
}

/// Ordered, but not yet seen published. The first index decides the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pending {
    pub(super) first: u64,
    pub(super) entries: u64,
    pub(super) due: Duration,
    pub(super) deadline: Option<Duration>,
}

#[expect(
    clippy::expect_used,
    reason = "constant bounds, used by every test of this module"
)]
fn histogram<C: Counter>(digits: u8) -> Histogram<C> {
    Histogram::new_with_bounds(1, LONGEST_US, digits).expect("bounds of a histogram")
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Bin {
    fn new() -> Self {
        Self {
            acknowledged: 0,
            refused: 0,
            ordered: histogram(2),
            published: histogram(2),
        }
    }
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            acknowledged: 0,
            broken: 0,
            complaint: None,
            refused: BTreeMap::new(),
            unsent: 0,
            ordered: histogram(3),
            published: histogram(3),
            promises: Promises::default(),
            line: Line::default(),
            tiers: BTreeMap::new(),
            pending: BinaryHeap::new(),
            now: Bin::new(),
        }
    }

    /// Entries that are acknowledged and were not seen published.
    pub(crate) fn unpublished(&self) -> u64 {
        self.pending
            .iter()
            .map(|Reverse(pending)| pending.entries)
            .sum()
    }

    /// Closes the interval that is being filled.
    pub(super) fn turn(&mut self) {
        let p99 = |histogram: &Histogram<u32>| {
            if histogram.is_empty() {
                0
            } else {
                histogram.value_at_quantile(0.99)
            }
        };
        let Bin {
            acknowledged,
            refused,
            ordered,
            published,
        } = &mut self.now;
        self.line.acknowledged.push(std::mem::take(acknowledged));
        self.line.refused.push(std::mem::take(refused));
        self.line.ordered_p99.push(p99(ordered));
        self.line.published_p99.push(p99(published));
        ordered.reset();
        published.reset();
    }

    /// Counts what of it is published now, and gives back the rest. `unseen` is when it was last seen unpublished.
    pub(super) fn publish(
        &mut self,
        mut pending: Pending,
        published: u64,
        at: Duration,
        unseen: Duration,
    ) -> Option<Pending> {
        let covered = published.saturating_sub(pending.first).min(pending.entries);
        let took = micros(at.saturating_sub(pending.due)).max(1);
        self.published.saturating_record_n(took, covered);
        let _ = self.now.published.record_n(
            took.min(LONGEST_US),
            u32::try_from(covered).unwrap_or(u32::MAX),
        );
        if let Some(deadline) = pending.deadline {
            self.judge(deadline, unseen, covered);
        }
        pending.first += covered;
        pending.entries -= covered;
        (pending.entries > 0).then_some(pending)
    }

    /// Entries were still unpublished at `unseen`.
    pub(super) fn judge(&mut self, deadline: Duration, unseen: Duration, entries: u64) {
        if unseen > deadline {
            self.promises.missed += entries;
            self.promises.worst_us = self.promises.worst_us.max(micros(unseen - deadline));
        } else {
            self.promises.kept += entries;
        }
    }
}
