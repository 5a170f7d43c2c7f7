//! Servers on copies of their stores of an earlier moment, and on stores of another log: nothing is signed twice, and each is told apart
//! from what a crash or a second server leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tlog::{Checkpoint, Cosigner, GlobalIndex, Hash, Note, TreeSize, UnixMillis};

use crate::life::Life;
use crate::publish::sign_guard::judge::{Found, FoundAt};
use crate::replicate::manifest::Manifest;
use crate::shard::{Published, Signed};
use crate::tests::rig::{Rig, Rows, caller};
use crate::{
    AppendError, Condition, Engine, Log, MergeOptions, Places, Program, Programs, Request,
};
use mirror::COSIGNED;
use mirror::{PeerAnswer, PeerClient, PeerError, PeerRequest};
use order::keys::Keys;
use order::state::State;
use order::{Generation, state};
use qos::Advice;
use store::fault::{Fault, Faults, FaultyObjects, Operation};
use store::record;
use store::{MemoryCoordination, MemoryObjects, Objects, StoreError};

const CHECKPOINT: &str = "dev/a/checkpoint";

async fn write(log: &Log, entries: std::ops::Range<u32>) {
    let all = entries.map(|n| log.append(Bytes::from(format!("entry {n}"))));
    for appended in futures_util::future::join_all(all).await {
        let at = appended.unwrap();
        log.wait_published(at.index).await.unwrap();
    }
}

/// The content of both stores at a moment of rest.
type Moment = (Rows, Rows);

fn moment(rig: &Rig) -> Moment {
    (rig.rows.rows(), rig.objects.objects())
}

/// A log with `first` entries, then with more; both moments are at rest.
async fn two_moments(rig: &Rig, first: u32, then: u32) -> (Moment, Moment) {
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log, 0..first).await;
    engine.shutdown().await;
    let early = moment(rig);
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log, first..then).await;
    engine.shutdown().await;
    (early, moment(rig))
}

fn at(objects: &Rows, path: &str) -> Checkpoint {
    let note = std::str::from_utf8(&objects[path]).unwrap();
    Checkpoint::parse(Note::parse(note).unwrap().text).unwrap()
}

/// The findings of `fsck`: what, and the remedy.
async fn fsck(rig: &Rig) -> Vec<String> {
    let (rows, objects) = moment(rig);
    let (rows, objects) = (MemoryCoordination::with(rows), MemoryObjects::with(objects));
    let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
    let report = crate::fsck::fsck(&rows, &objects, none, &mut |_| {})
        .await
        .unwrap();
    let text = |f: crate::fsck::Finding| format!("{}; {}", f.what, f.remedy);
    report.findings.into_iter().map(text).collect()
}

/// The log is halted, says why, takes nothing and has signed nothing; `fsck` says the same.
async fn refuses(rig: &Rig, before: &Rows, words: &[&str]) -> String {
    let (engine, log) = rig.server(&Faults::new()).await;
    let status = log.status();
    assert_eq!(status.condition, Condition::Halted, "{status:?}");
    let why = status.reason.unwrap();
    for word in words {
        assert!(why.contains(word), "{word}: {why}");
    }
    let halted = AppendError::Halted {
        reason: why.clone(),
    };
    let refused = log.append(Bytes::from_static(b"no")).await;
    assert_eq!(refused, Err(halted.clone()));
    let tenant = log.policy().own();
    let advice = Advice::default();
    let promised = log.promise(Bytes::from_static(b"no"), tenant, &advice);
    assert_eq!(promised.await, Err(halted));
    let rotate = crate::testing::rotation();
    assert!(log.change(rotate, caller()).await.is_err());
    engine.shutdown().await;
    let own = |objects: &Rows| -> Rows {
        let own = objects.iter().filter(|(path, _)| path.starts_with("dev/"));
        own.map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    };
    assert_eq!(
        own(&rig.objects.objects()),
        own(before),
        "nothing is written"
    );
    let found = fsck(rig).await;
    assert!(found.contains(&why), "{why}: {found:#?}");
    why
}

#[tokio::test(start_paused = true)]
async fn an_older_coordination_store_halts_before_anything_is_taken() {
    let rig = Rig::new();
    let (early, late) = two_moments(&rig, 10, 20).await;
    let older = rig.on(early.0.clone(), late.1.clone());
    let why = refuses(
        &older,
        &late.1,
        &["older", "size 20", "published 10 entries", "logd restore"],
    )
    .await;
    assert!(why.contains("docs/operations.md"), "{why}");
    // The newer copy is put back: the log continues.
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log, 20..30).await;
    engine.shutdown().await;
    assert_eq!(at(&rig.objects.objects(), CHECKPOINT).size, 30);
    assert_eq!(fsck(&rig).await, Vec::<String>::new());
}

