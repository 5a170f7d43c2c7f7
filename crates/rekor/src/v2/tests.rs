//! Requests of each kind, and what is wrong with those that are refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use tlog::Hash;

use super::*;
use crate::testing::{KEYS, TestKey, ed25519, issuer, p256};
use crate::{HashAlgorithm, Inclusion, KeyError, MAX_LEAF};

const MESSAGE: &[u8] = b"an artifact";

fn request(key: &TestKey) -> Value {
    let key_bytes = json!({"rawBytes": STANDARD.encode(key.spki())});
    json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(key.digest(MESSAGE)),
        "signature": {
            "content": STANDARD.encode(key.sign(MESSAGE)),
            "verifier": {"publicKey": key_bytes, "keyDetails": key.details},
        },
    }})
}

fn logged(body: &Value) -> Result<Entry, Error> {
    Request::parse(body.to_string().as_bytes())?.verify()
}

/// The entry that clients rebuild from a bundle.
fn rebuilt(request: &Value) -> String {
    let request = &request["hashedRekordRequestV002"];
    let details = request["signature"]["verifier"]["keyDetails"]
        .as_str()
        .unwrap();
    let algorithm = match &details[details.len() - 3..] {
        "256" => "SHA2_256",
        "384" => "SHA2_384",
        _ => "SHA2_512",
    };
    let entry = json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": {"hashedRekordV002": {
            "data": {"algorithm": algorithm, "digest": request["digest"]},
            "signature": request["signature"],
        }},
    });
    serde_json_canonicalizer::to_string(&entry).unwrap()
}

#[test]
fn every_kind_of_key_is_accepted_as_key_and_as_certificate() {
    let authority = issuer();
    for key in KEYS.iter() {
        let mut body = request(key);
        let leaf = logged(&body).unwrap_or_else(|error| panic!("{}: {error}", key.details));
        assert_eq!(String::from_utf8(leaf.into_leaf()).unwrap(), rebuilt(&body));

        let names = vec![rcgen::SanType::Rfc822Name(
            "dev@logd.test".try_into().unwrap(),
        )];
        let certificate = json!({"rawBytes": STANDARD.encode(key.certificate(names, &authority))});
        body["hashedRekordRequestV002"]["signature"]["verifier"] =
            json!({"x509Certificate": certificate, "keyDetails": key.details});
        let leaf = logged(&body).unwrap_or_else(|error| panic!("{}: {error}", key.details));
        assert_eq!(String::from_utf8(leaf.into_leaf()).unwrap(), rebuilt(&body));
    }
}

#[test]
fn other_spellings_of_a_request_make_the_same_leaf() {
    let expected = logged(&request(ed25519())).unwrap();
    let key = ed25519();
    let spelled = |name: [&str; 4], base64: &dyn Fn(&[u8]) -> String, details: Value| {
        json!({name[0]: {
            "digest": base64(key.digest(MESSAGE).as_ref()),
            "signature": {
                "content": base64(&key.sign(MESSAGE)),
                "verifier": {name[1]: {name[2]: base64(&key.spki())}, name[3]: details, "x509Certificate": null},
            },
        }, "dsseRequestV002": null})
    };
    let camel = [
        "hashedRekordRequestV002",
        "publicKey",
        "rawBytes",
        "keyDetails",
    ];
    let snake = [
        "hashed_rekord_request_v002",
        "public_key",
        "raw_bytes",
        "key_details",
    ];
    let url_safe = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let wrapped = |bytes: &[u8]| STANDARD.encode(bytes).replace('A', "A\r\n");
    for body in [
        spelled(
            snake,
            &|bytes| STANDARD.encode(bytes),
            json!("PKIX_ED25519_PH"),
        ),
        spelled(camel, &url_safe, json!(8)),
        spelled(camel, &wrapped, json!(8)),
    ] {
        assert_eq!(logged(&body), Ok(expected.clone()), "{body}");
    }
}

/// A request with one place changed, and what is said about it.
fn changed(pointer: &str, value: Value) -> Result<Entry, Error> {
    let mut body = request(p256());
    *body
        .pointer_mut(&format!("/hashedRekordRequestV002{pointer}"))
        .unwrap() = value;
    logged(&body)
}

