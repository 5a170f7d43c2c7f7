//! The right edge of one shard's Merkle tree, in the shape of C2SP tiles: entries in, finished tiles out, partial tiles and the
//! root at any size on demand. Pure. Each level holds fewer than 256 hashes, so the memory is constant.

use bytes::Bytes;

use crate::{Hash, TILE_WIDTH, TilePath, bundle, edge_root, leaf_hash, subtree_root, tile_bytes};

/// A tile or bundle and its bytes.
pub type TileBytes = (TilePath, Bytes);

#[derive(Clone, Debug, Default)]
struct Level {
    /// Index of the tile being filled.
    index: u64,
    /// Its hashes, fewer than 256.
    hashes: Vec<Hash>,
}

/// The tree of one shard at one size.
#[derive(Clone, Debug, Default)]
pub struct ShardTree {
    size: u64,
    levels: Vec<Level>,
    bundle: Vec<u8>,
}

impl ShardTree {
    /// The tree at `size` from the partial tiles and the partial bundle at that size: `tile(level)` gives the hashes of the rightmost tile
    /// of a level if it is partial.
    pub fn resume<E>(
        size: u64,
        bundle: Vec<u8>,
        mut tile: impl FnMut(TilePath) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        let mut at = size;
        for level in 0u8.. {
            if at == 0 {
                break;
            }
            let (index, width) = (at / TILE_WIDTH, at % TILE_WIDTH);
            let hashes = if width == 0 {
                Vec::new()
            } else {
                tile(TilePath::hashes(level, index, width as u16))?
            };
            levels.push(Level { index, hashes });
            at = index;
        }
        Ok(Self {
            size,
            levels,
            bundle,
        })
    }

    /// Number of entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry; tiles and bundles that it completes go to `out`.
    pub fn push(&mut self, entry: &[u8], out: &mut Vec<TileBytes>) {
        self.push_hashed(entry, leaf_hash(entry), out);
    }

    /// Appends an entry whose leaf hash is known already.
    pub fn push_hashed(&mut self, entry: &[u8], leaf: Hash, out: &mut Vec<TileBytes>) {
        bundle::push(&mut self.bundle, entry);
        self.size += 1;
        let mut hash = leaf;
        for level in 0u8.. {
            let at = usize::from(level);
            if at == self.levels.len() {
                self.levels.push(Level {
                    index: 0,
                    hashes: Vec::with_capacity(256),
                });
            }
            let Level { index, hashes } = &mut self.levels[at];
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            if level == 0 {
                let next = Vec::with_capacity(self.bundle.len());
                out.push((
                    TilePath::entries(*index, 256),
                    Bytes::from(std::mem::replace(&mut self.bundle, next)),
                ));
            }
            out.push((
                TilePath::hashes(level, *index, 256),
                tile_bytes(hashes).into(),
            ));
            let Some(above) = subtree_root(hashes) else {
                return;
            };
            hash = above;
            hashes.clear();
            *index += 1;
        }
    }

    /// Bytes of the bundle that is not full.
    pub fn partial_bundle(&self) -> usize {
        self.bundle.len()
    }

    /// The tiles and the bundle that are partial at this size.
    pub fn partials(&self) -> Vec<TileBytes> {
        let mut out = Vec::new();
        for (level, Level { index, hashes }) in (0u8..).zip(&self.levels) {
            let width = hashes.len() as u16;
            if width > 0 {
                if level == 0 {
                    out.push((
                        TilePath::entries(*index, width),
                        Bytes::copy_from_slice(&self.bundle),
                    ));
                }
                out.push((
                    TilePath::hashes(level, *index, width),
                    tile_bytes(hashes).into(),
                ));
            }
        }
        out
    }

    /// The Merkle tree hash (RFC 6962 section 2.1).
    pub fn root(&self) -> Hash {
        edge_root(self.levels.iter().map(|level| level.hashes.as_slice()))
    }
}

