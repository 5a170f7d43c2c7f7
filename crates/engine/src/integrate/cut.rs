//! The second half of `integrate`: every `merge.checkpointInterval` the integrated entries become a cut. Tiles are durable first, then
//! root and position, in one transaction. Entries above the last cut may not be copied or published.
//!
//! What must never happen: a position without all of its tiles, or two roots for one size. Such a difference is a HALT.

use order::SlotNumber;
use order::mutant::{Mutant, left_out};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tlog::{Hash, TilePath, TreeSize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::health::Health;
use crate::integrate::grow::{Cut, ShardCut};
use crate::position;
use crate::position::Position;
use crate::program::{Done, Program, Trouble};
use crate::running::Running;
use crate::times;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};

/// The writer of one log's cuts.
pub(crate) struct Cutter {
    pub running: Arc<Running>,
    pub health: Arc<Health>,
    /// Asks the integrator for a cut.
    pub cuts: mpsc::Sender<oneshot::Sender<Cut>>,
    /// Set when the log shuts down: make a last cut, then end.
    pub closing: watch::Receiver<bool>,
    /// Slots that the last cut covers.
    pub slots: SlotNumber,
    /// Set while the cuts are made here and not by another replica.
    pub cuts_here: Arc<AtomicBool>,
}

impl Cutter {
    /// Runs until the log ends, or until everything is cut. Returns its progress.
    pub(crate) async fn run(mut self) -> Done {
        let mut integrated = self.running.progress.integrated.subscribe();
        let mut last = Instant::now();
        let mut done = Done::default();
        loop {
            let closing = *self.closing.borrow_and_update();
            let behind = self.slots < self.running.ledger.state().len;
            if closing && !behind {
                return done;
            }
            let due = last + self.running.config().merge.checkpoint_interval.duration();
            tokio::select! {
                _ = self.health.halt.halted() => return done,
                () = tokio::time::sleep_until(due), if behind && !closing => {}
                _ = integrated.changed(), if !closing && !behind => continue,
                _ = self.closing.changed(), if !closing => continue,
                () = std::future::ready(()), if closing => {}
            }
            // Everything in one cut, however far the integrator is.
            while closing && *integrated.borrow_and_update() < self.running.ledger.state().size {
                tokio::select! {
                    _ = integrated.changed() => {}
                    _ = self.health.halt.halted() => return done,
                }
            }
            last = Instant::now();
            let Some(mut cut) = self.next().await else {
                return done;
            };
            for shard in &mut cut.shards {
                shard.settle().await;
            }
            if cut.state.len == self.slots {
                // Ordered but not integrated yet: wait for the integrator instead of asking in a loop.
                tokio::select! {
                    _ = integrated.changed() => {}
                    _ = self.health.halt.halted() => return done,
                }
                continue;
            }
            match self.write_with_retry(&cut).await {
                Some(entries) => done.add(entries, cut.shards.len() as u64),
                // Ordered entries are durable; the next start cuts them.
                None => return done,
            }
            self.slots = cut.state.len;
        }
    }

    async fn next(&self) -> Option<Cut> {
        let (send, receive) = oneshot::channel();
        self.cuts.send(send).await.ok()?;
        receive.await.ok()
    }

