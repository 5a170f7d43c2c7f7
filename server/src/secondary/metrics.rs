//! The metrics of a secondary.

use std::fmt;
use std::sync::Arc;

use mirror::Mirror;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric as _;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::process::Process;

/// The metrics of a mirror.
pub(super) fn registry(mirror: Arc<Mirror>) -> Registry {
    let mut registry = Registry::default();
    registry
        .sub_registry_with_prefix("logd")
        .register_collector(Box::new(Source(mirror)));
    registry
        .sub_registry_with_prefix("process")
        .register_collector(Box::new(Process::default()));
    registry
}

struct Source(Arc<Mirror>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let logs = self.0.status();
        type Value = fn(&mirror::OriginStatus) -> u64;
        let families: [(&str, &str, Value); 4] = [
            (
                "mirror_alarm",
                "1: the log has signed two roots for one size, or its storage failed; the secondary takes no more of it",
                |log| u64::from(log.alarm.is_some() || log.broken.is_some()),
            ),
            (
                "mirror_pending",
                "Size that the log wants to have mirrored",
                |log| log.pending.get(),
            ),
            ("mirror_entries", "Entries that are durable here", |log| {
                log.next.get()
            }),
            ("mirror_cosigned", "Size that was cosigned", |log| {
                log.mirrored.get()
            }),
        ];
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for log in &logs {
                let labels = [("origin", log.origin.as_str())];
                let value = i64::try_from(value(log)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
