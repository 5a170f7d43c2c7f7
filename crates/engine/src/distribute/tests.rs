//! A frontend that loses its disk gets everything again, whenever that happens; one that fails now and then gets everything in the end; one whose
//! checkpoint goes back gets the last one again.

use std::sync::Mutex;

use store::MemoryObjects;
use store::fault::{Fault, Faults, FaultyObjects};

use super::*;
use crate::places::{Opening, Places};
use crate::tests::rig::{Rig, caller};
use crate::{MergeOptions, Request};

/// One frontend, whose disk can be replaced and may fail.
#[derive(Default)]
struct Cdn {
    disk: Mutex<Arc<MemoryObjects>>,
    faults: Faults,
}

impl Cdn {
    fn disk(&self) -> Arc<MemoryObjects> {
        Arc::clone(&self.disk.lock().unwrap())
    }
}

impl Places for Cdn {
    fn node(&self, _: &str) -> Opening<'_> {
        Box::pin(std::future::ready(Err("none".to_owned())))
    }
    fn frontend(&self, _: &FrontendConfig) -> Opening<'_> {
        let faulty = FaultyObjects::new(self.disk(), self.faults.clone());
        Box::pin(std::future::ready(Ok(Arc::new(faulty) as Arc<dyn Objects>)))
    }
}

/// The disk is lost after the last shard that the frontend had was sealed, and before the next one was pushed: the next one finds an empty
/// frontend, as each shard does at first, and the shards before it are missed.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_lost_between_two_shards_is_noticed() {
    let (rig, none, cdn) = (Rig::new(), Faults::new(), Arc::new(Cdn::default()));
    let merge = MergeOptions {
        places: Arc::clone(&cdn) as Arc<dyn Places>,
        ..MergeOptions::default()
    };
    let (engine, log) = rig.process(&none, &none, merge).await;
    let first = log.active_shard().unwrap();
    let at = log.append(Bytes::from_static(b"x")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    let at = log.append(Bytes::from_static(b"y")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    let frontend = FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: "file:///srv/cdn".to_owned(),
    };
    let (_open, closing) = watch::channel(false);
    let mut pusher = Pusher::new(&log.publication, frontend, closing);
    while pusher.whole == 0 {
        pusher.push().await.unwrap();
        tokio::time::sleep(CHECKPOINT_POLL).await;
    }
    let checkpoint = format!("dev/{first}/checkpoint");
    assert!(cdn.disk().objects().contains_key(&checkpoint));
    // As before the next shard was pushed.
    pusher.has.clear();
    *cdn.disk.lock().unwrap() = Arc::default();
    let pushing = tokio::spawn(pusher.run());
    let again = async {
        while !cdn.disk().objects().contains_key(&checkpoint) {
            tokio::time::sleep(CHECKPOINT_POLL).await;
        }
    };
    let again = tokio::time::timeout(2 * SEALED_POLL, again).await;
    assert!(again.is_ok(), "the first shard is missed");
    pushing.abort();
    engine.shutdown().await;
}

/// A put of an earlier checkpoint comes late, after the last one and the seal.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_comes_late_does_not_stay() {
    let (rig, none, cdn) = (Rig::new(), Faults::new(), Arc::new(Cdn::default()));
    let merge = MergeOptions {
        places: Arc::clone(&cdn) as Arc<dyn Places>,
        ..MergeOptions::default()
    };
    let (engine, log) = rig.process(&none, &none, merge).await;
    let first = log.active_shard().unwrap();
    let write = async |entry: &'static [u8]| {
        let at = log.append(Bytes::from_static(entry)).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    };
    let frontend = FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: "file:///srv/cdn".to_owned(),
    };
    let (_open, closing) = watch::channel(false);
    let mut pusher = Pusher::new(&log.publication, frontend, closing);
    let path = format!("dev/{first}/checkpoint");
    write(b"x").await;
    pusher.push().await.unwrap();
    let early = cdn.disk().objects()[&path].clone();
    write(b"y").await;
    log.change(crate::testing::rotation(), caller())
        .await
        .unwrap();
    write(b"z").await;
    while pusher
        .has
        .get(&*first)
        .is_none_or(|has| has.sealed.is_none())
    {
        pusher.push().await.unwrap();
        tokio::time::sleep(CHECKPOINT_POLL).await;
    }
    let last = cdn.disk().objects()[&path].clone();
    assert_ne!(early, last);
    cdn.disk().put(vec![(path.clone(), early)]).await.unwrap();
    let again = async {
        while cdn.disk().objects()[&path] != last {
            pusher.push().await.unwrap();
            tokio::time::sleep(CHECKPOINT_POLL).await;
        }
    };
    let again = tokio::time::timeout(2 * LATE, again).await;
    assert!(again.is_ok(), "the checkpoint went back");
    while pusher.whole == 0 {
        pusher.push().await.unwrap();
        tokio::time::sleep(CHECKPOINT_POLL).await;
    }
    engine.shutdown().await;
}

/// More shards than can be looked at between two failures.
#[tokio::test(start_paused = true)]
async fn a_frontend_that_fails_now_and_then_catches_up() {
    let (rig, none, cdn) = (Rig::new(), Faults::new(), Arc::new(Cdn::default()));
    let merge = MergeOptions {
        places: Arc::clone(&cdn) as Arc<dyn Places>,
        ..MergeOptions::default()
    };
    let (engine, log) = rig.process(&none, &none, merge).await;
    for _ in 0..20 {
        let at = log.append(Bytes::from_static(b"x")).await.unwrap();
        log.wait_published(at.index).await.unwrap();
        log.change(crate::testing::rotation(), caller())
            .await
            .unwrap();
    }
    let at = log.append(Bytes::from_static(b"last")).await.unwrap();
    log.wait_published(at.index).await.unwrap();
    let fails = Fault::Fail(StoreError::Io("busy".to_owned()));
    cdn.faults
        .plan(move |n, _| (n % 25 == 24).then(|| fails.clone()));
    let frontend = FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: "file:///srv/cdn".to_owned(),
    };
    let (_open, closing) = watch::channel(false);
    let pusher = Pusher::new(&log.publication, frontend, closing);
    let pushing = tokio::spawn(pusher.run());
    let newest = format!("dev/{}/checkpoint", log.active_shard().unwrap());
    let there = async {
        while !cdn.disk().objects().contains_key(&newest) {
            tokio::time::sleep(CHECKPOINT_POLL).await;
        }
    };
    let there = tokio::time::timeout(Duration::from_secs(600), there).await;
    assert!(there.is_ok(), "the newest shard never comes");
    pushing.abort();
    engine.shutdown().await;
}
