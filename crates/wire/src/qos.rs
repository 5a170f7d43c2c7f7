//! Quality of service on the wire: how the queues are, and what other settings would have done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Difference, Watermarks};

/// `GET logs/{log}/qos`: how the writers of a log fare on the replica that answers. Counts are since its start: two answers
/// make a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QosStatus {
    /// Name of the log that it is about.
    pub log: String,
    /// The generation whose tiers and tenants these are.
    pub generation: u64,
    /// When this was read, RFC 3339 with milliseconds.
    pub time: String,
    /// How far the log is, as this replica sees it.
    pub watermarks: Watermarks,
    /// What this replica gets published, as measured: bytes a second, where each entry counts some more for itself; absent
    /// while nothing was measured. Admission goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_bytes_per_second: Option<u64>,
    /// From the release of an entry to its publication, as measured.
    pub publish_latency_millis: u64,
    /// In the order of the document.
    pub tiers: Vec<TierStatus>,
    /// Each tenant in each tier that it may use, in the order of the document.
    pub queues: Vec<QueueStatus>,
}

/// How a tier fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierStatus {
    /// Name of the tier in the document.
    pub tier: String,
    /// Entries that were published later than promised.
    pub missed: u64,
}

/// One tenant in one tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The tier whose work waits.
    pub tier: String,
    /// The tenant whose work waits.
    pub tenant: String,
    /// Entries that wait to be ordered.
    pub queued_entries: u64,
    /// Bytes of the entries that wait.
    pub queued_bytes: u64,
    /// How long the oldest of them waits; absent when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_wait_millis: Option<u64>,
    /// Entries that were accepted.
    pub accepted: u64,
    /// Entries that were refused.
    pub refused: Vec<Refused>,
    /// Entries that were ordered: what it got of what there was.
    pub ordered: u64,
}

/// Refused entries, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Why, as a stable identifier in kebab-case.
    pub reason: String,
    /// How many entries were refused for this reason.
    pub entries: u64,
}

/// The answer to `POST logs/{log}/qos/simulate`: the recorded arrivals, once through the settings that run and once through
/// those of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Name of the log that it is about.
    pub log: String,
    /// The generation that it was compared with.
    pub generation: u64,
    /// From when arrivals were replayed, RFC 3339.
    pub from: String,
    /// Until when arrivals were replayed, RFC 3339.
    pub until: String,
    /// Entries that arrived in that time; with 0 nothing can be said.
    pub arrived: u64,
    /// How much was taken to be published: bytes a second, as it is measured now.
    pub published_bytes_per_second: u64,
    /// How the settings differ; none when they are the same.
    pub differences: Vec<Difference>,
    /// The tiers of both, those that run first.
    pub tiers: Vec<SimulatedTier>,
}

/// A tier before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedTier {
    /// Name of the tier in either document.
    pub tier: String,
    /// With the settings that run; absent for a new tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<SimulatedFigures>,
    /// With the settings of the body; absent for one that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SimulatedFigures>,
}

/// What a simulation counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedFigures {
    /// Entries that were accepted.
    pub accepted: u64,
    /// Entries that were refused.
    pub refused: u64,
    /// Half of the accepted ones were published within this.
    pub p50_wait_millis: u64,
    /// 99 in 100 of them were.
    pub p99_wait_millis: u64,
    /// Accepted ones that were published later than promised.
    pub missed: u64,
}
