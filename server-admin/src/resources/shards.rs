//! The shards of a log.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use logconfig::ShardName;
use wire::routes::Name;
use wire::{NoQuery, PlanRequest, RotateRequest, Shards};

use super::{Answer, AppState, Segment, Write, Written, finding, query};
use crate::access::Principal;
use crate::host::Change;
use crate::problem::Refusal;

pub(crate) async fn list(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> Answer<Shards> {
    let host = app.on_log(&who, Name::ListShards, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(Shards {
        shards: host.status(&log).await?.shards,
    }))
}

pub(crate) async fn plan(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::PlanShard, &log)?;
    let mut write = Write::of(request)?;
    let PlanRequest { name } = write.json(&app.room).await?;
    let (name, base) = (shard_name(name)?, write.base.clone());
    let change = Change::Plan { name, base };
    write.apply(&app, &who, Name::PlanShard, log, change).await
}

pub(crate) async fn rotate(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::RotateShard, &log)?;
    let mut write = Write::of(request)?;
    let RotateRequest { name, force } = write.json(&app.room).await?;
    let (name, base) = (shard_name(name)?, write.base.clone());
    let change = Change::Rotate { name, base, force };
    write
        .apply(&app, &who, Name::RotateShard, log, change)
        .await
}

fn shard_name(name: Option<String>) -> Result<Option<ShardName>, Refusal> {
    name.map(ShardName::try_from)
        .transpose()
        .map_err(|error| Refusal::invalid(vec![finding("bad-name", "/name", error.to_string())]))
}
