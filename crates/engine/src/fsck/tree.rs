//! A shard's stored tree, walked from the entries up to the root, with what only the stores know: the roots that were written
//! for smaller sizes, older partial tiles, and the batches that were ordered.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::StreamExt;
use tlog::walk::{self, Event, Flaw, Object, Walk, Wrong};
use tlog::{Hash, TileKind, TilePath, TreeSize, bundle};

use crate::fsck::batches::{Batches, Placed};
use crate::fsck::{Findings, Progress, Watcher, remedy};
use store::Objects;

/// How many objects are read ahead.
const AHEAD: usize = 32;

/// A root that the tree must have at some size.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// The place where the root is written.
    pub(crate) place: String,
    pub(crate) root: Hash,
    /// In the object store.
    pub(crate) object: bool,
}

/// The tree to check, and its expected roots.
pub(crate) struct Tree<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) log: &'a str,
    pub(crate) shard: &'a str,
    pub(crate) size: TreeSize,
    pub(crate) expected: Option<Hash>,
    pub(crate) roots: BTreeMap<TreeSize, Vec<Watched>>,
    /// Widths of the partial tiles that are there.
    pub(crate) partials: BTreeMap<(TileKind, u64), Vec<u16>>,
    /// In the order of their entries, without gaps where slots are kept.
    pub(crate) batches: Vec<Placed>,
}

