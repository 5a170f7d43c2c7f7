//! Follows connections, so that slow ones end: each notes its phase in one atomic, and one task looks at all of them once a
//! second. Timers per request would cost more than answering it.
//!
//! A client that takes an answer more slowly than [`PACE`] for so long that it is behind by the idle time ends as well.
//!
//! A connection is only ever *asked* to end: the order is read by the task that owns the connection.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use server_admin::{Bodies, SHORT, Spent};
use tokio::sync::Notify;

use super::limits::Limits;
use super::pace::PACE;

/// Bytes of long answers that are always allowed: room for a few of the longest, even if the budget for request bodies is smaller.
const ANSWERS: usize = 64 << 20;
/// Answers of up to this many bytes count for no budget on a multiplexed connection, which has many at a time.
const SMALL: usize = 1 << 10;
/// Bytes of answers that one multiplexed connection may have under way: two of the longest.
const OUTGOING: usize = 32 << 20;
/// What a multiplexed connection may send before it is read. So many connections are multiplexed as these bytes fit into the budget
/// for bodies, and a few always.
pub(crate) const WINDOW: u32 = 128 << 10;
const MULTIPLEXED: usize = 64;

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
    Serve,
    /// Finish what is in flight, then close.
    Drain,
    /// Close now.
    Close,
}

/// One connection, as its watcher sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Phase in the upper half, the second it began in the lower: one store, so that they are never read apart.
    phase: AtomicU64,
    /// The second in which bytes last moved.
    moved: AtomicU32,
    /// Bytes by which the client is behind the minimum pace in reading its answers.
    owed: AtomicU64,
    /// Bytes of its answers in the budget.
    outgoing: Arc<AtomicUsize>,
    /// Requests of a multiplexed connection that are being answered.
    streams: AtomicU32,
    order: AtomicU8,
    owner: AtomicWaker,
    shared: Arc<Shared>,
}

/// State that the connections of a listener share.
#[derive(Debug)]
struct Shared {
    /// Seconds, as the sweep counts them.
    clock: AtomicU32,
    bodies: Arc<Bodies>,
    answers: Arc<Bodies>,
    /// Connections that are multiplexed, and how many may be.
    multiplexed: AtomicUsize,
    most_multiplexed: usize,
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
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl Watched {
    fn new(shared: &Arc<Shared>) -> Self {
        let now = shared.clock.load(Relaxed);
        Self {
            phase: AtomicU64::new(pack(Phase::Head, now)),
            moved: AtomicU32::new(now),
            owed: AtomicU64::new(0),
            outgoing: Arc::default(),
            streams: AtomicU32::new(0),
            order: AtomicU8::new(0),
            owner: AtomicWaker::new(),
            shared: Arc::clone(shared),
        }
    }

    fn now(&self) -> u32 {
        self.shared.clock.load(Relaxed)
    }

    fn phase(&self) -> Phase {
        unpack(self.phase.load(Relaxed)).0
    }

    /// The budget for request bodies of its listener.
    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.shared.bodies
    }

    /// The budget for long answers of its listener.
    #[cfg(test)]
    pub(crate) fn answers(&self) -> &Arc<Bodies> {
        &self.shared.answers
    }

    /// An answer's bytes. A long one counts until the last piece of it was sent or dropped.
    pub(crate) fn answer(&self, bytes: Bytes) -> Result<Bytes, Spent> {
        let multiplexed = self.phase() == Phase::Multiplexed;
        if bytes.len() <= if multiplexed { SMALL } else { SHORT } {
            return Ok(bytes);
        }
        let before = self.outgoing.fetch_add(bytes.len(), Relaxed);
        let outgoing = Outgoing {
            all: Arc::clone(&self.outgoing),
            bytes: bytes.len(),
        };
        if before > 0 && before.saturating_add(bytes.len()) > OUTGOING {
            return Err(Spent);
        }
        self.shared.answers.answer(bytes, outgoing)
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
        self.streams.fetch_add(1, Relaxed);
        Stream(Arc::clone(self))
    }

