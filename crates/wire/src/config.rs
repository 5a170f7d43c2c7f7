//! The running document, and its changes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Action;
use tlog::GlobalIndex;

/// `GET logs/{log}/config`: the running document. The entity tag is also in the `ETag` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigAnswer {
    /// `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// The document, with its server-filled fields.
    pub config: logconfig::LogConfig,
}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The setting that differs, in an operator's words: `shard 2026b`, `merge.checkpointInterval`.
    pub subject: String,
    /// The value before; absent when added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value after; absent when removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One decided change: an element of `GET logs/{log}/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// The generation after the change.
    pub generation: u64,
    /// The kind of change.
    pub action: Action,
    /// When it was decided, RFC 3339.
    pub time: String,
    /// The slot that holds the decision.
    pub slot: u64,
    /// The global index at which the change took effect.
    #[schemars(with = "u64")]
    pub at_index: GlobalIndex,
    /// ID of the operation that made the change.
    pub operation: String,
    /// The actor that asked for it (`uid:0`, `token:ci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// A summary for a person: `opened 2026c, froze 2026b at 1048576`.
    pub summary: String,
    /// The entity tag after the change; `GET logs/{log}/config?generation=N` has the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The reason that the caller gave, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// ID of the change on probation that this change took back. An older server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<String>,
    /// The differences that the change made to the configuration. Absent for old changes: read the operation instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Vec<Difference>>,
}

/// `GET logs/{log}/history`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// All decided changes, newest first.
    pub history: Vec<HistoryItem>,
}

impl From<logconfig::Difference> for Difference {
    fn from(difference: logconfig::Difference) -> Self {
        Self {
            subject: difference.subject,
            before: difference.before,
            after: difference.after,
        }
    }
}
