//! A log that is rebuilt from its secondaries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Kek, MergeOptions, Programs, Request, RestoreError, testing};
use mirror::Mirror;
use store::fault::{Fault, Faults, FaultyCoordination, FaultyObjects};
use tlog::{Checkpoint, GlobalIndex, Note, TreeSize};

use crate::network::Way;
use crate::world::{
    LONG, ORIGIN, World, append, append_when_accepted, caller, configure, continues, cosigner,
    create, first_manifest, folder, fsck, has_verified, lost, newest_manifest, published, rotate,
    until,
};

/// Another process publishes; operators ask the one that takes writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_says_what_it_waits_for_wherever_it_is_asked() {
    let world = lost(100).await;
    let from = ["x", "yy", "zzz"];
    world.restore("one", &from, false).run().await.unwrap();
    for name in from {
        let of = format!("{name}.example.org");
        world.network.set(&of, Way::Dead);
    }
    let publishes = world.primary("one").await;
    let merge = MergeOptions {
        programs: Programs::NONE,
        ..MergeOptions::default()
    };
    let takes_writes = world.primary_with("one", merge).await;
    let log = takes_writes.log("dev").unwrap();
    until("it says why it waits", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("not yet accepted by: x, yy, zzz")
    })
    .await;
    world.only_reachable(&from);
    published(&log, 100).await;
    until("it waits for nothing", || log.status().reason.is_none()).await;
    for engine in [publishes, takes_writes] {
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_rebuilt_and_goes_on() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    let x = world.secondary("x", "x", &key).await;
    world.secondaries(&["yy", "zzz"], &key).await;
    append(&log, 600).await;
    published(&log, 600).await;
    let rotate = testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
    append(&log, 300).await;
    published(&log, 900).await;
    // One secondary is behind from here on.
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 1000).await;
    let before = log.status();
    let second = before.shards[1].name.clone();
    let old = std::fs::read_to_string(folder(&world, &second).join("checkpoint")).unwrap();
    let seal = std::fs::read(folder(&world, "a").join("seal")).unwrap();
    // The last entries are announced to one secondary, and copied by none.
    world.network.set("yy.example.org", Way::Dead);
    world.network.set("x.example.org", Way::Announced);
    log.append(Bytes::from_static(b"lost")).await.unwrap();
    until("it is announced", || {
        let last = x.status().into_iter().find(|s| s.origin.ends_with(&second));
        last.is_some_and(|s| s.pending == TreeSize::new(401))
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    std::fs::remove_dir_all(world.path("primary")).unwrap();
    world.network.set("x.example.org", Way::Open);
    world.network.set("yy.example.org", Way::Open);

    world.network.set("zzz.example.org", Way::Open);
    let few = world.restore("few", &["zzz"], false).run().await;
    assert!(
        matches!(&few, Err(RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("2 must")),
        "{few:?}"
    );
    let twice = world.restore("few", &["x", "x"], false).run().await;
    assert!(
        matches!(twice, Err(RestoreError::TooFew(_))),
        "one that is named twice is one"
    );
    let other = engine::Restore {
        kek: Kek::generate(&ambient::Ambient::unset().random).unwrap(),
        ..world.restore("few", &["x", "yy"], false)
    };
    assert!(matches!(
        other.run().await,
        Err(RestoreError::Manifest { .. })
    ));
    let forced = world.restore("forced", &["zzz"], true).run().await.unwrap();
    assert!(
        forced.warnings.iter().any(|w| w.contains("forced"))
            && forced.shards[1].1 == TreeSize::new(300)
    );

    let restored = world
        .restore("restored", &["zzz", "yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.shards[0].1, TreeSize::new(600));
    assert_eq!(
        (restored.shards[1].1, restored.warnings.len()),
        (TreeSize::new(400), 0),
        "{restored:?}"
    );
    let again = world.restore("restored", &["zzz", "yy"], false).run().await;
    assert!(matches!(again, Err(RestoreError::Exists(_))));

    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 1000).await;
    let after = log.status();
    assert_eq!(after.generation, before.generation);
    for (old, new) in before.shards.iter().zip(&after.shards) {
        assert_eq!(
            (&old.origin, &old.vkey, old.start_index),
            (&new.origin, &new.vkey, new.start_index)
        );
    }
    // The readers' checkpoint is a prefix of the restored log; here both are the same.
    let at = |text: &str| Checkpoint::parse(Note::parse(text).unwrap().text).unwrap();
    let path = world
        .path("restored/objects/dev")
        .join(&second)
        .join("checkpoint");
    until("it is signed again", || path.exists()).await;
    assert_eq!(at(&std::fs::read_to_string(&path).unwrap()), at(&old));
    // The notes of the shard before are signed beside that.
    let path = world.path("restored/objects/dev/a/seal");
    until("it is sealed again", || path.exists()).await;
    assert_eq!(std::fs::read(&path).unwrap(), seal);
    // And it continues: writes, the quorum, the manifest, a rotation.
    append(&log, 50).await;
    published(&log, 1050).await;
    let rotate = testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
    append(&log, 10).await;
    published(&log, 1060).await;
    until("no secondary complains", || {
        let all = log.peers().secondaries();
        all.len() == 3
            && all
                .values()
                .all(|s| s.trouble.is_none() && s.alarm.is_none())
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// A log with twenty entries on one secondary, and no server.
async fn twenty_on_x() -> World {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 20).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    world
}

/// Wherever it stood still: another one has made the log meanwhile, and the log has grown.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_stood_still_changes_nothing_of_the_log_that_another_made() {
    let world = twenty_on_x().await;
    let mut has = 20;
    for at in 0.. {
        let name = format!("standstill {at}");
        let faults = Faults::new();
        let (stalls, mut stalled) = tokio::sync::watch::channel(false);
        let mut writes = 0;
        faults.plan(move |_, operation| {
            writes += usize::from(operation.writes());
            (operation.writes() && writes == at + 1).then(|| {
                stalls.send_replace(true);
                Fault::Stall
            })
        });
        let plain = world.restore(&name, &["x"], false);
        let first = engine::Restore {
            coordination: Arc::new(FaultyCoordination::new(
                Arc::clone(&plain.coordination),
                faults.clone(),
            )),
            objects: Arc::new(FaultyObjects::new(
                Arc::clone(&plain.objects),
                faults.clone(),
            )),
            ..plain
        };
        let mut first = tokio::spawn(async move { first.run().await });
        tokio::select! {
            _ = stalled.wait_for(|stalled| *stalled) => {}
            made = &mut first => {
                made.unwrap().unwrap();
                assert!(at > 3, "{at}");
                break;
            }
        }
        world.restore(&name, &["x"], false).run().await.unwrap();
        let engine = world.primary(&name).await;
        let log = engine.log("dev").unwrap();
        published(&log, has).await;
        append(&log, 3).await;
        published(&log, has + 3).await;
        faults.release().await;
        let refused = first.await.unwrap();
        assert!(
            matches!(refused, Err(RestoreError::Exists(_))),
            "{at}: {refused:?}"
        );
        append(&log, 3).await;
        published(&log, has + 6).await;
        engine.shutdown().await;
        drop((log, engine));
        assert_eq!(fsck(&world.path(&name)).await, [""; 0], "{at}");
        has += 6;
    }
}

/// An interrupted restore is made again over what it left; rows that no restore has written are not touched.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_can_be_made_again() {
    let world = twenty_on_x().await;
    let left = |note: bool| {
        let mut puts = vec![(
            // As if it had been of a later state.
            "log/dev/snapshot/09999999999999999999".to_owned(),
            Bytes::from_static(b"half"),
        )];
        if note {
            puts.push(("restoring/dev".to_owned(), store::record::encode(&"dev")));
        }
        store::Transaction {
            puts,
            ..Default::default()
        }
    };
    // A bundle of a larger copy.
    let bundle = || {
        vec![(
            "dev/b/tile/entries/003".to_owned(),
            Bytes::from_static(b"x"),
        )]
    };
    let occupied = world.restore("occupied", &["x"], false);
    occupied.objects.put(bundle()).await.unwrap();
    let refused = occupied.run().await;
    assert!(
        matches!(&refused, Err(RestoreError::Occupied(path)) if path == "dev/b/tile/entries/003"),
        "{refused:?}"
    );
    for (name, note) in [("strange", false), ("begun", true)] {
        let restore = world.restore(name, &["x"], false);
        if note {
            restore.objects.put(bundle()).await.unwrap();
        }
        restore.coordination.transact(left(note)).await;
        let restored = restore.run().await;
        if note {
            restored.unwrap();
        } else {
            assert!(matches!(restored, Err(RestoreError::Exists(_))));
        }
    }
    // Everything that must exist before the log: if it cannot be made, there is no log, nor another one of its name.
    let restore = world.restore("last", &["x"], false);
    let failed = restore.run_and_then(|name| Err(format!("no {name}"))).await;
    assert!(
        matches!(&failed, Err(RestoreError::Last(why)) if why == "no dev"),
        "{failed:?}"
    );
    let report = fsck(&world.path("last")).await;
    assert!(!report.is_empty());
    assert!(
        report
            .iter()
            .all(|found| found.contains("run the same `logd restore` again")),
        "{report:?}"
    );
    let engine = world.primary("last").await;
    assert!(engine.log("dev").is_none());
    let name = logconfig::LogName::try_from("dev".to_owned()).unwrap();
    let shard = logconfig::ShardName::try_from("b".to_owned()).unwrap();
    let document = logconfig::LogConfig::new(name, ORIGIN.into(), shard);
    let other = engine
        .create_log_unaudited(document, caller())
        .await
        .unwrap_err();
    assert!(other.to_string().contains("run it again"), "{other}");
    engine.shutdown().await;
    drop(engine);
    let restore = world.restore("last", &["x"], false);
    assert_eq!(
        restore.run_and_then(|_| Ok(())).await.unwrap().entries,
        GlobalIndex::new(20)
    );
    continues(&world, "begun", 20).await;
    let report = fsck(&world.path("begun")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// Nor is a log that was restored by force held up by one, or by one that did not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_restore_does_not_wait_for_those_that_cannot_take_it() {
    let world = World::new();
    let foreign = &world.network.foreign;
    foreign.lock().unwrap().insert("x.example.org".to_owned());
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x", "yy", "zzz"], 2).await;
    let key = log.replication_key().await.unwrap();
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    has_verified(&log, "yy", 10).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("zzz.example.org", Way::Dead);
    let few = world.restore("few", &["x", "yy", "zzz"], false).run().await;
    assert!(matches!(few, Err(RestoreError::TooFew(_))), "{few:?}");
    let forced = world.restore("restored", &["x", "yy", "zzz"], true);
    assert_eq!(forced.run().await.unwrap().entries, GlobalIndex::new(10));
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    until("it is signed again", || {
        world
            .checkpoint_of("restored")
            .is_some_and(|at| at.size == 10)
    })
    .await;
    // Its operator has the last word before anything new is signed under the same keys.
    let refused = log.append(Bytes::from_static(b"no")).await;
    assert!(
        matches!(refused, Err(AppendError::Frozen { .. })),
        "{refused:?}"
    );
    let why = log.status().reason.unwrap_or_default();
    assert!(why.contains("restored with --force"), "{why}");
    let unfrozen = log
        .change_unaudited(Request::Unfreeze, caller())
        .await
        .unwrap();
    let told: Vec<_> = unfrozen.warnings.iter().map(|w| w.code).collect();
    assert_eq!(told, ["forced-restore"]);
    append_when_accepted(&log).await;
    published(&log, 11).await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// The restored log is lost in its turn, before its secondaries have what it was restored with: the new disk of one of them was told
/// of it, and has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_restore_accepts_no_less_than_the_first_one_restored() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    let lost = world.secondary("zzz", "zzz", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    for name in ["x", "yy", "zzz"] {
        has_verified(&log, name, 50).await;
    }
    world.network.set("x.example.org", Way::Dead);
    append(&log, 50).await;
    published(&log, 100).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;

    world.network.set("x.example.org", Way::Open);
    let first = world.restore("first", &["x", "yy"], false).run().await;
    assert_eq!(first.unwrap().entries, GlobalIndex::new(100));
    // It comes as far as to tell the new disk of itself.
    let was = lost.incarnation().to_owned();
    drop(lost);
    let new = world.secondary("zzz", "new", &key).await;
    world.network.set("x.example.org", Way::Dead);
    world.network.set("yy.example.org", Way::Dead);
    world.network.set("zzz.example.org", Way::Announced);
    let engine = world.primary("first").await;
    let manifest = first_manifest(&world, &new).await;
    // It also says which storages had what was published.
    let of = manifest.vouched.iter().find(|of| of.secondary == "zzz");
    let vouched = of.map(|of| (of.incarnation.clone(), of.whole));
    engine.shutdown().await;
    drop(engine);
    world.gone("first").await;

    world.network.set("x.example.org", Way::Open);
    world.network.set("zzz.example.org", Way::Open);
    let less = world.restore("less", &["x", "zzz"], false).run().await;
    assert!(matches!(&less, Err(RestoreError::TooFew(_))), "{less:?}");
    assert_eq!(vouched, Some((was, true)));
    world.network.set("yy.example.org", Way::Open);
    let all = world.restore("all", &["x", "yy", "zzz"], false).run().await;
    assert_eq!(all.unwrap().entries, GlobalIndex::new(100));
}

/// A restored log has published whatever it was restored with: the disk that it meets first is not whole for having the first shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_a_restored_log_meets_first_is_whole_when_it_has_everything() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 2).await;
    let x = world.secondary("x", "x", &key).await;
    let lost = world.secondary("yy", "yy", &key).await;
    append(&log, 30).await;
    published(&log, 30).await;
    rotate(&log).await;
    append(&log, 20).await;
    published(&log, 50).await;
    for name in ["x", "yy"] {
        has_verified(&log, name, 50).await;
    }
    let second = log.status().shards[1].name.clone();
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let restored = world.restore("restored", &["x", "yy"], false).run().await;
    assert_eq!(restored.unwrap().entries, GlobalIndex::new(50));
    let new = {
        drop(lost);
        world.secondary("yy", "new", &key).await
    };
    let second: &'static str = second.leak();
    world.network.set("yy.example.org", Way::Without(second));
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    has_verified(&log, "yy", 30).await;
    let vouches = async |of: &Arc<Mirror>, name: &str, whole: Option<bool>| {
        let wait = async {
            loop {
                let manifest = first_manifest(&world, of).await;
                let mut vouched = manifest.vouched.into_iter();
                let found = vouched.find(|one| one.secondary == name);
                if let Some(found) = found.filter(|one| one.incarnation == of.incarnation())
                    && whole.is_none_or(|whole| whole == found.whole)
                {
                    return found.whole;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap()
    };
    assert!(!vouches(&new, "yy", None).await);
    // The one that had everything before is still the same.
    assert!(vouches(&x, "x", None).await);
    world.network.set("yy.example.org", Way::Open);
    assert!(vouches(&new, "yy", Some(true)).await);
    engine.shutdown().await;
}

/// A secondary of a change that is not handed over has another key in the meantime: it takes nothing under the old one, and a log that
/// waits for it would never sign.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_would_wait_for_a_key_that_nobody_has_says_so() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    for name in ["x", "yy"] {
        has_verified(&log, name, 10).await;
    }
    configure(&log, |config| {
        let second = config.merge.secondaries.iter_mut();
        let second = second.filter(|one| one.name.as_str() == "yy");
        second.for_each(|one| one.vkey = cosigner("another").verifier().to_string());
    })
    .await;
    let x = world.mirror("x");
    let wait = async {
        while newest_manifest(&world, &x)
            .await
            .is_none_or(|of| of.joint.is_empty())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let waits = world.restore("waits", &["x", "yy"], false).run().await;
    assert!(
        matches!(&waits, Err(RestoreError::TooFew(why)) if why.contains("yy") && why.contains("another key")),
        "{waits:?}"
    );
    let forced = world.restore("forced", &["x", "yy"], true).run().await;
    assert_eq!(forced.unwrap().entries, GlobalIndex::new(10));
    let engine = world.primary("forced").await;
    until("it is signed again", || {
        world
            .checkpoint_of("forced")
            .is_some_and(|at| at.size == 10)
    })
    .await;
    engine.shutdown().await;
}
