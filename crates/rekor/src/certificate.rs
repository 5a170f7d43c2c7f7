//! The parts of a certificate that nothing here needs. Go's `x509` parses them all, and refuses a certificate if any of them is malformed. A program
//! in Go that reads the log would then stop at that entry.

use x509_parser::asn1_rs::{Oid, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Name;

/// The prefix of the identifiers of X.509's own extensions: 2.5.29.
const STANDARD: &[u8] = &[0x55, 0x1d];
const EMAIL: Tag = Tag(1);
const DNS: Tag = Tag(2);
const URI: Tag = Tag(6);
const ADDRESS: Tag = Tag(7);

/// Whether Go accepts the rest of a certificate, as far as its parsed parts show.
pub(crate) fn is_read(certificate: &X509Certificate<'_>) -> bool {
    let signed = &certificate.tbs_certificate;
    let is_extension = |it: &x509_parser::extensions::X509Extension<'_>| {
        let is_malformed = matches!(it.parsed_extension(), ParsedExtension::ParseError { .. });
        // Go ignores malformed extensions that X.509 itself does not define.
        is_oid(&it.oid) && !(is_malformed && it.oid.as_bytes().starts_with(STANDARD))
    };
    let names = || match certificate.subject_alternative_name() {
        Ok(Some(names)) => names.value.general_names.iter().all(is_name),
        Ok(None) => true,
        Err(_) => false,
    };
    signed.version.0 <= 2
        && is_integer(signed.raw_serial())
        && certificate.signature_algorithm == signed.signature
        && is_oid(&signed.signature.algorithm)
        && is_distinguished(&signed.issuer)
        && is_distinguished(&signed.subject)
        && certificate.extensions().iter().all(is_extension)
        && certificate.extensions_map().is_ok()
        && names()
}

/// Whether a number is written in as few bytes as it needs.
fn is_integer(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        [0, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// Whether each part of an identifier is written in as few bytes as it needs, and ends.
fn is_oid(oid: &Oid<'_>) -> bool {
    let bytes = oid.as_bytes();
    let mut is_first = true;
    for byte in bytes {
        if is_first && *byte == 0x80 {
            return false;
        }
        is_first = byte & 0x80 == 0;
    }
    is_first && !bytes.is_empty()
}

/// Whether each value of a distinguished name is valid for its string type.
fn is_distinguished(name: &X509Name<'_>) -> bool {
    name.iter_attributes().all(|attribute| {
        let value = attribute.attr_value();
        let is_printable = |c: &u8| c.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(c);
        let is_text = match value.tag() {
            Tag::PrintableString => value.data.iter().all(is_printable),
            Tag::Utf8String => str::from_utf8(value.data).is_ok(),
            Tag::Ia5String => value.data.is_ascii(),
            Tag::NumericString => value.data.iter().all(|c| c.is_ascii_digit() || *c == b' '),
            Tag::T61String => true,
            Tag::BmpString => value.data.len().is_multiple_of(2),
            _ => false,
        };
        is_text && is_oid(attribute.attr_type())
    })
}

fn is_name(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::Invalid(EMAIL | DNS | URI | ADDRESS, _) => false,
        GeneralName::RFC822Name(name) | GeneralName::DNSName(name) => name.is_ascii(),
        GeneralName::URI(name) => is_uri(name),
        GeneralName::IPAddress(bytes) => matches!(bytes.len(), 4 | 16),
        _ => true,
    }
}

/// Whether Go accepts a text as a URI: a scheme, if there is one, is well-formed, and there are no control characters.
fn is_uri(text: &str) -> bool {
    let is_visible = text.bytes().all(|c| (0x20..0x7f).contains(&c));
    let path = text.find(['/', '?', '#']).unwrap_or(text.len());
    let scheme = text[..path].split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        let others = scheme
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && others
    };
    is_visible && scheme.is_none_or(is_scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_identifiers_have_one_spelling() {
        for (bytes, is_right) in [
            (&[][..], false),
            (&[0], true),
            (&[0, 0x7f], false),
            (&[0, 0x80], true),
            (&[0xff, 0x80], false),
            (&[0xff, 0x7f], true),
            (&[1, 2], true),
        ] {
            assert_eq!(is_integer(bytes), is_right, "{bytes:?}");
        }
        for (bytes, is_right) in [
            (&[0x55, 0x1d, 0x11][..], true),
            (&[0x55, 0x80, 0x11], false),
            (&[0x55, 0x81, 0x80, 0x01], true),
            (&[0x55, 0x81], false),
            (&[], false),
        ] {
            assert_eq!(is_oid(&Oid::new(bytes.into())), is_right, "{bytes:?}");
        }
    }

    #[test]
    fn a_uri_is_what_go_takes_for_one() {
        for (text, is_right) in [
            (
                "https://github.com/a/b/.github/workflows/c.yml@refs/tags/v1",
                true,
            ),
            ("urn:uuid:1", true),
            ("a/b:c", true),
            ("", true),
            ("0ttps://example.org", false),
            (":x", false),
            ("https://example.org/\u{16}", false),
            ("https://example.org/\u{7f}", false),
        ] {
            assert_eq!(is_uri(text), is_right, "{text}");
        }
    }
}
