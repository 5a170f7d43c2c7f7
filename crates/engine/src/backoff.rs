//! The pauses between tries of something that failed.

use std::time::Duration;

/// Pauses that double, from the first to the longest.
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after this one.
    pub(crate) fn after(&self, pause: Duration) -> Duration {
        (pause * 2).min(self.longest)
    }
}
