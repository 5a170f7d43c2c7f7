//! Simulates recorded arrivals under a configuration: the same policy, admission and scheduler as in the
//! server, with a clock that is a number and a log that publishes at a given rate. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use logconfig::QosConfig;

use super::number::micros;
use super::rate::Publication;
use super::{
    Admission, Ask, Backlog, Cost, Grant, Job, Limits, Names, Policy, QueueTime, Schedule,
};
use super::{Scheduler, TenantId, TierId};

/// The arrivals of one tenant in one tier in one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Seconds since the Unix epoch.
    pub second: u64,
    /// Name of the tier.
    pub tier: Arc<str>,
    /// Name of the tenant.
    pub tenant: Arc<str>,
    /// How many entries came.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
}

/// The most steps of one simulation: long ones are less fine.
const STEPS: u128 = 4_000_000;
/// Steps, milliseconds: whole parts of a second.
const FINE: [u64; 7] = [10, 20, 50, 100, 200, 500, 1_000];
const SECOND: Duration = Duration::from_secs(1);
/// A machine that has not done the work this long after the last arrival does nothing.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(400 * 86_400);
/// Cost of one job: arrivals are cut into pieces of about this.
const PIECE: Cost = Cost::new(32 << 10);

/// The log that is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Machine<R> {
    /// [`Cost`] that it publishes per second, given the time since the first arrival.
    pub rate: R,
    /// Time between two checkpoints; work is published with the next one after it was released.
    pub interval: Duration,
    /// Bytes that may wait.
    pub memory: u64,
    /// Whether promises are tested before they are given; without it, everything that fits into the memory is admitted.
    pub admission: bool,
}

/// The outcome for one tier's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierOutcome {
    /// The tier's name in the configuration.
    pub tier: String,
    /// Entries that admission let in.
    pub accepted: u64,
    /// Entries that admission refused.
    pub refused: u64,
    /// Half of those let in were published within this.
    pub p50_wait: Duration,
    /// 99 in 100 of those let in were published within this.
    pub p99_wait: Duration,
    /// Entries published after their deadline.
    pub missed: u64,
}

/// The outcome for all tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// From the first to the last arrival.
    pub span: Duration,
    /// Cost per second that the log was taken to publish at first.
    pub rate: u64,
    /// By tier, as in the configuration.
    pub tiers: Vec<TierOutcome>,
}

/// Entries by how long they waited: 16 classes for each doubling.
#[derive(Clone, Debug, Default)]
struct Waits {
    counts: Vec<u64>,
    all: u64,
}

impl Waits {
    fn add(&mut self, wait: Duration, n: u64) {
        let wait = micros(wait);
        let octave = wait.max(16).ilog2();
        let at = ((octave - 4) * 16) as usize + ((wait.max(16) >> (octave - 4)) & 15) as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += n;
        self.all += n;
    }

    /// The upper bound of the class in which this part of all is reached.
    fn quantile(&self, part: f64) -> Duration {
        let (mut sum, want) = (0, (self.all as f64 * part).ceil() as u64);
        for (at, n) in (0u64..).zip(&self.counts) {
            sum += n;
            if sum >= want.max(1) {
                return Duration::from_micros((16 + at % 16 + 1) << (at / 16));
            }
        }
        Duration::ZERO
    }
}

#[derive(Clone, Debug, Default)]
struct Seen {
    accepted: u64,
    refused: u64,
    missed: u64,
    waits: Waits,
}

/// Work in the simulation: the row of its promise.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    due: Option<QueueTime>,
}

/// Replays arrivals, ascending by second, under a configuration and the engine's scheduler. An arrival in a tier that the
/// configuration does not have, or that its tenant may not use any more, is granted as one without advice; one of a tenant that
/// is not there is refused.
pub fn simulate(
    arrivals: &[Arrival],
    qos: &QosConfig,
    machine: &Machine<impl Fn(Duration) -> f64>,
) -> Simulation {
    let policy = Policy::new(qos, machine.interval, &mut Names::default());
    let scheduler = Scheduler::new(&policy);
    simulate_with(arrivals, &policy, machine, scheduler)
}

