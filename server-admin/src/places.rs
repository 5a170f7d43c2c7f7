//! A listener's places for connections, and which connection is closed when all are taken.
//!
//! A connection that waits for a request costs its peer nothing, so thousands of them must not keep out a client with a
//! request: when all places are taken, the connection that has been idle longest is closed. One that is being answered
//! stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places of a listener.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// Locked for a map operation only.
    idle: Mutex<Idle>,
    /// Told when a connection becomes idle.
    idled: Notify,
}

/// The idle connections, the longest idle first, each with what sends it away.
#[derive(Debug, Default)]
struct Idle {
    connections: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// A connection's place, given back when it is dropped. It begins as idle.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    away: Arc<Notify>,
    /// Its key among the idle ones, while it is one of them.
    key: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

/// While it lives, a connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Place>);

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            idle: Mutex::default(),
            idled: Notify::new(),
        })
    }

    /// A place for a connection that is there already. `None` never happens while the listener lives.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Arc<Place>> {
        // What has arrived for the others is read first: a request that is there keeps its connection.
        if self.free.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            let idled = self.idled.notified();
            if self.send_away() {
                break self.free.clone().acquire_owned().await.ok()?;
            }
            tokio::select! {
                permit = self.free.clone().acquire_owned() => break permit.ok()?,
                () = idled => {}
            }
        };
        let place = Place {
            places: self.clone(),
            away: Arc::default(),
            key: Mutex::default(),
            _permit: permit,
        };
        place.idle();
        Some(Arc::new(place))
    }

    /// Sends the longest idle connection away; false when there is none.
    fn send_away(&self) -> bool {
        let first = lock(&self.idle).connections.pop_first();
        first.map(|(_, away)| away.notify_one()).is_some()
    }
}

impl Place {
    fn idle(&self) {
        {
            let mut idle = lock(&self.places.idle);
            let key = idle.next;
            idle.next += 1;
            idle.connections.insert(key, self.away.clone());
            *lock(&self.key) = Some(key);
        }
        self.places.idled.notify_one();
    }

    fn busy(&self) {
        if let Some(key) = lock(&self.key).take() {
            lock(&self.places.idle).connections.remove(&key);
        }
    }

    /// Keeps the connection's place until the guard is dropped.
    pub(crate) fn keep(self: &Arc<Self>) -> Busy {
        self.busy();
        Busy(self.clone())
    }

    /// Ready when the connection has to leave.
    pub(crate) async fn sent_away(&self) {
        self.away.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.busy();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn pending(future: impl Future) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future)
            .await
            .is_err()
    }

    #[tokio::test]
    async fn the_longest_idle_leaves_and_the_busy_stay() {
        let places = Places::new(3);
        let (first, second, third) = (
            places.take().await.unwrap(),
            places.take().await.unwrap(),
            places.take().await.unwrap(),
        );
        let busy = first.keep();
        let fourth = tokio::spawn({
            let places = places.clone();
            async move { places.take().await }
        });
        second.sent_away().await;
        assert!(pending(third.sent_away()).await, "one is enough");
        assert!(!fourth.is_finished(), "a place is taken until it is empty");
        drop(second);
        let fourth = fourth.await.unwrap().unwrap();
        // The connection that was answered last is the last to be closed.
        drop(busy);
        for next in [&third, &fourth, &first] {
            let mut waiting = Box::pin(places.take());
            assert!(pending(&mut waiting).await);
            next.sent_away().await;
        }
    }

    #[tokio::test]
    async fn while_all_are_busy_one_waits() {
        let places = Places::new(1);
        let place = places.take().await.unwrap();
        let busy = place.keep();
        let mut waiting = Box::pin(places.take());
        assert!(pending(&mut waiting).await);
        assert!(pending(place.sent_away()).await);
        drop(busy);
        assert!(pending(&mut waiting).await);
        place.sent_away().await;
        drop(place);
        assert!(waiting.await.is_some());
        assert!(lock(&places.idle).connections.len() <= 1);
    }
}
