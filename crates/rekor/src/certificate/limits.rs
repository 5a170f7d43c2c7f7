//! The names that an authority may sign certificates for (RFC 5280, 4.2.1.10), as Go reads and checks them.

use super::reader::{Reader, SEQUENCE};
use super::uri::{host_of, is_address, is_domain};
use super::{Certificate, extensions};
use extensions::{ADDRESS, DNS, EMAIL, URI, is_ip, text};

/// The tags of the names that are allowed, and of those that are not.
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

/// A limit: the tag of the kind of name, and the value.
type Limit<'a> = (u8, &'a [u8]);

/// The limits of an authority.
#[derive(Default)]
pub(super) struct Limits<'a> {
    permitted: Vec<Limit<'a>>,
    excluded: Vec<Limit<'a>>,
    /// Whether there are limits for other kinds of names.
    pub(super) has_unknown: bool,
}

impl<'a> Limits<'a> {
    /// Reads the value of the extension.
    pub(super) fn read(mut value: Reader<'a>) -> Option<Self> {
        let mut both = value.inside(SEQUENCE)?;
        let permitted = both.optional(PERMITTED)?.unwrap_or_default();
        let excluded = both.optional(EXCLUDED)?.unwrap_or_default();
        let is_whole = value.is_empty() && both.is_empty();
        let has_some = !permitted.is_empty() || !excluded.is_empty();
        (is_whole && has_some).then_some(())?;
        let mut limits = Self::default();
        limits.permitted = limits.list(permitted)?;
        limits.excluded = limits.list(excluded)?;
        Some(limits)
    }

