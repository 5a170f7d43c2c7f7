//! The headers that tell a writer what it was granted: `Log-Tier` and `Log-Merge-By`.
//!
//! Writers get few different answers, so each thread keeps the header values of the last ones: none is made per write.

use std::cell::RefCell;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use qos::Granted;

const LOG_TIER: HeaderName = HeaderName::from_static("log-tier");
const LOG_MERGE_BY: HeaderName = HeaderName::from_static("log-merge-by");

/// How many answers a thread remembers.
const KEPT: usize = 16;

struct Kept {
    granted: Granted,
    tier: HeaderValue,
    merge_by: Option<HeaderValue>,
}

thread_local! {
    static KEPT_HERE: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// Puts it on an answer. A tier without a promise has no `Log-Merge-By`.
pub(super) fn stamp(headers: &mut HeaderMap, granted: &Granted) {
    KEPT_HERE.with_borrow_mut(|kept| {
        let found = kept.iter().position(|k| k.granted == *granted);
        let at = found.unwrap_or_else(|| {
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push(Kept::new(granted));
            kept.len() - 1
        });
        let Some(kept) = kept.get(at) else { return };
        headers.insert(LOG_TIER, kept.tier.clone());
        if let Some(merge_by) = &kept.merge_by {
            headers.insert(LOG_MERGE_BY, merge_by.clone());
        }
    });
}

impl Kept {
    fn new(granted: &Granted) -> Self {
        let shared = |text: &str| {
            // Made from shared bytes, so that a clone copies nothing. Names of tiers are plain ASCII.
            HeaderValue::from_maybe_shared(bytes::Bytes::copy_from_slice(text.as_bytes()))
                .unwrap_or_else(|_| HeaderValue::from_static("?"))
        };
        Self {
            tier: shared(&granted.tier),
            merge_by: granted.merge_by.map(seconds),
            granted: granted.clone(),
        }
    }
}

/// Seconds, with at most three decimals and only those that say something: `2s`, `0.5s`.
pub(super) fn seconds(time: Duration) -> HeaderValue {
    // Rounded up, so that nothing becomes `0s`.
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (whole, part) = (millis / 1000, millis % 1000);
    let text = if part == 0 {
        format!("{whole}s")
    } else {
        let part = format!("{part:03}");
        format!("{whole}.{}s", part.trim_end_matches('0'))
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_the_decimals_they_need() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "0.001s"),
            (500_000_000, "0.5s"),
            (2_000_000_000, "2s"),
            (86_400_000_000_000, "86400s"),
            (40_120_000_000, "40.12s"),
            (1_999_999_999, "2s"),
        ] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn every_answer_says_its_own_however_many_there_are() {
        for round in 0..2 {
            for n in 0..3 * KEPT as u64 {
                let granted = Granted {
                    tier: format!("t{}", n % 20).into(),
                    merge_by: (n % 3 > 0).then(|| Duration::from_millis(n * 500)),
                };
                let mut headers = HeaderMap::new();
                stamp(&mut headers, &granted);
                assert_eq!(headers[LOG_TIER], *granted.tier, "{round}");
                assert_eq!(
                    headers.get(LOG_MERGE_BY).cloned(),
                    granted.merge_by.map(seconds)
                );
            }
        }
    }
}
