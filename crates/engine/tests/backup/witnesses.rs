//! Witnesses: what readers get, and which shards are opened.

use std::time::Duration;

use engine::position;
use engine::{ChangeError, Request};
use order::keys::Keys;
use store::Sqlite;
use tlog::{Checkpoint, Note, TreeSize};

use crate::copies::copy_folder;
use crate::network::Way;
use crate::world::{
    LONG, World, append, caller, checkpoint, configure, create, folder, published, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_decide_what_readers_get() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    append(&log, 10).await;
    published(&log, 10).await;
    let names = ["w", "ww", "www"];
    let mut policy: String = names.iter().map(|name| world.witness(name)).collect();
    policy.push_str("group two 2 w ww www\nquorum two\n");
    // One is not there, one has cosigned something else before.
    world.network.set("www.example.org", Way::Dead);
    configure(&log, |config| config.witnesses.policy.clone_from(&policy)).await;
    append(&log, 10).await;
    published(&log, 20).await;
    let (at, cosigned) = checkpoint(&folder(&world, "a"), &names);
    assert_eq!(
        (at.size, cosigned),
        (20, vec!["w".to_owned(), "ww".to_owned()])
    );
    log.peers()
        .witnesses(|all| assert!(all["www"].failures.contains_key("unreachable"), "{all:?}"));
    // Too few: readers keep what they have, the order continues.
    world.network.set("ww.example.org", Way::Dead);
    append(&log, 10).await;
    until("it is told", || {
        log.status()
            .reason
            .is_some_and(|why| why.contains("too few witnesses"))
    })
    .await;
    assert_eq!(checkpoint(&folder(&world, "a"), &names).0.size, 20);
    // One that comes back with another size is asked again.
    world
        .network
        .witnesses
        .lock()
        .unwrap()
        .get_mut("www.example.org")
        .unwrap()
        .size = 13;
    world.network.set("www.example.org", Way::Open);
    published(&log, 30).await;
    let (at, cosigned) = checkpoint(&folder(&world, "a"), &names);
    assert_eq!(
        (at.size, cosigned),
        (30, vec!["w".to_owned(), "www".to_owned()])
    );
    // A shard that no witness has seen yet: its readers keep the empty checkpoint.
    for host in ["w.example.org", "ww.example.org", "www.example.org"] {
        world.network.set(host, Way::Dead);
        let mut witnesses = world.network.witnesses.lock().unwrap();
        witnesses.get_mut(host).unwrap().size = 0;
    }
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: true,
    };
    log.change_unaudited(rotate, caller()).await.unwrap();
    append(&log, 5).await;
    let second = log.status().shards[1].name.clone();
    until("it is told", || {
        log.status()
            .reason
            .is_some_and(|why| why.contains(&format!("shard {second}")))
    })
    .await;
    let note = log.checkpoint(&second).await.unwrap().unwrap();
    let empty = Checkpoint::parse(Note::parse(&note).unwrap().text).unwrap();
    assert_eq!(empty.size, 0);
    for host in ["w.example.org", "ww.example.org", "www.example.org"] {
        world.network.set(host, Way::Open);
    }
    published(&log, 35).await;
    assert_eq!(checkpoint(&folder(&world, &second), &names).0.size, 5);
    log.peers()
        .witnesses(|all| assert!(all["www"].seconds.counts().iter().sum::<u64>() > 0));
    // Those that the policy does not name any more are not listed.
    let listed = || log.merge_seen().witnesses.len();
    until("all are listed", || listed() == 3).await;
    configure(&log, |config| config.witnesses = Default::default()).await;
    until("none is listed", || listed() == 0).await;
    engine.shutdown().await;
}

