//! One connection as its watcher sees it: it notes its phase in one atomic, and [`Watch`](crate::Watch) checks all of them once a second.
//! Timers per request would cost more than answering it.
//!
//! A client that reads an answer more slowly than [`PACE`] until it is behind by the idle time is ended as well.
//!
//! A connection is only ever *asked* to end: the order is read by the task that owns the connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::Response;
use tokio::sync::Notify;

use crate::budget::{Bodies, SHORT, Spent};
use crate::limits::{Limits, WhenFull};
use crate::pace::PACE;

/// Answers of up to this many bytes count for no budget on a multiplexed connection, which has many at a time, such as hash tiles and
/// checkpoints.
const SMALL: usize = 8 << 10;
/// Bytes of answers that one multiplexed connection may have under way: two of the longest.
const OUTGOING: usize = 32 << 20;
/// A connection that has read nothing of its long answers for this many seconds is closed if others need the memory.
const STALLED: u32 = 2;
/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests: an answer may still be on its way out.
    Idle,
    /// Connecting, or a request's head is arriving.
    Head,
    /// A request's body is arriving.
    Body,
    /// The server works on the answer: its time is the server's own.
    Working,
    /// Many requests at once (HTTP/2): only the time without one, and without progress of an answer, is watched. Each body has a
    /// timer of its own. Pings are no requests.
    Multiplexed,
    /// A body without a known end is arriving: only its silence is watched.
    Streaming,
    /// An answer without a known end is sent as its parts come: the watch only checks that the client reads them.
    Events,
}

/// The order to the owner of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Continue to serve its requests.
    Serve,
    /// Finish what is in flight, then close.
    Drain,
    /// Close now, whatever is in flight.
    Close,
}

/// One connection, as its watcher sees it.
#[derive(Debug)]
pub struct Watched {
    /// Phase in the upper half, the second it began in the lower: one store, so that they are never read apart.
    phase: AtomicU64,
    /// The second in which bytes last moved.
    moved: AtomicU32,
    /// Bytes wait for the client to take those before them.
    blocked: AtomicBool,
    /// Bytes by which the client is behind the minimum pace in reading its answers, measured at the socket.
    owed: AtomicU64,
    /// The same for the answers in the budget of a multiplexed connection: pings and other answers also pass through its socket.
    untaken: AtomicU64,
    /// Bytes of its answers in the budget.
    pub(crate) outgoing: Arc<AtomicUsize>,
    /// The second in which the client last read some of these answers, or in which the first of them began.
    taken: AtomicU32,
    /// Requests that are being answered; counted for multiplexed connections, and on listeners whose idle connections make room.
    answering: AtomicU32,
    /// Its turn among those that became idle.
    idle: AtomicU64,
    order: AtomicU8,
    owner: AtomicWaker,
    shared: Arc<Shared>,
}

/// State that the connections of a listener share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Seconds, as the sweep counts them.
    pub(crate) clock: AtomicU32,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) answers: Arc<Bodies>,
    /// Bytes of answers that were refused for lack of memory since the last sweep.
    pub(crate) wanted: AtomicUsize,
    /// Connections that are multiplexed, and how many may be.
    pub(crate) multiplexed: AtomicUsize,
    pub(crate) most_multiplexed: usize,
    pub(crate) when_full: WhenFull,
    /// The number of the next connection that becomes idle.
    pub(crate) turn: AtomicU64,
    /// Notified when a connection becomes idle.
    pub(crate) idled: Notify,
}

