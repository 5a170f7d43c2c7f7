//! The work of one commit: batches of one tier each, made from the work that the queue releases, and at most one control.
//!
//! Single entries are copied once, into their batch. A large chunk is a batch as it is: no copy, nothing per entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::in_flight::ArrivalGroup;
use crate::ledger::{CommitError, Ledger, Placed, Proposal};
use order::location::Location;
use order::slot::{BatchRef, Decision};
use order::work::Work;
use order::{SlotNumber, batch};
use qos::{Job, QueueTime, TierId};
use store::record;

/// Bytes of one batch that pieces of a backlog share.
const BATCH: usize = 256 << 10;

pub(crate) type Reply = oneshot::Sender<Result<Appended, AppendError>>;
pub(crate) type ControlReply = oneshot::Sender<Result<Placed, CommitError>>;

/// Memory of a waiting item beside its bytes: its place in the scheduler, the channel of its answer, its buffer.
const WAITING: usize = size_of::<Job<Item>>() + 256;

/// Memory of work that is under way: it was taken from the queue, and its writers have no answer yet. Admission counts it until this is
/// dropped; from its slot on, the unpublished entries count it.
#[derive(Debug)]
pub(crate) struct UnderWay {
    all: Arc<AtomicUsize>,
    memory: usize,
}

impl UnderWay {
    /// Adds so many bytes to those that are under way.
    pub(crate) fn begin(all: &Arc<AtomicUsize>, memory: usize) -> Self {
        all.fetch_add(memory, Relaxed);
        Self {
            all: Arc::clone(all),
            memory,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.fetch_sub(self.memory, Relaxed);
    }
}

/// An item that waits in the queue.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) tier: TierId,
    /// Only while this shard is the active one.
    pub(crate) shard: Option<Arc<str>>,
    pub(crate) payload: Payload,
    pub(crate) reply: Reply,
    /// Set when the work leaves the queue.
    pub(crate) under_way: Option<UnderWay>,
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
    fn location(&self) -> Option<(Location, SlotNumber)> {
        match self {
            Self::Entry(_) => None,
            Self::Chunk { upload, .. } => *upload,
            Self::Placed { at, .. } => Some(*at),
        }
    }

    /// Whether its batch is to have a place.
    pub(crate) fn has_location(&self) -> bool {
        self.location().is_some()
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
    pub(crate) group: ArrivalGroup,
    pub(crate) reply: Reply,
    /// Held until the answer.
    pub(crate) _under_way: Option<UnderWay>,
}

/// The writers of a batch, in its order.
pub(crate) struct BatchWriters {
    pub(crate) tier: TierId,
    pub(crate) bytes: u64,
    /// When they left the queue.
    pub(crate) released: QueueTime,
    pub(crate) writers: Vec<Writer>,
}

/// The work that one commit takes from the queue.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) proposals: Vec<Proposal>,
    /// The writers of each batch in `proposals`, in the same order.
    pub(crate) batches: Vec<BatchWriters>,
    pub(crate) control: Option<ControlReply>,
}

impl Commit {
    /// Makes batches of the work that was taken from the queue; those of a backlog are large.
    pub(crate) fn of(
        ledger: &Ledger,
        jobs: Vec<Job<Item>>,
        released: QueueTime,
        backlog: bool,
        control: Option<(Decision, ControlReply)>,
    ) -> Self {
        let inline = ledger.store.value_limit();
        let shared = if backlog { BATCH.max(inline) } else { inline };
        let limits = BatchLimits { inline, shared };
        let mut builder = CommitBuilder::new(ledger, limits, released);
        let mut more: u64 = jobs.iter().map(|j| j.bytes).sum();
        for job in jobs {
            more -= job.bytes;
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            builder.push(job.payload, job.arrived, job.deadline, more);
        }
        builder.finish(control)
    }

    /// Whether some of its batches are objects of their own.
    pub(crate) fn has_objects(&self) -> bool {
        self.proposals.iter().any(Proposal::is_object)
    }

    /// Adds another commit behind this one, which has no control.
    pub(crate) fn append(&mut self, mut behind: Self) {
        debug_assert!(self.control.is_none(), "a control is last");
        self.proposals.append(&mut behind.proposals);
        self.batches.append(&mut behind.batches);
        self.control = behind.control;
    }
}

