//! The audit trail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Proof that an entry is in the audit trail (RFC 9162 inclusion proof against a signed checkpoint). What it proves is checked
/// by the client; a server that rewrites its trail can't give proofs against checkpoints that clients have pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReceipt {
    /// Index of the entry in the system log.
    pub index: u64,
    /// The shard of the system log that holds it.
    pub shard: String,
    /// Its index in that shard: what the proof is about.
    pub leaf_index: u64,
    /// The entry's bytes, which are JSON text.
    pub entry: String,
    /// Hashes from the leaf's sibling up, hex.
    pub proof: Vec<String>,
    /// The signed checkpoint (C2SP tlog-checkpoint) that the proof leads to.
    pub checkpoint: String,
    /// Verifier key of the checkpoint (C2SP signed-note). Pin it: one that comes with the proof proves nothing alone.
    pub vkey: String,
}

/// An entry of the audit trail: an element of `GET audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Index in the system log.
    pub index: u64,
    /// `intent`: asked for. `outcome`: what became of an intent. `event`: anything else (a failed login, a new token).
    pub kind: String,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Who: `uid:0`, `token:ci`, `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What is asked for: `configure`, `rotate`, `token-create`, `login-failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Name of the log that it is about; absent when it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Id of the operation that it is about; absent when it is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Of an outcome: `decided`, `unchanged`, `refused`, `not-decided`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Of an outcome: index of its intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// Of an outcome: the generation after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Details, in words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET audit?before=INDEX&limit=N&log=NAME`: newest first. The whole trail, as a verifiable log, is under `audit/tree/`, in the
/// layout of the data plane (`audit/tree/shards`, `audit/tree/SHARD/checkpoint`, `…/tile/0/000`, `…/tile/entries/000`; C2SP tlog-tiles).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Entries in the trail, in all.
    pub size: u64,
    /// Newest first; at most 1000.
    pub entries: Vec<AuditEntry>,
    /// What to send as `before` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
