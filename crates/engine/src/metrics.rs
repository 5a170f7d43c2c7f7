//! The engine's counters: plain atomics, which the server exports.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qos::{QueueTime, TierId};
use store::StoreError;

/// A number that can be set.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the number by `value`.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
    /// The number as it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
    /// Adds `value` to the number.
    pub fn add(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }
    /// Subtracts `value` from the number.
    pub fn sub(&self, value: u64) {
        self.0.fetch_sub(value, Relaxed);
    }
}

/// A histogram over fixed bounds: how many observations were at most each bound, not cumulated.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    sum_micros: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_micros: AtomicU64::new(0),
        }
    }
    /// A histogram over durations, in seconds.
    pub(crate) fn seconds() -> Self {
        Self::new(SECONDS)
    }
    /// Counts one observation of `value`.
    pub(crate) fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }
    /// Counts `n` equal observations.
    pub(crate) fn observe_many(&self, value: f64, n: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(n, Relaxed);
        self.sum_micros.fetch_add((value * 1e6) as u64 * n, Relaxed);
    }
    /// Upper bounds; one more bucket has none.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }
    /// How many observations each bucket has; the last one has no bound.
    pub fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|c| c.load(Relaxed)).collect()
    }
    /// Sum of all observations.
    pub fn sum(&self) -> f64 {
        let micros = self.sum_micros.load(Relaxed) as f64;
        micros / 1e6
    }
}

const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
const ROUNDS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 64.0];

const SLACK: &[f64] = &[
    0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0,
];

/// The counters of one tier, per entry.
#[derive(Debug)]
pub struct TierMetrics {
    /// Seconds from acceptance to release from the queue (`stage="queued"`).
    pub queued: Histogram,
    /// Seconds from acceptance to the durable place (`stage="ordered"`).
    pub ordered: Histogram,
    /// Seconds from acceptance to the signed checkpoint (`stage="published"`).
    pub published: Histogram,
    /// Seconds that were left of a promise when it was kept; 0 for one that was missed.
    pub slack: Histogram,
    /// Promises that were published too late.
    pub missed: u64,
}

impl Default for TierMetrics {
    fn default() -> Self {
        Self {
            queued: Histogram::new(SECONDS),
            ordered: Histogram::new(SECONDS),
            published: Histogram::new(SECONDS),
            slack: Histogram::new(SLACK),
            missed: 0,
        }
    }
}

impl TierMetrics {
    /// Counts entries that are durable.
    pub(crate) fn ordered(
        &mut self,
        now: QueueTime,
        released: QueueTime,
        arrived: QueueTime,
        entries: u64,
    ) {
        let since = |time: QueueTime| time.since(arrived).as_secs_f64();
        self.queued.observe_many(since(released), entries);
        self.ordered.observe_many(since(now), entries);
    }

    /// Counts entries that are published.
    pub(crate) fn published(
        &mut self,
        now: QueueTime,
        arrived: QueueTime,
        deadline: Option<QueueTime>,
        entries: u64,
    ) {
        let waited = now.since(arrived).as_secs_f64();
        self.published.observe_many(waited, entries);
        if let Some(deadline) = deadline {
            let slack = deadline.since(now).as_secs_f64();
            self.slack.observe_many(slack, entries);
            if deadline < now {
                self.missed += entries;
            }
        }
    }
}

/// The counters by tier. Locked once per commit and publication, never per entry.
#[derive(Debug, Default)]
pub struct QosMetrics {
    tiers: Vec<TierMetrics>,
}

impl QosMetrics {
    /// The numbers of a tier.
    pub(crate) fn tier(&mut self, tier: TierId) -> &mut TierMetrics {
        if self.tiers.len() <= tier.index() {
            self.tiers
                .resize_with(tier.index() + 1, TierMetrics::default);
        }
        &mut self.tiers[tier.index()]
    }

    /// By number of the tier, as in [`qos::Policy::tiers`]; tiers that saw nothing may be missing at the end.
    pub fn tiers(&self) -> &[TierMetrics] {
        &self.tiers
    }
}

/// Counters of one log on this replica.
#[derive(Debug)]
pub struct LogMetrics {
    /// Commits decided by this replica.
    pub commits: Gauge,
    /// Entries acknowledged by this replica.
    pub entries: Gauge,
    /// Commits that are under way now.
    pub commits_in_flight: Gauge,
    /// Seconds from the start of a commit to its decision.
    pub commit_seconds: Histogram,
    /// Seconds from an announcement to its decision, for commits that had to announce.
    pub announced_seconds: Histogram,
    /// Proposals per commit; more than 2 without paging is a bug.
    pub commit_rounds: Histogram,
    /// Seconds that one publication took, from the cut to the signed checkpoint.
    pub publish_seconds: Histogram,
    /// Checkpoints that this replica signed.
    pub publications: Gauge,
    /// Global position of the order.
    pub ordered: Gauge,
    /// Global position of the tree.
    pub integrated: Gauge,
    /// Global position of the signed checkpoints.
    pub published: Gauge,
    /// Partial tiles and bundles deleted.
    pub partials_deleted: Gauge,
    failures: Mutex<Vec<(String, u64)>>,
    qos: Mutex<QosMetrics>,
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self {
            commits: Gauge::default(),
            entries: Gauge::default(),
            commits_in_flight: Gauge::default(),
            commit_seconds: Histogram::new(SECONDS),
            announced_seconds: Histogram::new(SECONDS),
            commit_rounds: Histogram::new(ROUNDS),
            publish_seconds: Histogram::new(SECONDS),
            publications: Gauge::default(),
            ordered: Gauge::default(),
            integrated: Gauge::default(),
            published: Gauge::default(),
            partials_deleted: Gauge::default(),
            failures: Mutex::default(),
            qos: Mutex::default(),
        }
    }
}

impl LogMetrics {
    /// The counters by tier; hold the lock briefly.
    pub fn qos(&self) -> MutexGuard<'_, QosMetrics> {
        self.qos.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Counts a failed step of a commit.
    pub fn failure(&self, step: &str, error: &StoreError) {
        let kind = match error {
            StoreError::Full(_) => "full",
            StoreError::Corrupt(_) => "corrupt",
            StoreError::TooLarge { .. } => "too_large",
            StoreError::Busy(_) | StoreError::NotYet(_) => "busy",
            StoreError::Quorum { .. } => "quorum",
            StoreError::Clock(_) => "clock",
            StoreError::Io(_) => "io",
        };
        self.failed(&format!("{step}_{kind}"));
    }
    /// Counts something that was not ordered, or a step that failed, by reason.
    pub(crate) fn failed(&self, reason: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.iter_mut().find(|(r, _)| r == reason) {
            Some((_, count)) => *count += 1,
            None => failures.push((reason.to_owned(), 1)),
        }
    }
    /// Failed steps, and works that were not ordered, by reason.
    pub fn failures(&self) -> Vec<(String, u64)> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// Counts the proposals of a commit.
    pub fn rounds(&self, rounds: u32) {
        self.commit_rounds.observe(f64::from(rounds));
    }
    /// Counts a commit of `entries` entries that took `time`.
    pub fn committed(&self, entries: u64, time: Duration) {
        self.commits.add(1);
        self.entries.add(entries);
        self.commit_seconds.observe(time.as_secs_f64());
    }
}
