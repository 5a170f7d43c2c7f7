//! TLS of this server's own requests: to peers and buckets.

use std::path::Path;

use plane_http::provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::Error;

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
