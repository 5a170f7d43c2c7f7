//! Quality of service of a log, and the simulation of other settings, in the types of the wire.
//!
//! What must never happen: a simulation takes the server's time from its writers for long. One runs at a time, on a thread of its own, and
//! the engine bounds its steps.

use std::sync::Arc;
use std::time::Duration;

use engine::Log;
use logconfig::{LogConfig, QosConfig, diff};
use qos::simulate::{TierOutcome, simulate};
use qos::{ClassView, QosView, RefusalReason};
use server_admin::HostError;
use wire::{
    QosStatus, QueueStatus, Refused, SimulatedFigures, SimulatedTier, Simulation, TierStatus,
};

use super::EngineHost;
use crate::clock::now_ms;
use crate::rfc3339::rfc3339;
use tlog::UnixMillis;

/// The longest simulation; clients give up after this.
const SIMULATION_TIMEOUT: Duration = Duration::from_secs(60);

impl EngineHost {
    /// The current quality of service of a log on this replica.
    pub(super) fn fares(&self, log: &str) -> Result<QosStatus, HostError> {
        let log = self.find(log)?;
        let (document, _) = log.configuration();
        let status = self.describe(&log);
        let view = log.qos();
        let missed = missed(&log);
        let now = jiff::Timestamp::now();
        Ok(QosStatus {
            log: status.log,
            generation: status.generation,
            time: format!("{now:.3}"),
            watermarks: status.watermarks,
            published_bytes_per_second: per_second(view.rate),
            publish_latency_millis: millis(view.latency),
            tiers: tiers(&document.qos, &missed),
            queues: queues(&document.qos, &view),
        })
    }
}

impl EngineHost {
    /// Simulates the settings of `document` with the arrivals of that last time, next to the running settings.
    pub(super) async fn replayed(
        &self,
        log: &str,
        document: LogConfig,
        since: Duration,
    ) -> Result<Simulation, HostError> {
        let log = self.find(log)?;
        let busy = |_| {
            let why = "a simulation is under way; ask again when it is done";
            HostError::Unavailable(why.to_owned())
        };
        let turn = Arc::clone(&self.simulations)
            .try_acquire_owned()
            .map_err(busy)?;
        let (running, _) = log.configuration();
        let arrivals = log.arrivals(since).await;
        let arrivals = arrivals.map_err(|error| HostError::Unavailable(error.to_string()))?;
        // The current minute is not replayed: its arrivals are stored when it is over.
        let now = now_ms();
        let until = UnixMillis::new(now - now % 60_000);
        let mut answer = Simulation {
            log: log.name().to_owned(),
            generation: running.generation.unwrap_or(0),
            from: rfc3339(UnixMillis::new(now) - since),
            until: rfc3339(until),
            arrived: arrivals.iter().map(|arrival| arrival.entries).sum(),
            // Shards are not simulated.
            differences: diff(&running, &with_settings(&running, &document))
                .into_iter()
                .map(Into::into)
                .collect(),
            ..Simulation::default()
        };
        let (before, mut after) = (log.machine(), log.machine());
        after.interval = document.merge.checkpoint_interval.duration();
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let before = simulate(&arrivals, &running.qos, &before);
            (before, simulate(&arrivals, &document.qos, &after))
        });
        let long = |_| {
            let why = "the simulation takes too long; ask for a shorter time";
            HostError::Unavailable(why.to_owned())
        };
        let done = tokio::time::timeout(SIMULATION_TIMEOUT, work)
            .await
            .map_err(long)?;
        let (before, after) = done.map_err(|error| HostError::Internal(error.to_string()))?;
        answer.published_bytes_per_second = before.rate;
        answer.tiers = beside(&before.tiers, &after.tiers);
        Ok(answer)
    }
}

/// The running configuration, with those settings of a document that a simulation uses.
fn with_settings(running: &LogConfig, document: &LogConfig) -> LogConfig {
    LogConfig {
        qos: document.qos.clone(),
        merge: document.merge.clone(),
        ..running.clone()
    }
}

