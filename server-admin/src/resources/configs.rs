//! The configuration of a log: the running one, earlier ones, and changes.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use logconfig::{LogConfig, Span};
use wire::routes::Name;
use wire::{ConfigAnswer, ConfigQuery, ConfigureQuery, History, NoQuery, codes};

use super::{
    AppState, Envelope, JsonAnswer, Note, Segment, Written, finding, mode, query, reason, tagged,
};
use crate::access::Principal;
use crate::body::{self, Room};
use crate::etag::{self, Base};
use crate::host::Change;
use crate::problem::Refusal;

/// How long a change may be on probation.
const PROBATION: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

pub(crate) async fn show(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let host = app.on_log(&who, Name::ShowConfig, &log)?;
    let ConfigQuery { generation } = query(&uri)?;
    let mut answer: ConfigAnswer = match generation {
        None => host.config(&log).await?,
        Some(generation) => host.config_at(&log, generation).await?,
    };
    // A file that is made from it says which state it was made from.
    if answer.config.generation.is_none() {
        let tag = answer.etag.parse::<Base>();
        answer.config.generation = tag.ok().map(|tag| tag.generation());
    }
    let mut response = tagged(Some(&answer.etag), &answer);
    if etag::not_modified(&headers, &answer.etag) {
        let tag = response.headers_mut().remove(ETAG);
        response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    }
    Ok(response)
}

pub(crate) async fn put(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, Name::PutConfig, &log)?;
    let envelope = Envelope::<ConfigureQuery>::of(request)?;
    let confirm_within = envelope.query.confirm_within.map(probation).transpose()?;
    let Some(base) = envelope.base else {
        return Err(Refusal::new(
            codes::PRECONDITION_REQUIRED,
            "a new configuration needs If-Match",
        )
        .hint("read the configuration, and send its ETag as If-Match"));
    };
    let document = document_of(&log, &envelope.headers, envelope.body, &app.room).await?;
    let change = Change::Configure {
        document: Box::new(document),
        base,
        confirm_within,
    };
    let mode = mode(envelope.query.dry_run);
    let note = Note {
        idempotency_key: envelope.idempotency_key,
        reason: reason(envelope.query.reason)?,
    };
    let operation = app
        .apply(&who, Name::PutConfig, log, change, mode, note)
        .await?;
    Ok(Written { operation, mode })
}

/// The document in a request's body, which must be one of this log.
pub(super) async fn document_of(
    log: &str,
    headers: &HeaderMap,
    body: Body,
    room: &Room,
) -> Result<LogConfig, Refusal> {
    let body = body::read(headers, body, room).await?;
    let document = body::document(headers, &body)?;
    if document.log.as_str() == log {
        return Ok(document);
    }
    let message = format!(
        "the document is for log {}, the request for {log}",
        document.log
    );
    Err(Refusal::invalid(vec![finding(
        "other-log",
        "/log",
        message,
    )]))
}

fn probation(span: Span) -> Result<Duration, Refusal> {
    let time = span.duration();
    if PROBATION.contains(&time) {
        return Ok(time);
    }
    Err(
        Refusal::new(codes::BAD_REQUEST, "confirmWithin is not from 1s to 24h")
            .hint("for example ?confirmWithin=10m"),
    )
}

pub(crate) async fn history(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> JsonAnswer<History> {
    let host = app.on_log(&who, Name::ListHistory, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(History {
        history: host.history(&log).await?,
    }))
}
