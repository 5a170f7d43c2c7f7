//! A log that is rebuilt from its secondaries.

use order::Generation;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Audited, Kek, MergeOptions, PeerClient, Request};
use store::{Directory, Sqlite};
use tlog::{Checkpoint, GlobalIndex, Note, TreeSize};

use crate::network::{Network, Way};
use crate::world::{
    LONG, ORIGIN, World, append, caller, configure, cosigner, create, folder, published, until,
};

impl World {
    pub(crate) fn restore(&self, to: &str, from: &[&str], force: bool) -> engine::Restore {
        let dir = self.path(to);
        std::fs::create_dir_all(&dir).unwrap();
        engine::Restore {
            origin: ORIGIN.to_owned(),
            from: from
                .iter()
                .map(|name| format!("http://{name}.example.org/"))
                .collect(),
            kek: Kek::from_file(&self.path("kek")).unwrap(),
            ambient: ambient::Ambient::unset(),
            force,
            peers: Arc::clone(&self.network) as Arc<dyn PeerClient>,
            coordination: Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_rebuilt_and_goes_on() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    let x = world.secondary("x", "x", &key).await;
    world.secondaries(&["yy", "zzz"], &key).await;
    append(&log, 600).await;
    published(&log, 600).await;
    let rotate = engine::testing::rotation();
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
        matches!(&few, Err(engine::RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("2 must")),
        "{few:?}"
    );
    let twice = world.restore("few", &["x", "x"], false).run().await;
    assert!(
        matches!(twice, Err(engine::RestoreError::TooFew(_))),
        "one that is named twice is one"
    );
    let other = engine::Restore {
        kek: Kek::generate(&ambient::Ambient::unset().random).unwrap(),
        ..world.restore("few", &["x", "yy"], false)
    };
    assert!(matches!(
        other.run().await,
        Err(engine::RestoreError::Manifest { .. })
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
    assert!(matches!(again, Err(engine::RestoreError::Exists(_))));

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
    let rotate = engine::testing::rotation();
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

impl World {
    async fn gone(&self, name: &str) {
        std::fs::remove_dir_all(self.path(name)).unwrap();
    }

    /// Copies the disk of the only secondary, `x`, to the folder `older`, while nobody writes to it; then `x` runs again.
    async fn copy_of_x(
        &self,
        mirror: Arc<mirror::Mirror>,
        key: &tlog::VerifierKey,
    ) -> Arc<mirror::Mirror> {
        self.network.mirrors.lock().unwrap().clear();
        // A request that it has begun to answer still writes.
        until("the secondary has answered", || {
            Arc::strong_count(&mirror) == 1
        })
        .await;
        mirror.rest().await;
        drop(mirror);
        copy(&self.path("x"), &self.path("older"));
        self.secondary("x", "x", key).await
    }

    fn checkpoint_of(&self, primary: &str) -> Option<Checkpoint> {
        let path = self.path(primary).join("objects/dev/a/checkpoint");
        let note = std::fs::read_to_string(path).ok()?;
        Some(Checkpoint::parse(Note::parse(&note).unwrap().text).unwrap())
    }
}

fn secondary(name: &str) -> logconfig::SecondaryConfig {
    logconfig::SecondaryConfig {
        name: name.parse().unwrap(),
        url: format!("http://{name}.example.org"),
        vkey: cosigner(name).verifier().to_string(),
    }
}

/// A secondary that was not told of a change of the secondaries must not be believed when it says that it has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_secondaries_waits_until_the_old_ones_know_it() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    world.secondary("yy", "yy", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    world.network.set("x.example.org", Way::Dead);
    configure(&log, |config| {
        config.merge.secondaries.push(secondary("yy"));
    })
    .await;
    append(&log, 5).await;
    until("it is said what is waited for", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("generation 1") && why.contains("missing: x")
    })
    .await;
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(10));
    // Another checkpoint for 11 to 15 than any that was signed: none was.
    assert_eq!(world.checkpoint_of("primary").unwrap().size, 10);
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("x.example.org", Way::Open);
    let restored = world
        .restore("restored", &["x"], false)
        .run()
        .await
        .unwrap();
    assert_eq!((restored.generation.get(), restored.entries.get()), (1, 10));
    assert_eq!(restored.warnings, Vec::<String>::new());
    // The new secondary alone knows that there is another one to ask.
    let alone = world.restore("alone", &["yy"], false).run().await;
    assert!(
        matches!(&alone, Err(engine::RestoreError::TooFew(why)) if why.contains("generation 1")),
        "{alone:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_handed_over_by_force_where_the_old_secondaries_are_lost() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    world.secondary("yy", "yy", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    assert_eq!(log.held_by_before(), None);
    world.network.set("x.example.org", Way::Dead);
    world.network.set("yy.example.org", Way::Dead);
    until("it is known", || {
        let seen = log.peers().secondaries();
        seen.get("x").is_some_and(|x| x.incarnation.is_some())
    })
    .await;
    append(&log, 1).await;
    until("x is away", || {
        let seen = log.peers().secondaries();
        seen.get("x").is_some_and(|x| x.trouble.is_some())
    })
    .await;
    let mut next = log.config();
    next.merge.secondaries = vec![secondary("yy")];
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    let preview = log.preview(request.clone()).await.unwrap();
    let codes: Vec<_> = preview.warnings.iter().map(|found| found.code).collect();
    assert!(codes.contains(&"change-not-handed-over"), "{codes:?}");
    log.change_unaudited(request, caller()).await.unwrap();
    append(&log, 5).await;
    until("it is said what is waited for", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("generation 1") && why.contains("missing: x")
    })
    .await;
    let (generation, gives_up) = log.held_by_before().unwrap();
    assert_eq!(generation, log.status().generation);
    assert!(gives_up.contains("(x)"), "{gives_up}");
    // Alone it would be asked for what it does not have.
    let audited = Audited::new(Arc::clone(&engine));
    let by_force = || audited.hand_over_by_force(&log, "test".to_owned());
    let early = by_force().await.unwrap_err();
    assert!(early.to_string().contains("do not hold"), "{early}");
    assert!(log.held_by_before().is_some());
    world.network.set("yy.example.org", Way::Open);
    let wait = async {
        // Until the new secondary holds everything; and it may answer for the first time while it is counted.
        while let Err(early) = by_force().await {
            assert!(early.to_string().contains("run it again"), "{early}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    published(&log, 16).await;
    assert_eq!(log.held_by_before(), None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_old_secondaries_know_is_handed_over() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("yy"), secondary("zzz")];
        config.merge.backup_quorum = 2;
    })
    .await;
    append(&log, 10).await;
    until("the new ones are waited for", || {
        log.status().reason.is_some()
    })
    .await;
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(300));
    world.secondary("yy", "yy", &key).await;
    world.secondary("zzz", "zzz", &key).await;
    published(&log, 310).await;
    // The old one is not needed any more, for nothing.
    until("it is let go", || {
        !log.peers().secondaries().contains_key("x")
    })
    .await;
    world.network.set("x.example.org", Way::Dead);
    append(&log, 10).await;
    published(&log, 320).await;
    engine.shutdown().await;
    drop((log, engine));
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    append(&log, 10).await;
    published(&log, 330).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let restored = world
        .restore("restored", &["yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(
        (restored.generation.get(), restored.entries.get()),
        (2, 330)
    );
    // It goes back to what it restored, and the history continues.
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 330).await;
    configure(&log, |config| {
        config.merge.checkpoint_interval = logconfig::Span::from_millis(12);
    })
    .await;
    let history = log.history().await.unwrap();
    let generations: Vec<_> = history.iter().map(|record| record.generation).collect();
    assert_eq!(generations, [3, 2].map(Generation::new));
    let (then, _) = log.config_at(Generation::new(2)).await.unwrap().unwrap();
    assert_eq!(then.merge.backup_quorum, 2);
    assert_eq!(
        then.merge.checkpoint_interval,
        logconfig::Span::from_millis(10)
    );
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// A seal says that a shard has ended and who follows: a log that is restored from a secondary that does not know that would grow behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_waits_until_a_restore_would_know_of_the_rotation() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    world.network.set("x.example.org", Way::Dead);
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change_unaudited(rotate, caller()).await.unwrap();
    // Long enough for the publisher, and for the task that looks for lost seals.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let seal = folder(&world, "a").join("seal");
    assert!(!seal.exists());
    assert_eq!(log.damaged_count(), 0, "nothing is lost");
    world.network.set("x.example.org", Way::Open);
    until("it is sealed", || seal.exists()).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let restored = world.restore("restored", &["x"], false).run().await;
    let shards = restored.unwrap().shards;
    assert_eq!((shards.len(), shards[0].1), (2, TreeSize::new(10)));
}

/// Once a change of the secondaries is handed over, a restore asks the new ones alone: they must know what ended before.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_waits_for_the_secondaries_that_come() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("yy")];
    })
    .await;
    let by_force = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change_unaudited(by_force, caller()).await.unwrap();
    let rotated = log.status().generation.get();
    until_told(&x, |kept| kept.settled.generation >= rotated).await;
    // Long enough for the publisher, and for the task that looks for lost seals.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let seal = folder(&world, "a").join("seal");
    assert!(!seal.exists());
    world.secondary("yy", "yy", &key).await;
    until("it is sealed", || seal.exists()).await;
    engine.shutdown().await;
}

