//! The floor, and what is deleted below it, in exactly this order: write a snapshot, raise the floor, delete announcements below it, delete
//! slots below it. Each step deletes the batches that nothing else points at; [`order::deletion`] says what may be deleted.
//!
//! What must never happen: a slot is deleted before a snapshot covers it, or a slot is decided below the floor. The floor is raised before
//! anything is deleted, and every decision is guarded by it in its own transaction.

mod unnamed;

#[cfg(test)]
mod tests;

pub(crate) use unnamed::sweep_unnamed;

use crate::ledger::{Ledger, snapshot};
use crate::nodes::Nodes;
use order::deletion::{Announced, Evidence};
use order::keys::{announced_under, trailing_slot};
use order::mutant::{Mutant, left_out};
use order::slot::Slot;
use order::state::State;
use order::token::Token;
use order::work::Work;
use order::writes;
use order::{Limits, SlotNumber};
use store::record;
use store::{Key, Objects as _, Outcome, StoreError, Transaction};

/// Rows read, and about as many deleted, at a time.
const CHUNK: usize = 512;
/// Slots read at a time: each may delete many batches with it.
const SLOTS: usize = 128;
/// Snapshots, or pages of them, read at a time: their values may be large.
const SNAPSHOTS: usize = 64;

async fn apply(ledger: &Ledger, transaction: Transaction) -> Result<bool, StoreError> {
    match ledger.store.transact(transaction).await {
        Outcome::Committed => Ok(true),
        Outcome::Refused => Ok(false),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

async fn delete(ledger: &Ledger, deletes: Vec<Key>) -> Result<(), StoreError> {
    if deletes.is_empty() {
        return Ok(());
    }
    let transaction = Transaction {
        deletes,
        ..Transaction::default()
    };
    apply(ledger, transaction).await.map(drop)
}

/// Collects everything that `published`, the state after the last published slot, allows; `unpublished` are the slots after it. Does nothing while
/// there is too little to collect, unless `owed` is set: then the floor was raised, and slots below it are still to be deleted.
pub(crate) async fn collect<'a>(
    ledger: &Ledger,
    nodes: &Nodes,
    published: &State,
    unpublished: impl Iterator<Item = &'a Slot>,
    owed: &mut bool,
) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    let limits = Limits::default();
    let before = ledger.floor().await?;
    // Checked first against all slots that are known here: nearly always there is too little to collect, and then a long backlog is not read.
    let mut most = ledger.state().len.back(limits.window);
    if !left_out(Mutant::CollectsUnpublishedSlots) {
        most = most.min(published.len);
    }
    if most < before + limits.window && !*owed {
        return Ok(());
    }
    let evidence = Evidence::new(limits, published.len, unpublished);
    let raise = writes::raise(keys, limits, before, evidence.len(), published);
    let floor = match raise {
        Some((floor, transaction)) => {
            freeze_shards(ledger, published).await?;
            *owed = true; // Its outcome may be unknown.
            if !apply(ledger, transaction).await? {
                *owed = false;
                return Ok(()); // Another replica is further.
            }
            floor
        }
        None => {
            // Deletes slots alone: older snapshots go only once there is a new one.
            sweep_slots(ledger, nodes, &evidence.with_floor(before)).await?;
            *owed = false;
            return Ok(());
        }
    };
    let evidence = evidence.with_floor(floor);
    sweep_bag(ledger, nodes, evidence.clone()).await?;
    sweep_slots(ledger, nodes, &evidence).await?;
    *owed = false;
    sweep_snapshots(ledger, &evidence).await?;
    sweep_unnamed(ledger, nodes, evidence).await
}

/// Writes the rows of the shards that froze since the last snapshot: every replica writes the same.
async fn freeze_shards(ledger: &Ledger, published: &State) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    let from = snapshot::counted(&*ledger.store, keys).await?;
    let mut rows = snapshot::frozen_rows(keys, published, from).peekable();
    while rows.peek().is_some() {
        let puts = rows.by_ref().take(snapshot::ROWS).collect();
        let transaction = Transaction {
            puts,
            ..Transaction::default()
        };
        apply(ledger, transaction).await?;
    }
    Ok(())
}

