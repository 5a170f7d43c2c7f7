//! The one thread that writes: many transactions in, one SQLite commit out.
//!
//! What must never happen: an answer comes before its commit is durable, or `Failed` is the answer to a transaction that may have been
//! committed. Only an error *before* the commit, or a full disk that kept the commit's last frame from being written, is a definite
//! failure; every other error of a commit is of unknown outcome.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Shared;
use super::checkpoint::Checkpoints;
use super::connection::{FORMAT, PAGE_BYTES, Patience, failure, open_writer};
use crate::{Guard, Outcome, StoreError, Transaction};

/// Transactions in one commit, at most.
const GROUP: usize = 512;

/// Bytes of values in one commit, about: a commit that takes long delays everybody in it.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a frame of the WAL: a page and its header.
const FRAME: u64 = PAGE_BYTES as u64 + 24;

/// How often to check for other processes' commits while a caller waits: at first, and after a long quiet.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// The commands for the writer's thread.
pub(super) enum Command {
    Transact(Job),
    /// Settle a commit of unknown fate, then answer.
    Settle(oneshot::Sender<Result<(), StoreError>>),
    /// A waiter was registered.
    Watch,
    /// Move everything into the database and close the files, since no more commands come.
    Rest(oneshot::Sender<()>),
    /// Act as after a commit of unknown fate.
    #[cfg(test)]
    Doubt,
}

/// A transaction and its waiter.
pub(super) struct Job {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// The place in the queue; free again when the answer is given.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Why a group of transactions was not committed.
enum Failure {
    /// None of it is in the file, or ever will be.
    Definite(StoreError),
    Unknown(StoreError),
}

pub(super) struct Writer {
    path: PathBuf,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    patience: Patience,
    checkpoints: Checkpoints,
    /// Absent after a failure, until the next use.
    connection: Option<Connection>,
    /// `PRAGMA data_version` at the last check; it changes when another connection commits.
    version: Option<i64>,
    poll: Duration,
    /// Closed on purpose: the next command opens it again, but not the check for other processes' commits.
    resting: bool,
}

impl Writer {
    pub(super) fn open(
        path: PathBuf,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let patience = Patience::new();
        let checkpoints = Checkpoints::start(path.clone(), shared.clone(), patience.clone())?;
        let (connection, version, poll) = (None, None, POLL.0);
        let mut writer = Self {
            path,
            commands,
            shared,
            patience,
            checkpoints,
            connection,
            version,
            poll,
            resting: false,
        };
        writer.connect()?;
        Ok(writer)
    }

    pub(super) fn run(mut self) {
        while let Some(command) = self.next() {
            let (mut jobs, mut settle, mut rest, mut bytes) =
                (Vec::new(), Vec::new(), Vec::new(), 0);
            let mut next = Some(command);
            while let Some(command) = next {
                match command {
                    Command::Transact(job) => {
                        bytes += job
                            .transaction
                            .puts
                            .iter()
                            .map(|(_, value)| value.len())
                            .sum::<usize>();
                        jobs.push(job);
                    }
                    Command::Settle(answer) => settle.push(answer),
                    Command::Watch => self.poll = POLL.0,
                    Command::Rest(answer) => rest.push(answer),
                    #[cfg(test)]
                    Command::Doubt => self.connection = None,
                }
                let room = jobs.len() < GROUP && bytes < GROUP_BYTES;
                next = if room {
                    self.commands.try_recv().ok()
                } else {
                    None
                };
            }
            for answer in settle {
                // One who no longer waits needs no answer.
                let _ = answer.send(self.connect());
            }
            if !jobs.is_empty() {
                self.commit(jobs);
                if let Some(connection) = &self.connection {
                    self.checkpoints.tend(connection);
                }
            }
            if !rest.is_empty() {
                self.rest();
            }
            for answer in rest {
                // One who no longer waits needs no answer.
                let _ = answer.send(());
            }
        }
        self.rest();
    }

    /// Moves the WAL into the database and closes it. The last one to close it removes the WAL.
    fn rest(&mut self) {
        if self.resting {
            return;
        }
        if let Err(error) = self.connect() {
            tracing::warn!(%error, "the store is closed as it is");
        }
        if let Some(connection) = self.connection.take() {
            self.checkpoints.finish(&connection);
        }
        self.resting = true;
    }

