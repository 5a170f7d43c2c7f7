//! Both stores in memory, for tests and measurements: the plainest possible reading of the traits, and so the reference for the others.
//!
//! What must never happen: this store behaves as no durable driver can, because the engine's tests run on it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambient::Time;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::directory::valid;
use super::sqlite::{VALUE_LIMIT, Waiters, at_most};
use super::{Coordination, Guard, Key, Objects, Outcome, StoreError, Transaction, system};
use tlog::UnixMillis;

/// A coordination store that lives as long as the value.
#[derive(Default)]
pub struct MemoryCoordination {
    rows: Mutex<BTreeMap<Key, Bytes>>,
    waiters: Waiters,
    time: Option<Time>,
}

impl MemoryCoordination {
    /// A store without any rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds these rows.
    pub fn with(rows: BTreeMap<Key, Bytes>) -> Self {
        Self {
            rows: Mutex::new(rows),
            ..Self::default()
        }
    }

    /// The store by this clock, instead of the system's.
    #[must_use]
    pub fn by(mut self, time: Time) -> Self {
        self.time = Some(time);
        self
    }

    /// All rows, for assertions.
    pub fn rows(&self) -> BTreeMap<Key, Bytes> {
        lock(&self.rows).clone()
    }

    /// From now on it holds these rows, as after a failover to an older copy; returns those that it had.
    pub fn replace(&self, rows: BTreeMap<Key, Bytes>) -> BTreeMap<Key, Bytes> {
        std::mem::replace(&mut *lock(&self.rows), rows)
    }

    fn apply(&self, transaction: Transaction) -> Outcome {
        if let Some(size) = transaction
            .puts
            .iter()
            .map(|(_, value)| value.len())
            .find(|size| *size > VALUE_LIMIT)
        {
            return Outcome::Failed(StoreError::TooLarge {
                size,
                limit: VALUE_LIMIT,
            });
        }
        let mut rows = lock(&self.rows);
        for guard in &transaction.guards {
            let holds = match guard {
                Guard::Absent(key) => !rows.contains_key(key),
                Guard::Present(key) => rows.contains_key(key),
                Guard::AtMost(key, most) => {
                    match rows.get(key).map(|value| at_most(key, value, *most)) {
                        None => true,
                        Some(Ok(holds)) => holds,
                        Some(Err(error)) => return Outcome::Failed(error),
                    }
                }
                Guard::NoneFrom(prefix, from) => rows
                    .range(prefix.max(from).clone()..)
                    .next()
                    .is_none_or(|(key, _)| !key.starts_with(prefix)),
            };
            if !holds {
                return Outcome::Refused;
            }
        }
        for key in &transaction.deletes {
            rows.remove(key);
        }
        rows.extend(transaction.puts.iter().cloned());
        drop(rows);
        let put = transaction.puts.iter().map(|(key, _)| key.as_str());
        self.waiters
            .changed(put.chain(transaction.deletes.iter().map(String::as_str)));
        Outcome::Committed
    }
}

impl Coordination for MemoryCoordination {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move { Ok(lock(&self.rows).get(&key).cloned()) })
    }

    fn scan(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Key, Bytes)>, StoreError>> {
        let (prefix, from) = (prefix.to_owned(), prefix.max(from).to_owned());
        Box::pin(async move {
            let rows = lock(&self.rows);
            let rows = rows
                .range(from..)
                .take_while(|(key, _)| key.starts_with(&prefix))
                .take(limit);
            Ok(rows
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect())
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.apply(transaction) })
    }

    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        let woken = self.waiters.register(prefix);
        Box::pin(async move {
            // Both a wake-up and the end of the time are an answer.
            let _ = tokio::time::timeout(at_most, woken).await;
        })
    }

    fn value_limit(&self) -> usize {
        VALUE_LIMIT
    }

    fn now(&self) -> BoxFuture<'_, Result<UnixMillis, StoreError>> {
        Box::pin(std::future::ready(match &self.time {
            Some(time) => Ok(UnixMillis::new(time.now_ms())),
            None => system::now(),
        }))
    }
}

/// An object store that lives as long as the value.
#[derive(Default)]
pub struct MemoryObjects(Mutex<BTreeMap<String, Bytes>>);

impl MemoryObjects {
    /// A store without any objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds these objects.
    pub fn with(objects: BTreeMap<String, Bytes>) -> Self {
        Self(Mutex::new(objects))
    }

    /// All objects, for assertions.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.0).clone()
    }
}

impl Objects for MemoryObjects {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            objects.iter().try_for_each(|(path, _)| valid(path))?;
            lock(&self.0).extend(objects);
            Ok(())
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            valid(&path)?;
            Ok(lock(&self.0).get(&path).cloned())
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Box::pin(async move {
            if !prefix.is_empty() {
                valid(&prefix)?;
            }
            let below = |path: &&String| {
                prefix.is_empty()
                    || path
                        .strip_prefix(&prefix)
                        .is_some_and(|rest| rest.starts_with('/'))
            };
            Ok(lock(&self.0).keys().filter(below).cloned().collect())
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            paths.iter().try_for_each(|path| valid(path))?;
            let mut objects = lock(&self.0);
            for path in paths {
                objects.remove(&path);
            }
            Ok(())
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
