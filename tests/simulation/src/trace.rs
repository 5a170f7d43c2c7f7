//! What happened in a life: a hash over every step, and lines that a person can follow.

use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The most operations in a life: many times what the longest that ended had. A life that does not end ends here.
const MOST_STEPS: u64 = 5_000_000;

/// How much of a life is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What a person wants to read.
    Events,
    /// Every operation of a store, too.
    Steps,
    /// All of that, printed at once: for a life that does not end.
    Follow,
}

/// The trace of one life.
#[derive(Debug)]
pub struct Trace {
    began: Instant,
    /// Time that passed while everything stood still, milliseconds.
    skipped: Mutex<u64>,
    inner: Mutex<Inner>,
    /// There were too many operations: from now on nobody gets any further.
    over: AtomicBool,
    ends: Notify,
}

#[derive(Debug)]
struct Inner {
    hash: u64,
    steps: u64,
    lines: Vec<String>,
    /// Every step gets a line, too.
    whole: bool,
    /// Lines are printed at once: for lives that do not end.
    follow: bool,
}

impl Trace {
    /// A trace that begins now.
    pub fn new(detail: Detail) -> Self {
        Self {
            began: Instant::now(),
            skipped: Mutex::new(0),
            inner: Mutex::new(Inner {
                hash: 0xcbf2_9ce4_8422_2325,
                steps: 0,
                lines: Vec::new(),
                whole: detail >= Detail::Steps,
                follow: detail == Detail::Follow,
            }),
            over: AtomicBool::new(false),
            ends: Notify::new(),
        }
    }

    /// Whether there were too many operations: no process gets any further.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Resolves when there were too many operations.
    pub async fn over(&self) {
        self.ends.notified().await;
    }

    /// Time passes while everything stands still.
    pub fn skip(&self, ms: u64) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) += ms;
    }

    /// How long the life has lasted.
    pub fn age(&self) -> Duration {
        let skipped = *self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        self.began.elapsed() + Duration::from_millis(skipped)
    }

    /// How long of that the processes could run.
    pub fn awake(&self) -> Duration {
        self.began.elapsed()
    }

    /// Something that a person wants to read.
    pub fn say(&self, what: Arguments<'_>) {
        let text = what.to_string();
        let age = self.age();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.mix(text.as_bytes(), age);
        inner.line(format!("{} {text}", clock(age)));
    }

    /// An operation: who, on what, and how it went.
    pub fn step(&self, who: &str, what: &str, on: &str, how: &str) {
        let age = self.age();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for part in [who, what, on, how] {
            inner.mix(part.as_bytes(), age);
        }
        inner.steps += 1;
        if inner.steps == MOST_STEPS {
            self.over.store(true, Relaxed);
            self.ends.notify_one();
        }
        if inner.whole {
            let line = format!("{}     {who} {what} {on} {how}", clock(age));
            inner.line(line);
        }
    }

    /// The hash over everything so far, and how many operations there were.
    pub fn hash(&self) -> (u64, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.hash, inner.steps)
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.lines.clone()
    }
}

impl Inner {
    fn line(&mut self, line: String) {
        if self.follow {
            println!("{line}");
        }
        self.lines.push(line);
    }

    /// FNV-1a over the bytes and the time.
    fn mix(&mut self, bytes: &[u8], age: Duration) {
        let time = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        for byte in bytes.iter().copied().chain(time.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The age of a life as `DAYd HH:MM:SS.mmm`.
fn clock(age: Duration) -> String {
    let ms = age.as_millis();
    let (s, ms) = (ms / 1000, ms % 1000);
    let (days, s) = (s / 86_400, s % 86_400);
    format!(
        "{days:>4}d {:02}:{:02}:{:02}.{ms:03}",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}
