//! The resources, by subject: one function per row of [`wire::routes::ROUTES`], each permission, request, host, answer.
//!
//! A handler reaches the host only through [`App`], which checks the permission of the row it names. A request that is not understood is
//! refused before it reaches the host.

pub(crate) mod audit;
pub(crate) mod configs;
pub(crate) mod events;
pub(crate) mod imports;
pub(crate) mod logs;
pub(crate) mod merge;
pub(crate) mod operations;
pub(crate) mod qos;
pub(crate) mod server;
pub(crate) mod shards;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::header::{ETAG, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::routes::Name;
use wire::{Finding, MAX_REASON, Operation, WriteQuery, codes};

use crate::access::Principal;
use crate::body::{self, Room};
use crate::etag::{self, Base};
use crate::host::{Change, Mode};
use crate::problem::Refusal;
use crate::router::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type AppState = State<Arc<App>>;
type JsonAnswer<T> = Result<Json<T>, Refusal>;

/// The one parameter of a path: a log's name, an operation's id, the path of an object.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment
            .map(|Path(text)| Self(text))
            .map_err(|rejection| Refusal::new(codes::BAD_REQUEST, rejection.body_text()))
    }
}

pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let parsed = Query::<T>::try_from_uri(uri);
    parsed
        .map(|Query(query)| query)
        .map_err(|rejection| Refusal::new(codes::BAD_REQUEST, rejection.body_text()))
}

/// Remarks about a write, beside the change itself.
#[derive(Debug, Default)]
pub(crate) struct Note {
    pub(crate) idempotency_key: Option<String>,
    pub(crate) reason: Option<String>,
}

/// A reason that can stand on a line of the history.
pub(crate) fn reason(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text else {
        return Ok(None);
    };
    let length = text.chars().count();
    if (1..=MAX_REASON).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(Some(text));
    }
    let detail = format!("reason is not one line of 1 to {MAX_REASON} characters");
    Err(Refusal::new(codes::BAD_REQUEST, detail))
}

/// The parts of a write around its body, which is read later: its query, its preconditions and its idempotency key.
struct Envelope<Q> {
    query: Q,
    base: Option<Base>,
    idempotency_key: Option<String>,
    headers: HeaderMap,
    body: Body,
}

impl<Q: DeserializeOwned> Envelope<Q> {
    fn of(request: Request) -> Result<Self, Refusal> {
        let (Parts { uri, headers, .. }, body) = request.into_parts();
        Ok(Self {
            query: query(&uri)?,
            base: etag::if_match(&headers)?,
            idempotency_key: idempotency_key(&headers)?,
            headers,
            body,
        })
    }

    /// As [`of`](Self::of), for a change that compares no base: a precondition that would be ignored is refused.
    fn without_base(request: Request) -> Result<Self, Refusal> {
        let envelope = Self::of(request)?;
        match envelope.base {
            None => Ok(envelope),
            Some(_) => Err(Refusal::new(
                codes::BAD_REQUEST,
                "If-Match has no meaning for this change",
            )),
        }
    }

    /// Its body as JSON; none at all stands for `{}`.
    async fn json<T: DeserializeOwned>(&mut self, room: &Room) -> Result<T, Refusal> {
        let body = std::mem::take(&mut self.body);
        let body = body::read(&self.headers, body, room).await?;
        body::json(&self.headers, &body)
    }
}

impl Envelope<WriteQuery> {
    /// Lets the host make the change that it stands for.
    async fn apply(
        self,
        app: &App,
        who: &Principal,
        route: Name,
        log: String,
        change: Change,
    ) -> Result<Written, Refusal> {
        let mode = mode(self.query.dry_run);
        let note = Note {
            idempotency_key: self.idempotency_key,
            reason: reason(self.query.reason)?,
        };
        let operation = app.apply(who, route, log, change, mode, note).await?;
        Ok(Written { operation, mode })
    }
}

fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::Preview } else { Mode::Apply }
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
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

/// A finding about a body, without a place in its text.
pub(crate) fn finding(code: &str, pointer: &str, message: impl Into<String>) -> Finding {
    Finding {
        code: code.to_owned(),
        message: message.into(),
        pointer: pointer.to_owned(),
        line: None,
        column: None,
        hint: None,
    }
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
