//! The first half of `integrate`: slots → trees. Takes the slots in order, hashes their entries into the shards' trees, and hands
//! out cuts: finished tiles, partial tiles and roots at one position of the order. [`crate::integrate::cut`] makes them durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tlog::{GlobalIndex, Hash, LeafIndex, TilePath, TreeSize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::integrate::batch_bytes::read_batch_patiently;
use crate::ledger::Ledger;
use crate::objects::LogObjects;
use crate::pending::Step;
use crate::progress::Progress;
use crate::times::{Times, TimesBytes};
use order::slot::Slot;
use order::state::{Phase, State};
use order::{SlotNumber, batch};
use store::StoreError;
use tlog::{ShardTree, TileBytes};

/// Full tiles that go to the store together before their cut: fewer are not worth the sync of their folders.
const AHEAD: usize = 64;
/// Such writes at a time, of one shard.
const WRITES: usize = 2;

/// Full tiles on their way to the store before the cut that they belong to, so that a cut has little left to write.
#[derive(Debug)]
pub(crate) struct Ahead {
    tiles: Vec<TileBytes>,
    write: JoinHandle<Result<(), StoreError>>,
}

/// One shard in a cut.
#[derive(Debug)]
pub(crate) struct ShardCut {
    pub name: String,
    pub size: TreeSize,
    /// Root at that size.
    pub root: Hash,
    /// Tiles and bundles finished since the last cut, and those partial at this size.
    pub tiles: Vec<TileBytes>,
    /// Tiles finished since the last cut that are not in `tiles`.
    pub ahead: Vec<Ahead>,
    /// The times of the bundles among all of these.
    pub times: Vec<TimesBytes>,
}

impl ShardCut {
    /// Waits for the tiles that were written ahead; failed ones are written again.
    pub(crate) async fn settle(&mut self) {
        for Ahead { tiles, write } in std::mem::take(&mut self.ahead) {
            if !matches!(write.await, Ok(Ok(()))) {
                self.tiles.extend(tiles);
            }
        }
    }
}

/// Everything integrated since the last cut, oldest shard first.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The shards that grew or opened.
    pub shards: Vec<ShardCut>,
    /// The state after the last integrated slot.
    pub state: Arc<State>,
}

/// A shard that is not yet integrated whole.
#[derive(Debug)]
pub(crate) struct Growing {
    pub name: String,
    /// Global index of its first entry.
    pub start: GlobalIndex,
    pub tree: ShardTree,
    /// Tiles finished since the last cut.
    pub full: Vec<TileBytes>,
    /// More finished tiles, on their way to the store.
    pub ahead: Vec<Ahead>,
    /// Size at the last cut; `None` when it was never in one.
    pub cut: Option<TreeSize>,
    /// The times of its entries, in a shard with an ECDSA key.
    pub times: Option<Times>,
}

/// The integrator of one log.
pub(crate) struct Integrator {
    pub ledger: Arc<Ledger>,
    pub progress: Arc<Progress>,
    pub objects: Arc<LogObjects>,
    pub slots: mpsc::UnboundedReceiver<Step>,
    pub cuts: mpsc::Receiver<oneshot::Sender<Cut>>,
    /// The shards that grow, oldest first.
    pub growing: Vec<Growing>,
    /// The state after the last integrated slot.
    pub state: Arc<State>,
    /// Slots below this were known when `growing` was read back: a shard missing there is integrated whole.
    pub recovered: SlotNumber,
    /// Whether the last cut was made here, so that the next one is likely to be.
    pub cuts_here: Arc<AtomicBool>,
}

impl Growing {
    /// Writes full tiles ahead of the cut, when there are enough.
    fn write_ahead(&mut self, objects: &LogObjects) {
        let under_way = self.ahead.iter().filter(|a| !a.write.is_finished());
        if self.full.len() < AHEAD || under_way.count() >= WRITES {
            return;
        }
        let tiles = std::mem::take(&mut self.full);
        let path = |at: &TilePath| objects.path(&self.name, &at.to_string());
        let puts = tiles.iter().map(|(at, bytes)| (path(at), bytes.clone()));
        let (store, puts) = (Arc::clone(&objects.store), puts.collect());
        let write = tokio::spawn(async move { store.put(puts).await });
        self.ahead.push(Ahead { tiles, write });
    }
}

