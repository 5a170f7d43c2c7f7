//! A node that is slow, away or corrupt costs nothing but its share, and is put right when it is back.

use std::sync::atomic::AtomicUsize;

use logconfig::{FrontendConfig, StorageNode};

use crate::nodes::node::Missed;
use crate::nodes::repair::Needed;
use crate::nodes::*;
use store::MemoryObjects;
use store::fault::{Fault, Faults, FaultyObjects, Operation};
use store::record;

const PATH: &str = "log/dev/batch/1";
const PREFIX: &str = "log/dev/batch/";
const FIRST: Generation = Generation::new(1);

/// Three nodes, each with its own faults.
struct Bench {
    stores: [Arc<MemoryObjects>; 3],
    faults: [Faults; 3],
    nodes: Nodes,
}

struct Named(BTreeMap<String, Arc<dyn Objects>>);

impl Places for Named {
    fn node(&self, name: &str) -> crate::Opening<'_> {
        Box::pin(std::future::ready(
            self.0
                .get(name)
                .cloned()
                .ok_or_else(|| "unknown".to_owned()),
        ))
    }
    fn frontend(&self, _: &FrontendConfig) -> crate::Opening<'_> {
        Box::pin(std::future::ready(Err("none".to_owned())))
    }
}

fn bench(quorum: u32) -> Bench {
    let stores = [(); 3].map(|()| Arc::new(MemoryObjects::new()));
    let faults = [(); 3].map(|()| Faults::new());
    let store = |at: usize| -> Arc<dyn Objects> {
        let inner = Arc::clone(&stores[at]) as Arc<dyn Objects>;
        Arc::new(FaultyObjects::new(inner, faults[at].clone()))
    };
    let named = [("b", 1), ("c", 2)].map(|(name, at)| (name.to_owned(), store(at)));
    let nodes = Nodes::new(store(0), Arc::new(Named(named.into())));
    let names = ["local", "b", "c"].map(|name| StorageNode {
        name: name.parse().unwrap(),
    });
    nodes.configure(&StorageConfig {
        quorum,
        nodes: names.to_vec(),
    });
    nodes.complete(FIRST);
    Bench {
        stores,
        faults,
        nodes,
    }
}

impl Bench {
    fn bytes() -> Bytes {
        Bytes::from_static(b"entries")
    }

    async fn put(&self) -> Result<(), StoreError> {
        self.nodes.put(vec![(PATH.to_owned(), Self::bytes())]).await
    }

    /// With the batch ordered and not published.
    async fn repair(&self) {
        let mut needed = Needed::default();
        let digest = record::digest(&Self::bytes());
        needed.paths.insert(PATH.to_owned(), digest);
        self.nodes.repair_all(PREFIX, Some(&needed)).await;
    }

    fn have(&self) -> usize {
        let has = |store: &&Arc<MemoryObjects>| store.objects().contains_key(PATH);
        self.stores.iter().filter(has).count()
    }