/// An answer on its way.
#[derive(Debug)]
struct Outgoing {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

/// A request of a multiplexed connection that is being answered.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Watched>);

/// A request that is being answered, on a listener whose idle connections make room: until its last byte is handed over.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Watched>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Watched { shared, .. } = &*self.0;
        let turn = shared.turn.fetch_add(1, Relaxed);
        self.0.idle.store(turn, Relaxed);
        self.0.answering.fetch_sub(1, Relaxed);
        shared.idled.notify_one();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.phase() == Phase::Multiplexed {
            self.shared.multiplexed.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.progressed();
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

impl Watched {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let now = shared.clock.load(Relaxed);
        Self {
            phase: AtomicU64::new(pack(Phase::Head, now)),
            moved: AtomicU32::new(now),
            blocked: AtomicBool::new(false),
            owed: AtomicU64::new(0),
            untaken: AtomicU64::new(0),
            outgoing: Arc::default(),
            taken: AtomicU32::new(now),
            answering: AtomicU32::new(0),
            idle: AtomicU64::new(shared.turn.fetch_add(1, Relaxed)),
            order: AtomicU8::new(0),
            owner: AtomicWaker::new(),
            shared: Arc::clone(shared),
        }
    }

    fn now(&self) -> u32 {
        self.shared.clock.load(Relaxed)
    }

    pub(crate) fn phase(&self) -> Phase {
        unpack(self.phase.load(Relaxed)).0
    }

    /// The budget for request bodies of its listener.
    pub fn bodies(&self) -> &Arc<Bodies> {
        &self.shared.bodies
    }

    /// The answer, which counts if it is long; if there is no memory for it, the other one.
    pub fn counted(
        &self,
        answer: Response<Bytes>,
        otherwise: impl FnOnce() -> Response<Bytes>,
    ) -> Response<Bytes> {
        let (head, bytes) = answer.into_parts();
        match self.answer(bytes) {
            Ok(bytes) => Response::from_parts(head, bytes),
            Err(Spent) => otherwise(),
        }
    }

    /// An answer's bytes. A long one counts until the last piece of it was sent or dropped.
    pub(crate) fn answer(&self, bytes: Bytes) -> Result<Bytes, Spent> {
        let length = bytes.len();
        if !self.counts(length) {
            return Ok(bytes);
        }
        let before = self.outgoing.fetch_add(length, Relaxed);
        let outgoing = Outgoing {
            all: Arc::clone(&self.outgoing),
            bytes: length,
        };
        if before == 0 {
            self.taken.store(self.now(), Relaxed);
        } else if before.saturating_add(length) > OUTGOING {
            return Err(Spent);
        }
        let answer = self.shared.answers.answer(bytes, outgoing);
        if answer.is_err() {
            self.shared.wanted.fetch_add(length, Relaxed);
        }
        answer
    }

    /// Whether an answer of this many bytes is in the budget.
    pub(crate) fn counts(&self, bytes: usize) -> bool {
        let multiplexed = self.phase() == Phase::Multiplexed;
        bytes > if multiplexed { SMALL } else { SHORT }
    }

    /// Notes that the client read this many bytes of an answer in the budget.
    pub(crate) fn took(&self, bytes: usize) {
        self.taken.store(self.now(), Relaxed);
        less(&self.untaken, bytes);
    }

    pub(crate) fn busy(self: &Arc<Self>) -> Option<Busy> {
        (self.shared.when_full == WhenFull::ReplaceIdle).then(|| {
            self.answering.fetch_add(1, Relaxed);
            Busy(Arc::clone(self))
        })
    }

    /// Its turn among those that became idle, while it is idle.
    pub(crate) fn idle(&self) -> Option<u64> {
        (self.answering.load(Relaxed) == 0).then(|| self.idle.load(Relaxed))
    }

    /// A request on a multiplexed connection begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Stream {
        // Each stream is a task of its own: of first ones that begin at once, one counts the connection.
        let now = pack(Phase::Multiplexed, self.now());
        let (phase, _) = unpack(self.phase.swap(now, Relaxed));
        if phase != Phase::Multiplexed {
            let before = self.shared.multiplexed.fetch_add(1, Relaxed);
            if before >= self.shared.most_multiplexed {
                // This request is answered; the client comes again.
                self.ask(Order::Drain);
            }
        }
        self.answering.fetch_add(1, Relaxed);
        Stream(Arc::clone(self))
    }

    /// Notes progress on a multiplexed connection: a request, or a piece of an answer.
    pub(crate) fn progressed(&self) {
        self.phase
            .store(pack(Phase::Multiplexed, self.now()), Relaxed);
    }

    /// Enters a phase. A multiplexed connection stays that.
    pub fn enter(&self, phase: Phase) {
        if self.phase() != Phase::Multiplexed {
            self.phase.store(pack(phase, self.now()), Relaxed);
            self.owed.store(0, Relaxed);
        }
    }

    /// Notes that bytes arrived.
    pub(crate) fn received(&self) {
        let now = self.now();
        self.moved.store(now, Relaxed);
        if self.phase() == Phase::Idle {
            self.phase.store(pack(Phase::Head, now), Relaxed);
        }
    }

