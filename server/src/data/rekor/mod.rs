//! `POST /{log}/api/v2/log/entries`: Sigstore's clients write here as to rekor-tiles.
//!
//! Most of them never try again, so a write waits for a published checkpoint rather than being refused, and only what can never succeed is
//! refused at once. An entry has an idempotency key of its own, made of its shard and its leaf, so a client that sends it again gets the
//! existing entry.
//!
//! What must never happen: a 201 for an entry that no published checkpoint covers; an entry that came through here and whose signature was
//! not verified; one that is twice in a shard because its sender lost the answer.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use logconfig::{Duplicates, FirstEntry, RekorConfig};
use plane_http::{Body, JSON, Phase, Unread, Watched, later, reply};
use rekor::v2;
use sha2::{Digest as _, Sha256};
use tlog::{GlobalIndex, VerifierKey};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::refusal::{self, Refusal};
use super::{DataPlane, add, advice, find, stamp};
use engine::{AppendError, Inclusion, Log, ReadError, WriteKey};
use qos::{Advice, TenantId};
use wire::data::codes;

/// The path below a log, and at the root of a server that says which log answers there.
const ENTRIES: &str = "/api/v2/log/entries";

/// The entry's index over all shards; its `logIndex` counts from the beginning of its shard.
const GLOBAL_INDEX: HeaderName = HeaderName::from_static("logd-global-index");
/// The index of the entry in a conflict, as rekor-tiles names it.
const LOG_INDEX: HeaderName = HeaderName::from_static("x-log-index");

/// Places of this server for writes that wait for room.
static WAITING: Semaphore = Semaphore::const_new(256);
/// The shortest pause before such a write tries again.
const ROOM_POLL: Duration = Duration::from_millis(200);

/// How often a write follows its log to the next shard, when its own is rotated out before it is ordered.
const ROTATIONS: usize = 8;

/// The log that this request writes to, empty for the one at the root; `None` when it is another request.
pub(super) fn target<'a>(method: &Method, path: &'a str) -> Option<Cow<'a, str>> {
    if *method == Method::POST && path == ENTRIES {
        return Some(Cow::Borrowed(""));
    }
    super::posted(method, path, ENTRIES)
}

/// Why there is no 201.
enum Stopped {
    /// The request is not one that Rekor takes, or takes now.
    Rekor(v2::Error),
    /// The log refused the entry.
    Refused(Refusal),
}

