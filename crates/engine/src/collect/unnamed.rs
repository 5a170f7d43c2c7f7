//! Deletes batches that nothing names: no slot, no announcement, and no queued promise. They are what a failed or refused write left behind.
//!
//! What must never happen: a batch is deleted that can still be ordered. So one that nothing names is noted first, with the length of the order, and
//! deleted once the order has grown so much that no slot can name it any more.

use std::collections::BTreeMap;

use crate::collect::{CHUNK, SLOTS, apply, delete, forget_objects, token_of, tokens};
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use order::SlotNumber;
use order::deletion::{Evidence, Unnamed};
use order::slot::Slot;
use order::token::Token;
use store::record;
use store::{StoreError, Transaction};

/// Rows of batches read in one collection: their values may be large.
const ROWS: usize = 64;

/// The batches that no slot of `evidence` names, each with whether it is an object. It reads all objects but only the first rows, because rows that
/// older versions left behind sort first. A promised batch that is a row is never among them: it is put with its promise, and deleted with its slot.
async fn unnamed(
    ledger: &Ledger,
    nodes: &Nodes,
    evidence: &Evidence,
) -> Result<BTreeMap<Token, bool>, StoreError> {
    let prefix = ledger.keys.batches();
    let rows = ledger.store.scan(&prefix, &prefix, ROWS).await?;
    let rows = rows.iter().filter_map(|(key, _)| token_of(key));
    let rows = rows.filter(|token| !token.is_promised());
    let objects = nodes.listed(&prefix).await;
    let objects = objects.iter().filter_map(|path| token_of(path));
    let all = rows
        .map(|token| (token, false))
        .chain(objects.map(|token| (token, true)));
    Ok(all.filter(|(token, _)| !evidence.needs(*token)).collect())
}

/// A batch that nothing names is noted first, and deleted once it can no longer be ordered. Notes of deleted or needed batches are deleted too.
pub(crate) async fn sweep_unnamed(
    ledger: &Ledger,
    nodes: &Nodes,
    mut evidence: Evidence,
) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    let mut notes = notes(ledger).await?;
    let found = unnamed(ledger, nodes, &evidence).await?;
    if !found.is_empty() {
        // Read only now, after the batches, because bag and queue may name them: promised work moves between bag and queue, and from there into a slot.
        let from = ledger.bound_releases().await?;
        let (bag, queue) = (keys.bag(), keys.queue());
        for prefix in [&bag, &queue, &bag] {
            tokens(ledger, prefix, prefix, |token| evidence.need(token)).await?;
        }
        if ledger.returned(from).await? {
            return Ok(()); // The next collection tries again.
        }
        read_on(ledger, &mut evidence).await?;
    }
    let (mut puts, mut deletes, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    for (token, is_object) in found {
        let noted = notes.get(&token).copied();
        let fate = evidence.unnamed(token, noted);
        if fate == Unnamed::IsWatched {
            notes.remove(&token);
        } else if let Unnamed::IsNoted(len) = fate {
            puts.push((keys.noted(token), record::encode_counted(len.get())));
        } else if fate == Unnamed::Goes {
            let place = if is_object {
                &mut objects
            } else {
                &mut deletes
            };
            place.push(keys.batch(token));
        }
    }
    puts.truncate(CHUNK);
    forget_objects(nodes, objects).await?;
    deletes.extend(notes.into_keys().map(|token| keys.noted(token)));
    if !puts.is_empty() {
        let transaction = Transaction {
            puts,
            ..Transaction::default()
        };
        apply(ledger, transaction).await?;
    }
    for chunk in deletes.chunks(CHUNK) {
        delete(ledger, chunk.to_vec()).await?;
    }
    Ok(())
}

/// Adds the slots that were decided meanwhile to the evidence.
async fn read_on(ledger: &Ledger, evidence: &mut Evidence) -> Result<(), StoreError> {
    let keys = &ledger.keys;
    loop {
        let from = keys.slot(evidence.len());
        let page = ledger.store.scan(&keys.slots(), &from, SLOTS).await?;
        for (key, bytes) in &page {
            let slot: Slot = record::decode(bytes)
                .map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))?;
            if slot.number != evidence.len() {
                // Across a gap in the slots, nothing can be called unneeded.
                let why = "another server deleted slots meanwhile";
                return Err(StoreError::Io(why.into()));
            }
            evidence.read(&slot);
        }
        if page.len() < SLOTS {
            return Ok(());
        }
    }
}

async fn notes(ledger: &Ledger) -> Result<BTreeMap<Token, SlotNumber>, StoreError> {
    let prefix = ledger.keys.all_noted();
    let (mut notes, mut from) = (BTreeMap::new(), prefix.clone());
    loop {
        let page = ledger.store.scan(&prefix, &from, CHUNK).await?;
        let full = page.len() == CHUNK;
        for (key, bytes) in page {
            if let (Some(token), Ok(len)) = (token_of(&key), record::decode_counted(&bytes)) {
                notes.insert(token, SlotNumber::new(len));
            }
            from = format!("{key}\0");
        }
        if !full {
            return Ok(notes);
        }
    }
}
