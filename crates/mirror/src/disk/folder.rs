//! A secondary's folder in a file system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use super::{Disk, DiskEntry, DiskFile, DiskWork};

/// A folder of the operating system's.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, which exists.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Disk for Folder {
    fn place(&self) -> &Path {
        &self.0
    }

    fn run(&self, work: DiskWork) -> BoxFuture<'static, Result<(), String>> {
        #[expect(clippy::disallowed_methods, reason = "a driver waits for the disk")]
        let running = tokio::task::spawn_blocking(work);
        Box::pin(async { running.await.map_err(|e| e.to_string()) })
    }

    fn find(&self, path: &str) -> Option<DiskEntry> {
        let found = std::fs::metadata(self.0.join(path)).ok()?;
        Some(entry(found.is_dir()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, DiskEntry)>> {
        let names = std::fs::read_dir(self.0.join(folder))?.map(|found| {
            let found = found?;
            let name = found.file_name().to_string_lossy().into_owned();
            Ok((name, entry(found.file_type()?.is_dir())))
        });
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }

    fn make(&self, folder: &str) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.0.join(folder))
    }

    fn sync(&self, folder: &str) -> io::Result<()> {
        File::open(self.0.join(folder))?.sync_all()
    }

    fn open(&self, file: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options.truncate(false).open(self.0.join(file))?;
        Ok(Box::new(file))
    }

    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.0.join(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn entry(folder: bool) -> DiskEntry {
    if folder {
        DiskEntry::Folder
    } else {
        DiskEntry::File
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
