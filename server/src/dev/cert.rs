//! The certificate of the development server's admin endpoint: self-signed, for this machine only, renewed in time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{ServerName, UnixTime};

use super::replace;
use crate::error::Error;
use crate::net::tls;

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long a new certificate is valid.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// It is renewed when it is valid for less than this.
const MARGIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes a certificate and its key, unless there are some that can be used for a good while.
pub(super) fn renew(cert: &Path, key: &Path) -> Result<(), Error> {
    let now = SystemTime::now();
    if usable_at(cert, key, now) && usable_at(cert, key, now + MARGIN) {
        return Ok(());
    }
    let failed = |e: rcgen::Error| Error::Tls(format!("cannot make a certificate: {e}"));
    let mut params = CertificateParams::new(NAMES.map(str::to_owned)).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "logd dev");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A closure, since the type that rcgen takes has no name here.
    let day = |time: SystemTime| {
        let date = jiff::Timestamp::try_from(time)
            .map(|t| t.to_zoned(jiff::tz::TimeZone::UTC).date())
            .map_err(|e| Error::Tls(format!("the clock is not usable: {e}")))?;
        Ok::<_, Error>(rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        ))
    };
    params.not_before = day(now - Duration::from_secs(24 * 3600))?;
    params.not_after = day(now + LIFE)?;
    let pair = KeyPair::generate().map_err(failed)?;
    let signed = params.self_signed(&pair).map_err(failed)?;
    // The key first: until the certificate is there too, the pair is not usable, and the next start makes both again.
    replace(key, &pair.serialize_pem(), 0o600)?;
    replace(cert, &signed.pem(), 0o644)
}

/// Whether a client that trusts just this certificate accepts it at `time`, under every name, and the key is its.
fn usable_at(cert: &Path, key: &Path, time: SystemTime) -> bool {
    let check = || {
        let pair = tls::read(cert, key).ok()?;
        let leaf = pair.cert.first()?;
        let mut roots = RootCertStore::empty();
        roots.add(leaf.clone()).ok()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider())
                .build()
                .ok()?;
        let since = UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).ok()?);
        NAMES.iter().try_for_each(|name| {
            let name = ServerName::try_from(*name).ok()?;
            verifier
                .verify_server_cert(leaf, &[], &name, &[], since)
                .ok()
                .map(drop)
        })
    };
    check().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_only_when_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let now = SystemTime::now();
        renew(&cert, &key).unwrap();
        assert!(usable_at(&cert, &key, now) && usable_at(&cert, &key, now + LIFE - 2 * MARGIN));
        assert!(!usable_at(&cert, &key, now + LIFE + MARGIN));
        let first = std::fs::read(&cert).unwrap();
        renew(&cert, &key).unwrap();
        assert_eq!(std::fs::read(&cert).unwrap(), first);

        // A key of another certificate, as after a crash between the two files.
        std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(!usable_at(&cert, &key, now));
        renew(&cert, &key).unwrap();
        assert!(usable_at(&cert, &key, now));
    }
}
