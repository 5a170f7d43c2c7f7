//! The queries of clients: entries by index, name or content, and names by search keys.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::request::{fits, object};
use super::{Error, Request, Rule, Uuid, rekord};
use crate::base64;
use crate::first::First;
use crate::object as objects;
use crate::pgp::{KeyBlocks, Ring};
use crate::shortened;
use crate::verifier::Verifier;

/// The longest body of a search: its key must fit into a leaf.
pub const MAX_QUERY: usize = 128 << 10;
/// The most entries that one request may ask for.
pub const MAX_RETRIEVED: usize = 10;
/// The names that the API's description gives the bodies.
const ENTRY: &str = "entry";
const QUERY: &str = "query";
/// The form of a hash, as the API's description has it.
const HASH: &str =
    "^(sha512:)?[0-9a-fA-F]{128}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$";
const ONE_TOO_MANY: usize = MAX_RETRIEVED + 1;

/// `POST /api/v1/log/entries/retrieve`: entries that are not found are left out of the answer.
#[derive(Debug)]
pub struct Retrieve {
    /// Names of entries, with or without their tree.
    pub uuids: Vec<Uuid>,
    /// Indexes of entries in the whole log.
    pub indexes: Vec<u64>,
    /// Entries as they would be logged; each of them is still to be verified, which is the expensive part.
    pub entries: Vec<Request>,
}

/// rekor-cli sends null for members that it does not use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetrieveBody<'a> {
    #[serde(default, rename = "entryUUIDs")]
    entry_uuids: First<String, ONE_TOO_MANY>,
    #[serde(default)]
    log_indexes: First<i64, ONE_TOO_MANY>,
    #[serde(default, borrow)]
    entries: First<&'a serde_json::value::RawValue, ONE_TOO_MANY>,
}

