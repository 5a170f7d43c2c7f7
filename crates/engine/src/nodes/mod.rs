//! Storage nodes: they keep large batches from before the announcement until the publication.
//!
//! A batch is durable on `quorum` of the nodes before it may be ordered; it is written to all nodes at once, and the slower ones finish
//! later. It is read from all at once, and the first answer with the right digest is taken. So a node that is slow, down or
//! corrupt costs only its own copies. What it missed is written again when it is back, if it is still needed.
//!
//! What must never happen: an answer before the quorum has the batch, bytes that are not the ones that were ordered, a deleted batch
//! that comes back from a node that was away. A batch that comes back all the same, because a write landed late, is noted and deleted
//! like everything that nothing points at ([`order::litter`]).

pub(crate) mod leaving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logconfig::{LOCAL, StorageConfig};
use tlog::Hash;
use tokio::sync::{Notify, mpsc};

use crate::log::Core;
use crate::places::Places;
use crate::position;
use order::slot::BatchRef;
use store::record;
use store::{Objects, StoreError};

/// Writes that a node may be behind before it is left out, where there are enough others.
const BEHIND: usize = 32;
/// The most that is remembered of what a node missed; more is found by looking at everything.
const MISSED: usize = 10_000;
/// Pause between two looks at what nodes missed.
const REPAIR: Duration = Duration::from_secs(1);
/// How long nodes may take to say what they have, where a missing answer only leaves litter for the next time.
const LISTED: Duration = Duration::from_secs(2);
/// How long a node may take for one object before it counts as away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missed {
    /// A write of the batch with this digest.
    Put(Hash),
    Delete,
}

/// Which large batches are needed, with their digests: what is ordered and not published, and what is promised. What a node lacks
/// is judged by this, never by what another node has: one that was away has what was deleted meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed {
    paths: BTreeMap<String, Hash>,
    /// Ordered lately and published.
    over: BTreeSet<String>,
}

impl Needed {
    /// As the slots, the positions and the queue say.
    async fn of(core: &Core) -> Result<Self, StoreError> {
        let keys = &core.order.keys;
        let mut needed = Self::default();
        core.order
            .each_promised(|p| needed.add(keys.batch(p.batch.token), &p.batch))
            .await?;
        let published = position::published_index(&*core.store, keys, &core.order.state()).await?;
        for (end, batch) in core.order.recent_objects() {
            if end <= published {
                needed.over.insert(keys.batch(batch.token));
            }
        }
        for held in core.pending.objects(published) {
            needed.add(keys.batch(held.batch.token), &held.batch);
        }
        Ok(needed)
    }

    fn add(&mut self, path: String, batch: &BatchRef) {
        if batch.object {
            self.paths.insert(path, batch.digest);
        }
    }
}

/// How a node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Why it does not answer, or what was wrong with its last answer; none while it is well.
    pub trouble: Option<String>,
    /// Objects that it missed and that are not written again yet.
    pub missed: usize,
    /// Objects that were written again.
    pub repaired: u64,
    /// The configuration does not name it any more; it is asked for what was ordered before.
    pub leaving: bool,
}

#[derive(Default)]
struct Node {
    writing: AtomicUsize,
    repaired: AtomicU64,
    trouble: Mutex<Option<String>>,
    missed: Mutex<BTreeMap<String, Missed>>,
    /// What it has must be compared with the others: it was added, or missed too much to remember.
    compare: std::sync::atomic::AtomicBool,
    /// Where it was found last.
    found: Mutex<Option<Arc<dyn Objects>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// It is at `store` now. Answers whether that is another one than before, as when its disk was replaced: then it may lack
    /// everything.
    fn found(&self, store: &Arc<dyn Objects>) -> bool {
        let before = locked(&self.found).replace(Arc::clone(store));
        let other =
            |before: &Arc<dyn Objects>| !std::ptr::addr_eq(Arc::as_ptr(before), Arc::as_ptr(store));
        let other = before.as_ref().is_some_and(other);
        if other {
            self.compare.store(true, Relaxed);
        }
        other
    }

    fn well(&self, name: &str) {
        if let Some(why) = locked(&self.trouble).take() {
            tracing::info!(node = name, was = why, "a storage node is back");
        }
    }

    fn fails(&self, name: &str, why: String) {
        let mut trouble = locked(&self.trouble);
        if trouble.as_ref() != Some(&why) {
            tracing::warn!(node = name, why, "a storage node fails");
        }
        *trouble = Some(why);
    }