#[test]
fn what_is_wrong_is_refused_with_its_reason() {
    let (p256, rsa, ed25519) = (p256(), &KEYS[3], ed25519());
    let b64 = |bytes: &[u8]| json!(STANDARD.encode(bytes));
    let key = "/signature/verifier/publicKey/rawBytes";
    let mut trailing = p256.spki();
    trailing.push(0);
    // The same point, compressed.
    let mut compressed = p256.spki();
    compressed.truncate(26 + 33);
    compressed[26] = 2;
    compressed[1] -= 32;
    compressed[24] -= 32;
    let mut garbled = p256.sign(MESSAGE);
    *garbled.last_mut().unwrap() ^= 1;
    for (pointer, value, reason) in [
        ("/signature", json!(null), Reason::NoSignature),
        ("/signature/content", json!(""), Reason::NoSignature),
        ("/signature/verifier", json!(null), Reason::NoVerifier),
        ("/digest", json!(null), Reason::NoDigest),
        ("/signature/verifier/publicKey", json!(null), Reason::NoKey),
        (
            "/signature/verifier/publicKey",
            json!({}),
            Reason::NoKeyBytes,
        ),
        (
            "/signature/verifier",
            json!({"x509Certificate": {}}),
            Reason::NoCertificateBytes,
        ),
        (
            "/signature/verifier/keyDetails",
            json!(null),
            Reason::Algorithm,
        ),
        (
            "/signature/verifier/keyDetails",
            json!("PKIX_ED25519"),
            Reason::Algorithm,
        ),
        (
            "/signature/verifier/keyDetails",
            json!("PKIX_ECDSA_P384_SHA_256"),
            Reason::Algorithm,
        ),
        (
            "/signature/verifier/keyDetails",
            json!(0),
            Reason::Algorithm,
        ),
        (
            "/signature/verifier/keyDetails",
            json!(u64::MAX),
            Reason::Algorithm,
        ),
        (
            "/signature/verifier/keyDetails",
            json!("PKIX_ECDSA_P384_SHA_384"),
            Reason::KeyKind("PKIX_ECDSA_P384_SHA_384"),
        ),
        (
            key,
            b64(&rsa.spki()),
            Reason::KeyKind("PKIX_ECDSA_P256_SHA_256"),
        ),
        (
            key,
            b64(&ed25519.spki()),
            Reason::KeyKind("PKIX_ECDSA_P256_SHA_256"),
        ),
        (key, b64(&trailing), Reason::Key(KeyError::Malformed)),
        (key, b64(&compressed), Reason::Key(KeyError::Malformed)),
        (key, b64(b"no key"), Reason::Key(KeyError::Malformed)),
        (
            "/digest",
            b64(&[0; 48]),
            Reason::DigestLength {
                found: 48,
                expected: 32,
            },
        ),
        ("/digest", b64(&[0; 32]), Reason::Signature),
        ("/signature/content", b64(&garbled), Reason::Signature),
        (
            "/signature/content",
            b64(&rsa.sign(MESSAGE)),
            Reason::Signature,
        ),
    ] {
        let found = changed(pointer, value.clone());
        assert_eq!(found, Err(Error::Invalid(reason)), "{pointer} {value}");
        let error = found.unwrap_err();
        assert_eq!((error.status(), error.code()), (400, 3));
        let body = r#"{"code":3,"details":[],"message":"invalid hashedrekord request"}"#;
        assert_eq!(error.body(), ("application/json", body.to_owned()));
    }
}

#[test]
fn an_rsa_key_of_another_length_than_said_is_refused() {
    let mut body = request(&KEYS[3]);
    body["hashedRekordRequestV002"]["signature"]["verifier"]["keyDetails"] = json!(KEYS[4].details);
    assert_eq!(
        logged(&body),
        Err(Error::Invalid(Reason::KeyKind(KEYS[4].details)))
    );
}

