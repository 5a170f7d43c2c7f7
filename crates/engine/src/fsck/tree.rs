//! A shard's tiles, from the entries up to the root, each compared with what is stored.
//!
//! Where two files contradict each other the one above decides which of them is wrong, and at the right edge the published
//! root does; so that one damaged byte names one file. What must never happen: a tile that is not hashed from what is below.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tlog::{Hash, RightEdge, TILE_WIDTH, TileKind, TilePath, bundle, leaf_hash, tile_root};

use crate::fsck::{Findings, Progress, Watcher, remedy};
use store::{Objects, StoreError};

/// Objects read ahead.
const AHEAD: usize = 16;

/// A root that must come out at some size.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// Where it is written.
    pub(crate) place: String,
    pub(crate) root: Hash,
    /// In the object store.
    pub(crate) object: bool,
}

/// A batch that must be found in the shard.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// Index in the shard of its first entry.
    pub(crate) first: u64,
    pub(crate) entries: u64,
    /// SHA-256 of its entries in bundle encoding.
    pub(crate) digest: Hash,
    pub(crate) slot: u64,
}

/// What is to be checked.
pub(crate) struct Tree<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) log: &'a str,
    pub(crate) shard: &'a str,
    /// Entries published.
    pub(crate) size: u64,
    /// The published root.
    pub(crate) expected: Option<Hash>,
    pub(crate) roots: HashMap<u64, Vec<Watched>>,
    /// Widths of the partial tiles that are there.
    pub(crate) partials: HashMap<(TileKind, u64), Vec<u16>>,
    /// In the order of their entries, without gaps where slots are kept.
    pub(crate) batches: Vec<Placed>,
}

/// A tile or bundle as stored.
struct Stored {
    path: String,
    /// Its hashes (of a bundle: of its entries), as many as belong to the published size.
    hashes: Result<Vec<Hash>, String>,
    bytes: Bytes,
}

/// A level of the tree being rebuilt: the tile that is being filled.
#[derive(Default)]
struct Level {
    index: u64,
    hashes: Vec<Hash>,
    /// The stored tile that these hashes are compared with, once it was needed.
    stored: Option<(u64, Stored)>,
}

/// One rebuild of a shard's tree, from the entries up.
struct Walk<'a> {
    tree: &'a Tree<'a>,
    edge: RightEdge,
    levels: Vec<Level>,
    read: u64,
    batches: Batches<'a>,
}

impl Tree<'_> {
    /// Rebuilds the tree from its entries. Answers how many objects were read.
    pub(crate) async fn check(&self, findings: &mut Findings<'_>, watcher: Watcher<'_>) -> u64 {
        let before = findings.list.len();
        let mut walk = Walk {
            tree: self,
            edge: RightEdge::new(),
            levels: Vec::new(),
            read: 0,
            batches: Batches::new(&self.batches),
        };
        walk.watched(findings);
        let count = self.size.div_ceil(TILE_WIDTH);
        let pairs = futures_util::stream::iter(0..count)
            .map(|index| async move {
                futures_util::future::join(
                    self.read(TileKind::Entries, index),
                    self.read(TileKind::Hashes(0), index),
                )
                .await
            })
            .buffered(AHEAD);
        futures_util::pin_mut!(pairs);
        while let Some((entries, leaves)) = pairs.next().await {
            walk.leaves(entries, leaves, findings).await;
            let done = walk.edge.size();
            watcher(Progress {
                log: self.log,
                shard: Some(self.shard),
                done,
                total: Some(self.size),
            });
        }
        walk.finish(findings).await;
        // A wrong root whose cause has been named is a consequence of it.
        if let Some(expected) = self.expected
            && walk.edge.root() != expected
            && findings.list.len() == before
        {
            let place = self
                .roots
                .get(&self.size)
                .and_then(|roots| roots.first())
                .map_or(self.shard, |root| &root.place);
            let what = format!(
                "says {expected}, but the {} entries lead to {}",
                self.size,
                walk.edge.root()
            );
            findings.row(place, what, remedy::CONFLICT);
        }
        walk.read
    }

    fn path(&self, tile: &TilePath) -> String {
        format!("{}/{}/{tile}", self.log, self.shard)
    }

    /// Reads a tile as it is at the published size; a running server may have put the full one in its place.
    async fn read(&self, kind: TileKind, index: u64) -> Stored {
        let Some(tile) = TilePath::at(kind, index, self.size) else {
            return Stored {
                path: String::new(),
                hashes: Err("is beyond the published size".into()),
                bytes: Bytes::new(),
            };
        };
        let full = tile.full();
        let (mut path, mut bytes) = (self.path(&tile), self.objects.get(&self.path(&tile)).await);
        if tile.is_partial() && matches!(bytes, Ok(None)) {
            match self.objects.get(&self.path(&full)).await {
                Ok(None) => {}
                other => (path, bytes) = (self.path(&full), other),
            }
        }
        let exact = path == self.path(&tile);
        let width = usize::from(tile.width);
        let (hashes, bytes) = match bytes {
            Ok(Some(bytes)) => (hashes(kind, &bytes, width, exact), bytes),
            Ok(None) => (Err("missing".into()), Bytes::new()),
            Err(error) => (Err(unreadable(&error)), Bytes::new()),
        };
        Stored {
            path,
            hashes,
            bytes,
        }
    }
}

