//! The merge: how far each program and each peer is.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use wire::routes::Name;
use wire::{MergeStatus, NoQuery};

use super::{AppState, JsonAnswer, Segment, query};
use crate::access::Principal;

pub(crate) async fn show(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> JsonAnswer<MergeStatus> {
    let host = app.on_log(&who, Name::ShowMerge, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(host.merge(&log).await?))
}