/// Two operators restore the same log at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_restored_at_once_only_one_publishes() {
    for order in 0..4 {
        let world = World::new();
        let engine = world.primary("primary").await;
        let log = create(&engine, &["x", "yy", "zzz"], 2).await;
        let key = log.replication_key().await.unwrap();
        for name in ["x", "yy", "zzz"] {
            world.secondary(name, name, &key).await;
        }
        append(&log, 100).await;
        published(&log, 100).await;
        engine.shutdown().await;
        drop((log, engine));
        world.gone("primary").await;
        let from = ["x", "yy", "zzz"];
        for name in ["one", "two"] {
            world.restore(name, &from, false).run().await.unwrap();
        }
        let (early, late) = if order % 2 == 0 {
            ("one", "two")
        } else {
            ("two", "one")
        };
        let first = world.primary(early).await;
        let log = first.log("dev").unwrap();
        if order >= 2 {
            // It has published more before the other one is there.
            published(&log, 100).await;
            append(&log, 10).await;
            published(&log, 110).await;
        }
        let second = world.primary(late).await;
        let other = second.log("dev").unwrap();
        let writer = Arc::clone(&log);
        let entry = tokio::spawn(async move {
            while order == 0
                && !matches!(
                    writer.append(Bytes::from_static(b"late")).await,
                    Err(engine::AppendError::Halted { .. })
                )
            {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let reason = |log: &engine::Log| log.status().reason.unwrap_or_default();
        let halted = |log: &engine::Log| log.status().condition == engine::Condition::Halted;
        until("one of them stops, or waits for good", || {
            halted(&log) || halted(&other) || is_behind(&log) || is_behind(&other)
        })
        .await;
        let (over, goes_on) = if halted(&log) || is_behind(&log) {
            (&log, &other)
        } else {
            (&other, &log)
        };
        // The one that went on is not cut off by one that knows less.
        assert!(order < 2 || Arc::ptr_eq(over, &other), "{order}");
        let why = reason(over);
        assert!(
            is_behind(over)
                || why.contains("restored elsewhere")
                || why.contains("restore the log again")
                || why.contains("has cosigned shard a at size 110"),
            "{why}"
        );
        entry.abort();
        published(goes_on, 100).await;
        let before = goes_on.status().watermarks.ordered;
        append(goes_on, 10).await;
        published(goes_on, (before + 10).get()).await;
        first.shutdown().await;
        second.shutdown().await;
        let sizes = [early, late].map(|name| world.checkpoint_of(name).map_or(0, |at| at.size));
        assert!(
            sizes.iter().filter(|size| **size > 100).count() == 1,
            "{sizes:?}"
        );
    }
}

/// Whether some secondary knows more of the log than this copy was restored with.
fn is_behind(log: &engine::Log) -> bool {
    let seen = log.peers().secondaries();
    let mut why = seen.values().filter_map(|one| one.trouble.as_ref());
    why.any(|why| why.contains("knows a later state"))
}

/// A log on three secondaries, with so many entries, whose primary is lost.
async fn lost(entries: usize) -> World {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &FROM, 2).await;
    let key = log.replication_key().await.unwrap();
    for name in FROM {
        world.secondary(name, name, &key).await;
    }
    append(&log, entries).await;
    published(&log, entries as u64).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world
}

const FROM: [&str; 3] = ["x", "yy", "zzz"];

/// Seals the shard behind its last entry, and writes none to the next one.
async fn seal(world: &World, name: &str, log: &engine::Log) {
    rotate(log).await;
    let seal = world.path(name).join("objects/dev/a/seal");
    until("it is sealed", || seal.exists()).await;
}

/// A seal is a promise, without any entry: a copy that does not know it would grow the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_missed_a_rotation_never_signs() {
    for alive in [false, true] {
        let (world, engine, log);
        if alive {
            // The primary was not lost at all.
            world = World::new();
            engine = world.primary("primary").await;
            log = create(&engine, &FROM, 2).await;
            let key = log.replication_key().await.unwrap();
            for name in FROM {
                world.secondary(name, name, &key).await;
            }
            append(&log, 100).await;
            published(&log, 100).await;
        } else {
            world = lost(100).await;
            world.restore("primary", &FROM, false).run().await.unwrap();
            engine = world.primary("primary").await;
            log = engine.log("dev").unwrap();
        }
        world.restore("later", &FROM, false).run().await.unwrap();
        published(&log, 100).await;
        seal(&world, "primary", &log).await;
        let second = world.primary("later").await;
        let other = second.log("dev").unwrap();
        until("it is told that it is behind", || is_behind(&other)).await;
        assert_eq!(other.active_shard(), Some("a".into()));
        until("it says that it signs nothing", || {
            let why = other.status().reason.unwrap_or_default();
            why.contains("signs nothing before")
        })
        .await;
        append(&log, 10).await;
        published(&log, 110).await;
        for engine in [engine, second] {
            engine.shutdown().await;
        }
        drop((log, other));
        let again = world.restore("again", &FROM, false).run().await.unwrap();
        assert_eq!((again.shards.len(), again.entries.get()), (2, 110));
        let engine = world.primary("again").await;
        let log = engine.log("dev").unwrap();
        published(&log, 110).await;
        append(&log, 10).await;
        published(&log, 120).await;
        engine.shutdown().await;
    }
}

