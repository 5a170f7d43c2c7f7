//! Chains of certificates, and the names in them.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, Issuer, KeyPair, OtherNameValue, SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::*;
use crate::VerifierError;
use crate::testing::{authority, issuer, p256, pem};

/// A root, an intermediate below it, and a leaf for the tests' P-256 key, all in DER.
struct Chain {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    leaf: Vec<u8>,
}

/// The validity of a certificate, in years.
type Years = (i32, i32);

fn chain(root_years: Years, leaf_years: Years) -> Chain {
    let valid = |mut params: CertificateParams, (begin, end): Years| {
        params.not_before = date_time_ymd(begin, 1, 1);
        params.not_after = date_time_ymd(end, 1, 1);
        params
    };
    let root_params = valid(authority("root"), root_years);
    let root_key = KeyPair::generate().unwrap();
    let root = root_params.self_signed(&root_key).unwrap().der().to_vec();
    let root_issuer = Issuer::new(root_params, root_key);
    let params = valid(authority("intermediate"), (2000, 2050));
    let key = KeyPair::generate().unwrap();
    let intermediate = params.signed_by(&key, &root_issuer).unwrap().der().to_vec();
    let mut leaf = valid(CertificateParams::default(), leaf_years);
    leaf.distinguished_name = DistinguishedName::new();
    leaf.subject_alt_names = vec![SanType::Rfc822Name("Dev@logd.test".try_into().unwrap())];
    let leaf = leaf
        .signed_by(p256(), &Issuer::new(params, key))
        .unwrap()
        .der()
        .to_vec();
    Chain {
        root,
        intermediate,
        leaf,
    }
}

fn body(certificates: &[&Vec<u8>]) -> Value {
    let pems: String = certificates
        .iter()
        .map(|der| pem("CERTIFICATE", der))
        .collect();
    let hash = json!({"algorithm": "sha256", "value": tlog::hex(p256().digest(b"x").as_ref())});
    let signature = json!({"content": b64(p256().sign(b"x")), "publicKey": {"content": b64(pems)}});
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": {"hash": hash}, "signature": signature}})
}

#[test]
fn a_chain_is_checked_when_its_leaf_began_to_be_valid() {
    // Expired long ago: the log keeps what was true then.
    let Chain {
        root,
        intermediate,
        leaf,
    } = chain((2000, 2050), (2001, 2002));
    let other = chain((2000, 2050), (2001, 2002));
    for accepted in [
        vec![&leaf],
        vec![&leaf, &intermediate, &root],
        vec![&leaf, &other.intermediate, &intermediate, &root],
    ] {
        let body = body(&accepted);
        let keys = logged_as(&body, &body);
        assert!(keys.contains(&"dev@logd.test".to_owned()), "{keys:?}");
    }
    // An intermediate may be the last one.
    assert!(logged(&body(&[&leaf, &intermediate])).is_ok());
    let late_root = chain((2005, 2050), (2001, 2002));
    let early_root = chain((1990, 1995), (2001, 2002));
    for refused in [
        vec![&leaf, &root],
        vec![&leaf, &intermediate, &other.root],
        vec![&leaf, &other.intermediate, &root],
        vec![&leaf, &leaf],
    ] {
        assert_eq!(
            logged(&body(&refused)),
            Err(Reason::from(VerifierError::Chain).into())
        );
    }
    let outside = chain((2000, 2050), (1999, 2060));
    for refused in [late_root, early_root, outside] {
        assert_eq!(
            logged(&body(&[
                &refused.leaf,
                &refused.intermediate,
                &refused.root
            ])),
            Err(Reason::from(VerifierError::Expired).into())
        );
    }
}

#[test]
fn a_chain_has_at_most_ten_certificates() {
    let Chain {
        root,
        intermediate,
        leaf,
    } = chain((2000, 2050), (2001, 2002));
    let mut certificates = vec![&leaf];
    certificates.extend([&intermediate; 8]);
    certificates.push(&root);
    assert!(logged(&body(&certificates)).is_ok());
    certificates.push(&root);
    assert_eq!(
        logged(&body(&certificates)),
        Err(Reason::from(VerifierError::TooMany).into())
    );
}

#[test]
fn an_entry_is_found_by_each_name_of_its_certificate() {
    let text = |text: &str| text.try_into().unwrap();
    let names = vec![
        SanType::Rfc822Name(text("Dev@Logd.test")),
        SanType::URI(text(
            "https://github.com/O/R/.github/workflows/a.yml@refs/heads/main",
        )),
        SanType::DnsName(text("logd.test")),
        SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
        SanType::IpAddress("2001:DB8::1".parse().unwrap()),
        SanType::OtherName((
            vec![1, 3, 6, 1, 4, 1, 57264, 1, 7],
            OtherNameValue::Utf8String("A Name".to_owned()),
        )),
        SanType::OtherName((
            vec![1, 2, 3],
            OtherNameValue::Utf8String("not an identity".to_owned()),
        )),
    ];
    let body = body(&[&p256().certificate(names, &issuer())]);
    let keys = logged_as(&body, &body);
    for name in [
        "dev@logd.test",
        "https://github.com/o/r/.github/workflows/a.yml@refs/heads/main",
        "logd.test",
        "127.0.0.1",
        "2001:db8::1",
        "a name",
    ] {
        assert!(keys.contains(&name.to_owned()), "{name}: {keys:?}");
    }
    assert_eq!(keys.len(), 6 + 2);
}
