//! Many committers on one log, over a store in memory whose operations take a set time: what contention costs, how a backlog is worked off,
//! and what a committer that stops in the middle does to the others.

mod others;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::record;
use ::store::{Coordination, DelayedCoordination, Directory, MemoryCoordination};
use ambient::{Random, Time};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use engine::LogMetrics;
use engine::ledger::Ledger;
use hdrhistogram::Histogram;
use order::proposal::Proposal;
use order::slot::{Action, BatchRef, Control, Decision, ShardIdentity};
use order::token::{Token, Tokens};
use order::work::Work;
use order::{Generation, MAX_BATCHES, SlotNumber};

use self::store::GatedStore;
use crate::figures::{Figure, Options};
use tlog::UnixMillis;

/// Committers in the first figures.
const COMMITTERS: usize = 64;
/// The time that one operation of the store takes.
const OPERATION: Duration = Duration::from_millis(5);
/// The time that each commit needs before it may be decided: its linear work.
const WORK: Duration = Duration::from_millis(50);

/// One log, and what its committers share.
struct Bench {
    memory: Arc<GatedStore>,
    objects: Arc<Directory>,
    tokens: Tokens,
    time: Time,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(delay: Duration) -> Result<Arc<Self>> {
        let folder = tempfile::tempdir()?;
        let memory = Arc::new(MemoryCoordination::default());
        let bench = Self {
            memory: Arc::new(GatedStore::new(Arc::new(DelayedCoordination::new(
                memory, delay,
            )))),
            objects: Arc::new(Directory::open(&folder.path().join("objects"))?),
            tokens: Tokens::new(Random::system().bytes()?),
            time: Time::system(),
            _folder: folder,
        };
        let identity = ShardIdentity {
            imported: None,
            name: "a".into(),
            origin: "bench/a".into(),
            tree_id: 1,
            vkey: "bench".into(),
            ecdsa: None,
        };
        let first = Decision {
            operation: bench.token(),
            request: record::digest(b"first"),
            action: Action::Create,
            actor: "bench".into(),
            control: Control::Reconfigure {
                base: Generation::ZERO,
                document: record::digest(b"document"),
                plan: vec![identity],
                open: Some("a".into()),
            },
            reason: None,
        };
        let work = Proposal::fresh(Work::Control(first), Bytes::new());
        let (order, _) = bench.order(Arc::clone(&bench.memory) as _)?;
        order.commit(vec![work]).await.remove(0)?;
        Ok(Arc::new(bench))
    }

    fn token(&self) -> Token {
        self.tokens.make(UnixMillis::new(self.time.now_ms()))
    }

    fn order(&self, store: Arc<dyn Coordination>) -> Result<(Ledger, Arc<LogMetrics>)> {
        let stores = (store, Arc::clone(&self.objects) as _);
        Ok(Ledger::alone("bench", stores)?)
    }

    /// A committer that knows the log.
    async fn committer(&self) -> Result<(Arc<Ledger>, Arc<LogMetrics>)> {
        let (order, metrics) = self.order(Arc::clone(&self.memory) as _)?;
        order.refresh().await?;
        Ok((Arc::new(order), metrics))
    }

    fn batch(&self) -> Proposal {
        let token = self.token();
        let bytes = Bytes::from([&[0, 16][..], &token.to_bytes()].concat());
        let batch = BatchRef {
            token,
            entries: 1,
            digest: record::digest(&bytes),
            object: false,
            shard: None,
            location: None,
        };
        Proposal::fresh(Work::Batch(batch), bytes)
    }

    async fn commit(&self, order: &Ledger) -> Result<Duration> {
        let began = Instant::now();
        let answer = order.commit(vec![self.batch()]).await.pop();
        answer.context("no answer")??;
        Ok(began.elapsed())
    }
}

