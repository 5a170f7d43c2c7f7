//! Chains of certificates, and the names in them.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, OtherNameValue, SanType, date_time_ymd,
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
        // The first certificate is the root itself.
        vec![&leaf, &leaf],
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

/// Certificates from the root to the leaf, each of which signed the next one.
fn chain_of(params: &[&CertificateParams]) -> Vec<Vec<u8>> {
    let mut above: Option<Issuer<'_, KeyPair>> = None;
    let (leaf, authorities) = params.split_last().unwrap();
    let mut ders = Vec::new();
    for params in authorities {
        let key = KeyPair::generate().unwrap();
        let certificate = match &above {
            None => params.self_signed(&key),
            Some(above) => params.signed_by(&key, above),
        };
        ders.push(certificate.unwrap().der().to_vec());
        above = Some(Issuer::new((*params).clone(), key));
    }
    let leaf = leaf.signed_by(p256(), above.as_ref().unwrap()).unwrap();
    ders.push(leaf.der().to_vec());
    ders
}

/// Parameters with a change.
fn with(
    params: &CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    let mut params = params.clone();
    change(&mut params);
    params
}

fn unknown(is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    extension.set_criticality(is_critical);
    extension
}

/// Each verdict is that of Go 1.27's `Certificate.Verify` with Rekor's options.
#[test]
fn a_chain_is_what_rekor_takes_for_one() {
    use VerifierError::{Chain as Unknown, Critical, Name, TooLong};
    let root = &authority("root");
    let middle = &authority("middle");
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = DistinguishedName::new();
    leaf.subject_alt_names = vec![SanType::DnsName("a.test".try_into().unwrap())];
    let leaf = &leaf;
    let is_ca = |ca: IsCa| move |it: &CertificateParams| with(it, |it| it.is_ca = ca);
    let no_ca = is_ca(IsCa::ExplicitNoCa);
    let silent = is_ca(IsCa::NoCa);
    let path = |length| is_ca(IsCa::Ca(BasicConstraints::Constrained(length)));
    let signs_lists = |it: &mut CertificateParams| it.key_usages = vec![KeyUsagePurpose::CrlSign];
    let signs_all = |it: &mut CertificateParams| {
        it.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    };
    let purpose = |it: &mut CertificateParams| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    };
    let critical = |it: &mut CertificateParams| it.custom_extensions = vec![unknown(true)];
    let uncritical = |it: &mut CertificateParams| it.custom_extensions = vec![unknown(false)];
    let limited = |permitted: &'static str, excluded: Option<&'static str>| {
        let limits = |name: &str| GeneralSubtree::DnsName(name.to_owned());
        let name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![limits(permitted)],
            excluded_subtrees: excluded.into_iter().map(limits).collect(),
        });
        move |it: &CertificateParams| with(it, |it| it.name_constraints = name_constraints.clone())
    };
    for (what, expected, params) in [
        (
            "as it is",
            Ok(()),
            [root, middle, leaf].map(Clone::clone).to_vec(),
        ),
        (
            "the root is none",
            Err(Unknown),
            vec![no_ca(root), leaf.clone()],
        ),
        (
            "the root does not say it",
            Err(Unknown),
            vec![silent(root), leaf.clone()],
        ),
        (
            "the middle is none",
            Err(Unknown),
            vec![root.clone(), no_ca(middle), leaf.clone()],
        ),
        (
            "the middle does not say it",
            Err(Unknown),
            vec![root.clone(), silent(middle), leaf.clone()],
        ),
        (
            "the leaf is one",
            Ok(()),
            vec![root.clone(), middle.clone()],
        ),
        ("no path", Ok(()), vec![path(0)(root), leaf.clone()]),
        (
            "no path, but a middle",
            Err(TooLong),
            vec![path(0)(root), middle.clone(), leaf.clone()],
        ),
        (
            "a path",
            Ok(()),
            vec![path(1)(root), path(0)(middle), leaf.clone()],
        ),
        (
            "a path that is too long",
            Err(TooLong),
            vec![
                path(1)(root),
                middle.clone(),
                authority("low"),
                leaf.clone(),
            ],
        ),
        (
            "the root signs lists alone",
            Err(Unknown),
            vec![with(root, signs_lists), leaf.clone()],
        ),
        (
            "the middle signs lists alone",
            Err(Unknown),
            vec![root.clone(), with(middle, signs_lists), leaf.clone()],
        ),
        (
            "both sign all",
            Ok(()),
            vec![with(root, signs_all), with(middle, signs_all), leaf.clone()],
        ),
        (
            "other purposes",
            Ok(()),
            vec![root.clone(), with(middle, purpose), leaf.clone()],
        ),
        (
            "an unknown extension",
            Ok(()),
            vec![
                with(root, uncritical),
                with(middle, uncritical),
                with(leaf, uncritical),
            ],
        ),
        (
            "a critical one in the root",
            Err(Critical),
            vec![with(root, critical), leaf.clone()],
        ),
        (
            "a critical one in the middle",
            Err(Critical),
            vec![root.clone(), with(middle, critical), leaf.clone()],
        ),
        (
            "a critical one in the leaf",
            Err(Critical),
            vec![root.clone(), middle.clone(), with(leaf, critical)],
        ),
        (
            "a permitted name",
            Ok(()),
            vec![limited("a.test", None)(root), leaf.clone()],
        ),
        (
            "another permitted name",
            Err(Name),
            vec![limited("b.test", None)(root), leaf.clone()],
        ),
        (
            "another one below",
            Err(Name),
            vec![root.clone(), limited("b.test", None)(middle), leaf.clone()],
        ),
        (
            "an excluded name",
            Err(Name),
            vec![
                limited("test", Some("a.test"))(root),
                middle.clone(),
                leaf.clone(),
            ],
        ),
    ] {
        let ders = chain_of(&params.iter().collect::<Vec<_>>());
        let pems: Vec<_> = ders.iter().rev().collect();
        let found = logged(&body(&pems)).map(|_| ());
        assert_eq!(
            found,
            expected.map_err(|it| Reason::from(it).into()),
            "{what}"
        );
    }
}

