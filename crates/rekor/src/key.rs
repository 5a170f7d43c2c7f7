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

use crate::certificate::Certificate;
use crate::der::{self, BIT_STRING, SEQUENCE};

/// The longest exponent of RSA that Go reads, bits.
const MAX_EXPONENT: usize = 31;

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
        let certificate = Certificate::parse(der).ok_or(KeyError::Certificate)?;
        let key = Self::from_spki(certificate.key)?;
        // A signature would tell, but not every key of a chain has to verify one.
        match key.is_point() {
            true => Ok(key),
            false => Err(KeyError::Certificate),
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
                Ok(([], rsa)) if null && is_rsa(key, &rsa) => KeyKind::Rsa(bits(rsa.modulus)),
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
        match spki.raw == spelled(kind, key) {
            true => Ok(Self { kind, key }),
            false => Err(KeyError::Malformed),
        }
    }

    /// Whether the key is a point of its curve, if it has one.
    fn is_point(&self) -> bool {
        let curve = match self.kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &ECDSA_P384_SHA384_ASN1,
            KeyKind::P521 => &ECDSA_P521_SHA512_ASN1,
            KeyKind::Rsa(_) | KeyKind::Ed25519 => return true,
        };
        UnparsedPublicKey::new(curve, self.key).parse().is_ok()
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

/// The one spelling of a `SubjectPublicKeyInfo` in DER. A key in another spelling would be logged under a name that its owner never looks for, and Go
/// does not read most of the other spellings at all.
fn spelled(kind: KeyKind, key: &[u8]) -> Vec<u8> {
    const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    let algorithm: [&[u8]; 2] = match kind {
        KeyKind::P256 => [EC, b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"],
        KeyKind::P384 => [EC, b"\x06\x05\x2b\x81\x04\x00\x22"],
        KeyKind::P521 => [EC, b"\x06\x05\x2b\x81\x04\x00\x23"],
        KeyKind::Rsa(_) => [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", b"\x05\x00"],
        KeyKind::Ed25519 => [b"\x06\x03\x2b\x65\x70", b""],
    };
    let algorithm = der::value(SEQUENCE, &algorithm);
    let key = der::value(BIT_STRING, &[b"\0", key]);
    der::value(SEQUENCE, &[&algorithm, &key])
}

/// Whether this is the one spelling of an RSA key in DER, with an exponent that Go's `crypto/x509` reads.
fn is_rsa(key: &[u8], rsa: &RSAPublicKey<'_>) -> bool {
    let [modulus, exponent] = [rsa.modulus, rsa.exponent].map(|number| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        &number[zeros..]
    });
    (1..=MAX_EXPONENT).contains(&bits(exponent)) && key == der::numbers(&[modulus, exponent])
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

/// A SHA-512 digest that was computed elsewhere, in the form that `ed25519-dalek` takes.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pem;
    use crate::testing::KEYS;

    fn spki(parts: &[&[u8]]) -> Vec<u8> {
        der::value(SEQUENCE, parts)
    }

    /// The content of a sequence of fewer than 128 bytes.
    fn inside(value: &[u8]) -> &[u8] {
        &value[2..2 + usize::from(value[1])]
    }

    #[test]
    fn a_key_has_one_spelling() {
        for key in KEYS.iter() {
            let pem = key.pem();
            let (block, _) = pem::decode(&pem).unwrap();
            assert!(PublicKey::from_spki(&block.der).is_ok(), "{}", key.details);
        }
        let pem = KEYS[0].pem();
        let block = pem::decode(&pem).unwrap().0.der;
        let (algorithm, key) = inside(&block).split_at(2 + 0x13);
        assert_eq!(spki(&[algorithm, key]), block);
        let names = inside(algorithm);
        let long = [&[0x30, 0x81, block[1]], inside(&block)].concat();
        let other_tag = [&[0x70], &block[1..]].concat();
        let more = der::value(SEQUENCE, &[names, &[5, 0]]);
        for wrong in [
            spki(&[algorithm, key, &[2, 1, 5]]),
            spki(&[&more, key]),
            long,
            other_tag,
            [&block[..], &[0]].concat(),
        ] {
            let found = PublicKey::from_spki(&wrong).map(|key| key.kind);
            assert_eq!(found, Err(KeyError::Malformed), "{wrong:02x?}");
        }
    }

    #[test]
    fn exponents_are_those_that_go_reads() {
        let modulus = [[0xc5; 255].as_slice(), &[1]].concat();
        let read = |exponent: &[u8]| {
            let key = der::numbers(&[&modulus, exponent]);
            PublicKey::from_spki(&spelled(KeyKind::Rsa(2048), &key)).map(|key| key.kind)
        };
        for exponent in [&[3][..], &[1, 0, 1], &[0x7f, 0xff, 0xff, 0xff]] {
            assert_eq!(read(exponent), Ok(KeyKind::Rsa(2048)), "{exponent:02x?}");
        }
        for exponent in [&[0x80, 0, 0, 1][..], &[1, 0, 0, 0, 1], &[]] {
            assert_eq!(read(exponent), Err(KeyError::Malformed), "{exponent:02x?}");
        }
    }
}
