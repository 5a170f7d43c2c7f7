//! One life of one process: it runs, stands still, or is dead, and its hold on stores and network with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use tokio::sync::watch;

use crate::random::Dice;
use crate::trace::Trace;

/// How often things go wrong, in millionths of all operations. Hot: the life changes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// A write fails, and was not applied.
    pub fails: u32,
    /// The outcome of a write is lost: it was applied, or not, or is later.
    pub unknown: u32,
    /// A read of a store fails.
    pub reads: u32,
    /// The store says that it is full.
    pub full: u32,
    /// An operation takes up to [`Rates::slow_ms`].
    pub slow: u32,
    /// The longest of those.
    pub slow_ms: u64,
    /// A request to a peer is lost, or its answer is.
    pub network: u32,
    /// The process dies at an operation.
    pub crash: u32,
    /// An operation takes this long in any case, at most.
    pub latency_ms: u64,
    /// A write of the row by which a change on probation is reversed fails.
    pub probations: u32,
}

/// How much longer the operations of a process take than those of others, at most, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Until a read is answered.
    pub reads: u64,
    /// Writes, until they are applied.
    pub writes: u64,
    /// Writes that are applied, until somebody knows it.
    pub answers: u64,
    /// So many of these answers, in millionths, never come.
    pub lost: u32,
}

/// Whether a process does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Runs,
    /// It stands still, as after SIGSTOP.
    Paused,
    Dead,
}

/// A life of a process. What it does to the world waits for [`Process::until_running`], so a dead one does nothing.
#[derive(Debug)]
pub struct Process {
    /// Its name in the trace.
    pub name: String,
    condition: watch::Sender<Condition>,
    dice: Mutex<Dice>,
    rates: Arc<Mutex<Rates>>,
    /// The clocks that it reads.
    pub clocks: Moved,
    /// The trace of the life.
    pub trace: Arc<Trace>,
    /// By path of the checkpoint: the largest size that it has read as published.
    published: Mutex<BTreeMap<String, u64>>,
    /// Its operations take up to so many milliseconds more than those of others.
    lag_ms: [AtomicU64; 3],
    /// How many of its answers are lost, in millionths.
    lost: AtomicU32,
}

impl Process {
    /// A process that runs.
    pub fn new(
        name: String,
        dice: Dice,
        rates: Arc<Mutex<Rates>>,
        clocks: Moved,
        trace: Arc<Trace>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            condition: watch::Sender::new(Condition::Runs),
            dice: Mutex::new(dice),
            rates,
            clocks,
            trace,
            published: Mutex::default(),
            lag_ms: Default::default(),
            lost: AtomicU32::new(0),
        })
    }

    /// The random decisions of this process.
    pub fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has read that so many entries of a shard are published; by the path of its checkpoint.
    pub fn learns(&self, path: String, size: u64) {
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let most = published.entry(path).or_default();
        *most = size.max(*most);
    }

    /// The largest size that it has read as published.
    pub fn knows(&self, path: &str) -> u64 {
        let published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        published.get(path).copied().unwrap_or(0)
    }

    /// Its operations take up to so many milliseconds more from now on.
    pub fn lag(&self, lag: Lag) {
        for (kept, most) in self.lag_ms.iter().zip([lag.reads, lag.writes, lag.answers]) {
            kept.store(most, Relaxed);
        }
        self.lost.store(lag.lost, Relaxed);
    }

    /// Whether the answer to a write that was applied never comes.
    pub fn loses_answer(&self) -> bool {
        let lost = self.lost.load(Relaxed);
        self.dice().chance(lost)
    }

    /// How often things go wrong now.
    pub fn rates(&self) -> Rates {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.clone()
    }

    /// Ends it at once: nothing that it has begun continues.
    pub fn kill(&self) {
        self.condition.send_replace(Condition::Dead);
    }

    /// Whether it is dead.
    pub fn is_dead(&self) -> bool {
        *self.condition.borrow() == Condition::Dead
    }

    /// Stops it, or lets it continue. A dead one stays dead.
    pub fn pause(&self, paused: bool) {
        self.condition.send_if_modified(|condition| {
            let next = match paused {
                true => Condition::Paused,
                false => Condition::Runs,
            };
            let changes = *condition != Condition::Dead && *condition != next;
            if changes {
                *condition = next;
            }
            changes
        });
    }

    /// Resolves when it is dead.
    pub async fn dead(&self) {
        let mut condition = self.condition.subscribe();
        let _ = condition.wait_for(|now| *now == Condition::Dead).await;
    }

    /// Passed before and after each effect: never by a dead process, and not while it stands still.
    pub async fn until_running(&self) {
        if self.trace.is_over() {
            std::future::pending::<()>().await;
        }
        if *self.condition.borrow() == Condition::Runs {
            return;
        }
        let mut condition = self.condition.subscribe();
        loop {
            match *condition.borrow_and_update() {
                Condition::Runs => return,
                Condition::Dead => break,
                Condition::Paused => {}
            }
            if condition.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// The time that a read takes.
    pub async fn wait(&self, rates: &Rates) {
        self.wait_long(rates, &self.lag_ms[0]).await;
    }

    /// The time until a write is applied.
    pub async fn wait_to_write(&self, rates: &Rates) {
        self.wait_long(rates, &self.lag_ms[1]).await;
    }

    /// The time until its answer is there.
    pub async fn wait_for_answer(&self, rates: &Rates) {
        self.wait_long(rates, &self.lag_ms[2]).await;
    }

    async fn wait_long(&self, rates: &Rates, lag: &AtomicU64) {
        let time = {
            let mut dice = self.dice();
            let slow = dice.chance(rates.slow);
            match (slow, rates.latency_ms) {
                (true, _) => dice.spread(1, rates.slow_ms),
                (false, 0) => 0,
                (false, most) => dice.between(0, most),
            }
        };
        let time = match lag.load(Relaxed) {
            0 => time,
            lag => time + self.dice().between(0, lag),
        };
        match time {
            0 => tokio::task::yield_now().await,
            ms => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        self.until_running().await;
    }

    /// Whether it dies now, as the rates have it.
    pub fn dies(&self, rates: &Rates) -> bool {
        let dies = self.dice().chance(rates.crash);
        if dies {
            self.trace.say(format_args!("{} dies", self.name));
            self.kill();
        }
        dies
    }
}
