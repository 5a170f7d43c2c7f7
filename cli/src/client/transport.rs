//! How bytes reach a server: Unix socket, TLS with an explicit provider and certificate authority, or loopback HTTP.
//!
//! What must never happen: work for TLS on the way to a Unix socket. `logctl` is to answer within milliseconds, and
//! reading the platform's certificates alone takes longer than that.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::error::Error;
use crate::settings::Address;

/// A server that does not even accept a connection for this long is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// A client for one address. `ca` is a PEM file; without one the platform's authorities count.
pub(crate) fn client(address: &Address, ca: Option<&Path>) -> Result<reqwest::Client, Error> {
    let mut builder = ClientBuilder::new()
        .user_agent(concat!("logctl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let encrypted = matches!(address, Address::Url(url) if url.starts_with("https://"));
    if let Address::Unix(path) = address {
        builder = builder.unix_socket(path.as_path());
    }
    // Always explicit: reqwest would otherwise load the platform's certificates, also for a Unix socket.
    builder = builder.tls_backend_preconfigured(tls(address, encrypted, ca)?);
    builder.build().map_err(|error| Error::Tls {
        what: address.to_string(),
        message: super::cause(&error),
    })
}

fn tls(address: &Address, encrypted: bool, ca: Option<&Path>) -> Result<ClientConfig, Error> {
    let failed = |error: rustls::Error| Error::Tls {
        what: address.to_string(),
        message: error.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match ca {
        _ if !encrypted => builder.with_root_certificates(RootCertStore::empty()),
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(failed)?,
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let failed = |message: String| Error::Tls {
        what: path.display().to_string(),
        message,
    };
    let pem = std::fs::read(path).map_err(|source| Error::Read {
        what: format!("the certificate authority {}", path.display()),
        source,
    })?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        store
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    if store.is_empty() {
        Err(failed("holds no certificate".into()))
    } else {
        Ok(store)
    }
}
