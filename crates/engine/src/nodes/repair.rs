//! Writes batches again that nodes missed. What a node lacks is judged by the batches that are needed, never by those that another node
//! has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use order::mutant::{Mutant, left_out};
use order::slot::BatchRef;
use store::{StoreError, record};
use tlog::Hash;
use tokio::time::Instant;

use super::Nodes;
use super::node::{MISSED, Missed, Reached, locked, within};
use crate::ledger::Ledger;
use crate::position;

/// Pause between two looks at what nodes missed.
const REPAIR: Duration = Duration::from_secs(1);
/// Time between two comparisons of each node with what is needed. A node that lost a batch without notice says only that it is not there,
/// as one that is behind does, and batches wait for publication up to a day.
pub(super) const COMPARISON: Duration = Duration::from_secs(600);

/// The large batches that are needed, with their digests: those that are ordered and not published, and those that are promised. What a
/// node lacks is judged by this, never by another node: a node that was away still has batches that were deleted meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    pub(super) paths: BTreeMap<String, Hash>,
    /// Batches that were ordered lately and are published.
    pub(super) over: BTreeSet<String>,
}

impl Needed {
    /// Computed from the slots, the positions and the queue; `None` if promised work may have moved unseen meanwhile.
    pub(super) async fn of(ledger: &Ledger) -> Result<Option<Self>, StoreError> {
        let keys = &ledger.keys;
        let mut needed = Self::default();
        let from = ledger.bound_releases().await?;
        ledger
            .each_promised(|p| needed.add(keys.batch(p.batch.token), &p.batch))
            .await?;
        if ledger.returned(from).await? {
            return Ok(None);
        }
        let published = position::published_index(&*ledger.store, keys, &ledger.state()).await?;
        for (end, batch) in ledger.recent_objects() {
            if end <= published {
                needed.over.insert(keys.batch(batch.token));
            }
        }
        for held in ledger.pending.objects(published) {
            needed.add(keys.batch(held.batch.token), &held.batch);
        }
        Ok(Some(needed))
    }

    pub(super) fn add(&mut self, path: String, batch: &BatchRef) {
        if batch.object {
            self.paths.insert(path, batch.digest);
        }
    }
}

/// Writes batches again that nodes missed, for as long as the log runs.
pub(crate) async fn repair(ledger: &Ledger, nodes: &Nodes) {
    let prefix = ledger.keys.batches();
    let mut compare_at = Instant::now() + COMPARISON;
    loop {
        if Instant::now() >= compare_at {
            compare_at = Instant::now() + COMPARISON;
            nodes.compare_all();
        }
        if !nodes.alone() {
            // Nearly always nothing is missed, and then nothing has to be read.
            let needed = match nodes.lack() {
                true => Needed::of(ledger).await,
                false => Ok(None),
            };
            match needed {
                Ok(needed) => nodes.repair_all(&prefix, needed.as_ref()).await,
                Err(e) => {
                    tracing::warn!(log = ledger.name, error = %e, "cannot look which batches are needed");
                }
            }
        }
        let due = nodes.lack() || nodes.states().values().any(|node| node.trouble.is_some());
        tokio::select! {
            _ = ledger.halt.halted() => return,
            () = nodes.0.repair.notified() => tokio::time::sleep(REPAIR / 4).await,
            () = tokio::time::sleep(REPAIR), if due => {}
            () = tokio::time::sleep_until(compare_at) => {}
        }
    }
}

impl Nodes {
    /// Whether a node may lack needed batches.
    pub(super) fn lack(&self) -> bool {
        let names = self.names();
        let mut nodes = names.iter().map(|name| self.node(name));
        nodes.any(|node| node.compare.load(Relaxed) || !locked(&node.missed).is_empty())
    }

    /// The next repair compares every node with what is needed.
    fn compare_all(&self) {
        for name in self.names() {
            self.node(&name).compare.store(true, Relaxed);
        }
    }

    /// Without `needed`, it only finds out which nodes are back.
    pub(super) async fn repair_all(&self, prefix: &str, needed: Option<&Needed>) {
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
            // The only way to find out whether it is back is to ask it.
            if locked(&one.node.trouble).is_some() {
                within(one.store.list(prefix)).await?;
                one.node.well(&one.name);
            }
            return Ok(());
        }
        let Some(needed) = needed else {
            return Ok(());
        };
        let (mut repaired, mut silent) = (0, BTreeSet::new());
        for (path, what) in missed {
            match what {
                Missed::Delete => within(one.store.discard(vec![path.clone()])).await?,
                Missed::Put(_) if needed.over.contains(&path) => {}
                Missed::Put(digest) => {
                    match self.copy_of(&path, &digest, (one, all), &mut silent).await {
                        Ok(Some(bytes)) => {
                            within(one.store.put(vec![(path.clone(), bytes)])).await?;
                            repaired += 1;
                        }
                        // If no node has it any more, it was published and deleted.
                        Ok(None) => {}
                        // That is another node's fault; this one gets the rest.
                        Err(()) => continue,
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

    /// Notes the needed batches that this node does not have.
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

    /// The batch with this digest from another node. Other bytes are never copied. An error: a node that may have it does not give it.
    /// Those in `silent` did not answer before, and are not asked again.
    async fn copy_of(
        &self,
        path: &str,
        digest: &Hash,
        (to, all): (&Reached, &[Reached]),
        silent: &mut BTreeSet<String>,
    ) -> Result<Option<Bytes>, ()> {
        let mut whole = true;
        for from in all.iter().filter(|from| from.name != to.name) {
            if silent.contains(&from.name) {
                whole = false;
                continue;
            }
            match within(from.store.get(path)).await {
                Ok(Some(bytes))
                    if record::digest(&bytes) == *digest
                        || left_out(Mutant::RepairCopiesAnything) =>
                {
                    return Ok(Some(bytes));
                }
                Ok(Some(_)) => {
                    whole = false;
                    let _ = self.damaged(from, path, digest);
                }
                Ok(None) => {}
                Err(e) => {
                    whole = false;
                    from.node.fails(&from.name, e.to_string());
                    silent.insert(from.name.clone());
                }
            }
        }
        if whole { Ok(None) } else { Err(()) }
    }
}
