//! Checking proofs, after RFC 9162 sections 2.1.3.2 and 2.1.4.2.
//!
//! A proof comes from someone who may lie. Every input is accepted or refused, without a panic, and nothing is accepted that does not lead
//! to the given root.

use std::ops::Range;

use crate::hash::{Hash, node_hash};
use crate::range::is_subtree;

/// Why a proof is refused, or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in a tree of that size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    Index {
        /// The leaf asked for, from 0.
        index: u64,
        /// The number of leaves.
        size: u64,
    },
    /// The newer tree is the smaller one.
    #[error("a log cannot shrink from {old} to {new} leaves")]
    Shrunk {
        /// The older size, in leaves.
        old: u64,
        /// The newer size, in leaves.
        new: u64,
    },
    /// Consistency with the empty tree: there is nothing to prove, so there is no such proof.
    #[error("nothing to prove: every log extends the empty one")]
    Empty,
    /// Not a subtree: empty, beyond the tree, or not at a multiple of the power of two at or above its length.
    #[error("leaves {start} to {end} are not a subtree of a tree of {size} leaves")]
    Subtree {
        /// The index of the first leaf.
        start: u64,
        /// The leaf after the last.
        end: u64,
        /// The number of leaves in the tree.
        size: u64,
    },
    /// The proof has a hash too few or too many for these sizes.
    #[error("the proof has the wrong number of hashes ({0})")]
    Length(usize),
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
    /// A tile that the proof needs is missing, or not wide enough.
    #[error("the hash of node {index} at height {bits} is not in the tiles given")]
    Missing {
        /// The height of the node above the leaves.
        bits: u8,
        /// The index of the node at that height.
        index: u64,
    },
}

/// Checks that `leaf` is the hash of leaf `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`] unless the proof is exactly right.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let length = ProofError::Length(proof.len());
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // The last node of a row without a sibling moves up unchanged. `last` is not 0, so neither is `node`.
            let unpaired = node.trailing_zeros();
            (node, last) = (node >> unpaired, last >> unpaired);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        Err(length)
    } else if hash != *root {
        Err(ProofError::Root)
    } else {
        Ok(())
    }
}

/// Checks that the tree of `new_size` leaves with `new_root` begins with the tree of `old_size` leaves with `old_root`.
///
/// Equal sizes need an empty proof and equal roots. An `old_size` of 0 is refused: it proves nothing about a root.
///
/// # Errors
/// [`ProofError`] unless the proof is exactly right.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk {
            old: old_size,
            new: new_size,
        });
    }
    if old_size == 0 {
        return Err(ProofError::Empty);
    }
    let length = ProofError::Length(proof.len());
    if old_size == new_size {
        return match proof {
            [] if old_root == new_root => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(length),
        };
    }
    // An old tree that is one complete subtree is where the proof starts; otherwise the proof says where.
    let (start, path) = match proof {
        _ if old_size.is_power_of_two() => (*old_root, proof),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(length),
    };
    let complete = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> complete, (new_size - 1) >> complete);
    let (mut old_hash, mut new_hash) = (start, start);
    for sibling in path {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            let unpaired = node.trailing_zeros();
            (node, last) = (node >> unpaired, last >> unpaired);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        Err(length)
    } else if old_hash != *old_root || new_hash != *new_root {
        Err(ProofError::Root)
    } else {
        Ok(())
    }
}

/// Checks that the tree of `size` leaves with this root has the subtree over the leaves `node`, whose hash is `hash`
/// (draft-ietf-plants-merkle-tree-certs section 4.4.3).
///
/// # Errors
/// [`ProofError`] unless the proof is exactly right.
pub fn verify_subtree(
    node: Range<u64>,
    size: u64,
    proof: &[Hash],
    hash: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_subtree(&node) || node.end > size {
        return Err(ProofError::Subtree {
            start: node.start,
            end: node.end,
            size,
        });
    }
    let length = ProofError::Length(proof.len());
    let (mut first, mut last, mut end) = (node.start, node.end - 1, size - 1);
    // Up to the highest node that is all of the subtree's right edge: there the proof starts.
    let stop = if last == end {
        64
    } else {
        last.trailing_ones()
    };
    let levels = (u64::BITS - (first ^ last).leading_zeros()).min(stop);
    let shift = |value: u64| value.checked_shr(levels).unwrap_or(0);
    (first, last, end) = (shift(first), shift(last), shift(end));
    let (start, path) = match proof {
        _ if first == last => (*hash, proof),
        [start, rest @ ..] => (*start, rest),
        [] => return Err(length),
    };
    let (mut old, mut new) = (start, start);
    for sibling in path {
        if end == 0 {
            return Err(length);
        }
        if last & 1 == 1 || last == end {
            if first < last {
                old = node_hash(sibling, &old);
            }
            new = node_hash(sibling, &new);
            let unpaired = last.trailing_zeros();
            (first, last, end) = (first >> unpaired, last >> unpaired, end >> unpaired);
        } else {
            new = node_hash(&new, sibling);
        }
        (first, last, end) = (first >> 1, last >> 1, end >> 1);
    }
    if end != 0 {
        Err(length)
    } else if old != *hash || new != *root {
        Err(ProofError::Root)
    } else {
        Ok(())
    }
}
