//! The embedded coordination store: one SQLite file in WAL mode, shared by several processes.
//!
//! All writes of a handle go through one thread, which puts every transaction that is waiting into one SQLite
//! transaction: one commit is one sync of the disk, however many it serves. Reads run beside it on a few connections of
//! their own and see everything committed before they began.
//!
//! What must never happen: `Committed` before the WAL is synced; a commit of unknown fate whose frames are left in the WAL,
//! where a crash would bring them back after a read has shown them absent. So after a failed commit the file is reopened
//! and one empty commit is put over those frames before anything else is answered.

mod backup;
mod checkpoint;
mod connection;
mod look;
mod readers;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{Semaphore, oneshot};

use self::look::ReadMode;
use self::readers::Readers;
use self::writer::{Command, Job, Writer};
use super::{Coordination, Key, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

pub use backup::{CopiedShard, SqliteCopy};
pub(crate) use watch::Waiters;
pub(crate) use writer::at_most;

/// The largest value, bytes.
pub(crate) const VALUE_LIMIT: usize = 65_536;

/// Transactions that may wait for the writer's thread; further callers wait outside.
const QUEUE: usize = 1024;

/// A handle on one SQLite file. Several handles, in one process or in many, may share a file.
pub struct Sqlite {
    commands: Option<Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    queue: Arc<Semaphore>,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
}

/// Counters of a handle since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqliteStats {
    /// Commits of SQLite; each is one sync of the WAL.
    pub commits: u64,
    /// Transactions that those commits carried.
    pub transactions: u64,
    /// Checkpoints by the writer, between two commits.
    pub checkpoints: u64,
    /// Checkpoints by the background thread.
    pub background_checkpoints: u64,
    /// Pages in the WAL after the last commit.
    pub wal_pages: u32,
}

/// The state that the threads of one handle share.
#[derive(Default)]
struct Shared {
    waiters: Waiters,
    /// A commit's fate is unknown and the file has not been reopened since; reads wait for that.
    doubtful: AtomicBool,
    wal_pages: AtomicU32,
    commits: AtomicU64,
    transactions: AtomicU64,
    checkpoints: AtomicU64,
    background_checkpoints: AtomicU64,
}

impl Sqlite {
    /// Opens the file, creating it when absent. The folder must exist. Blocks for some disk accesses.
    ///
    /// # Errors
    /// The file cannot be created or opened, or is not a coordination store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let shared = Arc::<Shared>::default();
        let (commands, received) = std::sync::mpsc::channel();
        let writer = Writer::open(path.to_owned(), received, shared.clone())?;
        #[expect(clippy::disallowed_methods, reason = "a driver waits for the disk")]
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Io(format!("starting a thread: {error}")))?;
        Ok(Self {
            commands: Some(commands),
            writer: Some(writer),
            queue: Arc::new(Semaphore::new(QUEUE)),
            readers: Arc::new(Readers::new(path.to_owned(), None)),
            shared,
        })
    }

    /// Opens a file that is there, to read: nothing is written, neither in it nor beside it, so it may be on a file system that is
    /// mounted read-only, and belong to somebody else. A server may use it meanwhile. Transactions fail. Blocks for some disk
    /// accesses.
    ///
    /// # Errors
    /// The file cannot be read, or is not a coordination store.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let look = ReadMode::at(path)?;
        look::check(&look)?;
        Ok(Self {
            commands: None,
            writer: None,
            queue: Arc::new(Semaphore::new(QUEUE)),
            readers: Arc::new(Readers::new(path.to_owned(), Some(Arc::new(look)))),
            shared: Arc::default(),
        })
    }

    /// Counters since this handle was opened.
    pub fn stats(&self) -> SqliteStats {
        SqliteStats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            transactions: self.shared.transactions.load(Ordering::Relaxed),
            checkpoints: self.shared.checkpoints.load(Ordering::Relaxed),
            background_checkpoints: self.shared.background_checkpoints.load(Ordering::Relaxed),
            wal_pages: self.shared.wal_pages.load(Ordering::Relaxed),
        }
    }

    fn send(&self, command: Command) -> Result<(), StoreError> {
        let sent = self
            .commands
            .as_ref()
            .is_some_and(|commands| commands.send(command).is_ok());
        sent.then_some(()).ok_or_else(gone)
    }

    /// Runs a read, after the outcome of every commit is settled.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.doubtful.load(Ordering::Acquire) {
            let (answer, settled) = oneshot::channel();
            self.send(Command::Settle(answer))?;
            settled.await.map_err(|_| gone())??;
        }
        self.readers.run(read).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.readers.close();
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // The thread first finishes its commands. The panic hook has reported its panic.
            let _ = writer.join();
        }
    }
}

impl Coordination for Sqlite {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT value FROM kv WHERE key = ?1")?;
            statement
                .query_row([&key], |row| row.get::<_, Vec<u8>>(0))
                .optional()
                .map(|value| value.map(Bytes::from))
        }))
    }

    fn scan(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Key, Bytes)>, StoreError>> {
        let (prefix, from) = (prefix.to_owned(), prefix.max(from).to_owned());
        Box::pin(self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query((&from, limit))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                if !key.starts_with(&prefix) {
                    break;
                }
                found.push((key, Bytes::from(row.get::<_, Vec<u8>>(1)?)));
            }
            Ok(found)
        }))
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            if let Some(size) = transaction
                .puts
                .iter()
                .map(|(_, value)| value.len())
                .find(|size| *size > VALUE_LIMIT)
            {
                return Outcome::Failed(StoreError::TooLarge {
                    size,
                    limit: VALUE_LIMIT,
                });
            }
            let Ok(permit) = self.queue.clone().acquire_owned().await else {
                return Outcome::Failed(gone());
            };
            let (answer, outcome) = oneshot::channel();
            if let Err(error) = self.send(Command::Transact(Job {
                transaction,
                answer,
                _permit: permit,
            })) {
                return Outcome::Failed(error);
            }
            outcome.await.unwrap_or_else(|_| Outcome::Unknown(gone()))
        })
    }

    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        let woken = self.shared.waiters.register(prefix);
        // Makes the writer's thread begin to check for other processes' commits. Without that thread nothing can change through this
        // handle, and the time limit ends the wait.
        let _ = self.send(Command::Watch);
        Box::pin(async move {
            // Both a wake-up and the end of the time are an answer.
            let _ = tokio::time::timeout(at_most, woken).await;
        })
    }

    fn value_limit(&self) -> usize {
        VALUE_LIMIT
    }

    fn now(&self) -> BoxFuture<'_, Result<UnixMillis, StoreError>> {
        Box::pin(std::future::ready(crate::system::now()))
    }

    fn rest(&self) -> BoxFuture<'_, ()> {
        // Connections that read keep the WAL from being removed.
        self.readers.close();
        let (answer, rested) = oneshot::channel();
        let asked = self.send(Command::Rest(answer)).is_ok();
        Box::pin(async move {
            if asked {
                // A writer that has ended has done it.
                let _ = rested.await;
            }
        })
    }
}

fn gone() -> StoreError {
    StoreError::Io("the store's writer thread has ended".into())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
