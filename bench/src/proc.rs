//! What the kernel knows about a process.

use anyhow::{Context as _, Result};

/// CPU time used so far, user and system, all threads, microseconds. Its grain is a clock tick (10 ms).
pub(crate) fn cpu_us(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
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
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
