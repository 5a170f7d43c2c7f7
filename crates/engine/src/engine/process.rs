//! The work of a process beside its logs: heartbeats, checks of the clock and the free space, the age of the store, logs that other
//! replicas created.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Engine;
use crate::clock::ClockFault;
use crate::heart::{self, ReplicaInfo};
use crate::ingest::full_disk;
use crate::repair::scrub;
use order::StoreAge;
use order::keys::{CLOCK, LOGS};
use order::slot::FORMAT;
use store::{Guard, Outcome, StoreError, Transaction, record};
use tlog::UnixMillis;

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Shortest pause between searches for new logs.
const DISCOVER: Duration = Duration::from_millis(100);
/// Time between sweeps of expired rows.
const SWEEP: Duration = Duration::from_secs(60);
/// The most that the age of a store grows in one such step.
const GROWTH: Duration = Duration::from_secs(120);

impl Engine {
    /// Checks published objects, one place after the other.
    pub(super) async fn scrub(self: Arc<Self>) {
        if !self.merge.writes {
            // No task checks suspected objects.
            return std::future::pending().await;
        }
        scrub::run(|| self.all()).await;
    }

    pub(super) async fn heartbeats(self: Arc<Self>) {
        loop {
            if let Err(e) = self.beat().await {
                tracing::warn!(error = %e, "cannot report to the other replicas");
            }
            // A new generation is reported at once, everything else in the slow rhythm.
            let _ = tokio::time::timeout(HEARTBEAT, self.moved.notified()).await;
        }
    }

    /// Opens the logs that other replicas create.
    pub(super) async fn discover(self: Arc<Self>) {
        loop {
            self.store.changed(LOGS, HEARTBEAT).await;
            if let Err(e) = self.open_new_logs().await {
                tracing::warn!(error = %e, "cannot look for new logs");
            }
            // A store that can't tell what changed wakes at every write.
            tokio::time::sleep(DISCOVER).await;
        }
    }

    /// How far this replica's clock differs from the store's, beyond the duration of the request.
    pub async fn clock_off(&self) -> Result<Duration, StoreError> {
        let before = self.clock.now();
        let time = self.store.now().await?;
        let after = self.clock.now();
        Ok(before.since(time).max(time.since(after.max(before))))
    }

    /// Why nothing is proposed here, if the clock, checked now, cannot be believed.
    pub fn clock_fault(&self) -> Option<ClockFault> {
        self.clock.sound().err()
    }

    /// Adds the time that passed to the age of the store: steady time that some process has spent on it. It never counts more than
    /// has passed, however many processes add to it, and no clock that is set moves it.
    async fn grow_older(&self) -> Result<(), StoreError> {
        let row = match self.store.get(CLOCK).await? {
            Some(row) => record::decode_counted(&row)
                .map(StoreAge::new)
                .map_err(|e| StoreError::Corrupt(format!("{CLOCK}: {e}; run `logd fsck`")))?,
            None => StoreAge::ZERO,
        };
        let steady = self.clock.steady_ms();
        let known = {
            let mut age = self.age.lock().unwrap_or_else(PoisonError::into_inner);
            // A process that was paused for days does not know what others noted meanwhile.
            let passed = |since| Duration::from_millis(steady.saturating_sub(since)).min(GROWTH);
            let own = age.map_or(StoreAge::ZERO, |(age, since)| age + passed(since));
            let known = own.max(row);
            *age = Some((known, steady));
            known
        };
        let transaction = Transaction {
            guards: vec![Guard::AtMost(CLOCK.to_owned(), known.get())],
            puts: vec![(CLOCK.to_owned(), record::encode_counted(known.get()))],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
            Outcome::Committed | Outcome::Refused => Ok(()),
        }
    }

    /// Bytes free for new objects, where the store can tell.
    pub async fn free(&self) -> Result<Option<u64>, StoreError> {
        self.objects.free().await
    }

    /// Bytes that stay free.
    pub fn reserve(&self) -> u64 {
        self.min_free
    }

    /// The time by the clock of the coordination store.
    pub async fn now(&self) -> Result<UnixMillis, StoreError> {
        self.store.now().await
    }

    /// Tells the other replicas what this one runs; compares the clocks; forgets replicas that are long gone.
    pub(super) async fn beat(&self) -> Result<(), StoreError> {
        let time = self.compare_clocks().await?;
        let runs = self.all();
        let runs = runs
            .iter()
            .map(|log| (log.name(), log.running.now.load().generation));
        let mut heart = self.heart.lock().await;
        let live = heart.beat(&*self.store, time, runs).await?;
        self.formats.heard(FORMAT, live.into_iter());
        Ok(())
    }

    /// Compares the clock of this process with the store's, whose time it returns.
    pub(super) async fn compare_clocks(&self) -> Result<UnixMillis, StoreError> {
        let before = self.clock.now();
        let time = self.store.now().await?;
        self.clock.compare(before, time, self.clock.now());
        let _ = self.clock.sound();
        Ok(time)
    }

    pub(super) async fn watch_space(self: Arc<Self>) {
        full_disk::watch(&*self.objects, self.min_free, &self.low_space).await;
    }

    pub(super) async fn sweep(self: Arc<Self>) {
        loop {
            if let Err(e) = self.grow_older().await {
                tracing::warn!(error = %e, "cannot note the age of the store");
            }
            tokio::time::sleep(SWEEP).await;
            // With a wrong clock, rows that are still needed would have expired.
            if self.clock.sound().is_ok()
                && let Err(e) = self.sweep_memory().await
            {
                tracing::warn!(error = %e, "cannot sweep the memory");
            }
        }
    }

    /// Every live replica, with the generation it runs of `log`.
    pub async fn replicas(&self, log: Option<&str>) -> Result<Vec<ReplicaInfo>, StoreError> {
        heart::replicas(&*self.store, log).await
    }

    /// The processes whose heartbeats ended without a clean stop. They are listed for an hour, or until a process of the same host and role
    /// starts.
    pub async fn silent(&self) -> Result<Vec<ReplicaInfo>, StoreError> {
        heart::silent(&*self.store).await
    }
}
