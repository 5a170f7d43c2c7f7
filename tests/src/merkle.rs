//! The tree of RFC 6962 as its tiles, built from the entries alone. One leaf after the other goes in, every hash tile
//! comes out as it fills. Hashing is `tlog_tiles`'; the shape is computed here a second time on purpose.

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

/// Hashes in a full tile.
const WIDTH: usize = 256;

/// A hash tile: level, index, and its hashes (256, or fewer in a partial one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes.
    pub level: usize,
    /// Position in its level.
    pub index: u64,
    /// The bytes as C2SP tlog-tiles serves them.
    pub bytes: Vec<u8>,
}

impl Tile {
    pub fn path(&self) -> String {
        format!(
            "tile/{}/{}",
            self.level,
            numbered(self.index, self.bytes.len() / 32)
        )
    }
}

/// A bundle's path: `tile/entries/x001/234` or `tile/entries/x001/234.p/7`.
pub fn bundle_path(index: u64, width: usize) -> String {
    format!("tile/entries/{}", numbered(index, width))
}

fn numbered(index: u64, width: usize) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH {
        format!("{path}.p/{width}")
    } else {
        path
    }
}

/// A growing tree; memory is one unfinished tile per level.
#[derive(Default)]
pub struct Builder {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Builder {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; full tiles that it completes go to `done`.
    pub fn push(&mut self, leaf: Hash, done: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() < WIDTH {
                return;
            }
            let index = (self.size >> (8 * (level + 1))) - 1;
            done.push(Tile {
                level,
                index,
                bytes: bytes(hashes),
            });
            hash = subtree(hashes);
            hashes.clear();
        }
    }

    /// The partial tiles at this size, lowest level first.
    pub fn partial(&self) -> Vec<Tile> {
        let tiles = self
            .levels
            .iter()
            .enumerate()
            .filter(|(_, hashes)| !hashes.is_empty());
        tiles
            .map(|(level, hashes)| Tile {
                level,
                index: self.size >> (8 * (level + 1)),
                bytes: bytes(hashes),
            })
            .collect()
    }

    /// The root at this size.
    pub fn root(&self) -> Hash {
        let mut root = None;
        for hashes in &self.levels {
            // Complete subtrees of this level, smallest last; each is the left neighbour of all below it.
            let mut rest = hashes.as_slice();
            let mut parts = Vec::new();
            while !rest.is_empty() {
                let (part, after) = rest.split_at(1 << rest.len().ilog2());
                parts.push(subtree(part));
                rest = after;
            }
            for part in parts.into_iter().rev() {
                root = Some(root.map_or(part, |right| node_hash(part, right)));
            }
        }
        root.unwrap_or(EMPTY_HASH)
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The root over a power of two of hashes.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(subtree(left), subtree(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;

    #[test]
    fn roots_and_tiles_agree_with_another_implementation() {
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut builder = Builder::default();
        let mut full = Vec::new();
        assert_eq!(builder.root().0, sha2_of(b""));
        for n in 0..1500u32 {
            let entry = n.to_be_bytes().to_vec();
            builder.push(tlog_tiles::record_hash(&entry), &mut full);
            oracle.push(entry);
            assert_eq!(
                builder.root().0.as_slice(),
                oracle.root().as_bytes().as_slice(),
                "size {}",
                n + 1
            );
        }
        assert_eq!(
            full.iter().map(Tile::path).collect::<Vec<_>>()[..2],
            ["tile/0/000", "tile/0/001"]
        );
        assert_eq!(full.len(), 5);
        let partial: Vec<_> = builder.partial().iter().map(Tile::path).collect();
        assert_eq!(partial, ["tile/0/005.p/220", "tile/1/000.p/5"]);
    }

    #[test]
    fn tiles_of_the_specification_example() {
        let mut builder = Builder::default();
        let mut full = Vec::new();
        for n in 0..70_000u32 {
            builder.push(tlog_tiles::record_hash(&n.to_be_bytes()), &mut full);
        }
        assert_eq!(full.iter().filter(|tile| tile.level == 0).count(), 273);
        assert_eq!(
            full.iter()
                .filter(|tile| tile.level == 1)
                .map(Tile::path)
                .collect::<Vec<_>>(),
            ["tile/1/000"]
        );
        let partial: Vec<_> = builder.partial().iter().map(Tile::path).collect();
        assert_eq!(
            partial,
            ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
        );
    }

    #[test]
    fn long_numbers() {
        assert_eq!(numbered(1_234_067, 256), "x001/x234/067");
        assert_eq!(bundle_path(1_000, 3), "tile/entries/x001/000.p/3");
    }

    fn sha2_of(bytes: &[u8]) -> [u8; 32] {
        use sha2::Digest as _;
        Sha256::digest(bytes).into()
    }
}
