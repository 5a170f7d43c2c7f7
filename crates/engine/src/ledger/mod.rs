//! The commit protocol: announce, decide, help.
//!
//! A committer first tries to decide the next slot alone (one transaction, the fast path). A committer that loses announces its work
//! and proposes again, with every announced work in the proposal; whichever wins, all are served. No lock, lease or leader.
//!
//! What must never happen: a wrong answer. `Ordered` is given only for a token found in the slots; `Rejected` only
//! when no earlier write of this committer can still land: proposals hold for one slot number, announcements end at a freeze.

pub(crate) mod locations;
pub(crate) mod queue;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambient::Random;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::halt::Halt;
use crate::metrics::LogMetrics;
use crate::pending::Pending;
use order::answer::Stored;
pub(crate) use order::answer::{CommitError, Placed, Proposal};
use order::attempt::{Attempt, Step};
use order::keys::{Keys, announced_under, trailing_slot};
use order::location::Location;
use order::propose::{Share, propose};
use order::slot::{Announcement, BatchRef, Control, Slot, Token, Tokens, Work};
use order::state::{State, View};
use order::writes;
use order::{Generation, Limits, SlotNumber};
use store::record;
use store::{Coordination, Objects, Outcome, StoreError};

/// How long a committer retries while the store fails, before it reports the outcome as unknown.
const COMMIT_RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Slots read at a time.
const SCAN_PAGE: usize = 256;
/// How the record of an announced control begins.
const CONTROL: &[u8] = b"{\"control\"";
/// Announcements read at a time: each may be a control, of up to the size of a slot.
const BAG: usize = 512;

/// One log's order, as this replica sees it.
pub struct Ledger {
    pub(crate) name: String,
    /// Where its rows are.
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
    company: AtomicBool,
    /// A slot ordered promised work.
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
            company: AtomicBool::new(false),
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

    /// Reads which storage nodes still count.
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
        self.tokens.make(self.clock.now_ms())
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

    /// Proposes what is in the bag, and nothing else.
    pub(crate) async fn propose_bag(&self) -> Outcome {
        let len = self.state().len;
        self.decide(&[], false, true, len).await
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
        let promised = |b: &BatchRef| b.place == Some(Location::Promise);
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
        self.metrics.ordered.set(state.size);
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
        let (prefix, mut from) = (
            self.keys.bag(),
            self.keys.bag_from(next.back(self.limits.window)),
        );
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

    /// Commits several proposals together: batches in their order and at most one control. Returns an answer for each, in the same order.
    #[cfg(any(test, feature = "testing"))]
    pub async fn commit(&self, mut mine: Vec<Proposal>) -> Vec<Result<Placed, CommitError>> {
        match self.prepare(&mut mine).await {
            Ok(()) => self.commit_prepared(mine).await,
            Err(e) => mine.iter().map(|_| Err(e.clone())).collect(),
        }
    }

    /// The linear work of a commit: batches over the store's value limit become objects, durable before they are announced.
    ///
    /// # Errors
    /// [`CommitError::Store`]; then none of it is or will be ordered.
    pub(crate) async fn prepare(&self, mine: &mut [Proposal]) -> Result<(), CommitError> {
        let stored = Stored {
            slots: self.state().len,
            generation: self.storage(),
        };
        for m in mine.iter_mut().filter(|m| m.is_object()) {
            m.stored = Some(stored);
        }
        let large: Vec<_> = mine
            .iter()
            .filter(|m| m.is_object())
            .map(|m| (self.keys.batch(m.work.token()), m.bytes.clone()))
            .collect();
        if large.is_empty() {
            return Ok(());
        }
        let error = match self.objects.put(large).await {
            Ok(()) => return Ok(()),
            Err(e) => CommitError::Store(e),
        };
        mine.iter()
            .for_each(|_| self.metrics.failed(error.reason()));
        self.forget(mine.iter());
        Err(error)
    }

    /// Deletes, soon, the objects of batches that will never be ordered. If that fails, the collector deletes them later.
    fn forget<'a>(&self, mine: impl Iterator<Item = &'a Proposal>) {
        let large = mine.filter(|m| m.is_object());
        let paths: Vec<_> = large.map(|m| self.keys.batch(m.work.token())).collect();
        if !paths.is_empty() {
            let objects = Arc::clone(&self.objects);
            tokio::spawn(async move { objects.delete(paths).await });
        }
    }

    /// [`Ledger::commit`] of what [`Ledger::prepare`] has made durable.
    pub(crate) async fn commit_prepared(
        &self,
        mine: Vec<Proposal>,
    ) -> Vec<Result<Placed, CommitError>> {
        {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.extend(
                mine.iter()
                    .filter(|m| !m.bytes.is_empty())
                    .map(|m| (m.work.token(), m.bytes.clone())),
            );
        }
        let answers = self.run(&mine).await;
        for error in answers.iter().filter_map(|a| a.as_ref().err()) {
            self.metrics.failed(error.reason());
        }
        // Another batch with the same part of an upload may have its place; then this one will never be ordered.
        let never = |m: &Proposal, answer: &Result<Placed, CommitError>| match answer {
            Ok(placed) => placed.slot.tokens().all(|token| token != m.work.token()),
            Err(e) => e.is_final(),
        };
        let answered = mine.iter().zip(&answers);
        self.forget(answered.filter(|(m, a)| never(m, a)).map(|(m, _)| m));
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        mine.iter().for_each(|m| drop(own.remove(&m.work.token())));
        answers
    }

