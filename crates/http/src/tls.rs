//! TLS for listeners: a certificate and its key, and optionally an authority for client certificates, from PEM files that are checked with
//! each connection, so that renewing them needs no restart. The provider is always passed explicitly.
//!
//! A new connection gets what the files hold then; open connections stay. A broken replacement (a new certificate whose key is not
//! written yet) never takes a listener down: the old values stay in use until all files fit again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::follow::{FileCheck, Follow};

/// How long a handshake waits for a check of the files.
const FILES_TIMEOUT: Duration = Duration::from_secs(1);

/// The one cryptographic provider of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate chain and its private key, and the authority that signs the certificates of clients. PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's certificate first.
    pub certificate: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Certificates of the authorities that sign client certificates. Clients need none, but one that is shown must
    /// verify, else there is no connection.
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

/// The clients of a listener, which decide what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// TLS 1.2 and 1.3, HTTP/2 is offered, sessions are resumed.
    Everybody,
    /// TLS 1.3 only. A key that everybody may read is refused. No session is resumed: a resumed one would not be checked against the
    /// current authority.
    Operators,
}

/// The files in use.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    audience: Audience,
    follow: Follow<ServerConfig>,
    /// Held while a task checks the files.
    turn: Arc<Semaphore>,
}

impl Tls {
    /// Reads the files; a bad one is an error at once.
    ///
    /// # Errors
    /// The files can't be read, or don't belong together.
    pub fn open(files: TlsFiles, audience: Audience) -> Result<Arc<Self>, Error> {
        let certificate = files.certificate.clone();
        let all = [certificate.clone(), files.key.clone()];
        let all = all.into_iter().chain(files.client_ca.clone());
        Ok(Arc::new(Self {
            certificate,
            audience,
            follow: Follow::open(all, move || load(&files, audience))?,
            turn: Arc::new(Semaphore::new(1)),
        }))
    }

    /// Reads the files again, whether or not they changed. Returns the result in words for a person.
    ///
    /// # Errors
    /// They can't be used; the words say that the old ones stay.
    pub fn reload(&self) -> Result<String, String> {
        match self.follow.reload() {
            FileCheck::Unusable { why, .. } => Err(format!(
                "the certificate is not usable, the old one stays in use: {why}"
            )),
            FileCheck::Same | FileCheck::Replaced => {
                Ok(format!("certificate {}", self.certificate.display()))
            }
        }
    }

    /// The configuration for a new connection, from files that were checked for it. If that takes too long, most clients are served with
    /// the last one. Operators are not (`None`): the authority that is not read yet may no longer cover their client.
    pub(crate) async fn config(self: &Arc<Self>) -> Option<Arc<ServerConfig>> {
        let turn = Arc::clone(&self.turn);
        // One task checks at a time, and waits only a moment, so a disk that hangs delays nothing but these connections.
        let turn = match self.audience {
            Audience::Everybody => turn.try_acquire_owned().ok(),
            Audience::Operators => {
                let turn = tokio::time::timeout(FILES_TIMEOUT, turn.acquire_owned()).await;
                turn.ok().and_then(Result::ok)
            }
        };
        let mut looked = false;
        if let Some(turn) = turn {
            let tls = Arc::clone(self);
            #[expect(clippy::disallowed_methods, reason = "certificates and keys are files")]
            let look = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                tls.look();
            });
            looked = matches!(tokio::time::timeout(FILES_TIMEOUT, look).await, Ok(Ok(())));
        }
        (looked || self.audience == Audience::Everybody).then(|| self.follow.last())
    }

    fn look(&self) {
        match self.follow.look() {
            FileCheck::Same | FileCheck::Unusable { known: true, .. } => {}
            FileCheck::Replaced => {
                tracing::info!(cert = %self.certificate.display(), "new certificate in use");
            }
            FileCheck::Unusable { why, known: false } => {
                tracing::error!(
                    error = why,
                    "the changed certificate is not usable, the old one stays in use"
                );
            }
        }
    }
}

