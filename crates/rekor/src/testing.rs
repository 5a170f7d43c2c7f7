//! Keys, signatures and certificates for tests, made in each run.

use std::sync::LazyLock;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ed25519_dalek::Signer as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SanType,
    SignatureAlgorithm,
};

use crate::key::{HashAlgorithm, Prehashed};

/// A private key of a kind that entries may use.
pub(crate) struct TestKey {
    /// The name of its `keyDetails`.
    pub(crate) details: &'static str,
    pub(crate) hash: HashAlgorithm,
    algorithm: &'static SignatureAlgorithm,
    private: Private,
}

enum Private {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(ed25519_dalek::SigningKey, [u8; 32]),
}

/// One key of each kind, in the order of `v2`'s table.
pub(crate) static KEYS: LazyLock<[TestKey; 7]> = LazyLock::new(|| {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    let key = |details, hash, algorithm, private| TestKey {
        details,
        hash,
        algorithm,
        private,
    };
    let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
        Private::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap())
    };
    let rsa = |size| Private::Rsa(RsaKeyPair::generate(size).unwrap());
    let ed25519 = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let public = ed25519.verifying_key().to_bytes();
    [
        key(
            "PKIX_ECDSA_P256_SHA_256",
            Sha256,
            &rcgen::PKCS_ECDSA_P256_SHA256,
            ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
        ),
        key(
            "PKIX_ECDSA_P384_SHA_384",
            Sha384,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            ec(&ECDSA_P384_SHA384_ASN1_SIGNING),
        ),
        key(
            "PKIX_ECDSA_P521_SHA_512",
            Sha512,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            ec(&ECDSA_P521_SHA512_ASN1_SIGNING),
        ),
        key(
            "PKIX_RSA_PKCS1V15_2048_SHA256",
            Sha256,
            &rcgen::PKCS_RSA_SHA256,
            rsa(KeySize::Rsa2048),
        ),
        key(
            "PKIX_RSA_PKCS1V15_3072_SHA256",
            Sha256,
            &rcgen::PKCS_RSA_SHA256,
            rsa(KeySize::Rsa3072),
        ),
        key(
            "PKIX_RSA_PKCS1V15_4096_SHA256",
            Sha256,
            &rcgen::PKCS_RSA_SHA256,
            rsa(KeySize::Rsa4096),
        ),
        key(
            "PKIX_ED25519_PH",
            Sha512,
            &rcgen::PKCS_ED25519,
            Private::Ed25519(ed25519, public),
        ),
    ]
});

/// The ECDSA key that most clients use.
pub(crate) fn p256() -> &'static TestKey {
    &KEYS[0]
}

/// The Ed25519 key among [`KEYS`].
pub(crate) fn ed25519() -> &'static TestKey {
    &KEYS[6]
}

impl TestKey {
    /// The public key as `SubjectPublicKeyInfo` in DER.
    pub(crate) fn spki(&self) -> Vec<u8> {
        match &self.private {
            Private::Ecdsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Private::Rsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Private::Ed25519(..) => self.subject_public_key_info(),
        }
    }

    /// The public key as PEM.
    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki())
    }

    /// The message's digest under this key's hash function.
    pub(crate) fn digest(&self, message: &[u8]) -> Digest {
        digest::digest(self.hash.algorithm(), message)
    }

    /// A signature over the digest of a message.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest = self.digest(message);
        match &self.private {
            Private::Ecdsa(key) => key.sign_digest(&digest).unwrap().as_ref().to_vec(),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature)
                    .unwrap();
                signature
            }
            Private::Ed25519(key, _) => {
                let digest: [u8; 64] = digest.as_ref().try_into().unwrap();
                key.sign_prehashed(Prehashed(digest.into()), None)
                    .unwrap()
                    .to_bytes()
                    .to_vec()
            }
        }
    }

    /// A signature over a message, with SHA-256 whatever the key, or pure Ed25519.
    pub(crate) fn sign_message(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::Ed25519(key, _) => key.sign(message).to_bytes().to_vec(),
            Private::Ecdsa(_) if self.hash != HashAlgorithm::Sha256 => {
                panic!("no ECDSA key but P-256 signs with SHA-256 here")
            }
            Private::Ecdsa(_) | Private::Rsa(_) => self.sign(message),
        }
    }

    /// A certificate for this key, as Fulcio issues them: no subject, the identities as alternative names.
    pub(crate) fn certificate(
        &self,
        names: Vec<SanType>,
        authority: &Issuer<'_, KeyPair>,
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = names;
        params.signed_by(self, authority).unwrap().der().to_vec()
    }
}

/// A block of PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = String::new();
    crate::pem::encode(label, der, &mut pem);
    pem
}

impl PublicKeyData for TestKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.private {
            Private::Ecdsa(key) => key.public_key().as_ref(),
            Private::Rsa(key) => key.public_key().as_ref(),
            Private::Ed25519(_, public) => public,
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// The parameters of an authority's own certificate.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// An authority that signs with a new key, for tests that need one certificate.
pub(crate) fn issuer() -> Issuer<'static, KeyPair> {
    Issuer::new(authority("tests"), KeyPair::generate().unwrap())
}
