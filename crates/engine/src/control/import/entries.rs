//! Entries on their way into a shard: their signatures are verified, then the tree grows by them.

use bytes::Bytes;
use store::StoreError;
use tlog::{EntryTimestamp, LeafIndex, TILE_WIDTH, TreeSize, UnixMillis, VerifierKey};

use super::row::ImportingShard;
use super::{OldEntry, not_importable, unverified};
use crate::control::ChangeError;
use crate::entry_times::MAX_SIGNATURE;
use crate::objects::LogObjects;
use crate::position::Position;
use crate::recover;
use crate::times::{self, Times};
use order::SlotNumber;
use order::slot::ShardIdentity;

/// The longest entry (C2SP tlog-tiles: two bytes of length).
const MAX_ENTRY: usize = u16::MAX as usize;
/// What a person must know of a refusal in the middle of the copy.
const KEPT: &str = "what was copied is kept until `logctl import rekor --drop` removes it";
/// Signatures that are verified before others get a turn.
const TURN: usize = 16;

/// The entries, if the old Rekor has signed each with its index and time: the bytes of each, what is kept of it, and the earliest time.
pub(super) async fn verified(
    shard: &ImportingShard,
    first: u64,
    entries: Vec<OldEntry>,
) -> Result<(Vec<(Bytes, Vec<u8>)>, UnixMillis), ChangeError> {
    let key: VerifierKey = shard
        .from
        .vkey
        .parse()
        .map_err(|e| StoreError::Corrupt(format!("the key of tree {}: {e}", shard.tree_id)))?;
    let tree = shard.tree_id;
    let mut kept = Vec::with_capacity(entries.len());
    let mut since = u64::MAX;
    for (at, (index, entry)) in (first..).zip(entries).enumerate() {
        // Each signature takes tens of microseconds, and others wait for this thread.
        if kept.len() % TURN == 0 {
            tokio::task::yield_now().await;
        }
        let said = |why: &str| format!("entry {index} of tree {tree} {why}");
        let length = entry.leaf.len();
        if length == 0 || length > MAX_ENTRY {
            return Err(not_importable(said(&format!(
                "has {length} bytes, but an entry can have 1 to 65,535 (C2SP tlog-tiles), so this shard cannot be imported; {KEPT}"
            ))));
        }
        let signed = EntryTimestamp {
            log_id: key.log_id(),
            index,
            time: entry.seconds,
            leaf: &entry.leaf,
        };
        let time = entry.seconds.checked_mul(1000).filter(|time| *time > 0);
        let time = time.ok_or_else(|| not_importable(said(&format!("has no time; {KEPT}"))))?;
        let fits = entry.timestamp.len() <= MAX_SIGNATURE;
        if !fits || !signed.is_signed_by(&key, &entry.timestamp) {
            let why = "has a signed entry timestamp that the tree's key did not sign for this index, time and entry";
            return Err(unverified(said(why), format!("/entries/{at}")));
        }
        since = since.min(time);
        let one = times::with_signature(UnixMillis::new(time), &entry.timestamp);
        kept.push((entry.leaf, one));
    }
    Ok((kept, UnixMillis::new(since)))
}

/// Adds entries to the tree of a shard, and makes its tiles durable.
pub(super) async fn grow(
    objects: &LogObjects,
    shard: &mut ImportingShard,
    entries: &[(Bytes, Vec<u8>)],
) -> Result<(), StoreError> {
    let identity = shard.identity();
    let position = Position {
        size: shard.imported,
        root: shard.so_far,
        slots: SlotNumber::ZERO,
    };
    let mut tree = recover::resume(objects, &identity.name, Some(&position)).await?;
    let mut times = times_before(objects, shard, &identity).await?;
    let mut tiles = Vec::new();
    for (leaf, one) in entries {
        times.push_one(tree.size(), one);
        tree.push(leaf, &mut tiles);
    }
    tiles.extend(tree.partials());
    let mut puts = Vec::new();
    for (tile, bytes) in tiles {
        puts.push((objects.path(&identity.name, &tile.to_string()), bytes));
    }
    for (bundle, bytes) in times.cut(tree.size()) {
        let sealed = times::sealed(&identity.name, bundle, &bytes);
        puts.push((objects.path(&identity.name, &times::path(bundle)), sealed));
    }
    objects.store.put(puts).await?;
    shard.imported = TreeSize::new(tree.size());
    shard.so_far = tree.root();
    Ok(())
}

/// The times of the bundle that is not full yet. A shard of a log may have entries without one, an imported one not: nobody could make up
/// for them.
async fn times_before(
    objects: &LogObjects,
    shard: &ImportingShard,
    identity: &ShardIdentity,
) -> Result<Times, StoreError> {
    let (each, size) = (times::each(identity), shard.imported);
    let count = (size.get() % TILE_WIDTH) as usize;
    let stored = match size.get().checked_sub(1).filter(|_| count > 0) {
        Some(last) => {
            let last = LeafIndex::new(last);
            objects.times(&identity.name, last, size).await?
        }
        None => None,
    };
    let known = stored.as_deref().unwrap_or_default();
    if !times::are_whole(known, each, count) {
        return Err(StoreError::Corrupt(format!(
            "the times of the last of the {size} entries of tree {} are missing or damaged: drop the import with `logctl import rekor --drop`, and import again",
            shard.tree_id
        )));
    }
    Ok(Times::resume(size, Some(known), each))
}
