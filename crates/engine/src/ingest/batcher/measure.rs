//! From a commit to its publication: measurements for the pace, the rate and the metrics.

use super::{Batcher, at};
use crate::ingest::in_flight::{ArrivalGroup, InFlight, Kept};
use crate::ledger::Ledger;
use qos::{CommittedWork, QueueTime};
use tlog::GlobalIndex;

/// When a commit began, and the work in it.
pub(super) struct CommitTimes {
    /// The time at which its proposals were sent.
    pub(super) started: QueueTime,
    pub(super) work: CommittedWork,
}

impl Batcher {
    /// Promised work is ordered from `start` on; all that remains is to measure when it is published.
    pub(crate) fn placed(&self, ledger: &Ledger, start: GlobalIndex, kept: &Kept) {
        let (now, today) = (self.now(), self.clock.now());
        {
            let mut queue = self.queue();
            let (tier, _) = queue.names.class(&kept.tier, "");
            let mut flight = InFlight {
                end: start,
                tier,
                entries: 0,
                bytes: kept.bytes,
                released: now,
                groups: Vec::new(),
            };
            flight.push(ArrivalGroup {
                entries: kept.entries,
                arrived: at(now, today, kept.arrived),
                deadline: Some(at(now, today, kept.deadline)),
            });
            flight.end += flight.entries;
            let run = flight.groups[0];
            let mut metrics = ledger.metrics.qos();
            metrics
                .tier(tier)
                .ordered(now, now, run.arrived, run.entries);
            queue.flights.push(flight);
        }
        // It may have been published in the meantime.
        self.published(ledger, GlobalIndex::new(ledger.metrics.published.get()));
    }

    /// Notes a commit: for the pace, the rate and the metrics.
    pub(super) fn committed(
        &self,
        ledger: &Ledger,
        now: QueueTime,
        commit: CommitTimes,
        flights: Vec<InFlight>,
    ) {
        let mut queue = self.queue();
        let took = now.since(commit.started);
        queue.pace.committed(now, took, &commit.work);
        let mut metrics = ledger.metrics.qos();
        for flight in flights {
            let tier = metrics.tier(flight.tier);
            for run in &flight.groups {
                tier.ordered(now, flight.released, run.arrived, run.entries);
            }
            queue.flights.push(flight);
        }
    }

    /// Called when everything below a global index is published.
    pub(crate) fn published(&self, ledger: &Ledger, below: GlobalIndex) {
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
}
