//! All refusals of the data plane.

use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};

use engine::{AppendError, ReadError};
use order::mutant::{Mutant, left_out};
use qos::Denied;
use tlog::bundle::MAX_ENTRY;
use wire::codes::Code;
use wire::data::codes;

use super::granted::seconds;
use crate::rfc3339::rfc3339;
use plane_http::PACE;

/// The merge delay that can be promised now, if the requested one can't.
const MERGE_BY_AVAILABLE: HeaderName = HeaderName::from_static("merge-by-available");

/// The challenge for a writer without a token.
const CHALLENGE: &str = "Bearer realm=\"log\"";

/// When to ask again for a checkpoint that waits for witnesses.
const UNWITNESSED: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// Explanation for a person.
    pub(super) detail: String,
    /// When to try again.
    pub(super) retry_after: Option<Duration>,
    /// The merge delay that could be promised instead.
    pub(super) available: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            available: None,
        }
    }

    pub(super) fn later(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// 400: the request is malformed.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(codes::BAD_REQUEST, detail)
    }

    /// 400: this part of a writer's advice cannot be understood.
    pub(super) fn bad_advice(part: &str, wrong: &str) -> Self {
        Self::new(codes::BAD_ADVICE, format!("{part}: {wrong}"))
    }

    /// 401: the credential is not a writer token. Never repeats the credential.
    pub(super) fn token() -> Self {
        Self::new(
            codes::UNAUTHENTICATED,
            "authorization must be `Bearer` and a writer token of this log, once",
        )
    }

    /// 401: no tenant writes with this token, or without one.
    pub(super) fn denied(denied: &Denied) -> Self {
        let detail = match denied {
            Denied::Anonymous => {
                "this log takes entries from writers with a token only: send `Authorization: Bearer logw_…`".to_owned()
            }
            Denied::UnknownToken => {
                "the writer token is not one of this log's; it may have been revoked".to_owned()
            }
            Denied::Expired { name } => format!("the writer token called {name} has expired"),
        };
        Self::new(codes::UNAUTHENTICATED, detail)
    }

    /// 404: no such route.
    pub(super) fn no_route(path: &str) -> Self {
        Self::new(
            codes::NOT_FOUND,
            format!("nothing is served at {}", shown(path)),
        )
    }

    /// 404: no such log.
    pub(super) fn no_log(name: &str) -> Self {
        Self::new(
            codes::UNKNOWN_LOG,
            format!("no log is called {}", shown(name)),
        )
    }

    /// 410: its operator deleted it.
    pub(super) fn deleted(name: &str) -> Self {
        Self::new(
            codes::DELETED,
            format!("log {name} was deleted by its operator; it is not served"),
        )
    }

    /// 404: no such shard.
    pub(super) fn no_shard(log: &str, shard: &str) -> Self {
        Self::new(
            codes::UNKNOWN_SHARD,
            format!("log {log} has no shard called {}", shown(shard)),
        )
    }

    /// 409: the log has a front, whose readers understand no other entries.
    pub(super) fn fronted(log: &str) -> Self {
        Self::new(
            codes::FRONTED,
            format!(
                "log {log} takes entries through its Rekor API alone (`rekor` in its configuration), so that its readers understand each of them; write to a log without a front"
            ),
        )
    }

    /// 404: it does not exist, or not yet.
    pub(super) fn absent(what: impl Into<String>) -> Self {
        Self::new(codes::NOT_FOUND, what)
    }

    /// 405: the route does not have this method.
    pub(super) fn method() -> Self {
        Self::new(codes::METHOD_NOT_ALLOWED, "not with this method")
    }

    /// 408: the body did not arrive in time.
    pub(super) fn slow_body() -> Self {
        Self::new(codes::SLOW_BODY, "the body did not arrive in time")
    }

    /// 408: the batch is too slow; the entries that arrived are taken.
    pub(super) fn slow_batch() -> Self {
        Self::new(
            codes::SLOW_BODY,
            format!(
                "the body comes too slowly: it was silent for too long, or slower than {PACE} bytes a second while others need its place; send the remaining entries in another request"
            ),
        )
    }

    /// 413: the entry is too large.
    pub(super) fn too_large(longest: usize) -> Self {
        Self::new(
            codes::TOO_LARGE,
            format!("an entry is at most {longest} bytes"),
        )
    }

    /// 415: the content type is not supported.
    pub(super) fn unsupported(detail: &str) -> Self {
        Self::new(codes::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 415: `what` is compressed. The answer names the accepted encoding (RFC 9110, section 15.5.16).
    pub(super) fn encoded(what: &str) -> Self {
        Self::unsupported(&format!(
            "content-encoding: {what} must not be compressed; send it as it is"
        ))
    }

    /// 503: the memory for request bodies is used up. None of this one was taken.
    pub(super) fn crowded() -> Self {
        Self::new(
            codes::TOO_MANY_BODIES,
            "too many request bodies are under way on this server",
        )
        .later(Duration::from_secs(1))
    }

    /// 503: a read waited for its turn for too long.
    pub(super) fn busy_reads() -> Self {
        Self::new(
            codes::OVERLOADED,
            "this server is already checking as many searches and requests for entries by their content as it can",
        )
        .later(Duration::from_secs(1))
    }

    /// 503: the memory for long answers is used up.
    pub(super) fn busy_answers() -> Self {
        Self::new(
            codes::TOO_MANY_ANSWERS,
            "too many long answers are under way on this server",
        )
        .later(Duration::from_secs(1))
    }

    /// 422: the key belongs to a write with another body.
    pub(super) fn reused() -> Self {
        Self::new(
            codes::KEY_REUSED,
            "this idempotency key was used for a write with another body; choose a new key for each write",
        )
    }

    /// 503: a chunk waited this long for room.
    pub(super) fn no_room(waited: Duration) -> Self {
        Self::new(
            codes::OVERLOADED,
            format!("no room for more entries within {} s", waited.as_secs()),
        )
        .later(waited / 2)
    }

    /// 503: the engine still recovers.
    pub(super) fn starting() -> Self {
        Self::new(codes::STARTING, "starting").later(Duration::from_secs(1))
    }

    /// 503: the server is stopping.
    pub(super) fn shutting_down() -> Self {
        Self::new(codes::SHUTTING_DOWN, "this server is stopping").later(Duration::from_secs(1))
    }

    /// The problem document (RFC 9457).
    pub(super) fn problem(&self) -> wire::Problem {
        wire::Problem::new(self.code, self.detail.as_str())
    }

    /// The answer, as text or as a problem document.
    pub(super) fn respond(&self, json: bool) -> Response<Bytes> {
        let problem = self.problem();
        let mut response = plane_http::refused(&problem, json, self.retry_after, CHALLENGE);
        let headers = response.headers_mut();
        if let Some(available) = self.available {
            headers.insert(MERGE_BY_AVAILABLE, seconds(available));
        }
        if self.code == codes::UNSUPPORTED_MEDIA_TYPE {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }
}

/// The client's text, safe to show: short, and without control characters.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut text: String = name
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

/// Why an append was refused, for the log called `log`.
pub(super) fn append(log: &str, error: AppendError) -> Refusal {
    match error {
        AppendError::Empty => Refusal::bad("an entry has at least one byte"),
        AppendError::TooLarge => Refusal::too_large(MAX_ENTRY),
        AppendError::Frozen { shard, since } => Refusal::new(
            codes::FROZEN,
            format!(
                "log {log} is frozen: shard {shard} has accepted no entries since {}",
                rfc3339(since)
            ),
        ),
        AppendError::Closing => Refusal::new(
            codes::CLOSING,
            format!("log {log} is closing: it takes no new entries and is about to freeze"),
        ),
        AppendError::Halted { reason } => halted(log, &reason),
        AppendError::Full { detail } => {
            Refusal::new(codes::FULL, format!("no space for new entries: {detail}"))
        }
        AppendError::Overloaded {
            reason,
            retry_after,
        } => Refusal::new(codes::OVERLOADED, reason).later(retry_after),
        AppendError::Limited {
            reason,
            retry_after,
        } => Refusal::new(codes::LIMITED, reason.as_str()).later(retry_after),
        AppendError::NoRoom {
            reason,
            retry_after,
            available,
        } => Refusal {
            available,
            ..Refusal::new(codes::NO_ROOM, reason.as_str()).later(retry_after)
        },
        AppendError::WrongShard { active } => Refusal::new(
            codes::WRONG_SHARD,
            match active {
                Some(active) => {
                    format!("log {log} does not write to that shard now: {active} is active")
                }
                None => format!("log {log} does not write to that shard now: none is active"),
            },
        ),
        AppendError::Unpromisable(reason) => Refusal::new(
            codes::NO_PROMISE,
            format!("{reason}; send it without Prefer: respond-async"),
        ),
        AppendError::UploadAt { accepted } => Refusal::new(
            codes::UPLOAD_OFFSET,
            format!(
                "this upload stands at entry {accepted}; ask for its progress and continue from there"
            ),
        ),
        AppendError::KeyReused => Refusal::reused(),
        AppendError::ShuttingDown => Refusal::shutting_down(),
        AppendError::Unknown if left_out(Mutant::UnknownIsUnavailable) => Refusal::shutting_down(),
        // Not 503: a client that repeats the request could write the entry twice.
        AppendError::Unknown => Refusal::new(
            codes::UNKNOWN_OUTCOME,
            "it could not be learned whether the entry was ordered; look for it before sending it again, or send it with the same Idempotency-Key",
        ),
    }
}

/// Why a read failed, for the log called `log`.
pub(super) fn read(log: &str, error: &ReadError) -> Refusal {
    match error {
        ReadError::Halted { reason } => halted(log, reason),
        ReadError::Unwitnessed { shard } => Refusal::new(
            codes::UNWITNESSED,
            format!("the first checkpoint of shard {log}/{shard} waits for its witnesses"),
        )
        .later(UNWITNESSED),
        ReadError::Unsigned { shard } => Refusal::new(
            codes::UNSIGNED,
            format!(
                "the first checkpoint of shard {log}/{shard} is not signed yet: does `logd merge publish` run?"
            ),
        )
        .later(UNWITNESSED),
        // Only the operator is told which object it is, by `logctl doctor`.
        ReadError::Damaged { shard } => Refusal::new(
            codes::DAMAGED,
            format!("the requested object of shard {log}/{shard} is damaged in the store; the server looks for a good copy"),
        ),
        ReadError::Untimed(_) | ReadError::NoEcdsa(_) => {
            Refusal::new(codes::STORE_FAILED, error.to_string())
        }
        ReadError::Store(_) | ReadError::Sign(_) => {
            tracing::error!(log, %error, "a read failed");
            Refusal::new(
                codes::STORE_FAILED,
                "the store did not answer; see the server's log",
            )
        }
    }
}

fn halted(log: &str, reason: &str) -> Refusal {
    Refusal::new(
        codes::HALTED,
        format!("log {log} is halted on this server: {reason}"),
    )
}
