use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::class::rounded;
use super::*;

const CRITICAL: u16 = 0;
const INTERACTIVE: u16 = 1;
const STANDARD: u16 = 2;
const BULK: u16 = 3;
const SCAVENGER: u16 = 4;
const SECOND: Duration = Duration::from_secs(1);
const START: QueueTime = QueueTime::ZERO;

/// The shipped tiers and three tenants, the second of three times the weight.
fn rules() -> Policy {
    rules_of(logconfig::QosConfig::default())
}

fn rules_of(mut config: logconfig::QosConfig) -> Policy {
    let mut tenants = Vec::new();
    for (name, weight) in [("a", 1), ("b", 3), ("c", 1)] {
        let mut tenant = config.tenants[0].clone();
        tenant.name = name.to_owned().try_into().unwrap();
        tenant.weight = weight;
        tenant.anonymous = name == "a";
        tenants.push(tenant);
    }
    config.tenants = tenants;
    Policy::new(&config, Duration::ZERO, &mut crate::Names::default())
}

fn job(
    tier: u16,
    tenant: u16,
    bytes: u64,
    now: QueueTime,
    delay: Option<Duration>,
    id: u64,
) -> Job<u64> {
    Job {
        tier: TierId(tier),
        tenant: TenantId(tenant),
        entries: 1,
        bytes,
        arrived: now,
        deadline: delay.map(|d| now + d),
        payload: id,
    }
}

fn next_tier(scheduler: &mut Scheduler<u64>) -> u16 {
    let job = scheduler.next(START, &mut Limits::none(START)).unwrap();
    job.tier.0
}

/// Serves `total` cost while these classes never run dry; the cost each got.
fn saturate(classes: &[(u16, u16, u64)], total: u64) -> BTreeMap<(u16, u16), u64> {
    let mut scheduler = Scheduler::new(&rules());
    let mut got: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    let (mut served, mut id) = (0, 0);
    while served < total {
        let now = QueueTime::new(served);
        for (tier, tenant, bytes) in classes {
            while scheduler.backlog(TierId(*tier), TenantId(*tenant)).entries < 4 {
                id += 1;
                let job = job(*tier, *tenant, *bytes, now, Some(3_600 * SECOND), id);
                scheduler.push(now, job);
            }
        }
        let job = scheduler.next(now, &mut Limits::none(START)).unwrap();
        served += job.cost().get();
        *got.entry((job.tier.0, job.tenant.0)).or_default() += job.cost().get();
    }
    got
}

#[test]
fn shares_follow_the_weights_whatever_the_sizes() {
    let total = 50 << 20;
    let got = saturate(
        &[
            (INTERACTIVE, 0, 100),
            (STANDARD, 0, 5_000),
            (BULK, 0, 60_000),
        ],
        total,
    );
    // Weights 8, 4 and 1.
    for (tier, weight) in [(INTERACTIVE, 8.0), (STANDARD, 4.0), (BULK, 1.0)] {
        let share = got[&(tier, 0)] as f64 / total as f64;
        assert!((share - weight / 13.0).abs() < 0.01, "{tier}: {share}");
    }
}

#[test]
fn many_tenants_do_not_make_a_tier_larger_and_share_it_by_weight() {
    let total = 50 << 20;
    let classes = [
        (STANDARD, 0, 300),
        (STANDARD, 1, 70),
        (STANDARD, 2, 9_000),
        (INTERACTIVE, 0, 200),
    ];
    let got = saturate(&classes, total);
    let share = |class| got[&class] as f64 / total as f64;
    assert!((share((INTERACTIVE, 0)) - 8.0 / 12.0).abs() < 0.01);
    for (tenant, weight) in [(0, 1.0), (1, 3.0), (2, 1.0)] {
        let want = 4.0 / 12.0 * weight / 5.0;
        assert!((share((STANDARD, tenant)) - want).abs() < 0.01, "{tenant}");
    }
}

