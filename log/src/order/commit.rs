//! The commit protocol: announce, decide, help.
//!
//! A committer first tries to decide the next slot alone (one transaction, the fast path). Who loses announces its work and
//! proposes again, with every announced work in the proposal; whoever wins, all are served. No lock, lease or leader.
//!
//! What must never happen: an answer that is not so. `Ordered` is given only for a token found in the slots; `Rejected` only
//! when no earlier write of ours can still land: proposals hold for one slot number, announcements die at a freeze.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::Instant;

use super::WINDOW;
pub use super::answer::{CommitError, Mine, Placed};
use super::answer::{covers, settle};
use super::keys::{Keys, trailing_number};
use super::place::PlacedRow;
use super::propose::propose;
use super::slot::{Announcement, Control, Slot, Token, Work};
use super::state::{State, View};
use crate::halt::Halt;
use crate::log::etag;
use crate::merge::pending::{Ordered, Pending};
use crate::metrics::LogMetrics;
use crate::record;
use crate::store::{Coordination, Guard, Objects, Outcome, StoreError, Transaction};

/// How long a committer goes on when the store does not answer, before it says that the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(10);
/// Slots read at a time.
const PAGE: usize = 256;
/// Announcements looked at in one proposal.
const BAG: usize = 4096;

/// One log's order, as this replica sees it.
pub struct Order {
    /// Where its rows are.
    pub keys: Keys,
    store: Arc<dyn Coordination>,
    objects: Arc<dyn Objects>,
    /// Advances only under this lock; never held over an await.
    view: Mutex<View>,
    /// The view's state, for everyone who only looks.
    state: ArcSwap<State>,
    /// Its configuration's entity tag: formatted once per generation.
    etag: ArcSwap<Bytes>,
    /// Receives each slot in order, under the view's lock.
    pending: Arc<Pending>,
    /// Bytes of batches being committed here, so that they need not be read back.
    own: Mutex<HashMap<Token, Bytes>>,
    metrics: Arc<LogMetrics>,
    halt: Arc<Halt>,
}

impl Order {
    /// An order that starts from a view that was read before.
    pub fn new(
        keys: Keys,
        stores: (Arc<dyn Coordination>, Arc<dyn Objects>),
        view: View,
        pending: Arc<Pending>,
        metrics: Arc<LogMetrics>,
        halt: Arc<Halt>,
    ) -> Self {
        let state = ArcSwap::from_pointee(view.state.clone());
        let tag = etag(view.state.generation, &view.state.document);
        let etag = ArcSwap::from_pointee(Bytes::from(tag));
        let (store, objects) = stores;
        Self {
            keys,
            store,
            objects,
            view: Mutex::new(view),
            state,
            etag,
            pending,
            own: Mutex::default(),
            metrics,
            halt,
        }
    }

    /// The state after all slots known here.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The entity tag of the state's configuration.
    pub fn etag(&self) -> Bytes {
        Bytes::clone(&self.etag.load())
    }

    pub(super) fn store(&self) -> &dyn Coordination {
        &*self.store
    }

    pub(super) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    /// Looks into the view; `question` must be quick.
    pub(super) fn look<T>(&self, question: impl FnOnce(&View) -> T) -> T {
        question(&self.view())
    }

