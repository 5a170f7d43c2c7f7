//! A coordination store in memory whose operations take a time that is set, and which can be stopped: what is measured over it is
//! the protocol, not a disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use log::store::{Coordination, Guard, Key, Outcome, StoreError, Transaction};
use tokio::sync::watch;

type Rows = BTreeMap<Key, Bytes>;

/// The store that all committers share.
pub(super) struct Memory {
    rows: Mutex<Rows>,
    delay: Duration,
    open: watch::Sender<bool>,
}

impl Memory {
    /// An empty store, each of whose operations takes this long.
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            rows: Mutex::default(),
            delay,
            open: watch::Sender::new(true),
        }
    }

    /// Answers nothing until it is opened again.
    pub(super) fn stall(&self, stall: bool) {
        self.open.send_replace(!stall);
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self) {
        tokio::time::sleep(self.delay).await;
        // The sender lives as long as the store.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

fn holds(rows: &Rows, guard: &Guard) -> bool {
    let number = |row: &Bytes| row.first_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n));
    match guard {
        Guard::Absent(key) => !rows.contains_key(key),
        Guard::Present(key) => rows.contains_key(key),
        Guard::AtMost(key, most) => rows.get(key).is_none_or(|row| number(row) <= *most),
        Guard::NoneFrom(prefix, from) => {
            let next = rows.range(prefix.max(from).clone()..).next();
            next.is_none_or(|(key, _)| !key.starts_with(prefix))
        }
    }
}

impl Coordination for Memory {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.pass().await;
            Ok(self.rows().get(&key).cloned())
        })
    }

    fn scan(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Key, Bytes)>, StoreError>> {
        let (prefix, from) = (prefix.to_owned(), prefix.max(from).to_owned());
        Box::pin(async move {
            self.pass().await;
            let rows = self.rows();
            let found = rows.range(from..);
            let found = found.take_while(|(key, _)| key.starts_with(&prefix));
            let found = found.map(|(key, row)| (key.clone(), row.clone()));
            Ok(found.take(limit).collect())
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            self.pass().await;
            let mut rows = self.rows();
            if !transaction.guards.iter().all(|guard| holds(&rows, guard)) {
                return Outcome::Refused;
            }
            for key in &transaction.deletes {
                rows.remove(key);
            }
            rows.extend(transaction.puts);
            Outcome::Committed
        })
    }

    fn changed(&self, _: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(at_most))
    }

    fn value_limit(&self) -> usize {
        64 << 10
    }

    fn now(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async { Ok(log::order::commit::now_ms()) })
    }
}

/// The same store as one committer has it, who stops for good before its operation of a certain number.
pub(super) struct Stopping {
    store: Arc<Memory>,
    left: AtomicU64,
}

impl Stopping {
    /// Stops never, until it is told to.
    pub(super) fn new(store: Arc<Memory>) -> Self {
        let left = AtomicU64::new(u64::MAX);
        Self { store, left }
    }

    /// So many operations from now still happen.
    pub(super) fn stop_after(&self, operations: u64) {
        self.left.store(operations, Relaxed);
    }

    /// Whether it has stopped.
    pub(super) fn stopped(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    async fn pass(&self) {
        let took = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Relaxed, Relaxed, took).is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Coordination for Stopping {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.pass().await;
            self.store.get(&key).await
        })
    }

    fn scan(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Key, Bytes)>, StoreError>> {
        let (prefix, from) = (prefix.to_owned(), from.to_owned());
        Box::pin(async move {
            self.pass().await;
            self.store.scan(&prefix, &from, limit).await
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            self.pass().await;
            self.store.transact(transaction).await
        })
    }

    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        self.store.changed(prefix, at_most)
    }

    fn value_limit(&self) -> usize {
        self.store.value_limit()
    }

    fn now(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.store.now()
    }
}