    /// The next command; meanwhile, if a caller waits for a change, checks whether another process has committed.
    fn next(&mut self) -> Option<Command> {
        loop {
            if self.resting || !self.shared.waiters.any() {
                return self.commands.recv().ok();
            }
            match self.commands.recv_timeout(self.poll) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    self.poll = (self.poll * 2).min(POLL.1);
                    // A store that cannot be opened wakes nobody; waiting callers have their own time limit.
                    if self.connect().is_ok() {
                        self.look();
                    }
                }
            }
        }
    }

    /// Wakes all waiters if another process has committed since the last look.
    fn look(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let version = connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .ok();
        if version.is_none() || version != self.version {
            self.version = version;
            self.poll = POLL.0;
            self.shared.waiters.all_changed();
        }
    }

    /// Opens the file unless it is open, and settles a commit of unknown fate.
    fn connect(&mut self) -> Result<(), StoreError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let mut connection = open_writer(&self.path, &self.patience)?;
        let shared = self.shared.clone();
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            shared
                .wal_pages
                .store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        connection
            .wal_hook(Some(hook))
            .map_err(|error| failure(&error))?;
        if self.shared.doubtful.load(Ordering::Acquire) {
            // Its frames, if they are there, end with this commit's: it is put either after them or over them.
            let barrier = format!("BEGIN IMMEDIATE; PRAGMA user_version = {FORMAT}; COMMIT");
            connection
                .execute_batch(&barrier)
                .map_err(|error| failure(&error))?;
            self.shared.doubtful.store(false, Ordering::Release);
        }
        self.connection = Some(connection);
        self.resting = false;
        // Versions of different connections cannot be compared, so this counts as a change.
        self.version = None;
        self.look();
        Ok(())
    }

    /// Commits the jobs together, or one by one if that fails for a reason that one of them may have caused.
    fn commit(&mut self, jobs: Vec<Job>) {
        match self.attempt(&jobs) {
            Ok(applied) => {
                let keys = jobs
                    .iter()
                    .zip(&applied)
                    .filter(|(_, applied)| **applied)
                    .flat_map(|(job, _)| {
                        let puts = job.transaction.puts.iter().map(|(key, _)| key.as_str());
                        puts.chain(job.transaction.deletes.iter().map(String::as_str))
                    });
                self.shared.waiters.changed(keys);
                for (job, applied) in jobs.into_iter().zip(applied) {
                    answer(
                        job,
                        if applied {
                            Outcome::Committed
                        } else {
                            Outcome::Refused
                        },
                    );
                }
            }
            Err(Failure::Definite(StoreError::Busy(detail))) => {
                for job in jobs {
                    answer(job, Outcome::Failed(StoreError::Busy(detail.clone())));
                }
            }
            Err(Failure::Definite(error)) if jobs.len() == 1 => {
                if let (StoreError::Full(_), Some(connection)) = (&error, &self.connection) {
                    self.checkpoints.make_room(connection);
                }
                for job in jobs {
                    answer(job, Outcome::Failed(error.clone()));
                }
            }
            Err(Failure::Definite(_)) => {
                for job in jobs {
                    self.commit(vec![job]);
                }
            }
            Err(Failure::Unknown(error)) => {
                tracing::error!(%error, "commit of unknown outcome; reopening the store before its next use");
                self.shared.doubtful.store(true, Ordering::Release);
                self.connection = None;
                self.shared.waiters.all_changed();
                for job in jobs {
                    answer(job, Outcome::Unknown(error.clone()));
                }
            }
        }
    }

    /// One SQLite transaction for all jobs, in order, each seeing the effects of the earlier ones. Returns which applied.
    fn attempt(&mut self, jobs: &[Job]) -> Result<Vec<bool>, Failure> {
        self.connect().map_err(Failure::Definite)?;
        let Some(connection) = &self.connection else {
            return Err(Failure::Definite(StoreError::Io(
                "the store is not open".into(),
            )));
        };
        let run = |sql| {
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute([]))
        };
        let verdicts = run("BEGIN IMMEDIATE")
            .map_err(|error| failure(&error))
            .and_then(|_| {
                jobs.iter()
                    .map(|job| apply(connection, &job.transaction))
                    .collect::<Result<Vec<_>, _>>()
            });
        let applied = match verdicts {
            // Nothing to commit: no sync.
            Ok(applied) if !applied.contains(&true) => {
                self.roll_back();
                self.shared
                    .transactions
                    .fetch_add(jobs.len() as u64, Ordering::Relaxed);
                return Ok(applied);
            }
            Ok(applied) => applied,
            Err(error) => {
                self.roll_back();
                return Err(Failure::Definite(error));
            }
        };
        if let Err(error) = run("COMMIT") {
            let mut reason = failure(&error);
            // A commit is valid from its last frame on. These two say that that frame was not written.
            let mut definite = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy)
            );
            // So does the end of what a file may hold: the last frame would have come behind the one that did not fit.
            if let Some(limit) = self.at_limit(&error) {
                definite = true;
                reason = StoreError::Full(format!(
                    "the write-ahead log has reached the largest file that this process may write, {limit} bytes (`ulimit -f`)"
                ));
            }
            if definite {
                self.roll_back();
                return Err(Failure::Definite(reason));
            }
            return Err(Failure::Unknown(reason));
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared
            .transactions
            .fetch_add(jobs.len() as u64, Ordering::Relaxed);
        if self.shared.waiters.any() {
            self.look();
        }
        Ok(applied)
    }

    /// The limit of this process on the size of files, if a write failed because the WAL has reached it: SQLite does not distinguish that
    /// from a broken disk.
    fn at_limit(&self, error: &rusqlite::Error) -> Option<u64> {
        use rustix::process::{Resource, getrlimit};
        let write = rusqlite::ffi::SQLITE_IOERR_WRITE;
        error
            .sqlite_error()
            .filter(|error| error.extended_code == write)?;
        let limit = getrlimit(Resource::Fsize).current?;
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        let length = std::fs::metadata(wal).ok()?.len();
        (length.saturating_add(FRAME) >= limit).then_some(limit)
    }

    /// Leaves the transaction. A connection that cannot do even that is closed, which has the same effect.
    fn roll_back(&mut self) {
        let clean = self.connection.as_ref().is_some_and(|connection| {
            // SQLite has rolled back already after some errors.
            connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
        });
        if !clean {
            self.connection = None;
        }
    }
}

