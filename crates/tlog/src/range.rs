//! Which complete subtrees make up a range of leaves, and which ranges make up a proof.
//!
//! A node is named by its height in bits and its index at that height: node `(b, i)` covers the leaves
//! `i·2^b .. (i+1)·2^b`. Ranges here are always the nodes of one tree, so each starts at a multiple of a power of two
//! that is not below its length; their hash is therefore the right fold over their complete subtrees.

use std::ops::Range;

use crate::hash::{Hash, empty_root, node_hash};

/// The complete subtrees `(bits, index)` that make up a range of leaves, largest first.
///
/// The range must be a node of a tree: it starts at a multiple of a power of two that is at least its length.
pub(crate) fn subtrees(range: Range<u64>) -> impl Iterator<Item = (u8, u64)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let length = range.end.checked_sub(start)?;
        let bits = length.checked_ilog2()?;
        let node = (bits as u8, start >> bits);
        start += 1 << bits;
        Some(node)
    })
}

/// The hash over complete subtrees of falling size, the largest first; the empty root if there are none.
pub(crate) fn fold(subtrees: &[Hash]) -> Hash {
    let Some((last, larger)) = subtrees.split_last() else {
        return empty_root();
    };
    larger
        .iter()
        .rev()
        .fold(*last, |right, left| node_hash(left, &right))
}

/// The split of a tree of `length > 1` leaves: the largest power of two below its length.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// The ranges whose hashes prove leaf `index` to be in the tree of `size`, in proof order (RFC 9162 section 2.1.3.1).
/// Needs `index < size`.
pub(crate) fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose hashes prove that the tree of `new` extends the tree of `old`, in proof order (RFC 9162 section
/// 2.1.4.1). Needs `0 < old <= new`.
pub(crate) fn consistency(old: u64, new: u64) -> Vec<Range<u64>> {
    let (mut low, mut high) = (0, new);
    // As long as only left turns were taken, the verifier knows the old root and needs no hash for it.
    let mut known = true;
    let mut ranges = Vec::new();
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
            known = false;
        }
    }
    if !known {
        ranges.push(low..high);
    }
    ranges.reverse();
    ranges
}

/// Whether `range` can be a node of a tree: not empty, and it starts at a multiple of the power of two at or above its length.
pub(crate) fn is_subtree(range: &Range<u64>) -> bool {
    range
        .end
        .checked_sub(range.start)
        .filter(|length| *length > 0)
        .and_then(u64::checked_next_power_of_two)
        .is_some_and(|unit| range.start.is_multiple_of(unit))
}

/// The ranges whose hashes prove that the tree of `size` has the subtree `node`, in proof order
/// (draft-ietf-plants-merkle-tree-certs section 4.4.1). Needs a valid subtree with `node.end <= size`.
pub(crate) fn subtree(node: &Range<u64>, size: u64) -> Vec<Range<u64>> {
    let (mut low, mut high) = (0, size);
    // The part of the node that is inside `low..high`, and whether the verifier knows its hash: as long as it is all of it.
    let (mut start, end) = (node.start, node.end);
    let mut known = true;
    let mut ranges = Vec::new();
    while (start, end) != (low, high) {
        let middle = low + split(high - low);
        if end <= middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            if start < middle {
                known = false;
                start = middle;
            }
            low = middle;
        }
    }
    if !known {
        ranges.push(low..high);
    }
    ranges.reverse();
    ranges
}
