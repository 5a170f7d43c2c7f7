//! The peer of a connection, as far as the connection itself identifies it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tlog::{hex, unhex};
use webpki::EndEntityCert;

use super::failures::Source;
use super::secret::HASH_PREFIX;

/// The number of the next connection. Every [`Peer`] of this process draws one.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The peer at the other end of a connection, as far as the listener knows it. The listener makes one per connection and adds it to each
/// request of that connection as `Extension<Peer>`; without one, only bearer tokens work.
///
/// Each has a number of its own, by which a [`Host`](crate::Host) tells connections apart
/// ([`Caller::connection`](crate::Caller)): clone it for the next request, don't make another.
#[derive(Clone, Debug)]
pub struct Peer {
    connection: u64,
    uid: Option<u32>,
    address: Option<SocketAddr>,
    certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// A local process of this user, as the kernel says (`SO_PEERCRED`).
    #[must_use]
    pub fn unix(uid: u32) -> Self {
        Self::new(Some(uid), None)
    }

    /// A TCP connection from this address. An address proves nothing: it only counts failed logins.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::new(None, Some(address))
    }

    fn new(uid: Option<u32>, address: Option<SocketAddr>) -> Self {
        Self {
            connection: NEXT.fetch_add(1, Ordering::Relaxed),
            uid,
            address,
            certificate: None,
        }
    }

    /// The peer showed this certificate, and the listener verified it against its client CA, together with the proof
    /// that the peer has its key.
    #[must_use]
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(Arc::new(certificate));
        self
    }

    /// Unique among all connections of this process.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    pub(crate) fn uid(&self) -> Option<u32> {
        self.uid
    }

    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_deref()
    }

    pub(super) fn source(&self) -> Source {
        match (self.uid, self.address) {
            (Some(uid), _) => Source::Uid(uid),
            (None, Some(address)) => Source::ip(address.ip()),
            (None, None) => Source::Other,
        }
    }
}

/// The names that a verified client certificate gives its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    uris: Vec<String>,
    key: [u8; 32],
}

impl ClientCertificate {
    /// Reads a leaf certificate that was verified: its subject alternative names of type URI, and the SHA-256 of its
    /// SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// It is no X.509 certificate of version 3.
    pub fn from_verified(leaf: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let leaf = EndEntityCert::try_from(leaf)?;
        Ok(Self {
            uris: leaf.valid_uri_names().map(str::to_owned).collect(),
            key: Sha256::digest(leaf.subject_public_key_info().as_ref()).into(),
        })
    }

    /// Its key, as it is pinned: `sha256:` and 64 hex digits.
    #[must_use]
    pub fn pin(&self) -> String {
        ClientName::Key(self.key).to_string()
    }
}

/// The name of a client certificate: a SAN URI, or its key.
///
/// As text: `spiffe://example.org/ci`, or `sha256:` and 64 hex digits, the SHA-256 of the SubjectPublicKeyInfo in DER
/// (`openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// One of the certificate's subject alternative names of type URI, compared byte for byte.
    Uri(String),
    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    Key([u8; 32]),
}

/// Neither a URI nor a pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of a client certificate: {0:?}; it is a SAN URI such as spiffe://example.org/ci, or sha256: and 64 hex digits"
)]
pub struct BadClientName(String);

impl ClientName {
    pub(crate) fn matches(&self, certificate: &ClientCertificate) -> bool {
        match self {
            Self::Uri(uri) => certificate.uris.contains(uri),
            Self::Key(key) => certificate.key == *key,
        }
    }
}

impl FromStr for ClientName {
    type Err = BadClientName;

    fn from_str(text: &str) -> Result<Self, BadClientName> {
        let bad = || BadClientName(text.to_owned());
        if let Some(digits) = text.strip_prefix(HASH_PREFIX) {
            return unhex(digits).map(Self::Key).ok_or_else(bad);
        }
        // It becomes part of an actor, which is logged.
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        let well_formed = scheme.is_some_and(|scheme| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        }) && text.len() <= 500
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        well_formed
            .then(|| Self::Uri(text.to_owned()))
            .ok_or_else(bad)
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri),
            Self::Key(key) => write!(f, "{HASH_PREFIX}{}", hex(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pin_survives_its_text(key: [u8; 32]) {
            let name = ClientName::Key(key);
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn names_are_uris_or_pins() {
        for good in ["spiffe://example.org/ci", "urn:logctl:ci", "https://x/?a#b"] {
            assert_eq!(good.parse(), Ok(ClientName::Uri(good.to_owned())));
        }
        for bad in [
            "",
            "ci",
            "sha256:",
            "sha256:00",
            "spiffe://a b",
            ":x",
            "1:x",
            "a\n:b",
            "ü:x",
        ] {
            assert!(bad.parse::<ClientName>().is_err(), "{bad:?}");
        }
        let upper = format!("sha256:{}", "A".repeat(64));
        assert!(upper.parse::<ClientName>().is_err(), "one spelling only");
    }

    #[test]
    fn each_connection_has_its_own_number() {
        let (one, two) = (Peer::unix(0), Peer::unix(0));
        assert_ne!(one.connection(), two.connection());
        assert_eq!(one.connection(), one.clone().connection());
    }
}
