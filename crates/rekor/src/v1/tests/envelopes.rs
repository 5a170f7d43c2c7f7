//! dsse and intoto.

use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::VerifierError;
use crate::testing::{KEYS, TestKey, ed25519, p256};

const KIND: &str = "application/vnd.in-toto+json";

fn payload() -> String {
    let subject = json!([{"name": "a", "digest": {"sha256": "AA11", "gitCommit": "bb22"}}]);
    let materials = json!([{"uri": "b", "digest": {"sha1": "cc33"}}, {"uri": "c"}]);
    json!({"_type": "s", "subject": subject, "predicate": {"materials": materials}}).to_string()
}

fn sha256(text: impl AsRef<[u8]>) -> String {
    tlog::hex(&Sha256::digest(text))
}

fn signature(key: &TestKey, payload: &str) -> Vec<u8> {
    // Written out as the protocol says, not with the code under test.
    let text = format!("DSSEv1 {} {KIND} {} {payload}", KIND.len(), payload.len());
    key.sign_message(text.as_bytes())
}

fn envelope(payload: &str, signatures: &[String]) -> String {
    let signatures: Vec<_> = signatures
        .iter()
        .map(|sig| json!({"keyid": "", "sig": sig}))
        .collect();
    // Spaces, an unknown member and an order of its own: all of it counts for the hash.
    let text =
        json!({"payloadType": KIND, "payload": b64(payload), "signatures": signatures, "more": 1});
    format!("  {text} ")
}

fn dsse(envelope: &str, verifiers: &[&TestKey]) -> Value {
    let verifiers: Vec<_> = verifiers.iter().map(|key| b64(key.pem())).collect();
    let content = json!({"envelope": envelope, "verifiers": verifiers});
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": content, "signatures": null}})
}

fn hash(value: String) -> Value {
    json!({"algorithm": "sha256", "value": value})
}

#[test]
fn an_envelope_of_several_signatures_is_logged_by_its_hashes() {
    let payload = payload();
    let keys = [p256(), &KEYS[3], ed25519()];
    let signatures: Vec<_> = keys
        .iter()
        .map(|key| b64(signature(key, &payload)))
        .collect();
    let envelope = envelope(&payload, &signatures);
    let mut lines: Vec<_> = signatures.iter().zip(keys).collect();
    lines.sort_by_key(|(signature, _)| *signature);
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(signature, key)| json!({"signature": signature, "verifier": b64(key.pem())}))
        .collect();
    let leaf = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": hash(sha256(&envelope)),
        "payloadHash": hash(sha256(&payload)),
        "signatures": lines,
    }});
    let found = logged_as(&dsse(&envelope, &keys), &leaf);
    for key in keys {
        let hash = sha256(key.pem());
        assert!(
            found.contains(&hash) && found.contains(&format!("sha256:{hash}")),
            "{found:?}"
        );
    }
    let subjects = ["sha256:aa11", "gitcommit:bb22", "sha1:cc33"].map(str::to_owned);
    let hashes = [
        format!("sha256:{}", sha256(&envelope)),
        format!("sha256:{}", sha256(&payload)),
    ];
    assert!(
        subjects
            .iter()
            .chain(&hashes)
            .all(|key| found.contains(key)),
        "{found:?}"
    );
    assert_eq!(found.len(), 11);
    assert_eq!(search_keys(leaf.to_string().as_bytes()).unwrap().len(), 8);
}

