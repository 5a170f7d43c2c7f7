//! Closed shards that a restore finds longer or shorter than they were closed with.

use bytes::Bytes;
use engine::{RestoreError, testing};
use tlog::{Checkpoint, GlobalIndex, Note, TreeSize};

use crate::network::Way;
use crate::world::{
    FROM, ORIGIN, World, append, caller, continues, has_accepted, on_three, published, rotate,
    seal, until, until_manifest,
};

/// Only `zzz` has the last entries of the lost primary. A copy of the log that was restored without them has closed the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_shard_is_restored_as_it_was_closed() {
    let (world, engine, log, _) = on_three(100).await;
    world.only_reachable(&["zzz"]);
    append(&log, 5).await;
    let last = world.mirror("zzz");
    until("it has them", || {
        last.status()[0].mirrored == TreeSize::new(105)
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.only_reachable(&["x", "yy"]);
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
    world.only_reachable(&FROM);
    // Another copy that never signs is in between.
    world.restore("two", &FROM, false).run().await.unwrap();
    world.only_reachable(&["x"]);
    let engine = world.primary("two").await;
    let log = engine.log("dev").unwrap();
    until("x has accepted it", || has_accepted(&log, "yy, zzz")).await;
    // Nor does it rotate.
    let rotate = log.change_unaudited(testing::rotation(), caller()).await;
    let why = rotate.unwrap_err().to_string();
    assert!(why.contains("cannot open a shard before"), "{why}");
    engine.shutdown().await;
    drop((log, engine));
    world.only_reachable(&FROM);
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
    continues(&world, "again", 110).await;
}

/// The same, of a shard that still takes entries: the copy that was restored without them has other ones in their place.
#[tokio::test(flavor = "multi_thread")]
async fn another_end_of_the_active_shard_is_left_out() {
    let (world, engine, log, _) = on_three(100).await;
    world.only_reachable(&["zzz"]);
    append(&log, 5).await;
    let last = world.mirror("zzz");
    until("it has them", || {
        last.status()[0].mirrored == TreeSize::new(105)
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.only_reachable(&["x", "yy"]);
    let one = world.restore("one", &["x", "yy"], false).run().await;
    assert_eq!(one.unwrap().entries, GlobalIndex::new(100));
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    published(&log, 100).await;
    log.append(Bytes::from_static(b"another")).await.unwrap();
    published(&log, 101).await;
    engine.shutdown().await;
    drop((log, engine));
    world.only_reachable(&FROM);
    let is_left_out = |warnings: &[String]| {
        let mut all = warnings.iter();
        all.any(|why| why.contains("zzz") && why.contains("is left out"))
    };
    let checked = world.restore("again", &FROM, false).check().await.unwrap();
    assert_eq!(checked.refused, None);
    assert!(is_left_out(&checked.warnings), "{:?}", checked.warnings);
    let again = world.restore("again", &FROM, false).run().await.unwrap();
    assert!(is_left_out(&again.warnings), "{:?}", again.warnings);
    assert_eq!(again.entries, GlobalIndex::new(101));
    // It has another end than was restored, and is given a new folder, as the warning says.
    world.only_reachable(&["x", "yy"]);
    continues(&world, "again", 101).await;
}

/// A forced restore shortens a closed shard. Until the log has grown, a secondary that has the rest can bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_forced_restore_lacks_of_a_closed_shard_comes_back() {
    let (world, engine, log, _) = on_three(100).await;
    let x = world.mirror("x");
    let has_100 = || x.status()[0].mirrored == TreeSize::new(100);
    until("x has them", has_100).await;
    world.network.set("x.example.org", Way::Announced);
    append(&log, 20).await;
    published(&log, 120).await;
    seal(&world, "primary", &log).await;
    let rotated = log.status().generation.get();
    until_manifest(&x, |kept| kept.settled.generation >= rotated).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.only_reachable(&["x"]);
    let refused = world.restore("forced", &["x"], false).run().await;
    assert!(refused.is_err(), "{refused:?}");
    let forced = world.restore("forced", &["x"], true).run().await.unwrap();
    assert_eq!(forced.entries.get(), 100);
    let engine = world.primary("forced").await;
    let log = engine.log("dev").unwrap();
    // It signs what was restored, and counts for no more than what it was restored from.
    until_manifest(&x, |kept| kept.restored > 0).await;
    until("it signs", || world.checkpoint_of("forced").is_some()).await;
    until_manifest(&x, |kept| kept.restored > 0 && !kept.may_sign()).await;
    engine.shutdown().await;
    drop((log, engine));
    world.only_reachable(&FROM);
    let again = world.restore("again", &FROM, false).run().await.unwrap();
    assert_eq!(
        again.shards[0].1,
        TreeSize::new(120),
        "{:?}",
        again.warnings
    );
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
        matches!(&moved, Err(RestoreError::TooFew(why)) if why.contains("closed with 266 entries")),
        "{moved:?}"
    );
    let forced = world.restore("forced", &["x"], true).run().await.unwrap();
    assert_eq!(forced.entries, GlobalIndex::new(276));
}
