//! The client's choices in its headers. Unknown media types fall back to the plain form; an unknown acknowledgement does
//! not, since a guess could promise too little.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, HeaderName};

use super::refusal::Refusal;

const LOG_ACK: HeaderName = HeaderName::from_static("log-ack");

/// The event that the answer to `add` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// The entry is ordered and durable.
    Ordered,
    /// A signed checkpoint covers it too.
    Published,
}

/// The acknowledgement asked for in `Log-Ack`.
pub(super) fn ack(headers: &HeaderMap) -> Result<Ack, Refusal> {
    match headers.get(LOG_ACK).map(|value| value.as_bytes()) {
        None => Ok(Ack::Ordered),
        Some(value) if value.eq_ignore_ascii_case(b"ordered") => Ok(Ack::Ordered),
        Some(value) if value.eq_ignore_ascii_case(b"published") => Ok(Ack::Published),
        Some(_) => Err(Refusal::bad("log-ack must be `ordered` or `published`")),
    }
}

/// Whether the client names `application/json`, and not with `q=0`.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts
                .next()
                .is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
                && !parts.any(|parameter| {
                    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    name.trim().eq_ignore_ascii_case("q")
                        && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0)
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    hyper::header::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn json_is_named_or_it_is_not() {
        for (accept, expected) in [
            ("application/json", true),
            ("text/html, application/json;q=0.9, */*;q=0.1", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/json;q=0", false),
            ("application/json; q=0.0, text/plain", false),
            ("*/*", false),
            ("application/jsonl", false),
            ("", false),
        ] {
            assert_eq!(
                wants_json(&headers(&[("accept", accept)])),
                expected,
                "{accept:?}"
            );
        }
        assert!(!wants_json(&HeaderMap::new()));
    }

    #[test]
    fn an_unknown_acknowledgement_is_not_guessed() {
        assert_eq!(ack(&HeaderMap::new()).unwrap(), Ack::Ordered);
        assert_eq!(
            ack(&headers(&[("log-ack", "Published")])).unwrap(),
            Ack::Published
        );
        assert_eq!(
            ack(&headers(&[("log-ack", "witnessed")]))
                .unwrap_err()
                .code
                .1,
            400
        );
    }
}
