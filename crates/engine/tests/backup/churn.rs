//! Everything that belongs to a log is added and removed while writers write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{ChangeError, Folders, Log, MergeOptions, PeerClient, Request};
use logconfig::{LogConfig, SecondaryConfig};
use tlog::{Checkpoint, Hash, Note};

use crate::network::Way;
use crate::world::{LONG, ORIGIN, World, caller, cosigner, create, published};

const NAMES: [&str; 4] = ["x", "yy", "zzz", "wwww"];

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn secondary(name: &str) -> SecondaryConfig {
    SecondaryConfig {
        name: name.parse().unwrap(),
        url: format!("http://{name}.example.org"),
        vkey: cosigner(name).verifier().to_string(),
    }
}

async fn change(log: &Log, edit: impl Fn(&mut LogConfig)) {
    let mut next = log.config();
    edit(&mut next);
    let request = Request::Configure {
        base: None,
        next: Box::new(next),
    };
    match log.change_unaudited(request, caller()).await {
        Ok(_) | Err(ChangeError::Stale { .. }) => {}
        Err(e) => panic!("{e:?}"),
    }
}

/// Two roots for one size would be seen here.
fn roots(world: &World, seen: &mut BTreeMap<(String, u64), Hash>) {
    let root = world.path("primary").join("objects/dev");
    let Ok(shards) = std::fs::read_dir(root) else {
        return;
    };
    for shard in shards.flatten() {
        let Ok(note) = std::fs::read_to_string(shard.path().join("checkpoint")) else {
            continue;
        };
        let at = Checkpoint::parse(Note::parse(&note).unwrap().text).unwrap();
        let first = *seen.entry((at.origin.clone(), at.size)).or_insert(at.root);
        assert_eq!(first, at.root, "{} at {}", at.origin, at.size);
    }
}

