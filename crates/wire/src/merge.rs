//! The merge on the wire: how far each program and each peer is, and what is lacking.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Watermarks;

/// `GET logs/{log}/merge`: the merge of a log, as the replica that answers sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeStatus {
    /// Name of the log that it is about.
    pub log: String,
    /// The generation whose nodes, secondaries and frontends these are.
    pub generation: u64,
    /// When this was read, RFC 3339 with milliseconds.
    pub time: String,
    /// How far the log is, as this replica sees it.
    pub watermarks: Watermarks,
    /// Milliseconds since the publication last moved, while it is behind the order; 0 when it is not.
    pub lag_millis: u64,
    /// Secondaries that must have verified a size before it is published.
    pub backup_quorum: u32,
    /// Secondaries that hold everything that is published.
    pub holding: u32,
    /// Secondaries that count for the quorum now: heard of under their key, reached, without an alarm, and with all that was
    /// published a moment ago. With fewer than the quorum nothing more is published.
    #[serde(default)]
    pub live: u32,
    /// Storage nodes that must have a large batch before it is announced.
    pub storage_quorum: u32,
    /// Verifier key of what the log tells its secondaries before it is published; `logd secondary` is given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_key: Option<String>,
    /// The four programs of the merge, wherever they run.
    pub programs: Vec<ProgramStatus>,
    /// In the order of the document.
    pub nodes: Vec<NodeStatus>,
    /// In the order of the document.
    pub secondaries: Vec<PeerStatus>,
    /// In the order of the document.
    pub frontends: Vec<PeerStatus>,
    /// Those that were asked.
    pub witnesses: Vec<WitnessStatus>,
}

/// One of the four programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgramStatus {
    /// integrate, replicate, publish or distribute.
    pub program: String,
    /// Whether the replica that answers runs it; else another process does, or nobody.
    pub here: bool,
    /// What holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A storage node, as the replica that answers sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The name that the configuration gives the storage node.
    pub name: String,
    /// Whether it answers as it should.
    pub up: bool,
    /// Objects that it missed and does not have yet.
    pub missed: u64,
    /// Objects that were written again since the server's start.
    pub repaired: u64,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A secondary or a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The name that the configuration gives the secondary or frontend.
    pub name: String,
    /// The address that the configuration names for it.
    pub url: String,
    /// Of a secondary: the storage whose word counts; another one after its loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Global index up to which it has everything; absent while it has nothing of the newest shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Milliseconds since it last moved, while it is behind; 0 when it is not.
    pub lag_millis: u64,
    /// Why it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Of a secondary: it saw, or showed, another root for the same size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// Of a secondary: why it does not count for the quorum now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// A witness, as it answered the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WitnessStatus {
    /// Its name in the policy.
    pub name: String,
    /// Why it did not cosign the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
