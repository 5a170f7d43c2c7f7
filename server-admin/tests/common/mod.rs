//! A host in memory, tokens, and ways to ask the endpoint: for all tests of the endpoint.
#![expect(dead_code, reason = "each test program uses a part")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

pub(crate) mod issuer;
pub(crate) mod memory;

use ambient::Ambient;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use logconfig::LogConfig;
use memory::Memory;
use server_admin::{
    Access, Answer, AuditQuery, Caller, Capabilities, Change, Event, Host, HostError, ImportStep,
    Limits, Mode, Permission, issue, router_with,
};
use tlog::{GlobalIndex, TreeSize};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use wire::{
    Action, AuditPage, AuditReceipt, ConfigAnswer, Diagnostics, HistoryItem, ImportProgress,
    ImportedShard, LogCondition, LogStatus, MergeStatus, Operation, OperationState, Problem,
    QosStatus, Replica, Simulation, Watermarks,
};

/// The present time, from the real clock.
pub(crate) fn now() -> Timestamp {
    let now = i64::try_from(Ambient::unset().time.now_ms()).unwrap();
    Timestamp::from_millisecond(now).unwrap()
}

/// A guard against a hang, not a measure.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks again and again until this is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(HANG_TIMEOUT, wait).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}

/// Every request for a change that reached the host.
pub(crate) type Seen = Vec<(String, Change, Mode, Caller)>;

/// Logs in memory; errors and delays on demand.
pub(crate) struct Toy {
    pub(crate) logs: Mutex<BTreeMap<String, (u64, LogConfig)>>,
    pub(crate) seen: Mutex<Seen>,
    /// The next `apply` fails with it.
    pub(crate) fail: Mutex<Option<HostError>>,
    /// Operations that are there beside one per log.
    pub(crate) stored: Mutex<BTreeMap<String, Operation>>,
    /// The arguments of `confirm` and `audit_object`.
    pub(crate) asked: Mutex<Vec<String>>,
    /// The next call panics.
    pub(crate) panic: Mutex<bool>,
    /// It does what a host must, and no more.
    pub(crate) basic: AtomicBool,
    /// Each `apply` takes one to start.
    pub(crate) permits: Semaphore,
    pub(crate) running: AtomicUsize,
    pub(crate) most_running: AtomicUsize,
    pub(crate) finished: Semaphore,
    /// Its memory and audit trail.
    pub(crate) memory: Memory,
}

impl Toy {
    pub(crate) fn new(names: &[&str]) -> Arc<Self> {
        let document = |name: &str| {
            LogConfig::new(
                name.parse().unwrap(),
                format!("example.org/{name}"),
                "a".parse().unwrap(),
            )
        };
        let logs = names
            .iter()
            .map(|name| ((*name).to_owned(), (1, document(name))))
            .collect();
        Arc::new(Self {
            logs: Mutex::new(logs),
            seen: Mutex::default(),
            fail: Mutex::default(),
            stored: Mutex::default(),
            asked: Mutex::default(),
            panic: Mutex::default(),
            basic: AtomicBool::new(false),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            finished: Semaphore::new(0),
            memory: Memory::default(),
        })
    }

    /// Waits until so many changes have reached it that are not over yet.
    pub(crate) async fn is_running(&self, number: usize) {
        let running = async || self.running.load(Ordering::SeqCst) >= number;
        until(&format!("{number} running changes"), running).await;
    }

    fn get(&self, log: &str) -> Result<(u64, LogConfig), HostError> {
        if std::mem::take(&mut *self.panic.lock().unwrap()) {
            panic!("the host's bug");
        }
        let found = self.logs.lock().unwrap().get(log).cloned();
        found.ok_or_else(|| HostError::NotFound(format!("no log named {log}")))
    }

