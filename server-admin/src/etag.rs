//! Entity tags: `"g<generation>-<first 8 hex digits of the document's digest>"` (RFC 9110, 8.8.3 and 13.1.1).
//!
//! A change must never be made on top of a state that its author did not see. So a base names exactly one state:
//! `If-Match: *` and lists are refused, since both say "whatever runs", and weak tags, since they never match.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use wire::codes;

use crate::problem::Refusal;

/// The state that a change was made from: a generation and, unless the author knows only that, the document's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    generation: u64,
    digest: Option<String>,
}

/// Not `g<generation>-<8 hex digits>` or `g<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entity tag of a configuration: it looks like g7-1a2b3c4d")]
pub struct BadBase;

impl Base {
    /// The generation that the author saw.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the author saw the state with this entity tag (without quotes). A base without a digest matches by its
    /// generation alone: generations are never used twice.
    #[must_use]
    pub fn matches(&self, etag: &str) -> bool {
        etag.parse::<Self>().is_ok_and(|running| {
            running.generation == self.generation
                && (self.digest.is_none() || self.digest == running.digest)
        })
    }
}

impl FromStr for Base {
    type Err = BadBase;

    /// Parses a tag without its quotes.
    fn from_str(tag: &str) -> Result<Self, BadBase> {
        let tag = tag.strip_prefix('g').ok_or(BadBase)?;
        let (number, digest) = match tag.split_once('-') {
            Some((number, digest)) => (number, Some(digest)),
            None => (tag, None),
        };
        let canonical = number == "0" || !number.starts_with('0');
        if !canonical || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadBase);
        }
        let generation = number.parse().map_err(|_| BadBase)?;
        if digest.is_some_and(|hex| {
            hex.len() != 8
                || !hex
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }) {
            return Err(BadBase);
        }
        Ok(Self {
            generation,
            digest: digest.map(str::to_owned),
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "g{}-{digest}", self.generation),
            None => write!(f, "g{}", self.generation),
        }
    }
}

/// The `If-Match` of a write: one strong tag, or none.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Base>, Refusal> {
    let refuse = |detail: &str| {
        Err(Refusal::new(codes::BAD_REQUEST, detail)
            .hint("send the ETag that the configuration had when you read it, as If-Match: \"g7-1a2b3c4d\""))
    };
    if headers.contains_key(IF_NONE_MATCH) {
        return refuse("If-None-Match has no meaning here: a configuration always exists");
    }
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return refuse("more than one If-Match header");
    }
    let value = value.to_str().unwrap_or("").trim();
    if value == "*" {
        return refuse("If-Match: * says nothing about the state that the change was made from");
    }
    let tag = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match tag.and_then(|tag| tag.parse().ok()) {
        Some(base) => Ok(Some(base)),
        None => refuse("If-Match does not hold one strong entity tag of a configuration"),
    }
}

/// Whether a read's `If-None-Match` holds this entity tag (weak comparison), so that 304 answers it.
pub(crate) fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == format!("\"{etag}\"")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(IF_MATCH, axum::http::HeaderValue::from_static(value))])
    }

    proptest! {
        #[test]
        fn a_tag_survives_parsing(generation: u64, digest in proptest::option::of("[0-9a-f]{8}")) {
            let base = Base { generation, digest };
            prop_assert_eq!(base.to_string().parse(), Ok(base));
        }

        #[test]
        fn only_canonical_tags_parse(text in "[gG]?[0-9+-]{0,4}[-]?[0-9a-fA-F]{0,9}") {
            if let Ok(base) = text.parse::<Base>() {
                prop_assert_eq!(base.to_string(), text);
            }
        }
    }

    #[test]
    fn a_base_matches_its_own_state_only() {
        let exact: Base = "g7-1a2b3c4d".parse().unwrap();
        assert!(exact.matches("g7-1a2b3c4d"));
        for other in ["g7-1a2b3c4e", "g8-1a2b3c4d", "g7", "nonsense", ""] {
            assert!(!exact.matches(other), "{other}");
        }
        let generation: Base = "g7".parse().unwrap();
        assert!(generation.matches("g7-1a2b3c4d"));
        assert!(!generation.matches("g70-1a2b3c4d"));
    }

    #[test]
    fn if_match_takes_one_strong_tag() {
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        assert_eq!(
            if_match(&header("\"g7-1a2b3c4d\""))
                .unwrap()
                .unwrap()
                .generation(),
            7
        );
        for bad in [
            "*",
            "g7-1a2b3c4d",
            "W/\"g7-1a2b3c4d\"",
            "\"g7-1a2b3c4d\", \"g8-1a2b3c4d\"",
            "\"\"",
            "",
            "\"",
        ] {
            assert!(if_match(&header(bad)).is_err(), "{bad}");
        }
        let mut twice = header("\"g7\"");
        twice.append(IF_MATCH, axum::http::HeaderValue::from_static("\"g8\""));
        assert!(if_match(&twice).is_err());
    }
}
