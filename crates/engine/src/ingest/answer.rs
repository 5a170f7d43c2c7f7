//! What a writer is told.

use std::sync::Arc;
use std::time::Duration;

use tlog::bundle;

/// An entry's place, given once it is ordered and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Global index.
    pub index: u64,
    /// The shard it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: u64,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No bytes.
    #[error("the entry is empty")]
    Empty,
    /// Over 65,535 bytes.
    #[error("the entry is longer than 65535 bytes")]
    TooLarge,
    /// The log is frozen.
    #[error("shard {shard} is frozen")]
    Frozen {
        /// The shard that was active.
        shard: String,
        /// Since when, milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// The log is about to freeze.
    #[error("the log is closing")]
    Closing,
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// Why.
        reason: String,
    },
    /// No space left.
    #[error("no space left: {detail}")]
    Full {
        /// Where.
        detail: String,
    },
    /// More than can be published.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// What is exhausted.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// More than this tenant may send.
    #[error("over the tenant's limit: {reason}")]
    Limited {
        /// Which limit.
        reason: &'static str,
        /// When it may go on.
        retry_after: Duration,
    },
    /// The promise asked for cannot be kept beside those that were given.
    #[error("no room: {reason}")]
    NoRoom {
        /// What is exhausted.
        reason: &'static str,
        /// When there is probably room.
        retry_after: Duration,
        /// A merge delay that could be promised now.
        available: Option<Duration>,
    },
    /// The writer wants another shard than the active one.
    #[error("that shard is not the active one")]
    WrongShard {
        /// The active one.
        active: Option<String>,
    },
    /// This entry cannot be promised; it can be appended.
    #[error("no promise: {reason}")]
    Unpromisable {
        /// Why not.
        reason: &'static str,
    },
    /// The part is not where its upload stands.
    #[error("the upload stands at entry {accepted}")]
    UploadAt {
        /// Entries accepted so far; the next part's offset.
        accepted: u64,
    },
    /// The idempotency key belongs to a write with other bytes.
    #[error("this idempotency key was used for another write")]
    KeyReused,
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// It may or may not have been ordered.
    #[error("the outcome could not be learned")]
    Unknown,
}

impl AppendError {
    /// Refuses an entry that no leaf may have: 1 to 65,535 bytes (C2SP tlog-tiles, "Log Entries").
    pub(crate) fn of_size(entry: &[u8]) -> Result<(), Self> {
        match entry.len() {
            0 => Err(Self::Empty),
            1..=bundle::MAX_ENTRY => Ok(()),
            _ => Err(Self::TooLarge),
        }
    }

    pub(crate) fn overloaded(reason: &str) -> Self {
        Self::Overloaded {
            reason: reason.to_owned(),
            retry_after: Duration::from_secs(1),
        }
    }
}
