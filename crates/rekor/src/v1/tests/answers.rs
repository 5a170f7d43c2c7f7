//! Names of entries, answers, queries.

use proptest::prelude::*;
use serde_json::{Value, json};
use tlog::Hash;

use super::*;
use crate::Inclusion;
use crate::testing::p256;

fn entry(leaf: &[u8]) -> LogEntry<'_> {
    LogEntry {
        tree: TreeId::new(0x1234).unwrap(),
        log_id: Hash([5; 32]),
        global_index: 1_000_007,
        integrated_time: 1_795_208_489,
        leaf,
    }
}

fn inclusion() -> Inclusion<'static> {
    let (root, checkpoint) = (Hash([3; 32]), "log.example.org - 4660\n8\n…");
    Inclusion {
        index: 7,
        tree_size: 8,
        root,
        proof: &[Hash([4; 32])],
        checkpoint,
    }
}

#[test]
fn an_answer_has_what_clients_check() {
    let entry = entry(b"leaf");
    let payload = entry.set_payload();
    let set = json!({
        "body": b64("leaf"),
        "integratedTime": 1_795_208_489,
        "logID": "05".repeat(32),
        "logIndex": 1_000_007,
    });
    assert_eq!(payload, serde_json_canonicalizer::to_string(&set).unwrap());
    let id = format!("0000000000001234{}", tlog::hex(&tlog::leaf_hash(b"leaf").0));
    assert_eq!(entry.id().to_string(), id);
    let mut expected = set;
    expected["verification"] = json!({
        "inclusionProof": {
            "checkpoint": inclusion().checkpoint,
            "hashes": ["04".repeat(32)],
            "logIndex": 7,
            "rootHash": "03".repeat(32),
            "treeSize": 8,
        },
        "signedEntryTimestamp": b64("signature"),
    });
    let expected = json!({id: expected});
    let found: Value = serde_json::from_str(&answer(&entry, b"signature", &inclusion())).unwrap();
    assert_eq!(found, expected);
    let one = (entry, b"signature".as_slice(), inclusion());
    for number in 0..3 {
        let found: Value = serde_json::from_str(&answers(vec![one; number])).unwrap();
        assert_eq!(found, json!(vec![expected.clone(); number]));
    }
}

#[test]
fn the_log_shows_its_shards_and_proves_that_they_grow() {
    let tree = |number, size| SignedTree {
        tree: TreeId::new(number).unwrap(),
        size,
        root: Hash([9; 32]),
        note: "a\nb",
    };
    let shown = |number: &str, size: u64| json!({"rootHash": "09".repeat(32), "treeSize": size, "signedTreeHead": "a\nb", "treeID": number});
    let info = LogInfo {
        active: tree(i64::MAX.unsigned_abs(), 5),
        inactive: &[tree(1, 3), tree(2, 4)],
    };
    let mut expected = shown("9223372036854775807", 5);
    expected["inactiveShards"] = json!([shown("1", 3), shown("2", 4)]);
    assert_eq!(
        serde_json::from_str::<Value>(&info.body()).unwrap(),
        expected
    );
    let found: Value = serde_json::from_str(&proof(&Hash([9; 32]), &[Hash([1; 32])])).unwrap();
    assert_eq!(
        found,
        json!({"rootHash": "09".repeat(32), "hashes": ["01".repeat(32)]})
    );
}

