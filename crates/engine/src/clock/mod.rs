//! Checks the clocks of a process: the wall clock, which anybody may set, against a steady one, which nobody can set.
//!
//! What must never happen: the time of one bad clock stays in a log for good. A slot's time never goes back, so a committer calls
//! [`Clock::sound`] before it proposes a slot. `sound` compares the progress of the two clocks. After a jump, nothing is proposed until the
//! wall clock is back, or has been off by at least that much for as long as it is off; only a process that starts on it believes a jump of
//! more than a day. So a correction of some seconds costs seconds, and a date that is years off costs only the time until somebody corrects
//! it.
//!
//! If a wrong age would lose or double something, the age of the store is used instead of the wall clock: the steady time that some
//! process has spent on it ([`crate::engine`] keeps it, under `clock`).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambient::Time;
use logconfig::Span;
use order::mutant::{Mutant, left_out};
use tlog::UnixMillis;

/// How much the wall clock may gain or lose against the steady one between two checks, and differ from the store's, milliseconds.
pub(crate) const LIMIT_MS: u64 = 5_000;
/// The most that counts of the time between two looks at a jump, milliseconds. A process that runs looks every two seconds.
const GAP_MS: u64 = 5_000;
/// The longest jump that a running process believes, milliseconds.
const BELIEVED_MS: u64 = 86_400_000;

/// Why the wall clock is not believed now; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The wall clock jumped.
    #[error(
        "the clock of this server jumped {} by {}; set it right, or restart logd if it is right now",
        if *.by_ms > 0 { "ahead" } else { "back" },
        span(*.by_ms)
    )]
    Jumped {
        /// Milliseconds ahead of where it should be; less than zero for a clock that went back.
        by_ms: i64,
    },
    /// The clock differs from the store's.
    #[error("the clock of this server is {} the store's by {}; synchronise both",
        if *.by_ms > 0 { "ahead of" } else { "behind" },
        span(*.by_ms)
    )]
    Apart {
        /// Milliseconds ahead of the store's; less than zero for a clock that is behind.
        by_ms: i64,
    },
}

fn span(by_ms: i64) -> Span {
    let seconds = by_ms.unsigned_abs().div_ceil(1_000);
    // A difference of years is shown without seconds.
    Span::from_secs(match seconds {
        ..3_600 => seconds,
        3_600..172_800 => seconds / 60 * 60,
        _ => seconds / 86_400 * 86_400,
    })
}

/// The clocks of a process, and whether they are believed; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    time: Time,
    watch: Mutex<Watch>,
    /// Set while `watch` has a fault, for callers that ask often.
    faulty: AtomicBool,
}

/// The state of the wall clock. Pure: every time is an argument, in milliseconds.
#[derive(Debug, Default)]
struct Watch {
    /// The wall clock and the steady one, when they were last believed.
    believed: Option<(u64, u64)>,
    jump: Option<Jump>,
    /// Milliseconds ahead of the store's clock.
    apart: Option<i64>,
}

/// A jump that is not believed yet.
#[derive(Debug)]
struct Jump {
    /// How far the clock has been off at least. A clock that comes back step by step does not have to wait longer.
    least: i64,
    /// Milliseconds for which it was seen to be off.
    stayed: u64,
    /// The steady time of the last look.
    looked: u64,
}

fn off(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(i64::MAX)
}

/// Whether a clock that is off by `by` now has been off by `least` or more all the time: it is off in the same direction, and not less now.
fn is_beyond(least: i64, by: i64) -> bool {
    least.signum() == by.signum() && by.unsigned_abs() <= least.unsigned_abs() + LIMIT_MS
}

