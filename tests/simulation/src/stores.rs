//! A process's hold on the stores: every operation takes time, fails, is lost, or is the last thing that the process does.
//!
//! What must never happen here: a fault that no real store can have. A transaction is applied whole or not at all; `Refused` and `Failed`
//! are true; an object is there whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use ambient::testing::Moved;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use store::{
    Coordination, Key, MemoryCoordination, MemoryObjects, Objects, Outcome, StoreError,
    Transaction, record,
};

use tlog::UnixMillis;

use crate::judge::Judge;
use crate::process::{Process, Rates};
use crate::versions;

/// Told of every object or row that is put, when it is there.
pub type Watcher = Arc<dyn Fn(&str, &Bytes) + Send + Sync>;

fn injected() -> StoreError {
    StoreError::Io("injected".to_owned())
}

/// The fate of a write.
enum Fate {
    Applied,
    /// Applied, and nobody is told.
    Silent,
    /// Not applied, and the caller is told so.
    Failed,
    Full,
    /// Not applied, and nobody is told.
    Lost,
    /// Applied after this time, whatever becomes of the caller.
    Late(Duration),
    /// Applied now, and once more after this time.
    Twice(Duration),
}

fn fate(process: &Process, rates: &Rates) -> Fate {
    let mut dice = process.dice();
    if dice.chance(rates.fails) {
        return Fate::Failed;
    }
    if dice.chance(rates.full) {
        return Fate::Full;
    }
    if !dice.chance(rates.unknown) {
        return Fate::Applied;
    }
    match dice.between(0, 4) {
        0 => Fate::Lost,
        1 => Fate::Late(dice.span(1, 60_000)),
        2 => Fate::Twice(dice.span(1, 60_000)),
        _ => Fate::Silent,
    }
}

/// Whether the store fails because this is the row by which a change on probation is reversed.
fn on_probation(process: &Process, rates: &Rates, transaction: &Transaction) -> bool {
    let mut puts = transaction.puts.iter();
    rates.probations > 0
        && puts.any(|(key, _)| key.contains("/probation/"))
        && process.dice().chance(rates.probations)
}

/// A hold on a coordination store.
pub struct HeldCoordination {
    process: Arc<Process>,
    inner: Arc<MemoryCoordination>,
    /// The clock of the store.
    clock: Moved,
    /// It is in the process itself: nothing is written after its end.
    local: bool,
    /// The largest value that it says it takes, where the store's own limit does not count.
    values: Option<usize>,
    /// Told of every row that is put.
    watcher: Option<Watcher>,
    /// The newest slot format that its process understands, if it is an older one.
    older: Option<u32>,
}

/// Applies a transaction; the watcher is told of its rows at that moment.
async fn applied(
    inner: &MemoryCoordination,
    watcher: Option<&Watcher>,
    transaction: Transaction,
) -> Outcome {
    let Some(watcher) = watcher else {
        return inner.transact(transaction).await;
    };
    let puts = transaction.puts.clone();
    let outcome = inner.transact(transaction).await;
    if let Outcome::Committed = outcome {
        puts.iter().for_each(|(key, row)| watcher(key, row));
    }
    outcome
}

impl HeldCoordination {
    /// The hold of this process on a store with this clock.
    pub fn new(process: Arc<Process>, inner: Arc<MemoryCoordination>, clock: Moved) -> Self {
        Self {
            process,
            inner,
            clock,
            local: false,
            values: None,
            watcher: None,
            older: None,
        }
    }

    /// A store that says that it takes values of so many bytes.
    #[must_use]
    pub fn with_values(mut self, values: Option<usize>) -> Self {
        self.values = values;
        self
    }

    /// A store whose rows somebody is told of.
    #[must_use]
    pub fn watched(mut self, watcher: Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// The store of a process that understands slots up to this format.
    #[must_use]
    pub fn of_version(mut self, older: Option<u32>) -> Self {
        self.older = older;
        self
    }

    /// A store in the process itself: no write of it comes late.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    async fn read<T>(
        &self,
        what: &str,
        on: &str,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.process.until_running().await;
        let rates = self.process.rates();
        self.process.wait(&rates).await;
        let failed = self.process.dice().chance(rates.reads);
        let result = match failed {
            true => Err(injected()),
            false => read.await,
        };
        let how = if result.is_ok() { "" } else { "fails" };
        self.process.trace.step(&self.process.name, what, on, how);
        self.process.until_running().await;
        result
    }
}

