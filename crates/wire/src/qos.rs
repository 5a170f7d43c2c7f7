//! Quality of service: the state of the queues, and the simulation of other settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Difference, Watermarks};

/// `GET logs/{log}/qos`: the queues of a log's writers on the replica that answers. Counts are since its start: two answers
/// give a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QosStatus {
    /// Name of the log.
    pub log: String,
    /// The generation of the configuration that has these tiers and tenants.
    pub generation: u64,
    /// Time of the reading, RFC 3339 with milliseconds.
    pub time: String,
    /// The positions of the log on this replica.
    pub watermarks: Watermarks,
    /// Measured publication rate of this replica in bytes per second, where each entry adds a fixed number of bytes; absent
    /// while nothing was measured. Admission is based on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_bytes_per_second: Option<u64>,
    /// Measured time from the release of an entry to its publication.
    pub publish_latency_millis: u64,
    /// The tiers, in the order of the document.
    pub tiers: Vec<TierStatus>,
    /// Each tenant in each tier that it may use, in the order of the document.
    pub queues: Vec<QueueStatus>,
}

/// The state of a tier.
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
    /// How long the oldest of them has waited; absent when none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_wait_millis: Option<u64>,
    /// Entries that were accepted.
    pub accepted: u64,
    /// Entries that were refused.
    pub refused: Vec<Refused>,
    /// Entries that were ordered.
    pub ordered: u64,
}

/// Refused entries, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The reason, a stable identifier in kebab-case.
    pub reason: String,
    /// How many entries were refused for this reason.
    pub entries: u64,
}

/// The answer to `POST logs/{log}/qos/simulate`: the recorded arrivals, once through the settings that run and once through
/// those of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Name of the log.
    pub log: String,
    /// The generation that it was compared with.
    pub generation: u64,
    /// Start of the replayed arrivals, RFC 3339.
    pub from: String,
    /// End of the replayed arrivals, RFC 3339.
    pub until: String,
    /// Entries that arrived in that time; with 0 the simulation says nothing.
    pub arrived: u64,
    /// The publication rate of the simulation, bytes per second: the one that is measured now.
    pub published_bytes_per_second: u64,
    /// The differences between the settings; empty when they are the same.
    pub differences: Vec<Difference>,
    /// The tiers of both, the running ones first.
    pub tiers: Vec<SimulatedTier>,
}

/// A tier with the running settings and with those of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedTier {
    /// Name of the tier in either document.
    pub tier: String,
    /// Figures with the running settings; absent for a new tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<SimulatedFigures>,
    /// Figures with the settings of the body; absent for a removed tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SimulatedFigures>,
}

/// The figures of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedFigures {
    /// Entries that were accepted.
    pub accepted: u64,
    /// Entries that were refused.
    pub refused: u64,
    /// Half of the accepted entries were published within this time.
    pub p50_wait_millis: u64,
    /// 99 % of the accepted entries were published within this time.
    pub p99_wait_millis: u64,
    /// Accepted entries that were published later than promised.
    pub missed: u64,
}