fn block<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// Proposals at this quantile: the upper bound of its bucket.
fn rounds(all: &[Arc<LogMetrics>], quantile: f64) -> f64 {
    let bounds = all.first().map_or(&[][..], |m| m.commit_rounds.bounds());
    let mut counts = vec![0; bounds.len() + 1];
    for metrics in all {
        let of_one = metrics.commit_rounds.counts();
        counts.iter_mut().zip(of_one).for_each(|(sum, n)| *sum += n);
    }
    let total: u64 = counts.iter().sum();
    let mut below = 0;
    for (bound, count) in bounds.iter().zip(&counts) {
        below += count;
        if below as f64 >= total as f64 * quantile {
            return *bound;
        }
    }
    f64::INFINITY
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// 64 committers, each with linear work before each commit.
pub(crate) fn contended(options: &Options) -> Result<Vec<Figure>> {
    let time = Duration::from_secs(options.seconds.clamp(2, 30));
    block(async {
        let bench = Bench::new(OPERATION).await?;
        let (mut tasks, mut metrics) = (Vec::new(), Vec::new());
        let end = Instant::now() + time;
        for _ in 0..COMMITTERS {
            let (order, counted) = bench.committer().await?;
            metrics.push(counted);
            let bench = Arc::clone(&bench);
            tasks.push(tokio::spawn(async move {
                let (mut took, mut failed) = (Vec::new(), 0_u64);
                while Instant::now() < end {
                    tokio::time::sleep(WORK).await;
                    match bench.commit(&order).await {
                        Ok(time) => took.push((WORK + time).as_micros() as u64),
                        Err(_) => failed += 1,
                    }
                }
                (took, failed)
            }));
        }
        let (mut all, mut failed) = (Histogram::<u64>::new(3)?, 0);
        for task in tasks {
            let (took, failures) = task.await?;
            failed += failures;
            took.into_iter().try_for_each(|micros| all.record(micros))?;
        }
        let rate = all.len() as f64 / time.as_secs_f64();
        let again = others::swapped(true, time).await?;
        let once = others::swapped(false, time).await?;
        let what = "64 committers, 5 ms per operation, 50 ms linear work";
        Ok(vec![
            Figure::most(format!("{what}: failures"), failed as f64, "", 0.0),
            Figure::plain("commits", rate, "/s"),
            Figure::most(
                "proposals of a commit, p99",
                rounds(&metrics, 0.99),
                "",
                2.0,
            ),
            Figure::plain("proposals of a commit, most", rounds(&metrics, 1.0), ""),
            Figure::plain("work and commit p50", ms(all.value_at_quantile(0.5)), "ms"),
            Figure::most(
                "work and commit p99",
                ms(all.value_at_quantile(0.99)),
                "ms",
                250.0,
            ),
            Figure::least(
                format!("commits/s over a swapped head that redoes its work ({again:.0}/s)"),
                rate / again,
                "×",
                20.0,
            ),
            Figure::least(
                format!("commits/s over a swapped head, work done once ({once:.0}/s)"),
                rate / once,
                "×",
                3.0,
            ),
        ])
    })
}

/// How long a backlog took, and in how many slots it was decided.
struct Recovered {
    slots: u64,
    time: Duration,
}

/// A committer as a server has it: what waits goes together, one commit at a time.
struct Queue {
    waiting: tokio::sync::mpsc::UnboundedSender<()>,
    committer: tokio::task::JoinHandle<Result<(SlotNumber, Instant)>>,
}

/// Starts a committer; it ends when nothing waits and nothing more can come. It answers the last slot of its first `piled` commits,
/// and when that was.
fn queue(bench: &Arc<Bench>, order: Arc<Ledger>, piled: usize) -> Queue {
    let (waiting, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let bench = Arc::clone(bench);
    let committer = tokio::spawn(async move {
        let (mut taken, mut done, mut last) = (Vec::new(), 0, (SlotNumber::ZERO, Instant::now()));
        while arrived.recv_many(&mut taken, MAX_BATCHES).await > 0 {
            let load = taken.drain(..).map(|()| bench.batch()).collect();
            for answer in order.commit(load).await {
                let slot = answer?.slot.number;
                if done < piled {
                    last = (slot, Instant::now());
                }
                done += 1;
            }
        }
        Ok(last)
    });
    Queue { waiting, committer }
}

/// This many commits of this many committers wait behind a stall, while others keep arriving, 50 a second.
async fn recover_backlog(waiting: usize, committers: usize, stall: Duration) -> Result<Recovered> {
    const ARRIVALS: Duration = Duration::from_millis(20);
    let bench = Bench::new(OPERATION).await?;
    let mut queues = Vec::new();
    for n in 0..committers {
        let order = bench.committer().await?.0;
        let piled = (waiting + committers - 1 - n) / committers;
        queues.push(queue(&bench, order, piled));
    }
    let before = 1;
    bench.memory.stall(true);
    // Commits that arrive during the stall belong to the backlog.
    let late = ((stall.as_secs_f64() / ARRIVALS.as_secs_f64()) as usize).min(waiting / 2);
    let mut count = 0;
    let mut arrive = |queues: &[Queue]| {
        // A committer that has failed says so below.
        let _ = queues[count % committers].waiting.send(());
        count += 1;
    };
    (0..waiting - late).for_each(|_| arrive(&queues));
    for _ in 0..late {
        tokio::time::sleep(stall / late as u32).await;
        arrive(&queues);
    }
    let opened = Instant::now();
    bench.memory.stall(false);
    for _ in 0..100 {
        arrive(&queues);
        tokio::time::sleep(ARRIVALS).await;
    }
    let (mut slots, mut end) = (0, opened);
    for Queue { waiting, committer } in queues {
        drop(waiting);
        let (slot, time) = committer.await??;
        (slots, end) = (slots.max(slot + 1 - SlotNumber::new(before)), end.max(time));
    }
    let time = end - opened;
    Ok(Recovered { slots, time })
}

/// 1,000 commits behind a stall of 10 s, and backlogs of other sizes.
pub(crate) fn piled(_: &Options) -> Result<Vec<Figure>> {
    block(async {
        let stall = Duration::from_secs(10);
        let begun = recover_backlog(1_000, 1_000, stall).await?;
        let queued = recover_backlog(1_000, COMMITTERS, stall).await?;
        let mut times = Vec::new();
        for waiting in [500, 2_000] {
            let recovered = recover_backlog(waiting, COMMITTERS, Duration::from_secs(1)).await?;
            times.push(recovered.time.as_secs_f64());
        }
        let most = 1_000_usize.div_ceil(MAX_BATCHES) + 2;
        Ok(vec![
            Figure::most(
                "1,000 commits behind a stall of 10 s, 50/s arriving: slots",
                begun.slots as f64,
                "",
                most as f64,
            ),
            Figure::plain(
                "from the end of the stall until all are decided",
                begun.time.as_secs_f64() * 1e3,
                "ms",
            ),
            Figure::plain(
                "the same in the queues of 64 committers, one commit of each begun: slots",
                queued.slots as f64,
                "",
            ),
            Figure::most(
                "a pile of 2,000 over one of 500, time",
                times[1] / times[0],
                "×",
                5.0,
            ),
        ])
    })
}

/// The p99 of eight committers, while another one stops before its operation of this number; `None`: it continues.
async fn beside(stop: Option<u64>, time: Duration) -> Result<(u64, bool)> {
    let bench = Bench::new(OPERATION).await?;
    let end = Instant::now() + time;
    let store = Arc::new(GatedStore::new(Arc::clone(&bench.memory) as _));
    let (victim, _) = bench.order(Arc::clone(&store) as _)?;
    victim.refresh().await?;
    let mut others = Vec::new();
    for _ in 0..8 {
        let (order, _) = bench.committer().await?;
        let bench = Arc::clone(&bench);
        others.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                took.push(bench.commit(&order).await?.as_micros() as u64);
            }
            anyhow::Ok(took)
        }));
    }
    let other = Arc::clone(&bench);
    let stopping = Arc::clone(&store);
    let stopped = tokio::spawn(async move {
        // In the middle of the others' work, and of the first commit that loses a proposal.
        other.commit(&victim).await?;
        if let Some(operations) = stop {
            stopping.stop_after(operations);
        }
        while Instant::now() < end {
            other.commit(&victim).await?;
        }
        anyhow::Ok(())
    });
    let mut all = Histogram::<u64>::new(3)?;
    for task in others {
        let took = task.await??;
        took.into_iter().try_for_each(|micros| all.record(micros))?;
    }
    let is_stopped = store.stopped();
    if stop.is_none() {
        stopped.await??;
    } else {
        stopped.abort();
    }
    Ok((all.value_at_quantile(0.99), is_stopped))
}

/// One committer stopped at each step in turn.
pub(crate) fn stopped(options: &Options) -> Result<Vec<Figure>> {
    /// A commit that loses: propose, read, announce, scan, propose, read; and the next one's first.
    const STEPS: u64 = 7;
    let time = Duration::from_secs((options.seconds / 4).clamp(2, 5));
    block(async {
        let (mut worst, mut usual) = (0, 0);
        for step in 0..STEPS {
            let (free, _) = beside(None, time).await?;
            let (held, is_stopped) = beside(Some(step), time).await?;
            ensure!(is_stopped, "nobody stopped at step {step}");
            (worst, usual) = (worst.max(held), usual.max(free));
        }
        Ok(vec![
            Figure::plain("8 committers and one more, commit p99", ms(usual), "ms"),
            Figure::plain(
                "the same, one stopped at each step in turn",
                ms(worst),
                "ms",
            ),
            Figure::most(
                "one committer stopped: p99 of the others",
                worst as f64 / usual as f64,
                "×",
                1.25,
            ),
        ])
    })
}
