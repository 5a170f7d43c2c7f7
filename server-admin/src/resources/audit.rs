//! The audit trail: its pages, and the log that it is.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use logconfig::ShardName;
use tlog::TilePath;
use wire::routes::Name;
use wire::{AuditPage, NoQuery, TRAIL_LIMIT, TrailQuery, codes};

use super::{AppState, JsonAnswer, Segment, query};
use crate::access::Principal;
use crate::host::AuditQuery;
use crate::problem::Refusal;

/// Entries in a page when the caller does not say.
const AUDIT_PAGE: usize = 100;

pub(crate) async fn list(State(app): AppState, who: Principal, uri: Uri) -> JsonAnswer<AuditPage> {
    let host = app.on_all(&who, Name::ListAudit)?;
    let TrailQuery { before, limit, log } = query(&uri)?;
    let limit = limit.unwrap_or(AUDIT_PAGE);
    if !(1..=TRAIL_LIMIT).contains(&limit) {
        return Err(Refusal::new(
            codes::BAD_REQUEST,
            format!("limit is not from 1 to {TRAIL_LIMIT}"),
        ));
    }
    let query = AuditQuery { before, limit, log };
    Ok(Json(host.audit(query).await?))
}

pub(crate) async fn object(
    State(app): AppState,
    who: Principal,
    Segment(path): Segment,
    uri: Uri,
) -> Result<Response, Refusal> {
    let host = app.on_all(&who, Name::ShowAuditObject)?;
    query::<NoQuery>(&uri)?;
    let missing = || {
        Refusal::new(codes::NOT_FOUND, "no such object in the audit trail").hint(
            "objects are shards, SHARD/checkpoint, SHARD/tile/0/000 and SHARD/tile/entries/000 (C2SP tlog-tiles)",
        )
    };
    let kind = kind(&path).ok_or_else(missing)?;
    let bytes = host.audit_object(&path).await?.ok_or_else(missing)?;
    let mut response = bytes.into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// The media type of the object at a path, which is `shards` or the canonical name of a checkpoint, seal or tile below a
/// shard's name: anything else, however it is spelt, is no object.
fn kind(path: &str) -> Option<&'static str> {
    if path == "shards" {
        return Some("application/json");
    }
    let (shard, object) = path.split_once('/')?;
    shard.parse::<ShardName>().ok()?;
    match object {
        "checkpoint" | "seal" => Some("text/plain; charset=utf-8"),
        tile => tile
            .parse::<TilePath>()
            .ok()
            .map(|_| "application/octet-stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checkpoints_and_tiles_have_a_type() {
        for (path, text) in [
            ("a/checkpoint", true),
            ("2026a/tile/0/000", false),
            ("a/tile/0/x001/x234/067", false),
            ("a/tile/2/273.p/112", false),
            ("a/tile/entries/000.p/1", false),
        ] {
            assert_eq!(kind(path).map(|kind| kind.starts_with("text/")), Some(text));
        }
    }

    #[test]
    fn tricks_are_no_paths() {
        for path in [
            "",
            "/",
            "a",
            "a/",
            "/checkpoint",
            "a//checkpoint",
            "./checkpoint",
            "../checkpoint",
            "a/../b/checkpoint",
            "a/checkpoint/",
            "a/checkpoint\0",
            "A/checkpoint",
            "a/tile/0/0",
            "a/tile/00/000",
            "a/tile/0/000.p/0",
            "a/tile/0/000.p/256",
            "a/tile/0/x000/000",
            "a/tile/64/000",
            "a/tile/entries/../../../b/checkpoint",
            "a/b/checkpoint",
            "a\\checkpoint",
        ] {
            assert_eq!(kind(path), None, "{path:?}");
        }
        assert_eq!(kind("shards"), Some("application/json"));
        assert_eq!(kind(&format!("{}/checkpoint", "a".repeat(10_000))), None);
    }

    proptest! {
        /// An accepted path has plain, short segments: it names one thing below one folder.
        #[test]
        fn what_is_accepted_is_plain(path in "[a./x%\\\\\u{0}-]{0,3}[a-c]{0,2}/(tile/[0-9x./p]{1,12}|checkpoint|.{0,8})") {
            if kind(&path).is_some() {
                let plain = |segment: &str| {
                    (1..=63).contains(&segment.len())
                        && segment.bytes().all(|byte| {
                            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
                        })
                        && !segment.starts_with('.')
                };
                prop_assert!(path.split('/').all(plain), "{path:?}");
            }
        }
    }
}
