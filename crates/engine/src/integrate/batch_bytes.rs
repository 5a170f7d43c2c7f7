//! Where the bytes of an ordered batch are: in memory, in a store, or in the published bundles.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tlog::{GlobalIndex, LeafIndex, TILE_WIDTH, TreeSize, bundle};

use crate::ledger::Ledger;
use crate::objects::LogObjects;
use crate::pending::PendingBatch;
use crate::position;
use order::batch;
use store::{StoreError, record};

/// Pause before a store that did not answer is asked again.
const READ_BACKOFF: Duration = Duration::from_millis(100);

/// A batch's bytes, checked against its slot. Corruption is an error at once; a store that does not answer is asked again.
pub(super) async fn read_batch_patiently(
    ledger: &Ledger,
    objects: &LogObjects,
    held: &PendingBatch,
) -> Result<Bytes, StoreError> {
    loop {
        match read_batch(ledger, objects, held).await {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {
                return Err(StoreError::Corrupt(format!(
                    "batch {} is missing; run `logd fsck`",
                    held.batch.token
                )));
            }
            Err(e @ StoreError::Corrupt(_)) => return Err(e),
            Err(e) => tracing::warn!(error = %e, "cannot read a batch; trying again"),
        }
        tokio::time::sleep(READ_BACKOFF).await;
    }
}

/// A batch's bytes: from memory, the store, or (when another replica has published and deleted it) the bundles.
pub(crate) async fn read_batch(
    ledger: &Ledger,
    objects: &LogObjects,
    held: &PendingBatch,
) -> Result<Option<Bytes>, StoreError> {
    if let Some(bytes) = held.bytes.get() {
        return Ok(Some(bytes.clone()));
    }
    let key = ledger.keys.batch(held.batch.token);
    let stored = if held.batch.object {
        // Its slot was read, so the generation under which it was written has been, too.
        let written = ledger.state().generation;
        let nodes = &objects.nodes;
        nodes.read(&key, &held.batch.digest, written).await
    } else {
        ledger.store.get(&key).await
    };
    let bytes = match stored {
        Ok(Some(bytes)) => bytes,
        // A storage node that does not answer must not hide that the batch was published and deleted meanwhile.
        missing => match published_range(ledger, objects, held.start, held.batch.entries).await? {
            Some(bytes) => bytes,
            None => return missing,
        },
    };
    if record::digest(&bytes) != held.batch.digest {
        return Err(StoreError::Corrupt(format!(
            "{key}: its bytes are not those that were ordered; run `logd fsck`"
        )));
    }
    ledger.pending.fill(held, &bytes);
    Ok(Some(bytes))
}

/// Published entries as bundle-encoded bytes; `None` when they are not published.
async fn published_range(
    ledger: &Ledger,
    objects: &LogObjects,
    start: GlobalIndex,
    count: u64,
) -> Result<Option<Bytes>, StoreError> {
    let state = ledger.state();
    let Some(shard) = state.shard_at(start) else {
        return Ok(None);
    };
    let first = start - shard.start().unwrap_or(start);
    let Some(row) = position::published(&*ledger.store, &ledger.keys, &shard.identity.name).await?
    else {
        return Ok(None);
    };
    if row.size < TreeSize::new(first + count) {
        return Ok(None);
    }
    let mut out = BytesMut::new();
    let mut leaf = first;
    while leaf < first + count {
        let Some(bytes) = objects
            .bundle(&shard.identity.name, LeafIndex::new(leaf), row.size)
            .await?
        else {
            return Ok(None);
        };
        let entries = bundle::entries(&bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let skip = usize::try_from(leaf % TILE_WIDTH).unwrap_or(0);
        let before = leaf;
        for entry in entries
            .into_iter()
            .skip(skip)
            .take(usize::try_from(first + count - leaf).unwrap_or(256))
        {
            batch::push(&mut out, entry);
            leaf += 1;
        }
        if leaf == before {
            return Ok(None);
        }
    }
    Ok(Some(out.freeze()))
}
