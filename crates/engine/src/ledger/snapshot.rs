//! Reads a snapshot back: the row, its pages, and the frozen shards that it counts ([`order::snapshot`]).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use order::keys::{Keys, trailing_number};
use order::snapshot::{HEAD, Head, Page};
pub(crate) use order::snapshot::{frozen_rows, rows};
use order::state::{Phase, Shard, State};
use store::record;
use store::{Coordination, Key, StoreError};
use tlog::GlobalIndex;

/// Rows read or written at a time.
pub(crate) const ROWS: usize = 256;

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

/// How many frozen shards of a log certainly have rows, according to its newest snapshot.
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
    let (prefix, mut shards) = (keys.frozen_shards(), Vec::new());
    let mut at = GlobalIndex::ZERO;
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
                Phase::Frozen { start, length } if start == at => at = start + length,
                _ => return Err(corrupt(n, &"does not follow from the shard before it")),
            }
            shards.push(shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use order::SlotNumber;
    use store::{MemoryCoordination, Outcome, Transaction};

    /// More snapshots than one scan returns, as when nothing was collected for a long time: the newest one counts.
    #[tokio::test]
    async fn the_newest_of_many_snapshots_is_found() {
        let (keys, store) = (Keys::new("dev"), MemoryCoordination::new());
        let last = 2 * ROWS as u64;
        for len in 0..=last {
            let state = State {
                len: SlotNumber::new(len),
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
        assert_eq!(state.unwrap().len, SlotNumber::new(last));
    }
}
