//! The URIs that Go's `net/url` parses, and the domains that its `x509` accepts in them.

use std::net::{IpAddr, Ipv6Addr};

/// Characters of a host that need no escape, besides letters and digits.
const HOST: &[u8] = b"-_.~!$&'()*+,;=:[]<>\"";
/// The same for a user's name and password.
const USER: &[u8] = b"-._:~!$&'()*+,;=%@";

/// The host of a URI in a certificate with its port, if it has one; `None` if Go does not accept the text, which is ASCII.
pub(super) fn host_of(text: &str) -> Option<String> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let is_visible = text.bytes().all(|c| c >= 0x20 && c != 0x7f);
    (is_visible && is_escaped(fragment)).then_some(())?;
    let (scheme, rest) = split_scheme(text)?;
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    let first = rest.split_once('/').map_or(rest, |(first, _)| first);
    let has_authority = !scheme.is_empty() || !rest.starts_with("///");
    let (authority, path) = match rest.strip_prefix("//") {
        // Behind a scheme this is opaque; without one it must not look like it had one.
        _ if !rest.starts_with('/') && !scheme.is_empty() => return Some(String::new()),
        _ if !rest.starts_with('/') && first.contains(':') => return None,
        Some(rest) if has_authority => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        _ => ("", rest),
    };
    is_escaped(path).then_some(())?;
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    is_user(user).then_some(())?;
    unescaped_host(scheme, host).filter(|host| is_domain(host, false))
}

/// Whether Go accepts a text as a domain; in a constraint it may begin with a dot.
pub(super) fn is_domain(text: &str, is_constraint: bool) -> bool {
    let labels = match text.strip_prefix('.') {
        Some(labels) if is_constraint => labels,
        _ => text,
    };
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|c| c.is_ascii_graphic());
    text.is_empty() || labels.split('.').all(is_label)
}

/// The scheme, which may be empty, and what is behind it; `None` if there is a colon without a scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let end = text.find(|c| !is_scheme(c)).unwrap_or(text.len());
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    match text[end..].strip_prefix(':') {
        Some(_) if end == 0 => None,
        Some(rest) if starts => Some((&text[..end], rest)),
        _ => Some(("", text)),
    }
}

fn is_user(user: &str) -> bool {
    let is_user = |c: u8| c.is_ascii_alphanumeric() || USER.contains(&c);
    // An escape ends where the password begins.
    user.bytes().all(is_user) && user.splitn(2, ':').all(is_escaped)
}

fn unescaped_host(scheme: &str, host: &str) -> Option<String> {
    let Some(bracket) = host.rfind('[') else {
        let mut strict = ["http", "https"].iter();
        let is_strict = strict.any(|it| scheme.eq_ignore_ascii_case(it));
        let colon = if is_strict {
            host.find(':')
        } else {
            host.rfind(':')
        };
        colon.is_none_or(|at| is_port(&host[at..])).then_some(())?;
        return unescape(host, |c| c >= 0x80);
    };
    let (address, port) = host[1..].rsplit_once(']').filter(|_| bracket == 0)?;
    is_port(port).then_some(())?;
    let (address, zone) = match address.find("%25") {
        Some(at) => (&address[..at], Some(&address[at + 3..])),
        None => (address, None),
    };
    address.parse::<Ipv6Addr>().ok()?;
    let zone = match zone {
        Some(zone) => {
            let zone = unescape(zone, |c| is_host_byte(c) || c == b' ')?;
            (!zone.is_empty()).then(|| format!("%{zone}"))?
        }
        None => String::new(),
    };
    Some(format!("[{address}{zone}]{port}"))
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|c| c.is_ascii_digit()))
}

fn is_host_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || HOST.contains(&c)
}

/// Whether each percent sign begins an escape.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| escape(rest).is_some())
}

/// The byte that two hexadecimal digits stand for.
fn escape(rest: &str) -> Option<u8> {
    let digits = rest.get(..2)?;
    let is_hex = digits.bytes().all(|c| c.is_ascii_hexdigit());
    u8::from_str_radix(is_hex.then_some(digits)?, 16).ok()
}

/// A host or a zone without escapes, if those that it has are allowed. A byte that is not ASCII becomes one that no domain has.
fn unescape(text: &str, may_be_escaped: impl Fn(u8) -> bool) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut is_host = out.bytes().all(is_host_byte);
    for part in parts {
        let byte = escape(part).filter(|byte| *byte == b'%' || may_be_escaped(*byte))?;
        out.push(if byte.is_ascii() { byte.into() } else { ' ' });
        out.push_str(&part[2..]);
        is_host &= part[2..].bytes().all(is_host_byte);
    }
    is_host.then_some(out)
}

/// Whether a text is an address, which a constraint on URIs must not be.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_what_go_takes_for_one() {
        for text in [
            "https://github.com/a/b/.github/workflows/c.yml@refs/tags/v1",
            "urn:uuid:1",
            "a/b:c",
            "",
            "*",
            "mailto:%zz",
            "?a:b",
            "https:",
            "https:///path",
            "///path",
            "//host/path",
            "https://example.org:",
            "https://example.org:80?a%",
            "ftp://a:b:80/",
            "https://u:p%41@example.org/",
            "https://[::1]:80/",
            "https://[fe80::1%25en0]/",
            "https://a%25b/",
            "https://a/#\n",
        ] {
            assert!(host_of(text).is_some(), "{text:?}");
        }
        for text in [
            "0ttps://example.org",
            ":x",
            ":b/c",
            "a%b",
            "a_b:c",
            "https://example.org/\u{16}",
            "https://example.org/\u{7f}",
            "https://example.org/%4",
            "https://example.org/#%zz",
            "https://example.org:8o/",
            "https://a:b:80/",
            "https://exa mple.org/",
            "https://exa%20mple.org/",
            "https://ex%ffmple.org/",
            "https://example.org./",
            "https://example..org/",
            "https://.example.org/",
            "https://u ser@example.org/",
            "https://a[::1]/",
            "https://[::1/",
            "https://[127.0.0.1]/",
            "https://[::1]80/",
            "https://[fe80::1%25]/",
        ] {
            assert!(host_of(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_host_is_what_a_limit_is_compared_with() {
        for (text, host) in [
            ("https://u:p@a.test:80/b", "a.test:80"),
            ("https://a%25b/", "a%b"),
            ("https://[fe80::1%25e%20n]", ""),
            ("https://[fe80::1%25en]:1/", "[fe80::1%en]:1"),
            ("urn:a", ""),
            ("/a", ""),
        ] {
            assert_eq!(host_of(text).unwrap_or_default(), host, "{text}");
        }
    }

    #[test]
    fn a_domain_is_what_go_takes_for_one() {
        for (text, in_name, in_constraint) in [
            ("", true, true),
            ("a.test", true, true),
            (".a.test", false, true),
            ("a_b.*", true, true),
            ("a.test.", false, false),
            ("..a", false, false),
            (".", false, false),
            ("a b", false, false),
            ("a\u{7f}", false, false),
        ] {
            assert_eq!(is_domain(text, false), in_name, "{text:?}");
            assert_eq!(is_domain(text, true), in_constraint, "{text:?}");
        }
    }
}
