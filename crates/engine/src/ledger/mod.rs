//! The commit protocol: announce, decide, help.
//!
//! A committer first tries to decide the next slot alone (one transaction, the fast path). A committer that loses announces its work
//! and proposes again, with every announced work in the proposal; whichever wins, all are served. No lock, lease or leader.
//!
//! What must never happen: a wrong answer. A place is given only for a token found in the slots; a refusal only
//! when no earlier write of this committer can still land: proposals hold for one slot number, announcements end at a freeze.

mod committer;
pub(crate) mod locations;
pub(crate) mod queue;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use ambient::Random;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::halt::Halt;
use crate::metrics::LogMetrics;
use crate::pending::Pending;
pub(crate) use order::answer::{CommitError, Placed};
use order::keys::{Keys, announced_under, trailing_slot};
use order::location::Location;
use order::mutant::{Mutant, left_out};
pub(crate) use order::proposal::Proposal;
use order::propose::Share;
use order::slot::{BatchRef, Control, Slot};
use order::state::State;
use order::token::{Token, Tokens};
use order::view::View;
use order::work::{Announcement, Work};
use order::{Generation, Limits, SlotNumber};
use store::record;
use store::{Coordination, Objects, StoreError};

/// Slots read at a time.
const SCAN_PAGE: usize = 256;
/// How the record of an announced control begins.
const CONTROL: &[u8] = b"{\"control\"";
/// Announcements read at a time: each may be a control, of up to the size of a slot.
const BAG: usize = 512;

/// One log's order, as this replica sees it.
pub struct Ledger {
    pub(crate) name: String,
    /// The keys of its rows.
    pub keys: Keys,
    pub(crate) store: Arc<dyn Coordination>,
    objects: Arc<dyn Objects>,
    /// Advances only under this lock, which is never held over an await.
    view: Mutex<View>,
    limits: Limits,
    /// The view's state, for readers.
    state: ArcSwap<State>,
    /// Its configuration's entity tag: formatted once per generation.
    etag: ArcSwap<Bytes>,
    /// Receives each slot in order, under the view's lock.
    pub(crate) pending: Arc<Pending>,
    /// Bytes of batches being committed here, so that they need not be read back.
    own: Mutex<HashMap<Token, Bytes>>,
    pub(crate) metrics: Arc<LogMetrics>,
    pub(crate) halt: Arc<Halt>,
    /// Checked before a slot is proposed.
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The generation to whose storage nodes batches are written, or an earlier one.
    storage: Arc<AtomicU64>,
    /// Whether other committers were active during this replica's last commit.
    contended: AtomicBool,
    /// Notified when a slot has ordered promised work.
    pub(crate) promised: Notify,
    pub(crate) tokens: Tokens,
}

impl Ledger {
    /// Continues from a view that was read earlier.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the system has no randomness.
    pub(crate) fn new(
        name: &str,
        stores: (Arc<dyn Coordination>, Arc<dyn Objects>),
        view: View,
        pending: Arc<Pending>,
        metrics: Arc<LogMetrics>,
        halt: Arc<Halt>,
        (clock, random): (Clock, Random),
    ) -> Result<Self, StoreError> {
        let tokens = Tokens::new(random.bytes()?);
        let state = ArcSwap::from_pointee(view.state.clone());
        let tag = etag(view.state.generation, &view.state.document);
        let etag = ArcSwap::from_pointee(Bytes::from(tag));
        let (store, objects) = stores;
        Ok(Self {
            name: name.to_owned(),
            keys: Keys::new(name),
            store,
            objects,
            limits: view.limits,
            view: Mutex::new(view),
            state,
            etag,
            pending,
            own: Mutex::default(),
            metrics,
            halt,
            clock,
            random,
            storage: Arc::default(),
            contended: AtomicBool::new(false),
            promised: Notify::new(),
            tokens,
        })
    }

    /// Puts large batches on the storage nodes of this generation, which grows.
    #[must_use]
    pub(crate) fn stored_under(mut self, generation: Arc<AtomicU64>) -> Self {
        self.storage = generation;
        self
    }

    /// The generation to whose storage nodes batches are written from now on, or an earlier one.
    pub(crate) fn storage(&self) -> Generation {
        Generation::new(self.storage.load(SeqCst))
    }