/// All logs are in one coordination store, so what one of them shows is about all. A single signature of another one, the audit trail
/// included, would stand against putting the newest copy back.
#[tokio::test(start_paused = true)]
async fn an_older_coordination_store_halts_every_log_that_is_in_it() {
    for ahead in ["dev", crate::SYSTEM] {
        let rig = Rig::new();
        let (engine, _log) = rig.server(&Faults::new()).await;
        write(&engine.system().unwrap(), 0..3).await;
        let until = UnixMillis::new(1 << 50);
        engine.remember("token/ci", "scopes", until).await.unwrap();
        assert_eq!(engine.recall("token/").await.unwrap().len(), 1);
        engine.shutdown().await;
        let early = moment(&rig);
        let (engine, _log) = rig.server(&Faults::new()).await;
        write(&engine.opened(ahead).unwrap(), 10..20).await;
        engine.shutdown().await;
        let late = moment(&rig);
        let older = rig.on(early.0, late.1.clone());
        let (engine, log) = older.server(&Faults::new()).await;
        let system = engine.system().unwrap();
        for log in [&log, &system] {
            let refused = log.append(Bytes::from_static(b"no")).await;
            let status = log.status();
            assert_eq!(status.condition, Condition::Halted, "{ahead}: {status:?}");
            let reason = status.reason.unwrap();
            assert!(
                reason.contains("older than what was made from it"),
                "{reason}"
            );
            let elsewhere = format!("the log {ahead} of the same coordination store");
            assert_eq!(reason.contains(&elsewhere), log.name() != ahead, "{reason}");
            assert_eq!(refused, Err(AppendError::Halted { reason }));
        }
        // A token that was revoked since opens nothing.
        assert!(engine.recall("token/").await.is_err());
        engine.shutdown().await;
        assert_eq!(
            older.objects.objects(),
            late.1,
            "{ahead}: nothing is written"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bundles_beyond_the_order_halt_without_a_checkpoint() {
    let rig = Rig::new();
    let (early, mut late) = two_moments(&rig, 100, 300).await;
    late.1.remove(CHECKPOINT);
    let older = rig.on(early.0, late.1.clone());
    refuses(
        &older,
        &late.1,
        &[
            "older",
            "a full bundle of the entries of shard a up to 256",
            "ordered 100 entries",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_older_and_went_on_halts() {
    let rig = Rig::new();
    let (early, late) = two_moments(&rig, 10, 20).await;
    // It continued without the objects: another history of the same size.
    let fork = rig.on(early.0, early.1);
    let (engine, log) = fork.server(&Faults::new()).await;
    write(&log, 500..510).await;
    engine.shutdown().await;
    let both = rig.on(fork.rows.rows(), late.1.clone());
    let (engine, log) = both.server(&Faults::new()).await;
    let why = log.status().reason.unwrap();
    assert!(
        why.contains("two histories") && why.contains("size 20"),
        "{why}"
    );
    // It is the same store, so no other log of it may sign either.
    let system = engine.system().unwrap();
    assert!(system.append(Bytes::from_static(b"no")).await.is_err());
    assert_eq!(system.status().condition, Condition::Halted);
    engine.shutdown().await;
    assert_eq!(both.objects.objects()[CHECKPOINT], late.1[CHECKPOINT]);
    let found = fsck(&both).await;
    assert!(found.contains(&why), "{why}: {found:#?}");
}

#[tokio::test(start_paused = true)]
async fn objects_of_an_earlier_moment_halt_or_serve() {
    let rig = Rig::new();
    let (early, late) = two_moments(&rig, 10, 20).await;
    let behind = rig.on(late.0.clone(), early.1.clone());
    let (engine, log) = behind.server(&Faults::new()).await;
    let why = log.status().reason.unwrap();
    assert!(
        why.contains("missing") && why.contains("newest copy of the objects"),
        "{why}"
    );
    engine.shutdown().await;
    assert_eq!(behind.objects.objects()[CHECKPOINT], early.1[CHECKPOINT]);
    assert!(!fsck(&behind).await.is_empty());
    // The checkpoint alone is behind its row after a crash between the two: it is signed again.
    let mut crash = late.1.clone();
    crash.insert(CHECKPOINT.to_owned(), early.1[CHECKPOINT].clone());
    let crash = rig.on(late.0, crash);
    let (engine, log) = crash.server(&Faults::new()).await;
    write(&log, 20..21).await;
    engine.shutdown().await;
    assert_eq!(at(&crash.objects.objects(), CHECKPOINT).size, 21);
}

#[tokio::test(start_paused = true)]
async fn objects_of_another_log_halt_and_stay() {
    let (rig, other) = (Rig::new(), Rig::new());
    let (_, late) = two_moments(&rig, 10, 20).await;
    let (_, others) = two_moments(&other, 5, 7).await;
    let mixed = rig.on(late.0, others.1.clone());
    refuses(
        &mixed,
        &others.1,
        &["not of shard a", "object store of this log"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_is_not_signed_over() {
    let rig = Rig::new();
    let (_, mut late) = two_moments(&rig, 10, 20).await;
    let mut bytes = late.1[CHECKPOINT].to_vec();
    let end = bytes.len() - 8;
    bytes[end] ^= 4;
    late.1.insert(CHECKPOINT.to_owned(), bytes.into());
    let damaged = rig.on(late.0.clone(), late.1.clone());
    let (engine, log) = damaged.server(&Faults::new()).await;
    let why = log.status().reason.unwrap();
    assert!(why.contains("damaged checkpoint of shard a"), "{why}");
    engine.shutdown().await;
    // The remedy.
    late.1.remove(CHECKPOINT);
    let removed = rig.on(late.0, late.1);
    let (engine, log) = removed.server(&Faults::new()).await;
    write(&log, 20..21).await;
    engine.shutdown().await;
    assert_eq!(fsck(&removed).await, Vec::<String>::new());
}

/// A rotation is lost with the copy; the shard that it opened was planned.
#[tokio::test(start_paused = true)]
async fn a_lost_rotation_shows_in_the_planned_shard() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let mut next = log.config();
    let name = logconfig::ShardName::try_from("b".to_owned()).unwrap();
    let planned = logconfig::ShardConfig::new(name, logconfig::ShardState::Planned);
    next.shards.push(planned);
    let plan = Request::Configure {
        base: Some(Generation::new(1)),
        next: Box::new(next),
    };
    log.change(plan, caller()).await.unwrap();
    write(&log, 0..3).await;
    engine.shutdown().await;
    let early = moment(&rig);
    let (engine, log) = rig.server(&Faults::new()).await;
    let rotate = crate::testing::rotation();
    log.change(rotate, caller()).await.unwrap();
    write(&log, 3..5).await;
    engine.shutdown().await;
    let late = moment(&rig);
    let older = rig.on(early.0, late.1.clone());
    refuses(
        &older,
        &late.1,
        &["shard b at size 2", "published 0 entries"],
    )
    .await;
}

/// A copy of the coordination store may have ordered and cut what was signed later, so that a server on it could publish that too. Then no other
/// server would see any more that the store is an older one.
#[tokio::test(start_paused = true)]
async fn a_halted_server_leaves_the_evidence_to_the_others() {
    let rig = Rig::new();
    let (early, late) = two_moments(&rig, 5, 8).await;
    let published = order::keys::Keys::new("dev").published("a");
    let mut rows = late.0.clone();
    rows.insert(published.clone(), early.0[&published].clone());
    let older = rig.on(rows, late.1.clone());
    for _ in 0..2 {
        let words = ["shard a at size 8", "published 5 entries"];
        refuses(&older, &late.1, &words).await;
        assert_eq!(older.rows.rows()[&published], early.0[&published]);
    }
}

/// Waits for a condition, in the time of the test.
async fn until(what: &str, mut check: impl FnMut() -> bool) -> Duration {
    let began = tokio::time::Instant::now();
    while !check() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// A replica is slow to put its checkpoint, and another one publishes more meanwhile.
#[tokio::test(start_paused = true)]
async fn a_late_put_of_an_older_checkpoint_is_repaired_at_once() {
    let rig = Rig::new();
    let (fast, log) = rig.server(&Faults::new()).await;
    write(&log, 0..5).await;
    fast.shutdown().await;
    // It integrates nothing, so nothing wakes it when the other one continues.
    let slow = Faults::new();
    let merge = MergeOptions {
        programs: [Program::Publish].into_iter().collect(),
        writes: false,
        ..MergeOptions::default()
    };
    let (publisher, second) = rig.process(&Faults::new(), &slow, merge.clone()).await;
    let cutting = MergeOptions {
        programs: [Program::Integrate].into_iter().collect(),
        ..MergeOptions::default()
    };
    let mut held = false;
    slow.plan(move |_, operation| match operation {
        Operation::Put(objects) if !held && objects.iter().any(|(path, _)| path == CHECKPOINT) => {
            held = true;
            Some(Fault::Stall)
        }
        _ => None,
    });
    let (writer, log) = rig.process(&Faults::new(), &Faults::new(), cutting).await;
    log.append(Bytes::from_static(b"one more")).await.unwrap();
    let row = || {
        let keys = order::keys::Keys::new("dev");
        let rows = rig.rows.rows();
        store::record::decode_number(&rows[&keys.published("a")]).unwrap()
    };
    until("the slow one stalls behind its row", || row() == 6).await;
    let (fast, log) = rig.server(&Faults::new()).await;
    write(&log, 6..30).await;
    fast.shutdown().await;
    assert_eq!(at(&rig.objects.objects(), CHECKPOINT).size, 30);
    slow.release().await;
    let took = until("the newer one is there again", || {
        at(&rig.objects.objects(), CHECKPOINT).size == 30
            && second
                .shards
                .get(&second.ledger.state(), "a")
                .unwrap()
                .published()
                == TreeSize::new(30)
    });
    assert!(took.await < Duration::from_millis(50));
    publisher.shutdown().await;
    writer.shutdown().await;
}

/// Many replicas on one pair of stores: none takes the others' newer checkpoints for an older store, and none is behind at the end.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_race_raise_no_alarm() {
    let rig = Rig::new();
    let mut servers: Vec<(Arc<Engine>, Arc<Log>)> = Vec::new();
    for _ in 0..3 {
        servers.push(rig.server(&Faults::new()).await);
    }
    for round in 0..4 {
        let writers = servers.iter().enumerate().map(|(n, (_, log))| {
            let from = (round * 3 + n as u32) * 20;
            write(log, from..from + 20)
        });
        futures_util::future::join_all(writers).await;
        // One starts in the midst of it.
        let (engine, log) = rig.server(&Faults::new()).await;
        assert_eq!(log.status().condition, Condition::Open);
        engine.shutdown().await;
        let (engine, _) = servers.remove(0);
        engine.shutdown().await;
        servers.push(rig.server(&Faults::new()).await);
    }
    for (engine, log) in &servers {
        assert_eq!(log.status().condition, Condition::Open);
        engine.shutdown().await;
    }
    assert_eq!(at(&rig.objects.objects(), CHECKPOINT).size, 240);
    assert_eq!(fsck(&rig).await, Vec::<String>::new());
}

/// A frontend of every server, whose writes may fail.
#[derive(Clone)]
struct Shelf(Arc<FaultyObjects>);

impl Places for Shelf {
    fn node(&self, name: &str) -> crate::Opening<'_> {
        Box::pin(std::future::ready(Err(format!("no node {name}"))))
    }
    fn frontend(&self, _: &logconfig::FrontendConfig) -> crate::Opening<'_> {
        Box::pin(std::future::ready(Ok(
            Arc::clone(&self.0) as Arc<dyn Objects>
        )))
    }
}

fn shelf(objects: &Arc<MemoryObjects>, faults: &Faults, programs: Programs) -> MergeOptions {
    let faulty = FaultyObjects::new(objects.clone(), faults.clone());
    MergeOptions {
        programs,
        writes: programs.has(Program::Integrate),
        places: Arc::new(Shelf(Arc::new(faulty))),
        ..MergeOptions::default()
    }
}

async fn with_frontend(log: &Log) {
    let mut next = log.config();
    next.merge.frontends.push(logconfig::FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: "file:///srv/cdn".to_owned(),
    });
    let configure = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(configure, caller()).await.unwrap();
}

fn pushed(objects: &MemoryObjects) -> u64 {
    let objects = objects.objects();
    match objects.contains_key(CHECKPOINT) {
        true => at(&objects, CHECKPOINT).size,
        false => 0,
    }
}

/// A process that pushes is slow, and another one pushes more meanwhile.
#[tokio::test(start_paused = true)]
async fn a_frontend_is_never_left_with_an_older_checkpoint() {
    let (rig, cdn) = (Rig::new(), Arc::new(MemoryObjects::new()));
    let none = Faults::new();
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    with_frontend(&log).await;
    write(&log, 0..5).await;
    until("five are there", || pushed(&cdn) == 5).await;
    engine.shutdown().await;
    cdn.delete(vec![CHECKPOINT.to_owned()]).await.unwrap();
    let slow = Faults::new();
    let puts = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&puts);
    slow.plan(move |_, operation| match operation {
        Operation::Put(objects) if objects.iter().any(|(path, _)| path == CHECKPOINT) => {
            (count.fetch_add(1, SeqCst) == 0).then_some(Fault::Stall)
        }
        _ => None,
    });
    let only = [Program::Distribute].into_iter().collect();
    let blind = Faults::new();
    let (pusher, _) = rig.process(&blind, &none, shelf(&cdn, &slow, only)).await;
    until("the slow one is at its put", || puts.load(SeqCst) == 1).await;
    // It sees that the log continues only by looking.
    blind.plan(|_, operation| match operation {
        Operation::Get(key) | Operation::Scan(key) if key.contains("/published/") => {
            Some(Fault::Stall)
        }
        _ => None,
    });
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    write(&log, 5..30).await;
    until("thirty are there", || pushed(&cdn) == 30).await;
    engine.shutdown().await;
    blind.clear();
    slow.release().await;
    let took = until("the newer one is there again", || {
        puts.load(SeqCst) == 2 && pushed(&cdn) == 30
    });
    assert!(took.await < Duration::from_millis(50));
    blind.release().await;
    pusher.shutdown().await;
    assert_eq!(pushed(&cdn), 30);
}

/// ECDSA signatures of one checkpoint differ: two servers that distribute leave each other's alone, also after a restart.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_server_stays_at_a_frontend() {
    let (rig, cdn, none) = (Rig::new(), Arc::new(MemoryObjects::new()), Faults::new());
    let serve = || rig.process(&none, &none, shelf(&cdn, &none, Programs::ALL));
    let (engine, log) = serve().await;
    with_frontend(&log).await;
    let mut next = Box::new(log.config());
    next.key.algorithm = logconfig::Algorithm::EcdsaP256;
    let (name, base, force) = (Some("b".parse().unwrap()), None, false);
    let configure = Request::Configure { base: None, next };
    log.change(configure, caller()).await.unwrap();
    let rotate = Request::Rotate { name, base, force };
    log.change(rotate, caller()).await.unwrap();
    write(&log, 0..5).await;
    let path = "dev/b/checkpoint";
    let there = || cdn.objects().get(path).cloned();
    until("five are there", || {
        there().is_some() && at(&cdn.objects(), path).size == 5
    })
    .await;
    let own = there().unwrap();
    let shard = log.shards.get(&log.ledger.state(), "b").unwrap();
    let position = shard.at().unwrap();
    let signed = log.guard.sign_checkpoint(&shard, &position).await;
    let other = Bytes::from(signed.unwrap().checkpoint);
    assert_ne!(other, own);
    let put = async |note: &Bytes| {
        cdn.put(vec![(path.to_owned(), note.clone())])
            .await
            .unwrap();
    };
    put(&other).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(there(), Some(other.clone()));
    engine.shutdown().await;
    let (engine, _log) = serve().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(there(), Some(other.clone()));
    // One that a key has not signed is put again.
    let text = std::str::from_utf8(&other).unwrap();
    let ecdsa = format!("\n{}\n", text.lines().nth(4).unwrap());
    put(&Bytes::from(text.replacen(&ecdsa, "\n", 1))).await;
    until("it is whole again", || there().as_ref() == Some(&own)).await;
    engine.shutdown().await;
}

/// Both stores are set back: a frontend still has what readers have seen.
#[tokio::test(start_paused = true)]
async fn a_frontend_remembers_what_both_stores_have_lost() {
    let (rig, cdn) = (Rig::new(), Arc::new(MemoryObjects::new()));
    let none = Faults::new();
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    with_frontend(&log).await;
    write(&log, 0..5).await;
    engine.shutdown().await;
    let early = moment(&rig);
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    write(&log, 5..9).await;
    until("nine are there", || pushed(&cdn) == 9).await;
    engine.shutdown().await;
    let back = rig.on(early.0, early.1);
    let (engine, log) = back
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    let refused = log.append(Bytes::from_static(b"no")).await.unwrap_err();
    let why = refused.to_string();
    assert!(
        why.contains("frontend cdn has a signed checkpoint of shard a at size 9")
            && why.contains("published 5 entries"),
        "{why}"
    );
    engine.shutdown().await;
    assert_eq!(pushed(&cdn), 9);
}

/// The coordination store goes back while a server runs, and another one had signed more. The server publishes less than that, or overtakes
/// it in one step.
#[tokio::test(start_paused = true)]
async fn nothing_is_signed_beside_a_checkpoint_that_readers_have() {
    for (more, words) in [
        (1, ["at size 9", "published 7 entries"]),
        (20, ["two histories", "at size 9"]),
    ] {
        let rig = Rig::new();
        let (early, late) = two_moments(&rig, 5, 9).await;
        let back = rig.on(early.0, early.1);
        let (engine, log) = back.server(&Faults::new()).await;
        write(&log, 100..101).await;
        let seen = late.1[CHECKPOINT].clone();
        back.objects
            .put(vec![(CHECKPOINT.to_owned(), seen.clone())])
            .await
            .unwrap();
        let all = (0..more).map(|n| log.append(Bytes::from(format!("one more {n}"))));
        futures_util::future::join_all(all).await;
        let why = halts(&log).await;
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
        engine.shutdown().await;
        assert_eq!(back.objects.objects()[CHECKPOINT], seen);
    }
}

/// Another process has published more than this one signed: it is compared before it is taken over.
#[tokio::test(start_paused = true)]
async fn what_this_process_signed_is_compared_with_what_overtook_it() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log, 0..9).await;
    let shared = Arc::clone(&log.publication);
    let shard = shared.shards.get(&log.ledger.state(), "a").unwrap();
    let (store, keys) = (&*log.ledger.store, &log.ledger.keys);
    let row = crate::position::published(store, keys, "a").await.unwrap();
    let row = row.unwrap();
    let (size, cut) = (TreeSize::new(5), (row.size, row.root));
    let own = shared
        .guard
        .root_here(&shard.name, size, cut)
        .await
        .unwrap();
    for (root, is_own) in [(own.unwrap(), true), (Hash([9; 32]), false)] {
        let at = Published {
            size,
            root,
            ..row.clone()
        };
        let signed = Signed::new(at, String::new(), None);
        let recalled = shared.recall(&shard, Some(&signed), Some(&row)).await;
        assert_eq!(recalled.is_ok(), is_own, "{recalled:?}");
        assert_eq!(log.halted().is_none(), is_own);
    }
    assert!(log.halted().unwrap().contains("two histories: this server"));
    engine.shutdown().await;
}

/// Both stores are set back while the frontend is away, and the log overtakes what it has.
#[tokio::test(start_paused = true)]
async fn a_frontend_that_was_overtaken_is_evidence_and_is_not_overwritten() {
    let (rig, cdn) = (Rig::new(), Arc::new(MemoryObjects::new()));
    let none = Faults::new();
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    with_frontend(&log).await;
    write(&log, 0..5).await;
    engine.shutdown().await;
    let early = moment(&rig);
    let (engine, log) = rig
        .process(&none, &none, shelf(&cdn, &none, Programs::ALL))
        .await;
    write(&log, 5..9).await;
    until("nine are there", || pushed(&cdn) == 9).await;
    engine.shutdown().await;
    let seen = cdn.objects();
    let (back, away) = (rig.on(early.0, early.1), Faults::new());
    away.plan(|_, _| Some(Fault::Fail(StoreError::Io("away".to_owned()))));
    let (engine, log) = back
        .process(&none, &none, shelf(&cdn, &away, Programs::ALL))
        .await;
    write(&log, 100..120).await;
    away.clear();
    until("it halts", || log.status().condition == Condition::Halted).await;
    let why = log.status().reason.unwrap();
    assert!(
        why.contains("two histories: frontend cdn") && why.contains("size 9"),
        "{why}"
    );
    let system = engine.system().unwrap();
    assert_eq!(system.status().condition, Condition::Halted);
    engine.shutdown().await;
    assert_eq!(cdn.objects(), seen);
}

#[test]
fn each_shard_of_a_long_list_is_found_by_its_name() {
    let shard = |n: u64| state::Shard {
        identity: Arc::new(order::slot::ShardIdentity {
            imported: None,
            name: n.to_string(),
            origin: format!("example.org/dev/{n}"),
            tree_id: n + 1,
            vkey: String::new(),
            ecdsa: None,
        }),
        phase: state::Phase::Planned,
    };
    let mut index = crate::publish::sign_guard::Index::default();
    let all: Arc<Vec<_>> = Arc::new((0..5_000).map(shard).collect());
    // One is taken out of the plan, and all behind it move.
    let fewer: Arc<Vec<_>> = Arc::new(all.iter().skip(1).cloned().collect());
    for list in [&all, &fewer, &all] {
        for shard in list.iter() {
            let found = index.find(list, &shard.identity.name).unwrap();
            assert!(std::ptr::eq(found, shard));
        }
        assert!(Arc::ptr_eq(&index.list, list));
        assert_eq!(index.at.len(), list.len());
        assert_eq!(index.find(list, "other"), None);
    }
    assert_eq!(index.find(&fewer, "0"), None);
}

/// Entries that are ordered together; whether they are published is another matter.
async fn ordered(log: &Log, entries: std::ops::Range<u32>) {
    let all = entries.map(|n| log.append(Bytes::from(format!("entry {n}"))));
    for appended in futures_util::future::join_all(all).await {
        appended.unwrap();
    }
}

fn copied(size: u64, root: Hash) -> (FoundAt, Found) {
    let found = Found::Copied {
        size: TreeSize::new(size),
        root,
        time: UnixMillis::new(1),
    };
    (FoundAt::Secondary("x".to_owned()), found)
}

async fn halts(log: &Log) -> String {
    until("it halts", || log.status().condition == Condition::Halted).await;
    log.status().reason.unwrap()
}

/// A lost history left its partial tile, of a size that is no cut here: the root of that size is that of our entries, not of its tile.
#[tokio::test(start_paused = true)]
async fn what_a_lost_history_left_is_not_compared_with_itself() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log, 0..10).await;
    engine.shutdown().await;
    let early = moment(&rig);
    let fork = rig.on(early.0.clone(), early.1.clone());
    let (engine, log) = fork.server(&Faults::new()).await;
    write(&log, 500..505).await;
    engine.shutdown().await;
    let lost = at(&fork.objects.objects(), CHECKPOINT);
    assert_eq!(lost.size, 15);
    let mut objects = early.1.clone();
    for (path, bytes) in fork.objects.objects() {
        objects.entry(path).or_insert(bytes);
    }
    assert!(objects.contains_key("dev/a/tile/0/000.p/15"));
    let both = rig.on(early.0, objects);
    let (engine, log) = both.server(&Faults::new()).await;
    let (source, found) = copied(15, lost.root);
    log.guard.compared.keep("a", source, found);
    ordered(&log, 10..20).await;
    let why = halts(&log).await;
    assert!(
        why.contains("two histories") && why.contains("size 15"),
        "{why}"
    );
    engine.shutdown().await;
    assert_eq!(at(&both.objects.objects(), CHECKPOINT).size, 10);
}