    /// Writes a cut, however often the store fails; `None` when the log halts or ends meanwhile.
    async fn write_with_retry(&self, cut: &Cut) -> Option<u64> {
        let (running, health) = (&self.running, &self.health);
        let mut pause = Duration::from_millis(100);
        loop {
            match self.write(cut).await {
                Ok(entries) => {
                    health.set_trouble(Program::Integrate, None);
                    running.progress.merged.send_modify(|count| *count += 1);
                    return Some(entries);
                }
                Err(CutError::Halt(why)) => {
                    health.halt.halt(why);
                    return None;
                }
                Err(CutError::Store(e)) => {
                    tracing::warn!(log = running.ledger.name, error = %e, "cannot cut; trying again later");
                    health.set_trouble(Program::Integrate, Some(Trouble::of(&e)));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = health.halt.halted() => return None,
            }
            pause = (pause * 2).min(Duration::from_secs(2));
            if *self.closing.borrow() && pause > Duration::from_secs(1) {
                return None;
            }
        }
    }

    async fn write(&self, cut: &Cut) -> Result<u64, CutError> {
        let running = &self.running;
        let (store, keys) = (&*running.ledger.store, &running.ledger.keys);
        // Another replica may have done this already; then there is nothing to write again.
        let (mut todo, mut entries) = (Vec::new(), 0);
        for shard in &cut.shards {
            let before = position::integrated(store, keys, &shard.name).await?;
            let size = before.as_ref().map_or(TreeSize::ZERO, |at| at.size);
            match before {
                // Another replica's cut is larger; where it cut at this size as well, it computed the same root.
                Some(at) if at.size > shard.size => {
                    if let Some(root) = position::root(store, keys, &shard.name, shard.size).await?
                    {
                        agree(shard, &root)?;
                    }
                }
                Some(at) if at.size == shard.size => agree(shard, &at.root)?,
                _ => todo.push((shard, size)),
            }
            entries += shard.size - size;
        }
        self.cuts_here.store(!todo.is_empty(), Relaxed);
        if todo.is_empty() {
            return Ok(0);
        }
        let tiles = todo.iter().flat_map(|(shard, before)| {
            let path = |path: &TilePath| running.objects.path(&shard.name, &path.to_string());
            // Tiles that are the same in another replica's cut are there already.
            let there =
                |at: &TilePath| TilePath::at(at.kind, at.index, (*before).get()) == Some(*at);
            let tiles = shard.tiles.iter().filter(move |(at, _)| !there(at));
            tiles.map(move |(at, bytes)| (path(at), bytes.clone()))
        });
        let times = todo.iter().flat_map(|(shard, _)| {
            let path = |bundle| running.objects.path(&shard.name, &times::path(bundle));
            let sealed = |bundle, times: &_| times::sealed(&shard.name, bundle, times);
            let times = shard.times.iter();
            times.map(move |(bundle, times)| (path(*bundle), sealed(*bundle, times)))
        });
        let tiles: Vec<(String, Bytes)> = tiles.chain(times).collect();
        if !tiles.is_empty() {
            let put = running.objects.store.put(tiles).await;
            if !left_out(Mutant::CutBeforeItsTiles) {
                put?;
            }
        }
        let mut transaction = Transaction::default();
        for (shard, _) in &todo {
            let at = Position {
                size: shard.size,
                root: shard.root,
                slots: cut.state.len,
            };
            let key = keys.integrated(&shard.name);
            let root_key = keys.root(&shard.name, shard.size);
            match position::root(store, keys, &shard.name, shard.size).await? {
                Some(root) => agree(shard, &root)?,
                None => {
                    transaction.guards.push(Guard::Absent(root_key.clone()));
                    transaction
                        .puts
                        .push((root_key, record::encode(&shard.root)));
                }
            }
            transaction
                .guards
                .push(Guard::AtMost(key.clone(), shard.size.get()));
            transaction
                .puts
                .push((key, record::encode_numbered(shard.size.get(), &at)));
        }
        match store.transact(transaction).await {
            Outcome::Committed => Ok(entries),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
            Outcome::Refused => {
                Err(StoreError::NotYet("another replica cut at the same moment".into()).into())
            }
        }
    }
}

/// Compares the roots: everything after the order is a function of it, so a replica that computes another root has damaged bytes.
fn agree(cut: &ShardCut, root: &Hash) -> Result<(), CutError> {
    if cut.root == *root {
        return Ok(());
    }
    Err(CutError::Halt(format!(
        "shard {} at size {}: this replica computes root {} where {root} was written; run `logd fsck`",
        cut.name, cut.size, cut.root
    )))
}

/// Why a cut was not written.
#[derive(Debug, thiserror::Error)]
enum CutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Halt(String),
}
