//! Moves the content of the WAL into the database, beside the commits.
//!
//! A background thread does the bulk of it while commits continue. The few frames that arrived meanwhile are moved by the writer, between
//! two commits: only then is nothing left in the WAL, and the next commit starts it over from the beginning. Starting over keeps the file's
//! blocks, and a sync of blocks that are already allocated is about three times faster than a sync of a file that grows; so the WAL is
//! never truncated while the store is in use. A process that stops moves all of it and empties it, so that the database alone is whole.
//!
//! What must never happen: a commit waits for a whole checkpoint, or the WAL grows without bound.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use super::Shared;
use super::connection::{BUSY_TIMEOUT, PAGE_BYTES, Patience, open_checkpointer};
use crate::StoreError;

/// The WAL is checkpointed once it holds this many pages (6 MiB).
const SOFT: u32 = 6 * 1024 * 1024 / PAGE_BYTES;

/// From here on readers are waited for (48 MiB): they can otherwise keep the WAL from starting over forever.
const HARD: u32 = 8 * SOFT;

/// How much further the WAL grows before another attempt, after one that could not finish.
const STEP: u32 = SOFT / 4;

/// How long a commit may be held up by readers, once the WAL is over [`HARD`] or a process stops.
const WAIT: Duration = Duration::from_millis(50);

/// When to checkpoint; lives in the writer's thread.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    patience: Patience,
    begin: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The background thread has been told to start; cleared by it when done.
    running: Arc<AtomicBool>,
    /// The background thread has finished; the writer moves the rest.
    moved: bool,
    /// Pages in the WAL at which the next attempt starts.
    next: u32,
}

impl Checkpoints {
    pub(super) fn start(
        path: PathBuf,
        shared: Arc<Shared>,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let (begin, begun) = sync_channel(1);
        let running = Arc::new(AtomicBool::new(false));
        #[expect(clippy::disallowed_methods, reason = "a driver waits for the disk")]
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn({
                let (shared, running) = (shared.clone(), running.clone());
                move || background(path, &begun, &shared, &running)
            })
            .map_err(|error| StoreError::Io(format!("starting a thread: {error}")))?;
        Ok(Self {
            shared,
            patience,
            begin: Some(begin),
            thread: Some(thread),
            running,
            moved: false,
            next: SOFT,
        })
    }

    /// Called between two commits.
    pub(super) fn tend(&mut self, connection: &Connection) {
        let pages = self.shared.wal_pages.load(Ordering::Relaxed);
        if pages < SOFT {
            (self.moved, self.next) = (false, SOFT);
            return;
        }
        let alive = self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished());
        if pages < self.next || (alive && self.running.load(Ordering::Acquire)) {
            return;
        }
        if !self.moved {
            self.moved = true;
            self.running.store(true, Ordering::Release);
            if let Some(begin) = &self.begin
                && begin.try_send(()).is_ok()
            {
                return;
            }
            self.running.store(false, Ordering::Release);
        }
        let mode = if pages < HARD {
            CheckpointMode::PASSIVE
        } else {
            CheckpointMode::RESTART
        };
        self.patience.set(WAIT);
        let result = connection.wal_checkpoint_v2(Some(MAIN_DB), mode);
        self.patience.set(BUSY_TIMEOUT);
        self.moved = false;
        // The cause of the delay (a reader, another process's checkpoint, a full disk) may be gone a little later.
        self.next = pages.saturating_add(STEP);
        match result {
            Ok(_) => {
                self.shared.checkpoints.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, pages, "checkpoint failed; the WAL grows until one succeeds")
            }
        }
    }

    /// The WAL cannot grow: as much of it as possible into the database, so that the next commit begins it again.
    pub(super) fn make_room(&mut self, connection: &Connection) {
        self.patience.set(WAIT);
        let moved = connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::RESTART);
        self.patience.set(BUSY_TIMEOUT);
        if let Err(error) = moved {
            tracing::debug!(%error, "the WAL cannot begin again");
        }
    }

    /// Moves all of the WAL into the database, for the last time: the background thread ends.
    pub(super) fn finish(&mut self, connection: &Connection) {
        self.end();
        self.patience.set(WAIT);
        // The bulk of it delays no commit; for the rest, other processes' commits have to wait.
        let moved = connection
            .wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)
            .and_then(|_| connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::TRUNCATE));
        self.patience.set(BUSY_TIMEOUT);
        match moved {
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                tracing::info!(
                    "other processes use the store: the last of them leaves the database whole without its -wal file"
                );
            }
            Err(error) => tracing::warn!(
                %error,
                "what was committed last stays in the WAL: the database and its -wal file are complete together only"
            ),
        }
    }

    fn end(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook; the files are consistent without that thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end();
    }
}

fn background(path: PathBuf, begun: &Receiver<()>, shared: &Shared, running: &AtomicBool) {
    let mut connection = None;
    while begun.recv().is_ok() {
        if connection.is_none() {
            connection = open_checkpointer(&path)
                .inspect_err(
                    |error| tracing::warn!(%error, "opening the store for a checkpoint failed"),
                )
                .ok();
        }
        if let Some(open) = &connection {
            match open.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
                Ok(_) => {
                    shared
                        .background_checkpoints
                        .fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    tracing::warn!(%error, "background checkpoint failed");
                    connection = None;
                }
            }
        }
        running.store(false, Ordering::Release);
    }
}
