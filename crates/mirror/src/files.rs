//! One mirrored log on disk: a few flat files that only grow.
//!
//! ```text
//! entries    the entry bundles, one after the other
//! bundles    where each of them begins: eight bytes, big-endian
//! level-N    the hashes of that level, 32 bytes each: tile I of the level begins at 8192·I
//! cosigned   the size that was cosigned last, its root, and a checksum
//! ```
//!
//! Bytes above the position that the owner has written down do not count: they are cut off when the files are opened. So a crash in the middle of a
//! write loses what was not yet acknowledged, and nothing else. What must never happen: a byte below the position changes, or a position is recorded
//! before [`Files::sync`] has returned. Rows that are an older copy must not cause entries to be cut off. The file `cosigned` shows such rows: it is
//! written after the rows, so it is never ahead of the rows that belong to these files. It is not synced: after a power cut it may be behind, and
//! then proves nothing.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::record;
use tlog::{Hash, ShardTree, TILE_WIDTH, TileBytes, TileKind, TilePath, TileSet, TreeSize, bundle};

use crate::disk::{Disk, DiskFile, shown};

const TILE_BYTES: u64 = TILE_WIDTH * Hash::LEN as u64;

/// How far the files are whole and durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// Entries in the files.
    pub(crate) next: TreeSize,
    pub(crate) bytes: u64,
}

/// A file, and whether it was written since the last sync.
struct Part {
    file: Box<dyn DiskFile>,
    dirty: bool,
}

/// The files of one log.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    /// The folder of the files on the disk.
    dir: String,
    entries: Part,
    bundles: Part,
    levels: Vec<Part>,
    /// Whether a file was made since the last sync.
    named: bool,
    /// The start of the bundle that is being filled.
    bundle_at: u64,
}

/// The file with the last cosigned position, and its length: a size, a root, the beginning of their digest.
const COSIGNED: &str = "cosigned";
const COSIGNED_BYTES: usize = 8 + Hash::LEN + 8;

fn cosigned(size: TreeSize, root: Hash) -> [u8; COSIGNED_BYTES] {
    let mut bytes = [0; COSIGNED_BYTES];
    let (said, sum) = bytes.split_at_mut(8 + Hash::LEN);
    said[..8].copy_from_slice(&size.get().to_be_bytes());
    said[8..].copy_from_slice(&root.0);
    sum.copy_from_slice(&record::digest(said).0[..8]);
    bytes
}

/// The last cosigned position, according to the files in `dir`; `None` if they do not have it.
pub(crate) fn last_cosigned(disk: &dyn Disk, dir: &str) -> io::Result<Option<(TreeSize, Hash)>> {
    let Some(bytes) = disk.read(&format!("{dir}/{COSIGNED}"))? else {
        return Ok(None);
    };
    let Ok(bytes) = <[u8; COSIGNED_BYTES]>::try_from(bytes) else {
        return Ok(None);
    };
    let (mut size, mut root) = ([0; 8], [0; Hash::LEN]);
    size.copy_from_slice(&bytes[..8]);
    root.copy_from_slice(&bytes[8..8 + Hash::LEN]);
    let said = (TreeSize::new(u64::from_be_bytes(size)), Hash(root));
    Ok((cosigned(said.0, said.1) == bytes).then_some(said))
}

