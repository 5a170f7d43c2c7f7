//! A node is released when no batch on it can be ordered any more, however long a server that wrote there was paused.

use bytes::Bytes;
use logconfig::{FrontendConfig, StorageNode};

use crate::heart;
use crate::leaving::*;
use crate::places::{Opening, Places};
use crate::tests::rig::{Rig, caller};
use crate::{Log, MergeOptions, Request};
use order::token::Tokens;
use order::{batch, writes};
use qos::Advice;
use store::fault::{Fault, Faults, Operation};
use store::{Coordination as _, MemoryObjects, Objects};
use tlog::{GlobalIndex, UnixMillis};

#[derive(Default)]
struct Two {
    b: Arc<MemoryObjects>,
    c: Arc<MemoryObjects>,
}

impl Places for Two {
    fn node(&self, name: &str) -> Opening<'_> {
        Box::pin(std::future::ready(match name {
            "b" => Ok(Arc::clone(&self.b) as Arc<dyn Objects>),
            "c" => Ok(Arc::clone(&self.c) as Arc<dyn Objects>),
            _ => Err("unknown".to_owned()),
        }))
    }
    fn frontend(&self, _: &FrontendConfig) -> Opening<'_> {
        Box::pin(std::future::ready(Err("none".to_owned())))
    }
}

fn at(places: &Arc<Two>) -> MergeOptions {
    MergeOptions {
        places: Arc::clone(places) as Arc<dyn Places>,
        ..MergeOptions::default()
    }
}

async fn only(log: &Log, node: &str) {
    let mut next = log.config();
    next.merge.storage.nodes = vec![StorageNode {
        name: node.parse().unwrap(),
    }];
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(request, caller()).await.unwrap();
}

fn large(text: u8) -> Bytes {
    Bytes::from(vec![text; 65_535])
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn batches(node: &MemoryObjects) -> usize {
    let objects = node.objects();
    objects.keys().filter(|key| key.contains("batch/")).count()
}

/// A server is paused while its large batch is only on the node that is then taken out, and its heartbeats are forgotten. It continues with
/// a view that every other guard allows.
#[tokio::test(start_paused = true)]
async fn a_node_is_needed_by_a_server_that_was_stopped() {
    for promises in [false, true] {
        let (rig, faults, none) = (Rig::new(), Faults::new(), Faults::new());
        let places = Arc::new(Two::default());
        let (stopped, writer) = rig.process(&faults, &none, at(&places)).await;
        only(&writer, "b").await;
        writer.append(large(1)).await.unwrap();
        let ids = stopped.replicas(None).await.unwrap();
        writer.wait_published(GlobalIndex::ZERO).await.unwrap();
        until(|| batches(&places.b) == 0).await;
        faults.plan(|_, _| Some(Fault::Stall));
        let late = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move {
                if promises {
                    let (tenant, advice) = (writer.policy().own(), Advice::default());
                    let promise = writer.promise(large(2), tenant, &advice).await;
                    promise.map(drop)
                } else {
                    writer.append(large(2)).await.map(drop)
                }
            }
        });
        until(|| batches(&places.b) == 1).await;
        let (lives, log) = rig.process(&none, &none, at(&places)).await;
        only(&log, "c").await;
        let leaving = || rig.with(&log.ledger.keys.leaving("b"));
        assert_eq!(leaving(), 1);
        for id in ids {
            heart::forget(&*rig.rows, &id.id, None).await.unwrap();
        }
        // No slot is decided meanwhile: a log in which nobody writes lets a node go, too.
        while leaving() > 0 {
            release_nodes(&log.guard).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        faults.clear();
        faults.release().await;
        let late = late.await.unwrap();
        // A batch on a node that nobody reads is not ordered; a promise is made again on nodes that are read.
        assert_eq!(late.is_ok(), promises, "{late:?}");
        let next = log.append(large(3)).await.unwrap();
        log.wait_published(next.index).await.unwrap();
        while promises && log.ledger.state().size < GlobalIndex::new(3) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            log.ledger.refresh().await.unwrap();
        }
        let size = log.ledger.state().size;
        log.wait_published(size.back(1)).await.unwrap();
        assert_eq!(
            (size.get(), log.health.halt.reason()),
            (2 + u64::from(promises), None)
        );
        stopped.shutdown().await;
        lives.shutdown().await;
    }
}

/// A server whose look at the rows fails, or comes too early, asks a node that is leaving anyway.
#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_asked_whatever_becomes_of_the_look_at_its_row() {
    let (rig, faults, none) = (Rig::new(), Faults::new(), Faults::new());
    let places = Arc::new(Two::default());
    let (engine, log) = rig.process(&none, &none, at(&places)).await;
    only(&log, "b").await;
    let (second, other) = rig.process(&faults, &none, at(&places)).await;
    let rows = log.ledger.keys.all_leaving();
    faults.plan(move |_, operation| match operation {
        Operation::Scan(prefix) if *prefix == rows => {
            Some(Fault::Fail(StoreError::Io("injected".into())))
        }
        _ => None,
    });
    let leaves = || {
        let states = other.objects.nodes.states();
        states.get("b").is_some_and(|node| node.leaving)
    };
    let key = log.ledger.keys.leaving("b");
    only(&log, "c").await;
    until(|| other.objects.nodes.states().contains_key("c")).await;
    assert!(leaves(), "before any row was read");
    faults.clear();
    assert_eq!(rig.with(&key), 1);
    second.shutdown().await;
    engine.shutdown().await;
}

