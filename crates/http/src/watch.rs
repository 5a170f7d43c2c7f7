//! All connections of a listener, so that slow ones end.
//!
//! When the memory for answers is used up, the connections that have held most of it for longest without reading are closed. When all
//! places are taken on a listener of [`WhenFull::ReplaceIdle`], the next connection gets the place of the one that has been idle longest:
//! a connection that waits for a request costs its peer nothing, so thousands of them must not keep out a client with a request.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::budget::Bodies;
use crate::limits::{Limits, WhenFull};
use crate::watched::{Order, Shared, Watched, overdue};

/// Bytes of answers that are freed this way in one second, at most.
const WAY: usize = 64 << 20;
/// How many bytes a multiplexed connection may send before they are read. As many connections are multiplexed as fit into the budget for
/// bodies with this, and always a few.
pub(crate) const WINDOW: u32 = 128 << 10;
const MULTIPLEXED: usize = 64;

/// All connections of one listener.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    shared: Arc<Shared>,
    /// Locked when a connection opens or closes, and by the sweep.
    connections: Mutex<Connections>,
    /// Notified when a connection is gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    all: BTreeMap<u64, Arc<Watched>>,
    order: u8,
}

/// A connection's place in its [`Watch`]; leaves it when dropped.
#[derive(Debug)]
pub struct ConnectionPlace {
    watch: Arc<Watch>,
    number: u64,
    watched: Arc<Watched>,
}

impl ConnectionPlace {
    /// The connection that has the place.
    pub fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.watch.lock().all.remove(&self.number);
        self.watch.gone.notify_waiters();
    }
}

impl Watch {
    /// Starts with no connections.
    pub fn new(limits: Limits) -> Arc<Self> {
        let bodies = Bodies::new(limits.bodies);
        let answers = Bodies::of_answers(limits.answers);
        Self::with(limits, bodies, answers)
    }

    /// For another listener, with its own connections and the same memory.
    pub fn beside(&self) -> Arc<Self> {
        let Shared {
            bodies, answers, ..
        } = &*self.shared;
        Self::with(self.limits.clone(), Arc::clone(bodies), Arc::clone(answers))
    }

    fn with(limits: Limits, bodies: Arc<Bodies>, answers: Arc<Bodies>) -> Arc<Self> {
        let windows = limits.bodies / WINDOW as usize;
        let shared = Shared {
            clock: AtomicU32::new(0),
            bodies,
            answers,
            wanted: AtomicUsize::new(0),
            multiplexed: AtomicUsize::new(0),
            most_multiplexed: windows.max(MULTIPLEXED),
            when_full: limits.when_full,
            turn: AtomicU64::new(0),
            idled: Notify::new(),
        };
        Arc::new(Self {
            limits,
            shared: Arc::new(shared),
            connections: Mutex::default(),
            gone: Notify::new(),
        })
    }

    /// The budget for request bodies of this listener.
    pub fn bodies(&self) -> &Arc<Bodies> {
        &self.shared.bodies
    }

    /// The budget for long answers of this listener.
    pub fn answers(&self) -> &Arc<Bodies> {
        &self.shared.answers
    }

    /// The limits of this listener.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection; `None` when there are as many as allowed.
    pub fn join(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let mut connections = self.lock();
        if connections.all.len() >= self.limits.connections {
            return None;
        }
        let number = connections.next;
        connections.next += 1;
        let watched = Arc::new(Watched::new(&self.shared));
        watched.start_with(connections.order);
        connections.all.insert(number, Arc::clone(&watched));
        Some(ConnectionPlace {
            watch: Arc::clone(self),
            number,
            watched,
        })
    }

    /// A place for one more connection, which is waited for where idle ones make room.
    pub(crate) async fn place(self: &Arc<Self>) -> Option<ConnectionPlace> {
        if let Some(place) = self.join() {
            return Some(place);
        }
        if self.limits.when_full == WhenFull::Refuse {
            return None;
        }
        // Bytes that have arrived for the others are read first: a request that is there keeps its connection.
        tokio::task::yield_now().await;
        loop {
            let (mut gone, idled) = (pin!(self.gone.notified()), self.shared.idled.notified());
            gone.as_mut().enable();
            if let Some(place) = self.join() {
                return Some(place);
            }
            self.send_away();
            tokio::select! {
                () = gone => {}
                () = idled => {}
            }
        }
    }

    /// Asks the longest idle connection to leave, unless one is leaving already.
    fn send_away(&self) {
        let connections = self.lock();
        let all = connections.all.values();
        if all.clone().any(|watched| watched.is_leaving()) {
            return;
        }
        let idle = all.filter_map(|watched| Some((watched.idle()?, watched)));
        if let Some((_, first)) = idle.min_by_key(|(turn, _)| *turn) {
            first.ask(Order::Close);
        }
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Resolves when there is no connection.
    pub async fn empty(&self) {
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
    #[cfg(feature = "testing")]
    pub async fn wait_for_body(&self) {
        let waiting = |c: &Connections| c.all.values().any(|w| w.phase() == crate::Phase::Body);
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
    pub fn ask_all(&self, order: Order) {
        let mut connections = self.lock();
        connections.order = connections.order.max(order as u8);
        connections
            .all
            .values()
            .for_each(|watched| watched.ask(order));
    }
}

#[cfg(test)]
mod tests;
