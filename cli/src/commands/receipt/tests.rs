//! Every state of a promise, and every way a log may lie about one, against a log of three entries in memory.

use std::collections::BTreeMap;

use serde_json::json;
use tlog::{Checkpoint, Signer, leaf_hash, node_hash};

use super::*;

struct Files(BTreeMap<String, Vec<u8>>);

impl Source for Files {
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get(path).cloned())
    }
}

const ORIGIN: &str = "example.org/dev/a";
const DEADLINE: u64 = 1_000_000;

fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[7; 32]).unwrap()
}

fn receipt(entry: &[u8]) -> Receipt {
    Receipt {
        origin: ORIGIN.into(),
        deadline: DEADLINE,
        leaf: leaf_hash(entry),
        promise: "p-0".into(),
    }
}

/// A log of the entries `a`, `b` and `c`, whose checkpoint covers `size` of them.
fn log(size: u64) -> Files {
    let leaves = [b"a", b"b", b"c"].map(|entry| leaf_hash(entry));
    let two = node_hash(&leaves[0], &leaves[1]);
    let root = if size == 3 {
        node_hash(&two, &leaves[2])
    } else {
        two
    };
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size,
        root,
        extensions: Vec::new(),
    };
    let tile: Vec<u8> = leaves
        .iter()
        .take(usize::try_from(size).unwrap())
        .flat_map(|h| h.0)
        .collect();
    let list = json!([{
        "name": "a", "state": "active", "treeId": "1", "origin": ORIGIN,
        "vkey": signer().verifier().to_string(), "startIndex": 0,
    }]);
    Files(BTreeMap::from([
        ("shards".into(), list.to_string().into_bytes()),
        (
            "a/checkpoint".into(),
            checkpoint.sign(&signer()).unwrap().into_bytes(),
        ),
        (format!("a/tile/0/000.p/{size}"), tile),
    ]))
}

fn placed(mut log: Files, answer: serde_json::Value) -> Files {
    log.0
        .insert("promise/p-0".into(), answer.to_string().into_bytes());
    log
}

fn at(state: &str, leaf: u64, ordered: u64) -> serde_json::Value {
    json!({ "state": state, "index": leaf, "shard": "a", "leafIndex": leaf, "orderedAtMs": ordered })
}

async fn state(log: Files, entry: &[u8], now: u64) -> (State, String) {
    let checked = ask(&log, &receipt(entry), true, now).await.unwrap();
    (checked.state, checked.why)
}

#[tokio::test]
async fn each_state_is_told_apart() {
    use State::{Broken, Due, Kept};
    let (early, late) = (DEADLINE - 1, DEADLINE + 1);
    for (what, log, entry, now, expected) in [
        ("unknown", log(3), b"c", early, Broken),
        (
            "in time in the queue",
            placed(log(2), json!({ "state": "queued" })),
            b"c",
            early,
            Due,
        ),
        (
            "late in the queue",
            placed(log(2), json!({ "state": "queued" })),
            b"c",
            late,
            Broken,
        ),
        (
            "ordered",
            placed(log(2), at("ordered", 2, early)),
            b"c",
            early,
            Due,
        ),
        (
            "ordered, late",
            placed(log(2), at("ordered", 2, early)),
            b"c",
            late,
            Broken,
        ),
        (
            "published",
            placed(log(3), at("published", 2, early)),
            b"c",
            early,
            Kept,
        ),
        (
            "published meanwhile",
            placed(log(3), at("ordered", 0, early)),
            b"a",
            early,
            Kept,
        ),
        (
            "published, looked at late",
            placed(log(3), at("published", 1, early)),
            b"b",
            late,
            Kept,
        ),
        (
            "ordered too late",
            placed(log(3), at("published", 1, late)),
            b"b",
            late,
            Broken,
        ),
        (
            "another entry",
            placed(log(3), at("published", 2, early)),
            b"x",
            early,
            Broken,
        ),
        (
            "another leaf",
            placed(log(3), at("published", 1, early)),
            b"c",
            early,
            Broken,
        ),
        (
            "no such leaf",
            placed(log(3), at("published", 3, early)),
            b"c",
            early,
            Broken,
        ),
        (
            "a claim too much",
            placed(log(2), at("published", 2, early)),
            b"c",
            early,
            Broken,
        ),
        (
            "no such shard",
            placed(
                log(3),
                json!({ "state": "published", "index": 0, "shard": "b", "leafIndex": 0 }),
            ),
            b"a",
            early,
            Broken,
        ),
        (
            "a state of tomorrow",
            placed(log(3), json!({ "state": "elsewhere" })),
            b"a",
            early,
            Due,
        ),
    ] {
        let (state, why) = state(log, entry, now).await;
        assert_eq!(state, expected, "{what}: {why}");
        assert!(!why.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn what_a_log_may_have_forgotten_is_not_called_broken() {
    let born_ms = 1_790_000_000_000_u64;
    let promise = format!("{:012x}00112233445566778899-0", born_ms | 1 << 47);
    let receipt = Receipt {
        promise,
        deadline: born_ms + 60_000,
        ..receipt(b"c")
    };
    for (now, expected) in [
        (born_ms + 120_000, State::Broken),
        (born_ms + KEPT_MS, State::Broken),
        (born_ms + KEPT_MS + 1, State::Forgotten),
    ] {
        let checked = ask(&log(3), &receipt, true, now).await.unwrap();
        assert_eq!(checked.state, expected, "{}", checked.why);
    }
}

#[tokio::test]
async fn a_log_that_lies_about_its_tree_keeps_no_promise() {
    for path in ["a/checkpoint", "a/tile/0/000.p/3"] {
        let mut log = placed(log(3), at("published", 2, 1));
        // A byte of a signature, or of a hash beside the leaf's own.
        let bytes = log.0.get_mut(path).unwrap();
        let last = if path.ends_with("checkpoint") {
            bytes.len() - 20
        } else {
            5
        };
        bytes[last] ^= 1;
        assert_eq!(state(log, b"c", 1).await.0, State::Broken, "{path}");
    }
    let mut broken = log(3);
    broken.0.insert("promise/p-0".into(), b"<html>".to_vec());
    assert!(ask(&broken, &receipt(b"c"), true, 1).await.is_err());
    let key = key_of(&log(3), ORIGIN).await.unwrap();
    assert_eq!(key.as_ref(), Some(signer().verifier()));
    assert_eq!(key_of(&log(3), "example.org/dev/b").await.unwrap(), None);
}