fn load(files: &TlsFiles, audience: Audience) -> Result<ServerConfig, Error> {
    if audience == Audience::Operators {
        closed(&files.key)?;
    }
    let pair = read_pair(&files.certificate, &files.key)?;
    let versions = match audience {
        Audience::Everybody => rustls::DEFAULT_VERSIONS,
        Audience::Operators => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(Error::Tls)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    match audience {
        Audience::Everybody => {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Audience::Operators => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
    Ok(config)
}

/// Refuses a key that everybody may read.
fn closed(key: &Path) -> Result<(), Error> {
    let metadata = std::fs::metadata(key).map_err(file(key))?;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o007 {
        0 => Ok(()),
        _ => Err(Error::Exposed {
            path: key.to_owned(),
            mode,
        }),
    }
}

/// The verifier of the certificates of clients.
fn verifier(ca: &Path) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Error> {
    let unusable = |problem: String| Error::ClientCa {
        path: ca.to_owned(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca).map_err(pem(ca))? {
        let added = roots.add(root.map_err(pem(ca))?);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    // Without any certificate in the file this is an error.
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))
}

/// Reads a pair, and makes sure that key and certificate belong together.
///
/// # Errors
/// They don't, or a file can't be read.
pub fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let chain = std::fs::read(certificate).map_err(file(certificate))?;
    let secret = std::fs::read(key).map_err(file(key))?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem(certificate))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate(certificate.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(pem(key))?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|source| Error::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

fn pem(path: &Path) -> impl Fn(rustls_pki_types::pem::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Pem {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;
    use rustls::RootCertStore;
    use rustls_pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn make(cert: &Path, key: &Path) -> CertificateDer<'static> {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(cert, made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    /// Whether a client that trusts only `root` gets through, both ways.
    async fn trusted(tls: &Arc<Tls>, root: &CertificateDer<'static>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(
            config.with_root_certificates(roots).with_no_client_auth(),
        ));
        let (client, server) = tokio::io::duplex(1 << 16);
        let acceptor = TlsAcceptor::from(tls.config().await.unwrap());
        let echo = async {
            let mut stream = acceptor.accept(server).await?;
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
            stream.shutdown().await
        };
        let ask = async {
            let mut stream = connector
                .connect(ServerName::try_from("localhost").unwrap(), client)
                .await
                .ok()?;
            stream.write_u8(7).await.ok()?;
            stream.read_u8().await.ok()
        };
        let (_, answer) = tokio::join!(echo, ask);
        answer == Some(7)
    }

    #[tokio::test]
    async fn a_new_pair_is_used_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let open = || Tls::open(TlsFiles::new(&cert, &key), Audience::Everybody);
        assert!(open().is_err());
        let old = make(&cert, &key);
        let tls = open().unwrap();
        assert!(trusted(&tls, &old).await);

        let other = folder.path().join("other");
        let new = make(&cert, &other);
        let error = tls.reload().unwrap_err();
        assert!(error.contains("the old one stays"), "{error}");
        assert!(trusted(&tls, &old).await, "the old pair stays");
        assert!(!trusted(&tls, &new).await);

        std::fs::copy(&other, &key).unwrap();
        assert!(trusted(&tls, &new).await && !trusted(&tls, &old).await);
    }

    #[tokio::test]
    async fn a_key_that_becomes_readable_late_is_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let old = make(&cert, &key);
        let tls = Tls::open(TlsFiles::new(&cert, &key), Audience::Everybody).unwrap();
        // Renewed, and seen while the key cannot be read: as root, who reads everything, while it is not there.
        let new = make(&cert, &key);
        let moved = folder.path().join("moved");
        std::fs::hard_link(&key, &moved).unwrap();
        std::fs::remove_file(&key).unwrap();
        assert!(trusted(&tls, &old).await);
        std::fs::hard_link(&moved, &key).unwrap();
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&key, mode).unwrap();
        assert!(trusted(&tls, &new).await);
    }
    /// No connection of an operator is met by an authority that was replaced, however many come at once; nor where the files cannot
    /// be looked at.
    #[tokio::test]
    async fn operators_are_met_by_the_files_of_that_moment() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let closed = std::fs::Permissions::from_mode(0o600);
        make(&cert, &key);
        std::fs::set_permissions(&key, closed.clone()).unwrap();
        let tls = Tls::open(TlsFiles::new(&cert, &key), Audience::Operators).unwrap();
        let before = tls.config().await.unwrap();
        make(&cert, &key);
        let (one, two) = tokio::join!(tls.config(), tls.config());
        assert!(!Arc::ptr_eq(&before, &one.unwrap()) && !Arc::ptr_eq(&before, &two.unwrap()));
        let _busy = Arc::clone(&tls.turn).try_acquire_owned().unwrap();
        assert!(tls.config().await.is_none());
    }
}