/// A shard that too few witnesses know could not be published: it is not opened, unless the operator insists.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_witnesses_do_not_know_is_not_opened() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    append(&log, 3).await;
    let names = ["w", "ww", "www"];
    let mut policy: String = names.iter().map(|name| world.witness(name)).collect();
    policy.push_str("group two 2 w ww www\nquorum two\n");
    let knows = |name: &str, origins: &[&String]| {
        let mut all = world.network.witnesses.lock().unwrap();
        let witness = all.get_mut(&format!("{name}.example.org")).unwrap();
        witness.knows = Some(origins.iter().map(|origin| (*origin).clone()).collect());
    };
    // A policy is worth a warning when its witnesses do not know the shard that is open.
    knows("w", &[]);
    let mut document = log.config();
    document.witnesses.policy.clone_from(&policy);
    let asked = Request::Configure {
        next: Box::new(document),
        base: None,
    };
    let warnings = log.preview(asked).await.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("witness w would not cosign"));
    let hint = warnings[0].hint.as_deref();
    assert!(hint.unwrap().contains("nothing more is published"));
    knows("w", &[&log.status().shards[0].origin]);
    configure(&log, |config| config.witnesses.policy.clone_from(&policy)).await;
    let rotate = |force| Request::Rotate {
        name: None,
        base: None,
        force,
    };
    let refused = |request: Request| {
        let log = &log;
        async move {
            match log.preview(request).await {
                Err(ChangeError::Invalid(findings)) => {
                    assert!(findings.iter().all(|f| f.code == "witness-does-not-know"));
                    let all = findings.iter().map(|f| format!("{}\n", f.message));
                    all.collect::<String>()
                }
                other => panic!("{other:?}"),
            }
        }
    };
    // One that is not planned has no key that anybody could know.
    let why = refused(rotate(false)).await;
    assert!(
        why.contains("witness ww would") && why.contains("no key yet"),
        "{why}"
    );
    let plan = Request::PlanShard {
        name: None,
        base: None,
    };
    log.change_unaudited(plan, caller()).await.unwrap();
    let shards = log.status().shards;
    let (first, second) = (&shards[0].origin, &shards[1].origin);
    knows("w", &[first, second]);
    knows("ww", &[first]);
    knows("www", &[first]);
    let why = refused(rotate(false)).await;
    assert!(
        !why.contains("witness w would") && why.contains("witness ww would"),
        "{why}"
    );
    let by_itself = Request::RotateOut {
        shard: shards[0].name.parse().unwrap(),
        why: "full".into(),
    };
    refused(by_itself.clone()).await;
    let document = logconfig::with_rotation(&log.config(), None, 0).unwrap();
    let whole = Request::Configure {
        next: Box::new(document),
        base: None,
    };
    refused(whole).await;
    assert_eq!(log.status().shards[1].state, logconfig::ShardState::Planned);
    // One that does not answer is as good as one that does not know it.
    world.network.set("ww.example.org", Way::Dead);
    knows("ww", &[first, second]);
    let why = refused(rotate(false)).await;
    assert!(why.contains("witness ww would not cosign"), "{why}");
    world.network.set("ww.example.org", Way::Open);
    let applied = log.preview(rotate(false)).await.unwrap();
    assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
    assert!(applied.warnings[0].message.contains("witness www would"));
    log.preview(by_itself).await.unwrap();
    // Nobody was bound by being asked: the shard is published from its beginning.
    log.change_unaudited(rotate(false), caller()).await.unwrap();
    append(&log, 4).await;
    published(&log, 7).await;
    // And with force, which stays on record.
    let applied = log.change_unaudited(rotate(true), caller()).await.unwrap();
    assert_eq!(applied.warnings.len(), 3);
    let history = log.history().await.unwrap();
    assert!(
        history[0]
            .summary
            .contains("forced: witness w, witness ww, witness www did"),
        "{history:?}"
    );
    engine.shutdown().await;
}

/// A machine is set back as a whole, with its objects: then only the cosigners know.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_remembers_what_both_stores_have_lost() {
    let world = World::new();
    let line = world.witness("w");
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    configure(&log, |next| {
        next.witnesses.policy = format!("{line}quorum w\n");
    })
    .await;
    append(&log, 10).await;
    published(&log, 10).await;
    engine.shutdown().await;
    drop((log, engine));
    copy_folder(&world.path("primary"), &world.path("early"));
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    append(&log, 10).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    let engine = world.primary("early").await;
    let log = engine.log("dev").unwrap();
    let refused = log.append(bytes::Bytes::from_static(b"no")).await;
    let why = refused.unwrap_err().to_string();
    assert!(
        why.contains("witness w has cosigned shard a at size 20") && why.contains("logd restore"),
        "{why}"
    );
    assert_eq!(log.status().condition, engine::Condition::Halted);
    engine.shutdown().await;
    drop((log, engine));
    // One that never answers holds no start up for longer than a moment.
    world.network.set("w.example.org", Way::Silent);
    let began = tokio::time::Instant::now();
    let engine = world.primary("early").await;
    let log = engine.log("dev").unwrap();
    append(&log, 1).await;
    assert!(began.elapsed() < LONG);
    engine.shutdown().await;
}

