//! The right edge of a growing tree: the roots of its complete subtrees, all that is needed to append and to know the
//! root (a compact range that starts at leaf 0).
//!
//! It must never be built from parts that do not belong to its size: the number of parts is the number of one bits in
//! the size, and that is checked.

use crate::hash::{Hash, node_hash};
use crate::range::fold;

/// The compact form of a tree: at most 64 hashes, whatever its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightEdge {
    size: u64,
    /// One hash per one bit of `size`, the largest subtree first.
    parts: Vec<Hash>,
}

/// Why parts are not the right edge of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// The number of hashes does not fit the size.
    #[error("a tree of {size} leaves has {expected} complete subtrees, not {found}")]
    Parts {
        /// The number of leaves.
        size: u64,
        /// How many complete subtrees a tree of that size has.
        expected: usize,
        /// The number of hashes that were given.
        found: usize,
    },
    /// It has more than [`RightEdge::MAX_SIZE`] leaves.
    #[error("a tree of {0} leaves is too large")]
    TooLarge(u64),
}

impl RightEdge {
    /// The largest size that parts can be loaded for: no log gets near it, so that appending never overflows.
    pub const MAX_SIZE: u64 = 1 << 62;

    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves, from the hashes of its maximal complete subtrees, largest first.
    ///
    /// # Errors
    /// [`EdgeError`] if their number does not fit the size.
    pub fn from_parts(size: u64, parts: Vec<Hash>) -> Result<Self, EdgeError> {
        let expected = size.count_ones() as usize;
        if size > Self::MAX_SIZE {
            Err(EdgeError::TooLarge(size))
        } else if parts.len() != expected {
            Err(EdgeError::Parts {
                size,
                expected,
                found: parts.len(),
            })
        } else {
            Ok(Self { size, parts })
        }
    }

    /// Appends a leaf. Amortised one hash per leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.parts.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.parts.push(node);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree (RFC 6962 section 2.1): at most 63 hashes are computed.
    pub fn root(&self) -> Hash {
        fold(&self.parts)
    }

    /// The hashes of the maximal complete subtrees, largest first.
    pub fn parts(&self) -> &[Hash] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{empty_root, leaf_hash};

    /// RFC 6962 section 2.1, word for word and as slow as that.
    fn oracle(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&oracle(&leaves[..k]), &oracle(&leaves[k..]))
            }
        }
    }

    #[test]
    fn every_size_has_the_root_of_the_recursive_definition() {
        let leaves: Vec<Hash> = (0..300u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut edge = RightEdge::new();
        for size in 0..=leaves.len() {
            assert_eq!(edge.size(), size as u64);
            assert_eq!(edge.root(), oracle(&leaves[..size]), "size {size}");
            let loaded = RightEdge::from_parts(edge.size(), edge.parts().to_vec());
            assert_eq!(loaded.as_ref(), Ok(&edge));
            if let Some(leaf) = leaves.get(size) {
                edge.push(*leaf);
            }
        }
    }

    #[test]
    fn parts_must_fit_the_size() {
        let part = empty_root();
        let wrong = EdgeError::Parts {
            size: 3,
            expected: 2,
            found: 1,
        };
        assert_eq!(RightEdge::from_parts(3, vec![part]), Err(wrong));
        assert!(RightEdge::from_parts(0, vec![part]).is_err());
        assert_eq!(
            RightEdge::from_parts(u64::MAX, vec![part; 64]),
            Err(EdgeError::TooLarge(u64::MAX))
        );
        let mut largest = RightEdge::from_parts(RightEdge::MAX_SIZE, vec![part]).unwrap();
        largest.push(part);
        assert_eq!(largest.size(), RightEdge::MAX_SIZE + 1);
    }
}