    /// Proposes what is in the bag, and nothing else.
    pub(super) async fn propose_bag(&self) -> Outcome {
        let len = self.state().len;
        self.decide(&[], false, true, len).await
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        // A panic under this lock can only come from a bug in the pure functions; the view it left is still a whole one.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next slot into the view; one that is there already is passed over.
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
        let bytes = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            slot.batches.iter().map(|b| own.remove(&b.token)).collect()
        };
        if matches!(&slot.control, Some(d) if matches!(d.control, Control::Reconfigure { .. })) {
            let tag = etag(state.generation, &state.document);
            self.etag.store(Arc::new(Bytes::from(tag)));
        }
        self.pending.push(Ordered {
            slot,
            state: Arc::clone(&state),
            bytes,
        });
        self.metrics.ordered.set(state.size);
        self.state.store(state);
        true
    }

    /// Reads the slots that others decided. Answers how many were new.
    pub async fn refresh(&self) -> Result<u64, StoreError> {
        let before = self.state().len;
        loop {
            let len = self.state().len;
            let page = self
                .store
                .scan(&self.keys.slots(), &self.keys.slot(len), PAGE)
                .await?;
            let full = page.len() == PAGE;
            for (key, bytes) in page {
                let slot: Slot = match record::decode(&bytes) {
                    Ok(slot) => slot,
                    Err(e) => {
                        self.halt.halt(format!("{key}: {e}; run `logd fsck`"));
                        return Err(StoreError::Corrupt(format!("{key}: {e}")));
                    }
                };
                if trailing_number(&key) != Some(slot.number)
                    || !self.advance(slot, record::digest(&bytes))
                {
                    return self.fell_behind().await.map(|()| 0);
                }
            }
            if !full {
                return Ok(self.state().len - before);
            }
        }
    }

    /// A gap in the slots: either they were collected while this process was paused, or the store is damaged.
    async fn fell_behind(&self) -> Result<(), StoreError> {
        let floor = self.floor().await?;
        if floor > self.state().len {
            self.halt.halt(format!(
                "this process was paused while slots below {floor} were collected; restart it (nothing is lost)"
            ));
        } else if !self.halt.is_halted() {
            self.halt.halt(format!(
                "slot {} is missing; run `logd fsck`",
                self.state().len
            ));
        }
        Err(StoreError::Corrupt("the slots are not contiguous".into()))
    }

    pub(super) async fn floor(&self) -> Result<u64, StoreError> {
        let row = self.store.get(&self.keys.floor()).await?;
        row.map_or(Ok(0), |r| {
            record::decode_number(&r).map_err(|e| StoreError::Corrupt(e.to_string()))
        })
    }

    /// Live announcements, oldest first. Scanned after the view was read up to the next slot.
    async fn bag(&self, next: u64) -> Result<Vec<(String, Announcement)>, StoreError> {
        let from = self.keys.bag_from(next.saturating_sub(WINDOW));
        let rows = self.store.scan(&self.keys.bag(), &from, BAG).await?;
        let mut bag = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let seen = key.rsplit('/').nth(1).and_then(|n| n.parse().ok());
            match (seen, record::decode(&bytes)) {
                (Some(seen), Ok(work)) => bag.push((key, Announcement { seen, work })),
                _ => tracing::warn!(
                    key,
                    "an announcement is not understood; its author will time out"
                ),
            }
        }
        Ok(bag)
    }

    /// Commits works together: batches in their order and at most one control. Answers for each, in the same order.
    pub async fn commit(&self, mine: Vec<Mine>) -> Vec<Result<Placed, CommitError>> {
        {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.extend(
                mine.iter()
                    .filter(|m| !m.bytes.is_empty())
                    .map(|m| (m.work.token(), m.bytes.clone())),
            );
        }
        let answers = self.run(&mine).await;
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        mine.iter().for_each(|m| drop(own.remove(&m.work.token())));
        answers
    }

    async fn run(&self, mine: &[Mine]) -> Vec<Result<Placed, CommitError>> {
        let mut answers: Vec<Option<Result<Placed, CommitError>>> = vec![None; mine.len()];
        if let Err(e) = self.put_objects(mine).await {
            return mine
                .iter()
                .map(|_| Err(CommitError::Store(e.clone())))
                .collect();
        }
        let first = self.state().len;
        let began = Instant::now();
        let (mut seen, mut rounds, mut announced_at) = (first, 0, None);
        let (mut doubt, mut fresh, mut lost) = (false, false, false);
        // What was decided below this has been looked into, by this call or by whoever gave a work its birth.
        let mut looked = None;
        loop {
            let len = {
                let view = self.view();
                for (answer, m) in answers.iter_mut().zip(mine).filter(|(a, _)| a.is_none()) {
                    let since = looked.or(m.birth).unwrap_or(first);
                    *answer = settle(&view, m, first, since);
                }
                view.state.len
            };
            looked = Some(len);
            // Nobody is refused for what another replica has changed since.
            let refused =
                |a: &Option<Result<_, CommitError>>| matches!(a, Some(Err(e)) if e.is_refusal());
            if !fresh && answers.iter().any(refused) {
                match self.refresh().await {
                    Ok(_) => fresh = true,
                    Err(e) => self.note("read", &Outcome::Failed(e)).await,
                }
                answers
                    .iter_mut()
                    .filter(|a| refused(a))
                    .for_each(|a| *a = None);
                // What may be refused is neither proposed nor announced before that is known.
                if fresh || !(self.halt.is_halted() || began.elapsed() > PATIENCE) {
                    continue;
                }
            }
            let open: Vec<&Mine> = answers
                .iter()
                .zip(mine)
                .filter(|(a, _)| a.is_none())
                .map(|(_, m)| m)
                .collect();
            if open.is_empty() {
                self.metrics.rounds(rounds);
                break;
            }
            if self.halt.is_halted() || began.elapsed() > PATIENCE {
                let why = self
                    .halt
                    .reason()
                    .unwrap_or_else(|| "the store does not answer".into());
                answers
                    .iter_mut()
                    .filter(|a| a.is_none())
                    .for_each(|a| *a = Some(Err(CommitError::Unknown(why.clone()))));
                break;
            }
            if !covers(len, seen) {
                seen = len; // The announcement is dead for everybody: announce anew.
            }
            if lost && announced_at != Some(seen) {
                doubt = true;
                match self.announce(seen, &open).await {
                    Outcome::Committed => announced_at = Some(seen),
                    other => self.note("announce", &other).await,
                }
            }
            rounds += 1;
            match self
                .decide(&open, announced_at.is_some(), rounds > 1, len)
                .await
            {
                Outcome::Committed => {}
                Outcome::Failed(e) if !doubt => {
                    answers
                        .iter_mut()
                        .filter(|a| a.is_none())
                        .for_each(|a| *a = Some(Err(CommitError::Store(e.clone()))));
                    break;
                }
                other => {
                    doubt |= matches!(other, Outcome::Unknown(_));
                    self.note("decide", &other).await;
                    // Refused with no new slot: only the bag was not empty, and the next proposal looks into it.
                    match self.refresh().await {
                        Ok(new) => lost |= new > 0 || doubt,
                        Err(e) => tracing::warn!(error = %e, "cannot read the slots"),
                    }
                }
            }
        }
        answers
            .into_iter()
            .map(|a| a.unwrap_or_else(|| Err(CommitError::Unknown("not decided".into()))))
            .collect()
    }

    /// Batches over the store's value limit become objects, durable before they are announced.
    async fn put_objects(&self, mine: &[Mine]) -> Result<(), StoreError> {
        let large: Vec<_> = mine
            .iter()
            .filter_map(|m| match m.work.batch() {
                Some(b) if b.object => Some((self.keys.batch(b.token), m.bytes.clone())),
                _ => None,
            })
            .collect();
        if large.is_empty() {
            Ok(())
        } else {
            self.objects.put(large).await
        }
    }

    fn inline(&self, mine: &[&Mine]) -> Vec<(String, Bytes)> {
        mine.iter()
            .filter_map(|m| match m.work.batch() {
                Some(b) if !b.object => Some((self.keys.batch(b.token), m.bytes.clone())),
                _ => None,
            })
            .collect()
    }

    /// Puts the works into the bag, each batch's bytes in the same transaction.
    async fn announce(&self, seen: u64, open: &[&Mine]) -> Outcome {
        let mut puts = self.inline(open);
        puts.extend(open.iter().map(|m| {
            (
                self.keys.announcement(seen, m.work.token()),
                record::encode(&m.work),
            )
        }));
        self.store
            .transact(Transaction {
                puts,
                ..Transaction::default()
            })
            .await
    }

    /// Proposes the next slot. The fast path does not read the bag but demands that it is empty. `looked`: the slots below it
    /// were looked into for `open`.
    async fn decide(&self, open: &[&Mine], announced: bool, look: bool, looked: u64) -> Outcome {
        let next = self.state().len;
        if !covers(next, looked) {
            return Outcome::Refused; // The caller looks, and says so.
        }
        let bag = match if look {
            self.bag(next).await
        } else {
            Ok(Vec::new())
        } {
            Ok(bag) => bag,
            Err(e) => return Outcome::Failed(e),
        };
        let works: Vec<Work> = open.iter().map(|m| m.work.clone()).collect();
        let slot = {
            let view = self.view();
            if view.state.len != next {
                return Outcome::Refused;
            }
            let announcements: Vec<Announcement> = bag.iter().map(|(_, a)| a.clone()).collect();
            propose(&view, &announcements, &works, now_ms())
        };
        let Some(slot) = slot else {
            return Outcome::Refused;
        };
        let bytes = record::encode(&slot);
        let digest = record::digest(&bytes);
        let mut transaction = Transaction {
            guards: vec![
                Guard::Absent(self.keys.slot(next)),
                Guard::AtMost(self.keys.floor(), next),
            ],
            puts: if announced {
                Vec::new()
            } else {
                self.inline(open)
            },
            deletes: Vec::new(),
        };
        for (key, announced) in bag {
            if slot.tokens().any(|t| t == announced.work.token()) {
                transaction.deletes.push(key);
                // A late copy of the row, from a put whose author could not learn its outcome.
                if let Work::Promised(promised) = &announced.work {
                    transaction.deletes.push(self.keys.queued(promised));
                }
            }
        }
        for (index, batch) in slot.placed() {
            if let Some(place) = &batch.place {
                let row = PlacedRow {
                    slot: next,
                    index,
                    entries: batch.entries,
                    time: slot.time,
                    digest: batch.digest,
                };
                let key = self.keys.placed(place, batch.token);
                transaction.puts.push((key, record::encode(&row)));
            }
        }
        if !look {
            let from = self.keys.bag_from(next.saturating_sub(WINDOW));
            transaction
                .guards
                .push(Guard::NoneFrom(self.keys.bag(), from));
        }
        if let Some(decision) = &slot.control {
            transaction
                .puts
                .push((self.keys.history_item(next), bytes.clone()));
            transaction.puts.push((
                self.keys.operation(decision.operation),
                record::encode_number(next),
            ));
            match &decision.control {
                Control::Reconfigure { base, .. } => {
                    let key = self.keys.generation(base + 1);
                    transaction.puts.push((key, record::encode_number(next)));
                }
                Control::Closing | Control::Freeze => {
                    let key = self.keys.closing();
                    transaction.puts.push((key, record::encode_number(next)));
                }
                Control::Unfreeze => transaction.deletes.push(self.keys.closing()),
                Control::Delete | Control::Undelete => {}
            }
        }
        transaction.puts.push((self.keys.slot(next), bytes));
        let outcome = self.store.transact(transaction).await;
        if matches!(outcome, Outcome::Committed) {
            self.advance(slot, digest);
        }
        outcome
    }

    async fn note(&self, step: &'static str, outcome: &Outcome) {
        if let Outcome::Unknown(e) | Outcome::Failed(e) = outcome {
            self.metrics.failure(step, e);
            tracing::warn!(step, error = %e, "the coordination store failed; finding out by reading");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
