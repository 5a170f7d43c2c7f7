//! The work of a [`Directory`](super::Directory) on the threads for files: each function here blocks.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::path;
use super::path::valid;
use super::scratch::Scratch;
use super::together::{self, Together};
use crate::StoreError;

/// Folders whose name is known to be durable; forgotten all at once when there are more.
const KNOWN: usize = 16_384;

/// How often a `put` begins again because its folder was pruned meanwhile.
const RETRIES: usize = 16;

pub(super) struct Inner {
    pub(super) root: OwnedFd,
    /// `None` if the store is only read.
    pub(super) scratch: Option<Scratch>,
    /// How the file system syncs many files at once, if it can.
    pub(super) together: Option<Together>,
    /// Folders whose entry in the folder above has been synced.
    pub(super) known: Mutex<HashSet<String>>,
}

impl Inner {
    pub(super) fn scratch(&self) -> Result<&Scratch, Errno> {
        self.scratch.as_ref().ok_or(Errno::ROFS)
    }

    /// Writes and renames; returns the folders that must still be synced.
    pub(super) fn put(&self, objects: &[(String, Bytes)]) -> Result<BTreeSet<String>, StoreError> {
        let mut folders = BTreeSet::new();
        for (path, bytes) in objects {
            let (folder, name) = path::split(path);
            self.put_one(folder, name, bytes)
                .map_err(|error| failure("writing", path, error))?;
            if !folders.contains(folder) {
                folders.insert(folder.to_owned());
            }
        }
        Ok(folders)
    }

