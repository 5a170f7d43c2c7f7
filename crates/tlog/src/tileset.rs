//! Making proofs from tiles: which tiles to read, and the proof once they are read.
//!
//! The tiles asked for have the width they have at the tree's size, so they exist wherever that size was published. A
//! hash is never taken from above a partial tile: the node over it does not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::edge::RightEdge;
use crate::hash::{Hash, node_hash};
use crate::proof::ProofError;
use crate::range::{self, fold, subtrees};
use crate::tile::{TILE_WIDTH, TileError, TileKind, TilePath};

/// The number of levels of a tree that hash tiles skip from one to the next.
const TILE_BITS: u8 = 8;

/// Hash tiles, read and kept by name.
#[derive(Clone, Debug, Default)]
pub struct TileSet {
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
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
        let TileKind::Hashes(level) = path.kind else {
            return Err(TileError::Kind);
        };
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
        if hashes.len() != usize::from(path.width) || !rest.is_empty() {
            return Err(TileError::Length {
                width: path.width,
                found: bytes.len(),
            });
        }
        let tile = self.tiles.entry((level, path.index)).or_default();
        if tile.len() < hashes.len() {
            *tile = hashes.iter().copied().map(Hash).collect();
        }
        Ok(())
    }

    /// The hash of the node `index` of height `bits` above the leaves, if its tile is here and wide enough.
    pub fn node(&self, bits: u8, index: u64) -> Option<Hash> {
        let (level, tile, covered) = locate(bits, index)?;
        let mut row = self.tiles.get(&(level, tile))?.get(covered)?.to_vec();
        while row.len() > 1 {
            row = row
                .chunks_exact(2)
                .map(|pair| node_hash(&pair[0], &pair[1]))
                .collect();
        }
        row.first().copied()
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
