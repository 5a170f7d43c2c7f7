//! The rate of the log, measured where it counts: at the signed checkpoint. Each replica measures its own part.

use std::time::Duration;

use super::demand::Service;
use super::{Cost, QueueTime};

/// Assumed until something was measured: 5,000 entries of 128 bytes a second, which any disk does.
const FIRST: f64 = (5_000 * 256) as f64;
/// The shortest time that is measured over.
const SPAN: Duration = Duration::from_millis(100);
/// The longest latency that is believed.
const LONGEST: Duration = Duration::from_secs(3600);

/// Own work that one checkpoint published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication {
    /// How many entries were published.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
    /// Since the release of the oldest of them.
    pub latency: Duration,
}

/// The estimator of a log's rate and latency.
#[derive(Clone, Debug)]
pub struct Rate {
    service: Service,
    /// The start of the measurement, and the cost published since.
    since: QueueTime,
    published: Cost,
    /// Whether nothing waited at some time since then, so that more could have been done.
    idle: bool,
}

impl Rate {
    /// Starts with nothing measured; `latency` is the shortest publication.
    pub fn new(now: QueueTime, latency: Duration) -> Self {
        Self {
            service: Service {
                rate: FIRST,
                latency,
            },
            since: now,
            published: Cost::ZERO,
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

    /// Notes a publication of own work.
    pub fn published(&mut self, now: QueueTime, publication: &Publication) {
        let Publication {
            entries,
            bytes,
            latency,
        } = *publication;
        self.published += Cost::of(entries, bytes);
        let before = self.service.latency;
        // Half-way up, slowly down: one stall is not a slow log.
        self.service.latency = if latency > before {
            (before + (latency - before) / 2).min(LONGEST)
        } else {
            latency.max(before - before / 8)
        };
        let span = now.since(self.since);
        if span < SPAN {
            return;
        }
        let seen = self.published.as_f64() / span.as_secs_f64();
        let rate = &mut self.service.rate;
        if self.idle {
            // More would have been possible, so this is a lower bound.
            *rate = rate.max(seen);
        } else {
            *rate += (seen - *rate) * 0.5;
        }
        *rate = rate.max(1.0);
        (self.since, self.published, self.idle) = (now, Cost::ZERO, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(200);

    fn publish(rate: &mut Rate, step: u32, entries: u64, bytes: u64, latency: Duration) {
        let publication = Publication {
            entries,
            bytes,
            latency,
        };
        rate.published(QueueTime::ZERO + step * STEP, &publication);
    }

    #[test]
    fn an_idle_log_is_not_a_slow_one_and_a_slow_one_is_noticed() {
        let mut rate = Rate::new(QueueTime::ZERO, STEP);
        for i in 1..=20 {
            publish(&mut rate, i, 100_000, 10_000_000, STEP);
        }
        let full = rate.service().rate;
        assert!((full / Cost::of(500_000, 50_000_000).as_f64() - 1.0).abs() < 0.01);
        for i in 21..=40 {
            rate.idle();
            publish(&mut rate, i, 100, 10_000, STEP);
        }
        assert_eq!(rate.service().rate, full);
        // Now it is busy and does half.
        for i in 41..=46 {
            publish(&mut rate, i, 50_000, 5_000_000, STEP);
        }
        assert!((rate.service().rate / full - 0.5).abs() < 0.02);
    }

    #[test]
    fn latency_rises_fast_and_falls_slowly() {
        let mut rate = Rate::new(QueueTime::ZERO, STEP);
        publish(&mut rate, 1, 1, 1, 5 * STEP);
        assert_eq!(rate.service().latency, 3 * STEP);
        publish(&mut rate, 2, 1, 1, 5 * STEP);
        assert_eq!(rate.service().latency, 4 * STEP);
        publish(&mut rate, 3, 1, 1, STEP);
        assert!(rate.service().latency > 3 * STEP);
        for i in 3..40 {
            publish(&mut rate, i, 1, 1, STEP);
        }
        assert!(rate.service().latency < STEP + Duration::from_micros(10));
    }
}