fn unreadable(error: &StoreError) -> String {
    format!("cannot be read: {error}")
}

/// The first `width` hashes of a tile, or of the entries of a bundle. An exact one has no more than that.
fn hashes(kind: TileKind, bytes: &[u8], width: usize, exact: bool) -> Result<Vec<Hash>, String> {
    let all = match kind {
        TileKind::Entries => {
            let entries = bundle::entries(bytes).map_err(|error| error.to_string())?;
            entries.into_iter().map(leaf_hash).collect::<Vec<_>>()
        }
        TileKind::Hashes(_) => {
            let (hashes, rest) = bytes.as_chunks::<32>();
            if !rest.is_empty() {
                return Err(format!("has {} bytes, not a multiple of 32", bytes.len()));
            }
            hashes.iter().map(|hash| Hash(*hash)).collect()
        }
    };
    if all.len() < width || (exact && all.len() > width) {
        return Err(format!("holds {} instead of {width}", all.len()));
    }
    Ok(all.into_iter().take(width).collect())
}

fn remedy_for(kind: TileKind) -> &'static str {
    if kind == TileKind::Entries {
        remedy::ENTRIES
    } else {
        remedy::TILE
    }
}

/// The node over a full tile.
fn over(hashes: &[Hash]) -> Option<Hash> {
    hashes
        .first_chunk::<256>()
        .filter(|_| hashes.len() == 256)
        .map(tile_root)
}

