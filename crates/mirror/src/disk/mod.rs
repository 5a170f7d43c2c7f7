//! The operations that a secondary needs on its folder: files that grow, folders, and a place for work that waits for the disk.
//!
//! What must never happen: a driver reports bytes or names as durable that a power cut can still take. A path is relative to the
//! secondary's folder, with `/` between its parts; the folder itself is `""`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::refusal::Refusal;

mod folder;
#[cfg(any(test, feature = "testing"))]
mod memory;
#[cfg(test)]
mod tests;

pub use folder::Folder;
#[cfg(any(test, feature = "testing"))]
pub use memory::MemoryDisk;

/// The kind of thing behind a name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskEntry {
    /// A file with bytes.
    File,
    /// A folder with more names.
    Folder,
}

/// Work that waits for the disk.
pub type DiskWork = Box<dyn FnOnce() + Send>;

/// The folder of one secondary, with all that is below it.
pub trait Disk: Send + Sync + 'static {
    /// The place of the folder, for messages.
    fn place(&self) -> &Path;
    /// Does the work on a thread that may block; fails if the work panics. Work that has begun ends even if nobody waits for it.
    fn run(&self, work: DiskWork) -> BoxFuture<'static, Result<(), String>>;
    /// The kind of thing at this path; `None` also when it cannot be determined.
    fn find(&self, path: &str) -> Option<DiskEntry>;
    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<(String, DiskEntry)>>;
    /// Makes a folder and those above it, where they are absent. No other user may look into it.
    ///
    /// # Errors
    /// The disk refuses.
    fn make(&self, folder: &str) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The disk refuses.
    fn sync(&self, folder: &str) -> io::Result<()>;
    /// Opens a file, which is made when absent. No other user may read it.
    ///
    /// # Errors
    /// The disk refuses.
    fn open(&self, file: &str) -> io::Result<Box<dyn DiskFile>>;
    /// All bytes of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>>;
}

/// A file that was opened: what is read sees every write, synced or not.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The disk refuses.
    fn length(&self) -> io::Result<u64>;
    /// Sets its length: bytes behind it are gone.
    ///
    /// # Errors
    /// The disk refuses.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Fills all of `bytes` with those at an offset.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are fewer; otherwise the disk refuses.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `bytes` at an offset. They are not durable yet.
    ///
    /// # Errors
    /// The disk refuses; some of the bytes may be written.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes its bytes and its length durable. After an error it is unknown which of them are, and a second call does not tell.
    ///
    /// # Errors
    /// The disk refuses.
    fn sync(&self) -> io::Result<()>;
}

/// A path as a message shows it.
pub(crate) fn shown(disk: &dyn Disk, path: &str) -> PathBuf {
    disk.place().join(path)
}

/// Does work that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    disk: &Arc<dyn Disk>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (done, result) = oneshot::channel();
    let ran = disk.run(Box::new(move || {
        // The error says that nobody waits any more.
        let _ = done.send(work());
    }));
    let ended = |why: String| Refusal::Storage(format!("a task ended: {why}"));
    ran.await.map_err(ended)?;
    result.await.map_err(|e| ended(e.to_string()))
}
