//! Follows publications: replaces the checkpoints that readers get, frees memory, and wakes waiting writers.
//! In a process that runs `publish`, that program reports them; elsewhere this module reads the rows, so that a server serves what
//! another process published.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::LogObjects;
use crate::position;
use crate::program::Program;
use crate::publish::publication::Publication;
use crate::publish::sign_guard::judge::{Found, FoundAt, Known, judge};
use crate::publish::sign_guard::{Looked, classify};
use crate::shard::{Published, Shard, SignError, Signed};
use store::StoreError;
use tlog::GlobalIndex;

/// Pause between two reads of the positions, so that a busy process next to this one costs a bounded share.
const POSITION_POLL: Duration = Duration::from_millis(10);

impl Publication {
    /// Takes over a position that another process published, with the checkpoint that it signed; [`Publication::recall`] comes first. If the
    /// checkpoint is not there yet, the position here does not change. A checkpoint that contradicts the row halts the log.
    pub(crate) async fn adopt(&self, shard: &Shard, row: &Published) -> Result<(), SignError> {
        if shard.published() >= row.size && shard.signed().is_some() {
            return Ok(());
        }
        if let Some(looked) = self.guard.look(shard).await? {
            looked.take_over(shard, row);
        }
        Ok(())
    }

    /// The last checkpoint of a shard. For a settled shard it is read from its object. If the object is lost, damaged or outdated, the
    /// checkpoint must be signed again, and there is none until then.
    pub(crate) async fn signed(&self, shard: &Shard) -> Result<Option<Arc<Signed>>, StoreError> {
        if let Some(signed) = shard.signed() {
            return Ok(Some(signed));
        }
        // A shard that is not settled has none yet.
        let Some(at) = shard.settled() else {
            return Ok(None);
        };
        let ahead = |found: &Found| {
            found.is_beyond(at.size, at.root) || matches!(found, Found::Foreign { .. })
        };
        match self.objects.last_checkpoint(shard, at).await? {
            Ok(()) => {}
            // A reader must not be able to halt a log.
            Err(found) if ahead(&found) => {
                tracing::error!(
                    log = self.ledger.name,
                    shard = &*shard.name,
                    ?found,
                    "has another checkpoint; run `logd fsck`"
                );
            }
            Err(found) => {
                tracing::warn!(
                    log = self.ledger.name,
                    shard = &*shard.name,
                    ?found,
                    "a lost checkpoint is signed again"
                );
                self.unsettle(shard);
            }
        }
        Ok(shard.signed())
    }

    /// A published row that is behind what this process had signed or taken over before it read the row, or that is of another history,
    /// halts the log. Where another process published more, the tiles are read: what is in memory here may be the only evidence.
    ///
    /// # Errors
    /// [`SignError::Halted`], and [`SignError::Store`] while that cannot be compared.
    pub(crate) async fn recall(
        &self,
        shard: &Shard,
        signed: Option<&Signed>,
        row: Option<&Published>,
    ) -> Result<(), SignError> {
        let Some(signed) = signed else {
            return Ok(());
        };
        let found = Found::Signed {
            size: signed.at.size,
            root: signed.at.root,
        };
        let here = match row {
            Some(row) if row.size > signed.at.size => {
                let own = (signed.at.size, &found);
                let cut = (row.size, row.root);
                self.guard.remembered(shard, own, cut).await?
            }
            _ => None,
        };
        let known = Known {
            published: row.map(|row| (row.size, row.root)),
            here,
            ..Known::default()
        };
        self.guard
            .enforce(judge(&shard.name, &FoundAt::Process, &found, &known))?;
        Ok(())
    }

    /// Tells all waiting tasks of this process the published position.
    pub(crate) fn tell_published(&self) {
        let published = self.shards.published(&self.ledger.state());
        // Another process may be ahead: this process still needs entries that it has not integrated.
        let kept = if self.running.merge.programs.has(Program::Integrate) {
            published.min(*self.progress.integrated.borrow())
        } else {
            published
        };
        self.running.forget_eras(kept);
        self.progress.metrics.published.set(kept.get());
        self.progress.pending.release(kept);
        self.batcher.published(&self.ledger, kept);
        self.progress
            .published
            .send_if_modified(|at| std::mem::replace(at, kept) != kept);
    }
}

impl LogObjects {
    /// Takes the last checkpoint of a shard that ended at `at` from its object, or returns what is there instead.
    pub(crate) async fn last_checkpoint(
        &self,
        shard: &Shard,
        at: &Published,
    ) -> Result<Result<(), Found>, StoreError> {
        let path = self.path(&shard.name, "checkpoint");
        let Some(bytes) = self.store.get(&path).await? else {
            let why = "it is missing".to_owned();
            return Ok(Err(Found::Damaged { why }));
        };
        Ok(match classify(&bytes, shard.verifiers()?) {
            (Found::Signed { size, root }, Some(Looked { note, .. }))
                if (size, root) == (at.size, at.root) =>
            {
                let at = at.clone();
                shard.advance(Signed::new(at, note, None));
                Ok(())
            }
            (found, _) => Err(found),
        })
    }
}

/// Follows the positions that other processes integrate and publish, if this one does not.
pub(crate) async fn follow(shared: Arc<Publication>) {
    let prefix = shared.ledger.keys.all_published();
    loop {
        tokio::select! {
            () = shared.ledger.store.changed(&prefix, Duration::from_secs(1)) => {}
            _ = shared.health.halt.halted() => return,
        }
        if let Err(e) = look(&shared).await {
            tracing::warn!(log = shared.ledger.name, error = %e, "cannot read what is published");
        }
        tokio::time::sleep(POSITION_POLL).await;
    }
}

async fn look(shared: &Publication) -> Result<(), SignError> {
    let (store, keys, state) = (
        &*shared.ledger.store,
        &shared.ledger.keys,
        shared.ledger.state(),
    );
    let own = shared.running.merge.programs;
    for at in state.shards.iter().skip(shared.shards.whole()) {
        let (Some(start), Some(length)) = (at.start(), state.length(at)) else {
            continue;
        };
        let Some(shard) = shared.shards.get(&state, &at.identity.name) else {
            continue;
        };
        // Taken before the row is read: a row that is read later covers it.
        let known = shard.signed();
        let whole = shard.at().is_some_and(|at| at.size == length);
        let open = matches!(at.phase, order::state::Phase::Active { .. });
        if whole && !open {
            continue;
        }
        if !own.has(Program::Integrate)
            && let Some(row) = position::integrated(store, keys, &shard.name).await?
        {
            let reached = start + row.size;
            shared.progress.metrics.integrated.set(
                reached
                    .max(GlobalIndex::new(shared.progress.metrics.integrated.get()))
                    .get(),
            );
        }
        let row = position::published(store, keys, &shard.name).await?;
        shared
            .recall(&shard, known.as_deref(), row.as_ref())
            .await?;
        if let Some(row) = row
            && (known.is_none() || row.size > shard.published())
        {
            shared.adopt(&shard, &row).await?;
        }
    }
    shared.tell_published();
    Ok(())
}
