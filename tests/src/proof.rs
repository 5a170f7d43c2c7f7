//! One entry's proof, as `GET /{log}/entries/{index}` gives it, checked with `tlog_tiles` and `signed_note`.

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;
use tlog_tiles::{Hash, check_record, record_hash};

use crate::auditor::Shard;
use crate::http::Http;
use crate::notes::{self, Head};

/// The server's answer about an entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub index: u64,
    pub shard: String,
    /// Index in the shard.
    pub leaf_index: u64,
    /// Sibling hashes from the leaf to the root, hex; absent until published.
    pub inclusion_proof: Option<Vec<String>>,
    /// The signed checkpoint that the proof leads to; absent until published.
    pub checkpoint: Option<String>,
}

impl Proof {
    /// Asks for the entry at `index` of the log `dev`.
    ///
    /// # Errors
    /// When the server does not answer with one.
    pub fn fetch(http: &mut Http, index: u64) -> Result<Self> {
        let path = format!("/dev/entries/{index}");
        let answer = http
            .get(&path, &[("Accept", "application/json")])?
            .expect_status(200)?;
        serde_json::from_slice(&answer.body).with_context(|| answer.text())
    }

    /// Checks that `entry` is in the shard's tree at the place that this says, and returns the signed tree.
    ///
    /// # Errors
    /// When it does not prove that.
    pub fn check(&self, entry: &[u8], shards: &[Shard]) -> Result<Head> {
        let shard = shards
            .iter()
            .find(|shard| shard.name == self.shard)
            .context("an unknown shard")?;
        ensure!(
            shard.start_index.map(|start| start + self.leaf_index) == Some(self.index),
            "index and shard disagree"
        );
        let note = self.checkpoint.as_ref().context("no checkpoint yet")?;
        let head = notes::checkpoint(note.as_bytes(), &shard.origin, &shard.vkey)?;
        let hashes = self.inclusion_proof.as_ref().context("no proof yet")?;
        let hashes = hashes
            .iter()
            .map(|text| hex(text))
            .collect::<Result<Vec<_>>>()?;
        check_record(
            &hashes,
            head.size,
            head.root,
            self.leaf_index,
            record_hash(entry),
        )
        .map_err(|e| anyhow!("entry {}: {e}", self.index))?;
        Ok(head)
    }
}

/// A hash from 64 hex digits.
///
/// # Errors
/// When they are not.
pub fn hex(text: &str) -> Result<Hash> {
    ensure!(
        text.len() == 64 && text.is_ascii(),
        "not 64 hex digits: {text:?}"
    );
    let mut hash = Hash([0; 32]);
    for (byte, at) in hash.0.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16)
            .with_context(|| format!("not hex: {text:?}"))?;
    }
    Ok(hash)
}
