//! A committer's program: its next step, given the store's answers so far. Pure: the engine's `ledger` runs it over a store,
//! the model checker over every possible store.
//!
//! What must never happen: a wrong answer. A refusal by the state is final only after the slots were read in this
//! call; a refusal by the store only while no earlier write of this committer can still land.

use crate::SlotNumber;
use crate::answer::{CommitError, Placed, settle};
use crate::mutant::{Mutant, left_out};
use crate::proposal::Proposal;
use crate::propose::alive;
use crate::view::View;
use crate::work::Announcement;
use store::{Outcome, StoreError};

/// The answer to a committer about a work.
pub type CommitAnswer = Result<Placed, CommitError>;

/// The next step of a committer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the slots, then [`Attempt::read`].
    Read,
    /// Put the open works into the bag under this slot number, then [`Attempt::announced`].
    Announce(SlotNumber),
    /// Propose the next slot, then [`Attempt::decided`].
    Decide {
        /// Scan the bag before; else demand that it is empty.
        look: bool,
        /// Whether the transaction carries the batches' bytes, because they are not stored yet.
        bytes: bool,
    },
    /// All works have answers.
    Done,
}

/// One commit under way.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The first undecided slot when it began.
    pub(crate) first: SlotNumber,
    /// The number that its announcements are made under.
    pub(crate) seen: SlotNumber,
    /// The slot number under which its works are in the bag.
    pub(crate) announced_at: Option<SlotNumber>,
    /// How many slots it has proposed so far.
    pub(crate) rounds: u32,
    /// Whether an earlier write of this attempt may be in the store, or land there later.
    pub(crate) doubt: bool,
    /// The slots were read in this call.
    pub(crate) fresh: bool,
    /// A proposal was lost, or is likely to be: it announces its works, and other committers carry them.
    pub(crate) must_announce: bool,
    /// Others may have decided slots, which must be read.
    pub(crate) behind: bool,
    /// The slots below this number have been read, by this call or by the caller that set a work's `first_slot`.
    pub(crate) scanned_to: Option<SlotNumber>,
    /// The answer to each work, once it is known.
    pub(crate) answers: Vec<Option<CommitAnswer>>,
}

impl Attempt {
    /// Begins the commit of this many works, on a view of `len` slots. `contended`: contention is likely, so it announces at once instead of
    /// losing a proposal first.
    pub fn new(len: SlotNumber, works: usize, contended: bool) -> Self {
        Self {
            first: len,
            seen: len,
            announced_at: None,
            rounds: 0,
            doubt: false,
            fresh: false,
            must_announce: contended,
            behind: false,
            scanned_to: None,
            answers: vec![None; works],
        }
    }

    /// Looks for answers, and returns the next step. `mine` is the same in every call.
    pub fn next(&mut self, view: &View, mine: &[Proposal]) -> Step {
        if self.behind {
            return Step::Read;
        }
        for (answer, m) in self.answers.iter_mut().zip(mine) {
            if answer.is_none() {
                let since = self.scanned_to.or(m.first_slot).unwrap_or(self.first);
                *answer = settle(view, m, self.first, since);
                // An announcement in the bag is waited for. Before that, all our writes are already refused, unless they landed earlier.
                if answer.is_none() && self.announced_at.is_none() && m.is_left(view) {
                    *answer = Some(Err(match self.doubt {
                        false => CommitError::Overtaken,
                        true => CommitError::Unknown("its storage nodes were taken out".into()),
                    }));
                }
            }
        }
        let len = view.state.len;
        self.scanned_to = Some(len);
        // No work is refused because of an old view: another replica may have changed the state since.
        let refused = |a: &Option<CommitAnswer>| matches!(a, Some(Err(e)) if e.may_change());
        if !self.fresh && self.answers.iter().any(refused) {
            self.answers
                .iter_mut()
                .filter(|a| refused(a))
                .for_each(|a| *a = None);
            return Step::Read;
        }
        if self.open(mine).next().is_none() {
            return Step::Done;
        }
        let dead = |m: &Proposal| {
            !alive(
                view,
                &Announcement {
                    seen: self.seen,
                    work: m.work.clone(),
                },
            )
        };
        if self.seen < len && self.open(mine).any(dead) {
            // The announcement has ended, for every committer. Only a control gets here, and is announced again.
            self.seen = len;
        }
        if self.must_announce && self.announced_at != Some(self.seen) {
            return Step::Announce(self.seen);
        }
        self.decide()
    }

