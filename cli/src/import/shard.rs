//! A shard of an old Rekor, as a Rekor or a folder describes it. Pure.
//!
//! What must never happen: answers that do not belong together are taken for a log. The server that imports them checks all of it; the checks
//! here only save a round trip.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tlog::{Checkpoint, Note, VerifierKey};
use wire::ImportEntry;

/// The most trees of a log, each of which costs a request: an import has 32 shards, and the active one may be empty or left out.
const MAX_TREES: usize = 33;
/// The longest entry that can be imported, bytes (C2SP tlog-tiles: two bytes of length).
const MAX_ENTRY: usize = u16::MAX as usize;

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) part: Part,
    pub(super) what: String,
}

/// The part of a description that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The description of the log, with the tree heads.
    Log,
    /// The key of a tree.
    Key,
    /// One of the two: the key has not signed the tree head.
    Signature,
}

impl Fault {
    fn log(what: impl Into<String>) -> Self {
        let (part, what) = (Part::Log, what.into());
        Self { part, what }
    }
}

/// A shard of the old Rekor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldShard {
    /// The number of its tree, decimal.
    pub(crate) tree_id: String,
    /// Whether it is the one that entries are written to.
    pub(crate) is_active: bool,
    /// The index of its first entry, over all shards.
    pub(crate) start: u64,
    /// The number of its entries, and their root.
    pub(crate) head: Checkpoint,
    /// The signed note that says so.
    pub(crate) note: String,
    /// The key that signs for it, under the name that its notes have.
    pub(crate) key: VerifierKey,
}

/// The answer to a question about the log.
#[derive(Deserialize)]
struct LogInfo {
    #[serde(rename = "treeID")]
    tree_id: String,
    #[serde(rename = "signedTreeHead")]
    note: String,
    #[serde(rename = "inactiveShards", default)]
    inactive: Option<Vec<InactiveShard>>,
    /// Whether this tree accepts no entries either; only a folder says so.
    #[serde(rename = "lastIsInactive", default)]
    last_is_inactive: bool,
}

#[derive(Deserialize)]
struct InactiveShard {
    #[serde(rename = "treeID")]
    tree_id: String,
    #[serde(rename = "signedTreeHead")]
    note: String,
}

/// A tree with its signed note, and whether entries are written to it.
pub(super) struct Tree {
    pub(super) tree_id: String,
    note: String,
    pub(super) is_active: bool,
}

/// The trees of a log, oldest first.
pub(super) fn trees(info: &[u8]) -> Result<Vec<Tree>, Fault> {
    let info: LogInfo = serde_json::from_slice(info)
        .map_err(|error| Fault::log(format!("it does not describe a log of Rekor: {error}")))?;
    let is_active = !info.last_is_inactive;
    let inactive = info.inactive.unwrap_or_default().into_iter();
    let inactive = inactive.map(|shard| (shard.tree_id, shard.note, false));
    let trees: Vec<(String, String, bool)> = inactive
        .chain([(info.tree_id, info.note, is_active)])
        .collect();
    if trees.len() > MAX_TREES {
        return Err(Fault::log(format!(
            "it has {} trees, but an import has at most {} and the one that accepts entries",
            trees.len(),
            MAX_TREES - 1
        )));
    }
    let trees = trees.into_iter();
    let trees = trees.map(|(tree_id, note, is_active)| match tree_id.parse::<u64>() {
        Ok(_) => Ok(Tree {
            tree_id,
            note,
            is_active,
        }),
        Err(_) => Err(Fault::log(format!(
            "`{tree_id}` is not the number of a tree"
        ))),
    });
    trees.collect()
}

