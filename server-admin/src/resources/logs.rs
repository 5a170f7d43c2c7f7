//! Logs: which there are, and the changes of one as a whole.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use wire::routes::Name;
use wire::{
    CreateLogRequest, FreezeRequest, LogStatus, Logs, LogsQuery, NoQuery, NoRequest,
    UnfreezeRequest,
};

use super::{Answer, AppState, Segment, Write, Written, query};
use crate::access::Principal;
use crate::body;
use crate::etag::Base;
use crate::host::Change;
use crate::problem::Refusal;

pub(crate) async fn list(State(app): AppState, who: Principal, uri: Uri) -> Answer<Logs> {
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
) -> Answer<LogStatus> {
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
    let mut write = Write::without_base(request)?;
    let body = std::mem::take(&mut write.body);
    let body = body::read(&write.headers, body, &app.room).await?;
    let CreateLogRequest { config } = body::creation(&write.headers, &body)?;
    let log = config.log.as_str().to_owned();
    let change = Change::Create {
        document: Box::new(config),
    };
    write.apply(&app, &who, Name::CreateLog, log, change).await
}

pub(crate) async fn delete(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::DeleteLog, &log)?;
    let mut write = Write::without_base(request)?;
    let NoRequest {} = write.json(&app.room).await?;
    write
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
    let mut write = Write::without_base(request)?;
    let NoRequest {} = write.json(&app.room).await?;
    write
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
    let mut write = Write::without_base(request)?;
    let FreezeRequest { now } = write.json(&app.room).await?;
    write
        .apply(&app, &who, Name::FreezeLog, log, Change::Freeze { now })
        .await
}

pub(crate) async fn unfreeze(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::UnfreezeLog, &log)?;
    let mut write = Write::without_base(request)?;
    let UnfreezeRequest {} = write.json(&app.room).await?;
    write
        .apply(&app, &who, Name::UnfreezeLog, log, Change::Unfreeze)
        .await
}
