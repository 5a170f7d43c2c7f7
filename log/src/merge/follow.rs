//! What was published, as this process knows it: the signed checkpoints that readers get, what leaves the memory, who is woken.
//! `sth` tells it where it runs; elsewhere this looks at the rows, so that a server whose `sth` is another process serves what
//! that one published.

use std::sync::Arc;
use std::time::Duration;

use tlog::Checkpoint;

use super::position;
use super::program::Program;
use crate::log::Core;
use crate::shard::{Published, Shard, SignError, Signed};
use crate::store::StoreError;

/// Pause between two looks, so that a busy neighbour costs a bounded share.
const LOOK: Duration = Duration::from_millis(10);

impl Core {
    /// Takes over a position that another process published, with the checkpoint that it signed. Where that is not there yet,
    /// the position stays what it was here.
    pub(crate) async fn adopt(&self, shard: &Shard, row: &Published) -> Result<(), AdoptError> {
        if shard.published() >= row.size && shard.signed.load().is_some() {
            return Ok(());
        }
        let path = self.object_path(&shard.name, "checkpoint");
        if let Some(bytes) = self.objects.get(&path).await?
            && let Ok(note) = String::from_utf8(bytes.to_vec())
            && let Ok(checkpoint) = Checkpoint::open(&note, &shard.verifier()?)
            && checkpoint.size >= row.size
        {
            let at = Published {
                size: checkpoint.size,
                root: checkpoint.root,
                time: row.time,
            };
            shard.signed.store(Some(Arc::new(Signed { at, note })));
        }
        Ok(())
    }

    /// Tells everybody here what is published by now.
    pub(crate) fn tell_published(&self) {
        let published = self.shards.published(&self.order.state());
        // Another process may be ahead: what is not integrated here is still needed here.
        let kept = if self.merge.programs.has(Program::Fetch) {
            published.min(*self.integrated.borrow())
        } else {
            published
        };
        self.forget_eras(kept);
        self.metrics.published.set(kept);
        self.pending.release(kept);
        self.batcher.published(self, kept);
        self.published
            .send_if_modified(|at| std::mem::replace(at, kept) != kept);
    }
}

/// Why a position could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The shard's key is not understood.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Follows what other processes integrate and publish, where this one does not.
pub(crate) async fn follow(core: Arc<Core>) {
    let prefix = core.order.keys.all_published();
    loop {
        tokio::select! {
            () = core.store.changed(&prefix, Duration::from_secs(1)) => {}
            _ = core.halt.halted() => return,
        }
        if let Err(e) = look(&core).await {
            tracing::warn!(log = core.name, error = %e, "cannot read what is published");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(core: &Core) -> Result<(), AdoptError> {
    let (store, keys, state) = (&*core.store, &core.order.keys, core.order.state());
    let own = core.merge.programs;
    for at in state.shards.iter() {
        let (Some(start), Some(length)) = (at.start(), state.length(at)) else {
            continue;
        };
        let Some(shard) = core.shards.get(&state, &at.identity.name) else {
            continue;
        };
        let known = shard.signed.load().as_ref().map(|s| s.at.time);
        let whole = known.is_some() && shard.published() == length;
        let open = matches!(at.phase, crate::order::state::Phase::Active { .. });
        if whole && !open {
            continue;
        }
        if !own.has(Program::Fetch)
            && let Some(row) = position::integrated(store, keys, &shard.name).await?
        {
            let reached = start + row.size;
            core.metrics
                .integrated
                .set(reached.max(core.metrics.integrated.get()));
        }
        if let Some(row) = position::published(store, keys, &shard.name).await?
            && (known.is_none() || row.size > shard.published())
        {
            core.adopt(&shard, &row).await?;
        }
    }
    core.tell_published();
    Ok(())
}