/// Why shards do not continue the trees of an earlier description, which must not be lost; `None` if they do. The key of a tree is the one
/// that has signed the known tree head.
pub(super) fn why_not_continued(known: &[Tree], next: &[OldShard]) -> Option<String> {
    let mut next = next.iter();
    known.iter().find_map(|tree| {
        let id = &tree.tree_id;
        let read = Note::parse(&tree.note).ok();
        let read = read.and_then(|note| Some((Checkpoint::parse(note.text).ok()?, note)));
        let Some((head, note)) = read else {
            return Some(format!(
                "it has a tree head of tree {id} that cannot be read"
            ));
        };
        if head.size == 0 {
            return None;
        }
        let Some(shard) = next.next().filter(|shard| shard.tree_id == *id) else {
            return Some(format!("it has tree {id}, which is not there now"));
        };
        let (has, size) = (head.size, shard.head.size);
        if note.verify(&[&shard.key]).is_err() {
            return Some(format!(
                "its tree head of tree {id} is not signed by the key of now"
            ));
        }
        if size < has {
            return Some(format!(
                "it has {has} entries of tree {id}, of which there are {size} now"
            ));
        }
        let same = size > has || shard.head.root == head.root;
        (!same).then(|| format!("it has another root of the {has} entries of tree {id}"))
    })
}

impl OldShard {
    /// A shard that begins at a global index, with its key in PEM; `None` where it has no entries.
    pub(super) fn new(tree: Tree, pem: &[u8], start: u64) -> Result<Option<Self>, Fault> {
        let id = &tree.tree_id;
        let failed = |why: &dyn std::fmt::Display| {
            Fault::log(format!("the tree head of tree {id} is not usable: {why}"))
        };
        let note = Note::parse(&tree.note).map_err(|e| failed(&e))?;
        let head = Checkpoint::parse(note.text).map_err(|e| failed(&e))?;
        if head.size == 0 {
            return Ok(None);
        }
        let name = head.origin.strip_suffix(&format!(" - {id}"));
        let name = name.ok_or_else(|| failed(&"it names another tree"))?;
        let key = spki(&String::from_utf8_lossy(pem));
        let key = key.and_then(|der| VerifierKey::from_p256(name, &der).ok());
        let key = key.ok_or_else(|| Fault {
            part: Part::Key,
            what: format!("the key of tree {id} is not an ECDSA key over P-256, the only kind that can be imported"),
        })?;
        let verified = note.verify(&[&key]);
        verified.map_err(|error| Fault {
            part: Part::Signature,
            what: format!("the tree head of tree {id} is not signed by the tree's key: {error}"),
        })?;
        Ok(Some(Self {
            is_active: tree.is_active,
            start,
            head,
            key,
            note: tree.note,
            tree_id: tree.tree_id,
        }))
    }

    /// The index after its last entry.
    pub(super) fn end(&self) -> Result<u64, Fault> {
        let end = self.start.checked_add(self.head.size);
        let end = end.filter(|end| i64::try_from(*end).is_ok());
        end.ok_or_else(|| {
            Fault::log(format!(
                "tree {} has {} entries from index {} on, more than a log can have",
                self.tree_id, self.head.size, self.start
            ))
        })
    }
}

/// Entries by their IDs, as they are answered.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Answered(BTreeMap<String, Entry>);

