//! Making proofs from tiles: which tiles to read, and the proof once they are read.
//!
//! The tiles asked for have the width they have at the tree's size, so they exist wherever that size was published. A
//! hash is never taken from above a partial tile: the node over it does not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::edge::RightEdge;
use crate::hash::{Hash, node_hash};
use crate::proof::ProofError;
use crate::range::{self, fold, subtrees};
use crate::tile::{TILE_WIDTH, TileError, TileKind, TilePath};

/// The number of levels of a tree that hash tiles skip from one to the next.
const TILE_BITS: u8 = 8;

/// One hash tile of some width, and the nodes inside it.
#[derive(Debug)]
pub struct HashTile {
    hashes: Vec<Hash>,
    /// The nodes of heights 1 to 7 above them, once they were computed.
    above: OnceLock<Vec<Vec<Hash>>>,
}

/// The nodes over each two of a row; a last one without a sibling has none.
fn parents(row: &[Hash]) -> Vec<Hash> {
    let pairs = row.as_chunks::<2>().0.iter();
    pairs.map(|[left, right]| node_hash(left, right)).collect()
}

impl HashTile {
    /// Reads the object at this path.
    ///
    /// # Errors
    /// [`TileError`] if it is an entry bundle, or the bytes do not fit the width.
    pub fn read(path: TilePath, bytes: &[u8]) -> Result<Self, TileError> {
        if !matches!(path.kind, TileKind::Hashes(_)) {
            return Err(TileError::Kind);
        }
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
        if hashes.len() != usize::from(path.width) || !rest.is_empty() {
            return Err(TileError::Length {
                width: path.width,
                found: bytes.len(),
            });
        }
        Ok(Self {
            hashes: hashes.iter().copied().map(Hash).collect(),
            above: OnceLock::new(),
        })
    }

    /// How many hashes it has.
    pub fn width(&self) -> usize {
        self.hashes.len()
    }

    /// The hash at this position, from the left; `None` behind the last one.
    pub fn get(&self, at: usize) -> Option<Hash> {
        self.hashes.get(at).copied()
    }

    /// Computes all nodes, for a tile that is kept for many proofs: one hash for each in the tile, at most.
    pub fn compute(&self) {
        self.above.get_or_init(|| {
            let mut rows = Vec::new();
            let mut row = parents(&self.hashes);
            while rows.len() + 1 < usize::from(TILE_BITS) {
                let next = parents(&row);
                rows.push(row);
                row = next;
            }
            rows
        });
    }

    /// The node of this height over these hashes; `None` if the tile is too narrow.
    fn node(&self, height: u8, covered: Range<usize>) -> Option<Hash> {
        let mut row = self.hashes.get(covered.clone())?;
        if let (Some(rows), Some(above)) = (self.above.get(), height.checked_sub(1)) {
            let row = rows.get(usize::from(above))?;
            return row.get(covered.start >> height).copied();
        }
        let mut folded;
        while row.len() > 1 {
            folded = parents(row);
            row = &folded;
        }
        row.first().copied()
    }
}

/// Hash tiles, read and kept by name.
#[derive(Clone, Debug, Default)]
pub struct TileSet {
    tiles: BTreeMap<(u8, u64), Arc<HashTile>>,
}

/// The location of a node's hash: the level and index of the tile, and the hashes in it that the node covers.
fn locate(bits: u8, index: u64) -> Option<(u8, u64, Range<usize>)> {
    let (level, inside) = (bits / TILE_BITS, bits % TILE_BITS);
    let first = index.checked_mul(1 << inside)?;
    let start = (first % TILE_WIDTH) as usize;
    Some((level, first / TILE_WIDTH, start..start + (1 << inside)))
}

impl TileSet {
    /// A set that holds no tiles yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a hash tile. Of two versions of one tile the wider one is kept.
    ///
    /// # Errors
    /// [`TileError`] if it is an entry bundle, or the bytes do not fit the width.
    pub fn insert(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), TileError> {
        self.keep(path, Arc::new(HashTile::read(path, bytes)?));
        Ok(())
    }

    /// Adds a hash tile that was read from this path before.
    pub fn keep(&mut self, path: TilePath, tile: Arc<HashTile>) {
        let TileKind::Hashes(level) = path.kind else {
            return;
        };
        let kept = self.tiles.entry((level, path.index));
        let kept = kept.or_insert_with(|| Arc::clone(&tile));
        if kept.hashes.len() < tile.hashes.len() {
            *kept = tile;
        }
    }

