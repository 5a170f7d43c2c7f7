//! A run: one task per stream, one thread that keeps time, one reader of the watermarks. All tasks share one thread, so that the
//! generator takes as little as it can from the server beside it.
//!
//! **Time to published** is not asked of the server entry by entry (`Log-Ack: published` would hold every request open and
//! slow the writers down). One connection reads `/{log}/watermarks` every few milliseconds; an entry counts as published when the
//! first answer that covers it has arrived. So times are too long by at most one interval, and it costs the server some 200
//! small answers a second, however many entries there are.

mod watch;
mod writer;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use self::watch::{scrape, watch};
use self::writer::Writer;
use crate::arrivals::Arrivals;
use crate::measure::Recorder;
use crate::scenario::{Pace, Scenario};
use crate::wire::Target;
use logctl::kit::Token;

/// How long answers to the last requests may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long the last entries may take to be published.
const DRAIN: Duration = Duration::from_secs(30);
/// The settings of a run besides its scenario.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The address that writes and readings go to.
    pub(crate) target: Rc<Target>,
    pub(crate) log: String,
    pub(crate) tokens: Vec<Option<Token>>,
    /// How often the watermarks are read.
    pub(crate) poll: Duration,
    /// The server's metrics, if they are to be read.
    pub(crate) metrics: Option<(Rc<Target>, String)>,
    /// Keep every acknowledgement, for a later check.
    pub(crate) keep: bool,
    /// Tells this run's entries from every other's.
    pub(crate) id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Global index of the first.
    pub(crate) index: u64,
    /// How many entries are kept.
    pub(crate) entries: u64,
    /// Number of the first in its stream.
    pub(crate) sequence: u64,
    pub(crate) stream: u16,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) recorder: Recorder,
    /// Acknowledgements, when they were to be kept.
    pub(crate) kept: Vec<Kept>,
    /// Until the last request was answered.
    pub(crate) took: Duration,
    /// Somebody ended it early.
    pub(crate) interrupted: bool,
}

struct Shared {
    setup: Setup,
    start: Instant,
    stop: Arc<AtomicBool>,
    recorder: RefCell<Recorder>,
    kept: RefCell<Vec<Kept>>,
}

impl Shared {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn keep(&self, kept: Kept) {
        if self.setup.keep {
            self.kept.borrow_mut().push(kept);
        }
    }
}

/// Runs a scenario to its end, or until `interrupt`; `progress` is told how far it is.
pub(crate) async fn drive(
    scenario: &Scenario,
    setup: Setup,
    interrupt: impl Future<Output = ()>,
    mut progress: impl FnMut(Duration, &Recorder),
) -> Ran {
    let shared = Rc::new(Shared {
        start: Instant::now(),
        stop: Arc::new(AtomicBool::new(false)),
        recorder: RefCell::new(Recorder::new(
            scenario.streams.len(),
            scenario.duration,
            scenario.warm_up,
        )),
        kept: RefCell::default(),
        setup,
    });
    let tasks = tokio::task::LocalSet::new();
    let interrupted = tasks
        .run_until(conduct(scenario, &shared, interrupt, &mut progress))
        .await;
    drop(tasks);
    let took = shared.now().min(scenario.duration);
    let mut recorder =
        shared
            .recorder
            .replace(Recorder::new(0, scenario.duration, scenario.warm_up));
    recorder.finish(took);
    Ran {
        recorder,
        kept: shared.kept.take(),
        took,
        interrupted,
    }
}

