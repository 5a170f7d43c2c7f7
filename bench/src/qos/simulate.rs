//! The same arrivals through the engine's own admission and scheduler, and through simpler ones; a made-up log whose rate is
//! known, so that "ten times too much" means just that. Simulated time, so it is the same on every machine.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use logconfig::{QosConfig, TenantConfig};
use qos::admission::Promise;
use qos::rate::Publication;
use qos::{
    Admission, Advice, Ask, Backlog, Cost, Job, Limits, Names, Policy, QueueTime, Schedule,
    Scheduler, TenantId,
};

use super::others::{Earliest, Fifo, Strict};
use crate::figures::{Figure, Options};
use tlog::UnixMillis;

const SECOND: Duration = Duration::from_secs(1);
const START: QueueTime = QueueTime::ZERO;
/// Commits: as often as the scheduler is asked.
const COMMIT: Duration = Duration::from_millis(5);
/// From release to checkpoint.
const PUBLICATION: Duration = Duration::from_millis(200);
/// The publication rate of the simulated log: 100,000 entries of 112 bytes a second.
const ENTRIES: u64 = 100_000;
const SIZE: u64 = 112;
/// Bytes that may wait.
const ROOM: u64 = 64 << 20;
/// The duration of the arrivals.
const LENGTH: Duration = Duration::from_secs(120);

/// Writes of one kind: `entries` at a time, evenly spaced.
struct Source {
    name: &'static str,
    tenant: TenantId,
    urgency: u8,
    merge_by: Option<Duration>,
    entries: u64,
    per_second: u32,
}

/// The result for a source.
struct Seen {
    accepted: u64,
    refused: u64,
    published: u64,
    missed: u64,
    /// From arrival to published, microseconds; entries.
    wait: Histogram<u64>,
    /// Entries published in the second half, when shares have settled.
    late: u64,
}

/// Waiting work in the simulation.
struct Load {
    source: usize,
    promise: Option<Promise>,
}

/// The settings of the simulated log.
struct World {
    policy: Policy,
    sources: Vec<Source>,
    /// Whether arrivals must pass admission.
    admission: bool,
    /// When the rate is halved.
    halved_at: Option<QueueTime>,
}

impl World {
    /// Three tenants: live writers, one with standard work, one that moves an archive. Together `times` the log's rate.
    fn new(times: u64, admission: bool) -> Result<Self> {
        let mut qos = QosConfig::default();
        let anonymous = qos
            .tenants
            .first_mut()
            .context("the shipped configuration has a tenant")?;
        let template: TenantConfig = anonymous.clone();
        let tokens: Vec<String> = (1..3u8).map(|n| logconfig::token_text(&[n; 32])).collect();
        for (nth, token) in tokens.iter().enumerate() {
            let mut tenant = template.clone();
            tenant.anonymous = false;
            tenant.name = format!("tenant{nth}").try_into()?;
            tenant.tokens = vec![logconfig::WriterToken {
                name: "bench".into(),
                sha256: logconfig::token_hash(token),
                expires: None,
            }];
            qos.tenants.push(tenant);
        }
        let policy = Policy::new(&qos, PUBLICATION, &mut Names::default());
        let named = |token: Option<&str>| {
            policy
                .tenant(token, UnixMillis::ZERO)
                .map_err(|denied| anyhow::anyhow!("{denied:?}"))
        };
        let (live, second, third) = (
            named(None)?,
            named(Some(&tokens[0]))?,
            named(Some(&tokens[1]))?,
        );
        let source = |name, tenant, urgency, merge_by, entries, per_second| Source {
            name,
            tenant,
            urgency,
            merge_by,
            entries,
            per_second,
        };
        // The live writers are a small part; what is too much are the others, in chunks.
        let chunk = 500;
        let chunks = u32::try_from(ENTRIES * times / chunk)?;
        let sources = vec![
            source("interactive", live, 1, None, 1, 500),
            source("standard", second, 3, None, chunk, chunks * 2 / 5),
            source("bulk", third, 5, None, chunk, chunks * 2 / 5),
            source("scavenger", second, 7, None, chunk, chunks / 5),
        ];
        Ok(Self {
            policy,
            sources,
            admission,
            halved_at: None,
        })
    }

