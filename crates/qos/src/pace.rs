//! How much goes into one commit, and when the order has to wait for the publication.
//!
//! Every writer in a commit waits for all of it, and so does every writer that comes meanwhile. So elastic work gets a budget per commit,
//! which shrinks when a tier with a latency target waits too long and grows while it doesn't; when no such tier writes, it grows to
//! everything.
//!
//! Elastic work is released at a steady rate. Released all at once after a checkpoint, it would fill the window, and every later writer, even
//! in an elastic tier, would wait for the next checkpoint. Alone it is released as fast as the log can take it. Beside others its rate falls
//! when publications take longer than their interval, and rises otherwise: every checkpoint waits for the hashing, writing and syncing of the
//! backlog.

use std::collections::BTreeSet;
use std::time::Duration;

use super::demand::Service;
use super::{Cost, QueueTime, TenantId, TierId};

/// The smallest budget of elastic work in a commit: a chunk or two.
const MIN_BUDGET: Cost = Cost::new(32 << 10);
/// The most work that one commit takes.
pub const MAX_COMMIT: Cost = Cost::new(8 << 20);
/// The addition to the budget after a commit with time left.
const BUDGET_STEP: Cost = Cost::new(16 << 10);
/// After this long without other work a backlog delays no other writer.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// Cost that may always be under way between order and checkpoint.
const MIN_WINDOW: Cost = Cost::new(8 << 20);

/// How long a commit of elastic work should take when no other writer is there.
const COMMIT_ALONE: Duration = Duration::from_millis(20);
/// How long a commit of elastic work should take beside fast work.
const COMMIT_BESIDE_FAST: Duration = Duration::from_millis(10);

/// The first rate of a backlog beside other work, as a share of the most that it could flow with.
const INITIAL_RATE_SHARE: f64 = 0.35;
/// The lowest rate of a backlog beside other work, as a share of the same.
const MIN_RATE_SHARE: f64 = 0.25;
/// The factor for the rate after two slow publications in a row. A single slow one does not count: less work would not have avoided it.
const RATE_DECREASE_FACTOR: f64 = 0.85;
/// The factor for the rate after each publication until the first decrease.
const FIRST_INCREASE_FACTOR: f64 = 1.25;
/// After a decrease, the n-th publication raises the rate by n in this many: slowly at first, close to the rate that was too high, and
/// faster the longer ago that was.
const RECOVERY_PUBLICATIONS: f64 = 131_072.0;

/// The pace of one log on this replica.
#[derive(Clone, Debug)]
pub struct Pace {
    budget: Cost,
    /// Cost of elastic work that has flowed in and is not taken, and until when that was counted. One job may pass it.
    credit: f64,
    counted: QueueTime,
    /// How long the last two backlogs took to become durable beside the commits.
    stored: [Duration; 2],
    /// When fast work was last seen, and the shortest latency target there was.
    fast: Option<(QueueTime, Duration)>,
    /// When other work than backlogs was last seen, and how the backlogs go beside it.
    others_seen: Option<QueueTime>,
    beside: Option<BesideOthers>,
}

/// The state of backlogs beside other work.
#[derive(Clone, Copy, Debug)]
struct BesideOthers {
    /// Cost per second that backlogs get.
    rate: f64,
    /// Publications since it was slowed down; `None` before the first time.
    since: Option<u32>,
    /// The last publication was slow.
    slow: bool,
    /// A backlog took some of it since the last publication.
    used: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            budget: MAX_COMMIT / 8,
            credit: 0.0,
            counted: QueueTime::ZERO,
            stored: [Duration::ZERO; 2],
            fast: None,
            others_seen: None,
            beside: None,
        }
    }
}

impl Pace {
    /// Cost of elastic work that may go into one commit.
    pub fn elastic(&self) -> Cost {
        self.budget
    }

