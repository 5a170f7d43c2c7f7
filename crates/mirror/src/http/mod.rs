//! A secondary behind HTTP: the requests from logs (C2SP tlog-mirror), and from readers of its copies.
//!
//! What must never happen: a request takes more memory than one package needs, or a client without a log's key keeps the log from being
//! copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use plane_http::{
    BYTES, Body, IMMUTABLE, Limits, NEVER, Phase, Plane, TEXT, Unread, Watched, busy, later,
    packed, said,
};
use tlog::mirror::{INFO_TYPE, MAX_ADD_CHECKPOINT};
use tlog::{TileKind, TilePath};
use tokio::sync::Semaphore;

use crate::{COSIGNED, Ended, MAX_MANIFEST, MAX_TIMES, Mirror, PeerLife, Refusal};

mod body;
mod unproven;

use body::{NotTaken, Source, next_frame, take};
use unproven::{Room, Unproven};

/// The storage that answers; after its loss it is another one.
pub const INCARNATION: HeaderName = HeaderName::from_static("mirror-incarnation");
/// Set on answers about a log that was seen with two roots: the size.
pub const ALARM: HeaderName = HeaderName::from_static("mirror-alarm");

/// The life of the log that asks, and the one that is accepted here.
pub const LIFE: HeaderName = HeaderName::from_static("log-life");

/// A mirror behind HTTP.
pub struct MirrorPlane {
    mirror: Arc<Mirror>,
    body_timeout: Duration,
    incarnation: HeaderValue,
    unproven: Arc<Unproven>,
    /// Held while a manifest is checked.
    manifests: Semaphore,
    /// Taken while a bundle is read.
    reads: Semaphore,
    /// Set once a stop was requested.
    draining: AtomicBool,
}

/// Manifests that are checked at a time: each may be as long as a body can be, and is parsed in memory.
const MANIFESTS: usize = 2;

/// Bundles that are read at a time: the budget for answers counts bytes only once they are read.
const READS: usize = 32;

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    plane_http::reply(status, kind, NEVER, body)
}

/// The memory for request bodies is used up.
fn crowded() -> Response<Bytes> {
    let text = "too many request bodies are under way";
    let response = said(StatusCode::SERVICE_UNAVAILABLE, text);
    later(response, Duration::from_secs(1))
}

fn not_found() -> Response<Bytes> {
    said(StatusCode::NOT_FOUND, "there is nothing here")
}

fn refused(refusal: &Refusal) -> Response<Bytes> {
    let (status, kind, body) = refusal.answer();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(status, kind, body);
    match refusal {
        Refusal::Alarm(alarm) => {
            response
                .headers_mut()
                .insert(ALARM, HeaderValue::from(alarm.size.get()));
        }
        Refusal::Superseded(life) | Refusal::Ahead(life) | Refusal::Outdated(life) => {
            response = with_life(response, *life);
        }
        Refusal::Storage(why) => {
            tracing::error!(why, "a request could not be served");
            response = later(response, Duration::from_secs(5));
        }
        _ => {}
    }
    response
}

fn with_life(mut response: Response<Bytes>, life: PeerLife) -> Response<Bytes> {
    if let Ok(value) = HeaderValue::from_str(&life.to_string()) {
        response.headers_mut().insert(LIFE, value);
    }
    response
}

/// The life of the log that asks.
fn life(headers: &HeaderMap) -> Option<PeerLife> {
    headers.get(LIFE)?.to_str().ok()?.parse().ok()
}

