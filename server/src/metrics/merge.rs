//! Metrics of the merge: how far each program and each peer is. They come from the last view, a few seconds old; a scrape sends no request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use engine::{Log, MergeView, PeerView};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tlog::TreeSize;

/// A row of `merge_position`: program, node, shard, entries.
type Row<'a> = (&'static str, &'a str, &'a str, TreeSize);

fn positions(view: &MergeView) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for of in &view.shards {
        let shard = of.shard.as_str();
        rows.push(("ordered", "", shard, of.ordered));
        rows.push(("integrated", "", shard, of.integrated));
        rows.push(("published", "", shard, of.published));
        let peers = |kind, sizes: &BTreeMap<String, TreeSize>| -> Vec<_> {
            let names = match kind {
                "verified" => &view.secondaries,
                _ => &view.frontends,
            };
            let row = |peer: &PeerView| sizes.get(&peer.name).copied().unwrap_or_default();
            names.iter().map(row).collect()
        };
        let verified = peers("verified", &of.verified);
        let pushed = peers("distributed", &of.pushed);
        let secondaries = view.secondaries.iter().zip(verified);
        rows.extend(secondaries.map(|(p, size)| ("verified", p.name.as_str(), shard, size)));
        let frontends = view.frontends.iter().zip(pushed);
        rows.extend(frontends.map(|(p, size)| ("distributed", p.name.as_str(), shard, size)));
    }
    rows
}

/// All families of the merge.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, logs: &[Arc<Log>]) -> fmt::Result {
    let views: Vec<(&str, Arc<MergeView>)> = logs
        .iter()
        .map(|log| (log.name(), log.merge_seen()))
        .collect();
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);

    let help = "Entries of a shard that a program, or its peer, has done";
    let mut family = encoder.encode_descriptor("merge_position", help, None, MetricType::Gauge)?;
    for (log, view) in &views {
        for (program, node, shard, size) in positions(view) {
            let labels = [
                ("log", *log),
                ("program", program),
                ("node", node),
                ("shard", shard),
            ];
            family
                .encode_family(&labels)?
                .encode_gauge(&gauge(size.get()))?;
        }
    }
    let help = "Time since a program, or its peer, last moved, while it is behind";
    let mut family =
        encoder.encode_descriptor("merge_lag_seconds", help, None, MetricType::Gauge)?;
    for (log, view) in &views {
        let own = std::iter::once(("published", "", view.lag));
        let peers = |program, peers: &[PeerView]| {
            let rows = peers.iter().map(move |p| (program, p.name.clone(), p.lag));
            rows.collect::<Vec<_>>()
        };
        for (program, node, lag) in own {
            let labels = [("log", *log), ("program", program), ("node", node)];
            family
                .encode_family(&labels)?
                .encode_gauge(&(lag.as_secs_f64()))?;
        }
        let all = peers("verified", &view.secondaries).into_iter();
        for (program, node, lag) in all.chain(peers("distributed", &view.frontends)) {
            let labels = [("log", *log), ("program", program), ("node", node.as_str())];
            family
                .encode_family(&labels)?
                .encode_gauge(&(lag.as_secs_f64()))?;
        }
    }
    let help = "1: the secondary counts for the quorum now";
    let mut family = encoder.encode_descriptor("secondary_live", help, None, MetricType::Gauge)?;
    for (log, view) in &views {
        for peer in &view.secondaries {
            let labels = [("log", *log), ("secondary", peer.name.as_str())];
            let live = i64::from(peer.away(view.settled).is_none());
            family.encode_family(&labels)?.encode_gauge(&live)?;
        }
    }
    let help = "Secondaries that must have verified a size before it is published";
    let mut family = encoder.encode_descriptor("backup_quorum", help, None, MetricType::Gauge)?;
    for (log, view) in &views {
        let quorum = i64::from(view.quorum);
        family
            .encode_family(&[("log", *log)])?
            .encode_gauge(&quorum)?;
    }
    let help = "1: a rotation that is due is held back, see logctl status";
    let mut family = encoder.encode_descriptor("rotation_held", help, None, MetricType::Gauge)?;
    for log in logs {
        let held = i64::from(log.rotation_held().is_some());
        let labels = [("log", log.name())];
        family.encode_family(&labels)?.encode_gauge(&held)?;
    }
    let help = "1: the key of the shard that opens next was seen where clients look";
    let mut family =
        encoder.encode_descriptor("next_shard_announced", help, None, MetricType::Gauge)?;
    for log in logs {
        let labels = [("log", log.name())];
        let announced = i64::from(log.is_next_announced());
        family.encode_family(&labels)?.encode_gauge(&announced)?;
    }
    let help = "1: the storage node answers as it should";
    let mut family = encoder.encode_descriptor("storage_node_up", help, None, MetricType::Gauge)?;
    for (log, view) in &views {
        for (node, state) in &view.nodes {
            let labels = [("log", *log), ("node", node.as_str())];
            let up = i64::from(state.trouble.is_none());
            family.encode_family(&labels)?.encode_gauge(&up)?;
        }
    }
    let help = "Objects that were written again on a storage node that had missed them";
    let mut family =
        encoder.encode_descriptor("storage_node_repaired", help, None, MetricType::Counter)?;
    for (log, view) in &views {
        for (node, state) in &view.nodes {
            let labels = [("log", *log), ("node", node.as_str())];
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&state.repaired, None)?;
        }
    }
    Ok(())
}
