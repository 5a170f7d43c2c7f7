//! A folder for the temporary files of one open store, and for large files that are overwritten instead of being deleted: freeing their
//! blocks costs the disk a command where the file system is mounted with `discard`, and a file system without a journal searches past every
//! recently deleted inode when it makes the next file.
//!
//! It is locked (`flock`) while in use: a lock, unlike a process id, cannot belong to another process by chance, even when two containers
//! share the disk. What must never happen: a folder that is in use is removed.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::path::TEMPORARY;
use crate::system;

/// How long a spare file rests, so that a process that was reading it can see from its times that it is another file now.
const REST: Duration = Duration::from_millis(250);
/// Bytes that spare files may hold.
const MOST: u64 = 64 << 20;
/// Smaller files are not worth it.
const LEAST: u64 = 32 << 10;

/// A file that is to be overwritten.
struct Spare {
    name: String,
    bytes: u64,
    since: Instant,
}

pub(super) struct Scratch {
    root: OwnedFd,
    name: String,
    folder: OwnedFd,
    next: AtomicU64,
    spare: Mutex<Vec<Spare>>,
}

impl Scratch {
    /// Makes a folder of our own in `root`, and removes those that nobody has locked.
    pub(super) fn create(root: &OwnedFd) -> Result<Self, Errno> {
        let root = root.try_clone().map_err(|_| Errno::MFILE)?;
        remove_dead(&root)?;
        for attempt in 0..64 {
            let number = system::unique().map_err(|_| Errno::IO)?;
            let name = format!("{TEMPORARY}{}-{number:016x}", std::process::id());
            rustix::fs::mkdirat(&root, &*name, Mode::from_raw_mode(0o700))?;
            // Between these steps another process may find the folder without a lock and remove it.
            let locked = open(&root, &name).and_then(|folder| {
                rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
                if rustix::fs::fstat(&folder)?.st_nlink == 0 {
                    Err(Errno::NOENT)
                } else {
                    Ok(folder)
                }
            });
            match locked {
                Ok(folder) => {
                    return Ok(Self {
                        root,
                        name,
                        folder,
                        next: AtomicU64::new(0),
                        spare: Mutex::default(),
                    });
                }
                Err(Errno::NOENT | Errno::WOULDBLOCK) if attempt < 63 => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::AGAIN)
    }

    pub(super) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// Removes a file that did not become an object. A file that cannot be removed now is removed when the store is opened after this
    /// process has ended.
    pub(super) fn remove(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
    }

    /// A file for this many bytes, and its name here. It may still hold older bytes, but not more of them.
    pub(super) fn file(&self, bytes: u64) -> Result<(String, File), Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Some(name) = self.spare(bytes) {
            let file = rustix::fs::openat(&self.folder, &name, flags, Mode::empty())?;
            return Ok((name, File::from(file)));
        }
        let name = self.name();
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::openat(&self.folder, &name, flags, Mode::from_raw_mode(0o644))?;
        Ok((name, File::from(file)))
    }

    /// Takes a file out of the store, to be overwritten; returns false and does nothing if it should be deleted instead.
    pub(super) fn keep(&self, folder: &OwnedFd, name: &str) -> Result<bool, Errno> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let held: u64 = self.spares().iter().map(|spare| spare.bytes).sum();
        // Another name of the file shows that someone else keeps it.
        if !plain || stat.st_nlink != 1 || bytes < LEAST || held.saturating_add(bytes) > MOST {
            return Ok(false);
        }
        let spare = Spare {
            name: self.name(),
            bytes,
            since: system::instant(),
        };
        rustix::fs::renameat(folder, name, &self.folder, &spare.name)?;
        self.spares().push(spare);
        Ok(true)
    }

    /// The largest spare file that has rested and holds no more than this many bytes, so that none of its blocks becomes free.
    fn spare(&self, bytes: u64) -> Option<String> {
        if bytes < LEAST {
            return None;
        }
        let mut spares = self.spares();
        let fits = |spare: &Spare| spare.bytes <= bytes && spare.since.elapsed() >= REST;
        let found = spares.iter().enumerate().filter(|(_, spare)| fits(spare));
        let (at, _) = found.max_by_key(|(_, spare)| spare.bytes)?;
        Some(spares.swap_remove(at).name)
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<Spare>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that no file in the folder has had.
    fn name(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next process that opens the store removes what is left.
        let _ = empty(&self.root, &self.name, &self.folder);
    }
}

fn remove_dead(root: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .ok()
            .filter(|name| name.starts_with(TEMPORARY))
        else {
            continue;
        };
        let removed = open(root, name).and_then(|folder| {
            rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
            empty(root, name, &folder)
        });
        match removed {
            // In use, or already removed by another, or not a folder and so not ours.
            Ok(()) | Err(Errno::WOULDBLOCK | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => {
                tracing::warn!(%error, name, "temporary files of a dead process cannot be removed")
            }
        }
    }
    Ok(())
}

fn empty(root: &OwnedFd, name: &str, folder: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            rustix::fs::unlinkat(folder, entry.file_name(), AtFlags::empty())?;
        }
    }
    rustix::fs::unlinkat(root.as_fd(), name, AtFlags::REMOVEDIR)
}

fn open(root: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, name, flags, Mode::empty())
}