#[test]
fn every_tier_gets_its_floor_below_endless_critical_work() {
    let total = 100 << 20;
    let classes: Vec<_> = (CRITICAL..=SCAVENGER)
        .map(|tier| (tier, 0, 1_000))
        .collect();
    let got = saturate(&classes, total);
    for (tier, floor) in [
        (INTERACTIVE, 0.10),
        (STANDARD, 0.05),
        (BULK, 0.03),
        (SCAVENGER, 0.01),
    ] {
        let share = got[&(tier, 0)] as f64 / total as f64;
        assert!(
            share > floor - 0.001 && share < floor + 0.01,
            "{tier}: {share}"
        );
    }
}

#[test]
fn floors_hold_against_promises_that_press_and_against_the_pace() {
    let mut scheduler = Scheduler::new(&rules());
    let (mut served, mut scavenged, mut id) = (0, 0, 0);
    while served < 50 << 20 {
        for (tier, delay) in [(INTERACTIVE, Some(2 * SECOND)), (SCAVENGER, None)] {
            while scheduler.backlog(TierId(tier), TenantId(0)).entries < 16 {
                id += 1;
                scheduler.push(START, job(tier, 0, 2_000, START, delay, id));
            }
        }
        let mut limits = Limits {
            elastic: Cost::ZERO,
            ..Limits::none(START + 10 * SECOND)
        };
        let job = scheduler.next(START, &mut limits).unwrap();
        served += job.cost().get();
        if job.tier.0 == SCAVENGER {
            scavenged += job.cost().get();
        }
    }
    let share = scavenged as f64 / served as f64;
    assert!(share > 0.009 && share < 0.02, "{share}");
}

#[test]
fn a_sparse_tenant_passes_the_pace_that_holds_a_backlog_of_its_tier() {
    let mut scheduler = Scheduler::new(&rules());
    let (mut id, mut waited) = (0, 0);
    for round in 0..1_000u64 {
        let now = QueueTime::new(round);
        while scheduler.backlog(TierId(BULK), TenantId(0)).entries < 16 {
            id += 1;
            scheduler.push(now, job(BULK, 0, 60_000, now, None, id));
        }
        id += 1;
        scheduler.push(now, job(BULK, 1, 100, now, None, id));
        // The pace lets a chunk of the backlog through now and then.
        let mut limits = Limits {
            elastic: Cost::new(u64::from(round % 10 == 0)),
            ..Limits::none(START)
        };
        while let Some(job) = scheduler.next(now, &mut limits) {
            assert!(job.tenant.0 == 1 || limits.spent > Cost::ZERO);
        }
        waited += scheduler.backlog(TierId(BULK), TenantId(1)).entries;
    }
    assert_eq!(waited, 0);
    // Its own share does not grow: a flood of its writes is a backlog.
    let now = QueueTime::new(1_000);
    for _ in 0..1_000 {
        id += 1;
        scheduler.push(now, job(BULK, 1, 100, now, None, id));
    }
    let mut limits = Limits {
        elastic: Cost::ZERO,
        ..Limits::none(START)
    };
    assert!(scheduler.next(now, &mut limits).is_none());
}

#[test]
fn idle_capacity_goes_to_whoever_has_work_and_is_not_held_against_him() {
    let mut scheduler = Scheduler::new(&rules());
    for id in 0..10_000 {
        scheduler.push(START, job(BULK, 0, 1_000, START, None, id));
    }
    for _ in 0..9_000 {
        assert_eq!(next_tier(&mut scheduler), BULK);
    }
    // Now another comes: from here on by weight, 8 to 1, not everything until the past is evened out.
    for id in 0..900 {
        scheduler.push(START, job(INTERACTIVE, 0, 1_000, START, None, id));
    }
    let bulk = (0..900).filter(|_| next_tier(&mut scheduler) == BULK);
    assert!((95..=105).contains(&bulk.count()));
}

