//! The merge: the progress of each program and each peer, and their faults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Watermarks;
use tlog::GlobalIndex;

/// `GET logs/{log}/merge`: the merge of a log, as seen by the replica that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeStatus {
    /// Name of the log.
    pub log: String,
    /// The generation of the configuration that names these nodes, secondaries and frontends.
    pub generation: u64,
    /// Time of the reading, RFC 3339 with milliseconds.
    pub time: String,
    /// The positions of the log on this replica.
    pub watermarks: Watermarks,
    /// Milliseconds since the published position last grew, while it is behind the order; 0 when it is not.
    pub lag_millis: u64,
    /// Secondaries that must have verified a size before it is published.
    pub backup_quorum: u32,
    /// Secondaries that hold everything that is published.
    pub holding: u32,
    /// Secondaries that count for the quorum now: each has answered under its key, can be reached, has no alarm, and has
    /// everything published a moment ago. With fewer than the quorum nothing more is published.
    #[serde(default)]
    pub live: u32,
    /// Storage nodes that must have a large batch before it is announced.
    pub storage_quorum: u32,
    /// Verifier key with which secondaries check positions that are not published yet; `logd secondary` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_key: Option<String>,
    /// The four programs of the merge, wherever they run.
    pub programs: Vec<ProgramStatus>,
    /// The storage nodes, in the order of the document.
    pub nodes: Vec<NodeStatus>,
    /// The secondaries, in the order of the document.
    pub secondaries: Vec<PeerStatus>,
    /// The frontends, in the order of the document.
    pub frontends: Vec<PeerStatus>,
    /// The witnesses that were asked for a cosignature.
    pub witnesses: Vec<WitnessStatus>,
}

/// One of the four programs of the merge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgramStatus {
    /// Name of the program: integrate, replicate, publish or distribute.
    pub program: String,
    /// Whether the replica that answers runs it; otherwise another process does, or none.
    pub here: bool,
    /// The fault that stops it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A storage node, as seen by the replica that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The name that the configuration gives the storage node.
    pub name: String,
    /// Whether it answers without faults.
    pub up: bool,
    /// Objects that it missed and still lacks.
    pub missed: u64,
    /// Objects that were written to it again since the server's start.
    pub repaired: u64,
    /// The configuration does not name it any more, and it may have batches that are not published yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// The fault of the storage node, if any.
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
    /// Incarnation of a secondary: the name of its storage, another one after a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Global index up to which it has everything; absent while it has nothing of the newest shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub position: Option<GlobalIndex>,
    /// Milliseconds since its position last grew while it is behind; 0 when it is not.
    pub lag_millis: u64,
    /// Why it makes no progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Alarm of a secondary: it saw, or showed, another root for the same size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// Why a secondary does not count for the quorum now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

/// A witness, and the result of the last request to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WitnessStatus {
    /// Its name in the policy.
    pub name: String,
    /// Why it did not cosign the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
