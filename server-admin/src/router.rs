//! The routes, and the gate that every request passes before it reaches one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use admin_api::{BASE, Operation, codes};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Access, Peer, Principal};
use crate::host::{Change, Host, HostError, Mode};
use crate::permission::Need;
use crate::problem::{Refusal, panicked};
use crate::{Limits, body, resources};

/// Mounts the admin endpoint: everything under [`admin_api::BASE`], and nothing else, so that it can be merged into or
/// nested in another router. With the default [`Limits`].
pub fn router(host: Arc<dyn Host>, access: Arc<Access>) -> Router {
    router_with(host, access, Limits::default())
}

/// [`router`], with other limits; of these it uses `body_bytes` and `body_time`, the rest are the listener's.
pub fn router_with(host: Arc<dyn Host>, access: Arc<Access>, limits: Limits) -> Router {
    let app = Arc::new(App {
        host,
        access,
        limits,
        writes: Writes::default(),
    });
    let at = |path: &str| format!("{BASE}{path}");
    let missing = || any(|| async { missing() });
    Router::new()
        .route(&at("/whoami"), get(resources::who_am_i))
        .route(&at("/logs"), get(resources::logs))
        .route(&at("/logs/{log}"), get(resources::log))
        .route(
            &at("/logs/{log}/config"),
            get(resources::config).put(resources::configure),
        )
        .route(&at("/logs/{log}/rotations"), post(resources::rotate))
        .route(
            &at("/logs/{log}/shards"),
            get(resources::shards).post(resources::plan),
        )
        .route(&at("/logs/{log}/freeze"), post(resources::freeze))
        .route(&at("/logs/{log}/unfreeze"), post(resources::unfreeze))
        .route(&at("/logs/{log}/history"), get(resources::history))
        .route(&at("/operations"), get(resources::operations))
        .route(&at("/operations/{id}"), get(resources::operation))
        .route(&at("/replicas"), get(resources::replicas))
        .method_not_allowed_fallback(|| async {
            Refusal::new(codes::METHOD_NOT_ALLOWED, "not with this method")
                .hint("see the Allow header")
        })
        // Catch-all routes, not a fallback: the router it is mounted in keeps its own.
        .route(BASE, missing())
        .route(&at("/"), missing())
        .route(&at("/{*rest}"), missing())
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app, gate))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(harden))
}

pub(crate) fn missing() -> Refusal {
    Refusal::new(codes::NOT_FOUND, "no such resource").hint(format!(
        "resources are under {BASE}: logs, operations, replicas, whoami"
    ))
}

/// No browser, no anonymous, no encoded body gets past here.
async fn gate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN)
        || headers
            .keys()
            .any(|name| name.as_str().starts_with("sec-fetch-"))
    {
        return Err(Refusal::new(
            codes::BROWSER_REFUSED,
            "this endpoint does not talk to browsers",
        )
        .hint("use logctl, or a client that sends no Origin and no Sec-Fetch headers"));
    }
    let peer = request.extensions().get::<Peer>();
    let principal = app.access.authenticate(&app.host, headers, peer).await?;
    body::plain(headers)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

/// Answers are for the caller alone and of the type they name.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What handlers share. They reach the host only through a check of permissions.
pub(crate) struct App {
    host: Arc<dyn Host>,
    pub(crate) access: Arc<Access>,
    writes: Writes,
    pub(crate) limits: Limits,
}

impl App {
    /// The host, for a caller who may do this to this log.
    pub(crate) fn on_log(
        &self,
        who: &Principal,
        need: Need,
        log: &str,
    ) -> Result<&dyn Host, Refusal> {
        if who.may(need, log) {
            Ok(&*self.host)
        } else {
            Err(forbidden(who, need, log))
        }
    }

    /// The host, for a caller who may do this to at least one log. The handler filters.
    pub(crate) fn on_some(&self, who: &Principal, need: Need) -> Result<&dyn Host, Refusal> {
        if who.may_somewhere(need) {
            Ok(&*self.host)
        } else {
            Err(forbidden(who, need, "*"))
        }
    }

    /// The host, for a caller who may do this to all logs.
    pub(crate) fn on_all(&self, who: &Principal, need: Need) -> Result<&dyn Host, Refusal> {
        if who.may_everywhere(need) {
            return Ok(&*self.host);
        }
        Err(forbidden(who, need, "*").hint("name one log: ?log=NAME"))
    }

    /// Lets the host make or preview a change, one at a time per log. A caller who hangs up does not stop it half-way.
    pub(crate) async fn apply(
        &self,
        who: &Principal,
        need: Need,
        log: String,
        change: Change,
        mode: Mode,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Refusal> {
        self.on_log(who, need, &log)?;
        let caller = who.caller(idempotency_key);
        let host = self.host.clone();
        // Who hangs up while he waits for his turn gets none; from then on the change runs to its end.
        let turn = match mode {
            Mode::Apply => Some(self.writes.of(&log).lock_owned().await),
            Mode::Preview => None,
        };
        let work = async move {
            let _turn = turn;
            host.apply(&log, change, mode, caller).await
        };
        match tokio::spawn(work).await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => Err(HostError::Internal("the change could not be handled".to_owned()).into()),
        }
    }
}

fn forbidden(who: &Principal, need: Need, log: &str) -> Refusal {
    let Need { resource, verb } = need;
    Refusal::new(
        codes::FORBIDDEN,
        format!("{} lacks {resource}:{verb}:{log}", who.actor()),
    )
}

/// Whose turn it is to write, per log. Holds only logs that are being written.
#[derive(Default)]
struct Writes(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Writes {
    fn of(&self, log: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = logs.get(log).and_then(Weak::upgrade) {
            return turn;
        }
        logs.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        logs.insert(log.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
