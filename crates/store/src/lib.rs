//! The two stores that everything else shares: [`Coordination`] (small values, one atomic write) and [`Objects`]
//! (immutable bytes). Drivers sit behind the traits; one conformance suite holds for every driver.
//!
//! What must never happen: a transaction is applied in part, a refused one was in truth applied, or a failure is reported as a refusal. If
//! a driver does not know, it returns [`Outcome::Unknown`], and the caller finds out by reading.
//!
//! A driver whose disk is full says [`StoreError::Full`]; the engine's `ingest/full_disk.rs` says what becomes of the writes.
//!
//! | driver | coordination | objects |
//! |---|---|---|
//! | SQLite, for one machine | `Sqlite` | |
//! | a folder | | `Directory` |
//! | memory, for tests | `MemoryCoordination` | `MemoryObjects` |
//!
//! They are behind the feature `drivers`, which is on by default. The feature `testing` adds the conformance suites, and drivers that fail
//! or wait on request. [`record`] is the form of values in rows: with a checksum, and with the number first if a [`Guard`] compares it.
//!
//! If two writers want the same slot, one gets it, and the other certainly learns that it did not:
//!
//! ```
//! use bytes::Bytes;
//! use store::{Coordination, Guard, MemoryCoordination, Outcome, Transaction};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = MemoryCoordination::new();
//! let decide = |what: &'static str| Transaction {
//!     guards: vec![Guard::Absent("log/dev/slot/7".into())],
//!     puts: vec![("log/dev/slot/7".into(), Bytes::from(what))],
//!     ..Transaction::default()
//! };
//! assert!(matches!(store.transact(decide("mine")).await, Outcome::Committed));
//! assert!(matches!(store.transact(decide("yours")).await, Outcome::Refused));
//! assert_eq!(store.get("log/dev/slot/7").await?, Some(Bytes::from("mine")));
//! # Ok::<(), store::StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tlog::UnixMillis;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(feature = "drivers")]
mod delayed;
#[cfg(feature = "drivers")]
mod directory;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
#[cfg(feature = "drivers")]
mod memory;
pub mod record;
#[cfg(feature = "drivers")]
mod sqlite;
#[cfg(feature = "drivers")]
mod system;

#[cfg(feature = "drivers")]
pub use delayed::{DelayedCoordination, DelayedObjects};
#[cfg(feature = "drivers")]
pub use directory::{Directory, valid};
#[cfg(feature = "drivers")]
pub use memory::{MemoryCoordination, MemoryObjects};
#[cfg(feature = "drivers")]
pub use sqlite::{CopiedShard, Sqlite, SqliteCopy, SqliteStats};

/// A key of the coordination store: a path such as `log/dev/slot/00000000000000000007`; keys sort bytewise.
pub type Key = String;

/// A precondition of a [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No value under this key.
    Absent(Key),
    /// Some value under this key.
    Present(Key),
    /// The value's first eight bytes, as a big-endian integer, are at most this; an absent key counts as 0. A shorter
    /// value is corrupt: the transaction fails.
    AtMost(Key, u64),
    /// No key that begins with the first and is not below the second.
    NoneFrom(Key, Key),
}

/// All or nothing: if every guard holds, all puts and deletes apply; else none does.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Preconditions, checked in the same atomic step.
    pub guards: Vec<Guard>,
    /// Values to write, replacing what is there.
    pub puts: Vec<(Key, Bytes)>,
    /// Keys to delete; an absent one is no error. Deletes apply before puts.
    pub deletes: Vec<Key>,
}

/// The outcome of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// Applied, and durable: it survives a power loss.
    Committed,
    /// A guard did not hold; nothing was applied, and nothing ever will be.
    Refused,
    /// The store could not do it; nothing was applied, and nothing ever will be. It may be tried again.
    Failed(StoreError),
    /// The store does not know. Read to find out; never assume either.
    Unknown(StoreError),
}