impl Retrieve {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Parameter`], [`Error::TooManyQueries`], and [`Error::Query`] for a UUID that no tree can have.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > super::MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: super::MAX_BODY,
            });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::required("entry in body"));
        }
        let body: RetrieveBody<'_> = object(ENTRY, body)?;
        let entries = body.entries.0;
        let entries = entries.iter().map(|entry| {
            let entry = Request::parse(entry.get().as_bytes());
            entry.map_err(|error| match error {
                // Rekor reads the kinds with the JSON.
                Error::UnknownKind(_) | Error::Parameter(..) => Error::Malformed {
                    what: ENTRY,
                    reason: error.message(),
                },
                error => error,
            })
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let (uuids, indexes) = (body.entry_uuids.0, body.log_indexes.0);
        for (name, number) in [
            ("entries", entries.len()),
            ("entryUUIDs", uuids.len()),
            ("logIndexes", indexes.len()),
        ] {
            if number > MAX_RETRIEVED {
                let why = format!("{name} in body should have at most {MAX_RETRIEVED} items");
                return Err(Error::Parameter(Rule::Items, why));
            }
        }
        let uuids = uuids.iter().enumerate().map(|(number, text)| {
            let place = || format!("entryUUIDs.{number} in body");
            Uuid::read(text, place)
        });
        let uuids = uuids.collect::<Result<Vec<_>, _>>()?;
        let indexes = indexes.iter().enumerate().map(|(number, index)| {
            let wrong = || {
                let why =
                    format!("logIndexes.{number} in body should be greater than or equal to 0");
                Error::Parameter(Rule::Minimum, why)
            };
            u64::try_from(*index).map_err(|_| wrong())
        });
        let indexes = indexes.collect::<Result<Vec<_>, _>>()?;
        if uuids.len() + indexes.len() + entries.len() > MAX_RETRIEVED {
            return Err(Error::TooManyQueries(MAX_RETRIEVED));
        }
        Ok(Self {
            uuids,
            indexes,
            entries,
        })
    }
}

/// How several search keys are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// Entries that have all of the keys.
    And,
    /// Entries that have any of the keys.
    #[default]
    Or,
}

/// `POST /api/v1/index/retrieve`: which search keys, and how they are combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Whether an entry must have all keys.
    pub operator: Operator,
    /// The keys, written as in [`Entry::search_keys`](super::Entry::search_keys). A search without keys finds nothing.
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryBody {
    #[serde(default)]
    hash: Option<String>,
    #[serde(default, deserialize_with = "objects::option")]
    public_key: Option<QueryKey>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    operator: Option<String>,
}

#[derive(Deserialize)]
struct QueryKey {
    #[serde(default)]
    format: Option<String>,
    #[serde(default, deserialize_with = "base64::standard")]
    content: Vec<u8>,
}

impl QueryKey {
    /// The key as a leaf has it.
    fn canonical(&self) -> Result<String, Error> {
        fits(self.content.len())?;
        let canonical = match self.format.as_deref() {
            Some(rekord::X509) => Verifier::parse(&self.content).ok().map(|it| it.pem),
            Some(rekord::PGP) => {
                let blocks = KeyBlocks::decode(&self.content).ok();
                blocks.and_then(|blocks| Ring::unverified(&blocks).ok())
            }
            Some("minisign" | "ssh" | "tuf") => {
                let why = "the PKI format requested is not supported by this server";
                return Err(Error::Query(why.into()));
            }
            Some(_) => {
                let why = "publicKey.publicKey.format in body should be one of [pgp x509 minisign ssh tuf]";
                return Err(Error::Parameter(Rule::Choice, why.to_owned()));
            }
            None => return Err(Error::required("publicKey.publicKey.format in body")),
        };
        canonical.ok_or(Error::Query(
            "public key provided could not be parsed".into(),
        ))
    }
}

impl Query {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Parameter`] for what no key can be, [`Error::Query`] for a key that cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_QUERY {
            return Err(Error::TooLarge {
                what: "request",
                limit: MAX_QUERY,
            });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::required("query in body"));
        }
        let body: QueryBody = object(QUERY, body)?;
        let mut keys = Vec::new();
        let email = body.email.filter(|email| !email.is_empty());
        if let Some(email) = email.as_ref().filter(|email| !is_email(email)) {
            let why = format!(
                "email in body must be of type email: {:?}",
                shortened(email)
            );
            return Err(Error::Parameter(Rule::Type, why));
        }
        if let Some(hash) = body.hash.filter(|hash| !hash.is_empty()) {
            let wrong = || {
                let why = format!("hash in body should match '{HASH}'");
                Error::Parameter(Rule::Pattern, why)
            };
            keys.push(prefixed(&hash.to_lowercase()).ok_or_else(wrong)?);
        }
        let operator = match body.operator.as_deref() {
            None | Some("" | "or") => Operator::Or,
            Some("and") => Operator::And,
            Some(_) => {
                let why = "operator in body should be one of [and or]".to_owned();
                return Err(Error::Parameter(Rule::Choice, why));
            }
        };
        if let Some(key) = body.public_key {
            keys.push(tlog::hex(&Sha256::digest(key.canonical()?)));
        }
        let subject = body.subject.filter(|subject| !subject.is_empty());
        let names = [email, subject].into_iter().flatten();
        keys.extend(names.map(|name| name.to_lowercase()));
        Ok(Self { operator, keys })
    }
}

/// Whether a text has the form of an email address. A search decides whether any entry has it.
fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let is_part = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    parts.by_ref().take(2).filter(|part| is_part(part)).count() == 2 && parts.next().is_none()
}

/// A hash with the name of its function, which follows from its length if it is not given.
fn prefixed(hash: &str) -> Option<String> {
    let (name, digits) = match hash.split_once(':') {
        Some((name, digits)) => (Some(name), digits),
        None => (None, hash),
    };
    let by_length = match digits.len() {
        40 => "sha1",
        64 => "sha256",
        96 => "sha384",
        128 => "sha512",
        _ => return None,
    };
    let right =
        name.is_none_or(|name| name == by_length) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    right.then(|| format!("{by_length}:{digits}"))
}
