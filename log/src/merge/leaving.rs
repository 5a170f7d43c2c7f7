//! Storage nodes that the configuration no longer names, and that may have batches that are not published yet.
//!
//! A batch is written to the nodes of the configuration that its author saw, and ordered later: an announcement a little later,
//! promised work a day later. So a node that is taken out is written down before the change is decided, and is asked where no
//! other node has a batch, until everything that was ordered by then is published and no promised work is left from that time.
//!
//! What must never happen: a batch that is called missing while a node that had it is not asked.

use std::sync::Arc;
use std::time::Duration;

use config::{LOCAL, LogConfig};

use crate::heart::replicas;
use crate::log::Core;
use crate::order::slot::{Promised, Work};
use crate::record;
use crate::store::{Guard, Outcome, StoreError, Transaction};

/// Time between two checks whether a node is still needed.
const LOOK: Duration = Duration::from_secs(60);
/// Rows read at a time.
const PAGE: usize = 512;

/// The names of the storage nodes that `next` does not name any more.
pub(crate) fn leaving(running: &LogConfig, next: &LogConfig) -> Vec<String> {
    let named = |name: &str| {
        let mut nodes = next.merge.storage.nodes.iter();
        nodes.any(|node| node.name.as_str() == name)
    };
    let nodes = running.merge.storage.nodes.iter();
    let names = nodes.map(|node| node.name.as_str());
    let gone = names.filter(|name| !named(name));
    gone.map(str::to_owned).collect()
}

impl Core {
    /// Writes down which nodes a change takes out, before it is decided; `base` is the generation that names them.
    pub(crate) async fn note_leaving(&self, nodes: &[String], base: u64) -> Result<(), StoreError> {
        if nodes.is_empty() {
            return Ok(());
        }
        let key = |name: &String| self.order.keys.leaving(name);
        let transaction = Transaction {
            guards: nodes
                .iter()
                .map(|name| Guard::AtMost(key(name), base))
                .collect(),
            puts: nodes
                .iter()
                .map(|name| (key(name), record::encode_number(base)))
                .collect(),
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            // Refused: a later generation names it, too.
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Tells the reading side which nodes are leaving.
    pub(crate) async fn update_leaving(&self) -> Result<(), StoreError> {
        let prefix = self.order.keys.all_leaving();
        let rows = self.store.scan(&prefix, &prefix, PAGE).await?;
        let rows = rows
            .into_iter()
            .map(|(key, _)| key[prefix.len()..].to_owned());
        let eras = self.eras.load_full();
        self.nodes
            .leave(rows.chain(eras.nodes().map(str::to_owned)));
        Ok(())
    }

    /// Whether promised work is left whose batch is on storage nodes.
    pub(crate) async fn promised_on_nodes(&self) -> Result<bool, StoreError> {
        let keys = &self.order.keys;
        for (prefix, bag) in [(keys.queue(), false), (keys.bag(), true)] {
            let mut from = prefix.clone();
            loop {
                let page = self.store.scan(&prefix, &from, PAGE).await?;
                for (_, row) in &page {
                    let batch = if bag {
                        let work = record::decode::<Work>(row).ok();
                        work.and_then(|work| work.batch().cloned())
                    } else {
                        record::decode::<Promised>(row).ok().map(|row| row.batch)
                    };
                    // One that is not understood here may be one.
                    if batch.is_none_or(|batch| batch.object) {
                        return Ok(true);
                    }
                }
                match page.last() {
                    Some((last, _)) if page.len() == PAGE => from = format!("{last}\0"),
                    _ => break,
                }
            }
        }
        Ok(false)
    }

    /// Lets go of the nodes that nothing needs any more. `seen` is the size of the log and the generation at the last look, and
    /// becomes that of this one.
    async fn release_nodes(&self, seen: &mut Option<(u64, u64)>) -> Result<(), StoreError> {
        let prefix = self.order.keys.all_leaving();
        let rows = self.store.scan(&prefix, &prefix, PAGE).await?;
        let state = self.order.state();
        // Nobody writes to them any more: every server runs a later generation.
        let servers = replicas(&*self.store, Some(&self.name)).await?;
        let generations = servers.iter().map(|server| server.generation.unwrap_or(0));
        let runs = generations.min().unwrap_or(0).min(state.generation);
        let before = seen.replace((state.size, runs));
        let Some((size, ran)) = before else {
            return Ok(());
        };
        let published = self.shards.published(&state) >= size;
        let past = |row: &[u8]| record::decode_number(row).is_ok_and(|base| base < ran);
        let past: Vec<_> = rows.into_iter().filter(|(_, row)| past(row)).collect();
        if published && !past.is_empty() && !self.promised_on_nodes().await? {
            let transaction = Transaction {
                guards: past
                    .iter()
                    .map(|(key, row)| {
                        let base = record::decode_number(row).unwrap_or(0);
                        Guard::AtMost(key.clone(), base)
                    })
                    .collect(),
                deletes: past.into_iter().map(|(key, _)| key).collect(),
                ..Transaction::default()
            };
            if let Outcome::Failed(e) | Outcome::Unknown(e) = self.store.transact(transaction).await
            {
                return Err(e);
            }
        }
        self.update_leaving().await
    }
}

/// Lets leaving nodes go once they are not needed, as long as the log lives.
pub(crate) async fn release(core: Arc<Core>) {
    let mut seen = None;
    loop {
        tokio::select! {
            _ = core.halt.halted() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if core
            .nodes
            .states()
            .iter()
            .all(|(name, node)| !node.leaving || name == LOCAL)
        {
            seen = None;
            continue;
        }
        if let Err(e) = core.release_nodes(&mut seen).await {
            tracing::debug!(log = core.name, error = %e, "cannot look whether storage nodes are still needed");
        }
    }
}
