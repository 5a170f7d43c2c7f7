//! The work of one commit: batches of one tier each, made from the work that the queue releases, and at most one control.
//!
//! Single entries are copied once, into their batch. A large chunk is a batch as it is: no copy, nothing per entry.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::in_flight::ArrivalGroup;
use crate::ledger::{CommitError, Ledger, Placed, Proposal};
use order::location::Location;
use order::slot::{BatchRef, Decision, Work};
use order::{SlotNumber, batch};
use qos::{Job, TierId};
use store::record;

/// Bytes of one batch that pieces of a backlog share.
const BATCH: usize = 256 << 10;

pub(crate) type Reply = oneshot::Sender<Result<Appended, AppendError>>;
pub(crate) type ControlReply = oneshot::Sender<Result<Placed, CommitError>>;

/// Memory of a waiting item beside its bytes: its place in the scheduler, the channel of its answer, its buffer.
const WAITING: usize = size_of::<Job<Item>>() + 256;

/// An item that waits in the queue.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) tier: TierId,
    /// Only while this shard is the active one.
    pub(crate) shard: Option<Arc<str>>,
    pub(crate) payload: Payload,
    pub(crate) reply: Reply,
}

#[derive(Debug)]
pub(crate) enum Payload {
    /// One entry without its length.
    Entry(Bytes),
    /// A run of entries in bundle encoding.
    Chunk {
        bytes: Bytes,
        entries: u64,
        /// A part's place, and the first slot that may have it.
        upload: Option<(Location, SlotNumber)>,
    },
    /// One entry in bundle encoding that has a place of its own.
    Placed {
        bytes: Bytes,
        /// The place, and the first slot that may have it.
        at: (Location, SlotNumber),
    },
}

impl Payload {
    /// The place that it has to itself, and the first slot that may have it.
    fn place(&self) -> Option<(Location, SlotNumber)> {
        match self {
            Self::Entry(_) => None,
            Self::Chunk { upload, .. } => *upload,
            Self::Placed { at, .. } => Some(*at),
        }
    }

    /// Whether its batch is to have a place.
    pub(crate) fn has_place(&self) -> bool {
        self.place().is_some()
    }
}

impl Item {
    pub(crate) fn entries(&self) -> u64 {
        match &self.payload {
            Payload::Entry(_) | Payload::Placed { .. } => 1,
            Payload::Chunk { entries, .. } => *entries,
        }
    }

    /// Its memory while it waits, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes() + WAITING
    }

    /// Bytes of its batch that it fills.
    pub(crate) fn bytes(&self) -> usize {
        match &self.payload {
            Payload::Entry(entry) => entry.len() + 2,
            Payload::Chunk { bytes, .. } | Payload::Placed { bytes, .. } => bytes.len(),
        }
    }
}

/// A writer to answer, and its part of the batch.
pub(crate) struct Writer {
    pub(crate) run: ArrivalGroup,
    pub(crate) reply: Reply,
}

/// The writers of a batch, in its order.
pub(crate) struct BatchWriters {
    pub(crate) tier: TierId,
    pub(crate) bytes: u64,
    /// When they left the queue, microseconds of its clock.
    pub(crate) released: u64,
    pub(crate) parts: Vec<Writer>,
}

/// The work that one commit takes from the queue.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) mine: Vec<Proposal>,
    /// Of each batch in `mine`, in its order.
    pub(crate) parts: Vec<BatchWriters>,
    pub(crate) control: Option<ControlReply>,
}

impl Commit {
    /// Makes batches of the work that was taken from the queue; those of a backlog are large.
    pub(crate) fn of(
        ledger: &Ledger,
        jobs: Vec<Job<Item>>,
        released: u64,
        backlog: bool,
        control: Option<(Decision, ControlReply)>,
    ) -> Self {
        let limit = ledger.store.value_limit();
        let shared = if backlog { BATCH.max(limit) } else { limit };
        let mut loader = CommitBuilder::new(ledger, (limit, shared), released);
        let mut more: u64 = jobs.iter().map(|j| j.bytes).sum();
        for job in jobs {
            more -= job.bytes;
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            loader.push(job.payload, job.arrived, job.deadline, more);
        }
        loader.finish(control)
    }

    /// Whether some of its batches are objects of their own.
    pub(crate) fn has_objects(&self) -> bool {
        self.mine.iter().any(Proposal::is_object)
    }