    /// Something that counts happened on a multiplexed connection: a request, or a piece of an answer.
    pub(crate) fn progressed(&self) {
        self.phase
            .store(pack(Phase::Multiplexed, self.now()), Relaxed);
    }

    /// Enters a phase. A multiplexed connection stays that.
    pub(crate) fn enter(&self, phase: Phase) {
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

    /// So many bytes went out.
    pub(crate) fn sent(&self, bytes: usize) {
        self.moved.store(self.now(), Relaxed);
        let owed = self.owed.load(Relaxed);
        if owed > 0 {
            // The watcher adds once a second; a second that is lost here is no harm.
            self.owed.store(owed.saturating_sub(bytes as u64), Relaxed);
        }
    }

    /// A second has passed in which the client should have taken something of what is on its way.
    fn second(&self) {
        match self.phase() {
            Phase::Idle => {
                self.owed.fetch_add(u64::from(PACE), Relaxed);
            }
            Phase::Multiplexed if self.outgoing.load(Relaxed) > 0 => {
                self.owed.fetch_add(u64::from(PACE), Relaxed);
            }
            _ => self.owed.store(0, Relaxed),
        }
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

/// Whether a connection is overdue. All in seconds of the watcher's clock.
fn overdue(watched: &Watched, now: u32, limits: &Limits) -> bool {
    let (phase, since) = unpack(watched.phase.load(Relaxed));
    let moved = watched.moved.load(Relaxed);
    let passed = |from: u32, limit: Duration| u64::from(now.saturating_sub(from)) > limit.as_secs();
    let behind = u64::from(PACE).saturating_mul(limits.idle_timeout.as_secs());
    let behind = watched.owed.load(Relaxed) > behind;
    match phase {
        Phase::Idle => behind || passed(since.max(moved), limits.idle_timeout),
        Phase::Multiplexed => {
            behind || watched.streams.load(Relaxed) == 0 && passed(since, limits.idle_timeout)
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
    shared: Arc<Shared>,
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
    /// Starts with no connections.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let windows = limits.bodies / WINDOW as usize;
        let shared = Shared {
            clock: AtomicU32::new(0),
            bodies: Bodies::new(limits.bodies),
            answers: Bodies::new(limits.bodies.saturating_mul(2).max(ANSWERS)),
            multiplexed: AtomicUsize::new(0),
            most_multiplexed: windows.max(MULTIPLEXED),
        };
        Arc::new(Self {
            limits,
            shared: Arc::new(shared),
            connections: Mutex::default(),
            gone: Notify::new(),
        })
    }

    /// The budget for request bodies of this listener.
    pub(crate) fn bodies(&self) -> &Arc<Bodies> {
        &self.shared.bodies
    }

    /// The budget for long answers of this listener.
    pub(crate) fn answers(&self) -> &Arc<Bodies> {
        &self.shared.answers
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
        let watched = Arc::new(Watched::new(&self.shared));
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

    /// Counts one second, and asks overdue connections to close. Returns how many were asked.
    pub(crate) fn sweep(&self) -> usize {
        let clock = &self.shared.clock;
        let now = clock.fetch_add(1, Relaxed).saturating_add(1);
        let connections = self.lock();
        let all = connections.all.values().inspect(|watched| watched.second());
        let overdue = all.filter(|watched| overdue(watched, now, &self.limits));
        overdue.map(|watched| watched.ask(Order::Close)).count()
    }

    /// Gives all connections, and new ones, an order.
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
            idle.watched().sent(PACE as usize);
            watch.sweep();
        }
        assert_eq!((order(&head), order(&idle)), (Order::Close, Order::Serve));
    }

    #[test]
    fn an_answer_that_is_taken_by_drips_ends_and_one_over_a_poor_line_does_not() {
        let watch = Watch::new(limits());
        let (drip, poor) = (watch.join().unwrap(), watch.join().unwrap());
        for place in [&drip, &poor] {
            place.watched().enter(Phase::Idle);
            // What was taken fast at the beginning saves up nothing.
            place.watched().sent(16 << 20);
        }
        for _ in 0..50 {
            drip.watched().sent(100);
            poor.watched().sent(8 << 10);
            watch.sweep();
        }
        assert_eq!((order(&drip), order(&poor)), (Order::Close, Order::Serve));
    }

    #[test]
    fn an_answer_that_nobody_takes_ends_though_other_requests_come() {
        let watch = Watch::new(limits());
        let (stuck, reading) = (watch.join().unwrap(), watch.join().unwrap());
        let answers: Vec<_> = [&stuck, &reading]
            .map(|place| {
                drop(place.watched().begin());
                place
                    .watched()
                    .answer(Bytes::from(vec![1; 60_000]))
                    .unwrap()
            })
            .into();
        for _ in 0..50 {
            drop(stuck.watched().begin());
            stuck.watched().sent(100);
            drop(reading.watched().begin());
            reading.watched().sent(8 << 10);
            watch.sweep();
        }
        assert_eq!(
            (order(&stuck), order(&reading)),
            (Order::Close, Order::Serve)
        );
        drop(answers);
        assert_eq!(watch.answers().held(), 0);
    }

    #[test]
    fn one_multiplexed_connection_cannot_have_all_answers() {
        let watch = Watch::new(limits());
        let (greedy, other) = (watch.join().unwrap(), watch.join().unwrap());
        drop((greedy.watched().begin(), other.watched().begin()));
        let long = || Bytes::from(vec![1; 10 << 20]);
        let mut answers: Vec<_> = (0..3)
            .map(|_| greedy.watched().answer(long()).unwrap())
            .collect();
        assert_eq!(greedy.watched().answer(long()), Err(Spent));
        answers.push(other.watched().answer(long()).unwrap());
        drop(answers.remove(0));
        assert!(greedy.watched().answer(long()).is_ok());
    }

    #[test]
    fn multiplexed_connections_are_as_many_as_their_windows_fit() {
        let watch = Watch::new(Limits {
            connections: 1000,
            bodies: 100 * WINDOW as usize,
            ..limits()
        });
        let mut places: Vec<Place> = Vec::new();
        for n in 0..120 {
            let place = watch.join().unwrap();
            drop((place.watched().begin(), place.watched().begin()));
            let wanted = if n < 100 { Order::Serve } else { Order::Drain };
            assert_eq!(order(&place), wanted, "{n}");
            places.push(place);
        }
        drop(places);
        let place = watch.join().unwrap();
        drop(place.watched().begin());
        assert_eq!(order(&place), Order::Serve);
    }

    #[test]
    fn first_streams_that_begin_at_once_are_one_connection() {
        const CONNECTIONS: usize = 4_000;
        let watch = Watch::new(Limits {
            connections: CONNECTIONS,
            ..limits()
        });
        let places: Vec<Place> = (0..CONNECTIONS).map(|_| watch.join().unwrap()).collect();
        let there = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for (n, place) in places.iter().enumerate() {
                        there.fetch_add(1, Relaxed);
                        while there.load(Relaxed) < 2 * (n + 1) {
                            std::hint::spin_loop();
                        }
                        drop(place.watched().begin());
                    }
                });
            }
        });
        assert_eq!(watch.shared.multiplexed.load(Relaxed), CONNECTIONS);
        drop(places);
        assert_eq!(watch.shared.multiplexed.load(Relaxed), 0);
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
            Arc::new(Watched::new(&watch.shared)),
        );
        drop(idle.watched().begin());
        let stream = busy.watched().begin();
        drop(reading.begin());
        for second in 0..50 {
            idle.watched().received();
            idle.watched().sent(1);
            if second % 10 == 0 {
                reading.progressed();
            }
            watch.sweep();
        }
        assert_eq!((order(&idle), order(&busy)), (Order::Close, Order::Serve));
        assert!(!overdue(
            &reading,
            watch.shared.clock.load(Relaxed),
            &watch.limits
        ));
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
