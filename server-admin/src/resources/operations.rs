//! Operations: requested changes and their progress.

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use wire::routes::Name;
use wire::{LogQuery, NoQuery, NoRequest, Operation, Operations, ReasonQuery, codes};

use super::{AppState, Envelope, JsonAnswer, Note, Segment, Written, events, query, reason};
use crate::access::Principal;
use crate::host::Mode;
use crate::problem::Refusal;
use crate::router::App;

pub(crate) async fn list(State(app): AppState, who: Principal, uri: Uri) -> JsonAnswer<Operations> {
    let LogQuery { log } = query(&uri)?;
    let host = match &log {
        Some(log) => app.on_log(&who, Name::ListOperations, log)?,
        None => app.on_some(&who, Name::ListOperations)?,
    };
    let mut operations = host.operations(log.as_deref()).await?;
    operations.retain(|operation| app.may(&who, Name::ListOperations, &operation.log));
    Ok(Json(Operations { operations }))
}

pub(crate) async fn show(
    State(app): AppState,
    who: Principal,
    Segment(id): Segment,
    uri: Uri,
    headers: HeaderMap,
    stopping: Option<Extension<events::Stopping>>,
) -> Result<Response, Refusal> {
    app.on_some(&who, Name::ShowOperation)?;
    query::<NoQuery>(&uri)?;
    let operation = find(&app, &who, Name::ShowOperation, &id).await?;
    if !events::wanted(&headers) {
        return Ok(Json(operation).into_response());
    }
    let stopping = stopping.map(|Extension(stopping)| stopping);
    events::follow(&app, operation, stopping)
}

pub(crate) async fn confirm(
    State(app): AppState,
    who: Principal,
    Segment(id): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_some(&who, Name::ConfirmOperation)?;
    let mut envelope = Envelope::<ReasonQuery>::without_base(request)?;
    let NoRequest {} = envelope.json(&app.room).await?;
    let Operation { log, id, .. } = find(&app, &who, Name::ConfirmOperation, &id).await?;
    let note = Note {
        idempotency_key: envelope.idempotency_key,
        reason: reason(envelope.query.reason)?,
    };
    let operation = app.confirm(&who, log, id, note).await?;
    let mode = Mode::Apply;
    Ok(Written { operation, mode })
}

/// An operation on a log that the caller may do this to.
async fn find(app: &App, who: &Principal, route: Name, id: &str) -> Result<Operation, Refusal> {
    let missing = || Refusal::new(codes::NOT_FOUND, format!("no operation {id}"));
    // Nothing else is an id, so the host need not be asked.
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let operation = app.on_some(who, route)?.operation(id).await?;
    // An operation on another log is as if it were not there: 403 would say that it is.
    match app.may(who, route, &operation.log) {
        true => Ok(operation),
        false => Err(missing()),
    }
}