    fn change(
        &self,
        log: &str,
        change: Change,
        mode: Mode,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        let (generation, running) = self.get(log)?;
        self.seen
            .lock()
            .unwrap()
            .push((log.to_owned(), change.clone(), mode, caller.clone()));
        if let Some(error) = self.fail.lock().unwrap().take() {
            return Err(error);
        }
        let etag = running.etag(generation);
        let mut operation = operation(log, generation, &etag);
        operation.actor = Some(caller.actor);
        let Change::Configure { document, base, .. } = change else {
            return Ok(operation);
        };
        if document.canonical() == running.canonical() {
            return Ok(operation);
        }
        if !base.matches(&etag) {
            return Err(HostError::Stale {
                current_etag: etag,
                changed_by: Some("uid:7".to_owned()),
                changed_at: Some("2026-01-01T00:00:00Z".to_owned()),
                differences: logconfig::diff(&running, &document)
                    .into_iter()
                    .map(Into::into)
                    .collect(),
            });
        }
        operation.generation = generation + 1;
        operation.etag = document.etag(generation + 1);
        operation.state = OperationState::Planned;
        if mode == Mode::Apply {
            operation.state = OperationState::Done;
            self.logs
                .lock()
                .unwrap()
                .insert(log.to_owned(), (generation + 1, *document));
        }
        Ok(operation)
    }
}

pub(crate) fn operation(log: &str, generation: u64, etag: &str) -> Operation {
    Operation {
        id: format!("{:032x}", log.len()),
        log: log.to_owned(),
        action: Action::Configure,
        state: OperationState::Unchanged,
        base_generation: generation,
        generation,
        etag: etag.to_owned(),
        audit_index: Some(GlobalIndex::new(3)),
        ..Operation::default()
    }
}

