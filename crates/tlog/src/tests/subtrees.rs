//! Subtree consistency proofs, against the recursive definition of draft-ietf-plants-merkle-tree-certs section 4.4.1.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::proofs::{TREE, each_tile_is_needed, sizes, split};
use crate::{
    Hash, ProofError, TileSet, consistency_proof, consistency_tiles, inclusion_proof,
    inclusion_tiles, subtree_proof, subtree_tiles, verify_subtree,
};

/// SUBTREE_SUBPROOF(node, D[tree], known), with `node` counted from the start of `tree`.
fn oracle(node: Range<u64>, tree: Range<u64>, known: bool) -> Vec<Hash> {
    let n = tree.end - tree.start;
    if node == (0..n) {
        return if known {
            Vec::new()
        } else {
            vec![TREE.root(tree)]
        };
    }
    let k = split(n);
    let (left, right) = (tree.start..tree.start + k, tree.start + k..tree.end);
    let (mut proof, sibling) = if node.end <= k {
        (oracle(node, left, known), right)
    } else if k <= node.start {
        (oracle(node.start - k..node.end - k, right, known), left)
    } else {
        (oracle(0..node.end - k, right, false), left)
    };
    proof.push(TREE.root(sibling));
    proof
}

/// A subtree of a tree: any, or one like those of packages.
fn nodes() -> impl Strategy<Value = (Range<u64>, u64)> {
    (sizes(), 0..9u32, any::<Index>(), any::<Index>()).prop_map(|(size, bits, at, length)| {
        let unit = 1u64 << bits;
        let start = at.index((size.div_ceil(unit)) as usize) as u64 * unit;
        let end = start + 1 + length.index(unit.min(size - start) as usize) as u64;
        (start..end, size)
    })
}

proptest! {
    #[test]
    fn proofs_agree_with_the_definition_and_are_accepted((node, size) in nodes()) {
        let paths = subtree_tiles(node.clone(), size);
        let proof = subtree_proof(node.clone(), size, &TREE.tiles(&paths)).unwrap();
        prop_assert_eq!(&proof, &oracle(node.clone(), 0..size, true));
        each_tile_is_needed(&paths, size, |tiles| subtree_proof(node.clone(), size, tiles).is_ok());
        let (hash, root) = (TREE.root(node.clone()), TREE.root(0..size));
        prop_assert_eq!(verify_subtree(node, size, &proof, &hash, &root), Ok(()));
    }

    #[test]
    fn anything_else_is_refused((node, size) in nodes(), at: Index, bit in 0..256usize, other in sizes()) {
        let proof = oracle(node.clone(), 0..size, true);
        let (hash, root) = (TREE.root(node.clone()), TREE.root(0..size));
        let flip = |hash: Hash| { let mut hash = hash; hash.0[bit / 8] ^= 1 << (bit % 8); hash };
        let check = |proof: &[Hash], hash: &Hash, root: &Hash| verify_subtree(node.clone(), size, proof, hash, root);
        prop_assert!(check(&proof, &flip(hash), &root).is_err());
        prop_assert!(check(&proof, &hash, &flip(root)).is_err());
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(check(&longer, &hash, &root).is_err());
        if !proof.is_empty() {
            let mut changed = proof.clone();
            let at = at.index(proof.len());
            changed[at] = flip(changed[at]);
            prop_assert_eq!(check(&changed, &hash, &root), Err(ProofError::Root));
            prop_assert!(check(&proof[1..], &hash, &root).is_err());
        }
        // Another tree, or other leaves with the same proof.
        if other != size {
            prop_assert!(verify_subtree(node.clone(), other, &proof, &hash, &TREE.root(0..other)).is_err());
        }
        let length = node.end - node.start;
        let moved = node.start + length.next_power_of_two()..node.end + length.next_power_of_two();
        prop_assert!(verify_subtree(moved, size, &proof, &hash, &root).is_err());
    }

    #[test]
    fn whatever_comes_is_no_panic(start: u64, end: u64, size: u64, hashes in 0..70usize) {
        let hash = TREE.root(0..1);
        let _ = verify_subtree(start..end, size, &vec![hash; hashes], &hash, &hash);
        prop_assert!(subtree_tiles(start..end, size).len() <= 130);
    }

    #[test]
    fn prefixes_and_leaves_are_the_old_proofs(size in sizes(), at: Index) {
        let at = at.index(size as usize) as u64;
        let old = consistency_proof(at + 1, size, &TREE.tiles(&consistency_tiles(at + 1, size)));
        prop_assert_eq!(subtree_proof(0..at + 1, size, &TREE.tiles(&subtree_tiles(0..at + 1, size))), old);
        let leaf = inclusion_proof(at, size, &TREE.tiles(&inclusion_tiles(at, size)));
        prop_assert_eq!(subtree_proof(at..at + 1, size, &TREE.tiles(&subtree_tiles(at..at + 1, size))), leaf);
    }
}

#[test]
fn what_is_no_subtree() {
    for (node, size) in [(0..0, 9), (1..3, 9), (4..9, 9), (8..10, 9), (2..5, 9)] {
        let found = subtree_proof(node.clone(), size, &TileSet::new());
        assert!(matches!(found, Err(ProofError::Subtree { .. })), "{node:?}");
        assert_eq!(subtree_tiles(node, size), []);
    }
}
