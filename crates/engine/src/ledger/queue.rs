//! The durable queue: promised work on its way between `queue/…` and `bag/…`.
//!
//! What must never happen: promised work is lost, or ordered twice. So it moves in one transaction, which demands that it is still where it
//! was and that no slot has ordered it, and the slot's own transaction consumes it. That no slot has ordered it is the absence of its
//! placed row, which that transaction writes; the row stays for as long as a late copy of anything here could still land, so no slot has to
//! be read again.

use order::keys::announced_under;
use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::ledger::Ledger;
use order::propose::not_dead;
use order::slot::BatchRef;
use order::token::Token;
use order::work::{Announcement, Promised, Work};
use order::{SlotNumber, writes};
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::{GlobalIndex, UnixMillis};

/// Rows read at a time.
const SCAN_PAGE: usize = 256;

/// Promised work of one tenant in one tier that is not ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromisedBacklog {
    /// How many entries wait to be ordered.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
    /// The earliest deadline, milliseconds since the Unix epoch.
    pub deadline: UnixMillis,
}

/// Promised announcements in the bag.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Announcements that count for the next slot.
    pub(crate) live: Vec<Promised>,
    /// Announcements that go back to the queue, with their rows.
    pub(crate) dead: Vec<(String, Promised)>,
}

impl Ledger {
    /// Puts promised work, with its batches, into the queue: it is durable when this is committed. Refused when the log is closing, when
    /// slots since its first slot were collected, or when the storage nodes that it was written to no longer count.
    pub(crate) async fn enqueue(&self, works: &[(Promised, Bytes)]) -> Outcome {
        let mut transaction = writes::enqueue(&self.keys, works);
        let objects: Vec<_> = works
            .iter()
            .filter(|(promised, _)| promised.batch.object)
            .map(|(promised, bytes)| (self.keys.batch(promised.batch.token), bytes.clone()))
            .collect();
        if !objects.is_empty() {
            let stored = writes::stored_under(&self.keys, self.storage());
            transaction.guards.push(stored);
            if let Err(e) = self.objects().put(objects).await {
                return Outcome::Failed(e);
            }
        }
        self.store().transact(transaction).await
    }

    /// Moves work from the queue into the bag. Refused when any of it is no longer there.
    pub(crate) async fn release(&self, works: &[Promised]) -> Outcome {
        let transaction = writes::release(&self.keys, self.state().len, works);
        self.store().transact(transaction).await
    }