/// Why a store could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No space left. The operation was not applied and may be tried again when there is space.
    #[error("no space left on the store: {0}")]
    Full(String),
    /// The stored bytes are not what was written (checksum, malformed database).
    #[error("corrupt store: {0}")]
    Corrupt(String),
    /// The value is larger than [`Coordination::value_limit`].
    #[error("value of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the value, bytes.
        size: usize,
        /// The driver's limit, bytes.
        limit: usize,
    },
    /// Another process held the store for longer than the driver waits (about ten seconds).
    #[error("store is busy: {0}")]
    Busy(String),
    /// Too few storage nodes took it. It may be there on some, and is nowhere announced.
    #[error("{have} of the {quorum} storage nodes that are needed took a batch{detail}")]
    Quorum {
        /// Nodes that took the write.
        have: usize,
        /// Nodes that must take it.
        quorum: usize,
        /// How many were asked, and the last error.
        detail: String,
    },
    /// Nothing was written: the clock of this server is not to be believed.
    #[error("{0}")]
    Clock(String),
    /// Nothing failed: another process was quicker, or something is not there yet. The text says what; the caller tries again.
    #[error("{0}")]
    NotYet(String),
    /// Any other failure of the store or the operating system below it.
    #[error("store failed: {0}")]
    Io(String),
}

#[cfg(feature = "drivers")]
impl From<ambient::NoRandomness> for StoreError {
    fn from(error: ambient::NoRandomness) -> Self {
        Self::Io(error.to_string())
    }
}

/// The coordination store: small values under sorted keys, and one write.
pub trait Coordination: Send + Sync + 'static {
    /// The value under `key`; `None` when absent.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;

    /// At most `limit` pairs with `key >= from` and `key` beginning with `prefix`, ascending. The answer is one consistent
    /// snapshot: it holds every key that was there for the call's whole duration.
    fn scan(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Key, Bytes)>, StoreError>>;

    /// The one write. `Committed` is answered only after the data is durable.
    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome>;

    /// Resolves when something under `prefix` may have changed since the call, by this or another process, or after
    /// `at_most`. Spurious wake-ups are allowed, missed ones are not.
    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()>;

    /// The largest value a transaction may put, bytes (64 KiB for SQL drivers).
    fn value_limit(&self) -> usize;

    /// The store's own clock, milliseconds since the Unix epoch, for skew checks.
    fn now(&self) -> BoxFuture<'_, Result<UnixMillis, StoreError>>;

    /// The last call of a process that stops: moves everything beside the store's main file into it, so that a copy of that file alone is
    /// whole, as far as other users of the store allow it. Everything committed is durable with or without it.
    fn rest(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The object store: immutable, deterministic bytes under slash-separated paths such as `dev/2026a/tile/0/000`.
pub trait Objects: Send + Sync + 'static {
    /// Writes all objects and answers when all are durable (contents and names). Putting a path again with the same bytes
    /// is fine. After an error any subset may be there, each whole or absent, never torn.
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The object's bytes; `None` when absent.
    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;

    /// Paths of all objects below the folder `prefix` (recursively), in any order.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;

    /// The names directly below the folder `prefix` (empty: the root), in any order: objects, and folders, which may be empty. It costs one
    /// read, however much is below those folders.
    fn names(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Box::pin(async move {
            let below = |path: &String| {
                let rest = match prefix.as_str() {
                    "" => path.as_str(),
                    prefix => path.strip_prefix(prefix)?.strip_prefix('/')?,
                };
                rest.split('/').next().map(str::to_owned)
            };
            let paths = self.list(&prefix).await?;
            let names: BTreeSet<String> = paths.iter().filter_map(below).collect();
            Ok(names.into_iter().collect())
        })
    }

    /// Deletes objects; absent ones are no error. Deletion need not be durable.
    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Deletes objects that nobody reads but through a store, so that their space may be used again at once.
    fn discard(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.delete(paths)
    }

    /// Bytes free for new objects, if the driver knows.
    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>>;
}
