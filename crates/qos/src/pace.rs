//! How much goes into one commit, and when the order has to wait for the publication.
//!
//! Every writer in a commit waits for all of it, and so does every writer that comes meanwhile. So elastic work gets a budget per commit,
//! which shrinks when a tier with a latency target waits too long and grows while it doesn't; when no such tier writes, it grows to
//! everything.
//!
//! And it flows: released all at once after a checkpoint, it would fill the window, and every later writer, even in an elastic tier, would
//! wait for the next checkpoint. Alone it flows as fast as the log can; beside others at a rate that falls when publications take longer
//! than their interval and rises otherwise: every checkpoint waits for the hashing, writing and syncing of the backlog.

use std::collections::HashSet;

use super::demand::Service;
use super::{TenantId, TierId};

/// The smallest budget of elastic work in a commit, as cost: a chunk or two.
const MIN_BUDGET_COST: u64 = 32 << 10;
/// The largest commit, as cost.
pub const MAX_COMMIT_COST: u64 = 8 << 20;
/// What a commit adds to the budget when there was time left.
const BUDGET_STEP_COST: u64 = 16 << 10;
/// After this long without other work, microseconds, a backlog delays no other writer.
const ALONE_AFTER_US: u64 = 1_000_000;
/// Cost that may always be under way between order and checkpoint.
const MIN_WINDOW_COST: u64 = 8 << 20;

/// How long a commit of elastic work should take when no other writer is there, microseconds.
const COMMIT_ALONE_US: u64 = 20_000;
/// How long a commit of elastic work should take beside fast work, microseconds.
const COMMIT_BESIDE_FAST_US: u64 = 10_000;

/// The first rate of a backlog beside other work, as a share of the most that it could flow with.
const INITIAL_RATE_SHARE: f64 = 0.35;
/// The lowest rate of a backlog beside other work, as a share of the same.
const MIN_RATE_SHARE: f64 = 0.25;
/// What two slow publications in a row multiply the rate by. A single slow one does not count: less work would not have avoided it.
const RATE_DECREASE_FACTOR: f64 = 0.85;
/// What each publication multiplies the rate by until the first decrease.
const FIRST_INCREASE_FACTOR: f64 = 1.25;
/// After a decrease, the n-th publication raises the rate by n in this many: slowly at first, close to the rate that was too high, and
/// faster the longer ago that was.
const RECOVERY_PUBLICATIONS: f64 = 131_072.0;

/// The pace of one log on this replica. Times are microseconds of a monotonic clock.
#[derive(Clone, Debug)]
pub struct Pace {
    budget: u64,
    /// Cost of elastic work that has flowed in and is not taken, and until when that was counted. One job may pass it.
    credit: f64,
    counted: u64,
    /// How long the last two backlogs took to become durable beside the commits.
    stored: [u64; 2],
    /// When fast work was last seen, and the shortest latency target there was.
    fast: Option<(u64, u64)>,
    /// When other work than backlogs was last seen, and how the backlogs go beside it.
    company: Option<u64>,
    cruise: Option<Cruise>,
}

/// How backlogs go beside other work.
#[derive(Clone, Copy, Debug)]
struct Cruise {
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
            budget: MAX_COMMIT_COST / 8,
            credit: 0.0,
            counted: 0,
            stored: [0; 2],
            fast: None,
            company: None,
            cruise: None,
        }
    }
}

impl Pace {
    /// Cost of elastic work that may go into one commit.
    pub fn elastic(&self) -> u64 {
        self.budget
    }

    /// Cost of elastic work that may go now; if none, microseconds until there is a commit's worth of it.
    pub fn flow(&mut self, now: u64, service: &Service, interval: u64) -> Result<u64, u64> {
        let [last, before] = self.stored;
        let (rate, commit_us, stored) = match self.cruise(now, service, interval) {
            Some(rate) => (rate, COMMIT_BESIDE_FAST_US, 0),
            None => (
                Self::most(service, interval),
                COMMIT_ALONE_US,
                last.min(before),
            ),
        };
        let full = (rate * commit_us as f64 / 1e6)
            .min(self.budget as f64)
            .max(MIN_BUDGET_COST as f64);
        let since = now.saturating_sub(self.counted) as f64;
        self.counted = now;
        // Alone, what flows in while one is stored is not lost, however slow the storage nodes are; a single slow sync saves nothing up.
        // Beside others it would come in larger pieces from a disk that is slow for everybody.
        let most = (rate * stored as f64 / 1e6).max(2.0 * full);
        self.credit = (self.credit + rate * since / 1e6).clamp(-full, most);
        if self.credit >= full {
            return Ok((self.credit as u64).min(self.budget));
        }
        Err(((full - self.credit) / rate * 1e6) as u64 + 1)
    }

