//! The kernel's figures about a process.

use anyhow::{Context as _, Result};

/// CPU time used so far by the threads whose names begin with `name` (all, when it is empty), user and system, microseconds. The usage of
/// threads that have ended is not included.
pub(crate) fn cpu_us(pid: u32, name: &str) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        let read = |file| std::fs::read_to_string(thread.join(file));
        // A thread may end between the two.
        let (Ok(comm), Ok(stat)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        if comm.starts_with(name) {
            let nanoseconds = stat.split_whitespace().next().context("schedstat")?;
            sum += nanoseconds.parse::<u64>()? / 1000;
        }
    }
    Ok(sum)
}

/// The resident size now, MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    status_mib(pid, "VmRSS:")
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
