//! The verifier of an entry of version 1: a public key, a certificate or a chain of certificates, as PEM.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Tag, oid};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::key::{KeyError, PublicKey};
use crate::pem;

/// The most certificates in a chain, as upstream's.
const MAX_CERTIFICATES: usize = 10;
const PUBLIC_KEY: &str = "PUBLIC KEY";
const CERTIFICATE: &str = "CERTIFICATE";
/// Fulcio's name for an identity that is neither email nor URI.
const OTHER_NAME: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.7);

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
        match self.ders.as_slice() {
            [leaf, intermediates @ .., root] => {
                chains(leaf, intermediates, root).unwrap_or(Err(VerifierError::Chain))
            }
            _ => Ok(()),
        }
    }

    /// The subject alternative names of the first certificate, in lower case.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok((_, certificate)) = parse_x509_certificate(&self.ders[0]) else {
            return Vec::new();
        };
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        names
            .filter_map(name)
            .map(|name| name.to_lowercase())
            .collect()
    }
}

fn key<'a>(label: &str, der: &'a [u8]) -> Result<PublicKey<'a>, KeyError> {
    if label == PUBLIC_KEY {
        PublicKey::from_spki(der)
    } else {
        PublicKey::from_certificate(der)
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(ip) => match <[u8; 4]>::try_from(*ip) {
            Ok(ip) => Some(Ipv4Addr::from(ip).to_string()),
            Err(_) => {
                let ip = Ipv6Addr::from(<[u8; 16]>::try_from(*ip).ok()?);
                Some(ip.to_canonical().to_string())
            }
        },
        GeneralName::OtherName(id, value) if *id == OTHER_NAME => {
            let (_, explicit) = Any::from_der(value).ok()?;
            let (_, text) = Any::from_der(explicit.data).ok()?;
            let text = (text.tag() == Tag::Utf8String).then_some(text.data)?;
            str::from_utf8(text).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// Nothing where a certificate cannot be read.
fn chains(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    root: &[u8],
) -> Option<Result<(), VerifierError>> {
    let (_, first) = parse_x509_certificate(leaf).ok()?;
    let (_, last) = parse_x509_certificate(root).ok()?;
    let time = first.validity().not_before;
    // An anchor's own dates are of no matter to webpki, but to Go they are.
    if !last.validity().is_valid_at(time) {
        return Some(Err(VerifierError::Expired));
    }
    let time = UnixTime::since_unix_epoch(Duration::from_secs(time.timestamp().try_into().ok()?));
    let (leaf, root) = (CertificateDer::from(leaf), CertificateDer::from(root));
    let intermediates: Vec<_> = intermediates
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let anchors = [anchor_from_trusted_cert(&root).ok()?];
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let leaf = EndEntityCert::try_from(&leaf).ok()?;
    let path = leaf.verify_for_usage(
        algorithms,
        &anchors,
        &intermediates,
        time,
        AnyUsage,
        None,
        None,
    );
    Some(match path {
        Ok(_) => Ok(()),
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
            Err(VerifierError::Expired)
        }
        Err(_) => Err(VerifierError::Chain),
    })
}

/// Asks for no extended key usage.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}
