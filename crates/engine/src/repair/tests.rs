//! Damaged objects on stores in memory: which reads are refused, who is told, and what is written back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logconfig::LogConfig;

use crate::Damaged;
use crate::log::Log;
use crate::tests::rig::{Rig, caller};
use crate::{Engine, ReadError};
use store::fault::Faults;
use store::{MemoryObjects, Objects};
use tlog::GlobalIndex;

/// A log of so many entries in shard `a`, which is rotated out, and one in the next.
async fn rotated(rig: &Rig, entries: u64) -> (Arc<Engine>, Arc<Log>) {
    let (engine, log) = rig.server(&Faults::new()).await;
    let appends = (0..entries).map(|n| log.append(Bytes::from(format!("entry {n}"))));
    for at in futures_util::future::join_all(appends).await {
        at.unwrap();
    }
    let rotate = crate::testing::rotation();
    log.change(rotate, caller()).await.unwrap();
    let at = log.append(Bytes::from_static(b"next")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    (engine, log)
}

async fn flip(objects: &MemoryObjects, path: &str) -> Bytes {
    let good = objects.get(path).await.unwrap().expect(path);
    let mut bad = good.to_vec();
    bad[5] ^= 1;
    objects
        .put(vec![(path.to_owned(), bad.into())])
        .await
        .unwrap();
    good
}

/// A guard against a hang, not a measure.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// The system's steady clock, which no paused runtime stops.
fn steady() -> Duration {
    Duration::from_millis(ambient::Ambient::unset().time.steady_ms())
}

/// Waits until the list says so.
async fn listed(log: &Log, says: impl Fn(&[Damaged]) -> bool) -> Vec<Damaged> {
    let began = steady();
    loop {
        let list = log.damaged();
        if says(&list) {
            return list;
        }
        assert!(steady() - began < HANG_TIMEOUT, "{list:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn damaged<T: std::fmt::Debug>(read: Result<T, ReadError>) {
    assert!(matches!(read, Err(ReadError::Damaged { .. })), "{read:?}");
}

/// A server that died between a checkpoint and the deletion behind it left them.
#[tokio::test(start_paused = true)]
async fn partial_tiles_that_a_crash_left_go_when_the_full_one_is_checked() {
    let rig = Rig::new();
    let (_engine, log) = rotated(&rig, 600).await;
    let left = ["dev/a/tile/entries/001.p/7", "dev/a/tile/0/001.p/7"];
    let kept = ["dev/a/tile/entries/002.p/88", "dev/a/tile/0/002.p/88"];
    for path in left {
        let bytes = Bytes::from_static(b"old");
        rig.objects
            .put(vec![(path.to_owned(), bytes)])
            .await
            .unwrap();
    }
    for path in left {
        while rig.objects.get(path).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    for path in kept {
        assert!(rig.objects.get(path).await.unwrap().is_some(), "{path}");
    }
    assert!(log.damaged().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_of_a_tile_halts_nothing_and_is_rewritten_from_what_is_below_it() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 600).await;
    // Each with an entry whose proof has the hash that is flipped.
    for (path, index) in [
        ("dev/a/tile/0/000", 3),
        ("dev/a/tile/0/002.p/88", 599),
        ("dev/a/tile/1/000.p/2", 300),
    ] {
        let good = flip(&rig.objects, path).await;
        log.objects.cache.forget_all();
        damaged(log.inclusion(GlobalIndex::new(index)).await);
        let list = listed(&log, |all| {
            all.iter().any(|d| d.path == path && d.repaired.is_some())
        });
        let list = list.await;
        let one = list.iter().find(|d| d.path == path).unwrap();
        assert_eq!(one.repaired.as_ref().unwrap().1, "the objects below it");
        assert_eq!(rig.objects.get(path).await.unwrap().unwrap(), good);
        assert!(
            log.inclusion(GlobalIndex::new(index))
                .await
                .unwrap()
                .is_some()
        );
    }
    let at = log.append(Bytes::from_static(b"goes on")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    assert_eq!(log.damaged_count(), 0);
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_is_gone_is_named_until_it_is_back() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 600).await;
    let path = "dev/a/tile/entries/001";
    let good = rig.objects.get(path).await.unwrap().unwrap();
    rig.objects.delete(vec![path.to_owned()]).await.unwrap();
    damaged(log.entry(GlobalIndex::new(300)).await);
    damaged(log.object("a", "tile/entries/001").await);
    damaged(log.entries(GlobalIndex::ZERO..GlobalIndex::new(600)).await);
    let list = listed(&log, |all| !all.is_empty()).await;
    assert_eq!((list.len(), list[0].path.as_str()), (1, path));
    assert_eq!(
        (list[0].what.as_str(), &list[0].repaired),
        ("is missing", &None)
    );
    let reason = log.status().reason.unwrap();
    assert!(reason.contains(path), "{reason}");
    assert!(log.damage_counts().0 >= 3);
    // Others are read, and writes continue.
    assert!(log.inclusion(GlobalIndex::new(3)).await.unwrap().is_some());
    log.append(Bytes::from_static(b"goes on")).await.unwrap();
    // One that is not the right one changes nothing.
    rig.objects
        .put(vec![(path.to_owned(), Bytes::from_static(b"\0\x01x"))])
        .await
        .unwrap();
    damaged(log.entry(GlobalIndex::new(300)).await);
    rig.objects
        .put(vec![(path.to_owned(), good)])
        .await
        .unwrap();
    listed(&log, <[Damaged]>::is_empty).await;
    assert_eq!(
        log.entry(GlobalIndex::new(300))
            .await
            .unwrap()
            .unwrap()
            .bytes,
        "entry 300"
    );
    assert_eq!((log.damaged_count(), log.status().reason), (0, None));
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_yet_is_not_damaged() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 10).await;
    for path in [
        "tile/0/001",
        "tile/entries/000",
        "tile/0/000.p/9",
        "tile/2/000",
        "tile/0/999",
    ] {
        assert_eq!(log.object("a", path).await.unwrap(), None, "{path}");
    }
    assert!(log.entry(GlobalIndex::new(11)).await.unwrap().is_none());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((log.damaged(), log.damage_counts()), (Vec::new(), (0, 0)));
    engine.shutdown().await;
}

/// Nobody reads: what is wrong is found anyway, and the notes are as good as before.
#[tokio::test(start_paused = true)]
async fn what_no_reader_met_is_found_by_a_slow_look() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 600).await;
    let mut good = Vec::new();
    for path in ["tile/0/000", "checkpoint", "seal"] {
        let path = format!("dev/a/{path}");
        good.push((path.clone(), flip(&rig.objects, &path).await));
    }
    let lost = "dev/a/tile/entries/001".to_owned();
    let bundle = rig.objects.get(&lost).await.unwrap().unwrap();
    rig.objects.delete(vec![lost.clone()]).await.unwrap();
    let list = listed(&log, |all| {
        all.len() == 4 && all.iter().filter(|d| d.repaired.is_some()).count() == 3
    });
    let list = list.await;
    let open: Vec<_> = list.iter().filter(|d| d.repaired.is_none()).collect();
    assert_eq!((open.len(), &open[0].path), (1, &lost));
    assert_eq!(log.damage_counts(), (0, 3));
    for (path, bytes) in &good {
        assert_eq!(
            rig.objects.get(path).await.unwrap().as_ref(),
            Some(bytes),
            "{path}"
        );
    }
    rig.objects.put(vec![(lost, bundle)]).await.unwrap();
    listed(&log, |all| all.iter().all(|d| d.repaired.is_some())).await;
    // Gone is as bad as altered.
    let gone = ["dev/a/checkpoint", "dev/a/seal"].map(str::to_owned);
    rig.objects.delete(gone.to_vec()).await.unwrap();
    assert_eq!(
        log.object("a", "seal").await.unwrap(),
        None,
        "told by a reader"
    );
    listed(&log, |all| {
        let seen = |d: &&Damaged| gone.contains(&d.path) && d.what == "is missing";
        all.iter()
            .filter(seen)
            .filter(|d| d.repaired.is_some())
            .count()
            == 2
    })
    .await;
    for (path, bytes) in &good {
        assert_eq!(
            rig.objects.get(path).await.unwrap().as_ref(),
            Some(bytes),
            "{path}"
        );
    }
    engine.shutdown().await;
}

/// Another log's checkpoint in the place of a final one is evidence: it is listed, and stays.
#[tokio::test(start_paused = true)]
async fn another_logs_note_is_listed_and_stays() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 600).await;
    let signer = tlog::Signer::from_seed("example.org/other", &[3; 32]).unwrap();
    let other = tlog::Checkpoint {
        origin: "example.org/other".to_owned(),
        size: 1,
        root: tlog::leaf_hash(b"x"),
        extensions: Vec::new(),
    };
    let other = Bytes::from(other.sign(&signer).unwrap());
    let path = "dev/a/checkpoint";
    let put = vec![(path.to_owned(), other.clone())];
    rig.objects.put(put).await.unwrap();
    listed(&log, |all| all.iter().any(|d| d.path == path)).await;
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(rig.objects.get(path).await.unwrap(), Some(other));
    engine.shutdown().await;
}

