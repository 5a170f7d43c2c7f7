//! Another Rekor, whose entries are imported: reads its shards and their entries, with their times and signatures.
//!
//! It may be old, small and busy. So few requests are under way at a time, and one that is refused for now is sent again later: after the time
//! that it asks for, or after a pause that doubles. What must never happen: answers that do not belong together are taken for a log. All are
//! checked by the server that imports them; what is checked here spares the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use tlog::{Checkpoint, Note, VerifierKey};
use wire::ImportEntry;

use crate::client::{cause, transport};
use crate::error::Error;
use crate::settings::Address;

/// Entries of one request: more are refused.
const AT_ONCE: u64 = 10;
/// The longest answer: ten entries with the attestations that servers store beside them. There are as many answers in memory as connections.
const MAX_ANSWER: usize = 8 << 20;
/// The most trees of a log, each of which costs a request: an import brings 32 shards, and the active one may be empty or left out.
const MAX_TREES: usize = 33;
/// The longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts for one answer, and the pauses between them.
const ATTEMPTS: u32 = 9;
const SOURCE_BACKOFF_MIN: Duration = Duration::from_millis(500);
const SOURCE_BACKOFF_MAX: Duration = Duration::from_secs(60);

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

/// A Rekor of which clients know the URL.
#[derive(Clone, Debug)]
pub(crate) struct OtherRekor {
    http: reqwest::Client,
    base: String,
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
pub(super) fn trees(info: &[u8]) -> Result<Vec<Tree>, String> {
    let info: LogInfo = serde_json::from_slice(info)
        .map_err(|error| format!("it does not describe a log of Rekor: {error}"))?;
    let inactive = info.inactive.unwrap_or_default().into_iter();
    let inactive = inactive.map(|shard| (shard.tree_id, shard.note, false));
    let trees: Vec<_> = inactive.chain([(info.tree_id, info.note, true)]).collect();
    if trees.len() > MAX_TREES {
        return Err(format!(
            "it has {} trees, and an import brings at most {} and the one that takes entries",
            trees.len(),
            MAX_TREES - 1
        ));
    }
    let trees = trees.into_iter();
    let trees = trees.map(|(tree_id, note, is_active)| match tree_id.parse::<u64>() {
        Ok(_) => Ok(Tree {
            tree_id,
            note,
            is_active,
        }),
        Err(_) => Err(format!("`{tree_id}` is not the number of a tree")),
    });
    trees.collect()
}

impl OldShard {
    /// A shard that begins at a global index, with its key in PEM; `None` where it has no entries.
    pub(super) fn new(tree: Tree, pem: &[u8], start: u64) -> Result<Option<Self>, String> {
        let id = &tree.tree_id;
        let failed = |why: &dyn std::fmt::Display| {
            format!("the tree head of tree {id} is not usable: {why}")
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
        let key = key.ok_or_else(|| {
            format!("the key of tree {id} is not an ECDSA key over P-256, the only kind that can be imported")
        })?;
        note.verify(&[&key]).map_err(|e| failed(&e))?;
        Ok(Some(Self {
            is_active: tree.is_active,
            start,
            head,
            key,
            note: tree.note,
            tree_id: tree.tree_id,
        }))
    }
}

impl OldShard {
    /// The index behind its last entry.
    pub(super) fn end(&self) -> Result<u64, String> {
        let end = self.start.checked_add(self.head.size);
        let end = end.filter(|end| i64::try_from(*end).is_ok());
        end.ok_or_else(|| {
            format!(
                "tree {} has {} entries from index {} on, more than a log can have",
                self.tree_id, self.head.size, self.start
            )
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

enum Failed {
    /// Another attempt may succeed, after this time if it says so.
    Passing(String, Option<Duration>),
    Final(String),
}

impl OtherRekor {
    /// The one at a URL, without `/api/v1`.
    pub(super) fn new(url: &str, ca: Option<&Path>) -> Result<Self, Error> {
        let base = url.trim_end_matches('/').trim_end_matches("/api/v1");
        let sound = reqwest::Url::parse(base)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !sound {
            return Err(Error::Usage {
                message: format!("--from: `{url}` is not where a Rekor answers"),
                hint: "write it as https://HOST or https://HOST/PATH, without /api/v1".into(),
            });
        }
        Ok(Self {
            http: transport(&Address::Url(base.to_owned()), ca, None)?,
            base: base.to_owned(),
        })
    }

    /// All of its shards, oldest first. One without entries is left out.
    pub(super) async fn shards(&self) -> Result<Vec<OldShard>, Error> {
        let (mut shards, mut start) = (Vec::new(), 0);
        let info = self.get("log", None).await?;
        for tree in trees(&info).map_err(|why| self.bad(why))? {
            let path = format!("log/publicKey?treeID={}", tree.tree_id);
            let pem = self.get(&path, None).await?;
            let shard = OldShard::new(tree, &pem, start).map_err(|why| self.bad(why))?;
            start = shard
                .as_ref()
                .map_or(Ok(start), OldShard::end)
                .map_err(|why| self.bad(why))?;
            shards.extend(shard);
        }
        Ok(shards)
    }

    /// The entries of a shard from one of them on, in order, a few at a time.
    pub(super) fn entries(
        &self,
        shard: &OldShard,
        from: u64,
        connections: usize,
    ) -> impl Stream<Item = Result<Vec<ImportEntry>, Error>> + use<> {
        let (start, size) = (shard.start, shard.head.size);
        let steps = usize::try_from(AT_ONCE).unwrap_or(1);
        let source = self.clone();
        stream::iter((from..size).step_by(steps))
            .map(move |first| {
                let source = source.clone();
                let last = (first + AT_ONCE).min(size);
                async move { source.page(start + first..start + last).await }
            })
            .buffered(connections)
    }

    /// The entries with these indexes.
    async fn page(&self, indexes: std::ops::Range<u64>) -> Result<Vec<ImportEntry>, Error> {
        let asked: Vec<u64> = indexes.clone().collect();
        let body = serde_json::json!({ "logIndexes": asked }).to_string();
        let bytes = self.get("log/entries/retrieve", Some(body)).await?;
        let answer: Vec<Answered> = serde_json::from_slice(&bytes)
            .map_err(|error| self.bad(format!("not the entries that were asked for: {error}")))?;
        let answer = answer.into_iter().flat_map(Answered::entries);
        let mut found: BTreeMap<u64, _> = answer.collect();
        let mut entries = Vec::with_capacity(asked.len());
        for index in indexes {
            let entry = found.remove(&index);
            let entry = entry.ok_or_else(|| self.bad(format!("it does not give entry {index}")))?;
            entries.push(entry.map_err(|why| self.bad(why))?);
        }
        Ok(entries)
    }

    async fn get(&self, path: &str, body: Option<String>) -> Result<Vec<u8>, Error> {
        let mut pause = SOURCE_BACKOFF_MIN;
        for left in (0..ATTEMPTS).rev() {
            let (why, after) = match self.attempt(path, body.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(Failed::Final(why)) => return Err(self.bad(format!("{path}: {why}"))),
                Err(Failed::Passing(why, after)) => (why, after),
            };
            if left == 0 {
                return Err(Error::Unreachable {
                    address: format!("{}/api/v1/{path}", self.base),
                    cause: why,
                    hint: "what was imported is kept: run the same command again to continue"
                        .into(),
                });
            }
            tokio::time::sleep(wait(after, pause)).await;
            pause *= 2;
        }
        Err(Error::Bug("no attempt was made".into()))
    }

    async fn attempt(&self, path: &str, body: Option<String>) -> Result<Vec<u8>, Failed> {
        let passing = |error: reqwest::Error| Failed::Passing(cause(&error), None);
        let url = format!("{}/api/v1/{path}", self.base);
        let request = match body {
            Some(body) => self
                .http
                .post(url)
                .header("content-type", "application/json")
                .body(body),
            None => self.http.get(url),
        };
        let mut answer = request
            .timeout(ANSWER_TIMEOUT)
            .send()
            .await
            .map_err(passing)?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let after = answer.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failed::Passing(
                status.to_string(),
                after.map(Duration::from_secs),
            ));
        }
        if !status.is_success() {
            return Err(Failed::Final(status.to_string()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(passing)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Failed::Final(format!(
                    "the answer is longer than {MAX_ANSWER} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn bad(&self, what: String) -> Error {
        Error::BadEntries {
            message: format!("{}: {what}", self.base),
            hint: "none of it is served; see \"Replace a running Rekor\" in docs/sigstore.md"
                .into(),
        }
    }
}

/// The pause before another attempt: never shorter than the own one, whatever the other side asks for.
fn wait(asked: Option<Duration>, own: Duration) -> Duration {
    asked.unwrap_or_default().max(own).min(SOURCE_BACKOFF_MAX)
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

    /// Whoever asks for no pause, or for a long one, gets the own one at least and no day.
    #[test]
    fn pauses_are_bounded() {
        let asked = [None, Some(0), Some(2), Some(60), Some(u64::MAX)];
        for asked in asked.map(|asked| asked.map(Duration::from_secs)) {
            for own in [500, 4000, 600_000].map(Duration::from_millis) {
                let pause = wait(asked, own);
                assert!(pause >= own.min(SOURCE_BACKOFF_MAX) && pause <= SOURCE_BACKOFF_MAX);
                assert!(pause >= asked.unwrap_or_default().min(SOURCE_BACKOFF_MAX));
            }
        }
    }

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
