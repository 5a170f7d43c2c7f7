//! The errors for clients of version 1.

use super::EntryId;
use crate::json;
use crate::key::KeyError;
use crate::pgp::PgpError;
use crate::shortened;
use crate::verifier::VerifierError;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON of a request; with the reason.
    #[error("the request is not valid JSON of its kind: {0}")]
    Malformed(String),
    /// The log does not accept this kind of entry, or this version of it.
    #[error("unsupported kind {0}")]
    Kind(String),
    /// A statement of the entry is false, or a part is missing.
    #[error("the entry is invalid: {0}")]
    Invalid(#[from] Reason),
    /// A search for something that no entry can have.
    #[error("the search is invalid: {0}")]
    Query(&'static str),
    /// A parameter of the request's URL is missing or cannot be such a parameter.
    #[error("the parameter is invalid: {0}")]
    Parameter(String),
    /// A consistency proof from a size that is above the size that it leads to.
    #[error("there is no proof from size {first} back to the smaller size {last}")]
    SizeOrder {
        /// The smaller size of the request.
        first: u64,
        /// The larger size of the request.
        last: u64,
    },
    /// A consistency proof to a size that the tree has not reached.
    #[error("a proof to size {last} is asked for, and the tree has {size} entries")]
    Size {
        /// The larger size of the request.
        last: u64,
        /// The size of the published tree.
        size: u64,
    },
    /// Too many entries are asked for at once.
    #[error("more than {0} entries are asked for")]
    TooManyQueries(usize),
    /// Larger than the log accepts.
    #[error("the {what} has more than {limit} bytes")]
    TooLarge {
        /// The part that is too large: the request or the entry.
        what: &'static str,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The shard already has the entry; only if the log is set to refuse repeats.
    #[error("the entry is in the log already, as {0}")]
    Exists(EntryId),
    /// No such entry. The answer has no body.
    #[error("no such entry")]
    NotFound,
    /// The entry cannot be logged now.
    #[error("the log is too busy")]
    Unavailable,
    /// The log accepts no entries any more.
    #[error("the log is frozen")]
    Frozen,
    /// The log has the entry, but not the time at which it was ordered.
    #[error("the entry has no time")]
    Untimed,
}

/// The faults of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A member that the kind of entry needs is absent, null or empty.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A value that its kind of member cannot have.
    #[error("invalid value for {0}")]
    Value(&'static str),
    /// A member that only the log may set.
    #[error(
        "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both"
    )]
    Computed,
    /// The key or the certificates cannot be used.
    #[error("{0}")]
    Verifier(#[from] VerifierError),
    /// The OpenPGP key or signature cannot be used.
    #[error("{0}")]
    Pgp(#[from] PgpError),
    /// The text of a DSSE envelope is not its JSON.
    #[error("the DSSE envelope is malformed: {0}")]
    Envelope(String),
    /// More signatures or verifiers than the log checks.
    #[error("more than {limit} {what}")]
    TooMany {
        /// The kind of part of which there are too many.
        what: &'static str,
        /// The highest allowed number.
        limit: usize,
    },
    /// A pair of key and hash that Rekor does not accept.
    #[error("entry algorithms are not allowed")]
    Algorithms,
    /// The key did not make this signature.
    #[error("verifying signature: invalid signature")]
    Signature,
    /// A verifier of an envelope made none of its signatures.
    #[error(
        "could not verify envelope: accepted signatures do not match threshold, Found: 0, Expected 1"
    )]
    UselessVerifier,
    /// A signature of an envelope that no verifier made.
    #[error("all signatures must have a key that verifies it")]
    NoVerifier,
    /// The artifact's content has another hash than the entry says.
    #[error("SHA mismatch: {computed} != {given}")]
    Mismatch {
        /// The hash of the content.
        computed: String,
        /// The hash in the entry.
        given: String,
    },
}

impl From<KeyError> for Reason {
    fn from(error: KeyError) -> Self {
        Self::Verifier(error.into())
    }
}

impl Error {
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(shortened(&error.to_string()))
    }

    /// The HTTP status of the answer; also the code in its body.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Kind(_) | Self::Invalid(_) | Self::Query(_) => 400,
            Self::SizeOrder { .. } | Self::Size { .. } => 400,
            Self::NotFound => 404,
            Self::Frozen => 405,
            Self::Exists(_) => 409,
            Self::TooLarge { .. } => 413,
            Self::TooManyQueries(_) | Self::Parameter(_) => 422,
            // Not retried by clients: it does not pass.
            Self::Untimed => 501,
            Self::Unavailable => 503,
        }
    }

    /// The message for the client.
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(reason) => format!("parsing the body failed, because {reason}"),
            Self::Kind(_) | Self::Invalid(_) => {
                let reason = match self {
                    Self::Invalid(reason) => reason.to_string(),
                    other => other.to_string(),
                };
                format!("error processing entry: {reason}")
            }
            Self::Query(reason) => (*reason).to_owned(),
            Self::Parameter(reason) => shortened(reason),
            Self::SizeOrder { first, last } => {
                format!("firstSize({first}) must be less than lastSize({last})")
            }
            Self::Size { last, size } => format!(
                "the tree size requested({last}) was greater than what is currently observable({size})"
            ),
            Self::TooManyQueries(limit) => {
                format!("more than max allowed {limit} entries in request")
            }
            Self::TooLarge { what, limit } => format!("{what} is larger than {limit} bytes"),
            Self::Exists(id) => {
                format!("an equivalent entry already exists in the transparency log with UUID {id}")
            }
            Self::NotFound => "Not Found".to_owned(),
            Self::Unavailable => "the log is too busy; retry".to_owned(),
            Self::Untimed => {
                "the log has this entry, but does not know when it was integrated".to_owned()
            }
            Self::Frozen => "this log has been frozen, please switch to the latest log".to_owned(),
        }
    }

    /// The body of the answer, JSON; empty where upstream's is.
    pub fn body(&self) -> String {
        if *self == Self::NotFound {
            return String::new();
        }
        refusal(self.status(), &self.message())
    }
}

/// The body of a refusal for a reason that only the log knows, by its HTTP status.
pub fn refusal(status: u16, message: &str) -> String {
    json::object(128, |error| {
        error.number("code", status.into());
        error.text("message", message);
    })
}
