//! DSSE envelopes (the protocol, version 1.0.2): the signed bytes, and which of several verifiers made each signature.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, Digest, SHA256};

use super::request::fits;
use super::{Error, Reason};
use crate::base64;
use crate::key::{HashAlgorithm, KeyKind, PublicKey};
use crate::verifier::Verifier;

/// The most signatures of an envelope. Each of them is tried with each verifier.
pub(super) const MAX_SIGNATURES: usize = 16;
/// The most verifiers of an envelope.
pub(super) const MAX_VERIFIERS: usize = 16;
/// The most signatures times verifiers: each signature is tried with each verifier.
const MAX_TRIES: usize = 64;
/// The most bytes to hash for Ed25519 keys, which hash the whole payload at each try: about a quarter of a second.
const MAX_HASHED: usize = 64 << 20;

/// What Rekor says of a payload or signature that is not in base64.
pub(super) const BASE64: &str =
    "could not verify envelope: unable to base64 decode payload (is payload in the right format?)";

/// The bytes that an envelope's signatures cover.
pub(super) struct Payload<'a> {
    pub(super) kind: &'a str,
    pub(super) bytes: &'a [u8],
}

impl Payload<'_> {
    /// The pre-authentication encoding, but for the payload at its end.
    fn head(&self) -> String {
        let (kind, length) = (self.kind, self.bytes.len());
        format!("DSSEv1 {} {kind} {length} ", kind.len())
    }
}

/// Tries the verifiers in turn until each signature is verified, and says which verifier made which signature. As at Rekor, a verifier stands for the
/// first signature that it made, and for no other; one that is tried must have made one.
pub(super) fn verify<'a>(
    payload: &Payload<'_>,
    signatures: &[&'a str],
    verifiers: &[impl AsRef<[u8]>],
) -> Result<BTreeMap<&'a str, usize>, Error> {
    within("signatures", signatures.len(), MAX_SIGNATURES)?;
    within("verifiers", verifiers.len(), MAX_VERIFIERS)?;
    let tries = signatures.len() * verifiers.len();
    within("pairs of a signature and a verifier", tries, MAX_TRIES)?;
    fits(signatures.iter().map(|signature| signature.len()).sum())?;
    let mut decoded = Vec::with_capacity(signatures.len());
    for signature in signatures {
        decoded.push(base64::decode_either(signature).ok_or(Reason::Refused(BASE64))?);
    }
    let mut made = BTreeMap::new();
    let mut signed = Signed::new(payload);
    for (number, pem) in verifiers.iter().enumerate() {
        if signatures.iter().all(|text| made.contains_key(text)) {
            break;
        }
        fits(pem.as_ref().len())?;
        let verifier = Verifier::parse(pem.as_ref()).map_err(Reason::EnvelopeVerifier)?;
        let key = verifier.key().map_err(Reason::from)?;
        let mut first = None;
        for (text, signature) in signatures.iter().zip(&decoded) {
            if signed.by(&key, signature)? {
                first = Some(*text);
                break;
            }
        }
        made.insert(first.ok_or(Reason::UselessVerifier)?, number);
    }
    match signatures.iter().all(|text| made.contains_key(text)) {
        true => Ok(made),
        false => Err(Reason::NoVerifier.into()),
    }
}

/// Checks signatures that each name their own verifier. A line must never name one that did not make its signature: the
/// entry would be found by a name that has nothing to do with it.
pub(super) fn verify_lines(
    payload: &Payload<'_>,
    lines: &[(&str, &[u8])],
) -> Result<Vec<Verifier>, Error> {
    within("signatures", lines.len(), MAX_SIGNATURES)?;
    fits(
        lines
            .iter()
            .map(|(signature, pem)| signature.len() + pem.len())
            .sum(),
    )?;
    let mut signed = Signed::new(payload);
    let mut verifiers = Vec::with_capacity(lines.len());
    for (signature, pem) in lines {
        let signature = base64::decode_either(signature).ok_or(Reason::Refused(BASE64))?;
        let verifier = Verifier::parse(pem).map_err(Reason::EnvelopeVerifier)?;
        if !signed.by(&verifier.key().map_err(Reason::from)?, &signature)? {
            return Err(Reason::UselessVerifier.into());
        }
        verifiers.push(verifier);
    }
    Ok(verifiers)
}

fn within(what: &'static str, number: usize, limit: usize) -> Result<(), Reason> {
    if number > limit {
        return Err(Reason::TooMany { what, limit });
    }
    Ok(())
}

/// A payload whose digest is computed once. Only Ed25519 needs the text itself, which is a copy of the payload.
struct Signed<'a> {
    payload: &'a Payload<'a>,
    digest: Digest,
    text: Option<Vec<u8>>,
    /// How many bytes were hashed so far, over all tries.
    hashed: usize,
}

impl<'a> Signed<'a> {
    fn new(payload: &'a Payload<'a>) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(payload.head().as_bytes());
        context.update(payload.bytes);
        Self {
            payload,
            digest: context.finish(),
            text: None,
            hashed: 0,
        }
    }

    fn by(&mut self, key: &PublicKey<'_>, signature: &[u8]) -> Result<bool, Reason> {
        if key.kind != KeyKind::Ed25519 {
            let digest = self.digest.as_ref();
            return Ok(key.signed_digest(HashAlgorithm::Sha256, digest, signature));
        }
        self.hashed += self.payload.bytes.len();
        if self.hashed > MAX_HASHED {
            return Err(Reason::TooMany {
                what: "bytes to hash for all Ed25519 signatures",
                limit: MAX_HASHED,
            });
        }
        let payload = self.payload;
        let text = self
            .text
            .get_or_insert_with(|| [payload.head().as_bytes(), payload.bytes].concat());
        Ok(key.signed_text(text, signature))
    }
}
