//! Chains of certificates. Rekor verifies them as of the time when the first certificate began to be valid, for any usage, and with the last one as
//! the only root. The rules and their order are those of Go's `Certificate.Verify`. Policies are not evaluated.

use super::Certificate;
use super::limits::are_names_allowed;
use super::reader::{Reader, SEQUENCE};

/// The most signatures that are verified for one chain, as in Go: certificates can be combined in very many ways.
const MAX_CHECKS: usize = 100;
/// 1.2.840.113549.1.1.10: only here the parameters say what is signed.
const RSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

/// Why a chain is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainError {
    /// The first certificate does not lead to the last one.
    Unknown,
    /// A certificate was not valid when the first one began to be.
    Expired,
    /// A certificate has an extension that must be understood and is not.
    Critical,
    /// An authority is further from the first certificate than it may be.
    TooLong,
    /// An authority may not sign certificates with these names.
    Name,
}

/// Checks that the first certificate leads to the last one.
pub(crate) fn check(certificates: &[Certificate<'_>]) -> Result<(), ChainError> {
    let [leaf, intermediates @ .., root] = certificates else {
        return Ok(());
    };
    let mut distinct: Vec<&Certificate<'_>> = Vec::new();
    for certificate in intermediates {
        if distinct.iter().all(|other| other.raw != certificate.raw) {
            distinct.push(certificate);
        }
    }
    leaf.check(&[], leaf.not_before)?;
    if leaf.raw == root.raw {
        return Ok(());
    }
    let mut search = Search {
        root,
        intermediates: &distinct,
        checks: 0,
        compared: 0,
        has_forbidden_name: false,
    };
    match search.find_root(&mut vec![leaf]) {
        Err(_) if search.has_forbidden_name => Err(ChainError::Name),
        found => found,
    }
}

struct Search<'s, 'a> {
    root: &'s Certificate<'a>,
    intermediates: &'s [&'s Certificate<'a>],
    checks: usize,
    /// Names that were compared with limits, in all chains.
    compared: usize,
    /// Whether there is a chain whose authorities do not allow its names.
    has_forbidden_name: bool,
}

impl<'s, 'a> Search<'s, 'a> {
    /// Looks for a way from the last certificate to the root. The chain is the same afterwards if there is none. The error is the last one, as in Go.
    fn find_root(&mut self, chain: &mut Vec<&'s Certificate<'a>>) -> Result<(), ChainError> {
        let mut found = Err(ChainError::Unknown);
        if self.signed_last(self.root, chain) {
            found = self.root.check(chain, chain[0].not_before);
            if found.is_ok() {
                chain.push(self.root);
                if are_names_allowed(chain, &mut self.compared) {
                    return Ok(());
                }
                chain.pop();
                self.has_forbidden_name = true;
            }
        }
        for next in self.intermediates {
            if next.extensions.constraints.is_none() || !self.signed_last(next, chain) {
                continue;
            }
            found = next.check(chain, chain[0].not_before);
            if found.is_ok() {
                chain.push(next);
                found = self.find_root(chain);
                if found.is_ok() {
                    return Ok(());
                }
                chain.pop();
            }
        }
        match found {
            // Of a chain with forbidden names.
            Ok(()) => Err(ChainError::Name),
            error => error,
        }
    }

    /// Whether a certificate is an authority that signed the last one of a chain.
    fn signed_last(&mut self, next: &Certificate<'_>, chain: &[&Certificate<'_>]) -> bool {
        let named = chain.last().filter(|last| last.issuer == next.subject);
        let Some(last) = named else {
            return false;
        };
        self.checks += 1;
        self.checks <= MAX_CHECKS
            && chain.iter().all(|other| !other.is_same_subject(next))
            && next.signed(last)
    }
}

impl Certificate<'_> {
    /// Checks whether this certificate may be the next one of a chain at a time.
    fn check(&self, chain: &[&Certificate<'_>], time: i64) -> Result<(), ChainError> {
        let constraints = self.extensions.constraints;
        let max_path = constraints.and_then(|constraints| constraints.max_path);
        // All but the first one are authorities between it and this one.
        let path = i64::try_from(chain.len()).unwrap_or(i64::MAX) - 1;
        if self.extensions.has_unknown_critical {
            Err(ChainError::Critical)
        } else if !(self.not_before..=self.not_after).contains(&time) {
            Err(ChainError::Expired)
        } else if max_path.is_some_and(|max_path| path > max_path) {
            Err(ChainError::TooLong)
        } else {
            Ok(())
        }
    }

    /// Whether both stand for the same thing: a chain has only one of them, or it would have no end.
    fn is_same_subject(&self, other: &Self) -> bool {
        self.subject == other.subject
            && self.key == other.key
            && self.extensions.names == other.extensions.names
    }

    /// Whether this is an authority, and its key signed the other certificate.
    fn signed(&self, other: &Certificate<'_>) -> bool {
        let is_authority = match self.extensions.constraints {
            Some(constraints) => constraints.is_authority,
            // Older versions of certificates cannot say it.
            None => self.version < 2,
        };
        is_authority
            && !self.extensions.signs_no_certificates
            && is_signature(self.key, other).unwrap_or(false)
    }
}

/// Whether the key made the certificate's signature, with an algorithm that Go knows and that is not broken.
fn is_signature(key: &[u8], certificate: &Certificate<'_>) -> Option<bool> {
    let mut key = Reader(key).inside(SEQUENCE)?;
    let kind = key.content(SEQUENCE)?;
    let (point, _) = key.bits()?;
    let wanted = Reader(certificate.algorithm).any()?.raw;
    let is_wanted = |algorithm: &[u8]| match wanted {
        RSA_PSS => algorithm == certificate.algorithm,
        _ => algorithm.starts_with(wanted),
    };
    let algorithm = webpki::ALL_VERIFICATION_ALGS.iter().find(|it| {
        it.public_key_alg_id().as_ref() == kind && is_wanted(it.signature_alg_id().as_ref())
    })?;
    let signed = algorithm.verify_signature(point, certificate.signed, certificate.signature);
    Some(signed.is_ok())
}