#[test]
fn a_key_whose_algorithm_has_other_parameters_than_gos_is_refused() {
    // RSA without its NULL, Ed25519 with one.
    let rsa = KEYS[3].spki();
    let null = rsa.windows(2).position(|two| two == [5, 0]).unwrap();
    let mut without = [&rsa[..null], &rsa[null + 2..]].concat();
    let length = u16::from_be_bytes([rsa[2], rsa[3]]) - 2;
    without[2..4].copy_from_slice(&length.to_be_bytes());
    without[5] -= 2;
    let ed25519 = ed25519().spki();
    let mut with = [&ed25519[..9], &[5, 0], &ed25519[9..]].concat();
    with[1] += 2;
    with[3] += 2;
    for (key, spki) in [(&KEYS[3], without), (&KEYS[6], with)] {
        let mut body = request(key);
        let place = "/hashedRekordRequestV002/signature/verifier/publicKey/rawBytes";
        *body.pointer_mut(place).unwrap() = json!(STANDARD.encode(spki));
        assert_eq!(
            logged(&body),
            Err(Error::Invalid(Reason::Key(KeyError::Malformed)))
        );
    }
}

#[test]
fn a_signature_of_pure_ed25519_is_refused() {
    let key = ed25519();
    assert_eq!(key.hash, HashAlgorithm::Sha512);
    let mut body = request(key);
    let pure = key.sign_message(key.digest(MESSAGE).as_ref());
    body["hashedRekordRequestV002"]["signature"]["content"] = json!(STANDARD.encode(pure));
    assert_eq!(logged(&body), Err(Error::Invalid(Reason::Signature)));
}

