//! Numbers as people read them.

pub use logconfig::text::grouped;

/// A count or a rate: `0.5`, `500`, `48,210`.
pub fn thousands(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    grouped(value.round() as u64)
}

/// Milliseconds, to three digits or so: `0.43 ms`, `17.0 ms`, `61.0 s`.
pub fn latency(ms: f64) -> String {
    match ms {
        ms if ms <= 0.0 => "-".into(),
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let all = [0.5, 5.0, 9.96, 999.0, 1000.0, 1_234_567.4].map(thousands);
        assert_eq!(all, ["0.5", "5", "10.0", "999", "1,000", "1,234,567"]);
        let all = [0.0, 0.431, 17.04, 250.0, 9_999.0, 61_000.0].map(latency);
        assert_eq!(
            all,
            ["-", "0.43 ms", "17.0 ms", "250 ms", "9999 ms", "61.0 s"]
        );
    }
}