#[test]
fn an_entry_is_retrieved_by_name_index_or_content() {
    let key = p256();
    let hash = json!({"algorithm": "sha256", "value": tlog::hex(key.digest(b"x").as_ref())});
    let signature =
        json!({"content": b64(key.sign(b"x")), "publicKey": {"content": b64(key.pem())}});
    let spec = json!({"data": {"hash": hash}, "signature": signature});
    let entry = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec});
    let leaf = Hash([7; 32]);
    let uuid = EntryId {
        tree: TreeId::new(1).unwrap(),
        leaf,
    };
    let body = json!({"entryUUIDs": [uuid.to_string(), tlog::hex(&leaf.0)], "logIndexes": [0, 5], "entries": [entry]});
    let found = Retrieve::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!(found.uuids, [Uuid::Entry(uuid), Uuid::Leaf(leaf)]);
    assert_eq!(found.indexes, [0, 5]);
    let entries = found.entries.into_iter().map(Request::verify);
    let entries: Vec<_> = entries.collect::<Result<_, _>>().unwrap();
    assert_eq!(entries, [logged(&entry).unwrap()]);

    let nulls = r#"{"entryUUIDs":null,"logIndexes":null,"entries":null}"#;
    let found = Retrieve::parse(nulls.as_bytes()).unwrap();
    assert!(found.uuids.is_empty() && found.indexes.is_empty() && found.entries.is_empty());

    let many =
        json!({"logIndexes": vec![0; 6], "entryUUIDs": vec![uuid.to_string(); 5]}).to_string();
    let error = Retrieve::parse(many.as_bytes()).unwrap_err();
    assert_eq!(
        (error.status(), error.message().as_str()),
        (422, "more than max allowed 10 entries in request")
    );
    for (body, status) in [
        (json!({"entryUUIDs": ["ab"]}), 422),
        (json!({"entryUUIDs": ["0".repeat(80)]}), 400),
        (json!({"logIndexes": vec![0; 11]}), 422),
        (json!({"entries": [{"kind": "jar", "spec": {}}]}), 400),
        (json!({"logIndexes": [-1]}), 422),
        (json!([]), 400),
    ] {
        assert_eq!(
            Retrieve::parse(body.to_string().as_bytes())
                .unwrap_err()
                .status(),
            status,
            "{body}"
        );
    }
}

/// Go takes the name of a member in any case, and the last of several. What is logged must not depend on the reader.
#[test]
fn a_member_in_another_case_is_refused_at_every_level() {
    let bodies = [super::signatures::examples(), super::envelopes::examples()];
    for body in bodies.into_iter().flatten() {
        logged(&body).unwrap();
        let spec = body["spec"].as_object().unwrap();
        let top = ["kind", "apiVersion", "spec"].map(|name| ("", name));
        let inner = spec.keys().map(|name| ("/spec", name.as_str()));
        for (place, name) in top.into_iter().chain(inner) {
            let mut twice = body.clone();
            let object = twice.pointer_mut(place).unwrap().as_object_mut().unwrap();
            let value = object[name].clone();
            let (first, rest) = name.split_at(1);
            object.insert(first.to_uppercase() + rest, value);
            let sent = twice.to_string();
            let error = Request::parse(sent.as_bytes()).unwrap_err();
            let other = error.message().contains("in another case");
            assert!(other && error.status() == 400, "{sent}: {error}");
            let asked = json!({"entries": [twice]}).to_string();
            Retrieve::parse(asked.as_bytes()).unwrap_err();
        }
    }
    for text in [
        r#"{"Entries": []}"#,
        r#"{"entryuuids": []}"#,
        r#"{"logIndexes": [1], "LogIndexes": [2]}"#,
    ] {
        let error = Retrieve::parse(text.as_bytes()).unwrap_err();
        assert!(error.message().contains("in another case"), "{error}");
    }
    for text in [
        r#"{"Hash": "ab"}"#,
        r#"{"publickey": null}"#,
        r#"{"email": "a@b.example", "Email": ""}"#,
    ] {
        let error = Query::parse(text.as_bytes()).unwrap_err();
        assert!(error.message().contains("in another case"), "{error}");
    }
}