impl Walk<'_> {
    /// Takes one bundle and the level-0 tile beside it.
    async fn leaves(&mut self, entries: Stored, leaves: Stored, findings: &mut Findings<'_>) {
        self.read += 2;
        let index = self.edge.size() / TILE_WIDTH;
        for (stored, kind) in [
            (&entries, TileKind::Entries),
            (&leaves, TileKind::Hashes(0)),
        ] {
            if let Err(what) = &stored.hashes {
                findings.object(&stored.path, what, remedy_for(kind));
            }
        }
        let mut good = entries.hashes.is_ok();
        let chosen = match (entries.hashes, leaves.hashes) {
            (Ok(a), Ok(b)) if a == b => a,
            (Ok(a), Ok(b)) => match (
                self.leads_up(0, index, &a).await,
                self.leads_up(0, index, &b).await,
            ) {
                (true, _) => {
                    findings.object(
                        &leaves.path,
                        "does not hold the hashes of the entries",
                        remedy::TILE,
                    );
                    a
                }
                (false, true) => {
                    findings.object(
                        &entries.path,
                        "its entries are not those that were hashed",
                        remedy::ENTRIES,
                    );
                    good = false;
                    b
                }
                (false, false) => {
                    let what = format!(
                        "does not match {}, and neither leads to the tile above",
                        leaves.path
                    );
                    findings.object(&entries.path, what, remedy::CONFLICT);
                    good = false;
                    b
                }
            },
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => one,
            // Nothing can be said about what is above: the finding is there already.
            (Err(_), Err(_)) => {
                vec![Hash([0; 32]); usize::from(self.width(TileKind::Entries, index))]
            }
        };
        self.batches.take(
            if good { Some(&entries.bytes) } else { None },
            chosen.len() as u64,
            self.tree,
            findings,
        );
        for hash in &chosen {
            self.edge.push(*hash);
            self.watched(findings);
        }
        self.partials(TileKind::Hashes(0), index, &chosen, &[], findings)
            .await;
        if good {
            self.partials(TileKind::Entries, index, &[], &entries.bytes, findings)
                .await;
        }
        if let Some(node) = over(&chosen) {
            self.push(1, node, findings).await;
        }
    }

    fn width(&self, kind: TileKind, index: u64) -> u16 {
        TilePath::at(kind, index, self.tree.size).map_or(0, |tile| tile.width)
    }

    /// Whether these hashes, as a tile, lead to what is above: to the stored tile one level up, or to the published root.
    async fn leads_up(&mut self, level: u8, index: u64, hashes: &[Hash]) -> bool {
        if let Some(node) = over(hashes) {
            let above = self.stored(level + 1, index / TILE_WIDTH).await;
            let at = usize::try_from(index % TILE_WIDTH).unwrap_or(0);
            return above.is_some_and(|above| above.get(at) == Some(&node));
        }
        // The last leaves: only the root is above them. Partial tiles of higher levels are judged when the root is known.
        if level > 0 {
            return self.tree.expected == Some(self.edge.root());
        }
        let mut edge = self.edge.clone();
        hashes.iter().for_each(|hash| edge.push(*hash));
        Some(edge.root()) == self.tree.expected
    }

    /// The hashes of a stored tile above level 0.
    async fn stored(&mut self, level: u8, index: u64) -> Option<&Vec<Hash>> {
        let at = self.level(level);
        if self.levels[at]
            .stored
            .as_ref()
            .is_none_or(|(have, _)| *have != index)
        {
            TilePath::at(TileKind::Hashes(level), index, self.tree.size)?;
            let stored = self.tree.read(TileKind::Hashes(level), index).await;
            self.read += 1;
            self.levels[at].stored = Some((index, stored));
        }
        let (_, stored) = self.levels[at].stored.as_ref()?;
        stored.hashes.as_ref().ok()
    }

    fn level(&mut self, level: u8) -> usize {
        let at = usize::from(level);
        while self.levels.len() <= at {
            self.levels.push(Level::default());
        }
        at
    }

    /// Appends a node to a level; full tiles are compared and lead further up.
    async fn push(&mut self, mut level: u8, mut node: Hash, findings: &mut Findings<'_>) {
        loop {
            let at = self.level(level);
            self.levels[at].hashes.push(node);
            if self.levels[at].hashes.len() < 256 {
                return;
            }
            let Some(above) = self.compare(level, findings).await else {
                return;
            };
            (level, node) = (level + 1, above);
        }
    }

    /// Compares the tile that has been filled with the stored one; answers the node over it.
    async fn compare(&mut self, level: u8, findings: &mut Findings<'_>) -> Option<Hash> {
        let at = self.level(level);
        let (index, computed) = (
            self.levels[at].index,
            std::mem::take(&mut self.levels[at].hashes),
        );
        self.levels[at].index += 1;
        let stored = self.stored(level, index).await.cloned();
        let tile = TilePath::at(TileKind::Hashes(level), index, self.tree.size)?;
        let (path, problem) = match &self.levels[at].stored {
            Some((_, stored)) => (stored.path.clone(), stored.hashes.as_ref().err().cloned()),
            None => (self.tree.path(&tile), None),
        };
        let chosen = match stored {
            None => {
                findings.object(
                    path,
                    problem.unwrap_or_else(|| "missing".into()),
                    remedy::TILE,
                );
                computed
            }
            Some(stored) if stored == computed => computed,
            Some(stored) => {
                if self.leads_up(level, index, &computed).await {
                    findings.object(path, "is not what the tiles below it lead to", remedy::TILE);
                    computed
                } else {
                    // Either it is wrong or something below: what is below has been compared with it, and was named.
                    if !self.names_below(level, index, &stored, &computed, findings) {
                        findings.object(
                            path,
                            "is not what the tiles below it lead to",
                            remedy::CONFLICT,
                        );
                    }
                    stored
                }
            }
        };
        self.partials(TileKind::Hashes(level), index, &chosen, &[], findings)
            .await;
        over(&chosen)
    }

    /// Whether every tile below that leads to another hash has been named already.
    fn names_below(
        &self,
        level: u8,
        index: u64,
        stored: &[Hash],
        computed: &[Hash],
        findings: &Findings<'_>,
    ) -> bool {
        let mut children = (index * TILE_WIDTH..)
            .zip(stored.iter().zip(computed))
            .filter(|(_, (a, b))| a != b)
            .map(|(child, _)| child);
        children.all(|child| {
            let tile = self.tree.path(&TilePath::hashes(level - 1, child, 256));
            let bundle = self.tree.path(&TilePath::entries(child, 256));
            findings.names(&tile) || (level == 1 && findings.names(&bundle))
        })
    }

    /// The partial tiles of the right edge.
    async fn finish(&mut self, findings: &mut Findings<'_>) {
        for level in 1..=u8::try_from(self.levels.len()).unwrap_or(u8::MAX) {
            let at = self.level(level);
            if !self.levels[at].hashes.is_empty() {
                self.compare(level, findings).await;
            }
        }
    }

    /// Roots that were written down for the size that is reached now.
    fn watched(&self, findings: &mut Findings<'_>) {
        let Some(watched) = self.tree.roots.get(&self.edge.size()) else {
            return;
        };
        if self.edge.size() == self.tree.size && self.tree.expected != Some(self.edge.root()) {
            return; // Told at the end, with its cause.
        }
        let root = self.edge.root();
        for one in watched.iter().filter(|one| one.root != root) {
            let what = format!(
                "says root {} at size {}, the entries lead to {root}",
                one.root,
                self.edge.size()
            );
            if one.object {
                findings.object(&one.place, what, remedy::CONFLICT);
            } else {
                findings.row(&one.place, what, remedy::CONFLICT);
            }
        }
    }

    /// Older partial tiles, kept for readers: each begins the tile that it became.
    async fn partials(
        &mut self,
        kind: TileKind,
        index: u64,
        hashes: &[Hash],
        entries: &[u8],
        findings: &mut Findings<'_>,
    ) {
        let Some(widths) = self.tree.partials.get(&(kind, index)) else {
            return;
        };
        let current = self.width(kind, index);
        for &width in widths.iter().filter(|width| **width != current) {
            let path = self.tree.path(&TilePath { kind, index, width });
            let bytes = match self.tree.objects.get(&path).await {
                Ok(Some(bytes)) => bytes,
                // A running server removes them when the tile is full.
                Ok(None) => continue,
                Err(error) => {
                    findings.object(path, unreadable(&error), remedy::READ);
                    continue;
                }
            };
            self.read += 1;
            let same = if kind == TileKind::Entries {
                let count = bundle::entries(&bytes).map(|entries| entries.len());
                entries.starts_with(&bytes) && count == Ok(usize::from(width))
            } else {
                self::hashes(kind, &bytes, usize::from(width), true)
                    .is_ok_and(|tile| hashes.starts_with(&tile))
            };
            if !same {
                findings.object(
                    path,
                    "is not the beginning of the tile that it became",
                    remedy::TILE,
                );
            }
        }
    }
}