impl Host for Toy {
    fn capabilities(&self) -> Capabilities {
        match self.basic.load(Ordering::SeqCst) {
            true => Capabilities::default(),
            false => Capabilities::all(),
        }
    }

    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        let logs = self.logs.lock().unwrap().clone();
        let status = |(log, (generation, config)): (String, (u64, LogConfig))| LogStatus {
            log,
            condition: LogCondition::Open,
            reason: None,
            generation,
            etag: config.etag(generation),
            watermarks: Watermarks::default(),
            published_at: None,
            shards: Vec::new(),
            url: None,
            search_index: None,
        };
        Box::pin(async move { Ok(logs.into_iter().map(status).collect()) })
    }

    fn import<'a>(
        &'a self,
        log: &'a str,
        step: ImportStep,
        _: Caller,
    ) -> Answer<'a, ImportProgress> {
        let shards = match step {
            ImportStep::Begin(request, _) => request.shards,
            _ => Vec::new(),
        };
        let shards = shards.into_iter().map(|shard| ImportedShard {
            tree_id: shard.tree_id,
            size: TreeSize::new(3),
            imported: TreeSize::ZERO,
        });
        let (log, shards) = (log.to_owned(), shards.collect());
        Box::pin(async { Ok(ImportProgress { log, shards }) })
    }

    fn config<'a>(&'a self, log: &'a str) -> Answer<'a, ConfigAnswer> {
        Box::pin(async move {
            let (generation, mut config) = self.get(log)?;
            let etag = config.etag(generation);
            if !self.basic.load(Ordering::SeqCst) {
                config.generation = Some(generation);
            }
            Ok(ConfigAnswer { etag, config })
        })
    }

    fn apply<'a>(
        &'a self,
        log: &'a str,
        change: Change,
        mode: Mode,
        caller: Caller,
    ) -> Answer<'a, Operation> {
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            let outcome = self.change(log, change, mode, caller);
            self.running.fetch_sub(1, Ordering::SeqCst);
            self.finished.add_permits(1);
            outcome
        })
    }

    fn history<'a>(&'a self, log: &'a str) -> Answer<'a, Vec<HistoryItem>> {
        Box::pin(async move { self.get(log).map(|_| Vec::new()) })
    }

    fn operations<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Operation>> {
        let names: Vec<String> = self.logs.lock().unwrap().keys().cloned().collect();
        let wanted = move |name: &String| log.is_none_or(|log| log == name);
        Box::pin(async move {
            Ok(names
                .iter()
                .filter(|name| wanted(name))
                .map(|name| operation(name, 1, "g1-00000000"))
                .collect())
        })
    }

    fn operation<'a>(&'a self, id: &'a str) -> Answer<'a, Operation> {
        Box::pin(async move {
            if let Some(error) = self.fail.lock().unwrap().take() {
                return Err(error);
            }
            let stored = self.stored.lock().unwrap().get(id).cloned();
            let of_logs = self.operations(None).await?;
            let found = stored.or_else(|| of_logs.into_iter().find(|one| one.id == id));
            found.ok_or_else(|| HostError::NotFound(format!("no operation {id}")))
        })
    }

    fn config_at<'a>(&'a self, log: &'a str, generation: u64) -> Answer<'a, ConfigAnswer> {
        Box::pin(async move {
            let (running, config) = self.get(log)?;
            let missing = || HostError::NotFound(format!("no generation {generation}"));
            (generation <= running).then_some(()).ok_or_else(missing)?;
            let etag = config.etag(generation);
            Ok(ConfigAnswer { etag, config })
        })
    }

    fn qos<'a>(&'a self, log: &'a str) -> Answer<'a, QosStatus> {
        Box::pin(async move {
            let (generation, _) = self.get(log)?;
            Ok(QosStatus {
                log: log.to_owned(),
                generation,
                ..QosStatus::default()
            })
        })
    }

    fn merge<'a>(&'a self, log: &'a str) -> Answer<'a, MergeStatus> {
        Box::pin(async move {
            let (generation, _) = self.get(log)?;
            Ok(MergeStatus {
                log: log.to_owned(),
                generation,
                ..MergeStatus::default()
            })
        })
    }

    fn simulate<'a>(
        &'a self,
        log: &'a str,
        document: Box<LogConfig>,
        since: Duration,
    ) -> Answer<'a, Simulation> {
        let asked = format!("{} tiers since {since:?}", document.qos.tiers.len());
        self.asked.lock().unwrap().push(asked);
        Box::pin(async move {
            let (generation, _) = self.get(log)?;
            Ok(Simulation {
                log: log.to_owned(),
                generation,
                ..Simulation::default()
            })
        })
    }

    fn confirm<'a>(&'a self, id: &'a str, caller: Caller) -> Answer<'a, Operation> {
        Box::pin(async move {
            let asked = format!("{id} {} {:?}", caller.actor, caller.idempotency_key);
            self.asked.lock().unwrap().push(asked);
            let mut operation = self.operation(id).await?;
            operation.state = OperationState::Decided;
            Ok(operation)
        })
    }

    fn audit(&self, query: AuditQuery) -> Answer<'_, AuditPage> {
        self.asked.lock().unwrap().push(format!("{query:?}"));
        Box::pin(async {
            Ok(AuditPage {
                size: GlobalIndex::ZERO,
                entries: Vec::new(),
                next: None,
            })
        })
    }

    fn audit_object<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.asked.lock().unwrap().push(path.to_owned());
        let there = path == "0/checkpoint" || path == "0/tile/0/000.p/1";
        Box::pin(async move { Ok(there.then(|| b"bytes\n".to_vec())) })
    }

    fn diagnose(&self) -> Answer<'_, Diagnostics> {
        Box::pin(async {
            Ok(Diagnostics {
                time: "2026-01-01T00:00:00.000Z".to_owned(),
                replica: "0".repeat(16),
                checks: Vec::new(),
            })
        })
    }

    fn replicas<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Replica>> {
        let generation = log.map(|_| 1);
        let replica = Replica {
            id: "0".repeat(16),
            label: "host:1".to_owned(),
            format: 1,
            generation,
            age_seconds: 0,
        };
        Box::pin(async move { Ok(vec![replica]) })
    }

    fn record(&self, event: Event) -> Answer<'_, Option<AuditReceipt>> {
        Box::pin(async { self.memory.record(event) })
    }

    fn remember<'a>(&'a self, key: &'a str, value: &'a str, until: Timestamp) -> Answer<'a, bool> {
        Box::pin(async move { self.memory.remember(key, value, until) })
    }

    fn recall<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, String)>> {
        Box::pin(async move { self.memory.recall(prefix) })
    }

    fn forget<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.memory.forget(key) })
    }
}

