//! Secondaries whose storage is an older copy of itself.

use std::sync::Arc;
use std::time::Duration;

use engine::{Log, MergeOptions, PeerClient};
use logconfig::Algorithm;
use mirror::Mirror;
use order::Generation;
use tlog::{GlobalIndex, TreeSize};

use crate::network::{Network, Way};
use crate::world::{
    LONG, World, append, configure, copied_at, member, newest_manifest, published, rotate, until,
};

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
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, filled).await.unwrap();
    engine.shutdown().await;
}

/// The storage of the only old secondary is replaced by an older copy that has all entries and lacks the manifest that names the next
/// secondaries: it is told of them again, before the change is handed over.
async fn told_again(while_it_is_told: impl AsyncFn(&Log)) {
    let world = World::new();
    let engine = world.primary("primary").await;
    let (log, key) = copied_at(&world, &engine, 50).await;
    configure(&log, |config| {
        config.merge.secondaries = ["x", "yy"].map(member).to_vec();
        config.merge.backup_quorum = 2;
    })
    .await;
    let names_both = async |x: &Mirror| {
        let kept = newest_manifest(&world, x).await;
        kept.is_some_and(|kept| kept.state.generation == Generation::new(2))
    };
    let told = async || {
        let x = world.mirror("x");
        while !names_both(&x).await {
            while_it_is_told(&log).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
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
        tokio::time::sleep(Duration::from_millis(500)).await;
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
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    engine.shutdown().await;
}

/// Two servers copy to one secondary, whose disk is replaced by an older copy. Only one of them meets an entry that is missing.
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
    let meets = |mirror: &Arc<Mirror>| {
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
            tokio::time::sleep(Duration::from_millis(5)).await;
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

/// Something answers in front of a secondary while that restarts, and finds nothing: that says nothing about what the secondary keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_finds_nothing_makes_no_third_party_mirror_of_a_secondary() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let x = world.secondary("x", "x", &key).await;
    append(&log, 50).await;
    published(&log, 50).await;
    let running = world.network.mirrors.lock().unwrap().clone();
    world.network.mirrors.lock().unwrap().clear();
    configure(&log, |config| config.key.algorithm = Algorithm::EcdsaP256).await;
    until("something else refuses the manifest", || {
        let seen = log.peers().secondaries();
        let why = seen.get("x").and_then(|x| x.trouble.clone());
        why.is_some_and(|why| why.contains("the manifest was refused with 404"))
    })
    .await;
    *world.network.mirrors.lock().unwrap() = running;
    let told = async {
        let changed = Generation::new(2);
        while newest_manifest(&world, &x).await.unwrap().state.generation != changed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    engine.shutdown().await;
}
