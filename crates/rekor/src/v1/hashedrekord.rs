//! hashedrekord 0.0.1: a signature over an artifact's digest.

use serde::Deserialize;

use super::keys::Keys;
use super::signed::{self, NamedHash, Place, write_hash, write_signature};
use super::{Entry, Error, Reason};
use crate::object;
use crate::verifier::Verifier;

pub(super) type Spec = signed::Spec<Data>;

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(default, deserialize_with = "object::option")]
    hash: Option<NamedHash>,
}

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        let data = self.data.and_then(|data| data.hash);
        let hash = data.ok_or(Reason::Required("data"))?;
        let (name, algorithm) = hash.algorithm(&Place::DATA)?;
        let signature = self.signature.ok_or(Reason::Required("signature"))?;
        let (value, digest) = hash.digest(algorithm, &Place::DATA)?;
        signature.fits()?;
        if signature.public_key.is_none() {
            return Err(Reason::Missing("public key").into());
        }
        let verifier = Verifier::parse(signature.key().unwrap_or_default());
        let verifier = verifier.map_err(Reason::Verifier)?;
        if signature.content.is_empty() {
            let why = "verifying signature: X509 signature has not been initialized";
            return Err(Reason::Refused(why).into());
        }
        verifier.check_chain().map_err(Reason::Verifier)?;
        let key = verifier.key().map_err(Reason::from)?;
        if !key.kind.signs(algorithm) {
            return Err(Reason::Algorithms.into());
        }
        if !key.signed_digest(algorithm, &digest, &signature.content) {
            return Err(Reason::Digest(key.kind.refusal()).into());
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