    fn miss(&self, all: impl IntoIterator<Item = (String, Missed)>) {
        let mut missed = locked(&self.missed);
        for (path, what) in all {
            if missed.len() < MISSED {
                missed.insert(path, what);
            } else {
                self.compare.store(true, Relaxed);
            }
        }
    }
}

struct Inner {
    local: Arc<dyn Objects>,
    places: Arc<dyn Places>,
    config: ArcSwap<StorageConfig>,
    /// The generation that it is of, or an earlier one.
    generation: Arc<AtomicU64>,
    /// Nodes that the configuration named before: asked where no other has a batch.
    leaving: ArcSwap<Vec<String>>,
    nodes: Mutex<BTreeMap<String, Arc<Node>>>,
    /// Wakes the repair when a node missed a write.
    repair: Notify,
}

/// The storage nodes of one log, as one store of its large batches.
#[derive(Clone)]
pub(crate) struct Nodes(Arc<Inner>);

/// A node that can be asked.
#[derive(Clone)]
struct Reached {
    name: String,
    node: Arc<Node>,
    store: Arc<dyn Objects>,
}

impl Nodes {
    /// With the server's own store as the only one.
    pub(crate) fn new(local: Arc<dyn Objects>, places: Arc<dyn Places>) -> Self {
        Self(Arc::new(Inner {
            local,
            places,
            config: ArcSwap::from_pointee(StorageConfig::default()),
            generation: Arc::default(),
            leaving: ArcSwap::default(),
            nodes: Mutex::default(),
            repair: Notify::new(),
        }))
    }

