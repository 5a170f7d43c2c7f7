//! The admin endpoint's client: typed calls, and what each failure means.
//!
//! What must never happen: a change is made twice, or is reported as failed although it was made. So every write carries an idempotency
//! key, a repeat after a broken connection carries the same one, and if even a repeat does not show the outcome, the answer is "unknown",
//! never "failed".

mod absent;
mod admin;
mod call;
mod certificate;
mod events;
mod exchange;
mod public;
mod raw;
mod tls;
mod trail;
mod transport;

use std::error::Error as _;
use std::time::{Duration, Instant};

pub(crate) use admin::Admin;
pub(crate) use call::{Call, ChangeHeaders, with_reason};
pub(crate) use events::Followed;
pub(crate) use exchange::is_answer;
pub use public::Public;
pub(crate) use public::fetch;
pub(crate) use raw::Raw;
pub(crate) use trail::Trail;
pub use transport::transport;

use crate::error::Error;

/// The time until which to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    until: Instant,
    limit: Duration,
}

impl Deadline {
    /// A deadline `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            limit,
        }
    }

    /// The remaining time; zero when it has expired.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The time limit that it was made from.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits `pause`, or until the end; whether there is time left.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        tokio::time::sleep(pause.min(self.left())).await;
        !self.left().is_zero()
    }
}

/// 128 random bits, hex: unique among all keys.
pub(crate) fn idempotency_key() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Bug(format!("no random numbers: {error}")))?;
    Ok(tlog::hex(&bytes))
}

/// `60 s`, `0.5 s`.
pub(crate) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

/// The innermost reason: the outer ones only say that a request failed.
pub fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if let Some(fault) = tls::of(error) {
        return tls::words(fault);
    }
    let mut reason = error.source();
    while let Some(inner) = reason.and_then(|reason| reason.source()) {
        reason = Some(inner);
    }
    reason.map_or_else(|| error.to_string(), ToString::to_string)
}
