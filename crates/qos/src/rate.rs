//! The rate of the log, measured where it counts: at the signed checkpoint. Each replica measures its own part.

use super::demand::Service;
use super::job::cost;

/// Assumed until something was measured: 5,000 entries of 128 bytes a second, which any disk does.
const FIRST: f64 = (5_000 * 256) as f64;
/// The shortest time that is measured over, microseconds.
const SPAN: u64 = 100_000;
/// The longest latency that is believed.
const LONGEST: u64 = 3_600_000_000;

/// Own work that one checkpoint published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication {
    /// How many entries were published.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
    /// Since the release of the oldest of them, microseconds.
    pub latency: u64,
}

/// The estimator. Times are microseconds of a monotonic clock.
#[derive(Clone, Debug)]
pub struct Rate {
    service: Service,
    /// The start of the measurement, and the cost published since.
    since: u64,
    published: u64,
    /// Whether nothing waited at some time since then, so that more could have been done.
    idle: bool,
}

impl Rate {
    /// Starts with nothing measured; `latency` is the shortest publication.
    pub fn new(now: u64, latency: u64) -> Self {
        Self {
            service: Service {
                rate: FIRST,
                latency,
            },
            since: now,
            published: 0,
            idle: true,
        }
    }

    /// The rate and latency as measured so far.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Tells it that nothing waits: the log could have done more.
    pub fn idle(&mut self) {
        self.idle = true;
    }

    /// Own work was published.
    pub fn published(&mut self, now: u64, publication: &Publication) {
        let Publication {
            entries,
            bytes,
            latency,
        } = *publication;
        self.published += cost(entries, bytes);
        let before = self.service.latency;
        // Half-way up, slowly down: one stall is not a slow log.
        self.service.latency = if latency > before {
            (before + (latency - before).div_ceil(2)).min(LONGEST)
        } else {
            latency.max(before - before / 8)
        };
        let span = now.saturating_sub(self.since);
        if span < SPAN {
            return;
        }
        let seen = self.published as f64 * 1e6 / span as f64;
        let rate = &mut self.service.rate;
        if self.idle {
            // More would have been possible, so this is a lower bound.
            *rate = rate.max(seen);
        } else {
            *rate += (seen - *rate) * 0.5;
        }
        *rate = rate.max(1.0);
        (self.since, self.published, self.idle) = (now, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 200_000;

    fn publish(rate: &mut Rate, now: u64, entries: u64, bytes: u64, latency: u64) {
        let publication = Publication {
            entries,
            bytes,
            latency,
        };
        rate.published(now, &publication);
    }

    #[test]
    fn an_idle_log_is_not_a_slow_one_and_a_slow_one_is_noticed() {
        let mut rate = Rate::new(0, STEP);
        for i in 1..=20 {
            publish(&mut rate, i * STEP, 100_000, 10_000_000, STEP);
        }
        let full = rate.service().rate;
        assert!((full / (cost(500_000, 50_000_000) as f64) - 1.0).abs() < 0.01);
        for i in 21..=40 {
            rate.idle();
            publish(&mut rate, i * STEP, 100, 10_000, STEP);
        }
        assert_eq!(rate.service().rate, full);
        // Now it is busy and does half.
        for i in 41..=46 {
            publish(&mut rate, i * STEP, 50_000, 5_000_000, STEP);
        }
        assert!((rate.service().rate / full - 0.5).abs() < 0.02);
    }

    #[test]
    fn latency_rises_fast_and_falls_slowly() {
        let mut rate = Rate::new(0, STEP);
        publish(&mut rate, STEP, 1, 1, 5 * STEP);
        assert_eq!(rate.service().latency, 3 * STEP);
        publish(&mut rate, 2 * STEP, 1, 1, 5 * STEP);
        assert_eq!(rate.service().latency, 4 * STEP);
        publish(&mut rate, 3 * STEP, 1, 1, STEP);
        assert!(rate.service().latency > 3 * STEP);
        for i in 3..40 {
            publish(&mut rate, i * STEP, 1, 1, STEP);
        }
        assert!(rate.service().latency < STEP + 10);
    }
}
