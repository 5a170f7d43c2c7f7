//! The search indexes of this server.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::indexes::{Indexes, View};
use engine::Log;

/// A family of gauges: its name, what it means, and how to read it.
type Gauge = (&'static str, &'static str, fn(&View) -> u64);

const GAUGES: &[Gauge] = &[
    (
        "rekor_index_position",
        "Entries in the search index of this server",
        |view| view.position.get(),
    ),
    (
        "rekor_index_lag",
        "Published entries that are not in the search index of this server yet",
        |view| view.lag,
    ),
    (
        "rekor_index_behind_seconds",
        "How long there have been entries that are not in the search index of this server yet",
        |view| view.behind.as_secs(),
    ),
    (
        "rekor_index_trouble",
        "1 while the search index of this server is not extended",
        |view| u64::from(view.trouble.is_some()),
    ),
];

pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    logs: &[Arc<Log>],
    indexes: &Indexes,
) -> fmt::Result {
    let views: Vec<_> = logs
        .iter()
        .filter_map(|log| Some((log.name(), indexes.view(log)?)))
        .collect();
    for (name, help, read) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (log, view) in &views {
            let value = i64::try_from(read(view)).unwrap_or(i64::MAX);
            family
                .encode_family(&[("log", *log)])?
                .encode_gauge(&value)?;
        }
    }
    Ok(())
}
