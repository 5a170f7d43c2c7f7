//! The room that admission counts as promised: returned once the work is ordered, late, or was never made durable.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::Promiser;
use super::releaser::LOCATION_RETENTION;
use crate::ingest::batcher::Batcher;
use crate::ingest::in_flight::Kept;
use crate::ledger::Ledger;
use order::location::Location;
use order::token::Token;
use qos::Cost;
use qos::admission::Promise as Due;
use store::StoreError;

/// Late promises that are looked for in one step.
const LATE: usize = 64;

/// A cost that admission counts as accepted: returned when this is dropped, unless it is kept until the entry is ordered.
pub(super) struct Counted {
    promiser: Arc<Promiser>,
    due: Option<Due>,
    cost: Cost,
}

impl Counted {
    pub(super) fn new(promiser: &Arc<Promiser>, due: Option<Due>, cost: Cost) -> Self {
        Self {
            promiser: Arc::clone(promiser),
            due,
            cost,
        }
    }

    pub(super) fn keep(mut self, token: Token, promise: Kept) {
        if let Some(due) = self.due.take() {
            let mut counted = self.promiser.counted();
            let kept = counted.entry(token).or_insert(Kept {
                entries: 0,
                bytes: 0,
                ..promise.clone()
            });
            kept.entries += promise.entries;
            kept.bytes += promise.bytes;
            kept.arrived = kept.arrived.min(promise.arrived);
            kept.due.push((due, self.cost));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(due) = &self.due {
            self.promiser.ingest.batcher.settled(due, self.cost);
        }
    }
}

pub(super) type AllCounted = BTreeMap<Token, Kept>;

impl Promiser {
    pub(super) fn counted(&self) -> std::sync::MutexGuard<'_, AllCounted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the state of the promises. Ordered ones are on their way; late ones are no longer planned for, and searched for.
    pub(crate) async fn settle(
        &self,
        ledger: &Ledger,
        batcher: &Batcher,
    ) -> Result<(), StoreError> {
        let now = ledger.clock.now();
        let (mut over, mut placed, mut late) = (Vec::new(), Vec::new(), Vec::new());
        self.counted().retain(|token, kept| {
            let index = ledger.index_of(*token);
            if let Some(index) = index {
                placed.push((index, kept.clone()));
            } else if kept.deadline < now && late.len() < LATE {
                late.push(*token);
            }
            if index.is_some() || kept.deadline < now {
                over.append(&mut kept.due);
            }
            index.is_none() && kept.deadline + LOCATION_RETENTION > now
        });
        for (due, cost) in over {
            batcher.settled(&due, cost);
        }
        for token in late {
            // It may have been ordered longer ago than the last slots show.
            if let Some(row) = ledger.placed(Location::Promise, token).await?
                && let Some(kept) = self.counted().remove(&token)
            {
                placed.push((row.index, kept));
            }
        }
        for (index, kept) in placed {
            batcher.placed(ledger, index, &kept);
        }
        Ok(())
    }

    /// Counts work that was promised before this server started, or by another one, so that new promises are tested beside it.
    pub(crate) async fn adopt(&self, ledger: &Ledger, batcher: &Batcher) -> Result<(), StoreError> {
        let now = ledger.clock.now();
        let found = ledger.each_promised(|promised| {
            let left = promised.deadline.since(now);
            let cost = Cost::of(promised.batch.entries, promised.bytes);
            let mut counted = self.counted();
            let kept = counted.entry(promised.batch.token);
            // Promises that were given here meanwhile are already counted.
            kept.or_insert_with(|| {
                let due = batcher.adopt(left, cost);
                Kept {
                    tier: promised.tier.as_str().into(),
                    entries: promised.batch.entries,
                    bytes: promised.bytes,
                    arrived: promised.batch.token.made(),
                    deadline: promised.deadline,
                    due: vec![(due, cost)],
                }
            });
        });
        found.await
    }
}
