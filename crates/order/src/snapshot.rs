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
//! What must never happen: a snapshot counts a shard whose row is not durable; a page is deleted before its snapshot.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::keys::Keys;
use crate::mutant::{Mutant, left_out};
use crate::state::{Phase, Remembered, Shard, State};
use store::Key;
use store::record;

/// JSON on a page, bytes: with the envelope it is smaller than the value limit of every store. One item is always less, since it came in a
/// slot.
const PAGE_BYTES: usize = crate::MAX_SLOT - 256;

/// The row of a snapshot.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its shards and operations are elsewhere.
    pub state: State,
    /// Frozen shards, in rows of their own.
    pub frozen: u64,
    /// Pages with the rest.
    pub pages: u64,
}

/// How the record of a head begins; that of a state which is one row begins otherwise.
pub const HEAD: &[u8] = b"{\"state\":";

/// A part of what a state lists.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Active and planned shards, oldest first.
    pub shards: Vec<Shard>,
    /// The latest decided operations, oldest first.
    pub operations: Vec<Remembered>,
}

/// How many frozen shards a state begins with.
fn frozen(state: &State) -> usize {
    let frozen = |shard: &Shard| matches!(shard.phase, Phase::Frozen { .. });
    state.shards.partition_point(frozen)
}

/// The rows of the frozen shards from the n-th on; to be durable before the snapshot that counts them.
pub fn frozen_rows(keys: &Keys, state: &State, from: u64) -> impl Iterator<Item = (Key, Bytes)> {
    let frozen = state.shards.iter().take(frozen(state));
    (0..)
        .zip(frozen)
        .skip(usize::try_from(from).unwrap_or(usize::MAX))
        .map(|(n, shard)| (keys.frozen_shard(n), record::encode(shard)))
}

/// The rows of a snapshot beside its frozen shards, for one transaction: one, and a few pages.
pub fn rows(keys: &Keys, state: &State) -> Vec<(Key, Bytes)> {
    if left_out(Mutant::SnapshotIsOneRow) {
        return vec![(keys.snapshot(state.len), record::encode(state))];
    }
    let frozen = frozen(state);
    let (mut pages, mut page, mut size) = (Vec::new(), Page::default(), 0);
    let mut room = |page: &mut Page, more: usize| {
        if size + more > PAGE_BYTES {
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
