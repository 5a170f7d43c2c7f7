//! Metrics of secondaries and witnesses. Their names come from the configuration, so labels are bounded by it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::spread;
use engine::{Log, SecondaryState};

/// Encodes them for all logs.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, logs: &[Arc<Log>]) -> fmt::Result {
    let views: Vec<_> = logs
        .iter()
        .map(|log| (log, log.peers().secondaries()))
        .collect();
    type Sign = fn(&SecondaryState) -> bool;
    let signs: [(&str, &str, Sign); 2] = [
        (
            "secondary_alarm",
            "1: this secondary has seen two roots for one size",
            |state| state.alarm.is_some(),
        ),
        (
            "secondary_trouble",
            "1: copying to this secondary is stuck",
            |state| state.trouble.is_some(),
        ),
    ];
    for (name, help, sign) in signs {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (log, secondaries) in &views {
            for (secondary, state) in secondaries {
                let labels = [("log", log.name()), ("secondary", secondary)];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&i64::from(sign(state)))?;
            }
        }
    }
    let mut family = encoder.encode_descriptor(
        "witness_seconds",
        "From the request to the verified cosignature",
        None,
        MetricType::Histogram,
    )?;
    for log in logs {
        log.peers().witnesses(|all| {
            all.iter().try_for_each(|(witness, counts)| {
                let labels = [("log", log.name()), ("witness", witness)];
                spread(family.encode_family(&labels)?, &counts.seconds)
            })
        })?;
    }
    let mut family = encoder.encode_descriptor(
        "witness_failures",
        "Requests for a cosignature that brought none, by reason",
        None,
        MetricType::Counter,
    )?;
    for log in logs {
        log.peers().witnesses(|all| {
            all.iter().try_for_each(|(witness, counts)| {
                counts.failures.iter().try_for_each(|(reason, count)| {
                    let labels = [
                        ("log", log.name()),
                        ("witness", witness),
                        ("reason", reason),
                    ];
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(count, None)
                })
            })
        })?;
    }
    Ok(())
}
