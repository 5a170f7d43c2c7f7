//! The rate of an import and the time left. Pure: time is passed in.

use std::collections::VecDeque;
use std::time::Duration;

/// The time over which the rate is measured.
const SPAN: Duration = Duration::from_secs(5);

/// The position of an import at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: Duration,
    pub(crate) entries: u64,
    /// Bytes of the file behind them.
    pub(crate) bytes: u64,
}

/// The last few seconds.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    points: VecDeque<Point>,
}

impl Meter {
    /// Notes the position now.
    pub(crate) fn note(&mut self, point: Point) {
        while self.points.len() > 1 && self.points[0].at + SPAN < point.at {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// Entries per second, and the time left until `total` bytes, if that can be estimated.
    pub(crate) fn pace(&self, total: Option<u64>) -> (u64, Option<Duration>) {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else {
            return (0, None);
        };
        let span = last.at.saturating_sub(first.at).as_secs_f64();
        if span <= 0.0 {
            return (0, None);
        }
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / span;
        let bytes = rate(first.bytes, last.bytes);
        let left = total
            .filter(|_| bytes > 0.0)
            .map(|total| total.saturating_sub(last.bytes) as f64 / bytes)
            // An estimate of months is useless.
            .filter(|seconds| *seconds < 1e7)
            .map(Duration::from_secs_f64);
        (rate(first.entries, last.entries) as u64, left)
    }
}

/// `7 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn left(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: u64, entries: u64, bytes: u64) -> Point {
        Point {
            at: Duration::from_secs(seconds),
            entries,
            bytes,
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.pace(Some(100)), (0, None));
        meter.note(point(0, 0, 0));
        assert_eq!(meter.pace(Some(100)), (0, None));
        meter.note(point(2, 200, 1000));
        assert_eq!(meter.pace(Some(2000)), (100, Some(Duration::from_secs(2))));
        assert_eq!(meter.pace(None), (100, None));
        for second in 3..=20 {
            meter.note(point(
                second,
                200 + (second - 2) * 10,
                1000 + (second - 2) * 10,
            ));
        }
        assert_eq!(meter.pace(Some(1190)), (10, Some(Duration::from_secs(1))));
        // Without progress, no remaining time is shown.
        for second in 21..=40 {
            meter.note(point(second, 380, 1180));
        }
        assert_eq!(meter.pace(Some(2000)), (0, None));
    }

    #[test]
    fn the_time_left_for_people() {
        assert_eq!(left(Duration::from_millis(6100)), "7 s");
        assert_eq!(left(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(left(Duration::from_secs(7500)), "2 h 5 min");
    }
}