    fn run(&self, schedule: &mut dyn Schedule<Load>) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for _ in &self.sources {
            seen.push(Seen {
                accepted: 0,
                refused: 0,
                published: 0,
                missed: 0,
                wait: Histogram::new_with_bounds(1, micros(3600 * SECOND), 3)?,
                late: 0,
            });
        }
        let mut admission = Admission::new(START, PUBLICATION);
        let mut waits = vec![Backlog::default(); self.sources.len()];
        let mut due: Vec<QueueTime> = self
            .sources
            .iter()
            .map(|source| START + SECOND / source.per_second / 2)
            .collect();
        // Released and not yet published: entries, bytes, when, and whose.
        let mut under_way: std::collections::VecDeque<(QueueTime, Job<Load>)> =
            std::collections::VecDeque::new();
        let rate = Cost::of(ENTRIES, ENTRIES * SIZE).as_f64();
        let per_commit = (rate * COMMIT.as_secs_f64()) as i64;
        // A chunk may be more than what is left: then the next commits have less.
        let mut unused = 0i64;
        let (mut now, end) = (START, START + LENGTH);
        // Afterwards what was accepted is still published.
        while now < end
            || (!schedule.is_empty() && now < START + 10 * LENGTH)
            || !under_way.is_empty()
        {
            now += COMMIT;
            for (at, source) in self.sources.iter().enumerate() {
                while due[at] < now.min(end) {
                    let arrived = due[at];
                    due[at] += SECOND / source.per_second;
                    self.arrive(
                        at,
                        arrived,
                        &mut admission,
                        &mut waits,
                        schedule,
                        &mut seen[at],
                    );
                }
            }
            let half = self.halved_at.is_some_and(|when| now >= when);
            unused = (unused + per_commit / if half { 2 } else { 1 }).min(8 * per_commit);
            let mut limits = Limits::none(admission.pressing(now));
            limits.total = Cost::new(u64::try_from(unused).unwrap_or(0));
            while let Some(job) = schedule.next(now, &mut limits) {
                unused -= job.cost().get() as i64;
                let source = job.payload.source;
                waits[source].entries -= job.entries;
                waits[source].bytes -= job.bytes;
                if let Some(promise) = job.payload.promise {
                    admission.release(promise.due, job.cost());
                }
                under_way.push_back((now + PUBLICATION, job));
            }
            if schedule.is_empty() {
                admission.rate().idle();
            }
            let (mut entries, mut bytes) = (0, 0);
            while let Some((_, job)) = under_way.pop_front_if(|(when, _)| *when <= now) {
                entries += job.entries;
                bytes += job.bytes;
                let seen = &mut seen[job.payload.source];
                seen.published += job.entries;
                seen.wait
                    .record_n(micros(now.since(job.arrived)), job.entries)?;
                if job.deadline.is_some_and(|deadline| now > deadline) {
                    seen.missed += job.entries;
                }
                if now > START + LENGTH / 2 && now <= end {
                    seen.late += job.entries;
                }
            }
            if entries > 0 {
                let published = Publication {
                    entries,
                    bytes,
                    latency: PUBLICATION,
                };
                admission.rate().published(now, &published);
            }
        }
        // Entries that still wait after ten times the time have missed their promise.
        for (waiting, seen) in waits.iter().zip(&mut seen) {
            seen.missed += waiting.entries;
        }
        Ok(seen)
    }

    fn arrive(
        &self,
        at: usize,
        arrived: QueueTime,
        admission: &mut Admission,
        waits: &mut [Backlog],
        schedule: &mut dyn Schedule<Load>,
        seen: &mut Seen,
    ) {
        let source = &self.sources[at];
        let advice = Advice {
            urgency: Some(source.urgency),
            merge_by: source.merge_by,
            shard: None,
        };
        let grant = self.policy.grant(source.tenant, &advice);
        let bytes = source.entries * SIZE;
        let free = ROOM.saturating_sub(waits.iter().map(|wait| wait.bytes).sum());
        let ask = Ask {
            tenant: source.tenant,
            grant,
            entries: source.entries,
            bytes,
            own: waits[at],
            free,
        };
        let promise = if self.admission {
            match admission.admit(arrived, &self.policy, &ask) {
                Ok(promise) => promise,
                Err(_) => {
                    seen.refused += source.entries;
                    return;
                }
            }
        } else {
            None
        };
        let deadline = grant.merge_by.map(|delay| arrived + delay);
        seen.accepted += source.entries;
        waits[at].entries += source.entries;
        waits[at].bytes += bytes;
        let job = Job {
            tier: grant.tier,
            tenant: source.tenant,
            entries: source.entries,
            bytes,
            arrived,
            deadline,
            payload: Load {
                source: at,
                promise,
            },
        };
        schedule.push(arrived, job);
    }

    fn figures(
        &self,
        name: &str,
        schedule: &mut dyn Schedule<Load>,
        goal: bool,
    ) -> Result<Vec<Figure>> {
        let seen = self.run(schedule)?;
        let missed: u64 = seen.iter().map(|seen| seen.missed).sum();
        let promised: u64 = seen.iter().map(|seen| seen.accepted).sum();
        let all: u64 = seen.iter().map(|seen| seen.late).sum();
        ensure!(promised > 0 && all > 0, "nothing was accepted");
        let value = missed as f64 / promised as f64 * 100.0;
        let mut figures = vec![if goal {
            Figure::most(
                format!("{name}: accepted entries that missed their time"),
                value,
                "%",
                0.0,
            )
        } else {
            Figure::plain(
                format!("{name}: accepted entries that missed their time"),
                value,
                "%",
            )
        }];
        for (source, seen) in self.sources.iter().zip(&seen) {
            let share = seen.late as f64 / all as f64 * 100.0;
            let row = |what: &str| format!("{name}: {} {what}", source.name);
            if seen.accepted > 0 {
                let late = seen.missed as f64 / seen.accepted as f64 * 100.0;
                figures.push(Figure::plain(row("missed"), late, "%"));
                let p99 = seen.wait.value_at_quantile(0.99) as f64 / 1e6;
                figures.push(Figure::plain(row("p99 to published"), p99, "s"));
            }
            figures.push(Figure::plain(row("share"), share, "%"));
        }
        Ok(figures)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Three and ten times too much: the engine's scheduler behind its admission, and three simpler ones that take what comes.
pub(crate) fn compare(_: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for times in [3, 10] {
        let open = World::new(times, false)?;
        figures.extend(open.figures(
            &format!("{times}×, first come"),
            &mut Fifo::default(),
            false,
        )?);
        figures.extend(open.figures(
            &format!("{times}×, strict priority"),
            &mut Strict::default(),
            false,
        )?);
        figures.extend(open.figures(
            &format!("{times}×, earliest deadline"),
            &mut Earliest::default(),
            false,
        )?);
        let ours = World::new(times, true)?;
        let mut scheduler = Scheduler::new(&ours.policy);
        figures.extend(ours.figures(&format!("{times}×, logd"), &mut scheduler, true)?);
    }
    Ok(figures)
}

/// Half of the rate is gone in the middle of a run at its limit: what was promised before is kept or late, and what is promised
/// after it is kept.
pub(crate) fn halved(_: &Options) -> Result<Vec<Figure>> {
    let mut world = World::new(3, true)?;
    let whole = world.run(&mut Scheduler::new(&world.policy))?;
    world.halved_at = Some(START + LENGTH / 2);
    let half = world.run(&mut Scheduler::new(&world.policy))?;
    let late = |seen: &[Seen]| seen.iter().map(|seen| seen.late).sum::<u64>() as f64;
    let missed: u64 = half.iter().map(|seen| seen.missed).sum();
    let accepted: u64 = half.iter().map(|seen| seen.accepted).sum();
    let p99 = |seen: &[Seen]| seen[0].wait.value_at_quantile(0.99) as f64 / 1e6;
    Ok(vec![
        Figure::least(
            "published after the halving, of what was before",
            late(&half) / late(&whole),
            "×",
            0.45,
        ),
        Figure::plain(
            "accepted entries that missed their time, each counted",
            missed as f64,
            "",
        ),
        Figure::most(
            "of all accepted",
            missed as f64 / accepted as f64 * 100.0,
            "%",
            1.0,
        ),
        Figure::plain("interactive: p99 to published, whole run", p99(&whole), "s"),
        Figure::most(
            "interactive: p99 to published, rate halved",
            p99(&half),
            "s",
            2.0,
        ),
        Figure::most(
            "interactive entries that missed their time",
            half[0].missed as f64,
            "",
            0.0,
        ),
    ])
}