/// A copy that cannot be compared, because the tiles cannot be read, is not forgotten: nothing is signed until they can.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_compared_before_anything_is_signed() {
    let mut edge = tlog::RightEdge::new();
    (0..5).for_each(|n| edge.push(tlog::leaf_hash(format!("entry {n}").as_bytes())));
    for (root, fits) in [(edge.root(), true), (Hash([9; 32]), false)] {
        let (rig, faults) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &faults).await;
        for n in 0..10 {
            write(&log, n..n + 1).await;
        }
        let (source, found) = copied(5, root);
        log.guard.compared.keep("a", source, found);
        let failed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&failed);
        faults.plan(move |_, operation| match operation {
            Operation::Get(path) if path.contains("/tile/0/") => {
                count.fetch_add(1, SeqCst);
                Some(Fault::Lose)
            }
            _ => None,
        });
        ordered(&log, 10..20).await;
        until("it is tried again", || failed.load(SeqCst) > 3).await;
        assert_eq!(log.status().condition, Condition::Open);
        assert_eq!(at(&rig.objects.objects(), CHECKPOINT).size, 10);
        faults.clear();
        if fits {
            log.wait_published(GlobalIndex::new(19)).await.unwrap();
            assert!(log.guard.compared.due("a", TreeSize::new(20)).is_empty());
        } else {
            let why = halts(&log).await;
            assert!(why.contains("two histories"), "{why}");
        }
        engine.shutdown().await;
        let size = at(&rig.objects.objects(), CHECKPOINT).size;
        assert_eq!(size, if fits { 20 } else { 10 });
    }
}

