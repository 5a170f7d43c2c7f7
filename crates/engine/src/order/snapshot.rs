//! A state as rows, none of which grows with the life of the log.
//!
//! ```text
//! snapshot/{len}      the state without its lists, and how many frozen shards and pages belong to it
//! page/{len}/{n}      the shards that are not frozen, and the operations that are remembered
//! shard/{n}           the n-th frozen shard, oldest first: written once, the same for every snapshot and every replica
//! ```
//!
//! Frozen shards come first in a state and never change again; so a snapshot writes those that froze since the last one, before
//! it, and a few pages. Snapshots of earlier versions are one row with everything in it; they are read as well.
//!
//! What must never happen: a snapshot that counts a shard whose row is not durable; a page that goes before its snapshot.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys::{Keys, trailing_number};
use super::state::{Phase, Remembered, Shard, State};
use store::record;
use store::{Coordination, Key, StoreError};

/// Rows read or written at a time.
pub(crate) const ROWS: usize = 256;
/// JSON on a page, bytes: with the envelope less than what every store takes as one value. One item is always less, since it came
/// in a slot.
const PAGE: usize = super::MAX_SLOT - 256;

/// The row of a snapshot.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Its shards and operations are elsewhere.
    state: State,
    /// Frozen shards, in rows of their own.
    frozen: u64,
    /// Pages with the rest.
    pages: u64,
}

/// How the record of a head begins; that of a state which is one row begins otherwise.
const HEAD: &[u8] = b"{\"state\":";

/// A part of what a state lists.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    shards: Vec<Shard>,
    operations: Vec<Remembered>,
}

/// How many frozen shards a state begins with.
fn frozen(state: &State) -> usize {
    let frozen = |shard: &Shard| matches!(shard.phase, Phase::Frozen { .. });
    state.shards.partition_point(frozen)
}

/// The rows of the frozen shards from the n-th on; to be durable before the snapshot that counts them.
pub(crate) fn frozen_rows(
    keys: &Keys,
    state: &State,
    from: u64,
) -> impl Iterator<Item = (Key, Bytes)> {
    let frozen = state.shards.iter().take(frozen(state));
    (0..)
        .zip(frozen)
        .skip(usize::try_from(from).unwrap_or(usize::MAX))
        .map(|(n, shard)| (keys.frozen_shard(n), record::encode(shard)))
}

/// The rows of a snapshot beside its frozen shards, for one transaction: one, and a few pages.
pub(crate) fn rows(keys: &Keys, state: &State) -> Vec<(Key, Bytes)> {
    let frozen = frozen(state);
    let (mut pages, mut page, mut size) = (Vec::new(), Page::default(), 0);
    let mut room = |page: &mut Page, more: usize| {
        if size + more > PAGE {
            pages.push(std::mem::take(page));
            size = 0;
        }
        size += more + 1;
    };
    for shard in state.shards.iter().skip(frozen) {
        room(&mut page, record::json_size(shard));
        page.shards.push(shard.clone());
    }
    for operation in state.operations.iter() {
        room(&mut page, record::json_size(operation));
        page.operations.push(operation.clone());
    }
    pages.push(page);
    let head = Head {
        state: State {
            shards: Arc::default(),
            operations: Arc::default(),
            ..state.clone()
        },
        frozen: frozen as u64,
        pages: pages.len() as u64,
    };
    let mut rows: Vec<_> = (0..)
        .zip(&pages)
        .map(|(n, page)| (keys.snapshot_page(state.len, n), record::encode(page)))
        .collect();
    rows.push((keys.snapshot(state.len), record::encode(&head)));
    rows
}

/// The newest snapshot's row.
pub(crate) async fn newest(
    store: &dyn Coordination,
    keys: &Keys,
) -> Result<Option<(Key, Bytes)>, StoreError> {
    let (prefix, mut from, mut newest) = (keys.snapshots(), keys.snapshots(), None);
    loop {
        let mut page = store.scan(&prefix, &from, ROWS).await?;
        let full = page.len() == ROWS;
        newest = page.pop().or(newest);
        match &newest {
            Some((last, _)) if full => from = format!("{last}\0"),
            _ => return Ok(newest),
        }
    }
}

