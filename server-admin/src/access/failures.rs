//! Failed logins are limited per source and audited, so that guessing is slow, seen, and can't flood the log or the trail.
//!
//! The trail gets the first failure of a source at once, and a minute later one summary of those that followed. However
//! many sources there are, it never gets more than [`MAX_NOTED`] + 1 of each a minute.
//!
//! The limit never refuses a right token: 256 bits can't be guessed, and on a shared loopback address another user's failures
//! must not lock the operator out.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::host::{Event, Host};

/// Failures that a source may make at once.
const BURST: u32 = 10;
/// Each failure is forgotten after this long.
const REFILL: Duration = Duration::from_secs(6);
/// Sources remembered. Beyond them, new ones share one allowance.
const MAX_SOURCES: usize = 1024;
/// From the first failure of a source to the summary of the others, usually.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources with trail entries of their own in a window. Beyond them, new ones share one.
const MAX_NOTED: usize = 64;

/// The source of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Uid(u32),
    /// An address; of IPv6 only the /64, since one host has a whole one.
    Ip(IpAddr),
    /// An unknown source, or one of more sources than are remembered.
    Other,
}

impl Source {
    pub(crate) fn ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::Ip([a, b, c, d, 0, 0, 0, 0].into())
            }
            v4 @ IpAddr::V4(_) => Self::Ip(v4),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Ip(IpAddr::V4(v4)) => write!(f, "ip:{v4}"),
            Self::Ip(IpAddr::V6(v6)) => write!(f, "ip:{v6}/64"),
            Self::Other => f.write_str("ip:others"),
        }
    }
}

/// The failures of late. The locks are held for a few map operations only.
#[derive(Debug)]
pub(crate) struct Failures {
    /// From the first failure of a source to the summary of the others.
    window: Duration,
    /// For each source, when all its failures will be forgotten.
    until: Mutex<HashMap<Source, Instant>>,
    /// For each source in the trail, how many failures its summary will report.
    noted: Mutex<HashMap<Source, u64>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self::with_window(WINDOW)
    }
}

impl Failures {
    pub(crate) fn with_window(window: Duration) -> Self {
        Self {
            window,
            until: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Counts, logs and audits a failed login. When the source has used up its allowance: how long until it has one again.
    pub(crate) async fn failed(
        self: &Arc<Self>,
        host: &Arc<dyn Host>,
        source: Source,
        detail: &str,
    ) -> Result<(), Duration> {
        let limited = self.count(source, Instant::now());
        match limited {
            Ok(()) => {
                tracing::warn!(target: "server_admin::audit", %source, reason = detail, "login failed");
            }
            Err(_) => {
                tracing::debug!(target: "server_admin::audit", %source, reason = detail, "login failed, over the limit");
            }
        }
        if let Some(source) = self.note(source) {
            let (failures, host) = (Arc::clone(self), Arc::clone(host));
            let first = record(host.clone(), source, detail.to_owned());
            // In separate tasks, because a caller that hangs up must not keep its failure out of the trail.
            let first = tokio::spawn(first);
            tokio::spawn(async move {
                tokio::time::sleep(failures.window).await;
                let more = failures.close(source);
                if more > 0 {
                    let seconds = failures.window.as_secs();
                    let detail = format!("{more} more failed logins within {seconds} s");
                    record(host, source, detail).await;
                }
            });
            let _ = first.await;
        }
        limited
    }

    /// Counts a failure for the trail. The source to write there, when it is the first of its window.
    fn note(&self, source: Source) -> Option<Source> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match noted.len() >= MAX_NOTED && !noted.contains_key(&source) {
            true => Source::Other,
            false => source,
        };
        if let Some(more) = noted.get_mut(&source) {
            *more += 1;
            return None;
        }
        noted.insert(source, 0);
        Some(source)
    }

    /// Ends a source's window: how many failures followed its first.
    fn close(&self, source: Source) -> u64 {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove(&source).unwrap_or(0)
    }

    /// Counts a failure. When the source has used up its allowance: how long until it has one again.
    pub(crate) fn count(&self, source: Source, now: Instant) -> Result<(), Duration> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MAX_SOURCES && !until.contains_key(&source) {
            until.retain(|_, forgotten| *forgotten > now);
        }
        let source = if until.len() >= MAX_SOURCES && !until.contains_key(&source) {
            Source::Other
        } else {
            source
        };
        let forgotten = until.entry(source).or_insert(now);
        let start = (*forgotten).max(now);
        let pending = start - now;
        let most = REFILL * (BURST - 1);
        if pending > most {
            return Err(pending - most);
        }
        *forgotten = start + REFILL;
        Ok(())
    }
}

/// Writes to the trail. Nothing was done, so nothing is undone when that fails.
async fn record(host: Arc<dyn Host>, source: Source, detail: String) {
    let event = Event {
        actor: source.to_string(),
        action: "login-failed",
        detail,
    };
    if let Err(error) = host.record(event).await {
        tracing::warn!(target: "server_admin::audit", %error, %source, "a failed login could not be audited");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_learns_of_few_sources_and_of_each_once() {
        let failures = Failures::default();
        assert_eq!(failures.note(ip(1)), Some(ip(1)));
        assert_eq!(failures.note(ip(1)), None);
        assert_eq!(failures.note(ip(1)), None);
        let heard = (2..10_000).filter_map(|n| failures.note(ip(n))).count();
        assert_eq!(heard, MAX_NOTED, "63 others, and all the rest as one");
        assert_eq!(failures.close(ip(1)), 2);
        assert_eq!(failures.close(Source::Other), 9_998 - 63 - 1);
        assert_eq!(failures.note(ip(1)), Some(ip(1)), "a new window");
    }

    fn ip(last: u32) -> Source {
        Source::ip(IpAddr::from(last.to_be_bytes()))
    }

    #[test]
    fn a_burst_then_one_per_refill() {
        let (failures, start) = (Failures::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(failures.count(ip(1), start), Ok(()));
        }
        assert_eq!(failures.count(ip(1), start), Err(REFILL));
        assert_eq!(
            failures.count(ip(2), start),
            Ok(()),
            "another source has its own allowance"
        );
        assert_eq!(failures.count(ip(1), start + REFILL), Ok(()));
        assert!(failures.count(ip(1), start + REFILL).is_err());
        let later = start + REFILL * (BURST + 1);
        for _ in 0..BURST {
            assert_eq!(failures.count(ip(1), later), Ok(()));
        }
    }

    #[test]
    fn memory_is_bounded_and_recovers() {
        let (failures, start) = (Failures::default(), Instant::now());
        for source in 0..3 * MAX_SOURCES as u32 {
            let _ = failures.count(ip(source), start);
        }
        assert!(failures.until.lock().unwrap().len() <= MAX_SOURCES + 1);
        assert!(
            failures.count(ip(u32::MAX), start).is_err(),
            "strangers share one allowance"
        );
        assert_eq!(
            failures.count(ip(u32::MAX), start + REFILL * (BURST + 1)),
            Ok(())
        );
        assert_eq!(failures.until.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_ipv6_host_is_one_source() {
        let source = |text: &str| Source::ip(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
