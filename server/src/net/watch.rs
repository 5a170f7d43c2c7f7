//! Follows connections, so that slow ones end: each notes its phase in one atomic, and one task looks at all of them once a
//! second. Timers per request would cost more than answering it.
//!
//! A connection is only ever *asked* to end: the order is read by the task that owns the connection.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::bodies::Bodies;
use super::limits::Limits;

/// Bytes of long answers that are always taken: some of the longest, however little the request bodies may have.
const ANSWERS: usize = 64 << 20;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
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
    /// A body without an end in sight is arriving: only its silence is watched.
    Streaming,
}

/// What the owner of a connection has been asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Finish what is in flight, then close.
    Drain,
    /// Close now.
    Close,
}

/// One connection, as its watcher sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    clock: Arc<AtomicU32>,
    /// Phase in the upper half, the second it began in the lower: one store, so that they are never read apart.
    phase: AtomicU64,
    /// The second in which bytes last moved.
    moved: AtomicU32,
    /// Requests of a multiplexed connection that are being answered.
    streams: AtomicU32,
    order: AtomicU8,
    owner: AtomicWaker,
    bodies: Arc<Bodies>,
    answers: Arc<Bodies>,
}

/// A request of a multiplexed connection that is being answered.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Watched>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.progressed();
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl Watched {
    fn new(clock: Arc<AtomicU32>, bodies: Arc<Bodies>, answers: Arc<Bodies>) -> Self {
        let now = clock.load(Relaxed);
        Self {
            clock,
            phase: AtomicU64::new(pack(Phase::Head, now)),
            moved: AtomicU32::new(now),
            streams: AtomicU32::new(0),
            order: AtomicU8::new(0),
            owner: AtomicWaker::new(),
            bodies,
            answers,
        }
    }

    /// The budget for request bodies of its listener.
    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.bodies
    }

    /// The budget for long answers of its listener.
    pub(crate) fn answers(&self) -> &Arc<Bodies> {
        &self.answers
    }

    /// A request on a multiplexed connection begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Stream {
        self.streams.fetch_add(1, Relaxed);
        self.progressed();
        Stream(Arc::clone(self))
    }

    /// Something that counts happened on a multiplexed connection: a request, or a piece of an answer.
    pub(crate) fn progressed(&self) {
        let now = self.clock.load(Relaxed);
        self.phase.store(pack(Phase::Multiplexed, now), Relaxed);
    }

    /// Enters a phase. A multiplexed connection stays that.
    pub(crate) fn enter(&self, phase: Phase) {
        if unpack(self.phase.load(Relaxed)).0 != Phase::Multiplexed {
            self.phase
                .store(pack(phase, self.clock.load(Relaxed)), Relaxed);
        }
    }

    /// Bytes came in.
    pub(crate) fn received(&self) {
        let now = self.clock.load(Relaxed);
        self.moved.store(now, Relaxed);
        if unpack(self.phase.load(Relaxed)).0 == Phase::Idle {
            self.phase.store(pack(Phase::Head, now), Relaxed);
        }
    }

    /// Bytes went out.
    pub(crate) fn sent(&self) {
        self.moved.store(self.clock.load(Relaxed), Relaxed);
    }

    /// What the owner should do; it is woken when that changes.
    pub(crate) fn order(&self, context: &Context<'_>) -> Order {
        self.owner.register(context.waker());
        match self.order.load(Relaxed) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Close,
        }
    }

    fn ask(&self, order: Order) {
        // Orders only get stricter.
        self.order.fetch_max(order as u8, Relaxed);
        self.owner.wake();
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
        _ => Phase::Streaming,
    };
    let since = packed as u32;
    (phase, since)
}

/// Whether a connection has had its time. All in seconds of the watcher's clock.
fn overdue(watched: &Watched, now: u32, limits: &Limits) -> bool {
    let (phase, since) = unpack(watched.phase.load(Relaxed));
    let moved = watched.moved.load(Relaxed);
    let passed = |from: u32, limit: Duration| u64::from(now.saturating_sub(from)) > limit.as_secs();
    match phase {
        Phase::Idle => passed(since.max(moved), limits.idle_timeout),
        Phase::Multiplexed => {
            watched.streams.load(Relaxed) == 0 && passed(since, limits.idle_timeout)
        }
        Phase::Head => passed(since, limits.header_timeout),
        Phase::Body => passed(since, limits.body_timeout),
        Phase::Streaming => passed(since.max(moved), limits.body_timeout),
        Phase::Working => false,
    }
}

/// All connections of one listener.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    clock: Arc<AtomicU32>,
    bodies: Arc<Bodies>,
    answers: Arc<Bodies>,
    /// Locked when a connection comes or goes, and by the sweep.
    connections: Mutex<Connections>,
    /// Told when the last connection has gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    all: HashMap<u64, Arc<Watched>>,
    order: u8,
}

/// A connection's place in its [`Watch`]; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    watch: Arc<Watch>,
    number: u64,
    watched: Arc<Watched>,
}

impl Place {
    /// The connection.
    pub(crate) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = {
            let mut connections = self.watch.lock();
            connections.all.remove(&self.number);
            connections.all.len()
        };
        if left == 0 {
            self.watch.gone.notify_waiters();
        }
    }
}