/// Deletes announcements below the floor, which count for no slot any more. Promised work goes back to the queue, unless it is ordered; an
/// announcement that this version does not understand may be a newer version's promise, and stays.
async fn sweep_bag(
    ledger: &Ledger,
    nodes: &Nodes,
    mut evidence: Evidence,
) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    let (prefix, end) = (keys.bag(), keys.bag_from(evidence.floor()));
    // Work that is announced above the floor as well, as older versions may do, keeps its bytes.
    tokens(ledger, &prefix, &end, |token| evidence.need(token)).await?;
    let mut from = prefix.clone();
    loop {
        let mut page = ledger.store.scan(&prefix, &from, CHUNK).await?;
        let full = page.len() == CHUNK;
        page.retain(|(key, _)| *key < end);
        let (mut deletes, mut objects) = (Vec::new(), Vec::new());
        for (key, bytes) in &page {
            let work = match record::decode::<Work>(bytes) {
                Ok(work) => work,
                Err(e) => {
                    tracing::warn!(key, error = %e, "cannot read an announcement; it stays");
                    continue;
                }
            };
            let seen = announced_under(key).unwrap_or(SlotNumber::new(u64::MAX));
            match evidence.announced(seen, &work) {
                Announced::Stays => {}
                Announced::Goes => deletes.push(key.clone()),
                Announced::GoesWithBatch => {
                    deletes.push(key.clone());
                    if let Some(batch) = work.batch() {
                        let place = if batch.object {
                            &mut objects
                        } else {
                            &mut deletes
                        };
                        place.push(keys.batch(batch.token));
                    }
                }
                Announced::Settles => {
                    if let Work::Promised(promised) = &work {
                        ledger.settle_row(key, promised).await?;
                    }
                }
            }
        }
        forget_objects(nodes, objects).await?;
        delete(ledger, deletes).await?;
        match page.last() {
            Some((last, _)) if full => from = format!("{last}\0"),
            _ => return Ok(()),
        }
    }
}

/// Calls a function with the tokens at the end of the keys below `prefix`, from a key on.
async fn tokens(
    ledger: &Ledger,
    prefix: &str,
    from: &str,
    mut show: impl FnMut(Token),
) -> Result<(), StoreError> {
    let mut from = from.to_owned();
    loop {
        let page = ledger.store.scan(prefix, &from, CHUNK).await?;
        let keys = page.iter().map(|(key, _)| key);
        keys.filter_map(|key| token_of(key)).for_each(&mut show);
        match page.last() {
            Some((last, _)) if page.len() == CHUNK => from = format!("{last}\0"),
            _ => return Ok(()),
        }
    }
}

/// Deletes slots below the floor, each with the batches that are left of it: a publication has deleted most of them.
async fn sweep_slots(
    ledger: &Ledger,
    nodes: &Nodes,
    evidence: &Evidence,
) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    loop {
        let page = ledger
            .store
            .scan(&keys.slots(), &keys.slots(), SLOTS)
            .await?;
        let full = page.len() == SLOTS;
        let (mut deletes, mut objects, mut last) = (Vec::new(), Vec::new(), !full);
        for (key, bytes) in page {
            if !trailing_slot(&key).is_some_and(|number| evidence.slot_goes(number)) {
                last = true;
                break;
            }
            match record::decode::<Slot>(&bytes) {
                Ok(slot) => slot.batches.iter().for_each(|batch| {
                    let key = keys.batch(batch.token);
                    let place = if batch.object {
                        &mut objects
                    } else {
                        &mut deletes
                    };
                    place.push(key);
                }),
                // This slot was applied once, or a newer version wrote it: its batches may be deleted.
                Err(e) => {
                    tracing::warn!(key, error = %e, "cannot read a slot below the floor; it is deleted")
                }
            }
            deletes.push(key);
            if deletes.len() >= CHUNK {
                last = false;
                break;
            }
        }
        // Objects are deleted first: they are known only while the slot is there.
        forget_objects(nodes, objects).await?;
        delete(ledger, deletes).await?;
        if last {
            return Ok(());
        }
    }
}

/// Deletes snapshots that a newer one covers, then their pages, so that no snapshot lacks its pages.
async fn sweep_snapshots(ledger: &Ledger, evidence: &Evidence) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    for prefix in [keys.snapshots(), keys.snapshot_pages()] {
        loop {
            let page = ledger.store.scan(&prefix, &prefix, SNAPSHOTS).await?;
            let full = page.len() == SNAPSHOTS;
            let rows = page.into_iter().map(|(key, _)| key);
            let goes = |key: &Key| {
                let number = key[prefix.len()..].split('/').next();
                let number = number.and_then(|n| n.parse().ok()).map(SlotNumber::new);
                number.is_some_and(|n| evidence.snapshot_goes(n))
            };
            let deletes: Vec<Key> = rows.take_while(goes).collect();
            let all = deletes.len() == SNAPSHOTS;
            delete(ledger, deletes).await?;
            if !(full && all) {
                break;
            }
        }
    }
    Ok(())
}

/// Deletes large batches from every storage node that answers; the others delete them when they are back.
async fn forget_objects(nodes: &Nodes, paths: Vec<Key>) -> Result<(), StoreError> {
    match paths.is_empty() {
        true => Ok(()),
        false => nodes.delete(paths).await,
    }
}

fn token_of(key: &str) -> Option<Token> {
    key.rsplit('/').next()?.parse().ok()
}