    /// Called before a scan of bag, queue and bag again that must miss no promised work. From now on a delayed release cannot put work into
    /// the bag that is already dead there and returns to the queue at once. Returns the number of slots, for [`Ledger::returned`].
    pub(crate) async fn bound_releases(&self) -> Result<SlotNumber, StoreError> {
        self.refresh().await?;
        let (key, from) = (self.keys.release_from(), self.state().len);
        let row = self.store.get(&key).await?;
        // Nothing was ordered since the last call, so no write is needed.
        if row
            .is_some_and(|row| record::decode_counted(&row).is_ok_and(|known| known >= from.get()))
        {
            return Ok(from);
        }
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), from.get())],
            puts: vec![(key, record::encode_counted(from.get()))],
            deletes: Vec::new(),
        };
        match self.store().transact(transaction).await {
            // Refused: another server demands more.
            Outcome::Committed | Outcome::Refused => Ok(from),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Called after that scan: whether work that was released under `from` or later may be back in the queue, unseen.
    pub(crate) async fn returned(&self, from: SlotNumber) -> Result<bool, StoreError> {
        self.refresh().await?;
        let returned = self.look(|view| {
            let froze = view.state.last_freeze.is_some_and(|freeze| freeze >= from);
            froze || !view.limits.covers(view.state.len, from)
        });
        if returned {
            tracing::info!(
                log = self.name,
                "promised work may have moved while it was looked for; it is looked for again"
            );
        }
        Ok(returned)
    }

    /// Settles a row of promised work, in the queue or in the bag. If the work is ordered, the row is deleted; otherwise a row of the bag
    /// goes back to the queue.
    pub(crate) async fn settle_row(
        &self,
        key: &str,
        promised: &Promised,
    ) -> Result<(), StoreError> {
        let place = self.keys.placed_promise(promised.batch.token);
        let placed = self.store().get(&place).await?.is_some();
        let Some(transaction) = writes::settle(&self.keys, key, promised, placed) else {
            return Ok(());
        };
        match self.store().transact(transaction).await {
            // Refused: another releaser was first.
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// The promised work in the bag.
    pub(crate) async fn announced(&self) -> Result<Announced, StoreError> {
        let mut found = Announced::default();
        let mut from = self.keys.bag();
        loop {
            let page = self
                .store()
                .scan(&self.keys.bag(), &from, SCAN_PAGE)
                .await?;
            let full = page.len() == SCAN_PAGE;
            for (key, bytes) in page {
                from = format!("{key}\0");
                let seen = announced_under(&key);
                if let (Some(seen), Ok(Work::Promised(promised))) = (seen, record::decode(&bytes)) {
                    let work = Work::Promised(promised.clone());
                    let announcement = Announcement { seen, work };
                    if self.look(|view| not_dead(view, &announcement)) {
                        found.live.push(promised);
                    } else {
                        found.dead.push((key, promised));
                    }
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }

    /// The rows of each tier with promised work in the queue, earliest deadline first, at most `limit` of each.
    pub(crate) async fn queued(&self, limit: usize) -> Result<Vec<Vec<Promised>>, StoreError> {
        let prefix = self.keys.queue();
        let (mut tiers, mut from) = (Vec::new(), prefix.clone());
        while let Some((key, _)) = self.store().scan(&prefix, &from, 1).await?.first() {
            let tier = key[prefix.len()..].split('/').next().unwrap_or_default();
            tiers.push(self.queued_in(tier, limit).await?);
            // '0' is the character after '/': what follows all rows of that tier.
            from = format!("{prefix}{tier}0");
        }
        Ok(tiers)
    }

    /// The rows of one tier, earliest deadline first, at most `limit`. Damaged rows are skipped; `fsck` names them.
    pub(crate) async fn queued_in(
        &self,
        tier: &str,
        limit: usize,
    ) -> Result<Vec<Promised>, StoreError> {
        let prefix = self.keys.queue_tier(tier);
        let rows = self.store().scan(&prefix, &prefix, limit).await?;
        let mut works = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            match record::decode::<Promised>(&bytes) {
                Ok(promised) if self.keys.queued(&promised) == key => works.push(promised),
                _ => tracing::error!(key, "promised work is not understood; run `logd fsck`"),
            }
        }
        Ok(works)
    }

    /// All promised work that is not ordered, in the queue and in the bag, by tier and tenant.
    pub(crate) async fn waiting(
        &self,
    ) -> Result<BTreeMap<(String, String), PromisedBacklog>, StoreError> {
        let mut all: BTreeMap<(String, String), PromisedBacklog> = BTreeMap::new();
        self.each_promised(|p| {
            let sum = all.entry((p.tier.clone(), p.tenant.clone())).or_default();
            sum.deadline = if sum.entries == 0 {
                p.deadline
            } else {
                sum.deadline.min(p.deadline)
            };
            sum.entries += p.batch.entries;
            sum.bytes += p.bytes;
        })
        .await?;
        Ok(all)
    }

    /// Calls `show` once with each promised work that is not ordered.
    pub(crate) async fn each_promised(
        &self,
        mut show: impl FnMut(&Promised),
    ) -> Result<(), StoreError> {
        let mut shown = HashSet::new();
        let mut once = |p: &Promised| {
            // Work may move while this looks, and be seen in both places.
            if shown.insert(p.batch.token) {
                show(p);
            }
        };
        let bag = self.announced().await?;
        bag.live
            .iter()
            .chain(bag.dead.iter().map(|(_, p)| p))
            .for_each(&mut once);
        let (prefix, mut from) = (self.keys.queue(), self.keys.queue());
        loop {
            let page = self.store().scan(&prefix, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            if let Some((last, _)) = page.last() {
                from = format!("{last}\0");
            }
            page.iter()
                .filter_map(|(_, bytes)| record::decode::<Promised>(bytes).ok())
                .for_each(|p| once(&p));
            if !full {
                break;
            }
        }
        // Work that was released after the scan of the bag.
        let bag = self.announced().await?;
        bag.live
            .iter()
            .chain(bag.dead.iter().map(|(_, p)| p))
            .for_each(&mut once);
        Ok(())
    }

    /// Decides the next slot with the work in the bag, so that released work needs no other writer. The slots show whether it was committed.
    pub(crate) async fn help(&self) -> Result<(), StoreError> {
        self.refresh().await?;
        match self.propose_bag().await {
            Outcome::Committed | Outcome::Refused => self.refresh().await.map(drop),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// The large batches of the slots in the filter, each with the global index after it.
    pub(crate) fn recent_objects(&self) -> Vec<(GlobalIndex, BatchRef)> {
        self.look(|view| {
            let placed = view.recent().flat_map(|slot| slot.placed());
            let large = placed.filter(|(_, batch)| batch.object);
            let end =
                |(start, batch): (GlobalIndex, &BatchRef)| (start + batch.entries, batch.clone());
            large.map(end).collect()
        })
    }

    /// Global index of the work that a token names, if one of the last slots ordered it.
    pub(crate) fn index_of(&self, token: Token) -> Option<GlobalIndex> {
        self.look(|view| {
            let mut placed = view.find(token)?.placed();
            placed
                .find(|(_, b)| b.token == token)
                .map(|(start, _)| start)
        })
    }
}
