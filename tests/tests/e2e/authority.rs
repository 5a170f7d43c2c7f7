//! An authority of an operator's own, and the certificates that it signs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};

use crate::Done;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Writes its own certificate.
    pub(crate) fn write(&self, file: &Path) -> Done {
        Ok(std::fs::write(file, self.0.pem())?)
    }

    /// Writes a certificate of a server of this name, and its key, to `cert.pem` and `key.pem`.
    pub(crate) fn server(&self, at: &Path, host: &str) -> Done {
        let params = CertificateParams::new(vec![host.to_owned()])?;
        self.sign(params, &at.join("cert.pem"), &at.join("key.pem"))
    }

    /// Writes a certificate of a client with this URI, and its key, to `NAME.pem` and `NAME-key.pem`.
    pub(crate) fn client(&self, at: &Path, name: &str, uri: &str) -> Done {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        let file = |end| at.join(format!("{name}{end}.pem"));
        self.sign(params, &file(""), &file("-key"))
    }

    fn sign(&self, params: CertificateParams, certificate: &Path, secret: &Path) -> Done {
        let key = KeyPair::generate()?;
        std::fs::write(certificate, params.signed_by(&key, &self.0)?.pem())?;
        std::fs::write(secret, key.serialize_pem())?;
        std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600))?;
        Ok(())
    }
}