impl MirrorPlane {
    /// Serves `mirror` on a listener with these limits.
    pub fn new(mirror: Arc<Mirror>, limits: &Limits) -> Self {
        let incarnation = HeaderValue::from_str(mirror.incarnation())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            mirror,
            body_timeout: limits.body_timeout,
            incarnation,
            unproven: Unproven::new(limits.bodies),
            manifests: Semaphore::new(MANIFESTS),
            reads: Semaphore::new(READS),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on readiness says no; requests are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// A whole body of at most `most` bytes.
    async fn whole(
        &self,
        body: &mut Incoming,
        most: usize,
        room: &mut Room,
    ) -> Result<Bytes, Response<Bytes>> {
        let long = || {
            said(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("the body is longer than {most} bytes"),
            )
        };
        if body.size_hint().lower() > most as u64 {
            return Err(long());
        }
        let read = async {
            let mut whole = BytesMut::new();
            loop {
                let piece = tokio::select! {
                    biased;
                    () = room.ended() => return Err(crowded()),
                    piece = next_frame(body) => piece,
                };
                let piece = match piece {
                    None => break,
                    Some(Ok(piece)) => piece,
                    Some(Err(_)) => {
                        let text = "the body ended early";
                        return Err(said(StatusCode::BAD_REQUEST, text));
                    }
                };
                if whole.len() + piece.len() > most {
                    return Err(long());
                }
                whole.extend_from_slice(&piece);
                room.set(whole.len()).map_err(|_| crowded())?;
            }
            Ok(whole.freeze())
        };
        match tokio::time::timeout(self.body_timeout, read).await {
            Ok(read) => read,
            Err(_) => Err(said(
                StatusCode::REQUEST_TIMEOUT,
                "the body came too slowly",
            )),
        }
    }

    async fn add_checkpoint(
        &self,
        watched: &Watched,
        headers: &HeaderMap,
        body: &mut Incoming,
        mut room: Room,
    ) -> Response<Bytes> {
        let body = match self.whole(body, MAX_ADD_CHECKPOINT, &mut room).await {
            Ok(body) => body,
            Err(response) => return response,
        };
        watched.enter(Phase::Working);
        let Ok(text) = std::str::from_utf8(&body) else {
            return said(StatusCode::BAD_REQUEST, "the body is not UTF-8");
        };
        let life = life(headers).map_or(0, |life| life.id);
        match self.mirror.add_checkpoint(text, life).await {
            // The mirror's key signs nothing here.
            Ok(()) => reply(StatusCode::OK, TEXT, Bytes::new()),
            Err(refusal) => refused(&refusal),
        }
    }

    async fn add_entries(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
        room: Room,
    ) -> Response<Bytes> {
        let gzip = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(_) => {
                return said(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "the only content encoding is gzip",
                );
            }
        };
        let source = Source::new(body, gzip, self.body_timeout, room);
        let life = life(headers).map_or(0, |life| life.id);
        match take(&self.mirror, source, life).await {
            Err(NotTaken::Crowded) => crowded(),
            Ok(Ended::Cosigned(line)) => reply(StatusCode::OK, TEXT, line),
            Ok(Ended::Partial(info)) => reply(StatusCode::ACCEPTED, INFO_TYPE, info.to_body()),
            Err(NotTaken::Refused(refusal)) => refused(&refusal),
        }
    }

    async fn put_manifest(
        &self,
        watched: &Watched,
        headers: &HeaderMap,
        body: &mut Incoming,
        mut room: Room,
    ) -> Response<Bytes> {
        let body = match self.whole(body, MAX_MANIFEST, &mut room).await {
            Ok(body) => body,
            Err(response) => return response,
        };
        watched.enter(Phase::Working);
        let _place = tokio::select! {
            biased;
            place = self.manifests.acquire() => place,
            () = room.ended() => return crowded(),
        };
        let entries = life(headers).map(|life| life.entries);
        match self.mirror.put_manifest(&body, entries).await {
            Ok(life) => with_life(reply(StatusCode::OK, TEXT, Bytes::new()), life),
            Err(refusal) => refused(&refusal),
        }
    }

    async fn put_times(
        &self,
        watched: &Watched,
        body: &mut Incoming,
        mut room: Room,
    ) -> Response<Bytes> {
        let body = match self.whole(body, MAX_TIMES, &mut room).await {
            Ok(body) => body,
            Err(response) => return response,
        };
        watched.enter(Phase::Working);
        let Ok(note) = std::str::from_utf8(&body) else {
            return said(StatusCode::BAD_REQUEST, "the body is not UTF-8");
        };
        match self.mirror.put_times(note).await {
            Ok(()) => reply(StatusCode::OK, TEXT, Bytes::new()),
            Err(refusal) => refused(&refusal),
        }
    }

    /// `times/{hash}`: the last bundle with times; `times/{hash}/{bundle}`: the note about it.
    async fn times(&self, path: &str) -> Response<Bytes> {
        let found = match path.split_once('/') {
            None => {
                let last = self.mirror.last_times(path).await;
                last.map(|last| Some(format!("{}\n", last?).into()))
            }
            Some((hash, bundle)) => match bundle.parse() {
                Ok(bundle) => self.mirror.times(hash, bundle).await,
                Err(_) => Ok(None),
            },
        };
        match found {
            Ok(Some(bytes)) => reply(StatusCode::OK, TEXT, bytes),
            Ok(None) => not_found(),
            Err(e) => refused(&Refusal::Storage(e.to_string())),
        }
    }

