//! Keys of signed notes (C2SP signed-note): Ed25519 (type 0x01), and ECDSA over P-256 with SHA-256 (type 0x02).
//!
//! A key has one spelling: a vkey reads back as the bytes it was printed from, and names its own id. Secret keys are never
//! printed. An ECDSA signature takes its nonce from the system's randomness, so it differs each time; an Ed25519 signature never does.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::hash::Hash;
use crate::note::{NoteError, check_name};

/// The signature type of Ed25519 over the note's text.
pub(crate) const ED25519: u8 = 0x01;
/// The signature type of ECDSA over the SHA-256 of the note's text.
pub(crate) const ECDSA: u8 = 0x02;

/// The DER of a SubjectPublicKeyInfo of P-256 up to its 65 bytes of uncompressed point (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of an uncompressed point of P-256.
const POINT: usize = 65;

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(VerifyingKey),
    /// The SubjectPublicKeyInfo, DER; its point is on the curve.
    P256([u8; P256_PREFIX.len() + POINT]),
}

impl Public {
    fn p256(der: &[u8]) -> Result<Self, NoteError> {
        let other = NoteError::Key("an ECDSA key is the DER of an uncompressed P-256 point");
        let der = der.try_into().map_err(|_| other.clone())?;
        let point = |der: &[u8; P256_PREFIX.len() + POINT]| {
            der.starts_with(&P256_PREFIX) && der[P256_PREFIX.len()] == 4
        };
        if !point(&der) {
            return Err(other);
        }
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der)
            .map_err(|_| NoteError::Key("not a point of the curve"))?;
        Ok(Self::P256(der))
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Ed25519(_) => ED25519,
            Self::P256(_) => ECDSA,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.as_bytes(),
            Self::P256(der) => der,
        }
    }

    /// The whole of its id, of which notes have the first four bytes.
    fn whole_id(&self, name: &str) -> Hash {
        let digest = match self {
            Self::Ed25519(key) => id_digest(name, ED25519, key.as_bytes()),
            Self::P256(der) => Sha256::digest(der).into(),
        };
        Hash(digest)
    }

    fn id(&self, name: &str) -> u32 {
        first_four(&self.whole_id(name).0)
    }
}

/// The public key of a signer: its name, its id and the key itself. `Display` and `FromStr` are the `vkey` form.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    pub(crate) name: String,
    pub(crate) id: u32,
    key: Public,
}

impl VerifierKey {
    fn new(name: &str, key: Public) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: key.id(name),
            key,
        })
    }

    /// An ECDSA key over P-256 from its SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`NoteError::Key`] when it is no such key, or the name cannot be a key's.
    pub fn from_p256(name: &str, der: &[u8]) -> Result<Self, NoteError> {
        check_name(name)?;
        Self::new(name, Public::p256(der)?)
    }

    /// The key's name; for a log's own key the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id: the first four bytes of a SHA-256, for Ed25519 of name, newline, type and key, for ECDSA of [`bytes`](Self::bytes) alone.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The whole of which [`id`](Self::id) is the first four bytes: what Sigstore calls the ID of a log.
    pub fn log_id(&self) -> Hash {
        self.key.whole_id(&self.name)
    }

    /// The key: 32 bytes of Ed25519, or the DER of an ECDSA key's SubjectPublicKeyInfo.
    pub fn bytes(&self) -> &[u8] {
        self.key.bytes()
    }

    /// Whether it is an ECDSA key (over P-256), not an Ed25519 key.
    pub fn is_ecdsa(&self) -> bool {
        matches!(self.key, Public::P256(_))
    }

    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match &self.key {
            Public::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(text.as_bytes(), &signature))
                .is_ok(),
            Public::P256(der) => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der)
                .is_ok_and(|key| key.verify_sig(text.as_bytes(), signature).is_ok()),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = (self.key.kind(), self.key.bytes());
        f.write_str(&format_vkey(&self.name, self.id, kind, key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let vkey = Vkey::split(text)?;
        let key = match vkey.kind {
            ED25519 => Public::Ed25519(vkey.ed25519()?),
            ECDSA => Public::p256(&vkey.key)?,
            _ => {
                return Err(NoteError::Key(
                    "only Ed25519 (type 1) and ECDSA (type 2) keys are supported",
                ));
            }
        };
        check_name(vkey.name)?;
        vkey.check(key.id(vkey.name))?;
        Self::new(vkey.name, key)
    }
}

/// A vkey taken apart, whose key and name are not yet checked.
pub(crate) struct Vkey<'a> {
    pub(crate) name: &'a str,
    id: u32,
    /// The signature type of the key.
    pub(crate) kind: u8,
    key: Vec<u8>,
}