impl Answered {
    /// Each entry of this tree with its index, or why it cannot be imported.
    pub(super) fn entries(
        self,
        tree_id: &str,
    ) -> impl Iterator<Item = (u64, Result<ImportEntry, String>)> {
        self.0.into_values().map(move |entry| {
            let index = entry.index;
            let length = decoded_length(&entry.body);
            let timestamp = entry.verification.and_then(|of| of.timestamp);
            let said = |what: String| format!("entry {index} of tree {tree_id} {what}");
            let entry = match timestamp {
                _ if length > MAX_ENTRY => Err(said(format!(
                    "has {length} bytes, but an entry can have 1 to 65,535 (C2SP tlog-tiles), so this shard cannot be imported"
                ))),
                None => Err(said("has no signed entry timestamp".to_owned())),
                Some(timestamp) => Ok(ImportEntry {
                    body: entry.body,
                    integrated_time: entry.time,
                    signed_entry_timestamp: timestamp,
                }),
            };
            (index, entry)
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Entry {
    body: String,
    #[serde(rename = "integratedTime")]
    time: u64,
    #[serde(rename = "logIndex")]
    index: u64,
    #[serde(default)]
    verification: Option<Verification>,
}

#[derive(Deserialize)]
struct Verification {
    #[serde(rename = "signedEntryTimestamp")]
    timestamp: Option<String>,
}

/// The number of bytes that a text in base64 stands for.
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// The bytes of a public key in PEM.
fn spki(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (inner, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let inner: String = inner.split_whitespace().collect();
    STANDARD.decode(inner).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_has_not_any_number_of_trees() {
        let info = |count: usize| {
            let inactive: Vec<_> = (0..count)
                .map(|n| json!({"treeID": n.to_string(), "signedTreeHead": ""}))
                .collect();
            json!({"treeID": "99", "signedTreeHead": "", "inactiveShards": inactive}).to_string()
        };
        assert_eq!(trees(info(32).as_bytes()).unwrap().len(), 33);
        assert!(
            trees(info(33).as_bytes())
                .err()
                .unwrap()
                .what
                .contains("34 trees")
        );
    }

    /// A size that nobody can have may be signed.
    #[test]
    fn indexes_do_not_overflow() {
        let signer = tlog::Signer::from_p256("rekor.example.org", &[7; 32]).unwrap();
        let shard = |start, size| OldShard {
            tree_id: "7".to_owned(),
            is_active: false,
            start,
            head: Checkpoint {
                origin: String::new(),
                size,
                root: tlog::empty_root(),
                extensions: Vec::new(),
            },
            note: String::new(),
            key: signer.verifier().clone(),
        };
        assert_eq!(shard(3, 4).end(), Ok(7));
        for (start, size) in [(3, u64::MAX), (3, u64::MAX - 3), (1, i64::MAX as u64)] {
            assert!(shard(start, size).end().is_err());
        }
    }

    #[test]
    fn an_entry_that_is_too_long_is_named() {
        let entry = |length: usize| {
            let answer = json!({"id": {
                "body": STANDARD.encode(vec![b'x'; length]),
                "integratedTime": 1,
                "logIndex": 12,
                "verification": {"signedEntryTimestamp": "AA=="},
            }});
            let answer: Answered = serde_json::from_value(answer).unwrap();
            answer.entries("7").next().unwrap().1
        };
        for length in [1, 2, 3, 65_533, 65_534, 65_535] {
            assert!(entry(length).is_ok(), "{length}");
        }
        for length in [65_536, 65_537, 200_000] {
            let why = entry(length).unwrap_err();
            let named = format!("entry 12 of tree 7 has {length} bytes");
            assert!(why.starts_with(&named), "{why}");
        }
    }

    /// A description gives way to one that continues it, and to no other.
    #[test]
    fn a_description_is_replaced_only_by_a_later_one() {
        let signed = |id: &str, key: u8, size: u64, root: u8| {
            let signer = tlog::Signer::from_p256("rekor.example.org", &[key; 32]).unwrap();
            let head = Checkpoint {
                origin: format!("rekor.example.org - {id}"),
                size,
                root: tlog::Hash([root; 32]),
                extensions: Vec::new(),
            };
            let note = tlog::sign(&head.to_text(), &[&signer]).unwrap();
            let shard = OldShard {
                tree_id: id.to_owned(),
                is_active: false,
                start: 0,
                head,
                note: note.clone(),
                key: signer.verifier().clone(),
            };
            let tree = Tree {
                tree_id: id.to_owned(),
                note,
                is_active: false,
            };
            (tree, shard)
        };
        let known: Vec<_> = [("7", 1, 300, 1), ("9", 2, 5, 2)]
            .map(|(id, key, size, root)| signed(id, key, size, root).0)
            .into();
        let why = |next: &[(&str, u8, u64, u8)]| {
            let next: Vec<_> = next
                .iter()
                .map(|(id, key, size, root)| signed(id, *key, *size, *root).1)
                .collect();
            why_not_continued(&known, &next).unwrap_or_default()
        };
        let (first, second) = (("7", 1, 300, 1), ("9", 2, 5, 2));
        assert_eq!(why(&[first, second]), "");
        assert_eq!(why(&[first, ("9", 2, 6, 3), ("11", 3, 1, 1)]), "");
        assert!(why(&[first]).contains("tree 9, which is not there"));
        assert!(why(&[second, first]).contains("tree 7, which is not there"));
        assert!(why(&[("8", 1, 300, 1), second]).contains("tree 7"));
        assert!(why(&[("7", 3, 300, 1), second]).contains("the key of now"));
        assert!(why(&[("7", 1, 299, 1), second]).contains("there are 299 now"));
        assert!(why(&[("7", 1, 300, 2), second]).contains("another root"));
    }
}
