//! Certificates that are put together by hand. Each verdict is that of Go 1.27's `ParseCertificate`.

use super::*;
use crate::der;
use crate::key::PublicKey;
use crate::testing::{KEYS, issuer, p256};

const FALSE: &[u8] = b"\x01\x01\x00";
const TRUE: &[u8] = b"\x01\x01\xff";
const ALGORITHM: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const COMMON_NAME: &[u8] = b"\x06\x03\x55\x04\x03";
/// The last bytes of the identifiers of X.509's extensions.
const SUBJECT_KEY: u8 = 14;
const KEY_USAGE: u8 = 15;
const NAMES: u8 = 17;
const CONSTRAINTS: u8 = 19;
const NAME_LIMITS: u8 = 30;
const POINTS: u8 = 31;
const POLICIES: u8 = 32;
const MAPPINGS: u8 = 33;
const AUTHORITY_KEY: u8 = 35;
const POLICY_LIMITS: u8 = 36;
const PURPOSES: u8 = 37;
const ANY_POLICY: u8 = 54;

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der::value(SEQUENCE, parts)
}

/// The parts of a certificate in DER.
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    outer_algorithm: Vec<u8>,
    issuer: Vec<u8>,
    validity: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    extensions: Vec<u8>,
    signature: Vec<u8>,
    /// What is behind the signature, and behind the certificate.
    rest: (Vec<u8>, Vec<u8>),
}

impl Parts {
    fn der(&self) -> Vec<u8> {
        let signed = sequence(&[
            &self.version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &self.validity,
            &self.subject,
            &self.key,
            &self.extensions,
        ]);
        let (inside, behind) = &self.rest;
        let parts = [&signed, &self.outer_algorithm, &self.signature, inside];
        [sequence(&parts.map(Vec::as_slice)), behind.clone()].concat()
    }
}

fn name(value: &[u8]) -> Vec<u8> {
    let attribute = sequence(&[COMMON_NAME, value]);
    sequence(&[&der::value(SET, &[&attribute])])
}

fn with(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts {
        version: b"\xa0\x03\x02\x01\x02".to_vec(),
        serial: b"\x02\x01\x05".to_vec(),
        algorithm: sequence(&[ALGORITHM]),
        outer_algorithm: sequence(&[ALGORITHM]),
        issuer: name(b"\x13\x01a"),
        validity: sequence(&[b"\x17\x0d200101000000Z", b"\x17\x0d300101000000Z"]),
        subject: sequence(&[]),
        key: p256().spki(),
        extensions: Vec::new(),
        signature: b"\x03\x02\0\x07".to_vec(),
        rest: (Vec::new(), Vec::new()),
    };
    change(&mut parts);
    parts.der()
}

/// A certificate with extensions, each of which is an identifier, what is between it and the value, and the value.
fn extended(extensions: &[(&[u8], &[u8], &[u8])]) -> Vec<u8> {
    let list: Vec<_> = extensions
        .iter()
        .map(|(id, critical, value)| {
            let (id, value) = (der::value(OID, &[id]), der::value(OCTET_STRING, &[value]));
            sequence(&[&id, critical, &value])
        })
        .collect();
    with(|it| it.extensions = der::value(EXTENSIONS, &[&sequence(&[&list.concat()])]))
}

fn standard(number: u8, value: &[u8]) -> Vec<u8> {
    extended(&[(&[0x55, 0x1d, number], &[], value)])
}

fn judge(what: &str, der: &[u8], is_read: bool) {
    assert_eq!(Certificate::parse(der).is_some(), is_read, "{what}");
}

