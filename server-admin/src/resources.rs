//! One function per resource and method: permission, request, host, answer.

use std::sync::Arc;

use admin_api::{
    ConfigAnswer, Finding, FreezeRequest, History, LogStatus, Logs, Operation, Operations,
    PlanRequest, Replicas, RotateRequest, Shards, UnfreezeRequest, WhoAmI, codes,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::header::{ETAG, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use config::ShardName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Principal;
use crate::body;
use crate::etag::{self, Base};
use crate::host::{Change, Mode};
use crate::permission::Need;
use crate::problem::Refusal;
use crate::router::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const fn need(resource: &'static str, verb: &'static str) -> Need {
    Need { resource, verb }
}

const LOG_READ: Need = need("log", "read");
const LOG_FREEZE: Need = need("log", "freeze");
const LOG_UNFREEZE: Need = need("log", "unfreeze");
const CONFIG_READ: Need = need("config", "read");
const CONFIG_WRITE: Need = need("config", "write");
const SHARD_READ: Need = need("shard", "read");
const SHARD_PLAN: Need = need("shard", "plan");
const SHARD_ROTATE: Need = need("shard", "rotate");
const HISTORY_READ: Need = need("history", "read");
const OPERATION_READ: Need = need("operation", "read");
const REPLICA_READ: Need = need("replica", "read");

type AppState = State<Arc<App>>;
type Answer<T> = Result<Json<T>, Refusal>;

/// The one parameter of a path: a log's name or an operation's id.
pub(crate) struct Segment(String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment
            .map(|Path(text)| Self(text))
            .map_err(|rejection| Refusal::new(codes::BAD_REQUEST, rejection.body_text()))
    }
}

/// `?log=NAME`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfLog {
    log: Option<String>,
}

/// `?dryRun=true`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WriteQuery {
    #[serde(default)]
    dry_run: bool,
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoQuery {}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let parsed = Query::<T>::try_from_uri(uri);
    parsed
        .map(|Query(query)| query)
        .map_err(|rejection| Refusal::new(codes::BAD_REQUEST, rejection.body_text()))
}

pub(crate) async fn who_am_i(who: Principal, uri: Uri) -> Answer<WhoAmI> {
    query::<NoQuery>(&uri)?;
    let permissions = who.permissions().iter().map(ToString::to_string).collect();
    Ok(Json(WhoAmI {
        actor: who.actor().to_owned(),
        permissions,
    }))
}

pub(crate) async fn logs(State(app): AppState, who: Principal, uri: Uri) -> Answer<Logs> {
    let host = app.on_some(&who, LOG_READ)?;
    query::<NoQuery>(&uri)?;
    let mut logs = host.logs().await?;
    logs.retain(|status| who.may(LOG_READ, &status.log));
    Ok(Json(Logs { logs }))
}

pub(crate) async fn log(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> Answer<LogStatus> {
    let host = app.on_log(&who, LOG_READ, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(host.status(&log).await?))
}

pub(crate) async fn config(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let host = app.on_log(&who, CONFIG_READ, &log)?;
    query::<NoQuery>(&uri)?;
    let answer: ConfigAnswer = host.config(&log).await?;
    let mut response = tagged(Some(&answer.etag), &answer);
    if etag::not_modified(&headers, &answer.etag) {
        let tag = response.headers_mut().remove(ETAG);
        response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    }
    Ok(response)
}

pub(crate) async fn shards(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> Answer<Shards> {
    let host = app.on_log(&who, SHARD_READ, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(Shards {
        shards: host.status(&log).await?.shards,
    }))
}

pub(crate) async fn history(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    uri: Uri,
) -> Answer<History> {
    let host = app.on_log(&who, HISTORY_READ, &log)?;
    query::<NoQuery>(&uri)?;
    Ok(Json(History {
        history: host.history(&log).await?,
    }))
}

pub(crate) async fn operations(
    State(app): AppState,
    who: Principal,
    uri: Uri,
) -> Answer<Operations> {
    let OfLog { log } = query(&uri)?;
    let host = match &log {
        Some(log) => app.on_log(&who, OPERATION_READ, log)?,
        None => app.on_some(&who, OPERATION_READ)?,
    };
    let mut operations = host.operations(log.as_deref()).await?;
    operations.retain(|operation| who.may(OPERATION_READ, &operation.log));
    Ok(Json(Operations { operations }))
}

pub(crate) async fn operation(
    State(app): AppState,
    who: Principal,
    Segment(id): Segment,
    uri: Uri,
) -> Answer<Operation> {
    let host = app.on_some(&who, OPERATION_READ)?;
    query::<NoQuery>(&uri)?;
    let operation = host.operation(&id).await?;
    // An operation on another log is as if it were not there: 403 would say that it is.
    match who.may(OPERATION_READ, &operation.log) {
        true => Ok(Json(operation)),
        false => Err(Refusal::new(codes::NOT_FOUND, format!("no operation {id}"))),
    }
}

pub(crate) async fn replicas(State(app): AppState, who: Principal, uri: Uri) -> Answer<Replicas> {
    let OfLog { log } = query(&uri)?;
    let host = match &log {
        Some(log) => app.on_log(&who, REPLICA_READ, log)?,
        None => app.on_all(&who, REPLICA_READ)?,
    };
    Ok(Json(Replicas {
        replicas: host.replicas(log.as_deref()).await?,
    }))
}

pub(crate) async fn configure(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, CONFIG_WRITE, &log)?;
    let (terms, body) = Terms::of(request)?;
    let Some(base) = terms.base.clone() else {
        return Err(Refusal::new(
            codes::PRECONDITION_REQUIRED,
            "a new configuration needs If-Match",
        )
        .hint("read the configuration, and send its ETag as If-Match"));
    };
    let body = body::read(&terms.headers, body, &app.limits).await?;
    let document = body::document(&terms.headers, &body)?;
    if document.log.as_str() != log {
        return Err(Refusal::invalid(vec![Finding {
            code: "other-log".to_owned(),
            message: format!(
                "the document is for log {}, the request for {log}",
                document.log
            ),
            pointer: "/log".to_owned(),
            line: None,
            column: None,
            hint: None,
        }]));
    }
    let change = Change::Configure {
        document: Box::new(document),
        base,
        confirm_within: None,
    };
    write(&app, &who, CONFIG_WRITE, log, change, terms).await
}

pub(crate) async fn rotate(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, SHARD_ROTATE, &log)?;
    let (terms, body) = Terms::of(request)?;
    let body = body::read(&terms.headers, body, &app.limits).await?;
    let RotateRequest { name } = body::json(&terms.headers, &body)?;
    let change = Change::Rotate {
        name: shard_name(name)?,
        base: terms.base.clone(),
    };
    write(&app, &who, SHARD_ROTATE, log, change, terms).await
}

