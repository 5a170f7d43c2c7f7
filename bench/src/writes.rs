//! Full speed: `wrk -t1 -c256` with unique entries of 112 bytes against a fresh log, the generator on the same cores.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::process::{Logd, Start};
use tests::wait;

use crate::figures::{Figure, Options};
use crate::proc::{cpu_us, peak_mib};

const SCRIPT: &str = include_str!("../wrk.lua");

/// The result of one run of `wrk`.
pub(crate) struct Run {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    worst_ms: f64,
}

/// Measures rate, latency, CPU time and syncs per entry.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(&folder.path().join("log"))?;
    wrk(&logd, folder.path(), 3)?;
    let (cpu, entries) = (cpu_us(logd.pid(), "")?, logd.settled()?);
    let run = wrk(&logd, folder.path(), options.seconds)?;
    let written = logd.settled()? - entries;
    let cpu = cpu_us(logd.pid(), "")? - cpu;
    ensure!(
        written as f64 >= run.requests,
        "{written} entries for {} answers",
        run.requests
    );
    let peak = peak_mib(logd.pid())?;
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    let syncs = syncs_per_entry()?;
    Ok(vec![
        Figure::least("writes per second", run.per_second, "/s", 65_000.0),
        Figure::plain("p50", run.p50_ms, "ms"),
        Figure::most("p99", run.p99_ms, "ms", 20.0),
        Figure::plain("slowest", run.worst_ms, "ms"),
        Figure::most(
            "server CPU per entry",
            cpu as f64 / written as f64,
            "µs",
            15.0,
        ),
        Figure::plain("syncs per entry (under strace)", syncs, ""),
        Figure::plain("largest resident size", peak, "MiB"),
    ])
}

/// A short run with every sync counted; `strace` slows the server down, so batches are larger than without.
fn syncs_per_entry() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let counted = counts.to_string_lossy();
    let wrapper = [
        "strace",
        "-D",
        "-f",
        "-c",
        "-qq",
        "--seccomp-bpf",
        "-e",
        "trace=fsync,fdatasync,syncfs",
        "-o",
        &counted,
    ];
    let start = Start {
        wrapper: wrapper.map(str::to_owned).to_vec(),
        ..Start::default()
    };
    let logd = Logd::start_as(&folder.path().join("log"), &start)?;
    wrk(&logd, folder.path(), 5)?;
    let entries = logd.settled()?;
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    let calls = wait::until("strace has written its counts", || {
        let text = std::fs::read_to_string(&counts).unwrap_or_default();
        let total = text.lines().find(|line| line.trim_end().ends_with("total"));
        Ok(total.and_then(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok()))
    })?;
    Ok(calls / entries as f64)
}

fn wrk(logd: &Logd, folder: &Path, seconds: u64) -> Result<Run> {
    let url = format!("http://{}/dev/add", logd.address);
    wrk_with(SCRIPT, folder, 256, seconds, &url, &[])
}

/// Runs `wrk` with a script, which gets the last words.
pub(crate) fn wrk_with(
    script: &str,
    folder: &Path,
    connections: u32,
    seconds: u64,
    url: &str,
    words: &[&str],
) -> Result<Run> {
    let file = folder.join("wrk.lua");
    std::fs::write(&file, script)?;
    let (connections, duration) = (format!("-c{connections}"), format!("{seconds}s"));
    let output = Command::new("wrk")
        .args([
            "-t1",
            &connections,
            "-d",
            &duration,
            "--timeout",
            "30s",
            "-s",
        ])
        .arg(&file)
        .arg(url)
        .arg("--")
        .args(words)
        .output()
        .context("run wrk (Debian package wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("summary "))
        .with_context(|| format!("no summary: {text}"))?;
    let value: serde_json::Value = serde_json::from_str(line)?;
    ensure!(value["failed"] == 0, "some writes failed: {line}");
    let number = |name: &str| {
        value[name]
            .as_f64()
            .with_context(|| format!("{name} in {line}"))
    };
    let requests = number("requests")?;
    Ok(Run {
        requests,
        per_second: requests / (number("duration_us")? / 1e6),
        p50_ms: number("p50_us")? / 1e3,
        p99_ms: number("p99_us")? / 1e3,
        worst_ms: number("max_us")? / 1e3,
    })
}