    fn put_one(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Errno> {
        let scratch = self.scratch()?;
        let (temporary, mut file) = scratch.file(bytes.len() as u64)?;
        write(&mut file, bytes)
            .and_then(|()| rustix::fs::fsync(&file))
            .and_then(|()| self.name(&temporary, folder, name))
            .inspect_err(|_| scratch.remove(&temporary))
    }

    /// Writes all, syncs all, names all, and syncs the names.
    pub(super) fn put_together(&self, objects: &[(String, Bytes)]) -> Result<(), StoreError> {
        let mut written = Vec::with_capacity(objects.len());
        let done = self.write_together(objects, &mut written);
        if done.is_err() {
            // Files that already have their final names are no longer here.
            if let Some(scratch) = &self.scratch {
                written.iter().for_each(|name| scratch.remove(name));
            }
        }
        done
    }

    fn write_together(
        &self,
        objects: &[(String, Bytes)],
        written: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let failed = |path| move |error| failure("writing", path, error);
        let scratch = self.scratch().map_err(failed(""))?;
        // Before the first byte: it learns of every failure from here on.
        let sync = together::Sync::open(scratch.folder()).map_err(failed(""))?;
        for (path, bytes) in objects {
            let file = scratch.file(bytes.len() as u64);
            let (temporary, mut file) = file.map_err(failed(path))?;
            written.push(temporary);
            write(&mut file, bytes).map_err(failed(path))?;
        }
        sync.all().map_err(|e| failure("syncing", "files", e))?;
        for ((path, _), temporary) in objects.iter().zip(&*written) {
            let (folder, name) = path::split(path);
            self.name(temporary, folder, name).map_err(failed(path))?;
        }
        sync.all().map_err(|e| failure("syncing", "folders", e))
    }

    /// Moves a file that is durable to its path.
    fn name(&self, temporary: &str, folder: &str, name: &str) -> Result<(), Errno> {
        let mut attempt = 0;
        loop {
            let moved = self.make_folder(folder).and_then(|folder| {
                rustix::fs::renameat(self.scratch()?.folder(), temporary, &folder, name)
            });
            match moved {
                // Another process has pruned the folder, which was empty until now.
                Err(Errno::NOENT) if attempt < RETRIES => attempt += 1,
                other => return other,
            }
        }
    }

    /// Opens the folder, making what is missing of it.
    fn make_folder(&self, folder: &str) -> Result<OwnedFd, Errno> {
        match self.open_folder(folder) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut at = self.root.try_clone().map_err(|error| errno(&error))?;
        for segment in path::segments(folder) {
            match rustix::fs::mkdirat(&at, segment, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => at = step(at.as_fd(), segment)?,
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    /// Opens the folder segment by segment, so that a symbolic link anywhere in it is refused.
    fn open_folder(&self, folder: &str) -> Result<OwnedFd, Errno> {
        let mut at = None::<OwnedFd>;
        for segment in path::segments(folder) {
            at = Some(step(at.as_ref().unwrap_or(&self.root).as_fd(), segment)?);
        }
        at.map_or_else(|| self.root.try_clone().map_err(|error| errno(&error)), Ok)
    }

    /// Syncs each folder once, and those above whose new entry may not be on disk yet.
    pub(super) fn sync(&self, folders: BTreeSet<String>) -> Result<(), StoreError> {
        let mut all = BTreeSet::new();
        let mut learned = Vec::new();
        for folder in &folders {
            let mut folder = folder.as_str();
            all.insert(folder);
            // A folder that another process has just made may not be durable yet either.
            while !folder.is_empty() && !self.known().contains(folder) {
                learned.push(folder);
                folder = path::split(folder).0;
                all.insert(folder);
            }
        }
        for folder in all {
            let synced = self.open_folder(folder).and_then(rustix::fs::fsync);
            synced.map_err(|error| failure("syncing", folder, error))?;
        }
        let mut known = self.known();
        if known.len() > KNOWN {
            known.clear();
        }
        known.extend(learned.into_iter().map(str::to_owned));
        Ok(())
    }

    pub(super) fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let (folder, name) = path::split(path);
        let read = || {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(self.open_folder(folder)?, name, flags, Mode::empty())?;
            let mut file = File::from(file);
            let before = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
                return Err(Errno::NOENT);
            }
            let mut bytes = Vec::with_capacity(usize::try_from(before.st_size).unwrap_or(0));
            file.read_to_end(&mut bytes)
                .map_err(|error| errno(&error))?;
            let after = rustix::fs::fstat(&file)?;
            let same = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec, stat.st_size);
            // The object was discarded meanwhile and may have been written again.
            Ok((same(&before) == same(&after)).then(|| Bytes::from(bytes)))
        };
        loop {
            match read() {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => {}
                // A folder on the way that is itself an object holds nothing.
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(error) => return Err(failure("reading", path, error)),
            }
        }
    }

    pub(super) fn list(&self, prefix: String) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let mut folders = vec![prefix];
        while let Some(folder) = folders.pop() {
            self.list_one(&folder, &mut folders, &mut found)
                .map_err(|error| failure("listing", &folder, error))?;
        }
        Ok(found)
    }

    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let (mut names, mut objects) = (Vec::new(), Vec::new());
        self.list_one(folder, &mut names, &mut objects)
            .map_err(|error| failure("listing", folder, error))?;
        names.append(&mut objects);
        Ok(names
            .iter()
            .map(|path| path::split(path).1.to_owned())
            .collect())
    }

    fn list_one(
        &self,
        folder: &str,
        folders: &mut Vec<String>,
        found: &mut Vec<String>,
    ) -> Result<(), Errno> {
        let at = match self.open_folder(folder) {
            // Absent, or pruned since its parent was read.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        for entry in Dir::read_from(&at)? {
            let entry = entry?;
            // A name that no object can have (`.`, `..`, temporary files, not UTF-8) is not ours.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if valid(name).is_err() {
                continue;
            }
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            let kind = match entry.file_type() {
                FileType::Unknown => match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)
                {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error),
                },
                kind => kind,
            };
            match kind {
                FileType::RegularFile => found.push(path),
                FileType::Directory => folders.push(path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps an object's file to be written again; false when it is to be deleted.
    pub(super) fn keep(&self, path: &str) -> bool {
        let (folder, name) = path::split(path);
        let kept = self
            .open_folder(folder)
            .and_then(|at| self.scratch()?.keep(&at, name));
        matches!(kept, Ok(true))
    }

    /// Deletes one object, and the folders that it leaves empty.
    pub(super) fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.scratch()
            .map_err(|error| failure("deleting", path, error))?;
        let (mut folder, mut name) = path::split(path);
        let mut flags = AtFlags::empty();
        loop {
            match self
                .open_folder(folder)
                .and_then(|at| rustix::fs::unlinkat(at, name, flags))
            {
                Ok(()) if !folder.is_empty() => {
                    self.known().remove(folder);
                    (folder, name) = path::split(folder);
                    flags = AtFlags::REMOVEDIR;
                }
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
                // The object is gone; its folder stays, for whatever reason.
                Err(_) if flags == AtFlags::REMOVEDIR => return Ok(()),
                // A folder is no object.
                Err(Errno::ISDIR) => return Ok(()),
                Err(error) => return Err(failure("deleting", path, error)),
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes these a file's bytes.
fn write(file: &mut File, bytes: &[u8]) -> Result<(), Errno> {
    file.write_all(bytes).map_err(|error| errno(&error))
}

fn step(at: BorrowedFd<'_>, segment: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, segment, flags, Mode::empty())
}

/// Creates the root and makes each new name on the way to it durable.
pub(super) fn create_root(root: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path, error: &std::io::Error| {
        failure("creating", &path.display().to_string(), errno(error))
    };
    for folder in root.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            continue;
        }
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other.map_err(|error| failed(folder, &error))?,
        }
        let parent = folder
            .parent()
            .filter(|parent| *parent != OsStr::from_bytes(b""))
            .unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(|error| failed(parent, &error))?;
    }
    Ok(())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

pub(super) fn failure(doing: &str, path: &str, error: Errno) -> StoreError {
    let detail = format!("{doing} {path}: {error}");
    match error {
        // FBIG: a limit of this process on the size of files (`ulimit -f`), which is just as much the end of the space.
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => StoreError::Full(detail),
        _ => StoreError::Io(detail),
    }
}
