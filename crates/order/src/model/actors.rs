//! The programs and their positions. A step is one operation on the store and what follows from its answer.

use crate::SlotNumber;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::answer::CommitError;
use crate::attempt::{Attempt, CommitAnswer, Step};
use crate::proposal::Proposal;
use crate::work::{Announcement, Promised};
use store::{Key, Transaction};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Actor {
    Committer(Committer),
    Promiser(Promiser),
    Releaser(Releaser),
    Collector(Collector),
    /// Ended: stopped for good, or with nothing left to do.
    Gone,
}

/// An item that a committer is to commit. Numbers name tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Batch(u8),
    /// A batch for the shard of this name only.
    BatchFor(u8, &'static str),
    /// A batch as the part of the upload that has this offset.
    Part(u8, u64),
    /// Plans and opens the shard of this name, on the generation as its author knows it.
    Rotate(u8, &'static str),
    Closing(u8),
    Freeze(u8),
    Unfreeze(u8),
    Delete(u8),
    Undelete(u8),
}

/// Commits its items one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Committer {
    /// Slots it has read.
    pub(super) len: SlotNumber,
    pub(super) items: Arc<[Item]>,
    pub(super) next: usize,
    pub(super) work: Option<Working>,
    /// It announces before it proposes.
    pub(super) contended: bool,
    /// It knows of a freeze that is a flag.
    pub(super) flagged: bool,
}

impl Committer {
    /// Before its next item it checks whether the item is ordered: a part of an upload may have been sent before.
    pub(super) fn asks_first(&self) -> bool {
        self.work.is_none() && matches!(self.items.get(self.next), Some(Item::Part(..)))
    }

    /// The actor at this state; gone if nothing is left to do.
    pub(super) fn goes_on(self) -> Actor {
        match self.work.is_none() && self.next == self.items.len() {
            true => Actor::Gone,
            false => Actor::Committer(self),
        }
    }
}

/// A commit under way.
#[derive(Clone, Debug)]
pub(super) struct Working {
    pub(super) mine: Arc<Vec<Proposal>>,
    pub(super) attempt: Attempt,
    pub(super) step: Step,
    /// The scanned bag, if the step is a proposal that reads it.
    pub(super) bag: Option<Bag>,
    /// After a scan before the read: whether the slots were read, too.
    pub(super) read: bool,
}

/// A scanned bag; its keys distinguish it from another.
#[derive(Clone, Debug)]
pub(super) struct Bag(pub(super) Arc<Vec<(Key, Announcement)>>);

impl Bag {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|(key, _)| key)
    }
}

impl PartialEq for Bag {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys())
    }
}

impl Eq for Bag {}

impl Hash for Bag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys().for_each(|key| key.hash(state));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promiser {
    pub(super) len: SlotNumber,
    pub(super) token: u8,
    pub(super) doubt: bool,
    /// Refused: it reads why.
    pub(super) refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Releaser {
    pub(super) len: SlotNumber,
    pub(super) at: Releasing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Releasing {
    /// Looks into the bag next.
    Idle,
    /// Rows that are in the wrong place, last first; of the last it is known whether its place is there.
    Settle(Vec<Row>, Option<bool>, After),
    /// Looks into the queue.
    Choose,
    /// Reads the slots, then moves these.
    Refresh(Vec<Promise>),
    Release(Vec<Promise>),
    /// After a queue row that goes first: the announcement is left to do.
    Announce(Vec<Promise>),
    /// Reads the slots, looks into the bag, proposes.
    Help,
    Scan,
    Decide(Bag),
}

/// The state after the settling of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum After {
    Choose,
    Help,
}

/// Promised work, which is the same whenever its token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promise(pub(super) Promised);

impl Hash for Promise {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.batch.token, self.0.first_slot).hash(state);
    }
}

/// A row of promised work under its key.
pub(super) type Row = (Key, Promise);

/// Raises the floor and deletes what is below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Collector {
    pub(super) len: SlotNumber,
    pub(super) at: Collecting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Collecting {
    /// Reads the slots next.
    Idle,
    Floor,
    Raise(SlotNumber),
    /// Looks into the bag below the floor.
    Bag(SlotNumber),
    /// Deletes these; then settles the rows of promised work.
    Sweep(SlotNumber, Vec<Key>, Vec<Row>),
    Settle(SlotNumber, Vec<Row>, Option<bool>),
    Slots(SlotNumber),
}

/// A write, and for the checks, what it decides.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) transaction: Transaction,
    /// A slot, with the `seen` of those works that come from the bag.
    pub(super) slot: Option<Proposed>,
    /// The flag of a freeze that is one.
    pub(super) flag: bool,
}

/// A write that may land yet.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) write: Arc<Write>,
    /// Names it among all writes.
    pub(super) digest: [u8; 32],
}

impl Held {
    pub(super) fn new(write: Write) -> Self {
        let text = format!("{:?} {}", write.transaction, write.flag);
        Self {
            write: Arc::new(write),
            digest: store::record::digest(text.as_bytes()).0,
        }
    }
}

/// The facts about a proposal that the checks need.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) slot: Arc<crate::slot::Slot>,
    pub(super) digest: tlog::Hash,
    pub(super) seen: Vec<(crate::token::Token, SlotNumber)>,
}

impl Write {
    pub(super) fn new(transaction: Transaction, slot: Option<Proposed>) -> Self {
        Self {
            transaction,
            slot,
            flag: false,
        }
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Working {
    /// Everything that distinguishes two committers; of the proposals made, the number up to two.
    fn key(&self) -> impl Hash + PartialEq + use<> {
        let a = &self.attempt;
        let step = match self.step {
            Step::Read => (0, 0),
            Step::Announce(seen) => (1, seen.get()),
            Step::Decide { look, bytes } => (2, u64::from(look) * 2 + u64::from(bytes)),
            Step::Done => (3, 0),
        };
        let answers: Vec<_> = a.answers.iter().map(|x| x.as_ref().map(code)).collect();
        (
            (
                a.first,
                a.seen,
                a.announced_at,
                a.rounds.min(2),
                a.scanned_to,
            ),
            (a.doubt, a.fresh, a.must_announce, a.behind, self.read),
            (step, self.bag.clone(), answers),
            self.mine.iter().map(|m| m.work.token()).collect::<Vec<_>>(),
        )
    }
}

/// A short code for an answer.
fn code(answer: &CommitAnswer) -> (u8, u64) {
    match answer {
        Ok(placed) => (0, placed.start.get()),
        Err(CommitError::Unknown(_)) => (1, 0),
        Err(CommitError::AskAgain) => (2, 0),
        Err(CommitError::Store(_)) => (3, 0),
        Err(_) => (4, 0),
    }
}

impl PartialEq for Working {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Working {}

impl Hash for Working {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The bytes of the batch of a number: an entry that says it.
pub(super) fn bytes(number: u8) -> Bytes {
    let mut bytes = Vec::new();
    tlog::bundle::push(&mut bytes, &[number]);
    Bytes::from(bytes)
}
