//! The data plane: what writers and readers get as JSON, and why they are refused.
//!
//! Positions are global indexes unless they say otherwise.

pub mod codes;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::ShardState;

/// The answer to `POST /{log}/add` with `Accept: application/json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Global index of the entry.
    pub index: u64,
    /// The shard that the entry is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: u64,
    /// RFC 9162, section 2.1.1.
    pub leaf_hash: Hash,
}

/// The answer to `POST /{log}/add` with `Prefer: respond-async` and `Accept: application/json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promised {
    /// The id for `GET /{log}/promise/{promise}`.
    pub promise: String,
    /// When it is published at the latest, RFC 3339.
    pub deadline: String,
    /// RFC 9162, section 2.1.1.
    pub leaf_hash: Hash,
    /// A signed note that `logctl receipt verify` checks.
    pub receipt: String,
}

/// How far a promised entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromiseState {
    /// Durable, without a place yet.
    Queued,
    /// It has its place.
    Ordered,
    /// A signed checkpoint covers it.
    Published,
    /// A state of a newer server, which says no more to this version than that the promise is known.
    #[serde(other)]
    Unknown,
}

/// `GET /{log}/promise/{promise}`. The place is present once the entry is ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// How far it is.
    pub state: PromiseState,
    /// Global index of the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The shard that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Arc<str>>,
    /// Index in that shard's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_index: Option<u64>,
    /// When it was ordered, milliseconds since the Unix epoch: the log's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered_at_ms: Option<u64>,
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
    pub index: u64,
    /// How many there are.
    pub entries: u64,
}

/// The answer to `POST /{log}/add-batch`; these members are also in its problem documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Entries of this body that are in the log now.
    pub entries: u64,
    /// Entries of the upload, or of the body, up to which nothing is missing: the position to resume at.
    pub accepted: u64,
    /// Where they are, by position.
    pub ranges: Vec<Range>,
    /// The shard of the last entry.
    pub shard: Option<String>,
}

/// `GET /{log}/add-batch?upload=ID`: what is known of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many entries from its beginning are in the log: where to continue.
    pub accepted: u64,
    /// Where they are, by position.
    pub ranges: Vec<Range>,
}

/// An element of `GET /{log}/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Unique in its log.
    pub name: String,
    /// Whether it is planned, active or frozen.
    pub state: ShardState,
    /// Positive 63-bit integer, decimal (a string: JSON numbers lose precision).
    pub tree_id: String,
    /// The checkpoint origin, `ORIGIN/NAME` or `NAME.ORIGIN`.
    pub origin: String,
    /// The verifier key of its checkpoints.
    pub vkey: String,
    /// The second key of its checkpoints, of a shard of `ecdsa-p256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecdsa_vkey: Option<String>,
    /// Global index of its first entry; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_index: Option<u64>,
    /// Entries ordered into it; absent while planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

/// The answer to `GET /{log}/watermarks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermarks {
    /// Decided and durable, with a place in the log.
    pub ordered: u64,
    /// In the Merkle tree.
    pub integrated: u64,
    /// Covered by signed checkpoints.
    pub published: u64,
    /// Time of the last publication, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
}

/// `GET /{log}/entries/{index}` with `Accept: application/json`. The proof is present once the entry is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Global index of the entry.
    pub index: u64,
    /// The shard that it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: u64,
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