impl Watch {
    /// Nobody watched yet.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            bodies: Bodies::new(limits.bodies),
            answers: Bodies::new((2 * limits.bodies).max(ANSWERS)),
            limits,
            clock: Arc::new(AtomicU32::new(0)),
            connections: Mutex::default(),
            gone: Notify::new(),
        })
    }

    /// The budget for request bodies of this listener.
    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.bodies
    }

    /// The limits of this listener.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection; `None` when there are as many as allowed.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Place> {
        let mut connections = self.lock();
        if connections.all.len() >= self.limits.connections {
            return None;
        }
        let number = connections.next;
        connections.next += 1;
        let watched = Arc::new(Watched::new(
            Arc::clone(&self.clock),
            Arc::clone(&self.bodies),
            Arc::clone(&self.answers),
        ));
        watched.order.store(connections.order, Relaxed);
        connections.all.insert(number, Arc::clone(&watched));
        Some(Place {
            watch: Arc::clone(self),
            number,
            watched,
        })
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Resolves when there is no connection.
    pub(crate) async fn empty(&self) {
        loop {
            let mut gone = pin!(self.gone.notified());
            // Listening begins here, so that a connection which goes between the count and the wait is not missed.
            gone.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Resolves when a connection waits for the rest of a body.
    #[cfg(test)]
    pub(crate) async fn wait_for_body(&self) {
        let waiting = |c: &Connections| {
            c.all
                .values()
                .any(|w| unpack(w.phase.load(Relaxed)).0 == Phase::Body)
        };
        while !waiting(&self.lock()) {
            tokio::task::yield_now().await;
        }
    }

    /// Lets one second pass, and asks whoever is overdue to close. Returns how many were asked.
    pub(crate) fn sweep(&self) -> usize {
        let now = self.clock.fetch_add(1, Relaxed).saturating_add(1);
        let connections = self.lock();
        let all = connections.all.values();
        let overdue = all.filter(|watched| overdue(watched, now, &self.limits));
        overdue.map(|watched| watched.ask(Order::Close)).count()
    }

    /// Gives all connections, and those that still come, an order.
    pub(crate) fn ask_all(&self, order: Order) {
        let mut connections = self.lock();
        connections.order = connections.order.max(order as u8);
        connections
            .all
            .values()
            .for_each(|watched| watched.ask(order));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 2,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            ..Limits::default()
        }
    }

    fn order(place: &Place) -> Order {
        place
            .watched()
            .order(&Context::from_waker(std::task::Waker::noop()))
    }

    fn seconds_until_closed(watch: &Arc<Watch>, place: &Place) -> Option<u32> {
        (1..100).find(|_| {
            watch.sweep();
            order(place) == Order::Close
        })
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        for (phase, expected) in [
            (Phase::Head, Some(6)),
            (Phase::Body, Some(11)),
            (Phase::Idle, Some(21)),
            (Phase::Working, None),
            (Phase::Multiplexed, Some(21)),
            (Phase::Streaming, Some(11)),
        ] {
            let watch = Watch::new(limits());
            let place = watch.join().unwrap();
            place.watched().enter(phase);
            assert_eq!(seconds_until_closed(&watch, &place), expected, "{phase:?}");
        }
    }

    #[test]
    fn dripping_bytes_do_not_extend_a_head_but_progress_extends_an_idle_connection() {
        let watch = Watch::new(limits());
        let (head, idle) = (watch.join().unwrap(), watch.join().unwrap());
        idle.watched().enter(Phase::Idle);
        for _ in 0..50 {
            head.watched().received();
            idle.watched().sent();
            watch.sweep();
        }
        assert_eq!((order(&head), order(&idle)), (Order::Close, Order::Serve));
    }

    #[test]
    fn a_stream_may_take_for_ever_but_not_be_silent() {
        let watch = Watch::new(limits());
        let place = watch.join().unwrap();
        place.watched().enter(Phase::Streaming);
        for _ in 0..50 {
            place.watched().received();
            watch.sweep();
        }
        assert_eq!(order(&place), Order::Serve);
        assert_eq!(seconds_until_closed(&watch, &place), Some(10));
    }

    #[test]
    fn pings_are_no_reason_to_stay_but_a_request_and_a_piece_of_an_answer_are() {
        let watch = Watch::new(limits());
        let (idle, busy, reading) = (
            watch.join().unwrap(),
            watch.join().unwrap(),
            Watched::new(
                Arc::clone(&watch.clock),
                Arc::clone(&watch.bodies),
                Arc::clone(&watch.answers),
            ),
        );
        drop(idle.watched().begin());
        let stream = busy.watched().begin();
        reading.progressed();
        for second in 0..50 {
            idle.watched().received();
            idle.watched().sent();
            if second % 10 == 0 {
                reading.progressed();
            }
            watch.sweep();
        }
        assert_eq!((order(&idle), order(&busy)), (Order::Close, Order::Serve));
        assert!(!overdue(&reading, watch.clock.load(Relaxed), &watch.limits));
        drop(stream);
        assert_eq!(seconds_until_closed(&watch, &busy), Some(21));
    }

    #[test]
    fn a_long_answer_does_not_count_as_idle_time() {
        let watch = Watch::new(limits());
        let place = watch.join().unwrap();
        place.watched().enter(Phase::Working);
        for _ in 0..60 {
            watch.sweep();
        }
        place.watched().enter(Phase::Idle);
        assert_eq!(seconds_until_closed(&watch, &place), Some(21));
    }

    #[test]
    fn the_cap_holds_and_places_are_given_back() {
        let watch = Watch::new(limits());
        let first = watch.join().unwrap();
        let _second = watch.join().unwrap();
        assert!(watch.join().is_none());
        drop(first);
        assert!(watch.join().is_some());
    }

    #[test]
    fn who_joins_while_draining_drains() {
        let watch = Watch::new(limits());
        watch.ask_all(Order::Drain);
        assert_eq!(order(&watch.join().unwrap()), Order::Drain);
    }
}
