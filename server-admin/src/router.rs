//! The routes, and the authentication that every request passes before it reaches one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use logconfig::OriginForm;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use wire::routes::{Method, Name, ROUTES, Route};
use wire::{BASE, ImportProgress, Operation, Session, codes};

use crate::Limits;
use crate::access::{Access, Peer, Principal, sessions, tokens};
use crate::body::{self, Room};
use crate::host::{Capabilities, Change, Host, HostError, ImportStep, Mode};
use crate::problem::{Refusal, panicked};
use crate::resources::finding;
use crate::resources::{
    Note, audit, configs, imports, logs, merge, operations, qos, server, shards,
};

/// Mounts the admin endpoint: everything under [`wire::BASE`], and nothing else, so that it can be merged into or
/// nested in another router. With the default [`Limits`].
pub fn router(host: Arc<dyn Host>, access: Arc<Access>) -> Router {
    router_with(host, access, Limits::default())
}

/// [`router`], with other limits; of these it uses `body_bytes`, `bodies` and `body_time`, the rest are the listener's.
pub fn router_with(host: Arc<dyn Host>, access: Arc<Access>, limits: Limits) -> Router {
    let app = Arc::new(App {
        host,
        access,
        room: Room::new(limits),
        writes: Writes::default(),
        streams: Arc::new(Semaphore::new(limits.streams)),
    });
    let at = |path: &str| format!("{BASE}{path}");
    let missing = || any(|| async { missing() });
    let (open, authenticated): (Vec<_>, Vec<_>) =
        ROUTES.iter().partition(|route| is_open(route.name));
    let mount = |router: Router<Arc<App>>, route: &&Route| {
        router.route(&at(route.path), method_router(route))
    };
    let open = open.iter().fold(Router::new(), mount);
    let authenticated = authenticated.iter().fold(Router::new(), mount);
    authenticated
        .method_not_allowed_fallback(wrong_method)
        // Catch-all routes, not a fallback: the router it is mounted in keeps its own.
        .route(BASE, missing())
        .route(&at("/"), missing())
        .route(&at("/{*rest}"), missing())
        .layer(middleware::from_fn_with_state(app.clone(), authenticate))
        .merge(open.method_not_allowed_fallback(wrong_method))
        .with_state(app)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(harden))
}

/// The handlers that serve a row of the table.
fn method_router(route: &Route) -> MethodRouter<Arc<App>> {
    let method = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Put => MethodFilter::PUT,
        Method::Post => MethodFilter::POST,
        Method::Delete => MethodFilter::DELETE,
    };
    match route.name {
        Name::WhoAmI => on(method, server::who_am_i),
        Name::ListLogs => on(method, logs::list),
        Name::CreateLog => on(method, logs::create),
        Name::ShowLog => on(method, logs::show),
        Name::DeleteLog => on(method, logs::delete),
        Name::UndeleteLog => on(method, logs::undelete),
        Name::FreezeLog => on(method, logs::freeze),
        Name::UnfreezeLog => on(method, logs::unfreeze),
        Name::BeginImport => on(method, imports::begin),
        Name::AddToImport => on(method, imports::add),
        Name::DropImport => on(method, imports::drop),
        Name::ShowConfig => on(method, configs::show),
        Name::PutConfig => on(method, configs::put),
        Name::ListHistory => on(method, configs::history),
        Name::ShowMerge => on(method, merge::show),
        Name::ShowQos => on(method, qos::show),
        Name::SimulateQos => on(method, qos::simulate),
        Name::ListShards => on(method, shards::list),
        Name::PlanShard => on(method, shards::plan),
        Name::RotateShard => on(method, shards::rotate),
        Name::AnnounceShard => on(method, shards::announce),
        Name::ListOperations => on(method, operations::list),
        Name::ShowOperation => on(method, operations::show),
        Name::ConfirmOperation => on(method, operations::confirm),
        Name::ListReplicas => on(method, server::replicas),
        Name::ShowDiagnostics => on(method, server::diagnostics),
        Name::ListAudit => on(method, audit::list),
        Name::ShowAuditObject => on(method, audit::object),
        Name::ShowOpenApi => on(method, server::openapi),
        Name::ShowSchema => on(method, server::schema),
        Name::ListTokens => on(method, tokens::list),
        Name::CreateToken => on(method, tokens::create),
        Name::RevokeToken => on(method, tokens::revoke),
        Name::CreateSession => on(method, sessions::create),
    }
}

/// Whether a request skips this authentication, because it authenticates its caller in its own way.
fn is_open(route: Name) -> bool {
    route == Name::CreateSession
}

async fn wrong_method() -> Refusal {
    Refusal::new(codes::METHOD_NOT_ALLOWED, "not with this method").hint("see the Allow header")
}

