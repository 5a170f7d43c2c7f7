//! Shards: their states, and requests to plan and open the next one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, TreeSize};

/// The state of a shard; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Has its origin and key; opens at a later rotation.
    Planned,
    /// Accepts the log's writes.
    Active,
    /// Accepts no more writes.
    Frozen,
}

/// A shard as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Name of the shard, unique in its log.
    pub name: String,
    /// State of the shard: planned, active or frozen.
    pub state: ShardState,
    /// Positive 63-bit integer, decimal (a string: JSON numbers lose precision).
    pub tree_id: String,
    /// The checkpoint origin, `ORIGIN/NAME` or `NAME.ORIGIN`.
    pub origin: String,
    /// The verifier key of its checkpoints (C2SP signed-note).
    pub vkey: String,
    /// The second verifier key of its checkpoints, for a shard with an `ecdsa-p256` key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecdsa_vkey: Option<String>,
    /// Global index of its first entry; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub start_index: Option<GlobalIndex>,
    /// Entries ordered into it; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub length: Option<TreeSize>,
    /// Entries covered by its signed checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub published: Option<TreeSize>,
    /// Root of the published tree, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<String>,
}

/// The answer to `GET logs/{log}/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shards {
    /// All shards of the log, oldest first.
    pub shards: Vec<Shard>,
}

/// `POST logs/{log}/rotations`. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateRequest {
    /// Name of the shard to open; the oldest planned one, or a new one by the name template, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Open the shard even if too few of the policy's witnesses know it: it is not published until they do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// `POST logs/{log}/shards`: plans a shard. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest {
    /// Name of the new shard; by the name template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