const WITNESS: &str = "w.example.org";

/// A secondary of one shard, and a witness: what they say they have.
#[derive(Debug, Default)]
struct Secondary(
    std::sync::Mutex<Vec<(String, Bytes)>>,
    std::sync::Mutex<Vec<(String, Duration)>>,
);

impl Secondary {
    fn says(&self, path: &str, bytes: impl Into<Bytes>) {
        let mut pages = self.0.lock().unwrap();
        pages.push((path.to_owned(), bytes.into()));
    }
}

impl PeerClient for Secondary {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        let pages = self.0.lock().unwrap();
        let page = pages.iter().find(|(path, _)| request.url.contains(path));
        // Only a witness understands posted requests: it has another size.
        let asked = request.body.is_some();
        let page = page.filter(|(path, _)| asked == (path == WITNESS));
        let body = page.map(|(_, body)| body.clone());
        let slow = self.1.lock().unwrap();
        let slow = slow.iter().find(|(path, _)| request.url.contains(path));
        let slow = slow.map_or(Duration::ZERO, |(_, slow)| *slow);
        Box::pin(async move {
            tokio::time::sleep(slow).await;
            Ok(PeerAnswer {
                status: match body {
                    Some(_) if asked => 409,
                    Some(_) => 200,
                    None => 404,
                },
                kind: tlog::mirror::SIZE_TYPE.to_owned(),
                body: body.unwrap_or_default(),
                ..PeerAnswer::default()
            })
        })
    }
}

