//! Changes, as asked for and as they went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AuditReceipt, Difference, Finding, Replica};

/// What kind of change an operation makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A new configuration document.
    #[default]
    Configure,
    /// The active shard froze and the next one opened.
    Rotate,
    /// A shard was planned.
    Plan,
    /// The log stopped taking writes.
    Freeze,
    /// The log takes writes again.
    Unfreeze,
    /// The log was created.
    Create,
    /// The log was hidden; its data is kept.
    Delete,
    /// A deleted log is there again.
    Undelete,
    /// An unconfirmed change was taken back, by the server itself.
    Revert,
}

/// How far an operation got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Nothing to do: what was asked for already runs.
    #[default]
    Unchanged,
    /// A preview; nothing was changed.
    Planned,
    /// Decided, but not every live replica runs it yet.
    Decided,
    /// Every live replica runs it.
    Done,
    /// It runs, and is reverted unless somebody confirms it in time; see `confirmBy`.
    Unconfirmed,
    /// It ran, nobody confirmed it, and the settings before it run again; see `revertedBy`.
    Reverted,
    /// Refused; nothing was changed.
    Refused,
}

/// One change, as asked for and as it went: the answer to every write, and `GET operations/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Id of the operation: 32 hex digits.
    pub id: String,
    /// The log it changes.
    pub log: String,
    /// What kind of change it makes.
    pub action: Action,
    /// How far it got.
    pub state: OperationState,
    /// The generation before it.
    pub base_generation: u64,
    /// The generation after it.
    pub generation: u64,
    /// The entity tag after it.
    pub etag: String,
    /// When it was decided, RFC 3339; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// The global index at which it took effect; absent when nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_index: Option<u64>,
    /// Who asked (`uid:0`, `token:ci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The reason that the caller gave, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Index of its intent in the system log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_index: Option<u64>,
    /// Proof that its intent is in the audit trail; only in the answer to the write itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
    /// Until when it must be confirmed over a new connection, RFC 3339; afterwards it is reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_by: Option<String>,
    /// The operation that reverted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<String>,
    /// What changed, or would.
    pub differences: Vec<Difference>,
    /// Each live replica and whether it runs the result.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    /// The last signed checkpoint of a frozen log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What will not go as its author may expect, although the change can be made; only in the answer to the write itself and to
    /// its preview.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// `GET operations?log=NAME`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// Newest first, at most 100.
    pub operations: Vec<Operation>,
}