pub(crate) fn missing() -> Refusal {
    Refusal::new(codes::NOT_FOUND, "no such resource")
        .hint(format!("GET {BASE}/openapi.json lists all requests"))
}

/// No browser, no anonymous, no encoded body gets past here.
async fn authenticate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    no_browser(headers)?;
    let peer = request.extensions().get::<Peer>();
    let principal = app.access.authenticate(&app.host, headers, peer).await?;
    body::plain(headers)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

/// Refuses requests that only a browser sends.
pub(crate) fn no_browser(headers: &HeaderMap) -> Result<(), Refusal> {
    let fetch = |name: &HeaderName| name.as_str().starts_with("sec-fetch-");
    if headers.contains_key(ORIGIN) || headers.keys().any(fetch) {
        return Err(Refusal::new(
            codes::BROWSER_REFUSED,
            "this endpoint does not talk to browsers",
        )
        .hint("use logctl, or a client that sends no Origin and no Sec-Fetch headers"));
    }
    Ok(())
}

/// Answers are for the caller alone and of the type they name.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The state that handlers share. They reach the host only through a check of permissions.
pub(crate) struct App {
    host: Arc<dyn Host>,
    pub(crate) access: Arc<Access>,
    writes: Writes,
    pub(crate) room: Room,
    /// A permit for each operation that is followed.
    pub(crate) streams: Arc<Semaphore>,
}

impl App {
    /// The host, for work that continues after the check of the caller's permission.
    pub(crate) fn host(&self) -> Arc<dyn Host> {
        self.host.clone()
    }

    /// Whether the caller may make this request about this log.
    pub(crate) fn may(&self, who: &Principal, route: Name, log: &str) -> bool {
        route.need().is_some_and(|need| who.may(need, log))
    }

    /// The host, for a caller who may make this request about this log.
    pub(crate) fn on_log(
        &self,
        who: &Principal,
        route: Name,
        log: &str,
    ) -> Result<&dyn Host, Refusal> {
        match self.may(who, route, log) {
            true => Ok(&*self.host),
            false => Err(forbidden(who, route, log)),
        }
    }

    /// The host, for a caller who may make this request about at least one log. The handler filters.
    pub(crate) fn on_some(&self, who: &Principal, route: Name) -> Result<&dyn Host, Refusal> {
        match route.need().is_some_and(|need| who.may_somewhere(need)) {
            true => Ok(&*self.host),
            false => Err(forbidden(who, route, "*")),
        }
    }

    /// The host, for a caller who may make this request about all logs.
    pub(crate) fn on_all(&self, who: &Principal, route: Name) -> Result<&dyn Host, Refusal> {
        match route.need().is_some_and(|need| who.may_everywhere(need)) {
            true => Ok(&*self.host),
            false => Err(forbidden(who, route, "*")),
        }
    }

    /// Exchanges an identity token for a session.
    pub(crate) async fn exchange(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Session, Refusal> {
        self.access.exchange(&self.host, headers, peer).await
    }

    /// Lets the host make or preview a change of a log.
    pub(crate) async fn apply(
        &self,
        who: &Principal,
        route: Name,
        log: String,
        change: Change,
        mode: Mode,
        note: Note,
    ) -> Result<Operation, Refusal> {
        self.on_log(who, route, &log)?;
        let (host, caller) = (self.host(), who.caller(note));
        let turn = match mode {
            Mode::Apply => Some(self.writes.of(&log).lock_owned().await),
            Mode::Preview => None,
        };
        capable(&*host, &log, &change).await?;
        let work = async move { host.apply(&log, change, mode, caller).await };
        to_the_end(turn, mode, work).await
    }

    /// Lets the host make a step of an import.
    pub(crate) async fn import(
        &self,
        who: &Principal,
        route: Name,
        log: String,
        step: ImportStep,
        note: Note,
    ) -> Result<ImportProgress, Refusal> {
        self.on_log(who, route, &log)?;
        let (host, caller) = (self.host(), who.caller(note));
        let turn = self.writes.of(&log).lock_owned().await;
        let work = async move {
            let _turn = turn;
            host.import(&log, step, caller).await
        };
        // To its end, even if the caller hangs up; each step may be asked for again.
        match tokio::spawn(work).await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(_) => {
                Err(HostError::Internal("the import could not be continued".to_owned()).into())
            }
        }
    }

