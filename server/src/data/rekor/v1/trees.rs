//! Shows the shards: their trees, keys and consistency proofs.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use plane_http::{JSON, reply};
use rekor::v1;
use tlog::TreeSize;

use super::{Stopped, number, parameter, unread};
use engine::{Log, RekorShard, RekorTree};

/// The type of a key, as clients ask for it.
const PEM: &str = "application/x-pem-file";

/// Answers `GET log`: the trees of all shards, the active one apart.
pub(super) async fn trees(log: &Log) -> Result<Response<Bytes>, Stopped> {
    let mut trees: Vec<(v1::TreeId, bool, RekorTree)> = Vec::new();
    for shard in log.rekor_shards() {
        let tree = log.rekor_tree(&shard.name).await;
        let tree = tree.map_err(|error| unread(log, &error))?;
        // An imported shard has no tree before it is published whole.
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
    let shard = shard(log, query, |_| "Bad Request".to_owned())?;
    let key = log.ecdsa_key(&shard.name);
    let key = key.map_err(|error| unread(log, &error))?;
    let key = key.ok_or(v1::Error::NotFound)?;
    let pem = v1::public_key(key.bytes());
    Ok(reply(StatusCode::OK, PEM, "no-store", pem))
}

/// Answers `GET log/proof?firstSize=&lastSize=&treeID=`: that a tree has only grown.
pub(super) async fn proof(log: &Log, query: Option<&str>) -> Result<Response<Bytes>, Stopped> {
    let unknown = |tree: &str| format!("no log range found for tree ID {tree}");
    let shard = shard(log, query, unknown)?;
    let first = number(query, "firstSize")?.unwrap_or(1);
    let last = number(query, "lastSize")?;
    let last = last.ok_or_else(|| v1::Error::required("lastSize in query"))?;
    for (name, size) in [("firstSize", first), ("lastSize", last)] {
        if size == 0 {
            let why = format!("{name} in query should be greater than or equal to 1");
            return Err(v1::Error::Parameter(v1::Rule::Minimum, why).into());
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

/// The shard that a request names by its tree, or the active one; `unknown` says that there is no such tree.
fn shard(
    log: &Log,
    query: Option<&str>,
    unknown: impl FnOnce(&str) -> String,
) -> Result<RekorShard, Stopped> {
    let tree = parameter(query, "treeID").filter(|tree| !tree.is_empty());
    let mut shards = log.rekor_shards().into_iter();
    let Some(tree) = tree else {
        let active = shards.find(|shard| shard.is_active);
        return Ok(active.ok_or(v1::Error::Unavailable)?);
    };
    if !tree.bytes().all(|c| c.is_ascii_digit()) {
        let why = "treeID in query should match '^[0-9]+$'".to_owned();
        return Err(v1::Error::Parameter(v1::Rule::Pattern, why).into());
    }
    let found = tree.parse::<u64>().ok();
    let found = found.and_then(|tree| shards.find(|shard| shard.tree_id == tree));
    // As far as a number can be long.
    let tree: String = tree.chars().take(20).collect();
    Ok(found.ok_or_else(|| v1::Error::Query(unknown(&tree).into()))?)
}
