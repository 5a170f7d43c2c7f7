//! Configuration changes: how soon they run everywhere, and what a thousand of them cost the writers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tests::auditor::Auditor;
use tests::http::Http;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};

use crate::admin::Busy;
use crate::figures::{Figure, Options};
use crate::proc::resident_mib;

/// How often a replica is asked what it runs.
const REPLICA_POLL: Duration = Duration::from_millis(1);
/// Longer than any change takes; only turns a hang into an error.
const HANG: Duration = Duration::from_secs(30);

/// `logctl shard --use-config` with three replicas: from the decision until each one's data plane says so.
pub(crate) fn converge(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let replicas = [Logd::start(&at)?, Logd::start(&at)?, Logd::start(&at)?];
    let eyes = replicas.each_ref().map(|logd| Eye::open(logd.address));
    let next = folder.path().join("next.json");
    let mut took = Histogram::<u64>::new(3)?;
    let mut command = Histogram::<u64>::new(3)?;
    for round in 0..options.changes {
        edit(&at, &next, round)?;
        let file = next.to_string_lossy();
        let begin = Instant::now();
        let done = logctl(
            &at,
            &["shard", "--use-config", &file, "--yes", "-o", "json"],
        )?;
        command.record(begin.elapsed().as_micros() as u64)?;
        let operation = done.expect_code(0)?.json()?["operation"].take();
        let generation = operation["generation"].as_u64().context("a generation")?;
        let decided: jiff::Timestamp = operation["decidedAt"]
            .as_str()
            .context("a time of decision")?
            .parse()?;
        let decided = u64::try_from(decided.as_microsecond())?;
        for eye in &eyes {
            took.record(eye.saw(generation)?.saturating_sub(decided).max(1))?;
        }
    }
    let ms = |histogram: &Histogram<u64>, q| histogram.value_at_quantile(q) as f64 / 1e3;
    Ok(vec![
        Figure::plain(
            "changes, each seen on three replicas",
            options.changes as f64,
            "",
        ),
        Figure::plain("decision to running on a replica p50", ms(&took, 0.5), "ms"),
        Figure::most(
            "decision to running on a replica p99",
            ms(&took, 0.99),
            "ms",
            100.0,
        ),
        Figure::plain("the command, with its wait, p50", ms(&command, 0.5), "ms"),
        Figure::plain("the command, with its wait, p99", ms(&command, 0.99), "ms"),
    ])
}

/// A thousand changes while writers write: none of them fails, and memory stays. Before them as many that only fill what is
/// bounded: the last 1,024 slots and 256 operations of the log and of the trail.
pub(crate) fn storm(options: &Options) -> Result<Vec<Figure>> {
    let changes = 2 * options.storm;
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let mut admin = Http::unix(at.join("admin.sock"));
    let load = Load::start(Plan::synthetic(logd.address, 64, "storm"));
    load.reach(50_000)?;
    let mut took = Histogram::<u64>::new(3)?;
    let mut sizes = Vec::new();
    for round in 0..changes {
        let (etag, mut config) = running(&mut admin)?;
        touch(&mut config, round)?;
        let begin = Instant::now();
        let headers = [
            ("If-Match", format!("\"{etag}\"")),
            ("Content-Type", "application/json".to_owned()),
            ("Idempotency-Key", format!("storm-{round}")),
        ];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let body = serde_json::to_vec(&config)?;
        admin
            .send("PUT", "/admin/v1/logs/dev/config", &headers, Some(&body))?
            .expect_status(200)?;
        took.record(begin.elapsed().as_micros() as u64)?;
        if round % 10 == 9 {
            sizes.push(resident_mib(logd.pid())?);
        }
    }
    let report = load.stop()?;
    let failed = report.failed();
    let mut ledger = Ledger::default();
    ledger.add(report)?;
    tests::verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    let (filling, sizes) = sizes.split_at(sizes.len() / 2);
    let tenth = sizes.len() / 10;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let growth = mean(&sizes[sizes.len() - tenth..]) / mean(&sizes[..tenth]);
    let ms = |q| took.value_at_quantile(q) as f64 / 1e3;
    Ok(vec![
        Figure::plain("changes", changes as f64, ""),
        Figure::plain(
            "entries, all audited at their index",
            ledger.acknowledged() as f64,
            "",
        ),
        Figure::most("failed writes", failed as f64, "", 0.0),
        Figure::plain("a change under load p50", ms(0.5), "ms"),
        Figure::plain("a change under load p99", ms(0.99), "ms"),
        Figure::plain(
            "resident size after ten changes",
            *filling.first().context("sizes")?,
            "MiB",
        ),
        Figure::plain(
            "resident size once the windows are full",
            *sizes.first().context("sizes")?,
            "MiB",
        ),
        Figure::plain(
            "resident size at the end",
            *sizes.last().context("sizes")?,
            "MiB",
        ),
        Figure::most(
            "resident size, last tenth of the second half against its first",
            growth,
            "×",
            1.1,
        ),
    ])
}

/// The running document with another checkpoint interval, as a file.
fn edit(at: &Path, next: &Path, round: u64) -> Result<()> {
    let (_, mut config) = running(&mut Http::unix(at.join("admin.sock")))?;
    touch(&mut config, round)?;
    Ok(std::fs::write(next, serde_json::to_vec(&config)?)?)
}

fn touch(config: &mut Value, round: u64) -> Result<()> {
    let merge = config["merge"].as_object_mut().context("merge settings")?;
    merge.insert(
        "checkpointInterval".to_owned(),
        json!(format!("{}ms", 201 + round % 50)),
    );
    Ok(())
}

fn running(admin: &mut Http) -> Result<(String, Value)> {
    let answer = admin
        .get("/admin/v1/logs/dev/config", &[])?
        .expect_status(200)?;
    let mut answer = answer.json()?;
    let etag = answer["etag"].as_str().context("an entity tag")?.to_owned();
    Ok((etag, answer["config"].take()))
}

/// Looks at what one replica's data plane says it runs, all the time.
struct Eye {
    seen: Arc<Seen>,
    _looking: Busy,
}

#[derive(Default)]
struct Seen {
    /// The newest generation and when it was first seen, microseconds since 1970.
    newest: Mutex<(u64, u64)>,
    moved: Condvar,
}

impl Eye {
    fn open(address: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let (shared, mut http) = (Arc::clone(&seen), Http::new(address));
        let looking = Busy::start(REPLICA_POLL, move || {
            if let Some(generation) = generation(&mut http) {
                shared.note(generation);
            }
        });
        Self {
            seen,
            _looking: looking,
        }
    }

    /// When the replica was first seen to run this generation, microseconds since 1970.
    fn saw(&self, generation: u64) -> Result<u64> {
        let newest = self
            .seen
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (newest, timeout) = self
            .seen
            .moved
            .wait_timeout_while(newest, HANG, |(seen, _)| *seen < generation)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(
            !timeout.timed_out(),
            "a replica does not run generation {generation}"
        );
        Ok(newest.1)
    }
}

impl Seen {
    fn note(&self, generation: u64) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.0 != generation {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            *newest = (generation, now.as_micros() as u64);
            self.moved.notify_all();
        }
    }
}

fn generation(http: &mut Http) -> Option<u64> {
    let answer = http.get("/dev/watermarks", &[]).ok()?;
    let (generation, _) = answer
        .header("log-config")?
        .strip_prefix('g')?
        .split_once('-')?;
    generation.parse().ok()
}
