//! Trees by the definition, and the shards that readers find.

use sha2::{Digest as _, Sha256};
use tlog::{Checkpoint, VerifierKey};

/// A shard as its readers find it at the end.
#[derive(Clone, Debug)]
pub struct FoundShard {
    /// The name in the configuration document.
    pub name: String,
    /// The origin that its checkpoints carry.
    pub origin: String,
    /// The key that verifies its checkpoints.
    pub vkey: String,
    /// Global index of its first entry.
    pub start: u64,
    /// The checkpoint that a server answered with.
    pub checkpoint: String,
    /// All entries below the checkpoint, from the bundles.
    pub entries: Vec<Vec<u8>>,
}

/// Checks the checkpoint of a shard against its key and its entries.
pub(crate) fn verified(shard: &FoundShard) -> Result<(), String> {
    let name = &shard.name;
    let key: VerifierKey = shard
        .vkey
        .parse()
        .map_err(|e| format!("shard {name}: its key: {e}"))?;
    let checkpoint = Checkpoint::open(&shard.checkpoint, &key)
        .map_err(|e| format!("shard {name}: its checkpoint: {e}"))?;
    if checkpoint.origin != shard.origin {
        return Err(format!("shard {name}: the origin is {}", checkpoint.origin));
    }
    let (size, found) = (checkpoint.size, shard.entries.len() as u64);
    if size != found {
        return Err(format!("shard {name}: size {size}, found {found} entries"));
    }
    let leaves: Vec<[u8; 32]> = shard.entries.iter().map(|entry| leaf(entry)).collect();
    if root(&leaves) != checkpoint.root.0 {
        return Err(format!(
            "shard {name}: the root of {size} entries is another"
        ));
    }
    Ok(())
}

/// The hash of a leaf (RFC 9162, section 2.1.1).
pub(crate) fn leaf(entry: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([0])
        .chain_update(entry)
        .finalize()
        .into()
}

/// The root of a tree (RFC 9162, section 2.1.1), as the definition has it.
pub(crate) fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        more => {
            let half = more.len().next_power_of_two() / 2;
            let (left, right) = more.split_at(half);
            let hash = Sha256::new().chain_update([1]);
            hash.chain_update(root(left))
                .chain_update(root(right))
                .finalize()
                .into()
        }
    }
}
