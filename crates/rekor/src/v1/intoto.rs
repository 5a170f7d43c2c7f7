//! intoto 0.0.2: an envelope whose payload and signatures are in base64 twice. Older clients send it.
//!
//! Unlike other kinds, its keys are logged as they were sent, as Rekor does, and not in one spelling.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::envelope::{self, MAX_SIGNATURES, Payload};
use super::keys::Keys;
use super::signed::{NamedHash, Place, write_hash};
use super::{Entry, Error, Reason};
use crate::first::First;
use crate::object::{self, Object};
use crate::{base64, json};

#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "object::option")]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "object::option")]
    envelope: Option<Envelope>,
    #[serde(default, deserialize_with = "object::option")]
    hash: Option<NamedHash>,
    /// The log computes it, but what is sent must be one.
    #[serde(default, rename = "payloadHash", deserialize_with = "object::option")]
    payload_hash: Option<NamedHash>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default, deserialize_with = "base64::standard")]
    payload: Vec<u8>,
    #[serde(default)]
    payload_type: Option<String>,
    #[serde(default)]
    signatures: First<Object<Signature>, { MAX_SIGNATURES + 1 }>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    #[serde(default)]
    keyid: Option<String>,
    #[serde(default, deserialize_with = "base64::standard")]
    sig: Vec<u8>,
    #[serde(default, deserialize_with = "base64::standard")]
    public_key: Vec<u8>,
}

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        const KIND: Reason =
            Reason::Required("content.content.envelope.content.envelope.payloadType");
        let content = self.content.ok_or(KIND)?;
        let envelope = content.envelope.ok_or(KIND)?;
        let kind = envelope.payload_type.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or(KIND)?;
        let signatures = envelope.signatures.0;
        if signatures.is_empty() {
            let place = "content.content.envelope.content.envelope.signatures";
            return Err(Reason::Required(place).into());
        }
        for (line, Object(signature)) in signatures.iter().enumerate() {
            let parts = [
                ("publicKey", &signature.public_key),
                ("sig", &signature.sig),
            ];
            if let Some((member, _)) = parts.into_iter().find(|(_, part)| part.is_empty()) {
                return Err(Reason::RequiredInLine { line, member }.into());
            }
        }
        if let Some(hash) = &content.payload_hash {
            let (_, algorithm) = hash.algorithm(&Place::PAYLOAD)?;
            hash.digest(algorithm, &Place::PAYLOAD)?;
        }
        let hash = content.hash.ok_or(Reason::Missing("envelope digest"))?;
        let (_, algorithm) = hash.algorithm(&Place::ENVELOPE)?;
        let (hash_value, _) = hash.digest(algorithm, &Place::ENVELOPE)?;
        let payload = text(&envelope.payload).filter(|payload| !payload.is_empty());
        let payload = payload.ok_or(Reason::Refused(
            "entry not insertable into log: missing envelope content",
        ))?;
        let payload = base64::decode_standard(payload).filter(|payload| !payload.is_empty());
        let payload = payload.ok_or(Reason::Refused(envelope::BASE64))?;
        let lines = signatures
            .iter()
            .map(|Object(line)| Some((text(&line.sig)?, line.public_key.as_slice())));
        let lines: Vec<_> = lines
            .collect::<Option<_>>()
            .ok_or(Reason::Refused(envelope::BASE64))?;
        let signed = Payload {
            kind: &kind,
            bytes: &payload,
        };
        let verifiers = envelope::verify_lines(&signed, &lines)?;

        let payload_hash = tlog::hex(&Sha256::digest(&payload));
        let mut keys = Keys::default();
        keys.hash("sha256", &payload_hash);
        verifiers
            .iter()
            .for_each(|verifier| keys.envelope_verifier(verifier));
        keys.payload(&kind, &payload);
        Entry::new(("intoto", "0.0.2"), keys, |spec| {
            spec.object("content", |content| {
                content.object("envelope", |envelope| {
                    envelope.text("payloadType", &kind);
                    envelope.array("signatures", &signatures, |out, Object(signature)| {
                        json::nested(out, |line| {
                            if let Some(keyid) =
                                signature.keyid.as_ref().filter(|keyid| !keyid.is_empty())
                            {
                                line.text("keyid", keyid);
                            }
                            line.base64("publicKey", &signature.public_key);
                            line.base64("sig", &signature.sig);
                        });
                    });
                });
                content.object("hash", |out| write_hash(out, "sha256", hash_value));
                content.object("payloadHash", |out| {
                    write_hash(out, "sha256", &payload_hash)
                });
            });
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}