    /// The generation whose nodes are written to, or an earlier one: it is told after them.
    pub(crate) fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.generation)
    }

    /// Which nodes there are from now on, and by which generation.
    pub(crate) fn configure(&self, config: &StorageConfig, generation: u64) {
        self.rename(config);
        self.0.generation.store(generation, SeqCst);
    }

    fn rename(&self, config: &StorageConfig) {
        if **self.0.config.load() == *config {
            return;
        }
        let named = |name: &str| config.nodes.iter().any(|node| node.name.as_str() == name);
        // What lies on the others is asked for there at once; the rows say later how long.
        let leaving = self.0.leaving.load();
        let before = self.names().into_iter().chain(leaving.iter().cloned());
        let mut leaving: Vec<_> = before.filter(|name| !named(name)).collect();
        leaving.sort_unstable();
        leaving.dedup();
        self.0.leaving.store(Arc::new(leaving));
        self.0.config.store(Arc::new(config.clone()));
        let mut nodes = locked(&self.0.nodes);
        let leaving = self.0.leaving.load();
        nodes.retain(|name, _| leaving.contains(name) || named(name));
        for node in &config.nodes {
            let node = nodes.entry(node.name.to_string()).or_default();
            node.compare.store(true, Relaxed);
        }
        self.0.repair.notify_one();
    }

    /// The nodes by name, as this process finds them.
    pub(crate) fn states(&self) -> BTreeMap<String, NodeState> {
        let config = self.0.config.load_full();
        let names = config.nodes.iter().map(|node| node.name.to_string());
        let leaving = self.0.leaving.load_full();
        let names = names.chain(leaving.iter().cloned());
        let state = |name: String| {
            let node = self.node(&name);
            let state = NodeState {
                trouble: locked(&node.trouble).clone(),
                missed: locked(&node.missed).len(),
                repaired: node.repaired.load(Relaxed),
                leaving: leaving.contains(&name),
            };
            (name, state)
        };
        names.map(state).collect()
    }

    fn node(&self, name: &str) -> Arc<Node> {
        let mut nodes = locked(&self.0.nodes);
        Arc::clone(nodes.entry(name.to_owned()).or_default())
    }

    /// Whether the server's own store is the only one.
    fn alone(&self) -> bool {
        let config = self.0.config.load();
        matches!(config.nodes.as_slice(), [only] if only.name.as_str() == LOCAL)
    }

    fn names(&self) -> Vec<String> {
        let config = self.0.config.load();
        config
            .nodes
            .iter()
            .map(|node| node.name.to_string())
            .collect()
    }

    /// Which nodes were taken out of the configuration and may have what is not published yet.
    pub(crate) fn leave(&self, names: impl IntoIterator<Item = String>) {
        let now = self.names();
        let mut leaving: Vec<_> = names
            .into_iter()
            .filter(|name| !now.contains(name))
            .collect();
        leaving.sort_unstable();
        leaving.dedup();
        if **self.0.leaving.load() != leaving {
            self.0.leaving.store(Arc::new(leaving));
        }
    }

    /// Every node that can be found; one that can't is noted.
    async fn reached(&self) -> Vec<Reached> {
        self.reached_of(self.names()).await
    }

    async fn reached_of(&self, names: Vec<String>) -> Vec<Reached> {
        let inner = Arc::clone(&self.0);
        let mut all = Vec::new();
        for name in names {
            let store = if name == LOCAL {
                Ok(Arc::clone(&inner.local))
            } else {
                let (inner, name) = (Arc::clone(&inner), name.clone());
                let found = tokio::task::spawn_blocking(move || inner.places.node(&name));
                found.await.unwrap_or_else(|e| Err(e.to_string()))
            };
            let node = self.node(&name);
            match store {
                Ok(store) => {
                    if node.found(&store) {
                        tracing::warn!(node = name, "a storage node is another one than before");
                        inner.repair.notify_one();
                    }
                    all.push(Reached { name, node, store });
                }
                Err(why) => node.fails(&name, why),
            }
        }
        all
    }

    /// Notes what the nodes that were not asked have missed.
    fn left_out(&self, asked: &[Reached], missed: impl Fn() -> Vec<(String, Missed)>) {
        let config = self.0.config.load();
        let names = config.nodes.iter().map(|node| node.name.as_str());
        for name in names.filter(|name| asked.iter().all(|asked| asked.name != **name)) {
            self.node(name).miss(missed());
            self.0.repair.notify_one();
        }
    }

    /// The object with this digest, from whichever node has it first; `None` where every node says that it is not there. Nodes
    /// that are leaving are asked where no other has it.
    ///
    /// # Errors
    /// No node has it, and at least one did not answer, or answers with other bytes.
    pub(crate) async fn read(
        &self,
        path: &str,
        digest: &Hash,
    ) -> Result<Option<Bytes>, StoreError> {
        let found = if self.alone() {
            match self.0.local.get(path).await {
                Ok(Some(bytes)) if record::digest(&bytes) != *digest => {
                    Err(other_bytes(path, LOCAL))
                }
                found => found,
            }
        } else {
            self.read_from(self.names(), path, digest).await
        };
        let leaving = self.0.leaving.load_full();
        if leaving.is_empty() || matches!(found, Ok(Some(_))) {
            return found;
        }
        match (self.read_from(leaving.to_vec(), path, digest).await, found) {
            (Ok(None), found) => found,
            (Err(e), Ok(_)) => Err(e),
            (Err(_), Err(e)) => Err(e),
            (found, _) => found,
        }
    }

    async fn read_from(
        &self,
        names: Vec<String>,
        path: &str,
        digest: &Hash,
    ) -> Result<Option<Bytes>, StoreError> {
        let all = names.len();
        let reached = self.reached_of(names).await;
        let asked = reached.iter().map(|node| async move {
            let answer = within(node.store.get(path)).await;
            (node, answer)
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let (mut worst, mut failed) = (None, reached.len() < all);
        while let Some((node, answer)) = asked.next().await {
            match answer {
                Ok(Some(bytes)) if record::digest(&bytes) == *digest => return Ok(Some(bytes)),
                Ok(Some(_)) => {
                    worst = Some(self.damaged(node, path, digest));
                }
                Ok(None) => {}
                Err(e) => {
                    node.node.fails(&node.name, e.to_string());
                    failed = true;
                }
            }
        }
        match worst {
            // One that does not answer may have it.
            _ if failed => Err(StoreError::Io(format!(
                "{path}: no storage node that answers has it"
            ))),
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// A node has other bytes than were ordered: said, and to be written again.
    fn damaged(&self, node: &Reached, path: &str, digest: &Hash) -> StoreError {
        let error = other_bytes(path, &node.name);
        node.node.fails(&node.name, error.to_string());
        let missed = Missed::Put(*digest);
        node.node.miss([(path.to_owned(), missed)]);
        self.0.repair.notify_one();
        error
    }

    /// What is below a folder on any node that answers soon; all are asked at once.
    pub(crate) async fn listed(&self, prefix: &str) -> BTreeSet<String> {
        let asked = self.reached().await.into_iter().map(|node| async move {
            match tokio::time::timeout(LISTED, within(node.store.list(prefix))).await {
                Ok(Ok(paths)) => paths,
                Ok(Err(e)) => {
                    node.node.fails(&node.name, e.to_string());
                    Vec::new()
                }
                Err(_) => Vec::new(),
            }
        });
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    async fn put_all(&self, objects: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        if self.alone() {
            return self.0.local.put(objects).await;
        }
        let quorum = self.0.config.load().quorum as usize;
        let mut reached = self.reached().await;
        let busy = |node: &Reached| node.node.writing.load(Relaxed) >= BEHIND;
        if reached.iter().filter(|node| !busy(node)).count() >= quorum {
            reached.retain(|node| !busy(node));
        }
        self.left_out(&reached, || puts(&objects));
        let asked = reached.len();
        let (told, mut answers) = mpsc::unbounded_channel();
        for Reached { name, node, store } in reached {
            let (nodes, told) = (self.clone(), told.clone());
            let objects = objects.clone();
            node.writing.fetch_add(1, Relaxed);
            // A task of its own: the slower writes continue after the quorum is met.
            tokio::spawn(async move {
                let written = within(store.put(objects.clone())).await;
                node.writing.fetch_sub(1, Relaxed);
                match &written {
                    Ok(()) => node.well(&name),
                    Err(e) => {
                        node.fails(&name, e.to_string());
                        node.miss(puts(&objects));
                        nodes.0.repair.notify_one();
                    }
                }
                let _ = told.send((name, written));
            });
        }
        drop(told);
        let (mut have, mut last) = (0, None);
        while have < quorum {
            match answers.recv().await {
                Some((_, Ok(()))) => have += 1,
                Some((name, Err(e))) => last = Some((name, e)),
                None => {
                    return Err(match last {
                        Some((_, full @ StoreError::Full(_))) => full,
                        last => {
                            let last = last.map(|(name, e)| format!("; {name}: {e}"));
                            let detail = last.unwrap_or_default();
                            StoreError::Quorum {
                                have,
                                quorum,
                                detail: format!(", {asked} were asked{detail}"),
                            }
                        }
                    });
                }
            }
        }
        Ok(())
    }

    async fn delete_all(&self, paths: Vec<String>) -> Result<(), StoreError> {
        let leaving = self.0.leaving.load_full();
        if !leaving.is_empty() {
            let (nodes, paths) = (self.clone(), paths.clone());
            // What stays on the node is left to the operator that removes it.
            tokio::spawn(async move {
                for node in nodes.reached_of(leaving.to_vec()).await {
                    let _ = within(node.store.discard(paths.clone())).await;
                }
            });
        }
        if self.alone() {
            return self.0.local.discard(paths).await;
        }
        let reached = self.reached().await;
        let deletes = |paths: &[String]| -> Vec<_> {
            let paths = paths.iter().cloned();
            paths.map(|path| (path, Missed::Delete)).collect()
        };
        self.left_out(&reached, || deletes(&paths));
        for Reached { name, node, store } in reached {
            let paths = paths.clone();
            // Nobody waits for a deletion.
            tokio::spawn(async move {
                if let Err(e) = within(store.discard(paths.clone())).await {
                    node.fails(&name, e.to_string());
                    node.miss(deletes(&paths));
                }
            });
        }
        Ok(())
    }
}

/// What a node misses that did not get these.
fn puts(objects: &[(String, Bytes)]) -> Vec<(String, Missed)> {
    let missed = |(path, bytes): &(String, Bytes)| {
        let digest = record::digest(bytes);
        (path.clone(), Missed::Put(digest))
    };
    objects.iter().map(missed).collect()
}

async fn within<T>(work: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Io(format!(
            "no answer in {} s",
            PATIENCE.as_secs()
        ))),
    }
}

fn other_bytes(path: &str, node: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{path}: its bytes on storage node {node} are not those that were ordered; run `logd fsck`"
    ))
}

