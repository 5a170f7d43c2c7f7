//! hashedrekord 0.0.1: a signature over an artifact's digest.

use serde::Deserialize;

use super::keys::Keys;
use super::signed::{self, NamedHash, write_hash, write_signature};
use super::{Entry, Error, Reason};

pub(super) type Spec = signed::Spec<Data>;

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(default)]
    hash: Option<NamedHash>,
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
        if !key.kind.signs(algorithm) {
            return Err(Reason::Algorithms.into());
        }
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
                write_signature(out, &signature.content, None, &verifier.pem);
            });
        })
    }
}
