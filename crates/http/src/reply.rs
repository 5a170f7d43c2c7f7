//! Answers that are made in one place: short texts, objects, refusals.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use wire::{PROBLEM_TYPE, Problem};

/// The type of notes and of texts for people.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The type of JSON.
pub const JSON: &str = "application/json";
/// The type of tiles.
pub const BYTES: &str = "application/octet-stream";
/// `Cache-Control` of objects that never change.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// `Cache-Control` of objects that change.
pub const NEVER: &str = "no-cache";

/// An answer of this type that caches may keep as `cache` says.
pub fn reply(
    status: StatusCode,
    kind: &'static str,
    cache: &'static str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// A line of text.
pub fn said(status: StatusCode, text: &str) -> Response<Bytes> {
    reply(status, TEXT, NEVER, format!("{text}\n"))
}

/// Says when to come back: whole seconds, rounded up, since earlier would be refused again.
pub fn later(mut response: Response<Bytes>, after: Duration) -> Response<Bytes> {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// The answer when the memory for long answers is used up.
pub fn busy() -> Response<Bytes> {
    let text = "too many long answers are under way";
    let response = said(StatusCode::SERVICE_UNAVAILABLE, text);
    later(response, Duration::from_secs(1))
}

/// A refusal, as a problem document (RFC 9457) or, for a client that does not ask for JSON, its detail as a line of text.
/// `challenge` names the credential that a caller without one must present.
pub fn refused(
    problem: &Problem,
    json: bool,
    retry_after: Option<Duration>,
    challenge: &'static str,
) -> Response<Bytes> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, body) = match json {
        // Strings and numbers only: serde_json cannot fail on it.
        true => (
            PROBLEM_TYPE,
            serde_json::to_vec(problem).unwrap_or_default(),
        ),
        false => (TEXT, format!("{}\n", problem.detail).into_bytes()),
    };
    let mut response = reply(status, kind, "no-store", body);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(challenge);
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    match retry_after {
        Some(after) => later(response, after),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_and_never_zero() {
        for (delay, header) in [(0, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
            let response = said(StatusCode::SERVICE_UNAVAILABLE, "busy");
            let response = later(response, Duration::from_millis(delay));
            assert_eq!(response.headers()[RETRY_AFTER], header);
        }
    }
}
