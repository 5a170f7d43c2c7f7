//! Writes a batch to all nodes at once, and answers when the quorum has it; deletes one without waiting.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use store::{StoreError, record};
use tokio::sync::mpsc;

use super::node::{Missed, Reached, within};
use super::{Nodes, alone, names};

/// How many writes a node may be behind before it is left out, if there are enough others.
const BEHIND: usize = 32;

impl Nodes {
    /// Notes what those of these nodes that were not asked have missed.
    fn left_out(
        &self,
        names: &[String],
        asked: &[Reached],
        missed: impl Fn() -> Vec<(String, Missed)>,
    ) {
        let asked = |name: &String| asked.iter().any(|asked| asked.name == *name);
        for name in names.iter().filter(|name| !asked(name)) {
            self.node(name).miss(missed());
            self.0.repair.notify_one();
        }
    }

    pub(super) async fn put_all(&self, objects: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        // The quorum of one document means nothing for the nodes of another.
        let config = self.0.config.load_full();
        if alone(&config) {
            return self.0.local.put(objects).await;
        }
        let (names, quorum) = (names(&config), config.quorum as usize);
        let mut reached = self.reached_of(names.clone()).await;
        let busy = |node: &Reached| node.node.writing.load(Relaxed) >= BEHIND;
        if reached.iter().filter(|node| !busy(node)).count() >= quorum {
            reached.retain(|node| !busy(node));
        }
        self.left_out(&names, &reached, || puts(&objects));
        let asked = reached.len();
        let (told, mut answers) = mpsc::unbounded_channel();
        for Reached { name, node, store } in reached {
            let (nodes, told) = (self.clone(), told.clone());
            let objects = objects.clone();
            node.writing.fetch_add(1, Relaxed);
            // In a separate task, because the slower writes continue after the quorum is met.
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

    pub(super) async fn delete_all(&self, paths: Vec<String>) -> Result<(), StoreError> {
        let leaving = self.0.leaving.load_full();
        if !leaving.is_empty() {
            let (nodes, paths) = (self.clone(), paths.clone());
            // The operator that removes the node deals with the files that stay on it.
            tokio::spawn(async move {
                for node in nodes.reached_of(leaving.to_vec()).await {
                    let _ = within(node.store.discard(paths.clone())).await;
                }
            });
        }
        let config = self.0.config.load_full();
        if alone(&config) {
            return self.0.local.discard(paths).await;
        }
        let names = names(&config);
        let reached = self.reached_of(names.clone()).await;
        let deletes = |paths: &[String]| -> Vec<_> {
            let paths = paths.iter().cloned();
            paths.map(|path| (path, Missed::Delete)).collect()
        };
        self.left_out(&names, &reached, || deletes(&paths));
        for Reached { name, node, store } in reached {
            let now = node.gives_up(&paths);
            if now.len() < paths.len() {
                self.0.repair.notify_one();
            }
            // Nobody waits for a deletion.
            tokio::spawn(async move {
                if let Err(e) = within(store.discard(now.clone())).await {
                    node.fails(&name, e.to_string());
                    node.miss(deletes(&now));
                }
            });
        }
        Ok(())
    }
}

/// The notes about these objects for a node that missed them.
fn puts(objects: &[(String, Bytes)]) -> Vec<(String, Missed)> {
    let missed = |(path, bytes): &(String, Bytes)| {
        let digest = record::digest(bytes);
        (path.clone(), Missed::Put(digest))
    };
    objects.iter().map(missed).collect()
}
