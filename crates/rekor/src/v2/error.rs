//! The errors for clients of version 2: gRPC codes in JSON, with upstream's words.

use crate::json;
use crate::key::KeyError;
use crate::shortened;

/// Why an entry was not logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON of a request; with the reason.
    #[error("the request is not valid protojson: {0}")]
    Malformed(String),
    /// The request is for another kind of entry, or for none.
    #[error("the request has no hashedRekordRequestV002")]
    WrongType,
    /// Key, digest and signature do not belong together.
    #[error("the hashedrekord request is invalid: {0}")]
    Invalid(#[from] Reason),
    /// Larger than the log accepts.
    #[error("the {what} has more than {limit} bytes")]
    TooLarge {
        /// The part that is too large: the request or the entry.
        what: &'static str,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The shard already has the entry; only if the log is set to refuse repeats.
    #[error("the entry is in the log already, at index {0}")]
    Exists(u64),
    /// The entry cannot be logged now.
    #[error("the log is too busy")]
    Unavailable,
    /// The log accepts no entries any more.
    #[error("the log is frozen")]
    Frozen,
}

/// The faults of a hashedrekord.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No signature, or one without content.
    #[error("missing signature")]
    NoSignature,
    /// The signature has no verifier.
    #[error("missing verifier")]
    NoVerifier,
    /// No digest, or one of no bytes.
    #[error("missing digest")]
    NoDigest,
    /// The verifier has neither key nor certificate.
    #[error("missing signature public key or X.509 certificate")]
    NoKey,
    /// A public key of no bytes.
    #[error("missing public key raw bytes")]
    NoKeyBytes,
    /// A certificate of no bytes.
    #[error("missing X.509 certificate raw bytes")]
    NoCertificateBytes,
    /// `keyDetails` is missing, unknown, or not one of the accepted algorithms.
    #[error("unsupported key algorithm")]
    Algorithm,
    /// The key or certificate cannot be read.
    #[error("parsing public key: {0}")]
    Key(#[source] KeyError),
    /// The key is not of the kind that `keyDetails` names.
    #[error("the public key does not fit keyDetails {0}")]
    KeyKind(&'static str),
    /// The digest is of another hash function.
    #[error("the digest has {found} bytes instead of {expected}")]
    DigestLength {
        /// How many bytes were sent.
        found: usize,
        /// How many `keyDetails` asks for.
        expected: usize,
    },
    /// The key did not make this signature over this digest.
    #[error("verifying signature: it is not this key's over this digest")]
    Signature,
}

impl Error {
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(shortened(&error.to_string()))
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::WrongType | Self::Invalid(_) => 400,
            Self::TooLarge { .. } => 413,
            Self::Exists(_) => 409,
            Self::Unavailable => 503,
            Self::Frozen => 405,
        }
    }

    /// The gRPC code in the answer's body.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::WrongType | Self::Invalid(_) => 3,
            Self::Exists(_) => 6,
            Self::TooLarge { .. } => 8,
            Self::Frozen => 12,
            Self::Unavailable => 14,
        }
    }

    /// The message for the client. Upstream does not say what is wrong with a hashedrekord; a log's operator finds it in this error's
    /// `Display`.
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(reason) => format!("proto: {reason}"),
            Self::WrongType => "invalid type, must be hashedrekord".to_owned(),
            Self::Invalid(_) => "invalid hashedrekord request".to_owned(),
            Self::TooLarge { what, limit } => format!("{what} is larger than {limit} bytes"),
            Self::Exists(index) => {
                format!(
                    "an equivalent entry already exists in the transparency log with index {index}"
                )
            }
            Self::Unavailable => "reached max pushback; retry".to_owned(),
            Self::Frozen => "This log has been frozen, please switch to the latest log.".to_owned(),
        }
    }

    /// The media type and the body of the answer. [`Error::Frozen`] is plain text, as upstream's.
    pub fn body(&self) -> (&'static str, String) {
        if *self == Self::Frozen {
            return ("text/plain; charset=utf-8", self.message());
        }
        ("application/json", body(self.code(), &self.message()))
    }

    /// The value of the header `x-log-index`, where the answer has one.
    pub fn log_index(&self) -> Option<u64> {
        match self {
            Self::Exists(index) => Some(*index),
            _ => None,
        }
    }
}

/// The body of a refusal for a reason that only the log knows, by its HTTP status.
pub fn refusal(status: u16, message: &str) -> String {
    let code = match status {
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 9,
        413 | 429 => 8,
        400..500 => 3,
        503 | 507 => 14,
        _ => 13,
    };
    body(code, message)
}

fn body(code: u16, message: &str) -> String {
    json::object(128, |error| {
        error.number("code", code.into());
        error.array("details", [(); 0], |_, ()| {});
        error.text("message", message);
    })
}
