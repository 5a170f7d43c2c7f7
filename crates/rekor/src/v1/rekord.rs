//! rekord 0.0.1: an artifact itself, or its hash, with a signature in x509's form. Older rekor-cli sends it by default.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::keys::Keys;
use super::signed::{self, NamedHash, write_hash, write_signature};
use super::{Entry, Error, Reason};
use crate::base64;
use crate::key::{HashAlgorithm, KeyKind};

pub(super) type Spec = signed::Spec<Data>;

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(default)]
    hash: Option<NamedHash>,
    #[serde(default, deserialize_with = "base64::standard")]
    content: Vec<u8>,
}

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        let signature = self.signature.ok_or(Reason::Missing("signature"))?;
        let data = self.data.ok_or(Reason::Missing("data"))?;
        match signature.format.as_deref() {
            Some("x509") => {}
            None => return Err(Reason::Missing("signature format").into()),
            Some(_) => return Err(Reason::Value("signature format").into()),
        }
        let verifier = signature.verifier()?;
        let (value, digest) = data.digest()?;
        verifier.check_chain().map_err(Reason::Verifier)?;
        let key = verifier.key().map_err(Reason::from)?;
        let signed = if key.kind != KeyKind::Ed25519 {
            key.signed_digest(HashAlgorithm::Sha256, &digest, &signature.content)
        } else if data.content.is_empty() {
            return Err(Reason::Missing("data content").into());
        } else {
            key.signed_text(&data.content, &signature.content)
        };
        if !signed {
            return Err(Reason::Signature.into());
        }
        let mut keys = Keys::default();
        keys.verifier(&verifier);
        keys.hash("sha256", &value);
        Entry::new(("rekord", "0.0.1"), keys, |spec| {
            spec.object("data", |data| {
                data.object("hash", |out| write_hash(out, "sha256", &value))
            });
            spec.object("signature", |out| {
                write_signature(out, &signature.content, Some("x509"), &verifier);
            });
        })
    }
}

impl Data {
    /// The artifact's SHA-256: computed from the content if it was sent, and equal to the entry's own value if there is one.
    fn digest(&self) -> Result<(String, Vec<u8>), Reason> {
        let given = match &self.hash {
            None => None,
            Some(hash) => match hash.algorithm()? {
                (_, HashAlgorithm::Sha256) => Some(hash.digest(HashAlgorithm::Sha256)?),
                _ => return Err(Reason::Value("hash algorithm")),
            },
        };
        match given {
            Some((value, digest)) if self.content.is_empty() => Ok((value.to_owned(), digest)),
            None if self.content.is_empty() => Err(Reason::Missing("data content")),
            given => {
                let digest = Sha256::digest(&self.content).to_vec();
                let computed = tlog::hex(&digest);
                match given {
                    Some((value, given)) if given != digest => Err(Reason::Mismatch {
                        computed,
                        given: value.to_owned(),
                    }),
                    Some((value, _)) => Ok((value.to_owned(), digest)),
                    None => Ok((computed, digest)),
                }
            }
        }
    }
}
