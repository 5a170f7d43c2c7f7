//! Reads entries: by index, by name, by content, by search key.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use plane_http::{JSON, Watched, reply};
use rekor::v1;
use tlog::{GlobalIndex, Hash};

use super::super::super::DataPlane;
use super::super::{check, order};
use super::{Stopped, number, parts, unread};
use crate::data::refusal::Refusal;
use crate::indexes::SearchError;
use engine::{Log, RekorEntry, RekorShard};
use wire::data::codes;

/// How long a client waits for an index that is being opened.
const OPENING_BACKOFF: Duration = Duration::from_secs(1);

/// How long a shard certainly remembers an entry: a day less than it really does.
const REMEMBERED: Duration = Duration::from_secs(6 * 86_400);

/// The most shards to search for an entry that is named without its tree. Each of them costs a read of the store.
const MOST_SHARDS: usize = 64;

/// Searches up to this length are read where they arrive: hashes, names, and keys without certificates.
const SHORT: usize = 1 << 10;

/// Answers `GET log/entries?logIndex=`: a published entry by its global index.
pub(super) async fn by_index(log: &Log, query: Option<&str>) -> Result<Response<Bytes>, Stopped> {
    let index = number(query, "logIndex")?;
    let index = index.ok_or_else(|| v1::Error::required("logIndex in query"))?;
    one(&entry(log, GlobalIndex::new(index)).await?)
}

/// Answers `GET log/entries/{uuid}`: an entry by its leaf hash, with its tree or without.
pub(super) async fn by_name(
    plane: &DataPlane,
    log: &Log,
    name: &str,
) -> Result<Response<Bytes>, Stopped> {
    let named = v1::Uuid::read(name, || "entryUUID in path".to_owned())?;
    let found = by_uuid(plane, log, &named).await?;
    one(&found)
}

