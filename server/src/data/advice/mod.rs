//! A writer's requests in the head of its message: `Priority`, `Merge-By`, `Log-Shard`, `Prefer` and its token.
//!
//! Reading is pure, and one pass over the header: a write without any of it pays for the comparison of a few names, and nothing is
//! allocated. What must never happen: a deadline is misread (malformed advice is refused, with the wrong part), or a token gets into an
//! answer or a log.

mod priority;

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::refusal::{Refusal, shown};
use crate::rfc3339::rfc3339;
use engine::{Log, WriteKey};
use qos::{Advice, TenantId};
use tlog::UnixMillis;

/// The longest value of each of these headers, bytes.
const LONGEST: usize = 256;
/// The longest merge delay that is taken for one: beyond it a unit or a year was mistaken.
const FARTHEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest idempotency key, bytes.
const LONGEST_KEY: usize = 128;
/// The refusal of a malformed idempotency key.
const KEY: &str = "Idempotency-Key is not one key of 1 to 128 visible ASCII characters";
/// The scheme of a writer's token.
const BEARER: &str = "bearer ";

/// The advice of a request. Not `Debug`: it holds a secret.
#[derive(Default)]
pub(super) struct AskedAdvice<'a> {
    /// The parsed advice for the engine.
    pub(super) advice: Advice,
    /// The writer's token, as it was sent.
    pub(super) token: Option<&'a str>,
    /// Whether the writer accepts an acknowledgement before the order (RFC 7240).
    pub(super) respond_async: bool,
    /// The idempotency key, as it was sent.
    key: Option<&'a str>,
    /// Whether the body is compressed or otherwise encoded.
    pub(super) encoded: bool,
}

impl AskedAdvice<'_> {
    /// The tenant of the writer.
    pub(super) fn tenant(&self, log: &Log) -> Result<TenantId, Refusal> {
        let now = self.token.map_or(UnixMillis::ZERO, |_| log.now());
        let tenant = log.policy().tenant(self.token, now);
        tenant.map_err(|denied| Refusal::denied(&denied))
    }

    /// Its idempotency key. The same text from another tenant is a different key.
    pub(super) fn key(&self, log: &Log, tenant: TenantId) -> Option<WriteKey> {
        let key = self.key?;
        let policy = log.policy();
        let name = policy.tenants().get(tenant.index()).map(|rule| &*rule.name);
        Some(WriteKey::new(name.unwrap_or_default(), key))
    }
}

/// Reads the head of a write; `now` gives milliseconds since the Unix epoch, and is asked only where a time is named.
pub(super) fn read(headers: &HeaderMap, now: impl Fn() -> u64) -> Result<AskedAdvice<'_>, Refusal> {
    let mut asked = AskedAdvice::default();
    for (name, value) in headers {
        match name.as_str() {
            "priority" => priority::read(text("priority", value)?, &mut asked.advice.urgency)
                .map_err(|wrong| Refusal::bad_advice("priority", &wrong))?,
            "merge-by" => {
                let delay = merge_by(text("merge-by", value)?, &now)
                    .map_err(|wrong| Refusal::bad_advice("merge-by", &wrong))?;
                once("merge-by", asked.advice.merge_by.replace(delay))?;
            }
            "log-shard" => {
                let shard = shard(text("log-shard", value)?)?;
                once("log-shard", asked.advice.shard.replace(shard))?;
            }
            "idempotency-key" => {
                let key = key(value).filter(|_| asked.key.is_none());
                asked.key = Some(key.ok_or_else(|| Refusal::bad(KEY))?);
            }
            "content-encoding" => {
                asked.encoded |= !value.as_bytes().eq_ignore_ascii_case(b"identity");
            }
            "prefer" => asked.respond_async |= respond_async(value),
            "authorization" => {
                let token = bearer(value).ok_or_else(Refusal::token)?;
                if asked.token.replace(token).is_some() {
                    return Err(Refusal::token());
                }
            }
            _ => {}
        }
    }
    Ok(asked)
}

/// One key, as the admin endpoint takes it too.
fn key(value: &HeaderValue) -> Option<&str> {
    let key = value.to_str().ok()?;
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(key)
}

fn text<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, Refusal> {
    if value.len() > LONGEST {
        return Err(Refusal::bad_advice(
            name,
            &format!("is longer than {LONGEST} bytes"),
        ));
    }
    value
        .to_str()
        .map_err(|_| Refusal::bad_advice(name, "is not plain ASCII"))
}

