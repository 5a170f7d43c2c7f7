//! hashedrekord 0.0.1: a signature over an artifact's digest.

use serde::Deserialize;

use super::keys::Keys;
use super::request::fits;
use super::{Entry, Error, Reason};
use crate::base64;
use crate::json;
use crate::key::HashAlgorithm;
use crate::verifier::Verifier;

#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    signature: Option<Signature>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    hash: Option<NamedHash>,
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

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        let signature = self.signature.ok_or(Reason::Missing("signature"))?;
        let verifier = signature.verifier()?;
        let hash = self.data.ok_or(Reason::Missing("data"))?.hash;
        let hash = hash.ok_or(Reason::Missing("hash"))?;
        let (name, algorithm) = hash.algorithm()?;
        let (value, digest) = hash.digest(algorithm)?;
        verifier.check_chain().map_err(Reason::Verifier)?;
        let key = verifier.key().map_err(Reason::from)?;
        if !key.signed_digest(algorithm, &digest, &signature.content) {
            return Err(Reason::Signature.into());
        }
        let mut keys = Keys::default();
        keys.verifier(&verifier);
        keys.hash(name, value);
        Entry::new(("hashedrekord", "0.0.1"), keys, |spec| {
            spec.object("data", |data| {
                data.object("hash", |out| write_hash(out, name, value))
            });
            spec.object("signature", |out| {
                out.base64("content", &signature.content);
                out.object("publicKey", |key| {
                    key.base64("content", verifier.pem.as_bytes())
                });
            });
        })
    }
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
    /// What the signature is verified with. Both are there, and small enough for a leaf.
    pub(super) fn verifier(&self) -> Result<Verifier, Error> {
        let key = self
            .public_key
            .as_ref()
            .filter(|key| !key.content.is_empty());
        let key = &key.ok_or(Reason::Missing("public key"))?.content;
        if self.content.is_empty() {
            return Err(Reason::Missing("signature content").into());
        }
        fits(key.len() + self.content.len())?;
        Ok(Verifier::parse(key).map_err(Reason::Verifier)?)
    }
}

/// The two members of a hash.
pub(super) fn write_hash(out: &mut json::Object<'_>, algorithm: &str, value: &str) {
    out.text("algorithm", algorithm);
    out.text("value", value);
}
