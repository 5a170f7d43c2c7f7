//! What is malformed, forged, expired or too much, and what Rekor answers to it: `crates/rekor/tests/data/SOURCE.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::tests::{fronted, open};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    requests: BTreeMap<String, Value>,
    rows: Vec<Row>,
}

/// A request and Rekor's answer to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    line: String,
    /// The request that it is made from.
    #[serde(default)]
    of: Option<String>,
    /// The place that is changed, or taken away if there is no value for it.
    #[serde(default)]
    at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    #[serde(default)]
    body: Option<String>,
    status: u16,
    answer: Value,
}

/// A null is a value, too.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Row {
    fn body(&self, requests: &BTreeMap<String, Value>) -> String {
        let Some(of) = &self.of else {
            return self.body.clone().unwrap_or_default();
        };
        let mut request = requests[of].clone();
        if let Some(at) = &self.at {
            let (parent, name) = at.rsplit_once('/').unwrap();
            let parent = request.pointer_mut(parent).unwrap();
            let members = parent.as_object_mut().unwrap();
            match &self.value {
                Some(value) => members.insert(name.to_owned(), value.clone()),
                None => members.remove(name),
            };
        }
        request.to_string()
    }
}

/// Rekor answers 500, after which clients send the request again, although it can never succeed.
const NEVER: &str = "nobody should send it again";
/// The status is Rekor's; the text differs, because it comes from another library.
const WORDS: &str = "the words of a library";
/// Rekor accepts this request, and the log refuses it.
const STRICT: &str = "refused here";

/// Where the answer is not Rekor's: the status, a part of the message, and why.
const OTHERWISE: &[(&str, u16, &str, &str)] = &[
    ("a list", 400, "expected an object", NEVER),
    ("no JSON", 400, "parsing proposedEntry body", NEVER),
    ("a number", 400, "parsing proposedEntry body", NEVER),
    (
        "intoto: no content/hash",
        400,
        "missing envelope digest",
        NEVER,
    ),
    (
        "JSON with more behind it",
        400,
        "trailing characters",
        STRICT,
    ),
    ("pgp: private key", 400, "invalid PGP type detected", STRICT),
    (
        "an old version",
        400,
        "intoto implementation for version '0.0.1' not found",
        "not read",
    ),
    (
        "rekord: minisign",
        400,
        "not enabled on this server",
        "not read",
    ),
    (
        "pure Ed25519",
        400,
        "entry algorithms are not allowed",
        "asked first",
    ),
    (
        "a spec that is a number",
        400,
        "parsing proposedEntry body",
        WORDS,
    ),
    (
        "hashedrekord: digest of other digits",
        400,
        "invalid value for hash",
        WORDS,
    ),
    (
        "hashedrekord: signature without base64",
        400,
        "invalid base64",
        WORDS,
    ),
    (
        "hashedrekord: malformed signature",
        400,
        "verifying signature: invalid signature",
        WORDS,
    ),
    ("hashedrekord: malformed key", 400, "not the DER", WORDS),
    (
        "hashedrekord: malformed certificate",
        400,
        "not the DER",
        WORDS,
    ),
    (
        "hashedrekord: private key",
        400,
        "invalid public key: only PUBLIC KEY",
        WORDS,
    ),
    (
        "hashedrekord: two keys",
        400,
        "invalid public key: only PUBLIC KEY",
        WORDS,
    ),
    (
        "hashedrekord: certificate and key",
        400,
        "invalid public key: only PUBLIC KEY",
        WORDS,
    ),
    (
        "hashedrekord: chain with an expired root",
        400,
        "x509: certificate has expired or is not yet valid",
        WORDS,
    ),
    (
        "hashedrekord: chain to another root",
        400,
        "x509: certificate signed by unknown authority",
        WORDS,
    ),
    (
        "dsse: empty envelope",
        400,
        "the DSSE envelope is malformed",
        WORDS,
    ),
    (
        "dsse: envelope that is no JSON",
        400,
        "the DSSE envelope is malformed",
        WORDS,
    ),
    (
        "dsse: verifier without base64",
        400,
        "invalid base64",
        WORDS,
    ),
    (
        "retrieve: an index that is a text",
        400,
        "parsing entry body",
        WORDS,
    ),
    (
        "retrieve: entries that are a text",
        400,
        "parsing entry body",
        WORDS,
    ),
    ("retrieve: no JSON", 400, "parsing entry body", WORDS),
    (
        "search: a key without base64",
        400,
        "parsing query body",
        WORDS,
    ),
    (
        "search: a hash that is a number",
        400,
        "parsing query body",
        WORDS,
    ),
    ("search: no JSON", 400, "parsing query body", WORDS),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_rekors() {
    let table = include_str!("../../../../../crates/rekor/tests/data/refusals.json");
    let table: Table = serde_json::from_str(table).unwrap();
    let server = fronted(open()).await;
    let otherwise: BTreeMap<_, _> = OTHERWISE.iter().map(|row| (row.0, row)).collect();
    let mut wrong = Vec::new();
    for row in &table.rows {
        let body = row.body(&table.requests);
        let (method, path) = row.line.split_once(' ').unwrap();
        let line = format!("{method} /argon/api/v1/{path}");
        let reply = server.ask(&line, "", body.as_bytes()).await;
        let said = || -> Value { serde_json::from_slice(&reply.body).unwrap_or_default() };
        let is_right = match otherwise.get(&*row.name) {
            Some((_, status, part, why)) => {
                assert!(*why != WORDS || *status == row.status, "{}", row.name);
                reply.status == *status && reply.text().contains(part)
            }
            None if row.answer == "accepted" => matches!(reply.status, 200 | 201),
            None => {
                let answer = row.answer.to_string().replace("/api/v1/", "/argon/api/v1/");
                let answer: Value = serde_json::from_str(&answer).unwrap();
                (reply.status, said()) == (row.status, answer)
            }
        };
        if !is_right {
            let (status, text) = (reply.status, reply.text());
            wrong.push(format!(
                "{}: {status} {text}, and Rekor: {} {}",
                row.name, row.status, row.answer
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: Vec<_> = table.rows.iter().map(|row| row.name.as_str()).collect();
    for (name, ..) in OTHERWISE {
        assert!(names.contains(name), "{name}");
    }
}
