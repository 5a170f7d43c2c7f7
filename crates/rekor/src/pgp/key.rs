//! Key packets of version 4 (RFC 9580 section 5.5.2), and what they verify.

use aws_lc_rs::digest::{self, Context};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

use super::packet::{Malformed, Reader};
use super::signature::Signature;
use crate::der;
use crate::key::{HashAlgorithm, KeyKind, PublicKey};

const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
const ED25519: &[u8] = &[0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
const CURVE25519: &[u8] = &[0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1];

const UNSUPPORTED: Malformed = Malformed("unsupported feature: public key type");
const POINT: Malformed = Malformed("invalid data: failed to parse EC point");

/// A key that could be read.
#[derive(Debug)]
pub(super) struct Key<'a> {
    /// The packet without its header.
    pub(super) body: &'a [u8],
    /// When it was made, in seconds since 1970.
    pub(super) created: u64,
    algorithm: u8,
    pub(super) fingerprint: [u8; 20],
    pub(super) id: u64,
    material: Material<'a>,
}

/// What a key verifies with.
#[derive(Debug)]
enum Material<'a> {
    Borrowed(KeyKind, &'a [u8]),
    /// An RSA key, in the DER that libraries read.
    Rsa(Vec<u8>),
    /// Keys for other uses, and those of kinds that are not supported.
    Other,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    False,
    /// The key does not sign, or with a hash function that is not supported.
    Unsupported,
}

