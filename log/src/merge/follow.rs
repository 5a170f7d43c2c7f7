//! What was published, as this process knows it: the signed checkpoints that readers get, what leaves the memory, who is woken.
//! `sth` tells it where it runs; elsewhere this looks at the rows, so that a server whose `sth` is another process serves what
//! that one published.

use std::sync::Arc;
use std::time::Duration;

use super::mark::Looked;
use super::mark::judge::{Found, Known, Whence, judge};
use super::position;
use super::program::Program;
use crate::log::Core;
use crate::shard::{Published, Shard, SignError, Signed};

/// Pause between two looks, so that a busy neighbour costs a bounded share.
const LOOK: Duration = Duration::from_millis(10);

impl Core {
    /// Takes over a position that another process published, with the checkpoint that it signed. Where that is not there yet,
    /// the position stays what it was here. One that contradicts the row halts the log.
    pub(crate) async fn adopt(&self, shard: &Shard, row: &Published) -> Result<(), SignError> {
        if shard.published() >= row.size && shard.signed().is_some() {
            return Ok(());
        }
        if let Some(Looked { note, checkpoint }) = self.look(shard).await?
            && checkpoint.size >= row.size
        {
            let at = Published {
                size: checkpoint.size,
                root: checkpoint.root,
                time: row.time,
            };
            shard.advance(Signed { at, note });
        }
        Ok(())
    }

    /// A published row that is behind what this process had signed or taken over before it read the row, or that differs from it,
    /// halts the log.
    pub(crate) fn recall(
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
        let known = Known {
            published: row.map(|row| (row.size, row.root)),
            ..Known::default()
        };
        self.heed(judge(&shard.name, &Whence::Process, &found, &known))?;
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

async fn look(core: &Core) -> Result<(), SignError> {
    let (store, keys, state) = (&*core.store, &core.order.keys, core.order.state());
    let own = core.merge.programs;
    for at in state.shards.iter().skip(core.shards.whole()) {
        let (Some(start), Some(length)) = (at.start(), state.length(at)) else {
            continue;
        };
        let Some(shard) = core.shards.get(&state, &at.identity.name) else {
            continue;
        };
        // Taken before the row is read: a row that is read later covers it.
        let known = shard.signed();
        let whole = known.as_ref().is_some_and(|s| s.at.size == length);
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
        let row = position::published(store, keys, &shard.name).await?;
        core.recall(&shard, known.as_deref(), row.as_ref())?;
        if let Some(row) = row
            && (known.is_none() || row.size > shard.published())
        {
            core.adopt(&shard, &row).await?;
        }
    }
    core.tell_published();
    Ok(())
}
