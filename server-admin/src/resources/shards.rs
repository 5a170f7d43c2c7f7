//! The shards of a log.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use logconfig::ShardName;
use wire::routes::Name;
use wire::{AnnounceRequest, NoQuery, PlanRequest, RotateRequest, Shards};

use super::{AppState, Envelope, JsonAnswer, Segment, Written, finding, query};
use crate::access::Principal;
use crate::host::Change;
use crate::problem::Refusal;

pub(crate) async fn list(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> JsonAnswer<Shards> {
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
    let mut envelope = Envelope::of(request)?;
    let request: PlanRequest = envelope.json(&app.room).await?;
    well_formed(request.name.as_deref())?;
    let base = envelope.base.clone();
    let change = Change::Plan { request, base };
    envelope
        .apply(&app, &who, Name::PlanShard, log, change)
        .await
}

pub(crate) async fn rotate(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::RotateShard, &log)?;
    let mut envelope = Envelope::of(request)?;
    let request: RotateRequest = envelope.json(&app.room).await?;
    well_formed(request.name.as_deref())?;
    if request.force && request.settle.is_some() {
        let message = "a forced rotation does not wait until a key has settled";
        let found = finding("force-and-settle", "/settle", message.to_owned());
        return Err(Refusal::invalid(vec![found]));
    }
    let base = envelope.base.clone();
    let change = Change::Rotate { request, base };
    envelope
        .apply(&app, &who, Name::RotateShard, log, change)
        .await
}

pub(crate) async fn announce(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::AnnounceShard, &log)?;
    let mut envelope = Envelope::without_base(request)?;
    let request: AnnounceRequest = envelope.json(&app.room).await?;
    well_formed(Some(&request.shard))?;
    let change = Change::Announce(request);
    envelope
        .apply(&app, &who, Name::AnnounceShard, log, change)
        .await
}

fn well_formed(name: Option<&str>) -> Result<(), Refusal> {
    match name.map(str::parse::<ShardName>) {
        Some(Err(error)) => {
            let found = finding("bad-name", "/name", error.to_string());
            Err(Refusal::invalid(vec![found]))
        }
        _ => Ok(()),
    }
}