impl Integrator {
    /// Runs until the log ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                _ = self.ledger.halt.halted() => return,
                Some(cut) = self.cuts.recv() => { let _ = cut.send(self.cut()); }
                Some((slot, state)) = self.slots.recv() => {
                    if let Err(e) = self.integrate(&slot, state).await {
                        self.ledger.halt.halt(e.to_string());
                        return;
                    }
                }
                else => return,
            }
        }
    }

    async fn integrate(&mut self, slot: &Slot, state: Arc<State>) -> Result<(), StoreError> {
        if state.len > self.recovered {
            self.open_shards(&state);
        }
        for (start, named) in slot.placed() {
            let Some(shard) = state.shard_at(start) else {
                continue;
            };
            let Some(growing) = self
                .growing
                .iter_mut()
                .find(|g| g.name == shard.identity.name)
            else {
                continue;
            };
            let leaf = start.leaf(growing.start).map(LeafIndex::get);
            let leaf = leaf.ok_or_else(|| {
                let (name, first) = (&growing.name, growing.start);
                StoreError::Corrupt(format!(
                    "entry {start} is ordered before shard {name}, which begins at {first}"
                ))
            })?;
            let have = growing.tree.size();
            if leaf + named.entries <= have {
                continue;
            }
            if leaf > have {
                return Err(StoreError::Corrupt(format!(
                    "entries {have}..{leaf} of shard {} are missing",
                    growing.name
                )));
            }
            let Some(held) = self.ledger.pending.find(start) else {
                return Err(StoreError::Corrupt(format!(
                    "batch {} is gone before it was integrated",
                    named.token
                )));
            };
            let bytes = read_batch_patiently(&self.ledger, &self.objects, &held).await?;
            let entries = batch::entries(&bytes)
                .map_err(|e| StoreError::Corrupt(format!("batch {}: {e}", named.token)))?;
            if entries.len() as u64 != named.entries {
                return Err(StoreError::Corrupt(format!(
                    "batch {} holds {} entries, its slot says {}",
                    named.token,
                    entries.len(),
                    named.entries
                )));
            }
            // Hashing takes time, and a writer that waits for an answer must not wait for all of it.
            tokio::task::yield_now().await;
            let skip = usize::try_from(have - leaf).unwrap_or(usize::MAX);
            if let Some(times) = &mut growing.times {
                times.push(have, entries.len().saturating_sub(skip), slot.time);
            }
            entries
                .into_iter()
                .skip(skip)
                .for_each(|entry| growing.tree.push(entry, &mut growing.full));
            if self.cuts_here.load(Relaxed) {
                growing.write_ahead(&self.objects);
            }
        }
        // Slots that are replayed after a restart are already in the trees.
        let at = state.size.max(*self.progress.integrated.borrow());
        self.state = state;
        self.ledger.metrics.integrated.set(at.get());
        self.progress.integrated.send_replace(at);
        Ok(())
    }

    /// A tree for each shard that opened.
    fn open_shards(&mut self, state: &State) {
        let Some(active) = state.active() else { return };
        let known = self.growing.iter().any(|g| g.name == active.identity.name);
        if let (Phase::Active { start }, false) = (active.phase, known) {
            self.growing.push(Growing {
                name: active.identity.name.clone(),
                start,
                tree: ShardTree::default(),
                full: Vec::new(),
                ahead: Vec::new(),
                cut: None,
                times: active.identity.ecdsa.is_some().then(Times::default),
            });
        }
    }

    fn cut(&mut self) -> Cut {
        let state = Arc::clone(&self.state);
        let mut shards = Vec::new();
        self.growing.retain_mut(|growing| {
            let size = TreeSize::new(growing.tree.size());
            let phase = state
                .shards
                .iter()
                .rev()
                .find(|s| s.identity.name == growing.name)
                .map(|s| s.phase);
            let whole = matches!(phase, Some(Phase::Frozen { length, .. }) if length == size);
            if growing.cut != Some(size) {
                let mut tiles = std::mem::take(&mut growing.full);
                tiles.extend(growing.tree.partials());
                shards.push(ShardCut {
                    name: growing.name.clone(),
                    size,
                    root: growing.tree.root(),
                    tiles,
                    ahead: std::mem::take(&mut growing.ahead),
                    times: growing
                        .times
                        .as_mut()
                        .map(|times| times.cut(size.get()))
                        .unwrap_or_default(),
                });
                growing.cut = Some(size);
            }
            !whole
        });
        Cut { shards, state }
    }
}
