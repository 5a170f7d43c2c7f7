//! Entries of each kind, what is wrong with those that are refused, and what clients read.

mod answers;
mod certificates;
mod envelopes;
mod signatures;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn logged(body: &Value) -> Result<Entry, Error> {
    Request::parse(body.to_string().as_bytes())?.verify()
}

/// Checks that a request is logged as the expected leaf, and that the leaf gives the same search keys; returns them.
fn logged_as(body: &Value, leaf: &Value) -> Vec<String> {
    let entry = logged(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let expected = serde_json_canonicalizer::to_string(leaf).unwrap();
    assert_eq!(str::from_utf8(entry.leaf()).unwrap(), expected);
    let keys = entry.search_keys().to_vec();
    let again = search_keys(entry.leaf()).unwrap();
    let unlogged = keys.iter().filter(|key| !again.contains(key));
    assert_eq!(Vec::from_iter(unlogged.cloned()), entry.unlogged_keys());
    assert!(
        again.iter().all(|key| keys.contains(key)),
        "{again:?} of {keys:?}"
    );
    keys
}

/// A request with one place changed; `None` takes the member away.
fn changed(body: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    body
}

/// Another Rekor's entries may have keys that are not accepted here; they are still found by what they are about.
#[test]
fn an_entry_with_another_kind_of_key_is_found_by_its_artifact() {
    let leaf = serde_json::json!({
        "apiVersion": "0.0.1",
        "kind": "rekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": "AB12"}},
            "signature": {"content": "AA==", "publicKey": {"content": "AA=="}},
        },
    });
    let keys = search_keys(leaf.to_string().as_bytes());
    assert_eq!(keys, Some(vec!["sha256:ab12".to_owned()]));
    let hash = |value: &str| serde_json::json!({"algorithm": "sha256", "value": value});
    let signatures = serde_json::json!([{"verifier": "AA==", "publicKey": "AA=="}]);
    let dsse = serde_json::json!({"envelopeHash": hash("AB12"), "payloadHash": hash("CD"), "signatures": signatures});
    let intoto = serde_json::json!({"content": {"envelope": {"signatures": signatures}, "payloadHash": hash("CD")}});
    for (kind, spec, expected) in [
        ("dsse", dsse, vec!["sha256:ab12", "sha256:cd"]),
        ("intoto", intoto, vec!["sha256:cd"]),
    ] {
        let leaf = serde_json::json!({"apiVersion": "0.0.1", "kind": kind, "spec": spec});
        let keys = search_keys(leaf.to_string().as_bytes());
        assert_eq!(keys.unwrap(), expected, "{kind}");
    }
}