#[test]
fn verifiers_are_tried_in_turn_until_every_signature_is_verified() {
    let payload = payload();
    let (first, second) = (p256(), &KEYS[3]);
    let [one, two] = [first, second].map(|key| b64(signature(key, &payload)));
    let again = b64(signature(first, &payload));
    let forged = b64(signature(first, "another payload"));
    let url_safe = URL_SAFE.encode(signature(first, &payload));
    let case = |signatures: &[&String], verifiers: &[&TestKey]| {
        let signatures: Vec<_> = signatures.iter().map(|text| (*text).clone()).collect();
        logged(&dsse(&envelope(&payload, &signatures), verifiers)).map(drop)
    };
    assert_eq!(case(&[&one], &[first]), Ok(()));
    assert_eq!(case(&[&url_safe], &[first]), Ok(()));
    // The same signature twice is one. A verifier stands for one, however often it is there.
    assert_eq!(case(&[&one, &one], &[first]), Ok(()));
    for verifiers in [&[first][..], &[first, first]] {
        let several = case(&[&one, &again], verifiers);
        assert_eq!(several, Err(Reason::NoVerifier.into()));
    }
    let two_spellings = case(&[&one, &format!("{one}\n")], &[first]);
    assert_eq!(two_spellings, Err(Reason::NoVerifier.into()));
    assert_eq!(case(&[&one, &two], &[second, first]), Ok(()));
    // The second verifier is not looked at any more.
    assert_eq!(case(&[&one], &[first, second]), Ok(()));
    assert_eq!(
        case(&[&one], &[second, first]),
        Err(Reason::UselessVerifier.into())
    );
    assert_eq!(
        case(&[&one, &two], &[first]),
        Err(Reason::NoVerifier.into())
    );
    assert_eq!(
        case(&[&one, &forged], &[first]),
        Err(Reason::NoVerifier.into())
    );
    assert_eq!(
        case(&[&forged], &[first]),
        Err(Reason::UselessVerifier.into())
    );
    assert_eq!(
        case(&[], &[first]),
        Err(Reason::Refused("DSSE envelope must contain 1 or more signatures").into())
    );
    assert_eq!(
        case(&[&one], &[]),
        Err(Reason::NoItems("proposedContent.proposedContent.verifiers").into())
    );
    assert_eq!(
        case(&[&"?".to_owned()], &[first]),
        Err(Reason::Refused(super::super::envelope::BASE64).into())
    );
    let many = |what| Err(Reason::TooMany { what, limit: 16 }.into());
    assert_eq!(case(&[&one; 17], &[first]), many("signatures"));
    assert_eq!(case(&[&one], &[first; 17]), many("verifiers"));
}

const COMPUTED: &str = "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both";
const PAYLOAD_TYPE: &str = "content.content.envelope.content.envelope.payloadType";

#[test]
fn what_is_wrong_with_an_envelope_is_said() {
    let payload = payload();
    let text = envelope(&payload, &[b64(signature(p256(), &payload))]);
    let body = dsse(&text, &[p256()]);
    let hash = json!({"algorithm": "sha256", "value": "00"});
    let other_kind = text.replace("in-toto", "other");
    let unreadable = text.replace(&b64(&payload), "?");
    let content = "/spec/proposedContent";
    for (pointer, value, reason) in [
        (
            content,
            None,
            Reason::Refused(
                "either proposedContent or envelopeHash, payloadHash, and signatures must be present",
            ),
        ),
        (
            "/spec/proposedContent/envelope",
            None,
            Reason::Required("proposedContent.proposedContent.envelope"),
        ),
        (
            "/spec/envelopeHash",
            Some(hash.clone()),
            Reason::Refused(COMPUTED),
        ),
        ("/spec/payloadHash", Some(hash), Reason::Refused(COMPUTED)),
        (
            "/spec/signatures",
            Some(json!([{}])),
            Reason::Refused(COMPUTED),
        ),
        (
            "/spec/signatures",
            Some(json!([])),
            Reason::NoItems("signatures"),
        ),
        (
            "/spec/proposedContent/envelope",
            Some(json!(other_kind)),
            Reason::UselessVerifier,
        ),
        (
            "/spec/proposedContent/envelope",
            Some(json!(unreadable)),
            Reason::Refused(super::super::envelope::BASE64),
        ),
        (
            "/spec/proposedContent/verifiers",
            Some(json!([null])),
            Reason::EnvelopeVerifier(VerifierError::Pem),
        ),
    ] {
        let error = logged(&changed(&body, pointer, value.clone())).unwrap_err();
        assert_eq!(error, Error::Invalid(reason), "{pointer} {value:?}");
    }
    let error = logged(&changed(
        &body,
        "/spec/proposedContent/envelope",
        Some(json!("{")),
    ))
    .unwrap_err();
    assert!(
        matches!(error, Error::Invalid(Reason::Envelope(_))),
        "{error}"
    );
    for (pointer, value) in [
        ("/spec/signatures", json!(null)),
        ("/spec/envelopeHash", json!(null)),
    ] {
        assert!(
            logged(&changed(&body, pointer, Some(value))).is_ok(),
            "{pointer}"
        );
    }
}