    fn decide(&mut self) -> Step {
        self.rounds += 1;
        Step::Decide {
            look: self.rounds > 1 || self.must_announce,
            bytes: self.announced_at.is_none(),
        }
    }

    /// The slots were read, `new` of them.
    pub fn read(&mut self, new: u64) {
        self.fresh = true;
        // Refused with no new slot: only the bag was not empty, and the next proposal reads it.
        self.must_announce |= self.behind && (new > 0 || self.doubt);
        self.behind = false;
    }

    /// Takes the outcome of the announcement; returns the next step.
    pub fn announced(&mut self, outcome: &Outcome) -> Step {
        // A refused write never lands.
        self.doubt |= !matches!(outcome, Outcome::Refused);
        if !matches!(outcome, Outcome::Committed) {
            return self.decide();
        }
        self.announced_at = Some(self.seen);
        // Another committer may already have carried it. If not, the slot that is proposed next, or the one after it, has it.
        self.behind = true;
        Step::Read
    }

    /// Takes the outcome of the proposal.
    pub fn decided(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Committed => {}
            Outcome::Failed(e) if !self.doubt || left_out(Mutant::DoubtIsForgotten) => {
                self.answer(&CommitError::Store(e.clone()));
            }
            Outcome::Unknown(e) if left_out(Mutant::TimeoutIsARefusal) => {
                self.answer(&CommitError::Store(e.clone()));
            }
            other => {
                self.doubt |= matches!(other, Outcome::Unknown(_));
                self.behind = true;
            }
        }
    }

    /// Ends it because the log is halted. What was never written is refused; the rest may or may not have been ordered.
    pub fn halted(&mut self, why: &str) {
        match self.doubt {
            true => self.give_up(why),
            false => self.answer(&CommitError::Store(StoreError::Io(why.to_owned()))),
        }
    }

    /// Ends it: what has no answer yet may or may not have been ordered.
    pub fn give_up(&mut self, why: &str) {
        self.answer(&CommitError::Unknown(why.to_owned()));
    }

    fn answer(&mut self, error: &CommitError) {
        let open = self.answers.iter_mut().filter(|a| a.is_none());
        open.for_each(|a| *a = Some(Err(error.clone())));
    }

    /// The works that have no answer yet.
    pub fn open<'a>(&'a self, mine: &'a [Proposal]) -> impl Iterator<Item = &'a Proposal> {
        let open = self.answers.iter().zip(mine);
        open.filter(|(a, _)| a.is_none()).map(|(_, m)| m)
    }

    /// The slots below this number were read for the open works.
    pub fn scanned_to(&self) -> SlotNumber {
        self.scanned_to.unwrap_or(self.first)
    }

    /// Whether others committed at the same time.
    pub fn was_contended(&self) -> bool {
        let shared = |a: &Option<CommitAnswer>| {
            let own = self.answers.len();
            matches!(a, Some(Ok(placed)) if placed.slot.tokens().nth(own).is_some())
        };
        self.rounds > 1 || self.answers.iter().any(shared)
    }

    /// How many slots it has proposed so far.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// One answer for each work, in their order.
    pub fn answers(&self) -> impl Iterator<Item = CommitAnswer> {
        let missing = || Err(CommitError::Unknown("not decided".into()));
        self.answers
            .iter()
            .map(move |a| a.clone().unwrap_or_else(missing))
    }
}
