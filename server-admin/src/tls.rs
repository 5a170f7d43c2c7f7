//! TLS for the TCP listener: TLS 1.3 only, one certificate, read again when its files change.
//!
//! A broken replacement (a new certificate whose key is not written yet) never takes the endpoint down: the old pair
//! serves on until both files fit again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::stamp::Stamp;

/// A certificate chain and its private key, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's certificate first.
    pub certificate: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1. Refused when others than owner and group may read it.
    pub key: PathBuf,
}

/// The pair in use.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    /// Locked for the time of two `stat`s, and of a reload after a change.
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// The files that `config` was made from, or that could not be used.
    stamps: Option<(Stamp, Stamp)>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the pair; a bad one is an error at once.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, Error> {
        let stamps = stamps(&files);
        let config = load(&files)?;
        Ok(Self {
            files,
            current: Mutex::new(Current { stamps, config }),
        })
    }

    /// The configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.files);
        if stamps != current.stamps {
            current.stamps = stamps;
            match load(&self.files) {
                Ok(config) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the TLS certificate was replaced");
                    current.config = config;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "the new TLS certificate can't be used; the old one stays"
                    );
                }
            }
        }
        current.config.clone()
    }
}

fn stamps(files: &TlsFiles) -> Option<(Stamp, Stamp)> {
    Some((
        Stamp::of(&files.certificate).ok()?,
        Stamp::of(&files.key).ok()?,
    ))
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, Error> {
    let TlsFiles { certificate, key } = files;
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
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .map_err(Error::Tls)?
    .with_no_client_auth()
    .with_single_cert(chain, secret)
    .map_err(Error::Tls)?;
    Ok(Arc::new(config))
}
