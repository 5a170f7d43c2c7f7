//! A run: one task per stream, one thread that keeps time, one reader of the watermarks. All tasks share one thread, so that the
//! generator takes as little as it can from the server beside it.
//!
//! **Time to published** is not asked of the server entry by entry (`Log-Ack: published` would hold every request open and
//! slow the writers down). One connection reads `/{log}/watermarks` every few milliseconds; an entry counts as published when the
//! first answer that covers it has arrived. So times are too long by at most one interval, and it costs the server some 200
//! small answers a second, however many entries there are.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::arrivals::{Arrivals, Entries};
use super::measure::{Acknowledged, Recorder};
use super::scenario::{Pace, Scenario, Stream};
use super::wire::{Answer, Ask, Connection, Target};
use crate::auth::secret::Token;

/// How long answers to the last requests may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long the last entries may take to be published.
const DRAIN: Duration = Duration::from_secs(30);
/// The longest a closed loop or a backfill waits after a refusal, whatever the server advises.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After a refusal without advice, or a broken connection.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// How often the queue metrics are read.
const SCRAPE: Duration = Duration::from_secs(1);

/// What a run needs besides its scenario.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where the log is.
    pub(crate) target: Rc<Target>,
    /// Its name.
    pub(crate) log: String,
    /// Each stream's token.
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

/// An acknowledged range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Global index of the first.
    pub(crate) index: u64,
    /// How many.
    pub(crate) entries: u64,
    /// Number of the first in its stream.
    pub(crate) sequence: u64,
    /// The stream.
    pub(crate) stream: u16,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// All figures.
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

/// A stream at work.
struct Writer {
    shared: Rc<Shared>,
    stream: Stream,
    at: usize,
    entries: Entries,
    path: String,
    headers: String,
    next: Cell<u64>,
    /// Connections without work, and writes without a connection; one of them is empty.
    idle: RefCell<Vec<Connection>>,
    backlog: RefCell<VecDeque<Duration>>,
    made: Cell<u32>,
}

