//! Fault injection: a wrapper around any driver, for tests of the code above it.
//!
//! What must never happen: a fault that no real store can have (a transaction applied in part, `Refused` although it was applied).
//! Everything else is fair.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::{Coordination, Key, Objects, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// The fault of one operation.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Not applied, and the caller is told so.
    Fail(StoreError),
    /// Not applied; the caller is told that the outcome is unknown (an object store has no such answer: an error).
    Lose,
    /// Applied; the caller is told that the outcome is unknown.
    Unknown,
    /// The caller is told that the outcome is unknown; applied when [`Faults::release`] is called: a zombie. A read fails.
    Hold,
    /// The call waits until [`Faults::release`], then goes ahead.
    Stall,
    /// The first so many objects of a `put` are applied, then it fails; for other operations the same as [`Fault::Lose`].
    Partial(usize),
}

impl Fault {
    /// The fault of a full disk.
    pub fn full() -> Self {
        Self::Fail(StoreError::Full("injected".into()))
    }
}

/// An operation that may fail.
#[derive(Debug)]
pub enum Operation<'a> {
    /// A `get` of this key or path.
    Get(&'a str),
    /// A `scan` or `list` under this prefix.
    Scan(&'a str),
    /// A `transact` with its guards and writes.
    Transact(&'a Transaction),
    /// A `put` of objects.
    Put(&'a [(String, Bytes)]),
    /// A `delete` of objects.
    Delete(&'a [String]),
}

impl Operation<'_> {
    /// Whether the operation changes the store.
    pub fn writes(&self) -> bool {
        !matches!(self, Operation::Get(_) | Operation::Scan(_))
    }
}

type Plan = Box<dyn FnMut(u64, &Operation<'_>) -> Option<Fault> + Send>;
type Held = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Says which operations fail. One may serve several drivers; then they share the count.
#[derive(Clone)]
pub struct Faults(Arc<State>);

struct State {
    plan: Mutex<Option<Plan>>,
    operations: AtomicU64,
    held: Mutex<Vec<Held>>,
    releases: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(State {
            plan: Mutex::default(),
            operations: AtomicU64::new(0),
            held: Mutex::default(),
            releases: watch::Sender::new(0),
        }))
    }
}

impl Faults {
    /// No operation fails until a plan is made.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `plan` about every operation from now on, with its number (from 0). It replaces any earlier plan.
    pub fn plan(&self, plan: impl FnMut(u64, &Operation<'_>) -> Option<Fault> + Send + 'static) {
        let mut slot = lock(&self.0.plan);
        *slot = Some(Box::new(plan));
        self.0.operations.store(0, Ordering::SeqCst);
    }

    /// The `n`-th writing operation from now (0 is the next) has this fault; all others work.
    pub fn nth_write(&self, n: u64, fault: Fault) {
        let mut seen = 0;
        self.plan(move |_, operation| {
            let hit = operation.writes() && seen == n;
            seen += u64::from(operation.writes());
            hit.then(|| fault.clone())
        });
    }

    /// The `n`-th operation of any kind from now (0 is the next) has this fault; all others work.
    pub fn nth(&self, n: u64, fault: Fault) {
        self.plan(move |number, _| (number == n).then(|| fault.clone()));
    }

    /// Every writing operation has this fault until [`Faults::clear`].
    pub fn every_write(&self, fault: Fault) {
        self.plan(move |_, operation| operation.writes().then(|| fault.clone()));
    }

    /// Makes everything work again. Held operations stay held.
    pub fn clear(&self) {
        *lock(&self.0.plan) = None;
    }

    /// Operations since the last [`Faults::plan`], the failed ones too.
    pub fn operations(&self) -> u64 {
        self.0.operations.load(Ordering::SeqCst)
    }

    /// Writes that are held back.
    pub fn held(&self) -> usize {
        lock(&self.0.held).len()
    }

    /// Applies held operations in their order, and lets stalled calls continue.
    pub async fn release(&self) {
        let held = std::mem::take(&mut *lock(&self.0.held));
        for apply in held {
            apply().await;
        }
        self.0.releases.send_modify(|releases| *releases += 1);
    }

    /// The fault for this operation; waits while it is stalled.
    async fn next(&self, operation: Operation<'_>) -> Option<Fault> {
        // Subscribed before the plan is asked, so that no release is missed.
        let mut releases = self.0.releases.subscribe();
        let fault = {
            let mut plan = lock(&self.0.plan);
            let number = self.0.operations.fetch_add(1, Ordering::SeqCst);
            plan.as_mut().and_then(|plan| plan(number, &operation))
        };
        if matches!(fault, Some(Fault::Stall)) {
            // The sender lives as long as `self`.
            let _ = releases.changed().await;
            return None;
        }
        fault
    }

    async fn read(&self, operation: Operation<'_>) -> Result<(), StoreError> {
        match self.next(operation).await {
            None => Ok(()),
            Some(Fault::Fail(error)) => Err(error),
            Some(_) => Err(injected()),
        }
    }

    fn hold(&self, held: Held) {
        lock(&self.0.held).push(held);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn injected() -> StoreError {
    StoreError::Io("injected".into())
}

/// A coordination store with faults.
pub struct FaultyCoordination {
    inner: Arc<dyn Coordination>,
    faults: Faults,
}

impl FaultyCoordination {
    /// Passes operations to `inner`, except where `faults` has one.
    pub fn new(inner: Arc<dyn Coordination>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl Coordination for FaultyCoordination {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.faults.read(Operation::Get(&key)).await?;
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
            self.faults.read(Operation::Scan(&prefix)).await?;
            self.inner.scan(&prefix, &from, limit).await
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.faults.next(Operation::Transact(&transaction)).await {
                None | Some(Fault::Stall) => self.inner.transact(transaction).await,
                Some(Fault::Fail(error)) => Outcome::Failed(error),
                Some(Fault::Lose | Fault::Partial(_)) => Outcome::Unknown(injected()),
                Some(Fault::Unknown) => match self.inner.transact(transaction).await {
                    Outcome::Committed | Outcome::Refused => Outcome::Unknown(injected()),
                    other => other,
                },
                Some(Fault::Hold) => {
                    let inner = self.inner.clone();
                    self.faults.hold(Box::new(move || {
                        Box::pin(async move {
                            // Nobody is left to hear the outcome.
                            let _ = inner.transact(transaction).await;
                        })
                    }));
                    Outcome::Unknown(injected())
                }
            }
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

/// An object store with faults.
pub struct FaultyObjects {
    inner: Arc<dyn Objects>,
    faults: Faults,
}

impl FaultyObjects {
    /// Passes operations to `inner`, except where `faults` has one.
    pub fn new(inner: Arc<dyn Objects>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl Objects for FaultyObjects {
    fn put(&self, mut objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.faults.next(Operation::Put(&objects)).await {
                None | Some(Fault::Stall) => self.inner.put(objects).await,
                Some(Fault::Fail(error)) => Err(error),
                Some(Fault::Lose) => Err(injected()),
                Some(Fault::Unknown) => self.inner.put(objects).await.and(Err(injected())),
                Some(Fault::Partial(first)) => {
                    objects.truncate(first);
                    self.inner.put(objects).await.and(Err(injected()))
                }
                Some(Fault::Hold) => {
                    let inner = self.inner.clone();
                    self.faults.hold(Box::new(move || {
                        Box::pin(async move {
                            // Nobody is left to hear the outcome.
                            let _ = inner.put(objects).await;
                        })
                    }));
                    Err(injected())
                }
            }
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            self.faults.read(Operation::Get(&path)).await?;
            self.inner.get(&path).await
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.faults.read(Operation::Scan(&prefix)).await?;
            self.inner.list(&prefix).await
        })
    }

    fn names(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.faults.read(Operation::Scan(&prefix)).await?;
            self.inner.names(&prefix).await
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.faults.next(Operation::Delete(&paths)).await {
                None | Some(Fault::Stall) => self.inner.delete(paths).await,
                Some(Fault::Fail(error)) => Err(error),
                Some(Fault::Unknown) => self.inner.delete(paths).await.and(Err(injected())),
                Some(Fault::Lose | Fault::Hold | Fault::Partial(_)) => Err(injected()),
            }
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.inner.free()
    }
}