/// The tiers of both, those that run first.
fn beside(before: &[TierOutcome], after: &[TierOutcome]) -> Vec<SimulatedTier> {
    let find = |tiers: &[TierOutcome], name: &str| {
        let found = tiers.iter().find(|outcome| outcome.tier == name);
        found.map(figures)
    };
    let names = before.iter().chain(after).map(|outcome| &outcome.tier);
    let mut tiers: Vec<SimulatedTier> = Vec::new();
    for name in names {
        if tiers.iter().all(|tier| tier.tier != *name) {
            tiers.push(SimulatedTier {
                tier: name.clone(),
                before: find(before, name),
                after: find(after, name),
            });
        }
    }
    tiers
}

fn figures(outcome: &TierOutcome) -> SimulatedFigures {
    SimulatedFigures {
        accepted: outcome.accepted,
        refused: outcome.refused,
        p50_wait_millis: millis(outcome.p50_wait),
        p99_wait_millis: millis(outcome.p99_wait),
        missed: outcome.missed,
    }
}

/// Missed promises by the tier's name.
fn missed(log: &Log) -> Vec<(String, u64)> {
    let policy = log.policy();
    let metrics = log.metrics().qos();
    let tiers = policy.tiers().iter().zip(metrics.tiers());
    tiers
        .map(|(tier, metrics)| (tier.name.to_string(), metrics.missed))
        .collect()
}

/// The tiers of the document; then those that were removed from it, as long as they have missed promises.
fn tiers(document: &QosConfig, missed: &[(String, u64)]) -> Vec<TierStatus> {
    let of = |name: &str| {
        let found = missed.iter().find(|(tier, _)| tier == name);
        found.map_or(0, |(_, missed)| *missed)
    };
    let there = |name: &str| document.tiers.iter().any(|tier| tier.name.as_str() == name);
    let gone = missed
        .iter()
        .filter(|(tier, missed)| *missed > 0 && !there(tier))
        .map(|(tier, _)| tier.as_str());
    document
        .tiers
        .iter()
        .map(|tier| tier.name.as_str())
        .chain(gone)
        .map(|tier| TierStatus {
            tier: tier.to_owned(),
            missed: of(tier),
        })
        .collect()
}

/// Each tenant in each tier that it may use; then what else there is: work of a tier or tenant that left the document keeps its
/// promise, and is seen until it is done.
fn queues(document: &QosConfig, view: &QosView) -> Vec<QueueStatus> {
    let may: Vec<(&str, &str)> = document
        .tiers
        .iter()
        .flat_map(|tier| {
            let tenants = document.tenants.iter();
            let tenants = tenants.filter(|tenant| tenant.tiers.contains(&tier.name));
            tenants.map(|tenant| (tier.name.as_str(), tenant.name.as_str()))
        })
        .collect();
    let is = |class: &ClassView, (tier, tenant): (&str, &str)| {
        *class.tier == *tier && *class.tenant == *tenant
    };
    let known = may.iter().map(|&(tier, tenant)| {
        let class = view.classes.iter().find(|class| is(class, (tier, tenant)));
        class.map_or_else(
            || QueueStatus {
                tier: tier.to_owned(),
                tenant: tenant.to_owned(),
                ..QueueStatus::default()
            },
            queue,
        )
    });
    let others = view
        .classes
        .iter()
        .filter(|class| !may.iter().any(|&row| is(class, row)))
        .map(queue);
    known.chain(others).collect()
}

