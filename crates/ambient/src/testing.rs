//! Clocks for tests: one that a test sets, and one that goes with tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use tokio::time::Instant;

use crate::{Ambient, Clocks, Random, Time};

/// Clocks that a test moves; clones are the same.
#[derive(Clone, Debug)]
pub struct Moved(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Time,
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Moved {
    /// The clocks of the system, which nobody has moved yet.
    pub fn system() -> Self {
        Self::over(Time::system())
    }

    /// Clocks that go with these, and are moved against them.
    pub fn over(base: Time) -> Self {
        Self(Arc::new(Inner {
            base,
            wall: AtomicI64::new(0),
            steady: AtomicI64::new(0),
        }))
    }

    /// The time to pass in, from these clocks.
    pub fn time(&self) -> Time {
        Time::by(self.clone())
    }

    /// Sets the wall clock so many milliseconds ahead of the clock below it.
    pub fn set_ahead(&self, by_ms: i64) {
        self.0.wall.store(by_ms, Relaxed);
    }

    /// Lets time pass on both clocks.
    pub fn pass(&self, by_ms: i64) {
        self.0.wall.fetch_add(by_ms, Relaxed);
        self.0.steady.fetch_add(by_ms, Relaxed);
    }
}

impl Clocks for Moved {
    fn now_ms(&self) -> u64 {
        let wall = self.0.wall.load(Relaxed);
        self.0.base.now_ms().saturating_add_signed(wall)
    }

    fn steady_ms(&self) -> u64 {
        let steady = self.0.steady.load(Relaxed);
        self.0.base.steady_ms().saturating_add_signed(steady)
    }
}

/// Clocks that go with tokio's, which stands still in a paused runtime unless all tasks sleep.
#[derive(Debug)]
struct Simulated {
    began: Instant,
    wall_ms: u64,
}

impl Simulated {
    fn passed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clocks for Simulated {
    fn now_ms(&self) -> u64 {
        self.wall_ms.saturating_add(self.passed())
    }

    fn steady_ms(&self) -> u64 {
        self.passed()
    }
}

impl Ambient {
    /// Those of the system, for tests that set neither.
    pub fn unset() -> Self {
        Self {
            time: Time::system(),
            random: Random::system(),
        }
    }

    /// Bytes that follow from the seed, and clocks that go with tokio's from this wall time on.
    pub fn simulated(seed: u64, wall_ms: u64) -> Self {
        let began = Instant::now();
        Self {
            time: Time::by(Simulated { began, wall_ms }),
            random: Random::seeded(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[tokio::test(start_paused = true)]
    async fn simulated_clocks_go_with_tokios_and_moved_ones_with_what_is_below() {
        let time = Ambient::simulated(1, NOW).time;
        let all = Moved::over(time.clone());
        let skewed = Moved::over(all.time());
        tokio::time::advance(std::time::Duration::from_millis(1_500)).await;
        assert_eq!((time.now_ms(), time.steady_ms()), (NOW + 1_500, 1_500));
        all.pass(500);
        skewed.set_ahead(-2_000);
        let both = |moved: &Moved| (moved.now_ms(), moved.steady_ms());
        assert_eq!(both(&all), (NOW + 2_000, 2_000));
        assert_eq!(both(&skewed), (NOW, 2_000));
        assert_eq!((time.now_ms(), time.steady_ms()), (NOW + 1_500, 1_500));
    }
}
