//! The stable problem codes, and the HTTP status of each.

/// 400: the request was not understood.
pub const BAD_REQUEST: &str = "bad-request";
/// 401: no credentials, or unknown ones.
pub const UNAUTHENTICATED: &str = "unauthenticated";
/// 403: the caller may not do this.
pub const FORBIDDEN: &str = "forbidden";
/// 403: the request comes from a browser.
pub const BROWSER_REFUSED: &str = "browser-refused";
/// 404: no such log, shard, operation or route.
pub const NOT_FOUND: &str = "not-found";
/// 405: the resource does not have this method.
pub const METHOD_NOT_ALLOWED: &str = "method-not-allowed";
/// 408: the body did not arrive in time.
pub const REQUEST_TIMEOUT: &str = "request-timeout";
/// 409: the log's condition does not allow it (frozen, not frozen).
pub const CONFLICT: &str = "conflict";
/// 412: the base has changed.
pub const STALE: &str = "stale";
/// 413: the body is too large.
pub const TOO_LARGE: &str = "too-large";
/// 415: the content type is wrong, or the body compressed.
pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported-media-type";
/// 422: validation refused the document; see the findings.
pub const INVALID: &str = "invalid";
/// 422: a signature or a root of the imported shards is wrong.
pub const UNVERIFIED: &str = "unverified";
/// 422: this idempotency key was used with another body.
pub const KEY_REUSED: &str = "idempotency-key-reused";
/// 428: a write needs `If-Match`.
pub const PRECONDITION_REQUIRED: &str = "precondition-required";
/// 429: too many failed logins, or streams.
pub const TOO_MANY: &str = "too-many-requests";
/// 500: a bug in the server.
pub const INTERNAL: &str = "internal";
/// 501: this server can't do that at all.
pub const UNSUPPORTED: &str = "unsupported";
/// 503: the log is halted on this replica.
pub const HALTED: &str = "halted";
/// 503: the stores can't be reached, or the server is stopping; nothing was changed.
pub const UNAVAILABLE: &str = "unavailable";
/// 503: the outcome is unknown; repeat the request with the same idempotency key.
pub const UNKNOWN_OUTCOME: &str = "unknown-outcome";
/// 507: no space left on the store.
pub const FULL: &str = "full";

/// A code, its HTTP status and its title, which is [`Problem::title`](crate::Problem::title).
pub type Code = (&'static str, u16, &'static str);

/// Every code once, with its status and title.
pub const TABLE: &[Code] = &[
    (BAD_REQUEST, 400, "The request was not understood"),
    (UNAUTHENTICATED, 401, "Not authenticated"),
    (FORBIDDEN, 403, "Not allowed"),
    (BROWSER_REFUSED, 403, "Browsers are refused"),
    (NOT_FOUND, 404, "Not found"),
    (METHOD_NOT_ALLOWED, 405, "Method not allowed"),
    (REQUEST_TIMEOUT, 408, "The body did not arrive in time"),
    (CONFLICT, 409, "The log's condition does not allow this"),
    (STALE, 412, "The configuration has changed"),
    (TOO_LARGE, 413, "The body is too large"),
    (
        UNSUPPORTED_MEDIA_TYPE,
        415,
        "The body's type or encoding is not accepted",
    ),
    (INVALID, 422, "Refused by validation"),
    (
        UNVERIFIED,
        422,
        "The imported entries or tree heads are not what the old Rekor signed",
    ),
    (
        KEY_REUSED,
        422,
        "The idempotency key belongs to another change",
    ),
    (PRECONDITION_REQUIRED, 428, "If-Match is required"),
    (TOO_MANY, 429, "Too many requests"),
    (INTERNAL, 500, "Internal error"),
    (UNSUPPORTED, 501, "This server can't do that"),
    (HALTED, 503, "The log is halted on this replica"),
    (UNAVAILABLE, 503, "Not available now"),
    (UNKNOWN_OUTCOME, 503, "The outcome is unknown"),
    (FULL, 507, "No space left"),
];

/// The row of a code.
#[must_use]
pub fn find(code: &str) -> Option<Code> {
    TABLE.iter().find(|(name, ..)| *name == code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_appears_once_with_an_error_status() {
        for (index, (code, status, title)) in TABLE.iter().enumerate() {
            assert!((400..600).contains(status) && !title.is_empty());
            assert!(
                TABLE[index + 1..].iter().all(|(other, ..)| other != code),
                "{code}"
            );
            assert_eq!(find(code), Some(TABLE[index]));
        }
        assert_eq!(find("no-such-code"), None);
    }
}
