//! Two copies of a log at once: at most one of them publishes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Condition, Log, RestoreError};
use tlog::TreeSize;

use crate::network::Way;
use crate::world::{
    FROM, LONG, ORIGIN, World, append, append_when_accepted, continues, has_accepted, lost,
    on_three, published, rotate_by_force, seal, until,
};

/// Two operators restore the same log at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_restored_at_once_only_one_publishes() {
    for order in 0..4 {
        let (world, engine, log, key) = on_three(100).await;
        engine.shutdown().await;
        drop((log, engine));
        world.gone("primary").await;
        for name in ["one", "two"] {
            world.restore(name, &FROM, false).run().await.unwrap();
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
                    Err(AppendError::Halted { .. })
                )
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let reason = |log: &Log| log.status().reason.unwrap_or_default();
        let is_over =
            |log: &Arc<Log>| log.status().condition == Condition::Halted || behind(log).len() > 1;
        until("one of them halts, or waits forever", || {
            [&log, &other].into_iter().any(is_over)
        })
        .await;
        let (over, continued) = if is_over(&log) {
            (&log, &other)
        } else {
            (&other, &log)
        };
        // The one that continued is not cut off by one that knows less.
        assert!(order < 2 || Arc::ptr_eq(over, &other), "{order}");
        let why = reason(over);
        assert!(
            behind(over).len() > 1
                || why.contains("restored elsewhere")
                || why.contains("restore the log again")
                || why.contains("has cosigned shard a at size 110"),
            "{why}"
        );
        entry.abort();
        published(continued, 100).await;
        let before = continued.status().watermarks.ordered;
        append(continued, 10).await;
        let is_done = || continued.status().watermarks.published >= before + 10;
        until(
            "it continues, or most secondaries took the one that is over",
            || is_done() || futile(continued).len() > 1,
        )
        .await;
        // Then an operator stops that one, and empties those secondaries, as the message says.
        let stopped = if Arc::ptr_eq(over, &log) {
            &first
        } else {
            &second
        };
        stopped.shutdown().await;
        for name in futile(continued) {
            let disk = format!("disk of {name}, {order}");
            world.secondary(&name, &disk, &key).await;
        }
        published(continued, (before + 10).get()).await;
        first.shutdown().await;
        second.shutdown().await;
        let sizes = [early, late].map(|name| world.checkpoint_of(name).map_or(0, |at| at.size));
        assert!(
            sizes.iter().filter(|size| **size > 100).count() == 1,
            "{sizes:?}"
        );
    }
}

/// The secondaries whose trouble is of this kind.
fn troubled(log: &Log, what: &str) -> Vec<String> {
    let seen = log.peers().secondaries().into_iter();
    let troubled =
        seen.filter(|(_, one)| one.trouble.as_ref().is_some_and(|why| why.contains(what)));
    troubled.map(|(name, _)| name).collect()
}

/// The secondaries that have accepted a later copy, which signs nothing.
fn futile(log: &Log) -> Vec<String> {
    troubled(log, "no manifest of a copy that may sign")
}

/// The secondaries that know more of the log than this copy was restored with. Without two of three it waits forever.
fn behind(log: &Log) -> Vec<String> {
    troubled(log, "knows a later state")
}

/// A seal is a promise, without any entry: a copy that does not know it would grow the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_missed_a_rotation_never_signs() {
    for alive in [false, true] {
        let (world, engine, log);
        if alive {
            // The primary was not lost at all.
            (world, engine, log, _) = on_three(100).await;
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
        until("it is told that it is behind", || {
            !behind(&other).is_empty()
        })
        .await;
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
        continues(&world, "again", 110).await;
    }
}

/// Of two that were restored at once the earlier one won, and a secondary that was away has taken the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_believes_the_copy_that_signed() {
    let world = lost(100).await;
    for name in ["one", "two"] {
        world.restore(name, &FROM, false).run().await.unwrap();
    }
    world.only_reachable(&["x"]);
    let engine = world.primary("two").await;
    let log = engine.log("dev").unwrap();
    until("x has accepted it", || has_accepted(&log, "yy, zzz")).await;
    engine.shutdown().await;
    drop((log, engine));
    world.only_reachable(&["yy", "zzz"]);
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    published(&log, 100).await;
    seal(&world, "one", &log).await;
    // A copy that signs nothing does not stop it.
    world.only_reachable(&FROM);
    until("x refuses it", || futile(&log) == ["x"]).await;
    append(&log, 1).await;
    published(&log, 101).await;
    engine.shutdown().await;
    drop((log, engine));
    let again = world.restore("again", &["x", "yy"], false).run().await;
    let again = again.unwrap();
    assert_eq!((again.shards.len(), again.entries.get()), (2, 101));
    continues(&world, "again", 101).await;
}

/// What only its own store knows does not keep the lost primary alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_with_a_rotation_that_nobody_was_told_of_stops() {
    let (world, engine, log, _) = on_three(100).await;
    world.only_reachable(&[]);
    rotate_by_force(&log).await;
    engine.shutdown().await;
    drop((log, engine));
    world.only_reachable(&FROM);
    world.restore("one", &FROM, false).run().await.unwrap();
    world.only_reachable(&["x"]);
    let engine = world.primary("one").await;
    let log = engine.log("dev").unwrap();
    until("x has accepted it", || has_accepted(&log, "yy, zzz")).await;
    engine.shutdown().await;
    drop((log, engine));
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    until("it stops", || log.status().condition == Condition::Halted).await;
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
        why.contains("do not count: x; too few secondaries are left")
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
    assert!(matches!(again, Err(RestoreError::TooFew(_))), "{again:?}");
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
        why.contains("do not count: x; too few secondaries are left")
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
    let warned = "2 of the 2 secondaries of generation 1 must accept the restored log";
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
    until("it stops", || lost.status().condition == Condition::Halted).await;
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
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, shown).await.unwrap();
    let restored = world.restore("restored", &["x"], false);
    restored.run().await.unwrap();
    let other = world.primary("restored").await;
    published(&other.log("dev").unwrap(), 10).await;
    until("it halts", || log.status().condition == Condition::Halted).await;
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
        matches!(&refused, Err(AppendError::Overloaded { reason, .. }) if reason.contains("restored")),
        "{refused:?}"
    );
    until("it is said what is waited for", || {
        let why = log.status().reason.unwrap_or_default();
        why.contains("not yet accepted by: x")
    })
    .await;
    assert_eq!(world.checkpoint_of("restored"), None);
    world.network.set("x.example.org", Way::Open);
    published(&log, 100).await;
    append(&log, 1).await;
    published(&log, 101).await;
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
    append_when_accepted(&log).await;
    published(&log, 101).await;
    world.network.set("zzz.example.org", Way::Open);
    until("it is said what to do", || {
        let seen = log.peers().secondaries();
        let why = seen.get("zzz").and_then(|one| one.trouble.clone());
        why.is_some_and(|why| why.contains("may have published") && why.contains("Keep the folder"))
    })
    .await;
    engine.shutdown().await;
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
    append_when_accepted(&log).await;
    published(&log, 101).await;
    engine.shutdown().await;
}
