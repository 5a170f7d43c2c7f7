//! Notes of shards that are done, lost: what is written now is published anyway, and they come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::tests::rig::{Rig, caller};
use crate::{Engine, Log, Program};
use order::keys::Keys;
use store::fault::Faults;
use store::{Coordination as _, Objects as _, Transaction};
use tlog::LeafIndex;

const CHECKPOINT: &str = "dev/a/checkpoint";
const SEAL: &str = "dev/a/seal";

async fn write(log: &Log) {
    let at = log.append(Bytes::from_static(b"x")).await.unwrap();
    let published = log.wait_published(at.index);
    let published = tokio::time::timeout(Duration::from_secs(600), published).await;
    published.expect("it is published").unwrap();
}

async fn rotate(log: &Log) {
    let rotate = crate::testing::rotation();
    log.change(rotate, caller()).await.unwrap();
}

/// Waits until the object is what it was.
async fn comes_back(rig: &Rig, path: &str, good: &Bytes) {
    let back = async {
        while rig.objects.get(path).await.unwrap().as_ref() != Some(good) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let back = tokio::time::timeout(Duration::from_secs(2 * 3600), back).await;
    back.unwrap_or_else(|_| panic!("{path} comes back"));
}

/// The key of a shard is lost with its checkpoint: that is told, and halts and delays nothing. The key is put back: so is the checkpoint.
#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_be_signed_again_stops_nothing() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log).await;
    rotate(&log).await;
    write(&log).await;
    let tree = log.ledger.state().shards[0].identity.tree_id;
    engine.shutdown().await;
    let key = Keys::new("dev").signing_key(tree);
    let (mut rows, mut objects) = (rig.rows.rows(), rig.objects.objects());
    let sealed = rows.remove(&key).unwrap();
    let good = objects.remove(CHECKPOINT).unwrap();
    let rig = rig.on(rows, objects);
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log).await;
    while log.damaged().iter().all(|d| d.path != CHECKPOINT) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let reason = log.status().reason.unwrap();
    assert!(reason.contains(CHECKPOINT), "{reason}");
    rotate(&log).await;
    write(&log).await;
    let back = Transaction {
        puts: vec![(key, sealed)],
        ..Transaction::default()
    };
    rig.rows.transact(back).await;
    comes_back(&rig, CHECKPOINT, &good).await;
    while log.status().reason.is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    engine.shutdown().await;
}

async fn two(rig: &Rig) -> (Arc<Engine>, Arc<Engine>) {
    let publisher = rig.alone(&[Program::Publish], false, &rig.time).await;
    let rest = [Program::Integrate, Program::Replicate, Program::Distribute];
    let rest = rig.alone(&rest, true, &rig.time).await;
    (publisher, rest)
}

/// If `publish` is a separate process, it does not serve readers or check objects.
#[tokio::test(start_paused = true)]
async fn what_is_lost_while_sth_runs_elsewhere_comes_back() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log).await;
    let early = rig.objects.get(CHECKPOINT).await.unwrap().unwrap();
    write(&log).await;
    rotate(&log).await;
    write(&log).await;
    engine.shutdown().await;
    let good = rig.objects.objects();
    let (publisher, rest) = two(&rig).await;
    let log = rest.log("dev").unwrap();
    write(&log).await;
    // It is looked at when it starts.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let lost = [CHECKPOINT, SEAL].map(str::to_owned);
    rig.objects.delete(lost.to_vec()).await.unwrap();
    for path in &lost {
        comes_back(&rig, path, &good[path]).await;
    }
    // An older one, put late by a server that then ended.
    rig.objects
        .put(vec![(CHECKPOINT.to_owned(), early)])
        .await
        .unwrap();
    comes_back(&rig, CHECKPOINT, &good[CHECKPOINT]).await;
    rest.shutdown().await;
    publisher.shutdown().await;
}

/// A checkpoint of another history under the shard's own key is evidence, however small: the log halts, and it stays.
#[tokio::test(start_paused = true)]
async fn a_smaller_checkpoint_of_another_history_stays() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log).await;
    engine.shutdown().await;
    let fork = rig.on(rig.rows.rows(), rig.objects.objects());
    let (engine, log) = fork.server(&Faults::new()).await;
    let at = log.append(Bytes::from_static(b"y")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    engine.shutdown().await;
    let other = fork.objects.get(CHECKPOINT).await.unwrap().unwrap();
    let (engine, log) = rig.server(&Faults::new()).await;
    write(&log).await;
    write(&log).await;
    rotate(&log).await;
    write(&log).await;
    engine.shutdown().await;
    // It is found by a start, by a check of damaged objects, and by the task that signs again.
    for found_by in ["start", "look", "signer"] {
        let rig = rig.on(rig.rows.rows(), rig.objects.objects());
        let put = async || {
            let put = vec![(CHECKPOINT.to_owned(), other.clone())];
            rig.objects.put(put).await.unwrap();
        };
        if found_by == "start" {
            put().await;
        }
        let engine = match found_by {
            // Without writes no other task checks.
            "signer" => rig.alone(&[Program::Publish], false, &rig.time).await,
            _ => rig.server(&Faults::new()).await.0,
        };
        let log = engine.log("dev").unwrap();
        if found_by != "start" {
            tokio::time::sleep(Duration::from_secs(60)).await;
            put().await;
        }
        if found_by == "look" {
            log.objects.damage.suspect(&Arc::from("a"), LeafIndex::ZERO);
        } else if found_by == "signer" {
            log.publication
                .unsettle(&log.shards.get(&log.ledger.state(), "a").unwrap());
        }
        let halted = tokio::time::timeout(Duration::from_secs(600), log.health.halt.halted());
        let why = halted.await.expect(found_by);
        assert!(why.contains("two histories"), "{found_by}: {why}");
        let stored = rig.objects.get(CHECKPOINT).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&other), "{found_by}");
        engine.shutdown().await;
    }
}