fn beside(secondary: &Arc<Secondary>) -> MergeOptions {
    MergeOptions {
        peers: Arc::clone(secondary) as Arc<dyn PeerClient>,
        ..MergeOptions::default()
    }
}

/// A log with ten entries, at rest, and a secondary that has cosigned more than its order has.
async fn ahead(rig: &Rig) -> Arc<Secondary> {
    let secondary: Arc<Secondary> = Arc::default();
    let none = Faults::new();
    let (engine, log) = rig.process(&none, &none, beside(&secondary)).await;
    let cosigner = Cosigner::from_seed("x.example.org", &[7; 32]).unwrap();
    let mut next = log.config();
    next.merge.secondaries.push(logconfig::SecondaryConfig {
        name: "x".parse().unwrap(),
        url: "http://x.example.org".to_owned(),
        vkey: cosigner.verifier().to_string(),
    });
    let configure = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(configure, caller()).await.unwrap();
    write(&log, 0..10).await;
    let text = Checkpoint {
        origin: log.status().shards[0].origin.clone(),
        size: 99,
        root: Hash([9; 32]),
        extensions: Vec::new(),
    }
    .to_text();
    let note = tlog::sign(&text, &[log.guard.keyring.replication().await.unwrap()]).unwrap();
    let line = cosigner.cosign(&text, 1_700_000_000).unwrap();
    let note = tlog::attach(&note, [line.trim_end()]).unwrap();
    secondary.says(COSIGNED, note);
    engine.shutdown().await;
    secondary
}

