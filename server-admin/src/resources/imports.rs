//! Imports of an old Rekor's shards. Each step is one write of the log that will contain them.

use axum::Json;
use axum::extract::{Request, State};
use wire::routes::Name;
use wire::{ImportDropped, ImportProgress, NoQuery, NoRequest, PreviewQuery};

use super::{AppState, Envelope, JsonAnswer, Note, Segment, mode};
use crate::access::Principal;
use crate::host::ImportStep;

pub(crate) async fn begin(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> JsonAnswer<ImportProgress> {
    app.on_log(&who, Name::BeginImport, &log)?;
    let mut envelope = Envelope::<PreviewQuery>::without_base(request)?;
    let asked = Box::new(envelope.json(&app.room).await?);
    let step = ImportStep::Begin(asked, mode(envelope.query.dry_run));
    let imported = app.import(&who, Name::BeginImport, log, step, note(envelope));
    Ok(Json(imported.await?))
}

pub(crate) async fn add(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> JsonAnswer<ImportProgress> {
    app.on_log(&who, Name::AddToImport, &log)?;
    let mut envelope = Envelope::<NoQuery>::without_base(request)?;
    let step = ImportStep::Add(envelope.json(&app.room).await?);
    let imported = app.import(&who, Name::AddToImport, log, step, note(envelope));
    Ok(Json(imported.await?))
}

pub(crate) async fn drop(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> JsonAnswer<ImportDropped> {
    app.on_log(&who, Name::DropImport, &log)?;
    let mut envelope = Envelope::<NoQuery>::without_base(request)?;
    let NoRequest {} = envelope.json(&app.room).await?;
    let (step, name) = (ImportStep::Drop, log.clone());
    let left = app.import(&who, Name::DropImport, log, step, note(envelope));
    Ok(Json(ImportDropped {
        log: name,
        dropped: !left.await?.shards.is_empty(),
    }))
}

fn note<Q>(envelope: Envelope<Q>) -> Note {
    Note {
        idempotency_key: envelope.idempotency_key,
        reason: None,
    }
}