fn once<T>(name: &str, before: Option<T>) -> Result<(), Refusal> {
    match before {
        None => Ok(()),
        Some(_) => Err(Refusal::bad_advice(name, "was sent twice")),
    }
}

/// A span, or a time that is turned into one.
fn merge_by(value: &str, now: impl Fn() -> u64) -> Result<Duration, String> {
    let value = value.trim();
    let span = value
        .parse::<logconfig::Span>()
        .ok()
        .map(logconfig::Span::duration);
    let delay = if let Some(span) = span.or_else(|| decimal(value)) {
        if span.is_zero() {
            return Err("the merge delay must be more than 0".into());
        }
        span
    } else {
        let time: jiff::Timestamp = value.parse().map_err(|_| {
            format!(
                "{} is neither a length of time, such as 500ms, 5s or 24h, nor a time such as 2026-01-31T12:00:00Z",
                shown(value)
            )
        })?;
        let now = now();
        let ahead = i128::from(time.as_millisecond()) - i128::from(now);
        match u64::try_from(ahead) {
            Ok(ahead) if ahead > 0 => Duration::from_millis(ahead),
            _ => {
                return Err(format!(
                    "{} is in the past: it is {} here",
                    shown(value),
                    rfc3339(UnixMillis::new(now))
                ));
            }
        }
    };
    if delay > FARTHEST {
        return Err(format!("{} is more than 366 days ahead", shown(value)));
    }
    Ok(delay)
}

/// Seconds as answers have them, `0.5s`: what a counter-offer says can be sent back.
fn decimal(value: &str) -> Option<Duration> {
    let (whole, part) = value.strip_suffix('s')?.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !(1..=3).contains(&part.len()) || !digits(part) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let millis: u64 = format!("{part:0<3}").parse().ok()?;
    whole
        .checked_mul(1000)?
        .checked_add(millis)
        .map(Duration::from_millis)
}

fn shard(value: &str) -> Result<String, Refusal> {
    let value = value.trim();
    match value.parse::<logconfig::ShardName>() {
        Ok(_) => Ok(value.to_owned()),
        Err(error) => Err(Refusal::bad_advice("log-shard", &error.to_string())),
    }
}

/// Whether `respond-async` is among the preferences. Others are not errors (RFC 7240, section 2).
fn respond_async(value: &HeaderValue) -> bool {
    let name = |preference: &[u8]| -> bool {
        let end = preference
            .iter()
            .position(|byte| matches!(byte, b';' | b'='))
            .unwrap_or(preference.len());
        preference[..end]
            .trim_ascii()
            .eq_ignore_ascii_case(b"respond-async")
    };
    value.as_bytes().split(|byte| *byte == b',').any(name)
}

