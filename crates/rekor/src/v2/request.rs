//! A request to log an entry: protojson, read strictly, and the checks that its signature must pass.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::details::{KeyDetails, Named};
use super::error::{Error, Reason};
use crate::MAX_LEAF;
use crate::key::PublicKey;
use crate::object::{self, Object};
use crate::{base64, json};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 4 << 20;
/// Bytes of a leaf beside its base64, and room for the longest names.
const LEAF_FRAME: usize = 320;

/// A request whose JSON is right; nothing in it has been checked yet.
#[derive(Debug)]
pub struct Request(HashedRekord);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateEntry {
    #[serde(
        default,
        alias = "hashed_rekord_request_v002",
        deserialize_with = "object::option"
    )]
    hashed_rekord_request_v002: Option<HashedRekord>,
    #[serde(default, alias = "dsse_request_v002")]
    dsse_request_v002: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HashedRekord {
    #[serde(default, deserialize_with = "base64::any")]
    digest: Vec<u8>,
    #[serde(default, deserialize_with = "object::option")]
    signature: Option<Signature>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Signature {
    #[serde(default, deserialize_with = "base64::any")]
    content: Vec<u8>,
    #[serde(default, deserialize_with = "object::option")]
    verifier: Option<Verifier>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier {
    #[serde(default, alias = "public_key", deserialize_with = "object::option")]
    public_key: Option<RawBytes>,
    #[serde(
        default,
        alias = "x509_certificate",
        deserialize_with = "object::option"
    )]
    x509_certificate: Option<RawBytes>,
    #[serde(default, alias = "key_details")]
    key_details: Named,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytes {
    #[serde(default, alias = "raw_bytes", deserialize_with = "base64::any")]
    raw_bytes: Vec<u8>,
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Malformed`] for what protojson does not read as a `CreateEntryRequest`,
    /// [`Error::WrongType`] for any entry but a hashedrekord.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge {
                what: "request",
                limit: MAX_BODY,
            });
        }
        let Object(request): Object<CreateEntry> =
            serde_json::from_slice(body).map_err(|error| Error::malformed(&error))?;
        match (
            request.hashed_rekord_request_v002,
            request.dsse_request_v002,
        ) {
            (Some(_), Some(IgnoredAny)) => Err(Error::Malformed(
                "hashedRekordRequestV002 and dsseRequestV002 exclude each other".to_owned(),
            )),
            (Some(request), None) => match &request.signature {
                Some(Signature {
                    verifier: Some(verifier),
                    ..
                }) if verifier.public_key.is_some() && verifier.x509_certificate.is_some() => Err(
                    Error::Malformed("publicKey and x509Certificate exclude each other".to_owned()),
                ),
                _ => Ok(Self(request)),
            },
            (None, _) => Err(Error::WrongType),
        }
    }

    /// Checks key, digest and signature, and makes the leaf. This is the expensive part: about 60 µs of CPU time.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong, [`Error::TooLarge`] for an entry that no tile can hold.
    pub fn verify(self) -> Result<Entry, Error> {
        let Self(HashedRekord { digest, signature }) = self;
        let signature = signature.filter(|signature| !signature.content.is_empty());
        let Signature { content, verifier } = signature.ok_or(Reason::NoSignature)?;
        let verifier = verifier.ok_or(Reason::NoVerifier)?;
        if digest.is_empty() {
            return Err(Reason::NoDigest.into());
        }
        let (member, bytes, missing) = match (&verifier.public_key, &verifier.x509_certificate) {
            (Some(key), _) => ("publicKey", &key.raw_bytes, Reason::NoKeyBytes),
            (None, Some(certificate)) => (
                "x509Certificate",
                &certificate.raw_bytes,
                Reason::NoCertificateBytes,
            ),
            (None, None) => return Err(Reason::NoKey.into()),
        };
        if bytes.is_empty() {
            return Err(missing.into());
        }
        // The signature of an entry that cannot be logged is not checked.
        let size = LEAF_FRAME
            + [&digest, &content, bytes]
                .map(|part| part.len().div_ceil(3) * 4)
                .iter()
                .sum::<usize>();
        if size > MAX_LEAF + LEAF_FRAME {
            return Err(Error::TooLarge {
                what: "entry",
                limit: MAX_LEAF,
            });
        }
        let details = verifier.key_details.0.ok_or(Reason::Algorithm)?;
        let key = if member == "publicKey" {
            PublicKey::from_spki(bytes)
        } else {
            PublicKey::from_certificate(bytes)
        };
        check(&details, &key.map_err(Reason::Key)?, &digest, &content)?;
        let leaf = json::object(size, |entry| {
            entry.text("apiVersion", "0.0.2");
            entry.text("kind", "hashedrekord");
            entry.object("spec", |spec| {
                spec.object("hashedRekordV002", |rekord| {
                    rekord.object("data", |data| {
                        data.text("algorithm", details.hash_name());
                        data.base64("digest", &digest);
                    });
                    rekord.object("signature", |signature| {
                        signature.base64("content", &content);
                        signature.object("verifier", |verifier| {
                            verifier.text("keyDetails", details.name);
                            verifier.object(member, |key| key.base64("rawBytes", bytes));
                        });
                    });
                });
            });
        });
        if leaf.len() > MAX_LEAF {
            return Err(Error::TooLarge {
                what: "entry",
                limit: MAX_LEAF,
            });
        }
        Ok(Entry(leaf.into_bytes()))
    }
}

fn check(
    details: &KeyDetails,
    key: &PublicKey<'_>,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), Reason> {
    if key.kind != details.kind {
        return Err(Reason::KeyKind(details.name));
    }
    if digest.len() != details.hash.digest_len() {
        return Err(Reason::DigestLength {
            found: digest.len(),
            expected: details.hash.digest_len(),
        });
    }
    if !key.signed_digest(details.hash, digest, signature) {
        return Err(Reason::Signature);
    }
    Ok(())
}

/// A request that passed all checks, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(Vec<u8>);

impl Entry {
    /// The leaf, canonical JSON. Two requests for the same entry have the same leaf.
    pub fn leaf(&self) -> &[u8] {
        &self.0
    }

    /// The leaf without a copy, to be put into the log.
    pub fn into_leaf(self) -> Vec<u8> {
        self.0
    }
}
