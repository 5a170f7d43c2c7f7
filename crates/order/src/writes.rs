//! The transactions of the protocol: guards and rows. Pure; the caller runs them and learns the outcome from the store.
//!
//! What must never happen: a transaction whose guards do not demand everything that its author relied on.

use std::collections::HashSet;

use bytes::Bytes;

use crate::keys::Keys;
use crate::location::LocationRow;
use crate::mutant::{Mutant, left_out};
use crate::proposal::Proposal;
use crate::slot::{Control, Slot};
use crate::snapshot;
use crate::state::State;
use crate::token::Token;
use crate::work::{Announcement, Promised, Work};
use crate::{Generation, Limits, SlotNumber};
use store::record;
use store::{Guard, Key, Transaction};

/// The bytes of those batches that the coordination store holds.
pub fn inline<'a>(keys: &Keys, mine: impl IntoIterator<Item = &'a Proposal>) -> Vec<(Key, Bytes)> {
    mine.into_iter()
        .filter_map(|m| match m.work.batch() {
            Some(b) if !b.object => Some((keys.batch(b.token), m.bytes.clone())),
            _ => None,
        })
        .collect()
}

/// The same of those that a slot orders: bytes never lie where nothing points at them.
pub fn ordered(keys: &Keys, slot: &Slot, mine: &[&Proposal]) -> Vec<(Key, Bytes)> {
    let named: HashSet<Token> = slot.batches.iter().map(|b| b.token).collect();
    let mine = mine.iter().copied();
    inline(keys, mine.filter(|m| named.contains(&m.work.token())))
}

/// Demands that the storage nodes of a generation still count for large batches.
pub fn stored_under(keys: &Keys, generation: Generation) -> Guard {
    Guard::AtMost(keys.storage_from(), generation.get())
}

/// The same for those batches of `mine` that are objects: what makes one of them known is refused once a node that has it may go.
/// One that is in the bag was known in time.
pub fn stored<'a>(keys: &Keys, mine: impl IntoIterator<Item = &'a &'a Proposal>) -> Option<Guard> {
    let stored = mine.into_iter().filter_map(|m| m.stored);
    let generation = stored.map(|stored| stored.generation).min()?;
    Some(stored_under(keys, generation))
}

/// Puts works into the bag, each batch's bytes beside it. Refused when slots were collected that its author has not seen, or when the
/// storage nodes that a large batch was written to no longer count.
pub fn announce(keys: &Keys, seen: SlotNumber, mine: &[&Proposal]) -> Transaction {
    let mut puts = inline(keys, mine.iter().copied());
    puts.extend(mine.iter().map(|m| {
        let key = keys.announcement(seen, m.work.token());
        (key, record::encode(&m.work))
    }));
    let mut guards = vec![Guard::AtMost(keys.floor(), seen.get())];
    if left_out(Mutant::NoFloorGuard) {
        guards.clear();
    }
    guards.extend(stored(keys, mine));
    Transaction {
        guards,
        puts,
        deletes: Vec::new(),
    }
}

/// Decides a slot. The same transaction deletes the announcements that it orders, and writes the requested places and the index rows by
/// operation and generation. `bag` is what was scanned, `None` for the fast path, which demands that no announcement is alive. Also returns
/// the digest of the slot's record.
pub fn decide(
    keys: &Keys,
    limits: Limits,
    slot: &Slot,
    bag: Option<&[(Key, Announcement)]>,
    bytes: Vec<(Key, Bytes)>,
) -> (Transaction, tlog::Hash) {
    let record = record::encode(slot);
    let digest = record::digest(&record);
    let number = slot.number;
    let mut transaction = Transaction {
        guards: vec![
            Guard::Absent(keys.slot(number)),
            Guard::AtMost(keys.floor(), number.get()),
        ],
        puts: bytes,
        deletes: Vec::new(),
    };
    if left_out(Mutant::SlotIsReplaced) {
        transaction.guards.remove(0);
    }
    if left_out(Mutant::NoFloorGuard) {
        transaction.guards.truncate(1);
    }
    match bag {
        Some(bag) => {
            for (key, announced) in bag {
                if slot.tokens().any(|t| t == announced.work.token()) {
                    transaction.deletes.push(key.clone());
                    // A late copy of the row, from a put whose author could not learn its outcome.
                    if let Work::Promised(promised) = &announced.work
                        && !left_out(Mutant::ReleasedTwice)
                    {
                        transaction.deletes.push(keys.queued(promised));
                    }
                }
            }
        }
        None => {
            let from = keys.bag_from(number.back(limits.window));
            transaction.guards.push(Guard::NoneFrom(keys.bag(), from));
        }
    }
    for (index, batch) in slot.placed() {
        if let Some(place) = &batch.location {
            let row = LocationRow {
                slot: number,
                index,
                entries: batch.entries,
                time: slot.time,
                digest: batch.digest,
            };
            let key = keys.placed(place, batch.token);
            transaction.puts.push((key, record::encode(&row)));
        }
    }
    if let Some(decision) = &slot.control {
        let here = || record::encode_number(number.get());
        let puts = &mut transaction.puts;
        puts.push((keys.history_item(number), record.clone()));
        puts.push((keys.operation(decision.operation), here()));
        match &decision.control {
            Control::Reconfigure { base, .. } => {
                puts.push((keys.generation(base.next()), here()));
                if *base == Generation::ZERO {
                    // Nothing is published yet: the first quorum holds all of it.
                    puts.push((keys.handover(), record::encode_numbered(1, &1u64)));
                }
            }
            Control::Closing | Control::Freeze => puts.push((keys.closing(), here())),
            Control::Unfreeze => transaction.deletes.push(keys.closing()),
            Control::Delete | Control::Undelete => {}
        }
    }
    transaction.puts.push((keys.slot(number), record));
    (transaction, digest)
}