/// How many frozen shards of a log have rows for certain, as its newest snapshot says.
pub(crate) async fn counted(store: &dyn Coordination, keys: &Keys) -> Result<u64, StoreError> {
    let row = newest(store, keys).await?;
    let head = row.and_then(|(_, bytes)| record::decode::<Head>(&bytes).ok());
    Ok(head.map_or(0, |head| head.frozen))
}

/// The state whose row was found under `key`; `None` when the snapshot was collected meanwhile: then there is a newer one.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not whole.
pub(crate) async fn read(
    store: &dyn Coordination,
    keys: &Keys,
    (key, row): (&str, &[u8]),
) -> Result<Option<State>, StoreError> {
    let corrupt = |key: &str, why: &dyn std::fmt::Display| {
        StoreError::Corrupt(format!("{key}: {why}; run `logd fsck`"))
    };
    if !record::begins(row, HEAD) {
        let state = record::decode(row).map_err(|e| corrupt(key, &e))?;
        return Ok(Some(state));
    }
    let Head {
        mut state,
        frozen,
        pages,
    } = record::decode(row).map_err(|e| corrupt(key, &e))?;
    let mut shards = frozen_shards(store, keys, frozen).await?;
    let mut operations = VecDeque::new();
    for n in 0..pages {
        let page = keys.snapshot_page(state.len, n);
        let Some(row) = store.get(&page).await? else {
            if store.get(key).await?.is_none() {
                return Ok(None);
            }
            return Err(corrupt(&page, &"is missing"));
        };
        let mut page: Page = record::decode(&row).map_err(|e| corrupt(&page, &e))?;
        shards.append(&mut page.shards);
        operations.extend(page.operations);
    }
    state.shards = Arc::new(shards);
    state.operations = Arc::new(operations);
    Ok(Some(state))
}

/// The first `count` frozen shards. Each begins where the one before it ends.
async fn frozen_shards(
    store: &dyn Coordination,
    keys: &Keys,
    count: u64,
) -> Result<Vec<Shard>, StoreError> {
    let corrupt = |n: u64, why: &dyn std::fmt::Display| {
        let key = keys.frozen_shard(n);
        StoreError::Corrupt(format!("{key}: {why}; run `logd fsck`"))
    };
    let (prefix, mut shards, mut at) = (keys.frozen_shards(), Vec::new(), 0);
    loop {
        let have = shards.len() as u64;
        if have == count {
            return Ok(shards);
        }
        let most = usize::try_from(count - have).unwrap_or(ROWS).min(ROWS);
        let page = store.scan(&prefix, &keys.frozen_shard(have), most).await?;
        if page.is_empty() {
            return Err(corrupt(have, &"is missing"));
        }
        for (n, (key, row)) in (have..).zip(page) {
            if trailing_number(&key) != Some(n) {
                return Err(corrupt(n, &"is missing"));
            }
            let shard: Shard = record::decode(&row).map_err(|e| corrupt(n, &e))?;
            match shard.phase {
                Phase::Frozen { start, length } if start == at => at += length,
                _ => return Err(corrupt(n, &"does not follow from the shard before it")),
            }
            shards.push(shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{MemoryCoordination, Outcome, Transaction};

    /// More snapshots than one look shows, as when nothing was collected for long: the newest one counts.
    #[tokio::test]
    async fn the_newest_of_many_snapshots_is_found() {
        let (keys, store) = (Keys::new("dev"), MemoryCoordination::new());
        let last = 2 * ROWS as u64;
        for len in 0..=last {
            let state = State {
                len,
                ..State::default()
            };
            let put = Transaction {
                puts: rows(&keys, &state),
                ..Transaction::default()
            };
            assert!(matches!(store.transact(put).await, Outcome::Committed));
        }
        let (key, row) = newest(&store, &keys).await.unwrap().unwrap();
        let state = read(&store, &keys, (&key, &row)).await.unwrap();
        assert_eq!(state.unwrap().len, last);
    }
}