impl Coordination for HeldCoordination {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            let read = async {
                let row = self.inner.get(&key).await;
                if let Ok(Some(row)) = &row
                    && let Some(path) = checkpoint_of(&key)
                {
                    self.process
                        .learns(path, record::decode_number(row).unwrap_or(0));
                }
                row
            };
            self.read("get", &key, read).await
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
            let read = self.inner.scan(&prefix, &from, limit);
            self.read("scan", &from, read).await
        })
    }

    fn transact(&self, mut transaction: Transaction) -> BoxFuture<'_, Outcome> {
        if let Some(older) = self.older {
            for (key, row) in &mut transaction.puts {
                if let Some(aged) = versions::aged(key, row, older) {
                    *row = aged;
                }
            }
        }
        Box::pin(async move {
            let process = &self.process;
            process.until_running().await;
            let rates = process.rates();
            process.wait_to_write(&rates).await;
            if process.dies(&rates) {
                process.until_running().await;
            }
            let first = transaction.puts.first().map(|(key, _)| key.clone());
            let on = first.or_else(|| transaction.deletes.first().cloned());
            let on = on.unwrap_or_default();
            let again = |after| {
                let (inner, transaction) = (Arc::clone(&self.inner), transaction.clone());
                let watcher = self.watcher.clone();
                let (trace, name, on) =
                    (Arc::clone(&process.trace), process.name.clone(), on.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    let outcome = applied(&inner, watcher.as_ref(), transaction).await;
                    trace.step(&name, "late", &on, word(&outcome));
                });
            };
            let apply = |transaction| applied(&self.inner, self.watcher.as_ref(), transaction);
            let unknown = || Outcome::Unknown(injected());
            let fate = match on_probation(process, &rates, &transaction) {
                true => Fate::Failed,
                false => fate(process, &rates),
            };
            let outcome = match fate {
                Fate::Applied => apply(transaction).await,
                Fate::Failed => Outcome::Failed(injected()),
                Fate::Full => Outcome::Failed(StoreError::Full("injected".to_owned())),
                Fate::Lost => unknown(),
                Fate::Silent => match apply(transaction).await {
                    Outcome::Committed | Outcome::Refused => unknown(),
                    other => other,
                },
                Fate::Late(_) if self.local => unknown(),
                Fate::Twice(_) if self.local => apply(transaction).await,
                Fate::Late(after) => {
                    again(after);
                    unknown()
                }
                Fate::Twice(after) => {
                    again(after);
                    apply(transaction).await
                }
            };
            process
                .trace
                .step(&process.name, "transact", &on, word(&outcome));
            if process.dies(&rates) {
                process.until_running().await;
            }
            process.wait_for_answer(&rates).await;
            match outcome {
                Outcome::Committed | Outcome::Refused if process.loses_answer() => unknown(),
                outcome => outcome,
            }
        })
    }

    fn changed(&self, prefix: &str, at_most: Duration) -> BoxFuture<'_, ()> {
        let changed = self.inner.changed(prefix, at_most);
        Box::pin(async move {
            changed.await;
            self.process.until_running().await;
        })
    }

    fn value_limit(&self) -> usize {
        self.values.unwrap_or_else(|| self.inner.value_limit())
    }

    fn now(&self) -> BoxFuture<'_, Result<UnixMillis, StoreError>> {
        Box::pin(async move {
            let time = async { Ok(UnixMillis::new(self.clock.time().now_ms())) };
            self.read("now", "", time).await
        })
    }
}

/// The checkpoint whose size this row has, if it is the row of a published position.
fn checkpoint_of(key: &str) -> Option<String> {
    let (log, shard) = key.strip_prefix("log/")?.split_once("/published/")?;
    Some(format!("{log}/{shard}/checkpoint"))
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::Refused => "refused",
        Outcome::Failed(_) => "failed",
        Outcome::Unknown(_) => "unknown",
    }
}