impl<'a> Vkey<'a> {
    pub(crate) fn split(text: &'a str) -> Result<Self, NoteError> {
        // The base64 may contain a plus sign, the name and the id may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(NoteError::Key("expected name, id and key"));
        };
        let digits = id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = u32::from_str_radix(id, 16).ok().filter(|_| digits);
        let id = id.ok_or(NoteError::Key("the id is not 8 hexadecimal digits"))?;
        let material = STANDARD.decode(material);
        let material = material.map_err(|_| NoteError::Key("the key is not base64"))?;
        let (kind, key) = material
            .split_first()
            .ok_or(NoteError::Key("the key is empty"))?;
        Ok(Self {
            name,
            id,
            kind: *kind,
            key: key.to_vec(),
        })
    }

    pub(crate) fn ed25519(&self) -> Result<VerifyingKey, NoteError> {
        let key = self.key.as_slice().try_into();
        let key = key.map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key("not a point of the curve"))
    }

    /// Whether it names the id that its name and key have.
    pub(crate) fn check(&self, id: u32) -> Result<(), NoteError> {
        match self.id == id {
            true => Ok(()),
            false => Err(NoteError::Key(
                "the id does not belong to this name and key",
            )),
        }
    }
}

/// Whether this is a vkey of none of these signature types: well formed, and a key that is unknown here. A note verifier
/// ignores those (C2SP signed-note, "Verifying").
pub(crate) fn is_unknown_vkey(text: &str, known: &[u8]) -> bool {
    Vkey::split(text).is_ok_and(|vkey| {
        !vkey.key.is_empty() && !known.contains(&vkey.kind) && check_name(vkey.name).is_ok()
    })
}

/// The first four bytes of the SHA-256 of name, newline, signature type and key.
pub(crate) fn key_id(name: &str, kind: u8, key: &[u8]) -> u32 {
    first_four(&id_digest(name, kind, key))
}

fn id_digest(name: &str, kind: u8, key: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind])
        .chain_update(key)
        .finalize()
        .into()
}

fn first_four(digest: &[u8]) -> u32 {
    digest
        .iter()
        .take(4)
        .fold(0, |id, b| id << 8 | u32::from(*b))
}

/// The vkey form of a key of signature type `kind`.
pub(crate) fn format_vkey(name: &str, id: u32, kind: u8, key: &[u8]) -> String {
    let material = STANDARD.encode([&[kind], key].concat());
    format!("{name}+{id:08x}+{material}")
}

enum Secret {
    Ed25519(SigningKey),
    P256(EcdsaKeyPair),
}

/// A secret key that signs notes. It is wiped from memory when dropped.
pub struct Signer {
    key: Secret,
    verifier: VerifierKey,
}

impl Signer {
    /// The Ed25519 key made from a 32-byte seed (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`NoteError::Name`] if the name is not a key name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, Public::Ed25519(key.verifying_key()))?;
        let key = Secret::Ed25519(key);
        Ok(Self { key, verifier })
    }

    /// The P-256 key whose secret is this number, big-endian.
    ///
    /// # Errors
    /// [`NoteError::Name`] if the name is not a key name; [`NoteError::Key`] if the number is 0 or not below the curve's
    /// order, which 32 random bytes are once in 2^32 times.
    pub fn from_p256(name: &str, secret: &[u8; 32]) -> Result<Self, NoteError> {
        let bad = || NoteError::Key("not a secret number of P-256");
        let public = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, secret)
            .map_err(|_| bad())?
            .compute_public_key()
            .map_err(|_| bad())?;
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            secret,
            public.as_ref(),
        )
        .map_err(|_| bad())?;
        let public = Public::p256(&[&P256_PREFIX, public.as_ref()].concat())?;
        let verifier = VerifierKey::new(name, public)?;
        let key = Secret::P256(key);
        Ok(Self { key, verifier })
    }

    /// The public half of the key, which checks signatures.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &str) -> Result<Vec<u8>, NoteError> {
        match &self.key {
            Secret::Ed25519(key) => Ok(key.sign(text.as_bytes()).to_bytes().to_vec()),
            Secret::P256(key) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "aws-lc-rs takes the nonce of ECDSA from no source but its own"
                )]
                let random = SystemRandom::new();
                match key.sign(&random, text.as_bytes()) {
                    Ok(signature) => Ok(signature.as_ref().to_vec()),
                    Err(_) => Err(NoteError::Signing(self.verifier.name.clone())),
                }
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}
