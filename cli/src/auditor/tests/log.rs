//! A log in memory, as its readers see it; sound to begin with.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tlog::{
    Checkpoint, Hash, RightEdge, Seal, Signer, TILE_WIDTH, TilePath, bundle, leaf_hash, node_hash,
};

use crate::auditor::{Options, Report, Source, SourceError, audit};

/// New contents of files before the n-th time a file is read.
pub(super) type Overwrite = (String, usize, BTreeMap<String, Option<Vec<u8>>>);

/// A log as its readers see it.
#[derive(Default)]
pub(super) struct Log {
    pub(super) files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) changes: Vec<Overwrite>,
    pub(super) reads: Mutex<BTreeMap<String, usize>>,
    pub(super) ahead: AtomicUsize,
    pub(super) most_ahead: AtomicUsize,
}

impl Source for Log {
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let ahead = self.ahead.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_ahead.fetch_max(ahead, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.ahead.fetch_sub(1, Ordering::Relaxed);
        let nth = {
            let mut reads = self.reads.lock().unwrap();
            let nth = reads.entry(path.to_owned()).or_default();
            *nth += 1;
            *nth
        };
        let mut files = self.files.lock().unwrap();
        for (trigger, at, change) in &self.changes {
            if trigger == path && *at == nth {
                for (name, bytes) in change {
                    match bytes {
                        Some(bytes) => files.insert(name.clone(), bytes.clone()),
                        None => files.remove(name),
                    };
                }
            }
        }
        if files.get(path).is_some_and(|bytes| bytes == UNREADABLE) {
            return Err(SourceError::new(path, "connection refused"));
        }
        Ok(files.get(path).cloned())
    }
}

pub(super) const UNREADABLE: &[u8] = b"unreadable";

pub(super) fn origin(name: &str) -> String {
    format!("log.example.org/dev/{name}")
}

pub(super) fn signer(name: &str) -> Signer {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Signer::from_seed(&origin(name), &seed).unwrap()
}

pub(super) fn entry(index: u64) -> Vec<u8> {
    // Duplicates are entries like any other.
    format!("entry {}", index / 2).into_bytes()
}

/// Hashes of the entries `start ..`, as many as `size`: first the leaves, then each level of tiles above.
pub(super) fn levels(start: u64, size: u64) -> Vec<Vec<Hash>> {
    let mut levels: Vec<Vec<Hash>> = vec![
        (start..start + size)
            .map(|index| leaf_hash(&entry(index)))
            .collect(),
    ];
    while let Some(below) = levels.last().filter(|below| below.len() >= 256) {
        let above = below.as_chunks::<256>().0.iter().map(|tile| {
            let mut row = tile.to_vec();
            while row.len() > 1 {
                row = row
                    .as_chunks()
                    .0
                    .iter()
                    .map(|[left, right]| node_hash(left, right))
                    .collect();
            }
            row[0]
        });
        levels.push(above.collect());
    }
    levels
}

pub(super) fn root(start: u64, size: u64) -> Hash {
    let mut edge = RightEdge::new();
    for index in start..start + size {
        edge.push(leaf_hash(&entry(index)));
    }
    edge.root()
}

pub(super) fn checkpoint(name: &str, start: u64, size: u64) -> String {
    let root = root(start, size);
    Checkpoint {
        origin: origin(name),
        size,
        root,
        extensions: vec![],
    }
    .sign(&signer(name))
    .unwrap()
}

pub(super) fn seal(name: &str, next: &str, start: u64, size: u64) -> Seal {
    Seal {
        origin: origin(name),
        size,
        root: root(start, size),
        successor_origin: origin(next),
        successor_key: signer(next).verifier().clone(),
    }
}

pub(super) fn listed(
    name: &str,
    state: &str,
    start: Option<u64>,
    length: Option<u64>,
) -> serde_json::Value {
    let tree = name
        .bytes()
        .fold(1u64, |tree, byte| tree * 31 + u64::from(byte));
    json!({
        "name": name, "state": state, "treeId": tree.to_string(), "origin": origin(name),
        "vkey": signer(name).verifier().to_string(), "startIndex": start, "length": length, "more": true,
    })
}

