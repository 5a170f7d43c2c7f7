//! `TransparencyLogEntry`, the answer to a request that was logged.

use tlog::Hash;

use crate::inclusion::Inclusion;
use crate::json;

/// The body of a 201: exactly the fields that clients know, numbers of 64 bits as strings. `log_id` is the SHA-256 of
/// the shard's key, all 32 bytes.
pub fn answer(log_id: &Hash, leaf: &[u8], inclusion: &Inclusion<'_>) -> String {
    let capacity =
        512 + leaf.len() * 4 / 3 + inclusion.checkpoint.len() + inclusion.proof.len() * 47;
    let index = inclusion.index.to_string();
    json::object(capacity, |entry| {
        entry.base64("canonicalizedBody", leaf);
        entry.null("inclusionPromise");
        entry.object("inclusionProof", |proof| {
            proof.object("checkpoint", |checkpoint| {
                checkpoint.text("envelope", inclusion.checkpoint);
            });
            proof.array("hashes", inclusion.proof, |out, hash| {
                json::string(out, &hash.to_base64());
            });
            proof.text("logIndex", &index);
            proof.base64("rootHash", &inclusion.root.0);
            proof.text("treeSize", &inclusion.tree_size.to_string());
        });
        entry.text("integratedTime", "0");
        entry.object("kindVersion", |kind| {
            kind.text("kind", "hashedrekord");
            kind.text("version", "0.0.2");
        });
        entry.object("logId", |id| id.base64("keyId", &log_id.0));
        entry.text("logIndex", &index);
    })
}
