//! A log that was rotated thousands of times: what a rotation, a start and the memory cost then. And many logs in one server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tests::http::Http;
use tests::process::{Logd, fsck};

use crate::figures::{Figure, Options};
use crate::proc::{cpu_us, peak_mib, resident_mib};

/// The last rotations, which are measured.
const LAST: u64 = 100;
/// How long a server with many logs is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// Rotates through the admin endpoint, one entry in each shard; then stops, starts and checks.
pub(crate) fn shards(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let mut admin = Http::unix(at.join("admin.sock"));
    let mut took = Histogram::<u64>::new(3)?;
    for n in 1..options.shards {
        logd.add(format!("entry {n}").as_bytes())?;
        let key = format!("rotation-{n}");
        let begin = Instant::now();
        admin
            .post(
                "/admin/v1/logs/dev/rotations",
                &[("Idempotency-Key", &key)],
                b"",
            )?
            .expect_status(200)?;
        if n + LAST >= options.shards {
            took.record(begin.elapsed().as_micros() as u64)?;
        }
    }
    let grown = resident_mib(logd.pid())?;
    logd.terminate()?;
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let start = begin.elapsed().as_secs_f64();
    logd.add(b"after the start")?;
    let count = logd.shards()?.len() as u64;
    ensure!(count == options.shards, "{count} shards");
    let peak = peak_mib(logd.pid())?;
    logd.terminate()?;
    let begin = Instant::now();
    fsck(&at)?.expect_code(0)?;
    let checked = begin.elapsed().as_secs_f64();
    let ms = |q| took.value_at_quantile(q) as f64 / 1e3;
    Ok(vec![
        Figure::plain("shards", count as f64, ""),
        Figure::plain("rotation, of the last hundred p50", ms(0.5), "ms"),
        Figure::most("rotation, of the last hundred p99", ms(0.99), "ms", 100.0),
        Figure::most("start until ready", start, "s", 5.0),
        Figure::most("resident size after the start, at most", peak, "MiB", 300.0),
        Figure::plain("resident size after the rotations", grown, "MiB"),
        Figure::plain("`logd fsck`", checked, "s"),
    ])
}

/// Many logs: creation, start, and what a server uses while nobody writes.
pub(crate) fn logs(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let mut admin = Http::unix(at.join("admin.sock"));
    let begin = Instant::now();
    for n in 0..options.logs {
        let document = format!(r#"{{"config": {{"log": "log-{n}"}}}}"#);
        let path = "/admin/v1/logs";
        let headers = [("Content-Type", "application/json")];
        admin
            .post(path, &headers, document.as_bytes())?
            .expect_status(200)?;
    }
    let created = begin.elapsed().as_secs_f64() * 1e3 / options.logs as f64;
    logd.terminate()?;
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let start = begin.elapsed().as_secs_f64();
    let before = cpu_us(logd.pid(), "")?;
    #[expect(clippy::disallowed_methods, reason = "what it uses in a time")]
    std::thread::sleep(IDLE);
    let used = cpu_us(logd.pid(), "")?.saturating_sub(before);
    let resident = resident_mib(logd.pid())?;
    let last = format!("/log-{}/watermarks", options.logs.saturating_sub(1));
    let answer = logd.http().get(&last, &[])?.expect_status(200);
    answer.context("the last log")?;
    Ok(vec![
        Figure::plain("logs", options.logs as f64, ""),
        Figure::plain("creation of one", created, "ms"),
        Figure::plain("start until ready", start, "s"),
        Figure::plain("resident size", resident, "MiB"),
        Figure::plain(
            "CPU while nobody writes",
            used as f64 / IDLE.as_micros() as f64 * 100.0,
            "%",
        ),
    ])
}
