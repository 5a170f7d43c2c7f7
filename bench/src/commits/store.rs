//! A coordination store that can be stalled, or stopped before an operation: around any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use store::{Coordination, Key, Outcome, StoreError, Transaction};
use tlog::UnixMillis;
use tokio::sync::watch;

/// The store as one sees it who may be stopped for good, or all whom a stall makes wait.
pub(super) struct GatedStore {
    inner: Arc<dyn Coordination>,
    open: watch::Sender<bool>,
    left: AtomicU64,
}

impl GatedStore {
    /// A store that is open until it is stopped.
    pub(super) fn new(inner: Arc<dyn Coordination>) -> Self {
        Self {
            inner,
            open: watch::Sender::new(true),
            left: AtomicU64::new(u64::MAX),
        }
    }

    /// Answers nothing until it is opened again.
    pub(super) fn stall(&self, stall: bool) {
        self.open.send_replace(!stall);
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
        // The sender lives as long as the store.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let took = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Relaxed, Relaxed, took).is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Coordination for GatedStore {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.pass().await;
            self.inner.get(&key).await
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
            self.inner.scan(&prefix, &from, limit).await
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            self.pass().await;
            self.inner.transact(transaction).await
        })
    }

    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        self.inner.changed(prefix, at_most)
    }

    fn value_limit(&self) -> usize {
        self.inner.value_limit()
    }

    fn now(&self) -> BoxFuture<'_, Result<UnixMillis, StoreError>> {
        self.inner.now()
    }

    fn rest(&self) -> BoxFuture<'_, ()> {
        self.inner.rest()
    }
}
