//! A certificate's extensions. Go parses those that X.509 itself defines, and skips others.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::limits::Limits;
use super::reader::{BOOLEAN, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, UTF8_STRING, is_oid};
use super::uri::host_of;

/// The prefix of the identifiers of X.509's own extensions: 2.5.29.
const STANDARD: &[u8] = &[0x55, 0x1d];
/// Where the authority's own certificate is found: 1.3.6.1.5.5.7.1.1.
const AUTHORITY_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// Fulcio's name for an identity that is neither email nor URI: 1.3.6.1.4.1.57264.1.7
const FULCIO_NAME: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 7];

/// The tags of names (RFC 5280, 4.2.1.6), and of other parts whose meaning depends on where they are.
const OTHER_NAME: u8 = 0xa0;
pub(super) const EMAIL: u8 = 0x81;
pub(super) const DNS: u8 = 0x82;
pub(super) const URI: u8 = 0x86;
pub(super) const ADDRESS: u8 = 0x87;
const FIRST: u8 = 0x80;
const SECOND: u8 = 0x81;
const FIRST_INSIDE: u8 = 0xa0;

/// The bit of a key's usage with which it may sign certificates.
const SIGNS_CERTIFICATES: u8 = 0x80 >> 5;
/// The bit of the last usage, in the second byte.
const NINTH_USAGE: u8 = 0x80;

/// Whether a certificate's key may sign others (RFC 5280, 4.2.1.9).
#[derive(Clone, Copy)]
pub(super) struct Constraints {
    pub(super) is_authority: bool,
    /// The most authorities between this one and the first certificate.
    pub(super) max_path: Option<i64>,
}

/// What the extensions of a certificate say.
#[derive(Default)]
pub(super) struct Extensions<'a> {
    pub(super) constraints: Option<Constraints>,
    /// Whether the key's usage is limited, and certificates are left out.
    pub(super) signs_no_certificates: bool,
    /// Whether there is an extension that must be understood, and is not.
    pub(super) has_unknown_critical: bool,
    /// Which names the certificates below may have.
    pub(super) limits: Option<Limits<'a>>,
    /// The value of the extension with the alternative names.
    pub(super) names: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    /// Reads them all; `None` if Go refuses one.
    pub(super) fn read(&mut self, mut list: Reader<'a>) -> Option<()> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        while !list.is_empty() {
            let mut extension = list.inside(SEQUENCE)?;
            let id = extension.oid()?;
            let is_critical = match extension.is_next(BOOLEAN) {
                true => extension.boolean()?,
                false => false,
            };
            all.push((id, is_critical, extension.content(OCTET_STRING)?));
            seen.insert(id).then_some(())?;
        }
        for (id, is_critical, value) in all {
            let is_known = self.extension(id, is_critical, value)?;
            self.has_unknown_critical |= is_critical && !is_known;
        }
        Some(())
    }

    /// Reads one; `None` if Go refuses it, otherwise whether it knows it.
    fn extension(&mut self, id: &[u8], is_critical: bool, value: &'a [u8]) -> Option<bool> {
        let is_optional = (!is_critical).then_some(());
        let mut reader = Reader(value);
        let number = match id {
            AUTHORITY_ACCESS => {
                is_optional?;
                return check_access(reader.inside(SEQUENCE)?).map(|()| true);
            }
            [a, b, number] if [*a, *b] == STANDARD => *number,
            _ => return Some(false),
        };
        match number {
            14 => is_optional.and_then(|()| reader.content(OCTET_STRING).map(drop)),
            15 => self.read_usage(reader),
            17 => {
                self.names = Some(value);
                return has_known_names(reader.inside(SEQUENCE)?);
            }
            19 => self.read_constraints(reader.inside(SEQUENCE)?),
            30 => {
                let limits = self.limits.insert(Limits::read(reader)?);
                return Some(!limits.has_unknown);
            }
            31 => check_revocation_points(reader.inside(SEQUENCE)?),
            32 => check_policies(reader.inside(SEQUENCE)?),
            33 => check_mappings(reader.inside(SEQUENCE)?),
            35 => is_optional.and_then(|()| reader.inside(SEQUENCE)?.optional(FIRST).map(drop)),
            36 => check_policy_limits(reader.inside(SEQUENCE)?),
            37 => check_purposes(reader.inside(SEQUENCE)?),
            54 => reader.integer(INTEGER).map(drop),
            _ => return Some(false),
        }
        .map(|()| true)
    }

    fn read_usage(&mut self, mut value: Reader<'_>) -> Option<()> {
        let (bits, _) = value.bits()?;
        let [first, second] = [0, 1].map(|at| bits.get(at).copied().unwrap_or_default());
        let is_limited = first != 0 || second & NINTH_USAGE != 0;
        self.signs_no_certificates = is_limited && first & SIGNS_CERTIFICATES == 0;
        Some(())
    }

    fn read_constraints(&mut self, mut inside: Reader<'_>) -> Option<()> {
        let is_authority = match inside.is_next(BOOLEAN) {
            true => inside.boolean()?,
            false => false,
        };
        let max_path = match inside.is_next(INTEGER) {
            true => Some(inside.integer(INTEGER).filter(|length| *length >= 0)?),
            false => None,
        };
        self.constraints = Some(Constraints {
            is_authority,
            max_path,
        });
        Some(())
    }

    /// The alternative names, each with its tag.
    pub(super) fn all_names(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut names = self.names.and_then(|value| Reader(value).inside(SEQUENCE));
        std::iter::from_fn(move || names.as_mut().and_then(Reader::any))
            .map(|name| (name.tag, name.content))
    }

    /// The alternative names as text: domains, emails, URIs, addresses, and Fulcio's own.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.all_names().filter_map(|(tag, value)| match tag {
            DNS | EMAIL | URI => text(value).map(str::to_owned),
            ADDRESS => address(value),
            OTHER_NAME => fulcio_name(Reader(value)),
            _ => None,
        });
        names.collect()
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(bytes) => Some(Ipv4Addr::from(bytes).to_string()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
    }
}