impl Tree<'_> {
    /// Walks the tree. Returns the number of objects that were read.
    pub(crate) async fn check(&self, findings: &mut Findings<'_>, watcher: Watcher<'_>) -> u64 {
        // A shard that was never published has nothing to check.
        let Some(expected) = self.expected else {
            return 0;
        };
        let before = findings.list.len();
        let mut walk = Walk::new(
            self.size.get(),
            expected,
            self.roots.keys().map(|size| size.get()),
        );
        let mut batches = Batches::new(&self.batches);
        let (mut read, mut done) = (0, 0);
        let objects = futures_util::stream::iter(walk::order(self.size.get()))
            .map(|path| self.read(path))
            .buffered(AHEAD);
        futures_util::pin_mut!(objects);
        while let Some((path, object, bytes)) = objects.next().await {
            let events = walk.take(object);
            let intact = events.iter().any(
                |event| matches!(event, Event::Settled { path, .. } if path.kind == TileKind::Entries),
            );
            read += 1 + self.say(events, &bytes, findings).await;
            if path.kind == TileKind::Entries {
                let width = u64::from(path.width);
                let bundle = intact.then_some(&bytes[..]);
                batches.take(bundle, width, self, findings);
                done += width;
                watcher(Progress {
                    log: self.log,
                    shard: Some(self.shard),
                    done,
                    total: Some(self.size.get()),
                });
            }
        }
        let (events, root) = walk.finish();
        read += self.say(events, &Bytes::new(), findings).await;
        // A wrong root whose cause has been named is a consequence of it.
        if let Some(root) = root.filter(|root| *root != expected)
            && findings.list.len() == before
        {
            let roots = self.roots.get(&self.size).and_then(|roots| roots.first());
            let place = roots.map_or(self.shard, |root| &root.place);
            let what = format!(
                "says {expected}, but the {} entries lead to {root}",
                self.size
            );
            findings.row(place, what, remedy::CONFLICT);
        }
        read
    }

    pub(crate) fn path(&self, tile: &TilePath) -> String {
        format!("{}/{}/{tile}", self.log, self.shard)
    }

    /// Reads a tile as it is at the published size; a running server may have put the full one in its place.
    async fn read(&self, asked: TilePath) -> (TilePath, Object, Bytes) {
        for path in asked.names() {
            match self.objects.get(&self.path(&path)).await {
                Ok(Some(bytes)) => {
                    return (asked, Object::read(asked, Some((path, &bytes))), bytes);
                }
                Ok(None) => {}
                Err(error) => {
                    let flaw = Flaw::Unreadable(error.to_string());
                    return (asked, Object::flawed(asked, path, flaw), Bytes::new());
                }
            }
        }
        (asked, Object::read(asked, None), Bytes::new())
    }

    /// Makes findings of the walk's events; `bytes` are those of the object taken last. Returns how many older partial tiles were read.
    async fn say(&self, events: Vec<Event>, bytes: &[u8], findings: &mut Findings<'_>) -> u64 {
        let mut read = 0;
        for event in events {
            match event {
                Event::Flawed { path, flaw } => {
                    let remedy = match path.kind {
                        TileKind::Entries => remedy::ENTRIES,
                        TileKind::Hashes(_) => remedy::TILE,
                    };
                    findings.object(self.path(&path), flaw, remedy);
                }
                Event::Differs {
                    above,
                    below,
                    wrong,
                    ..
                } => self.differs(above, below, wrong, findings),
                Event::Settled { path, hashes } => {
                    read += self.partials(path, &hashes, bytes, findings).await;
                }
                Event::Root { size, root } => self.watched(TreeSize::new(size), root, findings),
            }
        }
        read
    }

    fn differs(&self, above: TilePath, below: TilePath, wrong: Wrong, findings: &mut Findings<'_>) {
        let tile = self.path(&above);
        match (below.kind, wrong) {
            (TileKind::Entries, Wrong::Above) => findings.object(
                tile,
                "does not hold the hashes of the entries",
                remedy::TILE,
            ),
            (TileKind::Entries, Wrong::Below) => findings.object(
                self.path(&below),
                "its entries are not those that were hashed",
                remedy::ENTRIES,
            ),
            (TileKind::Entries, Wrong::Either) => {
                let what = format!("does not match {tile}, and neither leads to the tile above");
                findings.object(self.path(&below), what, remedy::CONFLICT);
            }
            (TileKind::Hashes(_), Wrong::Below) => {}
            (TileKind::Hashes(_), wrong) => {
                let remedy = match wrong {
                    Wrong::Above => remedy::TILE,
                    _ => remedy::CONFLICT,
                };
                findings.object(tile, "is not what the tiles below it lead to", remedy);
            }
        }
    }

    /// Compares the roots that were written for this size.
    fn watched(&self, size: TreeSize, root: Hash, findings: &mut Findings<'_>) {
        if size == self.size && self.expected != Some(root) {
            return; // Told at the end, with its cause.
        }
        let watched = self.roots.get(&size).into_iter().flatten();
        for one in watched.filter(|one| one.root != root) {
            let what = format!(
                "says root {} at size {size}, the entries lead to {root}",
                one.root
            );
            if one.object {
                findings.object(&one.place, what, remedy::CONFLICT);
            } else {
                findings.row(&one.place, what, remedy::CONFLICT);
            }
        }
    }

    /// Checks older partial tiles, which are kept for readers: each begins the tile that it became. Returns the number that was read.
    async fn partials(
        &self,
        tile: TilePath,
        hashes: &[Hash],
        entries: &[u8],
        findings: &mut Findings<'_>,
    ) -> u64 {
        let Some(widths) = self.partials.get(&(tile.kind, tile.index)) else {
            return 0;
        };
        let mut read = 0;
        for &width in widths.iter().filter(|width| **width != tile.width) {
            let partial = TilePath { width, ..tile };
            let path = self.path(&partial);
            let bytes = match self.objects.get(&path).await {
                Ok(Some(bytes)) => bytes,
                // A running server removes them when the tile is full.
                Ok(None) => continue,
                Err(error) => {
                    let flaw = Flaw::Unreadable(error.to_string());
                    findings.object(path, flaw, remedy::READ);
                    continue;
                }
            };
            read += 1;
            let same = match tile.kind {
                TileKind::Entries => {
                    let count = bundle::entries(&bytes).map(|entries| entries.len());
                    entries.starts_with(&bytes) && count == Ok(usize::from(width))
                }
                TileKind::Hashes(_) => {
                    walk::hashes(partial, &bytes).is_ok_and(|tile| hashes.starts_with(&tile))
                }
            };
            if !same {
                findings.object(
                    path,
                    "is not the beginning of the tile that it became",
                    remedy::TILE,
                );
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use store::MemoryObjects;
    use tlog::{RightEdge, ShardTree, leaf_hash};

    use super::*;

    async fn tree(objects: BTreeMap<String, Bytes>, size: u64, root: Hash) -> Vec<String> {
        let store = MemoryObjects::with(objects);
        let tree = Tree {
            objects: &store,
            log: "l",
            shard: "s",
            size: TreeSize::new(size),
            expected: Some(root),
            roots: BTreeMap::new(),
            partials: BTreeMap::new(),
            batches: Vec::new(),
        };
        let mut findings = Findings {
            log: "l",
            list: Vec::new(),
        };
        tree.check(&mut findings, &mut |_| {}).await;
        findings.list.into_iter().map(|found| found.place).collect()
    }

    /// In a tree of three levels each damaged tile is named alone, wherever it is.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_damaged_tile_is_one_finding() {
        const SIZE: u64 = 66_000;
        let (mut tree, mut edge, mut tiles) = (ShardTree::default(), RightEdge::new(), Vec::new());
        for n in 0..SIZE {
            let entry = n.to_be_bytes();
            tree.push(&entry, &mut tiles);
            edge.push(leaf_hash(&entry));
        }
        tiles.extend(tree.partials());
        let objects: BTreeMap<_, _> = tiles
            .into_iter()
            .map(|(tile, bytes)| (format!("l/s/{tile}"), bytes))
            .collect();
        let root = edge.root();
        assert_eq!(
            self::tree(objects.clone(), SIZE, root).await,
            Vec::<String>::new()
        );
        let cases = [
            (TileKind::Hashes(0), 17, 256),
            (TileKind::Entries, 17, 256),
            (TileKind::Hashes(0), 256, 256),
            (TileKind::Entries, 256, 256),
            (TileKind::Hashes(0), 257, 208),
            (TileKind::Entries, 257, 208),
            (TileKind::Hashes(1), 0, 256),
            (TileKind::Hashes(1), 1, 1),
            (TileKind::Hashes(2), 0, 1),
        ];
        for (kind, index, width) in cases {
            let path = format!("l/s/{}", TilePath { kind, index, width });
            let mut damaged = objects.clone();
            let mut bytes = damaged[&path].to_vec();
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
            damaged.insert(path.clone(), bytes.into());
            assert_eq!(
                self::tree(damaged.clone(), SIZE, root).await,
                [path.as_str()]
            );
            damaged.remove(&path);
            assert_eq!(self::tree(damaged, SIZE, root).await, [path.as_str()]);
        }
        // All files agree with each other, but not with the signed root.
        let other = leaf_hash(b"other");
        assert_eq!(self::tree(objects, SIZE, other).await.len(), 1);
    }
}
