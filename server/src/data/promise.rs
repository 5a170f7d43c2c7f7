//! `GET /{log}/promise/{id}`: where an entry is that was promised. The log's word only: whoever
//! wants proof computes it from the tiles, as `logctl receipt verify` does.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use hyper::HeaderMap;
use serde::Serialize;

use super::find;
use super::read::{App, answered, json};
use super::refusal::{self, Refusal};
use log::{Placement, PromiseId};

/// The answer. Where it is follows once it is ordered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    /// `queued`, `ordered` or `published`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_index: Option<u64>,
    /// When it was ordered, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered_at_ms: Option<u64>,
}

pub(super) async fn promise(
    State(gate): App,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answered(&headers, async {
        let log = find(&gate, &name)?;
        let id: PromiseId = id.parse().map_err(|what| {
            Refusal::bad(format!(
                "a promise is named as its receipt names it: {what}"
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
            Some(Placement::Queued) => Ok(json(&Promised {
                state: "queued",
                index: None,
                shard: None,
                leaf_index: None,
                ordered_at_ms: None,
            })),
            Some(Placement::Ordered {
                at,
                published,
                time_ms,
            }) => Ok(json(&Promised {
                state: if published { "published" } else { "ordered" },
                index: Some(at.index),
                shard: Some(at.shard),
                leaf_index: Some(at.leaf_index),
                ordered_at_ms: Some(time_ms),
            })),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::testing::Server;

    #[tokio::test]
    async fn a_promise_is_followed_until_it_is_kept() {
        let server = Server::start().await;
        let log = server.engine.log("dev").unwrap();
        let promise = log
            .promise(
                bytes::Bytes::from_static(b"later"),
                log.policy().own(),
                &log::qos::Advice::default(),
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