/// Names and limits multiply: as in Go, one request has no more than 250,000 comparisons.
#[test]
fn too_many_names_are_not_compared_with_too_many_limits() {
    for (count, expected) in [(300, Ok(())), (600, Err(VerifierError::Name))] {
        let leaf = with(&CertificateParams::default(), |it| {
            let names = (0..count).map(|n| format!("n{n}.test").try_into().unwrap());
            it.subject_alt_names = names.map(SanType::DnsName).collect();
        });
        let root = with(&authority("root"), |it| {
            let others = (0..count).map(|n| GeneralSubtree::DnsName(format!("o{n}.test")));
            it.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("test".to_owned())],
                excluded_subtrees: others.collect(),
            });
        });
        let ders = chain_of(&[&root, &leaf]);
        let found = logged(&body(&ders.iter().rev().collect::<Vec<_>>())).map(|_| ());
        let expected = expected.map_err(|it| Reason::from(it).into());
        assert_eq!(found, expected, "{count}");
    }
}

#[test]
fn other_certificates_do_not_make_a_chain() {
    let names = |name: &str| {
        let chain = chain_of(&[
            &authority("root"),
            &authority(name),
            &CertificateParams::default(),
        ]);
        <[Vec<u8>; 3]>::try_from(chain).unwrap()
    };
    let [root, middle, leaf] = names("middle");
    let [_, same_name, _] = names("middle");
    let [_, other_name, _] = names("other");
    for middle in [&same_name, &other_name, &leaf] {
        let refused = Err(Reason::from(VerifierError::Chain).into());
        assert_eq!(logged(&body(&[&leaf, middle, &root])), refused);
    }
    // In any order, and with others between them.
    assert!(logged(&body(&[&leaf, &same_name, &other_name, &middle, &root])).is_ok());
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
