//! Proofs and right edges from tiles, against the recursive definitions of RFC 6962 section 2.1 and two other
//! implementations.

use std::ops::Range;
use std::sync::LazyLock;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::Sha256;

use crate::{
    Hash, ProofError, RightEdge, TILE_WIDTH, TileError, TileKind, TilePath, TileSet,
    consistency_proof, consistency_tiles, edge_from_tiles, edge_tiles, empty_root, inclusion_proof,
    inclusion_tiles, leaf_hash, node_hash, tile_root, verify_consistency, verify_inclusion,
};

/// Reaches level 2, with something at its right.
const SIZE: u64 = 66_000;

pub(super) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// All complete subtrees of a tree, row by row: the oracle's memory.
pub(super) struct Tree(Vec<Vec<Hash>>);

pub(super) static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let mut rows: Vec<Vec<Hash>> = vec![(0..SIZE).map(|index| leaf_hash(&entry(index))).collect()];
    while let Some(row) = rows.last().filter(|row| row.len() > 1) {
        rows.push(
            row.as_chunks()
                .0
                .iter()
                .map(|[left, right]| node_hash(left, right))
                .collect(),
        );
    }
    Tree(rows)
});

pub(super) fn split(length: u64) -> u64 {
    let mut k = 1;
    while 2 * k < length {
        k *= 2;
    }
    k
}

impl Tree {
    pub(super) fn root(&self, range: Range<u64>) -> Hash {
        let length = range.end - range.start;
        if length == 0 {
            return empty_root();
        }
        if length.is_power_of_two() && range.start.is_multiple_of(length) {
            return self.0[length.ilog2() as usize][(range.start / length) as usize];
        }
        let middle = range.start + split(length);
        node_hash(
            &self.root(range.start..middle),
            &self.root(middle..range.end),
        )
    }

    /// PATH(m, D[range]), with `m` counted from the start of the range.
    fn path(&self, m: u64, range: Range<u64>) -> Vec<Hash> {
        let length = range.end - range.start;
        if length == 1 {
            return Vec::new();
        }
        let k = split(length);
        let middle = range.start + k;
        let (mut path, sibling) = if m < k {
            (self.path(m, range.start..middle), middle..range.end)
        } else {
            (self.path(m - k, middle..range.end), range.start..middle)
        };
        path.push(self.root(sibling));
        path
    }

    /// SUBPROOF(m, D[range], known), with `m` counted from the start of the range.
    fn subproof(&self, m: u64, range: Range<u64>, known: bool) -> Vec<Hash> {
        let length = range.end - range.start;
        if m == length {
            return if known {
                Vec::new()
            } else {
                vec![self.root(range)]
            };
        }
        let k = split(length);
        let middle = range.start + k;
        let (mut path, sibling) = if m <= k {
            (
                self.subproof(m, range.start..middle, known),
                middle..range.end,
            )
        } else {
            (
                self.subproof(m - k, middle..range.end, false),
                range.start..middle,
            )
        };
        path.push(self.root(sibling));
        path
    }

    /// The bytes of a hash tile; only complete subtrees are in it.
    fn tile(&self, path: &TilePath) -> Vec<u8> {
        let TileKind::Hashes(level) = path.kind else {
            panic!("not a hash tile")
        };
        let start = (path.index * TILE_WIDTH) as usize;
        self.0[8 * usize::from(level)][start..start + usize::from(path.width)]
            .iter()
            .flat_map(|hash| hash.0)
            .collect()
    }

    pub(super) fn tiles(&self, paths: &[TilePath]) -> TileSet {
        let mut set = TileSet::new();
        for path in paths {
            set.insert(*path, &self.tile(path)).unwrap();
        }
        set
    }
}

impl tlog_tiles::HashReader for &Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let node = |index: &u64| {
            let (level, index) = tlog_tiles::split_stored_hash_index(*index);
            tlog_tiles::Hash(self.0[usize::from(level)][index as usize].0)
        };
        Ok(indexes.iter().map(node).collect())
    }
}

