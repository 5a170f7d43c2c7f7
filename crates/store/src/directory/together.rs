//! One sync of the file system instead of one per file.
//!
//! `syncfs` writes everything that waits to be written on the file system, so it is used only if little of that belongs to others. What
//! must never happen: an error of the disk that is not reported. The kernel reports each error of a file system once to each open file, for
//! `syncfs` since Linux 5.8; so each `put` opens a file of its own before its first byte.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Objects of one `put` from which on it pays.
const MANY: usize = 4;
/// With more bytes than this waiting to be written on the whole machine, one would wait for others.
const OTHERS: u64 = 64 << 20;
/// The first kernel whose `syncfs` reports errors.
const KERNEL: (u32, u32) = (5, 8);
/// File systems whose `syncfs` followed by one `fsync` is known to leave everything on the disk: ext4 and XFS.
const KNOWN: [u64; 2] = [0xef53, 0x5846_5342];

/// The file system can sync many files together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together;

impl Together {
    /// Whether the file system of this folder supports it.
    pub(super) fn on(folder: &OwnedFd) -> Option<Self> {
        let stat = rustix::fs::fstatfs(folder).ok()?;
        let known = u64::try_from(stat.f_type).is_ok_and(|kind| KNOWN.contains(&kind));
        let release = rustix::system::uname();
        (known && version(release.release().to_str().ok()?)? >= KERNEL).then_some(Self)
    }

    /// Whether a `put` of these objects is faster with it.
    pub(super) fn pays(self, objects: &[(String, Bytes)]) -> bool {
        objects.len() >= MANY
            && std::fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| waiting(&text))
                .is_some_and(|bytes| bytes <= OTHERS)
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Bytes that wait to be written or are on their way, as `/proc/meminfo` says.
fn waiting(meminfo: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    Some(field("Dirty:")? + field("Writeback:")?)
}

/// Syncs for one `put`.
pub(super) struct Sync(OwnedFd);

impl Sync {
    /// Learns of every error from now on.
    pub(super) fn open(folder: &OwnedFd) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(folder, ".", flags, Mode::empty()).map(Self)
    }

    /// Makes everything durable that was written to the file system, names too. After an error, none of it can be relied upon.
    pub(super) fn all(&self) -> Result<(), Errno> {
        rustix::fs::syncfs(&self.0)?;
        // Without a journal ext4 writes inodes and folders last of all, and does not flush the disk's cache behind them: this does.
        rustix::fs::fsync(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_and_what_waits() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.8"), Some((5, 8)));
        assert_eq!(version("5"), None);
        let text = "MemFree:  5 kB\nDirty:               52 kB\nWriteback:         4 kB\nWritebackTmp:  9 kB\n";
        assert_eq!(waiting(text), Some(56 << 10));
        assert_eq!(waiting("Dirty: 1 kB\n"), None);
    }
}