/// A batch that is being filled.
struct Open {
    tier: TierId,
    shard: Option<Arc<str>>,
    bytes: BytesMut,
    entries: u64,
    writers: Vec<Writer>,
}

/// Bytes of one batch.
#[derive(Clone, Copy)]
struct BatchLimits {
    /// The most that the coordination store takes; a larger batch is an object.
    inline: usize,
    /// The most that several items share.
    shared: usize,
}

struct CommitBuilder<'a> {
    ledger: &'a Ledger,
    limits: BatchLimits,
    released: QueueTime,
    open: Vec<Open>,
    commit: Commit,
}

impl<'a> CommitBuilder<'a> {
    fn new(ledger: &'a Ledger, limits: BatchLimits, released: QueueTime) -> Self {
        Self {
            ledger,
            limits,
            released,
            open: Vec::new(),
            commit: Commit::default(),
        }
    }

    /// Takes an item; `more` is about how many bytes will follow it.
    pub(crate) fn push(
        &mut self,
        item: Item,
        arrived: QueueTime,
        deadline: Option<QueueTime>,
        more: usize,
    ) {
        let (length, entries) = (item.bytes(), item.entries());
        let writer = Writer {
            group: ArrivalGroup {
                entries,
                arrived,
                deadline,
            },
            reply: item.reply,
            _under_way: item.under_way,
        };
        let same = |o: &Open| o.tier == item.tier && o.shard == item.shard;
        let mut at = self.open.iter().position(same);
        let location = item.payload.location();
        let large =
            matches!(&item.payload, Payload::Chunk { .. }) && 2 * length > self.limits.shared;
        let alone = location.is_some() || large;
        if let Some(full) = at
            && (alone || self.open[full].bytes.len() + length > self.limits.shared)
        {
            let open = self.open.remove(full);
            self.close(open);
            at = None;
        }
        match item.payload {
            Payload::Chunk { bytes, .. } | Payload::Placed { bytes, .. } if alone => {
                self.add(item.tier, item.shard, bytes, entries, vec![writer]);
                if let (Some((location, first_slot)), Some(mine)) =
                    (location, self.commit.proposals.last_mut())
                    && let Work::Batch(batch) = &mut mine.work
                {
                    batch.location = Some(location);
                    mine.first_slot = Some(first_slot);
                }
            }
            payload => {
                let at = at.unwrap_or_else(|| {
                    self.open.push(Open {
                        tier: item.tier,
                        shard: item.shard,
                        bytes: BytesMut::with_capacity(
                            length.max(self.limits.shared.min(length + more)),
                        ),
                        entries: 0,
                        writers: Vec::new(),
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
                open.writers.push(writer);
            }
        }
    }

    fn close(&mut self, open: Open) {
        self.add(
            open.tier,
            open.shard,
            open.bytes.freeze(),
            open.entries,
            open.writers,
        );
    }

    fn add(
        &mut self,
        tier: TierId,
        shard: Option<Arc<str>>,
        bytes: Bytes,
        entries: u64,
        writers: Vec<Writer>,
    ) {
        let length = bytes.len() as u64;
        let batch = BatchRef {
            token: self.ledger.token(),
            entries,
            digest: record::digest(&bytes),
            object: bytes.len() > self.limits.inline,
            shard: shard.as_deref().map(str::to_owned),
            location: None,
        };
        self.commit
            .proposals
            .push(Proposal::fresh(Work::Batch(batch), bytes));
        self.commit.batches.push(BatchWriters {
            tier,
            bytes: length,
            released: self.released,
            writers,
        });
    }

    /// The whole commit, with the control last.
    pub(crate) fn finish(mut self, control: Option<(Decision, ControlReply)>) -> Commit {
        for open in std::mem::take(&mut self.open) {
            self.close(open);
        }
        if let Some((decision, reply)) = control {
            self.commit.control = Some(reply);
            self.commit
                .proposals
                .push(Proposal::fresh(Work::Control(decision), Bytes::new()));
        }
        self.commit
    }
}
