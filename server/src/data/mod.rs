//! The data plane: writers add entries, readers fetch them, tiles, checkpoints and seals.
//!
//! `POST /{log}/add` is checked first and answered without routing and without a span, since most of a log's cost is here; `POST
//! /{log}/add-batch` reads its body as it comes; everything else goes through axum. What must never happen: a 200 before the entry is
//! ordered and durable, or a write into the system log.

mod add;
mod advice;
mod batch;
mod granted;
mod hosts;
mod negotiate;
mod promise;
mod read;
mod refusal;
mod rekor;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use plane_http::{Body, Phase, Plane, Unread, Watched};
use tower::Service as _;

pub(crate) use read::shard_list;

use ambient::Crew;
use tokio::sync::Semaphore;

use self::negotiate::wants_json;
use self::refusal::Refusal;
use crate::metrics::HttpMetrics;
use crate::readiness::Readiness;
use crate::settings::RekorRoots;
use engine::{Log, SYSTEM};

/// More threads would take the stores' share of those for blocking work.
const MOST_VERIFIERS: usize = 16;

/// Everything a request needs.
pub(crate) struct DataPlane {
    readiness: Arc<Readiness>,
    metrics: Arc<HttpMetrics>,
    body_timeout: Duration,
    publish_timeout: Duration,
    turns: batch::Turns,
    /// Threads that verify the signatures of Rekor's writes.
    verifiers: Arc<Crew>,
    /// The turns of checks of Rekor's requests that may take long.
    checks: Arc<Semaphore>,
    router: Router,
    roots: RekorRoots,
    pub(crate) reads: rekor::ReadTurns,
}

impl DataPlane {
    /// Serves the engine behind `readiness`. A body may take `body_timeout` to arrive; `Log-Ack: published` waits for
    /// `publish_timeout` at most.
    pub(crate) fn new(
        readiness: Arc<Readiness>,
        metrics: Arc<HttpMetrics>,
        body_timeout: Duration,
        publish_timeout: Duration,
        roots: RekorRoots,
    ) -> Self {
        let router = read::router(Arc::clone(&readiness));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            readiness,
            metrics,
            body_timeout,
            publish_timeout,
            turns: batch::Turns::default(),
            verifiers: Crew::new((cores / 2).clamp(1, MOST_VERIFIERS)),
            checks: Arc::new(rekor::check_turns(cores)),
            router,
            roots,
            reads: rekor::ReadTurns::default(),
        }
    }

    async fn routed(&self, watched: &Watched, mut request: Request<Incoming>) -> Response<Body> {
        if let Some(path) = hosts::target(&self.readiness, request.uri(), request.headers()) {
            *request.uri_mut() = path;
        }
        let log = request.uri().path().split('/').nth(1).unwrap_or_default();
        let log = find(&self.readiness, &decoded(log)).ok();
        // Reads have no body. If one comes anyway, nobody waits for it, and it is dropped while its sender reads the answer.
        let (head, body) = request.into_parts();
        let unread =
            (!body.is_end_stream()).then(|| Unread::new(head.version, &head.headers, body));
        let json = wants_json(&head.headers);
        let request = Request::from_parts(head, axum::body::Body::empty());
        let response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        // Every answer of the router is in memory.
        let bytes = axum::body::to_bytes(body, usize::MAX).await;
        let whole = Response::from_parts(head, bytes.unwrap_or_default());
        let answer = watched.counted(whole, || Refusal::busy_answers().respond(json));
        let (mut head, body) = answer.into_parts();
        let mut response = match unread {
            None => Response::from_parts(head, Body::Whole(body)),
            Some(unread) => {
                // The answer ends later than its last byte.
                head.headers.remove(CONTENT_LENGTH);
                Response::from_parts(head, unread.answer(body))
            }
        };
        if let Some(log) = log {
            stamp(response.headers_mut(), &log);
        }
        response
    }
}

impl Plane for DataPlane {
    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        let response = if add::target(request.method(), request.uri().path()).is_some() {
            add::answer(self, watched, request).await
        } else if batch::target(request.method(), request.uri().path()).is_some() {
            Box::pin(batch::answer(self, watched, request)).await
        } else if rekor::target(request.method(), request.uri().path()).is_some() {
            Box::pin(rekor::answer(self, watched, request)).await
        } else {
            watched.enter(Phase::Working);
            // Boxed, so that the future of the hot path stays small.
            Box::pin(self.routed(watched, request)).await
        };
        self.metrics.count(response.status());
        response
    }
}

/// The configuration that a log runs: on every answer about it, so that convergence is visible from outside. An answer about an entry that
/// was just ordered names the generation that ordered it, or a later one.
const LOG_CONFIG: HeaderName = HeaderName::from_static("log-config");

/// Puts the log's running entity tag on an answer. Nothing is formatted or copied here.
fn stamp(headers: &mut HeaderMap, log: &Log) {
    if let Ok(etag) = HeaderValue::from_maybe_shared(log.etag()) {
        headers.insert(LOG_CONFIG, etag);
    }
}

/// The log in `POST /{log}` and then `route`.
fn posted<'a>(method: &Method, path: &'a str, route: &str) -> Option<Cow<'a, str>> {
    if *method != Method::POST {
        return None;
    }
    let log = path.strip_prefix('/')?.strip_suffix(route)?;
    (!log.is_empty() && !log.as_bytes().contains(&b'/')).then(|| decoded(log))
}

/// A segment of a path with its percent-encoded bytes decoded, as the router does it for reads; unchanged if that is not text.
fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.as_bytes().contains(&b'%') {
        return Cow::Borrowed(segment);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let (mut rest, mut bytes) = (segment.as_bytes(), Vec::with_capacity(segment.len()));
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (digit(tail.first()), digit(tail.get(1))) {
            (Some(high), Some(low)) if *first == b'%' => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

/// The log called `name`, once the engine runs.
fn find(readiness: &Readiness, name: &str) -> Result<Arc<Log>, Refusal> {
    let engine = readiness.engine().ok_or_else(Refusal::starting)?;
    // No route serves the system log: the server writes it, and it is read through the admin endpoint.
    let log = if name == SYSTEM {
        None
    } else {
        engine.log(name)
    };
    let log = log.ok_or_else(|| Refusal::no_log(name))?;
    if log.is_deleted() {
        return Err(Refusal::deleted(name));
    }
    Ok(log)
}

/// Lets writers of its own through to a log without a front.
fn unfronted(log: &Log) -> Result<(), Refusal> {
    match log.rekor().is_open() {
        true => Err(Refusal::fronted(log.name())),
        false => Ok(()),
    }
}
