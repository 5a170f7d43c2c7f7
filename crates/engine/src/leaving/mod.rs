//! Storage nodes that the configuration no longer names, and that may have batches that are not published yet.
//!
//! A batch is written to the nodes of the configuration that its author saw, and ordered later: an announcement a little later,
//! promised work a day later. So a node that is taken out is written down before the change is decided, and is asked if no
//! other node has a batch. It leaves in steps, each durable in its row, and no process has to remember anything:
//!
//! 1. *Noted*, with the last generation that names it. Once a later generation is decided, the row `storage-from` says so: every
//!    transaction that makes a large batch known (an announcement, a promise, the author's own slot) demands that the generation whose nodes it
//!    was written to still counts. So a server that was stopped in between, for however long, orders nothing that lies only there.
//! 2. *Closed*, with the number of slots after that. Work in bag and queue whose author knew no more slots may have its batch on the node;
//!    an author that knew more slots was stopped by that guard. Work that was announced there is ordered without its author, or has ended.
//! 3. *Ordered*, with the size of the log once no such work waits. When this size is published, the node is released.
//!
//! What must never happen: a batch is reported as missing although a node that has it was not asked.

use order::keys::announced_under;
use order::{Generation, SlotNumber};
use std::sync::Arc;
use std::time::Duration;

use logconfig::{LOCAL, LogConfig};
use serde::{Deserialize, Serialize};

use crate::heart::replicas;
use crate::ledger::Ledger;
use crate::publish::sign_guard::SignGuard;
use order::propose::may_be_ordered;
use order::slot::BatchRef;
use order::view::View;
use order::work::{Announcement, Promised, Work};
use store::record::{self, RecordError};
use store::{Guard, Key, Outcome, StoreError, Transaction};
use tlog::GlobalIndex;

/// Time between two checks whether a node is still needed.
const LEAVING_POLL: Duration = Duration::from_secs(60);
/// Rows read at a time.
const SCAN_PAGE: usize = 512;

/// The steps of a node that leaves the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Step {
    /// It was named by a generation under which batches may still be written.
    Noted,
    /// No batch is put there from now on. At that moment the log had at most this many slots.
    Closed { slots: SlotNumber },
    /// Every batch that may be there is ordered before this global index.
    Ordered { end: GlobalIndex },
    /// Nothing needs the node any more.
    Over,
}

/// The names of the storage nodes that `next` does not name any more.
pub(crate) fn taken_out(running: &LogConfig, next: &LogConfig) -> Vec<String> {
    let named = |name: &str| {
        let mut nodes = next.merge.storage.nodes.iter();
        nodes.any(|node| node.name.as_str() == name)
    };
    let nodes = running.merge.storage.nodes.iter();
    let names = nodes.map(|node| node.name.as_str());
    let gone = names.filter(|name| !named(name));
    gone.map(str::to_owned).collect()
}

