//! When entries are published, and the cost of a secondary that is slow, dead, lost or of another history.

use order::Generation;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::testing::kek;
use engine::{ChangeError, Request};
use mirror::{Mirror, SignedManifest};
use tlog::mirror::origin_hash;

use crate::network::Way;
use crate::world::{
    LONG, ORIGIN, World, append, caller, checkpoint, configure, create, folder, published, until,
};
use tlog::{GlobalIndex, TreeSize};

/// Waits until a secondary has the manifest of the log's second generation.
async fn has_second_generation(world: &World, x: &Mirror) {
    let key = kek(&world.path("kek"));
    let newer = async {
        loop {
            let bytes = x.manifest(&origin_hash(ORIGIN)).await.unwrap().unwrap();
            let manifest = SignedManifest::parse(&bytes).unwrap();
            let opened = engine::Manifest::open(&manifest, &key).unwrap();
            if opened.state.generation == Generation::new(2) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, newer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_before_the_quorum_has_it() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    assert_eq!(key.name(), ORIGIN);
    let x = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    until("one secondary has it", || {
        x.status()
            .first()
            .is_some_and(|s| s.mirrored == TreeSize::new(300))
    })
    .await;
    assert_eq!(
        log.status().watermarks.published,
        GlobalIndex::ZERO,
        "one is not two"
    );
    until("the dead one is told of", || {
        log.peers()
            .secondaries()
            .get("yy")
            .is_some_and(|s| s.trouble.is_some())
    })
    .await;
    let yy = world.secondary("yy", "yy", &key).await;
    published(&log, 300).await;
    let (at, names) = checkpoint(&folder(&world, "a"), &["x", "yy", "zzz"]);
    assert_eq!(
        (at.size, names),
        (300, vec!["x".to_owned(), "yy".to_owned()])
    );
    // The secondaries serve the same as the primary.
    let hash = origin_hash(&format!("{ORIGIN}/a"));
    for tile in tlog::partial_tiles(300) {
        let here = std::fs::read(folder(&world, "a").join(tile.to_string())).unwrap();
        assert_eq!(yy.tile(&hash, tile).await.unwrap().unwrap(), here);
    }
    // Everything a restore needs is there, and nobody without the key-encryption key can read it.
    let manifest = x.manifest(&origin_hash(ORIGIN)).await.unwrap().unwrap();
    let opened = SignedManifest::parse(&manifest).unwrap();
    opened.verify(&key).unwrap();
    let opened = engine::Manifest::open(&opened, &kek(&world.path("kek"))).unwrap();
    assert_eq!(
        (opened.log.as_str(), opened.state.generation.get()),
        ("dev", 1)
    );
    // A change is copied, too, without any entry.
    configure(&log, |config| {
        config.merge.checkpoint_interval = logconfig::Span::from_millis(11);
    })
    .await;
    has_second_generation(&world, &x).await;
    engine.shutdown().await;
}

/// A server that was behind another one is refused once; it has what the other does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_came_second_is_sent_again_when_the_log_goes_on() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    append(&log, 1).await;
    published(&log, 1).await;
    world.network.set("x.example.org", Way::Overtaken);
    configure(&log, |config| {
        config.merge.checkpoint_interval = logconfig::Span::from_millis(11);
    })
    .await;
    // It is copied after the manifest was refused.
    append(&log, 1).await;
    published(&log, 2).await;
    world.network.set("x.example.org", Way::Open);
    append(&log, 1).await;
    published(&log, 3).await;
    has_second_generation(&world, &x).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_dead_secondary_slows_only_itself_and_catches_up() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    let yy = world.secondary("yy", "yy", &key).await;
    for (round, way) in [Way::Silent, Way::Dead, Way::Mute, Way::Open]
        .into_iter()
        .enumerate()
    {
        world.network.set("yy.example.org", way);
        append(&log, 100).await;
        published(&log, 100 * (round as u64 + 1)).await;
        assert_eq!(
            x.status()[0].mirrored,
            TreeSize::new(100 * (round as u64 + 1))
        );
    }
    until("it has caught up", || {
        yy.status()
            .first()
            .is_some_and(|s| s.mirrored == TreeSize::new(400))
    })
    .await;
    // A rotation: the older shard first.
    let rotate = engine::testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
    append(&log, 50).await;
    published(&log, 450).await;
    until("both shards", || {
        yy.status().iter().map(|s| s.mirrored.get()).sum::<u64>() == 450
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_does_not_count_until_it_has_verified_again() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let first = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    let old = first.incarnation().to_owned();
    drop(first);
    let second = world.secondary("x", "x-new-disk", &key).await;
    assert_ne!(second.incarnation(), old);
    append(&log, 10).await;
    published(&log, 310).await;
    assert_eq!(
        second.status()[0].mirrored,
        TreeSize::new(310),
        "copied from zero, before anything was published"
    );
    let known = log.peers().secondaries();
    assert_eq!(
        known["x"].incarnation.as_deref(),
        Some(second.incarnation())
    );
    // The same storage again, after a restart of its process: continues where it was.
    drop(second);
    let third = world.secondary("x", "x-new-disk", &key).await;
    append(&log, 10).await;
    published(&log, 320).await;
    assert_eq!(third.status()[0].mirrored, TreeSize::new(320));
    engine.shutdown().await;
}

/// The verified positions of a wiped secondary count for nothing as soon as its new storage answers, even before that has verified
/// anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_secondary_stops_counting_at_its_first_answer() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 2).await;
    let first = world.secondary("x", "x", &key).await;
    world.secondary("yy", "yy", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    world.network.set("yy.example.org", Way::Dead);
    append(&log, 10).await;
    let has = async |name: &str| {
        let view = log.merge().await.unwrap();
        let of = view.secondaries.into_iter().find(|s| s.name == name);
        of.and_then(|of| of.position)
    };
    let reaches = async |name: &str, size: u64| {
        let verified = async {
            while has(name).await != Some(GlobalIndex::new(size)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, verified)
            .await
            .unwrap_or_else(|_| panic!("{name} does not verify {size} entries"));
    };
    reaches("x", 20).await;
    // Its disk is lost, and entries do not reach the new one.
    drop(first);
    world.network.set("x.example.org", Way::Announced);
    let second = world.secondary("x", "x-new-disk", &key).await;
    append(&log, 1).await;
    until("the new storage answers", || {
        let known = log.peers().secondaries();
        known["x"].incarnation.as_deref() == Some(second.incarnation())
    })
    .await;
    world.network.set("yy.example.org", Way::Open);
    reaches("yy", 21).await;
    // One disk has 20 entries: two were asked for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(10));
    assert_eq!(has("x").await, None);
    world.network.set("x.example.org", Way::Open);
    published(&log, 21).await;
    engine.shutdown().await;
}

/// A storage that has entries of a shard is believed to have all older shards, so a new storage always gets them first.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_storage_gets_the_older_shards_first() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let first = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    let rotate = engine::testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
    let manifest = async |mirror: &mirror::Mirror| {
        let key = kek(&world.path("kek"));
        let bytes = mirror.manifest(&origin_hash(ORIGIN)).await.unwrap()?;
        let opened = engine::Manifest::open(&SignedManifest::parse(&bytes).unwrap(), &key).unwrap();
        Some(opened.state.generation)
    };
    let told = async {
        while manifest(&first).await != Some(Generation::new(2)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    // A moment later there is nothing left to say.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.network.set("x.example.org", Way::Without("a"));
    let second = world.secondary("x", "x-new-disk", &key).await;
    append(&log, 1).await;
    let told = async {
        while manifest(&second).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(300));
    assert!(
        second
            .status()
            .iter()
            .all(|at| at.mirrored == TreeSize::ZERO)
    );
    world.network.set("x.example.org", Way::Open);
    published(&log, 301).await;
    let sizes: u64 = second.status().iter().map(|at| at.mirrored.get()).sum();
    assert_eq!(sizes, 301);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_is_an_alarm_on_both_sides() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    engine.shutdown().await;
    drop((log, engine));
    let copy = World {
        dir: tempfile::tempdir().unwrap(),
        network: Arc::clone(&world.network),
    };
    std::fs::copy(world.path("kek"), copy.path("kek")).unwrap();
    let engine = copy.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    // Another log of that name has another replication key: the secondary does not even listen.
    append(&log, 5).await;
    until("refused", || {
        let all = log.peers().secondaries();
        all.get("x")
            .and_then(|s| s.trouble.clone())
            .is_some_and(|why| why.contains("403"))
    })
    .await;
    assert!(mirror.status()[0].alarm.is_none());
    assert_eq!(log.status().watermarks.published, GlobalIndex::ZERO);
    // With the same key, as from a copy of the stores, it is a second history.
    let key = log.replication_key().await.unwrap();
    let other = world.secondary("x", "x-other", &key).await;
    published(&log, 5).await;
    engine.shutdown().await;
    drop((log, engine));
    let (from, to) = (copy.path("primary"), copy.path("fork"));
    copy_folder(&from, &to);
    for (folder, text) in [("primary", "one"), ("fork", "two")] {
        if folder == "fork" {
            // A secondary that answers at start says it before anything is taken.
            let engine = copy.primary(folder).await;
            let log = engine.log("dev").unwrap();
            let halted = log.append(Bytes::from_static(b"no")).await.unwrap_err();
            let why = halted.to_string();
            assert!(
                why.contains("secondary x has cosigned shard a at size 14")
                    && why.contains("logd restore"),
                "{why}"
            );
            engine.shutdown().await;
            copy.network.set("x.example.org", Way::Dead);
        }
        let engine = copy.primary(folder).await;
        let log = engine.log("dev").unwrap();
        for i in 0..9 {
            log.append(Bytes::from(format!("{text} {i}")))
                .await
                .unwrap();
        }
        if folder == "primary" {
            published(&log, 14).await;
        } else {
            copy.network.set("x.example.org", Way::Open);
            until("alarm", || {
                log.peers()
                    .secondaries()
                    .get("x")
                    .is_some_and(|s| s.alarm.is_some())
            })
            .await;
            assert_eq!(
                log.status().watermarks.published,
                GlobalIndex::new(5),
                "the fork publishes nothing more"
            );
            append(&log, 1).await;
        }
        engine.shutdown().await;
    }
    assert!(other.status()[0].alarm.is_some());
    assert_eq!(other.status()[0].mirrored, TreeSize::new(14));
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A shard that fewer than a quorum would copy could not be published: it is not opened, unless the operator insists.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_secondaries_would_not_copy_is_not_opened() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    let x = world.secondary("x", "x", &key).await;
    world.secondary("yy", "yy", &key).await;
    // The key of another log.
    let other_key = tlog::Signer::from_seed("example.org/other", &[9; 32]).unwrap();
    let other = world.secondary("zzz", "zzz", other_key.verifier()).await;
    append(&log, 3).await;
    published(&log, 3).await;
    let rotate = |force| Request::Rotate {
        name: None,
        base: None,
        force,
    };
    // Enough know it, planned or not: the key that they are shown is the log's. Nobody is bound by being asked.
    let applied = log.preview(rotate(false)).await.unwrap();
    let [finding] = &*applied.warnings else {
        panic!("{:?}", applied.warnings)
    };
    assert_eq!(finding.code, "secondary-does-not-know");
    assert!(finding.message.contains("secondary zzz would not copy"));
    assert!(finding.message.contains("404"), "{}", finding.message);
    assert!(other.status().is_empty());
    let second = log.change_unaudited(rotate(false), caller()).await.unwrap();
    assert_eq!(second.warnings.len(), 1);
    append(&log, 4).await;
    published(&log, 7).await;
    // One that does not answer is as good as one that does not know it.
    world.network.set("yy.example.org", Way::Dead);
    match log.preview(rotate(false)).await {
        Err(ChangeError::Invalid(findings)) => {
            assert_eq!(findings.len(), 2, "{findings:?}");
            assert!(findings[0].message.contains("secondary yy"));
            let hint = findings[0].hint.as_deref();
            assert!(hint.unwrap().contains("2 of 3"), "{hint:?}");
        }
        other => panic!("{other:?}"),
    }
    let applied = log.change_unaudited(rotate(true), caller()).await.unwrap();
    let unrecognised = applied.warnings.iter();
    let unrecognised = unrecognised.filter(|f| f.code == "secondary-does-not-know");
    assert_eq!(unrecognised.count(), 2);
    let history = log.history().await.unwrap();
    assert!(
        history[0]
            .summary
            .contains("forced: secondary yy, secondary zzz did not know"),
        "{history:?}"
    );
    append(&log, 2).await;
    until("one has it", || {
        x.status()
            .iter()
            .any(|origin| origin.mirrored == TreeSize::new(2))
    })
    .await;
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(7));
    world.network.set("yy.example.org", Way::Open);
    published(&log, 9).await;
    engine.shutdown().await;
}

/// A reader that knows the shard's key can read from a secondary alone.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_log_can_verify_what_a_secondary_serves() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    let hash = origin_hash(&format!("{ORIGIN}/a"));
    append(&log, 300).await;
    published(&log, 300).await;
    let status = log.status();
    let shown = status.shards.iter().find(|shard| shard.name == "a");
    let vkey: tlog::VerifierKey = shown.unwrap().vkey.parse().unwrap();
    let verified = async || {
        let note = x.checkpoint(&hash).await?;
        let note = tlog::Note::parse(&note).unwrap();
        note.verify(&[&vkey]).ok()?;
        Some(tlog::Checkpoint::parse(note.text).unwrap().size)
    };
    let wait = async {
        while verified().await != Some(300) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    // A rotated-out shard's last checkpoint, too, and more entries behind it.
    let request = Request::Rotate {
        base: None,
        name: None,
        force: false,
    };
    append(&log, 7).await;
    log.change_unaudited(request, caller()).await.unwrap();
    append(&log, 5).await;
    let wait = async {
        while verified().await != Some(307) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    engine.shutdown().await;
}

/// A third-party mirror may retire a frozen shard: that says nothing about the entries of the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_others_that_no_longer_knows_a_frozen_shard_copies_the_next_one() {
    let world = World::new();
    let host = "x.example.org";
    world
        .network
        .foreign
        .lock()
        .unwrap()
        .insert(host.to_owned());
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    world.secondary("x", "x", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    let rotate = engine::testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
    world.network.set(host, Way::Retired("a"));
    append(&log, 10).await;
    published(&log, 60).await;
    engine.shutdown().await;
}
