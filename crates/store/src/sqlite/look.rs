//! Opens a file for reading only, without creating a file beside it.
//!
//! SQLite reads a file in WAL mode through two neighbours: the WAL, and an index of it (`-shm`) that it makes where there is none.
//! An index made by the reader would belong to the reader's user, and a server of another user could not open it; on a file system
//! that is mounted read-only it cannot be made at all. So:
//!
//! | what is there | how it is read |
//! |---|---|
//! | no WAL, or an empty one | the file alone, until a WAL appears: then a server has started, and the read begins again |
//! | a WAL with its index | all three, as a server does |
//! | a WAL without its index | copies of the two in a temporary folder: nobody has them open |
//!
//! What must never happen: the file is read alone although a WAL beside it holds commits; a byte is written beside the file.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::connection::{Patience, open};
use crate::StoreError;

/// How a file is read.
#[derive(Debug)]
pub(super) enum ReadMode {
    /// The file alone, without a WAL.
    Alone(PathBuf),
    /// With its WAL and the WAL's index.
    Together(PathBuf),
    /// A copy in a temporary folder.
    Copied(Copy),
}

impl ReadMode {
    /// Decides by the files that exist.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        readable(path)?;
        if !has_wal(path)? {
            return Ok(Self::Alone(path.to_owned()));
        }
        readable(&beside(path, "-wal"))?;
        let index = beside(path, "-shm");
        if index.exists() {
            readable(&index)?;
            return Ok(Self::Together(path.to_owned()));
        }
        Copy::of(path).map(Self::Copied)
    }

    /// Whether the files that were read are still all that exist.
    pub(super) fn holds(&self) -> Result<bool, StoreError> {
        match self {
            Self::Alone(path) => Ok(!has_wal(path)?),
            Self::Together(_) | Self::Copied(_) => Ok(true),
        }
    }

    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        match self {
            // No process writes it, so nothing is locked, and no files beside it are searched.
            Self::Alone(path) => open(
                &immutable(path),
                flags | OpenFlags::SQLITE_OPEN_URI,
                &Patience::new(),
            ),
            Self::Together(path) => open(path, flags, &Patience::new()),
            Self::Copied(copy) => open(&copy.database(), flags, &Patience::new()),
        }
    }
}

fn open_copy_failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!(
        "{} holds commits and has no index beside it, so it is read from a copy in a temporary folder, which cannot be made: {error}; \
         TMPDIR says where",
        beside(path, "-wal").display()
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

/// SQLite's own error names no file. The file is not opened here: to close it would drop the locks of this process's connections.
fn readable(path: &Path) -> Result<(), StoreError> {
    rustix::fs::access(path, rustix::fs::Access::READ_OK)
        .map_err(|error| unreadable(path, &error.into()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether there is a WAL that holds something.
fn has_wal(path: &Path) -> Result<bool, StoreError> {
    let wal = beside(path, "-wal");
    match wal.metadata() {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(&wal, &error)),
    }
}

/// SQLite's name for a file that does not change.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    PathBuf::from(OsString::from(uri))
}

/// A copy of a file and its WAL, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| open_copy_failed(path, &error);
        let number = crate::system::unique()?;
        let folder = std::env::temp_dir().join(format!("logd-{number:016x}"));
        // It holds sealed keys.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let copy = Self { folder };
        std::fs::copy(path, copy.database()).map_err(failed)?;
        std::fs::copy(beside(path, "-wal"), beside(&copy.database(), "-wal")).map_err(failed)?;
        Ok(copy)
    }

    fn database(&self) -> PathBuf {
        self.folder.join(OsStr::new("copy.db"))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a temporary copy stays");
        }
    }
}

/// Whether the file is a coordination store of a format that this program knows.
pub(super) fn check(look: &ReadMode) -> Result<(), StoreError> {
    let connection = look.connect()?;
    super::connection::check(&connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b?c#d%20é&.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        let look = ReadMode::at(&path).unwrap();
        assert!(matches!(look, ReadMode::Alone(_)));
        let tables: i64 = look
            .connect()
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}
