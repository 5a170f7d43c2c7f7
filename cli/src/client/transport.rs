//! How bytes reach a server: Unix socket, TLS with an explicit provider and certificate authority, or loopback HTTP.
//!
//! What must never happen: a request over a Unix socket does work for TLS. `logctl` must answer within milliseconds, and reading the
//! platform's certificates alone takes longer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::auth::secret::read_private;
use crate::error::Error;
use crate::settings::{Address, ClientCertificate};

/// A server that accepts no connection for this long counts as absent.
const CONNECT: Duration = Duration::from_secs(10);

/// A client for one address. `ca` is a PEM file; without one the platform's authorities count. `certificate` is shown to
/// a server that asks for one.
pub fn transport(
    address: &Address,
    ca: Option<&Path>,
    certificate: Option<&ClientCertificate>,
) -> Result<reqwest::Client, Error> {
    let mut builder = ClientBuilder::new()
        .user_agent(concat!("logctl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tls_info(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let encrypted = matches!(address, Address::Url(url) if url.starts_with("https://"));
    if let Address::Unix(path) = address {
        builder = builder.unix_socket(path.as_path());
    }
    // Always explicit: reqwest would otherwise load the platform's certificates, also for a Unix socket.
    builder = builder.tls_backend_preconfigured(tls(address, encrypted, ca, certificate)?);
    builder.build().map_err(|error| Error::Tls {
        what: address.to_string(),
        message: super::cause(&error),
    })
}

fn tls(
    address: &Address,
    encrypted: bool,
    ca: Option<&Path>,
    certificate: Option<&ClientCertificate>,
) -> Result<ClientConfig, Error> {
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
    let Some(pair) = certificate.filter(|_| encrypted) else {
        return Ok(builder.with_no_client_auth());
    };
    let broken = |path: &Path, message: String| Error::Tls {
        what: path.display().to_string(),
        message,
    };
    let chain = certificates(&pair.certificate, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&read_private("the client key", &pair.key)?)
        .map_err(|error| broken(&pair.key, error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| broken(&pair.certificate, error.to_string()))
}

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |message: String| Error::Tls {
        what: path.display().to_string(),
        message,
    };
    let pem = std::fs::read(path).map_err(|source| Error::Read {
        what: format!("{what} {}", path.display()),
        source,
    })?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err(failed("holds no certificate".into())),
        all => all.map_err(|error| failed(error.to_string())),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "the certificate authority")? {
        store.add(certificate).map_err(|error| Error::Tls {
            what: path.display().to_string(),
            message: error.to_string(),
        })?;
    }
    Ok(store)
}
