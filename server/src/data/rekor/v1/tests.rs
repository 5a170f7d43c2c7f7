//! The front of version 1 as a client sees it, over a real engine.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use logconfig::{Algorithm, Duplicates, EntryKind, FirstEntry, RekorConfig};
use serde_json::{Value, json};
use tlog::{Checkpoint, Hash, Note, VerifierKey};

use super::super::tests::{self as front, change, create};
use crate::testing::{Reply, Server};

const ENTRIES: &str = "POST /argon/api/v1/log/entries";

pub(super) fn open() -> RekorConfig {
    RekorConfig {
        v1: true,
        ..RekorConfig::default()
    }
}

pub(super) async fn fronted(rekor: RekorConfig) -> Server {
    let server = Server::start().await;
    create(&server, Algorithm::EcdsaP256, rekor).await;
    let indexes = server.follow();
    let log = server.engine.log("argon").unwrap();
    while rekor.v1 && indexes.by_leaf(&log, Hash([0; 32])).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server
}

/// A signed request over an artifact, as a client sends it: the same one every time but for its key.
fn signed(artifact: &[u8]) -> Value {
    let v2 = front::signed(artifact);
    let v2 = &v2["hashedRekordRequestV002"];
    let digest = STANDARD.decode(v2["digest"].as_str().unwrap()).unwrap();
    let key = v2["signature"]["verifier"]["publicKey"]["rawBytes"].as_str();
    let pem = rekor::v1::public_key(&STANDARD.decode(key.unwrap()).unwrap());
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": tlog::hex(&digest)}},
            "signature": {
                "content": v2["signature"]["content"],
                "publicKey": {"content": STANDARD.encode(pem)},
            },
        },
    })
}

async fn send(server: &Server, request: &Value) -> Reply {
    let body = request.to_string();
    server.ask(ENTRIES, "", body.as_bytes()).await
}

async fn post(server: &Server, path: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let line = format!("POST /argon/api/v1/{path}");
    server.ask(&line, "", body.as_bytes()).await
}

/// The ECDSA keys of the shards, oldest first.
async fn keys(server: &Server) -> Vec<VerifierKey> {
    let shards = server.get_json("/argon/shards").await;
    let shards = shards.as_array().unwrap().iter();
    let keys = shards.filter_map(|shard| shard["ecdsaVkey"].as_str());
    keys.map(|key| key.parse().unwrap()).collect()
}

/// An entry as a client keeps it: its name, index over all shards, and time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    id: String,
    index: u64,
    time: u64,
    body: String,
}

/// Checks an entry as a client does, with nothing but the shard's key.
fn checked(id: &str, entry: &Value, key: &VerifierKey) -> Kept {
    let number = |value: &Value| value.as_u64().unwrap();
    let proof = &entry["verification"]["inclusionProof"];
    let note = Note::parse(proof["checkpoint"].as_str().unwrap()).unwrap();
    assert_eq!(note.verify(&[key]), Ok(vec![0]));
    assert_eq!(note.signatures.len(), 1, "another line breaks its clients");
    let tree = Checkpoint::parse(note.text).unwrap();
    let (name, number_of_tree) = tree.origin.split_once(" - ").unwrap();
    assert_eq!(name, key.name());
    assert_eq!(
        u64::from_str_radix(&id[..16], 16).unwrap().to_string(),
        number_of_tree
    );
    assert_eq!(number(&proof["treeSize"]), tree.size);
    assert_eq!(proof["rootHash"], tlog::hex(&tree.root.0));
    let leaf = STANDARD.decode(entry["body"].as_str().unwrap()).unwrap();
    let leaf = tlog::leaf_hash(&leaf);
    assert_eq!(id[16..], tlog::hex(&leaf.0));
    let hashes = proof["hashes"].as_array().unwrap().iter();
    let hashes: Vec<_> = hashes
        .map(|hash| Hash(tlog::unhex(hash.as_str().unwrap()).unwrap()))
        .collect();
    let index = number(&proof["logIndex"]);
    tlog::verify_inclusion(index, tree.size, &leaf, &hashes, &tree.root).unwrap();
    assert_eq!(entry["logID"], tlog::hex(&key.log_id().0));
    // The members in the order of RFC 8785.
    let text = format!(
        r#"{{"body":{},"integratedTime":{},"logID":{},"logIndex":{}}}"#,
        entry["body"], entry["integratedTime"], entry["logID"], entry["logIndex"]
    );
    let set = entry["verification"]["signedEntryTimestamp"].as_str();
    let set = STANDARD.decode(set.unwrap()).unwrap();
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.bytes());
    verifier.verify(text.as_bytes(), &set).unwrap();
    Kept {
        id: id.to_owned(),
        index: number(&entry["logIndex"]),
        time: number(&entry["integratedTime"]),
        body: entry["body"].as_str().unwrap().to_owned(),
    }
}