fn answer(job: Job, outcome: Outcome) {
    // A caller that no longer waits needs no answer; the transaction stands.
    let _ = job.answer.send(outcome);
}

/// Applies one transaction inside the open SQLite transaction; `false` when a guard does not hold. After an error the
/// whole SQLite transaction must be rolled back.
fn apply(connection: &Connection, transaction: &Transaction) -> Result<bool, StoreError> {
    for guard in &transaction.guards {
        if !holds(connection, guard)? {
            return Ok(false);
        }
    }
    let write = || {
        if !transaction.deletes.is_empty() {
            let mut delete = connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?;
            for key in &transaction.deletes {
                delete.execute([key])?;
            }
        }
        if !transaction.puts.is_empty() {
            let mut put = connection.prepare_cached(
                "INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?;
            for (key, value) in &transaction.puts {
                put.execute((key, &value[..]))?;
            }
        }
        Ok(true)
    };
    write().map_err(|error: rusqlite::Error| failure(&error))
}

fn holds(connection: &Connection, guard: &Guard) -> Result<bool, StoreError> {
    let present = |key: &str| {
        let mut statement = connection.prepare_cached("SELECT 1 FROM kv WHERE key = ?1")?;
        statement.exists([key])
    };
    let number = |key: &str| {
        let mut statement =
            connection.prepare_cached("SELECT substr(value, 1, 8) FROM kv WHERE key = ?1")?;
        // SQLite has no empty part of a blob: NULL.
        statement
            .query_row([key], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()
    };
    match guard {
        Guard::Absent(key) => present(key)
            .map(|present| !present)
            .map_err(|error| failure(&error)),
        Guard::Present(key) => present(key).map_err(|error| failure(&error)),
        Guard::AtMost(key, most) => match number(key).map_err(|error| failure(&error))? {
            None => Ok(true),
            Some(bytes) => at_most(key, &bytes.unwrap_or_default(), *most),
        },
        Guard::NoneFrom(prefix, from) => {
            let mut statement = connection
                .prepare_cached("SELECT key FROM kv WHERE key >= ?1 ORDER BY key LIMIT 1")
                .map_err(|error| failure(&error))?;
            let first = statement
                .query_row([prefix.max(from)], |row| row.get::<_, String>(0))
                .optional();
            Ok(first
                .map_err(|error| failure(&error))?
                .is_none_or(|key| !key.starts_with(prefix)))
        }
    }
}

/// The value of [`Guard::AtMost`], once the value under its key is read.
pub(crate) fn at_most(key: &str, value: &[u8], most: u64) -> Result<bool, StoreError> {
    match value.first_chunk() {
        Some(first) => Ok(u64::from_be_bytes(*first) <= most),
        None => Err(StoreError::Corrupt(format!(
            "{key}: {} bytes where a number is expected",
            value.len()
        ))),
    }
}
