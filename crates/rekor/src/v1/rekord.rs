//! rekord 0.0.1: an artifact with a signature in the form of X.509 or OpenPGP. Older rekor-cli sends it by default.

use std::borrow::Cow;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::keys::Keys;
use super::signed::{self, NamedHash, Place, Signature, write_hash, write_signature};
use super::{Entry, Error, Reason};
use crate::base64;
use crate::key::{HashAlgorithm, KeyKind};
use crate::object;
use crate::pgp::{Detached, KeyBlocks, Ring};
use crate::verifier::Verifier;

pub(super) type Spec = signed::Spec<Data>;

/// The forms of keys and signatures.
pub(super) const X509: &str = "x509";
pub(super) const PGP: &str = "pgp";

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(default, deserialize_with = "object::option")]
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
        let data = self.data.ok_or(Reason::Required("data"))?;
        let signature = self.signature.ok_or(Reason::Required("signature"))?;
        let (format, key) = signature.named()?;
        signature.fits()?;
        let mut keys = Keys::default();
        let digest = data.digest()?;
        let verified = match format {
            PGP => pgp(&signature, key, &data.content, &mut keys)?,
            _ => x509(&signature, key, &data.content, &digest, &mut keys)?,
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

impl Signature {
    /// The form of the signature, and its key. All is there.
    fn named(&self) -> Result<(&'static str, &[u8]), Reason> {
        let format = self.format.as_deref();
        let format = match format.ok_or(Reason::Required("signature.signature.format"))? {
            X509 => X509,
            PGP => PGP,
            "minisign" | "ssh" => {
                let why = "signatures of minisign and SSH are not enabled on this server";
                return Err(Reason::Refused(why));
            }
            _ => {
                let known = "pgp minisign x509 ssh";
                return Err(Reason::Choice("signature.signature.format", known));
            }
        };
        if self.content.is_empty() {
            return Err(Reason::Required("signature.signature.content"));
        }
        if self.public_key.is_none() {
            return Err(Reason::Required("signature.signature.publicKey"));
        }
        let place = "signature.signature.publicKey.signature.publicKey.content";
        Ok((format, self.key().ok_or(Reason::Required(place))?))
    }
}

fn x509<'a>(
    signature: &'a Signature,
    sent: &[u8],
    content: &[u8],
    digest: &[u8],
    keys: &mut Keys,
) -> Result<Verified<'a>, Error> {
    let verifier = Verifier::parse(sent).map_err(Reason::Verifier)?;
    verifier.check_chain().map_err(Reason::Verifier)?;
    let key = verifier.key().map_err(Reason::from)?;
    let signed = match key.kind {
        KeyKind::Ed25519 => key.signed_text(content, &signature.content),
        _ => key.signed_digest(HashAlgorithm::Sha256, digest, &signature.content),
    };
    if !signed {
        return Err(Reason::Artifact(key.kind.refusal()).into());
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
            let (_, algorithm) = hash.algorithm(&Place::CONTENT)?;
            hash.digest(algorithm, &Place::CONTENT)?;
        }
        if self.content.is_empty() {
            return Err(Reason::Refused(match self.hash {
                Some(_) => "entry not insertable into log: missing data content",
                None => "'content' must be specified for data",
            }));
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
