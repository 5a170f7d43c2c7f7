//! `publish`: cuts → the published position → signed checkpoints → seals. Older shards first.
//!
//! The order of the steps is the point: a size is published when the backup quorum has verified it, its position is durable
//! before it is signed, and it never goes back. Cosignatures come after the signature, the checkpoint after them. What was
//! published is then collected.

pub(crate) mod follow;
pub(crate) mod lost;
pub(crate) mod mark;
pub(crate) mod quorum;
pub(crate) mod witness;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, select_all};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::collect;
use crate::eras::Membership;
use crate::ledger::now_ms;
use crate::log::Core;
use crate::pending::Step;
use crate::position;
use crate::position::{Held, Position};
use crate::program::{Done, Program, Trouble};
use crate::publish::quorum::{Quorum, publishable};
use crate::shard::{Published, Shard, SignError, Signed};
use order::keys::trailing_number;
use order::litter;
use order::litter::completed;
use order::state::{Phase, State};
use store::record;
use store::{Guard, Objects as _, Outcome, StoreError, Transaction};

/// Without progress for so long, too few secondaries are worth a word: before, they may just be copying.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses before a failed publication is tried again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a stop waits for a store that fails.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// The most cuts that one publication leaves behind; what is more goes with the next.
const CUTS: usize = 4096;
/// Generations that the base may be behind while nothing changes the secondaries.
const FAR: u64 = 64;
/// Shards that are sealed before that is written down: so many a start looks at, and one transaction is enough for all of them.
const SEALED: u64 = 16;
/// Pause between looks for what other processes write, so that a busy neighbour costs a bounded share.
const LOOK: Duration = Duration::from_millis(5);

/// Why a publication did not go through.
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
    /// The log.
    pub core: Arc<Core>,
    /// Set when the log shuts down: publish what can be, then end.
    pub closing: watch::Receiver<bool>,
    /// The order's slots, to know what a published size covers.
    pub steps: mpsc::UnboundedReceiver<Step>,
    /// Those that are not published whole.
    pub unpublished: VecDeque<Step>,
    /// The state after the last one that is.
    pub published: Arc<State>,
    /// Shards that are not published whole and sealed, oldest first.
    pub open: Vec<String>,
    /// So many of the oldest shards are sealed, as the row says.
    pub sealed: u64,
    /// So many shards had begun when `open` was read back or brought up to date: one of them that is missing there is done.
    pub opened: usize,
}

/// What one look came to.
#[derive(Default)]
struct Look {
    done: Done,
    /// What the quorum waits for.
    lacking: Option<String>,
}

impl Publisher {
    /// Runs until the log ends. Answers what it did.
    pub(crate) async fn run(mut self) -> Done {
        let core = Arc::clone(&self.core);
        let mut moved = core.merged.subscribe();
        let mut done = Done::default();
        // When a checkpoint was last signed, since when the quorum is lacking or the publication fails, the pause after that.
        let mut last = Instant::now();
        let mut waiting: Option<Instant> = None;
        let mut pause = PAUSE.0;
        let mut closed = None;
        loop {
            if *self.closing.borrow_and_update() {
                closed = closed.or_else(|| Some(Instant::now()));
            }
            moved.borrow_and_update();
            // Asked for before the rows are read, so that nothing is missed.
            let elsewhere = self.elsewhere();
            let began = Instant::now();
            let published = self.publish().await;
            let failing = published.is_err();
            match published {
                Ok(look) => {
                    pause = PAUSE.1;
                    if look.done.positions > 0 {
                        last = Instant::now();
                        waiting = None;
                        done.add(look.done.entries, look.done.positions);
                        core.metrics.publications.add(look.done.positions);
                        let took = began.elapsed().as_secs_f64();
                        core.metrics.publish_seconds.observe(took);
                    }
                    waiting = look.lacking.as_ref().and(waiting.or(Some(began)));
                    let long = waiting.is_some_and(|since| since.elapsed() >= PATIENCE);
                    let said = long || closed.is_some();
                    let trouble = look.lacking.filter(|_| said).map(Trouble::waits);
                    core.set_trouble(Program::Publish, trouble);
                }
                Err(PublishError::Halt(why)) => core.halt.halt(why),
                Err(e) => {
                    tracing::warn!(log = core.name, error = %e, "publication waits");
                    core.set_trouble(Program::Publish, Some(trouble(e)));
                    pause = if waiting.is_some() {
                        (pause * 2).min(PAUSE.1)
                    } else {
                        PAUSE.0
                    };
                    waiting = waiting.or(Some(began));
                }
            }
            if core.halt.is_halted() {
                return done;
            }
            let given_up = |at: Instant| !failing || at.elapsed() >= LAST_WAIT;
            if closed.is_some_and(given_up) {
                // What is ordered is durable; the next start publishes it.
                return done;
            }
            let idle = core.config().merge.idle_republish.duration();
            let due = match waiting {
                Some(_) => Instant::now() + if closed.is_some() { PAUSE.0 } else { pause },
                None => last + idle,
            };
            let quiet = tokio::select! {
                _ = core.halt.halted() => return done,
                _ = moved.changed() => false,
                () = elsewhere => { tokio::time::sleep(LOOK).await; false }
                _ = self.closing.changed(), if closed.is_none() => false,
                () = tokio::time::sleep_until(due) => waiting.is_none(),
            };
            if quiet {
                self.republish().await;
                last = Instant::now();
            }
        }
    }

