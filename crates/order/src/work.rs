//! Work that is not decided yet: promised in the queue, or announced in the bag, where other committers find it.

use serde::{Deserialize, Serialize};
use tlog::UnixMillis;

use crate::SlotNumber;
use crate::slot::{BatchRef, Decision};
use crate::token::Token;

/// Work that was promised (202): a batch with the data to put it back into the queue. The row in the queue and the announcement in the bag
/// are the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promised {
    /// The batch, durable since it was promised; its place is [`Location::Promise`](crate::location::Location::Promise).
    pub batch: BatchRef,
    /// The tier it waits in, by name: a tier may go while work waits in it.
    pub tier: String,
    /// The tenant that wrote it.
    pub tenant: String,
    /// Bytes of its entries.
    pub bytes: u64,
    /// When it is to be published.
    pub deadline: UnixMillis,
    /// The first undecided slot when it was promised.
    #[serde(rename = "birth")]
    pub first_slot: SlotNumber,
}

/// A row of the bag: a batch or a control, announced so that other committers can carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    /// A batch, durable already.
    Batch(BatchRef),
    /// A control, as it is to be decided.
    Control(Decision),
    /// A batch that is never refused: a dead announcement goes back to the queue.
    Promised(Promised),
}

impl Work {
    /// The token it is known by.
    pub fn token(&self) -> Token {
        match self {
            Work::Batch(batch) => batch.token,
            Work::Control(decision) => decision.operation,
            Work::Promised(promised) => promised.batch.token,
        }
    }
    /// Its batch, if it has one.
    pub fn batch(&self) -> Option<&BatchRef> {
        match self {
            Work::Batch(batch) => Some(batch),
            Work::Promised(promised) => Some(&promised.batch),
            Work::Control(_) => None,
        }
    }
}

/// Work in the bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The first undecided slot its author saw.
    pub seen: SlotNumber,
    /// The batch or control that is announced.
    pub work: Work,
}
