//! `logctl shard show NAME`.

use serde::Serialize;
use tlog::VerifierKey;
use wire::Shard;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct ShardShown {
    log: String,
    shard: Shard,
}

pub(super) async fn run(session: &Session<'_>, name: &str) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let shards = server.admin.log(&log, server.deadline).await?.shards;
    match shards.iter().find(|shard| shard.name == name) {
        Some(shard) => outcome(log, shard.clone()),
        None => Err(Error::NotFound {
            kind: "shard",
            name: name.to_owned(),
            known: shards.into_iter().map(|shard| shard.name).collect(),
        }),
    }
}

/// The report of one shard.
pub(super) fn outcome(log: String, shard: Shard) -> Result<Outcome, Error> {
    Outcome::done(&ShardShown { log, shard })
}

impl Present for ShardShown {
    const KIND: &'static str = "Shard";
    const NAME: &'static str = "/shard/name";

    fn page(&self) -> Page {
        let shard = &self.shard;
        let mut fields = vec![
            ("log", self.log.as_str().into()),
            ("name", shard.name.as_str().into()),
            ("state", super::state(shard)),
            ("tree ID", shard.tree_id.as_str().into()),
            ("origin", shard.origin.as_str().into()),
            ("key", shard.vkey.as_str().into()),
            ("start index", Cell::number(shard.start_index)),
            ("length", Cell::number(shard.length)),
            ("published", Cell::number(shard.published)),
            ("root", Cell::maybe(shard.root_hash.as_deref())),
        ];
        if let Some(vkey) = &shard.ecdsa_vkey {
            fields.insert(6, ("ECDSA key", vkey.as_str().into()));
        }
        if let Some(vkey) = &shard.imported_vkey {
            fields.insert(6, ("imported key", vkey.as_str().into()));
        }
        // The key by which clients of Sigstore look for the log.
        let known = shard.imported_vkey.as_ref().or(shard.ecdsa_vkey.as_ref());
        if let Some(key) = known.and_then(|key| key.parse::<VerifierKey>().ok()) {
            let id = key.log_id();
            fields.push(("log ID in a trusted root", id.to_base64().into()));
            fields.push(("log ID in Rekor", tlog::hex(&id.0).into()));
        }
        for seen in shard.announced.iter().flat_map(|record| &record.seen) {
            fields.push((
                "key seen",
                format!("since {} at {}", seen.since, seen.at).into(),
            ));
        }
        Page::new().with(Block::Fields(fields))
    }
}