    /// A request with a body, if there is memory for it.
    async fn post(
        &self,
        path: &str,
        watched: &Watched,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Response<Bytes> {
        let Ok(held) = watched.bodies().begin(0) else {
            return crowded();
        };
        let room = self.unproven.begin(held);
        let encoded = headers.get(CONTENT_ENCODING);
        if path != "/add-entries" && encoded.is_some_and(|coding| coding != "identity") {
            return said(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "this path accepts no Content-Encoding; send the body uncompressed",
            );
        }
        match path {
            "/add-entries" => {
                watched.enter(Phase::Streaming);
                self.add_entries(headers, body, room).await
            }
            "/add-checkpoint" => {
                watched.enter(Phase::Body);
                self.add_checkpoint(watched, headers, body, room).await
            }
            "/times" => {
                watched.enter(Phase::Body);
                self.put_times(watched, body, room).await
            }
            _ => {
                watched.enter(Phase::Body);
                self.put_manifest(watched, headers, body, room).await
            }
        }
    }

    async fn read(&self, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let failed = |e: store::StoreError| refused(&Refusal::Storage(e.to_string()));
        match path {
            "/healthz" => return said(StatusCode::OK, "ok"),
            "/readyz" => return self.readiness(),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix("/times/") {
            return self.times(rest).await;
        }
        if let Some(hash) = path.strip_prefix("/manifest/") {
            return match self.mirror.manifest(hash).await {
                Ok(Some(bytes)) => reply(StatusCode::OK, BYTES, bytes),
                Ok(None) => not_found(),
                Err(e) => failed(e),
            };
        }
        let Some((hash, rest)) = path.strip_prefix('/').and_then(|path| path.split_once('/'))
        else {
            return not_found();
        };
        if rest == "checkpoint" || rest == COSIGNED {
            let note = match rest {
                COSIGNED => self.mirror.cosigned_checkpoint(hash).await,
                _ => Ok(self.mirror.checkpoint(hash).await),
            };
            return match note {
                Ok(Some(note)) => reply(StatusCode::OK, TEXT, note),
                Ok(None) => not_found(),
                Err(e) => failed(e),
            };
        }
        let Ok(tile) = rest.parse::<TilePath>() else {
            return not_found();
        };
        let _turn = match tile.kind {
            TileKind::Entries => Some(self.reads.acquire().await),
            TileKind::Hashes(_) => None,
        };
        match self.mirror.tile(hash, tile).await {
            Ok(Some(bytes)) => {
                let whole = plane_http::reply(StatusCode::OK, BYTES, IMMUTABLE, bytes);
                packed(whole, tile, headers).await
            }
            Ok(None) => not_found(),
            Err(e) => failed(e),
        }
    }

    fn readiness(&self) -> Response<Bytes> {
        if self.draining.load(Relaxed) {
            return said(StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        let bad: Vec<String> = self
            .mirror
            .status()
            .into_iter()
            .filter_map(|log| {
                let why = match (log.alarm, log.broken) {
                    (Some(alarm), _) => format!("two roots at size {}", alarm.size),
                    (None, Some(why)) => why,
                    (None, None) => return None,
                };
                Some(format!("{}: {why}", log.origin))
            })
            .collect();
        if bad.is_empty() {
            said(StatusCode::OK, "ready")
        } else {
            said(StatusCode::SERVICE_UNAVAILABLE, &bad.join("\n"))
        }
    }
}

impl Plane for MirrorPlane {
    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut unread = Unread::new(head.version, &head.headers, body);
        let mut response = match (&head.method, head.uri.path()) {
            (
                &Method::POST,
                path @ ("/add-checkpoint" | "/add-entries" | "/manifest" | "/times"),
            ) => self.post(path, watched, &head.headers, unread.body()).await,
            (&Method::GET | &Method::HEAD, path) => {
                watched.enter(Phase::Working);
                watched.counted(self.read(path, &head.headers).await, busy)
            }
            _ => said(StatusCode::METHOD_NOT_ALLOWED, "not with this method"),
        };
        unread.finish().await;
        let headers = response.headers_mut();
        headers.insert(INCARNATION, self.incarnation.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        response.map(|answer| unread.answer(answer))
    }
}