/// Of two that were restored at once the earlier one won, and a secondary that was away has taken the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_believes_the_copy_that_signed() {
    let world = lost(100).await;
    for name in ["one", "two"] {
        world.restore(name, &FROM, false).run().await.unwrap();
    }
    reach(&world, &["x"]);
    let engine = world.primary("two").await;
    let log = engine.log("dev").unwrap();
    until("x has taken it", || has_taken(&log, "missing: yy, zzz;")).await;
    engine.shutdown().await;
    drop((log, engine));
    reach(&world, &["yy", "zzz"]);
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    published(&log, 100).await;
    seal(&world, "one", &log).await;
    // A copy that signs nothing does not stop it.
    reach(&world, &FROM);
    until("x refuses it", || {
        let seen = log.peers().secondaries();
        let why = seen.get("x").and_then(|x| x.trouble.clone());
        why.is_some_and(|why| why.contains("no manifest of a copy that may sign"))
    })
    .await;
    append(&log, 1).await;
    published(&log, 101).await;
    engine.shutdown().await;
    drop((log, engine));
    let again = world.restore("again", &["x", "yy"], false).run().await;
    let again = again.unwrap();
    assert_eq!((again.shards.len(), again.entries.get()), (2, 101));
    let engine = world.primary("again").await;
    let log = engine.log("dev").unwrap();
    published(&log, 101).await;
    append(&log, 1).await;
    published(&log, 102).await;
    engine.shutdown().await;
}

/// Only `zzz` has the last entries of the lost primary. A copy of the log that was restored without them has closed the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_is_restored_as_it_was_closed() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &FROM, 2).await;
    let key = log.replication_key().await.unwrap();
    let mut last = None;
    for name in FROM {
        last = Some(world.secondary(name, name, &key).await);
    }
    append(&log, 100).await;
    published(&log, 100).await;
    reach(&world, &["zzz"]);
    append(&log, 5).await;
    let last = last.unwrap();
    until("it has them", || {
        last.status()[0].mirrored == TreeSize::new(105)
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    reach(&world, &["x", "yy"]);
    world
        .restore("one", &["x", "yy"], false)
        .run()
        .await
        .unwrap();
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    published(&log, 100).await;
    seal(&world, "one", &log).await;
    append(&log, 10).await;
    published(&log, 110).await;
    engine.shutdown().await;
    drop((log, engine));
    reach(&world, &FROM);
    // Another copy that never signs is in between.
    world.restore("two", &FROM, false).run().await.unwrap();
    reach(&world, &["x"]);
    let engine = world.primary("two").await;
    let log = engine.log("dev").unwrap();
    until("x has taken it", || has_taken(&log, "missing: yy, zzz;")).await;
    // Nor does it rotate.
    let rotate = log
        .change_unaudited(engine::testing::rotation(), caller())
        .await;
    let why = rotate.unwrap_err().to_string();
    assert!(why.contains("opens no shard before"), "{why}");
    engine.shutdown().await;
    drop((log, engine));
    reach(&world, &FROM);
    let checked = world.restore("again", &FROM, false).check().await.unwrap();
    let is_left_out = |warnings: &[String]| {
        let mut all = warnings.iter();
        all.any(|why| why.contains("zzz") && why.contains("is left out"))
    };
    assert_eq!(checked.refused, None);
    assert!(is_left_out(&checked.warnings), "{:?}", checked.warnings);
    let again = world.restore("again", &FROM, false).run().await.unwrap();
    assert!(is_left_out(&again.warnings), "{:?}", again.warnings);
    let sizes = again.shards.iter().map(|(_, size, _)| size.get());
    assert_eq!(sizes.collect::<Vec<_>>(), [100, 10]);
    let engine = world.primary("again").await;
    let log = engine.log("dev").unwrap();
    published(&log, 110).await;
    append(&log, 1).await;
    published(&log, 111).await;
    engine.shutdown().await;
}

/// What only its own store knows does not keep the lost primary alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_with_a_rotation_that_nobody_was_told_of_stops() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &FROM, 2).await;
    let key = log.replication_key().await.unwrap();
    for name in FROM {
        world.secondary(name, name, &key).await;
    }
    append(&log, 100).await;
    published(&log, 100).await;
    reach(&world, &[]);
    let by_force = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change_unaudited(by_force, caller()).await.unwrap();
    engine.shutdown().await;
    drop((log, engine));
    reach(&world, &FROM);
    world.restore("one", &FROM, false).run().await.unwrap();
    reach(&world, &["x"]);
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    until("x has taken it", || has_taken(&log, "missing: yy, zzz;")).await;
    engine.shutdown().await;
    drop((log, engine));
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    until("it stops", || {
        log.status().condition == engine::Condition::Halted
    })
    .await;
    let why = log.status().reason.unwrap_or_default();
    assert!(why.contains("restored elsewhere"), "{why}");
    engine.shutdown().await;
}