/// An answer that cannot be verified because of something missing here does not count: it is asked for again, and nothing is signed before.
#[tokio::test(start_paused = true)]
async fn a_replication_key_that_cannot_be_read_is_not_a_secondary_that_is_silent() {
    let (rig, rows) = (Rig::new(), Faults::new());
    let secondary = ahead(&rig).await;
    let (key, mut failures) = (Keys::new("dev").replication(), 5);
    rows.plan(move |_, operation| match operation {
        Operation::Get(asked) if *asked == key && failures > 0 => {
            failures -= 1;
            Some(Fault::Lose)
        }
        _ => None,
    });
    let (engine, log) = rig.process(&rows, &Faults::new(), beside(&secondary)).await;
    let why = halts(&log).await;
    assert!(
        why.contains("secondary x has cosigned shard a at size 99"),
        "{why}"
    );
    engine.shutdown().await;
}

/// The copies of a secondary count even if its manifest does not come in time, because it is slow or hangs.
#[tokio::test(start_paused = true)]
async fn a_slow_manifest_hides_no_copy() {
    for slow in [
        [("/", Duration::from_millis(1100))].as_slice(),
        &[("/manifest/", Duration::from_secs(3600))],
    ] {
        let rig = Rig::new();
        let secondary = ahead(&rig).await;
        let slow = slow.iter().map(|(path, slow)| ((*path).to_owned(), *slow));
        secondary.1.lock().unwrap().extend(slow);
        let (engine, log) = rig
            .process(&Faults::new(), &Faults::new(), beside(&secondary))
            .await;
        let why = halts(&log).await;
        assert!(
            why.contains("secondary x has cosigned shard a at size 99"),
            "{why}"
        );
        engine.shutdown().await;
    }
}

