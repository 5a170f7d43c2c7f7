//! A shard of another Rekor, as a Rekor or a folder describes it. Pure.
//!
//! What must never happen: answers that do not belong together are taken for a log. All are checked by the server that imports them; what is
//! checked here spares the way.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tlog::{Checkpoint, Note, VerifierKey};
use wire::ImportEntry;

/// The most trees of a log, each of which costs a request: an import brings 32 shards, and the active one may be empty or left out.
const MAX_TREES: usize = 33;

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

/// A shard of the other Rekor.
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

/// The trees as they are answered to a question about the log.
#[derive(Deserialize)]
struct LogInfo {
    #[serde(rename = "treeID")]
    tree_id: String,
    #[serde(rename = "signedTreeHead")]
    note: String,
    #[serde(rename = "inactiveShards", default)]
    inactive: Option<Vec<InactiveShard>>,
    /// Whether nobody writes to this tree either; only a folder says so.
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
    is_active: bool,
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
            "it has {} trees, and an import brings at most {} and the one that takes entries",
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

    /// The index behind its last entry.
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
    /// Each with its index.
    pub(super) fn entries(self) -> impl Iterator<Item = (u64, Result<ImportEntry, String>)> {
        self.0.into_values().map(|entry| {
            let index = entry.index;
            let timestamp = entry.verification.and_then(|of| of.timestamp);
            let lacks = || format!("entry {index} has no signed entry timestamp");
            let entry = timestamp.ok_or_else(lacks).map(|timestamp| ImportEntry {
                body: entry.body,
                integrated_time: entry.time,
                signed_entry_timestamp: timestamp,
            });
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
}