pub(crate) async fn plan(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, SHARD_PLAN, &log)?;
    let (terms, body) = Terms::of(request)?;
    let body = body::read(&terms.headers, body, &app.limits).await?;
    let PlanRequest { name } = body::json(&terms.headers, &body)?;
    let change = Change::Plan {
        name: shard_name(name)?,
        base: terms.base.clone(),
    };
    write(&app, &who, SHARD_PLAN, log, change, terms).await
}

pub(crate) async fn freeze(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, LOG_FREEZE, &log)?;
    let (terms, body) = Terms::of(request)?;
    terms.without_base()?;
    let body = body::read(&terms.headers, body, &app.limits).await?;
    let FreezeRequest { now } = body::json(&terms.headers, &body)?;
    write(&app, &who, LOG_FREEZE, log, Change::Freeze { now }, terms).await
}

pub(crate) async fn unfreeze(
    State(app): AppState,
    who: Principal,
    Segment(log): Segment,
    request: Request,
) -> Result<Written, Refusal> {
    app.on_log(&who, LOG_UNFREEZE, &log)?;
    let (terms, body) = Terms::of(request)?;
    terms.without_base()?;
    let body = body::read(&terms.headers, body, &app.limits).await?;
    let UnfreezeRequest {} = body::json(&terms.headers, &body)?;
    write(&app, &who, LOG_UNFREEZE, log, Change::Unfreeze, terms).await
}

/// What the request line and the headers of a write say.
struct Terms {
    mode: Mode,
    base: Option<Base>,
    idempotency_key: Option<String>,
    headers: HeaderMap,
}

impl Terms {
    fn of(request: Request) -> Result<(Self, Body), Refusal> {
        let (Parts { uri, headers, .. }, body) = request.into_parts();
        let WriteQuery { dry_run } = query(&uri)?;
        let mode = if dry_run { Mode::Preview } else { Mode::Apply };
        let (base, idempotency_key) = (etag::if_match(&headers)?, idempotency_key(&headers)?);
        Ok((
            Self {
                mode,
                base,
                idempotency_key,
                headers,
            },
            body,
        ))
    }

    /// A precondition that would be ignored is refused.
    fn without_base(&self) -> Result<(), Refusal> {
        match self.base {
            None => Ok(()),
            Some(_) => Err(Refusal::new(
                codes::BAD_REQUEST,
                "If-Match has no meaning for this change",
            )),
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or("");
    let well_formed =
        (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || !well_formed {
        return Err(Refusal::new(
            codes::BAD_REQUEST,
            "Idempotency-Key is not one key of 1 to 128 visible ASCII characters",
        ));
    }
    Ok(Some(key.to_owned()))
}

fn shard_name(name: Option<String>) -> Result<Option<ShardName>, Refusal> {
    name.map(ShardName::try_from).transpose().map_err(|error| {
        Refusal::invalid(vec![Finding {
            code: "bad-name".to_owned(),
            message: error.to_string(),
            pointer: "/name".to_owned(),
            line: None,
            column: None,
            hint: None,
        }])
    })
}

async fn write(
    app: &App,
    who: &Principal,
    need: Need,
    log: String,
    change: Change,
    terms: Terms,
) -> Result<Written, Refusal> {
    let Terms {
        mode,
        idempotency_key,
        ..
    } = terms;
    let operation = app
        .apply(who, need, log, change, mode, idempotency_key)
        .await?;
    Ok(Written { operation, mode })
}

/// The answer to a write. The tag of a preview is in the body only: it names what does not exist.
pub(crate) struct Written {
    operation: Operation,
    mode: Mode,
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let etag = (self.mode == Mode::Apply).then_some(self.operation.etag.as_str());
        tagged(etag, &self.operation)
    }
}

/// JSON with an `ETag` header.
fn tagged(etag: Option<&str>, body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    if let Some(tag) = etag.and_then(|etag| HeaderValue::try_from(format!("\"{etag}\"")).ok()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
