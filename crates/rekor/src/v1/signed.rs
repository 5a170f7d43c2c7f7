//! The members that hashedrekord and rekord have in common: a hash with its name, and a signature with its key.

use serde::Deserialize;

use super::request::fits;
use super::{Error, Reason};
use crate::base64;
use crate::json;
use crate::key::HashAlgorithm;
use crate::object;

/// The `spec` of a request. Its data differ.
#[derive(Debug, Deserialize)]
#[serde(bound = "D: Deserialize<'de>")]
pub(super) struct Spec<D> {
    #[serde(default, deserialize_with = "object::option")]
    pub(super) data: Option<D>,
    #[serde(default, deserialize_with = "object::option")]
    pub(super) signature: Option<Signature>,
}

/// What a hash is called in the errors of a kind of entry, and which functions the kind knows.
pub(super) struct Place {
    algorithm: &'static str,
    value: &'static str,
    known: &'static str,
}

impl Place {
    /// The hash of an artifact, by one of three functions.
    pub(super) const DATA: Self = Self {
        algorithm: "data.data.hash.data.hash.algorithm",
        value: "data.data.hash.data.hash.value",
        known: "sha256 sha384 sha512",
    };
    /// The hash of an artifact that the request brings along.
    pub(super) const CONTENT: Self = Self {
        known: "sha256",
        ..Self::DATA
    };
    /// The hash of an envelope's payload.
    pub(super) const PAYLOAD: Self = Self {
        algorithm: "content.content.payloadHash.content.payloadHash.algorithm",
        value: "content.content.payloadHash.content.payloadHash.value",
        known: "sha256",
    };
    /// The hash of an envelope.
    pub(super) const ENVELOPE: Self = Self {
        algorithm: "content.content.hash.content.hash.algorithm",
        value: "content.content.hash.content.hash.value",
        known: "sha256",
    };
}

/// A hash with the name of its function.
#[derive(Debug, Deserialize)]
pub(super) struct NamedHash {
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signature {
    #[serde(default, deserialize_with = "base64::standard")]
    pub(super) content: Vec<u8>,
    #[serde(default, deserialize_with = "object::option")]
    pub(super) public_key: Option<Content>,
    /// Only rekord has it.
    #[serde(default)]
    pub(super) format: Option<String>,
}

/// A member whose only member of interest is its content.
#[derive(Debug, Deserialize)]
pub(super) struct Content {
    #[serde(default, deserialize_with = "base64::standard")]
    pub(super) content: Vec<u8>,
}

impl NamedHash {
    /// The function, by its name and its value. For `at`, see [`Place`].
    pub(super) fn algorithm(&self, at: &Place) -> Result<(&'static str, HashAlgorithm), Reason> {
        let name = self.algorithm.as_deref();
        let name = name.ok_or(Reason::Required(at.algorithm))?;
        let all = [
            ("sha256", HashAlgorithm::Sha256),
            ("sha384", HashAlgorithm::Sha384),
            ("sha512", HashAlgorithm::Sha512),
        ];
        let mut known = at.known.split(' ');
        let found = all.into_iter().find(|(own, _)| *own == name);
        let found = found.filter(|(own, _)| known.any(|known| known == *own));
        found.ok_or(Reason::Choice(at.algorithm, at.known))
    }

    /// The digits as sent, of either case, and the bytes that they stand for.
    pub(super) fn digest(
        &self,
        algorithm: HashAlgorithm,
        at: &Place,
    ) -> Result<(&str, Vec<u8>), Reason> {
        let value = self.value.as_deref().ok_or(Reason::Required(at.value))?;
        let digits = value.to_ascii_lowercase();
        let digest = match algorithm {
            HashAlgorithm::Sha256 => tlog::unhex::<32>(&digits).map(Vec::from),
            HashAlgorithm::Sha384 => tlog::unhex::<48>(&digits).map(Vec::from),
            HashAlgorithm::Sha512 => tlog::unhex::<64>(&digits).map(Vec::from),
        };
        Ok((value, digest.ok_or(Reason::Value("hash"))?))
    }
}

impl Signature {
    /// The key that verifies the signature, as it was sent; nothing where there is none.
    pub(super) fn key(&self) -> Option<&[u8]> {
        let key = &self.public_key.as_ref()?.content;
        Some(key).filter(|key| !key.is_empty()).map(Vec::as_slice)
    }

    /// Whether the key and the signature are small enough for a leaf.
    pub(super) fn fits(&self) -> Result<(), Error> {
        fits(self.key().map_or(0, <[u8]>::len) + self.content.len())
    }
}

/// The two members of a hash.
pub(super) fn write_hash(out: &mut json::Object<'_>, algorithm: &str, value: &str) {
    out.text("algorithm", algorithm);
    out.text("value", value);
}

/// The members of a signature that is verified.
pub(super) fn write_signature(
    out: &mut json::Object<'_>,
    content: &[u8],
    format: Option<&str>,
    key: &str,
) {
    out.base64("content", content);
    if let Some(format) = format {
        out.text("format", format);
    }
    out.object("publicKey", |out| out.base64("content", key.as_bytes()));
}
