//! The read side: tiles and checkpoints as in C2SP tlog-tiles, and a few JSON views of the log.
//!
//! Immutable objects are cacheable forever and say so; everything else is never cached; errors must not be stored.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Path, State};
use axum::response::Response;
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use hyper::{HeaderMap, StatusCode, Uri};
use plane_http::{BYTES, IMMUTABLE, JSON, NEVER, TEXT};
use serde::Serialize;

use super::negotiate::wants_json;
use super::promise;
use super::refusal::{self, Refusal};
use super::{batch, find};
use crate::readiness::Readiness;
use crate::rfc3339::rfc3339;
use engine::Inclusion;
use logconfig::ShardState;
use plane_http::packed;
use tlog::GlobalIndex;
use tokio::sync::Semaphore;
use wire::data::{Entry, Shard, Watermarks};

/// Bundles of entries that are read at a time.
const BUNDLES: usize = 32;

pub(super) type App = State<Arc<Readiness>>;

/// Held while a bundle of entries is read, which can have 16 MiB: the budget for answers counts bytes only once they are read.
type Bundles = State<Arc<Semaphore>>;

/// What the routes share.
#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    bundles: Arc<Semaphore>,
}

impl FromRef<Shared> for Arc<Readiness> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.readiness)
    }
}

impl FromRef<Shared> for Arc<Semaphore> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.bundles)
    }
}

/// All routes but `add`.
pub(super) fn router(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(async || page(TEXT, NEVER, "ok\n")))
        .route("/readyz", get(ready))
        // POST never gets here.
        .route(
            "/{log}/add",
            any(async |headers: HeaderMap| refused(&Refusal::method(), &headers)),
        )
        // POST never gets here either.
        .route("/{log}/add-batch", get(batch::asked))
        .route("/{log}/shards", get(shards))
        .route("/{log}/watermarks", get(watermarks))
        .route("/{log}/replication-key", get(replication_key))
        .route("/{log}/entries/{index}", get(entry))
        .route("/{log}/promise/{id}", get(promise::promise))
        .route("/{log}/{shard}/checkpoint", get(checkpoint))
        .route("/{log}/{shard}/seal", get(seal))
        .route("/{log}/{shard}/tile/{*rest}", get(tile))
        .fallback(async |uri: Uri, headers: HeaderMap| {
            refused(&Refusal::no_route(uri.path()), &headers)
        })
        .method_not_allowed_fallback(async |headers: HeaderMap| {
            refused(&Refusal::method(), &headers)
        })
        .with_state(Shared {
            readiness,
            bundles: Arc::new(Semaphore::new(BUNDLES)),
        })
}

fn page(kind: &'static str, cache: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn refused(refusal: &Refusal, headers: &HeaderMap) -> Response {
    refusal.respond(wants_json(headers)).map(Body::from)
}

/// Runs a handler's body, and turns its refusal into the form that the client asked for.
pub(super) async fn answered(
    headers: &HeaderMap,
    work: impl Future<Output = Result<Response, Refusal>>,
) -> Response {
    work.await
        .unwrap_or_else(|refusal| refused(&refusal, headers))
}

pub(super) fn json<T: Serialize>(value: &T) -> Response {
    page(JSON, NEVER, lines(value))
}

/// JSON and a newline.
pub(super) fn lines<T: Serialize>(value: &T) -> Vec<u8> {
    // The views hold strings, integers and lists only: serde_json cannot fail on them.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body
}

async fn ready(State(readiness): App) -> Response {
    match readiness.ready() {
        Ok(held_up) => {
            let line = |(log, why)| format!("{log}: {why}\n");
            let lines: String = held_up.into_iter().map(line).collect();
            page(TEXT, NEVER, format!("ready\n{lines}"))
        }
        Err(why) => {
            let mut response = page(TEXT, NEVER, format!("{why}\n"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

/// The vkey that secondaries of this log are configured with.
async fn replication_key(
    State(readiness): App,
    Path(log): Path<String>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&readiness, &log)?;
        let key = log.replication_key().await.map_err(|e| {
            tracing::error!(error = %e, "the replication key can't be had");
            Refusal::starting()
        })?;
        Ok(page(TEXT, NEVER, format!("{key}\n")))
    })
    .await
}

async fn shards(State(readiness): App, Path(log): Path<String>, headers: HeaderMap) -> Response {
    answered(&headers, async {
        let status = find(&readiness, &log)?.status();
        Ok(page(JSON, NEVER, shard_list(status)))
    })
    .await
}

/// A log's shards as its readers get them: where an auditor begins.
pub(crate) fn shard_list(status: engine::Status) -> Vec<u8> {
    let shards: Vec<Shard> = status
        .shards
        .into_iter()
        .map(|shard| Shard {
            name: shard.name,
            state: match shard.state {
                ShardState::Planned => wire::ShardState::Planned,
                ShardState::Active => wire::ShardState::Active,
                ShardState::Frozen => wire::ShardState::Frozen,
            },
            tree_id: shard.tree_id.to_string(),
            origin: shard.origin,
            vkey: shard.vkey,
            ecdsa_vkey: shard.ecdsa_vkey,
            start_index: shard.start_index,
            length: shard.length,
        })
        .collect();
    lines(&shards)
}

async fn watermarks(
    State(readiness): App,
    Path(log): Path<String>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&readiness, &log)?;
        let at = log.watermarks();
        Ok(json(&Watermarks {
            ordered: at.ordered,
            integrated: at.integrated,
            published: at.published,
            published_at: log.published_at().map(rfc3339),
        }))
    })
    .await
}