    /// So much elastic work was taken.
    pub fn taken(&mut self, elastic: u64) {
        self.credit -= elastic as f64;
        if let (Some(cruise), true) = (&mut self.cruise, elastic > 0) {
            cruise.used = true;
        }
    }

    /// A backlog became durable beside the commits in this time; none is taken meanwhile.
    pub fn stored(&mut self, took: u64) {
        self.stored = [took, self.stored[0]];
    }

    /// Cost per second that fills the window in the time that a publication takes: so it is seldom shut.
    fn most(service: &Service, interval: u64) -> f64 {
        let latency = service.latency.max(interval).max(1);
        Self::window(0, service, interval) as f64 * 1e6 / latency as f64
    }

    /// Cost per second of the backlogs, while others are there.
    fn cruise(&mut self, now: u64, service: &Service, interval: u64) -> Option<f64> {
        if !lately(now, self.company) {
            self.cruise = None;
            return None;
        }
        let cruise = self.cruise.get_or_insert_with(|| Cruise {
            rate: Self::most(service, interval) * INITIAL_RATE_SHARE,
            since: None,
            slow: false,
            used: false,
        });
        Some(cruise.rate)
    }

    /// Cost per second that backlogs flow with, while they are slowed down for others.
    pub fn cruises(&self) -> Option<f64> {
        self.cruise.map(|cruise| cruise.rate)
    }

    /// Own work was published, `latency` after the oldest of it was released.
    pub fn published(&mut self, latency: u64, service: &Service, interval: u64) {
        let Some(cruise) = self.cruise.as_mut().filter(|cruise| cruise.used) else {
            return;
        };
        cruise.used = false;
        // The time beside the wait for the next checkpoint.
        let took = latency.saturating_sub(interval);
        let slow = took > interval / 4;
        let again = std::mem::replace(&mut cruise.slow, slow);
        match &mut cruise.since {
            _ if slow && again => {
                cruise.since = Some(0);
                cruise.rate *= RATE_DECREASE_FACTOR;
            }
            _ if slow => {}
            None => cruise.rate *= FIRST_INCREASE_FACTOR,
            Some(since) => {
                *since += 1;
                cruise.rate *= 1.0 + f64::from(*since) / RECOVERY_PUBLICATIONS;
            }
        }
        let most = Self::most(service, interval);
        cruise.rate = cruise.rate.clamp(most * MIN_RATE_SHARE, most);
    }

    /// The shortest latency target of fast work that was seen lately.
    fn hurries(&self, now: u64) -> Option<u64> {
        let (seen, target) = self.fast?;
        lately(now, Some(seen)).then_some(target)
    }

    /// A commit took `took`; in it was other work than backlogs (`company`), and fast work of this target that had waited
    /// `waited` when it was answered.
    pub fn committed(
        &mut self,
        now: u64,
        took: u64,
        (elastic, company): (u64, bool),
        fast: Option<(u64, u64)>,
    ) {
        if company {
            self.company = Some(now);
        }
        if let Some((target, _)) = fast {
            self.fast = Some((now, target));
        }
        let Some(target) = self.hurries(now) else {
            self.budget = self.budget.saturating_mul(2).min(MAX_COMMIT_COST);
            return;
        };
        // Work that arrives just after a commit began waits for that commit and for its own.
        let slow = took > target * 2 / 5 || fast.is_some_and(|(_, waited)| waited > target * 4 / 5);
        if !slow {
            // Only a used budget shows that more would be possible.
            if elastic * 2 >= self.budget {
                self.budget = (self.budget + BUDGET_STEP_COST).min(MAX_COMMIT_COST);
            }
        } else if elastic * 4 > MIN_BUDGET_COST {
            // A smaller part of the commit did not cause the delay.
            self.budget = (self.budget * 3 / 4).max(MIN_BUDGET_COST);
        }
    }

    /// Cost that may still be released while `unpublished` is ordered and not published: twice what is published in the time that it takes,
    /// so that the publication never starves and the backlog waits where it can be overtaken. At most the checkpoint interval of that time
    /// counts: a backlog behind the order makes publication slow, which would otherwise make room for more backlog.
    pub fn window(unpublished: u64, service: &Service, interval: u64) -> u64 {
        let flow = service.rate * service.latency.min(interval) as f64 / 1e6 * 2.0;
        MIN_WINDOW_COST.max(flow as u64).saturating_sub(unpublished)
    }