/// Hashes of a level in a tree of `size` entries.
fn width(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The tiles and bundles of a tree of `to` entries that one of `from` entries does not have, partial ones too; bundles and lower
/// levels first.
pub fn tiles_between(from: u64, to: u64) -> impl Iterator<Item = TilePath> {
    let grown = move |level: u8| width(level, from)..width(level, to);
    let levels = (0u8..8).take_while(move |level| !grown(*level).is_empty());
    levels.flat_map(move |level| {
        let hashes = grown(level);
        let tiles = hashes.start / TILE_WIDTH..hashes.end.div_ceil(TILE_WIDTH);
        tiles.flat_map(move |index| {
            let width = (hashes.end - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
            let bundle = (level == 0).then(|| TilePath::entries(index, width));
            bundle
                .into_iter()
                .chain([TilePath::hashes(level, index, width)])
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    fn entry(i: u64) -> Vec<u8> {
        format!("entry {i}").into_bytes()
    }

    #[test]
    fn root_and_tiles_match_the_compact_range_at_every_size() {
        let (mut tree, mut edge, mut tiles) = (
            ShardTree::default(),
            crate::RightEdge::new(),
            HashMap::new(),
        );
        for i in 0..70_000u64 {
            let mut out = Vec::new();
            tree.push(&entry(i), &mut out);
            edge.push(leaf_hash(&entry(i)));
            tiles.extend(out);
            if i < 1_500 || i % 997 == 0 || i % 65_536 < 3 {
                assert_eq!(tree.root(), edge.root(), "size {}", i + 1);
                let mut at = tiles.clone();
                at.extend(tree.partials());
                let read = |p: TilePath| -> Result<Vec<Hash>, TilePath> {
                    let bytes: &Bytes = at.get(&p).ok_or(p)?;
                    Ok(bytes
                        .chunks(32)
                        .map(|c| Hash(c.try_into().unwrap()))
                        .collect())
                };
                let bundle = at.get(&TilePath::entries(
                    (i + 1) / 256,
                    ((i + 1) % 256).max(1) as u16,
                ));
                let bundle = if (i + 1) % 256 == 0 {
                    Vec::new()
                } else {
                    bundle.unwrap().to_vec()
                };
                let again = ShardTree::resume(i + 1, bundle, read).unwrap();
                assert_eq!(again.root(), tree.root());
                assert_eq!(again.partials(), tree.partials());
            }
        }
        // The numbers of the tlog-tiles specification: 70,000 entries are 273 full tiles and one of 112, and so on upward.
        assert_eq!(
            tiles
                .keys()
                .filter(|p| p.kind == crate::TileKind::Hashes(0))
                .count(),
            273
        );
        let widths: Vec<u16> = tree
            .partials()
            .iter()
            .filter(|(p, _)| p.kind != crate::TileKind::Entries)
            .map(|(p, _)| p.width)
            .collect();
        assert_eq!(widths, [112, 17, 1]);
    }

    /// Tiles that are pushed from size to size, each time only the new ones, are in the end those of a tree of all entries at once; and the
    /// remaining partial tiles are those of the last size.
    #[test]
    fn what_is_new_adds_up_to_everything() {
        let sizes = [
            0, 1, 2, 255, 256, 257, 300, 511, 513, 1_000, 65_535, 65_536, 65_537, 70_000,
        ];
        let (mut tree, mut at) = (ShardTree::default(), 0);
        let (mut all, mut pushed) = (BTreeSet::new(), BTreeSet::new());
        for size in sizes {
            let mut out = Vec::new();
            (tree.size()..size).for_each(|i| tree.push(&entry(i), &mut out));
            all.extend(out.into_iter().map(|(path, _)| path));
            pushed.extend(tiles_between(at, size));
            pushed.retain(|tile| tile.width == 256 || !all.contains(&tile.full()));
            let mut expected = all.clone();
            expected.extend(tree.partials().into_iter().map(|(path, _)| path));
            // Partial tiles of the same tile stay until it is full.
            let current = |tile: &TilePath| tile.width == 256 || expected.contains(tile);
            let found: BTreeSet<_> = pushed.iter().copied().filter(current).collect();
            assert_eq!(found, expected, "size {size}");
            let old = pushed
                .difference(&expected)
                .all(|tile| !all.contains(&tile.full()));
            assert!(old, "size {size}");
            at = size;
        }
        assert_eq!(tiles_between(7, 7).count(), 0);
    }
}
