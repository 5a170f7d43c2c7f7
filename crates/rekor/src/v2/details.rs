//! The enum `PublicKeyDetails` of Sigstore's protobuf-specs: which keys sign with which hash.

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::key::{HashAlgorithm, KeyKind};

/// A key's kind and hash, as far as the log accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyDetails {
    /// The name of the enum's value.
    pub(super) name: &'static str,
    number: i32,
    pub(super) kind: KeyKind,
    pub(super) hash: HashAlgorithm,
}

/// The only ones that upstream accepts as well.
#[rustfmt::skip]
pub(super) const ACCEPTED: [KeyDetails; 7] = [
    accepted("PKIX_ECDSA_P256_SHA_256", 5, KeyKind::P256, HashAlgorithm::Sha256),
    accepted("PKIX_ECDSA_P384_SHA_384", 12, KeyKind::P384, HashAlgorithm::Sha384),
    accepted("PKIX_ECDSA_P521_SHA_512", 13, KeyKind::P521, HashAlgorithm::Sha512),
    accepted("PKIX_RSA_PKCS1V15_2048_SHA256", 9, KeyKind::Rsa(2048), HashAlgorithm::Sha256),
    accepted("PKIX_RSA_PKCS1V15_3072_SHA256", 10, KeyKind::Rsa(3072), HashAlgorithm::Sha256),
    accepted("PKIX_RSA_PKCS1V15_4096_SHA256", 11, KeyKind::Rsa(4096), HashAlgorithm::Sha256),
    accepted("PKIX_ED25519_PH", 8, KeyKind::Ed25519, HashAlgorithm::Sha512),
];

const fn accepted(
    name: &'static str,
    number: i32,
    kind: KeyKind,
    hash: HashAlgorithm,
) -> KeyDetails {
    KeyDetails {
        name,
        number,
        kind,
        hash,
    }
}

impl KeyDetails {
    /// The digest's algorithm, as the enum `HashAlgorithm` names it.
    pub(super) fn hash_name(&self) -> &'static str {
        match self.hash {
            HashAlgorithm::Sha256 => "SHA2_256",
            HashAlgorithm::Sha384 => "SHA2_384",
            HashAlgorithm::Sha512 => "SHA2_512",
        }
    }
}

/// A name or number of the enum; one that the log does not accept is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named(pub(super) Option<KeyDetails>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber)
    }
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = Named;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name or number of PublicKeyDetails")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        Ok(Named(
            ACCEPTED.into_iter().find(|details| details.name == name),
        ))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Named, E> {
        Ok(Named(
            ACCEPTED
                .into_iter()
                .find(|details| i64::from(details.number) == number),
        ))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Named, E> {
        self.visit_i64(i64::try_from(number).unwrap_or_default())
    }

    fn visit_unit<E: Error>(self) -> Result<Named, E> {
        Ok(Named(None))
    }
}