/// A replication key that another key-encryption key has sealed is not the store's fault.
#[tokio::test(start_paused = true)]
async fn a_replication_key_that_cannot_be_opened_is_named() {
    let rig = Rig::new();
    let secondary = ahead(&rig).await;
    let key = Keys::new("dev").replication();
    let mut rows = rig.rows.rows();
    let mut sealed = rows[&key].to_vec();
    *sealed.last_mut().unwrap() ^= 1;
    rows.insert(key.clone(), sealed.into());
    let rig = rig.on(rows, rig.objects.objects());
    let (engine, log) = rig
        .process(&Faults::new(), &Faults::new(), beside(&secondary))
        .await;
    // No other log waits for what trying again can't heal.
    let system = engine.system().unwrap();
    let taken = system.append(Bytes::from_static(b"x"));
    let taken = tokio::time::timeout(Duration::from_secs(5), taken).await;
    taken.expect("at once").unwrap();
    let why = halts(&log).await;
    assert!(why.contains(&key) && why.contains("[kek]"), "{why}");
    assert!(!why.contains("when the store answers"), "{why}");
    engine.shutdown().await;
}

/// A checkpoint object is behind its row, and the tile that they are compared by is lost: it is written again, and the log continues.
#[tokio::test(start_paused = true)]
async fn a_tile_that_the_next_signature_waits_for_is_rewritten() {
    let rig = Rig::new();
    let (early, mut late) = two_moments(&rig, 10, 600).await;
    late.1
        .insert(CHECKPOINT.to_owned(), early.1[CHECKPOINT].clone());
    let tile = "dev/a/tile/0/000";
    let good = late.1.remove(tile).unwrap();
    let rig = rig.on(late.0, late.1);
    let (engine, log) = rig.server(&Faults::new()).await;
    let goes_on = tokio::time::timeout(Duration::from_secs(600), write(&log, 600..601)).await;
    goes_on.expect("it is published");
    engine.shutdown().await;
    assert_eq!(rig.objects.objects()[tile], good);
}

