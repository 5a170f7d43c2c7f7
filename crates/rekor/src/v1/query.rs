//! The queries of clients: entries by index, name or content, and names by search keys.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::request::fits;
use super::{Entry, Error, Request, Uuid, rekord};
use crate::base64;
use crate::first::First;
use crate::pgp::{KeyBlocks, Ring};
use crate::verifier::Verifier;

/// The most entries that one request may ask for.
pub const MAX_RETRIEVED: usize = 10;
const ONE_TOO_MANY: usize = MAX_RETRIEVED + 1;

/// `POST /api/v1/log/entries/retrieve`: entries that are not found are left out of the answer.
#[derive(Debug)]
pub struct Retrieve {
    /// Names of entries, with or without their tree.
    pub uuids: Vec<Uuid>,
    /// Indexes of entries in the whole log.
    pub indexes: Vec<u64>,
    /// Entries as they would be logged.
    pub entries: Vec<Entry>,
}

/// rekor-cli sends null for members that it does not use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetrieveBody<'a> {
    #[serde(default, rename = "entryUUIDs")]
    entry_uuids: First<String, ONE_TOO_MANY>,
    #[serde(default)]
    log_indexes: First<u64, ONE_TOO_MANY>,
    #[serde(default, borrow)]
    entries: First<&'a serde_json::value::RawValue, ONE_TOO_MANY>,
}

impl Retrieve {
    /// Reads the body of a request and checks the entries in it as if they were to be logged.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooManyQueries`], [`Error::Query`] for a malformed UUID, and what is wrong with
    /// an entry.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > super::MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: super::MAX_BODY,
            });
        }
        let body: RetrieveBody<'_> =
            serde_json::from_slice(body).map_err(|error| Error::malformed(&error))?;
        let uuids = body.entry_uuids.0;
        let indexes = body.log_indexes.0;
        let entries = body.entries.0;
        if uuids.len() + indexes.len() + entries.len() > MAX_RETRIEVED {
            return Err(Error::TooManyQueries(MAX_RETRIEVED));
        }
        let uuids = uuids
            .iter()
            .map(|text| Uuid::parse(text).ok_or(Error::Query("incorrectly formatted uuid")));
        let entries = entries
            .iter()
            .map(|entry| Request::parse(entry.get().as_bytes())?.verify());
        Ok(Self {
            uuids: uuids.collect::<Result<_, _>>()?,
            indexes,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

/// How several search keys are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// At least one key, written as in [`Entry::search_keys`].
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryBody {
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    public_key: Option<QueryKey>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    operator: Option<Operator>,
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
        let canonical = match self.format.as_deref() {
            None | Some(rekord::X509) => Verifier::parse(&self.content).ok().map(|it| it.pem),
            Some(rekord::PGP) => {
                fits(self.content.len())?;
                let blocks = KeyBlocks::decode(&self.content).ok();
                let ring = blocks.as_ref().and_then(|blocks| Ring::read(blocks).ok());
                ring.map(|ring| ring.canonical())
            }
            Some(_) => {
                return Err(Error::Query(
                    "the PKI format requested is not supported by this server",
                ));
            }
        };
        canonical.ok_or(Error::Query("public key provided could not be parsed"))
    }
}

impl Query {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Query`] for a search for nothing, for a hash that is none, or for a key that
    /// cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > super::MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: super::MAX_BODY,
            });
        }
        let body: QueryBody =
            serde_json::from_slice(body).map_err(|error| Error::malformed(&error))?;
        let mut keys = Vec::new();
        if let Some(hash) = body.hash.filter(|hash| !hash.is_empty()) {
            keys.push(
                prefixed(&hash.to_lowercase())
                    .ok_or(Error::Query("hash is not the digits of a hash"))?,
            );
        }
        if let Some(key) = body.public_key {
            let canonical = key.canonical()?;
            keys.push(tlog::hex(&Sha256::digest(canonical)));
        }
        let names = [body.email, body.subject].into_iter().flatten();
        keys.extend(
            names
                .filter(|name| !name.is_empty())
                .map(|name| name.to_lowercase()),
        );
        if keys.is_empty() {
            return Err(Error::Query(
                "hash, publicKey, email or subject must be given",
            ));
        }
        Ok(Self {
            operator: body.operator.unwrap_or_default(),
            keys,
        })
    }
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