    /// Reads the generation whose storage nodes still count.
    async fn look_at_storage(&self) -> Result<(), StoreError> {
        let key = self.keys.storage_from();
        if let Some(row) = self.store.get(&key).await? {
            let from = record::decode_counted(&row)
                .map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))?;
            let mut view = self.view();
            view.storage_from = view.storage_from.max(Generation::new(from));
        }
        Ok(())
    }

    /// The order of the log `name` from its first slot on, for callers that only commit: what they order is not integrated.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the system has no randomness.
    #[cfg(any(test, feature = "testing"))]
    pub fn alone(
        name: &str,
        stores: (Arc<dyn Coordination>, Arc<dyn Objects>),
    ) -> Result<(Self, Arc<LogMetrics>), StoreError> {
        let metrics: Arc<LogMetrics> = Arc::default();
        let ambient::Ambient { time, random } = ambient::Ambient::unset();
        let order = Self::new(
            name,
            stores,
            View::default(),
            Arc::new(Pending::new().0),
            Arc::clone(&metrics),
            Arc::default(),
            (Clock::new(time), random),
        )?;
        Ok((order, metrics))
    }

    /// A fresh name for a batch or an operation.
    pub(crate) fn token(&self) -> Token {
        self.tokens.make(self.clock.now())
    }

    /// The state after all slots known here.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The entity tag of the state's configuration.
    pub(crate) fn etag(&self) -> Bytes {
        Bytes::clone(&self.etag.load())
    }

    pub(crate) fn store(&self) -> &dyn Coordination {
        &*self.store
    }

    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    /// Answers a question about the view; `question` must be quick.
    pub(crate) fn look<T>(&self, question: impl FnOnce(&View) -> T) -> T {
        question(&self.view())
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        // A panic under this lock can only come from a bug in the pure functions; the view that it left is still consistent.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next slot into the view; one that is already in it is skipped.
    fn advance(&self, slot: Slot, digest: tlog::Hash) -> bool {
        let mut view = self.view();
        if slot.number != view.state.len {
            return slot.number < view.state.len;
        }
        let slot = Arc::new(slot);
        if let Err(invalid) = view.advance(Arc::clone(&slot), digest) {
            self.halt.halt(format!("{invalid}; run `logd fsck`"));
            return false;
        }
        let state = Arc::new(view.state.clone());
        let promised = |b: &BatchRef| b.location == Some(Location::Promise);
        if slot.batches.iter().any(promised) {
            self.promised.notify_one();
        }
        let bytes = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            slot.batches.iter().map(|b| own.remove(&b.token)).collect()
        };
        self.pending.hold(&slot, bytes);
        if matches!(&slot.control, Some(d) if matches!(d.control, Control::Reconfigure { .. })) {
            let tag = etag(state.generation, &state.document);
            self.etag.store(Arc::new(Bytes::from(tag)));
        }
        self.metrics.ordered.set(state.size.get());
        self.state.store(Arc::clone(&state));
        self.pending.hand_on(&(slot, state));
        true
    }

    /// Reads the slots that others decided. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`]; the log is halted when slots are missing.
    pub async fn refresh(&self) -> Result<u64, StoreError> {
        let before = self.state().len;
        if self.catch_up().await? {
            return Ok(self.state().len - before);
        }
        self.halt.halt(format!(
            "this process was paused while slots from {} on were collected; restart it (nothing is lost)",
            self.state().len
        ));
        Err(StoreError::Corrupt("the slots are not contiguous".into()))
    }

    /// Reads the slots after the last one known here; `false` when the next one was collected before it was read.
    pub(crate) async fn catch_up(&self) -> Result<bool, StoreError> {
        loop {
            let len = self.state().len;
            let page = self
                .store
                .scan(&self.keys.slots(), &self.keys.slot(len), SCAN_PAGE)
                .await?;
            let full = page.len() == SCAN_PAGE;
            for (key, bytes) in page {
                let slot: Slot = match record::decode(&bytes) {
                    Ok(slot) => slot,
                    Err(e) => {
                        self.halt.halt(format!("{key}: {e}; run `logd fsck`"));
                        return Err(StoreError::Corrupt(format!("{key}: {e}")));
                    }
                };
                if trailing_slot(&key) == Some(slot.number)
                    && self.advance(slot, record::digest(&bytes))
                {
                    continue;
                }
                let len = self.state().len;
                if self.floor().await? > len {
                    return Ok(false);
                }
                if !self.halt.is_halted() {
                    self.halt
                        .halt(format!("slot {len} is missing; run `logd fsck`"));
                }
                return Err(StoreError::Corrupt("the slots are not contiguous".into()));
            }
            if !full {
                return Ok(true);
            }
        }
    }

    pub(crate) async fn floor(&self) -> Result<SlotNumber, StoreError> {
        let row = self.store.get(&self.keys.floor()).await?;
        let floor = row.map_or(Ok(0), |row| record::decode_number(&row));
        let floor = floor.map_err(|e| StoreError::Corrupt(e.to_string()))?;
        Ok(SlotNumber::new(floor))
    }

    /// Announcements, oldest first: those that the next slot can use, which is as many as fill it, and a control ([`Share`]). The rest must
    /// wait in any case, so it is not kept, and behind a full slot not even decoded. Scanned after the view was read up to the next slot.
    pub(crate) async fn bag(
        &self,
        next: SlotNumber,
    ) -> Result<Vec<(String, Announcement)>, StoreError> {
        let oldest = match left_out(Mutant::NoWindow) {
            true => SlotNumber::ZERO,
            false => next.back(self.limits.window),
        };
        let (prefix, mut from) = (self.keys.bag(), self.keys.bag_from(oldest));
        let (mut bag, mut share) = (Vec::new(), Share::default());
        loop {
            let rows = self.store.scan(&prefix, &from, BAG).await?;
            let full = rows.len() == BAG;
            if let Some((last, _)) = rows.last() {
                from = format!("{last}\0");
            }
            self.announcements(rows, &mut bag, &mut share);
            if !full || share.is_whole(&self.limits) {
                return Ok(bag);
            }
        }
    }

    /// Takes the announcements into a `bag` that its `share` can use.
    fn announcements(
        &self,
        rows: Vec<(String, Bytes)>,
        bag: &mut Vec<(String, Announcement)>,
        share: &mut Share,
    ) {
        for (key, bytes) in rows {
            if share.is_whole(&self.limits) {
                return;
            }
            if share.is_full(&self.limits) && !record::begins(&bytes, CONTROL) {
                continue;
            }
            let seen = announced_under(&key);
            let (Some(seen), Ok(work)) = (seen, record::decode::<Work>(&bytes)) else {
                tracing::warn!(
                    key,
                    "an announcement is not understood; its author will time out"
                );
                continue;
            };
            let announcement = Announcement { seen, work };
            if self.look(|view| share.takes(view, &announcement)) {
                bag.push((key, announcement));
            }
        }
    }
}

/// The entity tag of a generation whose document has this digest.
pub(crate) fn etag(generation: Generation, document: &tlog::Hash) -> String {
    format!("g{generation}-{}", &document.to_string()[..8])
}
