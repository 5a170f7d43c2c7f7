//! Formats of a transparency log: Merkle hashing, tiles, proofs, signed notes, checkpoints, cosignatures, policies, seals, receipts, and
//! the messages to witnesses and mirrors.
//!
//! Everything here is a function from values to values. No I/O, no clock, no randomness but the nonce of an ECDSA signature: the server,
//! the auditor, the command line and the tests share this one reading of RFC 6962, RFC 9162 and the C2SP documents. What must never happen:
//! two parts of the product compute different bytes for the same entries, or a parser accepts two spellings of one value.
//!
//! | to | use |
//! |---|---|
//! | hash entries, append them, know the root | [`leaf_hash`], [`RightEdge`] |
//! | name what a log publishes | [`TilePath`], [`bundle`] |
//! | make a proof from tiles, check one | [`TileSet`], [`inclusion_proof`], [`verify_inclusion`], [`verify_consistency`] |
//! | sign and read what a log says of itself | [`Signer`], [`VerifierKey`], [`Note`], [`Checkpoint`], [`Seal`], [`Receipt`] |
//! | count on witnesses | [`Cosigner`], [`CosignerKey`], [`Policy`] |
//! | make the tiles of a growing tree | [`ShardTree`] |
//! | read a whole tree again | [`walk`] |
//! | copy a log | [`mirror`] |
//! | tell positions, sizes and times apart | [`GlobalIndex`], [`LeafIndex`], [`TreeSize`], [`UnixMillis`] |
//!
//! A log of three entries signs its tree, and a reader proves that one of them is under the signature:
//!
//! ```
//! use tlog::{
//!     Checkpoint, RightEdge, Signer, TileSet, inclusion_proof, inclusion_tiles, leaf_hash, tile_bytes,
//!     verify_inclusion,
//! };
//!
//! let leaves = [leaf_hash(b"red"), leaf_hash(b"green"), leaf_hash(b"blue")];
//! let mut tree = RightEdge::new();
//! leaves.iter().for_each(|leaf| tree.push(*leaf));
//! let origin = "log.example.org/paint".to_owned();
//! let signer = Signer::from_seed(&origin, &[7; 32])?;
//! let (size, root, extensions) = (tree.size(), tree.root(), vec![]);
//! let note = Checkpoint { origin, size, root, extensions }.sign(&signer)?;
//!
//! // The reader knows the log's public key, and what it fetches.
//! let checkpoint = Checkpoint::open(&note, signer.verifier())?;
//! let mut tiles = TileSet::new();
//! for path in inclusion_tiles(1, checkpoint.size) {
//!     assert_eq!(path.to_string(), "tile/0/000.p/3");
//!     tiles.insert(path, &tile_bytes(&leaves))?;
//! }
//! let proof = inclusion_proof(1, checkpoint.size, &tiles)?;
//! verify_inclusion(1, checkpoint.size, &leaf_hash(b"green"), &proof, &checkpoint.root)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

pub mod bundle;
mod checkpoint;
mod cosignature;
mod edge;
mod hash;
mod hex;
mod key;
pub mod mirror;
mod note;
mod number;
mod opening;
mod policy;
mod proof;
mod range;
mod receipt;
mod seal;
mod tile;
mod tileset;
mod timestamp;
mod tree;
pub mod walk;

#[cfg(test)]
mod tests;

pub use bundle::BundleError;
pub use checkpoint::Checkpoint;
pub use cosignature::{Cosignature, Cosigner, CosignerKey, attach};
pub use edge::{EdgeError, RightEdge};
pub use hash::{
    Hash, HashError, edge_root, empty_root, leaf_hash, node_hash, subtree_root, tile_bytes,
    tile_root,
};
pub use hex::{hex, unhex};
pub use key::{Signer, VerifierKey};
pub use note::{MAX_SIGNATURES, Note, NoteError, Signature, sign, signature_lines};
pub use number::{GlobalIndex, LeafIndex, TreeSize, UnixMillis};
pub use opening::Opening;
pub use policy::{Policy, PolicyError, PolicyWitness};
pub use proof::{ProofError, verify_consistency, verify_inclusion, verify_subtree};
pub use receipt::Receipt;
pub use seal::Seal;
pub use tile::{TILE_WIDTH, TileError, TileKind, TilePath, partial_tiles};
pub use tileset::{
    HashTile, TileSet, consistency_proof, consistency_tiles, edge_from_tiles, edge_tiles,
    inclusion_proof, inclusion_tiles, subtree_proof, subtree_tiles,
};
pub use timestamp::EntryTimestamp;
pub use tree::{ShardTree, TileBytes, tiles_between};
