//! The state of one storage node for this process: whether it answers, and what it missed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use store::{Objects, StoreError};
use tlog::Hash;

/// How many missed objects are remembered of a node; if there are more, all of its objects are compared.
pub(super) const MISSED: usize = 10_000;
/// How long a node may take for one object before it counts as away.
const NODE_TIMEOUT: Duration = Duration::from_secs(30);

/// A write or deletion that a node missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// A write of the batch with this digest.
    Put(Hash),
    Delete,
}

/// The state of a node for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Why it does not answer, or what was wrong with its last answer; none while it is well.
    pub trouble: Option<String>,
    /// Objects that it missed and that are not written again yet.
    pub missed: usize,
    /// Objects that were written again.
    pub repaired: u64,
    /// The configuration does not name it any more; it is asked for batches that were ordered earlier.
    pub leaving: bool,
}

#[derive(Default)]
pub(super) struct Node {
    pub(super) writing: AtomicUsize,
    pub(super) repaired: AtomicU64,
    pub(super) trouble: Mutex<Option<String>>,
    pub(super) missed: Mutex<BTreeMap<String, Missed>>,
    /// Whether its objects must be compared with the needed ones: it was added, or missed too much to remember.
    pub(super) compare: AtomicBool,
    /// The store at which it was last found.
    found: Mutex<Option<Arc<dyn Objects>>>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Notes that the node is at `store` now. Returns whether that is another store than before, for example after its disk was replaced: then
    /// it may lack everything.
    pub(super) fn found(&self, store: &Arc<dyn Objects>) -> bool {
        let before = locked(&self.found).replace(Arc::clone(store));
        let other =
            |before: &Arc<dyn Objects>| !std::ptr::addr_eq(Arc::as_ptr(before), Arc::as_ptr(store));
        let other = before.as_ref().is_some_and(other);
        if other {
            self.compare.store(true, Relaxed);
        }
        other
    }

    pub(super) fn well(&self, name: &str) {
        if let Some(why) = locked(&self.trouble).take() {
            tracing::info!(node = name, was = why, "a storage node is back");
        }
    }

    pub(super) fn fails(&self, name: &str, why: String) {
        let mut trouble = locked(&self.trouble);
        if trouble.as_ref() != Some(&why) {
            tracing::warn!(node = name, why, "a storage node fails");
        }
        *trouble = Some(why);
    }

    /// Notes what the node missed. A deletion stays one: nothing is written under a name again.
    pub(super) fn miss(&self, all: impl IntoIterator<Item = (String, Missed)>) {
        let mut missed = locked(&self.missed);
        for (path, what) in all {
            if missed.get(&path) == Some(&Missed::Delete) {
                continue;
            }
            if missed.len() < MISSED || missed.contains_key(&path) {
                missed.insert(path, what);
            } else {
                self.compare.store(true, Relaxed);
            }
        }
    }

    /// Turns the missed writes of these objects into missed deletions, because the repair may be writing them at this moment. Returns the
    /// other objects.
    pub(super) fn gives_up(&self, paths: &[String]) -> Vec<String> {
        let mut missed = locked(&self.missed);
        let known = |path: &&String| match missed.get_mut(*path) {
            Some(what) => {
                *what = Missed::Delete;
                true
            }
            None => false,
        };
        let (_, others): (Vec<_>, Vec<_>) = paths.iter().partition(known);
        others.into_iter().cloned().collect()
    }
}

/// A node that can be asked.
#[derive(Clone)]
pub(super) struct Reached {
    pub(super) name: String,
    pub(super) node: Arc<Node>,
    pub(super) store: Arc<dyn Objects>,
}

pub(super) async fn within<T>(work: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(NODE_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Io(format!(
            "no answer in {} s",
            NODE_TIMEOUT.as_secs()
        ))),
    }
}

pub(super) fn other_bytes(path: &str, node: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{path}: its bytes on storage node {node} are not those that were ordered; run `logd fsck`"
    ))
}
