//! Times as text.

/// A time in milliseconds since the Unix epoch, in RFC 3339 and UTC.
pub(crate) fn rfc3339(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        // Year 9999 is the last that RFC 3339 can write.
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_never_fail() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_795_219_200_250), "2026-11-21T00:00:00.25Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-"));
    }
}
