//! Storage nodes: they keep large batches from before the announcement until the publication.
//!
//! A batch is durable on `quorum` of the nodes before it may be ordered; it is written to all nodes at once, and the slower ones finish
//! later. It is read from all at once, and the first answer with the right digest is taken. So a node that is slow, down or corrupt costs
//! only its own copies. Batches that it missed are written again when it is back, if they are still needed.
//!
//! What must never happen: an answer before the quorum has the batch; other bytes than were ordered; a deleted batch that comes back from a
//! node that was away. A batch that comes back anyway, because a write landed late, is noted and deleted like everything that nothing
//! points at ([`order::deletion`]).

mod node;
mod read;
mod repair;
mod write;

use order::Generation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logconfig::{LOCAL, StorageConfig};
use tokio::sync::Notify;

use crate::places::Places;
use store::{Objects, StoreError};

use node::{Node, Reached, locked, within};

pub use node::NodeState;
pub(crate) use repair::repair;

struct Inner {
    local: Arc<dyn Objects>,
    places: Arc<dyn Places>,
    config: ArcSwap<StorageConfig>,
    /// The generation whose nodes are all known, leaving ones too, or an earlier one.
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

impl Nodes {
    /// Starts with the server's own store as the only node.
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

    /// The generation whose nodes are written to, or an earlier one, because it is updated after the nodes.
    pub(crate) fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.generation)
    }

    /// Whether every node that a batch was written to under this generation, or under an earlier one, is known as long as it is needed.
    fn are_of(&self, generation: Generation) -> bool {
        self.0.generation.load(SeqCst) >= generation.get()
    }

    /// Sets of which generation the nodes are, once those that leave under it are known too.
    pub(crate) fn complete(&self, generation: Generation) {
        self.0.generation.fetch_max(generation.get(), SeqCst);
    }

    /// Sets the nodes from now on.
    pub(crate) fn configure(&self, config: &StorageConfig) {
        if **self.0.config.load() == *config {
            return;
        }
        let named = |name: &str| config.nodes.iter().any(|node| node.name.as_str() == name);
        // The nodes that were dropped count as leaving at once; the rows say later how long.
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

    /// The states of the nodes for this process, by name.
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
        alone(&self.0.config.load())
    }

    fn names(&self) -> Vec<String> {
        names(&self.0.config.load())
    }

    /// Sets which nodes were taken out of the configuration and may have batches that are not published yet.
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

    /// All nodes whose place can be found; the others are noted.
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
                inner.places.node(&name).await
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
}

fn alone(config: &StorageConfig) -> bool {
    matches!(config.nodes.as_slice(), [only] if only.name.as_str() == LOCAL)
}

fn names(config: &StorageConfig) -> Vec<String> {
    let names = config.nodes.iter().map(|node| node.name.to_string());
    names.collect()
}

impl Objects for Nodes {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.put_all(objects))
    }

    /// The first node's copy; a caller that knows the digest uses [`Nodes::read`].
    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            // In this order: a node counts as leaving before it is taken out of the list.
            let config = self.0.config.load_full();
            let leaving = self.0.leaving.load_full();
            if alone(&config) && leaving.is_empty() {
                return self.0.local.get(&path).await;
            }
            let mut reached = self.reached_of(names(&config)).await;
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

#[cfg(test)]
mod tests;