    /// Lets the host keep a change of a log that it would take back.
    pub(crate) async fn confirm(
        &self,
        who: &Principal,
        log: String,
        operation: String,
        note: Note,
    ) -> Result<Operation, Refusal> {
        self.on_log(who, Name::ConfirmOperation, &log)?;
        let (host, caller) = (self.host(), who.caller(note));
        let turn = Some(self.writes.of(&log).lock_owned().await);
        let work = async move { host.confirm(&operation, caller).await };
        to_the_end(turn, Mode::Apply, work).await
    }
}

/// Refuses changes of a document that the host cannot do. Settings that already run may stay in a document.
async fn capable(host: &dyn Host, log: &str, change: &Change) -> Result<(), Refusal> {
    let can = host.capabilities();
    if can == Capabilities::all() {
        return Ok(());
    }
    let (document, confirm, running) = match change {
        Change::Configure {
            document,
            confirm_within,
            ..
        } => {
            let running = host.config(log).await?.config;
            (&**document, confirm_within.is_some(), Some(running))
        }
        Change::Create(request) => (&request.config, false, None),
        Change::Announce(_) if !can.announce => {
            let what = "this server does not record which keys were announced".to_owned();
            return Err(HostError::Unsupported(what).into());
        }
        Change::Rotate { request, .. } if request.settle.is_some() && !can.announce => {
            let what = "this server does not record which keys were announced, so it can't wait until one has settled".to_owned();
            return Err(HostError::Unsupported(what).into());
        }
        _ => return Ok(()),
    };
    if confirm && !can.probation {
        let what = "changes can't be made on probation".to_owned();
        return Err(HostError::Unsupported(what).into());
    }
    let already = running.as_ref().is_some_and(|r| r.has_hosts_or_ecdsa());
    let announces = running.as_ref().is_some_and(|r| r.announces());
    let (qos, mut merge, witnesses, rekor) = match running {
        Some(running) => (running.qos, running.merge, running.witnesses, running.rekor),
        None => (
            logconfig::QosConfig::default(),
            logconfig::MergeConfig::default(),
            logconfig::WitnessConfig::default(),
            logconfig::RekorConfig::default(),
        ),
    };
    merge.checkpoint_interval = document.merge.checkpoint_interval;
    let sections = [
        (
            can.qos || document.qos == qos,
            "/qos",
            "tiers, tenants and writers' tokens",
        ),
        (
            can.merge || document.merge == merge,
            "/merge",
            "storage nodes, secondaries and frontends",
        ),
        (
            can.witnesses || document.witnesses == witnesses,
            "/witnesses",
            "witnesses",
        ),
        (
            can.rekor || document.rekor == rekor,
            "/rekor",
            "front for Sigstore's clients",
        ),
        (
            can.announce || announces || !document.announces(),
            "/rotate",
            "records of announced keys",
        ),
        (
            can.ecdsa || already || !document.has_hosts_or_ecdsa(),
            match document.origin_form {
                OriginForm::Host => "/originForm",
                OriginForm::Path => "/key",
            },
            "keys of ecdsa-p256 and origins that are host names",
        ),
    ];
    let mut findings = Vec::new();
    for (fits, pointer, what) in sections {
        if !fits {
            let message = format!("this server has no {what}: the setting would have no effect");
            let mut found = finding("not-supported-here", pointer, message);
            found.hint = Some("leave this section as the server has it".to_owned());
            findings.push(found);
        }
    }
    match findings.is_empty() {
        true => Ok(()),
        false => Err(Refusal::invalid(findings)),
    }
}

/// A turn to write; see [`Writes`].
type Turn = tokio::sync::OwnedMutexGuard<()>;

/// Runs a change to its end even if its caller hangs up. A caller that hangs up while it waits for its turn never gets here.
async fn to_the_end(
    turn: Option<Turn>,
    mode: Mode,
    work: impl Future<Output = Result<Operation, HostError>> + Send + 'static,
) -> Result<Operation, Refusal> {
    let work = async move {
        let _turn = turn;
        work.await
    };
    match tokio::spawn(work).await {
        Ok(answer) => answer.map_err(Refusal::from),
        Err(_) if mode == Mode::Preview => {
            Err(HostError::Internal("the preview could not be made".to_owned()).into())
        }
        // The change may have been made before something else failed.
        Err(_) => {
            let what =
                "the server failed while it made the change, which may have been made or not";
            let refusal = Refusal::new(codes::UNKNOWN_OUTCOME, what);
            Err(refusal.hint("ask again with the same Idempotency-Key: it is never done twice"))
        }
    }
}

fn forbidden(who: &Principal, route: Name, log: &str) -> Refusal {
    let what = match route.need() {
        Some(need) => format!("{} lacks {need}:{log}", who.actor()),
        None => format!("{} may not do this", who.actor()),
    };
    Refusal::new(codes::FORBIDDEN, what)
}

/// One lock per log for its writers. Holds only logs that are being written.
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