#[test]
fn a_late_promise_does_not_make_the_next_one_late() {
    let mut scheduler = Scheduler::new(&rules());
    // The interactive tier had more than its share, so that only urgency helps it.
    for id in 0..1_000 {
        let fast = job(INTERACTIVE, 0, 60_000, START, Some(2 * SECOND), id);
        scheduler.push(START, fast);
        scheduler.push(START, job(BULK, 0, 60_000, START, None, 10_000 + id));
    }
    for _ in 0..200 {
        let mut limits = Limits::none(START + 5 * SECOND);
        scheduler.next(START, &mut limits).unwrap();
    }
    // Three seconds later: what waits is late, what comes now is not.
    let now = START + 3 * SECOND;
    scheduler.push(now, job(INTERACTIVE, 0, 100, now, Some(2 * SECOND), 7_777));
    let next = scheduler
        .next(now, &mut Limits::none(now + 3 * SECOND))
        .unwrap();
    assert_eq!(next.payload, 7_777);
    // And nothing of the late is lost.
    let mut left = 0;
    while scheduler.next(now, &mut Limits::none(now)).is_some() {
        left += 1;
    }
    assert_eq!(left, 1_800);
}

#[test]
fn a_tier_that_was_taken_out_serves_what_waits() {
    let (mut names, config) = (crate::Names::default(), logconfig::QosConfig::default());
    let before = Policy::new(&config, Duration::ZERO, &mut names);
    let mut scheduler = Scheduler::new(&before);
    scheduler.push(START, job(STANDARD, 0, 10, START, Some(SECOND), 1));
    let mut without = config;
    without.tiers.retain(|t| t.name.as_str() != "standard");
    without
        .tenants
        .iter_mut()
        .for_each(|t| t.tiers.retain(|n| n.as_str() != "standard"));
    let after = Policy::new(&without, Duration::ZERO, &mut names);
    scheduler.configure(&after);
    assert!(after.tier(TierId(STANDARD)).retired);
    let due = START + SECOND;
    let job = scheduler.next(START, &mut Limits::none(due)).unwrap();
    assert_eq!((job.payload, job.deadline), (1, Some(due)));
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        tier: u16,
        tenant: u16,
        bytes: u64,
        delay: Option<Duration>,
    },
    Next {
        elastic: bool,
        urgent: Duration,
    },
    Wait(Duration),
}

/// A time up to so many seconds, in microseconds.
fn seconds(most: u64) -> impl Strategy<Value = Duration> {
    (0..most * 1_000_000).prop_map(Duration::from_micros)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = prop_oneof![
        Just(None),
        seconds(100).prop_map(Some),
        Just(Some(2 * SECOND))
    ];
    let push = (0..5u16, 0..3u16, 1..60_000u64, delay).prop_map(|(tier, tenant, bytes, delay)| {
        Step::Push {
            tier,
            tenant,
            bytes,
            delay,
        }
    });
    let next =
        (any::<bool>(), seconds(10)).prop_map(|(elastic, urgent)| Step::Next { elastic, urgent });
    let wait = seconds(5).prop_map(Step::Wait);
    proptest::collection::vec(prop_oneof![4 => push, 4 => next, 1 => wait], 1..300)
}

/// The waiting work in one list; it finds the jobs that may be taken by looking at all of them.
#[derive(Default)]
struct Model {
    jobs: Vec<(Job<u64>, Duration)>,
    critical: Cost,
    other: Cost,
}

impl Model {
    fn push(&mut self, now: QueueTime, job: Job<u64>) {
        let delay = job.deadline.map_or(Duration::MAX, |d| d.since(now));
        self.jobs.push((job, delay));
    }

