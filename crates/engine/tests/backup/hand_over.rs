//! A change of the secondaries, and a rotation, wait until a restore would know of them.

use std::sync::Arc;
use std::time::Duration;

use engine::{Audited, Engine, Log, Request, RestoreError};
use order::Generation;
use tlog::{GlobalIndex, TreeSize};

use crate::network::Way;
use crate::world::{
    LONG, World, append, caller, configure, create, folder, fsck, has_verified, member, published,
    rotate_by_force, until, until_manifest,
};

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
        config.merge.secondaries.push(member("yy"));
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
        matches!(&alone, Err(RestoreError::TooFew(why)) if why.contains("generation 1")),
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
    next.merge.secondaries = vec![member("yy")];
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
        // "Run it again" means that the new secondary does not hold everything yet, or answered for the first time while it was counted.
        while let Err(early) = by_force().await {
            assert!(early.to_string().contains("run it again"), "{early}");
            tokio::time::sleep(Duration::from_millis(5)).await;
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
        config.merge.secondaries = vec![member("yy"), member("zzz")];
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

/// A seal says that a shard has ended and which one follows: a log that is restored from a secondary that does not know that would let the shard grow.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_waits_until_a_restore_would_know_of_the_rotation() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    world.secondary("x", "x", &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    world.network.set("x.example.org", Way::Dead);
    rotate_by_force(&log).await;
    let seal = folder(&world, "a").join("seal");
    let (engine, log) = publishes_again(&world, engine, log).await;
    assert!(!seal.exists());
    world.network.set("x.example.org", Way::Open);
    until("it is sealed", || seal.exists()).await;
    assert_eq!(log.damaged_count(), 0, "nothing was lost");
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
    world.network.set("yy.example.org", Way::Dead);
    configure(&log, |config| {
        config.merge.secondaries = vec![member("yy")];
    })
    .await;
    rotate_by_force(&log).await;
    let rotated = log.status().generation.get();
    until_manifest(&x, |kept| kept.settled.generation >= rotated).await;
    let seal = folder(&world, "a").join("seal");
    let (engine, _log) = publishes_again(&world, engine, log).await;
    assert!(!seal.exists());
    world.secondary("yy", "yy", &key).await;
    world.network.set("yy.example.org", Way::Open);
    until("it is sealed", || seal.exists()).await;
    engine.shutdown().await;
}

/// A third-party mirror accepts no manifest, so nobody waits until it has accepted one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_wait_for_a_manifest_on_a_third_party_mirror() {
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
        config.merge.secondaries = ["x", "yy"].map(member).into();
        config.merge.backup_quorum = 2;
    })
    .await;
    append(&log, 10).await;
    published(&log, 20).await;
    until("it is handed over", || log.held_by_before().is_none()).await;
    // One of ours is left, and it is told.
    world.network.set("yy.example.org", Way::Dead);
    configure(&log, |config| {
        config.merge.secondaries = vec![member("zzz")];
        config.merge.backup_quorum = 1;
    })
    .await;
    append(&log, 1).await;
    has_verified(&log, "zzz", 21).await;
    assert!(log.held_by_before().is_some());
    assert_eq!(log.status().watermarks.published, GlobalIndex::new(20));
    world.network.set("yy.example.org", Way::Open);
    published(&log, 21).await;
    until("it is handed over", || log.held_by_before().is_none()).await;
    engine.shutdown().await;
}

/// Restarts a server, whose publisher looks at the log once more before it stops; so does that of the second server, which is stopped as well.
async fn publishes_again(
    world: &World,
    engine: Arc<Engine>,
    log: Arc<Log>,
) -> (Arc<Engine>, Arc<Log>) {
    engine.shutdown().await;
    drop((log, engine));
    world.primary("primary").await.shutdown().await;
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    (engine, log)
}
