//! Promised work that waits, by when it is due: what admission tests against the measured rate.
//!
//! Deadlines are rounded down, by at most an eighth of the delay, so that there are few rows however much waits.

use std::time::Duration;

use super::number::micros;
use super::{Cost, QueueTime};

/// The measured throughput and latency of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Published cost per second.
    pub rate: f64,
    /// From the release of work to its publication.
    pub latency: Duration,
}

impl Service {
    /// Cost that can be released until `due` and still be published then.
    fn until(&self, now: QueueTime, due: QueueTime) -> f64 {
        let time = due.since(now).saturating_sub(self.latency);
        self.rate * time.as_secs_f64()
    }

    /// The time to publish this cost.
    pub fn time(&self, cost: f64) -> Duration {
        Duration::from_micros((cost.max(0.0) / self.rate.max(1.0) * 1e6) as u64)
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    due: QueueTime,
    cost: Cost,
    /// The last deadline that was rounded down to it.
    last: QueueTime,
}

/// Promised work by its due time.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Ascending by due time; no row is empty.
    rows: Vec<Row>,
    total: Cost,
}

/// Why work cannot be promised: the room that there is, and the room that it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lack {
    /// The tenant's part of the room is used up, though not all of it.
    pub share: bool,
    /// Cost that must be served before there is room.
    pub missing: f64,
}

/// How near an offered delay is to the shortest that fits, at least.
const OFFER_STEP: Duration = Duration::from_millis(1);

/// The row of work that goes before everything with a deadline, whatever its own deadline is.
pub const AHEAD: QueueTime = QueueTime::ZERO;

/// The row of a deadline.
pub fn due(now: QueueTime, deadline: QueueTime) -> QueueTime {
    let delay = micros(deadline.since(now));
    let step = delay.checked_ilog2().unwrap_or(0).saturating_sub(3);
    QueueTime::new(deadline.get() >> step << step)
}

impl Demand {
    /// Counts work in, under its row.
    pub fn add(&mut self, due: QueueTime, deadline: QueueTime, cost: Cost) {
        self.total += cost;
        match self.rows.binary_search_by_key(&due, |r| r.due) {
            Ok(at) => {
                let row = &mut self.rows[at];
                row.cost += cost;
                row.last = row.last.max(deadline);
            }
            Err(at) => {
                let last = deadline;
                self.rows.insert(at, Row { due, cost, last });
            }
        }
    }

    /// Counts work out that was counted in under this row.
    pub fn remove(&mut self, due: QueueTime, cost: Cost) {
        if let Ok(at) = self.rows.binary_search_by_key(&due, |r| r.due) {
            self.total -= cost.min(self.rows[at].cost);
            self.rows[at].cost -= cost;
            if self.rows[at].cost == Cost::ZERO {
                self.rows.remove(at);
            }
        }
    }

    /// The promised work at all deadlines, in cost.
    pub fn total(&self) -> Cost {
        self.total
    }

    /// Whether `cost` more can be due at `due` (and go `ahead` of all, or not) beside everything that was promised; `own` is what the asking tenant has waiting in
    /// this tier. It gets at most as much as stays free, so that there is always room for one who asks for little.
    pub fn test(
        &self,
        now: QueueTime,
        (due, ahead): (QueueTime, bool),
        cost: Cost,
        own: Cost,
        service: &Service,
    ) -> Result<(), Lack> {
        let (cost, own, total) = (cost.as_f64(), own.as_f64(), self.total.as_f64());
        // If publication takes longer than half of the promise, load is not the obstacle: such a promise is given, and counted if it is
        // missed. Refusing every writer would not help.
        let half = due.since(now) / 2;
        let patient = Service {
            latency: service.latency.min(half),
            ..*service
        };
        let until = patient.until(now, due);
        let first = self.rows.iter().find(|r| r.due != AHEAD).map(|r| r.due);
        let tightest = if ahead {
            first.unwrap_or(due).min(due)
        } else {
            due
        };
        if total + own + cost <= service.until(now, tightest) {
            return Ok(()); // Even if all of it were due first.
        }
        let (mut sum, mut before, mut room) = (0.0, 0.0, f64::INFINITY);
        for row in &self.rows {
            sum += row.cost.as_f64();
            if row.due == AHEAD || (row.due <= due && !ahead) {
                before = sum;
            } else {
                room = f64::min(room, service.until(now, row.due) - sum);
            }
        }
        room = room.min(until - before);
        let missing = own + cost - room;
        if missing <= 0.0 {
            return Ok(());
        }
        Err(Lack {
            share: cost <= room,
            missing,
        })
    }

