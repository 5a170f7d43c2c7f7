//! The minimum pace of a client that sends or reads bytes while it holds something that others need: a place for a batch, the memory
//! of an answer. Pure: time is passed in.
//!
//! What must never happen: a client keeps its place with a byte now and then, or with bytes that it sent long ago.

use std::time::Duration;

/// Bytes a second, at least: half of what a poor line carries.
pub const PACE: u32 = 4 << 10;

/// How long a client may still be waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    grace: Duration,
    left: Duration,
}

impl Pace {
    /// The client may be behind by `grace`, and saves up no more than that.
    pub fn new(grace: Duration) -> Self {
        Self { grace, left: grace }
    }

    /// The longest wait before the first byte.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Notes that this many bytes arrived after a wait.
    pub fn came(&mut self, waited: Duration, bytes: usize) {
        let earned = (bytes as u64).saturating_mul(1_000_000_000) / u64::from(PACE);
        let left = self.left.saturating_sub(waited);
        self.left = left
            .saturating_add(Duration::from_nanos(earned))
            .min(self.grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a client that sends this many bytes a second has used up its grace; an hour at most.
    fn lasts(bytes: usize) -> usize {
        let mut pace = Pace::new(30 * SECOND);
        (0..3600)
            .find(|_| {
                let late = pace.left() < SECOND;
                pace.came(SECOND, bytes);
                late
            })
            .unwrap_or(3600)
    }

    #[test]
    fn one_that_drips_ends_and_a_poor_line_goes_on() {
        assert_eq!(lasts(0), 30);
        assert_eq!(lasts(1), 30);
        assert_eq!(lasts(2 << 10), 59);
        assert_eq!(lasts(PACE as usize), 3600);
        assert_eq!(lasts(8 << 10), 3600);
    }

    #[test]
    fn nothing_is_saved_up() {
        let mut pace = Pace::new(30 * SECOND);
        pace.came(SECOND, usize::MAX);
        assert_eq!(pace.left(), 30 * SECOND);
        pace.came(29 * SECOND, PACE as usize);
        assert_eq!(pace.left(), 2 * SECOND);
    }
}
