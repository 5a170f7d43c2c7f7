//! Rotations while writers write at full speed: what a rotation takes, and what the slowest write near one feels of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};

use crate::figures::{Figure, Options};

/// How long after a rotation a write still counts as near it.
const NEAR: Duration = Duration::from_millis(20);

/// Rotates again and again through `logctl`, and checks every acknowledgement.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let load = Load::start(Plan::synthetic(logd.address, 256, "rotation"));
    load.reach(20_000)?;
    let mut windows = Vec::new();
    let mut took = Histogram::<u64>::new(3)?;
    for _ in 0..options.rotations {
        // Some writes lie between two rotations, so that "near one" does not mean "always".
        load.reach(load.acknowledged() + 10_000)?;
        let (begin, start) = (load.elapsed(), Instant::now());
        logctl(&at, &["shard", "rotate", "--yes"])?.expect_code(0)?;
        took.record(start.elapsed().as_micros() as u64)?;
        windows.push((begin, load.elapsed() + NEAR));
    }
    load.reach(load.acknowledged() + 10_000)?;
    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "a write failed: {:?}",
        report.complaints
    );
    let mut all = Histogram::<u64>::new(3)?;
    let mut slowest_near = 0;
    for write in report.all() {
        all.record(write.took_us.into())?;
        let end = Duration::from_micros(write.end_us.into());
        let begin = end.saturating_sub(Duration::from_micros(write.took_us.into()));
        // The first window that ends after the write began is the only one that it can touch first.
        let next = windows.partition_point(|(_, last)| *last < begin);
        if windows.get(next).is_some_and(|(first, _)| *first <= end) {
            slowest_near = slowest_near.max(u64::from(write.took_us));
        }
    }
    let rate = report.acknowledged() as f64 / report.took.as_secs_f64();
    let mut ledger = Ledger::default();
    ledger.add(report)?;
    let audited = tests::verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    ensure!(audited.seals as u64 == options.rotations, "{audited:?}");
    let ms = |us: u64| us as f64 / 1e3;
    let usual = ms(all.value_at_quantile(0.999));
    Ok(vec![
        Figure::plain("rotations", options.rotations as f64, ""),
        Figure::plain(
            "entries, all audited at their index",
            ledger.acknowledged() as f64,
            "",
        ),
        Figure::most("failed or refused writes", 0.0, "", 0.0),
        Figure::plain("writes per second", rate, "/s"),
        Figure::plain(
            "`logctl shard rotate` under load p50",
            ms(took.value_at_quantile(0.5)),
            "ms",
        ),
        Figure::plain(
            "`logctl shard rotate` under load p99",
            ms(took.value_at_quantile(0.99)),
            "ms",
        ),
        Figure::plain("write p50", ms(all.value_at_quantile(0.5)), "ms"),
        Figure::plain("write p99.9 of the run", usual, "ms"),
        Figure::plain("slowest write of the run", ms(all.max()), "ms"),
        Figure::most(
            "slowest write near a rotation, above p99.9",
            (ms(slowest_near) - usual).max(0.0),
            "ms",
            50.0,
        ),
    ])
}
