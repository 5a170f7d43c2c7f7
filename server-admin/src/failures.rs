//! Failed logins are limited per source, so that guessing is slow and can't flood the log.
//!
//! A right token is never refused here: 256 bits can't be guessed, and on a shared loopback address a stranger's failures
//! must not lock the operator out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that a source may make at once.
const BURST: u32 = 10;
/// Each failure is forgotten after this long.
const REFILL: Duration = Duration::from_secs(6);
/// Sources remembered. Beyond them, new ones share one allowance.
const MAX_SOURCES: usize = 1024;

/// Where a login came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A local user.
    Uid(u32),
    /// An address; of IPv6 only the /64, since one host has a whole one.
    Ip(IpAddr),
    /// Not known, or more sources than are remembered.
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

/// The failures of late. The lock is held for a few map operations only.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// For each source, when all its failures will be forgotten.
    until: Mutex<HashMap<Source, Instant>>,
}

impl Failures {
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

#[cfg(test)]
mod tests {
    use super::*;

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
