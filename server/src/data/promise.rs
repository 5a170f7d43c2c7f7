//! `GET /{log}/promise/{id}`: where a promised entry is. This proves nothing: a client that
//! wants proof computes it from the tiles, as `logctl receipt verify` does.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use wire::data::{self, PromiseState, Promised};

use super::find;
use super::read::{App, answered, json, lines};
use super::refusal::{self, Refusal};
use crate::rfc3339::rfc3339;
use engine::{Placement, Promise, PromiseId};

/// The preference that was followed (RFC 7240).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The body of a 202: the receipt as it is signed, or JSON with it; in `headers`, where to ask.
pub(super) fn accepted(promise: &Promise, log: &str, headers: &mut HeaderMap, json: bool) -> Bytes {
    if let Ok(location) = HeaderValue::from_str(&format!("/{log}/promise/{}", promise.id)) {
        headers.insert(LOCATION, location);
    }
    headers.insert(
        PREFERENCE_APPLIED,
        HeaderValue::from_static("respond-async"),
    );
    if !json {
        return Bytes::copy_from_slice(promise.receipt.as_bytes());
    }
    lines(&Promised {
        promise: promise.id.to_string(),
        deadline: rfc3339(promise.deadline),
        leaf_hash: promise.leaf_hash,
        receipt: promise.receipt.clone(),
    })
    .into()
}

pub(super) async fn promise(
    State(readiness): App,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&readiness, &name)?;
        let id: PromiseId = id.parse().map_err(|what| {
            Refusal::bad(format!(
                "the name of a promise is the one in its receipt: {what}"
            ))
        })?;
        let placement = log
            .placement(id)
            .await
            .map_err(|error| refusal::read(&name, &error.into()))?;
        match placement {
            None => Err(Refusal::absent(format!(
                "log {name} knows no such promise; it forgets them 7 days after they are kept"
            ))),
            Some(Placement::Queued) => Ok(json(&data::Placement {
                state: PromiseState::Queued,
                index: None,
                shard: None,
                leaf_index: None,
                ordered_at_ms: None,
            })),
            Some(Placement::Ordered {
                at,
                published,
                time,
            }) => Ok(json(&data::Placement {
                state: match published {
                    true => PromiseState::Published,
                    false => PromiseState::Ordered,
                },
                index: Some(at.index),
                shard: Some(at.shard),
                leaf_index: Some(at.leaf_index),
                ordered_at_ms: Some(time),
            })),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[tokio::test]
    async fn who_does_not_wait_gets_a_receipt() {
        let server = Server::start().await;
        let headers = "prefer: respond-async\r\nmerge-by: 5s\r\npriority: u=3\r\n";
        let text = server.ask("POST /dev/add", headers, b"one").await;
        assert_eq!(text.status, 202, "{text:?}");
        assert_eq!(text.header("preference-applied"), Some("respond-async"));
        assert_eq!(
            (text.header("log-tier"), text.header("log-merge-by")),
            (Some("standard"), Some("5s"))
        );
        let location = text.header("location").unwrap().to_owned();
        assert!(text.text().contains(location.rsplit('/').next().unwrap()));
        let headers = format!("{headers}accept: application/json\r\n");
        let json = server.ask("POST /dev/add", &headers, b"two").await;
        assert_eq!(json.status, 202, "{json:?}");
        let body = json.json();
        let other = format!("/dev/promise/{}", body["promise"].as_str().unwrap());
        assert_eq!(
            body["leafHash"].as_str().unwrap(),
            tlog::leaf_hash(b"two").to_string()
        );
        assert!(body["deadline"].as_str().unwrap().ends_with('Z'));
        for path in [location, other] {
            while server.get_json(&path).await["state"] != "published" {
                tokio::task::yield_now().await;
            }
        }
        // Nothing is promised in a tier without a promise.
        let headers = "prefer: respond-async\r\npriority: u=7\r\n";
        assert_eq!(server.ask("POST /dev/add", headers, b"x").await.status, 400);
    }

    #[tokio::test]
    async fn a_promise_is_followed_until_it_is_kept() {
        let server = Server::start().await;
        let log = server.engine.log("dev").unwrap();
        let promise = log
            .promise(
                bytes::Bytes::from_static(b"later"),
                log.policy().own(),
                &qos::Advice::default(),
            )
            .await
            .unwrap();
        let path = format!("/dev/promise/{}", promise.id);
        let kept = loop {
            let now = server.get_json(&path).await;
            match now["state"].as_str().unwrap() {
                "queued" | "ordered" => tokio::task::yield_now().await,
                "published" => break now,
                other => panic!("{other}"),
            }
        };
        assert_eq!(kept["shard"], "a");
        assert_eq!(
            (kept["index"].as_u64(), kept["leafIndex"].as_u64()),
            (Some(0), Some(0))
        );
        assert_eq!(server.get("/dev/entries/0").await.body, b"later");
        let unknown = format!("/dev/promise/ff{}", &promise.id.to_string()[2..]);
        for (path, status) in [
            (unknown.as_str(), 404),
            ("/dev/promise/00000000000000000000000000000000-0", 404),
            ("/dev/promise/x", 400),
            ("/dev/promise/00000000000000000000000000000000", 400),
            ("/none/promise/00000000000000000000000000000000-0", 404),
        ] {
            assert_eq!(server.get(path).await.status, status, "{path}");
        }
    }
}
