//! Whether a key has been seen for long enough. The server says so; pure.

use std::time::Duration;

use jiff::Timestamp;
use wire::Problem;

use super::SEEN_POLL_MIN;
use crate::error::Error;

/// Whether a key has been seen for long enough.
pub(super) enum Settled {
    Yes,
    /// Not yet; the time where the server said it, and the reason.
    Until(Option<Timestamp>, String),
}

/// The time left until `until`, at least one pause, because this clock may be ahead of the server's.
pub(super) fn left(until: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(until.duration_since(now));
    left.unwrap_or_default().max(SEEN_POLL_MIN)
}

/// A refusal because the key has not been seen for long enough is a wait, any other one an error.
pub(super) fn settles(problem: Box<Problem>) -> Result<Settled, Error> {
    let only = match problem.findings.as_slice() {
        [only] if only.code == "not-settled" => only,
        _ => return Err(Error::Problem(problem)),
    };
    let until = only.message.rsplit(' ').next();
    let until = until.and_then(|time| time.parse().ok());
    Ok(Settled::Until(until, only.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Finding, codes};

    fn refused(codes: &[(&str, &str)]) -> Result<Settled, Error> {
        let mut problem = Problem::new((codes::INVALID, 422, "refused"), "refused");
        let findings = codes.iter().map(|(code, message)| Finding {
            code: (*code).to_owned(),
            message: (*message).to_owned(),
            pointer: String::new(),
            line: None,
            column: None,
            hint: None,
        });
        problem.findings = findings.collect();
        settles(Box::new(problem))
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_endless_wait() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(left(at(100), at(40)), Duration::from_secs(60));
        assert_eq!(left(at(100), at(9_000)), SEEN_POLL_MIN);
        assert_eq!(left(at(100), at(100)), SEEN_POLL_MIN);
    }

    #[test]
    fn only_a_key_that_settles_is_waited_for() {
        let settles = (
            "not-settled",
            "seen since X, and settles until 2026-12-01T10:00:00Z",
        );
        let Ok(Settled::Until(Some(until), why)) = refused(&[settles]) else {
            panic!("it is a wait");
        };
        assert_eq!(until.to_string(), "2026-12-01T10:00:00Z");
        assert_eq!(why, settles.1);
        let unseen = ("not-announced", "not seen");
        assert!(refused(&[unseen]).is_err());
        assert!(refused(&[settles, unseen]).is_err());
        assert!(refused(&[]).is_err());
    }
}