impl Ledger {
    /// Writes down which nodes a change takes out, before it is decided; `base` is the generation that names them.
    pub(crate) async fn note_leaving(
        &self,
        nodes: &[String],
        base: Generation,
    ) -> Result<(), StoreError> {
        if nodes.is_empty() {
            return Ok(());
        }
        let key = |name: &String| self.keys.leaving(name);
        let transaction = Transaction {
            guards: nodes
                .iter()
                .map(|name| Guard::AtMost(key(name), base.get()))
                .collect(),
            puts: nodes
                .iter()
                .map(|name| (key(name), record::encode_number(base.get())))
                .collect(),
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            // Refused: a later generation names it, too.
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Whether waiting work has its batch on storage nodes and may have been put there when there were at most this many slots. No such
    /// work is missed, even if it moves meanwhile.
    async fn needs_nodes(&self, slots: SlotNumber) -> Result<bool, StoreError> {
        let from = self.bound_releases().await?;
        Ok(self.waits_on_nodes(slots).await? || self.returned(from).await?)
    }

    /// One scan of bag and queue for such work.
    pub(crate) async fn waits_on_nodes(&self, slots: SlotNumber) -> Result<bool, StoreError> {
        let keys = &self.keys;
        // Promised work moves between them.
        for (prefix, bag) in [
            (keys.bag(), true),
            (keys.queue(), false),
            (keys.bag(), true),
        ] {
            let mut from = prefix.clone();
            loop {
                let page = self.store.scan(&prefix, &from, SCAN_PAGE).await?;
                let waits = |view: &View| {
                    let mut rows = page.iter();
                    rows.any(|(key, row)| waits(view, bag, key, row, slots))
                };
                if self.look(waits) {
                    return Ok(true);
                }
                match page.last() {
                    Some((last, _)) if page.len() == SCAN_PAGE => from = format!("{last}\0"),
                    _ => break,
                }
            }
        }
        Ok(false)
    }

    /// From now on no transaction makes a large batch known that was written under an earlier generation.
    async fn close_storage(&self, from: Generation) -> Result<(), StoreError> {
        let key = self.keys.storage_from();
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), from.get())],
            puts: vec![(key, record::encode_counted(from.get()))],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            // Refused: a later one is there.
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    async fn write_step(
        &self,
        key: &Key,
        base: Generation,
        step: Step,
    ) -> Result<bool, StoreError> {
        let mut transaction = Transaction {
            guards: vec![
                Guard::Present(key.clone()),
                Guard::AtMost(key.clone(), base.get()),
            ],
            ..Transaction::default()
        };
        match step {
            Step::Over => transaction.deletes.push(key.clone()),
            step => {
                let row = record::encode_numbered(base.get(), &step);
                transaction.puts.push((key.clone(), row));
            }
        }
        match self.store.transact(transaction).await {
            Outcome::Committed => Ok(true),
            Outcome::Refused => Ok(false),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }
}

/// Takes each leaving node through as many steps as it can go now.
async fn release_nodes(guard: &SignGuard) -> Result<(), StoreError> {
    let prefix = guard.ledger.keys.all_leaving();
    let rows = guard.ledger.store.scan(&prefix, &prefix, SCAN_PAGE).await?;
    // Servers that run an older generation are waited for, so that what they have just written is not refused. Safety does not depend on
    // it.
    let servers = replicas(&*guard.ledger.store, Some(&guard.ledger.name)).await?;
    let generations = servers
        .iter()
        .map(|server| server.generation.unwrap_or_default());
    let run = generations.min().unwrap_or(Generation::new(u64::MAX));
    for (key, row) in rows {
        let corrupt = |e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`"));
        let (base, mut step) = decode(&row).map_err(corrupt)?;
        if base >= guard.ledger.state().generation.min(run) {
            continue;
        }
        while step != Step::Over {
            let next = next_step(guard, base, step).await?;
            if next == step {
                break;
            }
            step = next;
            if !guard.ledger.write_step(&key, base, step).await? {
                break; // It was taken out again, or another process has let it go.
            }
        }
    }
    let updating = guard.running.updating.lock().await;
    guard.running.update_leaving(&updating).await
}

/// The next step, or the same one when it is too early.
async fn next_step(guard: &SignGuard, base: Generation, step: Step) -> Result<Step, StoreError> {
    Ok(match step {
        Step::Noted => {
            guard.ledger.close_storage(base.next()).await?;
            guard.ledger.refresh().await?;
            let slots = guard.ledger.state().len;
            Step::Closed { slots }
        }
        Step::Closed { slots } => {
            if guard.running.merge.writes {
                // Authors that are gone order nothing, and no other writer may come for a long time.
                guard.passed().await;
                guard.ledger.help().await?;
            }
            if guard.ledger.needs_nodes(slots).await? {
                return Ok(step);
            }
            let end = guard.ledger.state().size;
            Step::Ordered { end }
        }
        Step::Ordered { end } if guard.shards.published(&guard.ledger.state()) < end => step,
        Step::Ordered { .. } | Step::Over => Step::Over,
    })
}

/// A row without its number. A row of a node that is only noted has nothing else.
fn decode(row: &[u8]) -> Result<(Generation, Step), RecordError> {
    match row.len() {
        8 => Ok((Generation::new(record::decode_number(row)?), Step::Noted)),
        _ => {
            let (base, step) = record::decode_numbered(row)?;
            Ok((Generation::new(base), step))
        }
    }
}

/// Whether a row of the bag or the queue may still be ordered, has its batch on storage nodes, and may have been put when there were this
/// many slots.
fn waits(view: &View, bag: bool, key: &str, row: &[u8], slots: SlotNumber) -> bool {
    let promised = |promised: Promised| (promised.batch.object, promised.first_slot);
    let found = if bag {
        let seen = announced_under(key);
        match record::decode::<Work>(row) {
            Ok(Work::Promised(work)) => Some(promised(work)),
            Ok(work) => {
                let seen = seen.unwrap_or_default();
                let announcement = Announcement { seen, work };
                let object = |batch: &BatchRef| batch.object;
                let object = announcement.work.batch().is_some_and(object);
                Some((object && may_be_ordered(view, &announcement), seen))
            }
            Err(_) => None,
        }
    } else {
        record::decode(row).ok().map(promised)
    };
    // A row that this version does not understand may be such work.
    found.is_none_or(|(object, known)| object && known <= slots)
}

/// Releases leaving nodes once they are not needed, for as long as the log runs.
pub(crate) async fn release(guard: Arc<SignGuard>) {
    loop {
        tokio::select! {
            _ = guard.health.halt.halted() => return,
            () = tokio::time::sleep(LEAVING_POLL) => {}
        }
        if guard
            .objects
            .nodes
            .states()
            .iter()
            .all(|(name, node)| !node.leaving || name == LOCAL)
        {
            continue;
        }
        if let Err(e) = release_nodes(&guard).await {
            tracing::debug!(log = guard.ledger.name, error = %e, "cannot look whether storage nodes are still needed");
        }
    }
}

#[cfg(test)]
mod tests;
