//! The outcome of a change, or the reason why it was not made.

use logconfig::{Difference, Finding};
use order::Generation;
use order::slot::Action;
use order::token::Token;
use store::StoreError;

use crate::control::audit::Unrecorded;
use tlog::{GlobalIndex, UnixMillis};

/// The outcome of a change that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The requested state already runs.
    Unchanged,
    /// A preview: nothing was changed.
    Planned,
    /// Decided and durable: it cannot be lost.
    Decided,
}

/// A change and its outcome.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Id of the operation: 32 hex digits.
    pub operation: String,
    /// The action that was asked for.
    pub action: Action,
    /// Whether it was decided, only previewed, or not needed.
    pub outcome: ChangeOutcome,
    /// The generation that the change was made on.
    pub base_generation: Generation,
    /// The generation that the change makes.
    pub generation: Generation,
    /// The entity tag of that generation.
    pub etag: String,
    /// When it was decided, milliseconds since the Unix epoch.
    pub time_ms: Option<UnixMillis>,
    /// The global index at which it took effect.
    pub at_index: Option<GlobalIndex>,
    /// The differences that the change makes, or would make.
    pub differences: Vec<Difference>,
    /// The final checkpoint of a freeze.
    pub checkpoint: Option<String>,
    /// Effects of the change that its author may not expect. A repeated answer has none.
    pub warnings: Vec<Finding>,
}

/// Why a change was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The document is refused.
    #[error("the document is refused ({} findings)", .0.len())]
    Invalid(Vec<Finding>),
    /// The base is not the running generation.
    #[error("the base moved: {current_etag} runs")]
    Stale {
        /// The entity tag that runs.
        current_etag: String,
        /// The actor that changed it last.
        changed_by: Option<String>,
        /// When it was changed last, milliseconds since the Unix epoch.
        changed_at_ms: Option<UnixMillis>,
        /// The differences from the base to the running configuration.
        differences: Vec<Difference>,
    },
    /// The log's condition does not allow the change.
    #[error("{0}")]
    Conflict(String),
    /// A signature or a root from the old Rekor is wrong: it did not sign what it returned. The finding points to the shard or the entry
    /// in the request.
    #[error("{}", .0.message)]
    Unverified(Box<Finding>),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request (operation {operation})")]
    KeyReused {
        /// The operation that used this key.
        operation: String,
    },
    /// The log is halted.
    #[error("the log is halted: {reason}")]
    Halted {
        /// The contradiction that halted the log.
        reason: String,
    },
    /// No space is left on a store.
    #[error("no space left: {0}")]
    Full(String),
    /// The outcome is unknown; repeat the request with the same key.
    #[error("the outcome of operation {operation} could not be learned")]
    Unknown {
        /// The operation whose outcome is unknown.
        operation: String,
    },
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(StoreError),
    /// The audit trail does not take the intent; nothing was changed.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(detail) => Self::Full(detail),
            other => Self::Store(other),
        }
    }
}

pub(super) fn reused(operation: Token) -> ChangeError {
    ChangeError::KeyReused {
        operation: operation.to_string(),
    }
}
