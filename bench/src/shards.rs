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
/// Shards of the log with many entries.
const AGED: u64 = 200;
/// How long a server with many logs is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// Rotates through the admin endpoint, one entry in each shard; then stops, starts and checks.
pub(crate) fn shards(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let mut admin = Http::unix(at.join("admin.sock"));
    let mut took = Histogram::<u64>::new(3)?;
    let mut cpu = 0;
    for n in 1..options.shards {
        if n + LAST == options.shards {
            cpu = cpu_us(logd.pid(), "")?;
        }
        logd.add(format!("entry {n}").as_bytes())?;
        let begin = Instant::now();
        rotate(&mut admin, n)?;
        if n + LAST >= options.shards {
            took.record(begin.elapsed().as_micros() as u64)?;
        }
    }
    let cpu = cpu_us(logd.pid(), "")?.saturating_sub(cpu);
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
        Figure::plain(
            "CPU of a rotation and an entry, of the last hundred",
            cpu as f64 / 1e3 / LAST as f64,
            "ms",
        ),
        Figure::most("start until ready", start, "s", 5.0),
        Figure::most("resident size after the start, at most", peak, "MiB", 300.0),
        Figure::plain("resident size after the rotations", grown, "MiB"),
        Figure::plain("`logd fsck`", checked, "s"),
    ])
}

/// A log of many entries in many shards: what a start takes, after a stop and after a kill.
pub(crate) fn aged(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let mut admin = Http::unix(at.join("admin.sock"));
    let each = options.entries / AGED;
    let headers = [("Content-Type", "application/octet-stream")];
    for shard in 0..AGED {
        let mut body = Vec::new();
        for n in 0..each {
            let entry = format!("{:>112}", shard * each + n);
            body.extend_from_slice(&(entry.len() as u16).to_be_bytes());
            body.extend_from_slice(entry.as_bytes());
        }
        let mut http = logd.http();
        http.post("/dev/add-batch", &headers, &body)?
            .expect_status(200)?;
        if shard + 1 < AGED {
            rotate(&mut admin, shard)?;
        }
    }
    let entries = logd.settled()?;
    ensure!(entries == AGED * each, "{entries} entries");
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let after_stop = begin.elapsed();
    let peak = peak_mib(logd.pid())?;
    logd.kill()?;
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let after_kill = begin.elapsed();
    let count = logd.shards()?.len() as u64;
    ensure!(count == AGED, "{count} shards");
    Ok(vec![
        Figure::plain("entries", entries as f64, ""),
        Figure::plain("shards", count as f64, ""),
        Figure::most("start after a stop", after_stop.as_secs_f64(), "s", 2.0),
        Figure::most("start after kill -9", after_kill.as_secs_f64(), "s", 2.0),
        Figure::plain("resident size after the start, at most", peak, "MiB"),
    ])
}

fn rotate(admin: &mut Http, n: u64) -> Result<()> {
    let key = format!("rotation-{n}");
    let path = "/admin/v1/logs/dev/rotations";
    let answer = admin.post(path, &[("Idempotency-Key", &key)], b"")?;
    answer.expect_status(200).map(drop)
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
