//! A folder for the temporary files of one open store.
//!
//! It is locked (`flock`) while in use: a lock, unlike a process id, cannot belong to somebody else by chance, also not
//! when two containers share the disk. What must never happen: the removal of a folder that is in use.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::path::TEMPORARY;

pub(super) struct Scratch {
    root: OwnedFd,
    name: String,
    folder: OwnedFd,
    next: AtomicU64,
}

impl Scratch {
    /// Makes a folder of our own in `root`, and removes those that nobody has locked.
    pub(super) fn create(root: &OwnedFd) -> Result<Self, Errno> {
        let root = root.try_clone().map_err(|_| Errno::MFILE)?;
        remove_dead(&root)?;
        for attempt in 0..64 {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|_| Errno::IO)?;
            let name = format!(
                "{TEMPORARY}{}-{:016x}",
                std::process::id(),
                u64::from_ne_bytes(random)
            );
            rustix::fs::mkdirat(&root, &*name, Mode::from_raw_mode(0o700))?;
            // Between these steps somebody else may find the folder without a lock and remove it.
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

    /// A name that no file in the folder has had.
    pub(super) fn name(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever opens the store next removes what is left.
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
