//! TLS for the TCP listener: TLS 1.3 only, one certificate, and where wanted an authority for client certificates; all
//! read again when their files change.
//!
//! A new connection gets what the files hold then; open connections stay. A broken replacement (a new certificate
//! whose key is not written yet) never takes the endpoint down: the old values stay in use until all files fit again. Sessions are
//! never resumed: a resumed one would not be checked against the current authority.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::follow::{Follow, Look};

/// A certificate chain and its private key, and who signs the certificates of clients. PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's certificate first.
    pub certificate: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1. Refused when others than owner and group may read it.
    pub key: PathBuf,
    /// Certificates of the authorities that sign client certificates. Clients need none, but one that is shown must
    /// verify, else there is no connection. What it allows is [`Access::with_certificate`](crate::Access)'s.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// A certificate chain and its key, without client certificates.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: None,
        }
    }
}

/// The files in use.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    follow: Follow<ServerConfig>,
}

impl Tls {
    /// Reads the files; a bad one is an error at once.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, Error> {
        let certificate = files.certificate.clone();
        let all = [certificate.clone(), files.key.clone()];
        let all = all.into_iter().chain(files.client_ca.clone());
        Ok(Self {
            certificate,
            follow: Follow::open(all, move || load(&files))?,
        })
    }

    /// The configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        match self.follow.look() {
            Look::Same | Look::Unusable { known: true, .. } => {}
            Look::Replaced => {
                tracing::info!(certificate = %self.certificate.display(), "the TLS files were replaced");
            }
            Look::Unusable { why, known: false } => {
                tracing::warn!(
                    error = why,
                    "the new TLS files can't be used; the old ones stay"
                );
            }
        }
        self.follow.last()
    }
}

fn load(files: &TlsFiles) -> Result<ServerConfig, Error> {
    let TlsFiles {
        certificate,
        key,
        client_ca,
    } = files;
    let bad = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Pem { path, source }
    };
    let mode = fs::metadata(key)
        .map_err(Error::file(key))?
        .permissions()
        .mode()
        & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Error::Exposed {
            path: key.clone(),
            mode,
            problem: "a private key must not be open to everybody",
        });
    }
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(bad(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(bad(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::Tls)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let unusable = |problem: String| Error::ClientCa {
                path: path.clone(),
                problem,
            };
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(path).map_err(bad(path))? {
                let added = roots.add(root.map_err(bad(path))?);
                added.map_err(|error| unusable(error.to_string()))?;
            }
            // Without any certificate in the file this is an error.
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, secret)
        .map_err(Error::Tls)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