    /// A short delay between `least` and `most` that [`Demand::test`] would pass, if any.
    pub fn offer(
        &self,
        now: QueueTime,
        (least, most): (Duration, Duration),
        cost: Cost,
        (own, ahead): (Cost, bool),
        service: &Service,
    ) -> Option<Duration> {
        // Rows round down: the offered delay must pass after that.
        let fits = |delay: Duration| {
            let due = due(now, now + delay);
            self.test(now, (due, ahead), cost, own, service).is_ok()
        };
        if !fits(most) {
            return None;
        }
        // Later is easier but for the rounding; so the answer is one that fits, near the shortest.
        let (mut low, mut high) = (least.min(most), most);
        while high - low > (high / 64).max(OFFER_STEP) {
            let middle = low + (high - low) / 2;
            if fits(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    /// Promises due until this time press: the work up to there needs all of the time that is left, but for a reserve.
    pub fn pressing(&self, now: QueueTime, service: &Service) -> QueueTime {
        let mut until = now + service.latency + service.latency / 4;
        let mut sum = 0.0;
        for row in &self.rows {
            sum += row.cost.as_f64();
            if row.due == AHEAD {
                continue;
            }
            let left = row.due.since(now).saturating_sub(service.latency);
            if service.time(sum * 1.1) >= left {
                until = until.max(row.last);
            }
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const START: QueueTime = QueueTime::ZERO;

    proptest! {
        #[test]
        fn what_is_accepted_can_be_kept(
            asks in proptest::collection::vec((0..200_000u64, 500_000..100_000_000u64, 1..2_000_000u64, 0..3usize), 1..200),
        ) {
            // The oracle: every accepted deadline, exactly, against what is served by then.
            let service = Service { rate: 1e6, latency: SECOND / 10 };
            let (mut demand, mut accepted, mut own) = (Demand::default(), Vec::new(), [Cost::ZERO; 3]);
            let mut now = START;
            for (pause, delay, cost, who) in asks {
                now += Duration::from_micros(pause);
                let (delay, cost) = (Duration::from_micros(delay), Cost::new(cost));
                let row = due(now, now + delay);
                prop_assert!(row <= now + delay && (now + delay).since(row) <= delay / 8);
                let answer = demand.test(now, (row, false), cost, own[who], &service);
                if answer.is_ok() {
                    demand.add(row, now + delay, cost);
                    own[who] += cost;
                    accepted.push((now + delay, cost));
                    // Nothing is ever served here, so time alone breaks earlier promises; but by its own deadline, and by every
                    // later one, what was accepted beside all the others fits into the time that is left.
                    let later = accepted.iter().filter(|(deadline, _)| *deadline >= now + delay);
                    for (deadline, _) in later {
                        let sum: Cost = accepted.iter().filter(|(d, _)| d <= deadline).map(|(_, c)| *c).sum();
                        let left = deadline.since(now).as_secs_f64();
                        prop_assert!(sum.as_f64() <= left * service.rate, "{sum} in {left}");
                    }
                }
                if let Some(offer) = demand.offer(now, (Duration::ZERO, 200 * SECOND), cost, (own[who], false), &service) {
                    prop_assert!(demand.test(now, (due(now, now + offer), false), cost, own[who], &service).is_ok());
                }
                prop_assert!(demand.rows.len() <= 200);
            }
        }
    }

    #[test]
    fn one_who_asks_for_little_has_room_whatever_another_took() {
        let service = Service {
            rate: 1e6,
            latency: Duration::ZERO,
        };
        let (mut demand, mut own) = (Demand::default(), Cost::ZERO);
        let (deadline, small) = (START + 2 * SECOND, Cost::new(1_000));
        let row = due(START, deadline);
        let lack = loop {
            match demand.test(START, (row, false), small, own, &service) {
                Ok(()) => {
                    demand.add(row, deadline, small);
                    own += small;
                }
                Err(lack) => break lack,
            }
        };
        assert!(lack.share && lack.missing <= 1_000.0);
        assert!(own > Cost::new(900_000), "half of the room: {own}");
        let test = |cost| demand.test(START, (row, false), Cost::new(cost), Cost::ZERO, &service);
        assert_eq!(test(500_000), Ok(()));
        let all = test(1_500_000).unwrap_err();
        assert!(!all.share);
        // Served: the room is there again.
        demand.remove(row, own);
        assert_eq!((demand.total(), demand.rows.len()), (Cost::ZERO, 0));
    }

    #[test]
    fn who_goes_ahead_must_leave_time_for_what_is_due_before_him() {
        let service = Service {
            rate: 1e6,
            latency: Duration::ZERO,
        };
        let mut demand = Demand::default();
        let (half, whole) = (START + SECOND / 2, START + SECOND);
        demand.add(half, half, Cost::new(400_000));
        let test = |demand: &Demand, due, cost| {
            demand.test(START, due, Cost::new(cost), Cost::ZERO, &service)
        };
        // Due in a second there is room for 600,000; ahead of what is due in half of it, for 100,000.
        assert_eq!(test(&demand, (whole, false), 500_000), Ok(()));
        assert_eq!(test(&demand, (whole, true), 100_000), Ok(()));
        let lack = test(&demand, (whole, true), 150_000).unwrap_err();
        assert_eq!(lack.missing, 50_000.0);
        demand.add(AHEAD, whole, Cost::new(100_000));
        assert!(test(&demand, (half, false), 1_000).is_err());
        assert_eq!(test(&demand, (whole, false), 500_000), Ok(()));
    }

    #[test]
    fn it_presses_when_the_time_left_is_needed() {
        let service = Service {
            rate: 1e6,
            latency: SECOND / 10,
        };
        let mut demand = Demand::default();
        let hour = START + 3_600 * SECOND;
        demand.add(hour, hour, Cost::new(1_000_000_000));
        assert!(demand.pressing(START, &service) < START + SECOND);
        // A thousand seconds of work: with a reserve it is begun when 1,100 are left.
        assert!(demand.pressing(hour - 1_150 * SECOND, &service) < hour);
        assert!(demand.pressing(hour - 1_050 * SECOND, &service) >= hour);
    }
}