    async fn run(&self, mine: &[Proposal]) -> Vec<Result<Placed, CommitError>> {
        // The committer waits for a slow store without limit, and for a failing one for some time.
        let (mut failing, mut announced) = (None, None);
        let company = self.company.load(Relaxed);
        let mut attempt = Attempt::new(self.state().len, mine.len(), company);
        let mut step = attempt.next(&self.view(), mine);
        while step != Step::Done {
            if self.halt.is_halted()
                || failing.is_some_and(|since: Instant| since.elapsed() > COMMIT_RETRY_TIMEOUT)
            {
                let why = self.halt.reason();
                attempt.give_up(why.as_deref().unwrap_or("the store does not answer"));
                return attempt.answers().collect();
            }
            step = match step {
                Step::Read => {
                    let mut read = self.refresh().await;
                    if read.is_ok()
                        && attempt.open(mine).any(Proposal::is_object)
                        && let Err(e) = self.look_at_storage().await
                    {
                        read = Err(e);
                    }
                    match read {
                        Ok(new) => attempt.read(new),
                        Err(e) => self.note("read", &Outcome::Failed(e), &mut failing).await,
                    }
                    attempt.next(&self.view(), mine)
                }
                Step::Announce(seen) => {
                    let open: Vec<&Proposal> = attempt.open(mine).collect();
                    let announcement = writes::announce(&self.keys, seen, &open);
                    let outcome = self.store.transact(announcement).await;
                    announced.get_or_insert_with(Instant::now);
                    self.note("announce", &outcome, &mut failing).await;
                    attempt.announced(&outcome)
                }
                Step::Decide { look, bytes } => {
                    let open: Vec<&Proposal> = attempt.open(mine).collect();
                    let outcome = self.decide(&open, bytes, look, attempt.looked()).await;
                    attempt.decided(&outcome);
                    self.note("decide", &outcome, &mut failing).await;
                    attempt.next(&self.view(), mine)
                }
                Step::Done => break,
            };
        }
        self.company.store(attempt.had_company(), Relaxed);
        self.metrics.rounds(attempt.rounds());
        if let Some(announced) = announced {
            let time = announced.elapsed().as_secs_f64();
            self.metrics.announced_seconds.observe(time);
        }
        attempt.answers().collect()
    }

    /// Proposes the next slot. The fast path does not read the bag but demands that it is empty. `bytes`: the batches' bytes ride
    /// along. `looked`: the slots below it, and no others, were looked into for `open`.
    async fn decide(
        &self,
        open: &[&Proposal],
        bytes: bool,
        look: bool,
        looked: SlotNumber,
    ) -> Outcome {
        let next = self.state().len;
        if next != looked {
            return Outcome::Refused; // The caller looks: what is proposed may have ended meanwhile.
        }
        // A slot's time never goes back, so one bad clock must not move it far ahead.
        let now = match self.clock.sound() {
            Ok(now) => now,
            Err(fault) => return Outcome::Failed(StoreError::Clock(fault.to_string())),
        };
        let bag = if look {
            match self.bag(next).await {
                Ok(bag) => Some(bag),
                Err(e) => return Outcome::Failed(e),
            }
        } else {
            None
        };
        let works: Vec<Work> = open.iter().map(|m| m.work.clone()).collect();
        let slot = {
            let view = self.view();
            if view.state.len != next {
                return Outcome::Refused;
            }
            let announcements: Vec<Announcement> =
                bag.iter().flatten().map(|(_, a)| a.clone()).collect();
            propose(&view, &announcements, &works, now)
        };
        let Some(slot) = slot else {
            return Outcome::Refused;
        };
        let carried = if bytes {
            writes::ordered(&self.keys, &slot, open)
        } else {
            Vec::new()
        };
        let (mut transaction, digest) =
            writes::decide(&self.keys, self.limits, &slot, bag.as_deref(), carried);
        if bytes {
            transaction.guards.extend(writes::stored(&self.keys, open));
        }
        let outcome = self.store.transact(transaction).await;
        if matches!(outcome, Outcome::Committed) {
            self.advance(slot, digest);
        }
        outcome
    }

    /// Notes that a store fails, and since when.
    async fn note(&self, step: &'static str, outcome: &Outcome, failing: &mut Option<Instant>) {
        let (Outcome::Unknown(e) | Outcome::Failed(e)) = outcome else {
            *failing = None;
            return;
        };
        failing.get_or_insert_with(Instant::now);
        self.metrics.failure(step, e);
        tracing::warn!(step, error = %e, "the coordination store failed; finding out by reading");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The entity tag of a generation whose document has this digest.
pub(crate) fn etag(generation: Generation, document: &tlog::Hash) -> String {
    format!("g{generation}-{}", &document.to_string()[..8])
}
