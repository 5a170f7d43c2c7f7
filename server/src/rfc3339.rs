//! Times as text.

use tlog::UnixMillis;

/// A time in RFC 3339 and UTC.
pub(crate) fn rfc3339(time: UnixMillis) -> String {
    i64::try_from(time.get())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        // Year 9999 is the last that RFC 3339 can write.
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_never_fail() {
        let text = |time| rfc3339(UnixMillis::new(time));
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_795_219_200_250), "2026-11-21T00:00:00.25Z");
        assert!(text(u64::MAX).starts_with("9999-12-"));
    }
}
