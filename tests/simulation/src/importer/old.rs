//! The old Rekors whose logs are imported: trees with their entries, timestamps and tree heads.
//!
//! Their signatures are made as RFC 6979 has it, so they are the same in every process: a life with an import can be lived again.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::{OldEntry, OldShard};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePublicKey as _;
use tlog::{Checkpoint, EntryTimestamp, Hash, VerifierKey};

use crate::trees;

/// The name of every old Rekor.
const NAME: &str = "rekor.old.example";
/// The number of the first tree of each.
const FIRST_TREE: u64 = 70;
/// When the first entry was integrated, seconds since the Unix epoch.
const SINCE: u64 = 1_600_000_000;

/// The trees of each old log: how many entries they have. The last one has grown meanwhile, from the first number to the second.
const SIZES: [(&[u64], u64, u64); 6] = [
    (&[], 20, 33),
    (&[], 250, 270),
    (&[3], 5, 7),
    (&[70], 40, 256),
    (&[300], 12, 60),
    (&[256], 1, 2),
];

/// How many old logs there are.
pub const COUNT: usize = SIZES.len();

/// A log of another Rekor, which is imported.
#[derive(Debug)]
pub struct OldLog {
    /// Its trees, oldest first.
    pub trees: Vec<OldTree>,
}

/// A tree of an old log.
#[derive(Debug)]
pub struct OldTree {
    /// Its number at the old Rekor.
    pub id: u64,
    /// The global index of its first entry.
    pub start: u64,
    /// What its Rekor said of it, earlier and later; the same where it had ended by then.
    pub heads: [Head; 2],
    /// Its entries, up to the later head.
    pub entries: Vec<OldEntry>,
}

/// A tree head of an old log.
#[derive(Debug)]
pub struct Head {
    /// How many entries it covers.
    pub size: u64,
    /// The root of these.
    pub root: Hash,
    /// The tree with the signed note over both.
    pub shard: OldShard,
}

impl OldLog {
    /// The tree heads of an earlier or a later time.
    pub fn heads(&self, later: bool) -> impl Iterator<Item = &Head> {
        self.trees.iter().map(move |tree| tree.head(later))
    }

    /// The tree that holds a global index, and the entry there; by the later tree heads.
    pub fn entry(&self, index: u64) -> Option<(&OldTree, &OldEntry)> {
        self.trees.iter().find_map(|tree| {
            let leaf = usize::try_from(index.checked_sub(tree.start)?).ok()?;
            Some((tree, tree.entries.get(leaf)?))
        })
    }
}

impl OldTree {
    /// The tree head of an earlier or a later time.
    pub fn head(&self, later: bool) -> &Head {
        &self.heads[usize::from(later)]
    }

    /// The name that the tree has as a shard.
    pub fn name(&self) -> String {
        self.id.to_string()
    }
}

/// One of the old logs, each of which is made once; none beyond [`COUNT`].
pub fn log(which: usize) -> Option<&'static OldLog> {
    static LOGS: [OnceLock<Option<OldLog>>; COUNT] = [const { OnceLock::new() }; COUNT];
    let (made, (ended, earlier, later)) = (LOGS.get(which)?, SIZES.get(which)?);
    let made = made.get_or_init(|| {
        let ended = ended.iter().map(|size| (*size, *size));
        let sizes = ended.chain([(*earlier, *later)]);
        let mut start = 0;
        let trees = (FIRST_TREE..).zip(sizes).map(|(id, (earlier, later))| {
            let made = tree(id, start, [earlier, later]);
            start += later;
            made
        });
        let trees = trees.collect::<Option<_>>()?;
        Some(OldLog { trees })
    });
    made.as_ref()
}

fn tree(id: u64, start: u64, sizes: [u64; 2]) -> Option<OldTree> {
    let key = SigningKey::from_slice(&[u8::try_from(id).ok()?; 32]).ok()?;
    let der = key.verifying_key().to_public_key_der().ok()?;
    let verifier = VerifierKey::from_p256(NAME, der.as_bytes()).ok()?;
    let entries = (0..sizes[1]).map(|leaf| {
        let bytes = Bytes::from(format!("entry {leaf} of tree {id}"));
        let (index, seconds) = (start + leaf, SINCE + (start + leaf) / 7);
        let said = EntryTimestamp {
            log_id: verifier.log_id(),
            index,
            time: seconds,
            leaf: &bytes,
        };
        let timestamp = signed(&key, &said.to_text())?;
        Some(OldEntry {
            leaf: bytes,
            seconds,
            timestamp,
        })
    });
    let entries: Vec<OldEntry> = entries.collect::<Option<_>>()?;
    let leaves: Vec<_> = entries.iter().map(|one| trees::leaf(&one.leaf)).collect();
    let head = |size: u64| {
        let below = leaves.get(..usize::try_from(size).ok()?)?;
        let root = Hash(trees::root(below));
        let text = Checkpoint {
            origin: format!("{NAME} - {id}"),
            size,
            root,
            extensions: Vec::new(),
        }
        .to_text();
        let signature = signed(&key, &text)?;
        let line = STANDARD.encode([&verifier.id().to_be_bytes()[..], &signature].concat());
        let shard = OldShard {
            tree_id: id,
            key: der.as_bytes().to_vec(),
            note: format!("{text}\n\u{2014} {NAME} {line}\n"),
        };
        Some(Head { size, root, shard })
    };
    let [earlier, later] = sizes;
    Some(OldTree {
        id,
        start,
        heads: [head(earlier)?, head(later)?],
        entries,
    })
}

fn signed(key: &SigningKey, text: &str) -> Option<Vec<u8>> {
    let signature: DerSignature = key.try_sign(text.as_bytes()).ok()?;
    Some(signature.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::Note;

    #[test]
    fn each_old_log_is_there_and_signed() {
        for which in 0..COUNT {
            let old = log(which).unwrap();
            for tree in &old.trees {
                let key = VerifierKey::from_p256(NAME, &tree.heads[0].shard.key).unwrap();
                for head in &tree.heads {
                    let note = Note::parse(&head.shard.note).unwrap();
                    assert_eq!(note.verify(&[&key]).unwrap(), [0]);
                }
                for (index, entry) in (tree.start..).zip(&tree.entries) {
                    let said = EntryTimestamp {
                        log_id: key.log_id(),
                        index,
                        time: entry.seconds,
                        leaf: &entry.leaf,
                    };
                    assert!(said.is_signed_by(&key, &entry.timestamp));
                    assert_eq!(old.entry(index).unwrap().1, entry);
                }
            }
        }
        assert!(log(COUNT).is_none());
    }

    #[test]
    fn signatures_are_the_same_whenever_they_are_made() {
        let [one, other] = [(); 2].map(|()| tree(9, 3, [5, 7]).unwrap());
        assert_eq!(one.entries, other.entries);
        assert_eq!(one.heads[1].shard, other.heads[1].shard);
    }
}