/// The token behind `Bearer`. The policy decides what it permits.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let value = value.to_str().ok().filter(|value| value.len() <= LONGEST)?;
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case(BEARER) && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use wire::data::codes;

    use super::*;

    const NOW: u64 = 1_795_219_200_000;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn refused(pairs: &[(&'static str, &str)]) -> Refusal {
        match read(&headers(pairs), || NOW) {
            Ok(_) => panic!("{pairs:?} was accepted"),
            Err(refusal) => refusal,
        }
    }

    #[test]
    fn without_advice_nothing_is_asked_not_even_the_time() {
        let headers = headers(&[
            ("host", "log"),
            ("content-length", "3"),
            ("accept", "application/json"),
            ("user-agent", "u=1"),
        ]);
        let asked = read(&headers, || panic!("asked for the time")).unwrap();
        assert_eq!(asked.advice, Advice::default());
        assert!(asked.token.is_none() && !asked.respond_async);
    }

    #[test]
    fn all_of_it_in_any_mix() {
        let headers = headers(&[
            ("priority", "u=6"),
            ("priority", "i, u=2"),
            ("merge-by", " 1500ms "),
            ("log-shard", "2026b"),
            ("prefer", "wait=10, Respond-Async; x=1"),
            ("authorization", "bEARER  logw_abc"),
        ]);
        let asked = read(&headers, || NOW).unwrap();
        assert_eq!(
            asked.advice,
            Advice {
                urgency: Some(2),
                merge_by: Some(Duration::from_millis(1500)),
                shard: Some("2026b".into()),
            }
        );
        assert_eq!((asked.token, asked.respond_async), (Some("logw_abc"), true));
    }

    #[test]
    fn a_deadline_is_a_span_or_a_time() {
        for (value, millis) in [
            ("500ms", 500),
            ("5s", 5000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("1d", 86_400_000),
            ("366d", 366 * 86_400_000),
            ("0.5s", 500),
            ("12.345s", 12_345),
            ("2026-11-21T00:00:00.001Z", 1),
            ("2026-11-21T00:01:00Z", 60_000),
            ("2026-11-21T02:01:00+02:00", 60_000),
        ] {
            let headers = headers(&[("merge-by", value)]);
            let asked = read(&headers, || NOW).ok().unwrap();
            assert_eq!(
                asked.advice.merge_by,
                Some(Duration::from_millis(millis)),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_part() {
        let long = "x".repeat(LONGEST + 1);
        for (name, value, needle) in [
            ("priority", "u=9", "from 0"),
            ("priority", "u=é", "ASCII"),
            ("priority", long.as_str(), "longer than 256"),
            ("merge-by", "", "neither"),
            ("merge-by", "soon", "neither"),
            ("merge-by", "5", "neither"),
            ("merge-by", "-5s", "neither"),
            ("merge-by", "1.5m", "neither"),
            ("merge-by", ".5s", "neither"),
            ("merge-by", "1.s", "neither"),
            ("merge-by", "1.2345s", "neither"),
            ("merge-by", "0.0s", "more than 0"),
            ("merge-by", "0s", "more than 0"),
            ("merge-by", "367d", "366 days"),
            ("merge-by", "18446744073709551615d", "neither"),
            ("merge-by", "9999-01-01T00:00:00Z", "366 days"),
            (
                "merge-by",
                "2026-11-21T00:00:00Z",
                "it is 2026-11-21T00:00:00Z here",
            ),
            ("merge-by", "1970-01-01T00:00:00Z", "in the past"),
            ("merge-by", "0001-01-01T00:00:00Z", "in the past"),
            ("merge-by", "2026-11-31T00:00:00Z", "neither"),
            ("merge-by", "2026-11-21T00:00:00", "neither"),
            ("merge-by", long.as_str(), "longer than 256"),
            ("log-shard", "../kek", "a name is"),
            ("log-shard", "", "a name is"),
        ] {
            let refusal = refused(&[(name, value)]);
            assert_eq!(refusal.code, codes::BAD_ADVICE);
            assert!(
                refusal.detail.starts_with(name) && refusal.detail.contains(needle),
                "{name}: {value}: {}",
                refusal.detail
            );
        }
        for (name, value) in [("merge-by", "5s"), ("log-shard", "a")] {
            let refusal = refused(&[(name, value), (name, value)]);
            assert!(refusal.detail.contains("sent twice"), "{}", refusal.detail);
        }
    }

    #[test]
    fn an_idempotency_key_is_one_word() {
        let longest = "k".repeat(LONGEST_KEY);
        for key in ["1", "8e03978e-40d5-43dd-bc93-6894a57f9324", &longest] {
            let headers = headers(&[("idempotency-key", key)]);
            assert_eq!(read(&headers, || NOW).ok().unwrap().key, Some(key));
        }
        let long = "k".repeat(LONGEST_KEY + 1);
        for key in ["", " ", "a b", "é", &long] {
            let refusal = refused(&[("idempotency-key", key)]);
            assert_eq!(refusal.code, codes::BAD_REQUEST);
        }
        let twice = ("idempotency-key", "a");
        assert_eq!(refused(&[twice, twice]).detail, KEY);
    }

    #[test]
    fn a_credential_that_is_no_token_is_refused_and_not_repeated() {
        let long = format!("Bearer {}", "x".repeat(LONGEST));
        for value in ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "secret", &long] {
            let refusal = refused(&[("authorization", value)]);
            assert_eq!(refusal.code, codes::UNAUTHENTICATED, "{value}");
            assert!(!refusal.detail.contains("secret") && !refusal.detail.contains("xxx"));
        }
        let twice = ("authorization", "Bearer logw_secret");
        assert_eq!(refused(&[twice, twice]).code, codes::UNAUTHENTICATED);
    }
}