/// A secondary that loses its disk forgets what an earlier life of the log did.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_was_replaced_after_a_restore_does_not_take_it() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    world.restore("one", &["x"], false).run().await.unwrap();
    append(&log, 10).await;
    published(&log, 110).await;
    engine.shutdown().await;
    drop((log, engine));
    world.secondary("x", "another disk", &key).await;
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    until("it waits for good", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("does not count: x; it cannot be announced")
    })
    .await;
    assert!(log.append(Bytes::from_static(b"early")).await.is_err());
    // It fills the new disk anyway, which lacks the last ten: that disk counts for nothing.
    until("it has what was restored", || {
        let mirrors = world.network.mirrors.lock().unwrap();
        let status = mirrors["x.example.org"].status();
        status
            .first()
            .is_some_and(|at| at.mirrored == TreeSize::new(100))
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    let again = world.restore("two", &["x"], false).run().await;
    assert!(
        matches!(again, Err(engine::RestoreError::TooFew(_))),
        "{again:?}"
    );
    let again = world.restore("two", &["x"], true).run().await.unwrap();
    assert_eq!(again.entries.get(), 100);
}

/// Its copy was damaged when the log was restored. The lost primary, if it still runs, may have published with it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_storage_that_is_replaced_before_it_takes_the_log_does_not_count() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 1).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    until("both have it", || {
        let mirrors = world.network.mirrors.lock().unwrap();
        let mut all = mirrors.values().map(|mirror| mirror.status());
        all.all(|at| {
            at.first()
                .is_some_and(|at| at.mirrored == TreeSize::new(100))
        })
    })
    .await;
    let bytes = Bytes::from_static(b"\0\x01x");
    let network = &world.network;
    network.spoil("x.example.org", "tile/entries/000.p/100", bytes);
    let restored = world.restore("restored", &["x", "yy"], false).run().await;
    assert_eq!(restored.unwrap().entries.get(), 100);
    network.unspoil("x.example.org");
    engine.shutdown().await;
    drop((log, engine));
    world.secondary("x", "another disk", &key).await;
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    until("it waits for good", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("does not count: x; it cannot be announced")
    })
    .await;
    assert!(log.append(Bytes::from_static(b"early")).await.is_err());
    engine.shutdown().await;
}

/// One of two is lost with its key, and both must take a restored log.
#[tokio::test(flavor = "multi_thread")]
async fn by_force_a_restored_log_waits_for_nobody_who_did_not_answer() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("yy.example.org", Way::Dead);
    let waits = world.restore("waits", &["x"], false).run().await.unwrap();
    let warned = "2 of the 2 secondaries of generation 1 must take the restored log";
    assert!(
        waits.warnings.iter().any(|one| one.contains(warned)),
        "{waits:?}"
    );
    let forced = world.restore("forced", &["x"], true).run().await.unwrap();
    assert_eq!(forced.entries.get(), 100);
    let engine = world.primary("forced").await;
    until("it signs", || world.checkpoint_of("forced").is_some()).await;
    engine.shutdown().await;
}

/// A restore by force shortens a closed shard. Until the log has grown, who has the rest can bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_forced_restore_lacks_of_a_closed_shard_comes_back() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &FROM, 2).await;
    let key = log.replication_key().await.unwrap();
    let x = world.secondary("x", "x", &key).await;
    for name in ["yy", "zzz"] {
        world.secondary(name, name, &key).await;
    }
    append(&log, 100).await;
    published(&log, 100).await;
    let has_100 = || x.status()[0].mirrored == TreeSize::new(100);
    until("x has them", has_100).await;
    world.network.set("x.example.org", Way::Announced);
    append(&log, 20).await;
    published(&log, 120).await;
    seal(&world, "primary", &log).await;
    let rotated = log.status().generation.get();
    until_told(&x, |kept| kept.settled.generation >= rotated).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    reach(&world, &["x"]);
    let refused = world.restore("forced", &["x"], false).run().await;
    assert!(refused.is_err(), "{refused:?}");
    let forced = world.restore("forced", &["x"], true).run().await.unwrap();
    assert_eq!(forced.entries.get(), 100);
    let engine = world.primary("forced").await;
    let log = engine.log("dev").unwrap();
    // It signs what was restored, and counts for no more than what it was restored from.
    until_told(&x, |kept| kept.restored > 0).await;
    until("it signs", || world.checkpoint_of("forced").is_some()).await;
    until_told(&x, |kept| kept.restored > 0 && !kept.may_sign()).await;
    engine.shutdown().await;
    drop((log, engine));
    reach(&world, &FROM);
    let again = world.restore("again", &FROM, false).run().await.unwrap();
    assert_eq!(
        again.shards[0].1,
        TreeSize::new(120),
        "{:?}",
        again.warnings
    );
}

/// Waits until the manifest that a secondary keeps is such a one.
async fn until_told(of: &mirror::Mirror, is: impl Fn(&mirror::SignedManifest) -> bool) {
    let hash = tlog::mirror::origin_hash("example.org/dev");
    let told = async || {
        let bytes = of.manifest(&hash).await.unwrap()?;
        mirror::SignedManifest::parse(&bytes).ok().filter(&is)
    };
    while told().await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Whether the log says that one secondary has taken it, and which ones have not.
fn has_taken(log: &engine::Log, missing: &str) -> bool {
    let why = log.status().reason.unwrap_or_default();
    why.contains(&format!("1 have ({missing}"))
}

/// Only these secondaries answer.
fn reach(world: &World, open: &[&str]) {
    for name in FROM {
        let way = if open.contains(&name) {
            Way::Open
        } else {
            Way::Dead
        };
        world.network.set(&format!("{name}.example.org"), way);
    }
}

/// The lost primary was not lost: its disk comes back after the restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_that_comes_back_stops() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    engine.shutdown().await;
    drop((log, engine));
    world
        .restore("restored", &["x"], false)
        .run()
        .await
        .unwrap();
    let restored = world.primary("restored").await;
    let log = restored.log("dev").unwrap();
    published(&log, 100).await;
    log.append(Bytes::from_static(b"taken")).await.unwrap();
    published(&log, 101).await;
    let engine = world.primary("primary").await;
    let lost = engine.log("dev").unwrap();
    until("it stops", || {
        lost.status().condition == engine::Condition::Halted
    })
    .await;
    let why = lost.status().reason.unwrap_or_default();
    assert!(why.contains("restored elsewhere"), "{why}");
    append(&log, 10).await;
    published(&log, 111).await;
    engine.shutdown().await;
    restored.shutdown().await;
}