    /// The hash of the node `index` of height `bits` above the leaves, if its tile is here and wide enough.
    pub fn node(&self, bits: u8, index: u64) -> Option<Hash> {
        let (level, tile, covered) = locate(bits, index)?;
        let tile = self.tiles.get(&(level, tile))?;
        tile.node(bits % TILE_BITS, covered)
    }

    fn subtrees(&self, range: Range<u64>) -> Result<Vec<Hash>, ProofError> {
        subtrees(range)
            .map(|(bits, index)| {
                self.node(bits, index)
                    .ok_or(ProofError::Missing { bits, index })
            })
            .collect()
    }

    fn proof(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, ProofError> {
        ranges
            .into_iter()
            .map(|range| Ok(fold(&self.subtrees(range)?)))
            .collect()
    }
}

/// The tiles, as of `size`, that hold the hashes of these ranges: each once, in order of level and index.
fn tiles(ranges: impl IntoIterator<Item = Range<u64>>, size: u64) -> Vec<TilePath> {
    let needed: BTreeSet<(u8, u64)> = ranges
        .into_iter()
        .flat_map(subtrees)
        .filter_map(|(bits, index)| locate(bits, index))
        .map(|(level, tile, _)| (level, tile))
        .collect();
    needed
        .into_iter()
        .filter_map(|(level, tile)| TilePath::at(TileKind::Hashes(level), tile, size))
        .collect()
}

fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    Ok(range::inclusion(index, size))
}

fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if old > new {
        Err(ProofError::Shrunk { old, new })
    } else if old == 0 {
        Err(ProofError::Empty)
    } else {
        Ok(range::consistency(old, new))
    }
}

fn subtree_ranges(node: &Range<u64>, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if range::is_subtree(node) && node.end <= size {
        Ok(range::subtree(node, size))
    } else {
        Err(ProofError::Subtree {
            start: node.start,
            end: node.end,
            size,
        })
    }
}

/// The hash tiles to read for [`inclusion_proof`], with their widths as of `size`; none if there is no such leaf.
pub fn inclusion_tiles(index: u64, size: u64) -> Vec<TilePath> {
    tiles(inclusion_ranges(index, size).unwrap_or_default(), size)
}

/// The hash tiles to read for [`consistency_proof`], with their widths as of `new`; none if there is no such proof.
pub fn consistency_tiles(old: u64, new: u64) -> Vec<TilePath> {
    tiles(consistency_ranges(old, new).unwrap_or_default(), new)
}

/// The hash tiles to read for [`edge_from_tiles`], with their widths as of `size`.
pub fn edge_tiles(size: u64) -> Vec<TilePath> {
    tiles(Some(0..size), size)
}

/// The proof that leaf `index` is in the tree of `size` leaves (RFC 9162 section 2.1.3.1), the sibling of the leaf
/// first.
///
/// # Errors
/// [`ProofError`] if there is no such leaf, or a tile is missing.
pub fn inclusion_proof(index: u64, size: u64, tiles: &TileSet) -> Result<Vec<Hash>, ProofError> {
    tiles.proof(inclusion_ranges(index, size)?)
}

/// The proof that the tree of `new` leaves extends the tree of `old` leaves (RFC 9162 section 2.1.4.1).
///
/// # Errors
/// [`ProofError`] if there is no such proof, or a tile is missing.
pub fn consistency_proof(old: u64, new: u64, tiles: &TileSet) -> Result<Vec<Hash>, ProofError> {
    tiles.proof(consistency_ranges(old, new)?)
}

/// The hash tiles to read for [`subtree_proof`], with their widths as of `size`; none if there is no such proof.
pub fn subtree_tiles(node: Range<u64>, size: u64) -> Vec<TilePath> {
    tiles(subtree_ranges(&node, size).unwrap_or_default(), size)
}

/// The proof that the tree of `size` leaves has the subtree over the leaves `node` (draft-ietf-plants-merkle-tree-certs
/// section 4.4.1). A subtree starts at a multiple of the power of two at or above its length.
///
/// # Errors
/// [`ProofError`] if it is not a subtree of that tree, or a tile is missing.
pub fn subtree_proof(
    node: Range<u64>,
    size: u64,
    tiles: &TileSet,
) -> Result<Vec<Hash>, ProofError> {
    tiles.proof(subtree_ranges(&node, size)?)
}

/// The right edge of the tree of `size` leaves.
///
/// # Errors
/// [`ProofError`] if a tile is missing, or the size is beyond [`RightEdge::MAX_SIZE`].
pub fn edge_from_tiles(size: u64, tiles: &TileSet) -> Result<RightEdge, ProofError> {
    let parts = tiles.subtrees(0..size)?;
    RightEdge::from_parts(size, parts).map_err(|_| ProofError::Length(size.count_ones() as usize))
}