impl Objects for Nodes {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.put_all(objects))
    }

    /// The first node's copy; a caller that knows the digest uses [`Nodes::read`].
    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            let leaving = self.0.leaving.load_full();
            if self.alone() && leaving.is_empty() {
                return self.0.local.get(&path).await;
            }
            let mut reached = self.reached().await;
            reached.extend(self.reached_of(leaving.to_vec()).await);
            let asked = reached.iter().map(|node| within(node.store.get(&path)));
            let mut asked: FuturesUnordered<_> = asked.collect();
            let mut failed = None;
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(Some(bytes)) => return Ok(Some(bytes)),
                    Ok(None) => {}
                    Err(e) => failed = Some(e),
                }
            }
            failed.map_or(Ok(None), Err)
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let mut all = BTreeSet::new();
            for node in self.reached().await {
                all.extend(within(node.store.list(&prefix)).await?);
            }
            Ok(all.into_iter().collect())
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.delete_all(paths))
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.0.local.free()
    }
}

/// Writes again what nodes missed, as long as the log lives.
pub(crate) async fn repair(core: Arc<Core>) {
    let nodes = core.nodes.clone();
    let prefix = core.order.keys.batches();
    loop {
        if !nodes.alone() {
            // Nearly always nothing is missed, and then nothing has to be known.
            let needed = match nodes.lack() {
                true => Needed::of(&core).await.map(Some),
                false => Ok(None),
            };
            match needed {
                Ok(needed) => nodes.repair_all(&prefix, needed.as_ref()).await,
                Err(e) => {
                    tracing::warn!(log = core.name, error = %e, "cannot look which batches are needed");
                }
            }
        }
        let due = nodes.lack() || nodes.states().values().any(|node| node.trouble.is_some());
        tokio::select! {
            _ = core.halt.halted() => return,
            () = nodes.0.repair.notified() => tokio::time::sleep(REPAIR / 4).await,
            () = tokio::time::sleep(REPAIR), if due => {}
        }
    }
}

