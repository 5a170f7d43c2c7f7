//! A secondary that answers, and rows that land late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::BoxFuture;
use logconfig::SecondaryConfig;
use mirror::{PeerAnswer, PeerClient, PeerError, PeerLife, PeerRequest};
use order::Generation;
use order::keys::Keys;
use store::fault::{Fault, Faults, Operation};
use store::{Coordination as _, Outcome, Transaction, record};
use tlog::GlobalIndex;

use crate::life::Life;
use crate::position::{self, Described, Storage};
use crate::tests::rig::{Rig, caller};
use crate::{Log, MergeOptions, Request};

/// A secondary that takes manifests and nothing else, while it can be reached.
#[derive(Debug, Default)]
struct TakesManifests {
    away: AtomicBool,
    /// It has entries of the first life of the log, and takes no manifest of another one.
    ahead: AtomicBool,
}

impl PeerClient for TakesManifests {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(async move {
            if self.away.load(SeqCst) {
                return Err(PeerError::Unreachable("away".to_owned()));
            }
            let manifest = request.body.is_some() && request.url.ends_with("/manifest");
            let ahead = manifest && self.ahead.load(SeqCst);
            Ok(PeerAnswer {
                status: match (manifest, ahead) {
                    (true, true) => 409,
                    (true, false) => 200,
                    (false, _) => 503,
                },
                incarnation: Some("1".to_owned()),
                life: ahead.then_some(PeerLife { id: 0, entries: 5 }),
                ..PeerAnswer::default()
            })
        })
    }
}

fn secondary() -> SecondaryConfig {
    let key = tlog::Cosigner::from_seed("x", &[1; 32]).unwrap();
    SecondaryConfig {
        name: "x".parse().unwrap(),
        url: "https://x.example".to_owned(),
        vkey: key.verifier().to_string(),
    }
}

async fn copies_to_x(log: &Log) {
    let mut next = log.config();
    next.merge.secondaries = vec![secondary()];
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    log.change(request, caller()).await.unwrap();
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// A server that sent a manifest is stopped before it writes that down. Meanwhile another one learns that the storage is an older copy of
/// itself, which has lost the manifest.
#[tokio::test(start_paused = true)]
async fn a_manifest_that_was_lost_meanwhile_is_not_written_down() {
    let (rig, rows) = (Rig::new(), Faults::new());
    let peer = Arc::new(TakesManifests::default());
    let merge = MergeOptions {
        peers: Arc::clone(&peer) as Arc<dyn PeerClient>,
        ..MergeOptions::default()
    };
    let (engine, log) = rig.process(&rows, &Faults::new(), merge).await;
    let (keys, gone) = (Keys::new("dev"), Arc::clone(&peer));
    let row = keys.manifest("x");
    let written = row.clone();
    rows.plan(move |_, operation| match operation {
        Operation::Transact(t) if t.puts.iter().any(|(key, _)| *key == written) => {
            gone.away.store(true, SeqCst);
            Some(Fault::Hold)
        }
        _ => None,
    });
    let storage = Storage {
        incarnation: "1".to_owned(),
        vkey: secondary().vkey,
        whole: false,
    };
    copies_to_x(&log).await;
    while rows.held() == 0 {
        pause().await;
    }
    rows.clear();
    let (number, _) = position::storage(&*rig.rows, &keys, "x").await.unwrap();
    let found = Transaction {
        puts: vec![(
            keys.storage("x"),
            record::encode_numbered(number + 1, &storage),
        )],
        deletes: vec![row.clone()],
        ..Transaction::default()
    };
    let found = rig.rows.transact(found).await;
    assert!(matches!(found, Outcome::Committed), "{found:?}");
    rows.release().await;
    assert_eq!(rig.rows.get(&row).await.unwrap(), None);
    // It is sent again, and then counts.
    peer.away.store(false, SeqCst);
    while rig.rows.get(&row).await.unwrap().is_none() {
        pause().await;
    }
    engine.shutdown().await;
}

/// A secondary had taken a life of the log. An older copy of its disk accepts the life before, whose lost primary is back and has copied
/// more to it: this life must not count it among those that refuse the earlier one.
#[tokio::test(start_paused = true)]
async fn a_life_that_was_taken_and_forgotten_is_not_believed_taken() {
    let (rig, none) = (Rig::new(), Faults::new());
    let (engine, log) = rig.server(&none).await;
    copies_to_x(&log).await;
    engine.shutdown().await;
    let keys = Keys::new("dev");
    let (life, row) = (
        Life {
            storages: std::collections::BTreeMap::new(),
            lowered: std::collections::BTreeMap::new(),
            settled: None,
            id: 7,
            generation: Generation::new(2),
            entries: GlobalIndex::ZERO,
            forced: None,
            forks: None,
        },
        Described {
            unsettled: false,
            incarnation: "1".to_owned(),
            vkey: secondary().vkey,
            generation: Generation::new(2),
            life: 7,
        },
    );
    let restored = Transaction {
        puts: vec![
            (keys.life(), record::encode(&life)),
            (keys.announced(), record::encode_numbered(7, &7u64)),
            (keys.manifest("x"), record::encode_numbered(2, &row)),
        ],
        ..Transaction::default()
    };
    let restored = rig.rows.transact(restored).await;
    assert!(matches!(restored, Outcome::Committed), "{restored:?}");
    let peer = Arc::new(TakesManifests::default());
    peer.ahead.store(true, SeqCst);
    let merge = MergeOptions {
        peers: Arc::clone(&peer) as Arc<dyn PeerClient>,
        ..MergeOptions::default()
    };
    let (engine, log) = rig.process(&none, &none, merge).await;
    let told = async || rig.rows.get(&keys.manifest("x")).await.unwrap().is_some();
    for _ in 0..1000 {
        if !told().await {
            break;
        }
        pause().await;
    }
    assert!(!told().await);
    assert_eq!(
        log.status()
            .reason
            .filter(|why| why.contains("restored again")),
        None
    );
    engine.shutdown().await;
}
