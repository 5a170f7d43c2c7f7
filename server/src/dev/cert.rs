//! The certificate of the development server's admin endpoint: self-signed, for this machine only, renewed in time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plane_http::read_pair;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::replace;
use crate::error::{Error, at};

/// Common name of the certificate.
const NAME: &str = "logd dev";
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long a new certificate is valid.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// It is renewed when it is valid for less than this.
const MARGIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes a certificate, unless there is one that is valid for long enough, and its key, unless there is one. A certificate that
/// `logd dev` did not make is only checked.
pub(super) fn renew(cert: &Path, key: &Path) -> Result<(), Error> {
    let now = SystemTime::now();
    if usable_at(cert, key, now) && usable_at(cert, key, now + MARGIN) {
        return Ok(());
    }
    let exists = |path: &Path| path.try_exists().map_err(at("read", path));
    if exists(cert)? && !is_ours(cert) {
        read_pair(cert, key)?;
        return Ok(());
    }
    let pair = if exists(key)? {
        let text = std::fs::read_to_string(key).map_err(at("read", key))?;
        KeyPair::from_pem(&text).map_err(|e| Error::Tls(format!("{}: {e}", key.display())))?
    } else {
        new_key(key)?
    };
    replace(cert, &self_signed(&NAMES, NAME, LIFE, &pair)?, 0o644)
}

fn failed(error: rcgen::Error) -> Error {
    Error::Tls(format!("cannot make a certificate: {error}"))
}

/// Makes a key and writes it down.
pub(crate) fn new_key(path: &Path) -> Result<KeyPair, Error> {
    let pair = KeyPair::generate().map_err(failed)?;
    replace(path, &pair.serialize_pem(), 0o600)?;
    Ok(pair)
}

/// A certificate for these names from yesterday on, PEM.
pub(crate) fn self_signed(
    names: &[impl AsRef<str>],
    common_name: &str,
    life: Duration,
    pair: &KeyPair,
) -> Result<String, Error> {
    let now = SystemTime::now();
    let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
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
    params.not_after = day(now + life)?;
    Ok(params.self_signed(pair).map_err(failed)?.pem())
}

/// Whether a certificate is one that [`renew`] made: signed by itself, under our name.
fn is_ours(cert: &Path) -> bool {
    let ours = || {
        let first = CertificateDer::pem_file_iter(cert).ok()?.next()?.ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&first).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        Some(name == NAME && parsed.subject() == parsed.issuer())
    };
    ours() == Some(true)
}

/// Whether a client that trusts just this certificate accepts it at `time`, under every name, and the key belongs to it.
fn usable_at(cert: &Path, key: &Path, time: SystemTime) -> bool {
    let check = || {
        let pair = read_pair(cert, key).ok()?;
        let leaf = pair.cert.first()?;
        let mut roots = RootCertStore::empty();
        roots.add(leaf.clone()).ok()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), plane_http::provider())
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

        // A key without its certificate, as after a crash between the two files, stays.
        let kept = std::fs::read(&key).unwrap();
        std::fs::remove_file(&cert).unwrap();
        renew(&cert, &key).unwrap();
        assert!(usable_at(&cert, &key, now));
        assert_eq!(std::fs::read(&key).unwrap(), kept);
        // And so does one that an operator put there.
        let other = KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(&key, &other).unwrap();
        assert!(!usable_at(&cert, &key, now));
        renew(&cert, &key).unwrap();
        assert!(usable_at(&cert, &key, now));
        assert_eq!(std::fs::read_to_string(&key).unwrap(), other);
    }

    #[test]
    fn what_an_operator_put_there_is_checked_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let theirs = rcgen::generate_simple_self_signed(["log.example.org".to_owned()]).unwrap();
        std::fs::write(&cert, theirs.cert.pem()).unwrap();
        std::fs::write(&key, theirs.signing_key.serialize_pem()).unwrap();
        renew(&cert, &key).unwrap();
        assert_eq!(std::fs::read_to_string(&cert).unwrap(), theirs.cert.pem());

        let stray = KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(&key, &stray).unwrap();
        assert!(renew(&cert, &key).is_err(), "they do not belong together");
        std::fs::remove_file(&cert).unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert!(renew(&cert, &key).is_err());
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "no key");
        assert!(!cert.exists());
    }
}