/// The policy changes while entries from before and after it wait: each size is cosigned under the policy that its entries were ordered
/// under, also by a server that starts meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_size_is_cosigned_under_the_policy_of_its_entries() {
    let (world, engine, log, key) = World::with_log(&["x"], 1).await;
    let _x = world.secondary("x", "x", &key).await;
    let names = ["w", "ww", "www"];
    let [w, ww, www] = names.map(|name| format!("{}quorum {name}\n", world.witness(name)));
    let host = |name: &str| format!("{name}.example.org");
    let size = |name: &str| world.network.witnesses.lock().unwrap()[&host(name)].size;
    let shown = || {
        let (at, cosigned) = checkpoint(&folder(&world, "a"), &names);
        (at.size, cosigned.join(" "))
    };
    let told = async |log: &engine::Log, why: &str| {
        until(why, || {
            let reason = log.status().reason;
            reason.is_some_and(|said| said.contains(why))
        })
        .await;
    };
    configure(&log, |config| config.witnesses.policy.clone_from(&w)).await;
    append(&log, 10).await;
    published(&log, 10).await;
    assert_eq!(shown(), (10, "w".to_owned()));
    // 15 is copied, and waits for its witness; 20 waits for the secondary; then the policy changes, and five more are ordered.
    world.network.set(&host("w"), Way::Dead);
    append(&log, 5).await;
    let rows = Sqlite::open(&world.path("primary").join("coordination.db")).unwrap();
    let keys = Keys::new("dev");
    while position::published(&rows, &keys, "a")
        .await
        .unwrap()
        .unwrap()
        .size
        < TreeSize::new(15)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    told(&log, "too few witnesses").await;
    world.network.set(&host("x"), Way::Dead);
    append(&log, 5).await;
    configure(&log, |config| config.witnesses.policy.clone_from(&ww)).await;
    append(&log, 5).await;
    told(&log, "too few witnesses").await;
    engine.shutdown().await;
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    told(&log, "too few witnesses").await;
    assert_eq!((shown(), size("ww")), ((10, "w".to_owned()), 0));
    world.network.set(&host("w"), Way::Open);
    published(&log, 15).await;
    assert_eq!(shown(), (15, "w".to_owned()));
    // The others are of the new policy, whatever becomes of the earlier witness.
    world.network.set(&host("w"), Way::Dead);
    world.network.set(&host("x"), Way::Open);
    published(&log, 25).await;
    assert_eq!((shown(), size("w")), ((25, "ww".to_owned()), 15));
    // A witness that is gone is replaced: what waits for it, and nothing else was ordered since, is cosigned by the new one.
    world.network.set(&host("ww"), Way::Dead);
    append(&log, 5).await;
    told(&log, "too few witnesses").await;
    configure(&log, |config| config.witnesses.policy.clone_from(&www)).await;
    published(&log, 30).await;
    assert_eq!(shown(), (30, "www".to_owned()));
    engine.shutdown().await;
}

/// The last checkpoint of a shard that is done is lost, and the witnesses of today do not know that shard: what is written now is published
/// anyway, and the checkpoint comes back with the cosignatures that came.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_that_nobody_cosigns_any_more_stops_nothing() {
    let world = World::new();
    let line = world.witness("w");
    let engine = world.primary("primary").await;
    let log = create(&engine, &[], 0).await;
    // So many shards that a start skips the first ones.
    for _ in 0..18 {
        append(&log, 1).await;
        let rotate = engine::testing::rotation();
        log.change_unaudited(rotate, caller()).await.unwrap();
    }
    append(&log, 1).await;
    published(&log, 19).await;
    let shards = log.status().shards;
    let active = shards
        .iter()
        .find(|s| s.state == logconfig::ShardState::Active);
    let active = active.unwrap().origin.clone();
    {
        let mut witnesses = world.network.witnesses.lock().unwrap();
        witnesses.get_mut("w.example.org").unwrap().knows = Some(vec![active]);
    }
    configure(&log, |next| {
        next.witnesses.policy = format!("{line}quorum w\n");
    })
    .await;
    append(&log, 1).await;
    published(&log, 20).await;
    engine.shutdown().await;
    drop((log, engine));
    let lost = [&shards[0].name, &shards[16].name].map(|name| folder(&world, name));
    let before = lost.each_ref().map(|shard| checkpoint(shard, &["w"]));
    for shard in &lost {
        std::fs::remove_file(shard.join("checkpoint")).unwrap();
    }
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    append(&log, 1).await;
    published(&log, 21).await;
    until("they come back", || {
        lost.iter().all(|shard| shard.join("checkpoint").exists())
    })
    .await;
    assert_eq!(
        lost.each_ref().map(|shard| checkpoint(shard, &["w"])),
        before
    );
    append(&log, 1).await;
    published(&log, 22).await;
    assert_eq!(log.status().condition, engine::Condition::Open);
    engine.shutdown().await;
}