/// The only entry of an answer.
fn only(reply: &Reply, status: u16, key: &VerifierKey) -> Kept {
    assert_eq!(reply.status, status, "{reply:?}");
    let entries = reply.json();
    let entries = entries.as_object().unwrap();
    assert_eq!(entries.len(), 1);
    let (id, entry) = entries.iter().next().unwrap();
    checked(id, entry, key)
}

#[tokio::test]
async fn an_entry_is_the_same_however_it_is_asked_for() {
    let server = fronted(open()).await;
    let keys = keys(&server).await;
    let request = signed(b"one");
    let reply = send(&server, &request).await;
    let written = only(&reply, 201, &keys[0]);
    assert_eq!(written.index, 1, "the opening statement comes first");
    assert_eq!(reply.header("etag"), Some(&*written.id));
    let location = format!("/argon/api/v1/log/entries/{}", written.id);
    assert_eq!(reply.header("location"), Some(&*location));
    let now = crate::clock::now_ms() / 1000;
    assert!(now - written.time < 600, "{written:?} at {now}");

    // Sent again, it is there once.
    assert_eq!(only(&send(&server, &request).await, 201, &keys[0]), written);
    send(&server, &signed(b"two")).await;
    let uuid = &written.id[16..];
    for path in [
        location,
        format!("/argon/api/v1/log/entries/{uuid}"),
        format!("/argon/api/v1/log/entries/{}", uuid.to_uppercase()),
        "/argon/api/v1/log/entries?logIndex=1".to_owned(),
    ] {
        assert_eq!(
            only(&server.get(&path).await, 200, &keys[0]),
            written,
            "{path}"
        );
    }
    // rekor-cli sends null for what it does not ask for, sigstore-python a slash at the end.
    for (path, asked) in [
        (
            "log/entries/retrieve",
            json!({"entryUUIDs": [written.id, uuid], "logIndexes": null, "entries": null}),
        ),
        (
            "log/entries/retrieve/",
            json!({"logIndexes": [1, 99], "entries": [request]}),
        ),
    ] {
        let found = post(&server, path, &asked).await;
        assert_eq!(found.status, 200, "{found:?}");
        let found = found.json();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        for one in found {
            let (id, entry) = one.as_object().unwrap().iter().next().unwrap();
            assert_eq!(checked(id, entry, &keys[0]), written);
        }
    }
}

