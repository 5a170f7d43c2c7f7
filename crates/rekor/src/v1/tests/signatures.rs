//! hashedrekord and rekord.

use serde_json::{Value, json};

use super::*;
use crate::key::KeyError;
use crate::testing::{KEYS, TestKey, ed25519, issuer, p256, pem};
use crate::{HashAlgorithm, PgpError, VerifierError};

const MESSAGE: &[u8] = b"an artifact";
/// What Rekor says of a signature that a key of P-256 did not make.
const P256: &str = "invalid signature when validating ASN.1 encoded signature";

fn hash_name(key: &TestKey) -> &'static str {
    match key.hash {
        HashAlgorithm::Sha256 => "sha256",
        HashAlgorithm::Sha384 => "sha384",
        HashAlgorithm::Sha512 => "sha512",
    }
}

fn hashedrekord(key: &TestKey, pem: &str) -> Value {
    let hash =
        json!({"algorithm": hash_name(key), "value": tlog::hex(key.digest(MESSAGE).as_ref())});
    let signature = json!({"content": b64(key.sign(MESSAGE)), "publicKey": {"content": b64(pem)}});
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": {"hash": hash}, "signature": signature}})
}

/// An entry of each kind that names an artifact.
pub(super) fn examples() -> [Value; 2] {
    [hashedrekord(p256(), &p256().pem()), rekord(p256())]
}

fn rekord(key: &TestKey) -> Value {
    let signature = json!({
        "content": b64(key.sign_message(MESSAGE)),
        "format": "x509",
        "publicKey": {"content": b64(key.pem())},
    });
    let data = json!({"content": b64(MESSAGE)});
    json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": {"data": data, "signature": signature}})
}

#[test]
fn a_hashedrekord_of_every_kind_of_key_is_logged_as_it_was_sent() {
    let authority = issuer();
    for key in KEYS.iter() {
        let body = hashedrekord(key, &key.pem());
        let keys = logged_as(&body, &body);
        let digest = tlog::hex(key.digest(MESSAGE).as_ref());
        assert!(
            keys.contains(&format!("{}:{digest}", hash_name(key))),
            "{keys:?}"
        );
        let key_hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.pem().as_bytes());
        assert!(keys.contains(&tlog::hex(key_hash.as_ref())), "{keys:?}");
        assert_eq!(keys.len(), 2);
        let certificate = pem("CERTIFICATE", &key.certificate(Vec::new(), &authority));
        let body = hashedrekord(key, &certificate);
        logged_as(&body, &body);
    }
}

#[test]
fn other_spellings_of_a_key_are_logged_in_one() {
    let expected = hashedrekord(p256(), &p256().pem());
    let spelled = p256().pem().replace('\n', "\r\n");
    let content = |text: &str| Some(json!(b64(text)));
    let place = "/spec/signature/publicKey/content";
    for text in [
        spelled.trim_end(),
        &format!("# a comment\n{spelled}"),
        &format!("\n \n{spelled}\n\n"),
    ] {
        let body = changed(&expected, place, content(text));
        let entry = logged(&body).unwrap();
        assert_eq!(entry, logged(&expected).unwrap());
    }
    // The signature is the same one, ECDSA's differ each time.
    let upper = expected["spec"]["data"]["hash"]["value"]
        .as_str()
        .unwrap()
        .to_uppercase();
    let body = changed(&expected, "/spec/data/hash/value", Some(json!(upper)));
    let body = changed(&body, "/spec/unknown", Some(json!({"a": 1})));
    let mut leaf = expected.clone();
    leaf["spec"]["data"]["hash"]["value"] = json!(upper);
    let keys = logged_as(&body, &leaf);
    assert!(
        keys.contains(&format!("sha256:{}", upper.to_lowercase())),
        "{keys:?}"
    );
}

