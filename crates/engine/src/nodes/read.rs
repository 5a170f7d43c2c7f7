//! Reading a batch: all nodes are asked at once, and the first one with the digest that was ordered is believed.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use logconfig::{LOCAL, StorageConfig};
use order::Generation;
use order::mutant::{Mutant, left_out};
use store::{StoreError, record};
use tlog::Hash;

use super::node::{Missed, Reached, other_bytes, within};
use super::{Nodes, alone, names};

/// How long nodes may take to list their objects, if a missing answer only delays deletions until the next time.
const LISTED: Duration = Duration::from_secs(2);

impl Nodes {
    /// The object with this digest, from the first node that has it; `None` if every node says that it is not there. Leaving nodes are
    /// asked if no other has it. `written` is the generation under which it was written, or a later one.
    ///
    /// # Errors
    /// No node has it, and at least one did not answer, answers with other bytes, or is not known yet.
    pub(crate) async fn read(
        &self,
        path: &str,
        digest: &Hash,
        written: Generation,
    ) -> Result<Option<Bytes>, StoreError> {
        // In this order: the list may change at any moment, and a node counts as leaving before it is taken out of the list.
        let known = self.are_of(written);
        let config = self.0.config.load_full();
        let leaving = self.0.leaving.load_full();
        match self.read_under(&config, &leaving, path, digest).await {
            Ok(None) if !known => Err(StoreError::Io(format!(
                "{path}: the storage nodes of generation {written} are not known here yet"
            ))),
            found => found,
        }
    }

    async fn read_under(
        &self,
        config: &StorageConfig,
        leaving: &[String],
        path: &str,
        digest: &Hash,
    ) -> Result<Option<Bytes>, StoreError> {
        let found = if alone(config) {
            match self.0.local.get(path).await {
                Ok(Some(bytes)) if record::digest(&bytes) != *digest => {
                    Err(other_bytes(path, LOCAL))
                }
                found => found,
            }
        } else {
            self.read_from(names(config), path, digest).await
        };
        let asked = !leaving.is_empty() && !left_out(Mutant::LeavingNodesAreNotAsked);
        if !asked || matches!(found, Ok(Some(_))) {
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
            // A node that does not answer may have it.
            _ if failed => Err(StoreError::Io(format!(
                "{path}: no storage node that answers has it"
            ))),
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Reports that a node has other bytes than were ordered, and schedules a rewrite.
    pub(super) fn damaged(&self, node: &Reached, path: &str, digest: &Hash) -> StoreError {
        let error = other_bytes(path, &node.name);
        node.node.fails(&node.name, error.to_string());
        let missed = Missed::Put(*digest);
        node.node.miss([(path.to_owned(), missed)]);
        self.0.repair.notify_one();
        error
    }

    /// The objects below a folder on any node that answers soon; all are asked at once.
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
}
