//! The front of version 2 as a client sees it, over a real engine.

use engine::testing::author as caller;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Request;
use logconfig::{Algorithm, Duplicates, LogConfig, OriginForm, RekorConfig, WriterToken};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tlog::{Checkpoint, Hash, VerifierKey};

use crate::testing::{Reply, Server};

const ENTRIES: &str = "POST /argon/api/v2/log/entries";

/// A signed request over an artifact, as a client sends it.
pub(super) fn signed(artifact: &[u8]) -> Value {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let random = aws_lc_rs::rand::SystemRandom::new();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, artifact);
    json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(digest),
        "signature": {
            "content": STANDARD.encode(key.sign(&random, artifact).unwrap()),
            "verifier": {
                "publicKey": {"rawBytes": STANDARD.encode(key.public_key().as_der().unwrap().as_ref())},
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    }})
}

pub(super) async fn send(server: &Server, request: &Value) -> Reply {
    let body = request.to_string();
    server.ask(ENTRIES, "", body.as_bytes()).await
}

/// A server whose log has a front.
async fn fronted(rekor: RekorConfig) -> Server {
    let server = Server::start().await;
    create(&server, Algorithm::Ed25519, rekor).await;
    server
}

/// Makes a log called `argon`, whose origins are host names.
pub(super) async fn create(server: &Server, algorithm: Algorithm, rekor: RekorConfig) {
    let origin = "log.example.org".to_owned();
    let mut config = LogConfig::new("argon".parse().unwrap(), origin, "2026a".parse().unwrap());
    config.origin_form = OriginForm::Host;
    config.key.algorithm = algorithm;
    config.shards[0].key = config.key;
    config.rekor = rekor;
    let caller = caller();
    server
        .engine
        .create_log_unaudited(config, caller)
        .await
        .unwrap();
}

async fn configure(server: &Server, rekor: RekorConfig) {
    let log = server.engine.log("argon").unwrap();
    let mut document = log.config();
    document.rekor = rekor;
    let next = Box::new(document);
    change(server, Request::Configure { next, base: None }).await;
}

pub(super) async fn change(server: &Server, request: Request) {
    let log = server.engine.log("argon").unwrap();
    let audited = engine::Audited::new(Arc::clone(&server.engine));
    audited.change(&log, request, caller()).await.unwrap();
}

fn open() -> RekorConfig {
    RekorConfig {
        v2: true,
        ..RekorConfig::default()
    }
}

