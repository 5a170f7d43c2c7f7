//! The follower over a real log: it reaches what is published, and gets over every state of its file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Audited, Engine, Log, Request, testing};
use logconfig::{Algorithm, LogConfig, OriginForm};
use rekor::v1::{Operator, Query};
use rekor_index::{Entry, Index};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tlog::{GlobalIndex, leaf_hash};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::engine;

/// A leaf as version 1 writes them: its keys are the hash of its key and that of its artifact.
fn leaf(artifact: &str) -> (Vec<u8>, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = key.public_key_pem();
    let hash = tlog::hex(&Sha256::digest(artifact.as_bytes()));
    let leaf = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": hash}},
        "signature": {"content": "", "publicKey": {"content": base64(pem.as_bytes())}},
    }});
    (leaf.to_string().into_bytes(), format!("sha256:{hash}"))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

async fn append(log: &Log, bytes: Vec<u8>) -> GlobalIndex {
    let appended = log.append(bytes.into()).await.unwrap();
    log.wait_published(appended.index).await.unwrap();
    appended.index
}

/// The index of one log, followed.
struct Followed {
    indexes: Arc<Indexes>,
    log: Arc<Log>,
    following: JoinHandle<()>,
}

impl Followed {
    fn start(folder: &Path, log: &Arc<Log>) -> Self {
        let indexes = Indexes::new(folder.join("index"));
        let following = tokio::spawn(indexes.follow(Arc::clone(log)));
        Self {
            indexes,
            log: Arc::clone(log),
            following,
        }
    }

    async fn stop(self) {
        self.following.abort();
        let _ = self.following.await;
        self.indexes.close().await;
    }

    fn view(&self) -> View {
        self.indexes.view(&self.log).unwrap()
    }

