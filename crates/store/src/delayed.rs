//! Slow stores: a wrapper around any driver that delays each operation. For tests and measurements of a
//! store across a network; off by default.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Coordination, Key, Objects, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// A coordination store whose every operation takes at least this long.
pub struct DelayedCoordination {
    inner: Arc<dyn Coordination>,
    delay: Duration,
}

impl DelayedCoordination {
    /// Every operation on `inner` takes `delay` longer.
    pub fn new(inner: Arc<dyn Coordination>, delay: Duration) -> Self {
        Self { inner, delay }
    }
}

impl Coordination for DelayedCoordination {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
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
            tokio::time::sleep(self.delay).await;
            self.inner.scan(&prefix, &from, limit).await
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
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

/// An object store whose every operation takes at least this long.
pub struct DelayedObjects {
    inner: Arc<dyn Objects>,
    delay: Duration,
}

impl DelayedObjects {
    /// Every operation on `inner` takes `delay` longer.
    pub fn new(inner: Arc<dyn Objects>, delay: Duration) -> Self {
        Self { inner, delay }
    }
}

impl Objects for DelayedObjects {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.inner.put(objects).await
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.inner.get(&path).await
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.inner.list(&prefix).await
        })
    }

    fn names(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.inner.names(&prefix).await
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.inner.delete(paths).await
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.inner.free()
    }
}
