//! Calls of drivers to the operating system beside files. Their time is the store's, which other processes share, and they wait for other
//! processes, so they cannot use a clock that is passed in.

#![expect(
    clippy::disallowed_methods,
    reason = "a store's clock is the system's, as is the time that another process holds a lock"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tlog::UnixMillis;

use crate::StoreError;

/// The time by the system clock.
pub(crate) fn now() -> Result<UnixMillis, StoreError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since
        .map_err(|error| StoreError::Io(format!("the system clock is before 1970: {error}")))?;
    u64::try_from(since.as_millis())
        .map(UnixMillis::new)
        .map_err(|error| StoreError::Io(format!("the system clock: {error}")))
}

/// The moment, on the system's steady clock.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// A number for the name of a temporary file or folder, that no other process chooses.
pub(crate) fn unique() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| StoreError::Io(format!("no randomness: {error}")))
}