/// The same with another scheduler, to compare.
pub fn simulate_with(
    arrivals: &[Arrival],
    policy: &Policy,
    machine: &Machine<impl Fn(Duration) -> f64>,
    scheduler: impl Schedule<Piece>,
) -> Simulation {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Simulation {
            tiers: outcomes(policy, Vec::new()),
            ..Simulation::default()
        };
    };
    let span = Duration::from_secs(last.second - first.second + 1);
    let mut fine = FINE.into_iter().map(Duration::from_millis);
    let fine = fine.find(|step| span.as_millis() / step.as_millis() <= STEPS);
    let step = fine.unwrap_or(SECOND);
    let steps = micros(SECOND) / micros(step);
    let interval = machine.interval.max(step);
    let begin = QueueTime::ZERO;
    let mut run = Run {
        policy,
        machine,
        scheduler,
        admission: Admission::new(begin, interval),
        seen: vec![Seen::default(); policy.tiers().len()],
        own: Vec::new(),
        queued: 0,
        flight: VecDeque::new(),
        credit: 0.0,
    };
    let (mut now, mut next, mut publish) = (begin, 0, begin + interval);
    while next < arrivals.len() || !run.scheduler.is_empty() || !run.flight.is_empty() {
        let elapsed = now.since(begin);
        let second = first.second + elapsed.as_secs();
        if run.scheduler.is_empty() && run.flight.is_empty() && arrivals[next].second > second {
            // Nothing to do until then.
            now = begin + Duration::from_secs(arrivals[next].second - first.second);
            publish = now + interval;
            run.credit = 0.0;
            continue;
        }
        while arrivals.get(next).is_some_and(|a| a.second < second) {
            next += 1;
        }
        let at = u64::from(elapsed.subsec_micros()) / micros(step);
        let here = arrivals[next..].iter().take_while(|a| a.second == second);
        here.for_each(|a| run.arrive(now, a, at, steps));
        run.serve(now, step);
        now += step;
        if now >= publish {
            run.publish(now);
            publish = now + interval;
        }
        if now > begin + span + GIVEN_UP_AFTER {
            break;
        }
    }
    Simulation {
        span,
        rate: (machine.rate)(Duration::ZERO) as u64,
        tiers: outcomes(policy, run.seen),
    }
}

fn outcomes(policy: &Policy, mut seen: Vec<Seen>) -> Vec<TierOutcome> {
    seen.resize(policy.tiers().len(), Seen::default());
    let rows = policy.tiers().iter().zip(seen);
    rows.map(|(rule, seen)| TierOutcome {
        tier: rule.name.to_string(),
        accepted: seen.accepted,
        refused: seen.refused,
        p50_wait: seen.waits.quantile(0.5),
        p99_wait: seen.waits.quantile(0.99),
        missed: seen.missed,
    })
    .collect()
}

struct Run<'a, R, S> {
    policy: &'a Policy,
    machine: &'a Machine<R>,
    scheduler: S,
    admission: Admission,
    seen: Vec<Seen>,
    /// The waiting work by tier and tenant, which other schedulers do not know.
    own: Vec<Vec<Backlog>>,
    queued: u64,
    /// Jobs that are released and not published, each with its time.
    flight: VecDeque<(QueueTime, Job<Piece>)>,
    /// Cost that may be released.
    credit: f64,
}

