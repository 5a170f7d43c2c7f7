//! Problem documents (RFC 9457): the one shape of every refusal.
//!
//! An answer never repeats what the caller sent as a credential, and a status never contradicts its code: both come
//! from one table, [`codes::TABLE`].

use std::any::Any;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use wire::{Finding, PROBLEM_TYPE, Problem, codes};

use crate::host::HostError;

/// A request refused: a problem document on its way to the caller.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    status: StatusCode,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a code of [`codes`].
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        let known = codes::find(code).or_else(|| codes::find(codes::INTERNAL));
        let (code, status, title) = known.unwrap_or((codes::INTERNAL, 500, ""));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Problem {
            kind: format!("urn:logctl:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            hint: None,
            findings: Vec::new(),
            current_etag: None,
            changed_by: None,
            changed_at: None,
            differences: Vec::new(),
            operation: None,
        };
        Self {
            problem: Box::new(problem),
            status,
            retry_after: None,
        }
    }

    /// 422 with everything that is wrong.
    pub(crate) fn invalid(findings: Vec<Finding>) -> Self {
        let detail = match findings.as_slice() {
            [one] => one.message.clone(),
            all => format!("{} findings", all.len()),
        };
        Self::new(codes::INVALID, detail).findings(findings)
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Says what is wrong where.
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
            HostError::KeyReused { operation } => {
                let mut refusal =
                    Self::new(codes::KEY_REUSED, detail).hint("use a new key for a new change");
                refusal.problem.operation = operation;
                refusal
            }
            HostError::Unsupported(_) => Self::new(codes::UNSUPPORTED, detail),
            HostError::Halted(_) => Self::new(codes::HALTED, detail)
                .hint("do what the message says first; `logctl doctor` says the same, and `logd fsck`, which changes nothing, names all that is wrong in the stores"),
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
    fn into_response(self) -> Response {
        let mut response = (self.status, self.json()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"admin\""),
            );
        }
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
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

    #[test]
    fn a_delay_is_rounded_up_and_never_zero() {
        for (delay, header) in [(0, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
            let response = Refusal::new(codes::TOO_MANY, "")
                .retry_after(Duration::from_millis(delay))
                .into_response();
            assert_eq!(response.headers()[RETRY_AFTER], header);
        }
    }
}