    /// Checks that a job may go now, and takes it.
    fn take(&mut self, now: QueueTime, job: &Job<u64>, limits: &Limits) {
        let at = self.jobs.iter().position(|(j, _)| j.payload == job.payload);
        let (own, delay) = self
            .jobs
            .remove(at.expect("lost before, or given out twice"));
        assert_eq!(
            (own.tier, own.tenant, own.deadline),
            (job.tier, job.tenant, job.deadline)
        );
        let late = |j: &Job<u64>| j.deadline.is_some_and(|d| d < now);
        for (other, wish) in &self.jobs {
            // First come, first served among equals, but for what is late.
            if (other.tier, other.tenant, *wish) == (own.tier, own.tenant, delay) && !late(other) {
                assert!(
                    other.payload > own.payload,
                    "{} before {}",
                    own.payload,
                    other.payload
                );
            }
        }
        let elastic = !matches!(own.tier.0, CRITICAL | INTERACTIVE);
        let pressing = |j: &Job<u64>| {
            !late(j)
                && j.deadline
                    .is_some_and(|d| j.arrived + rounded(d.since(j.arrived)) <= limits.urgent_until)
        };
        let class = |j: &Job<u64>| (j.tier, j.tenant) == (own.tier, own.tenant);
        let cost = own.cost();
        let waited: Cost = self
            .jobs
            .iter()
            .map(|(j, _)| j)
            .filter(|j| class(j))
            .map(Job::cost)
            .sum();
        let held = elastic && waited + cost > SPARSE;
        if own.tier.0 == CRITICAL {
            self.critical += cost;
        } else if self.jobs.iter().any(|(j, _)| j.tier.0 == CRITICAL)
            || (held && limits.elastic == Cost::ZERO && !pressing(&own))
        {
            // Only a floor may do that; all of them together are 24 %, and a debt is at most a few jobs.
            self.other += cost;
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_given_twice_or_given_against_the_rules(steps in steps()) {
        let mut scheduler = Scheduler::new(&rules());
        let mut model = Model::default();
        let (mut now, mut served) = (START, Cost::ZERO);
        for (id, step) in (0u64..).zip(steps) {
            match step {
                Step::Push { tier, tenant, bytes, delay } => {
                    let job = job(tier, tenant, bytes, now, delay, id);
                    model.push(now, job.clone());
                    scheduler.push(now, job);
                }
                Step::Next { elastic, urgent } => {
                    let before = Limits {
                        elastic: if elastic { Cost::MAX } else { Cost::ZERO },
                        ..Limits::none(now + urgent)
                    };
                    let mut limits = before;
                    let job = scheduler.next(now, &mut limits);
                    let free = model.jobs.iter().any(|(j, _)| elastic || j.tier.0 <= INTERACTIVE);
                    prop_assert!(job.is_some() || !free);
                    if let Some(job) = job {
                        served += job.cost();
                        model.take(now, &job, &before);
                    }
                }
                Step::Wait(time) => now += time,
            }
            prop_assert_eq!(scheduler.len(), model.jobs.len());
            prop_assert!(model.other.as_f64() <= 0.24 * served.as_f64() + 5.0);
        }
        let entries: u64 = scheduler.backlogs().map(|(_, _, b, _)| b.entries).sum();
        prop_assert_eq!(entries, model.jobs.len() as u64);
        while let Some(job) = scheduler.next(now, &mut Limits::none(now)) {
            model.take(now, &job, &Limits::none(now));
        }
        prop_assert!(model.jobs.is_empty());
        prop_assert_eq!(scheduler.backlogs().count(), 0);
    }

    #[test]
    fn among_promises_that_press_the_earliest_goes_first(delays in proptest::collection::vec((2..5u16, 0..3u16, 1..60_000_000u64), 1..80)) {
        let mut config = logconfig::QosConfig::default();
        config.tiers.iter_mut().for_each(|t| t.floor = Default::default());
        let mut scheduler = Scheduler::new(&rules_of(config));
        for (id, (tier, tenant, delay)) in (0u64..).zip(&delays) {
            scheduler.push(START, job(*tier, *tenant, 1, START, Some(Duration::from_micros(*delay)), id));
        }
        let mut last = Duration::ZERO;
        while let Some(job) = scheduler.next(START, &mut Limits { elastic: Cost::ZERO, ..Limits::none(QueueTime::MAX) }) {
            let deadline = job.deadline.unwrap().since(START);
            // By the rounded delay: a fifth too early at most, never too late.
            prop_assert!(deadline >= last, "{deadline:?} after {last:?}");
            last = last.max(rounded(deadline));
        }
        prop_assert_eq!(scheduler.len(), 0);
    }
}

#[test]
fn rounding_is_down_by_a_fifth_at_most() {
    let short = (0..10_000).map(Duration::from_micros);
    for delay in short.chain([SECOND, 86_400 * SECOND, 365 * 86_400 * SECOND]) {
        let down = rounded(delay);
        assert!(
            down <= delay && 5 * down >= 4 * delay,
            "{delay:?}: {down:?}"
        );
    }
}