impl Nodes {
    /// Whether a node may not have what is needed.
    fn lack(&self) -> bool {
        let names = self.names();
        let mut nodes = names.iter().map(|name| self.node(name));
        nodes.any(|node| node.compare.load(Relaxed) || !locked(&node.missed).is_empty())
    }

    /// Without `needed`, it only finds out which nodes are back.
    async fn repair_all(&self, prefix: &str, needed: Option<&Needed>) {
        let reached = self.reached().await;
        for one in &reached {
            if let Err(e) = self.repair_one(one, &reached, (prefix, needed)).await {
                one.node.fails(&one.name, e.to_string());
            }
        }
    }

    async fn repair_one(
        &self,
        one: &Reached,
        all: &[Reached],
        (prefix, needed): (&str, Option<&Needed>),
    ) -> Result<(), StoreError> {
        if let Some(needed) = needed
            && one.node.compare.swap(false, Relaxed)
            && let Err(e) = self.compare(one, prefix, needed).await
        {
            one.node.compare.store(true, Relaxed);
            return Err(e);
        }
        let missed: Vec<_> = locked(&one.node.missed).clone().into_iter().collect();
        if missed.is_empty() {
            // Whether it is back is found out by asking.
            if locked(&one.node.trouble).is_some() {
                within(one.store.list(prefix)).await?;
                one.node.well(&one.name);
            }
            return Ok(());
        }
        let Some(needed) = needed else {
            return Ok(());
        };
        let mut repaired = 0;
        for (path, what) in missed {
            match what {
                Missed::Delete => within(one.store.discard(vec![path.clone()])).await?,
                Missed::Put(_) if needed.over.contains(&path) => {}
                Missed::Put(digest) => {
                    // If no node has it any more, it was published and deleted.
                    if let Some(bytes) = self.copy_of(&path, &digest, one, all).await? {
                        within(one.store.put(vec![(path.clone(), bytes)])).await?;
                        repaired += 1;
                    }
                }
            }
            let mut missed = locked(&one.node.missed);
            // It may have been deleted meanwhile.
            if missed.get(&path) == Some(&what) {
                missed.remove(&path);
            }
        }
        one.node.repaired.fetch_add(repaired, Relaxed);
        one.node.well(&one.name);
        if repaired > 0 {
            tracing::info!(
                node = one.name,
                repaired,
                "a storage node has what it missed"
            );
        }
        Ok(())
    }

    /// Notes what is needed and this one does not have.
    async fn compare(
        &self,
        one: &Reached,
        prefix: &str,
        needed: &Needed,
    ) -> Result<(), StoreError> {
        let own: BTreeSet<String> = within(one.store.list(prefix)).await?.into_iter().collect();
        let lacking = needed.paths.iter().filter(|(path, _)| !own.contains(*path));
        let lacking = lacking.map(|(path, digest)| (path.clone(), Missed::Put(*digest)));
        one.node.miss(lacking.take(MISSED));
        Ok(())
    }

    /// The batch with this digest, as another node has it. Other bytes are never copied.
    async fn copy_of(
        &self,
        path: &str,
        digest: &Hash,
        to: &Reached,
        all: &[Reached],
    ) -> Result<Option<Bytes>, StoreError> {
        let mut failed = None;
        for from in all.iter().filter(|from| from.name != to.name) {
            match within(from.store.get(path)).await {
                Ok(Some(bytes)) if record::digest(&bytes) == *digest => return Ok(Some(bytes)),
                Ok(Some(_)) => failed = Some(self.damaged(from, path, digest)),
                Ok(None) => {}
                Err(e) => failed = Some(e),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

#[cfg(test)]
mod tests;
