//! A long run: memory stays flat however many entries there are, and a start does not read them all.

use std::time::Instant;

use anyhow::{Result, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::Logd;

use crate::figures::{Figure, Options};
use crate::proc::peak_mib;

/// Writes, watches the resident size, restarts, and checks every acknowledgement.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let load = Load::start(Plan::synthetic(logd.address, 256, "memory"));
    let mut peaks = Vec::new();
    for tenth in 1..=10 {
        load.reach_slowly(options.entries * tenth / 10)?;
        peaks.push(peak_mib(logd.pid())?);
        eprintln!(
            "  {} entries, {:.0} MiB",
            load.acknowledged(),
            peaks.last().copied().unwrap_or_default()
        );
    }
    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "a write failed: {:?}",
        report.complaints
    );
    let rate = report.acknowledged() as f64 / report.took.as_secs_f64();
    logd.settled()?;
    let peak = peak_mib(logd.pid())?;
    let stop = Instant::now();
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    let stop = stop.elapsed();
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let after_stop = begin.elapsed();
    logd.kill()?;
    let begin = Instant::now();
    let logd = Logd::start(&at)?;
    let after_kill = begin.elapsed();
    let mut ledger = Ledger::default();
    ledger.add(report)?;
    eprintln!("  auditing {} entries", ledger.acknowledged());
    tests::verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    Ok(vec![
        Figure::plain(
            "entries, all audited at their index",
            ledger.acknowledged() as f64,
            "",
        ),
        Figure::plain(
            "writes per second (own generator, 256 connections)",
            rate,
            "/s",
        ),
        Figure::plain(
            "largest resident size after a tenth",
            peaks.first().copied().unwrap_or_default(),
            "MiB",
        ),
        Figure::most("largest resident size", peak, "MiB", 300.0),
        Figure::plain("graceful stop", stop.as_secs_f64(), "s"),
        Figure::most("start after a stop", after_stop.as_secs_f64(), "s", 2.0),
        Figure::most("start after kill -9", after_kill.as_secs_f64(), "s", 2.0),
    ])
}
