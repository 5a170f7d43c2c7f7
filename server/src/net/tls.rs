//! TLS for listeners: certificate and key from PEM files, read again when they change, so that renewing a certificate needs no
//! restart. A broken new pair is reported and the old one stays in use. The provider is always passed explicitly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt as _;
use server_admin::{Follow, Look};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, at};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The one cryptographic provider of this process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A client's side: it trusts the authorities in `ca`, or else the platform's. `setting` is what names the file.
///
/// # Errors
/// The authorities can't be read.
pub(crate) fn client(ca: Option<&Path>, setting: &str) -> Result<ClientConfig, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Tls(format!("the client's side: {e}"));
    let tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?;
    let tls = match ca {
        None => tls.with_platform_verifier().map_err(|e| failed(&e))?,
        Some(path) => {
            let unusable = |e: &dyn std::fmt::Display| {
                Error::Tls(format!("{setting}: {}: {e}", path.display()))
            };
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(path).map_err(|e| unusable(&e))? {
                let root = root.map_err(|e| unusable(&e))?;
                roots.add(root).map_err(|e| unusable(&e))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"no certificate in it"));
            }
            tls.with_root_certificates(roots)
        }
    };
    Ok(tls.with_no_client_auth())
}

/// A certificate chain and its key, in two PEM files.
#[derive(Debug)]
pub(crate) struct Pair {
    cert: PathBuf,
    follow: Follow<CertifiedKey>,
}

impl Pair {
    /// Reads both files; an unusable pair is an error.
    pub(crate) fn open(cert: PathBuf, key: PathBuf) -> Result<Arc<Self>, Error> {
        let files = [cert.clone(), key.clone()];
        let from = cert.clone();
        let follow = Follow::open(files, move || read(&from, &key))?;
        Ok(Arc::new(Self { cert, follow }))
    }

    /// Reads the files again, whether or not they changed. Returns the result in words for a person.
    pub(crate) fn reload(&self) -> Result<String, String> {
        match self.follow.reload() {
            Look::Unusable { why, .. } => Err(format!(
                "the certificate is not usable, the old one stays in use: {why}"
            )),
            Look::Same | Look::Replaced => Ok(format!("certificate {}", self.cert.display())),
        }
    }

    fn look(&self) {
        match self.follow.look() {
            Look::Same | Look::Unusable { known: true, .. } => {}
            Look::Replaced => {
                tracing::info!(cert = %self.cert.display(), "new certificate in use");
            }
            Look::Unusable { why, known: false } => {
                tracing::error!(
                    error = why,
                    "the changed certificate is not usable, the old one stays in use"
                );
            }
        }
    }

    /// Looks at the files every few seconds until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_some()
        {
            let pair = Arc::clone(&self);
            // A look that panics is no reason not to look again.
            let _ = tokio::task::spawn_blocking(move || pair.look()).await;
        }
    }

    /// An acceptor that offers HTTP/2 and HTTP/1.1.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Tls(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.follow.last())
    }
}

/// Reads a pair, and makes sure that key and certificate belong together.
pub(crate) fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let chain = std::fs::read(cert).map_err(at("read", cert))?;
    let secret = std::fs::read(key).map_err(at("read", key))?;
    let unusable = |path: &Path, what: &str| Error::Tls(format!("{}: {what}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(cert, &e.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(cert, "no certificate in it"));
    }
    let secret =
        PrivateKeyDer::from_pem_slice(&secret).map_err(|e| unusable(key, &e.to_string()))?;
    CertifiedKey::from_der(chain, secret, &provider())
        .map_err(|e| Error::Tls(format!("{} with {}: {e}", cert.display(), key.display())))
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;
    use rustls::RootCertStore;
    use rustls_pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn make(cert: &Path, key: &Path) -> CertificateDer<'static> {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(cert, made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    /// Whether a client that trusts only `root` gets through, both ways.
    async fn trusted(pair: &Arc<Pair>, root: &CertificateDer<'static>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(
            config.with_root_certificates(roots).with_no_client_auth(),
        ));
        let (client, server) = tokio::io::duplex(1 << 16);
        let acceptor = pair.acceptor().unwrap();
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
        assert!(Pair::open(cert.clone(), key.clone()).is_err());
        let old = make(&cert, &key);
        let pair = Pair::open(cert.clone(), key.clone()).unwrap();
        pair.look();
        assert!(trusted(&pair, &old).await);

        let other = folder.path().join("other");
        let new = make(&cert, &other);
        let error = pair.reload().unwrap_err();
        assert!(error.contains("TLS"), "{error}");
        assert!(trusted(&pair, &old).await, "the old pair stays");
        assert!(!trusted(&pair, &new).await);

        std::fs::copy(&other, &key).unwrap();
        pair.look();
        assert!(trusted(&pair, &new).await && !trusted(&pair, &old).await);
    }

    #[tokio::test]
    async fn a_key_that_becomes_readable_late_is_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let old = make(&cert, &key);
        let pair = Pair::open(cert.clone(), key.clone()).unwrap();
        // Renewed, and seen while the key cannot be read: as root, who reads everything, while it is not there.
        let new = make(&cert, &key);
        let moved = folder.path().join("moved");
        std::fs::hard_link(&key, &moved).unwrap();
        std::fs::remove_file(&key).unwrap();
        pair.look();
        assert!(trusted(&pair, &old).await);
        std::fs::hard_link(&moved, &key).unwrap();
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&key, mode).unwrap();
        pair.look();
        assert!(trusted(&pair, &new).await);
    }
}
