use std::collections::VecDeque;

use super::*;

const MIB: u64 = 1 << 20;

fn arrivals(seconds: u64, of: &[(&str, &str, u64, u64)]) -> Vec<Arrival> {
    (0..seconds)
        .flat_map(|second| {
            of.iter().map(move |(tier, tenant, entries, size)| Arrival {
                second: 1_000_000 + second,
                tier: (*tier).into(),
                tenant: (*tenant).into(),
                entries: *entries,
                bytes: entries * size,
            })
        })
        .collect()
}

fn machine<R: Fn(Duration) -> f64>(rate: R) -> Machine<R> {
    Machine {
        rate,
        interval: Duration::from_millis(200),
        memory: 512 * MIB,
        admission: true,
    }
}

/// The shipped tiers and three tenants that may use all of them.
fn rules() -> QosConfig {
    let mut config = QosConfig::default();
    let mut tenants = Vec::new();
    for name in ["a", "b", "c"] {
        let mut tenant = config.tenants[0].clone();
        tenant.name = name.to_owned().try_into().unwrap();
        tenant.anonymous = name == "a";
        tenant.tiers = config.tiers.iter().map(|t| t.name.clone()).collect();
        tenants.push(tenant);
    }
    config.tenants = tenants;
    config
}

fn tier<'a>(simulation: &'a Simulation, name: &str) -> &'a TierOutcome {
    simulation.tiers.iter().find(|t| t.tier == name).unwrap()
}

/// First come, first served.
#[derive(Default)]
struct Fifo(VecDeque<Job<Piece>>);

impl Schedule<Piece> for Fifo {
    fn push(&mut self, _: QueueTime, job: Job<Piece>) {
        self.0.push_back(job);
    }

