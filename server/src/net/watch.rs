//! Follows connections, so that slow ones end: each notes its phase in one atomic, and one task looks at all of them once a
//! second. Timers per request would cost more than answering it.
//!
//! A client that takes an answer more slowly than [`PACE`] for so long that it is behind by the idle time ends as well. When the
//! memory for answers is used up, the connections that have held most of it for longest without reading are closed.
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
/// Answers of up to this many bytes count for no budget on a multiplexed connection, which has many at a time: hash tiles and
/// checkpoints.
const SMALL: usize = 8 << 10;
/// Bytes of answers that one multiplexed connection may have under way: two of the longest.
const OUTGOING: usize = 32 << 20;
/// A connection that has read nothing of its long answers for so many seconds is closed if others need the memory.
const STALLED: u32 = 2;
/// Bytes of answers that are freed this way in one second, at most.
const WAY: usize = 64 << 20;
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
    /// Bytes by which the client is behind the minimum pace in reading its answers, measured at the socket.
    owed: AtomicU64,
    /// The same for the answers in the budget of a multiplexed connection: pings and other answers also pass through its socket.
    untaken: AtomicU64,
    /// Bytes of its answers in the budget.
    outgoing: Arc<AtomicUsize>,
    /// The second in which the client last read some of these answers, or in which the first of them began.
    taken: AtomicU32,
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
    /// Bytes of answers that were refused for want of memory since the last sweep.
    wanted: AtomicUsize,
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
            untaken: AtomicU64::new(0),
            outgoing: Arc::default(),
            taken: AtomicU32::new(now),
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

    /// Whether an answer of so many bytes is in the budget.
    pub(crate) fn counts(&self, bytes: usize) -> bool {
        let multiplexed = self.phase() == Phase::Multiplexed;
        bytes > if multiplexed { SMALL } else { SHORT }
    }

    /// The client read so many bytes of an answer in the budget.
    pub(crate) fn took(&self, bytes: usize) {
        self.taken.store(self.now(), Relaxed);
        less(&self.untaken, bytes);
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
        less(&self.owed, bytes);
    }

    /// A second has passed in which the client should have taken something of what is on its way.
    fn second(&self) {
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
    fn stalled(&self, now: u32) -> Option<u64> {
        let kept = self.outgoing.load(Relaxed) as u64;
        let seconds = now.saturating_sub(self.taken.load(Relaxed));
        (kept > 0 && seconds >= STALLED).then(|| kept.saturating_mul(u64::from(seconds)))
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

fn less(owed: &AtomicU64, bytes: usize) {
    let before = owed.load(Relaxed);
    if before > 0 {
        // The watcher adds once a second; a second that is lost here is no harm.
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
    let owed = watched.owed.load(Relaxed);
    let behind = owed.max(watched.untaken.load(Relaxed)) > behind;
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
            wanted: AtomicUsize::new(0),
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

    /// Counts one second, and asks overdue connections to close, and stalled ones if answers need their memory. Returns how many
    /// were asked.
    pub(crate) fn sweep(&self) -> usize {
        let clock = &self.shared.clock;
        let now = clock.fetch_add(1, Relaxed).saturating_add(1);
        let connections = self.lock();
        let all = connections.all.values().inspect(|watched| watched.second());
        let overdue = all.filter(|watched| overdue(watched, now, &self.limits));
        let overdue = overdue.map(|watched| watched.ask(Order::Close)).count();
        overdue + self.make_way(&connections, now)
    }

    fn make_way(&self, connections: &Connections, now: u32) -> usize {
        let wanted = self.shared.wanted.swap(0, Relaxed).min(WAY);
        if wanted == 0 {
            return 0;
        }
        let all = connections.all.values();
        let mut stalled: Vec<_> = all.filter_map(|w| Some((w.stalled(now)?, w))).collect();
        stalled.sort_unstable_by_key(|(stalled, _)| std::cmp::Reverse(*stalled));
        let mut free = 0;
        let ends = stalled.iter().take_while(|(_, watched)| {
            let before = free;
            free += watched.outgoing.load(Relaxed);
            before < wanted
        });
        ends.map(|(_, watched)| watched.ask(Order::Close)).count()
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
            // Answers to pings, and others than the long one.
            stuck.watched().sent(8 << 10);
            drop(reading.watched().begin());
            reading.watched().sent(8 << 10);
            reading.watched().took(8 << 10);
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
    fn those_that_keep_most_for_longest_make_way_for_answers_that_do_not_fit() {
        let watch = Watch::new(Limits {
            connections: 10,
            bodies: 0,
            ..limits()
        });
        let places: Vec<_> = (0..5).map(|_| watch.join().unwrap()).collect();
        let [old, most, little, reading, last] = &places[..] else {
            unreachable!()
        };
        let long = |place: &Place, size: usize| {
            place.watched().enter(Phase::Idle);
            place.watched().answer(Bytes::from(vec![1; size << 20]))
        };
        let mut answers = vec![long(old, 15).unwrap()];
        watch.sweep();
        for (place, size) in [(most, 16), (little, 1), (reading, 30)] {
            answers.push(long(place, size).unwrap());
        }
        let closed = || {
            places
                .iter()
                .map(|place| order(place) == Order::Close)
                .collect::<Vec<_>>()
        };
        // Nobody wants their memory.
        for _ in 0..3 {
            reading.watched().took(1);
            watch.sweep();
        }
        assert_eq!(closed(), [false; 5]);
        // 2 MiB are free, and the first that ends has 15 of the 16 that are wanted.
        assert_eq!(long(last, 16), Err(Spent));
        assert_eq!(watch.sweep(), 2);
        assert_eq!(closed(), [true, true, false, false, false]);
        assert_eq!(watch.sweep(), 0);
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
