//! The members that hashedrekord and rekord have in common: a hash with its name, and a signature with its key.

use serde::Deserialize;

use super::request::fits;
use super::{Error, Reason};
use crate::base64;
use crate::json;
use crate::key::HashAlgorithm;
use crate::verifier::Verifier;

/// The `spec` of a request. Its data differ.
#[derive(Debug, Deserialize)]
pub(super) struct Spec<D> {
    pub(super) data: Option<D>,
    pub(super) signature: Option<Signature>,
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
    #[serde(default)]
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
    /// The function, by its name and its value.
    pub(super) fn algorithm(&self) -> Result<(&'static str, HashAlgorithm), Reason> {
        match self.algorithm.as_deref() {
            Some("sha256") => Ok(("sha256", HashAlgorithm::Sha256)),
            Some("sha384") => Ok(("sha384", HashAlgorithm::Sha384)),
            Some("sha512") => Ok(("sha512", HashAlgorithm::Sha512)),
            None => Err(Reason::Missing("hash algorithm")),
            Some(_) => Err(Reason::Value("hash algorithm")),
        }
    }

    /// The digits as sent, of either case, and the bytes that they stand for.
    pub(super) fn digest(&self, algorithm: HashAlgorithm) -> Result<(&str, Vec<u8>), Reason> {
        let value = self.value.as_deref().ok_or(Reason::Missing("hash value"))?;
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
    /// The key that verifies the signature, as it was sent. Both are present, and small enough for a leaf.
    pub(super) fn key(&self) -> Result<&[u8], Error> {
        let key = self
            .public_key
            .as_ref()
            .filter(|key| !key.content.is_empty());
        let key = &key.ok_or(Reason::Missing("public key"))?.content;
        if self.content.is_empty() {
            return Err(Reason::Missing("signature content").into());
        }
        fits(key.len() + self.content.len())?;
        Ok(key)
    }

    /// The same key, which is one of X.509.
    pub(super) fn verifier(&self) -> Result<Verifier, Error> {
        Ok(Verifier::parse(self.key()?).map_err(Reason::Verifier)?)
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
