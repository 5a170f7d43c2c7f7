//! How this program opens an SQLite file, and what SQLite's errors mean here.
//!
//! What must never happen: a connection commits without `synchronous=FULL`, or writes to a file that is not ours.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::StoreError;
use crate::system::instant;

/// How long a connection waits for another process's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a page. A group of small transactions touches few pages, and each page costs one frame in the WAL.
pub(super) const PAGE_BYTES: u32 = 4096;

/// Marks the file as ours (`PRAGMA application_id`, ASCII "logd").
const APPLICATION: i32 = 0x6c6f_6764;

/// Version of the tables (`PRAGMA user_version`).
pub(super) const FORMAT: i32 = 1;

/// How long the busy handler of one connection waits, nanoseconds; adjustable, because nobody may wait ten seconds for
/// a mere checkpoint.
#[derive(Clone)]
pub(super) struct Patience(Arc<AtomicU64>);

impl Patience {
    pub(super) fn new() -> Self {
        let patience = Self(Arc::default());
        patience.set(BUSY_TIMEOUT);
        patience
    }

    pub(super) fn set(&self, wait: Duration) {
        self.0.store(
            u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Waits in short steps: another process holds its lock for one fsync, a fraction of a millisecond.
    fn install(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let patience = self.0.clone();
        let mut since = instant();
        connection.busy_handler(Some(move |attempt: i32| {
            if attempt == 0 {
                since = instant();
            }
            let step = Duration::from_micros(50 * u64::from(attempt.unsigned_abs() + 1).min(20));
            std::thread::park_timeout(step);
            since.elapsed() < Duration::from_nanos(patience.load(Ordering::Relaxed))
        }))
    }
}

/// Opens for writing; creates the file and its table when absent.
pub(super) fn open_writer(path: &Path, patience: &Patience) -> Result<Connection, StoreError> {
    create(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience)?;
    prepare(&mut connection).map_err(|error| failure(&error))?;
    check(&connection)?;
    Ok(connection)
}

/// Opens for reading a file that [`open_writer`] has made.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, &Patience::new())
}

/// Opens for checkpoints only.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, &Patience::new())?;
    tune(&connection).map_err(|error| failure(&error))?;
    Ok(connection)
}

pub(super) fn open(
    path: &Path,
    access: OpenFlags,
    patience: &Patience,
) -> Result<Connection, StoreError> {
    let open = || {
        // Each connection stays on one thread at a time, so SQLite's own mutex is not needed.
        let mut connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        patience.install(&mut connection)?;
        connection.set_prepared_statement_cache_capacity(16);
        Ok(connection)
    };
    open().map_err(|error| failure(&error))
}

/// Creates an empty file that only its owner can read (it holds sealed keys) and makes its name durable: SQLite syncs
/// the directory for its WAL, not for the database itself. An existing file is not touched: opening and closing it
/// here would drop the locks of this process's other connections.
fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        other => other.map_err(|error| io(path, &error))?,
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io(parent, &error))
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // Takes effect only while the file is empty.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    // Two processes that open a new file at once get BUSY here without the busy handler being asked.
    let since = instant();
    loop {
        match connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))
        {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && since.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    tune(connection)?;
    if connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))? != 0 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        // Not WITHOUT ROWID: there, each comparison of keys on the way to a row would read a large value whole.
        transaction.execute_batch(
            "CREATE TABLE kv (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL)",
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()
}

/// Sets the options that hold per connection, not per file.
fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Checkpoints are ours to time: one inside a commit would make that commit wait.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Enough for the pages that are written again and again; more would only fill up with the history as the file grows. A
    // whole group of transactions stays in memory until its commit anyway.
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.pragma_update(None, "cache_spill", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let number = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(|error| failure(&error))
    };
    let (application, format) = (number("application_id")?, number("user_version")?);
    if application != APPLICATION {
        return Err(StoreError::Corrupt(
            "this SQLite file belongs to another application".into(),
        ));
    }
    if format != FORMAT {
        return Err(StoreError::Corrupt(format!(
            "tables of format {format}; this program knows format {FORMAT} only"
        )));
    }
    Ok(())
}

/// The meaning of an SQLite error if it is known that nothing was committed.
pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    let detail = match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            format!(
                "{} (SQLite {})",
                message.as_deref().unwrap_or("no detail"),
                code.extended_code
            )
        }
        other => other.to_string(),
    };
    // The index beside the WAL cannot grow: the same full disk, reported in another way.
    let full = error
        .sqlite_error()
        .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    match error.sqlite_error_code() {
        _ if full => StoreError::Full(detail),
        Some(ErrorCode::DiskFull) => StoreError::Full(detail),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(detail),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(detail),
        _ => StoreError::Io(detail),
    }
}

pub(super) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    // FileTooLarge: a limit of this process on the size of files, `ulimit -f`.
    if matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    ) {
        return StoreError::Full(format!("{}: {error}", path.display()));
    }
    StoreError::Io(format!("{}: {error}", path.display()))
}
