//! Rekor's APIs: Sigstore's clients write and read here as to Rekor (version 1) and rekor-tiles (version 2).
//!
//! Most clients never try again, so a write waits for a published checkpoint rather than being refused, and only what can never succeed is
//! refused at once.
//!
//! What must never happen: a 201 for an entry that no published checkpoint covers; an entry that came through here although its signature was not
//! verified; an entry that is in a shard twice because its sender lost the answer; two answers with different times for one entry.
//!
//! - [`v1`] and [`v2`] are the two APIs;
//! - [`check`] reads and checks a request, [`order`] brings its leaf into the log, and [`room`] waits while the log is full, for both.

mod check;
mod order;
mod room;
mod v1;
mod v2;

pub(super) use self::check::{ReadTurns, check_turns};

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::{Method, Request, Response, StatusCode};
use plane_http::{Body, JSON, Unread, Watched, later, reply};

use super::refusal::Refusal;
use super::{DataPlane, decoded, find, stamp};

/// The entry's index over all shards, where the answer's `logIndex` counts from the beginning of its shard.
const GLOBAL_INDEX: HeaderName = HeaderName::from_static("logd-global-index");

/// A request for one of the APIs, and the name of its log: empty at the root of the server.
pub(super) enum Target<'a> {
    V1(Cow<'a, str>, v1::Route<'a>),
    V2(Cow<'a, str>),
}

/// The API that a request is for; `None` when it is another request.
pub(super) fn target<'a>(method: &Method, path: &'a str) -> Option<Target<'a>> {
    let (log, below) = match path.find("/api/v") {
        Some(0) => (Cow::Borrowed(""), path),
        Some(at) => {
            let log = path.get(1..at).filter(|log| !log.contains('/'))?;
            (decoded(log), path.get(at..)?)
        }
        None if path == v1::PING => return Some(Target::V1(Cow::Borrowed(""), v1::Route::Ping)),
        None => return None,
    };
    if below == v2::ENTRIES {
        return (*method == Method::POST).then_some(Target::V2(log));
    }
    let route = below.strip_prefix(v1::PREFIX)?;
    Some(Target::V1(log, v1::Route::of(method, route)))
}

/// Answers a request for one of the APIs.
pub(super) async fn answer(
    plane: &DataPlane,
    watched: &Watched,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut unread = Unread::new(parts.version, &parts.headers, body);
    let path = parts.uri.path().to_owned();
    let no_route = || Refusal::no_route(&path);
    let Some(target) = target(&parts.method, &path) else {
        return reply(StatusCode::NOT_FOUND, JSON, "no-store", "").map(Body::Whole);
    };
    let (name, root) = match &target {
        Target::V1(name, _) => (name, &plane.roots.v1),
        Target::V2(name) => (name, &plane.roots.v2),
    };
    let name = match &**name {
        "" => root.as_ref().map(|log| log.as_str()),
        name => Some(name),
    };
    let log = name
        .ok_or_else(no_route)
        .and_then(|name| find(&plane.readiness, name));
    let log = log.and_then(|log| {
        let rekor = log.rekor();
        let open = match &target {
            Target::V1(..) => rekor.v1,
            Target::V2(_) => rekor.v2,
        };
        open.then_some(log).ok_or_else(no_route)
    });
    let known = log.as_ref().map(|log| &**log).map_err(Refusal::clone);
    let response = match &target {
        Target::V1(_, route) => {
            v1::answer(plane, known, route, watched, &parts, unread.body()).await
        }
        Target::V2(_) => v2::answer(plane, known, watched, &parts, unread.body()).await,
    };
    let busy = || match target {
        Target::V1(..) => refused(&Refusal::busy_answers(), rekor::v1::refusal),
        Target::V2(_) => refused(&Refusal::busy_answers(), rekor::v2::refusal),
    };
    let response = watched.counted(response, busy);
    unread.finish().await;
    let is_head = parts.method == Method::HEAD;
    let mut response = response.map(|answer| {
        let answer = if is_head { Bytes::new() } else { answer };
        unread.answer(answer)
    });
    if let Ok(log) = log {
        stamp(response.headers_mut(), &log);
    }
    response
}

/// An error of one of the APIs. If it `passes`, the answer asks the client to try again later.
fn failed(status: u16, kind: &'static str, body: String, passes: bool) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let response = reply(status, kind, "no-store", body);
    match passes {
        true => later(response, Duration::from_secs(1)),
        false => response,
    }
}

/// A refusal of the log, in the form of one of the APIs.
fn refused(refusal: &Refusal, body: impl Fn(u16, &str) -> String) -> Response<Bytes> {
    let (_, status, _) = refusal.code;
    let response = failed(status, JSON, body(status, &refusal.detail), false);
    match refusal.retry_after {
        Some(after) => later(response, after),
        None => response,
    }
}
