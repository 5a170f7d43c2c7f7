//! The server itself and its callers, and what describes the endpoint.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use wire::routes::Name;
use wire::{Diagnostics, LogQuery, NoQuery, Replicas, WhoAmI};

use super::{AppState, JsonAnswer, query};
use crate::access::Principal;
use crate::problem::Refusal;

pub(crate) async fn who_am_i(State(app): AppState, who: Principal, uri: Uri) -> JsonAnswer<WhoAmI> {
    query::<NoQuery>(&uri)?;
    let permissions = who.permissions().iter().map(ToString::to_string).collect();
    Ok(Json(WhoAmI {
        actor: who.actor().to_owned(),
        permissions,
        server: app.host().version(),
        capabilities: app.host().capabilities().into(),
    }))
}

pub(crate) async fn replicas(
    State(app): AppState,
    who: Principal,
    uri: Uri,
) -> JsonAnswer<Replicas> {
    let LogQuery { log } = query(&uri)?;
    let host = match &log {
        Some(log) => app.on_log(&who, Name::ListReplicas, log)?,
        None => app
            .on_all(&who, Name::ListReplicas)
            .map_err(|refusal| refusal.hint("name one log: ?log=NAME"))?,
    };
    Ok(Json(Replicas {
        replicas: host.replicas(log.as_deref()).await?,
        silent: host.silent().await?,
    }))
}

pub(crate) async fn diagnostics(
    State(app): AppState,
    who: Principal,
    uri: Uri,
) -> JsonAnswer<Diagnostics> {
    let host = app.on_all(&who, Name::ShowDiagnostics)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(host.diagnose().await?))
}

pub(crate) async fn openapi(_: Principal, uri: Uri) -> Result<Response, Refusal> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| wire::openapi().to_string().into());
    query::<NoQuery>(&uri)?;
    Ok(json(TEXT.clone()))
}

pub(crate) async fn schema(_: Principal, uri: Uri) -> Result<Response, Refusal> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| logconfig::schema().to_string().into());
    query::<NoQuery>(&uri)?;
    Ok(json(TEXT.clone()))
}

fn json(text: Bytes) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