/// An endpoint on a toy with the logs `argon` and `boron`, and a way to make tokens for it.
pub(crate) struct Endpoint {
    pub(crate) toy: Arc<Toy>,
    pub(crate) access: Arc<Access>,
    pub(crate) app: Router,
    pub(crate) folder: tempfile::TempDir,
    /// A token that may do everything.
    pub(crate) root: String,
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

impl Endpoint {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), |access| access)
    }

    pub(crate) fn with(limits: Limits, access: impl FnOnce(Access) -> Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.toml");
        let root = issue(
            &file,
            "root",
            HOUR,
            &[Permission::everything()],
            &Ambient::unset(),
        )
        .unwrap()
        .expose()
        .to_owned();
        let access = Arc::new(access(
            Access::new(Ambient::unset()).with_tokens(file).unwrap(),
        ));
        let toy = Toy::new(&["argon", "boron"]);
        let app = router_with(toy.clone(), access.clone(), limits);
        Self {
            toy,
            access,
            app,
            folder,
            root,
        }
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens.toml")
    }

    /// A token with these scopes.
    pub(crate) fn token(&self, name: &str, scopes: &[&str]) -> String {
        let scopes: Vec<Permission> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        issue(&self.tokens(), name, HOUR, &scopes, &Ambient::unset())
            .unwrap()
            .expose()
            .to_owned()
    }

    /// Asks as `root`, unless the request brings its own credentials.
    pub(crate) async fn ask(&self, mut request: Request<Body>) -> Reply {
        if !request.headers().contains_key("authorization") {
            request.headers_mut().insert(
                "authorization",
                format!("Bearer {}", self.root).parse().unwrap(),
            );
        }
        self.ask_bare(request).await
    }

    /// Asks as the request says.
    pub(crate) async fn ask_bare(&self, request: Request<Body>) -> Reply {
        let secret = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap_or("").to_owned());
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reply = Reply {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        reply.check(
            secret
                .as_deref()
                .and_then(|value| value.split(' ').next_back()),
        );
        reply
    }
}

/// An answer that has passed the rules for all answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// Checks the rules for every answer, whatever the request.
    fn check(&self, secret: Option<&str>) {
        if let Some(secret) = secret.filter(|secret| secret.len() > 8) {
            assert!(
                !format!("{:?}{}", self.headers, self.body).contains(secret),
                "an answer holds the credential: {self:?}"
            );
        }
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        assert!(
            self.headers
                .keys()
                .all(|name| !name.as_str().starts_with("access-control-")),
            "no CORS"
        );
        if self.status.as_u16() >= 400 {
            assert_eq!(self.headers["content-type"], wire::PROBLEM_TYPE, "{self:?}");
            let problem: Problem = serde_json::from_str(&self.body).unwrap();
            assert_eq!(problem.status, self.status.as_u16());
            assert_eq!(problem.kind, format!("urn:logctl:problem:{}", problem.code));
            assert!(
                !problem.title.is_empty() && !problem.detail.is_empty(),
                "{problem:?}"
            );
        }
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The problem, which must have this code.
    pub(crate) fn problem(&self, code: &str) -> Problem {
        let problem: Problem =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(problem.code, code, "{problem:?}");
        problem
    }
}

/// A request without a body.
pub(crate) fn bare(method: &str, path: &str) -> Request<Body> {
    request(method, path, &[], "")
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/admin/v1{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}