/// The same of the key that the question to a witness is signed with.
#[tokio::test(start_paused = true)]
async fn a_signing_key_that_cannot_be_read_is_not_a_witness_that_is_silent() {
    let (rig, none, rows) = (Rig::new(), Faults::new(), Faults::new());
    let witness: Arc<Secondary> = Arc::default();
    let (engine, log) = rig.process(&none, &none, beside(&witness)).await;
    write(&log, 0..10).await;
    let key = Cosigner::from_seed(WITNESS, &[8; 32]).unwrap();
    let mut next = log.config();
    next.witnesses.policy = format!("witness w {} http://{WITNESS}\nquorum w\n", key.verifier());
    let configure = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(configure, caller()).await.unwrap();
    let tree = log.ledger.state().shards[0].identity.tree_id;
    engine.shutdown().await;
    witness.says(WITNESS, "99\n");
    let (key, mut failures) = (Keys::new("dev").signing_key(tree), 5);
    rows.plan(move |_, operation| match operation {
        Operation::Get(asked) if *asked == key && failures > 0 => {
            failures -= 1;
            Some(Fault::Lose)
        }
        _ => None,
    });
    let (engine, log) = rig.process(&rows, &none, beside(&witness)).await;
    let why = halts(&log).await;
    assert!(
        why.contains("witness w has cosigned shard a at size 99"),
        "{why}"
    );
    engine.shutdown().await;
}

/// The log was restored by a machine whose clock was years ahead: what its secondaries cosign since binds anyway.
#[tokio::test(start_paused = true)]
async fn a_life_from_the_future_is_bound_by_what_it_has_copied() {
    let rig = Rig::new();
    let secondary = ahead(&rig).await;
    let keys = Keys::new("dev");
    let id = 2_500_000_000_000 << 22;
    let life = Life {
        storages: std::collections::BTreeMap::new(),
        lowered: std::collections::BTreeMap::new(),
        settled: None,
        id,
        generation: Generation::new(1),
        entries: GlobalIndex::new(10),
        forced: Some(Vec::new()),
        forks: None,
    };
    let mut rows = rig.rows.rows();
    rows.insert(keys.life(), record::encode(&life));
    rows.insert(keys.restored(), record::encode_number(id));
    for (heard, bound) in [(id, true), (id - 1, false)] {
        let rig = rig.on(rows.clone(), rig.objects.objects());
        let none = Faults::new();
        let manifest = |log: &Log| Manifest {
            log: "dev".to_owned(),
            state: State::default(),
            document: String::new(),
            joint: Vec::new(),
            vouched: Vec::new(),
            lowered: std::collections::BTreeMap::new(),
            forks: None,
            keys: std::collections::BTreeMap::new(),
            replication: log.name().to_owned(),
        };
        // Asked before it answers, so that the key is at hand.
        let silent: Arc<Secondary> = Arc::default();
        let (engine, log) = rig.process(&none, &none, beside(&silent)).await;
        let signer = log.guard.keyring.replication().await.unwrap();
        let stamp = mirror::Stamp {
            settled: mirror::Settled::default(),
            restored: heard,
            entries: 10,
            edition: 1,
        };
        let manifest = manifest(&log)
            .sign(&log.guard.keyring.kek, signer, stamp, &log.ledger.random)
            .unwrap();
        engine.shutdown().await;
        secondary.says("/manifest/", manifest);
        let (engine, log) = rig.process(&none, &none, beside(&secondary)).await;
        if bound {
            let why = halts(&log).await;
            assert!(why.contains("cosigned shard a at size 99"), "{why}");
        } else {
            write(&log, 10..11).await;
        }
        engine.shutdown().await;
        secondary
            .0
            .lock()
            .unwrap()
            .retain(|(path, _)| path != "/manifest/");
    }
}
