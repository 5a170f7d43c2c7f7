//! Disks of secondaries that are lost, or come back as they once were; and what the judge knows of that.
//!
//! A secondary that lost something counts for the log until the log has written down that another storage answers, or an older one. Until
//! then nobody could know.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use mirror::{Disk, MemoryDisk};
use store::{Key, MemoryCoordination, MemoryObjects, record};
use tlog::Hash;
use tlog::mirror::origin_hash;

use crate::random::Dice;

/// What a secondary has: all of it is on one machine.
#[derive(Clone)]
pub struct Machine {
    /// The files of entries and hashes, which only grow.
    pub disk: MemoryDisk,
    /// What it has cosigned, and what is pending, by shard.
    pub rows: Arc<MemoryCoordination>,
    /// The manifests that it keeps for a restore.
    pub objects: Arc<MemoryObjects>,
}

/// What becomes of the disk of a secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost, and there is an empty one.
    Empty,
    /// It is as it was when it was last copied.
    Older,
    /// It is a copy that lacks every other file.
    Half,
    /// Its rows alone are as they were when they were last copied.
    OlderRows,
    /// Its rows are lost.
    NoRows,
}

/// What a storage had when it was lost.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The rows of what it had cosigned, by the hash of the origin.
    had: BTreeMap<Key, Bytes>,
    /// The number of the log's row about the storage of this secondary, at that moment.
    number: u64,
    /// No life of the log that has ended knew of it.
    may_be_unknown: bool,
    /// The storage in its place says that it is the same one.
    pub poses: bool,
}

impl Machine {
    /// A machine with an empty disk.
    pub fn empty() -> Self {
        Self {
            disk: MemoryDisk::new(),
            rows: Arc::default(),
            objects: Arc::default(),
        }
    }

    /// A copy of everything on it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            disk: self.disk.copy(),
            rows: Arc::new(MemoryCoordination::with(self.rows.rows())),
            objects: Arc::new(MemoryObjects::with(self.objects.objects())),
        }
    }

    /// What is left of it after this fate.
    #[must_use]
    pub fn after(&self, fate: Fate, copy: Option<&Self>, dice: &mut Dice) -> Self {
        let older = copy.map(Self::copy);
        match fate {
            Fate::Empty => Self::empty(),
            Fate::Older => older.unwrap_or_else(Self::empty),
            Fate::Half => Self {
                disk: half(&self.disk, dice),
                rows: self.copy().rows,
                objects: {
                    let mut objects = self.objects.objects();
                    objects.retain(|_, _| dice.chance(500_000));
                    Arc::new(MemoryObjects::with(objects))
                },
            },
            Fate::OlderRows => Self {
                rows: older.map_or_else(Arc::default, |older| older.rows),
                ..self.copy()
            },
            Fate::NoRows => Self {
                rows: Arc::default(),
                ..self.copy()
            },
        }
    }

    /// The size and the root that its rows say it has cosigned, of a shard.
    pub fn cosigned(&self, origin: &str) -> Option<(u64, Hash)> {
        let row = self.rows.get_now(&row_of(origin))?;
        read(&row)
    }

    /// What it has cosigned, to be remembered when it is lost.
    pub fn lost(&self, number: u64, poses: bool) -> Lost {
        let mut had = self.rows.rows();
        had.retain(|key, _| key.starts_with("mirror/"));
        Lost {
            had,
            number,
            may_be_unknown: true,
            poses,
        }
    }
}

trait Now {
    fn get_now(&self, key: &str) -> Option<Bytes>;
}

impl Now for MemoryCoordination {
    fn get_now(&self, key: &str) -> Option<Bytes> {
        store::Coordination::get(self, key).now_or_never()?.ok()?
    }
}

fn row_of(origin: &str) -> Key {
    format!("mirror/{}", origin_hash(origin))
}

fn read(row: &Bytes) -> Option<(u64, Hash)> {
    let (size, row) = record::decode_numbered::<BTreeMap<String, serde_json::Value>>(row).ok()?;
    let root = serde_json::from_value(row.get("root")?.clone()).ok()?;
    Some((size, root))
}

/// A disk with every other file of another one.
fn half(disk: &MemoryDisk, dice: &mut Dice) -> MemoryDisk {
    let (from, to) = (disk.copy(), MemoryDisk::new());
    for path in from.files() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let kept = dice.chance(500_000);
        let made = folder.is_empty() || to.make(folder).is_ok();
        if let (true, true, Ok(Some(bytes)), Ok(file)) =
            (made, kept, from.read(&path), to.open(&path))
        {
            let _ = file.write(&bytes, 0);
        }
    }
    to.copy()
}

impl Lost {
    /// What it had of a shard.
    pub fn had(&self, origin: &str) -> Option<(u64, Hash)> {
        read(self.had.get(&row_of(origin))?)
    }

    /// Whether the log cannot know of it yet: its row about the storage of this secondary has this number. The first row may be of what was lost
    /// before that row was written.
    pub fn is_unknown(&self, number: u64) -> bool {
        self.may_be_unknown && number <= self.number.max(1)
    }

    /// The rows of the log are lost while that row has this number; the next ones have numbers of their own.
    pub fn known_at(&mut self, number: u64) {
        if !self.is_unknown(number) {
            self.may_be_unknown = false;
        }
    }

    /// Whether a machine has all of it again.
    pub fn is_made_up(&self, machine: &Machine) -> bool {
        self.had.iter().all(|(key, row)| {
            let had = read(row).map_or(0, |(size, _)| size);
            let has = machine.rows.get_now(key).and_then(|row| read(&row));
            has.map_or(0, |(size, _)| size) >= had
        })
    }
}