    /// The share of elastic work in an open window. The rest stays free for urgent work, which behind a shut gate would wait for the next
    /// checkpoint, however small it is.
    pub fn share(open: u64) -> u64 {
        open.saturating_sub(MIN_WINDOW_COST / 4)
    }
}

/// A tenant in a tier.
pub type Class = (TierId, TenantId);

/// Whose work is in a commit: backlogs, and others.
#[derive(Debug, Default)]
pub struct Classes {
    backlogs: HashSet<Class>,
    others: HashSet<Class>,
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
    pub fn company(&self, waits: bool) -> bool {
        (waits || !self.backlogs.is_empty()) && !self.others.is_subset(&self.backlogs)
    }

    /// The classes that have a backlog in it.
    pub fn backlogs(self) -> HashSet<Class> {
        self.backlogs
    }
}

fn lately(now: u64, seen: Option<u64>) -> bool {
    seen.is_some_and(|seen| now.saturating_sub(seen) < ALONE_AFTER_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk: so much for a sync, so much per cost.
    fn took(cost: u64) -> u64 {
        1_000 + cost / 100
    }

    fn run(pace: &mut Pace, from: u64, commits: u64, target: Option<u64>) -> (u64, u64) {
        let (mut now, mut worst) = (from, 0);
        for _ in 0..commits {
            let cost = pace.elastic();
            let time = took(cost);
            now += time;
            // Came just after the commit before began.
            pace.committed(now, time, (cost, false), target.map(|t| (t, 2 * time)));
            worst = worst.max(2 * time);
        }
        (now, worst)
    }

    #[test]
    fn it_yields_to_a_target_and_takes_everything_back() {
        let mut pace = Pace::default();
        let (now, _) = run(&mut pace, 0, 50, None);
        assert_eq!(pace.elastic(), MAX_COMMIT_COST);
        let (now, _) = run(&mut pace, now, 100, Some(10_000));
        let (now, worst) = run(&mut pace, now, 1_000, Some(10_000));
        assert!(worst <= 10_000, "{worst}");
        // And not to nothing: most of what the target leaves room for.
        assert!(took(pace.elastic()) > 2_500, "{}", pace.elastic());
        let (_, _) = run(&mut pace, now + ALONE_AFTER_US, 50, None);
        assert_eq!(pace.elastic(), MAX_COMMIT_COST);
    }

    #[test]
    fn a_target_that_cannot_be_kept_leaves_the_least() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 1_000, Some(100));
        assert_eq!(pace.elastic(), MIN_BUDGET_COST);
    }

    #[test]
    fn elastic_work_flows() {
        let service = Service {
            rate: 100e6,
            latency: 200_000,
        };
        let mut pace = Pace::default();
        let (mut now, mut taken, mut commits) = (0, 0, 0);
        while now < 1_000_000 {
            match pace.flow(now, &service, 200_000) {
                Ok(cost) => {
                    pace.taken(cost);
                    (taken, commits) = (taken + cost, commits + 1);
                    now += 1_000;
                }
                Err(wait) => now += wait,
            }
        }
        // Twice as much as is published, so that more can be, in even pieces.
        assert!((190_000_000..=210_000_000).contains(&taken), "{taken}");
        assert!((50..=200).contains(&commits), "{commits}");
        // Beside fast work there are more and smaller ones.
        pace.committed(now, 1_000, (0, true), Some((10_000, 1_000)));
        let wait = loop {
            match pace.flow(now, &service, 200_000) {
                Ok(cost) => pace.taken(cost),
                Err(wait) => break wait,
            }
        };
        assert!(wait <= COMMIT_BESIDE_FAST_US + 1, "{wait}");
    }

    /// Storage nodes may be far away: with latencies of half a publication a backlog flows as it does without.
    #[test]
    fn what_flows_in_while_a_backlog_is_stored_is_not_lost() {
        const INTERVAL: u64 = 200_000;
        let service = Service {
            rate: 30e6,
            latency: INTERVAL,
        };
        let flowed = |latency: u64| {
            let mut pace = Pace::default();
            run(&mut pace, 0, 50, None);
            let (mut now, mut taken) = (0, 0);
            while now < 20 * INTERVAL {
                match pace.flow(now, &service, INTERVAL) {
                    Ok(cost) => {
                        pace.taken(cost);
                        pace.stored(latency);
                        (now, taken) = (now + latency, taken + cost);
                    }
                    Err(wait) => now += wait,
                }
            }
            taken
        };
        let near = flowed(1_000);
        assert!(flowed(INTERVAL / 2) > near * 9 / 10, "{near}");
        // One slow sync is no such latency.
        let mut pace = Pace::default();
        let mut after = |took| {
            pace.stored(1_000);
            pace.stored(took);
            let now = pace.counted + 1_000_000;
            let cost = pace.flow(now, &service, INTERVAL).unwrap();
            pace.taken(cost);
            cost
        };
        assert_eq!(after(1_000), after(INTERVAL));
    }

    #[test]
    fn beside_others_a_backlog_goes_as_fast_as_checkpoints_stay_in_time() {
        // A log that can publish so much, and needs time for a checkpoint that grows as it gets near that.
        const CAPACITY: f64 = 100e6;
        const INTERVAL: u64 = 200_000;
        let took = |rate: f64| (4_000.0 / (1.0 - (rate / CAPACITY).min(0.99))) as u64;
        let service = Service {
            rate: CAPACITY,
            latency: INTERVAL,
        };
        let (mut pace, mut slow) = (Pace::default(), 0);
        assert_eq!(pace.cruise(0, &service, INTERVAL), None);
        for round in 1..=3_000 {
            let now = round * INTERVAL;
            pace.committed(now, 1_000, (1, true), None);
            let rate = pace.cruise(now, &service, INTERVAL).unwrap();
            pace.taken(1);
            let took = took(rate);
            pace.published(INTERVAL + took, &service, INTERVAL);
            slow += u64::from(round > 500 && took > INTERVAL / 4);
            assert!(round < 500 || rate > 0.7 * CAPACITY, "{rate}");
        }
        assert!(slow < 50, "{slow} of 2,500");
        // A slow sync now and then slows nothing down.
        let before = pace.cruise(3_000 * INTERVAL, &service, INTERVAL).unwrap();
        for round in 0..100 {
            pace.taken(1);
            let took = if round % 4 == 0 { INTERVAL } else { 4_000 };
            pace.published(INTERVAL + took, &service, INTERVAL);
        }
        let after = pace.cruise(3_000 * INTERVAL, &service, INTERVAL).unwrap();
        assert!(after >= before, "{before} {after}");
        // On a machine that is slow for another reason, it does not starve.
        for _ in 0..100 {
            pace.taken(1);
            pace.published(2 * INTERVAL, &service, INTERVAL);
        }
        let rate = pace.cruise(3_000 * INTERVAL, &service, INTERVAL);
        assert!(rate.unwrap() > CAPACITY / 4.0, "{rate:?}");
        // Alone again, it gets everything.
        assert_eq!(
            pace.cruise(3_001 * INTERVAL + ALONE_AFTER_US, &service, INTERVAL),
            None
        );
    }

    #[test]
    fn the_end_of_a_backlog_is_no_company() {
        let [a, b] = [0, 1].map(|tenant| (TierId(3), TenantId(tenant)));
        let company = |noted: &[((TierId, TenantId), bool)], waits| {
            let mut classes = Classes::default();
            noted
                .iter()
                .for_each(|(class, backlog)| classes.note(*class, *backlog));
            classes.company(waits)
        };
        for (noted, waits, expected) in [
            (&[(a, true), (a, false)][..], false, false),
            (&[(a, true), (a, false)], true, false),
            (&[(a, false)], false, false),
            (&[(a, false), (b, true)], false, true),
            (&[(a, false)], true, true),
            (&[(b, true), (a, false), (b, false)], false, true),
        ] {
            assert_eq!(company(noted, waits), expected, "{noted:?} {waits}");
        }
    }

    #[test]
    fn the_window_follows_the_flow() {
        let service = |rate| Service {
            rate,
            latency: 500_000,
        };
        let second = 1_000_000;
        assert_eq!(Pace::window(0, &service(1e6), second), MIN_WINDOW_COST);
        assert_eq!(Pace::window(0, &service(1e8), second), 100_000_000);
        assert_eq!(Pace::window(200_000_000, &service(1e8), second), 0);
        // However slow publication is, the room does not grow with it.
        assert_eq!(Pace::window(0, &service(1e8), 200_000), 40_000_000);
    }
}
