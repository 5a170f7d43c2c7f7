//! Committers under abuse: several servers on one folder, many writers, and faults that pause, kill, rotate and freeze. Then
//! the whole log is read and compared with what the writers were told.
//!
//! [`trouble`] says what is done to the servers, in which order; [`writers`] write and note what they are told; [`history`]
//! compares: every acknowledged entry is in the log once, at its index, a refused one never. `trouble` and `history` are pure.
//!
//! What must never happen: an answer is called a refusal without being one. A write that ends without a clear answer is unknown.

mod history;
mod trouble;
mod writers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::Signal;

pub use history::Checked;
use history::{Told, Write, check};
use trouble::{Trouble, Troubles};
use writers::{Desk, write};

use crate::auditor::Auditor;
use crate::process::{Logd, Start, logctl};
use crate::wait;

/// How long a server is stopped.
const STOPPED_FOR: Duration = Duration::from_secs(2);
/// How long writers have the servers to themselves between two faults.
const CALM: Duration = Duration::from_millis(700);
/// How long an operator's command may take; an unanswered one is not repeated.
const OPERATION_TIMEOUT: &str = "20s";

/// Lets time pass: not a wait for anything, but how long a fault lasts, and how long the servers are left alone.
#[expect(
    clippy::disallowed_methods,
    reason = "the time itself is what is wanted"
)]
fn elapse(time: Duration) {
    std::thread::sleep(time);
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many write at a time.
    pub writers: u32,
    /// How many servers serve the folder.
    pub servers: usize,
    /// How long the servers are put under load.
    pub duration: Duration,
    /// The shortest time of each operation of the servers' stores.
    pub store_delay: Duration,
    /// Repeats the order of the faults.
    pub seed: u64,
}

/// The actions of a run, and the findings of the comparison.
#[derive(Debug)]
pub struct Report {
    /// How often each fault was injected.
    pub trouble: BTreeMap<&'static str, u64>,
    /// Exit codes of operators' commands that did not end well, and how often.
    pub operations: BTreeMap<i32, u64>,
    /// The writers' answers against the log.
    pub checked: Checked,
}

/// Servers, and what was done to them so far.
struct Abuse<'a> {
    folder: &'a Path,
    start: Start,
    desk: &'a Desk,
    servers: Vec<Option<Logd>>,
    trouble: BTreeMap<&'static str, u64>,
    operations: BTreeMap<i32, u64>,
}

/// Runs servers in a folder of their own, abuses them, and compares.
///
/// # Errors
/// When a writer was told a lie, a server halted, panicked or did not stop, or `logd fsck` finds something. The folder is then
/// kept, with all writes in `history.json`.
pub fn run(plan: &Plan) -> Result<Report> {
    let folder = tempfile::Builder::new().prefix("logd-commits-").tempdir()?;
    run_in(&folder.path().join("log"), plan).with_context(|| {
        let kept = folder.keep();
        format!(
            "seed {}; everything is kept in {}",
            plan.seed,
            kept.display()
        )
    })
}

fn run_in(folder: &Path, plan: &Plan) -> Result<Report> {
    let desk = Desk {
        run: plan.seed ^ u64::from(std::process::id()) << 32,
        began: Instant::now(),
        servers: Mutex::new(vec![None; plan.servers]),
        over: AtomicBool::new(false),
    };
    let delay = format!("LOGD_TEST_STORE_DELAY={}ms", plan.store_delay.as_millis());
    let mut abuse = Abuse {
        folder,
        start: Start {
            wrapper: vec!["env".to_owned(), delay],
            ..Start::default()
        },
        desk: &desk,
        servers: Vec::new(),
        trouble: BTreeMap::new(),
        operations: BTreeMap::new(),
    };
    for number in 0..plan.servers {
        abuse.servers.push(None);
        abuse.start(number)?;
    }
    let (tormented, writes) = std::thread::scope(|scope| {
        let desk = &desk;
        let writers: Vec<_> = (0..plan.writers)
            .map(|writer| scope.spawn(move || write(desk, writer)))
            .collect();
        let tormented = abuse.torment(plan);
        desk.over.store(true, Ordering::Relaxed);
        let writes: Result<Vec<_>> = writers
            .into_iter()
            .map(|writer| writer.join().map_err(|_| anyhow!("a writer panicked")))
            .collect();
        (tormented, writes)
    });
    let writes = writes?.concat();
    std::fs::write(
        folder.with_file_name("history.json"),
        serde_json::to_vec(&writes)?,
    )?;
    tormented?;
    abuse.finish(&writes)
}

