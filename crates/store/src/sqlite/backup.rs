//! A copy of a coordination store that may be in use: one moment of it, in one file.
//!
//! SQLite writes the copy (`VACUUM INTO`) from one read transaction, so writers are not blocked. The price: the WAL cannot start over
//! before the copy is made, and once it exceeds its bound, a commit now and then waits for a few hundredths of a second. The copy has no
//! WAL. It is whole by itself and can be read anywhere.
//!
//! What must never happen: a file under the final name that is not whole and durable; an existing file replaced; a copy that others
//! can read (it holds sealed keys).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::connection::{failure, io};
use super::look::{self, ReadMode};
use crate::StoreError;

/// One shard in a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedShard {
    /// The name of the log.
    pub log: String,
    /// The name of the shard in its log.
    pub shard: String,
    /// Entries that are ordered.
    pub ordered: u64,
    /// Entries that are published.
    pub published: u64,
    /// The root over those, hex; none where nothing is published.
    pub root: Option<String>,
}

/// An unfinished copy: it becomes a file with its final name, or nothing.
#[derive(Debug)]
pub struct SqliteCopy {
    temporary: PathBuf,
    path: PathBuf,
}

impl SqliteCopy {
    /// Copies the store at `from`, of this moment, to be named `to`. Blocks until all of it is read.
    ///
    /// # Errors
    /// The store cannot be read, there is a file of that name, or the copy cannot be written.
    pub fn of(from: &Path, to: &Path) -> Result<Self, StoreError> {
        if to.symlink_metadata().is_ok() {
            return Err(there(to));
        }
        let mut temporary = to.as_os_str().to_owned();
        let number = crate::system::unique()?;
        temporary.push(format!(".{number:016x}.part"));
        let copy = Self {
            temporary: PathBuf::from(temporary),
            path: to.to_owned(),
        };
        loop {
            // SQLite fills an empty file, and leaves its mode.
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&copy.temporary)
                .map_err(|error| io(&copy.temporary, &error))?;
            let look = ReadMode::at(from)?;
            look::check(&look)?;
            let target = copy.temporary.to_str().ok_or_else(|| {
                StoreError::Io(format!("{}: the path is not UTF-8", to.display()))
            })?;
            let copied = look
                .connect()?
                .execute("VACUUM INTO ?1", [target])
                .map_err(|error| failure(&error));
            // A server that has started meanwhile may have written to what was read.
            if look.holds()? {
                copied?;
                return Ok(copy);
            }
            copy.remove();
        }
    }

    /// The path of the copy until it has its final name.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Marks the copy, makes it durable, and gives it its final name. Returns its size, bytes.
    ///
    /// # Errors It cannot be written, or a file of that name already exists.
    pub fn finish(
        self,
        time: &str,
        version: &str,
        shards: &[CopiedShard],
    ) -> Result<u64, StoreError> {
        self.describe(time, version, shards)
            .map_err(|error| failure(&error))?;
        let at = |error: std::io::Error| io(&self.temporary, &error);
        let file = File::open(&self.temporary).map_err(at)?;
        file.sync_all().map_err(at)?;
        let size = file.metadata().map_err(at)?.len();
        let moved = rustix::fs::renameat_with(
            CWD,
            &self.temporary,
            CWD,
            &self.path,
            RenameFlags::NOREPLACE,
        );
        match moved {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(there(&self.path)),
            // A file system that cannot do that in one step.
            Err(_) => {
                std::fs::hard_link(&self.temporary, &self.path).map_err(|error| {
                    match error.kind() {
                        std::io::ErrorKind::AlreadyExists => there(&self.path),
                        _ => io(&self.path, &error),
                    }
                })?;
                self.remove();
            }
        }
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| io(parent, &error))?;
        Ok(size)
    }

    fn describe(&self, time: &str, version: &str, shards: &[CopiedShard]) -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.temporary, flags)?;
        // Until it has its name the file is nobody's: it is made durable as a whole.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            "DROP TABLE IF EXISTS backup_made;
             DROP TABLE IF EXISTS backup_positions;
             CREATE TABLE backup_made (time TEXT NOT NULL, version TEXT NOT NULL);
             CREATE TABLE backup_positions (
                log TEXT NOT NULL, shard TEXT NOT NULL, ordered INTEGER NOT NULL, published INTEGER NOT NULL, root TEXT
             )",
        )?;
        transaction.execute("INSERT INTO backup_made VALUES (?1, ?2)", (time, version))?;
        for shard in shards {
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            transaction.execute(
                "INSERT INTO backup_positions VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    &shard.log,
                    &shard.shard,
                    number(shard.ordered),
                    number(shard.published),
                    &shard.root,
                ),
            )?;
        }
        transaction.commit()
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl Drop for SqliteCopy {
    fn drop(&mut self) {
        // The file already has its final name, or is not wanted.
        self.remove();
    }
}

fn there(path: &Path) -> StoreError {
    StoreError::Io(format!(
        "{} already exists, and is not replaced: name a new file, or a folder",
        path.display()
    ))
}
