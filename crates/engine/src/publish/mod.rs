//! `publish`: cuts → the published position → signed checkpoints → seals. Older shards first.
//!
//! The order of the steps is the point: a size is published when the backup quorum has verified it, its position is durable
//! before it is signed, and it never goes back. Cosignatures come after the signature, the checkpoint after them. What was
//! published is then collected.
//!
//! How often there is something to publish, `merge.checkpointInterval`, is decided before: `integrate/cut.rs` makes the cuts.

pub(crate) mod follow;
mod hand_over;
pub(crate) mod lost;
pub(crate) mod publication;
pub(crate) mod quorum;
mod reach;
pub(crate) mod seal;
mod sign;
pub(crate) mod sign_guard;
pub(crate) mod witness;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, select_all};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::collect;
use crate::pending::Step;
use crate::position;
use crate::program::{Done, Program, Trouble};
use crate::publish::publication::Publication;
use crate::shard::{Published, Shard, SignError};
use order::mutant::{Mutant, left_out};
use order::state::{Phase, State};
use store::{Objects as _, StoreError};
use tlog::{GlobalIndex, TreeSize};

pub(crate) use sign::note;

/// After this time without progress, too few secondaries are reported; before that, they may still be copying.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the rows of secondaries are looked at while the quorum is lacking.
const QUORUM_POLL: Duration = Duration::from_secs(2);
/// Pauses before a failed publication is tried again.
const PUBLISH_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};
/// How long a stop waits for a store that fails.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Pause between reads of what other processes write, so that a busy process next to this one costs a bounded share.
const PUBLISH_POLL: Duration = Duration::from_millis(5);

/// Why a publication failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(SignError),
    #[error("{}", .0.why)]
    Witness(Trouble),
    #[error("{0}")]
    Halt(String),
}

impl From<SignError> for PublishError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Store(e) => e.into(),
            SignError::Halted(why) => Self::Halt(why),
            other => Self::Sign(other),
        }
    }
}

/// The publisher of one log.
pub(crate) struct Publisher {
    pub shared: Arc<Publication>,
    /// Set when the log shuts down: publish as much as possible, then end.
    pub closing: watch::Receiver<bool>,
    /// The order's slots, to know what a published size covers.
    pub steps: mpsc::UnboundedReceiver<Step>,
    /// Slots that are not published whole.
    pub unpublished: VecDeque<Step>,
    /// Set while a collection has raised the floor and not deleted all slots below it.
    pub sweep_owed: bool,
    /// The state after the last slot that is.
    pub published: Arc<State>,
    /// Shards that are not published whole and sealed, oldest first.
    pub open: Vec<String>,
    /// How many of the oldest shards are sealed, as the row says.
    pub sealed: u64,
    /// How many shards had begun when `open` was last updated: one of them that is missing in `open` is done.
    pub opened: usize,
}

/// The result of one attempt to publish.
#[derive(Default)]
struct PublishAttempt {
    done: Done,
    /// Why the quorum is not reached, if it is not.
    lacking: Option<String>,
}