#[test]
fn what_is_wrong_with_a_hashedrekord_is_said() {
    let body = hashedrekord(p256(), &p256().pem());
    let key = "/spec/signature/publicKey/content";
    let two = p256().pem().repeat(2);
    let mixed = p256().pem() + &pem("CERTIFICATE", &p256().certificate(Vec::new(), &issuer()));
    for (pointer, value, reason) in [
        ("/spec/signature", None, Reason::Required("signature")),
        (
            "/spec/signature",
            Some(json!(null)),
            Reason::Required("signature"),
        ),
        (
            "/spec/signature/content",
            Some(json!("")),
            Reason::Refused("verifying signature: X509 signature has not been initialized"),
        ),
        (
            "/spec/signature/publicKey",
            None,
            Reason::Missing("public key"),
        ),
        (key, None, VerifierError::Pem.into()),
        (key, Some(json!(b64("no key"))), VerifierError::Pem.into()),
        (key, Some(json!(b64(b"\xff"))), VerifierError::Pem.into()),
        (key, Some(json!(b64(&two))), VerifierError::Label.into()),
        (key, Some(json!(b64(&mixed))), VerifierError::Label.into()),
        (
            key,
            Some(json!(b64(pem("RSA PUBLIC KEY", b"x")))),
            VerifierError::Label.into(),
        ),
        (
            key,
            Some(json!(b64(pem("PUBLIC KEY", b"x")))),
            KeyError::Malformed.into(),
        ),
        (
            key,
            Some(json!(b64(pem("CERTIFICATE", b"x")))),
            KeyError::Certificate.into(),
        ),
        (key, Some(json!(b64(KEYS[1].pem()))), Reason::Algorithms),
        ("/spec/data", None, Reason::Required("data")),
        ("/spec/data/hash", None, Reason::Required("data")),
        (
            "/spec/data/hash/algorithm",
            None,
            Reason::Required("data.data.hash.data.hash.algorithm"),
        ),
        (
            "/spec/data/hash/algorithm",
            Some(json!("md5")),
            Reason::Choice("data.data.hash.data.hash.algorithm", "sha256 sha384 sha512"),
        ),
        (
            "/spec/data/hash/algorithm",
            Some(json!("sha512")),
            Reason::Value("hash"),
        ),
        (
            "/spec/data/hash/value",
            None,
            Reason::Required("data.data.hash.data.hash.value"),
        ),
        (
            "/spec/data/hash/value",
            Some(json!("abcd")),
            Reason::Value("hash"),
        ),
        (
            "/spec/data/hash/value",
            Some(json!("g".repeat(64))),
            Reason::Value("hash"),
        ),
        (
            "/spec/data/hash/value",
            Some(json!("0".repeat(64))),
            Reason::Digest(P256),
        ),
    ] {
        let error = logged(&changed(&body, pointer, value.clone())).unwrap_err();
        assert_eq!(error, Error::Invalid(reason.clone()), "{pointer} {value:?}");
        assert_eq!(error.status(), 400);
        let told = json!({"code": 400, "message": format!("error processing entry: {reason}")});
        assert_eq!(serde_json::from_str::<Value>(&error.body()).unwrap(), told);
    }
}

#[test]
fn ed25519_signs_sha512_digests_only_prehashed() {
    let key = ed25519();
    let body = hashedrekord(key, &key.pem());
    let pure = b64(key.sign_message(key.digest(MESSAGE).as_ref()));
    let pure = changed(&body, "/spec/signature/content", Some(json!(pure)));
    assert_eq!(
        logged(&pure),
        Err(Reason::Digest("failed to verify signature").into())
    );
    let sha256 =
        json!({"algorithm": "sha256", "value": tlog::hex(p256().digest(MESSAGE).as_ref())});
    let sha256 = changed(&body, "/spec/data/hash", Some(sha256));
    assert_eq!(logged(&sha256), Err(Reason::Algorithms.into()));
}

#[test]
fn a_rekord_is_logged_without_its_content() {
    for key in [p256(), &KEYS[3], ed25519()] {
        let body = rekord(key);
        let value = tlog::hex(p256().digest(MESSAGE).as_ref());
        let hash = json!({"algorithm": "sha256", "value": value});
        let leaf = changed(&body, "/spec/data", Some(json!({"hash": hash})));
        let keys = logged_as(&body, &leaf);
        assert!(keys.contains(&format!("sha256:{value}")), "{keys:?}");
        let both = changed(&body, "/spec/data/hash", Some(hash));
        logged_as(&both, &leaf);
        // The artifact must be there, even where its hash would do.
        assert_eq!(
            logged(&leaf),
            Err(Reason::Refused("entry not insertable into log: missing data content").into())
        );
    }
}

#[test]
fn a_rekord_of_openpgp_is_logged_and_found_as_in_rekor() {
    let made: Value = serde_json::from_str(include_str!("../../../tests/data/pgp.json")).unwrap();
    for (key, signature) in [
        ("rsa.bin", "rsa.sig"),
        ("rsa.key", "rsa.text.asc"),
        ("subkey.key", "subkey.asc"),
    ] {
        let (key, signature) = (&made["keys"][key], &made["signatures"][signature]);
        let with = |key: &Value, signature: &Value, data: Value| {
            let signature =
                json!({"content": signature, "format": "pgp", "publicKey": {"content": key}});
            let spec = json!({"data": data, "signature": signature});
            json!({"apiVersion": "0.0.1", "kind": "rekord", "spec": spec})
        };
        let body = with(
            &key["sent"],
            &signature["sent"],
            json!({"content": made["artifact"]}),
        );
        let artifact = STANDARD.decode(made["artifact"].as_str().unwrap()).unwrap();
        let digest = tlog::hex(p256().digest(&artifact).as_ref());
        let hash = json!({"hash": {"algorithm": "sha256", "value": digest}});
        let leaf = with(&key["logged"][0], &signature["logged"], hash);
        let keys = logged_as(&body, &leaf);
        let logged = STANDARD.decode(key["logged"][0].as_str().unwrap()).unwrap();
        let key_hash = tlog::hex(p256().digest(&logged).as_ref());
        let email = key["emails"][0].as_str().unwrap();
        let mut expected = vec![
            email.to_owned(),
            format!("sha256:{digest}"),
            key_hash.clone(),
        ];
        expected.sort();
        assert_eq!(keys, expected);
        // Searched for by the key as it was sent, in either spelling.
        for content in [&key["sent"], &key["logged"][0]] {
            let query = json!({"publicKey": {"format": "pgp", "content": content}}).to_string();
            let query = Query::parse(query.as_bytes()).unwrap();
            assert_eq!(query.keys, [key_hash.as_str()]);
        }
        let another = changed(&body, "/spec/data/content", Some(json!(b64("another"))));
        assert!(matches!(logged_error(&another), PgpError::Unverified(_)));
    }
}