async fn conduct(
    scenario: &Scenario,
    shared: &Rc<Shared>,
    interrupt: impl Future<Output = ()>,
    progress: &mut impl FnMut(Duration, &Recorder),
) -> bool {
    let watching = tokio::task::spawn_local(watch(Rc::clone(shared)));
    let scraping = tokio::task::spawn_local(scrape(Rc::clone(shared)));
    let mut clock = Clock::default();
    let mut writing: Vec<JoinHandle<()>> = Vec::new();
    let mut writers = Vec::new();
    for (at, stream) in scenario.streams.iter().enumerate() {
        let writer = Rc::new(Writer::new(shared, stream, at));
        writers.push(Rc::clone(&writer));
        match stream.pace {
            Pace::Open {
                per_1000s, even, ..
            } => {
                let seed = shared.setup.id ^ ((at as u64) << 48);
                let due = clock.add(Arrivals::new(
                    per_1000s,
                    even,
                    seed,
                    stream.start,
                    stream.end,
                ));
                writing.push(tokio::task::spawn_local(writer.open(due)));
            }
            Pace::Closed { connections } => {
                for _ in 0..connections {
                    writing.push(tokio::task::spawn_local(Rc::clone(&writer).closed()));
                }
            }
            Pace::Backfill { connections, batch } => {
                for _ in 0..connections {
                    writing.push(tokio::task::spawn_local(Rc::clone(&writer).backfill(batch)));
                }
            }
        }
    }
    let keeper = clock.start(shared.start, Arc::clone(&shared.stop));
    let mut interrupt = std::pin::pin!(interrupt);
    let mut interrupted = false;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    // A first Ctrl-C ends the writing, a second one the wait for the rest.
    loop {
        tokio::select! {
            () = &mut interrupt, if !interrupted => {
                interrupted = true;
                break;
            }
            _ = tick.tick() => {
                let now = shared.now();
                progress(now, &shared.recorder.borrow());
                if now >= scenario.duration {
                    break;
                }
            }
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    let last = async {
        for task in &mut writing {
            let _ = task.await;
        }
    };
    let _ = tokio::time::timeout(GRACE, last).await;
    for (task, writer) in writing.iter().zip(writers.iter()) {
        if !task.is_finished() {
            let now = shared.now();
            shared
                .recorder
                .borrow_mut()
                .broken(writer.at, now, "no answer before the end");
        }
        task.abort();
    }
    for writer in &writers {
        let unsent = writer.backlog.borrow().len() as u64;
        shared.recorder.borrow_mut().unsent(writer.at, unsent);
    }
    let deadline = Instant::now() + DRAIN;
    while !shared.recorder.borrow().settled() && Instant::now() < deadline {
        tokio::time::sleep(shared.setup.poll.max(Duration::from_millis(1))).await;
    }
    watching.abort();
    scraping.abort();
    // It looks at `stop` every few milliseconds.
    if let Some(keeper) = keeper {
        let _ = keeper.join();
    }
    interrupted
}

/// The thread that keeps time. The runtime's own timers know milliseconds only, and a write that is due in between would be
/// late by that, in every figure.
#[derive(Default)]
struct Clock {
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    streams: Vec<(Arrivals, UnboundedSender<Duration>)>,
}

impl Clock {
    fn add(&mut self, mut arrivals: Arrivals) -> UnboundedReceiver<Duration> {
        let (sender, receiver) = unbounded_channel();
        if let Some(first) = arrivals.next() {
            self.due.push(Reverse((first, self.streams.len())));
            self.streams.push((arrivals, sender));
        }
        receiver
    }

    fn start(
        mut self,
        start: Instant,
        stop: Arc<AtomicBool>,
    ) -> Option<std::thread::JoinHandle<()>> {
        const NAP: Duration = Duration::from_millis(20);
        if self.streams.is_empty() {
            return None;
        }
        Some(std::thread::spawn(move || {
            while let Some(Reverse((due, at))) = self.due.pop() {
                loop {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    match due.checked_sub(start.elapsed()) {
                        Some(early) if !early.is_zero() => {
                            std::thread::park_timeout(early.min(NAP))
                        }
                        _ => break,
                    }
                }
                if let Some((arrivals, sender)) = self.streams.get_mut(at)
                    && sender.send(due).is_ok()
                    && let Some(next) = arrivals.next()
                {
                    self.due.push(Reverse((next, at)));
                }
            }
        }))
    }
}