/// A copy that has nothing to say to its secondaries would not hear of it, and acknowledge the next write.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_copy_learns_that_the_log_was_restored() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    let hash = tlog::mirror::origin_hash(&format!("{ORIGIN}/a"));
    let shown = async {
        while x.checkpoint(&hash).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, shown).await.unwrap();
    let restored = world.restore("restored", &["x"], false);
    restored.run().await.unwrap();
    let other = world.primary("restored").await;
    published(&other.log("dev").unwrap(), 10).await;
    until("it halts", || {
        log.status().condition == engine::Condition::Halted
    })
    .await;
    let why = log.status().reason.unwrap_or_default();
    assert!(why.contains("restored elsewhere"), "{why}");
    other.shutdown().await;
    engine.shutdown().await;
}

/// Another copy that is restored at the same time would lack entries that this one acknowledges before it is announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_takes_no_writes_before_its_secondaries_have_taken_it() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world
        .restore("restored", &["x"], false)
        .run()
        .await
        .unwrap();
    world.network.set("x.example.org", Way::Dead);
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    let refused = log.append(Bytes::from_static(b"early")).await;
    assert!(
        matches!(&refused, Err(engine::AppendError::Overloaded { reason, .. }) if reason.contains("restored")),
        "{refused:?}"
    );
    until("it is said what is waited for", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("missing: x")
    })
    .await;
    assert_eq!(world.checkpoint_of("restored"), None);
    world.network.set("x.example.org", Way::Open);
    published(&log, 100).await;
    append(&log, 1).await;
    published(&log, 101).await;
    engine.shutdown().await;
}

/// Two copies of all, one of them damaged: the other one is taken, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_source_is_left_out_where_another_has_the_same() {
    let (world, engine, log, key) = World::with_log(&["x", "yy"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 600).await;
    published(&log, 600).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    // The second bundle of one is gone; the checkpoint of the other is of nobody.
    let paths = |name: &str| format!("{name}.example.org");
    world.network.spoil(
        &paths("x"),
        "tile/entries/001",
        Bytes::from_static(b"\0\x01x"),
    );
    let restored = world
        .restore("one", &["x", "yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.shards[0].1, TreeSize::new(600));
    assert_eq!(restored.shards[0].2, "http://yy.example.org/");
    assert!(
        restored.warnings[0].contains("x.example.org"),
        "{restored:?}"
    );
    world
        .network
        .spoil(&paths("yy"), "checkpoint", Bytes::from_static(b"nothing"));
    let both = world.restore("two", &["x", "yy"], false).run().await;
    assert!(
        matches!(both, Err(engine::RestoreError::TooFew(_))),
        "{both:?}"
    );
    world.network.unspoil(&paths("x"));
    let restored = world
        .restore("two", &["x", "yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.shards[0].2, "http://x.example.org/");
    assert!(
        restored.warnings[0].contains("yy.example.org"),
        "{restored:?}"
    );
}

/// One of three is lost, and one is damaged: what it has cosigned is at the third, so nothing is missing, in whichever order they are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_source_counts_where_another_has_as_much() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 600).await;
    published(&log, 600).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let spoilt = "x.example.org";
    let bytes = Bytes::from_static(b"\0\x01x");
    world.network.spoil(spoilt, "tile/entries/001", bytes);
    for (folder, order) in [("one", ["x", "yy"]), ("two", ["yy", "x"])] {
        let restored = world.restore(folder, &order, false).run().await.unwrap();
        assert_eq!(restored.shards[0].1, TreeSize::new(600));
        assert_eq!(restored.shards[0].2, "http://yy.example.org/");
    }
    // A drill reads every copy, so it finds the damage that a restore can leave aside.
    let drill = world.restore("drill", &["x", "yy"], false).check().await;
    let drill = drill.unwrap();
    assert_eq!(drill.refused, None);
    let whole: Vec<_> = drill.copies.iter().map(|c| c.fault.is_none()).collect();
    assert_eq!((whole, drill.is_good()), (vec![false, true], false));
    world.network.unspoil(spoilt);
    let drill = world.restore("drill", &["x", "yy"], false).check().await;
    assert!(drill.unwrap().is_good());
    let drill = world.restore("drill", &["x"], false).check().await.unwrap();
    assert!(drill.refused.is_some() && !drill.is_good(), "{drill:?}");
    // Alone it gives nothing, and the refusal says why, and who else is asked for.
    let alone = world.restore("three", &["x"], false).run().await;
    let alone = alone.unwrap_err().to_string();
    assert!(alone.contains("yy (http://yy.example.org"), "{alone}");
}

/// Of three secondaries two answer, and only the damaged one has cosigned the newest entries: the third one may have them, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_source_with_most_does_not_count() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    append(&log, 600).await;
    published(&log, 600).await;
    world.network.set("yy.example.org", Way::Dead);
    append(&log, 100).await;
    has(&log, "x", 700).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("yy.example.org", Way::Open);
    let bytes = Bytes::from_static(b"\0\x01x");
    world
        .network
        .spoil("x.example.org", "tile/entries/001", bytes);
    for order in [["x", "yy"], ["yy", "x"]] {
        let refused = world.restore("one", &order, false).run().await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("it has cosigned 700 entries, of which the others have 600, and its copy could not be read"),
            "{refused}"
        );
        assert!(refused.contains("zzz (http://zzz"), "{refused}");
    }
    let forced = world.restore("two", &["x", "yy"], true).run().await;
    assert_eq!(forced.unwrap().shards[0].1, TreeSize::new(600));
}

pub(crate) async fn fsck(dir: &Path) -> Vec<String> {
    let store = Sqlite::open(&dir.join("coordination.db")).unwrap();
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = engine::fsck::fsck(
        &store,
        &objects,
        &|_| Box::pin(std::future::ready(Err("none".into()))),
        &mut |_| {},
    )
    .await
    .unwrap();
    report.findings.iter().map(|f| format!("{f:?}")).collect()
}

/// An interrupted restore is made again over what it left; rows that no restore has written are not touched.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_can_be_made_again() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 20).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    let left = |note: bool| {
        let mut puts = vec![(
            // As if it had been of a later state.
            "log/dev/snapshot/09999999999999999999".to_owned(),
            Bytes::from_static(b"half"),
        )];
        if note {
            puts.push(("restoring/dev".to_owned(), Bytes::from_static(b"")));
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
        matches!(&refused, Err(engine::RestoreError::Occupied(path)) if path == "dev/b/tile/entries/003"),
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
            assert!(matches!(restored, Err(engine::RestoreError::Exists(_))));
        }
    }
    // Everything that must exist before the log: if it cannot be made, there is no log, nor another one of its name.
    let restore = world.restore("last", &["x"], false);
    let failed = restore.run_and_then(|name| Err(format!("no {name}"))).await;
    assert!(
        matches!(&failed, Err(engine::RestoreError::Last(why)) if why == "no dev"),
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
    let engine = world.primary("begun").await;
    let log = engine.log("dev").unwrap();
    published(&log, 20).await;
    append(&log, 1).await;
    published(&log, 21).await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("begun")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// A disk that was lost since says that it has nothing: it is not the one that had everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_without_a_manifest_does_not_count() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    let part = world.secondary("zzz", "zzz", &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    until("zzz has a part", || {
        part.status()
            .first()
            .is_some_and(|at| at.mirrored == TreeSize::new(100))
    })
    .await;
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 200).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("zzz.example.org", Way::Open);
    world.secondary("yy", "lost", &key).await;
    let few = world.restore("few", &["yy", "zzz"], false).run().await;
    assert!(
        matches!(&few, Err(engine::RestoreError::TooFew(why)) if why.contains("1 of the 3")),
        "{few:?}"
    );
    let enough = world.restore("enough", &["x", "yy", "zzz"], false);
    assert_eq!(enough.run().await.unwrap().entries, GlobalIndex::new(200));
}

