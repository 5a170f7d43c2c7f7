//! The cost of the admin endpoint for the data plane: CPU time per entry with a client at the endpoint and without one, alternating within one
//! run.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::attack::{Attack, target};
use tests::http::Http;
use tests::load::{Load, Plan};
use tests::process::Logd;

use crate::figures::{Figure, Options};
use crate::proc::cpu_us;

/// Pairs of runs; the median counts.
const PAIRS: usize = 9;
/// Entries of one run.
const ENTRIES: u64 = 60_000;
/// Pause between two looks at the status.
const POLL: Duration = Duration::from_millis(10);
/// Threads that make bad requests, beside the idle connections.
const ATTACKERS: usize = 8;

/// CPU time per entry while a `status` poll comes every 10 ms, and while the endpoint is under attack.
pub(crate) fn measure(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let (logd, endpoint) = target(&at)?;
    let load = Load::start(Plan::synthetic(logd.address, 64, "admin"));
    load.reach(ENTRIES)?;
    let polled = pairs(&logd, &load, || Ok(poll(&at)))?;
    let attacked = pairs(&logd, &load, || Attack::start(endpoint, ATTACKERS))?;
    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "a write failed: {:?}",
        report.complaints
    );
    Ok(vec![
        Figure::plain("server CPU per entry alone, median", polled.alone, "µs"),
        Figure::most(
            "the same with a status poll every 10 ms",
            polled.ratio,
            "×",
            1.03,
        ),
        Figure::plain(
            "data plane alone in that (without the endpoint's thread)",
            polled.data,
            "×",
        ),
        Figure::most(
            "data plane CPU per entry under attack",
            attacked.data,
            "×",
            1.05,
        ),
        Figure::plain("whole server under attack", attacked.ratio, "×"),
    ])
}

/// Medians of a comparison.
struct Compared {
    /// CPU time per entry with nobody there, microseconds.
    alone: f64,
    /// Whole process, with against without.
    ratio: f64,
    /// Without the endpoint's own thread, with against without.
    data: f64,
}

fn pairs<T>(logd: &Logd, load: &Load, busy: impl Fn() -> Result<T>) -> Result<Compared> {
    let (mut alone, mut ratio, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let without = per_entry(logd, load)?;
        let somebody = busy()?;
        let with = per_entry(logd, load)?;
        drop(somebody);
        alone.push(without.whole);
        ratio.push(with.whole / without.whole);
        data.push(with.data / without.data);
    }
    Ok(Compared {
        alone: median(alone),
        ratio: median(ratio),
        data: median(data),
    })
}

/// CPU time per entry, microseconds.
struct Cost {
    whole: f64,
    data: f64,
}

fn per_entry(logd: &Logd, load: &Load) -> Result<Cost> {
    let used = || Ok::<_, anyhow::Error>((cpu_us(logd.pid(), "")?, cpu_us(logd.pid(), "admin")?));
    let (from, (whole, admin)) = (load.acknowledged(), used()?);
    load.reach(from + ENTRIES)?;
    let (to, (whole_then, admin_then)) = (load.acknowledged(), used()?);
    let (whole, admin) = (whole_then - whole, admin_then - admin);
    let entries = (to - from) as f64;
    Ok(Cost {
        whole: whole as f64 / entries,
        data: (whole - admin) as f64 / entries,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A client that keeps the endpoint busy until it is dropped.
pub(crate) struct Busy {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    /// Does this again and again, with a pause between.
    pub(crate) fn start(pause: Duration, mut work: impl FnMut() + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                work();
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks for the status all the time.
fn poll(at: &Path) -> Busy {
    let mut http = Http::unix(at.join("admin.sock"));
    Busy::start(POLL, move || {
        // The log is being written: its status is there.
        let _ = http.get("/admin/v1/logs", &[]);
    })
}
