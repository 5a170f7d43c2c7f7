//! The committer's program over a store: makes a commit's objects durable, and runs the steps of an [`Attempt`] until each of its works
//! has an answer.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{CommitError, Ledger, Placed, Proposal};
use order::SlotNumber;
use order::attempt::{Attempt, Step};
use order::mutant::{Mutant, left_out};
use order::proposal::Stored;
use order::propose::propose;
use order::work::{Announcement, Work};
use order::writes;
use store::{Outcome, StoreError};

/// How long a committer retries while the store fails, before it reports the outcome as unknown.
const COMMIT_RETRY_TIMEOUT: Duration = Duration::from_secs(10);

impl Ledger {
    /// Proposes the work in the bag, and nothing else.
    pub(crate) async fn propose_bag(&self) -> Outcome {
        let len = self.state().len;
        self.decide(&[], false, true, len).await
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

    /// As [`Ledger::commit`], for proposals that [`Ledger::prepare`] has made durable.
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
        let contended = self.contended.load(Relaxed);
        let mut attempt = Attempt::new(self.state().len, mine.len(), contended);
        let mut step = attempt.next(&self.view(), mine);
        while step != Step::Done {
            if let Some(why) = self.halt.reason() {
                attempt.halted(&why);
                return attempt.answers().collect();
            }
            if failing.is_some_and(|since: Instant| since.elapsed() > COMMIT_RETRY_TIMEOUT) {
                attempt.give_up("the store does not answer");
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
                    let outcome = self.decide(&open, bytes, look, attempt.scanned_to()).await;
                    attempt.decided(&outcome);
                    self.note("decide", &outcome, &mut failing).await;
                    attempt.next(&self.view(), mine)
                }
                Step::Done => break,
            };
        }
        self.contended.store(attempt.was_contended(), Relaxed);
        self.metrics.rounds(attempt.rounds());
        if let Some(announced) = announced {
            let time = announced.elapsed().as_secs_f64();
            self.metrics.announced_seconds.observe(time);
        }
        attempt.answers().collect()
    }

    /// Proposes the next slot. The fast path does not read the bag but demands that it is empty. `bytes`: the batches' bytes ride
    /// along. `scanned_to`: the slots below it, and no others, were looked into for `open`.
    async fn decide(
        &self,
        open: &[&Proposal],
        bytes: bool,
        look: bool,
        scanned_to: SlotNumber,
    ) -> Outcome {
        let next = self.state().len;
        if next != scanned_to && !left_out(Mutant::NoSecondLook) {
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
        if matches!(outcome, Outcome::Committed) && !self.advance(slot, digest) {
            // It is in the store, so its works must not be told that nothing was written.
            let invalid = "the slot that was decided is not valid".to_owned();
            return Outcome::Unknown(StoreError::Corrupt(invalid));
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