impl From<v2::Error> for Stopped {
    fn from(error: v2::Error) -> Self {
        Self::Rekor(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Adds an entry as rekor-tiles would.
pub(super) async fn answer(
    plane: &DataPlane,
    watched: &Watched,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut unread = Unread::new(parts.version, &parts.headers, body);
    let name = target(&parts.method, parts.uri.path()).unwrap_or_default();
    let name = match &*name {
        "" => plane.roots.v2.as_ref().map(|log| log.as_str()),
        name => Some(name),
    };
    let no_route = || Refusal::no_route(parts.uri.path());
    let log = name
        .ok_or_else(no_route)
        .and_then(|name| find(&plane.readiness, name));
    let log = log.and_then(|log| log.rekor().v2.then_some(log).ok_or_else(no_route));
    let written = match &log {
        Ok(log) => write(plane, log, watched, &parts, unread.body()).await,
        Err(refusal) => Err(refusal.clone().into()),
    };
    let mut response = match written {
        Ok((index, entry)) => {
            let mut response = reply(StatusCode::CREATED, JSON, "no-store", entry);
            let headers = response.headers_mut();
            headers.insert(GLOBAL_INDEX, HeaderValue::from(index));
            let busy = || Stopped::from(Refusal::busy_answers()).respond();
            watched.counted(response, busy).map(Body::Whole)
        }
        Err(stopped) => {
            unread.finish().await;
            stopped.respond().map(|answer| unread.answer(answer))
        }
    };
    if let Ok(log) = log {
        stamp(response.headers_mut(), &log);
    }
    response
}

/// The entry's global index, and the answer.
async fn write(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<(u64, String), Stopped> {
    let asked = advice::read(&head.headers, crate::clock::now_ms)?;
    let tenant = asked.tenant(log)?;
    if asked.encoded {
        return Err(Refusal::encoded("an entry").into());
    }
    let announced = body.size_hint().lower();
    if announced > v2::MAX_BODY as u64 {
        return Err(Refusal::too_large(v2::MAX_BODY).into());
    }
    let held = watched.bodies().begin(announced as usize);
    let mut held = held.map_err(|_| Refusal::crowded())?;
    watched.enter(Phase::Body);
    let whole = add::collect(body, &mut held, v2::MAX_BODY);
    let body = match head.version {
        // The watch sees no phases in a multiplexed connection, so the body gets a timer of its own.
        Version::HTTP_2 => tokio::time::timeout(plane.body_timeout, whole)
            .await
            .map_err(|_| Refusal::slow_body())??,
        _ => whole.await?,
    };
    watched.enter(Phase::Working);
    let leaf = Bytes::from(v2::Request::parse(&body)?.verify()?.into_leaf());
    drop(body);
    // Only the leaf, which is small, is held during the wait for the checkpoint, not the whole request.
    let _fits = held.set(leaf.len());
    let rekor = log.rekor();
    let hold = rekor.hold.duration();
    let published = async {
        let until = Instant::now() + hold;
        let index = ordered(log, leaf.clone(), tenant, rekor, until).await?;
        let inclusion = published(log, index).await;
        let inclusion = inclusion.map_err(|error| refusal::read(log.name(), &error))?;
        Ok::<_, Stopped>((index, inclusion))
    };
    let published = tokio::time::timeout(hold, published).await;
    let (index, inclusion) = published.map_err(|_| unpublished(hold))??;
    let entry = rekor::Inclusion {
        index: inclusion.leaf_index.get(),
        tree_size: inclusion.size.get(),
        root: inclusion.root,
        proof: &inclusion.proof,
        checkpoint: &inclusion.checkpoint,
    };
    let vkey = inclusion.ecdsa_vkey.as_ref().unwrap_or(&inclusion.vkey);
    let key: VerifierKey = vkey.parse().map_err(|error| {
        tracing::error!(log = log.name(), %error, "the key of a shard can't be read");
        Refusal::new(codes::STORE_FAILED, "the shard's key can't be read")
    })?;
    Ok((index, v2::answer(&key.log_id(), &leaf, &entry)))
}

/// Waits until a signed checkpoint covers an entry, and proves that it does.
async fn published(log: &Log, index: u64) -> Result<Inclusion, ReadError> {
    loop {
        log.wait_published(GlobalIndex::new(index)).await?;
        if let Some(inclusion) = log.inclusion(GlobalIndex::new(index)).await? {
            return Ok(inclusion);
        }
        tokio::task::yield_now().await;
    }
}

/// Orders a leaf as soon as there is room for it, before `until`; returns its global index. A refusal that lasts longer is answered
/// as it is, and so is one when enough other writes wait: each of them holds a connection, and asks the store again and again.
async fn ordered(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    rekor: RekorConfig,
    until: Instant,
) -> Result<u64, Stopped> {
    let for_now = [codes::OVERLOADED, codes::NO_ROOM, codes::LIMITED];
    let mut place = None;
    loop {
        let refusal = match submitted(log, leaf.clone(), tenant, rekor).await {
            Err(Stopped::Refused(refusal)) if for_now.contains(&refusal.code) => refusal,
            done => return done,
        };
        if place.is_none() {
            place = WAITING.try_acquire().ok();
        }
        match refusal.retry_after.map(|after| after.max(ROOM_POLL)) {
            Some(after) if place.is_some() && Instant::now() + after < until => {
                tokio::time::sleep(after).await;
            }
            _ => return Err(refusal.into()),
        }
    }
}

/// Submits a leaf to the active shard, unless the shard has it.
async fn submitted(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    rekor: RekorConfig,
) -> Result<u64, Stopped> {
    let hash = tlog::leaf_hash(&leaf);
    for _ in 0..ROTATIONS {
        let shard = log.active_shard();
        let key = WriteKey::new(
            "",
            &format!("rekor {} {hash}", shard.as_deref().unwrap_or_default()),
        );
        if let (FirstEntry::Statement, Some(shard)) = (rekor.first_entry, &shard) {
            opened(log, shard).await?;
        }
        if rekor.duplicates == Duplicates::Conflict {
            let there = log.keyed_entry(key).await;
            let there = there.map_err(|error| refusal::read(log.name(), &error.into()))?;
            if let Some(there) = there {
                return Err(v2::Error::Exists(there.leaf_index.get()).into());
            }
        }
        let advice = Advice {
            shard,
            ..Advice::default()
        };
        let written = match log.submit_keyed(key, leaf.clone(), tenant, &advice).await {
            Ok(ticket) => ticket.answer.await,
            Err(error) => Err(error),
        };
        match written {
            Ok(appended) => return Ok(appended.index.get()),
            // The shard was rotated out before the entry was ordered.
            Err(AppendError::WrongShard { .. }) => {}
            Err(error) => return Err(stopped(log, error)),
        }
    }
    Err(v2::Error::Unavailable.into())
}

/// Makes the opening statement the first entry of a shard that has none: Go's clients leave out an index of 0, which sigstore-python
/// then refuses. Every server that is about to write a first entry submits the statement before it; only one is ordered.
async fn opened(log: &Log, shard: &str) -> Result<(), Stopped> {
    if !log.is_unopened() {
        return Ok(());
    }
    // Nothing is signed for a log that accepts no entries.
    let taken = log.takes(&Advice::default());
    taken.map_err(|error| stopped(log, error))?;
    let opening = log.opening().await;
    let opening = opening.map_err(|error| refusal::read(log.name(), &error.into()))?;
    let Some(opening) = opening else {
        return Ok(());
    };
    let request = serde_json::json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(Sha256::digest(&opening.text)),
        "signature": {
            "content": STANDARD.encode(&opening.signature),
            "verifier": {
                "publicKey": {"rawBytes": STANDARD.encode(&opening.key)},
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    }});
    let entry = v2::Request::parse(request.to_string().as_bytes())?.verify()?;
    let tenant = log.policy().own();
    let key = WriteKey::new("", &format!("rekor {shard} opening"));
    let advice = Advice {
        shard: Some(shard.to_owned()),
        ..Advice::default()
    };
    let written = match log
        .submit_keyed(key, entry.into_leaf().into(), tenant, &advice)
        .await
    {
        Ok(ticket) => ticket.answer.await.map(drop),
        Err(error) => Err(error),
    };
    match written {
        // Another one's is there, or the shard was rotated out, which the entry itself finds, too.
        Ok(()) | Err(AppendError::KeyReused | AppendError::WrongShard { .. }) => Ok(()),
        Err(error) => Err(stopped(log, error)),
    }
}

fn stopped(log: &Log, error: AppendError) -> Stopped {
    match error {
        // Clients try again after 503, and a frozen log stays frozen.
        AppendError::Frozen { .. } => v2::Error::Frozen.into(),
        // A client that sends it again gets the existing entry, so an unknown outcome asks for a repeat. A log that closes may open again.
        AppendError::Unknown | AppendError::Closing => v2::Error::Unavailable.into(),
        error => refusal::append(log.name(), error).into(),
    }
}

/// The entry is ordered, or about to be.
fn unpublished(hold: Duration) -> Refusal {
    let seconds = hold.as_secs();
    let detail = format!(
        "no published checkpoint covers the entry after {seconds} s; send the same request again: the entry is written once, unless its shard was rotated out meanwhile"
    );
    Refusal::new(codes::UNSIGNED, detail).later(Duration::from_secs(1))
}

impl Stopped {
    fn respond(self) -> Response<Bytes> {
        let (status, (kind, body), index, wait) = match self {
            Self::Rekor(error) => {
                let wait = (error == v2::Error::Unavailable).then_some(Duration::from_secs(1));
                (error.status(), error.body(), error.log_index(), wait)
            }
            Self::Refused(refusal) => {
                let (_, status, _) = refusal.code;
                let body = v2::refusal(status, &refusal.detail);
                (status, (JSON, body), None, refusal.retry_after)
            }
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = reply(status, kind, "no-store", body);
        if let Some(index) = index {
            response
                .headers_mut()
                .insert(LOG_INDEX, HeaderValue::from(index));
        }
        match wait {
            Some(after) => later(response, after),
            None => response,
        }
    }
}

#[cfg(test)]
mod tests;
