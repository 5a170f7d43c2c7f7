//! Trees: what is sound passes, whatever is damaged is named, and growth is no damage.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tlog::Checkpoint;

use super::log::{Log, UNREADABLE, entry, origin, root, signer};
use crate::auditor::report::MAX_FINDINGS;
use crate::auditor::{AHEAD, Finding, SealState};

#[tokio::test]
async fn a_sound_log_passes() {
    let sizes = [700, 0, 256, 1, 257, 512, 65_536 + 300];
    let log = Log::new(&sizes);
    let report = log.audit().await;
    assert_eq!(
        report.all_findings().collect::<Vec<_>>(),
        Vec::<&Finding>::new()
    );
    assert_eq!(report.totals.entries, sizes.iter().sum::<u64>());
    assert_eq!(
        report.totals.bundles,
        sizes.iter().map(|size| size.div_ceil(256)).sum::<u64>()
    );
    assert_eq!(report.totals.shards, 8);
    let last = &report.shards[6];
    // Leaf tiles, a full and a partial tile at level 1, and one at level 2.
    assert_eq!(
        (last.tiles, last.bundles, last.entries),
        (258 + 2 + 1, 258, 65_836)
    );
    assert!(last.samples >= 2 && report.shards[3].samples == 1 && report.shards[1].samples == 0);
    let seals: Vec<SealState> = report.shards.iter().map(|shard| shard.seal).collect();
    assert_eq!(seals[..6], [SealState::Ok; 6]);
    assert_eq!(seals[6..], [SealState::None; 2]);
    let most = log.most_ahead.load(Ordering::Relaxed);
    assert!(
        most > 2 && most <= 2 * AHEAD,
        "{most} files were fetched at a time"
    );
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["shards"][0]["seal"], "ok");
    assert_eq!(
        value["shards"][0]["root"],
        report.shards[0].root.unwrap().to_string()
    );
    assert_eq!(value["totals"]["findings"], 0);
}

#[tokio::test]
async fn every_damaged_or_missing_file_is_named_and_no_other() {
    let log = Log::new(&[700, 256, 513, 130]);
    let sampled: Vec<String> = log
        .reads_of_an_audit()
        .await
        .into_iter()
        .filter(|path| path.starts_with("entries/"))
        .collect();
    assert!(
        sampled.contains(&"entries/0".to_owned()) && sampled.contains(&"entries/699".to_owned())
    );
    let files = log
        .paths()
        .into_iter()
        .filter(|path| !path.starts_with("entries/") && path != "shards");
    for path in files.chain(sampled) {
        let whole = log.take(&path);
        let found = log.audit().await;
        let findings: Vec<_> = found.all_findings().collect();
        assert_eq!(findings.len(), 1, "{path} missing: {findings:?}");
        assert_eq!(findings[0].path, format!("dev/{path}"));
        assert!(findings[0].code.ends_with("missing"), "{}", findings[0]);
        for at in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            log.put(&path, bad);
            let report = log.audit().await;
            let named: Vec<&str> = report
                .all_findings()
                .map(|finding| finding.path.as_str())
                .collect();
            assert_eq!(named, [format!("dev/{path}")], "byte {at} of {path}");
        }
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            log.put(&path, &whole[..cut]);
            let report = log.audit().await;
            let named: Vec<&str> = report
                .all_findings()
                .map(|finding| finding.path.as_str())
                .collect();
            assert_eq!(named, [format!("dev/{path}")], "{cut} bytes of {path}");
        }
        log.put(&path, whole);
    }
    assert_eq!(log.findings().await, [""; 0]);
}

#[tokio::test]
async fn findings_say_what_is_wrong() {
    let log = Log::new(&[1200]);
    let flip = |path: &str, at: usize| {
        let mut bytes = log.take(path);
        bytes[at] ^= 0x40;
        log.put(path, bytes);
    };
    flip("s0/tile/0/003", 17 * 32);
    assert_eq!(
        log.findings().await,
        ["tile-mismatch dev/s0/tile/0/003: hash 17 does not match entry 785"]
    );
    flip("s0/tile/0/003", 17 * 32);
    flip("s0/tile/entries/000", 2);
    let expected =
        "bundle-mismatch dev/s0/tile/entries/000: entry 0 does not match hash 0 of s0/tile/0/000";
    assert_eq!(log.findings().await, [expected]);
    flip("s0/tile/entries/000", 2);
    flip("s0/tile/1/000.p/4", 2 * 32);
    let expected = "tile-mismatch dev/s0/tile/1/000.p/4: hash 2 does not match s0/tile/0/002";
    assert_eq!(log.findings().await, [expected]);
}

#[tokio::test]
async fn a_history_rewritten_throughout_does_not_match_the_root() {
    for size in [300u64, 512, 130] {
        let log = Log::new(&[size]);
        // All files of another log under the checkpoint of this one.
        log.tree("s0", 1_000_000, size);
        for index in 0..size {
            log.put(format!("entries/{index}"), entry(1_000_000 + index));
        }
        let report = log.audit().await;
        let found: Vec<_> = report
            .all_findings()
            .map(|finding| (finding.code, finding.path.as_str()))
            .collect();
        assert_eq!(
            found,
            [("root-mismatch", "dev/s0/checkpoint")],
            "size {size}"
        );
    }
}

#[tokio::test]
async fn a_log_may_grow_meanwhile() {
    let log = Log::new(&[300, 400]);
    // The partial tiles that the checkpoint covers have become full, and the partial ones are gone.
    let partial: Vec<String> = log
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("s1/tile/0/001"))
        .collect();
    assert_eq!(partial, ["s1/tile/0/001.p/144"]);
    log.take("s1/tile/0/001.p/144");
    log.take("s1/tile/entries/001.p/144");
    log.take("s1/tile/1/000.p/1");
    log.tree("s1", 300, 70_000);
    assert_eq!(log.findings().await, [""; 0]);
    // A full tile in place of the partial one is checked as well.
    let mut bundle = log.take("s1/tile/entries/001");
    bundle[5] ^= 1;
    log.put("s1/tile/entries/001", bundle);
    let found = log.findings().await;
    assert!(
        found.len() == 1 && found[0].starts_with("bundle-mismatch dev/s1/tile/entries/001:"),
        "{found:?}"
    );
}

#[tokio::test]
async fn too_many_findings_end_the_audit_of_a_shard() {
    let log = Log::new(&[1, 5]);
    let absurd = Checkpoint {
        origin: origin("s1"),
        size: u64::MAX,
        root: root(0, 1),
        extensions: vec![],
    };
    log.put("s1/checkpoint", absurd.sign(&signer("s1")).unwrap());
    let report = log.audit().await;
    assert_eq!(report.shards[1].findings.len(), MAX_FINDINGS);
    assert!(report.shards[1].stopped && !report.shards[0].stopped);
    assert_eq!(report.shards[0].findings, []);
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_audit() {
    for path in [
        "shards",
        "s0/checkpoint",
        "s0/seal",
        "s0/tile/0/000",
        "s0/tile/1/000.p/1",
        "entries/0",
    ] {
        let log = Log::new(&[300, 40]);
        log.put(path, UNREADABLE);
        let error = log.try_audit(Duration::ZERO).await.unwrap_err();
        assert_eq!(
            (error.path.as_str(), error.source.to_string().as_str()),
            (path, "connection refused")
        );
    }
    let log = Log::default();
    assert_eq!(
        log.findings().await,
        ["list-invalid dev/shards: there is no list of shards"]
    );
}
