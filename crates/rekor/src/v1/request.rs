//! A proposed entry of any kind, and its checks.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Keys;
use super::{Error, Rule, dsse, hashedrekord, intoto, rekord};
use crate::MAX_LEAF;
use crate::json;
use crate::object as objects;
use crate::shortened;

/// The largest body of a request, in bytes: an envelope includes its payload.
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
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed<'a> {
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
}

/// The kinds of entries that Rekor has besides those of this log.
const OTHER_KINDS: [&str; 7] = ["alpine", "cose", "helm", "jar", "rfc3161", "rpm", "tuf"];
/// The form of a version, as the API's description has it.
const VERSION: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";
const BODY: &str = "proposedEntry";

/// Whether a text begins as [`VERSION`] wants it. What follows makes a version that no kind has.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.');
    let is_number = |part: &str| {
        let digits = part.bytes().all(|c| c.is_ascii_digit());
        digits && !part.is_empty() && (part == "0" || !part.starts_with('0'))
    };
    parts
        .by_ref()
        .take(3)
        .filter(|part| is_number(part))
        .count()
        == 3
        && parts.next().is_none()
}

impl Request {
    /// Reads a proposed entry: the body of `POST /api/v1/log/entries`.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Malformed`], [`Error::Parameter`] for what is not there, and [`Error::Kind`],
    /// [`Error::UnknownKind`] or [`Error::Version`] for an entry that the log does not accept.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: MAX_BODY,
            });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::required("proposedEntry in body"));
        }
        let proposed = option::<Proposed<'_>>(BODY, body)?;
        let Proposed {
            api_version,
            kind,
            spec,
        } = proposed.unwrap_or_default();
        let kind = kind.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| Error::required("kind in body"))?;
        let (kind, own) = match &*kind {
            "hashedrekord" => ("hashedrekord", "0.0.1"),
            "dsse" => ("dsse", "0.0.1"),
            "intoto" => ("intoto", "0.0.2"),
            "rekord" => ("rekord", "0.0.1"),
            other if OTHER_KINDS.contains(&other) => return Err(Error::Kind(other.to_owned())),
            other => return Err(Error::UnknownKind(shortened(other))),
        };
        let version = api_version.ok_or_else(|| Error::required("apiVersion in body"))?;
        if !is_version(&version) {
            let why = format!("apiVersion in body should match '{VERSION}'");
            return Err(Error::Parameter(Rule::Pattern, why));
        }
        let spec = spec.ok_or_else(|| Error::required("spec in body"))?.get();
        if version != own {
            let version = shortened(&version);
            return Err(Error::Version { kind, version });
        }
        let spec = spec.as_bytes();
        Ok(Self(match kind {
            "hashedrekord" => Spec::HashedRekord(object(BODY, spec)?),
            "dsse" => Spec::Dsse(object(BODY, spec)?),
            "intoto" => Spec::Intoto(object(BODY, spec)?),
            _ => Spec::Rekord(object(BODY, spec)?),
        }))
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

/// Reads JSON that is an object whose members are known in one spelling ([`objects`]), and nothing behind it. Null is none.
fn option<'a, T: Deserialize<'a>>(what: &'static str, text: &'a [u8]) -> Result<Option<T>, Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = objects::option(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| Error::malformed(what, &error))
}

/// As [`option`], and null is refused.
pub(super) fn object<'a, T: Deserialize<'a>>(
    what: &'static str,
    text: &'a [u8],
) -> Result<T, Error> {
    option(what, text)?.ok_or_else(|| Error::Malformed {
        what,
        reason: "null is no object".to_owned(),
    })
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
