//! Metrics of the operating system about this process, under the names that every Prometheus dashboard expects.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Reads `/proc/self` when asked. What cannot be read is left out.
#[derive(Debug)]
pub(crate) struct Process {
    started: f64,
}

impl Default for Process {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: now.map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut started = encoder.encode_descriptor(
            "start_time_seconds",
            "Unix time of the start",
            None,
            MetricType::Gauge,
        )?;
        started.encode_gauge(&self.started)?;
        if let Some(seconds) = std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| cpu_seconds(&stat))
        {
            let mut cpu = encoder.encode_descriptor(
                "cpu_seconds",
                "User and system time",
                None,
                MetricType::Counter,
            )?;
            cpu.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
        }
        if let Some(bytes) = std::fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|statm| resident_bytes(&statm))
        {
            let mut memory = encoder.encode_descriptor(
                "resident_memory_bytes",
                "Resident memory",
                None,
                MetricType::Gauge,
            )?;
            memory.encode_gauge(&bytes)?;
        }
        if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
            let mut open = encoder.encode_descriptor(
                "open_fds",
                "Open file descriptors",
                None,
                MetricType::Gauge,
            )?;
            open.encode_gauge(&i64::try_from(descriptors.count()).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }
}

/// `utime` and `stime` of proc(5), `/proc/pid/stat`: the 14th and 15th field. The second may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `resident` of proc(5), `/proc/pid/statm`: the second field, in pages.
fn resident_bytes(statm: &str) -> Option<i64> {
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    i64::try_from(pages.checked_mul(rustix::param::page_size())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_right_ones() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!(
            "7 (a b) c) R 1 7 7 0 -1 4194304 150 0 0 0 {} {} 0 0 20 0 1 0 99 1 2",
            2 * ticks,
            ticks
        );
        assert_eq!(cpu_seconds(&stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a"), None);
        assert_eq!(
            resident_bytes("9 3 1 1 0 1 0"),
            Some(3 * rustix::param::page_size() as i64)
        );
        assert_eq!(resident_bytes(""), None);
    }
}
