//! Which secondaries a restore believes, and which of them count.

use std::time::Duration;

use bytes::Bytes;
use engine::{Kek, RestoreError};
use tlog::{GlobalIndex, TreeSize};

use crate::network::Way;
use crate::world::{LONG, ORIGIN, World, append, has_verified, published, until};

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
    assert!(matches!(both, Err(RestoreError::TooFew(_))), "{both:?}");
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
    has_verified(&log, "x", 700).await;
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
        matches!(&few, Err(RestoreError::TooFew(why)) if why.contains("1 of the 3")),
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
    has_verified(&log, "zzz", 100).await;
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 200).await;
    has_verified(&log, "yy", 200).await;
    // The new disk has the manifest, and no entries.
    world.network.set("yy.example.org", Way::Announced);
    let second = world.secondary("yy", "lost", &key).await;
    append(&log, 1).await;
    let hash = tlog::mirror::origin_hash(ORIGIN);
    let told = async {
        while second.manifest(&hash).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    world.network.set("zzz.example.org", Way::Open);
    world.network.set("x.example.org", Way::Dead);
    let part = world.restore("part", &["yy", "zzz"], false).run().await;
    assert!(
        matches!(&part, Err(RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("its storage was replaced")),
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
                Err(RestoreError::TooFew(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(LONG, counted).await.unwrap();
    engine.shutdown().await;
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
                tokio::time::sleep(Duration::from_millis(5)).await;
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

/// Something between the restore and a secondary finds nothing; that is no word of the secondary.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_does_not_find_is_not_missing() {
    let (world, engine, log, key) = World::with_log(&["x", "yy", "zzz"], 2).await;
    world.secondaries(&["x", "yy", "zzz"], &key).await;
    append(&log, 10).await;
    published(&log, 10).await;
    has_verified(&log, "x", 10).await;
    world.network.set("x.example.org", Way::Dead);
    append(&log, 10).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    world.gone("primary").await;
    world.network.set("x.example.org", Way::Open);
    world.network.hide("yy.example.org", "checkpoint");
    let less = world.restore("less", &["x", "yy"], false).run().await;
    assert!(matches!(&less, Err(RestoreError::TooFew(_))), "{less:?}");
    world.network.unspoil("yy.example.org");
    let all = world.restore("all", &["x", "yy"], false).run().await;
    assert_eq!(all.unwrap().entries, GlobalIndex::new(20));
}