/// How the announcement of a batch stands whose author is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Live,
    /// A freeze ended it.
    Frozen,
    /// It may be ordered in a shard only that takes no more entries.
    Rotated,
}

/// A batch is announced, then its author dies, and nobody writes: it is ordered, or dropped if that is not possible; then the node is
/// released.
#[tokio::test(start_paused = true)]
async fn what_an_author_left_in_the_bag_keeps_no_node() {
    for left in [Left::Live, Left::Frozen, Left::Rotated] {
        let (rig, none) = (Rig::new(), Faults::new());
        let places = Arc::new(Two::default());
        let (engine, log) = rig.process(&none, &none, at(&places)).await;
        only(&log, "b").await;
        let keys = &log.ledger.keys;
        let (token, mut bytes) = (
            Tokens::new([1; 6]).make(UnixMillis::new(1)),
            bytes::BytesMut::new(),
        );
        batch::push(&mut bytes, &large(1));
        let bytes = bytes.freeze();
        let work = Work::Batch(BatchRef {
            token,
            entries: 1,
            digest: record::digest(&bytes),
            object: true,
            shard: (left == Left::Rotated).then(|| "a".to_owned()),
            location: None,
        });
        let object = vec![(keys.batch(token), bytes)];
        places.b.put(object).await.unwrap();
        let seen = log.ledger.state().len;
        let change = |request| log.change(request, caller());
        match left {
            Left::Live => {}
            Left::Frozen => {
                change(Request::Freeze { now: true }).await.unwrap();
                change(Request::Unfreeze).await.unwrap();
            }
            Left::Rotated => {
                let rotate = Request::Rotate {
                    name: Some("b".parse().unwrap()),
                    base: None,
                    force: false,
                };
                change(rotate).await.unwrap();
            }
        }
        only(&log, "c").await;
        let announced = Transaction {
            puts: vec![(keys.announcement(seen, token), record::encode(&work))],
            ..Transaction::default()
        };
        let outcome = rig.rows.transact(announced).await;
        assert!(matches!(outcome, Outcome::Committed));
        let leaving = || rig.with(&keys.leaving("b"));
        let gone = async {
            while leaving() > 0 {
                release_nodes(&log.guard).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
        assert!(gone.is_ok(), "{left:?}: it stays forever");
        let size = log.ledger.state().size;
        assert_eq!(
            size,
            GlobalIndex::new(u64::from(left == Left::Live)),
            "{left:?}"
        );
        let published = log.shards.published(&log.ledger.state());
        assert_eq!((published, log.health.halt.reason()), (size, None));
        engine.shutdown().await;
    }
}

/// Promised work goes from the queue to the bag and back at once, by a delayed release: no scan of both misses it.
#[tokio::test(start_paused = true)]
async fn a_promise_that_moves_while_it_is_looked_for_is_not_missed() {
    for before in [false, true] {
        let (rig, faults, none) = (Rig::new(), Faults::new(), Faults::new());
        let places = Arc::new(Two::default());
        let (engine, log) = rig.process(&faults, &none, at(&places)).await;
        only(&log, "b").await;
        let keys = log.ledger.keys.clone();
        // No releaser takes it away.
        let bag = keys.bag();
        faults.plan(move |_, operation| match operation {
            Operation::Transact(t) if t.puts.iter().any(|(k, _)| k.starts_with(&bag)) => {
                Some(Fault::Lose)
            }
            _ => None,
        });
        let (tenant, advice) = (log.policy().own(), Advice::default());
        log.promise(large(1), tenant, &advice).await.unwrap();
        let rows = rig
            .rows
            .scan(&keys.queue(), &keys.queue(), 1)
            .await
            .unwrap();
        let promised: Promised = record::decode(&rows[0].1).unwrap();
        let works = [promised.clone()];
        let slots = log.ledger.state().len;
        // A release that is held up while a freeze ends whatever is in the bag.
        let late = writes::release(&keys, slots, &works);
        let froze = async || {
            let change = |request| log.change(request, caller());
            change(Request::Freeze { now: true }).await.unwrap();
            change(Request::Unfreeze).await.unwrap();
        };
        if before {
            froze().await;
        }
        let from = log.ledger.bound_releases().await.unwrap();
        if !before {
            froze().await;
        }
        let moves = matches!(rig.rows.transact(late).await, Outcome::Committed);
        assert_eq!(moves, !before, "it is refused, or noticed");
        if moves {
            let key = keys.announcement(slots, promised.batch.token);
            log.ledger.settle_row(&key, &promised).await.unwrap();
        }
        assert_eq!(rig.with(&keys.queue()), 1);
        assert_eq!(log.ledger.returned(from).await.unwrap(), moves);
        assert!(
            log.ledger
                .needs_nodes(SlotNumber::new(u64::MAX))
                .await
                .unwrap()
        );
        engine.shutdown().await;
    }
}
