//! The audit trail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, LeafIndex};

/// Proof that an entry is in the audit trail (RFC 9162 inclusion proof against a signed checkpoint). The client checks it; a
/// server that rewrites its trail can't give proofs against checkpoints that clients have pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReceipt {
    /// Index of the entry in the system log.
    #[schemars(with = "u64")]
    pub index: GlobalIndex,
    /// The shard of the system log that holds it.
    pub shard: String,
    /// Its index in that shard, for which the proof holds.
    #[schemars(with = "u64")]
    pub leaf_index: LeafIndex,
    /// The bytes of the entry, which are JSON text.
    pub entry: String,
    /// Hashes from the leaf's sibling up, hex.
    pub proof: Vec<String>,
    /// The signed checkpoint (C2SP tlog-checkpoint) that the proof leads to.
    pub checkpoint: String,
    /// Verifier key of the checkpoint (C2SP signed-note). Pin it: a key that comes with the proof proves nothing alone.
    pub vkey: String,
}

/// An entry of the audit trail: an element of `GET audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Index in the system log.
    #[schemars(with = "u64")]
    pub index: GlobalIndex,
    /// `intent`: a requested change. `outcome`: the result of an intent. `event`: anything else (a failed login, a new token).
    pub kind: String,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The actor: `uid:0`, `token:ci`, `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The action: `configure`, `rotate`, `token-create`, `login-failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Name of the log concerned; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// ID of the operation concerned; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Result of an outcome: `decided`, `unchanged`, `refused`, `not-decided`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Index of the intent, for an outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub intent: Option<GlobalIndex>,
    /// The generation after the change, for an outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Details, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET audit?before=INDEX&limit=N&log=NAME`: newest first. The whole trail, as a verifiable log, is under `audit/tree/`, in the
/// layout of the data plane (`audit/tree/shards`, `audit/tree/SHARD/checkpoint`, `…/tile/0/000`, `…/tile/entries/000`; C2SP tlog-tiles).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Number of entries in the trail.
    #[schemars(with = "u64")]
    pub size: GlobalIndex,
    /// Newest first; at most 1000.
    pub entries: Vec<AuditEntry>,
    /// The value of `before` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub next: Option<GlobalIndex>,
}
