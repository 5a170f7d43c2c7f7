//! Waiting for a condition. The bound only turns a hang into a message; no result ever depends on it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take before the wait is reported as a hang: far beyond what a loaded machine needs.
const HANG: Duration = Duration::from_secs(120);
/// Pause between two looks.
const CONDITION_POLL: Duration = Duration::from_millis(5);

/// Lets a little time pass between two looks at a condition.
pub fn pause() {
    // A park may end early; that only means one more look.
    std::thread::park_timeout(CONDITION_POLL);
}

/// Looks until `condition` gives a value, and returns it.
///
/// # Errors
/// When the condition fails, or still does not hold after two minutes; `what` names it then.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > HANG {
            bail!("still waiting after {} s: {what}", HANG.as_secs());
        }
        pause();
    }
}
