//! Shards: their states, and requests to plan and open the next one.

use logconfig::Span;
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
    /// The ECDSA key of the Rekor that the shard was imported from, under the name that its notes have. Its private key is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_vkey: Option<String>,
    /// The earliest time of an imported entry, RFC 3339: no signature of that key is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_since: Option<String>,
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
    /// Where its key was seen; absent if it was not seen, if it is gone from a place, and for a frozen shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
}

/// The places where a shard's key was seen (`POST logs/{log}/announcements`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// Since when it has been seen at all of them, RFC 3339.
    pub since: String,
    /// The places where it was seen.
    pub seen: Vec<Seen>,
}

/// A place where a shard's key was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The URL of the published file.
    pub at: String,
    /// Since when, by the server's clock, RFC 3339.
    pub since: String,
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
    /// Open the shard even if too few of the policy's witnesses know it (it is not published until they do), or if its key has not
    /// been announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Refuse unless the shard's key has been seen for this long, whatever the configuration requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
}

/// `POST logs/{log}/announcements`: the key of a shard has been seen where clients look, or is gone from there. A preview with `?dryRun=true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnnounceRequest {
    /// Name of the shard, planned or active.
    pub shard: String,
    /// Log ID of the key that was seen, base64, as a trusted root has it; it must be the shard's.
    pub key: String,
    /// The places where it was seen, by their URLs. A place that is known already keeps its time.
    pub seen_at: Vec<String>,
    /// The key is gone from these places: the record counts for nothing until the key is seen there again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// `POST logs/{log}/shards`: plans a shard. A preview with `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest {
    /// Name of the new shard; by the name template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
