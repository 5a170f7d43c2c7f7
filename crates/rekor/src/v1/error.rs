//! The errors for clients of version 1.

use std::borrow::Cow;

use super::EntryId;
use crate::json;
use crate::key::KeyError;
use crate::pgp::PgpError;
use crate::shortened;
use crate::verifier::VerifierError;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON of a request.
    #[error("the request is not valid JSON of its kind: {reason}")]
    Malformed {
        /// The name that the API's description gives the body.
        what: &'static str,
        /// Why it cannot be read.
        reason: String,
    },
    /// The log does not accept this kind of entry.
    #[error("entry kind '{0}' is not enabled for submission on this server")]
    Kind(String),
    /// Rekor has no such kind of entry.
    #[error("invalid kind value: {0:?}")]
    UnknownKind(String),
    /// The log does not accept this version of a kind.
    #[error(
        "{kind} implementation for version '{version}' not found: unable to locate entry for version {version}"
    )]
    Version {
        /// The kind of the entry.
        kind: &'static str,
        /// The version that was asked for, of which an error repeats the beginning.
        version: String,
    },
    /// A statement of the entry is false, or a part is missing.
    #[error("the entry is invalid: {0}")]
    Invalid(#[from] Reason),
    /// A search for something that no entry can have, or a question about a shard that the log does not have.
    #[error("the search is invalid: {0}")]
    Query(Cow<'static, str>),
    /// A part of the body or of the URL breaks the API's description.
    #[error("the parameter is invalid: {1}")]
    Parameter(Rule, String),
    /// The API has no such path.
    #[error("path {0} was not found")]
    NoPath(String),
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

/// The rules of the API's description. Their numbers are the codes in the body of an answer, whose status is 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Rule {
    /// The value is of another type.
    Type = 601,
    /// The value must be there.
    Required = 602,
    /// The text has another form.
    Pattern = 605,
    /// The value is none of those that are listed.
    Choice = 606,
    /// The number is too small.
    Minimum = 609,
    /// The list is too long.
    Items = 611,
}

/// The faults of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The part by which the entry would be verified is absent.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A member that the kind of entry needs is absent, null or empty.
    #[error("validation failure list:\n{0} in body is required")]
    Required(&'static str),
    /// The same in a signature of an envelope.
    #[error(
        "validation failure list:\ncontent.content.envelope.content.envelope.signatures.{line}.{member} in body is required"
    )]
    RequiredInLine {
        /// The number of the signature, from 0.
        line: usize,
        /// The member that is not there.
        member: &'static str,
    },
    /// A member that has none of the values which are listed.
    #[error("validation failure list:\n{0} in body should be one of [{1}]")]
    Choice(&'static str, &'static str),
    /// A list of which the kind of entry needs an item.
    #[error("validation failure list:\n{0} in body should have at least 1 items")]
    NoItems(&'static str),
    /// A value that its kind of member cannot have.
    #[error("invalid value for {0}")]
    Value(&'static str),
    /// A rule of the kind of entry is broken; in Rekor's words.
    #[error("{0}")]
    Refused(&'static str),
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
    /// The key did not make this signature of a digest; in the words that Rekor has for its kind of key.
    #[error("verifying signature: {0}")]
    Digest(&'static str),
    /// The key did not make this signature of an artifact; likewise.
    #[error("{0}")]
    Artifact(&'static str),
    /// A key or certificate in an envelope cannot be used.
    #[error("could not parse public key as x509: {0}")]
    EnvelopeVerifier(VerifierError),
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
    pub(super) fn malformed(what: &'static str, error: &serde_json::Error) -> Self {
        let reason = shortened(&error.to_string());
        Self::Malformed { what, reason }
    }

    /// A part of the request that must be there.
    pub fn required(part: &str) -> Self {
        Self::Parameter(Rule::Required, format!("{part} is required"))
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::Kind(_) | Self::Version { .. } => 400,
            Self::Invalid(_) | Self::Query(_) => 400,
            Self::SizeOrder { .. } | Self::Size { .. } => 400,
            Self::NotFound | Self::NoPath(_) => 404,
            Self::Frozen => 405,
            Self::Exists(_) => 409,
            Self::TooLarge { .. } => 413,
            Self::TooManyQueries(_) | Self::Parameter(..) | Self::UnknownKind(_) => 422,
            // Not retried by clients: it does not pass.
            Self::Untimed => 501,
            Self::Unavailable => 503,
        }
    }

    /// The code in the body of the answer: the status, or which rule is broken.
    fn code(&self) -> u16 {
        match self {
            Self::Parameter(rule, _) => *rule as u16,
            other => other.status(),
        }
    }

    /// The message for the client.
    pub fn message(&self) -> String {
        match self {
            Self::Malformed { what, reason } => {
                format!("parsing {what} body from \"\" failed, because {reason}")
            }
            Self::UnknownKind(_) | Self::NoPath(_) => self.to_string(),
            Self::Kind(_) | Self::Version { .. } | Self::Invalid(_) => {
                let reason = match self {
                    Self::Invalid(reason) => reason.to_string(),
                    other => other.to_string(),
                };
                format!("error processing entry: {reason}")
            }
            Self::Query(reason) => reason.clone().into_owned(),
            Self::Parameter(_, reason) => reason.clone(),
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
        refusal(self.code(), &self.message())
    }
}

/// The body of a refusal, for instance for a reason that only the log knows, by its HTTP status.
pub fn refusal(status: u16, message: &str) -> String {
    json::object(128, |error| {
        error.number("code", status.into());
        error.text("message", message);
    })
}
