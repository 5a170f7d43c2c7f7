//! The answers of version 1, and the text of the signed entry timestamp.

use tlog::Hash;

use super::{EntryId, TreeId};
use crate::inclusion::Inclusion;
use crate::json::{self, Object};

/// An entry that the log has: everything that its signed entry timestamp is over.
#[derive(Clone, Copy, Debug)]
pub struct LogEntry<'a> {
    /// The tree that has the entry.
    pub tree: TreeId,
    /// SHA-256 of the shard's public key, as `SubjectPublicKeyInfo` in DER.
    pub log_id: Hash,
    /// The entry's index in the whole log.
    pub global_index: u64,
    /// When the entry was ordered, in seconds since the Unix epoch.
    pub integrated_time: u64,
    /// The bytes of the entry's leaf.
    pub leaf: &'a [u8],
}

impl LogEntry<'_> {
    /// The entry's name: the key of the answer, and the value of `ETag`, without quotes.
    pub fn id(&self) -> EntryId {
        EntryId {
            tree: self.tree,
            leaf: tlog::leaf_hash(self.leaf),
        }
    }

    /// The text that the shard's key signs as the signed entry timestamp: canonical JSON (RFC 8785).
    pub fn set_payload(&self) -> String {
        let timestamp = tlog::EntryTimestamp {
            log_id: self.log_id,
            index: self.global_index,
            time: self.integrated_time,
            leaf: self.leaf,
        };
        timestamp.to_text()
    }

    fn members(&self, out: &mut Object<'_>) {
        out.base64("body", self.leaf);
        out.number("integratedTime", self.integrated_time);
        out.text("logID", &tlog::hex(&self.log_id.0));
        out.number("logIndex", self.global_index);
    }

    fn write(&self, out: &mut String, set: &[u8], inclusion: &Inclusion<'_>) {
        out.push_str("{\"");
        out.push_str(&self.id().to_string());
        out.push_str("\":");
        json::nested(out, |entry| {
            self.members(entry);
            entry.object("verification", |verification| {
                verification.object("inclusionProof", |proof| {
                    proof.text("checkpoint", inclusion.checkpoint);
                    proof.array("hashes", inclusion.proof, write_hash);
                    proof.number("logIndex", inclusion.index);
                    proof.text("rootHash", &tlog::hex(&inclusion.root.0));
                    proof.number("treeSize", inclusion.tree_size);
                });
                verification.base64("signedEntryTimestamp", set);
            });
        });
        out.push('}');
    }
}

fn write_hash(out: &mut String, hash: &Hash) {
    json::string(out, &tlog::hex(&hash.0));
}

/// The body of a 201 or 200: one entry, with the signature over [`LogEntry::set_payload`] and its proof.
pub fn answer(entry: &LogEntry<'_>, set: &[u8], inclusion: &Inclusion<'_>) -> String {
    let mut out =
        String::with_capacity(1024 + entry.leaf.len() * 4 / 3 + inclusion.proof.len() * 67);
    entry.write(&mut out, set, inclusion);
    out
}

/// The answer to a request for several entries: those that were found.
pub fn answers<'a>(
    found: impl IntoIterator<Item = (LogEntry<'a>, &'a [u8], Inclusion<'a>)>,
) -> String {
    let mut out = "[".to_owned();
    for (entry, set, inclusion) in found {
        if out.len() > 1 {
            out.push(',');
        }
        entry.write(&mut out, set, &inclusion);
    }
    out.push(']');
    out
}

/// A shard's tree, as `GET /api/v1/log` shows it.
#[derive(Clone, Copy, Debug)]
pub struct SignedTree<'a> {
    /// The number of the shard's tree.
    pub tree: TreeId,
    /// How many entries it has.
    pub size: u64,
    /// Its root; of no entries, the hash of nothing.
    pub root: Hash,
    /// The note over size and root, with the tree's ID in its first line and exactly one signature.
    pub note: &'a str,
}

impl SignedTree<'_> {
    fn members(&self, out: &mut Object<'_>) {
        out.text("rootHash", &tlog::hex(&self.root.0));
        out.text("signedTreeHead", self.note);
        out.text("treeID", &self.tree.to_string());
        out.number("treeSize", self.size);
    }
}

/// The answer to `GET /api/v1/log`.
#[derive(Clone, Copy, Debug)]
pub struct LogInfo<'a> {
    /// The shard that accepts entries.
    pub active: SignedTree<'a>,
    /// The earlier ones, oldest first.
    pub inactive: &'a [SignedTree<'a>],
}

impl LogInfo<'_> {
    /// The body of the answer, JSON.
    pub fn body(&self) -> String {
        json::object(1024 * (1 + self.inactive.len()), |info| {
            info.array("inactiveShards", self.inactive, |out, shard| {
                json::nested(out, |out| shard.members(out));
            });
            self.active.members(info);
        })
    }
}

/// The answer to `POST /api/v1/index/retrieve`: the names of the entries.
pub fn ids(found: &[EntryId]) -> String {
    let names: Vec<_> = found.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", names.join(","))
}

/// The answer to `GET /api/v1/log/publicKey`: PEM of a key (SubjectPublicKeyInfo, DER).
pub fn public_key(der: &[u8]) -> String {
    let mut text = String::new();
    crate::pem::encode("PUBLIC KEY", der, &mut text);
    text
}

/// The answer to `GET /api/v1/log/proof`: the current root and a consistency proof to it.
pub fn proof(root: &Hash, hashes: &[Hash]) -> String {
    json::object(128 + hashes.len() * 67, |proof| {
        proof.array("hashes", hashes, write_hash);
        proof.text("rootHash", &tlog::hex(&root.0));
    })
}