fn logged_error(body: &Value) -> PgpError {
    match logged(body) {
        Err(Error::Invalid(Reason::Pgp(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_with_a_rekord_is_said() {
    let body = rekord(p256());
    let zeros = "0".repeat(64);
    let computed = tlog::hex(p256().digest(MESSAGE).as_ref());
    for (pointer, value, reason) in [
        (
            "/spec/data",
            Some(json!({})),
            Reason::Refused("'content' must be specified for data"),
        ),
        (
            "/spec/data/content",
            Some(json!(b64("another"))),
            Reason::Artifact(P256),
        ),
        (
            "/spec/data/hash",
            Some(json!({"algorithm": "sha256", "value": zeros})),
            Reason::Mismatch {
                computed: computed.clone(),
                given: zeros.clone(),
            },
        ),
        (
            "/spec/data/hash",
            Some(json!({"algorithm": "sha512", "value": "00"})),
            Reason::Choice("data.data.hash.data.hash.algorithm", "sha256"),
        ),
        (
            "/spec/signature/format",
            None,
            Reason::Required("signature.signature.format"),
        ),
        (
            "/spec/signature/format",
            Some(json!("minisign")),
            Reason::Refused("signatures of minisign and SSH are not enabled on this server"),
        ),
        (
            "/spec/signature/format",
            Some(json!("pgp")),
            PgpError::Signature("invalid data: tag byte does not have MSB set").into(),
        ),
        (
            "/spec/data/hash",
            Some(json!({"algorithm": "sha256", "value": computed.to_uppercase()})),
            Reason::Mismatch {
                computed: computed.clone(),
                given: computed.to_uppercase(),
            },
        ),
        (
            "/spec/signature/content",
            Some(json!(b64("x"))),
            Reason::Artifact(P256),
        ),
    ] {
        let error = logged(&changed(&body, pointer, value.clone())).unwrap_err();
        assert_eq!(error, Error::Invalid(reason), "{pointer} {value:?}");
    }
}

#[test]
fn other_kinds_and_what_is_no_entry_are_refused() {
    let body = hashedrekord(p256(), &p256().pem());
    let long = "x".repeat(100_000);
    for (pointer, value, status, said) in [
        (
            "/kind",
            json!("alpine"),
            400,
            "entry kind 'alpine' is not enabled",
        ),
        ("/kind", json!(null), 422, "kind in body is required"),
        ("/kind", json!(long), 422, "invalid kind value"),
        (
            "/apiVersion",
            json!("0.0.2"),
            400,
            "implementation for version '0.0.2' not found",
        ),
        (
            "/apiVersion",
            json!(long),
            422,
            "apiVersion in body should match",
        ),
        (
            "/apiVersion",
            json!(format!("1.0.0-{long}")),
            400,
            "not found",
        ),
        (
            "/apiVersion",
            json!("0.0.1.1"),
            422,
            "apiVersion in body should match",
        ),
        (
            "/apiVersion",
            json!("0.01.1"),
            422,
            "apiVersion in body should match",
        ),
        ("/spec", json!(null), 422, "spec in body is required"),
    ] {
        let error = logged(&changed(&body, pointer, Some(value))).unwrap_err();
        assert_eq!(error.status(), status, "{error:?}");
        assert!(error.message().contains(said), "{}", error.message());
        assert!(error.body().len() < 1000);
    }
    // A list of an object's values is no object.
    for place in [
        "/spec",
        "/spec/data",
        "/spec/data/hash",
        "/spec/signature",
        "/spec/signature/publicKey",
    ] {
        let values = body.pointer(place).unwrap().as_object().unwrap().values();
        let list = json!(Vec::from_iter(values));
        let error = logged(&changed(&body, place, Some(list))).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{place}: {error}");
    }
    for text in [
        "[]",
        "5",
        "{",
        r#"{"kind":"dsse","apiVersion":"0.0.1","spec":5}"#,
    ] {
        let error = Request::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }) && error.status() == 400,
            "{text}: {error}"
        );
    }
}

#[test]
fn what_no_tile_can_hold_is_refused_before_it_is_looked_at() {
    let body = hashedrekord(p256(), &p256().pem());
    let large = changed(
        &body,
        "/spec/signature/content",
        Some(json!(b64(vec![0; 66_000]))),
    );
    let error = logged(&large).unwrap_err();
    assert_eq!(
        (error.status(), error.message().as_str()),
        (413, "entry is larger than 65535 bytes")
    );
    let error = Request::parse(&vec![b' '; MAX_BODY + 1]).unwrap_err();
    assert_eq!(
        (error.status(), error.message().as_str()),
        (413, "request is larger than 33554432 bytes")
    );
}