/// A hold on an object store.
pub struct HeldObjects {
    process: Arc<Process>,
    inner: Arc<MemoryObjects>,
    watcher: Watcher,
    /// Readers of the log come here: what is put is judged before it is there.
    judge: Option<Arc<Judge>>,
}

impl HeldObjects {
    /// The hold of this process on a store; `watcher` is told of every object that is put.
    pub fn new(process: Arc<Process>, inner: Arc<MemoryObjects>, watcher: Watcher) -> Self {
        Self {
            process,
            inner,
            watcher,
            judge: None,
        }
    }

    /// The log's own store: nobody puts a checkpoint there whose successor it has seen.
    #[must_use]
    pub fn judged(mut self, judge: Arc<Judge>) -> Self {
        self.judge = Some(judge);
        self
    }

    fn look(&self, objects: &[(String, Bytes)]) {
        let Some(judge) = &self.judge else { return };
        for (path, bytes) in objects.iter().filter(|(p, _)| p.ends_with("/checkpoint")) {
            let size = crate::frontends::read(bytes).map_or(0, |(size, _)| size);
            let newest = self.process.knows(path);
            if size < newest {
                let what = format!("{}, {path}: {size}, has read {newest}", self.process.name);
                judge.object("nobody shows less than it knows to be published", what);
            }
        }
    }

    async fn read<T>(
        &self,
        what: &str,
        on: &str,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.process.until_running().await;
        let rates = self.process.rates();
        self.process.wait(&rates).await;
        let failed = self.process.dice().chance(rates.reads);
        let result = match failed {
            true => Err(injected()),
            false => read.await,
        };
        let how = if result.is_ok() { "" } else { "fails" };
        self.process.trace.step(&self.process.name, what, on, how);
        self.process.until_running().await;
        result
    }

    /// Puts some of these, one after the other: a process that dies on the way leaves a part.
    async fn some(&self, objects: Vec<(String, Bytes)>, rates: &Rates) -> Result<(), StoreError> {
        for (path, bytes) in objects {
            self.process.until_running().await;
            self.inner.put(vec![(path.clone(), bytes.clone())]).await?;
            (self.watcher)(&path, &bytes);
            if self.process.dies(rates) {
                self.process.until_running().await;
            }
        }
        Ok(())
    }
}

impl Objects for HeldObjects {
    fn put(&self, mut objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let process = &self.process;
            self.look(&objects);
            process.until_running().await;
            let rates = process.rates();
            process.wait_to_write(&rates).await;
            let on = objects.first().map(|(path, _)| path.clone());
            let on = on.unwrap_or_default();
            let result = match fate(process, &rates) {
                Fate::Applied | Fate::Twice(_) => self.some(objects, &rates).await,
                Fate::Full => Err(StoreError::Full("injected".to_owned())),
                Fate::Failed | Fate::Lost => Err(injected()),
                Fate::Silent => self.some(objects, &rates).await.and(Err(injected())),
                Fate::Late(_) => {
                    let kept = process.dice().between(0, objects.len() as u64);
                    objects.truncate(usize::try_from(kept).unwrap_or(0));
                    self.some(objects, &rates).await.and(Err(injected()))
                }
            };
            let how = if result.is_ok() { "" } else { "fails" };
            process.trace.step(&process.name, "put", &on, how);
            process.wait_for_answer(&rates).await;
            result
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move { self.read("get", &path, self.inner.get(&path)).await })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.read("list", &prefix, self.inner.list(&prefix)).await })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let process = &self.process;
            process.until_running().await;
            let rates = process.rates();
            process.wait_to_write(&rates).await;
            let failed = process.dice().chance(rates.fails);
            let on = paths.first().cloned().unwrap_or_default();
            let result = match failed {
                true => Err(injected()),
                false => self.inner.delete(paths).await,
            };
            let how = if result.is_ok() { "" } else { "fails" };
            process.trace.step(&process.name, "delete", &on, how);
            process.until_running().await;
            result
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.inner.free()
    }
}