async fn entry(
    State(readiness): App,
    State(bundles): Bundles,
    Path((name, index)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&readiness, &name)?;
        let index =
            decimal(&index).ok_or_else(|| Refusal::bad("an entry's index is a decimal number"))?;
        let turn = bundles.acquire().await;
        let record = log.entry(GlobalIndex::new(index)).await;
        let mut record = record
            .map_err(|error| refusal::read(&name, &error))?
            .ok_or_else(|| Refusal::absent(format!("log {name} has no entry {index} yet")))?;
        // The entry may be a slice of its bundle, which must not stay in memory until the answer is sent.
        record.bytes = Bytes::copy_from_slice(&record.bytes);
        drop(turn);
        let mut response = if wants_json(&headers) {
            let inclusion = log
                .inclusion(GlobalIndex::new(index))
                .await
                .map_err(|error| refusal::read(&name, &error))?;
            let (inclusion_proof, checkpoint) = match inclusion {
                Some(Inclusion {
                    proof, checkpoint, ..
                }) => (Some(proof), Some(checkpoint)),
                None => (None, None),
            };
            json(&Entry {
                index: GlobalIndex::new(index),
                shard: record.shard,
                leaf_index: record.leaf_index,
                leaf_hash: tlog::leaf_hash(&record.bytes),
                entry: STANDARD.encode(&record.bytes),
                inclusion_proof,
                checkpoint,
            })
        } else {
            page(BYTES, IMMUTABLE, record.bytes)
        };
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("accept"));
        Ok(response)
    })
    .await
}

/// A decimal number as C2SP writes it: digits only, no leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

async fn checkpoint(
    State(readiness): App,
    Path((name, shard)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&readiness, &name)?;
        let note = log
            .checkpoint(&shard)
            .await
            .map_err(|error| refusal::read(&name, &error))?;
        Ok(page(
            TEXT,
            NEVER,
            note.ok_or_else(|| Refusal::no_shard(&name, &shard))?,
        ))
    })
    .await
}

async fn seal(
    State(readiness): App,
    Path((name, shard)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let note = object(&readiness, &name, &shard, "seal").await?;
        let note =
            note.ok_or_else(|| Refusal::absent(format!("shard {name}/{shard} is not sealed")))?;
        Ok(page(TEXT, IMMUTABLE, note))
    })
    .await
}

async fn tile(
    State(readiness): App,
    State(bundles): Bundles,
    Path((name, shard, rest)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let path = format!("tile/{rest}");
        let Ok(tile) = path.parse::<tlog::TilePath>() else {
            return Err(Refusal::bad(
                "not the path of a tile or an entry bundle (C2SP tlog-tiles)",
            ));
        };
        let _turn = match tile.kind {
            tlog::TileKind::Entries => Some(bundles.acquire().await),
            tlog::TileKind::Hashes(_) => None,
        };
        let bytes = object(&readiness, &name, &shard, &path).await?;
        let bytes = bytes.ok_or_else(|| {
            Refusal::absent(format!(
                "shard {name}/{shard} has no {path} yet, or no longer"
            ))
        })?;
        let whole = packed(hyper::Response::new(bytes), tile, &headers).await;
        let (coded, bytes) = whole.into_parts();
        let mut response = page(BYTES, IMMUTABLE, bytes);
        response.headers_mut().extend(coded.headers);
        response.headers_mut().insert(NOSNIFF.0, NOSNIFF.1);
        Ok(response)
    })
    .await
}

/// Entries are other people's bytes: no browser may take them for a page.
const NOSNIFF: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-content-type-options"),
    HeaderValue::from_static("nosniff"),
);

/// The stored bytes at `path` of a shard; distinguishes a missing shard from missing bytes.
async fn object(
    readiness: &Readiness,
    name: &str,
    shard: &str,
    path: &str,
) -> Result<Option<Bytes>, Refusal> {
    let log = find(readiness, name)?;
    let bytes = log
        .object(shard, path)
        .await
        .map_err(|error| refusal::read(name, &error))?;
    if bytes.is_none() && !log.has_shard(shard) {
        return Err(Refusal::no_shard(name, shard));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_one_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("00", None),
            ("07", None),
            ("+7", None),
            ("-1", None),
            ("7 ", None),
            ("0x7", None),
            ("٧", None),
        ] {
            assert_eq!(decimal(text), expected, "{text:?}");
        }
    }
}