fn theirs(proof: &[Hash]) -> Vec<tlog_tiles::Hash> {
    proof.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

/// Sizes of all magnitudes, and those around tile borders.
pub(super) fn sizes() -> impl Strategy<Value = u64> {
    let borders =
        (1..=SIZE / 256, -2i64..=2).prop_map(|(tiles, near)| (256 * tiles as i64 + near) as u64);
    let powers =
        (0u32..=16, -1i64..=1).prop_map(|(bits, near)| ((1i64 << bits) + near).max(1) as u64);
    prop_oneof![1..=SIZE, 1..600u64, borders, powers].prop_map(|size| size.min(SIZE))
}

pub(super) fn each_tile_is_needed(paths: &[TilePath], size: u64, prove: impl Fn(&TileSet) -> bool) {
    for left_out in paths {
        assert_eq!(
            TilePath::at(left_out.kind, left_out.index, size),
            Some(*left_out)
        );
        let others: Vec<TilePath> = paths
            .iter()
            .filter(|path| *path != left_out)
            .copied()
            .collect();
        assert!(others.len() + 1 == paths.len(), "each once");
        assert!(!prove(&TREE.tiles(&others)), "{left_out} is not needed");
    }
}

proptest! {
    #[test]
    fn inclusion_agrees_with_the_definition_and_others(size in sizes(), index: Index) {
        let index = index.index(size as usize) as u64;
        let paths = inclusion_tiles(index, size);
        let proof = inclusion_proof(index, size, &TREE.tiles(&paths)).unwrap();
        prop_assert_eq!(&proof, &TREE.path(index, 0..size));
        prop_assert_eq!(theirs(&proof), tlog_tiles::prove_record(size, index, &&*TREE).unwrap());
        each_tile_is_needed(&paths, size, |tiles| inclusion_proof(index, size, tiles).is_ok());
        let root = TREE.root(0..size);
        prop_assert_eq!(verify_inclusion(index, size, &leaf_hash(&entry(index)), &proof, &root), Ok(()));
    }

    #[test]
    fn consistency_agrees_with_the_definition_and_others(new in sizes(), old: Index) {
        let old = 1 + old.index(new as usize) as u64;
        let paths = consistency_tiles(old, new);
        let proof = consistency_proof(old, new, &TREE.tiles(&paths)).unwrap();
        prop_assert_eq!(&proof, &TREE.subproof(old, 0..new, true));
        prop_assert_eq!(theirs(&proof), tlog_tiles::prove_tree(new, old, &&*TREE).unwrap());
        each_tile_is_needed(&paths, new, |tiles| consistency_proof(old, new, tiles).is_ok());
        let (old_root, new_root) = (TREE.root(0..old), TREE.root(0..new));
        prop_assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()));
    }

    #[test]
    fn the_edge_from_tiles_is_the_edge_of_the_leaves(size in 0..3000u64) {
        let mut pushed = RightEdge::new();
        for leaf in &TREE.0[0][..size as usize] {
            pushed.push(*leaf);
        }
        let paths = edge_tiles(size);
        prop_assert_eq!(edge_from_tiles(size, &TREE.tiles(&paths)), Ok(pushed));
        each_tile_is_needed(&paths, size, |tiles| edge_from_tiles(size, tiles).is_ok());
    }

    #[test]
    fn the_edge_from_tiles_has_the_root_of_the_definition(size in sizes()) {
        let edge = edge_from_tiles(size, &TREE.tiles(&edge_tiles(size))).unwrap();
        prop_assert_eq!(edge.root(), TREE.root(0..size));
        prop_assert_eq!(edge.size(), size);
    }

    #[test]
    fn ct_merkle_makes_the_same_proofs(size in 2..300u64, index: Index, old: Index) {
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for index in 0..size {
            tree.push(entry(index));
        }
        let root: [u8; 32] = (*tree.root().as_bytes()).into();
        prop_assert_eq!(Hash(root), TREE.root(0..size));
        let index = index.index(size as usize);
        let proof = inclusion_proof(index as u64, size, &TREE.tiles(&inclusion_tiles(index as u64, size))).unwrap();
        let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
        prop_assert!(tree.prove_inclusion(index).as_bytes() == bytes);
        let old = 1 + old.index(size as usize - 1) as u64;
        let proof = consistency_proof(old, size, &TREE.tiles(&consistency_tiles(old, size))).unwrap();
        let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
        prop_assert!(tree.prove_consistency((size - old) as usize).as_bytes() == bytes);
    }

    #[test]
    fn a_changed_inclusion_proof_is_refused(size in 2..SIZE, index: Index, other: Index, bit: Index, cut: Index) {
        let index = index.index(size as usize) as u64;
        let (leaf, root) = (leaf_hash(&entry(index)), TREE.root(0..size));
        let proof = TREE.path(index, 0..size);
        let refused = |leaf: &Hash, proof: &[Hash], root: &Hash| {
            verify_inclusion(index, size, leaf, proof, root).is_err()
        };
        prop_assert!(!refused(&leaf, &proof, &root));
        let mut bad = proof.clone();
        flip(&mut bad, &bit);
        prop_assert!(refused(&leaf, &bad, &root));
        let (mut leaf_and_root, good) = ([leaf, root], [leaf, root]);
        flip(&mut leaf_and_root, &bit);
        prop_assert!(leaf_and_root != good && refused(&leaf_and_root[0], &proof, &leaf_and_root[1]));
        prop_assert!(refused(&leaf, &proof[..cut.index(proof.len())], &root));
        let mut long = proof.clone();
        long.insert(cut.index(proof.len() + 1), root);
        prop_assert!(refused(&leaf, &long, &root));
        let other = other.index(size as usize) as u64;
        prop_assert_eq!(verify_inclusion(other, size, &leaf, &proof, &root).is_ok(), other == index);
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(new in 2..SIZE, old: Index, bit: Index, cut: Index) {
        let old = 1 + old.index(new as usize - 1) as u64;
        let roots = [TREE.root(0..old), TREE.root(0..new)];
        let proof = TREE.subproof(old, 0..new, true);
        let refused = |proof: &[Hash], roots: &[Hash; 2]| {
            verify_consistency(old, new, proof, &roots[0], &roots[1]).is_err()
        };
        prop_assert!(!refused(&proof, &roots));
        let mut bad = proof.clone();
        flip(&mut bad, &bit);
        prop_assert!(refused(&bad, &roots));
        let mut bad = roots;
        flip(&mut bad, &bit);
        prop_assert!(refused(&proof, &bad));
        prop_assert!(refused(&proof[..cut.index(proof.len())], &roots));
        let mut long = proof.clone();
        long.insert(cut.index(proof.len() + 1), roots[0]);
        prop_assert!(refused(&long, &roots));
        prop_assert!(verify_consistency(new, old, &proof, &roots[1], &roots[0]).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(a: u64, b: u64, shift in 0u32..64, hashes: Vec<[u8; 32]>) {
        let proof: Vec<Hash> = hashes.into_iter().map(Hash).collect();
        let zero = Hash([0; 32]);
        for (a, b) in [(a, b), (a >> shift, b >> shift), (a >> shift, b), (u64::MAX, b), (a, u64::MAX), (b - b / 2, b)] {
            prop_assert!(verify_inclusion(a, b, &zero, &proof, &empty_root()).is_err());
            prop_assert!(verify_consistency(a, b, &proof, &zero, &empty_root()).is_err());
            let none = TileSet::new();
            prop_assert_eq!(inclusion_proof(a, b, &none).is_err(), !(a == 0 && b == 1));
            prop_assert_eq!(consistency_proof(a, b, &none).is_err(), a == 0 || a != b);
            prop_assert_eq!(edge_from_tiles(a, &none).is_err(), a > 0);
            let asked = [inclusion_tiles(a, b), consistency_tiles(a, b), edge_tiles(b)].concat();
            for tile in asked {
                prop_assert_eq!(TilePath::at(tile.kind, tile.index, b), Some(tile));
            }
        }
    }
}

fn flip(hashes: &mut [Hash], bit: &Index) {
    let bit = bit.index(hashes.len() * 256);
    hashes[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
}

#[test]
fn nothing_to_prove() {
    let tiles = TileSet::new();
    assert_eq!(inclusion_proof(0, 1, &tiles), Ok(vec![]));
    assert_eq!(consistency_proof(5, 5, &tiles), Ok(vec![]));
    assert_eq!(edge_from_tiles(0, &tiles), Ok(RightEdge::new()));
    assert_eq!(
        inclusion_proof(5, 5, &tiles),
        Err(ProofError::Index { index: 5, size: 5 })
    );
    assert_eq!(consistency_proof(0, 5, &tiles), Err(ProofError::Empty));
    assert_eq!(
        consistency_proof(6, 5, &tiles),
        Err(ProofError::Shrunk { old: 6, new: 5 })
    );
    assert_eq!(inclusion_tiles(5, 5), []);
    assert_eq!(edge_tiles(0), []);
}

#[test]
fn tiles_keep_to_their_width() {
    let mut set = TileSet::new();
    let (narrow, wide) = (TilePath::hashes(0, 3, 5), TilePath::hashes(0, 3, 256));
    assert_eq!(
        set.insert(TilePath::entries(3, 5), &[]),
        Err(TileError::Kind)
    );
    let short = TREE.tile(&narrow);
    for wrong in [&short[1..], &short[32..], &TREE.tile(&wide)] {
        assert_eq!(
            set.insert(narrow, wrong),
            Err(TileError::Length {
                width: 5,
                found: wrong.len()
            })
        );
    }
    set.insert(narrow, &short).unwrap();
    assert_eq!(set.node(0, 3 * 256 + 4), Some(TREE.0[0][3 * 256 + 4]));
    assert_eq!(set.node(2, 3 * 64), Some(TREE.0[2][3 * 64]));
    assert_eq!(set.node(0, 3 * 256 + 5), None, "beyond the width");
    assert_eq!(set.node(2, 3 * 64 + 1), None, "partly beyond the width");
    assert_eq!(
        set.node(8, 3),
        None,
        "a node over a tile is in the tile above"
    );
    set.insert(wide, &TREE.tile(&wide)).unwrap();
    set.insert(narrow, &short).unwrap();
    assert_eq!(set.node(7, 7), Some(TREE.0[7][7]), "the wider one is kept");
    assert_eq!(set.node(255, u64::MAX), None);
    let full: [Hash; 256] = TREE.0[0][768..1024].try_into().unwrap();
    assert_eq!(tile_root(&full), TREE.0[8][3]);
}