/// A flipped bit in the name of the key makes a note look like another log's. Its text is ours, so it is repaired.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_with_a_damaged_key_id_is_repaired() {
    let rig = Rig::new();
    let (engine, log) = rotated(&rig, 600).await;
    let path = "dev/a/checkpoint";
    let good = rig.objects.get(path).await.unwrap().unwrap();
    let mut bad = good.to_vec();
    let id = String::from_utf8(bad.clone()).unwrap().rfind(' ').unwrap() + 1;
    bad[id] = if bad[id] == b'A' { b'B' } else { b'A' };
    rig.objects
        .put(vec![(path.to_owned(), bad.into())])
        .await
        .unwrap();
    let repaired = |d: &Damaged| d.path == path && d.repaired.is_some();
    listed(&log, |all| all.iter().any(repaired)).await;
    assert_eq!(rig.objects.get(path).await.unwrap(), Some(good));
    engine.shutdown().await;
}

/// A frontend's copy is taken when it leads to the signed root, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_rewritten_from_a_frontend() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().to_owned();
    let objects = Arc::new(MemoryObjects::new());
    let rows = Arc::new(store::MemoryCoordination::new());
    let kek = crate::testing::fresh_kek();
    let engine = Engine::open(crate::EngineOptions {
        merge: crate::MergeOptions {
            places: Arc::new(crate::Folders::new(Default::default(), vec![allowed])),
            ..crate::MergeOptions::default()
        },
        ..crate::testing::options_on(rows, objects.clone(), kek)
    })
    .await
    .unwrap();
    let url = format!("file://{}/front", folder.path().display());
    let config = serde_json::json!({
        "apiVersion": "logctl/v1",
        "kind": "LogConfig",
        "log": "dev",
        "origin": "example.org/dev",
        "shards": [{"name": "a", "state": "active"}],
        "merge": {"checkpointInterval": "10ms", "frontends": [{"name": "front", "url": url}]},
    });
    let config: LogConfig = logconfig::parse(&config.to_string()).unwrap();
    engine.create_log(config, caller()).await.unwrap();
    let log = engine.log("dev").unwrap();
    let appends = (0..300).map(|n| log.append(Bytes::from(format!("entry {n}"))));
    for at in futures_util::future::join_all(appends).await {
        at.unwrap();
    }
    log.wait_published(GlobalIndex::new(299)).await.unwrap();
    let front = folder.path().join("front/dev/a");
    let newest = || std::fs::read_to_string(front.join("checkpoint")).unwrap_or_default();
    let began = steady();
    while !newest().contains("\n300\n") {
        assert!(steady() - began < HANG_TIMEOUT, "{}", newest());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lost = ["tile/entries/000", "tile/entries/001.p/44", "tile/0/000"];
    let mut good = Vec::new();
    for path in lost {
        let path = format!("dev/a/{path}");
        good.push(objects.get(&path).await.unwrap().unwrap());
        objects.delete(vec![path]).await.unwrap();
    }
    damaged(log.entry(GlobalIndex::new(3)).await);
    damaged(log.entry(GlobalIndex::new(299)).await);
    let repaired =
        |all: &[Damaged]| all.len() == lost.len() && all.iter().all(|d| d.repaired.is_some());
    let list = listed(&log, repaired).await;
    assert!(
        list.iter()
            .all(|d| d.repaired.as_ref().unwrap().1 == "frontend front")
    );
    for (path, good) in lost.iter().zip(good) {
        assert_eq!(
            objects
                .get(&format!("dev/a/{path}"))
                .await
                .unwrap()
                .unwrap(),
            good
        );
    }
    assert!(
        log.inclusion(GlobalIndex::new(299))
            .await
            .unwrap()
            .is_some()
    );
    // One whose copy there is altered, too, is not.
    let path = "dev/a/tile/entries/000";
    std::fs::write(front.join("tile/entries/000"), b"\0\x01x").unwrap();
    objects.delete(vec![path.to_owned()]).await.unwrap();
    damaged(log.entry(GlobalIndex::new(3)).await);
    listed(&log, |all| {
        all.iter().any(|d| d.path == path && d.repaired.is_none())
    })
    .await;
    assert_eq!(objects.get(path).await.unwrap(), None);
    engine.shutdown().await;
}
