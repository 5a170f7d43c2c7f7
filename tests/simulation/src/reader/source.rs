//! Where a reader's answers come from: the engine of a server, or its data plane over HTTP.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::Log;
use serde_json::Value;
use tlog::{GlobalIndex, Hash};

use crate::http::{Answer, Client, Request, Way};
use crate::trees;
use crate::writer::LOG;

/// A server as its readers see it.
pub(super) enum Source {
    Engine(Arc<Log>),
    Http(Way),
}

/// A shard as readers see it.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) vkey: String,
    /// The global index of its first entry, once there is one.
    pub(super) start: Option<u64>,
}

/// A proof that an entry is below a checkpoint.
pub(super) struct Inclusion {
    pub(super) vkey: String,
    pub(super) checkpoint: String,
    pub(super) leaf: u64,
    pub(super) path: Vec<Hash>,
}

impl Source {
    /// The next answers of a server, by the way that the client chooses.
    pub(super) fn choose(
        http: &mut Client,
        running: &crate::server::Running,
        log: Arc<Log>,
    ) -> Self {
        match http.reads(running) {
            Some(way) => Self::Http(way),
            None => Self::Engine(log),
        }
    }

    /// The shards of the log, and how many entries are ordered.
    pub(super) async fn view(&self) -> Option<(Vec<Shard>, u64)> {
        match self {
            Self::Engine(log) => {
                let status = log.status();
                let shards = status.shards.into_iter().map(|shard| Shard {
                    name: shard.name,
                    origin: shard.origin,
                    vkey: shard.vkey,
                    start: shard.start_index.map(GlobalIndex::get),
                });
                Some((shards.collect(), status.watermarks.ordered.get()))
            }
            Self::Http(way) => {
                let marks = json(way, "watermarks").await?;
                let shards = json(way, "shards").await?;
                let text = |of: &Value, name: &str| Some(of[name].as_str()?.to_owned());
                let shards = shards.as_array()?.iter().map(|shard| {
                    Some(Shard {
                        name: text(shard, "name")?,
                        origin: text(shard, "origin")?,
                        vkey: text(shard, "vkey")?,
                        start: shard["startIndex"].as_u64(),
                    })
                });
                Some((shards.collect::<Option<_>>()?, marks["ordered"].as_u64()?))
            }
        }
    }

    /// The checkpoint that the server shows of a shard.
    pub(super) async fn checkpoint(&self, shard: &str) -> Option<String> {
        match self {
            Self::Engine(log) => log.checkpoint(shard).await.ok()?,
            Self::Http(way) => {
                let answer = got(way, &format!("{shard}/checkpoint")).await?;
                Some(answer.text().to_owned())
            }
        }
    }

    /// The bytes of an entry that is ordered.
    pub(super) async fn entry(&self, index: u64) -> Option<Bytes> {
        match self {
            Self::Engine(log) => Some(log.entry(GlobalIndex::new(index)).await.ok()??.bytes),
            Self::Http(way) => {
                let path = format!("/{LOG}/entries/{index}");
                let answer = way.clone().ask(Request::get(&path)).await?;
                // What is ordered can be read at once.
                if answer.status == 404 && answer.text().contains("no entry") {
                    way.object(
                        "what is ordered can be read",
                        format!("{path}: {}", answer.text()),
                    );
                }
                (answer.status == 200).then_some(answer.body)
            }
        }
    }

    /// The proof for an entry, and over HTTP the entry with it.
    pub(super) async fn inclusion(
        &self,
        index: u64,
        shards: &[Shard],
    ) -> Option<(Inclusion, Option<Bytes>)> {
        match self {
            Self::Engine(log) => {
                let proof = log.inclusion(GlobalIndex::new(index)).await.ok()??;
                let inclusion = Inclusion {
                    vkey: proof.vkey,
                    checkpoint: proof.checkpoint,
                    leaf: proof.leaf_index.get(),
                    path: proof.proof,
                };
                Some((inclusion, None))
            }
            Self::Http(way) => {
                let json = json(way, &format!("entries/{index}")).await?;
                let entry = STANDARD.decode(json["entry"].as_str()?).ok()?;
                let leaf = Hash(trees::leaf(&entry)).to_string();
                if json["leafHash"] != leaf.as_str() {
                    let what = format!("entry {index}: {leaf}, {}", json["leafHash"]);
                    way.object("an answer is what its documentation says", what);
                }
                let shard = shards.iter().find(|shard| json["shard"] == *shard.name)?;
                let path = json["inclusionProof"].as_array()?.iter();
                let path = path.map(|hash| hash.as_str()?.parse().ok());
                let inclusion = Inclusion {
                    vkey: shard.vkey.clone(),
                    checkpoint: json["checkpoint"].as_str()?.to_owned(),
                    leaf: json["leafIndex"].as_u64()?,
                    path: path.collect::<Option<_>>()?,
                };
                Some((inclusion, Some(entry.into())))
            }
        }
    }

    /// A tile or a bundle of a shard.
    pub(super) async fn object(&self, shard: &str, path: &str) -> Option<Bytes> {
        match self {
            Self::Engine(log) => log.object(shard, path).await.ok()?,
            Self::Http(way) => Some(got(way, &format!("{shard}/{path}")).await?.body),
        }
    }

    /// Whether the answers come over HTTP.
    pub(super) fn is_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

/// What is served below the log, if it is.
async fn got(way: &Way, path: &str) -> Option<Answer> {
    let request = Request::get(&format!("/{LOG}/{path}"));
    let answer = way.clone().ask(request).await?;
    (answer.status == 200).then_some(answer)
}

async fn json(way: &Way, path: &str) -> Option<Value> {
    let request = Request::get(&format!("/{LOG}/{path}")).with("accept", "application/json");
    let answer = way.clone().ask(request).await?;
    (answer.status == 200).then(|| answer.json())
}
