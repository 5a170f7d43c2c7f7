//! How the writers of a log fare, in the words of the wire.

use std::time::Duration;

use admin_api::{QosStatus, QueueStatus, Refused, TierStatus};
use config::QosConfig;
use log::Log;
use log::qos::{ClassView, QosView, REASONS};
use server_admin::HostError;

use super::EngineHost;

impl EngineHost {
    /// Quality of service of a log as it stands on this replica.
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

/// Missed promises by the tier's name.
fn missed(log: &Log) -> Vec<(String, u64)> {
    let policy = log.policy();
    let metrics = log.metrics().qos();
    let tiers = policy.tiers().iter().zip(metrics.tiers());
    tiers
        .map(|(tier, metrics)| (tier.name.to_string(), metrics.missed))
        .collect()
}

/// The tiers of the document; then those that left it, as long as they have missed promises to tell of.
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
    let refused = REASONS.iter().zip(counts.refused);
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
                reason: (*reason).to_owned(),
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
    // Saturates; what is no number is 0.
    (rate >= 1.0).then_some(rate as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use log::qos::{Backlog, Counts};

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
    fn every_tenant_has_a_row_in_its_tiers_and_what_left_is_seen_until_it_is_done() {
        let document = QosConfig::default();
        let view = QosView {
            classes: vec![class("gone", "default", 1), class("bulk", "default", 0)],
            rate: 0.0,
            latency: Duration::ZERO,
            elastic: 0,
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
        assert_eq!(refused, [(REASONS[1], 2), (REASONS[4], 1)]);
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
