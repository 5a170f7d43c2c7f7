//! Shards: the list, the checkpoints, the seals, and what holds between them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tlog::{Checkpoint, Seal, Signer};

use super::log::{Log, checkpoint, listed, origin, root, seal, signer};
use crate::auditor::{Finding, Options, SealState, audit};

#[tokio::test]
async fn a_rotation_between_list_and_checkpoints_is_no_finding() {
    let before = Log::new(&[300, 40]);
    let after = Log::new(&[300, 40, 50]);
    let mut log = Log::new(&[300, 40]);
    let files = after
        .files
        .lock()
        .unwrap()
        .iter()
        .map(|(path, bytes)| (path.clone(), Some(bytes.clone())))
        .collect();
    log.changes = vec![("s0/checkpoint".into(), 1, files)];
    assert_eq!(before.findings().await, [""; 0]);
    let report = log.audit().await;
    assert_eq!(report.all_findings().count(), 0);
    assert_eq!(report.totals.entries, 390);
}

#[tokio::test]
async fn a_seal_may_take_a_moment() {
    let mut log = Log::new(&[300, 40]);
    let seal = log.take("s0/seal");
    let late = checkpoint("s0", 0, 300);
    log.put("s0/checkpoint", checkpoint("s0", 0, 200));
    let files = BTreeMap::from([
        ("s0/seal".to_owned(), Some(seal)),
        ("s0/checkpoint".to_owned(), Some(late.into())),
    ]);
    log.changes = vec![("s0/seal".into(), 2, files)];
    let report = log.try_audit(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(
        report.all_findings().collect::<Vec<_>>(),
        Vec::<&Finding>::new()
    );
    assert_eq!(report.shards[0].seal, SealState::Ok);
}

#[tokio::test]
async fn an_unfinished_shard_is_a_finding_in_the_end() {
    let log = Log::new(&[300, 40]);
    log.take("s0/seal");
    log.tree("s0", 0, 200);
    log.put("s0/checkpoint", checkpoint("s0", 0, 200));
    assert_eq!(
        log.findings().await,
        [
            "unpublished dev/s0/checkpoint: the shard is frozen at 300 entries, but its checkpoint covers 200",
            "seal-missing dev/s0/seal: the shard was rotated out, but has no seal",
        ]
    );
}

#[tokio::test]
async fn seals_are_about_the_right_shards() {
    let log = Log::new(&[300, 40]);
    let mut third = seal("s0", "s2", 0, 300);
    let sign = |seal: &Seal, next: &str| seal.sign(&signer("s0"), &signer(next)).unwrap();
    log.put("s0/seal", sign(&third, "s2"));
    let found = log.findings().await;
    assert_eq!(
        found,
        [format!(
            "seal-mismatch dev/s0/seal: sealed in favour of {}, but {} follows",
            origin("s2"),
            origin("s1")
        )]
    );
    third = Seal {
        size: 299,
        ..seal("s0", "s1", 0, 300)
    };
    log.put("s0/seal", sign(&third, "s1"));
    assert_eq!(
        log.findings().await,
        ["seal-mismatch dev/s0/seal: sealed with 299 entries, but the checkpoint covers 300"]
    );
    third = Seal {
        root: root(0, 299),
        ..seal("s0", "s1", 0, 300)
    };
    log.put("s0/seal", sign(&third, "s1"));
    assert!(log.findings().await[0].starts_with("seal-mismatch dev/s0/seal: sealed with root "));
    // Signed by another key with the successor's name.
    let false_next = Signer::from_seed(&origin("s1"), &[9; 32]).unwrap();
    third = Seal {
        successor_key: false_next.verifier().clone(),
        ..seal("s0", "s1", 0, 300)
    };
    log.put("s0/seal", third.sign(&signer("s0"), &false_next).unwrap());
    assert_eq!(
        log.findings().await,
        [format!(
            "seal-mismatch dev/s0/seal: sealed in favour of another key of {}",
            origin("s1")
        )]
    );
    let report = log.audit().await;
    assert_eq!(report.shards[0].seal, SealState::Invalid);
    let note = checkpoint("s0", 0, 300);
    log.put("s0/seal", note);
    assert!(log.findings().await[0].starts_with("seal-invalid dev/s0/seal: "));
}

#[tokio::test]
async fn the_list_has_rules() {
    let with = |field: &str, shard: usize, value: serde_json::Value| {
        let log = Log::new(&[300, 40, 7]);
        log.edit(shard, field, value);
        async move {
            log.audit()
                .await
                .findings
                .into_iter()
                .map(|finding| finding.to_string())
                .collect::<Vec<_>>()
        }
    };
    let one = |text: &str| vec![text.to_owned()];
    assert_eq!(with("treeId", 1, json!(77)).await, [""; 0]);
    assert_eq!(
        with("startIndex", 1, json!(301)).await,
        [
            "index-gap dev/shards: shard s0 ends at 300, but shard s1 starts at 301",
            "index-gap dev/shards: shard s1 ends at 341, but shard s2 starts at 340",
        ]
    );
    assert_eq!(
        with("startIndex", 0, json!(1)).await[0],
        "index-gap dev/shards: shard s0 is the first one, but does not start at 0"
    );
    assert_eq!(
        with("length", 1, json!(null)).await,
        one("index-gap dev/shards: shard s1 is frozen, but where it ends is not listed")
    );
    assert_eq!(
        with("startIndex", 2, json!(null)).await,
        one("index-gap dev/shards: shard s2 is open, but where it starts is not listed")
    );
    assert_eq!(
        with("startIndex", 3, json!(347)).await,
        one("index-gap dev/shards: shard s3 is not open yet, but starts at 347")
    );
    assert_eq!(
        with("state", 1, json!("active")).await,
        one("shard-order dev/shards: shard s2 is open, but shard s1 before it is still")
    );
    assert_eq!(
        with("state", 1, json!("planned")).await,
        [
            "index-gap dev/shards: shard s1 is not open yet, but starts at 300",
            "shard-order dev/shards: shard s2 is open, but shard s1 before it is not",
        ]
    );
    assert_eq!(
        with(
            "treeId",
            1,
            listed("s0", "frozen", None, None)["treeId"].clone()
        )
        .await,
        one("shard-duplicate dev/shards: the tree ID of shard s1 is used twice")
    );
    assert_eq!(
        with("treeId", 1, json!("x")).await,
        one("list-invalid dev/shards: the tree ID of shard s1 is not a number")
    );
    assert!(
        with("state", 1, json!("melted")).await[0]
            .starts_with("list-invalid dev/shards: not a list of shards: ")
    );
}

#[tokio::test]
async fn a_shard_is_known_by_its_key() {
    let log = Log::new(&[300, 40]);
    log.edit(1, "vkey", json!(signer("s0").verifier().to_string()));
    let found = log.findings().await;
    assert_eq!(
        found[0],
        "shard-duplicate dev/shards: the key of shard s1 is used twice"
    );
    assert_eq!(
        found[1..],
        [
            format!(
                "seal-mismatch dev/s0/seal: sealed in favour of another key of {}",
                origin("s1")
            ),
            format!(
                "shard-key dev/shards: the key of shard s1 is named {}, not {}",
                origin("s0"),
                origin("s1")
            ),
        ]
    );
    let other = Signer::from_seed(&origin("s1"), &[9; 32]).unwrap();
    log.edit(1, "vkey", json!(other.verifier().to_string()));
    let report = log.audit().await;
    let codes: Vec<&str> = report.all_findings().map(|finding| finding.code).collect();
    assert_eq!(codes, ["seal-mismatch", "checkpoint-invalid"]);
    assert_eq!(report.shards[1].size, None, "nothing in it is believed");
}

#[tokio::test]
async fn sizes_fit_states() {
    let log = Log::new(&[300, 40]);
    log.edit(0, "length", json!(299));
    let found = log.findings().await;
    assert!(found.contains(
        &"size-mismatch dev/s0/checkpoint: the shard is frozen at 299 entries, but its checkpoint covers 300".to_owned()
    ));
    let log = Log::new(&[300]);
    log.put("s1/checkpoint", checkpoint("s1", 300, 1));
    log.tree("s1", 300, 1);
    assert_eq!(
        log.findings().await,
        ["size-mismatch dev/s1/checkpoint: the shard is not open yet, but has 1 entries"]
    );
    let log = Log::new(&[300]);
    let bad = Checkpoint {
        origin: origin("s1"),
        size: 0,
        root: root(0, 1),
        extensions: vec![],
    };
    log.put("s1/checkpoint", bad.sign(&signer("s1")).unwrap());
    assert!(log.findings().await[0].starts_with("root-mismatch dev/s1/checkpoint: "));
}

#[tokio::test]
async fn some_shards_only() {
    let log = Log::new(&[300, 40, 7]);
    let options = Options {
        log: "dev".into(),
        shards: vec!["s1".into(), "x".into()],
        settle: Duration::ZERO,
        by_index: true,
    };
    let report = audit(&log, &options, &mut |_, _| {}).await.unwrap();
    let names: Vec<&str> = report
        .shards
        .iter()
        .map(|shard| shard.name.as_str())
        .collect();
    assert_eq!((names, report.totals.entries), (vec!["s1"], 40));
    let found: Vec<String> = report.all_findings().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["no-such-shard dev/shards: shard x is not in the list"]
    );
}

