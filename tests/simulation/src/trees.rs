//! Trees by the definition, and the shards that readers find.

use sha2::{Digest as _, Sha256};
use tlog::{Checkpoint, Hash, VerifierKey};

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
            node(&root(left), &root(right))
        }
    }
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new().chain_update([1]);
    hash.chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The roots of the trees of the first leaves, for each of these sizes in ascending order, as far as there are so many leaves: the peaks of
/// whole subtrees, joined from the right.
pub(crate) fn roots(leaves: &[[u8; 32]], sizes: impl IntoIterator<Item = u64>) -> Vec<(u64, Hash)> {
    let (mut peaks, mut size) = (Vec::<(u32, [u8; 32])>::new(), 0_u64);
    let (mut found, mut leaves) = (Vec::new(), leaves.iter());
    for wanted in sizes {
        while size < wanted {
            let Some(leaf) = leaves.next() else {
                return found;
            };
            let mut top = (0, *leaf);
            while let Some((height, left)) = peaks.pop_if(|(height, _)| *height == top.0) {
                top = (height + 1, node(&left, &top.1));
            }
            peaks.push(top);
            size += 1;
        }
        let joined = peaks.iter().rev().map(|(_, peak)| *peak);
        let root = joined.reduce(|right, left| node(&left, &right));
        found.push((
            wanted,
            Hash(root.unwrap_or_else(|| Sha256::digest([]).into())),
        ));
    }
    found
}

/// The root that a proof of inclusion leads to (RFC 9162, section 2.1.3.2); none if the proof has another length.
pub(crate) fn led_to(leaf: [u8; 32], index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    let (mut at, mut last, mut hash) = (index, size.checked_sub(1)?, leaf);
    if at > last {
        return None;
    }
    for step in proof {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            hash = node(&step.0, &hash);
            while at % 2 == 0 && at > 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = node(&hash, &step.0);
        }
        (at, last) = (at / 2, last / 2);
    }
    (last == 0).then_some(Hash(hash))
}

/// Whether a proof leads from one tree to a larger one (RFC 9162, section 2.1.4.2).
pub(crate) fn follows(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    let ((from, before), (to, after)) = (old, new);
    if from == 0 || from > to {
        return false;
    }
    if from == to {
        return before == after && proof.is_empty();
    }
    let own = [before];
    // The old tree is itself the first node if it is whole.
    let mut steps = match from.is_power_of_two() {
        true => own.iter().chain(proof),
        false => [].iter().chain(proof),
    };
    let Some(first) = steps.next() else {
        return false;
    };
    let (mut at, mut last) = (from - 1, to - 1);
    while at % 2 == 1 {
        (at, last) = (at / 2, last / 2);
    }
    let (mut smaller, mut larger) = (first.0, first.0);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            smaller = node(&step.0, &smaller);
            larger = node(&step.0, &larger);
            while at % 2 == 0 && at > 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            larger = node(&larger, &step.0);
        }
        (at, last) = (at / 2, last / 2);
    }
    (Hash(smaller), Hash(larger), last) == (before, after, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_leads_from_one_tree_to_the_next() {
        let leaves: Vec<[u8; 32]> = (0_u8..40).map(|n| leaf(&[n])).collect();
        let root_at = |size: usize| (size as u64, Hash(root(&leaves[..size])));
        for new in 1..=leaves.len() {
            for old in 1..=new {
                let proof = consistency(old, &leaves[..new], true);
                let (from, to) = (root_at(old), root_at(new));
                assert!(follows(from, to, &proof), "{old} {new}");
                let other = Hash(leaf(b"another"));
                assert!(!follows((from.0, other), to, &proof), "{old} {new}");
                assert!(!follows(from, (to.0, other), &proof), "{old} {new}");
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!follows(from, to, shorter), "{old} {new}");
                }
            }
        }
    }

    /// RFC 9162, section 2.1.4.1.
    fn consistency(old: usize, leaves: &[[u8; 32]], known: bool) -> Vec<Hash> {
        if old == leaves.len() {
            let own = (!known).then(|| Hash(root(leaves)));
            return own.into_iter().collect();
        }
        let half = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(half);
        let (mut inside, other) = match old <= half {
            true => (consistency(old, left, known), right),
            false => (consistency(old - half, right, false), left),
        };
        inside.push(Hash(root(other)));
        inside
    }

    #[test]
    fn all_roots_in_one_pass_are_those_of_the_definition() {
        let leaves: Vec<[u8; 32]> = (0_u8..70).map(|n| leaf(&[n])).collect();
        let found = roots(&leaves, 0..=80);
        assert_eq!(found.len(), 71);
        for (size, root_there) in found {
            let first = &leaves[..usize::try_from(size).unwrap()];
            assert_eq!(root_there.0, root(first), "size {size}");
        }
    }

    #[test]
    fn a_proof_leads_to_the_root() {
        for size in 1_u64..40 {
            let leaves: Vec<[u8; 32]> = (0..size).map(|n| leaf(&n.to_be_bytes())).collect();
            let right = Hash(root(&leaves));
            for (at, of) in leaves.iter().enumerate() {
                let (index, proof) = (at as u64, proof(at, &leaves));
                assert_eq!(led_to(*of, index, size, &proof), Some(right));
                assert_ne!(led_to(leaf(b"another"), index, size, &proof), Some(right));
                if let Some((_, shorter)) = proof.split_last() {
                    assert_ne!(led_to(*of, index, size, shorter), Some(right));
                }
            }
        }
    }

    /// RFC 9162, section 2.1.3.1.
    fn proof(index: usize, leaves: &[[u8; 32]]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut inside, other) = match index < left.len() {
            true => (proof(index, left), right),
            false => (proof(index - left.len(), right), left),
        };
        inside.push(Hash(root(other)));
        inside
    }
}