impl<R: Fn(Duration) -> f64, S: Schedule<Piece>> Run<'_, R, S> {
    fn own(&mut self, tier: TierId, tenant: TenantId) -> &mut Backlog {
        if self.own.len() <= tier.index() {
            self.own.resize(tier.index() + 1, Vec::new());
        }
        let tenants = &mut self.own[tier.index()];
        if tenants.len() <= tenant.index() {
            tenants.resize(tenant.index() + 1, Backlog::default());
        }
        &mut tenants[tenant.index()]
    }

    /// Adds the part of a second's arrivals that comes in one of its steps.
    fn arrive(&mut self, now: QueueTime, arrival: &Arrival, at: u64, steps: u64) {
        let part = |n: u64| n * (at + 1) / steps - n * at / steps;
        let mut entries = part(arrival.entries);
        if entries == 0 {
            return;
        }
        let size = (arrival.bytes / arrival.entries.max(1)).max(1);
        let tenants = (0..).zip(self.policy.tenants());
        let tenant = tenants
            .filter(|(_, t)| !t.retired)
            .find(|(_, t)| t.name == arrival.tenant);
        let named = (0..).zip(self.policy.tiers());
        let named = named
            .filter(|(_, t)| t.name == arrival.tier)
            .map(|(at, _)| TierId(at))
            .next();
        let Some((tenant, rule)) = tenant.filter(|(_, t)| !t.tiers.is_empty()) else {
            if let Some(tier) = named {
                self.seen[tier.index()].refused += entries;
            }
            return;
        };
        let tier = named
            .filter(|t| rule.tiers.contains(t))
            .unwrap_or(rule.tiers[0]);
        let tenant = TenantId(tenant);
        let piece = (PIECE.get() / Cost::of(1, size).get()).max(1);
        while entries > 0 {
            let n = piece.min(entries);
            entries -= n;
            self.submit(now, tier, tenant, n, n * size);
        }
    }

    fn submit(&mut self, now: QueueTime, tier: TierId, tenant: TenantId, entries: u64, bytes: u64) {
        let grant = Grant {
            tier,
            merge_by: self.policy.tier(tier).max_merge_delay,
        };
        let own = *self.own(tier, tenant);
        let free = self.machine.memory.saturating_sub(self.queued);
        let (deadline, due) = if self.machine.admission {
            let ask = Ask {
                tenant,
                grant,
                entries,
                bytes,
                own,
                free,
            };
            match self.admission.admit(now, self.policy, &ask) {
                Ok(promise) => (promise.map(|p| p.deadline), promise.map(|p| p.due)),
                Err(_) => {
                    self.seen[tier.index()].refused += entries;
                    return;
                }
            }
        } else if bytes > free {
            self.seen[tier.index()].refused += entries;
            return;
        } else {
            (grant.merge_by.map(|delay| now + delay), None)
        };
        self.seen[tier.index()].accepted += entries;
        self.queued += bytes;
        let own = self.own(tier, tenant);
        own.entries += entries;
        own.bytes += bytes;
        let job = Job {
            tier,
            tenant,
            entries,
            bytes,
            arrived: now,
            deadline,
            payload: Piece { due },
        };
        self.scheduler.push(now, job);
    }

    /// Serves the work of one step.
    fn serve(&mut self, now: QueueTime, step: Duration) {
        let rate = (self.machine.rate)(now.since(QueueTime::ZERO));
        self.credit += rate * step.as_secs_f64();
        let urgent_until = self.admission.pressing(now);
        while self.credit >= 1.0 {
            let mut limits = Limits {
                total: Cost::whole(self.credit),
                ..Limits::none(urgent_until)
            };
            let Some(job) = self.scheduler.next(now, &mut limits) else {
                self.admission.rate().idle();
                self.credit = 0.0;
                return;
            };
            self.credit -= job.cost().as_f64();
            if let Some(due) = job.payload.due {
                self.admission.release(due, job.cost());
            }
            self.queued -= job.bytes;
            let own = self.own(job.tier, job.tenant);
            own.entries -= job.entries;
            own.bytes -= job.bytes;
            self.flight.push_back((now, job));
        }
    }

    /// A checkpoint over everything that was released.
    fn publish(&mut self, now: QueueTime) {
        let Some((oldest, _)) = self.flight.front() else {
            return;
        };
        let oldest = *oldest;
        let (mut entries, mut bytes) = (0, 0);
        for (_, job) in self.flight.drain(..) {
            entries += job.entries;
            bytes += job.bytes;
            let seen = &mut self.seen[job.tier.index()];
            seen.waits.add(now.since(job.arrived), job.entries);
            if job.deadline.is_some_and(|d| d < now) {
                seen.missed += job.entries;
            }
        }
        let published = Publication {
            entries,
            bytes,
            latency: now.since(oldest),
        };
        self.admission.rate().published(now, &published);
    }
}

#[cfg(test)]
mod tests;