#[test]
fn a_query_asks_for_keys_as_entries_have_them() {
    let query = |body: Value| Query::parse(body.to_string().as_bytes());
    let keys = |operator, keys: &[&str]| {
        Ok(Query {
            operator,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    };
    let (digits, sha1) = ("AB".repeat(32), "cd".repeat(20));
    let hash = format!("sha256:{}", digits.to_lowercase());
    assert_eq!(query(json!({"hash": digits})), keys(Operator::Or, &[&hash]));
    assert_eq!(
        query(json!({"hash": format!("sha256:{digits}")})),
        keys(Operator::Or, &[&hash])
    );
    assert_eq!(
        query(json!({"hash": sha1})),
        keys(Operator::Or, &[&format!("sha1:{sha1}")])
    );
    let names =
        json!({"email": "Dev@logd.test", "subject": "URI", "operator": "and", "hash": null});
    assert_eq!(query(names), keys(Operator::And, &["dev@logd.test", "uri"]));
    let key =
        query(json!({"publicKey": {"format": "x509", "content": b64(p256().pem())}})).unwrap();
    assert_eq!(key.keys[0].len(), 64);
    // As in Rekor, who asks for nothing finds nothing.
    for body in [json!({}), json!({"hash": "", "email": ""})] {
        assert_eq!(query(body), keys(Operator::Or, &[]));
    }
    for (body, status) in [
        (json!([]), 400),
        (json!({"hash": "sha256:ab"}), 422),
        (json!({"hash": format!("sha1:{digits}")}), 422),
        (json!({"hash": "zz".repeat(32)}), 422),
        (json!({"publicKey": {"content": b64("?")}}), 422),
        (
            json!({"publicKey": {"format": "x509", "content": b64("?")}}),
            400,
        ),
        (json!({"publicKey": {"format": "pgp", "content": ""}}), 400),
        (json!({"publicKey": {"format": "ssh", "content": ""}}), 400),
        (json!({"email": "a@b.example", "operator": "xor"}), 422),
        (json!({"email": "a"}), 422),
        (json!({"email": "a@b@c"}), 422),
    ] {
        assert_eq!(query(body.clone()).unwrap_err().status(), status, "{body}");
    }
}

#[test]
fn other_errors_have_upstreams_status() {
    let id = entry(b"leaf").id();
    for (error, status, message) in [
        (
            Error::Exists(id),
            409,
            format!("an equivalent entry already exists in the transparency log with UUID {id}"),
        ),
        (
            Error::SizeOrder { first: 3, last: 2 },
            400,
            "firstSize(3) must be less than lastSize(2)".to_owned(),
        ),
        (
            Error::Size { last: 9, size: 8 },
            400,
            "the tree size requested(9) was greater than what is currently observable(8)"
                .to_owned(),
        ),
        (
            Error::Unavailable,
            503,
            "the log is too busy; retry".to_owned(),
        ),
        (
            Error::Frozen,
            405,
            "this log has been frozen, please switch to the latest log".to_owned(),
        ),
    ] {
        let body: Value = serde_json::from_str(&error.body()).unwrap();
        assert_eq!(body, json!({"code": status, "message": message}));
        assert_eq!(error.status(), status);
    }
    assert_eq!(
        (Error::NotFound.status(), Error::NotFound.body()),
        (404, String::new())
    );
}

proptest! {
    #[test]
    fn what_an_entry_is_called_is_read_again(tree in 1..=i64::MAX.unsigned_abs(), leaf: [u8; 32]) {
        let id = EntryId { tree: TreeId::new(tree).unwrap(), leaf: Hash(leaf) };
        let text = id.to_string();
        prop_assert_eq!(text.len(), 80);
        prop_assert_eq!(Uuid::parse(&text), Some(Uuid::Entry(id)));
        prop_assert_eq!(Uuid::parse(&text.to_uppercase()), Some(Uuid::Entry(id)));
        prop_assert_eq!(Uuid::parse(&text[16..]), Some(Uuid::Leaf(Hash(leaf))));
        prop_assert_eq!(Uuid::parse(&text[1..]), None);
        prop_assert_eq!(Uuid::parse(&format!("{:016}{}", 0, &text[16..])), None);
        prop_assert_eq!(Uuid::parse(&format!("ffffffffffffffff{}", &text[16..])), None);
        prop_assert_eq!(id.tree.get(), tree);
    }

    #[test]
    fn no_body_makes_the_readers_fall(body: Vec<u8>, text in r#"[{}\[\]",:0-9a-zA-Z_é]{0,80}"#) {
        for body in [body.as_slice(), text.as_bytes()] {
            let _ = Request::parse(body).map(Request::verify);
            let _ = Retrieve::parse(body);
            let _ = Query::parse(body);
            let _ = search_keys(body);
        }
        let _ = Uuid::parse(&text);
    }
}