fn corrupt(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How many hashes a level has in a tree of this many entries.
fn width(level: usize, size: u64) -> u64 {
    u32::try_from(8 * level)
        .ok()
        .and_then(|bits| size.checked_shr(bits))
        .unwrap_or(0)
}

impl Part {
    fn open(disk: &dyn Disk, path: &str, length: u64) -> io::Result<Self> {
        let file = disk.open(path)?;
        let found = file.length()?;
        if found < length {
            return Err(corrupt(format!(
                "{} has {found} bytes where {length} were acknowledged",
                shown(disk, path).display()
            )));
        }
        file.cut(length)?;
        Ok(Self { file, dirty: false })
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.dirty = true;
        self.file.write(bytes, at)
    }

    fn read(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| corrupt("too long".to_owned()))?;
        let mut bytes = vec![0; length];
        self.file.read(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Files {
    /// Opens the files in `dir`, which is made when absent, and cuts off bytes after the position. The result holds the tree at the
    /// position.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &str,
        position: Position,
    ) -> io::Result<(Self, ShardTree)> {
        disk.make(dir)?;
        let part = |name: &str, length: u64| Part::open(&**disk, &format!("{dir}/{name}"), length);
        let Position { next, bytes } = position;
        let bundles = next.get().div_ceil(TILE_WIDTH);
        let mut files = Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            entries: part("entries", bytes)?,
            bundles: part("bundles", 8 * bundles)?,
            levels: Vec::new(),
            named: true,
            bundle_at: bytes,
        };
        let mut level = 0;
        while level == 0
            || width(level, next.get()) > 0
            || disk.find(&files.level_path(level)).is_some()
        {
            let hashes = width(level, next.get());
            let path = files.level_path(level);
            let opened = Part::open(&**disk, &path, hashes * Hash::LEN as u64)?;
            files.levels.push(opened);
            level += 1;
        }
        let mut partial = Vec::new();
        if next.get() % TILE_WIDTH > 0 {
            files.bundle_at = files.bundle_start(bundles - 1)?;
            let length = bytes.checked_sub(files.bundle_at);
            let length = length.ok_or_else(|| corrupt("bundles: beyond the entries".to_owned()))?;
            partial = files.entries.read(files.bundle_at, length)?;
        }
        let tree = ShardTree::resume(next.get(), partial, |path| files.hashes(path))?;
        Ok((files, tree))
    }

    fn level_path(&self, level: usize) -> String {
        format!("{}/level-{level}", self.dir)
    }

    fn bundle_start(&self, bundle: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.bundles.file.read(&mut bytes, 8 * bundle)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Writes tiles that a tree handed out, full ones in their order or the partial ones at its size. Nothing is durable yet.
    pub(crate) fn write(&mut self, tiles: &[TileBytes]) -> io::Result<()> {
        for (path, bytes) in tiles {
            match path.kind {
                TileKind::Entries => {
                    self.bundles
                        .write(&self.bundle_at.to_be_bytes(), 8 * path.index)?;
                    self.entries.write(bytes, self.bundle_at)?;
                    if !path.is_partial() {
                        self.bundle_at += bytes.len() as u64;
                    }
                }
                TileKind::Hashes(level) => {
                    while self.levels.len() <= usize::from(level) {
                        let path = self.level_path(self.levels.len());
                        self.levels.push(Part::open(&*self.disk, &path, 0)?);
                        self.named = true;
                    }
                    self.levels[usize::from(level)].write(bytes, TILE_BYTES * path.index)?;
                }
            }
        }
        Ok(())
    }

    /// Makes everything written durable. `partial` is the length of the bundle that is not full; returns the position for this many
    /// entries. After an error the files must not be used any more.
    pub(crate) fn sync(&mut self, next: TreeSize, partial: usize) -> io::Result<Position> {
        for part in [&mut self.entries, &mut self.bundles]
            .into_iter()
            .chain(&mut self.levels)
        {
            if std::mem::take(&mut part.dirty) {
                part.file.sync()?;
            }
        }
        if std::mem::take(&mut self.named) {
            self.disk.sync(&self.dir)?;
            let above = self.dir.rsplit_once('/');
            self.disk.sync(above.map_or("", |(above, _)| above))?;
        }
        Ok(Position {
            next,
            bytes: self.bundle_at + partial as u64,
        })
    }

    /// The position of the tree of `size` entries, all of which are durable here; `all` is the position of everything that is durable.
    pub(crate) fn position(&self, size: TreeSize, all: Position) -> io::Result<Position> {
        if size >= all.next {
            return Ok(all);
        }
        let mut bytes = self.bundle_start(size.get() / TILE_WIDTH)?;
        if let Some(partial) = TilePath::at(TileKind::Entries, size.get() / TILE_WIDTH, size.get())
        {
            let bundle = self.read(partial, all)?;
            bytes += bundle.map_or(0, |bundle| bundle.len() as u64);
        }
        Ok(Position { next: size, bytes })
    }

    /// Notes the last cosigned position, once the rows have it.
    pub(crate) fn note_cosigned(&self, size: TreeSize, root: Hash) -> io::Result<()> {
        let file = self.disk.open(&format!("{}/{COSIGNED}", self.dir))?;
        file.write(&cosigned(size, root), 0)
    }

    /// The same files without the bytes behind the position.
    pub(crate) fn cut(&self, position: Position) -> io::Result<(Self, ShardTree)> {
        Self::open(&self.disk, &self.dir, position)
    }

    /// The hashes of a tile; of a partial one, as many as its name says.
    pub(crate) fn hashes(&self, path: TilePath) -> io::Result<Vec<Hash>> {
        let bytes = self.tile(path)?;
        Ok(bytes
            .as_chunks::<{ Hash::LEN }>()
            .0
            .iter()
            .copied()
            .map(Hash)
            .collect())
    }

    /// The bytes of a hash tile.
    fn tile(&self, path: TilePath) -> io::Result<Vec<u8>> {
        let TileKind::Hashes(level) = path.kind else {
            return Err(corrupt(format!("{path} is not a hash tile")));
        };
        let part = self
            .levels
            .get(usize::from(level))
            .ok_or(io::ErrorKind::NotFound)?;
        let length = u64::from(path.width) * Hash::LEN as u64;
        part.read(TILE_BYTES * path.index, length)
    }

    /// A tile or bundle as it is in the tree of `size` entries or a larger one; `None` where that tree does not have it. The
    /// size must be durable here.
    pub(crate) fn read(&self, path: TilePath, size: Position) -> io::Result<Option<Bytes>> {
        let wide = TilePath::at(path.kind, path.index, size.next.get());
        if wide.is_none_or(|wide| wide.width < path.width) {
            return Ok(None);
        }
        if path.kind != TileKind::Entries {
            return self.tile(path).map(|bytes| Some(Bytes::from(bytes)));
        }
        let start = self.bundle_start(path.index)?;
        let end = if path.index + 1 < size.next.get().div_ceil(TILE_WIDTH) {
            self.bundle_start(path.index + 1)?
        } else {
            size.bytes
        };
        let length = end
            .checked_sub(start)
            .ok_or_else(|| corrupt("bundles: out of order".to_owned()))?;
        let bytes = self.entries.read(start, length)?;
        let entries = bundle::entries(&bytes).map_err(|e| corrupt(format!("{path}: {e}")))?;
        let Some(entries) = entries.get(..usize::from(path.width)) else {
            return Err(corrupt(format!("{path}: fewer entries than its name says")));
        };
        let length: usize = entries.iter().map(|entry| entry.len() + 2).sum();
        Ok(Some(Bytes::from(bytes).slice(..length)))
    }

    /// The root of the tree of `size` entries, which are written here.
    pub(crate) fn root(&self, size: TreeSize) -> io::Result<Hash> {
        let mut tiles = TileSet::new();
        for path in tlog::edge_tiles(size.get()) {
            tiles
                .insert(path, &self.tile(path)?)
                .map_err(|e| corrupt(format!("{path}: {e}")))?;
        }
        tlog::edge_from_tiles(size.get(), &tiles)
            .map(|edge| edge.root())
            .map_err(|e| corrupt(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ambient::Random;
    use proptest::prelude::*;

    use super::*;
    use crate::disk::{Folder, MemoryDisk};

    fn entry(i: u64) -> Vec<u8> {
        format!("entry {}", i * i).into_bytes()
    }

    fn grow(tree: &mut ShardTree, files: &mut Files, to: u64) {
        let mut out = Vec::new();
        for i in tree.size()..to {
            tree.push(&entry(i), &mut out);
        }
        files.write(&out).unwrap();
        files.write(&tree.partials()).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_was_synced_is_there_again(steps in prop::collection::vec((1..900u64, any::<bool>()), 1..6), seed: u64) {
            let dir = tempfile::tempdir().unwrap();
            synced_is_there_again(&steps, Arc::new(Folder::new(dir.path())), |disk| disk)?;
            let random = Random::seeded(seed);
            let memory = MemoryDisk::new();
            let disk = RefCell::new(memory.clone());
            synced_is_there_again(&steps, Arc::new(memory), |_| {
                let found = disk.borrow().crash(&random).unwrap();
                disk.replace(found.clone());
                Arc::new(found)
            })?;
        }
    }

    /// `found` is the disk after a crash.
    fn synced_is_there_again(
        steps: &[(u64, bool)],
        disk: Arc<dyn Disk>,
        found: impl Fn(Arc<dyn Disk>) -> Arc<dyn Disk>,
    ) -> Result<(), TestCaseError> {
        let mut disk = disk;
        let mut durable = Position::default();
        let (mut files, mut tree) = Files::open(&disk, "x", durable).unwrap();
        let mut roots = vec![(TreeSize::ZERO, tlog::empty_root())];
        for &(more, kept) in steps {
            grow(&mut tree, &mut files, (durable.next + more).get());
            if kept {
                durable = files
                    .sync(TreeSize::new(tree.size()), tree.partial_bundle())
                    .unwrap();
                roots.push((durable.next, tree.root()));
            }
            // Bytes above the position are gone, as after a crash.
            disk = found(disk);
            (files, tree) = Files::open(&disk, "x", durable).unwrap();
            prop_assert_eq!(tree.size(), durable.next.get());
            for (size, root) in &roots {
                prop_assert_eq!(files.root(*size).unwrap(), *root);
            }
        }
        let mut oracle = std::collections::HashMap::new();
        let (mut other, mut out) = (ShardTree::default(), Vec::new());
        for i in 0..durable.next.get() {
            other.push(&entry(i), &mut out);
        }
        oracle.extend(out);
        oracle.extend(other.partials());
        for (path, bytes) in &oracle {
            let read = files.read(*path, durable).unwrap();
            prop_assert_eq!(read.as_ref(), Some(bytes));
            if path.is_partial() {
                let wider = TilePath {
                    width: path.width + 1,
                    ..*path
                };
                prop_assert_eq!(files.read(wider, durable).unwrap(), None);
            }
        }
        Ok(())
    }

    #[test]
    fn missing_bytes_are_noticed() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (mut files, mut tree) = Files::open(&disk, "x", Position::default()).unwrap();
        grow(&mut tree, &mut files, 600);
        let position = files
            .sync(TreeSize::new(600), tree.partial_bundle())
            .unwrap();
        drop(files);
        let entries = disk.open("x/entries").unwrap();
        entries.cut(position.bytes - 1).unwrap();
        let error = Files::open(&disk, "x", position).err().unwrap();
        assert!(error.to_string().contains("acknowledged"), "{error}");
    }
}