    /// Waits for a state of the index; the limit is a guard against hanging only.
    async fn until(&self, what: &str, reached: impl Fn(&View) -> bool) -> View {
        let patient = async {
            while !reached(&self.view()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
        waited.unwrap_or_else(|_| panic!("never: {what}, {:?}", self.view()));
        self.view()
    }

    async fn caught_up(&self) {
        let published = self.log.watermarks().published;
        self.until("it is not behind", |view| view.position >= published)
            .await;
    }

    async fn find(&self, keys: &[&str]) -> Vec<tlog::Hash> {
        let query = Query {
            operator: Operator::And,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let found = self.indexes.find(&self.log, &query).await.unwrap();
        found.into_iter().map(|id| id.leaf).collect()
    }
}

async fn log(folder: &TempDir) -> (Arc<Engine>, Arc<Log>) {
    let engine = engine(folder).await;
    let log = engine.log("dev").unwrap();
    (engine, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_found_by_key_and_by_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, log) = log(&folder).await;
    let (early, early_key) = leaf("early");
    append(&log, early.clone()).await;
    let followed = Followed::start(folder.path(), &log);
    let (late, late_key) = leaf("late");
    append(&log, b"no entry of version 1".to_vec()).await;
    append(&log, late.clone()).await;
    followed.caught_up().await;
    assert_eq!(followed.find(&[&early_key]).await, [leaf_hash(&early)]);
    assert_eq!(followed.find(&[&late_key]).await, [leaf_hash(&late)]);
    assert_eq!(followed.find(&[&early_key, &late_key]).await, []);
    let by_leaf = |leaf| followed.indexes.by_leaf(&log, leaf_hash(leaf));
    assert_eq!(by_leaf(&late).await.unwrap(), [GlobalIndex::new(2)]);
    assert_eq!(
        by_leaf(b"no entry of version 1").await.unwrap(),
        [GlobalIndex::new(1)]
    );
    let view = followed.view();
    assert_eq!(
        (view.lag, view.behind, view.trouble),
        (0, Duration::ZERO, None)
    );
    followed.stop().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn additional_keys_are_found_whether_the_entry_is_indexed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, log) = log(&folder).await;
    let followed = Followed::start(folder.path(), &log);
    let add = |index, key: &str| {
        followed
            .indexes
            .add(&log, GlobalIndex::new(index), vec![key.to_owned()]);
    };
    add(0, "sha256:before");
    append(&log, b"one".to_vec()).await;
    followed.caught_up().await;
    assert_eq!(followed.find(&["sha256:before"]).await, [leaf_hash(b"one")]);
    add(0, "sha256:after");
    let patient = async {
        while followed
            .find(&["sha256:after", "sha256:before"])
            .await
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), patient)
        .await
        .unwrap();
    followed.stop().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_with_entries_that_the_log_does_not_have_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, log) = log(&folder).await;
    append(&log, b"one".to_vec()).await;
    append(&log, b"two".to_vec()).await;
    let path = file(&folder.path().join("index"), "dev");
    // Beyond the end of the log, and with another entry where the log has one.
    for (number, last) in [(5, b"six"), (2, b"tow")] {
        let _ = Index::remove(&path);
        let index = open(&path, &log.config().origin).unwrap();
        let entry = |bytes: &[u8]| Entry {
            leaf: leaf_hash(bytes),
            keys: vec!["stale".to_owned()],
        };
        let entries = (1..number).map(|_| entry(b"one")).chain([entry(last)]);
        index.extend(GlobalIndex::ZERO, entries).unwrap();
        drop(index);
        let followed = Followed::start(folder.path(), &log);
        followed
            .until("it is built again", |view| {
                view.position == GlobalIndex::new(2)
            })
            .await;
        assert_eq!(followed.find(&["stale"]).await, []);
        let found = followed.indexes.by_leaf(&log, leaf_hash(b"two")).await;
        assert_eq!(found.unwrap(), [GlobalIndex::new(1)]);
        followed.stop().await;
    }
    // One that is right stays.
    let index = open(&path, &log.config().origin).unwrap();
    index.add([(GlobalIndex::ZERO, "kept")]).unwrap();
    drop(index);
    let followed = Followed::start(folder.path(), &log);
    followed.caught_up().await;
    assert_eq!(followed.find(&["kept"]).await, [leaf_hash(b"one")]);
    followed.stop().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_a_trouble_until_it_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, log) = log(&folder).await;
    append(&log, b"one".to_vec()).await;
    let path = file(&folder.path().join("index"), "dev");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "no index at all").unwrap();
    let followed = Followed::start(folder.path(), &log);
    let view = followed
        .until("it is in trouble", |view| view.trouble.is_some())
        .await;
    let trouble = view.trouble.unwrap();
    assert!(trouble.contains("`logd index rebuild`"), "{trouble}");
    assert_eq!(view.lag, 1);
    let query = Query {
        operator: Operator::Or,
        keys: vec!["a".to_owned()],
    };
    let refused = followed.indexes.find(&log, &query).await.unwrap_err();
    assert!(refused.to_string().contains(&trouble), "{refused}");
    // The log is as before.
    append(&log, b"two".to_vec()).await;
    assert_eq!(log.halted(), None);
    assert_eq!(
        rebuild::one(&log, &path).await.unwrap(),
        GlobalIndex::new(2)
    );
    let view = followed
        .until("it is extended again", |view| view.trouble.is_none())
        .await;
    assert_eq!((view.position, view.lag), (GlobalIndex::new(2), 0));
    // A file in use is left alone.
    let refused = rebuild::one(&log, &path).await.unwrap_err();
    assert!(
        refused.starts_with("a server uses the search index"),
        "{refused}"
    );
    followed.stop().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_for_as_long_as_they_have_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let origin = "log.example.org".to_owned();
    let mut config = LogConfig::new("argon".parse().unwrap(), origin, "a".parse().unwrap());
    config.origin_form = OriginForm::Host;
    config.key.algorithm = Algorithm::EcdsaP256;
    config.shards[0].key = config.key;
    let created = engine.create_log_unaudited(config, testing::author());
    created.await.unwrap();
    let log = engine.log("argon").unwrap();
    let indexes = Indexes::new(folder.path().join("index"));
    let running = tokio::spawn(Arc::clone(&indexes).run(Arc::clone(&engine)));
    let switch = async |on: bool| {
        let mut document = log.config();
        document.rekor.v1 = on;
        let next = Box::new(document);
        let request = Request::Configure { next, base: None };
        let audited = Audited::new(Arc::clone(&engine));
        audited
            .change(&log, request, testing::author())
            .await
            .unwrap();
        let patient = async {
            while indexes.view(&log).is_some() != on {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), patient)
            .await
            .unwrap();
    };
    assert!(indexes.view(&log).is_none());
    switch(true).await;
    switch(false).await;
    switch(true).await;
    running.abort();
    let _ = running.await;
    indexes.close().await;
    engine.shutdown().await;
}
