//! Adds entries. Signatures are verified here, before anything is ordered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ETAG, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use logconfig::{EntryKind, EntryKinds};
use plane_http::{HeldBytes, JSON, Watched, reply};
use rekor::v1;
use sha2::{Digest as _, Sha256};

use super::super::super::DataPlane;
use super::super::check;
use super::super::order::{self, Unordered};
use super::{PREFIX, Stopped, parts, unread};
use engine::{Appended, Log, SignedOpening};

/// Adds an entry as Rekor would.
pub(super) async fn write(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Bytes>, Stopped> {
    let tenant = check::tenant(log, head)?;
    let (body, held) = check::body(plane, watched, head, body, v1::MAX_BODY).await?;
    let (entry, mut held) = check(plane, body, held, log.rekor().kinds).await?;
    let unlogged = entry.unlogged_keys().to_vec();
    let leaf = Bytes::from(entry.into_leaf());
    // Only the leaf, which is small, is held during the wait for the checkpoint, not the whole request.
    let _fits = held.set(leaf.len());
    let index = match order::published(log, leaf.clone(), tenant, opening).await {
        Ok(index) => index,
        Err(Unordered::Exists(there)) => return exists(log, &there, &leaf, head.uri.path()),
        Err(Unordered::Refused(refusal)) => return Err(refusal.into()),
        Err(Unordered::Frozen) => return Err(v1::Error::Frozen.into()),
        Err(Unordered::Unavailable) => return Err(v1::Error::Unavailable.into()),
    };
    if let Some(indexes) = plane.readiness.indexes() {
        indexes.add(log, index, unlogged);
    }
    let found = log.rekor_entry(index).await;
    let found = found.map_err(|error| unread(log, &error))?;
    let found = found.ok_or(v1::Error::Unavailable)?;
    let (entry, inclusion) = parts(&found)?;
    let answer = v1::answer(&entry, &found.timestamp, &inclusion);
    let response = reply(StatusCode::CREATED, JSON, "no-store", answer);
    Ok(named(response, &entry.id(), head.uri.path()))
}

/// Checks a request. One signature over a digest is verified soon; envelopes may have many, and long payloads.
async fn check(
    plane: &DataPlane,
    body: Bytes,
    held: HeldBytes,
    kinds: EntryKinds,
) -> Result<(v1::Entry, HeldBytes), Stopped> {
    let parse = move |body: &[u8]| {
        let request = v1::Request::parse(body)?;
        let kind = request.kind();
        let taken = |known: &EntryKind| known.as_str() == kind && kinds.has(*known);
        match EntryKind::ALL.iter().any(taken) {
            true => Ok(request),
            false => Err(v1::Error::Kind(kind.to_owned())),
        }
    };
    if body.len() > check::INLINE {
        let entry = check::check(plane, move || parse(&body)?.verify()).await??;
        return Ok((entry, held));
    }
    let request = parse(&body)?;
    if request.kind() != EntryKind::HashedRekord.as_str() {
        let entry = check::check(plane, move || request.verify()).await??;
        return Ok((entry, held));
    }
    let (entry, held) = check::verify(plane, held, move || request.verify()).await?;
    Ok((entry?, held))
}

/// Adds the names of an entry to an answer: its entry ID, and the path at which it is read.
fn named(mut response: Response<Bytes>, id: &v1::EntryId, path: &str) -> Response<Bytes> {
    let id = id.to_string();
    let before = path.find(PREFIX).map_or("", |at| &path[..at]);
    let location = format!("{before}{PREFIX}log/entries/{id}");
    let headers = response.headers_mut();
    // Without quotes: clients use this header's value as the entry's name.
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(ETAG, id);
    }
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    response
}

/// The conflict with an entry that is already in the shard.
fn exists(
    log: &Log,
    there: &Appended,
    leaf: &[u8],
    path: &str,
) -> Result<Response<Bytes>, Stopped> {
    let shards = log.rekor_shards();
    let shard = shards.iter().find(|shard| shard.name == *there.shard);
    let tree = shard.and_then(|shard| v1::TreeId::new(shard.tree_id));
    let tree = tree.ok_or(v1::Error::Unavailable)?;
    let leaf = tlog::leaf_hash(leaf);
    let id = v1::EntryId { tree, leaf };
    let response = Stopped::Rekor(v1::Error::Exists(id)).respond();
    Ok(named(response, &id, path))
}

/// The leaf of an opening statement.
fn opening(signed: &SignedOpening) -> Option<Vec<u8>> {
    let request = serde_json::json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {
                "algorithm": "sha256",
                "value": tlog::hex(&Sha256::digest(&signed.text)),
            }},
            "signature": {
                "content": STANDARD.encode(&signed.signature),
                "publicKey": {"content": STANDARD.encode(v1::public_key(&signed.key))},
            },
        },
    });
    let entry = v1::Request::parse(request.to_string().as_bytes());
    Some(entry.ok()?.verify().ok()?.into_leaf())
}