/// Compares the published entries with the batches that were ordered.
struct Batches<'a> {
    rest: std::slice::Iter<'a, Placed>,
    current: Option<(&'a Placed, Sha256, u64)>,
    /// Entries hashed so far.
    at: u64,
}

impl<'a> Batches<'a> {
    fn new(batches: &'a [Placed]) -> Self {
        Self {
            rest: batches.iter(),
            current: None,
            at: 0,
        }
    }

    /// Takes the next `count` entries; those of a damaged bundle are passed over, with the batches they belong to.
    fn take(
        &mut self,
        bundle: Option<&Bytes>,
        count: u64,
        tree: &Tree<'_>,
        findings: &mut Findings<'_>,
    ) {
        let entries = bundle.and_then(|bytes| bundle::entries(bytes).ok());
        for n in 0..count {
            let entry = usize::try_from(n)
                .ok()
                .and_then(|n| entries.as_ref()?.get(n).copied());
            self.entry(entry, tree, findings);
        }
    }

    fn entry(&mut self, entry: Option<&[u8]>, tree: &Tree<'_>, findings: &mut Findings<'_>) {
        if self.current.is_none() {
            // One that began in a damaged bundle is passed over.
            while self
                .rest
                .as_slice()
                .first()
                .is_some_and(|next| next.first < self.at)
            {
                self.rest.next();
            }
            if self
                .rest
                .as_slice()
                .first()
                .is_some_and(|next| next.first == self.at)
            {
                self.current = self.rest.next().map(|next| (next, Sha256::new(), 0));
            }
        }
        self.at += 1;
        let (Some((placed, mut hasher, seen)), Some(entry)) = (self.current.take(), entry) else {
            return;
        };
        hasher.update(u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        hasher.update(entry);
        if seen + 1 < placed.entries {
            self.current = Some((placed, hasher, seen + 1));
        } else if Hash(hasher.finalize().into()) != placed.digest {
            let tile = TilePath::at(TileKind::Entries, placed.first / TILE_WIDTH, tree.size);
            let path = tile.map_or_else(|| tree.shard.to_owned(), |tile| tree.path(&tile));
            let last = placed.first + placed.entries - 1;
            let what = format!(
                "entries {} to {last} of the shard are not those that slot {} ordered",
                placed.first, placed.slot
            );
            findings.object(path, what, remedy::CONFLICT);
        }
    }
}
