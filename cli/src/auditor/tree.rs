//! One shard's tree: bundles against leaf tiles, each tile against the one above, the rest against the root.
//!
//! Tiles are read from the left to the right, each after the ones above it, so that at any time one tile of each level
//! is in memory, besides the few fetched ahead. Hashing runs beside fetching, on the threads for blocking work.

use std::collections::BTreeSet;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, stream};
use tlog::{
    Hash, TILE_WIDTH, TileKind, TilePath, TileSet, bundle, edge_from_tiles, leaf_hash, tile_root,
};

use super::report::Findings;
use super::{AHEAD, Source, SourceError};

/// The highest level of tiles that a tree can have.
const TOP: u8 = 7;

/// Counters of what was read.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) entries: u64,
    pub(super) bundles: u64,
    pub(super) tiles: u64,
    /// The leaf hashes asked for, as far as they are known.
    pub(super) samples: Vec<(u64, Hash)>,
}

/// A step of the walk.
#[derive(Clone, Copy)]
enum Step {
    /// A hash tile above level 0 begins.
    Above(TilePath),
    /// The bundle and the leaf tile with this index.
    Leaves(u64),
}

/// The steps through a tree: each tile right before the first one below it.
fn steps(size: u64) -> impl Iterator<Item = Step> {
    (0..size.div_ceil(TILE_WIDTH)).flat_map(move |index| {
        let begins = move |level: &u8| index % (1 << (8 * level)) == 0;
        let above = move |level| TilePath::at(TileKind::Hashes(level), index >> (8 * level), size);
        (1..=TOP)
            .rev()
            .filter(begins)
            .filter_map(above)
            .map(Step::Above)
            .chain([Step::Leaves(index)])
    })
}