/// Puts promised work into the queue; the batches' bytes, where they are not objects, beside it. Refused when the log is closing,
/// when slots since its first slot were collected, or when it is ordered.
pub fn enqueue(keys: &Keys, works: &[(Promised, Bytes)]) -> Transaction {
    let mut transaction = Transaction {
        guards: vec![Guard::Absent(keys.closing())],
        ..Transaction::default()
    };
    for (promised, bytes) in works {
        let token = promised.batch.token;
        let guards = &mut transaction.guards;
        guards.push(Guard::AtMost(keys.floor(), promised.first_slot.get()));
        guards.push(Guard::Absent(keys.placed_promise(token)));
        if !promised.batch.object {
            transaction.puts.push((keys.batch(token), bytes.clone()));
        }
        let row = record::encode(promised);
        transaction.puts.push((keys.queued(promised), row));
    }
    transaction
}

/// Moves promised work from the queue into the bag, on a view whose first undecided slot is `seen`.
pub fn release(keys: &Keys, seen: SlotNumber, works: &[Promised]) -> Transaction {
    let mut transaction = Transaction {
        guards: vec![
            Guard::AtMost(keys.floor(), seen.get()),
            Guard::AtMost(keys.release_from(), seen.get()),
        ],
        ..Transaction::default()
    };
    for promised in works {
        let (queued, token) = (keys.queued(promised), promised.batch.token);
        let guards = &mut transaction.guards;
        guards.push(Guard::Present(queued.clone()));
        guards.push(Guard::Absent(keys.placed_promise(token)));
        transaction.deletes.push(queued);
        let work = record::encode(&Work::Promised(promised.clone()));
        transaction
            .puts
            .push((keys.announcement(seen, token), work));
    }
    if left_out(Mutant::ReleasedTwice) {
        transaction.guards.truncate(2);
        transaction.deletes.clear();
    }
    transaction
}

/// Settles a row of promised work under `key`, in the queue or dead in the bag. If its place exists (`placed`), the row is deleted;
/// otherwise it goes back from the bag to the queue. `None`: it is where it belongs.
pub fn settle(keys: &Keys, key: &str, promised: &Promised, placed: bool) -> Option<Transaction> {
    let place = keys.placed_promise(promised.batch.token);
    let queued = keys.queued(promised);
    let mut transaction = Transaction {
        guards: vec![Guard::Present(key.to_owned())],
        puts: Vec::new(),
        deletes: vec![key.to_owned()],
    };
    if placed {
        transaction.guards.push(Guard::Present(place));
    } else if key == queued {
        return None;
    } else {
        transaction.guards.push(Guard::Absent(place));
        if !left_out(Mutant::PromiseEndsAtAFreeze) {
            transaction.puts.push((queued, record::encode(promised)));
        }
    }
    Some(transaction)
}

/// The rows of places that may be forgotten: their slot is collected, and of their work nothing is `left` in queue or bag, by the key of
/// its place, which was looked for after `floor` was read. None of it can come back then: the floor refuses late copies of a put, and rows
/// move only from where they are.
pub fn forgotten(
    floor: SlotNumber,
    places: impl IntoIterator<Item = (Key, LocationRow)>,
    left: &HashSet<Key>,
) -> Vec<Key> {
    let places = places.into_iter();
    let gone = places.filter(|(key, row)| row.slot < floor && !left.contains(key));
    gone.map(|(key, _)| key).collect()
}

/// Raises the floor, which stood at `before`, as far as the `len` slots and the published position allow, with the snapshot that covers it;
/// the rows of its frozen shards ([`snapshot::frozen_rows`]) are durable before. `None`: not worth it yet.
pub fn raise(
    keys: &Keys,
    limits: Limits,
    before: SlotNumber,
    len: SlotNumber,
    published: &State,
) -> Option<(SlotNumber, Transaction)> {
    let floor = match left_out(Mutant::CollectsUnpublishedSlots) {
        true => len.back(limits.window),
        false => len.back(limits.window).min(published.len),
    };
    (floor >= before + limits.window).then(|| {
        let mut puts = match left_out(Mutant::FloorWithoutSnapshot) {
            true => Vec::new(),
            false => snapshot::rows(keys, published),
        };
        puts.push((keys.floor(), record::encode_number(floor.get())));
        let transaction = Transaction {
            guards: vec![Guard::AtMost(keys.floor(), floor.get())],
            puts,
            deletes: Vec::new(),
        };
        (floor, transaction)
    })
}
