//! The answers that a writer gets.

use std::sync::Arc;
use std::time::Duration;

use qos::RefusalReason;
use tlog::{GlobalIndex, LeafIndex, UnixMillis, bundle};

/// An entry's place, given once it is ordered and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number over all shards of the log, from 0.
    pub index: GlobalIndex,
    /// The shard it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: LeafIndex,
}

/// Why no promise can be given for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpromisable {
    /// Its writer demands a shard.
    #[error("a promise cannot name a shard, because another one may be active by then")]
    Shard,
    /// Its tier has no merge delay.
    #[error("the tier granted makes no promise")]
    Tier,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It has no bytes, and a leaf needs one.
    #[error("the entry is empty")]
    Empty,
    /// It has more than 65,535 bytes (C2SP tlog-tiles).
    #[error("the entry is longer than 65535 bytes")]
    TooLarge,
    /// The log is frozen.
    #[error("shard {shard} is frozen")]
    Frozen {
        /// The shard that was active.
        shard: String,
        /// The time of the slot that froze it.
        since: UnixMillis,
    },
    /// The log is about to freeze.
    #[error("the log is closing")]
    Closing,
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// The contradiction that was found.
        reason: String,
    },
    /// A store has no space left; nothing was ordered.
    #[error("no space left: {detail}")]
    Full {
        /// Which store, and what it says.
        detail: String,
    },
    /// More is waiting than can be published.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// Which resource of the server has no room left.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// This tenant has sent more than it may.
    #[error("over the tenant's limit: {reason}")]
    Limited {
        /// Which limit: of entries or of bytes.
        reason: RefusalReason,
        /// When it may continue.
        retry_after: Duration,
    },
    /// The promise asked for cannot be kept beside those that were given.
    #[error("no room: {reason}")]
    NoRoom {
        /// Which resource of the server has no room left.
        reason: RefusalReason,
        /// When there is probably room.
        retry_after: Duration,
        /// A merge delay that could be promised now.
        available: Option<Duration>,
    },
    /// The writer wants another shard than the active one.
    #[error("that shard is not the active one")]
    WrongShard {
        /// The shard that takes entries now.
        active: Option<String>,
    },
    /// This entry cannot be promised; it can be appended.
    #[error("no promise: {0}")]
    Unpromisable(Unpromisable),
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
    /// The outcome is unknown: the entry may have been ordered.
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
