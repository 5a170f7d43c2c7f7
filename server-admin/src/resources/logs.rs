//! Logs: which there are, and the changes of one as a whole.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use wire::routes::Name;
use wire::{LogStatus, Logs, LogsQuery, NoQuery, NoRequest, UnfreezeRequest};

use super::{AppState, Envelope, JsonAnswer, Segment, Written, query};
use crate::access::Principal;
use crate::body;
use crate::etag::Base;
use crate::host::Change;
use crate::problem::Refusal;

pub(crate) async fn list(State(app): AppState, who: Principal, uri: Uri) -> JsonAnswer<Logs> {
    let host = app.on_some(&who, Name::ListLogs)?;
    let LogsQuery { deleted } = query(&uri)?;
    let mut logs = match deleted {
        false => host.logs().await?,
        true => host.deleted().await?,
    };
    logs.retain(|status| app.may(&who, Name::ListLogs, &status.log));
    logs.iter_mut().for_each(complete);
    Ok(Json(Logs { logs }))
}

pub(crate) async fn show(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> JsonAnswer<LogStatus> {
    let host = app.on_log(&who, Name::ShowLog, &log)?;
    query::<NoQuery>(&uri)?;
    let mut status = host.status(&log).await?;
    complete(&mut status);
    Ok(Json(status))
}

/// Fills in what a host's entity tag says already.
fn complete(status: &mut LogStatus) {
    if status.generation == 0
        && let Ok(tag) = status.etag.parse::<Base>()
    {
        status.generation = tag.generation();
    }
}

pub(crate) async fn create(
    State(app): AppState,
    who: Principal,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_some(&who, Name::CreateLog)?;
    let mut envelope = Envelope::without_base(request)?;
    let body = std::mem::take(&mut envelope.body);
    let body = body::read(&envelope.headers, body, &app.room).await?;
    let request = body::creation(&envelope.headers, &body)?;
    let log = request.config.log.as_str().to_owned();
    let change = Change::Create(Box::new(request));
    envelope
        .apply(&app, &who, Name::CreateLog, log, change)
        .await
}

pub(crate) async fn delete(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::DeleteLog, &log)?;
    let mut envelope = Envelope::without_base(request)?;
    let NoRequest {} = envelope.json(&app.room).await?;
    envelope
        .apply(&app, &who, Name::DeleteLog, log, Change::Delete)
        .await
}

pub(crate) async fn undelete(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::UndeleteLog, &log)?;
    let mut envelope = Envelope::without_base(request)?;
    let NoRequest {} = envelope.json(&app.room).await?;
    envelope
        .apply(&app, &who, Name::UndeleteLog, log, Change::Undelete)
        .await
}

pub(crate) async fn freeze(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::FreezeLog, &log)?;
    let mut envelope = Envelope::without_base(request)?;
    let change = Change::Freeze(envelope.json(&app.room).await?);
    envelope
        .apply(&app, &who, Name::FreezeLog, log, change)
        .await
}

pub(crate) async fn unfreeze(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::UnfreezeLog, &log)?;
    let mut envelope = Envelope::without_base(request)?;
    let UnfreezeRequest {} = envelope.json(&app.room).await?;
    envelope
        .apply(&app, &who, Name::UnfreezeLog, log, Change::Unfreeze)
        .await
}
