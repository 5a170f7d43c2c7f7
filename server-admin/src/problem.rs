//! Problem documents (RFC 9457): the one shape of every refusal.
//!
//! An answer never repeats what the caller sent as a credential, and a status never contradicts its code: both come
//! from one table, [`codes::TABLE`].

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use axum::response::IntoResponse;
use bytes::Bytes;
use wire::{Finding, Problem, codes};

use crate::host::HostError;

/// The challenge for a caller without a credential.
const CHALLENGE: &str = "Bearer realm=\"admin\"";

/// A request refused: a problem document on its way to the caller.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a code of [`codes`].
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        let known = codes::find(code).or_else(|| codes::find(codes::INTERNAL));
        let problem = Problem::new(known.unwrap_or((codes::INTERNAL, 500, "")), detail);
        Self {
            problem: Box::new(problem),
            retry_after: None,
        }
    }

    /// 422 with all findings.
    pub(crate) fn invalid(findings: Vec<Finding>) -> Self {
        let detail = match findings.as_slice() {
            [one] => one.message.clone(),
            all => format!("{} findings", all.len()),
        };
        Self::new(codes::INVALID, detail).findings(findings)
    }

    /// Adds a hint for the next step.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Adds a hint about the HTTP request itself, for a client that has no better one.
    pub(crate) fn http_hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint_is_about_http = true;
        self.hint(hint)
    }

    /// Adds findings with their places.
    pub(crate) fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.problem.findings = findings;
        self
    }

    /// The document as JSON text.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.problem).unwrap_or_default()
    }

    /// Says when to come back (rounded up to whole seconds).
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    pub(crate) fn respond(&self) -> Response<Bytes> {
        plane_http::refused(&self.problem, true, self.retry_after, CHALLENGE)
    }
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        let detail = error.to_string();
        match error {
            HostError::NotFound(_) => Self::new(codes::NOT_FOUND, detail),
            HostError::Invalid(findings) => Self::invalid(findings),
            HostError::Stale {
                current_etag,
                changed_by,
                changed_at,
                differences,
            } => {
                let mut refusal = Self::new(codes::STALE, detail)
                    .hint("read the configuration again, make the change on it, and send its ETag as If-Match");
                refusal.problem.current_etag = Some(current_etag);
                refusal.problem.changed_by = changed_by;
                refusal.problem.changed_at = changed_at;
                refusal.problem.differences = differences;
                refusal
            }
            HostError::Conflict(_) => Self::new(codes::CONFLICT, detail),
            HostError::Unverified(found) => {
                Self::new(codes::UNVERIFIED, detail).findings(vec![*found])
            }
            HostError::KeyReused { operation } => {
                let mut refusal =
                    Self::new(codes::KEY_REUSED, detail).hint("use a new key for a new change");
                refusal.problem.operation = operation;
                refusal
            }
            HostError::Unsupported(_) => Self::new(codes::UNSUPPORTED, detail),
            HostError::Halted(_) => Self::new(codes::HALTED, detail)
                .hint("follow the message first; `logctl doctor` shows the same, and `logd fsck`, which changes nothing, lists all faults of the stores"),
            HostError::Full(_) => {
                Self::new(codes::FULL, detail).hint("free space; nothing was changed")
            }
            HostError::Unavailable(_) => {
                Self::new(codes::UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
            }
            HostError::UnknownOutcome { operation } => {
                let mut refusal = Self::new(codes::UNKNOWN_OUTCOME, detail)
                    .hint("ask again with the same Idempotency-Key: it is never done twice");
                refusal.problem.operation = Some(operation);
                refusal.retry_after(Duration::from_secs(1))
            }
            HostError::Internal(_) => {
                tracing::error!(%detail, "the host failed");
                Self::new(codes::INTERNAL, detail)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        self.respond().map(Body::from)
    }
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> axum::response::Response {
    Refusal::new(codes::INTERNAL, "the request could not be handled")
        .hint("see the server's log")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_code_and_status() {
        for (code, status, title) in codes::TABLE {
            let problem = Refusal::new(code, "").problem;
            assert_eq!((problem.code.as_str(), problem.status), (*code, *status));
            assert_eq!(problem.title, *title);
        }
        assert_eq!(
            Refusal::new("no-such-code", "").problem.code,
            codes::INTERNAL
        );
    }
}