/// Checks an answer as a client does, with nothing but the shard's key: the index in its shard.
fn verified(reply: &Reply, vkey: &str) -> u64 {
    assert_eq!(reply.status, 201, "{reply:?}");
    let entry = reply.json();
    let proof = &entry["inclusionProof"];
    let note = proof["checkpoint"]["envelope"].as_str().unwrap();
    let key: VerifierKey = vkey.parse().unwrap();
    let signed = Checkpoint::open(note, &key).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let leaf = STANDARD.decode(entry["canonicalizedBody"].as_str().unwrap());
    let hashes = proof["hashes"].as_array().unwrap().iter();
    let hashes: Vec<Hash> = hashes
        .map(|hash| STANDARD.decode(hash.as_str().unwrap()).unwrap())
        .map(|bytes| Hash(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(number(&proof["treeSize"]), signed.size);
    assert_eq!(proof["rootHash"], STANDARD.encode(signed.root.0));
    assert_eq!(entry["logIndex"], proof["logIndex"]);
    assert_eq!(entry["logId"]["keyId"], STANDARD.encode(key.log_id().0));
    let index = number(&entry["logIndex"]);
    let leaf = tlog::leaf_hash(&leaf.unwrap());
    tlog::verify_inclusion(index, signed.size, &leaf, &hashes, &signed.root).unwrap();
    index
}

#[tokio::test]
async fn an_entry_is_answered_with_its_proof_and_once_however_often_it_is_sent() {
    let server = fronted(open()).await;
    let shards = server.get_json("/argon/shards").await;
    let vkey = shards[0]["vkey"].as_str().unwrap();
    let (one, two) = (signed(b"one"), signed(b"two"));
    assert_eq!(verified(&send(&server, &one).await, vkey), 0);
    assert_eq!(verified(&send(&server, &two).await, vkey), 1);
    let again = send(&server, &one).await;
    assert_eq!(verified(&again, vkey), 0);
    assert_eq!(again.header("logd-global-index"), Some("0"));
    // At the same moment, too.
    let three = signed(b"three");
    let (first, second) = tokio::join!(send(&server, &three), send(&server, &three));
    assert_eq!((verified(&first, vkey), verified(&second, vkey)), (2, 2));
    let marks = server.get_json("/argon/watermarks").await;
    assert_eq!(marks["ordered"], 3);
}

#[tokio::test]
async fn a_write_over_the_limit_waits_for_its_turn() {
    let server = fronted(open()).await;
    let mut next = Box::new(server.engine.log("argon").unwrap().config());
    for tier in &mut next.qos.tiers {
        tier.burst = 1;
    }
    for tenant in &mut next.qos.tenants {
        tenant.rate = Some("5/s".parse().unwrap());
    }
    change(&server, Request::Configure { next, base: None }).await;
    let entries: Vec<_> = (0..4u8).map(|n| signed(&[n])).collect();
    let sent = entries.iter().map(|entry| send(&server, entry));
    let replies = futures_util::future::join_all(sent).await;
    assert!(
        replies.iter().all(|reply| reply.status == 201),
        "{replies:?}"
    );
}

/// The statement that opens a shard counts for the tenant whose write comes first, not for one that is over its limit.
#[tokio::test]
async fn a_tenant_over_its_limit_keeps_no_shard_from_being_opened() {
    let server = Server::start().await;
    create(&server, Algorithm::EcdsaP256, open()).await;
    assert_eq!(send(&server, &signed(b"opened")).await.status, 201);
    let mut next = Box::new(server.engine.log("argon").unwrap().config());
    for tenant in &mut next.qos.tenants {
        match tenant.anonymous {
            true => tenant.bytes = Some("1B/s".parse().unwrap()),
            false => tenant.tokens.push(WriterToken {
                name: "one".to_owned(),
                sha256: tlog::hex(&Sha256::digest("logw_secret")),
                expires: None,
            }),
        }
    }
    change(&server, Request::Configure { next, base: None }).await;
    assert_eq!(send(&server, &signed(b"one")).await.status, 201);
    assert_eq!(send(&server, &signed(b"two")).await.status, 429);
    change(&server, engine::testing::rotation()).await;
    let (body, token) = (
        signed(b"three").to_string(),
        "authorization: Bearer logw_secret\r\n",
    );
    let reply = server.ask(ENTRIES, token, body.as_bytes()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[tokio::test]
async fn the_same_entry_is_new_in_the_next_shard() {
    let server = fronted(open()).await;
    let entry = signed(b"one");
    assert_eq!(
        send(&server, &entry).await.header("logd-global-index"),
        Some("0")
    );
    let rotate = engine::testing::rotation();
    change(&server, rotate).await;
    let reply = send(&server, &entry).await;
    let shards = server.get_json("/argon/shards").await;
    assert_eq!(verified(&reply, shards[1]["vkey"].as_str().unwrap()), 0);
    assert_eq!(reply.header("logd-global-index"), Some("1"));
}

#[tokio::test]
async fn a_conflict_names_the_entry_where_the_log_is_told_to() {
    let duplicates = Duplicates::Conflict;
    let server = fronted(RekorConfig {
        duplicates,
        ..open()
    })
    .await;
    let entry = signed(b"one");
    assert_eq!(send(&server, &entry).await.status, 201);
    let reply = send(&server, &entry).await;
    assert_eq!(
        (reply.status, reply.header("x-log-index")),
        (409, Some("0"))
    );
    assert_eq!(reply.json()["code"], 6);
}

#[tokio::test]
async fn what_is_forged_or_malformed_is_refused_and_not_logged() {
    let server = fronted(open()).await;
    let mut forged = signed(b"one");
    forged["hashedRekordRequestV002"]["digest"] = STANDARD.encode([7; 32]).into();
    let mut unknown = signed(b"one");
    unknown["more"] = 1.into();
    for body in [
        forged.to_string(),
        unknown.to_string(),
        "{}".to_owned(),
        "{".to_owned(),
    ] {
        let reply = server.ask(ENTRIES, "", body.as_bytes()).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (400, &json!(3)),
            "{body}"
        );
    }
    let large = vec![b' '; (4 << 20) + 1];
    let reply = server.ask_any(ENTRIES, "", &large).await;
    assert_eq!((reply.status, &reply.json()["code"]), (413, &json!(8)));
    let marks = server.get_json("/argon/watermarks").await;
    assert_eq!(marks["ordered"], 0);
}

#[tokio::test]
async fn a_log_has_either_a_front_or_its_own_writers() {
    let server = fronted(RekorConfig::default()).await;
    let closed = send(&server, &signed(b"one")).await;
    assert_eq!((closed.status, &closed.json()["code"]), (404, &json!(5)));
    // No log answers at the root.
    let root = server.ask("POST /api/v2/log/entries", "", b"{}").await;
    assert_eq!(root.status, 404);
    assert_eq!(server.ask("POST /argon/add", "", b"one").await.status, 200);
    configure(&server, open()).await;
    let fronted = |line: &'static str| server.ask(line, "accept: application/json\r\n", b"x");
    for line in ["POST /argon/add", "POST /argon/add-batch"] {
        let refused = fronted(line).await;
        assert_eq!(refused.status, 409, "{line}");
        assert!(refused.text().contains("fronted"), "{refused:?}");
    }
    assert_eq!(send(&server, &signed(b"one")).await.status, 201);
}

#[tokio::test]
async fn a_frozen_log_says_so_with_a_status_that_nobody_retries() {
    let server = fronted(open()).await;
    let entry = signed(b"one");
    assert_eq!(send(&server, &entry).await.status, 201);
    change(&server, Request::Freeze { now: false }).await;
    let reply = send(&server, &signed(b"two")).await;
    assert_eq!(reply.status, 405);
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(reply.text().contains("frozen"), "{reply:?}");
    // An existing entry is still returned.
    let again = send(&server, &entry).await;
    assert_eq!(
        (again.status, again.header("logd-global-index")),
        (201, Some("0"))
    );
}

#[tokio::test]
async fn the_first_entry_of_a_shard_is_a_statement_of_its_own_key() {
    let server = Server::start().await;
    create(&server, Algorithm::EcdsaP256, open()).await;
    let (one, two) = (signed(b"one").to_string(), signed(b"two").to_string());
    let (one, two) = tokio::join!(
        server.ask(ENTRIES, "", one.as_bytes()),
        server.ask(ENTRIES, "", two.as_bytes())
    );
    let shards = server.get_json("/argon/shards").await;
    let vkey = shards[0]["ecdsaVkey"].as_str().unwrap();
    let mut indexes = [verified(&one, vkey), verified(&two, vkey)];
    indexes.sort_unstable();
    assert_eq!(
        indexes,
        [1, 2],
        "neither is the first, and there is one statement"
    );

    // Made of public values, and signed by the shard's key.
    let statement = server.get("/argon/entries/0").await.json();
    let rekord = &statement["spec"]["hashedRekordV002"];
    let text = "logctl.dev/opening/v1\n2026a.log.example.org\n0\n-\n";
    let digest = STANDARD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        text.as_bytes(),
    ));
    assert_eq!(rekord["data"]["digest"], digest);
    let key: VerifierKey = vkey.parse().unwrap();
    let raw = &rekord["signature"]["verifier"]["publicKey"]["rawBytes"];
    assert_eq!(*raw, STANDARD.encode(key.bytes()));
}
