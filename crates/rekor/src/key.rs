//! Public keys and signatures over digests. Everybody who reads a leaf must be able to check it again, so a key that Go's `x509` does not parse is
//! not accepted here either.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::digest::consts::U64;
use sha2::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::certificate;

/// The hash functions that entries may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256, with digests of 32 bytes.
    Sha256,
    /// SHA-384, with digests of 48 bytes.
    Sha384,
    /// SHA-512, with digests of 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    pub(crate) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// How many bytes a digest has.
    pub(crate) fn digest_len(self) -> usize {
        self.algorithm().output_len()
    }
}

/// Why a key or certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not the DER of a `SubjectPublicKeyInfo`.
    #[error("the public key is not the DER of a SubjectPublicKeyInfo")]
    Malformed,
    /// The bytes are not the DER of a certificate.
    #[error("the certificate is not the DER of an X.509 certificate")]
    Certificate,
    /// The key is of a kind that no entry may use.
    #[error("the public key is neither ECDSA P-256, P-384, P-521, RSA nor Ed25519")]
    Unsupported,
}

/// The kind and size of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    P521,
    /// RSA with a modulus of this many bits.
    Rsa(usize),
    Ed25519,
}

impl KeyKind {
    /// Whether Rekor accepts signatures of such a key over digests of this kind (its default `client-signing-algorithms`).
    pub(crate) fn signs(self, algorithm: HashAlgorithm) -> bool {
        match self {
            Self::P256 | Self::Rsa(2048 | 3072 | 4096) => algorithm == HashAlgorithm::Sha256,
            Self::P384 => algorithm == HashAlgorithm::Sha384,
            Self::P521 | Self::Ed25519 => algorithm == HashAlgorithm::Sha512,
            Self::Rsa(_) => false,
        }
    }

    /// What Rekor says of a signature that such a key did not make.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::P256 | Self::P384 | Self::P521 => {
                "invalid signature when validating ASN.1 encoded signature"
            }
            Self::Rsa(_) => "crypto/rsa: verification error",
            Self::Ed25519 => "failed to verify signature",
        }
    }
}

