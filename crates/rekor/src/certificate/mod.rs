//! X.509 certificates, as Go's `x509` reads and verifies them. Rekor is written in Go, and so are most programs that read its entries: a certificate
//! that Go refuses must never be logged, since such a program would stop at that entry, and one that Rekor accepts is accepted here.

mod chain;
mod extensions;
mod limits;
mod reader;
mod uri;

use extensions::Extensions;
use reader::{
    BIT_STRING, BMP_STRING, BOOLEAN, GENERALIZED_TIME, IA5_STRING, INTEGER, NULL, NUMERIC_STRING,
    OCTET_STRING, OID, PRINTABLE_STRING, Reader, SEQUENCE, SET, T61_STRING, UTC_TIME, UTF8_STRING,
};

pub(crate) use chain::{ChainError, check};

/// The tags of the parts of a certificate that may be missing.
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// A certificate that Go parses, inside the bytes that it was read from.
pub(crate) struct Certificate<'a> {
    /// The certificate's bytes, from its tag to its signature.
    raw: &'a [u8],
    /// The part that is signed.
    signed: &'a [u8],
    /// 0 to 2, for the versions 1 to 3.
    version: i64,
    /// The content of the signature's `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    /// When its validity begins and ends, in seconds since 1970.
    not_before: i64,
    not_after: i64,
    /// The `SubjectPublicKeyInfo` with its tag and length.
    pub(crate) key: &'a [u8],
    extensions: Extensions<'a>,
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate with nothing behind it; its key may be of any kind.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outside = Reader(der);
        let mut certificate = outside.inside(SEQUENCE)?;
        let signed = certificate.raw(SEQUENCE)?;
        let mut inside = Reader(signed).inside(SEQUENCE)?;
        let version = match inside.optional(VERSION)? {
            None => 0,
            Some(mut version) => {
                let number = version.integer(INTEGER).filter(|it| (0..=2).contains(it))?;
                version.is_empty().then_some(number)?
            }
        };
        // Not negative.
        inside.number(INTEGER).filter(|serial| serial[0] < 0x80)?;
        let algorithm = inside.content(SEQUENCE)?;
        let same = certificate.content(SEQUENCE)?;
        check_algorithm(algorithm).filter(|()| outside.is_empty() && same == algorithm)?;
        let issuer = inside.raw(SEQUENCE)?;
        check_name(issuer)?;
        let mut validity = inside.inside(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = inside.raw(SEQUENCE)?;
        check_name(subject)?;
        let key = inside.raw(SEQUENCE)?;
        if version >= 1 {
            inside.optional(ISSUER_ID)?;
            inside.optional(SUBJECT_ID)?;
        }
        let mut extensions = Extensions::default();
        if version == 2
            && let Some(mut list) = inside.optional(EXTENSIONS)?
        {
            extensions.read(list.inside(SEQUENCE)?)?;
        }
        // Go parses a signature with unused bits, and shifts it, so that it never verifies.
        let (signature, unused) = certificate.bits()?;
        let signature = if unused == 0 { signature } else { &[] };
        Some(Self {
            raw: der,
            signed,
            version,
            algorithm,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            extensions,
            signature,
        })
    }

    /// The names in the certificate, besides its subject.
    pub(crate) fn names(&self) -> Vec<String> {
        self.extensions.names()
    }
}

/// Reads the content of an `AlgorithmIdentifier`. Go skips what is behind the parameters.
fn check_algorithm(content: &[u8]) -> Option<()> {
    let mut algorithm = Reader(content);
    algorithm.oid()?;
    if !algorithm.is_empty() {
        algorithm.any()?;
    }
    Some(())
}

/// Reads a distinguished name.
fn check_name(raw: &[u8]) -> Option<()> {
    let mut sets = Reader(raw).inside(SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.inside(SET)?;
        while !set.is_empty() {
            let mut attribute = set.inside(SEQUENCE)?;
            attribute.oid()?;
            check_value(attribute)?;
        }
    }
    Some(())
}

/// Reads the value of an attribute, of any type.
fn check_value(mut attribute: Reader<'_>) -> Option<()> {
    let value = attribute.any()?;
    let mut alone = Reader(value.raw);
    let is_valid = match value.tag {
        T61_STRING | OCTET_STRING | NULL => true,
        PRINTABLE_STRING => value.content.iter().all(|byte| is_printable(*byte)),
        UTF8_STRING => str::from_utf8(value.content).is_ok(),
        BMP_STRING => is_bmp(value.content),
        IA5_STRING => value.content.is_ascii(),
        NUMERIC_STRING => value
            .content
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b' ')),
        INTEGER => alone.integer(INTEGER).is_some(),
        BIT_STRING => alone.bits().is_some(),
        OID => alone.oid().is_some(),
        UTC_TIME | GENERALIZED_TIME => alone.time().is_some(),
        BOOLEAN => alone.boolean().is_some(),
        _ => true,
    };
    is_valid.then_some(())
}

/// Whether a byte may be in a `PrintableString`. Go allows `*` and `&` as well.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte)
}

/// Whether a text is in UCS-2, and has none of the characters that only UTF-16 has.
fn is_bmp(bytes: &[u8]) -> bool {
    let (characters, rest) = bytes.as_chunks();
    let is_allowed = |bytes: &[u8; 2]| {
        let character = u16::from_be_bytes(*bytes);
        !matches!(character, 0xd800..=0xdfff | 0xfdd0..=0xfdef | 0xfffe..)
    };
    rest.is_empty() && characters.iter().all(is_allowed)
}

#[cfg(test)]
mod tests;