    /// Cost of elastic work that may go now; if none, the time until there is a commit's worth of it.
    pub fn flow(
        &mut self,
        now: QueueTime,
        service: &Service,
        interval: Duration,
    ) -> Result<Cost, Duration> {
        let [last, before] = self.stored;
        let (rate, commit, stored) = match self.rate_beside(now, service, interval) {
            Some(rate) => (rate, COMMIT_BESIDE_FAST, Duration::ZERO),
            None => (
                Self::most(service, interval),
                COMMIT_ALONE,
                last.min(before),
            ),
        };
        let full = (rate * commit.as_secs_f64())
            .min(self.budget.as_f64())
            .max(MIN_BUDGET.as_f64());
        let since = now.since(self.counted).as_secs_f64();
        self.counted = now;
        // Alone, what flows in while one is stored is not lost, however slow the storage nodes are; a single slow sync saves nothing up.
        // Beside others it would come in larger pieces from a disk that is slow for everybody.
        let most = (rate * stored.as_secs_f64()).max(2.0 * full);
        self.credit = (self.credit + rate * since).clamp(-full, most);
        if self.credit >= full {
            return Ok(Cost::whole(self.credit).min(self.budget));
        }
        let micros = ((full - self.credit) / rate * 1e6) as u64;
        Err(Duration::from_micros(micros.saturating_add(1)))
    }

    /// Notes that this cost of elastic work was taken.
    pub fn taken(&mut self, elastic: Cost) {
        self.credit -= elastic.as_f64();
        if let (Some(beside), true) = (&mut self.beside, elastic > Cost::ZERO) {
            beside.used = true;
        }
    }

    /// A backlog became durable beside the commits in this time; none is taken meanwhile.
    pub fn stored(&mut self, took: Duration) {
        self.stored = [took, self.stored[0]];
    }

    /// Cost per second that fills the window in the time that a publication takes: so it is seldom shut.
    fn most(service: &Service, interval: Duration) -> f64 {
        let latency = service.latency.max(interval).max(Duration::from_micros(1));
        Self::window(Cost::ZERO, service, interval).as_f64() / latency.as_secs_f64()
    }

    /// Cost per second of the backlogs, while others are there.
    fn rate_beside(
        &mut self,
        now: QueueTime,
        service: &Service,
        interval: Duration,
    ) -> Option<f64> {
        if !lately(now, self.others_seen) {
            self.beside = None;
            return None;
        }
        let beside = self.beside.get_or_insert_with(|| BesideOthers {
            rate: Self::most(service, interval) * INITIAL_RATE_SHARE,
            since: None,
            slow: false,
            used: false,
        });
        Some(beside.rate)
    }

    /// Cost per second that backlogs flow with, while they are slowed down for others.
    pub fn rate_beside_others(&self) -> Option<f64> {
        self.beside.map(|beside| beside.rate)
    }

    /// Own work was published, `latency` after the oldest of it was released.
    pub fn published(&mut self, latency: Duration, service: &Service, interval: Duration) {
        let Some(beside) = self.beside.as_mut().filter(|beside| beside.used) else {
            return;
        };
        beside.used = false;
        // The time beside the wait for the next checkpoint.
        let took = latency.saturating_sub(interval);
        let slow = took > interval / 4;
        let again = std::mem::replace(&mut beside.slow, slow);
        match &mut beside.since {
            _ if slow && again => {
                beside.since = Some(0);
                beside.rate *= RATE_DECREASE_FACTOR;
            }
            _ if slow => {}
            None => beside.rate *= FIRST_INCREASE_FACTOR,
            Some(since) => {
                *since += 1;
                beside.rate *= 1.0 + f64::from(*since) / RECOVERY_PUBLICATIONS;
            }
        }
        let most = Self::most(service, interval);
        beside.rate = beside.rate.clamp(most * MIN_RATE_SHARE, most);
    }

    /// The shortest latency target of fast work that was seen lately.
    fn recent_target(&self, now: QueueTime) -> Option<Duration> {
        let (seen, target) = self.fast?;
        lately(now, Some(seen)).then_some(target)
    }