/// Runs a scenario to its end, or until `interrupt`; `progress` hears how far it is.
pub(crate) async fn run(
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

impl Writer {
    fn new(shared: &Rc<Shared>, stream: &Stream, at: usize) -> Self {
        let log = &shared.setup.log;
        let (path, kind) = match stream.pace {
            Pace::Backfill { .. } => (format!("/{log}/add-batch"), "application/octet-stream"),
            _ => (format!("/{log}/add"), ""),
        };
        let mut headers = String::new();
        let mut header =
            |name: &str, value: &str| headers.push_str(&format!("{name}: {value}\r\n"));
        if !kind.is_empty() {
            header("Content-Type", kind);
        }
        if let Some(urgency) = stream.advice.priority {
            header("Priority", &format!("u={urgency}"));
        }
        if let Some(merge_by) = &stream.advice.merge_by {
            header("Merge-By", merge_by);
        }
        if let Some(shard) = &stream.advice.shard {
            header("Log-Shard", shard);
        }
        if let Some(Some(token)) = shared.setup.tokens.get(at) {
            header("Authorization", &format!("Bearer {}", token.expose()));
        }
        Self {
            shared: Rc::clone(shared),
            entries: Entries::new(shared.setup.id, at as u16, stream.size),
            stream: stream.clone(),
            at,
            path,
            headers,
            next: Cell::new(0),
            idle: RefCell::default(),
            backlog: RefCell::default(),
            made: Cell::new(0),
        }
    }

    fn connection(&self) -> Connection {
        Connection::new(Rc::clone(&self.shared.setup.target))
    }

    /// Takes numbers for entries that are to be written.
    fn take(&self, count: u64) -> u64 {
        self.next.replace(self.next.get() + count)
    }

    fn over(&self) -> bool {
        self.shared.stopped() || self.shared.now() >= self.stream.end
    }

    /// Until its time has come.
    async fn begin(&self) {
        let early = self.stream.start.saturating_sub(self.shared.now());
        tokio::time::sleep(early).await;
    }

    async fn open(self: Rc<Self>, mut due: UnboundedReceiver<Duration>) {
        let most = self.stream.pace.connections();
        let mut sending: Vec<JoinHandle<()>> = Vec::new();
        while let Some(due) = due.recv().await {
            let idle = self.idle.borrow_mut().pop();
            let connection = match idle {
                Some(connection) => connection,
                None if self.made.get() < most => {
                    self.made.set(self.made.get() + 1);
                    self.connection()
                }
                None => {
                    self.backlog.borrow_mut().push_back(due);
                    continue;
                }
            };
            sending.retain(|task| !task.is_finished());
            sending.push(tokio::task::spawn_local(
                Rc::clone(&self).serve(connection, due),
            ));
        }
        for task in sending {
            let _ = task.await;
        }
    }

    /// Sends one write, and those that waited for its connection.
    async fn serve(self: Rc<Self>, mut connection: Connection, due: Duration) {
        let mut entry = Vec::with_capacity(self.stream.size);
        let mut next = Some(due);
        while let Some(due) = next {
            self.write(&mut connection, &mut entry, due).await;
            // At the end what still waits is counted as unsent.
            next = if self.shared.stopped() {
                None
            } else {
                self.backlog.borrow_mut().pop_front()
            };
        }
        self.idle.borrow_mut().push(connection);
    }

    async fn closed(self: Rc<Self>) {
        self.begin().await;
        let mut connection = self.connection();
        let mut entry = Vec::with_capacity(self.stream.size);
        while !self.over() {
            let due = self.shared.now();
            if let Some(pause) = self.write(&mut connection, &mut entry, due).await {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// One write; how long to wait before another, when it did not succeed.
    async fn write(
        &self,
        connection: &mut Connection,
        entry: &mut Vec<u8>,
        due: Duration,
    ) -> Option<Duration> {
        let sequence = self.take(1);
        entry.clear();
        self.entries.write(sequence, entry);
        let ask = Ask {
            method: "POST",
            path: &self.path,
            headers: &self.headers,
            body: entry,
        };
        let sent = self.shared.now();
        let answer = connection.ask(ask).await;
        let answered = self.shared.now();
        let mut recorder = self.shared.recorder.borrow_mut();
        match answer {
            Ok(Answer {
                status: 200,
                body,
                granted,
                ..
            }) => match index(&body) {
                Some(first) => {
                    recorder.acknowledged(
                        self.at,
                        Acknowledged {
                            due,
                            sent,
                            answered,
                            first,
                            entries: 1,
                            granted,
                        },
                    );
                    self.shared.keep(Kept {
                        index: first,
                        entries: 1,
                        sequence,
                        stream: self.at as u16,
                    });
                    None
                }
                None => {
                    recorder.broken(self.at, due, "200 without an index");
                    Some(SHORT_PAUSE)
                }
            },
            Ok(answer) => {
                recorder.refused(
                    self.at,
                    due,
                    answered,
                    1,
                    answer.status,
                    &reason(&answer.body),
                );
                Some(pause(&answer))
            }
            Err(error) => {
                recorder.broken(self.at, due, &error.to_string());
                Some(SHORT_PAUSE)
            }
        }
    }

    async fn backfill(self: Rc<Self>, batch: u32) {
        self.begin().await;
        let mut connection = self.connection();
        let count = u64::from(batch);
        let mut body = Vec::new();
        while !self.over() {
            let sequence = self.take(count);
            body.clear();
            body.reserve((self.entries.size() + 2) * batch as usize);
            self.entries.bundle(sequence..sequence + count, &mut body);
            let ask = Ask {
                method: "POST",
                path: &self.path,
                headers: &self.headers,
                body: &body,
            };
            let sent = self.shared.now();
            let answer = connection.ask(ask).await;
            let answered = self.shared.now();
            let paused = self.taken(answer, sequence, count, sent, answered);
            if let Some(pause) = paused {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// What became of a batch.
    fn taken(
        &self,
        answer: std::io::Result<Answer>,
        sequence: u64,
        count: u64,
        sent: Duration,
        answered: Duration,
    ) -> Option<Duration> {
        let mut recorder = self.shared.recorder.borrow_mut();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                recorder.broken(self.at, sent, &error.to_string());
                return Some(SHORT_PAUSE);
            }
        };
        // A refusal in the middle says what was accepted before it.
        let batch = serde_json::from_slice::<Batch>(&answer.body).unwrap_or_default();
        let accepted: u64 = batch.ranges.iter().map(|range| range.entries).sum();
        for range in batch.ranges {
            let what = Acknowledged {
                due: sent,
                // The server takes a batch piece by piece while it reads it, and promises from then on: at the latest now.
                sent: answered,
                answered,
                first: range.index,
                entries: range.entries,
                granted: answer.granted.clone(),
            };
            recorder.acknowledged(self.at, what);
            self.shared.keep(Kept {
                index: range.index,
                entries: range.entries,
                sequence: sequence + range.first,
                stream: self.at as u16,
            });
        }
        if answer.status == 200 {
            return None;
        }
        recorder.refused(
            self.at,
            sent,
            answered,
            count.saturating_sub(accepted),
            answer.status,
            &reason(&answer.body),
        );
        Some(pause(&answer))
    }
}

/// What a refusal says: text, or a problem document's detail.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice::<Problem>(body).map_or_else(
        |_| String::from_utf8_lossy(body).into_owned(),
        |problem| problem.detail,
    )
}

/// The answer to `add-batch`; servers may say more.
#[derive(Debug, Default, Deserialize)]
struct Batch {
    ranges: Vec<Range>,
}

/// Entries of a batch that follow each other in the log.
#[derive(Debug, Deserialize)]
struct Range {
    /// Position of the first in the upload.
    first: u64,
    /// Its global index.
    index: u64,
    /// How many.
    entries: u64,
}

fn pause(answer: &Answer) -> Duration {
    answer
        .retry_after
        .map_or(SHORT_PAUSE, |advised| advised.min(LONGEST_PAUSE))
}

/// The first line of the body, decimal.
fn index(body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim_end().parse().ok()
}

/// `GET /{log}/watermarks`; servers may say more.
#[derive(Debug, Deserialize)]
struct Watermarks {
    ordered: u64,
    published: u64,
}

async fn watch(shared: Rc<Shared>) {
    let mut connection = Connection::new(Rc::clone(&shared.setup.target));
    let path = format!("/{}/watermarks", shared.setup.log);
    let mut tick = tokio::time::interval(shared.setup.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let asked = shared.now();
        let ask = Ask {
            method: "GET",
            path: &path,
            headers: "",
            body: b"",
        };
        // A reading that fails is one that is missing: the gap is in the report.
        let Ok(answer) = connection.ask(ask).await else {
            continue;
        };
        if let Ok(marks) = serde_json::from_slice::<Watermarks>(&answer.body) {
            let told = shared.now();
            shared
                .recorder
                .borrow_mut()
                .watermarks(asked, told, marks.ordered, marks.published);
        }
    }
}

async fn scrape(shared: Rc<Shared>) {
    let Some((target, path)) = &shared.setup.metrics else {
        return;
    };
    let mut connection = Connection::new(Rc::clone(target));
    let mut tick = tokio::time::interval(SCRAPE);
    loop {
        tick.tick().await;
        let ask = Ask {
            method: "GET",
            path,
            headers: "",
            body: b"",
        };
        if let Ok(answer) = connection.ask(ask).await {
            let waiting = queues(&String::from_utf8_lossy(&answer.body), &shared.setup.log);
            let now = shared.now();
            shared.recorder.borrow_mut().waiting(now, &waiting);
        }
    }
}

/// `logd_queue_entries{log="dev",tier="bulk",tenant="default"} 17`, added up by tier.
fn queues(text: &str, log: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, value)) = line
            .strip_prefix("logd_queue_entries{")
            .and_then(|rest| rest.rsplit_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            labels
                .split(',')
                .filter_map(|label| label.split_once('='))
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.trim_matches('"'))
        };
        if label("log") == Some(log)
            && let (Some(tier), Ok(value)) = (label("tier"), value.trim().parse::<u64>())
        {
            *all.entry(tier.to_owned()).or_default() += value;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_first_line() {
        assert_eq!(index(b"17\n"), Some(17));
        assert_eq!(index(b"17\r\nmore"), Some(17));
        assert_eq!(index(b""), None);
        assert_eq!(index(b"{}"), None);
    }

    #[test]
    fn queues_are_added_up_by_tier() {
        let text = "# TYPE logd_queue_entries gauge
logd_queue_entries{log=\"dev\",tier=\"bulk\",tenant=\"a\"} 5
logd_queue_entries{log=\"dev\",tier=\"bulk\",tenant=\"b\"} 7
logd_queue_entries{log=\"other\",tier=\"bulk\",tenant=\"b\"} 100
logd_queue_bytes{log=\"dev\",tier=\"bulk\",tenant=\"b\"} 100
logd_queue_entries{tenant=\"b\",tier=\"live\",log=\"dev\"} 1
";
        assert_eq!(
            queues(text, "dev"),
            BTreeMap::from([("bulk".into(), 12), ("live".into(), 1)])
        );
    }
}