impl Watch {
    fn look(&mut self, wall: u64, steady: u64) -> Result<(), ClockFault> {
        let (before, since) = *self.believed.get_or_insert((wall, steady));
        let expected = before.saturating_add(steady.saturating_sub(since));
        let by = off(wall, expected);
        if by.unsigned_abs() > LIMIT_MS {
            let jump = match &mut self.jump {
                Some(jump) if is_beyond(jump.least, by) => jump,
                _ => self.jump.insert(Jump {
                    least: by,
                    stayed: 0,
                    looked: steady,
                }),
            };
            // Nearer than before: the wait is shorter, and the time waited so far counts.
            if by.unsigned_abs() < jump.least.unsigned_abs() {
                jump.least = by;
            }
            // A machine that sleeps with a wrong clock must not believe it when it wakes, before anybody can have set it right.
            jump.stayed += steady.saturating_sub(jump.looked).min(GAP_MS);
            jump.looked = steady;
            let long = by.unsigned_abs() > BELIEVED_MS || jump.stayed < by.unsigned_abs();
            if long || self.apart.is_some() {
                return Err(ClockFault::Jumped { by_ms: by });
            }
        }
        // A clock that is slewed slowly stays believed.
        self.believed = Some((wall, steady));
        self.jump = None;
        match self.apart {
            Some(by_ms) => Err(ClockFault::Apart { by_ms }),
            None => Ok(()),
        }
    }

    /// The fault that was found last.
    fn fault(&self) -> Option<ClockFault> {
        let jumped = self
            .jump
            .as_ref()
            .map(|jump| ClockFault::Jumped { by_ms: jump.least });
        jumped.or(self.apart.map(|by_ms| ClockFault::Apart { by_ms }))
    }
}

impl Clock {
    /// The present time is believed at first.
    pub(crate) fn new(time: Time) -> Self {
        let clock = Self(Arc::new(Inner {
            time,
            watch: Mutex::default(),
            faulty: AtomicBool::default(),
        }));
        let _ = clock.sound();
        clock
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        // No code that can panic runs under this lock.
        self.0.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock, believed or not.
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.time.now_ms())
    }

    /// The wall clock, as text in RFC 3339 and UTC.
    pub(crate) fn now_text(&self) -> String {
        let ms = i64::try_from(self.now().get()).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(ms);
        now.unwrap_or(jiff::Timestamp::MAX).to_string()
    }

    /// The wall clock, seconds since the Unix epoch.
    pub(crate) fn now_seconds(&self) -> i64 {
        i64::try_from(self.now().get() / 1_000).unwrap_or(0)
    }

    /// The steady clock, milliseconds since some moment before the process began.
    pub(crate) fn steady_ms(&self) -> u64 {
        self.0.time.steady_ms()
    }

    /// The wall clock, if it may be believed.
    ///
    /// # Errors
    /// The fault of the clock, which every call checks again.
    pub(crate) fn sound(&self) -> Result<UnixMillis, ClockFault> {
        let (wall, steady) = (self.now(), self.steady_ms());
        if left_out(Mutant::WallClockIsBelieved) {
            return Ok(wall);
        }
        let mut watch = self.watch();
        let before = watch.fault();
        let found = watch.look(wall.get(), steady);
        self.tell(before, &watch);
        found.map(|()| wall)
    }

    /// The fault that the last check of the wall clock found, if any.
    pub(crate) fn fault(&self) -> Option<ClockFault> {
        match self.0.faulty.load(Relaxed) {
            true => self.watch().fault(),
            false => None,
        }
    }

    /// Notes how far the wall clock is ahead of the store's, which showed `store` at some moment between `before` and `after`. A machine that
    /// sleeps meanwhile learns nothing: a difference that was known stays known, unless so short a comparison would have shown it again.
    pub(crate) fn compare(&self, before: UnixMillis, store: UnixMillis, after: UnixMillis) {
        let ahead = off(before.get(), store.get()).max(0);
        let behind = off(store.get(), after.max(before).get()).max(0);
        let by = if ahead > 0 { ahead } else { -behind };
        let mut watch = self.watch();
        let known = watch.fault();
        let apart = by.unsigned_abs() > LIMIT_MS && !left_out(Mutant::WallClockIsBelieved);
        let took = off(after.get(), before.get());
        let hidden = |was: &i64| i64::try_from(was.unsigned_abs()).is_ok_and(|was| took >= was);
        watch.apart = match apart {
            true => Some(by),
            false => watch.apart.filter(hidden),
        };
        self.tell(known, &watch);
    }

    fn tell(&self, before: Option<ClockFault>, watch: &Watch) {
        let now = watch.fault();
        self.0.faulty.store(now.is_some(), Relaxed);
        match (&before, &now) {
            (None, Some(fault)) => tracing::error!(%fault, "nothing is proposed meanwhile"),
            (Some(was), None) => tracing::warn!(%was, "the clock is believed again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
