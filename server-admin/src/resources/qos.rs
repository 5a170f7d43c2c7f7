//! Quality of service: the state of the queues, and what other settings would have done.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use wire::routes::Name;
use wire::{NoQuery, QosStatus, SimulateQuery, Simulation, codes};

use super::configs::document_of;
use super::{AppState, JsonAnswer, Segment, query};
use crate::access::Principal;
use crate::problem::Refusal;

/// How far back arrivals may be asked for.
const SINCE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);
/// How far back when the caller does not say.
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn show(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> JsonAnswer<QosStatus> {
    let host = app.on_log(&who, Name::ShowQos, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(host.qos(&log).await?))
}

pub(crate) async fn simulate(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> JsonAnswer<Simulation> {
    let host = app.on_log(&who, Name::SimulateQos, &log)?;
    let SimulateQuery { since } = query(request.uri())?;
    let since = since.map_or(DAY, logconfig::Span::duration);
    if !SINCE.contains(&since) {
        let refusal = Refusal::new(codes::BAD_REQUEST, "since is not from 1m to 7d");
        return Err(refusal.hint("for example ?since=24h"));
    }
    let (parts, body) = request.into_parts();
    let document = document_of(&log, &parts.headers, body, &app.room).await?;
    Ok(Json(host.simulate(&log, Box::new(document), since).await?))
}