impl Publisher {
    /// Runs until the log ends. Returns its progress.
    pub(crate) async fn run(mut self) -> Done {
        let shared = Arc::clone(&self.shared);
        let mut moved = shared.progress.merged.subscribe();
        let mut done = Done::default();
        // When a checkpoint was last signed; since when the quorum is lacking or the publication fails; the pause after a failure.
        let mut last = Instant::now();
        let mut waiting: Option<Instant> = None;
        let mut pause = PUBLISH_BACKOFF.first;
        let mut closed = None;
        loop {
            if *self.closing.borrow_and_update() {
                closed = closed.or_else(|| Some(Instant::now()));
            }
            if shared.health.halt.is_halted() {
                return done;
            }
            moved.borrow_and_update();
            // Asked for before the rows are read, so that nothing is missed.
            let elsewhere = self.elsewhere();
            let began = Instant::now();
            let published = self.publish().await;
            let failing = published.is_err();
            match published {
                Ok(look) => {
                    pause = QUORUM_POLL;
                    if look.done.positions > 0 {
                        last = Instant::now();
                        waiting = None;
                        done.add(look.done.entries, look.done.positions);
                        shared
                            .progress
                            .metrics
                            .publications
                            .add(look.done.positions);
                        let took = began.elapsed().as_secs_f64();
                        shared.progress.metrics.publish_seconds.observe(took);
                    }
                    waiting = look.lacking.as_ref().and(waiting.or(Some(began)));
                    let long = waiting.is_some_and(|since| since.elapsed() >= QUORUM_TIMEOUT);
                    let said = long || closed.is_some();
                    let trouble = look.lacking.filter(|_| said).map(Trouble::waits);
                    shared.health.set_trouble(Program::Publish, trouble);
                }
                Err(PublishError::Halt(why)) => shared.health.halt.halt(why),
                Err(e) => {
                    tracing::warn!(log = shared.ledger.name, error = %e, "cannot publish; trying again later");
                    shared
                        .health
                        .set_trouble(Program::Publish, Some(trouble(e)));
                    pause = if waiting.is_some() {
                        PUBLISH_BACKOFF.after(pause)
                    } else {
                        PUBLISH_BACKOFF.first
                    };
                    waiting = waiting.or(Some(began));
                }
            }
            let given_up = |at: Instant| !failing || at.elapsed() >= LAST_WAIT;
            if closed.is_some_and(given_up) {
                // Ordered entries are durable; the next start publishes them.
                return done;
            }
            let idle = shared.running.config().merge.idle_republish.duration();
            let due = match waiting {
                Some(_) => {
                    Instant::now()
                        + if closed.is_some() {
                            PUBLISH_BACKOFF.first
                        } else {
                            pause
                        }
                }
                None => last + idle,
            };
            let quiet = tokio::select! {
                _ = shared.health.halt.halted() => return done,
                _ = moved.changed() => false,
                () = elsewhere => { tokio::time::sleep(PUBLISH_POLL).await; false }
                _ = self.closing.changed(), if closed.is_none() => false,
                () = tokio::time::sleep_until(due) => waiting.is_none(),
            };
            if quiet {
                self.republish().await;
                last = Instant::now();
            }
        }
    }