#[tokio::test]
async fn entries_keep_their_names_and_indexes_over_rotations() {
    let server = fronted(open()).await;
    let mut kept = Vec::new();
    for n in 0..3u8 {
        let (own, same) = (signed(&[n]), json!(null));
        let _ = same;
        let reply = send(&server, &own).await;
        let key = keys(&server).await.pop().unwrap();
        kept.push((only(&reply, 201, &key), key));
        change(&server, engine::testing::rotation()).await;
    }
    // Each shard has its statement before the entry.
    let indexes: Vec<_> = kept.iter().map(|(kept, _)| kept.index).collect();
    assert_eq!(indexes, [1, 3, 5]);
    for (entry, key) in &kept {
        for path in [entry.id.clone(), entry.id[16..].to_owned()] {
            let path = format!("/argon/api/v1/log/entries/{path}");
            assert_eq!(only(&server.get(&path).await, 200, key), *entry);
        }
        let path = format!("/argon/api/v1/log/entries?logIndex={}", entry.index);
        assert_eq!(only(&server.get(&path).await, 200, key), *entry);
    }
    let info = server.get_json("/argon/api/v1/log").await;
    let inactive = info["inactiveShards"].as_array().unwrap();
    assert_eq!((inactive.len(), info["treeSize"].as_u64()), (3, Some(0)));
    for (shard, (_, key)) in inactive.iter().zip(&kept) {
        let note = Note::parse(shard["signedTreeHead"].as_str().unwrap()).unwrap();
        assert_eq!(note.verify(&[key]), Ok(vec![0]));
        let tree = Checkpoint::parse(note.text).unwrap();
        assert_eq!((tree.size, shard["treeSize"].as_u64()), (2, Some(2)));
        assert_eq!(shard["rootHash"], tlog::hex(&tree.root.0));
        let path = format!(
            "/argon/api/v1/log/publicKey?treeID={}",
            shard["treeID"].as_str().unwrap()
        );
        let pem = server.get(&path).await;
        assert_eq!(pem.header("content-type"), Some("application/x-pem-file"));
        assert_eq!(pem.text(), rekor::v1::public_key(key.bytes()));
        let path = format!(
            "/argon/api/v1/log/proof?firstSize=1&lastSize=2&treeID={}",
            shard["treeID"].as_str().unwrap()
        );
        let proof = server.get_json(&path).await;
        assert_eq!(proof["rootHash"], shard["rootHash"]);
        assert_eq!(proof["hashes"].as_array().unwrap().len(), 1);
    }
    // The head of the shard that grows is signed again each time.
    let again = server.get_json("/argon/api/v1/log").await;
    assert_ne!(again["signedTreeHead"], info["signedTreeHead"]);
    assert_eq!(again["inactiveShards"], info["inactiveShards"]);
}