/// Answers `POST log/entries/retrieve`, with several entries. Entries that are not found are left out.
pub(super) async fn retrieve(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Bytes>, Stopped> {
    let (body, _held) = check::body(plane, watched, head, body, v1::MAX_BODY).await?;
    let asked = match body.len() {
        ..=check::INLINE => v1::Retrieve::parse(&body)?,
        _ => check::read(&plane.reads.retrievals, move || v1::Retrieve::parse(&body)).await??,
    };
    let mut found = Vec::new();
    for uuid in &asked.uuids {
        found.push(unless_untimed(by_uuid(plane, log, uuid).await)?);
    }
    for index in &asked.indexes {
        let index = GlobalIndex::new(*index);
        found.push(unless_untimed(entry(log, index).await)?);
    }
    for wanted in asked.entries {
        // A turn for each, so that a request with many does not keep those with one waiting for long.
        let wanted = check::read(&plane.reads.retrievals, move || wanted.verify()).await??;
        // If the entry is in several shards, only the newest is returned: clients take more than one for an error.
        let leaf = tlog::leaf_hash(wanted.leaf());
        let shards = log.rekor_shards();
        let entry = in_shards(plane, log, shards.iter().rev(), leaf).await;
        found.push(unless_untimed(entry)?);
    }
    let found: Vec<_> = found.into_iter().flatten().collect();
    let mut answers = Vec::new();
    for entry in &found {
        let (logged, inclusion) = parts(entry)?;
        answers.push((logged, &entry.timestamp[..], inclusion));
    }
    Ok(reply(
        StatusCode::OK,
        JSON,
        "no-store",
        v1::answers(answers),
    ))
}

/// Answers `POST index/retrieve`: the names of entries with search keys.
pub(super) async fn search(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Bytes>, Stopped> {
    let (body, _held) = check::body(plane, watched, head, body, v1::MAX_QUERY).await?;
    let query = match body.len() {
        ..=SHORT => v1::Query::parse(&body)?,
        _ => check::read(&plane.reads.searches, move || v1::Query::parse(&body)).await??,
    };
    if query.keys.is_empty() {
        return Ok(reply(StatusCode::OK, JSON, "no-store", v1::ids(&[])));
    }
    let indexes = plane.readiness.indexes().ok_or_else(Refusal::starting)?;
    let shards = log.rekor_shards().into_iter();
    let imported = shards.filter_map(|shard| shard.imported_to).max();
    let position = indexes.view(log).map(|view| view.position);
    let found = indexes.find(log, &query).await;
    let found = found.map_err(|error| unsearched(&error))?;
    // Until the imported shards are indexed, an answer could deny an entry that clients found at the old Rekor.
    if imported.is_some() && position < imported {
        return Err(unsearched(&SearchError::Opening).into());
    }
    Ok(reply(StatusCode::OK, JSON, "no-store", v1::ids(&found)))
}

/// Why the search index has no answer, without what only the operator should see.
fn unsearched(error: &SearchError) -> Refusal {
    match error {
        SearchError::Opening => {
            Refusal::new(codes::STARTING, error.to_string()).later(OPENING_BACKOFF)
        }
        SearchError::Unusable(_) => Refusal::new(
            codes::STORE_FAILED,
            "the search index can't be used; see the server's log",
        ),
    }
}

/// One of several entries; `None`, to leave it out, if it has no answer.
fn unless_untimed(
    found: Result<Option<RekorEntry>, Stopped>,
) -> Result<Option<RekorEntry>, Stopped> {
    match found {
        Err(Stopped::Rekor(v1::Error::Untimed)) => Ok(None),
        found => found,
    }
}

/// The entry that a client names.
async fn by_uuid(
    plane: &DataPlane,
    log: &Log,
    uuid: &v1::Uuid,
) -> Result<Option<RekorEntry>, Stopped> {
    let shards = log.rekor_shards();
    match uuid {
        v1::Uuid::Entry(id) => {
            let shards = shards.iter().filter(|s| s.tree_id == id.tree.get());
            in_shards(plane, log, shards, id.leaf).await
        }
        v1::Uuid::Leaf(leaf) => {
            let (active, older): (Vec<_>, _) = shards.iter().partition(|shard| shard.is_active);
            in_shards(plane, log, active.into_iter().chain(older), *leaf).await
        }
    }
}

/// The entry with this leaf in the first of the shards that has it: by the search index, or by what the shard remembers of the last days.
/// The first one, if a shard has several: a name always means the same entry.
async fn in_shards(
    plane: &DataPlane,
    log: &Log,
    shards: impl Iterator<Item = &RekorShard>,
    leaf: Hash,
) -> Result<Option<RekorEntry>, Stopped> {
    let indexes = plane.readiness.indexes().ok_or_else(Refusal::starting)?;
    let position = indexes.view(log).map(|view| view.position);
    let indexed = indexes.by_leaf(log, leaf).await;
    // Entries before this one are found by the index, or are not there.
    let position = position
        .filter(|_| indexed.is_ok())
        .unwrap_or(GlobalIndex::ZERO);
    let known = indexed.as_deref().unwrap_or_default();
    let active = log.rekor_shards().into_iter().find(|shard| shard.is_active);
    let older = |shard: &RekorShard| active.as_ref().filter(|active| active.start > shard.start);
    for (number, shard) in shards.enumerate() {
        let within = |index: &&GlobalIndex| log.tree_of(**index) == Some(shard.tree_id);
        if let Some(index) = known.iter().find(within) {
            return entry(log, *index).await;
        }
        if shard.imported_to.is_some_and(|end| position < end) {
            // This shard may have the entry, so the shards after it are not searched.
            let why = indexed.as_ref().err().unwrap_or(&SearchError::Opening);
            return Err(unsearched(why).into());
        }
        let is_indexed = older(shard).is_some_and(|active| position >= active.start);
        if is_indexed || number >= MOST_SHARDS {
            continue;
        }
        let there = log.keyed_entry(order::key(&shard.name, &leaf)).await;
        let there = there.map_err(|error| unread(log, &error.into()))?;
        let Some(there) = there else { continue };
        let found = entry(log, there.index).await?;
        if let Some(found) = &found
            && !is_first(log, found, position.max(shard.start)).await
        {
            return Err(unsearched(&SearchError::Opening).into());
        }
        return Ok(found);
    }
    // An entry that was not found may be in an index that cannot be used.
    indexed.map_err(|error| unsearched(&error))?;
    Ok(None)
}

/// Whether a shard cannot have an earlier entry of the same name, because it still remembers all entries from `from` on, the first one that is not
/// indexed.
async fn is_first(log: &Log, found: &RekorEntry, from: GlobalIndex) -> bool {
    if from >= found.index {
        return true;
    }
    let first = log.rekor_entry(from).await;
    let first = first.ok().flatten();
    first.is_some_and(|first| found.time.since(first.time) < REMEMBERED)
}

/// An entry, once it is published.
async fn entry(log: &Log, index: GlobalIndex) -> Result<Option<RekorEntry>, Stopped> {
    let found = log.rekor_entry(index).await;
    found.map_err(|error| unread(log, &error))
}

fn one(found: &Option<RekorEntry>) -> Result<Response<Bytes>, Stopped> {
    let found = found.as_ref().ok_or(v1::Error::NotFound)?;
    let (logged, inclusion) = parts(found)?;
    let answer = v1::answer(&logged, &found.timestamp, &inclusion);
    Ok(reply(StatusCode::OK, JSON, "no-store", answer))
}
