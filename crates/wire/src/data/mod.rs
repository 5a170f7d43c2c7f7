//! The data plane: the JSON that writers and readers get, and the codes of refusals.
//!
//! Positions are global indexes unless they say otherwise.

pub mod codes;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash, LeafIndex, TreeSize, UnixMillis};

use crate::ShardState;

/// The answer to `POST /{log}/add` with `Accept: application/json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Global index of the entry.
    pub index: GlobalIndex,
    /// The shard that the entry is in.
    pub shard: Arc<str>,
    /// Leaf index in that shard.
    pub leaf_index: LeafIndex,
    /// RFC 9162, section 2.1.1.
    pub leaf_hash: Hash,
}

/// The answer to `POST /{log}/add` with `Prefer: respond-async` and `Accept: application/json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promised {
    /// ID of the promise, for `GET /{log}/promise/{promise}`.
    pub promise: String,
    /// The time by which the entry is published, RFC 3339.
    pub deadline: String,
    /// RFC 9162, section 2.1.1.
    pub leaf_hash: Hash,
    /// A signed note that `logctl receipt verify` checks.
    pub receipt: String,
}

/// The state of a promised entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromiseState {
    /// The entry is durable and not ordered yet.
    Queued,
    /// The entry has its global index.
    Ordered,
    /// A signed checkpoint covers the entry.
    Published,
    /// A state that a newer server has: this version knows only that the promise exists.
    #[serde(other)]
    Unknown,
}

/// `GET /{log}/promise/{promise}`. Indexes and shard are present once the entry is ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The state of the entry.
    pub state: PromiseState,
    /// Global index of the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<GlobalIndex>,
    /// The shard that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Arc<str>>,
    /// Index in that shard's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_index: Option<LeafIndex>,
    /// When it was ordered, milliseconds since the Unix epoch; the log's own claim, without a proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered_at_ms: Option<UnixMillis>,
}

/// A line of `POST /{log}/add-batch` with `application/x-ndjson`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// Bytes of the entry, in base64.
    #[serde(borrow)]
    pub entry: Cow<'a, str>,
}

/// A run of entries with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Position of its first entry in the upload, or in the body.
    pub first: u64,
    /// Global index of that entry.
    pub index: GlobalIndex,
    /// Number of entries in the range.
    pub entries: u64,
}

/// The answer to `POST /{log}/add-batch`; these members are also in its problem documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Entries of this body that are in the log now.
    pub entries: u64,
    /// Number of entries of the upload, or of the body, that are in the log without a gap: the position to resume at.
    pub accepted: u64,
    /// The ranges of these entries, by position.
    pub ranges: Vec<Range>,
    /// The shard of the last entry.
    pub shard: Option<String>,
}

/// `GET /{log}/add-batch?upload=ID`: the progress of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of entries from its beginning that are in the log: the position to continue at.
    pub accepted: u64,
    /// The ranges of these entries, by position.
    pub ranges: Vec<Range>,
}

/// An element of `GET /{log}/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The verifier key of its checkpoints.
    pub vkey: String,
    /// The second verifier key of its checkpoints, for a shard with an `ecdsa-p256` key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecdsa_vkey: Option<String>,
    /// Global index of its first entry; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_index: Option<GlobalIndex>,
    /// Entries ordered into it; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<TreeSize>,
}

/// The answer to `GET /{log}/watermarks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermarks {
    /// Entries that are durable and have their index.
    pub ordered: GlobalIndex,
    /// Entries in the Merkle trees.
    pub integrated: GlobalIndex,
    /// Entries covered by signed checkpoints.
    pub published: GlobalIndex,
    /// Time of the last publication, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
}

/// `GET /{log}/entries/{index}` with `Accept: application/json`. The proof is present once the entry is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Global index of the entry.
    pub index: GlobalIndex,
    /// The shard that it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: LeafIndex,
    /// RFC 9162, section 2.1.1.
    pub leaf_hash: Hash,
    /// Bytes of the entry, in base64.
    pub entry: String,
    /// Hashes from the leaf's sibling up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inclusion_proof: Option<Vec<Hash>>,
    /// The signed checkpoint that the proof leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}
