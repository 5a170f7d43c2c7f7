//! SHA-256 Merkle hashing after RFC 6962 section 2.1.
//!
//! Every leaf and node of every tree passes through these few functions, so they allocate nothing. A leaf and a node
//! must never hash alike: the prefix bytes 0x00 and 0x01 keep them apart.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::hex::{hex, unhex};
use crate::tile::TILE_WIDTH;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A SHA-256 value: of a leaf, of a node, or the root of a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// Why text is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not 64 hexadecimal digits.
    #[error("not a hash: expected 64 hexadecimal digits")]
    Hex,
    /// Not the padded standard base64 of 32 bytes.
    #[error("not a hash: expected the base64 of 32 bytes")]
    Base64,
}

impl Hash {
    /// The number of bytes in a hash.
    pub const LEN: usize = 32;

    /// Padded standard base64 (RFC 4648 section 4), as in checkpoints.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The hash in padded standard base64. Only the one canonical spelling is accepted.
    ///
    /// # Errors
    /// [`HashError::Base64`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::Base64)?;
        bytes.try_into().map(Hash).map_err(|_| HashError::Base64)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Hash(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = unhex(&text.to_ascii_lowercase());
        bytes.map(Hash).ok_or(HashError::Hex)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The hash of an entry as a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([LEAF]);
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// The hash of a node over its two children: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut preimage = [NODE; 1 + 2 * Hash::LEN];
    preimage[1..33].copy_from_slice(&left.0);
    preimage[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(preimage).into())
}

/// The root of the tree without leaves: `SHA-256("")`.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The node over a full tile: the hash that the tile one level up holds for it.
pub fn tile_root(tile: &[Hash; TILE_WIDTH as usize]) -> Hash {
    let mut nodes = *tile;
    let mut width = nodes.len();
    while width > 1 {
        width /= 2;
        for i in 0..width {
            nodes[i] = node_hash(&nodes[2 * i], &nodes[2 * i + 1]);
        }
    }
    nodes[0]
}

/// The bytes of a hash tile.
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The Merkle tree hash over nodes in place of leaves (RFC 6962 section 2.1, `k` the largest power of two below n); `None`
/// of none.
pub fn subtree_root(nodes: &[Hash]) -> Option<Hash> {
    match nodes {
        [] => None,
        [only] => Some(*only),
        _ => {
            let (left, right) = nodes.split_at(nodes.len().next_power_of_two() / 2);
            Some(node_hash(&subtree_root(left)?, &subtree_root(right)?))
        }
    }
}

/// The root of a tree whose right edge has these tiles, the leaves first, then level by level; empty slices where a level has
/// none.
pub fn edge_root<'a>(levels: impl IntoIterator<Item = &'a [Hash]>) -> Hash {
    let root = levels.into_iter().fold(None, |right, level| {
        // The leaves to the right of a level's complete subtrees are below one more node of that level.
        let nodes: Vec<Hash> = level.iter().copied().chain(right).collect();
        subtree_root(&nodes)
    });
    root.unwrap_or_else(empty_root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_hashes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty_root().to_string(), empty);
        // RFC 6962: the leaf of the empty entry.
        let leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), leaf);
        assert_eq!(format!("{:?}", leaf_hash(b"")), leaf);
        assert_eq!(
            empty_root().to_base64(),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }

    #[test]
    fn text_that_is_not_a_hash() {
        let hex = empty_root().to_string();
        for bad in [
            &hex[1..],
            &format!("{hex}0"),
            &format!("+{}", &hex[1..]),
            &hex.replace('e', "g"),
            "",
        ] {
            assert_eq!(bad.parse::<Hash>(), Err(HashError::Hex), "{bad}");
        }
        let base64 = empty_root().to_base64();
        // Unpadded, URL-safe, a set bit beyond the last byte, white space, too short, too long.
        for bad in [
            base64.trim_end_matches('=').to_owned(),
            base64.replace('+', "-"),
            base64.replace("U=", "V="),
            format!("{base64}\n"),
            STANDARD.encode([0; 31]),
            STANDARD.encode([0; 33]),
        ] {
            assert_eq!(Hash::from_base64(&bad), Err(HashError::Base64), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 32]) {
            let hash = Hash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
            prop_assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
            prop_assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(&json, &format!("\"{hash}\""));
            prop_assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
        }
    }
}