#[test]
fn a_certificate_is_what_go_parses() {
    type Change = fn(&mut Parts);
    let cases: [(&str, bool, Change); 30] = [
        ("as it is", true, |_| {}),
        ("version 1", true, |it| it.version.clear()),
        ("version 1, said", true, |it| it.version[4] = 0),
        ("version 2", true, |it| it.version[4] = 1),
        ("version 4", false, |it| it.version[4] = 3),
        ("negative version", false, |it| it.version[4] = 0xff),
        ("two versions", false, |it| {
            it.version = b"\xa0\x06\x02\x01\x02\x02\x01\x02".to_vec();
        }),
        ("serial 0", true, |it| it.serial[2] = 0),
        ("negative serial", false, |it| it.serial[2] = 0x80),
        ("long serial", false, |it| {
            it.serial = b"\x02\x02\0\x05".to_vec()
        }),
        ("no serial", false, |it| it.serial = b"\x02\0".to_vec()),
        ("another algorithm outside", false, |it| {
            it.outer_algorithm[10] = 0x99;
        }),
        ("no algorithm", false, |it| {
            it.algorithm = sequence(&[]);
            it.outer_algorithm = sequence(&[]);
        }),
        ("text in the name", true, |it| {
            it.subject = name(b"\x0c\x02\xc3\xa4")
        }),
        ("no UTF-8", false, |it| it.subject = name(b"\x0c\x01\xa4")),
        ("not printable", false, |it| it.subject = name(b"\x13\x01@")),
        ("not IA5", false, |it| it.subject = name(b"\x16\x01\xa4")),
        ("not numeric", false, |it| it.subject = name(b"\x12\x01a")),
        ("half a character", false, |it| {
            it.subject = name(b"\x1e\x01a")
        }),
        ("a surrogate", false, |it| {
            it.subject = name(b"\x1e\x02\xd8\0")
        }),
        ("Latin 1", true, |it| it.subject = name(b"\x14\x01\xa4")),
        ("a number as a name", true, |it| {
            it.subject = name(b"\x02\x01\x05")
        }),
        ("something as a name", true, |it| {
            it.subject = name(b"\x30\x01\xff")
        }),
        ("no value", false, |it| it.subject = name(b"")),
        ("two values", true, |it| {
            it.subject = name(b"\x13\x01a\x13\x01b")
        }),
        ("an attribute that is no set", false, |it| {
            it.subject = sequence(&[&sequence(&[COMMON_NAME, b"\x13\x01a"])]);
        }),
        ("no time", false, |it| {
            it.validity = sequence(&[b"\x17\x0d200101000000Z"])
        }),
        ("three times", true, |it| {
            it.validity = sequence(&[&[&b"\x17\x0d200101000000Z"[..]; 3].concat()]);
        }),
        ("something behind the signature", true, |it| {
            it.rest.0.push(7)
        }),
        ("something behind it all", false, |it| it.rest.1.push(7)),
    ];
    for (what, is_read, change) in cases {
        judge(what, &with(change), is_read);
    }
    judge("unused bits", &with(|it| it.signature[2] = 1), false);
    let ids = [&b"\x81\x01\0"[..], b"\x82\x01\0"].concat();
    judge("unique identifiers", &with(|it| it.extensions = ids), true);
    let broken = b"\x81\x05\0".to_vec();
    judge(
        "a broken identifier",
        &with(|it| it.extensions = broken.clone()),
        false,
    );
    let old = |it: &mut Parts| (it.version[4], it.extensions) = (0, broken);
    judge("the same in version 1", &with(old), true);
}

