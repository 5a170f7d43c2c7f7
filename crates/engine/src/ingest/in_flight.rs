//! This process's work between its release and its publication: it shows the measured rate, and whether promises were kept.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::metrics::QosMetrics;
use qos::TierId;
use qos::rate::Publication;

/// Entries that came at about the same time with the same promise, microseconds of the queue's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivalGroup {
    pub(crate) entries: u64,
    pub(crate) arrived: u64,
    pub(crate) deadline: Option<u64>,
}

/// A batch that was ordered.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Global index after its last entry.
    pub(crate) end: u64,
    pub(crate) tier: TierId,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) released: u64,
    pub(crate) runs: Vec<ArrivalGroup>,
}

/// Runs closer together than this are one, microseconds.
const SAME: u64 = 1_000;

impl InFlight {
    pub(crate) fn push(&mut self, run: ArrivalGroup) {
        self.entries += run.entries;
        if let Some(last) = self.runs.last_mut()
            && run.deadline.is_some() == last.deadline.is_some()
            && run.arrived.abs_diff(last.arrived) < SAME
            && run
                .deadline
                .unwrap_or(0)
                .abs_diff(last.deadline.unwrap_or(0))
                < SAME
        {
            last.entries += run.entries;
            last.arrived = last.arrived.min(run.arrived);
            last.deadline = last.deadline.min(run.deadline);
            return;
        }
        self.runs.push(run);
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
        now: u64,
        below: u64,
        metrics: &mut QosMetrics,
    ) -> Option<Publication> {
        let mut all = Publication::default();
        while let Some(flight) = self.0.pop_front_if(|f| f.end <= below) {
            all.entries += flight.entries;
            all.bytes += flight.bytes;
            all.latency = all.latency.max(now.saturating_sub(flight.released));
            let tier = metrics.tier(flight.tier);
            for run in flight.runs {
                tier.published(now, run.arrived, run.deadline, run.entries);
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
    pub(crate) arrived: u64,
    /// When they are to be published.
    pub(crate) deadline: u64,
    /// As admission counts them, and their cost.
    pub(crate) due: Vec<(qos::admission::Promise, u64)>,
}