    /// Notes an attempt to send bytes.
    pub(crate) fn tried(&self, sent: &Poll<io::Result<usize>>) {
        match sent {
            Poll::Ready(Ok(bytes)) => self.sent(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.blocked.store(true, Relaxed),
        }
    }

    /// Notes that this many bytes were sent.
    pub(crate) fn sent(&self, bytes: usize) {
        self.moved.store(self.now(), Relaxed);
        self.blocked.store(false, Relaxed);
        less(&self.owed, bytes);
    }

    /// Notes that a second has passed in which the client should have read something.
    pub(crate) fn second(&self) {
        match self.phase() {
            Phase::Idle => {
                self.owed.fetch_add(u64::from(PACE), Relaxed);
            }
            Phase::Multiplexed if self.outgoing.load(Relaxed) > 0 => {
                self.owed.fetch_add(u64::from(PACE), Relaxed);
                self.untaken.fetch_add(u64::from(PACE), Relaxed);
            }
            _ => {
                self.owed.store(0, Relaxed);
                self.untaken.store(0, Relaxed);
            }
        }
    }

    /// Bytes times seconds for which it has held memory for answers without reading any; `None` unless it is stalled.
    pub(crate) fn stalled(&self, now: u32) -> Option<u64> {
        let kept = self.outgoing.load(Relaxed) as u64;
        let seconds = now.saturating_sub(self.taken.load(Relaxed));
        (kept > 0 && seconds >= STALLED).then(|| kept.saturating_mul(u64::from(seconds)))
    }

    /// The order that the owner should follow; the owner is woken when it changes.
    pub(crate) fn order(&self, context: &Context<'_>) -> Order {
        self.owner.register(context.waker());
        match self.order.load(Relaxed) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Close,
        }
    }

    /// Begins with an order that all were given.
    pub(crate) fn start_with(&self, order: u8) {
        self.order.store(order, Relaxed);
    }

    /// Whether it was asked to close.
    pub(crate) fn is_leaving(&self) -> bool {
        self.order.load(Relaxed) == Order::Close as u8
    }

    pub(crate) fn ask(&self, order: Order) {
        // Orders only get stricter.
        self.order.fetch_max(order as u8, Relaxed);
        self.owner.wake();
    }
}

fn less(owed: &AtomicU64, bytes: usize) {
    let before = owed.load(Relaxed);
    if before > 0 {
        // The watcher adds once a second; losing one second here does no harm.
        owed.store(before.saturating_sub(bytes as u64), Relaxed);
    }
}

fn pack(phase: Phase, since: u32) -> u64 {
    (phase as u64) << 32 | u64::from(since)
}

fn unpack(packed: u64) -> (Phase, u32) {
    let phase = match packed >> 32 {
        0 => Phase::Idle,
        1 => Phase::Head,
        2 => Phase::Body,
        3 => Phase::Working,
        4 => Phase::Multiplexed,
        5 => Phase::Streaming,
        _ => Phase::Events,
    };
    let since = packed as u32;
    (phase, since)
}

/// Whether a connection is overdue. All in seconds of the watcher's clock.
pub(crate) fn overdue(watched: &Watched, now: u32, limits: &Limits) -> bool {
    let (phase, since) = unpack(watched.phase.load(Relaxed));
    let moved = watched.moved.load(Relaxed);
    let passed = |from: u32, limit: Duration| u64::from(now.saturating_sub(from)) > limit.as_secs();
    let behind = u64::from(PACE).saturating_mul(limits.idle_timeout.as_secs());
    let owed = watched.owed.load(Relaxed);
    let behind = owed.max(watched.untaken.load(Relaxed)) > behind;
    match phase {
        Phase::Idle => behind || passed(since.max(moved), limits.idle_timeout),
        Phase::Multiplexed => {
            behind || watched.answering.load(Relaxed) == 0 && passed(since, limits.idle_timeout)
        }
        Phase::Head => passed(since, limits.header_timeout),
        Phase::Body => passed(since, limits.body_timeout),
        Phase::Streaming => passed(since.max(moved), limits.body_timeout),
        Phase::Events => {
            watched.blocked.load(Relaxed) && passed(since.max(moved), limits.idle_timeout)
        }
        Phase::Working => false,
    }
}
