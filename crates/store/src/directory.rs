//! Objects as files below one folder.
//!
//! An object is written to a temporary file, synced, renamed to its path, and then its folder is synced. The temporary
//! files of a process are in one folder of its own, locked while the process lives, so that the next process that opens the store
//! can tell what a dead one has left behind.
//!
//! Many objects of one `put` are synced together where the file system can do that ([`together`]): it costs two syncs instead of one
//! for each file and folder.
//!
//! The file of a discarded object is reused for another one, after a while. A reader of the old object sees that its times have moved.
//!
//! What must never happen: a torn object under its final path; an answer before contents *and* name are on disk; a path
//! that leads out of the folder; a second sync of a file after a failed one (it would succeed, with the data lost).

mod files;
mod path;
mod scratch;
#[cfg(test)]
mod tests;
mod together;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rustix::fs::{Mode, OFlags};
use tokio::sync::Semaphore;

use self::files::{Inner, create_root, failure};
use self::scratch::Scratch;
use self::together::Together;
use super::{Objects, StoreError};

pub use path::valid;

/// Threads that work on files at once. They wait for the disk most of the time, and syncs that overlap share the file
/// system's work.
const THREADS: usize = 8;

/// Threads for one `put`, so that a large one leaves room for reads, and renames do not queue for the file system's one lock.
const THREADS_PER_PUT: usize = 2;

/// An object store in a local folder.
pub struct Directory {
    inner: Arc<Inner>,
    threads: Arc<Semaphore>,
}

impl Directory {
    /// Opens the folder, creating it when absent, and removes temporary files of dead processes. Blocks for some disk
    /// accesses.
    ///
    /// # Errors
    /// The folder cannot be created or opened.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        create_root(root)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let at = |error| failure("opening", &root.display().to_string(), error);
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(at)?;
        let scratch = Scratch::create(&root).map_err(at)?;
        Ok(Self::new(root, Some(scratch)))
    }

    /// Opens a folder that is there, to read: nothing is made or removed in it, so it may be on a file system that is mounted
    /// read-only. Writes fail. Blocks for a disk access.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(root, flags, Mode::empty());
        let opened =
            opened.map_err(|error| failure("opening", &root.display().to_string(), error))?;
        Ok(Self::new(opened, None))
    }

    fn new(root: OwnedFd, scratch: Option<Scratch>) -> Self {
        let together = scratch.as_ref().and_then(|_| Together::on(&root));
        Self {
            inner: Arc::new(Inner {
                root,
                scratch,
                together,
                known: Mutex::default(),
            }),
            threads: Arc::new(Semaphore::new(THREADS)),
        }
    }

    /// Whether this file is the one at `root`: a folder that was removed and put back is another one. Blocks for two disk accesses.
    pub fn is_at(&self, root: &Path) -> bool {
        let here = rustix::fs::fstat(&self.inner.root);
        let there = rustix::fs::stat(root);
        matches!((here, there), (Ok(here), Ok(there)) if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino))
    }

    /// Runs `work` on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (threads, inner) = (self.threads.clone(), self.inner.clone());
        // In a separate task: a caller that is not polled for a while, such as one of many that read ahead, must not hold a permit that a
        // polled caller waits for.
        let task = tokio::spawn(async move {
            let permit = threads.acquire_owned().await;
            let permit = permit.map_err(|error| StoreError::Io(error.to_string()))?;
            #[expect(clippy::disallowed_methods, reason = "a driver waits for the disk")]
            let work = tokio::task::spawn_blocking(move || {
                // The permit lives as long as the thread works, even when nobody waits for the answer any more.
                let _permit = permit;
                work(&inner)
            });
            work.await.map_err(cut_short)?
        });
        task.await.map_err(cut_short)?
    }
}

fn cut_short(error: tokio::task::JoinError) -> StoreError {
    StoreError::Io(format!("file work was cut short: {error}"))
}

impl Objects for Directory {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            objects.iter().try_for_each(|(path, _)| valid(path))?;
            if let Some(together) = self.inner.together
                && together.pays(&objects)
            {
                return self.run(move |inner| inner.put_together(&objects)).await;
            }
            let share = objects.len().div_ceil(THREADS_PER_PUT).max(1);
            let mut objects = objects.into_iter();
            let mut parts = Vec::new();
            loop {
                let part: Vec<_> = objects.by_ref().take(share).collect();
                if part.is_empty() {
                    break;
                }
                parts.push(self.run(move |inner| inner.put(&part)));
            }
            // Folders are synced once per put, after all names are in them.
            let mut folders = BTreeSet::new();
            for part in futures_util::future::join_all(parts).await {
                folders.extend(part?);
            }
            self.run(move |inner| inner.sync(folders)).await
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            valid(&path)?;
            self.run(move |inner| inner.get(&path)).await
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Box::pin(async move {
            if !prefix.is_empty() {
                valid(&prefix)?;
            }
            self.run(move |inner| inner.list(prefix)).await
        })
    }

    fn names(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Box::pin(async move {
            if !prefix.is_empty() {
                valid(&prefix)?;
            }
            self.run(move |inner| inner.names(&prefix)).await
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            paths.iter().try_for_each(|path| valid(path))?;
            self.run(move |inner| paths.iter().try_for_each(|path| inner.delete(path)))
                .await
        })
    }

    fn discard(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            paths.iter().try_for_each(|path| valid(path))?;
            self.run(move |inner| {
                let mut paths = paths.iter();
                paths.try_for_each(|path| match inner.keep(path) {
                    true => Ok(()),
                    false => inner.delete(path),
                })
            })
            .await
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(self.run(|inner| {
            let stat = rustix::fs::fstatvfs(&inner.root)
                .map_err(|error| failure("asking", "free space", error))?;
            Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
        }))
    }
}