    async fn reaches(&self, have: usize) {
        while self.have() != have {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_quorum_is_enough_and_a_slow_node_goes_on_behind() {
    let bench = bench(2);
    bench.faults[1].every_write(Fault::Stall);
    bench.put().await.unwrap();
    assert_eq!(bench.have(), 2);
    bench.faults[1].clear();
    bench.faults[1].release().await;
    bench.reaches(3).await;
}

#[tokio::test]
async fn too_few_are_an_error_that_says_who() {
    let bench = bench(2);
    bench.faults[1].every_write(Fault::Lose);
    bench.put().await.unwrap();
    bench.faults[2].every_write(Fault::full());
    let error = bench.put().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Full(_)
                | StoreError::Quorum {
                    have: 1,
                    quorum: 2,
                    ..
                }
        ),
        "{error}"
    );
    let states = bench.nodes.states();
    assert!(states["b"].trouble.is_some() && states["c"].trouble.is_some());
    assert!(states["local"].trouble.is_none());
}

/// The nodes of one document with the quorum of another would be too few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_goes_by_one_document_though_it_changes_meanwhile() {
    let bench = bench(1);
    bench.faults[2].every_write(Fault::Lose);
    let document = |names: &[&str], quorum| StorageConfig {
        quorum,
        nodes: names
            .iter()
            .map(|name| StorageNode {
                name: name.parse().unwrap(),
            })
            .collect(),
    };
    let documents = [document(&["b"], 1), document(&["local", "c"], 2)];
    // Not the one that the bench began with, under which any node is enough: the operator may come late.
    bench.nodes.configure(&documents[0]);
    let (nodes, over) = (bench.nodes.clone(), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::clone(&over);
    let operator = tokio::spawn(async move {
        while stop.load(Relaxed) == 0 {
            for document in &documents {
                nodes.configure(document);
            }
            tokio::task::yield_now().await;
        }
    });
    let mut lost = 0;
    for number in 0..20_000 {
        let path = format!("{PREFIX}{number}");
        let put = bench.nodes.put(vec![(path.clone(), Bench::bytes())]).await;
        lost += usize::from(put.is_ok() && !bench.stores[1].objects().contains_key(&path));
        bench.stores[0].delete(vec![path.clone()]).await.unwrap();
        bench.stores[1].delete(vec![path]).await.unwrap();
    }
    over.store(1, Relaxed);
    operator.await.unwrap();
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn a_node_that_comes_back_gets_what_it_missed() {
    let bench = bench(2);
    bench.repair().await;
    bench.faults[2].every_write(Fault::Lose);
    bench.put().await.unwrap();
    while bench.nodes.states()["c"].missed == 0 {
        tokio::task::yield_now().await;
    }
    bench.repair().await;
    assert_eq!(bench.nodes.states()["c"].missed, 1, "it is still away");
    bench.faults[2].clear();
    bench.repair().await;
    let state = &bench.nodes.states()["c"];
    assert_eq!(
        (state.missed, state.repaired, &state.trouble),
        (0, 1, &None)
    );
    bench.reaches(3).await;
    // Files that it was to delete meanwhile are deleted, too.
    bench.faults[2].every_write(Fault::Lose);
    bench.nodes.delete(vec![PATH.to_owned()]).await.unwrap();
    bench.reaches(1).await;
    while bench.nodes.states()["c"].missed == 0 {
        tokio::task::yield_now().await;
    }
    bench.faults[2].clear();
    bench.repair().await;
    bench.reaches(0).await;
}

/// A new node, or one whose disk was replaced: what it lacks is found by looking.
#[tokio::test]
async fn a_new_node_is_brought_up_to_date() {
    let bench = bench(1);
    let object = vec![(PATH.to_owned(), Bench::bytes())];
    bench.stores[0].put(object).await.unwrap();
    bench.repair().await;
    bench.reaches(3).await;
}

/// One node loses a batch without notice, and much later the other one loses its disk: never more than one at a time, so the entry that
/// was acknowledged with a quorum of two is there.
#[tokio::test(start_paused = true)]
async fn a_batch_that_a_node_lost_without_notice_is_written_again() {
    let (rig, none) = (crate::tests::rig::Rig::new(), Faults::new());
    let b = Arc::new(MemoryObjects::new());
    let named = [("b".to_owned(), Arc::clone(&b) as Arc<dyn Objects>)];
    let merge = |programs| crate::MergeOptions {
        programs,
        places: Arc::new(Named(named.clone().into())),
        ..crate::MergeOptions::default()
    };
    let (engine, log) = rig
        .process(&none, &none, merge(crate::Programs::NONE))
        .await;
    let mut next = log.config();
    next.merge.storage = StorageConfig {
        quorum: 2,
        nodes: ["local", "b"]
            .map(|name| StorageNode {
                name: name.parse().unwrap(),
            })
            .to_vec(),
    };
    let configure = crate::Request::Configure {
        base: None,
        next: Box::new(next),
    };
    let caller = crate::tests::rig::caller();
    log.change(configure, caller).await.unwrap();
    let at = log.append(Bytes::from(vec![7; 65_535])).await.unwrap();
    let batches = |node: &MemoryObjects| -> Vec<String> {
        let objects = node.objects().into_keys();
        objects.filter(|path| path.starts_with(PREFIX)).collect()
    };
    // The comparison that naming a node begins has ended.
    while log.objects.nodes.lack() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let lost = batches(&b);
    assert_eq!((lost.len(), &lost), (1, &batches(&rig.objects)));
    b.delete(lost.clone()).await.unwrap();
    tokio::time::sleep(2 * repair::COMPARISON).await;
    rig.objects.delete(lost).await.unwrap();
    engine.shutdown().await;
    let (engine, log) = rig.process(&none, &none, merge(crate::Programs::ALL)).await;
    tokio::select! {
        published = log.wait_published(at.index) => published.unwrap(),
        why = log.health.halt.halted() => panic!("{why}"),
    }
    engine.shutdown().await;
}

/// A batch that was deleted while a node was away does not come back from it, even if the deletion is not remembered.
#[tokio::test]
async fn what_was_deleted_does_not_come_back() {
    let bench = bench(1);
    // Nobody here knows that the third node missed the deletion.
    let object = vec![(PATH.to_owned(), Bench::bytes())];
    bench.stores[2].put(object).await.unwrap();
    bench
        .nodes
        .repair_all(PREFIX, Some(&Needed::default()))
        .await;
    assert_eq!(bench.have(), 1);
    // Nor where a node is remembered to have missed the batch itself.
    bench.nodes.node("b").miss([(
        PATH.to_owned(),
        Missed::Put(record::digest(&Bench::bytes())),
    )]);
    let mut over = Needed::default();
    over.over.insert(PATH.to_owned());
    bench.nodes.repair_all(PREFIX, Some(&over)).await;
    assert_eq!((bench.have(), bench.nodes.states()["b"].missed), (1, 0));
}

/// A batch that will never be ordered is deleted while the repair writes it to a node that missed it: it does not stay there.
#[tokio::test]
async fn what_is_deleted_during_its_repair_does_not_stay() {
    let bench = bench(1);
    bench.faults[1].every_write(Fault::Lose);
    bench.put().await.unwrap();
    bench.reaches(2).await;
    while bench.nodes.states()["b"].missed == 0 {
        tokio::task::yield_now().await;
    }
    let (begins, begun) = tokio::sync::oneshot::channel();
    let mut begins = Some(begins);
    bench.faults[1].plan(move |_, operation| {
        let first = operation.writes().then(|| begins.take()).flatten()?;
        first.send(()).unwrap();
        Some(Fault::Stall)
    });
    // It is not ordered yet.
    let needed = Needed::default();
    let repair = bench.nodes.repair_all(PREFIX, Some(&needed));
    let delete = async {
        begun.await.unwrap();
        bench.nodes.delete(vec![PATH.to_owned()]).await.unwrap();
        // A write that failed late does not bring it back, either.
        bench.nodes.node("b").miss([(
            PATH.to_owned(),
            Missed::Put(record::digest(&Bench::bytes())),
        )]);
        bench.faults[1].release().await;
    };
    tokio::join!(repair, delete);
    bench.reaches(1).await;
    bench.nodes.repair_all(PREFIX, Some(&needed)).await;
    assert_eq!((bench.have(), bench.nodes.states()["b"].missed), (0, 0));
}

/// A batch that only a silent node may have keeps its reader from nothing else, and the silent node is the one that is named.
#[tokio::test]
async fn a_batch_that_nobody_gives_does_not_hold_up_the_others() {
    let bench = bench(1);
    let object = vec![(PATH.to_owned(), Bench::bytes())];
    bench.stores[0].put(object).await.unwrap();
    bench.faults[2].plan(|_, operation| (!operation.writes()).then_some(Fault::Lose));
    let missed = Missed::Put(record::digest(&Bench::bytes()));
    let earlier = format!("{PREFIX}0");
    bench
        .nodes
        .node("b")
        .miss([(earlier, missed), (PATH.to_owned(), missed)]);
    let needed = Needed::default();
    bench.nodes.repair_all(PREFIX, Some(&needed)).await;
    assert_eq!(bench.stores[1].objects().get(PATH), Some(&Bench::bytes()));
    let states = bench.nodes.states();
    assert_eq!((states["b"].missed, &states["b"].trouble), (1, &None));
    assert!(states["c"].trouble.is_some(), "{states:?}");
    // It answers: no node has that batch any more.
    bench.faults[2].clear();
    bench.nodes.repair_all(PREFIX, Some(&needed)).await;
    assert_eq!(bench.nodes.states()["b"].missed, 0);
}

/// A node with other bytes is no source: the right ones are copied from where they are, or nothing is.
#[tokio::test]
async fn a_new_node_gets_nothing_but_what_was_ordered() {
    let bench = bench(1);
    let bad = vec![(PATH.to_owned(), Bytes::from_static(b"damaged"))];
    bench.stores[0].put(bad).await.unwrap();
    bench.repair().await;
    assert_eq!(bench.have(), 1);
    let good = vec![(PATH.to_owned(), Bench::bytes())];
    bench.stores[1].put(good).await.unwrap();
    bench.repair().await;
    for store in &bench.stores {
        assert_eq!(store.objects().get(PATH), Some(&Bench::bytes()));
    }
}

#[tokio::test]
async fn the_first_good_answer_is_taken() {
    let bench = bench(2);
    let digest = record::digest(&Bench::bytes());
    assert_eq!(bench.nodes.read(PATH, &digest, FIRST).await.unwrap(), None);
    bench.put().await.unwrap();
    bench.reaches(3).await;
    // Slow, away, corrupt: the third is enough.
    let bad = vec![(PATH.to_owned(), Bytes::from_static(b"damaged"))];
    bench.stores[0].put(bad).await.unwrap();
    bench.faults[1].plan(|_, operation| (!operation.writes()).then_some(Fault::Lose));
    let read = bench.nodes.read(PATH, &digest, FIRST).await.unwrap();
    assert_eq!(read, Some(Bench::bytes()));
    // Nobody has the right bytes: never the wrong ones.
    let bad = vec![(PATH.to_owned(), Bytes::from_static(b"damaged"))];
    bench.stores[2].put(bad).await.unwrap();
    assert!(bench.nodes.read(PATH, &digest, FIRST).await.is_err());
    // The corrupt ones are written again from one that is right.
    bench.faults[1].clear();
    assert!(bench.nodes.states()["local"].missed > 0);
}

/// Another replica writes to the nodes of a generation that this one learns of while it reads.
#[tokio::test]
async fn a_batch_is_not_missing_while_the_list_of_nodes_changes() {
    let bench = bench(2);
    let digest = record::digest(&Bench::bytes());
    let config = |names: &[&str]| StorageConfig {
        quorum: 1,
        nodes: names
            .iter()
            .map(|name| StorageNode {
                name: name.parse().unwrap(),
            })
            .collect(),
    };
    bench.nodes.configure(&config(&["local"]));
    bench.nodes.leave([]);
    let other = vec![(PATH.to_owned(), Bench::bytes())];
    bench.stores[1].put(other).await.unwrap();

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    bench.faults[0].plan(move |_, operation| {
        count.fetch_add(1, Relaxed);
        (!operation.writes()).then_some(Fault::Stall)
    });
    let second = FIRST.next();
    let nodes = bench.nodes.clone();
    let reading = tokio::spawn(async move { nodes.read(PATH, &digest, second).await });
    while asked.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    bench.nodes.configure(&config(&["c"]));
    bench.nodes.leave(["local".to_owned(), "b".to_owned()]);
    bench.nodes.complete(second);
    bench.faults[0].clear();
    bench.faults[0].release().await;
    assert!(reading.await.unwrap().is_err());
    let read = bench.nodes.read(PATH, &digest, second).await.unwrap();
    assert_eq!(read, Some(Bench::bytes()));

    // The third generation's nodes are known before those that leave under it.
    bench.nodes.leave([]);
    let early = bench.nodes.read(PATH, &digest, second.next()).await;
    assert!(early.is_err(), "{early:?}");
}

/// Neither of two damaged nodes gets the other one's bytes.
#[tokio::test]
async fn what_is_damaged_is_never_copied() {
    let bench = bench(2);
    let digest = record::digest(&Bench::bytes());
    bench.put().await.unwrap();
    bench.reaches(3).await;
    bench.repair().await;
    for store in &bench.stores[..2] {
        let bad = vec![(PATH.to_owned(), Bytes::from_static(b"damaged"))];
        store.put(bad).await.unwrap();
    }
    // The right answer comes last.
    bench.faults[2].plan(|_, operation| (!operation.writes()).then_some(Fault::Stall));
    let nodes = bench.nodes.clone();
    let reading = tokio::spawn(async move { nodes.read(PATH, &digest, FIRST).await });
    let missed = |name: &str| bench.nodes.states()[name].missed;
    while missed("local") + missed("b") < 2 {
        tokio::task::yield_now().await;
    }
    bench.faults[2].clear();
    bench.faults[2].release().await;
    let read = reading.await.unwrap().unwrap();
    assert_eq!(read, Some(Bench::bytes()));
    bench.repair().await;
    for store in &bench.stores {
        assert_eq!(store.objects().get(PATH), Some(&Bench::bytes()));
    }
    let states = bench.nodes.states();
    assert!(
        states
            .values()
            .all(|s| s.missed == 0 && s.trouble.is_none()),
        "{states:?}"
    );
}

#[tokio::test]
async fn a_node_that_no_settings_name_counts_as_away() {
    let bench = bench(2);
    let mut config = StorageConfig::default();
    for name in ["b", "x"] {
        config.nodes.push(StorageNode {
            name: name.parse().unwrap(),
        });
    }
    config.quorum = 2;
    bench.nodes.configure(&config);
    bench.put().await.unwrap();
    assert!(bench.nodes.states()["x"].trouble.is_some());
    config.quorum = 3;
    bench.nodes.configure(&config);
    assert!(bench.put().await.is_err());
}

/// The needed batches are read only if something may be missed, and for one or two shards, however many there are.
#[tokio::test(start_paused = true)]
async fn what_is_needed_is_looked_up_only_where_it_is_missed_and_not_in_every_shard() {
    let bench = bench(1);
    bench.repair().await;
    assert!(!bench.nodes.lack());
    bench.nodes.node("b").fails("b", "away".to_owned());
    assert!(!bench.nodes.lack());
    bench.nodes.repair_all(PREFIX, None).await;
    assert_eq!(bench.nodes.states()["b"].trouble, None);
    let missed = (PATH.to_owned(), Missed::Delete);
    bench.nodes.node("b").miss([missed]);
    assert!(bench.nodes.lack());
    bench.nodes.repair_all(PREFIX, None).await;
    assert_eq!(bench.nodes.states()["b"].missed, 1);

    let (rig, faults) = (crate::tests::rig::Rig::new(), Faults::new());
    let (engine, log) = rig.server(&faults).await;
    for _ in 0..20 {
        let rotate = crate::Request::Rotate {
            name: None,
            base: None,
            force: false,
        };
        let caller = crate::tests::rig::caller();
        log.change(rotate, caller).await.unwrap();
        let at = log.append(Bytes::from_static(b"x")).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let (count, prefix) = (Arc::clone(&reads), log.ledger.keys.all_published());
    faults.plan(move |_, operation| {
        if matches!(operation, Operation::Get(key) if key.starts_with(&prefix)) {
            count.fetch_add(1, Relaxed);
        }
        None
    });
    Needed::of(&log.ledger).await.unwrap();
    assert!((1..10).contains(&reads.load(Relaxed)), "{reads:?}");
    engine.shutdown().await;
}
