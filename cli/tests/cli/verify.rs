//! `shard verify` over HTTP; what the auditor finds is tested beside it.

use serde_json::json;
use tlog::{Checkpoint, RightEdge, Signer, TilePath, bundle, leaf_hash};

use crate::fake::{Answer, Fake, nowhere};
use crate::runner::Bench;

/// A server with a log of one shard and three entries, and no admin endpoint that anybody may use.
fn served() -> (Bench, Fake, String) {
    let mut bench = Bench::new();
    let (fake, port) = Fake::on_loopback();
    let url = format!("http://127.0.0.1:{port}");
    bench.context(&format!("log = \"dev\"\nurl = \"{url}\"\n"));
    let origin = "log.example.org/dev/2026a";
    let signer = Signer::from_seed(origin, &[7; 32]).unwrap();
    let shard = json!([{ "name": "2026a", "state": "active", "treeId": "42", "origin": origin,
        "vkey": signer.verifier().to_string(), "startIndex": 0, "length": 3 }]);
    fake.says("GET /dev/shards", [Answer::Json(200, shard)]);
    let (mut edge, mut tile, mut entries) = (RightEdge::new(), Vec::new(), Vec::new());
    for index in 0..3 {
        let entry = format!("entry {index}").into_bytes();
        let hash = leaf_hash(&entry);
        edge.push(hash);
        tile.extend(hash.0);
        bundle::push(&mut entries, &entry);
        fake.says(&format!("GET /dev/entries/{index}"), [Answer::File(entry)]);
    }
    let checkpoint = Checkpoint {
        origin: origin.into(),
        size: 3,
        root: edge.root(),
        extensions: vec![],
    };
    for (path, bytes) in [
        (
            "checkpoint".to_owned(),
            checkpoint.sign(&signer).unwrap().into_bytes(),
        ),
        (TilePath::hashes(0, 0, 3).to_string(), tile),
        (TilePath::entries(0, 3).to_string(), entries),
    ] {
        fake.says(&format!("GET /dev/2026a/{path}"), [Answer::File(bytes)]);
    }
    (bench, fake, url)
}

fn shown(text: String, url: &str) -> String {
    text.replace(url, "http://127.0.0.1:PORT")
}

#[test]
fn a_sound_log() {
    let (bench, fake, url) = served();
    let ran = bench.run("shard verify");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    insta::assert_snapshot!("verify", shown(ran.shown(), &url));
    assert!(
        fake.asked("GET")
            .iter()
            .all(|get| !get.headers.contains_key("authorization"))
    );
    let json = bench.run("shard verify 2026a -o json").json();
    assert_eq!(
        (json["kind"].as_str(), json["verified"].as_bool()),
        (Some("Verification"), Some(true))
    );
    assert_eq!(json["totals"]["entries"], 3);
}

#[test]
fn a_flipped_byte_is_named() {
    let (bench, fake, url) = served();
    let mut tile = vec![0; 96];
    tile[5] = 1;
    fake.says("GET /dev/2026a/tile/0/000.p/3", [Answer::File(tile)]);
    let ran = bench.run("shard verify");
    assert_eq!(ran.code, Some(12), "{}", ran.shown());
    insta::assert_snapshot!("verify_failed", shown(ran.shown(), &url));
    let json = bench.run("shard verify -o json").json();
    assert_eq!(
        (json["verified"].as_bool(), json["error"]["code"].as_str()),
        (Some(false), Some("verification-failed"))
    );
    assert_eq!(json["findings"][0]["path"], "dev/2026a/tile/0/000.p/3");
}

#[test]
fn a_single_failure_is_no_finding() {
    let (bench, fake, _) = served();
    let tile = fake.answer("GET /dev/2026a/tile/0/000.p/3");
    fake.says(
        "GET /dev/2026a/tile/0/000.p/3",
        [Answer::Html(503), Answer::HangUp, tile],
    );
    let ran = bench.run("shard verify");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
}

#[test]
fn a_log_that_cannot_be_read_is_not_called_broken() {
    let (bench, _fake, _) = served();
    let nowhere = nowhere();
    let ran = bench.run(&format!("shard verify --url {nowhere}"));
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
    insta::assert_snapshot!("verify_unreachable", shown(ran.shown(), &nowhere));
    for url in ["ftp://127.0.0.1", "127.0.0.1:7070", "http://"] {
        let ran = bench.run(&format!("shard verify --url {url}"));
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
    }
}

/// As a frontend answers: it has the tiles, and no list.
#[test]
fn an_address_without_a_list_is_a_wrong_address_not_a_wrong_log() {
    let (bench, fake, url) = served();
    fake.says("GET /dev/shards", [Answer::Html(404)]);
    let ran = bench.run("shard verify");
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
    insta::assert_snapshot!("verify_no_list", shown(ran.shown(), &url));
}

#[test]
fn a_shard_that_is_not_there_is_a_wrong_word_not_a_wrong_log() {
    let (bench, _fake, _url) = served();
    let ran = bench.run("shard verify 2026b");
    assert_eq!(ran.code, Some(6), "{}", ran.shown());
    assert!(ran.err.contains("did you mean `2026a`?"), "{}", ran.shown());
    assert_eq!(bench.run("shard verify 2026a").code, Some(0));
}
