//! The floor: what is published may go, in just this order: snapshot, floor, announcements below the floor, slots below it.
//!
//! What must never happen: a slot that goes before a snapshot covers it, a decision below the floor. The floor is raised before
//! anything is deleted, and every decision is guarded by it in its own transaction.

use std::sync::Arc;

use super::Limits;
use super::commit::now_ms;
use super::keys::trailing_number;
use super::slot::{Token, Work};
use super::state::State;
use super::writes;
use crate::log::Core;
use crate::record;
use crate::store::{Outcome, StoreError, Transaction};

/// Rows deleted in one transaction.
const CHUNK: usize = 512;
/// Age after which a batch that nothing refers to is litter, milliseconds.
const LITTER_AGE_MS: u64 = 3_600_000;

async fn apply(core: &Core, transaction: Transaction) -> Result<bool, StoreError> {
    match core.store.transact(transaction).await {
        Outcome::Committed => Ok(true),
        Outcome::Refused => Ok(false),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

/// Deletes every key below `prefix` for which `dead` holds, from the lowest on, until one lives.
async fn sweep(core: &Core, prefix: &str, dead: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
    let mut count = 0;
    loop {
        let rows = core.store.scan(prefix, prefix, CHUNK).await?;
        let deletes: Vec<String> = rows
            .into_iter()
            .map(|(key, _)| key)
            .take_while(|key| dead(key))
            .collect();
        let n = deletes.len();
        if n > 0 {
            apply(
                core,
                Transaction {
                    deletes,
                    ..Transaction::default()
                },
            )
            .await?;
            count += n as u64;
        }
        if n < CHUNK {
            return Ok(count);
        }
    }
}

/// Collects what `published`, the state after the last published slot, allows. Does nothing until it is worth it.
pub async fn collect(core: &Core, published: &Arc<State>) -> Result<(), StoreError> {
    let keys = &core.order.keys;
    let before = match core.store.get(&keys.floor()).await? {
        Some(row) => record::decode_number(&row)
            .map_err(|e| StoreError::Corrupt(format!("{}: {e}", keys.floor())))?,
        None => 0,
    };
    let len = core.order.state().len;
    let raise = writes::raise(keys, Limits::default(), before, len, published);
    let Some((floor, transaction)) = raise else {
        return Ok(());
    };
    let raised = apply(core, transaction).await?;
    if !raised {
        return Ok(()); // Another replica is further.
    }
    let number_below = |key: &str, limit: u64| trailing_number(key).is_some_and(|n| n < limit);
    sweep_bag(core, floor).await?;
    sweep(core, &keys.slots(), |key| number_below(key, floor)).await?;
    sweep(core, &keys.snapshots(), |key| {
        number_below(key, published.len)
    })
    .await?;
    litter(core).await
}

/// Announcements below the floor count for no slot any more. Promised work goes back to the queue, unless it is ordered; one
/// that is not understood here may be a newer version's promise, and stays.
async fn sweep_bag(core: &Core, floor: u64) -> Result<(), StoreError> {
    let keys = &core.order.keys;
    let (prefix, end) = (keys.bag(), keys.bag_from(floor));
    let mut from = prefix.clone();
    loop {
        let mut page = core.store.scan(&prefix, &from, CHUNK).await?;
        page.retain(|(key, _)| *key < end);
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        from = format!("{last}\0");
        let mut deletes = Vec::new();
        for (key, bytes) in &page {
            match record::decode::<Work>(bytes) {
                Ok(Work::Promised(promised)) => core.order.settle_row(key, &promised).await?,
                Ok(_) => deletes.push(key.clone()),
                Err(e) => tracing::warn!(key, error = %e, "an announcement is not understood"),
            }
        }
        let transaction = Transaction {
            deletes,
            ..Transaction::default()
        };
        apply(core, transaction).await?;
    }
}

/// Batches that nothing refers to: their author died between writing and announcing.
async fn litter(core: &Core) -> Result<(), StoreError> {
    let old = now_ms().saturating_sub(LITTER_AGE_MS);
    let born = |key: &str| {
        key.rsplit('/')
            .next()
            .and_then(|t| t.parse::<Token>().ok())
            // A promised batch is in queue or bag until it is published: it never is litter.
            .filter(|t| !t.is_kept())
            .map(|t| t.birth_ms())
    };
    // Tokens sort by birth, so the old ones come first. One that is ordered but unpublished, or announced, is not litter; with
    // publication alive there is none that old, and without it nothing may go.
    if core.pending.bytes() > 0 {
        return Ok(());
    }
    if core
        .store
        .scan(&core.order.keys.bag(), &core.order.keys.bag(), 1)
        .await?
        .is_empty()
    {
        sweep(core, &core.order.keys.batches(), |key| {
            born(key).is_some_and(|ms| ms < old)
        })
        .await?;
    }
    Ok(())
}