#[test]
fn what_is_no_request_is_refused() {
    let hashed = request(p256())["hashedRekordRequestV002"].clone();
    for body in [
        json!({}),
        json!({"dsseRequestV002": {"envelope": {}}}),
        json!({"hashedRekordRequestV002": null}),
    ] {
        let error = logged(&body).unwrap_err();
        assert_eq!(error, Error::WrongType, "{body}");
        assert_eq!((error.status(), error.code()), (400, 3));
        assert_eq!(error.message(), "invalid type, must be hashedrekord");
    }
    let mut both_keys = request(p256());
    both_keys["hashedRekordRequestV002"]["signature"]["verifier"]["x509Certificate"] = json!({});
    let text = r#"{"hashedRekordRequestV002":{"#;
    for body in [
        json!({"hashedRekordRequestV002": hashed, "extra": 1}).to_string(),
        // A list of an object's values is no object.
        json!([hashed]).to_string(),
        json!({"hashedRekordRequestV002": [hashed["digest"], hashed["signature"]]}).to_string(),
        json!({"hashedRekordRequestV002": hashed, "dsseRequestV002": {}}).to_string(),
        json!({"hashedRekordRequestV002": {"digest": "?"}}).to_string(),
        json!({"hashedRekordRequestV002": {"digest": 5}}).to_string(),
        json!({"hashedRekordRequestV002": {"signature": {"verifier": {"keyDetails": []}}}})
            .to_string(),
        format!(r#"{text}"digest":"","digest":""}}}}"#),
        format!(r#"{text}}},"hashed_rekord_request_v002":{{}}}}"#),
        format!("{text}}}}} trailing"),
        both_keys.to_string(),
        "[".repeat(100_000),
        String::new(),
    ] {
        let error = Request::parse(body.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{body}: {error}");
        assert_eq!((error.status(), error.code()), (400, 3));
        assert!(
            error.message().starts_with("proto: ") && error.message().len() < 1000,
            "{error}"
        );
    }
    let unknown = format!(r#"{{"{}":1}}"#, "x".repeat(100_000));
    assert!(
        Request::parse(unknown.as_bytes())
            .unwrap_err()
            .message()
            .len()
            < 1000
    );
}

#[test]
fn what_no_tile_can_hold_is_refused_before_its_signature_is_looked_at() {
    let too_large = |result: Result<Entry, Error>| match result {
        Err(error @ Error::TooLarge { .. }) => (error.status(), error.code(), error.message()),
        other => panic!("{other:?}"),
    };
    let certificate = json!({"x509Certificate": {"rawBytes": STANDARD.encode(vec![0; 50_000])}});
    let expected = (413, 8, "entry is larger than 65535 bytes".to_owned());
    assert_eq!(
        too_large(changed("/signature/verifier", certificate)),
        expected
    );
    let body = vec![b' '; MAX_BODY + 1];
    let expected = (413, 8, "request is larger than 4194304 bytes".to_owned());
    assert_eq!(
        too_large(Request::parse(&body).and_then(Request::verify)),
        expected
    );
}

#[test]
fn the_largest_entry_has_a_leaf_of_65535_bytes() {
    let authority = issuer();
    let entry = |padding: usize| {
        let name = "x".repeat(padding);
        let names = vec![rcgen::SanType::URI(name.as_str().try_into().unwrap())];
        let certificate = STANDARD.encode(p256().certificate(names, &authority));
        let verifier =
            json!({"x509Certificate": {"rawBytes": certificate}, "keyDetails": p256().details});
        changed("/signature/verifier", verifier)
    };
    let (mut fits, mut too_large, mut largest) = (40_000, 60_000, 0);
    while too_large - fits > 1 {
        let padding = usize::midpoint(fits, too_large);
        match entry(padding) {
            Ok(entry) => (fits, largest) = (padding, entry.leaf().len()),
            Err(error) => {
                assert_eq!(error.status(), 413, "{error}");
                too_large = padding;
            }
        }
    }
    assert!((MAX_LEAF - 8..=MAX_LEAF).contains(&largest), "{largest}");
}

#[test]
fn other_answers_have_the_status_that_clients_know() {
    for (error, status, code, body) in [
        (
            Error::Exists(7),
            409,
            6,
            r#""message":"an equivalent entry already exists in the transparency log with index 7""#,
        ),
        (
            Error::Unavailable,
            503,
            14,
            r#""message":"reached max pushback; retry""#,
        ),
    ] {
        assert_eq!((error.status(), error.code()), (status, code));
        assert!(error.body().1.contains(body), "{}", error.body().1);
    }
    assert_eq!(
        (Error::Exists(7).log_index(), Error::Frozen.log_index()),
        (Some(7), None)
    );
    let (kind, body) = Error::Frozen.body();
    assert!(
        kind.starts_with("text/plain") && body.starts_with("This log has been frozen"),
        "{body}"
    );
    assert_eq!(Error::Frozen.status(), 405);
}

#[test]
fn an_answer_has_exactly_the_fields_that_clients_know() {
    let inclusion = Inclusion {
        index: 1,
        tree_size: 2,
        root: Hash([3; 32]),
        proof: &[Hash([4; 32])],
        checkpoint: "log.example.org\n2\nroot\n\n— log.example.org c2ln\n",
    };
    let answer: Value = serde_json::from_str(&answer(&Hash([5; 32]), b"leaf", &inclusion)).unwrap();
    let expected = json!({
        "logIndex": "1",
        "logId": {"keyId": STANDARD.encode([5; 32])},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "integratedTime": "0",
        "inclusionPromise": null,
        "inclusionProof": {
            "logIndex": "1",
            "rootHash": STANDARD.encode([3; 32]),
            "treeSize": "2",
            "hashes": [STANDARD.encode([4; 32])],
            "checkpoint": {"envelope": inclusion.checkpoint},
        },
        "canonicalizedBody": STANDARD.encode("leaf"),
    });
    assert_eq!(answer, expected);
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_fall(body: Vec<u8>, text in r#"[{}\[\]",:0-9a-zA-Z_]{0,60}"#) {
        let _ = Request::parse(&body);
        let _ = Request::parse(text.as_bytes());
    }

    #[test]
    fn no_key_certificate_or_signature_makes_the_checks_fall(bytes: Vec<u8>, at in 0_usize..2000, flip: u8) {
        let certificate = {
            static CERTIFICATE: std::sync::LazyLock<Vec<u8>> =
                std::sync::LazyLock::new(|| p256().certificate(Vec::new(), &issuer()));
            let mut certificate = CERTIFICATE.clone();
            let at = at % certificate.len();
            certificate[at] ^= flip;
            certificate
        };
        for (pointer, bytes) in [
            ("/signature/verifier/publicKey/rawBytes", &bytes),
            ("/signature/content", &bytes),
            ("/digest", &bytes),
        ] {
            prop_assert!(changed(pointer, json!(STANDARD.encode(bytes))).is_err());
        }
        let verifier = json!({"x509Certificate": {"rawBytes": STANDARD.encode(certificate)}, "keyDetails": p256().details});
        let _ = changed("/signature/verifier", verifier);
    }
}
