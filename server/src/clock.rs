//! The system's clock, for code that reads and writes dates itself; the engine has clocks of its own.

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Now, in RFC 3339 and UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
