//! What work costs a log, and times on the queue's own clock, each with a type of its own, as [`tlog::number`] explains.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};
use std::time::Duration;

tlog::number! {
    /// What work costs the log, in the unit of all shares and rates: one for each byte, and [`Cost::PER_ENTRY`] for each entry.
    Cost
}

tlog::number! {
    /// A time on the queue's clock: microseconds since the clock began, which no jump of the system's clock moves.
    QueueTime
}

impl Cost {
    /// Cost of an entry beside its bytes: hashing, the index in the answer, the tiles above it.
    pub const PER_ENTRY: u64 = 128;

    /// More than any work costs: no limit.
    pub const MAX: Self = Self(u64::MAX);

    /// The cost of this many entries with this many bytes altogether.
    pub const fn of(entries: u64, bytes: u64) -> Self {
        Self(bytes.saturating_add(entries.saturating_mul(Self::PER_ENTRY)))
    }

    /// The cost that a computed one comes to, without its fraction; none, if it is negative.
    pub fn whole(cost: f64) -> Self {
        // Saturates; a value that is not a number becomes 0.
        Self(cost as u64)
    }

    /// The cost as a number to compute rates and shares with.
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, less: Self) {
        *self = *self - less;
    }
}

impl Mul<u64> for Cost {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<u64> for Cost {
    type Output = Self;

    fn div(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Add::add)
    }
}

impl QueueTime {
    /// Later than any time that the clock shows.
    pub const MAX: Self = Self(u64::MAX);

    /// How long after another time this is; nothing, if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for QueueTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }
}

impl AddAssign<Duration> for QueueTime {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for QueueTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

/// Microseconds of a duration.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_times_stop_at_the_ends() {
        let (one, all) = (Cost::of(1, 2), Cost::of(u64::MAX, 1));
        assert_eq!((one.get(), all), (130, Cost::MAX));
        assert_eq!((one - all, all + one), (Cost::ZERO, all));
        assert_eq!((Cost::whole(-1.0), Cost::whole(1.9).get()), (Cost::ZERO, 1));
        assert_eq!([one, one].into_iter().sum::<Cost>().get(), 260);
        let (begin, end) = (QueueTime::ZERO, QueueTime::MAX);
        assert_eq!((begin - Duration::MAX, end + Duration::MAX), (begin, end));
        assert_eq!(begin.since(end), Duration::ZERO);
        let second = Duration::from_secs(1);
        assert_eq!((begin + second).since(begin), second);
    }
}