async fn course(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let world = World::new();
    let places = ["m", "n"].map(|name| (name.to_owned(), world.path(name)));
    let frontends = vec![world.path("cdn")];
    std::fs::create_dir_all(&frontends[0]).unwrap();
    let merge = || MergeOptions {
        peers: Arc::clone(&world.network) as Arc<dyn PeerClient>,
        places: Arc::new(Folders::new(places.clone().into(), frontends.clone())),
        ..MergeOptions::default()
    };
    let mut engine = world.primary_with("primary", merge()).await;
    let mut log = create(&engine, &["x"], 1).await;
    let key = log.replication_key().await.unwrap();
    let mut storages = BTreeMap::new();
    for name in NAMES {
        storages.insert(name, 0);
        world.secondary(name, &format!("{name}0"), &key).await;
    }
    let mut acknowledged = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for step in 0..24 {
        // Writers write meanwhile.
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, stopped) = (Arc::clone(&log), Arc::clone(&stop));
        let large = dice.below(3) == 0;
        let writing = tokio::spawn(async move {
            let mut given = Vec::new();
            for n in 0.. {
                if n > 0 && stopped.load(Ordering::Relaxed) {
                    return given;
                }
                let mut entry = format!("{seed} {step} {n} ").into_bytes();
                entry.resize(if large { 60_000 } else { 40 }, b'.');
                let entry = Bytes::from(entry);
                if let Ok(at) = writer.append(entry.clone()).await {
                    given.push((at.index, entry));
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            given
        });
        match dice.below(9) {
            0 | 1 => {
                let name = dice.pick(&NAMES);
                change(&log, |next| {
                    if next
                        .merge
                        .secondaries
                        .iter()
                        .all(|one| one.name.as_str() != name)
                    {
                        next.merge.secondaries.push(secondary(name));
                    }
                })
                .await;
            }
            2 => {
                let name = dice.pick(&NAMES);
                change(&log, |next| {
                    let all = &mut next.merge.secondaries;
                    if all.len() > next.merge.backup_quorum as usize {
                        all.retain(|one| one.name.as_str() != name);
                    }
                })
                .await;
            }
            3 => {
                let quorum = dice.below(3);
                change(&log, |next| {
                    let most = next.merge.secondaries.len();
                    next.merge.backup_quorum = u32::try_from(quorum.min(most).max(1)).unwrap();
                })
                .await;
            }
            // A disk is lost.
            4 => {
                let name = dice.pick(&NAMES);
                let number = storages.get_mut(name).unwrap();
                *number += 1;
                world
                    .secondary(name, &format!("{name}{number}"), &key)
                    .await;
            }
            5 => {
                let name = format!("{}.example.org", dice.pick(&NAMES));
                let way = [Way::Dead, Way::Mute, Way::Open][dice.below(3)];
                world.network.set(&name, way);
            }
            // Storage nodes: added, swapped, taken out.
            6 => {
                let sets: [&[&str]; 4] = [&["local"], &["local", "m"], &["m", "n"], &["n"]];
                let nodes = sets[dice.below(4)];
                change(&log, |next| {
                    let named = nodes.iter().map(|name| logconfig::StorageNode {
                        name: name.parse().unwrap(),
                    });
                    next.merge.storage.nodes = named.collect();
                    next.merge.storage.quorum = 1;
                })
                .await;
            }
            7 => {
                let rotate = Request::Rotate {
                    name: None,
                    base: None,
                    force: true,
                };
                log.change_unaudited(rotate, caller()).await.unwrap();
            }
            _ => {
                let url = format!("file://{}", world.path("cdn/dev").display());
                change(&log, |next| {
                    let mut frontend = vec![logconfig::FrontendConfig {
                        name: "cdn".parse().unwrap(),
                        url: url.clone(),
                    }];
                    std::mem::swap(&mut next.merge.frontends, &mut frontend);
                    if !frontend.is_empty() {
                        next.merge.frontends.clear();
                    }
                })
                .await;
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        stop.store(true, Ordering::Relaxed);
        let written = tokio::time::timeout(LONG, writing).await;
        let written = written.unwrap_or_else(|_| panic!("no answer to the writer of step {step}"));
        acknowledged.extend(written.unwrap());
        roots(&world, &mut seen);
        if dice.below(6) == 0 {
            engine.shutdown().await;
            drop(log);
            engine = world.primary_with("primary", merge()).await;
            log = engine.log("dev").unwrap();
        }
    }
    // All are there again, and everything is published.
    for name in NAMES {
        world.network.set(&format!("{name}.example.org"), Way::Open);
    }
    let ordered = log.status().watermarks.ordered;
    published(&log, ordered.get()).await;
    roots(&world, &mut seen);
    assert!(!acknowledged.is_empty());
    for (index, entry) in &acknowledged {
        let found = log.entry(*index).await.unwrap().unwrap();
        assert_eq!(found.bytes, *entry, "entry {index}");
    }
    // Storages that are new since count in a restore when they have been told the manifest.
    let hash = tlog::mirror::origin_hash(ORIGIN);
    let told = async {
        for name in log.peers().secondaries().keys() {
            let mirror = {
                let all = world.network.mirrors.lock().unwrap();
                Arc::clone(&all[&format!("{name}.example.org")])
            };
            while mirror.manifest(&hash).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
    // And when they have verified everything again.
    let counted = async {
        for n in 0.. {
            let again = world.restore(&format!("try{n}"), &NAMES, false);
            match again.run().await {
                Err(engine::RestoreError::TooFew(_)) => {}
                done => return drop(done.unwrap()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, counted).await.unwrap();
    engine.shutdown().await;
    // The secondaries have exactly the acknowledged entries.
    drop((log, engine));
    std::fs::remove_dir_all(world.path("primary")).unwrap();
    let restored = world
        .restore("restored", &NAMES, false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.entries, ordered);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_and_goes_nothing_acknowledged_is_lost_and_all_is_published() {
    for seed in 1..4 {
        course(seed).await;
    }
}
