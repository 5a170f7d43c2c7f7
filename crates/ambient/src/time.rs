//! The wall clock, which anybody may set, and a steady one, which nobody can.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Two clocks that advance independently.
pub trait Clocks: fmt::Debug + Send + Sync {
    /// The wall clock, milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Milliseconds since some moment before the process began; no clock that is set moves it.
    fn steady_ms(&self) -> u64;
}

/// The clocks of a process; clones are the same.
#[derive(Clone, Debug)]
pub struct Time(Arc<dyn Clocks>);

impl Time {
    /// The clocks of the operating system.
    pub fn system() -> Self {
        Self::by(System)
    }

    /// These clocks, instead of the system's.
    pub fn by(clocks: impl Clocks + 'static) -> Self {
        Self(Arc::new(clocks))
    }

    /// The wall clock, milliseconds since the Unix epoch, right or not.
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    /// The steady clock, milliseconds since some moment before the process began; it advances while the machine sleeps, where the system
    /// supports that.
    pub fn steady_ms(&self) -> u64 {
        self.0.steady_ms()
    }
}

#[derive(Debug)]
struct System;

impl Clocks for System {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn steady_ms(&self) -> u64 {
        let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
        seconds * 1_000 + u64::try_from(at.tv_nsec).unwrap_or(0) / 1_000_000
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn steady_ms(&self) -> u64 {
        static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let began = BEGAN.get_or_init(std::time::Instant::now);
        u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