/// A public key inside the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    pub(crate) kind: KeyKind,
    /// A curve's point, RSA's modulus and exponent as DER, or 32 bytes.
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// The key of a `SubjectPublicKeyInfo` in DER with nothing behind it.
    pub(crate) fn from_spki(der: &'a [u8]) -> Result<Self, KeyError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], spki)) => Self::new(&spki),
            _ => Err(KeyError::Malformed),
        }
    }

    /// The key of a certificate in DER with nothing behind it.
    pub(crate) fn from_certificate(der: &'a [u8]) -> Result<Self, KeyError> {
        match x509_parser::parse_x509_certificate(der) {
            Ok(([], certificate)) if certificate::is_read(&certificate) => {
                Self::new(&certificate.tbs_certificate.subject_pki)
            }
            _ => Err(KeyError::Certificate),
        }
    }

    /// A key from a format other than X.509, in the form that the field `key` has for its kind.
    pub(crate) fn new_raw(kind: KeyKind, key: &'a [u8]) -> Self {
        Self { kind, key }
    }

    fn new(spki: &SubjectPublicKeyInfo<'a>) -> Result<Self, KeyError> {
        let (Cow::Borrowed(key), 0) = (
            &spki.subject_public_key.data,
            spki.subject_public_key.unused_bits,
        ) else {
            return Err(KeyError::Malformed);
        };
        let parameters = spki.algorithm.parameters.as_ref();
        let algorithm = &spki.algorithm.algorithm;
        let kind = if *algorithm == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = parameters.and_then(|any| any.as_oid().ok());
            let uncompressed = key.first() == Some(&4);
            match curve.ok_or(KeyError::Malformed)? {
                _ if !uncompressed => return Err(KeyError::Malformed),
                curve if curve == oid::OID_EC_P256 => KeyKind::P256,
                curve if curve == oid::OID_NIST_EC_P384 => KeyKind::P384,
                curve if curve == oid::OID_NIST_EC_P521 => KeyKind::P521,
                _ => return Err(KeyError::Unsupported),
            }
        } else if *algorithm == oid::OID_PKCS1_RSAENCRYPTION {
            let null = parameters.is_some_and(|any| any.as_null().is_ok());
            match RSAPublicKey::from_der(key) {
                Ok(([], rsa)) if null => KeyKind::Rsa(bits(rsa.modulus)),
                _ => return Err(KeyError::Malformed),
            }
        } else if *algorithm == oid::OID_SIG_ED25519 {
            if key.len() != 32 || parameters.is_some() {
                return Err(KeyError::Malformed);
            }
            KeyKind::Ed25519
        } else {
            return Err(KeyError::Unsupported);
        };
        Ok(Self { kind, key })
    }

    /// Whether the signature is this key's over a digest: ECDSA in DER, RSA with PKCS #1 v1.5, Ed25519ph (RFC 8032).
    pub(crate) fn signed_digest(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, hash) {
            (KeyKind::P256, Sha256) => &ECDSA_P256_SHA256_ASN1,
            (KeyKind::P256, Sha384) => &ECDSA_P256_SHA384_ASN1,
            (KeyKind::P256, Sha512) => &ECDSA_P256_SHA512_ASN1,
            (KeyKind::P384, Sha256) => &ECDSA_P384_SHA256_ASN1,
            (KeyKind::P384, Sha384) => &ECDSA_P384_SHA384_ASN1,
            (KeyKind::P384, Sha512) => &ECDSA_P384_SHA512_ASN1,
            (KeyKind::P521, Sha256) => &ECDSA_P521_SHA256_ASN1,
            (KeyKind::P521, Sha384) => &ECDSA_P521_SHA384_ASN1,
            (KeyKind::P521, Sha512) => &ECDSA_P521_SHA512_ASN1,
            (KeyKind::Rsa(_), Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa(_), Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa(_), Sha512) => &RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Ed25519, Sha512) => return self.signed_prehashed(digest, signature),
            (KeyKind::Ed25519, Sha256 | Sha384) => return false,
        };
        let key = UnparsedPublicKey::new(algorithm, self.key);
        Digest::import_less_safe(digest, hash.algorithm())
            .is_ok_and(|digest| key.verify_digest(&digest, signature).is_ok())
    }

    /// Whether the signature is this Ed25519 key's over a text (RFC 8032, without prehashing).
    pub(crate) fn signed_text(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        self.kind == KeyKind::Ed25519 && key.verify(text, signature).is_ok()
    }

    fn signed_prehashed(&self, digest: &[u8], signature: &[u8]) -> bool {
        let Ok(digest) = <[u8; 64]>::try_from(digest) else {
            return false;
        };
        let key = self
            .key
            .try_into()
            .map(ed25519_dalek::VerifyingKey::from_bytes);
        let signature = ed25519_dalek::Signature::from_slice(signature);
        match (key, signature) {
            (Ok(Ok(key)), Ok(signature)) => key
                .verify_prehashed(Prehashed(digest.into()), None, &signature)
                .is_ok(),
            _ => false,
        }
    }
}

/// The length of a big-endian number.
pub(crate) fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    number.len() * 8
        - number
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize)
}

/// A SHA-512 digest that somebody else computed, in the form that `ed25519-dalek` takes.
#[derive(Default)]
pub(crate) struct Prehashed(pub(crate) Output<sha2::Sha512>);

impl OutputSizeUser for Prehashed {
    type OutputSize = U64;
}
impl HashMarker for Prehashed {}
impl Update for Prehashed {
    /// Does nothing: the digest is complete.
    fn update(&mut self, _: &[u8]) {}
}
impl FixedOutput for Prehashed {
    fn finalize_into(self, out: &mut Output<Self>) {
        *out = self.0;
    }
}
