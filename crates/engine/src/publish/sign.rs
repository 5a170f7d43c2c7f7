//! From a size to a checkpoint: the position is made durable first, then signed, then cosigned, then stored for readers.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use order::deletion::{self, completed};
use order::keys::trailing_number;
use order::mutant::{Mutant, left_out};
use store::{Guard, Outcome, StoreError, Transaction, record};

use super::{PublishError, Publisher, witness};
use crate::position::{self, SecondaryHolding};
use crate::publish::publication::Publication;
use crate::shard::signers::Notes;
use crate::shard::{Published, Shard, SignError, Signed};
use tlog::{GlobalIndex, TreeSize};

/// The most cuts that one publication deletes; the next one deletes more.
const CUTS: usize = 4096;

impl Publisher {
    /// The position, durable before anything is signed; in the same transaction, rows that are no longer needed are deleted. Returns the
    /// older cuts and the batches that may be deleted; nobody waits for that.
    ///
    /// Refused when a secondary that was counted has turned out to have another storage, or an older copy of it, since its row was read.
    /// That storage is whole once it has what was published when it was found, so the earlier one may count for nothing newer.
    pub(super) async fn persist(
        &self,
        shard: &Shard,
        start: GlobalIndex,
        at: &Published,
        held: &[SecondaryHolding],
    ) -> Result<(Vec<TreeSize>, Vec<String>), PublishError> {
        let shared = &self.shared;
        let keys = &shared.ledger.keys;
        let (mut behind, mut deletes, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        let prefix = keys.roots(&shard.name);
        for (key, _) in shared.ledger.store.scan(&prefix, &prefix, CUTS).await? {
            let goes = |cut: &TreeSize| deletion::root_goes(*cut, at.size);
            if let Some(size) = trailing_number(&key).map(TreeSize::new).filter(goes) {
                behind.push(size);
                deletes.push(key);
            }
        }
        // Batches of slots that this process has not read are deleted when the slots are collected.
        let steps = self.unpublished.iter();
        let steps = steps.map(|(slot, state)| (&**slot, &**state));
        let end = match left_out(Mutant::DeletesUnpublishedBatches) {
            true => GlobalIndex::new(u64::MAX),
            false => start + at.size,
        };
        for batch in deletion::covered(steps, end) {
            let key = keys.batch(batch.token);
            if batch.object {
                objects.push(key)
            } else {
                deletes.push(key)
            }
        }
        let key = keys.published(&shard.name);
        let mut guards = vec![
            Guard::AtMost(key.clone(), at.size.get()),
            Guard::Present(keys.root(&shard.name, at.size)),
        ];
        let has =
            |held: &&SecondaryHolding| held.verified.as_ref().is_some_and(|v| v.size >= at.size);
        let counted = held.iter().filter(has);
        guards.extend(counted.map(|one| position::unmoved(keys, &one.secondary, one.storage)));
        let transaction = Transaction {
            guards,
            puts: vec![(key, record::encode_numbered(at.size.get(), at))],
            deletes,
        };
        match shared.ledger.store.transact(transaction).await {
            Outcome::Committed => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            Outcome::Refused => {
                let why = "another replica published at the same moment, or a secondary answered from another storage";
                return Err(StoreError::NotYet(why.into()).into());
            }
        }
        Ok((behind, objects))
    }

    /// Signs a position that is durable, and puts the checkpoint where readers find it. Another replica may have published more in the
    /// meantime. This one must not replace its checkpoint with an older one, so it signs that position as well, until the object is as new
    /// as the row.
    pub(super) async fn sign(
        &self,
        shard: &Arc<Shard>,
        mut at: Published,
        held: &[SecondaryHolding],
    ) -> Result<(), PublishError> {
        let shared = &self.shared;
        let (store, keys) = (&*shared.ledger.store, &shared.ledger.keys);
        let path = shared.objects.path(&shard.name, "checkpoint");
        let mut held = Cow::Borrowed(held);
        loop {
            shared.guard.not_another(shard).await?;
            let (cosigned, rekor) = note(shared, shard, &at, &held).await?;
            if let Some(lacking) = cosigned.lacking
                && !left_out(Mutant::WitnessesAreNotAwaited)
            {
                return Err(PublishError::Witness(lacking));
            }
            let note = cosigned.note;
            // Taken before the row is read: a row that is read later covers it, whoever else takes over more here meanwhile.
            let mut signed = shard.signed();
            // Witnesses take their time. A note that is outdated in the meantime need not be put at all.
            let mut row = position::published(store, keys, &shard.name).await?;
            let newest = row.as_ref().is_none_or(|row| row.size <= at.size);
            if newest || left_out(Mutant::CheckpointGoesBack) {
                let object = (path.clone(), Bytes::from(note.clone()));
                shared.objects.store.put(vec![object]).await?;
                let size = at.size;
                shard.advance(Signed::new(at, note, rekor));
                signed = shard.signed();
                row = position::published(store, keys, &shard.name).await?;
                if row.as_ref().is_none_or(|row| row.size <= size) {
                    return Ok(());
                }
            }
            let Some(row) = row else { return Ok(()) };
            shared.recall(shard, signed.as_deref(), Some(&row)).await?;
            at = row;
            held = Cow::Owned(shared.running.held(&shard.name).await?);
        }
    }

    /// Publishes the last checkpoint again, so that readers see a live log and a lost checkpoint file comes back.
    pub(super) async fn republish(&self) {
        let shared = &self.shared;
        let state = shared.ledger.state();
        let Some(shard) = state
            .active()
            .and_then(|s| shared.shards.get(&state, &s.identity.name))
        else {
            return;
        };
        let Some(signed) = shard.signed() else {
            return;
        };
        let at = Published {
            time: shared.ledger.clock.now(),
            ..signed.at.clone()
        };
        let key = shared.ledger.keys.published(&shard.name);
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), at.size.get())],
            puts: vec![(key, record::encode_numbered(at.size.get(), &at))],
            ..Transaction::default()
        };
        let again = async {
            let row = position::published(&*shared.ledger.store, &shared.ledger.keys, &shard.name)
                .await?;
            shared.recall(&shard, Some(&signed), row.as_ref()).await?;
            if let Outcome::Committed = shared.ledger.store.transact(transaction).await {
                let held = shared.running.held(&shard.name).await?;
                self.sign(&shard, at, &held).await?;
            }
            Ok::<_, PublishError>(())
        };
        if let Err(e) = again.await {
            tracing::warn!(log = shared.ledger.name, error = %e, "cannot refresh the checkpoint");
        }
    }

    /// Partial tiles go once a checkpoint covers the full tile: this deletes those of the older sizes. What an error or a crash leaves is
    /// harmless, and goes when the tile is checked (`repair::inspect`).
    pub(super) async fn delete_partials(&self, shard: &Shard, behind: &[TreeSize], size: TreeSize) {
        let shared = &self.shared;
        for tile in completed(behind, size) {
            match shared.objects.delete_partials_and_times(shard, tile).await {
                Ok(count) => shared.progress.metrics.partials_deleted.add(count),
                Err(e) => {
                    tracing::warn!(log = shared.ledger.name, shard = &*shard.name, %tile, error = %e, "partial tiles are left until the tile is checked");
                }
            }
        }
    }
}

/// The checkpoint of a position that is durable, with the cosignatures of secondaries and witnesses, and the note that Rekor's
/// first API answers for it.
pub(crate) async fn note(
    shared: &Publication,
    shard: &Shard,
    at: &Published,
    held: &[SecondaryHolding],
) -> Result<(witness::Cosigned, Option<String>), PublishError> {
    let Notes { checkpoint, rekor } = shared.guard.sign_checkpoint(shard, at).await?;
    // A secondary's signature covers the body, which is the same.
    let verified = held.iter().filter_map(|held| held.verified.as_ref());
    let lines = verified
        .filter(|v| (v.size, v.root) == (at.size, at.root))
        .filter_map(|v| v.cosignature.as_deref());
    let note = tlog::attach(&checkpoint, lines).map_err(|e| note_error(shard, &e))?;
    let cosigned = witness::cosign(&shared.running, &shared.guard.peers, shard, note).await;
    let cosigned = cosigned.map_err(PublishError::Witness)?;
    Ok((cosigned, rekor))
}

fn note_error(shard: &Shard, why: &dyn std::fmt::Display) -> SignError {
    SignError::Note {
        shard: shard.name.to_string(),
        why: why.to_string(),
    }
}
