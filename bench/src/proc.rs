//! What the kernel knows about a process.

use std::path::Path;

use anyhow::{Context as _, Result};

/// CPU time used so far, user and system, all threads, microseconds. Its grain is a clock tick (10 ms).
pub(crate) fn cpu_us(pid: u32) -> Result<u64> {
    ticks_us(format!("/proc/{pid}/stat").as_ref())
}

/// CPU time of the threads of a process whose names begin with `name`, microseconds.
pub(crate) fn threads_cpu_us(pid: u32, name: &str) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        if std::fs::read_to_string(thread.join("comm"))?.starts_with(name) {
            sum += ticks_us(&thread.join("stat"))?;
        }
    }
    Ok(sum)
}

/// The resident size now, MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    status_mib(pid, "VmRSS:")
}

fn ticks_us(stat: &Path) -> Result<u64> {
    let stat = std::fs::read_to_string(stat)?;
    // The name in parentheses may hold anything; what follows it begins with field 3.
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let field = |number: usize| {
        rest.split_whitespace()
            .nth(number - 3)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let ticks = field(14).context("utime")? + field(15).context("stime")?;
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// The largest resident size so far, MiB.
pub(crate) fn peak_mib(pid: u32) -> Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, field: &'static str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .context(field)?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
