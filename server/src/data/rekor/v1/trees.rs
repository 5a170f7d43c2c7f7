//! Shows the shards: their trees, keys and consistency proofs.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use plane_http::{JSON, reply};
use rekor::v1;
use tlog::TreeSize;

use super::{Stopped, number, unread};
use engine::{Log, RekorShard, RekorTree};

/// The type of a key, as clients ask for it.
const PEM: &str = "application/x-pem-file";

/// Answers `GET log`: the trees of all shards, the active one apart.
pub(super) async fn trees(log: &Log) -> Result<Response<Bytes>, Stopped> {
    let mut trees: Vec<(v1::TreeId, bool, RekorTree)> = Vec::new();
    for shard in log.rekor_shards() {
        let tree = log.rekor_tree(&shard.name).await;
        let tree = tree.map_err(|error| unread(log, &error))?;
        if let (Some(tree), Some(id)) = (tree, v1::TreeId::new(shard.tree_id)) {
            trees.push((id, shard.is_active, tree));
        }
    }
    let signed = trees.iter().map(|(tree, is_active, of)| {
        let signed = v1::SignedTree {
            tree: *tree,
            size: of.size.get(),
            root: of.root,
            note: &of.note,
        };
        (*is_active, signed)
    });
    let (active, inactive): (Vec<_>, Vec<_>) = signed.partition(|(is_active, _)| *is_active);
    let (_, active) = *active.first().ok_or(v1::Error::Unavailable)?;
    let inactive: Vec<_> = inactive.into_iter().map(|(_, signed)| signed).collect();
    let info = v1::LogInfo {
        active,
        inactive: &inactive,
    };
    Ok(reply(StatusCode::OK, JSON, "no-store", info.body()))
}

/// Answers `GET log/publicKey?treeID=`: the key of a shard, PEM.
pub(super) fn key(log: &Log, query: Option<&str>) -> Result<Response<Bytes>, Stopped> {
    let shard = shard(log, query)?;
    let key = log.ecdsa_key(&shard.name);
    let key = key.map_err(|error| unread(log, &error))?;
    let key = key.ok_or(v1::Error::NotFound)?;
    let pem = v1::public_key(key.bytes());
    Ok(reply(StatusCode::OK, PEM, "no-store", pem))
}

/// Answers `GET log/proof?firstSize=&lastSize=&treeID=`: that a tree has only grown.
pub(super) async fn proof(log: &Log, query: Option<&str>) -> Result<Response<Bytes>, Stopped> {
    let shard = shard(log, query)?;
    let first = number(query, "firstSize")?.unwrap_or(1);
    let last = number(query, "lastSize")?;
    let required = || v1::Error::Parameter("lastSize in query is required".to_owned());
    let last = last.ok_or_else(required)?;
    for (name, size) in [("firstSize", first), ("lastSize", last)] {
        if size == 0 {
            let why = format!("{name} in query should be greater than or equal to 1");
            return Err(v1::Error::Parameter(why).into());
        }
    }
    if first > last {
        return Err(v1::Error::SizeOrder { first, last }.into());
    }
    let found = log.rekor_consistency(&shard.name, TreeSize::new(first), TreeSize::new(last));
    let found = found.await.map_err(|error| unread(log, &error))?;
    let found = found.ok_or(v1::Error::NotFound)?;
    let size = found.size.get();
    let proof = found.proof.ok_or(v1::Error::Size { last, size })?;
    Ok(reply(
        StatusCode::OK,
        JSON,
        "no-store",
        v1::proof(&found.root, &proof),
    ))
}

/// The shard that a request names by its tree, or the active one.
fn shard(log: &Log, query: Option<&str>) -> Result<RekorShard, Stopped> {
    let tree = number(query, "treeID")?.filter(|tree| *tree > 0);
    let mut shards = log.rekor_shards().into_iter();
    let found = match tree {
        Some(tree) => shards.find(|shard| shard.tree_id == tree),
        None => shards.find(|shard| shard.is_active),
    };
    Ok(found.ok_or(v1::Error::Query("treeID is none of this log's shards"))?)
}