/// A disk that was lost and is filled again in part has been told the manifest, and vouches for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_is_filled_again_counts_when_it_has_everything() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    has(&log, "zzz", 100).await;
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 200).await;
    has(&log, "yy", 200).await;
    // The new disk has the manifest, and no entries.
    world.network.set("yy.example.org", Way::Announced);
    let second = world.secondary("yy", "lost", &key).await;
    append(&log, 1).await;
    let hash = tlog::mirror::origin_hash(ORIGIN);
    let told = async {
        while second.manifest(&hash).await.unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    world.network.set("zzz.example.org", Way::Open);
    world.network.set("x.example.org", Way::Dead);
    let part = world.restore("part", &["yy", "zzz"], false).run().await;
    assert!(
        matches!(&part, Err(engine::RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("its storage is another one")),
        "{part:?}"
    );
    // Filled, it is as good as the one before.
    world.network.set("yy.example.org", Way::Open);
    published(&log, 201).await;
    let mut tries = 0;
    let counted = async {
        loop {
            tries += 1;
            let again = world.restore(&format!("full{tries}"), &["yy", "zzz"], false);
            match again.run().await {
                Ok(restored) => break assert_eq!(restored.entries, GlobalIndex::new(201)),
                Err(engine::RestoreError::TooFew(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(LONG, counted).await.unwrap();
    engine.shutdown().await;
}

/// Waits until a secondary has verified so much.
async fn has(log: &engine::Log, name: &str, size: u64) {
    let wait = async {
        loop {
            let view = log.merge().await.unwrap();
            let of = view.secondaries.into_iter().find(|one| one.name == name);
            if of.is_some_and(|of| of.position.is_some_and(|at| at >= GlobalIndex::new(size))) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

/// A third-party mirror takes no manifest, so nobody waits until it has taken one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_wait_for_a_word_of_somebody_elses_mirror() {
    let world = World::new();
    let foreign = |name: &str| {
        let mut all = world.network.foreign.lock().unwrap();
        all.insert(format!("{name}.example.org"));
    };
    foreign("x");
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    configure(&log, |config| {
        config.merge.secondaries = ["x", "yy"].map(secondary).into();
        config.merge.backup_quorum = 2;
    })
    .await;
    append(&log, 10).await;
    published(&log, 20).await;
    until("it is handed over", || log.held_by_before().is_none()).await;
    // One of ours is left, and it is told.
    world.network.set("yy.example.org", Way::Dead);
    configure(&log, |config| {
        config.merge.secondaries = vec![secondary("zzz")];
        config.merge.backup_quorum = 1;
    })
    .await;
    append(&log, 1).await;
    has(&log, "zzz", 21).await;
    assert!(log.held_by_before().is_some());
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(20));
    world.network.set("yy.example.org", Way::Open);
    published(&log, 21).await;
    until("it is handed over", || log.held_by_before().is_none()).await;
    engine.shutdown().await;
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
    has(&log, "yy", 10).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("zzz.example.org", Way::Dead);
    let few = world.restore("few", &["x", "yy", "zzz"], false).run().await;
    assert!(
        matches!(few, Err(engine::RestoreError::TooFew(_))),
        "{few:?}"
    );
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
        matches!(refused, Err(engine::AppendError::Frozen { .. })),
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
    append_when_taken(&log).await;
    published(&log, 11).await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

/// A manifest is public: one that an attacker read earlier and puts back does not bring old state back.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_manifest_that_is_put_back_lowers_nothing() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    let hash = tlog::mirror::origin_hash(ORIGIN);
    let kek = Kek::from_file(&world.path("kek")).unwrap();
    let of = |bytes: &[u8]| {
        let signed = mirror::SignedManifest::parse(bytes).unwrap();
        (signed.age(), engine::Manifest::open(&signed, &kek).unwrap())
    };
    // A change without a slot: another storage replaces the one before.
    let mut seen = Vec::new();
    seen.extend(x.manifest(&hash).await.unwrap());
    drop(x);
    world.network.set("x.example.org", Way::Announced);
    let x = world.secondary("x", "lost", &key).await;
    append(&log, 1).await;
    for whole in [false, true] {
        let vouches = async {
            loop {
                if let Some(bytes) = x.manifest(&hash).await.unwrap() {
                    let (_, manifest) = of(&bytes);
                    let [one] = &manifest.vouched[..] else {
                        panic!("{manifest:?}")
                    };
                    if one.whole == whole && one.incarnation == x.incarnation() {
                        break seen.push(bytes);
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, vouches).await.unwrap();
        world.network.set("x.example.org", Way::Open);
    }
    published(&log, 11).await;
    let [.., part, whole] = &seen[..] else {
        panic!("{}", seen.len())
    };
    assert_eq!(of(part).0.1, of(whole).0.1, "after the same slot");
    let newest = seen.pop().unwrap();
    for old in &seen {
        assert!(of(old).0 < of(&newest).0);
        let put = x.put_manifest(old, Some(u64::MAX)).await;
        assert!(put.is_err(), "{put:?}");
    }
    assert_eq!(x.manifest(&hash).await.unwrap().unwrap(), newest);
    engine.shutdown().await;
}

/// Another copy may have published the entries that a secondary has beyond this one, so they are not dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_has_more_is_to_be_kept() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy"], &key).await;
    let more = world.secondary("zzz", "zzz", &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    world.network.set("x.example.org", Way::Dead);
    world.network.set("yy.example.org", Way::Dead);
    append(&log, 10).await;
    until("zzz has more", || {
        more.status()
            .first()
            .is_some_and(|at| at.mirrored == TreeSize::new(110))
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("x.example.org", Way::Open);
    world.network.set("yy.example.org", Way::Open);
    world.network.set("zzz.example.org", Way::Dead);
    let restored = world.restore("restored", &["x", "yy"], false);
    restored.run().await.unwrap();
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    until("it may sign", || log.status().reason.is_none()).await;
    append_when_taken(&log).await;
    published(&log, 101).await;
    world.network.set("zzz.example.org", Way::Open);
    until("it is said what to do", || {
        let seen = log.peers().secondaries();
        let why = seen.get("zzz").and_then(|one| one.trouble.clone());
        why.is_some_and(|why| why.contains("may have published") && why.contains("Keep its folder"))
    })
    .await;
    engine.shutdown().await;
}

async fn append_when_taken(log: &engine::Log) {
    let wait = async {
        while log.append(Bytes::from_static(b"later")).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

/// With a quorum of one, of three, two lives could each find a secondary that has what they have.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_waits_until_as_many_have_verified_it_as_must_have_taken_it() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 1).await;
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 100).await;
    published(&log, 100).await;
    until("all have it", || {
        let mirrors = world.network.mirrors.lock().unwrap();
        let mut all = mirrors.values().map(|mirror| mirror.status());
        all.all(|status| {
            status
                .first()
                .is_some_and(|at| at.mirrored == TreeSize::new(100))
        })
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    // A damaged copy counts as one that takes the restored log, as long as it is not replaced.
    let bytes = Bytes::from_static(b"\0\x01x");
    world
        .network
        .spoil("zzz.example.org", "tile/entries/000.p/100", bytes);
    let restored = world.restore("restored", &["zzz", "x", "yy"], false);
    restored.run().await.unwrap();
    world.network.unspoil("zzz.example.org");
    world.network.set("zzz.example.org", Way::Announced);
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    until("it is said what is waited for", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("3 of its 3 secondaries have verified the 100 entries")
    })
    .await;
    assert_eq!(world.checkpoint_of("restored"), None);
    world.network.set("zzz.example.org", Way::Open);
    append_when_taken(&log).await;
    published(&log, 101).await;
    engine.shutdown().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

async fn rotate(log: &engine::Log) {
    let rotate = engine::testing::rotation();
    log.change_unaudited(rotate, caller()).await.unwrap();
}

/// An older copy of a secondary's storage lacks entries of shards that were done with.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_is_filled_in_all_shards() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    world.copy_of_x(mirror, &key).await;
    append(&log, 50).await;
    published(&log, 100).await;
    rotate(&log).await;
    append(&log, 20).await;
    published(&log, 120).await;
    let older = world.secondary("x", "older", &key).await;
    append(&log, 1).await;
    published(&log, 121).await;
    let mut sizes: Vec<_> = older.status().iter().map(|at| at.mirrored).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [21, 100].map(TreeSize::new));
    engine.shutdown().await;
}

/// An older copy of a secondary's storage gets the entries of a new shard first, and the log believes that it has the older one.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_does_not_count_in_a_new_shard() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let (log, key) = copied_at(&world, &engine, 50).await;
    append(&log, 50).await;
    published(&log, 100).await;
    let older = world.secondary("x", "older", &key).await;
    rotate(&log).await;
    append(&log, 20).await;
    published(&log, 120).await;
    let mut sizes: Vec<_> = older.status().iter().map(|at| at.mirrored).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [20, 100].map(TreeSize::new));
    engine.shutdown().await;
}

/// An older copy of a secondary's storage is bound to what the lost primary announced, and the restored log was told that it is free.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_is_freed_from_what_an_earlier_life_announced() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    world.network.set("x.example.org", Way::Announced);
    append(&log, 20).await;
    until("they are announced", || {
        mirror.status()[0].pending == TreeSize::new(70)
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.copy_of_x(mirror, &key).await;
    world.network.set("x.example.org", Way::Open);
    let restored = world.restore("restored", &["x"], false).run().await;
    assert_eq!(restored.unwrap().entries, GlobalIndex::new(50));
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 50).await;
    world.secondary("x", "older", &key).await;
    append(&log, 1).await;
    published(&log, 51).await;
    engine.shutdown().await;
}

/// Nothing is appended after an older copy of a secondary's storage is put back.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_is_filled_without_new_entries() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let (log, key) = copied_at(&world, &engine, 50).await;
    append(&log, 50).await;
    published(&log, 100).await;
    let older = world.secondary("x", "older", &key).await;
    let filled = async {
        while older
            .status()
            .iter()
            .all(|at| at.mirrored != TreeSize::new(100))
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, filled).await.unwrap();
    engine.shutdown().await;
}

/// The storage of the only old secondary is replaced by an older copy that has all entries and lacks the manifest that names the next
/// secondaries: it is told of them again, before the change is handed over.
async fn told_again(while_it_is_told: impl AsyncFn(&engine::Log)) {
    let world = World::new();
    let engine = world.primary("primary").await;
    let (log, key) = copied_at(&world, &engine, 50).await;
    configure(&log, |config| {
        config.merge.secondaries = ["x", "yy"].map(secondary).to_vec();
        config.merge.backup_quorum = 2;
    })
    .await;
    let names_both = async |x: &mirror::Mirror| {
        let kept = kept(&world, x).await;
        kept.is_some_and(|kept| kept.state.generation == Generation::new(2))
    };
    let told = async || {
        let x = world.network.mirrors.lock().unwrap()["x.example.org"].clone();
        while !names_both(&x).await {
            while_it_is_told(&log).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, told()).await.unwrap();
    let older = world.unreachable("x", "older", &key).await;
    assert!(!names_both(&older).await);
    world.reach("x", &older);
    tokio::time::timeout(LONG, told()).await.unwrap();
    assert!(log.held_by_before().is_some());
    world.secondary("yy", "yy", &key).await;
    until("it is handed over", || log.held_by_before().is_none()).await;
    append(&log, 1).await;
    let all = log.status().watermarks.ordered;
    published(&log, all.get()).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_with_all_entries_is_told_again() {
    told_again(async |_| {}).await;
}

/// Entries that come all the time are no reason to ask for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_is_told_again_while_entries_come() {
    told_again(async |log| {
        append(log, 1).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    })
    .await;
}

/// It takes everything, and does not say which manifest it has: its entries do not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_does_not_say_what_it_has_is_copied_to() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondaries(&["x"], &key).await;
    world.network.set("x.example.org", Way::Untold);
    // Long enough that it is asked.
    for size in 1..24 {
        append(&log, 1).await;
        published(&log, size).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    engine.shutdown().await;
}

/// A log whose only secondary has so many entries, and a copy of its disk in the folder `older`; with the log's replication key.
async fn copied_at(
    world: &World,
    engine: &Arc<engine::Engine>,
    entries: usize,
) -> (Arc<engine::Log>, tlog::VerifierKey) {
    let log = create(engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, entries).await;
    published(&log, entries as u64).await;
    world.copy_of_x(mirror, &key).await;
    (log, key)
}

/// The indexes of what was published must not move without a word of the operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_that_is_there_in_part_is_restored_by_force_only() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 256).await;
    published(&log, 256).await;
    let hash = tlog::mirror::origin_hash(&format!("{ORIGIN}/a"));
    let early = mirror.cosigned_checkpoint(&hash).await.unwrap().unwrap();
    append(&log, 10).await;
    published(&log, 266).await;
    rotate(&log).await;
    append(&log, 20).await;
    published(&log, 286).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let size = Checkpoint::parse(Note::parse(&early).unwrap().text).unwrap();
    assert_eq!(size.size, 256);
    let end = format!("{hash}/{}", mirror::COSIGNED);
    world
        .network
        .spoil("x.example.org", &end, Bytes::from(early));
    let moved = world.restore("moved", &["x"], false).run().await;
    assert!(
        matches!(&moved, Err(engine::RestoreError::TooFew(why)) if why.contains("closed with 266 entries")),
        "{moved:?}"
    );
    let forced = world.restore("forced", &["x"], true).run().await.unwrap();
    assert_eq!(forced.entries, GlobalIndex::new(276));
}

/// The newest manifest that a secondary keeps.
async fn kept(world: &World, of: &mirror::Mirror) -> Option<engine::Manifest> {
    let kek = Kek::from_file(&world.path("kek")).unwrap();
    let bytes = of.manifest(&tlog::mirror::origin_hash(ORIGIN)).await;
    let signed = mirror::SignedManifest::parse(&bytes.unwrap()?).unwrap();
    Some(engine::Manifest::open(&signed, &kek).unwrap())
}

/// Waits for the first manifest that a storage keeps.
async fn told(world: &World, of: &mirror::Mirror) -> engine::Manifest {
    let wait = async {
        loop {
            if let Some(manifest) = kept(world, of).await {
                return manifest;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap()
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
        has(&log, name, 50).await;
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
    let manifest = told(&world, &new).await;
    // It also says which storages had what was published.
    let of = manifest.vouched.iter().find(|of| of.secondary == "zzz");
    let vouched = of.map(|of| (of.incarnation.clone(), of.whole));
    engine.shutdown().await;
    drop(engine);
    world.gone("first").await;

    world.network.set("x.example.org", Way::Open);
    world.network.set("zzz.example.org", Way::Open);
    let less = world.restore("less", &["x", "zzz"], false).run().await;
    assert!(
        matches!(&less, Err(engine::RestoreError::TooFew(_))),
        "{less:?}"
    );
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
        has(&log, name, 50).await;
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
    has(&log, "yy", 30).await;
    let vouches = async |of: &Arc<mirror::Mirror>, name: &str, whole: Option<bool>| {
        let wait = async {
            loop {
                let manifest = told(&world, of).await;
                let mut vouched = manifest.vouched.into_iter();
                let found = vouched.find(|one| one.secondary == name);
                if let Some(found) = found.filter(|one| one.incarnation == of.incarnation())
                    && whole.is_none_or(|whole| whole == found.whole)
                {
                    return found.whole;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
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

/// Two servers copy to one secondary, whose disk is replaced by an older copy of itself. Only one of them meets an entry that is
/// missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_storage_is_filled_whichever_server_meets_it() {
    const X: &str = "x.example.org";
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let mirror = world.secondary("x", "x", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    let mirror = world.copy_of_x(mirror, &key).await;
    append(&log, 50).await;
    published(&log, 100).await;
    rotate(&log).await;
    append(&log, 20).await;
    published(&log, 120).await;
    let network = Arc::new(Network::default());
    let meets = |mirror: &Arc<mirror::Mirror>| {
        let mut mirrors = network.mirrors.lock().unwrap();
        mirrors.insert(X.to_owned(), Arc::clone(mirror));
    };
    meets(&mirror);
    let merge = MergeOptions {
        peers: Arc::clone(&network) as Arc<dyn PeerClient>,
        ..MergeOptions::default()
    };
    let other = world.primary_with("primary", merge).await;
    // It copies entries that only one secondary has after it has checked all shards.
    world.network.set(X, Way::Dead);
    append(&log, 1).await;
    published(&log, 121).await;

    network.set(X, Way::Dead);
    let older = world.secondary("x", "older", &key).await;
    meets(&older);
    drop(mirror);
    // The first server sees that it forgot, and cannot fill the first shard.
    world.network.set(X, Way::Without("a"));
    append(&log, 1).await;
    let forgotten = async {
        loop {
            let view = log.merge().await.unwrap();
            let of = view.secondaries.into_iter().find(|one| one.name == "x");
            if of.is_some_and(|of| of.position.is_none()) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, forgotten).await.unwrap();
    network.set(X, Way::Open);
    published(&log, 122).await;
    let mut sizes: Vec<_> = older.status().iter().map(|at| at.mirrored).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [22, 100].map(TreeSize::new));
    other.shutdown().await;
    engine.shutdown().await;
}

/// Something between the restore and a secondary finds nothing; that is no word of the secondary.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_does_not_find_is_not_missing() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    has(&log, "x", 10).await;
    world.network.set("x.example.org", Way::Dead);
    append(&log, 10).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("x.example.org", Way::Open);
    world.network.hide("yy.example.org", "checkpoint");
    let less = world.restore("less", &["x", "yy"], false).run().await;
    assert!(
        matches!(&less, Err(engine::RestoreError::TooFew(_))),
        "{less:?}"
    );
    world.network.unspoil("yy.example.org");
    let all = world.restore("all", &["x", "yy"], false).run().await;
    assert_eq!(all.unwrap().entries, GlobalIndex::new(20));
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
        has(&log, name, 10).await;
    }
    configure(&log, |config| {
        let second = config.merge.secondaries.iter_mut();
        let second = second.filter(|one| one.name.as_str() == "yy");
        second.for_each(|one| one.vkey = cosigner("another").verifier().to_string());
    })
    .await;
    let x = Arc::clone(&world.network.mirrors.lock().unwrap()["x.example.org"]);
    let wait = async {
        while kept(&world, &x).await.is_none_or(|of| of.joint.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    let waits = world.restore("waits", &["x", "yy"], false).run().await;
    assert!(
        matches!(&waits, Err(engine::RestoreError::TooFew(why)) if why.contains("yy") && why.contains("another key")),
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
