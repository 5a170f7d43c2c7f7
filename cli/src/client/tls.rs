//! The failures of a TLS connection in words, with their remedies.
//!
//! The library's own texts are for developers. What must never happen: one hint for faults that have different remedies.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// The library's error under one of the HTTP client.
pub(super) fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // An I/O error hides what it wraps from its own chain.
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            return of(inner);
        }
        next = error.source();
    }
    None
}

/// An error of the TLS library, in words for a person.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "the server wants a client certificate, and none was shown".to_owned()
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown => {
                "the server does not accept the client certificate".to_owned()
            }
            AlertDescription::CertificateExpired => {
                "the server says that the client certificate has expired".to_owned()
            }
            AlertDescription::CertificateRevoked => {
                "the server says that the client certificate was revoked".to_owned()
            }
            AlertDescription::AccessDenied => "the server refused the connection".to_owned(),
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
                "the server and logctl have no version or cipher of TLS in common".to_owned()
            }
            other => format!("the server ended the TLS handshake ({other:?})"),
        },
        Error::InvalidMessage(_) => "the server there does not speak TLS".to_owned(),
        Error::PeerIncompatible(_) => {
            "the server and logctl have no version or cipher of TLS in common".to_owned()
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is of an authority that is not trusted here".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or the clock here is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or the clock here is wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than the one in the address".to_owned()
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        other => format!("its certificate does not verify: {other}"),
    }
}

/// The remedy for a failed TLS connection.
pub(super) fn hint(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "name the certificate authority of the server: `ca` in the context, or --ca FILE; the certificate of `logd dev` is admin-cert.pem in its folder",
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "compare the clocks (`date`); if they are right, the server needs a new certificate, which it takes without a restart",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use an address with a name that the certificate has, or ask for a certificate with this name",
        Error::InvalidCertificate(_) => "find out whether this is the right server before you trust another certificate",
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked,
        ) => "name a client certificate that the server knows: `client_cert` and `client_key` in the context",
        Error::InvalidMessage(_) => "check the port; on this machine the address may have to begin with http://",
        _ => "look at the server's log for the other side of this",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_error_is_found_and_has_its_own_words_and_remedy() {
        let wrapped = io::Error::other(io::Error::other(Error::InvalidCertificate(
            CertificateError::UnknownIssuer,
        )));
        let found = of(&wrapped).unwrap();
        assert!(words(found).contains("not trusted here"));
        assert!(hint(found).contains("--ca"));
        assert!(of(&io::Error::other("something else")).is_none());
        let all = [
            Error::InvalidCertificate(CertificateError::Expired),
            Error::InvalidCertificate(CertificateError::NotValidForName),
            Error::AlertReceived(AlertDescription::CertificateRequired),
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        ];
        let hints: std::collections::HashSet<String> = all.iter().map(hint).collect();
        assert_eq!(hints.len(), all.len(), "a remedy of its own for each");
        for error in &all {
            assert!(!words(error).contains("Error"), "{}", words(error));
        }
    }
}
