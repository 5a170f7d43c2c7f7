//! This process's work between its release and its publication: it shows the measured rate, and whether promises were kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::QosMetrics;
use qos::rate::Publication;
use qos::{Cost, QueueTime, TierId};
use tlog::{GlobalIndex, UnixMillis};

/// Entries that came at about the same time with the same promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivalGroup {
    pub(crate) entries: u64,
    pub(crate) arrived: QueueTime,
    pub(crate) deadline: Option<QueueTime>,
}

/// A batch that was ordered.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Global index after its last entry.
    pub(crate) end: GlobalIndex,
    pub(crate) tier: TierId,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) released: QueueTime,
    pub(crate) groups: Vec<ArrivalGroup>,
}

/// Groups closer together than this are one.
const SAME: Duration = Duration::from_millis(1);

fn same(one: QueueTime, other: QueueTime) -> bool {
    one.since(other).max(other.since(one)) < SAME
}

impl InFlight {
    pub(crate) fn push(&mut self, group: ArrivalGroup) {
        self.entries += group.entries;
        if let Some(last) = self.groups.last_mut()
            && group.deadline.is_some() == last.deadline.is_some()
            && same(group.arrived, last.arrived)
            && same(
                group.deadline.unwrap_or_default(),
                last.deadline.unwrap_or_default(),
            )
        {
            last.entries += group.entries;
            last.arrived = last.arrived.min(group.arrived);
            last.deadline = last.deadline.min(group.deadline);
            return;
        }
        self.groups.push(group);
    }
}

/// All batches that are not published, by their end.
#[derive(Debug, Default)]
pub(crate) struct InFlights(VecDeque<InFlight>);

impl InFlights {
    pub(crate) fn push(&mut self, flight: InFlight) {
        // The committer's come in the order of the log; promised work may have been ordered by another one.
        let at = self.0.iter().rposition(|f| f.end <= flight.end);
        self.0.insert(at.map_or(0, |at| at + 1), flight);
    }

    /// Called when everything below a global index is published. Returns which of it was this process's work.
    pub(crate) fn published(
        &mut self,
        now: QueueTime,
        below: GlobalIndex,
        metrics: &mut QosMetrics,
    ) -> Option<Publication> {
        let mut all = Publication::default();
        while let Some(flight) = self.0.pop_front_if(|f| f.end <= below) {
            all.entries += flight.entries;
            all.bytes += flight.bytes;
            all.latency = all.latency.max(now.since(flight.released));
            let tier = metrics.tier(flight.tier);
            for group in flight.groups {
                tier.published(now, group.arrived, group.deadline, group.entries);
            }
        }
        (all.entries > 0).then_some(all)
    }
}

/// Promises of one batch that this server gave or found, while it is not ordered.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) tier: Arc<str>,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// When the first came, milliseconds since the Unix epoch.
    pub(crate) arrived: UnixMillis,
    /// The time by which they must be published.
    pub(crate) deadline: UnixMillis,
    /// As admission counts them, and their cost.
    pub(crate) due: Vec<(qos::admission::Promise, Cost)>,
}