    /// A commit with this work took `took`.
    pub fn committed(&mut self, now: QueueTime, took: Duration, work: &CommittedWork) {
        if work.beside_others {
            self.others_seen = Some(now);
        }
        if let Some(fast) = &work.fast {
            self.fast = Some((now, fast.target));
        }
        let Some(target) = self.recent_target(now) else {
            self.budget = (self.budget * 2).min(MAX_COMMIT);
            return;
        };
        // Work that arrives just after a commit began waits for that commit and for its own.
        let slow =
            took > target * 2 / 5 || work.fast.is_some_and(|fast| fast.waited > target * 4 / 5);
        if !slow {
            // Only a used budget shows that more would be possible.
            if work.elastic * 2 >= self.budget {
                self.budget = (self.budget + BUDGET_STEP).min(MAX_COMMIT);
            }
        } else if work.elastic * 4 > MIN_BUDGET {
            // A smaller part of the commit did not cause the delay.
            self.budget = (self.budget * 3 / 4).max(MIN_BUDGET);
        }
    }

    /// Cost that may still be released while `unpublished` is ordered and not published: twice what is published in the time that it takes,
    /// so that the publication never starves and the backlog waits where it can be overtaken. At most the checkpoint interval of that time
    /// counts: a backlog behind the order makes publication slow, which would otherwise make room for more backlog.
    pub fn window(unpublished: Cost, service: &Service, interval: Duration) -> Cost {
        let flow = service.rate * service.latency.min(interval).as_secs_f64() * 2.0;
        MIN_WINDOW.max(Cost::whole(flow)) - unpublished
    }

    /// The share of elastic work in an open window. The rest stays free for urgent work, which behind a full window would wait for the next
    /// checkpoint, however small it is.
    pub fn share(open: Cost) -> Cost {
        open - MIN_WINDOW / 4
    }
}

/// The work of one commit, as far as the pace depends on it.
#[derive(Clone, Copy, Debug)]
pub struct CommittedWork {
    /// Cost of the backlogs in it.
    pub elastic: Cost,
    /// Whether other work was beside them.
    pub beside_others: bool,
    /// Its work with a latency target, if there was any.
    pub fast: Option<FastWork>,
}

/// Work with a latency target in one commit.
#[derive(Clone, Copy, Debug)]
pub struct FastWork {
    /// The shortest latency target of that work.
    pub target: Duration,
    /// The longest wait, until the answer.
    pub waited: Duration,
}

/// A tenant in a tier.
pub type Class = (TierId, TenantId);

/// Whose work is in a commit: backlogs, and others.
#[derive(Debug, Default)]
pub struct Classes {
    backlogs: BTreeSet<Class>,
    others: BTreeSet<Class>,
    last: Option<(Class, bool)>,
}

impl Classes {
    /// Notes work of a tenant in a tier, and whether it is of a backlog.
    pub fn note(&mut self, class: Class, backlog: bool) {
        if self.last.replace((class, backlog)) != Some((class, backlog)) {
            let classes = match backlog {
                true => &mut self.backlogs,
                false => &mut self.others,
            };
            classes.insert(class);
        }
    }

    /// Whether other work than the end of the backlog itself is in the commit or waiting.
    pub fn beside_others(&self, waits: bool) -> bool {
        (waits || !self.backlogs.is_empty()) && !self.others.is_subset(&self.backlogs)
    }

    /// The classes that have a backlog in it.
    pub fn backlogs(self) -> BTreeSet<Class> {
        self.backlogs
    }
}