impl Log {
    pub(super) fn put(&self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.into(), bytes.into());
    }

    pub(super) fn take(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap().remove(path).unwrap()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    /// Bundles and tiles of a shard as of `size`.
    pub(super) fn tree(&self, name: &str, start: u64, size: u64) {
        for (level, hashes) in levels(start, size).iter().enumerate() {
            for (index, tile) in hashes.chunks(256).enumerate() {
                let path = TilePath::hashes(level as u8, index as u64, tile.len() as u16);
                let bytes: Vec<u8> = tile.iter().flat_map(|hash| hash.0).collect();
                self.put(format!("{name}/{path}"), bytes);
            }
        }
        for index in 0..size.div_ceil(TILE_WIDTH) {
            let mut bytes = Vec::new();
            let (first, end) = (index * TILE_WIDTH, size.min((index + 1) * TILE_WIDTH));
            for leaf in first..end {
                bundle::push(&mut bytes, &entry(start + leaf));
            }
            self.put(
                format!("{name}/{}", TilePath::entries(index, (end - first) as u16)),
                bytes,
            );
        }
        for index in start..start + size {
            self.put(format!("entries/{index}"), entry(index));
        }
    }

    /// A sound log: shards of these sizes one after the other, the last one active, and one planned.
    pub(super) fn new(sizes: &[u64]) -> Self {
        let log = Log::default();
        let mut list = Vec::new();
        let mut start = 0;
        for (at, size) in sizes.iter().enumerate() {
            let (name, next) = (format!("s{at}"), format!("s{}", at + 1));
            log.tree(&name, start, *size);
            log.put(
                format!("{name}/checkpoint"),
                checkpoint(&name, start, *size),
            );
            if at + 1 < sizes.len() {
                let note = seal(&name, &next, start, *size)
                    .sign(&signer(&name), &signer(&next))
                    .unwrap();
                log.put(format!("{name}/seal"), note);
                list.push(listed(&name, "frozen", Some(start), Some(*size)));
            } else {
                list.push(listed(&name, "active", Some(start), None));
            }
            start += size;
        }
        let planned = format!("s{}", sizes.len());
        log.put(format!("{planned}/checkpoint"), checkpoint(&planned, 0, 0));
        list.push(listed(&planned, "planned", None, None));
        log.list(list);
        log
    }

    pub(super) fn list(&self, list: Vec<serde_json::Value>) {
        self.put("shards", serde_json::to_vec(&list).unwrap());
    }

    /// Changes a field of a shard in the list.
    pub(super) fn edit(&self, shard: usize, field: &str, value: serde_json::Value) {
        let mut list: Vec<serde_json::Value> =
            serde_json::from_slice(&self.take("shards")).unwrap();
        list[shard][field] = value;
        self.list(list);
    }

    pub(super) async fn audit(&self) -> Report {
        self.try_audit(Duration::ZERO).await.unwrap()
    }

    pub(super) async fn try_audit(&self, settle: Duration) -> Result<Report, SourceError> {
        let options = Options {
            log: "dev".into(),
            shards: vec![],
            settle,
            by_index: true,
        };
        let mut last = (0, 0);
        let report = audit(self, &options, &mut |done, total| {
            assert!(done >= last.0 && done <= total && (last.1 == 0 || last.1 == total));
            last = (done, total);
        })
        .await;
        if let Ok(report) = &report
            && report.shards.iter().all(|shard| !shard.stopped)
        {
            assert_eq!(last.0, last.1, "progress reaches its end");
        }
        report
    }

    /// The findings, as people see them.
    pub(super) async fn findings(&self) -> Vec<String> {
        self.audit()
            .await
            .all_findings()
            .map(ToString::to_string)
            .collect()
    }

    pub(super) async fn reads_of_an_audit(&self) -> Vec<String> {
        self.reads.lock().unwrap().clear();
        self.audit().await;
        self.reads.lock().unwrap().keys().cloned().collect()
    }
}