#[test]
fn extensions_are_what_go_parses() {
    let mailbox = b"\x30\x03\x81\x01a";
    for (what, number, value, is_read) in [
        ("key usage", KEY_USAGE, &b"\x03\x02\x07\x80"[..], true),
        (
            "unused bits that are set",
            KEY_USAGE,
            b"\x03\x02\x07\xc0",
            false,
        ),
        ("a number as usage", KEY_USAGE, b"\x02\x01\x05", false),
        (
            "an authority",
            CONSTRAINTS,
            b"\x30\x06\x01\x01\xff\x02\x01\x02",
            true,
        ),
        ("another true", CONSTRAINTS, b"\x30\x03\x01\x01\x01", false),
        ("false", CONSTRAINTS, b"\x30\x03\x01\x01\0", true),
        (
            "a negative length",
            CONSTRAINTS,
            b"\x30\x03\x02\x01\xff",
            false,
        ),
        ("no constraints", CONSTRAINTS, b"\x30\0", true),
        ("nothing", CONSTRAINTS, b"", false),
        ("a name", NAMES, mailbox, true),
        (
            "a name, and something behind it",
            NAMES,
            b"\x30\x03\x81\x01a\xff",
            true,
        ),
        ("no name", NAMES, b"\x30\0", true),
        ("a name of no kind", NAMES, b"\x30\x03\x85\x01\xff", true),
        ("not ASCII", NAMES, b"\x30\x03\x82\x01\xff", false),
        ("not a URI", NAMES, b"\x30\x04\x86\x02:a", false),
        ("half an address", NAMES, b"\x30\x04\x87\x02\x01\x02", false),
        (
            "IPv4 in IPv6",
            NAMES,
            b"\x30\x12\x87\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04",
            false,
        ),
        (
            "a limit",
            NAME_LIMITS,
            b"\x30\x07\xa0\x05\x30\x03\x82\x01a",
            true,
        ),
        ("no limits", NAME_LIMITS, b"\x30\0", false),
        ("an empty limit", NAME_LIMITS, b"\x30\x02\xa0\0", false),
        (
            "a domain with a space",
            NAME_LIMITS,
            b"\x30\x07\xa0\x05\x30\x03\x82\x01 ",
            false,
        ),
        (
            "a mailbox",
            NAME_LIMITS,
            b"\x30\x09\xa1\x07\x30\x05\x81\x03a@b",
            true,
        ),
        (
            "nobody's mailbox",
            NAME_LIMITS,
            b"\x30\x08\xa1\x06\x30\x04\x81\x02@b",
            false,
        ),
        (
            "a network",
            NAME_LIMITS,
            b"\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\0\0\0\xff\0\0\0",
            true,
        ),
        (
            "a mask with holes",
            NAME_LIMITS,
            b"\x30\x0e\xa0\x0c\x30\x0a\x87\x08\x0a\0\0\0\xff\0\xff\0",
            false,
        ),
        (
            "a URI's domain",
            NAME_LIMITS,
            b"\x30\x07\xa0\x05\x30\x03\x86\x01a",
            true,
        ),
        (
            "a URI's address",
            NAME_LIMITS,
            b"\x30\x0d\xa0\x0b\x30\x09\x86\x071.2.3.4",
            false,
        ),
        (
            "limits, and something behind them",
            NAME_LIMITS,
            b"\x30\x07\xa0\x05\x30\x03\x82\x01a\0",
            false,
        ),
        (
            "a revocation list",
            POINTS,
            b"\x30\x09\x30\x07\xa0\x05\xa0\x03\x86\x01a",
            true,
        ),
        (
            "a list elsewhere",
            POINTS,
            b"\x30\x09\x30\x07\xa0\x05\xa1\x03\x86\x01a",
            false,
        ),
        (
            "a list without a place",
            POINTS,
            b"\x30\x04\x30\x02\x81\0",
            true,
        ),
        ("a policy", POLICIES, b"\x30\x05\x30\x03\x06\x01\x2a", true),
        (
            "a policy of many bits",
            POLICIES,
            b"\x30\x0b\x30\x09\x06\x07\x2a\xff\xff\xff\xff\xff\x7f",
            true,
        ),
        (
            "a policy twice",
            POLICIES,
            b"\x30\x0a\x30\x03\x06\x01\x2a\x30\x03\x06\x01\x2a",
            false,
        ),
        (
            "half a policy",
            POLICIES,
            b"\x30\x05\x30\x03\x06\x01\xaa",
            false,
        ),
        (
            "a mapping",
            MAPPINGS,
            b"\x30\x08\x30\x06\x06\x01\x2a\x06\x01\x2b",
            true,
        ),
        (
            "half a mapping",
            MAPPINGS,
            b"\x30\x05\x30\x03\x06\x01\x2a",
            false,
        ),
        (
            "limits of policies",
            POLICY_LIMITS,
            b"\x30\x06\x80\x01\0\x81\x01\0",
            true,
        ),
        (
            "a long limit",
            POLICY_LIMITS,
            b"\x30\x04\x80\x02\0\x01",
            false,
        ),
        ("a purpose", PURPOSES, b"\x30\x03\x06\x01\x2a", true),
        ("half a purpose", PURPOSES, b"\x30\x03\x06\x01\xaa", false),
        (
            "a purpose of many bits",
            PURPOSES,
            b"\x30\x09\x06\x07\x2a\xff\xff\xff\xff\xff\x7f",
            false,
        ),
        ("any policy", ANY_POLICY, b"\x02\x01\0", true),
        ("a text as a number", ANY_POLICY, b"\x04\x01\0", false),
        ("a key's identifier", SUBJECT_KEY, b"\x04\x01\x07", true),
        (
            "a number as identifier",
            SUBJECT_KEY,
            b"\x02\x01\x07",
            false,
        ),
        (
            "the authority's identifier",
            AUTHORITY_KEY,
            b"\x30\x03\x80\x01\x07",
            true,
        ),
        (
            "a broken one",
            AUTHORITY_KEY,
            b"\x30\x03\x80\x02\x07",
            false,
        ),
        (
            "one of another kind",
            AUTHORITY_KEY,
            b"\x30\x03\x81\x01\x07",
            true,
        ),
        ("an unknown one", 99, b"\xff", true),
    ] {
        judge(what, &standard(number, value), is_read);
    }
    let names = &[0x55, 0x1d, NAMES][..];
    judge("critical", &extended(&[(names, TRUE, mailbox)]), true);
    judge("not critical", &extended(&[(names, FALSE, mailbox)]), true);
    judge(
        "another true",
        &extended(&[(names, b"\x01\x01\x01", mailbox)]),
        false,
    );
    let twice = [(names, &[][..], &mailbox[..]); 2];
    judge("twice", &extended(&twice), false);
    judge(
        "half an identifier",
        &extended(&[(b"\x55\x9d", &[], b"")]),
        false,
    );
    let key = (&[0x55, 0x1d, SUBJECT_KEY][..], TRUE, &b"\x04\x01\x07"[..]);
    judge("a critical identifier", &extended(&[key]), false);
    let access = b"\x30\x07\x30\x05\x06\x01\x2a\x86\0";
    let id: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x01\x01";
    judge("access", &extended(&[(id, &[], access)]), true);
    judge(
        "broken access",
        &extended(&[(id, &[], &access[..8])]),
        false,
    );
    judge("critical access", &extended(&[(id, TRUE, access)]), false);
    judge(
        "elsewhere",
        &extended(&[(b"\x2a\x03", TRUE, b"\xff")]),
        true,
    );
    let none = der::value(EXTENSIONS, &[]);
    judge("no list", &with(|it| it.extensions = none), false);
}