    /// Resolves when another process may have written rows that this one reads; never if this process writes all of them.
    fn elsewhere(&self) -> BoxFuture<'static, ()> {
        let shared = &self.shared;
        let keys = &shared.ledger.keys;
        let mut prefixes = Vec::new();
        if !shared.running.merge.programs.has(Program::Integrate) {
            prefixes.push(keys.all_integrated());
        }
        if !shared.running.merge.programs.has(Program::Replicate) {
            prefixes.push(keys.all_verified());
            prefixes.push(keys.all_manifests());
        }
        if prefixes.is_empty() {
            return Box::pin(std::future::pending());
        }
        let store = Arc::clone(&shared.ledger.store);
        let asked = prefixes.into_iter().map(move |prefix| {
            let store = Arc::clone(&store);
            let changed = async move { store.changed(&prefix, Duration::from_secs(1)).await };
            Box::pin(changed) as BoxFuture<'static, ()>
        });
        let asked: Vec<_> = asked.collect();
        Box::pin(async move { drop(select_all(asked).await) })
    }

    /// Publishes as much as possible.
    async fn publish(&mut self) -> Result<PublishAttempt, PublishError> {
        let shared = Arc::clone(&self.shared);
        while let Ok(step) = self.steps.try_recv() {
            self.unpublished.push_back(step);
        }
        shared.running.update_running().await?;
        let state = shared.ledger.state();
        if let Some(why) = shared.guard.life.unannounced(&state).await? {
            return Ok(PublishAttempt {
                lacking: Some(why),
                ..PublishAttempt::default()
            });
        }
        self.hand_over().await?;
        self.open_shards(&state);
        let mut look = PublishAttempt::default();
        for name in self.open.clone() {
            let at = state.shards.iter().rev().find(|s| s.identity.name == name);
            let (Some(at), Some(shard)) = (at, shared.shards.get(&state, &name)) else {
                break;
            };
            let start = at.start().unwrap_or_default();
            if !self.publish_shard(&shard, start, &mut look).await? {
                break;
            }
            let Phase::Frozen { length, .. } = at.phase else {
                break;
            };
            // Older shards first: the next one waits for all of this one.
            if shard.published() != length && !left_out(Mutant::SealBeforeTheEnd) {
                break;
            }
            if self.seal(&state, &shard).await? {
                self.open.retain(|open| *open != name);
            }
        }
        self.note_sealed(&state).await?;
        shared.tell_published();
        self.collect(&state).await;
        Ok(look)
    }

    /// Publishes a shard as far as the quorum reaches; false when none of it is integrated yet.
    async fn publish_shard(
        &self,
        shard: &Arc<Shard>,
        start: GlobalIndex,
        look: &mut PublishAttempt,
    ) -> Result<bool, PublishError> {
        let shared = &self.shared;
        let (store, keys) = (&*shared.ledger.store, &shared.ledger.keys);
        let Some(cut) = position::integrated(store, keys, &shard.name).await? else {
            return Ok(false);
        };
        // Another process may have made this cut from slots that this one has not read; their configuration counts.
        if shared.ledger.state().len < cut.slots {
            shared.ledger.refresh().await?;
        }
        shared.running.update_running().await?;
        // Taken before the row is read: a row that is read later covers it.
        let signed = shard.signed();
        let row = position::published(store, keys, &shard.name).await?;
        shared
            .recall(shard, signed.as_deref(), row.as_ref())
            .await?;
        let published = row.as_ref().map_or(TreeSize::ZERO, |row| row.size);
        let held = self.held(shard, published).await?;
        let size = self.reach(&cut, start, published, &held, look);
        match row {
            Some(row) if row.size >= size => {
                if row.size == cut.size && row.root != cut.root {
                    return Err(PublishError::Halt(format!(
                        "shard {} at size {}: root {} is integrated where {} was published; run `logd fsck`",
                        shard.name, cut.size, cut.root, row.root
                    )));
                }
                if shard.published() != row.size || shard.signed().is_none() {
                    shared.adopt(shard, &row).await?;
                }
                // Published, but its author died before its checkpoint was there.
                if shard.published() < row.size || shard.signed().is_none() {
                    self.sign(shard, row, &held).await?;
                    look.done.add(0, 1);
                }
            }
            // Nobody holds enough of it yet; its readers get an empty checkpoint meanwhile.
            None if size == TreeSize::ZERO && cut.size > TreeSize::ZERO => {}
            _ => {
                let root = if size == cut.size {
                    cut.root
                } else {
                    let root = position::root(store, keys, &shard.name, size).await?;
                    root.ok_or_else(|| {
                        StoreError::NotYet("another replica published at the same moment".into())
                    })?
                };
                let at = Published {
                    size,
                    root,
                    time: shared.ledger.clock.now(),
                };
                // Until its first checkpoint is cosigned, readers of a shard keep the empty one; never after.
                if published == TreeSize::ZERO && shard.signed().is_none() {
                    shared.guard.peers.wait_for_first(&shard.name);
                }
                // The row that is written is evidence, too: on an older store it would catch up with what was signed later.
                shared.guard.may_sign(shard).await?;
                let (behind, batches) = self.persist(shard, start, &at, &held).await?;
                self.sign(shard, at, &held).await?;
                if !batches.is_empty()
                    && let Err(e) = shared.objects.nodes.delete(batches).await
                {
                    tracing::warn!(log = shared.ledger.name, error = %e, "cannot delete published batches now; they are deleted when their slots are collected");
                }
                self.delete_partials(shard, &behind, size).await;
                look.done.add(size - published, 1);
            }
        }
        Ok(true)
    }

    async fn collect_published(&mut self) -> Result<(), StoreError> {
        let slots = self.unpublished.iter().map(|(slot, _)| &**slot);
        collect::collect(
            &self.shared.ledger,
            &self.shared.objects.nodes,
            &self.published,
            slots,
            &mut self.sweep_owed,
        )
        .await
    }

    /// Drops slots that are published whole.
    async fn collect(&mut self, state: &State) {
        let published = self.shared.shards.published(state);
        let before = self.published.len;
        while let Some((_, after)) = self.unpublished.front() {
            if after.size > published {
                break;
            }
            self.published = Arc::clone(after);
            self.unpublished.pop_front();
        }
        if self.published.len > before
            && let Err(e) = self.collect_published().await
        {
            tracing::warn!(error = %e, "collection waits for the next publication");
        }
    }
}

fn trouble(error: PublishError) -> Trouble {
    match error {
        PublishError::Store(e) => Trouble::of(&e),
        PublishError::Witness(trouble) => trouble,
        PublishError::Sign(e) => Trouble::new(e.to_string()),
        PublishError::Halt(why) => Trouble::new(why),
    }
}
