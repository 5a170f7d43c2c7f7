//! A frontend that loses its disk gets everything again, whenever that happens.

use std::sync::Mutex;

use store::MemoryObjects;
use store::fault::Faults;

use super::*;
use crate::places::{Opening, Places};
use crate::tests::rig::{Rig, caller};
use crate::{MergeOptions, Request};

/// One frontend, whose disk can be replaced.
#[derive(Default)]
struct Cdn(Mutex<Arc<MemoryObjects>>);

impl Cdn {
    fn disk(&self) -> Arc<MemoryObjects> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

impl Places for Cdn {
    fn node(&self, _: &str) -> Opening<'_> {
        Box::pin(std::future::ready(Err("none".to_owned())))
    }
    fn frontend(&self, _: &FrontendConfig) -> Opening<'_> {
        Box::pin(std::future::ready(Ok(self.disk() as Arc<dyn Objects>)))
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
    *cdn.0.lock().unwrap() = Arc::default();
    let pushing = tokio::spawn(pusher.run());
    let again = async {
        while !cdn.disk().objects().contains_key(&checkpoint) {
            tokio::time::sleep(CHECKPOINT_POLL).await;
        }
    };
    let again = tokio::time::timeout(2 * OLDEST_POLL, again).await;
    assert!(again.is_ok(), "the first shard is missed");
    pushing.abort();
    engine.shutdown().await;
}