    /// Resolves when another process may have written what this one looks at; never, where all of it happens here.
    fn elsewhere(&self) -> BoxFuture<'static, ()> {
        let core = &self.core;
        let keys = &core.order.keys;
        let mut prefixes = Vec::new();
        if !core.merge.programs.has(Program::Integrate) {
            prefixes.push(keys.all_integrated());
        }
        if !core.merge.programs.has(Program::Replicate) {
            prefixes.push(keys.all_verified());
            prefixes.push(keys.all_manifests());
        }
        if prefixes.is_empty() {
            return Box::pin(std::future::pending());
        }
        let store = Arc::clone(&core.store);
        let asked = prefixes.into_iter().map(move |prefix| {
            let store = Arc::clone(&store);
            let changed = async move { store.changed(&prefix, Duration::from_secs(1)).await };
            Box::pin(changed) as BoxFuture<'static, ()>
        });
        let asked: Vec<_> = asked.collect();
        Box::pin(async move { drop(select_all(asked).await) })
    }

    /// Publishes what can be.
    async fn publish(&mut self) -> Result<Look, PublishError> {
        let core = Arc::clone(&self.core);
        while let Ok(step) = self.steps.try_recv() {
            self.unpublished.push_back(step);
        }
        core.update_running().await?;
        let state = core.order.state();
        if let Some(why) = core.unannounced(&state).await? {
            return Ok(Look {
                lacking: Some(why),
                ..Look::default()
            });
        }
        self.hand_over().await?;
        self.open_shards(&state);
        let mut look = Look::default();
        for name in self.open.clone() {
            let at = state.shards.iter().rev().find(|s| s.identity.name == name);
            let (Some(at), Some(shard)) = (at, core.shards.get(&state, &name)) else {
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
            if shard.published() != length {
                break;
            }
            self.seal(&state, &shard).await?;
            self.open.retain(|open| *open != name);
        }
        self.note_sealed(&state).await?;
        core.tell_published();
        self.collect(&state).await;
        Ok(look)
    }

    /// Shards that opened since. One that has a checkpoint already may still have no seal, whoever published it.
    fn open_shards(&mut self, state: &State) {
        let begun = state.shards.iter().take_while(|s| s.start().is_some());
        let opened = begun.count();
        // The last one may have been unfrozen, and gets its seal when it has a successor.
        let from = self.opened.saturating_sub(1);
        for (n, shard) in state.shards.iter().enumerate().take(opened).skip(from) {
            let name = &shard.identity.name;
            let rests = n < self.opened
                && opened == self.opened
                && !matches!(shard.phase, Phase::Active { .. });
            if !rests && !self.open.contains(name) {
                self.open.push(name.clone());
            }
        }
        self.opened = self.opened.max(opened);
    }

    /// Writes down how many of the oldest shards nobody needs to look at any more, when there are some more.
    async fn note_sealed(&mut self, state: &State) -> Result<(), StoreError> {
        let mut shards = state.shards.iter();
        let Some(first) = self.open.first() else {
            return Ok(());
        };
        let before = shards.rposition(|at| at.identity.name == *first);
        let sealed = before.unwrap_or(0) as u64;
        if sealed < self.sealed + SEALED {
            return Ok(());
        }
        let key = self.core.order.keys.sealed();
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), sealed)],
            puts: vec![(key, record::encode_counted(sealed))],
            ..Transaction::default()
        };
        match self.core.store.transact(transaction).await {
            // Refused: another process was further.
            Outcome::Committed | Outcome::Refused => self.sealed = sealed,
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
        }
        Ok(())
    }

    /// Publishes a shard as far as the quorum reaches; false when nothing of it is integrated yet.
    async fn publish_shard(
        &self,
        shard: &Arc<Shard>,
        start: u64,
        look: &mut Look,
    ) -> Result<bool, PublishError> {
        let core = &self.core;
        let (store, keys) = (&*core.store, &core.order.keys);
        let Some(cut) = position::integrated(store, keys, &shard.name).await? else {
            return Ok(false);
        };
        // Another process may have cut what it read of the order before this one: the configuration is that of its slots.
        if core.order.state().len < cut.slots {
            core.order.refresh().await?;
        }
        core.update_running().await?;
        // Taken before the row is read: a row that is read later covers it.
        let signed = shard.signed();
        let row = position::published(store, keys, &shard.name).await?;
        core.recall(shard, signed.as_deref(), row.as_ref())?;
        let published = row.as_ref().map_or(0, |row| row.size);
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
                    core.adopt(shard, &row).await?;
                }
                // Published, but its author died before its checkpoint was there.
                if shard.published() < row.size || shard.signed().is_none() {
                    self.sign(shard, row, &held).await?;
                    look.done.add(0, 1);
                }
            }
            // Nobody holds enough of it yet; its readers get an empty checkpoint meanwhile.
            None if size == 0 && cut.size > 0 => {}
            _ => {
                let root = if size == cut.size {
                    cut.root
                } else {
                    let root = position::root(store, keys, &shard.name, size).await?;
                    root.ok_or_else(|| {
                        StoreError::Io("another replica published at the same moment".into())
                    })?
                };
                let at = Published {
                    size,
                    root,
                    time: now_ms(),
                };
                // Until its first checkpoint is cosigned, readers of a shard keep the empty one; never after.
                if published == 0 && shard.signed().is_none() {
                    core.replicas.wait_for_first(&shard.name);
                }
                let (behind, batches) = self.persist(shard, start, &at).await?;
                self.sign(shard, at, &held).await?;
                if !batches.is_empty()
                    && let Err(e) = core.nodes.delete(batches).await
                {
                    tracing::warn!(log = core.name, error = %e, "published batches go when their slots are collected");
                }
                self.delete_partials(shard, &behind, size).await;
                look.done.add(size - published, 1);
            }
        }
        Ok(true)
    }

    /// What counts for the quorum: rows over the root that was cut here. One that says otherwise is no copy of this shard.
    async fn held(&self, shard: &Shard, published: u64) -> Result<Vec<Held>, PublishError> {
        let core = &self.core;
        let (store, keys) = (&*core.store, &core.order.keys);
        let mut held = position::held(core, &shard.name).await?;
        for one in &mut held {
            let Some(verified) = one.verified.take_if(|v| v.size > published) else {
                continue;
            };
            let root = position::root(store, keys, &shard.name, verified.size).await?;
            if root == Some(verified.root) {
                one.verified = Some(verified);
            }
        }
        Ok(held)
    }

    /// The size that may be published, and what is lacking for more: by what binds the entries of the shard, which begins at the
    /// global index `start`.
    fn reach(
        &self,
        cut: &Position,
        start: u64,
        published: u64,
        held: &[Held],
        look: &mut Look,
    ) -> u64 {
        let eras = self.core.eras.load();
        let mut binding = Vec::new();
        for (at, of) in eras.members().iter().enumerate() {
            let sizes = held.iter().filter(|held| of.names(held));
            let quorum = Quorum {
                // The base binds everything.
                above: if at == 0 {
                    0
                } else {
                    of.start.saturating_sub(start)
                },
                quorum: of.quorum as usize,
                verified: sizes
                    .filter_map(|held| Some(held.verified.as_ref()?.size))
                    .collect(),
            };
            binding.push(quorum);
        }
        if binding.is_empty() {
            return published;
        }
        let size = publishable(&binding, cut.size, published);
        if size < cut.size {
            let lacking = eras.members().iter().zip(&binding).enumerate();
            let lacking = lacking.filter(|(_, (_, of))| cut.size > of.above);
            let lacking = lacking.filter(|(_, (_, of))| of.holding(cut.size) < of.quorum);
            let why: Vec<_> = lacking
                .map(|(at, (of, quorum))| {
                    let behind = behind(of, held, cut.size).join(", ");
                    let before = if at + 1 < binding.len() { before(of) } else { String::new() };
                    format!(
                        "{} of the {} secondaries that backupQuorum asks for{before} have verified size {} (missing: {behind})",
                        quorum.holding(cut.size),
                        quorum.quorum,
                        cut.size
                    )
                })
                .collect();
            look.lacking = Some(why.join("; and "));
        }
        size
    }

    /// Hands a change of the secondaries or of the quorum over, as soon as it may be: see [`crate::eras`].
    async fn hand_over(&self) -> Result<(), PublishError> {
        let core = &self.core;
        let eras = core.eras.load_full();
        let Some(first) = eras.members().first() else {
            return Ok(());
        };
        // An older version wrote no base down: what was published is under the first.
        if eras.base() == 0 {
            core.hand_over(first.generation).await?;
        }
        if !eras.joint() {
            // Nothing changes by it, but that the next start looks less far back.
            if eras.newest() >= eras.base() + FAR {
                core.hand_over(eras.newest()).await?;
            }
            return Ok(());
        }
        core.update_base().await?;
        let (eras, state) = (core.eras.load_full(), core.order.state());
        let [base, later @ ..] = eras.members() else {
            return Ok(());
        };
        for next in later.iter().rev() {
            if self.told(base, next.generation).await?
                && core
                    .holds(next, next.quorum as usize, next.start, &state)
                    .await?
            {
                tracing::info!(
                    log = core.name,
                    generation = next.generation,
                    "the change of the secondaries is handed over"
                );
                return Ok(core.hand_over(next.generation).await?);
            }
        }
        Ok(())
    }

    /// Whether enough of a membership, a quorum where all are ours, hold a manifest that names this generation, or a later one.
    async fn told(&self, of: &Membership, generation: u64) -> Result<bool, StoreError> {
        let (store, keys) = (&*self.core.store, &self.core.order.keys);
        let (mut told, mut foreign) = (0, 0);
        for secondary in &of.secondaries {
            let name = secondary.name.as_str();
            let Some(row) = position::manifest(store, keys, name).await? else {
                foreign += usize::from(position::foreign(store, keys, secondary).await?);
                continue;
            };
            let live = position::live(store, keys, name).await?;
            let live = live.is_none_or(|live| {
                (&live.incarnation, &live.vkey) == (&row.incarnation, &row.vkey)
            });
            if live && row.vkey == secondary.vkey && row.generation >= generation {
                told += 1;
            }
        }
        Ok(told >= of.told(foreign))
    }

    /// The position, durable before anything is signed; with it goes what it makes superfluous. Answers the cuts that are behind,
    /// and the batches that may go: nobody waits for that.
    async fn persist(
        &self,
        shard: &Shard,
        start: u64,
        at: &Published,
    ) -> Result<(Vec<u64>, Vec<String>), PublishError> {
        let core = &self.core;
        let keys = &core.order.keys;
        let (mut behind, mut deletes, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        let prefix = keys.roots(&shard.name);
        for (key, _) in core.store.scan(&prefix, &prefix, CUTS).await? {
            let goes = |cut: &u64| litter::root_goes(*cut, at.size);
            if let Some(size) = trailing_number(&key).filter(goes) {
                behind.push(size);
                deletes.push(key);
            }
        }
        // What this process has not read of the slots goes when they are collected.
        let steps = self.unpublished.iter();
        let steps = steps.map(|(slot, state)| (&**slot, &**state));
        for batch in litter::covered(steps, start + at.size) {
            let key = keys.batch(batch.token);
            if batch.object {
                objects.push(key)
            } else {
                deletes.push(key)
            }
        }
        let key = keys.published(&shard.name);
        let transaction = Transaction {
            guards: vec![
                Guard::AtMost(key.clone(), at.size),
                Guard::Present(keys.root(&shard.name, at.size)),
            ],
            puts: vec![(key, record::encode_numbered(at.size, at))],
            deletes,
        };
        match core.store.transact(transaction).await {
            Outcome::Committed => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            Outcome::Refused => {
                return Err(
                    StoreError::Io("another replica published at the same moment".into()).into(),
                );
            }
        }
        Ok((behind, objects))
    }

    /// Signs a position that is durable, and puts the checkpoint where readers find it. Another replica may be further by then: what
    /// it put must not be behind what this one puts, so its position is signed here as well, until the object is not older than the row.
    async fn sign(
        &self,
        shard: &Arc<Shard>,
        mut at: Published,
        held: &[Held],
    ) -> Result<(), PublishError> {
        let core = &self.core;
        let (store, keys) = (&*core.store, &core.order.keys);
        let path = core.object_path(&shard.name, "checkpoint");
        let mut held = Cow::Borrowed(held);
        loop {
            let cosigned = note(core, shard, &at, &held).await?;
            if let Some(lacking) = cosigned.lacking {
                return Err(PublishError::Witness(lacking));
            }
            let note = cosigned.note;
            // Witnesses take their time. What is older by now need not be put at all.
            let mut row = position::published(store, keys, &shard.name).await?;
            if row.as_ref().is_none_or(|row| row.size <= at.size) {
                let object = (path.clone(), Bytes::from(note.clone()));
                core.objects.put(vec![object]).await?;
                let size = at.size;
                shard.advance(Signed { at, note });
                row = position::published(store, keys, &shard.name).await?;
                if row.as_ref().is_none_or(|row| row.size <= size) {
                    return Ok(());
                }
            }
            let Some(row) = row else { return Ok(()) };
            at = row;
            held = Cow::Owned(position::held(core, &shard.name).await?);
        }
    }

    /// Says again what was said last, so that readers see a live log, and a lost checkpoint file comes back.
    async fn republish(&self) {
        let core = &self.core;
        let state = core.order.state();
        let Some(shard) = state
            .active()
            .and_then(|s| core.shards.get(&state, &s.identity.name))
        else {
            return;
        };
        let Some(signed) = shard.signed() else {
            return;
        };
        let at = Published {
            time: now_ms(),
            ..signed.at.clone()
        };
        let key = core.order.keys.published(&shard.name);
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), at.size)],
            puts: vec![(key, record::encode_numbered(at.size, &at))],
            ..Transaction::default()
        };
        let again = async {
            let row = position::published(&*core.store, &core.order.keys, &shard.name).await?;
            core.recall(&shard, Some(&signed), row.as_ref())?;
            if let Outcome::Committed = core.store.transact(transaction).await {
                let held = position::held(core, &shard.name).await?;
                self.sign(&shard, at, &held).await?;
            }
            Ok::<_, PublishError>(())
        };
        if let Err(e) = again.await {
            tracing::warn!(log = core.name, error = %e, "cannot refresh the checkpoint");
        }
    }

    /// Partial tiles go once a checkpoint covers the full tile (tlog-tiles, "Partial Tiles"): those of the sizes that are behind
    /// now. Litter is harmless, so errors only count.
    async fn delete_partials(&self, shard: &Shard, behind: &[u64], size: u64) {
        let core = &self.core;
        for tile in completed(behind, size) {
            let folder = core.object_path(&shard.name, &format!("{tile}.p"));
            match core.objects.list(&folder).await {
                Ok(paths) => {
                    let count = paths.len() as u64;
                    if core.objects.delete(paths).await.is_ok() {
                        core.metrics.partials_deleted.add(count);
                    }
                }
                Err(e) => tracing::warn!(error = %e, folder, "cannot list partial tiles"),
            }
        }
    }

    /// Seals a shard that was rotated out and is published whole. Only readers need the seal: where it can't be written, nothing waits for it.
    async fn seal(&self, state: &State, shard: &Shard) -> Result<(), PublishError> {
        let core = &self.core;
        let mut shards = state.shards.iter();
        let number = shards.rposition(|s| s.identity.name == *shard.name);
        let Some(done) = number.and_then(|number| core.finished(state, number)) else {
            return Ok(());
        };
        match core.seal(&done).await {
            Err(PublishError::Halt(why)) => Err(PublishError::Halt(why)),
            Err(error) => {
                tracing::warn!(log = core.name, shard = &*shard.name, %error, "a seal waits");
                core.unsettle(shard);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn collect_published(&self) -> Result<(), StoreError> {
        let slots = self.unpublished.iter().map(|(slot, _)| &**slot);
        collect::collect(&self.core, &self.published, slots).await
    }

    /// Lets go of what is published whole.
    async fn collect(&mut self, state: &State) {
        let published = self.core.shards.published(state);
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

/// The checkpoint of a position that is durable, with the cosignatures of secondaries and witnesses.
pub(crate) async fn note(
    core: &Core,
    shard: &Shard,
    at: &Published,
    held: &[Held],
) -> Result<witness::Cosigned, PublishError> {
    let note = core.sign_checkpoint(shard, at).await?;
    // What a secondary signed covers the body, which is the same.
    let verified = held.iter().filter_map(|held| held.verified.as_ref());
    let lines = verified
        .filter(|v| (v.size, v.root) == (at.size, at.root))
        .filter_map(|v| v.cosignature.as_deref());
    let note = tlog::attach(&note, lines).map_err(|e| note_error(shard, &e))?;
    let cosigned = witness::cosign(core, shard, note).await;
    cosigned.map_err(PublishError::Witness)
}

/// The secondaries of a membership that have not verified this size.
fn behind<'a>(of: &'a Membership, held: &[Held], size: u64) -> Vec<&'a str> {
    let has = |name: &str, vkey: &str| {
        let one = |held: &&Held| held.secondary == name && held.vkey == vkey;
        let verified = held
            .iter()
            .find(one)
            .and_then(|held| held.verified.as_ref());
        verified.is_some_and(|v| v.size >= size)
    };
    let all = of.secondaries.iter();
    let behind = all.filter(|one| !has(one.name.as_str(), &one.vkey));
    behind.map(|one| one.name.as_str()).collect()
}

/// What is said of a quorum that was replaced and still binds.
fn before(of: &Membership) -> String {
    format!(
        " in generation {}, before it was changed: both hold until these have taken the change,",
        of.generation
    )
}

fn note_error(shard: &Shard, why: &dyn std::fmt::Display) -> SignError {
    SignError::Note {
        shard: shard.name.to_string(),
        why: why.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::promise::tests::{Rig, caller};
    use store::fault::Faults;

    /// Whoever took a shard over whole while its publisher was held up: it is looked at until it is sealed.
    #[tokio::test(start_paused = true)]
    async fn shards_that_are_whole_already_are_sealed() {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        for _ in 0..3 {
            let at = log.append(Bytes::from_static(b"x")).await.unwrap();
            log.wait_published(at.index).await.unwrap();
            let rotate = Request::Rotate {
                name: None,
                base: None,
                force: false,
            };
            log.change(rotate, caller()).await.unwrap();
        }
        let at = log.append(Bytes::from_static(b"x")).await.unwrap();
        log.wait_published(at.index).await.unwrap();
        let core = Arc::clone(&log.core);
        let state = core.order.state();
        let names: Vec<_> = state.shards.iter().map(|at| &*at.identity.name).collect();
        let mut publisher = Publisher {
            closing: watch::channel(false).1,
            steps: mpsc::unbounded_channel().1,
            unpublished: VecDeque::new(),
            published: Arc::clone(&state),
            // It knows of the first, which is not done here.
            open: vec![names[0].to_owned()],
            sealed: 0,
            opened: 1,
            core,
        };
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names);
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names, "each once");
        // All of them are, and none begins.
        publisher.publish().await.unwrap();
        assert_eq!(publisher.open, names[3..]);
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names[3..]);
        engine.shutdown().await;
    }
}