/// A file: its path below the log's address, and the hashes in it or what is wrong with it.
struct File {
    path: String,
    hashes: Result<Vec<Hash>, (&'static str, String)>,
}

enum Fetched {
    Above { level: usize, tile: File },
    Leaves(Box<Leaves>),
}

struct Leaves {
    index: u64,
    bundle: File,
    tile: File,
    /// Of a full bundle.
    root: Option<Hash>,
}

/// The bytes of a tile as of `path`. A partial one may have given way to the full one: then that, and its width.
async fn read<S: Source>(
    source: &S,
    shard: &str,
    path: TilePath,
) -> Result<(String, Option<(TilePath, Vec<u8>)>), SourceError> {
    let name = format!("{shard}/{path}");
    if let Some(bytes) = source.get(&name).await? {
        return Ok((name, Some((path, bytes))));
    }
    if path.is_partial() {
        let full = format!("{shard}/{}", path.full());
        if let Some(bytes) = source.get(&full).await? {
            return Ok((full, Some((path.full(), bytes))));
        }
    }
    Ok((name, None))
}

fn missing() -> (&'static str, String) {
    (
        "missing",
        "the checkpoint covers it, but it is not there".to_owned(),
    )
}

/// The first `width` hashes of a hash tile.
fn hashes(
    read: Option<(TilePath, Vec<u8>)>,
    width: u16,
) -> Result<Vec<Hash>, (&'static str, String)> {
    let (path, bytes) = read.ok_or_else(missing)?;
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    if hashes.len() != usize::from(path.width) || !rest.is_empty() {
        let expected = usize::from(path.width) * Hash::LEN;
        return Err((
            "tile-malformed",
            format!("it has {} bytes instead of {expected}", bytes.len()),
        ));
    }
    Ok(hashes
        .iter()
        .take(usize::from(width))
        .copied()
        .map(Hash)
        .collect())
}

/// The leaf hashes of the first `width` entries of a bundle.
fn leaves(
    read: Option<(TilePath, Vec<u8>)>,
    width: u16,
) -> Result<Vec<Hash>, (&'static str, String)> {
    let (path, bytes) = read.ok_or_else(missing)?;
    let malformed = |message| ("bundle-malformed", message);
    let entries = bundle::entries(&bytes).map_err(|error| malformed(error.to_string()))?;
    if entries.len() != usize::from(path.width) {
        return Err(malformed(format!(
            "it has {} entries instead of {}",
            entries.len(),
            path.width
        )));
    }
    Ok(entries
        .into_iter()
        .take(usize::from(width))
        .map(leaf_hash)
        .collect())
}

/// The node over a full tile.
fn full_root(hashes: &[Hash]) -> Option<Hash> {
    <&[Hash; TILE_WIDTH as usize]>::try_from(hashes)
        .ok()
        .map(tile_root)
}

async fn fetch<S: Source>(
    source: &S,
    shard: &str,
    size: u64,
    step: Step,
) -> Result<Fetched, SourceError> {
    match step {
        Step::Above(path) => {
            let (name, bytes) = read(source, shard, path).await?;
            let level = match path.kind {
                TileKind::Hashes(level) => usize::from(level),
                TileKind::Entries => 0,
            };
            Ok(Fetched::Above {
                level,
                tile: File {
                    path: name,
                    hashes: hashes(bytes, path.width),
                },
            })
        }
        Step::Leaves(index) => {
            let width = (size - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
            let (entries, tile) = try_join(
                read(source, shard, TilePath::entries(index, width)),
                read(source, shard, TilePath::hashes(0, index, width)),
            )
            .await?;
            let hashing = tokio::task::spawn_blocking(move || {
                let bundle = File {
                    hashes: leaves(entries.1, width),
                    path: entries.0,
                };
                let tile = File {
                    hashes: hashes(tile.1, width),
                    path: tile.0,
                };
                let root = bundle.hashes.as_deref().ok().and_then(full_root);
                Box::new(Leaves {
                    index,
                    bundle,
                    tile,
                    root,
                })
            });
            let path = format!("{shard}/{}", TilePath::entries(index, width));
            hashing
                .await
                .map(Fetched::Leaves)
                .map_err(|error| SourceError::new(&path, error))
        }
    }
}

/// Audits the tree of a shard, up to `size` entries, against the root of its checkpoint.
pub(super) async fn audit<S: Source>(
    source: &S,
    shard: &str,
    size: u64,
    root: Hash,
    samples: &BTreeSet<u64>,
    findings: &mut Findings,
    advance: &mut (dyn FnMut(u64) + Send),
) -> Result<Walked, SourceError> {
    let mut walk = Walk {
        shard,
        size,
        levels: Default::default(),
        last: None,
        samples,
        walked: Walked::default(),
        findings,
    };
    let mut fetched = std::pin::pin!(
        stream::iter(steps(size))
            .map(|step| fetch(source, shard, size, step))
            .buffered(AHEAD)
    );
    while let Some(step) = fetched.next().await {
        match step? {
            Fetched::Above { level, tile } => walk.above(level, tile),
            Fetched::Leaves(leaves) => advance(walk.leaves(*leaves)),
        }
        if walk.findings.full() {
            return Ok(walk.walked);
        }
    }
    walk.finish(root);
    Ok(walk.walked)
}

/// The current tile of a level above 0.
#[derive(Default)]
struct Level {
    path: String,
    /// As fetched; empty if it could not be read.
    fetched: Vec<Hash>,
    /// From below, as far as known.
    computed: Vec<Option<Hash>>,
}

struct Walk<'a> {
    shard: &'a str,
    size: u64,
    /// By level; that of level 0 is unused.
    levels: [Level; TOP as usize + 1],
    /// The leaves of the last, partial tile.
    last: Option<Leaves>,
    samples: &'a BTreeSet<u64>,
    walked: Walked,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    /// A tile above level 0 begins.
    fn above(&mut self, level: usize, tile: File) {
        self.walked.tiles += u64::from(tile.hashes.is_ok());
        let fetched = self.usable(&tile).unwrap_or_default();
        self.levels[level] = Level {
            path: tile.path,
            fetched,
            computed: Vec::new(),
        };
    }

    /// A bundle and its leaf tile. Answers how many entries they have.
    fn leaves(&mut self, leaves: Leaves) -> u64 {
        let width = (self.size - leaves.index * TILE_WIDTH).min(TILE_WIDTH);
        self.walked.bundles += u64::from(leaves.bundle.hashes.is_ok());
        self.walked.tiles += u64::from(leaves.tile.hashes.is_ok());
        self.walked.entries += leaves.bundle.hashes.as_ref().map_or(0, Vec::len) as u64;
        if width < TILE_WIDTH {
            // Nothing is above it but the root, so it is judged at the end.
            self.last = Some(leaves);
            return width;
        }
        let level = &self.levels[1];
        let parent = level.fetched.get(level.computed.len()).copied();
        let agreed = self.agreed(&leaves, |hashes| full_root(hashes) == parent);
        let root = match &agreed {
            // The usual case, in which the root was computed beside the leaves.
            Some(hashes) if leaves.bundle.hashes.as_ref() == Ok(hashes) => leaves.root,
            Some(hashes) => full_root(hashes),
            None => None,
        };
        self.climb(1, root, &leaves.tile.path);
        width
    }

    /// The leaves that bundle and tile agree on, or those of the two that `fits`, or those of the bundle; and the
    /// findings about the other.
    fn agreed(&mut self, leaves: &Leaves, fits: impl Fn(&[Hash]) -> bool) -> Option<Vec<Hash>> {
        let agreed = match (self.usable(&leaves.bundle), self.usable(&leaves.tile)) {
            (Some(bundle), Some(tile)) => {
                let different = bundle
                    .iter()
                    .zip(&tile)
                    .position(|(one, other)| one != other);
                match different {
                    None => bundle,
                    Some(at) => {
                        let entry = leaves.index * TILE_WIDTH + at as u64;
                        if !fits(&bundle) && fits(&tile) {
                            let message = format!(
                                "entry {entry} does not match hash {at} of {}",
                                leaves.tile.path
                            );
                            self.findings
                                .add("bundle-mismatch", &leaves.bundle.path, message);
                            tile
                        } else {
                            let message = format!("hash {at} does not match entry {entry}");
                            self.findings
                                .add("tile-mismatch", &leaves.tile.path, message);
                            bundle
                        }
                    }
                }
            }
            (one, other) => one.or(other)?,
        };
        let first = leaves.index * TILE_WIDTH;
        let wanted = self.samples.range(first..first + agreed.len() as u64);
        self.walked
            .samples
            .extend(wanted.map(|leaf| (*leaf, agreed[(leaf - first) as usize])));
        Some(agreed)
    }

    /// The hashes of a file, or a finding about it.
    fn usable(&mut self, file: &File) -> Option<Vec<Hash>> {
        match &file.hashes {
            Ok(hashes) => Some(hashes.clone()),
            Err((code, message)) => {
                self.findings.add(code, &file.path, message.clone());
                None
            }
        }
    }

    /// The tile at `child` is complete: its root is the next hash of the tile above it.
    fn climb(&mut self, level: usize, root: Option<Hash>, child: &str) {
        let Some(parent) = self.levels.get_mut(level) else {
            return;
        };
        let at = parent.computed.len();
        let fetched = parent.fetched.get(at).copied();
        if let (Some(root), Some(fetched)) = (root, fetched)
            && root != fetched
        {
            self.findings.add(
                "tile-mismatch",
                &parent.path,
                format!("hash {at} does not match {child}"),
            );
        }
        parent.computed.push(root.or(fetched));
        if parent.computed.len() == TILE_WIDTH as usize {
            let hashes: Option<Vec<Hash>> =
                std::mem::take(&mut parent.computed).into_iter().collect();
            let path = std::mem::take(&mut parent.path);
            self.climb(level + 1, hashes.as_deref().and_then(full_root), &path);
        }
    }

    /// The right edge against the root of the checkpoint.
    fn finish(&mut self, root: Hash) {
        let mut tiles = TileSet::new();
        let mut known = true;
        for (level, tile) in self
            .levels
            .iter()
            .enumerate()
            .filter(|(_, tile)| !tile.computed.is_empty())
        {
            let hashes: Vec<Hash> = tile.computed.iter().copied().flatten().collect();
            let complete = hashes.len() == tile.computed.len();
            let index = (self.size >> (8 * level)) / TILE_WIDTH;
            known &= complete && insert(&mut tiles, level as u8, index, &hashes);
        }
        let leaves = self.last.take();
        let (size, index) = (self.size, self.size / TILE_WIDTH);
        let root_with = |hashes: &[Hash]| {
            let mut tiles = tiles.clone();
            let inserted = hashes.is_empty() || insert(&mut tiles, 0, index, hashes);
            let edge = edge_from_tiles(size, &tiles)
                .ok()
                .filter(|_| known && inserted);
            edge.map(|edge| edge.root())
        };
        let computed = match &leaves {
            None => root_with(&[]),
            Some(leaves) => {
                // Computed beforehand, so that the closure does not hold on to the walk.
                let candidate = |file: &File| {
                    file.hashes
                        .as_deref()
                        .ok()
                        .map(|hashes| (hashes.to_vec(), root_with(hashes)))
                };
                let candidates = [candidate(&leaves.bundle), candidate(&leaves.tile)];
                let of = |hashes: &[Hash]| {
                    let found = candidates
                        .iter()
                        .flatten()
                        .find(|(candidate, _)| candidate == hashes);
                    found.and_then(|(_, root)| *root)
                };
                self.agreed(leaves, |hashes| of(hashes) == Some(root))
                    .and_then(|hashes| of(&hashes))
            }
        };
        if let Some(computed) = computed
            && computed != root
        {
            let message = format!(
                "the root of {size} entries is {root}, but the tiles and bundles give {computed}"
            );
            self.findings.add(
                "root-mismatch",
                &format!("{}/checkpoint", self.shard),
                message,
            );
        }
    }
}

fn insert(tiles: &mut TileSet, level: u8, index: u64, hashes: &[Hash]) -> bool {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    tiles
        .insert(TilePath::hashes(level, index, hashes.len() as u16), &bytes)
        .is_ok()
}
