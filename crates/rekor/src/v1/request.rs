//! A proposed entry of any kind, and its checks.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Keys;
use super::{Error, dsse, hashedrekord, intoto, rekord};
use crate::MAX_LEAF;
use crate::json;
use crate::shortened;

/// The largest body of a request, in bytes: an envelope brings its payload.
pub const MAX_BODY: usize = 32 << 20;

/// A request whose JSON is right; nothing in it has been checked yet.
#[derive(Debug)]
pub struct Request(Spec);

#[derive(Debug)]
enum Spec {
    HashedRekord(hashedrekord::Spec),
    Dsse(dsse::Spec),
    Intoto(intoto::Spec),
    Rekord(rekord::Spec),
}

/// Unknown members are skipped, as upstream does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    spec: &'a RawValue,
}

impl Request {
    /// Reads a proposed entry: the body of `POST /api/v1/log/entries`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Malformed`], [`Error::Kind`] for a kind or version that the log does not accept.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: MAX_BODY,
            });
        }
        let proposed: Proposed<'_> =
            serde_json::from_slice(body).map_err(|error| Error::malformed(&error))?;
        let spec = proposed.spec.get();
        let spec = match (&*proposed.kind, &*proposed.api_version) {
            ("hashedrekord", "0.0.1") => serde_json::from_str(spec).map(Spec::HashedRekord),
            ("dsse", "0.0.1") => serde_json::from_str(spec).map(Spec::Dsse),
            ("intoto", "0.0.2") => serde_json::from_str(spec).map(Spec::Intoto),
            ("rekord", "0.0.1") => serde_json::from_str(spec).map(Spec::Rekord),
            (kind, version) => return Err(Error::Kind(shortened(&format!("{kind} {version}")))),
        };
        spec.map(Self).map_err(|error| Error::malformed(&error))
    }

    /// The kind of the entry, as its leaf names it.
    pub fn kind(&self) -> &'static str {
        match self.0 {
            Spec::HashedRekord(_) => "hashedrekord",
            Spec::Dsse(_) => "dsse",
            Spec::Intoto(_) => "intoto",
            Spec::Rekord(_) => "rekord",
        }
    }

    /// Checks the entry and makes its leaf. This is the expensive part.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong, [`Error::TooLarge`] for an entry that no tile can hold.
    pub fn verify(self) -> Result<Entry, Error> {
        match self.0 {
            Spec::HashedRekord(spec) => spec.verify(),
            Spec::Dsse(spec) => spec.verify(),
            Spec::Intoto(spec) => spec.verify(),
            Spec::Rekord(spec) => spec.verify(),
        }
    }
}

/// A request that passed all checks, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    leaf: Vec<u8>,
    keys: Vec<String>,
    unlogged: Vec<String>,
}

impl Entry {
    /// The leaf of a kind of entry; `spec` writes its members.
    pub(super) fn new(
        (kind, version): (&'static str, &'static str),
        keys: Keys,
        spec: impl FnOnce(&mut json::Object<'_>),
    ) -> Result<Self, Error> {
        let leaf = json::object(4096, |entry| {
            entry.text("apiVersion", version);
            entry.text("kind", kind);
            entry.object("spec", spec);
        });
        fits(leaf.len())?;
        let (keys, unlogged) = keys.into_parts();
        Ok(Self {
            leaf: leaf.into_bytes(),
            keys,
            unlogged,
        })
    }

    /// The leaf, canonical JSON. Two requests for the same entry have the same leaf.
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// The leaf without a copy, to be put into the log.
    pub fn into_leaf(self) -> Vec<u8> {
        self.leaf
    }

    /// The keys by which the entry is found: hashes and names, in lower case, sorted, without duplicates.
    pub fn search_keys(&self) -> &[String] {
        &self.keys
    }

    /// Those of the search keys that [`search_keys`](super::search_keys) does not find in the leaf.
    pub fn unlogged_keys(&self) -> &[String] {
        &self.unlogged
    }
}

/// Whether a part of a leaf, or the leaf, is small enough: asked before the expensive checks.
pub(super) fn fits(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_LEAF {
        return Err(Error::TooLarge {
            what: "entry",
            limit: MAX_LEAF,
        });
    }
    Ok(())
}