#[tokio::test]
async fn a_second_key_signs_each_checkpoint() {
    let ecdsa = Signer::from_p256(&origin("s1"), &[9; 32]).unwrap();
    let note = |signers: &[&Signer]| {
        let checkpoint = Checkpoint {
            origin: origin("s1"),
            size: 40,
            root: root(300, 40),
            extensions: vec![],
        };
        checkpoint.sign_all(signers).unwrap()
    };
    let log = Log::new(&[300, 40]);
    log.edit(1, "ecdsaVkey", json!(ecdsa.verifier().to_string()));
    log.put("s1/checkpoint", note(&[&ecdsa, &signer("s1")]));
    assert_eq!(log.findings().await, [""; 0]);
    for one in [&ecdsa, &signer("s1")] {
        log.put("s1/checkpoint", note(&[one]));
        let findings = log.findings().await;
        assert!(
            findings[0].starts_with("checkpoint-invalid dev/s1/checkpoint: the note is not signed"),
            "{findings:?}"
        );
    }
    let other = Signer::from_p256(&origin("s0"), &[9; 32]).unwrap();
    log.edit(1, "ecdsaVkey", json!(other.verifier().to_string()));
    let findings = log.findings().await;
    assert!(findings[0].starts_with("shard-key"), "{findings:?}");
}
