//! Entries that Rekor itself has logged: their leaves must come out byte by byte, and its signatures must verify.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekor::v1::{LogEntry, TreeId};
use rekor::{v1, v2};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tlog::Hash;

/// The key of rekor.sigstore.dev, as `SubjectPublicKeyInfo`.
const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==";

struct Logged {
    name: String,
    entry: Value,
    envelope: Value,
    leaf: Vec<u8>,
    /// The leaf, parsed as JSON.
    body: Value,
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// The entries of one kind and version.
fn logged(kind: &str, version: &str) -> Vec<Logged> {
    let all: Vec<Value> = serde_json::from_str(include_str!("data/entries.json")).unwrap();
    let mut found = Vec::new();
    for bundle in all {
        let entry = bundle["entry"].clone();
        if entry["kindVersion"] == json!({"kind": kind, "version": version}) {
            let leaf = decoded(&entry["canonicalizedBody"]);
            let body = serde_json::from_slice(&leaf).unwrap();
            let name = bundle["name"].as_str().unwrap().to_owned();
            found.push(Logged {
                name,
                entry,
                envelope: bundle["dsseEnvelope"].clone(),
                leaf,
                body,
            });
        }
    }
    found
}

fn text(leaf: &[u8]) -> &str {
    std::str::from_utf8(leaf).unwrap()
}

#[test]
fn hashedrekords_of_version_2_have_rekors_leaves() {
    let all = logged("hashedrekord", "0.0.2");
    assert_eq!(all.len(), 5);
    for Logged {
        name, leaf, body, ..
    } in all
    {
        let rekord = &body["spec"]["hashedRekordV002"];
        let request = json!({"digest": rekord["data"]["digest"], "signature": rekord["signature"]});
        let request = json!({"hashedRekordRequestV002": request}).to_string();
        let entry = v2::Request::parse(request.as_bytes()).and_then(v2::Request::verify);
        let entry = entry.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text(entry.leaf()), text(&leaf), "{name}");
    }
}

fn verified(name: &str, body: &Value) -> v1::Entry {
    let entry = v1::Request::parse(body.to_string().as_bytes()).and_then(v1::Request::verify);
    entry.unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn hashedrekords_of_version_1_have_rekors_leaves() {
    let all = logged("hashedrekord", "0.0.1");
    assert_eq!(all.len(), 5);
    let mut names = Vec::new();
    for Logged {
        name, leaf, body, ..
    } in all
    {
        let entry = verified(&name, &body);
        assert_eq!(text(entry.leaf()), text(&leaf), "{name}");
        assert_eq!(
            v1::search_keys(&leaf).unwrap(),
            entry.search_keys(),
            "{name}"
        );
        names.extend(
            entry
                .search_keys()
                .iter()
                .filter(|key| key.contains(['@', '/', '!']))
                .cloned(),
        );
    }
    // Emails and workflows, and one name of another kind.
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("https://github.com/")),
        "{names:?}"
    );
    assert!(names.iter().any(|name| name.contains('!')), "{names:?}");
}

#[test]
fn envelopes_have_rekors_leaves() {
    let all = logged("dsse", "0.0.1");
    assert_eq!(all.len(), 2);
    for Logged {
        name,
        leaf,
        body,
        envelope,
        ..
    } in all
    {
        let verifiers: Vec<_> = body["spec"]["signatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| &line["verifier"])
            .collect();
        let content = json!({"envelope": envelope.to_string(), "verifiers": verifiers});
        let request =
            json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": content}});
        let entry = verified(&name, &request);
        // How the client spelled its envelope is not known any more.
        let mut expected: Value = body;
        expected["spec"]["envelopeHash"]["value"] =
            json!(tlog::hex(&Sha256::digest(envelope.to_string())));
        let expected = serde_json_canonicalizer::to_string(&expected).unwrap();
        assert_eq!(text(entry.leaf()), expected, "{name}");
        assert!(v1::search_keys(&leaf).is_some(), "{name}");
    }
}

#[test]
fn intoto_entries_have_rekors_leaves() {
    let all = logged("intoto", "0.0.2");
    assert_eq!(all.len(), 2);
    for Logged {
        name,
        leaf,
        body,
        envelope,
        ..
    } in all
    {
        let mut request = body;
        let payload = STANDARD.encode(envelope["payload"].as_str().unwrap());
        request["spec"]["content"]["envelope"]["payload"] = json!(payload);
        let entry = verified(&name, &request);
        assert_eq!(text(entry.leaf()), text(&leaf), "{name}");
        assert!(
            entry.search_keys().len() > v1::search_keys(&leaf).unwrap().len(),
            "{name}"
        );
    }
}

#[test]
fn rekors_signed_entry_timestamps_are_over_our_text() {
    let key = STANDARD.decode(KEY).unwrap();
    let log_id = Hash(Sha256::digest(&key).into());
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key);
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let mut checked = 0;
    for (kind, version) in [
        ("hashedrekord", "0.0.1"),
        ("dsse", "0.0.1"),
        ("intoto", "0.0.2"),
    ] {
        for Logged {
            name, entry, leaf, ..
        } in logged(kind, version)
        {
            if decoded(&entry["logId"]["keyId"]) != log_id.0 {
                continue;
            }
            let (global_index, integrated_time) =
                (number(&entry["logIndex"]), number(&entry["integratedTime"]));
            let tree = TreeId::new(1).unwrap();
            let logged = LogEntry {
                tree,
                log_id,
                global_index,
                integrated_time,
                leaf: &leaf,
            };
            let set = decoded(&entry["inclusionPromise"]["signedEntryTimestamp"]);
            assert!(
                key.verify(logged.set_payload().as_bytes(), &set).is_ok(),
                "{name}"
            );
            let other = LogEntry {
                global_index: global_index + 1,
                ..logged
            };
            assert!(
                key.verify(other.set_payload().as_bytes(), &set).is_err(),
                "{name}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 7);
}