    fn next(&mut self, _: QueueTime, limits: &mut Limits) -> Option<Job<Piece>> {
        let job = self.0.pop_front()?;
        limits.total -= job.cost();
        Some(job)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Ten times what the log can do, from three tenants in all tiers.
fn overload() -> Vec<Arrival> {
    let of: Vec<_> = ["critical", "interactive", "standard", "bulk", "scavenger"]
        .into_iter()
        .flat_map(|tier| ["a", "b", "c"].map(|tenant| (tier, tenant, 6_667, 128)))
        .collect();
    arrivals(60, &of)
}

#[test]
fn no_accepted_promise_is_missed_at_ten_times_the_load() {
    // 10,000 entries a second.
    let simulation = simulate(&overload(), &rules(), &machine(|_| 2_560_000.0));
    for outcome in &simulation.tiers {
        assert_eq!(outcome.missed, 0, "{outcome:?}");
        assert!(outcome.accepted > 1_000, "{outcome:?}");
    }
    assert!(tier(&simulation, "critical").refused > 0);
    // Without admission, first come first served: nearly everything is late. That is why.
    let policy = Policy::new(&rules(), Duration::from_millis(200), &mut Names::default());
    let blind = Machine {
        admission: false,
        ..machine(|_| 2_560_000.0)
    };
    let fifo = simulate_with(&overload(), &policy, &blind, Fifo::default());
    let interactive = tier(&fifo, "interactive");
    assert!(
        interactive.missed * 10 > interactive.accepted * 8,
        "{interactive:?}"
    );
}

#[test]
fn when_the_rate_halves_promises_are_kept_or_counted_and_nothing_collapses() {
    let half = |at: Duration| {
        if at < Duration::from_secs(30) {
            2_560_000.0
        } else {
            1_280_000.0
        }
    };
    let simulation = simulate(&overload(), &rules(), &machine(half));
    let full = simulate(&overload(), &rules(), &machine(|_| 2_560_000.0));
    // Of a minute's promises, given at the old rate, half cannot be kept at the new one; of those for seconds nearly all.
    for (name, part) in [("critical", 10), ("interactive", 10), ("standard", 2)] {
        let (now, before) = (tier(&simulation, name), tier(&full, name));
        assert!(now.missed * part <= now.accepted, "{now:?}");
        assert!(
            now.accepted * 10 >= before.accepted * 5,
            "{now:?} {before:?}"
        );
    }
}

#[test]
fn a_backfill_does_not_delay_who_writes_little() {
    let alone = simulate(
        &arrivals(60, &[("interactive", "a", 500, 112)]),
        &rules(),
        &machine(|_| 40e6),
    );
    let beside = simulate(
        &arrivals(
            60,
            &[("interactive", "a", 500, 112), ("bulk", "b", 300_000, 112)],
        ),
        &rules(),
        &machine(|_| 40e6),
    );
    let (alone, with) = (tier(&alone, "interactive"), tier(&beside, "interactive"));
    assert!(
        with.p99_wait.as_secs_f64() <= 1.25 * alone.p99_wait.as_secs_f64(),
        "{alone:?} {with:?}"
    );
    assert_eq!((with.refused, with.missed), (0, 0));
    // And the backfill gets the rest: more than 150,000 entries of 240 a second.
    assert!(tier(&beside, "bulk").accepted > 60 * 150_000);
}

#[test]
fn a_greedy_tenant_does_not_delay_a_modest_one_of_the_same_tier() {
    let modest = ("interactive", "b", 100, 128);
    let alone = simulate(
        &arrivals(30, &[modest]),
        &rules(),
        &machine(|_| 2_560_000.0),
    );
    let greedy = ("interactive", "a", 100_000, 128);
    let beside = simulate(
        &arrivals(30, &[greedy, modest]),
        &rules(),
        &machine(|_| 2_560_000.0),
    );
    // Of the modest tenant alone: what the greedy one gets would hide it in the tier's figures.
    assert_eq!(tier(&beside, "interactive").missed, 0);
    let policy = Policy::new(&rules(), Duration::from_millis(200), &mut Names::default());
    let watch = Watch {
        inner: Scheduler::new(&policy),
        longest: std::rc::Rc::default(),
    };
    let longest = std::rc::Rc::clone(&watch.longest);
    simulate_with(
        &arrivals(30, &[greedy, modest]),
        &policy,
        &machine(|_| 2_560_000.0),
        watch,
    );
    let alone = tier(&alone, "interactive").p99_wait;
    assert!(longest.get() * 4 <= alone, "{:?} {alone:?}", longest.get());
}

/// The longest that an entry of tenant `b` waits in the queue.
struct Watch {
    inner: Scheduler<Piece>,
    longest: std::rc::Rc<std::cell::Cell<Duration>>,
}

impl Schedule<Piece> for Watch {
    fn push(&mut self, now: QueueTime, job: Job<Piece>) {
        self.inner.push(now, job);
    }

    fn next(&mut self, now: QueueTime, limits: &mut Limits) -> Option<Job<Piece>> {
        let job = self.inner.next(now, limits)?;
        if job.tenant == TenantId(1) {
            let waited = now.since(job.arrived);
            self.longest.set(self.longest.get().max(waited));
        }
        Some(job)
    }

    fn len(&self) -> usize {
        self.inner.len()
    }
}

#[test]
fn arrivals_of_what_is_no_more_are_granted_or_refused_and_nothing_is_no_error() {
    let mut config = rules();
    config.tiers.retain(|t| t.name.as_str() != "standard");
    config
        .tenants
        .iter_mut()
        .for_each(|t| t.tiers.retain(|n| n.as_str() == "bulk"));
    let of = [
        ("standard", "a", 10, 100),
        ("bulk", "b", 10, 100),
        ("bulk", "gone", 10, 100),
    ];
    let simulation = simulate(&arrivals(2, &of), &config, &machine(|_| 1e9));
    let bulk = tier(&simulation, "bulk");
    assert_eq!((bulk.accepted, bulk.refused, bulk.missed), (40, 20, 0));
    let nothing = simulate(&[], &config, &machine(|_| 1e9));
    assert_eq!((nothing.span, nothing.tiers.len()), (Duration::ZERO, 4));
}

#[test]
fn long_silences_cost_nothing() {
    let mut all = arrivals(1, &[("bulk", "a", 10, 100)]);
    all.push(Arrival {
        second: 1_000_000 + 7 * 86_400,
        ..all[0].clone()
    });
    let simulation = simulate(&all, &rules(), &machine(|_| 1e9));
    assert_eq!(tier(&simulation, "bulk").accepted, 20);
}
