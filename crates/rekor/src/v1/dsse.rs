//! dsse 0.0.1: an envelope, of which the log keeps the hashes and the signatures.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use sha2::{Digest as _, Sha256};

use super::envelope::{self, MAX_SIGNATURES, MAX_VERIFIERS, Payload};
use super::keys::Keys;
use super::signed::write_hash;
use super::{Entry, Error, Reason};
use crate::first::First;
use crate::object::{self, Object};
use crate::verifier::Verifier;
use crate::{base64, json, shortened};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "object::option")]
    proposed_content: Option<ProposedContent>,
    #[serde(default)]
    envelope_hash: Option<IgnoredAny>,
    #[serde(default)]
    payload_hash: Option<IgnoredAny>,
    #[serde(default)]
    signatures: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
struct ProposedContent {
    #[serde(default)]
    envelope: Option<String>,
    #[serde(default)]
    verifiers: Option<First<Pem, { MAX_VERIFIERS + 1 }>>,
}

/// PEM that was sent in base64.
#[derive(Debug)]
struct Pem(Vec<u8>);

impl<'de> Deserialize<'de> for Pem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64::standard(deserializer).map(Self)
    }
}

impl AsRef<[u8]> for Pem {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The envelope itself, a string in the request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    payload_type: String,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    signatures: First<Object<Signature>, { MAX_SIGNATURES + 1 }>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    sig: String,
}

impl Spec {
    pub(super) fn verify(self) -> Result<Entry, Error> {
        let content = self.proposed_content.ok_or(Reason::Refused(
            "either proposedContent or envelopeHash, payloadHash, and signatures must be present",
        ))?;
        if self.signatures.as_ref().is_some_and(Vec::is_empty) {
            return Err(Reason::NoItems("signatures").into());
        }
        if self.envelope_hash.is_some() || self.payload_hash.is_some() || self.signatures.is_some()
        {
            let why = "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both";
            return Err(Reason::Refused(why).into());
        }
        let text = content
            .envelope
            .ok_or(Reason::Required("proposedContent.proposedContent.envelope"))?;
        const VERIFIERS: &str = "proposedContent.proposedContent.verifiers";
        let pems = content.verifiers.ok_or(Reason::Required(VERIFIERS))?.0;
        if pems.is_empty() {
            return Err(Reason::NoItems(VERIFIERS).into());
        }
        let Object(envelope): Object<Envelope> = serde_json::from_str(&text)
            .map_err(|error| Reason::Envelope(shortened(&error.to_string())))?;
        let signatures = envelope.signatures.0;
        if signatures.is_empty() {
            return Err(Reason::Refused("DSSE envelope must contain 1 or more signatures").into());
        }
        let payload = base64::decode_either(&envelope.payload);
        let payload = payload.ok_or(Reason::Refused(envelope::BASE64))?;
        let signatures: Vec<_> = signatures
            .iter()
            .map(|signature| signature.0.sig.as_str())
            .collect();
        let signed = Payload {
            kind: &envelope.payload_type,
            bytes: &payload,
        };
        let made = envelope::verify(&signed, &signatures, &pems)?;

        let envelope_hash = tlog::hex(&Sha256::digest(&text));
        let payload_hash = tlog::hex(&Sha256::digest(&payload));
        let mut keys = Keys::default();
        keys.hash("sha256", &envelope_hash);
        keys.hash("sha256", &payload_hash);
        let mut lines = Vec::with_capacity(made.len());
        for (signature, by) in made {
            let verifier = Verifier::parse(pems[by].as_ref()).map_err(Reason::Verifier)?;
            keys.envelope_verifier(&verifier);
            lines.push((signature, verifier));
        }
        keys.payload(&envelope.payload_type, &payload);
        Entry::new(("dsse", "0.0.1"), keys, |spec| {
            spec.object("envelopeHash", |out| {
                write_hash(out, "sha256", &envelope_hash)
            });
            spec.object("payloadHash", |out| {
                write_hash(out, "sha256", &payload_hash)
            });
            spec.array("signatures", &lines, |out, (signature, verifier)| {
                json::nested(out, |line| {
                    line.text("signature", signature);
                    line.base64("verifier", verifier.pem.as_bytes());
                });
            });
        })
    }
}