#[test]
fn the_keys_of_a_large_statement_are_bounded() {
    let subjects: Vec<_> = (0..10_000)
        .map(|n| json!({"digest": {"sha256": format!("{n}"), "x": "y".repeat(1000)}}))
        .collect();
    let payload = json!({"subject": subjects, "predicate": "text"}).to_string();
    let body = dsse(
        &envelope(&payload, &[b64(signature(p256(), &payload))]),
        &[p256()],
    );
    let entry = logged(&body).unwrap();
    assert_eq!(entry.search_keys().len(), MAX_KEYS);
    assert!(entry.search_keys().contains(&sha256(p256().pem())));
}

fn intoto(payload: &str, signature: &[u8], keyid: &str) -> Value {
    let line = json!({"keyid": keyid, "sig": b64(b64(signature)), "publicKey": b64(p256().pem().trim_end())});
    let envelope = json!({"payloadType": KIND, "payload": b64(b64(payload)), "signatures": [line]});
    let content =
        json!({"envelope": envelope, "hash": {"algorithm": "sha256", "value": "ab".repeat(32)}});
    json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": content}})
}

/// An entry of each kind that has an envelope.
pub(super) fn examples() -> [Value; 2] {
    let payload = payload();
    let made = signature(p256(), &payload);
    let signed = envelope(&payload, &[b64(&made)]);
    [dsse(&signed, &[p256()]), intoto(&payload, &made, "")]
}

#[test]
fn an_intoto_entry_is_logged_without_its_payload() {
    let payload = payload();
    for keyid in ["", "a key"] {
        let body = intoto(&payload, &signature(p256(), &payload), keyid);
        let mut leaf = changed(
            &body,
            "/spec/content/payloadHash",
            Some(hash(sha256(&payload))),
        );
        leaf = changed(&leaf, "/spec/content/envelope/payload", None);
        let line = leaf
            .pointer_mut("/spec/content/envelope/signatures/0")
            .unwrap();
        if keyid.is_empty() {
            line.as_object_mut().unwrap().remove("keyid");
        }
        let keys = logged_as(&body, &leaf);
        assert!(
            keys.contains(&"sha256:aa11".to_owned()) && keys.contains(&sha256(p256().pem())),
            "{keys:?}"
        );
    }
    // A second line with somebody else's key would make the entry be found by it.
    let mut forged = intoto(&payload, &signature(p256(), &payload), "");
    let lines = forged
        .pointer_mut("/spec/content/envelope/signatures")
        .unwrap()
        .as_array_mut()
        .unwrap();
    let mut line = lines[0].clone();
    line["publicKey"] = json!(b64(ed25519().pem()));
    lines.push(line);
    assert_eq!(logged(&forged), Err(Reason::UselessVerifier.into()));
    let body = intoto(&payload, &signature(p256(), "another payload"), "");
    assert_eq!(logged(&body), Err(Reason::UselessVerifier.into()));
    let body = intoto(&payload, &signature(p256(), &payload), "");
    for (pointer, value, reason) in [
        ("/spec/content", None, Reason::Required(PAYLOAD_TYPE)),
        (
            "/spec/content/envelope",
            None,
            Reason::Required(PAYLOAD_TYPE),
        ),
        (
            "/spec/content/envelope/payload",
            None,
            Reason::Refused("entry not insertable into log: missing envelope content"),
        ),
        (
            "/spec/content/envelope/payloadType",
            None,
            Reason::Required(PAYLOAD_TYPE),
        ),
        (
            "/spec/content/envelope/signatures",
            None,
            Reason::Required("content.content.envelope.content.envelope.signatures"),
        ),
        (
            "/spec/content/hash",
            None,
            Reason::Missing("envelope digest"),
        ),
        (
            "/spec/content/hash/value",
            Some(json!("00")),
            Reason::Value("hash"),
        ),
    ] {
        assert_eq!(
            logged(&changed(&body, pointer, value)),
            Err(reason.into()),
            "{pointer}"
        );
    }
}