#[test]
fn a_key_of_a_certificate_is_on_its_curve() {
    for (key, point) in KEYS.iter().zip([65, 97, 133]) {
        let mut spki = key.spki();
        let read = |spki: &[u8]| {
            let der = with(|it| it.key = spki.to_vec());
            PublicKey::from_certificate(&der).is_ok()
        };
        assert!(read(&spki), "{}", key.details);
        let at = spki.len() - point + 1;
        spki[at] ^= 1;
        assert!(!read(&spki), "{}", key.details);
    }
}

/// Another reader with other rules finds the same times, key and subject in each changed certificate that both accept.
#[test]
fn a_changed_certificate_is_read_as_another_reader_reads_it() {
    let names = vec![rcgen::SanType::Rfc822Name(
        "dev@logd.test".try_into().unwrap(),
    )];
    let der = p256().certificate(names, &issuer());
    let mut accepted = 0;
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut der = der.clone();
            der[at] ^= 1 << bit;
            let Some(found) = Certificate::parse(&der) else {
                continue;
            };
            let Ok((rest, other)) = x509_parser::parse_x509_certificate(&der) else {
                continue;
            };
            let validity = other.validity();
            let times = [validity.not_before, validity.not_after].map(|it| it.timestamp());
            assert!(rest.is_empty());
            assert_eq!([found.not_before, found.not_after], times);
            assert!(found.key.starts_with(other.public_key().raw));
            assert_eq!(found.subject, other.subject().as_raw());
            accepted += 1;
        }
    }
    // Most of what can change is the key, the serial number and the signature.
    assert!(accepted > der.len() * 4, "{accepted}");
}