impl<'a> Key<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        if reader.byte()? != 4 {
            return Err(Malformed("unsupported feature: public key version"));
        }
        let created = u64::from(u32::from_be_bytes(reader.array()?));
        let algorithm = reader.byte()?;
        let material = match algorithm {
            1..=3 => {
                let (modulus, exponent) = (reader.number()?, reader.number()?);
                if exponent.len() > 3 {
                    return Err(Malformed("unsupported feature: large public exponent"));
                }
                match algorithm {
                    2 => Material::Other,
                    _ => Material::Rsa(der::numbers(&[modulus, exponent])),
                }
            }
            16 => numbers(&mut reader, 3)?,
            17 => numbers(&mut reader, 4)?,
            18 => {
                let curve = named(&mut reader)?;
                let point = reader.padded()?;
                let length = match curve {
                    P256 => 65,
                    P384 => 97,
                    P521 => 133,
                    CURVE25519 => 33,
                    _ => return Err(UNSUPPORTED),
                };
                let first = if curve == CURVE25519 { 0x40 } else { 4 };
                if point.len() != length || point.first() != Some(&first) {
                    return Err(POINT);
                }
                // The hash must be at least as long as the key that is derived from it.
                match named(&mut reader)? {
                    [1, 8..=10, 2 | 3 | 7..=9] => Material::Other,
                    _ => return Err(UNSUPPORTED),
                }
            }
            19 => {
                let kind = match named(&mut reader)? {
                    P256 => KeyKind::P256,
                    P384 => KeyKind::P384,
                    P521 => KeyKind::P521,
                    _ => return Err(UNSUPPORTED),
                };
                match reader.padded()? {
                    point @ [4, ..] => Material::Borrowed(kind, point),
                    _ => return Err(POINT),
                }
            }
            22 => {
                if named(&mut reader)? != ED25519 {
                    return Err(UNSUPPORTED);
                }
                match reader.padded()? {
                    [0x40, point @ ..] if point.len() == 32 => {
                        Material::Borrowed(KeyKind::Ed25519, point)
                    }
                    _ => return Err(POINT),
                }
            }
            25 => {
                reader.take(32)?;
                Material::Other
            }
            27 => Material::Borrowed(KeyKind::Ed25519, reader.take(32)?),
            _ => return Err(UNSUPPORTED),
        };
        reader.end()?;
        let mut context = Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash_key(body, &mut context);
        let fingerprint: [u8; 20] = context.finish().as_ref().try_into().unwrap_or_default();
        let id = fingerprint.last_chunk().copied().unwrap_or_default();
        Ok(Self {
            body,
            created,
            algorithm,
            fingerprint,
            id: u64::from_be_bytes(id),
            material,
        })
    }

    /// Whether keys of this kind sign at all.
    pub(super) fn can_sign(&self) -> bool {
        !matches!(self.algorithm, 2 | 16 | 18 | 25)
    }

    /// The kind of key, as Rekor calls it in an error.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.algorithm {
            1 | 3 => "RSA",
            19 => "ECDSA",
            27 => "Ed25519",
            _ => "EdDSA",
        }
    }

    /// Appends what a signature of this key covers.
    pub(super) fn hash(&self, context: &mut Context) {
        hash_key(self.body, context);
    }

    /// Checks that this key made a signature; `signed` hashes what it covers.
    pub(super) fn verify(
        &self,
        signature: &Signature<'_>,
        signed: impl FnOnce(&mut Context),
    ) -> Result<(), Unverified> {
        if self.algorithm != signature.algorithm {
            return Err(Unverified::False);
        }
        let (algorithm, known) = match signature.hash {
            2 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, None),
            8 => (&digest::SHA256, Some(HashAlgorithm::Sha256)),
            9 => (&digest::SHA384, Some(HashAlgorithm::Sha384)),
            10 => (&digest::SHA512, Some(HashAlgorithm::Sha512)),
            _ => return Err(Unverified::Unsupported),
        };
        let mut context = Context::new(algorithm);
        signed(&mut context);
        signature.hash_end(&mut context);
        let digest = context.finish();
        let [first, second] = signature.values;
        let is_true = match (&self.material, known) {
            (Material::Other, _) => return Err(Unverified::Unsupported),
            (Material::Rsa(key), known) => {
                let bits = rsa_bits(key);
                if bits.div_ceil(8) < first.len() {
                    return Err(Unverified::False);
                }
                let mut padded = vec![0; bits.div_ceil(8).saturating_sub(first.len())];
                padded.extend_from_slice(first);
                match known {
                    Some(hash) => PublicKey::new_raw(KeyKind::Rsa(bits), key).signed_digest(
                        hash,
                        digest.as_ref(),
                        &padded,
                    ),
                    None => {
                        let algorithm = &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY;
                        let key = UnparsedPublicKey::new(algorithm, key);
                        key.verify_digest(&digest, &padded).is_ok()
                    }
                }
            }
            (Material::Borrowed(KeyKind::Ed25519, key), _) => {
                let key = PublicKey::new_raw(KeyKind::Ed25519, key);
                match self.algorithm {
                    27 => key.signed_text(digest.as_ref(), first),
                    _ if first.len() > 32 || second.len() > 32 => false,
                    _ => {
                        let mut both = [0; 64];
                        both[32 - first.len()..32].copy_from_slice(first);
                        both[64 - second.len()..].copy_from_slice(second);
                        key.signed_text(digest.as_ref(), &both)
                    }
                }
            }
            (Material::Borrowed(..), None) => return Err(Unverified::Unsupported),
            (Material::Borrowed(kind, key), Some(hash)) => {
                let key = PublicKey::new_raw(*kind, key);
                key.signed_digest(hash, digest.as_ref(), &der::numbers(&[first, second]))
            }
        };
        match is_true {
            true => Ok(()),
            false => Err(Unverified::False),
        }
    }
}

fn hash_key(body: &[u8], context: &mut Context) {
    // The length is written in two octets, and no key is longer than that allows.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    context.update(&[0x99]);
    context.update(&length.to_be_bytes());
    context.update(body);
}

/// Skips numbers that nothing here needs.
fn numbers<'a>(reader: &mut Reader<'_>, count: usize) -> Result<Material<'a>, Malformed> {
    for _ in 0..count {
        reader.number()?;
    }
    Ok(Material::Other)
}

/// The name of a curve, or the parameters behind a key.
fn named<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    match reader.byte()? {
        0 | 255 => Err(UNSUPPORTED),
        length => reader.take(usize::from(length)),
    }
}

/// The length of the modulus of a key that [`der::numbers`] wrote, in bits.
fn rsa_bits(der: &[u8]) -> usize {
    use x509_parser::prelude::FromDer as _;
    let key = x509_parser::public_key::RSAPublicKey::from_der(der);
    key.map_or(0, |(_, key)| crate::key::bits(key.modulus))
}
