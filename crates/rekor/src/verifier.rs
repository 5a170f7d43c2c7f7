//! The verifier of an entry of version 1: a public key, a certificate or a chain of certificates, as PEM.

use crate::certificate::{self, Certificate, ChainError};
use crate::key::{KeyError, PublicKey};
use crate::pem;

/// The most certificates in a chain, as upstream's.
const MAX_CERTIFICATES: usize = 10;
const PUBLIC_KEY: &str = "PUBLIC KEY";
const CERTIFICATE: &str = "CERTIFICATE";

/// Why a verifier cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Not PEM, or more text behind a key.
    #[error("invalid public key: failure decoding PEM")]
    Pem,
    /// A block that is neither a public key nor a certificate.
    #[error("invalid public key: only PUBLIC KEY and CERTIFICATE are handled")]
    Label,
    /// More than ten certificates.
    #[error("too many certificates specified in PEM block")]
    TooMany,
    /// The key or a certificate cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The first certificate does not lead to the last one.
    #[error("verifying signature: x509: certificate signed by unknown authority")]
    Chain,
    /// A certificate was not valid when the first one began to be.
    #[error("verifying signature: x509: certificate has expired or is not yet valid")]
    Expired,
    /// A certificate has an extension that must be understood and is not.
    #[error("verifying signature: x509: unhandled critical extension")]
    Critical,
    /// An authority is further from the first certificate than it may be.
    #[error("verifying signature: x509: too many intermediates for path length constraint")]
    TooLong,
    /// An authority in the chain may not sign certificates with these names.
    #[error(
        "verifying signature: x509: a root or intermediate certificate is not authorized to sign for this name"
    )]
    Name,
}

/// A key or certificates, each of which can be read.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// The verifier as it was sent, in Rekor's spelling.
    pub(crate) pem: String,
    label: &'static str,
    /// One key, or certificates from the leaf upwards; never empty.
    ders: Vec<Vec<u8>>,
}

impl Verifier {
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, VerifierError> {
        let mut text = str::from_utf8(pem).map_err(|_| VerifierError::Pem)?.trim();
        let (mut canonical, mut ders) = (String::with_capacity(text.len() + 1), Vec::new());
        let label = loop {
            let (block, rest) = pem::decode(text).ok_or(VerifierError::Pem)?;
            text = rest;
            let label = match block.label {
                CERTIFICATE => CERTIFICATE,
                PUBLIC_KEY if ders.is_empty() && rest.is_empty() => PUBLIC_KEY,
                _ => return Err(VerifierError::Label),
            };
            key(label, &block.der)?;
            pem::encode(label, &block.der, &mut canonical);
            ders.push(block.der);
            if text.is_empty() {
                break label;
            }
            if ders.len() == MAX_CERTIFICATES {
                return Err(VerifierError::TooMany);
            }
        };
        Ok(Self {
            pem: canonical,
            label,
            ders,
        })
    }

    /// The key, or that of the first certificate.
    pub(crate) fn key(&self) -> Result<PublicKey<'_>, KeyError> {
        key(self.label, &self.ders[0])
    }

    /// Checks that the first certificate leads to the last one, at the time when it began to be valid, for any usage.
    pub(crate) fn check_chain(&self) -> Result<(), VerifierError> {
        if self.ders.len() == 1 {
            return Ok(());
        }
        let read = |der| Certificate::parse(der).ok_or(KeyError::Certificate);
        let certificates: Result<Vec<_>, _> = self.ders.iter().map(|der| read(der)).collect();
        certificate::check(&certificates?).map_err(|error| match error {
            ChainError::Unknown => VerifierError::Chain,
            ChainError::Expired => VerifierError::Expired,
            ChainError::Critical => VerifierError::Critical,
            ChainError::TooLong => VerifierError::TooLong,
            ChainError::Name => VerifierError::Name,
        })
    }

    /// The subject alternative names of the first certificate, in lower case.
    pub(crate) fn names(&self) -> Vec<String> {
        let certificate = Certificate::parse(&self.ders[0]);
        let names = certificate.map_or_else(Vec::new, |it| it.names());
        names.iter().map(|name| name.to_lowercase()).collect()
    }
}

fn key<'a>(label: &str, der: &'a [u8]) -> Result<PublicKey<'a>, KeyError> {
    if label == PUBLIC_KEY {
        PublicKey::from_spki(der)
    } else {
        PublicKey::from_certificate(der)
    }
}