fn lately(now: QueueTime, seen: Option<QueueTime>) -> bool {
    seen.is_some_and(|seen| now.since(seen) < ALONE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk: so much for a sync, so much per cost.
    fn took(cost: Cost) -> Duration {
        Duration::from_micros(1_000 + cost.get() / 100)
    }

    const START: QueueTime = QueueTime::ZERO;
    const MILLISECOND: Duration = Duration::from_millis(1);
    /// The time between two checkpoints.
    const INTERVAL: Duration = Duration::from_millis(200);

    fn run(
        pace: &mut Pace,
        from: QueueTime,
        commits: u64,
        target: Option<Duration>,
    ) -> (QueueTime, Duration) {
        let (mut now, mut worst) = (from, Duration::ZERO);
        for _ in 0..commits {
            let cost = pace.elastic();
            let time = took(cost);
            now += time;
            // Came just after the commit before began.
            let fast = target.map(|target| FastWork {
                target,
                waited: 2 * time,
            });
            let work = CommittedWork {
                elastic: cost,
                beside_others: false,
                fast,
            };
            pace.committed(now, time, &work);
            worst = worst.max(2 * time);
        }
        (now, worst)
    }

    #[test]
    fn it_yields_to_a_target_and_takes_everything_back() {
        let mut pace = Pace::default();
        let (now, _) = run(&mut pace, START, 50, None);
        assert_eq!(pace.elastic(), MAX_COMMIT);
        let (now, _) = run(&mut pace, now, 100, Some(10 * MILLISECOND));
        let (now, worst) = run(&mut pace, now, 1_000, Some(10 * MILLISECOND));
        assert!(worst <= 10 * MILLISECOND, "{worst:?}");
        // And not to nothing: most of what the target leaves room for.
        assert!(
            took(pace.elastic()) > 5 * MILLISECOND / 2,
            "{}",
            pace.elastic()
        );
        let (_, _) = run(&mut pace, now + ALONE_AFTER, 50, None);
        assert_eq!(pace.elastic(), MAX_COMMIT);
    }

    #[test]
    fn a_target_that_cannot_be_kept_leaves_the_least() {
        let mut pace = Pace::default();
        run(&mut pace, START, 1_000, Some(MILLISECOND / 10));
        assert_eq!(pace.elastic(), MIN_BUDGET);
    }

    #[test]
    fn elastic_work_flows() {
        let service = Service {
            rate: 100e6,
            latency: INTERVAL,
        };
        let mut pace = Pace::default();
        let (mut now, mut taken, mut commits) = (START, Cost::ZERO, 0);
        while now < START + 1_000 * MILLISECOND {
            match pace.flow(now, &service, INTERVAL) {
                Ok(cost) => {
                    pace.taken(cost);
                    (taken, commits) = (taken + cost, commits + 1);
                    now += MILLISECOND;
                }
                Err(wait) => now += wait,
            }
        }
        // Twice as much as is published, so that more can be, in even pieces.
        assert!(
            (190_000_000..=210_000_000).contains(&taken.get()),
            "{taken}"
        );
        assert!((50..=200).contains(&commits), "{commits}");
        // Beside fast work there are more and smaller ones.
        let work = CommittedWork {
            elastic: Cost::ZERO,
            beside_others: true,
            fast: Some(FastWork {
                target: 10 * MILLISECOND,
                waited: MILLISECOND,
            }),
        };
        pace.committed(now, MILLISECOND, &work);
        let wait = loop {
            match pace.flow(now, &service, INTERVAL) {
                Ok(cost) => pace.taken(cost),
                Err(wait) => break wait,
            }
        };
        assert!(
            wait <= COMMIT_BESIDE_FAST + Duration::from_micros(1),
            "{wait:?}"
        );
    }

    /// Storage nodes may be far away: with latencies of half a publication a backlog flows as it does without.
    #[test]
    fn what_flows_in_while_a_backlog_is_stored_is_not_lost() {
        let service = Service {
            rate: 30e6,
            latency: INTERVAL,
        };
        let flowed = |latency: Duration| {
            let mut pace = Pace::default();
            run(&mut pace, START, 50, None);
            let (mut now, mut taken) = (START, Cost::ZERO);
            while now < START + 20 * INTERVAL {
                match pace.flow(now, &service, INTERVAL) {
                    Ok(cost) => {
                        pace.taken(cost);
                        pace.stored(latency);
                        (now, taken) = (now + latency, taken + cost);
                    }
                    Err(wait) => now += wait,
                }
            }
            taken.get()
        };
        let near = flowed(MILLISECOND);
        assert!(flowed(INTERVAL / 2) > near * 9 / 10, "{near}");
        // One slow sync is no such latency.
        let mut pace = Pace::default();
        let mut after = |took| {
            pace.stored(MILLISECOND);
            pace.stored(took);
            let now = pace.counted + 1_000 * MILLISECOND;
            let cost = pace.flow(now, &service, INTERVAL).unwrap();
            pace.taken(cost);
            cost
        };
        assert_eq!(after(MILLISECOND), after(INTERVAL));
    }

    #[test]
    fn beside_others_a_backlog_goes_as_fast_as_checkpoints_stay_in_time() {
        // A log that can publish so much, and needs time for a checkpoint that grows as it gets near that.
        const CAPACITY: f64 = 100e6;
        let took = |rate: f64| (4 * MILLISECOND).div_f64(1.0 - (rate / CAPACITY).min(0.99));
        let (end, one) = (START + 3_000 * INTERVAL, Cost::new(1));
        let service = Service {
            rate: CAPACITY,
            latency: INTERVAL,
        };
        let (mut pace, mut slow) = (Pace::default(), 0);
        assert_eq!(pace.rate_beside(START, &service, INTERVAL), None);
        for round in 1..=3_000 {
            let now = START + round * INTERVAL;
            let work = CommittedWork {
                elastic: one,
                beside_others: true,
                fast: None,
            };
            pace.committed(now, MILLISECOND, &work);
            let rate = pace.rate_beside(now, &service, INTERVAL).unwrap();
            pace.taken(one);
            let took = took(rate);
            pace.published(INTERVAL + took, &service, INTERVAL);
            slow += u64::from(round > 500 && took > INTERVAL / 4);
            assert!(round < 500 || rate > 0.7 * CAPACITY, "{rate}");
        }
        assert!(slow < 50, "{slow} of 2,500");
        // A slow sync now and then slows nothing down.
        let before = pace.rate_beside(end, &service, INTERVAL).unwrap();
        for round in 0..100 {
            pace.taken(one);
            let took = if round % 4 == 0 {
                INTERVAL
            } else {
                4 * MILLISECOND
            };
            pace.published(INTERVAL + took, &service, INTERVAL);
        }
        let after = pace.rate_beside(end, &service, INTERVAL).unwrap();
        assert!(after >= before, "{before} {after}");
        // On a machine that is slow for another reason, it does not starve.
        for _ in 0..100 {
            pace.taken(one);
            pace.published(2 * INTERVAL, &service, INTERVAL);
        }
        let rate = pace.rate_beside(end, &service, INTERVAL);
        assert!(rate.unwrap() > CAPACITY / 4.0, "{rate:?}");
        // Alone again, it gets everything.
        assert_eq!(
            pace.rate_beside(end + INTERVAL + ALONE_AFTER, &service, INTERVAL),
            None
        );
    }

    #[test]
    fn the_end_of_a_backlog_is_not_beside_others() {
        let [a, b] = [0, 1].map(|tenant| (TierId(3), TenantId(tenant)));
        let beside_others = |noted: &[((TierId, TenantId), bool)], waits| {
            let mut classes = Classes::default();
            noted
                .iter()
                .for_each(|(class, backlog)| classes.note(*class, *backlog));
            classes.beside_others(waits)
        };
        for (noted, waits, expected) in [
            (&[(a, true), (a, false)][..], false, false),
            (&[(a, true), (a, false)], true, false),
            (&[(a, false)], false, false),
            (&[(a, false), (b, true)], false, true),
            (&[(a, false)], true, true),
            (&[(b, true), (a, false), (b, false)], false, true),
        ] {
            assert_eq!(beside_others(noted, waits), expected, "{noted:?} {waits}");
        }
    }

    #[test]
    fn the_window_follows_the_flow() {
        let service = |rate| Service {
            rate,
            latency: 500 * MILLISECOND,
        };
        let window = |unpublished, rate, interval| {
            Pace::window(Cost::new(unpublished), &service(rate), interval).get()
        };
        let second = 1_000 * MILLISECOND;
        assert_eq!(window(0, 1e6, second), MIN_WINDOW.get());
        assert_eq!(window(0, 1e8, second), 100_000_000);
        assert_eq!(window(200_000_000, 1e8, second), 0);
        // However slow publication is, the room does not grow with it.
        assert_eq!(window(0, 1e8, INTERVAL), 40_000_000);
    }
}