fn fulcio_name(mut inside: Reader<'_>) -> Option<String> {
    inside.oid().filter(|id| *id == FULCIO_NAME)?;
    let text = inside.inside(FIRST_INSIDE)?.content(UTF8_STRING)?;
    str::from_utf8(text).ok().map(str::to_owned)
}

pub(super) fn text(content: &[u8]) -> Option<&str> {
    str::from_utf8(content).ok().filter(|text| text.is_ascii())
}

/// Reads alternative names, and says whether there is one of a kind that Go knows.
fn has_known_names(mut names: Reader<'_>) -> Option<bool> {
    let mut is_known = false;
    while !names.is_empty() {
        let name = names.any()?;
        is_known |= match name.tag {
            DNS | EMAIL => text(name.content).is_some().then_some(true)?,
            URI => host_of(text(name.content)?).map(|_| true)?,
            ADDRESS => is_ip(name.content).then_some(true)?,
            _ => false,
        };
    }
    Some(is_known)
}

/// Whether these are the bytes of an address, and not one of IPv4 in the form of IPv6.
pub(super) fn is_ip(bytes: &[u8]) -> bool {
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ipv6Addr::from(bytes).to_ipv4_mapped().is_none(),
        Err(_) => bytes.len() == 4,
    }
}

fn check_access(mut list: Reader<'_>) -> Option<()> {
    while !list.is_empty() {
        let mut access = list.inside(SEQUENCE)?;
        access.oid()?;
        access.optional(URI)?;
    }
    Some(())
}

fn check_revocation_points(mut list: Reader<'_>) -> Option<()> {
    while !list.is_empty() {
        let Some(mut point) = list.inside(SEQUENCE)?.optional(FIRST_INSIDE)? else {
            continue;
        };
        let mut names = point.inside(FIRST_INSIDE)?;
        while names.optional(URI)?.is_some() {}
    }
    Some(())
}

fn check_policies(mut list: Reader<'_>) -> Option<()> {
    let mut seen = HashSet::new();
    while !list.is_empty() {
        let id = list.inside(SEQUENCE)?.content(OID)?;
        (is_oid(id, None) && seen.insert(id)).then_some(())?;
    }
    Some(())
}

fn check_mappings(mut list: Reader<'_>) -> Option<()> {
    while !list.is_empty() {
        let mut mapping = list.inside(SEQUENCE)?;
        mapping.content(OID)?;
        mapping.content(OID)?;
    }
    Some(())
}

fn check_policy_limits(mut limits: Reader<'_>) -> Option<()> {
    for tag in [FIRST, SECOND] {
        if limits.is_next(tag) {
            limits.integer(tag)?;
        }
    }
    Some(())
}

fn check_purposes(mut list: Reader<'_>) -> Option<()> {
    while !list.is_empty() {
        list.oid()?;
    }
    Some(())
}