#[tokio::test]
async fn consistency_is_proven_between_any_two_sizes() {
    let server = fronted(RekorConfig {
        first_entry: FirstEntry::None,
        ..open()
    })
    .await;
    let mut roots = Vec::new();
    for n in 0..9u8 {
        let reply = send(&server, &signed(&[n])).await;
        let entries = reply.json();
        let (_, entry) = entries.as_object().unwrap().iter().next().unwrap();
        let proof = &entry["verification"]["inclusionProof"];
        assert_eq!(proof["treeSize"], u64::from(n) + 1);
        roots.push(Hash(
            tlog::unhex(proof["rootHash"].as_str().unwrap()).unwrap(),
        ));
    }
    for last in 1..=9 {
        for first in 1..=last {
            let path = format!("/argon/api/v1/log/proof?firstSize={first}&lastSize={last}");
            let proof = server.get_json(&path).await;
            assert_eq!(proof["rootHash"], tlog::hex(&roots[8].0));
            let hashes = proof["hashes"].as_array().unwrap().iter();
            let hashes: Vec<_> = hashes
                .map(|hash| Hash(tlog::unhex(hash.as_str().unwrap()).unwrap()))
                .collect();
            let (old, new) = (roots[first - 1], roots[last - 1]);
            tlog::verify_consistency(first as u64, last as u64, &hashes, &old, &new).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_answered_as_rekor_answers_it() {
    let kinds = [EntryKind::HashedRekord].into_iter().collect();
    let server = fronted(RekorConfig {
        kinds,
        duplicates: Duplicates::Conflict,
        ..open()
    })
    .await;
    let request = signed(b"one");
    let written = send(&server, &request).await;
    let id = written.header("etag").unwrap();
    let mut weak = request.clone();
    weak["spec"]["data"]["hash"] = json!({"algorithm": "sha512", "value": "00".repeat(64)});
    let mut forged = request.clone();
    forged["spec"]["data"]["hash"]["value"] = "00".repeat(32).into();
    let closed = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": {"envelope": "{}", "verifiers": [""]}}});
    let unknown = json!({"apiVersion": "0.0.1", "kind": "jar", "spec": {}});
    let many = json!({"logIndexes": [1, 1, 1, 1, 1, 1], "entryUUIDs": [id, id, id, id, id]});
    for (line, body, status, said) in [
        ("POST log/entries", request.clone(), 409, id),
        ("POST log/entries", forged, 400, "invalid signature"),
        (
            "POST log/entries",
            weak,
            400,
            "entry algorithms are not allowed",
        ),
        (
            "POST log/entries",
            closed,
            400,
            "kind 'dsse' is not enabled",
        ),
        (
            "POST log/entries",
            unknown,
            400,
            "kind 'jar' is not enabled",
        ),
        (
            "POST log/entries/retrieve",
            many,
            422,
            "more than max allowed 10",
        ),
        ("GET log/entries?logIndex=2", json!(null), 404, ""),
        (
            "GET log/proof?firstSize=2&lastSize=1",
            json!(null),
            400,
            "firstSize(2) must be less than lastSize(1)",
        ),
        (
            "GET log/proof?lastSize=3",
            json!(null),
            400,
            "currently observable(2)",
        ),
        (
            "GET log/proof?lastSize=1&treeID=7",
            json!(null),
            400,
            "no log range found for tree ID 7",
        ),
        (
            "GET log/publicKey?treeID=7",
            json!(null),
            400,
            "Bad Request",
        ),
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let line = format!("{method} /argon/api/v1/{path}");
        let reply = server.ask(&line, "", body.as_bytes()).await;
        assert_eq!(reply.status, status, "{line} {body}: {reply:?}");
        if status == 404 && said.is_empty() {
            assert_eq!(reply.text(), "", "{line}");
            continue;
        }
        assert_eq!(reply.json()["code"], status, "{line}");
        assert!(reply.text().contains(said), "{line} {body}: {reply:?}");
    }
    let location = format!("/argon/api/v1/log/entries/{id}");
    let conflict = send(&server, &request).await;
    assert_eq!(conflict.header("location"), Some(&*location));
    let nobody = format!("/argon/api/v1/log/entries/{:016x}{}", 7, &id[16..]);
    assert_eq!(server.get(&nobody).await.status, 404, "of an unknown tree");
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let server = fronted(open()).await;
    let whole = server.get("/argon/api/v1/log/publicKey").await;
    let head = server
        .ask("HEAD /argon/api/v1/log/publicKey", "", b"")
        .await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert!(!whole.text().is_empty());
}

#[tokio::test]
async fn a_front_that_opens_on_entries_warns() {
    let server = fronted(RekorConfig::default()).await;
    let log = server.engine.log("argon").unwrap();
    let mut next = log.config();
    next.rekor = open();
    let warned = async |next: &logconfig::LogConfig| {
        let next = Box::new(next.clone());
        let preview = log.preview(engine::Request::Configure { next, base: None });
        let warnings = preview.await.unwrap().warnings;
        warnings
            .iter()
            .any(|found| found.code == "front-on-entries")
    };
    assert!(!warned(&next).await);
    let entry = b"an entry of its own writers";
    assert_eq!(server.ask("POST /argon/add", "", entry).await.status, 200);
    assert!(warned(&next).await);
}

#[tokio::test]
async fn a_shard_that_opens_with_a_key_that_nobody_has_seen_warns() {
    for (rekor, expected) in [(open(), true), (RekorConfig::default(), false)] {
        let server = fronted(rekor).await;
        let log = server.engine.log("argon").unwrap();
        let rotate = engine::Request::Rotate {
            name: None,
            base: None,
            force: false,
        };
        let warnings = log.preview(rotate).await.unwrap().warnings;
        let warned = warnings.iter().any(|one| one.code == "key-not-announced");
        assert_eq!(warned, expected, "{warnings:?}");
    }
}

#[tokio::test]
async fn both_apis_show_one_tree() {
    let server = fronted(RekorConfig { v2: true, ..open() }).await;
    let keys = keys(&server).await;
    let one = only(&send(&server, &signed(b"one")).await, 201, &keys[0]);
    let two = front::send(&server, &front::signed(b"two")).await;
    assert_eq!(two.header("logd-global-index"), Some("2"));
    let three = only(&send(&server, &signed(b"three")).await, 201, &keys[0]);
    assert_eq!((one.index, three.index), (1, 3));
    // Written through the other API, and answered with the time of its slot as well.
    let path = "/argon/api/v1/log/entries?logIndex=2";
    let found = only(&server.get(path).await, 200, &keys[0]);
    assert!((one.time..=three.time).contains(&found.time));
}

#[tokio::test]
async fn a_log_without_the_front_has_no_such_path() {
    let server = fronted(RekorConfig::default()).await;
    for line in [
        ENTRIES,
        "GET /argon/api/v1/log",
        "GET /api/v1/log",
        "GET /other/api/v1/log",
    ] {
        let reply = server.ask(line, "", b"").await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (404, &json!(404)),
            "{line}"
        );
    }
    assert_eq!(server.get("/ping").await.status, 200);
}

/// Searches until something is found; the limit is a guard against hanging only.
async fn search(server: &Server, query: &Value) -> Vec<String> {
    let patient = async {
        loop {
            let reply = post(server, "index/retrieve", query).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let found: Vec<String> = serde_json::from_slice(&reply.body).unwrap();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let patient = tokio::time::timeout(std::time::Duration::from_secs(60), patient);
    patient.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_by_hash_and_key_in_every_shard() {
    let server = fronted(open()).await;
    let request = signed(b"one");
    let mut names = Vec::new();
    for _ in 0..2 {
        let reply = send(&server, &request).await;
        let key = keys(&server).await.pop().unwrap();
        names.push(only(&reply, 201, &key).id);
        change(&server, engine::testing::rotation()).await;
    }
    send(&server, &signed(b"two")).await;
    let hash = &request["spec"]["data"]["hash"]["value"];
    let key =
        json!({"format": "x509", "content": request["spec"]["signature"]["publicKey"]["content"]});
    let other = tlog::hex(&[7; 32]);
    for query in [
        json!({"hash": hash}),
        json!({"publicKey": key}),
        json!({"publicKey": key, "hash": hash, "operator": "and"}),
        json!({"publicKey": key, "hash": other, "operator": "or"}),
    ] {
        let mut found = search(&server, &query).await;
        while found.len() < 2 {
            found = search(&server, &query).await;
        }
        assert_eq!(found, names, "{query}");
    }
    let query = json!({"publicKey": key, "hash": other, "operator": "and"});
    let reply = post(&server, "index/retrieve", &query).await;
    assert_eq!((reply.status, reply.text()), (200, "[]"));
}

/// Anybody may search, and name entries by their content. Neither may hold up the other, writes, or reads that need no check.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_checked_take_turns_only_from_their_own_kind() {
    // Members that nobody knows make a body so long that it is not read where it arrives.
    let long = |mut body: Value| {
        body["unknown"] = "x".repeat(20 << 10).into();
        body
    };
    let hash = json!({"hash": tlog::hex(&[7; 32])});
    let by_content = json!({"entries": [signed(b"nowhere")]});
    for kind in ["searches", "retrievals"] {
        let server = &fronted(open()).await;
        // No turn is free, and none will be.
        match kind {
            "searches" => server.plane.reads.searches.close(),
            _ => server.plane.reads.retrievals.close(),
        }
        let written = send(server, &long(signed(b"one"))).await;
        assert_eq!(written.status, 201, "{written:?}");
        let path = "/argon/api/v1/log/entries?logIndex=1";
        assert_eq!(server.get(path).await.status, 200);
        assert_eq!(post(server, "index/retrieve", &hash).await.status, 200);
        let searched = post(server, "index/retrieve", &long(hash.clone())).await;
        let retrieved = post(server, "log/entries/retrieve", &by_content).await;
        let (refused, answered) = match kind {
            "searches" => (searched, retrieved),
            _ => (retrieved, searched),
        };
        assert_eq!(answered.status, 200, "{kind}: {answered:?}");
        assert_eq!(refused.status, 503, "{kind}: {refused:?}");
        assert!(
            refused.text().contains("checking as many searches"),
            "{refused:?}"
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_its_shard_no_longer_remembers_is_found_by_its_name() {
    let server = fronted(open()).await;
    send(&server, &signed(b"one")).await;
    // Written without the key by which a shard remembers it.
    let request = signed(b"two").to_string();
    let entry = rekor::v1::Request::parse(request.as_bytes()).unwrap();
    let leaf = entry.verify().unwrap().into_leaf();
    let uuid = tlog::hex(&tlog::leaf_hash(&leaf).0);
    let log = server.engine.log("argon").unwrap();
    let appended = log.append(leaf.into()).await.unwrap();
    log.wait_published(appended.index).await.unwrap();
    let path = format!("/argon/api/v1/log/entries/{uuid}");
    let mut reply = server.get(&path).await;
    while reply.status == 404 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        reply = server.get(&path).await;
    }
    let keys = keys(&server).await;
    assert_eq!(only(&reply, 200, &keys[0]).index, appended.index.get());
}

/// What the index has not reached of an imported shard is not denied: a monitor would take it for a removal.
#[tokio::test(flavor = "multi_thread")]
async fn imported_entries_are_not_denied_while_the_index_is_built() {
    let server = Server::start().await;
    let audited = engine::Audited::new(std::sync::Arc::clone(&server.engine));
    let signer = tlog::Signer::from_p256("rekor.example.org", &[7; 32]).unwrap();
    let (name, mut tree) = ("argon".parse().unwrap(), tlog::ShardTree::default());
    let leaves: Vec<Vec<u8>> = (0..3).map(|n| format!("entry {n}").into_bytes()).collect();
    let entries = (0..).zip(&leaves).map(|(index, leaf)| {
        tree.push(leaf, &mut Vec::new());
        let signed = tlog::EntryTimestamp {
            log_id: signer.verifier().log_id(),
            index,
            time: 1_600_000_000,
            leaf,
        };
        engine::OldEntry {
            timestamp: signed.sign(&signer).unwrap(),
            leaf: leaf.clone().into(),
            seconds: 1_600_000_000,
        }
    });
    let entries = entries.collect();
    let head = Checkpoint {
        origin: "rekor.example.org - 7".to_owned(),
        size: 3,
        root: tree.root(),
        extensions: Vec::new(),
    };
    let shard = engine::OldShard {
        tree_id: 7,
        key: signer.verifier().bytes().to_vec(),
        note: tlog::sign(&head.to_text(), &[&signer]).unwrap(),
    };
    let actor = || "test".to_owned();
    audited
        .begin_import(&name, &[shard], None, actor())
        .await
        .unwrap();
    let from = tlog::TreeSize::ZERO;
    audited
        .add_to_import(&name, 7, from, entries)
        .await
        .unwrap();
    let mut config =
        logconfig::LogConfig::new(name, "log.example.org".to_owned(), "own".parse().unwrap());
    config.origin_form = logconfig::OriginForm::Host;
    config.key.algorithm = Algorithm::EcdsaP256;
    config.shards[0].key = config.key;
    config.rekor = open();
    let frozen = logconfig::ShardConfig::new("7".parse().unwrap(), logconfig::ShardState::Frozen);
    config.shards.insert(0, frozen);
    let caller = engine::Author {
        actor: actor(),
        idempotency_key: None,
        reason: None,
    };
    server
        .engine
        .create_log_unaudited(config, caller)
        .await
        .unwrap();
    let log = server.engine.log("argon").unwrap();
    log.wait_published(tlog::GlobalIndex::new(2)).await.unwrap();
    let own = log.rekor_shards()[1].tree_id;

    let indexes = crate::indexes::Indexes::new(server.folder.path().join("index"));
    server.readiness.search(std::sync::Arc::clone(&indexes));
    let leaf = tlog::hex(&tlog::leaf_hash(&leaves[1]).0);
    for (position, status) in [(0, 503), (2, 503), (3, 404)] {
        let file = server.folder.path().join(format!("{position}.index"));
        let index = rekor_index::Index::open(&file, "log.example.org", 1 << 20).unwrap();
        indexes.stand_still("argon", index, tlog::GlobalIndex::new(position));
        for id in [leaf.clone(), format!("{:016x}{leaf}", 7)] {
            let reply = server.get(&format!("/argon/api/v1/log/entries/{id}")).await;
            assert_eq!(reply.status, status, "{position} {id}: {}", reply.text());
            let reply = post(
                &server,
                "log/entries/retrieve",
                &json!({"entryUUIDs": [id]}),
            )
            .await;
            let found = if status == 503 { 503 } else { 200 };
            assert_eq!(reply.status, found, "{position}: {}", reply.text());
        }
        let reply = post(
            &server,
            "index/retrieve",
            &json!({"hash": format!("sha256:{leaf}")}),
        )
        .await;
        let found = if status == 503 { 503 } else { 200 };
        assert_eq!(reply.status, found, "{position}: {}", reply.text());
        // Of the log's own shards, as before.
        let reply = server
            .get(&format!("/argon/api/v1/log/entries/{own:016x}{leaf}"))
            .await;
        assert_eq!(reply.status, 404, "{}", reply.text());
    }
}