    fn list(&mut self, mut list: Reader<'a>) -> Option<Vec<Limit<'a>>> {
        let mut limits = Vec::new();
        while !list.is_empty() {
            let base = list.inside(SEQUENCE)?.any()?;
            let text = || text(base.content);
            let is_valid = match base.tag {
                DNS => is_domain(text()?, true),
                EMAIL if text()?.contains('@') => Mailbox::parse(text()?).is_some(),
                EMAIL => is_domain(text()?, true),
                URI => is_domain(text()?, true) && !is_address(text()?),
                ADDRESS => is_network(base.content),
                _ => {
                    self.has_unknown = true;
                    continue;
                }
            };
            is_valid.then_some(())?;
            limits.push((base.tag, base.content));
        }
        Some(limits)
    }

    fn count(&self) -> usize {
        self.permitted.len() + self.excluded.len()
    }

    fn allow(&self, name: &Name<'_>) -> bool {
        let of_kind = |list: &[Limit<'a>]| -> Vec<&'a [u8]> {
            let list = list.iter().filter(|(tag, _)| *tag == name.tag());
            list.map(|(_, limit)| *limit).collect()
        };
        let (permitted, excluded) = (of_kind(&self.permitted), of_kind(&self.excluded));
        let is_permitted = permitted.is_empty() || permitted.iter().any(|it| name.is_in(it));
        is_permitted
            && !excluded
                .iter()
                .any(|it| name.is_in(it) || name.overlaps(it))
    }
}

/// The most comparisons of a name with a limit for one request, as in Go: names and limits multiply.
pub(super) const MAX_COMPARISONS: usize = 250_000;

/// Whether the authorities of a chain, which is in the order from the leaf to the root, allow the names in the certificates before them. `compared`
/// counts over all chains of a request; too many comparisons allow nothing.
pub(super) fn are_names_allowed(chain: &[&Certificate<'_>], compared: &mut usize) -> bool {
    (0..).zip(chain).all(|(at, certificate)| {
        let above = chain.iter().skip(at + 1);
        let limits: Vec<_> = above
            .filter_map(|it| it.extensions.limits.as_ref())
            .collect();
        if limits.is_empty() {
            return true;
        }
        let count = 1 + limits.iter().map(|limits| limits.count()).sum::<usize>();
        let mut names = certificate.extensions.all_names();
        names.all(|(tag, value)| {
            *compared += count;
            if *compared > MAX_COMPARISONS {
                return false;
            }
            match Name::parse(tag, value) {
                Some(name) => limits.iter().all(|limits| limits.allow(&name)),
                // Names of other kinds have no limits that are understood.
                None => !matches!(tag, DNS | EMAIL | URI | ADDRESS),
            }
        })
    })
}

/// A name that can be compared with limits.
enum Name<'a> {
    Domain(&'a str),
    Email(Mailbox<'a>),
    Host(String),
    Address(&'a [u8]),
}

impl<'a> Name<'a> {
    fn parse(tag: u8, value: &'a [u8]) -> Option<Self> {
        match tag {
            DNS => text(value)
                .filter(|it| is_domain(it, false))
                .map(Self::Domain),
            EMAIL => Mailbox::parse(text(value)?).map(Self::Email),
            URI => {
                let host = host_of(text(value)?)?;
                let host = match host.split_once(':') {
                    // An address in brackets can have no limit.
                    _ if host.starts_with('[') => return None,
                    Some((_, port)) if port.contains(':') => return None,
                    Some((host, _)) => host.to_owned(),
                    None => host,
                };
                let is_name = !host.is_empty() && !is_address(&host) && is_domain(&host, false);
                is_name.then_some(Self::Host(host))
            }
            ADDRESS => Some(Self::Address(value)),
            _ => None,
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Domain(_) => DNS,
            Self::Email(_) => EMAIL,
            Self::Host(_) => URI,
            Self::Address(_) => ADDRESS,
        }
    }

    fn is_in(&self, limit: &[u8]) -> bool {
        match (self, text(limit)) {
            (Self::Address(address), _) => is_in_network(address, limit),
            (Self::Domain(domain), Some(limit)) => is_in_domain(domain, limit),
            (Self::Host(host), Some(limit)) => is_in_domain(host, limit),
            (Self::Email(mailbox), Some(limit)) => match Mailbox::parse(limit) {
                Some(limit) => mailbox.is(&limit),
                None => is_in_domain(mailbox.domain, limit),
            },
            (_, None) => false,
        }
    }

    /// Whether a name with an asterisk also stands for names of an excluded domain.
    fn overlaps(&self, limit: &[u8]) -> bool {
        let name = match self {
            Self::Domain(domain) => domain,
            Self::Host(host) => host.as_str(),
            Self::Email(mailbox) => mailbox.domain,
            Self::Address(_) => return false,
        };
        let parent = |name: &str| name.find('.').map(|at| name[at..].to_ascii_lowercase());
        let limit = text(limit).filter(|limit| !limit.contains('@'));
        name.starts_with('*')
            && limit.is_some_and(|limit| parent(limit).is_some_and(|it| Some(it) == parent(name)))
    }
}

/// An email address: the part before the `@` without quotes, and the domain.
struct Mailbox<'a> {
    user: String,
    domain: &'a str,
}

impl<'a> Mailbox<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.chars();
        let mut user = String::new();
        match rest.as_str().strip_prefix('"') {
            Some(quoted) => {
                rest = quoted.chars();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => user.push(rest.next().filter(|c| is_quotable(*c))?),
                        c if is_quotable(c) && c != '\t' => user.push(c),
                        _ => return None,
                    }
                }
            }
            None => {
                while let Some(c) = rest.clone().next().filter(|c| *c == '\\' || is_atom(*c)) {
                    rest.next();
                    user.push(if c == '\\' { rest.next()? } else { c });
                }
                let has_parts = user.split('.').all(|part| !part.is_empty());
                has_parts.then_some(())?;
            }
        }
        let domain = rest.as_str().strip_prefix('@')?;
        let is_valid = is_domain(domain, false) && !domain.contains('@');
        is_valid.then_some(Self { user, domain })
    }

    fn is(&self, other: &Self) -> bool {
        self.user == other.user && self.domain.eq_ignore_ascii_case(other.domain)
    }
}

/// Whether a character may be in quotes (RFC 2822, 3.2.2).
fn is_quotable(c: char) -> bool {
    !matches!(c, '\0' | '\n' | '\r')
}

/// Whether a character needs no quotes (RFC 2822, 3.2.4).
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

/// Whether a domain is the one of a limit or below it; below it, if the limit begins with a dot; in any case if it is empty.
fn is_in_domain(domain: &str, limit: &str) -> bool {
    let Some(at) = domain.len().checked_sub(limit.len()) else {
        return false;
    };
    let (before, end) = domain.split_at(at);
    let is_label = at == 0 || limit.starts_with('.') || before.ends_with('.');
    limit.is_empty() || end.eq_ignore_ascii_case(limit) && is_label
}

