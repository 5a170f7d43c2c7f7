//! rekord 0.0.1: an artifact with a signature in the form of X.509 or OpenPGP. Older rekor-cli sends it by default.

use std::borrow::Cow;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::keys::Keys;
use super::signed::{self, NamedHash, Signature, write_hash, write_signature};
use super::{Entry, Error, Reason};
use crate::base64;
use crate::key::{HashAlgorithm, KeyKind};
use crate::pgp::{Detached, KeyBlocks, Ring};

pub(super) type Spec = signed::Spec<Data>;

/// The forms of keys and signatures.
pub(super) const X509: &str = "x509";
pub(super) const PGP: &str = "pgp";

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(default)]
    hash: Option<NamedHash>,
    #[serde(default, deserialize_with = "base64::standard")]
    content: Vec<u8>,
}

/// What the log keeps of a signature that is verified.
struct Verified<'a> {
    format: &'static str,
    content: Cow<'a, [u8]>,
    key: String,
}

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        let signature = self.signature.ok_or(Reason::Missing("signature"))?;
        let data = self.data.ok_or(Reason::Missing("data"))?;
        let mut keys = Keys::default();
        let sent = match signature.format.as_deref() {
            Some(X509 | PGP) => signature.key()?,
            None => return Err(Reason::Missing("signature format").into()),
            Some(_) => return Err(Reason::Value("signature format").into()),
        };
        let digest = data.digest()?;
        let verified = match signature.format.as_deref() {
            Some(PGP) => pgp(&signature, sent, &data.content, &mut keys)?,
            _ => x509(&signature, &data.content, &digest, &mut keys)?,
        };
        let value = tlog::hex(&digest);
        keys.hash("sha256", &value);
        Entry::new(("rekord", "0.0.1"), keys, |spec| {
            spec.object("data", |data| {
                data.object("hash", |out| write_hash(out, "sha256", &value))
            });
            spec.object("signature", |out| {
                let Verified {
                    format,
                    content,
                    key,
                } = &verified;
                write_signature(out, content, Some(format), key);
            });
        })
    }
}

fn x509<'a>(
    signature: &'a Signature,
    content: &[u8],
    digest: &[u8],
    keys: &mut Keys,
) -> Result<Verified<'a>, Error> {
    let verifier = signature.verifier()?;
    verifier.check_chain().map_err(Reason::Verifier)?;
    let key = verifier.key().map_err(Reason::from)?;
    let signed = match key.kind {
        KeyKind::Ed25519 => key.signed_text(content, &signature.content),
        _ => key.signed_digest(HashAlgorithm::Sha256, digest, &signature.content),
    };
    if !signed {
        return Err(Reason::Signature.into());
    }
    keys.verifier(&verifier);
    Ok(Verified {
        format: X509,
        content: Cow::Borrowed(&signature.content),
        key: verifier.pem,
    })
}

fn pgp<'a>(
    signature: &'a Signature,
    sent: &[u8],
    content: &[u8],
    keys: &mut Keys,
) -> Result<Verified<'a>, Error> {
    let detached = Detached::parse(&signature.content).map_err(Reason::Pgp)?;
    let blocks = KeyBlocks::decode(sent).map_err(Reason::Pgp)?;
    let ring = Ring::read(&blocks).map_err(Reason::Pgp)?;
    ring.verify(&detached, content).map_err(Reason::Pgp)?;
    let key = ring.canonical();
    keys.canonical(key.as_bytes(), &ring.emails());
    Ok(Verified {
        format: PGP,
        content: detached.into_canonical(),
        key,
    })
}

impl Data {
    /// The artifact's SHA-256, which is the entry's own value if there is one. The artifact must have been sent, as Rekor
    /// wants it.
    fn digest(&self) -> Result<Vec<u8>, Reason> {
        if let Some(hash) = &self.hash {
            match hash.algorithm()? {
                (_, HashAlgorithm::Sha256) => hash.digest(HashAlgorithm::Sha256)?,
                _ => return Err(Reason::Value("hash algorithm")),
            };
        }
        if self.content.is_empty() {
            return Err(Reason::Missing("data content"));
        }
        let digest = Sha256::digest(&self.content).to_vec();
        let given = self.hash.as_ref().and_then(|hash| hash.value.as_deref());
        let computed = tlog::hex(&digest);
        match given {
            Some(given) if given != computed => Err(Reason::Mismatch {
                computed,
                given: given.to_owned(),
            }),
            _ => Ok(digest),
        }
    }
}
