//! Changes: the request and the result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AuditReceipt, Difference, Finding, Replica};
use tlog::GlobalIndex;

/// The kind of change that an operation makes.
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
    /// The log was frozen.
    Freeze,
    /// The log was unfrozen.
    Unfreeze,
    /// The log was created.
    Create,
    /// The log was hidden; its data is kept.
    Delete,
    /// A deleted log was shown again.
    Undelete,
    /// An unconfirmed change was reverted by the server itself.
    Revert,
}

/// The state of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Nothing to do: the requested configuration already runs.
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
    /// It ran, nobody confirmed it, and the earlier settings run again; see `revertedBy`.
    Reverted,
    /// Refused; nothing was changed.
    Refused,
}

/// One change, its request and its result: the answer to every write, and `GET operations/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// ID of the operation: 32 hex digits.
    pub id: String,
    /// The log it changes.
    pub log: String,
    /// The kind of change.
    pub action: Action,
    /// The state of the operation.
    pub state: OperationState,
    /// The generation before the change.
    pub base_generation: u64,
    /// The generation after the change.
    pub generation: u64,
    /// The entity tag after the change.
    pub etag: String,
    /// When it was decided, RFC 3339; absent when nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// The global index at which it took effect; absent when nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub at_index: Option<GlobalIndex>,
    /// The actor that asked for it (`uid:0`, `token:ci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The reason that the caller gave, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Index of the intent in the system log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub audit_index: Option<GlobalIndex>,
    /// Proof that the intent is in the audit trail; only in the answer to the write itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
    /// Until when it must be confirmed over a new connection, RFC 3339; afterwards it is reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_by: Option<String>,
    /// The operation that reverted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<String>,
    /// The differences that the change makes, or would make.
    pub differences: Vec<Difference>,
    /// Each live replica and whether it runs the result.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    /// The last signed checkpoint of a frozen log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Warnings about a change that can be made: it may not do what its author expects. Only in the answer to the write itself
    /// and to its preview.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// `GET operations?log=NAME`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// The operations, newest first; at most 100.
    pub operations: Vec<Operation>,
}