/// Whether these are an address and a mask whose ones are all at its begin.
fn is_network(bytes: &[u8]) -> bool {
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let mut has_zero = false;
    let is_mask = mask.iter().all(|byte| {
        let is_start = byte.leading_ones() + byte.trailing_zeros() == 8;
        let is_valid = is_start && (*byte == 0 || !has_zero);
        has_zero |= *byte != 0xff;
        is_valid
    });
    matches!(bytes.len(), 8 | 32) && is_ip(address) && is_mask
}

fn is_in_network(address: &[u8], network: &[u8]) -> bool {
    let (base, mask) = network.split_at(network.len() / 2);
    let mut bytes = address.iter().zip(base).zip(mask);
    address.len() == base.len() && bytes.all(|((byte, base), mask)| (byte ^ base) & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der;

    fn subtree((tag, value): Limit<'_>) -> Vec<u8> {
        der::value(SEQUENCE, &[&der::value(tag, &[value])])
    }

    /// Whether a name is allowed where only this is permitted, and where only this is excluded; `None` if it cannot be compared.
    fn verdicts(limit: Limit<'_>, (tag, value): Limit<'_>) -> Option<(bool, bool)> {
        let name = Name::parse(tag, value)?;
        let allowed = |list| {
            let list = der::value(list, &[&subtree(limit)]);
            let value = der::value(SEQUENCE, &[&list]);
            Limits::read(Reader(&value)).unwrap().allow(&name)
        };
        Some((allowed(PERMITTED), allowed(EXCLUDED)))
    }

    #[test]
    fn names_are_compared_as_in_go() {
        const INSIDE: Option<(bool, bool)> = Some((true, false));
        const OUTSIDE: Option<(bool, bool)> = Some((false, true));
        /// A name that stands for some inside and some outside.
        const BOTH: Option<(bool, bool)> = Some((false, false));
        /// A limit for names of another kind.
        const OTHER: Option<(bool, bool)> = Some((true, true));
        for (limit, name, expected) in [
            ((DNS, "a.test"), (DNS, "a.test"), INSIDE),
            ((DNS, "a.test"), (DNS, "b.A.test"), INSIDE),
            ((DNS, "a.test"), (DNS, "xa.test"), OUTSIDE),
            ((DNS, "a.test"), (DNS, "test"), OUTSIDE),
            ((DNS, ".a.test"), (DNS, "a.test"), OUTSIDE),
            ((DNS, ".a.test"), (DNS, "b.a.test"), INSIDE),
            ((DNS, ""), (DNS, "test"), INSIDE),
            ((DNS, "a.test"), (DNS, "*.test"), BOTH),
            ((DNS, "a.test"), (DNS, "*.a.test"), INSIDE),
            ((DNS, "a.test"), (DNS, "a b"), None),
            ((DNS, "a.test"), (EMAIL, "u@b.test"), OTHER),
            ((EMAIL, "a.test"), (EMAIL, "u@A.test"), INSIDE),
            ((EMAIL, "a.test"), (EMAIL, "u@b.test"), OUTSIDE),
            ((EMAIL, "u@a.test"), (EMAIL, "u@A.test"), INSIDE),
            ((EMAIL, "u@a.test"), (EMAIL, "U@a.test"), OUTSIDE),
            ((EMAIL, "u@a.test"), (EMAIL, "\"\\u\"@a.test"), INSIDE),
            ((EMAIL, "a.test"), (EMAIL, "nobody"), None),
            ((EMAIL, "a.test"), (EMAIL, "u..v@a.test"), None),
            ((EMAIL, "a.test"), (EMAIL, "u@v@a.test"), None),
            ((URI, "a.test"), (URI, "https://u@b.a.test:80/x"), INSIDE),
            ((URI, ".a.test"), (URI, "https://a.test/x"), OUTSIDE),
            ((URI, "a.test"), (URI, "urn:x"), None),
            ((URI, "a.test"), (URI, "https://1.2.3.4/"), None),
            ((URI, "a.test"), (URI, "https://[::1]/"), None),
        ] {
            let found = verdicts((limit.0, limit.1.as_bytes()), (name.0, name.1.as_bytes()));
            assert_eq!(found, expected, "{limit:?} {name:?}");
        }
        let network = (ADDRESS, &b"\x0a\x01\0\0\xff\0\0\0"[..]);
        for (address, expected) in [
            (&b"\x0a\x02\x03\x04"[..], INSIDE),
            (b"\x0b\x02\x03\x04", OUTSIDE),
            (&[10; 16], OUTSIDE),
        ] {
            assert_eq!(verdicts(network, (ADDRESS, address)), expected);
        }
    }
}