fn queue(class: &ClassView) -> QueueStatus {
    let counts = &class.counts;
    let refused = RefusalReason::ALL.iter().zip(counts.refused);
    QueueStatus {
        tier: class.tier.to_string(),
        tenant: class.tenant.to_string(),
        queued_entries: class.queue.entries,
        queued_bytes: class.queue.bytes,
        oldest_wait_millis: (class.queue.entries > 0).then(|| millis(class.oldest)),
        accepted: counts.accepted,
        refused: refused
            .filter(|(_, entries)| *entries > 0)
            .map(|(reason, entries)| Refused {
                reason: reason.to_string(),
                entries,
            })
            .collect(),
        ordered: counts.share.entries,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A measured rate; none before the first measurement.
fn per_second(rate: f64) -> Option<u64> {
    // Saturates; a value that is not a number becomes 0.
    (rate >= 1.0).then_some(rate as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use qos::{Backlog, Counts};

    use super::*;

    fn class(tier: &str, tenant: &str, entries: u64) -> ClassView {
        ClassView {
            tier: Arc::from(tier),
            tenant: Arc::from(tenant),
            queue: Backlog {
                entries,
                bytes: entries * 10,
            },
            oldest: Duration::from_millis(7),
            counts: Counts {
                accepted: 9,
                refused: [0, 2, 0, 0, 1],
                share: Backlog {
                    entries: 4,
                    bytes: 40,
                },
            },
        }
    }

    #[test]
    fn tiers_of_both_settings_stand_beside_each_other() {
        let outcome = |tier: &str, accepted| TierOutcome {
            tier: tier.to_owned(),
            accepted,
            p99_wait: Duration::from_millis(12),
            ..TierOutcome::default()
        };
        let tiers = beside(
            &[outcome("fast", 1), outcome("gone", 2)],
            &[outcome("new", 3), outcome("fast", 4)],
        );
        let seen: Vec<_> = tiers
            .iter()
            .map(|tier| {
                let accepted = |figures: Option<SimulatedFigures>| figures.map(|f| f.accepted);
                (
                    tier.tier.as_str(),
                    accepted(tier.before),
                    accepted(tier.after),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("fast", Some(1), Some(4)),
                ("gone", Some(2), None),
                ("new", None, Some(3))
            ]
        );
        assert_eq!(tiers[0].after.unwrap().p99_wait_millis, 12);
    }

    #[test]
    fn every_tenant_has_a_row_in_its_tiers_and_what_left_is_seen_until_it_is_done() {
        let document = QosConfig::default();
        let view = QosView {
            classes: vec![class("gone", "default", 1), class("bulk", "default", 0)],
            rate: 0.0,
            latency: Duration::ZERO,
            elastic: qos::Cost::ZERO,
            rate_beside_others: None,
        };
        let rows = queues(&document, &view);
        let uses: usize = document
            .tenants
            .iter()
            .map(|tenant| tenant.tiers.len())
            .sum();
        assert_eq!(rows.len(), uses + 1);
        let bulk = rows
            .iter()
            .find(|row| (row.tier.as_str(), row.tenant.as_str()) == ("bulk", "default"))
            .unwrap();
        assert_eq!((bulk.accepted, bulk.ordered), (9, 4));
        assert_eq!(bulk.oldest_wait_millis, None);
        let refused: Vec<_> = bulk
            .refused
            .iter()
            .map(|refused| (refused.reason.as_str(), refused.entries))
            .collect();
        assert_eq!(refused, [("byte-rate", 2), ("queue", 1)]);
        let gone = rows.last().unwrap();
        assert_eq!((gone.tier.as_str(), gone.queued_entries), ("gone", 1));
        assert_eq!(gone.oldest_wait_millis, Some(7));

        let missed = [
            ("gone".to_owned(), 3),
            ("bulk".to_owned(), 1),
            ("old".to_owned(), 0),
        ];
        let tiers = tiers(&document, &missed);
        assert_eq!(tiers.len(), document.tiers.len() + 1);
        assert_eq!(tiers.last().map(|tier| tier.missed), Some(3));
        assert_eq!(per_second(0.0), None);
        assert_eq!(per_second(f64::NAN), None);
        assert_eq!(per_second(20_000.7), Some(20_000));
    }
}