    /// Adds another commit behind this one, which has no control.
    pub(crate) fn append(&mut self, mut behind: Self) {
        debug_assert!(self.control.is_none(), "a control is last");
        self.mine.append(&mut behind.mine);
        self.parts.append(&mut behind.parts);
        self.control = behind.control;
    }
}

/// A batch that is being filled.
struct Open {
    tier: TierId,
    shard: Option<Arc<str>>,
    bytes: BytesMut,
    entries: u64,
    parts: Vec<Writer>,
}

pub(crate) struct CommitBuilder<'a> {
    ledger: &'a Ledger,
    /// Bytes of one batch that the coordination store takes, and of one batch that several items share.
    limits: (usize, usize),
    released: u64,
    open: Vec<Open>,
    load: Commit,
}

impl<'a> CommitBuilder<'a> {
    /// `limits`: bytes of one batch that the coordination store takes, and of one batch that several items share.
    pub(crate) fn new(ledger: &'a Ledger, limits: (usize, usize), released: u64) -> Self {
        Self {
            ledger,
            limits,
            released,
            open: Vec::new(),
            load: Commit::default(),
        }
    }

    /// Takes an item; `more` is about how many bytes will follow it.
    pub(crate) fn push(&mut self, item: Item, arrived: u64, deadline: Option<u64>, more: usize) {
        let (length, entries) = (item.bytes(), item.entries());
        let part = Writer {
            run: ArrivalGroup {
                entries,
                arrived,
                deadline,
            },
            reply: item.reply,
        };
        let same = |o: &Open| o.tier == item.tier && o.shard == item.shard;
        let mut at = self.open.iter().position(same);
        let place = item.payload.place();
        let large = matches!(&item.payload, Payload::Chunk { .. }) && 2 * length > self.limits.1;
        let alone = place.is_some() || large;
        if let Some(full) = at
            && (alone || self.open[full].bytes.len() + length > self.limits.1)
        {
            let open = self.open.remove(full);
            self.close(open);
            at = None;
        }
        match item.payload {
            Payload::Chunk { bytes, .. } | Payload::Placed { bytes, .. } if alone => {
                self.add(item.tier, item.shard, bytes, entries, vec![part]);
                if let (Some((place, first_slot)), Some(mine)) = (place, self.load.mine.last_mut())
                    && let Work::Batch(batch) = &mut mine.work
                {
                    batch.place = Some(place);
                    mine.first_slot = Some(first_slot);
                }
            }
            payload => {
                let at = at.unwrap_or_else(|| {
                    self.open.push(Open {
                        tier: item.tier,
                        shard: item.shard,
                        bytes: BytesMut::with_capacity(
                            length.max(self.limits.1.min(length + more)),
                        ),
                        entries: 0,
                        parts: Vec::new(),
                    });
                    self.open.len() - 1
                });
                let open = &mut self.open[at];
                match payload {
                    Payload::Entry(entry) => batch::push(&mut open.bytes, &entry),
                    Payload::Chunk { bytes, .. } | Payload::Placed { bytes, .. } => {
                        open.bytes.extend_from_slice(&bytes);
                    }
                }
                open.entries += entries;
                open.parts.push(part);
            }
        }
    }

    fn close(&mut self, open: Open) {
        self.add(
            open.tier,
            open.shard,
            open.bytes.freeze(),
            open.entries,
            open.parts,
        );
    }

    fn add(
        &mut self,
        tier: TierId,
        shard: Option<Arc<str>>,
        bytes: Bytes,
        entries: u64,
        parts: Vec<Writer>,
    ) {
        let length = bytes.len() as u64;
        let batch = BatchRef {
            token: self.ledger.token(),
            entries,
            digest: record::digest(&bytes),
            object: bytes.len() > self.limits.0,
            shard: shard.as_deref().map(str::to_owned),
            place: None,
        };
        self.load
            .mine
            .push(Proposal::fresh(Work::Batch(batch), bytes));
        self.load.parts.push(BatchWriters {
            tier,
            bytes: length,
            released: self.released,
            parts,
        });
    }

    /// The whole commit, with the control last.
    pub(crate) fn finish(mut self, control: Option<(Decision, ControlReply)>) -> Commit {
        for open in std::mem::take(&mut self.open) {
            self.close(open);
        }
        if let Some((decision, reply)) = control {
            self.load.control = Some(reply);
            self.load
                .mine
                .push(Proposal::fresh(Work::Control(decision), Bytes::new()));
        }
        self.load
    }
}
