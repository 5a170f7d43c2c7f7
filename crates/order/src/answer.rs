//! The answers of a commit: a pure function of the view and of the slots that the committer has read.

use std::sync::Arc;

use tlog::GlobalIndex;

use crate::SlotNumber;
use crate::deletion::STORED;
use crate::mutant::{Mutant, left_out};
use crate::proposal::Proposal;
use crate::propose::too_large;
use crate::slot::{BatchRef, Control, Slot};
use crate::state::{Intake, Refusal};
use crate::view::View;
use crate::work::{Promised, Work};
use store::StoreError;

/// The location of an ordered work.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The slot that ordered it.
    pub slot: Arc<Slot>,
    /// Global index of its first entry (a batch), or at which it took effect (a control).
    pub start: GlobalIndex,
}

/// Why a work was not ordered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The log is frozen; the work will never be ordered.
    #[error("the log is frozen")]
    Frozen,
    /// The batch is for a shard that takes no entries; it will never be ordered, since a shard never opens again.
    #[error("the batch is for another shard than the active one")]
    WrongShard,
    /// Another batch was ordered as this part of the upload, with this many entries; this one will never be.
    #[error("this part of the upload was ordered with other entries ({0} of them)")]
    Taken(u64),
    /// It will never be ordered and may be sent again: since the call, so many slots were decided that its announcement no longer counts,
    /// or the storage nodes with its bytes were taken out.
    #[error("too many slots passed it over; it will never be ordered")]
    Overtaken,
    /// Slots were decided that this commit has not read, so the work is not proposed: its author reads the placed row and
    /// starts again.
    #[error("slots were decided unread; read the place of the work and try again")]
    AskAgain,
    /// The state refuses this control; it never will be decided.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The store refused to write; nothing was written.
    #[error(transparent)]
    Store(StoreError),
    /// It may or may not have been ordered.
    #[error("the outcome could not be learned: {0}")]
    Unknown(String),
}

impl CommitError {
    /// One word, for the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::WrongShard => "wrong_shard",
            Self::Taken(_) => "taken",
            Self::Overtaken => "overtaken",
            Self::AskAgain => "ask_again",
            Self::Refused(_) => "refused",
            Self::Store(_) => "store",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether this answer means that the work will never be ordered.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::AskAgain | Self::Store(_) | Self::Unknown(_))
    }

    /// Whether the work will never be ordered: refused, or never written.
    pub fn is_final(&self) -> bool {
        self.is_refusal() || matches!(self, Self::Store(_))
    }

    /// Whether it follows from the state, so that a later state may say otherwise before anything was written. No later slot takes back
    /// what a slot says, and the filter that shows it forgets.
    pub fn may_change(&self) -> bool {
        let decided = matches!(
            self,
            Self::Taken(_)
                | Self::Overtaken
                | Self::Refused(Refusal::Already(_) | Refusal::KeyReused)
        );
        self.is_refusal() && !decided
    }
}

/// The answer for a work, when the view has one. Its token is looked for first. `first`: the first slot after
/// the call; `scanned_to`: the slots below it were already read.
pub fn settle(
    view: &View,
    mine: &Proposal,
    first: SlotNumber,
    scanned_to: SlotNumber,
) -> Option<Result<Placed, CommitError>> {
    let token = mine.work.token();
    if let Some(slot) = view.find(token) {
        if let (Work::Control(mine), Some(decided)) = (&mine.work, &slot.control)
            && decided.operation == token
            && decided.request != mine.request
            && !left_out(Mutant::RequestIsNotCompared)
        {
            // The same key asked for something else, here or on another replica, and that came first.
            return Some(Err(CommitError::Refused(Refusal::KeyReused)));
        }
        let start = match &mine.work {
            Work::Batch(_) | Work::Promised(_) => start_of(slot, |b| b.token == token),
            Work::Control(d) if matches!(d.control, Control::Freeze) => slot.end(),
            Work::Control(_) => slot.start,
        };
        return Some(Ok(Placed {
            slot: Arc::clone(slot),
            start,
        }));
    }
    if let Some(batch) = mine.work.batch()
        && let Some(part) = batch.part()
        && let Some(slot) = view.find_part(part)
        && let Some(other) = slot.batches.iter().find(|b| b.part() == Some(part))
    {
        // Sent twice: the same entries have one place.
        let same = other.digest == batch.digest || left_out(Mutant::KeyIsNotCompared);
        return Some(if same {
            Ok(Placed {
                slot: Arc::clone(slot),
                start: start_of(slot, |b| b.part() == Some(part)),
            })
        } else {
            Err(CommitError::Taken(other.entries))
        });
    }
    if !view.limits.covers(view.state.len, scanned_to) {
        return Some(Err(CommitError::AskAgain));
    }
    // A batch is announced under one number only, so that every process knows when it no longer counts (`crate::deletion`).
    let late = mine.stored.is_some_and(|at| first > at.slots + STORED);
    if mine.work.batch().is_some() && (late || !view.limits.covers(view.state.len, first)) {
        return Some(Err(CommitError::Overtaken));
    }
    match &mine.work {
        Work::Control(decision) => match too_large(&view.limits, decision) {
            Some(e) => Some(Err(CommitError::Store(e))),
            None => view
                .state
                .check(decision)
                .err()
                .map(|r| Err(CommitError::Refused(r))),
        },
        Work::Batch(batch) | Work::Promised(Promised { batch, .. }) => {
            let frozen = matches!(view.state.intake, Intake::Frozen { .. });
            let froze_since = view.state.last_freeze.is_some_and(|slot| slot >= first);
            if frozen || froze_since {
                return Some(Err(CommitError::Frozen));
            }
            let active = view.state.active().map(|s| &s.identity.name);
            let wrong = batch.shard.is_some() && batch.shard.as_ref() != active;
            let wrong = wrong && !left_out(Mutant::DemandIsIgnored);
            wrong.then_some(Err(CommitError::WrongShard))
        }
    }
}

fn start_of(slot: &Slot, is: impl Fn(&BatchRef) -> bool) -> GlobalIndex {
    let mut placed = slot.placed();
    placed
        .find(|(_, batch)| is(batch))
        .map_or(slot.start, |(at, _)| at)
}