impl Abuse<'_> {
    fn start(&mut self, number: usize) -> Result<()> {
        let server = Logd::start_as(self.folder, &self.start)?;
        self.announce(number, &server);
        self.servers[number] = Some(server);
        Ok(())
    }

    fn announce(&self, number: usize, server: &Logd) {
        let servers = self.desk.servers.lock();
        servers.unwrap_or_else(PoisonError::into_inner)[number] = Some(server.address);
    }

    /// Takes a server away from the writers.
    fn take(&mut self, number: usize) -> Result<Logd> {
        let servers = self.desk.servers.lock();
        servers.unwrap_or_else(PoisonError::into_inner)[number] = None;
        self.servers[number].take().context("the server is up")
    }

    /// One fault after the other, until the time is over.
    fn torment(&mut self, plan: &Plan) -> Result<()> {
        let mut troubles = Troubles::new(plan.seed, plan.servers);
        while self.desk.began.elapsed() < plan.duration {
            elapse(CALM);
            let (trouble, server) = troubles.next();
            self.make(trouble, server)
                .with_context(|| format!("server {server}, {}", trouble.text()))?;
        }
        Ok(())
    }

    /// Does one thing, and undoes what can be undone.
    fn make(&mut self, trouble: Trouble, server: usize) -> Result<()> {
        match trouble {
            Trouble::Pause => self.asleep(server, |_| {
                elapse(STOPPED_FOR);
                Ok(())
            })?,
            Trouble::Kill => {
                let old = self.take(server)?;
                sound(server, &old)?;
                old.kill()?;
                self.start(server)?;
            }
            Trouble::Restart => {
                self.stop(server)?;
                self.start(server)?;
            }
            Trouble::Rotate => self.operate(&["shard", "rotate"])?,
            Trouble::Freeze => self.freeze()?,
            Trouble::SleepThroughRotation => {
                self.asleep(server, |all| all.operate(&["shard", "rotate"]))?;
            }
            Trouble::SleepThroughFreeze => self.asleep(server, Self::freeze)?,
        }
        *self.trouble.entry(trouble.text()).or_default() += 1;
        Ok(())
    }

    /// Does something while a server takes no step.
    fn asleep(&mut self, number: usize, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let signal = |all: &Self, signal| {
            let server = all.servers[number].as_ref().context("the server is up")?;
            server.signal(signal)
        };
        signal(self, Signal::STOP)?;
        let done = work(self);
        signal(self, Signal::CONT)?;
        done
    }

    fn freeze(&mut self) -> Result<()> {
        self.operate(&["shard", "freeze", "--now"])?;
        elapse(CALM);
        self.operate(&["shard", "unfreeze"])
    }

    fn operate(&mut self, words: &[&str]) -> Result<()> {
        let words = [words, &["--yes", "--timeout", OPERATION_TIMEOUT]].concat();
        let code = logctl(self.folder, &words)?.code;
        if code != 0 {
            *self.operations.entry(code).or_default() += 1;
        }
        Ok(())
    }

    /// Stops a server in good order.
    fn stop(&mut self, number: usize) -> Result<()> {
        let server = self.take(number)?;
        sound(number, &server)?;
        let ended = server.terminate()?;
        ensure!(ended.success(), "server {number} ended with {ended}");
        Ok(())
    }

    /// Compares the answers with the log as each server serves it, and looks at the servers and the folder.
    fn finish(mut self, writes: &[Write]) -> Result<Report> {
        let mut checked = Checked::default();
        let last = writes.iter().filter_map(|write| match write.told {
            Told::At(index) => Some(index),
            _ => None,
        });
        let last = last.max();
        for server in self.servers.iter().flatten() {
            // It learns a moment later what another one has ordered.
            wait::until("the server knows all that was acknowledged", || {
                let ordered = server.watermarks()?.ordered;
                Ok(last.is_none_or(|last| ordered > last).then_some(()))
            })?;
            server.settled()?;
            let mut log = Vec::new();
            Auditor::default().audit(&mut server.served(), &server.shards()?, |found| {
                log.push(found.bytes.to_vec());
                Ok(())
            })?;
            checked = check(self.desk.run, writes, &log);
            ensure!(checked.wrong() == 0, "{checked:#?}");
        }
        for number in 0..self.servers.len() {
            self.stop(number)?;
        }
        crate::verify::clean(self.folder)?;
        Ok(Report {
            trouble: self.trouble,
            operations: self.operations,
            checked,
        })
    }
}

/// Nothing that a server said is what must not happen.
fn sound(number: usize, server: &Logd) -> Result<()> {
    let errors = server.errors();
    let bad = |line: &&str| line.contains("panicked") || line.contains("halted");
    match errors.lines().find(bad) {
        Some(line) => bail!("server {number}: {line}"),
        None => Ok(()),
    }
}
