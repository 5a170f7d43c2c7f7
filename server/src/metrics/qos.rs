//! Metrics of quality of service: per log, tier and tenant. Tenants come from the configuration, so labels are bounded by it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::spread;
use engine::{Histogram, Log, TierMetrics};
use qos::{ClassView, Policy, QosView, RefusalReason};

/// A number of a log; `None` while there is none.
type Level = (&'static str, &'static str, fn(&QosView) -> Option<f64>);

const LEVELS: &[Level] = &[
    (
        "queued_entries",
        "Entries waiting to be committed",
        |view| {
            let waiting = view.classes.iter().map(|class| class.queue.entries);
            Some(waiting.sum::<u64>() as f64)
        },
    ),
    (
        "service_bytes_per_second",
        "What can be published, as measured; each entry counts for its bytes and 128 more",
        |view| Some(view.rate),
    ),
    (
        "service_latency_seconds",
        "From the release of work to its publication, as measured",
        |view| Some(view.latency.as_secs_f64()),
    ),
    (
        "backlog_commit_bytes",
        "What may go into one commit of backlogs",
        |view| Some(view.elastic.as_f64()),
    ),
    (
        "backlog_bytes_per_second",
        "What backlogs flow with, while they are slowed down for others",
        |view| view.rate_beside_others,
    ),
];

/// A number of one tenant in one tier.
type Number = (&'static str, &'static str, fn(&ClassView) -> u64);

const GAUGES: &[Number] = &[
    ("queue_entries", "Entries that wait for the order", |c| {
        c.queue.entries
    }),
    ("queue_bytes", "Bytes that wait for the order", |c| {
        c.queue.bytes
    }),
];

const SHARES: &[Number] = &[
    ("share_entries", "Entries released to the order", |c| {
        c.counts.share.entries
    }),
    ("share_bytes", "Bytes released to the order", |c| {
        c.counts.share.bytes
    }),
];

/// The stages of an entry, each from its acceptance.
type Stage = (&'static str, fn(&TierMetrics) -> &Histogram);

const STAGES: &[Stage] = &[
    ("queued", |m| &m.queued),
    ("ordered", |m| &m.ordered),
    ("published", |m| &m.published),
];

/// Encodes it for all logs.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, logs: &[Arc<Log>]) -> fmt::Result {
    let views: Vec<_> = logs.iter().map(|log| (log, log.qos())).collect();
    for (name, help, read) in LEVELS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (log, view) in &views {
            if let Some(value) = read(view) {
                family
                    .encode_family(&[("log", log.name())])?
                    .encode_gauge(&value)?;
            }
        }
    }
    let views: Vec<_> = views
        .into_iter()
        .map(|(log, view)| (log, view.classes))
        .collect();
    for (name, help, read) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (log, class) in classes(&views) {
            let value = i64::try_from(read(class)).unwrap_or(i64::MAX);
            family
                .encode_family(&labels(log, class))?
                .encode_gauge(&value)?;
        }
    }
    for (name, help, read) in SHARES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (log, class) in classes(&views) {
            counter(&mut family, &labels(log, class), read(class))?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "admission",
        "Entries that admission accepted or refused; the reason is empty for those accepted",
        None,
        MetricType::Counter,
    )?;
    for (log, class) in classes(&views) {
        let [log, tier, tenant] = labels(log, class);
        let mut decided = |decision, reason, count| {
            let labels = [
                log,
                tier,
                tenant,
                ("decision", decision),
                ("reason", reason),
            ];
            counter(&mut family, &labels, count)
        };
        decided("accepted", "", class.counts.accepted)?;
        for (reason, count) in RefusalReason::ALL.iter().zip(class.counts.refused) {
            if count > 0 {
                decided("refused", reason.as_str(), count)?;
            }
        }
    }
    let policies: Vec<_> = logs.iter().map(|log| (log, log.policy())).collect();
    let mut family = encoder.encode_descriptor(
        "commit_seconds",
        "From the acceptance of an entry until it left the queue, was ordered and durable, and was published",
        None,
        MetricType::Histogram,
    )?;
    tiers(&policies, |log, tier, metrics| {
        STAGES.iter().try_for_each(|(stage, read)| {
            let labels = [("log", log), ("tier", tier), ("stage", *stage)];
            spread(family.encode_family(&labels)?, read(metrics))
        })
    })?;
    let mut family = encoder.encode_descriptor(
        "promise_slack_seconds",
        "Time that was left of a promise when it was kept; 0 where it was missed",
        None,
        MetricType::Histogram,
    )?;
    tiers(&policies, |log, tier, metrics| {
        let labels = [("log", log), ("tier", tier)];
        spread(family.encode_family(&labels)?, &metrics.slack)
    })?;
    let mut family = encoder.encode_descriptor(
        "promise_missed",
        "Entries published later than was promised",
        None,
        MetricType::Counter,
    )?;
    tiers(&policies, |log, tier, metrics| {
        counter(&mut family, &[("log", log), ("tier", tier)], metrics.missed)
    })
}

type Views<'a> = [(&'a Arc<Log>, Vec<ClassView>)];

fn classes<'a>(views: &'a Views<'a>) -> impl Iterator<Item = (&'a str, &'a ClassView)> {
    views
        .iter()
        .flat_map(|(log, classes)| classes.iter().map(move |class| (log.name(), class)))
}

fn labels<'a>(log: &'a str, class: &'a ClassView) -> [(&'static str, &'a str); 3] {
    [
        ("log", log),
        ("tier", &class.tier),
        ("tenant", &class.tenant),
    ]
}

fn counter(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &str)],
    count: u64,
) -> fmt::Result {
    family
        .encode_family(&labels)?
        .encode_counter::<NoLabelSet, _, u64>(&count, None)
}

/// Every tier that saw something.
fn tiers(
    policies: &[(&Arc<Log>, Arc<Policy>)],
    mut encode: impl FnMut(&str, &str, &TierMetrics) -> fmt::Result,
) -> fmt::Result {
    for (log, policy) in policies {
        let metrics = log.metrics().qos();
        for (rule, metrics) in policy.tiers().iter().zip(metrics.tiers()) {
            encode(log.name(), &rule.name, metrics)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use qos::Backlog;

    use super::*;

    #[test]
    fn what_waits_is_counted_over_all_tiers() {
        let class = |entries| ClassView {
            tier: "tier".into(),
            tenant: "tenant".into(),
            queue: Backlog {
                entries,
                ..Backlog::default()
            },
            oldest: std::time::Duration::ZERO,
            counts: qos::Counts::default(),
        };
        let view = QosView {
            classes: vec![class(3), class(4)],
            rate: 0.0,
            latency: std::time::Duration::ZERO,
            elastic: qos::Cost::ZERO,
            rate_beside_others: None,
        };
        let (name, _, waiting) = LEVELS[0];
        assert_eq!((name, waiting(&view)), ("queued_entries", Some(7.0)));
    }
}
