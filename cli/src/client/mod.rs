//! The admin endpoint's client: typed calls, and what each failure means.
//!
//! What must never happen: a change made twice, or one reported as failed that was made. So every write carries an
//! idempotency key, a repeat after a broken connection carries the same one, and when even repeating does not tell,
//! the answer is "unknown", never "failed".

mod absent;
mod certificate;
mod events;
mod public;
mod raw;
mod tls;
mod trail;
mod transport;
mod write;

use std::error::Error as _;
use std::time::{Duration, Instant};

use logconfig::{LogConfig, Span};
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use wire::{
    AuditPage, BASE, ConfigAnswer, Diagnostics, History, LogStatus, Logs, MergeStatus, NewToken,
    Operation, Operations, PROBLEM_TYPE, Problem, QosStatus, Replica, Replicas, Revoked,
    Simulation, TokenRequest, Tokens, WhoAmI, codes,
};

pub(crate) use events::Step;
pub use public::Public;
pub(crate) use public::fetch;
pub(crate) use raw::Raw;
pub(crate) use trail::Trail;
pub use transport::transport;
pub(crate) use write::{Asked, Write, with_reason};

use write::{Call, json};

use crate::auth::Auth;
use crate::auth::secret::Token;
use crate::error::Error;
use crate::settings::{Address, Endpoint};

/// An admin endpoint, not yet connected to.
#[derive(Debug)]
pub(crate) struct Admin {
    http: reqwest::Client,
    base: String,
    address: Address,
    auth: Auth,
}

/// The time until which to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    until: Instant,
    limit: Duration,
}

/// What one attempt came to.
enum Attempt<T> {
    Answered(T),
    Refused(Error),
    /// It may have arrived; the same request may be sent again.
    Broken {
        cause: String,
        operation: Option<String>,
    },
}

impl Deadline {
    /// A deadline `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            limit,
        }
    }

    /// What is left; zero when over.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The whole of it.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits `pause`, or until the end; whether there is time left.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        tokio::time::sleep(pause.min(self.left())).await;
        !self.left().is_zero()
    }
}

impl Admin {
    /// Reads what is needed to speak to the endpoint; sends nothing yet.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let http = transport(
            &endpoint.address,
            endpoint.ca.as_deref(),
            endpoint.certificate.as_ref(),
        )?;
        let base = match &endpoint.address {
            Address::Unix(_) => format!("http://localhost{BASE}"),
            Address::Url(url) => format!("{url}{BASE}"),
        };
        Ok(Self {
            http,
            base,
            address: endpoint.address.clone(),
            auth: Auth::new(endpoint),
        })
    }

    /// The address, for people.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// `GET logs`. Every admin endpoint has it, so that its absence tells.
    pub(crate) async fn logs(&self, deadline: Deadline) -> Result<Vec<LogStatus>, Error> {
        match self.get::<Logs>("logs", deadline).await {
            Ok(logs) => Ok(logs.logs),
            Err(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
                Err(self.foreign(problem.detail))
            }
            Err(error) => Err(error),
        }
    }

    /// `GET logs?deleted=true`.
    pub(crate) async fn deleted(&self, deadline: Deadline) -> Result<Vec<LogStatus>, Error> {
        Ok(self.get::<Logs>("logs?deleted=true", deadline).await?.logs)
    }

    /// `GET whoami`.
    pub(crate) async fn whoami(&self, deadline: Deadline) -> Result<WhoAmI, Error> {
        self.get("whoami", deadline).await
    }

    /// `GET diagnostics`.
    pub(crate) async fn diagnostics(&self, deadline: Deadline) -> Result<Diagnostics, Error> {
        self.get("diagnostics", deadline).await
    }

    /// `GET logs/{log}`.
    pub(crate) async fn log(&self, log: &str, deadline: Deadline) -> Result<LogStatus, Error> {
        self.get(&format!("logs/{log}"), deadline).await
    }

    /// `GET logs/{log}/config`.
    pub(crate) async fn config(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<ConfigAnswer, Error> {
        self.get(&format!("logs/{log}/config"), deadline).await
    }

    /// `GET logs/{log}/history`.
    pub(crate) async fn history(&self, log: &str, deadline: Deadline) -> Result<History, Error> {
        self.get(&format!("logs/{log}/history"), deadline).await
    }

    /// `GET operations`.
    pub(crate) async fn operations(
        &self,
        log: Option<&str>,
        deadline: Deadline,
    ) -> Result<Operations, Error> {
        let path = log.map_or_else(
            || "operations".to_owned(),
            |log| format!("operations?log={log}"),
        );
        self.get(&path, deadline).await
    }

    /// `GET operations/{id}`.
    pub(crate) async fn operation(&self, id: &str, deadline: Deadline) -> Result<Operation, Error> {
        self.get(&format!("operations/{id}"), deadline).await
    }

    /// `GET replicas?log=NAME`.
    pub(crate) async fn replicas(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<Vec<Replica>, Error> {
        Ok(self
            .get::<Replicas>(&format!("replicas?log={log}"), deadline)
            .await?
            .replicas)
    }

    /// `GET replicas?log=NAME`, with those whose heartbeats stopped.
    pub(crate) async fn all_replicas(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<Replicas, Error> {
        self.get(&format!("replicas?log={log}"), deadline).await
    }

    /// What a change would do; changes nothing.
    pub(crate) async fn preview(
        &self,
        log: &str,
        write: &Write,
        base: Option<&str>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let key = idempotency_key()?;
        self.write(write.call(log, true)?, base, &key, deadline)
            .await
    }

    /// Makes a change; refused when `base` (an entity tag without quotes) is no longer what runs. A request with the key of an
    /// earlier one is that one.
    pub(crate) async fn apply(
        &self,
        log: &str,
        write: &Write,
        base: Option<&str>,
        asked: Asked<'_>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let call = write.call(log, false)?.because(asked.reason);
        self.write(call, base, asked.key, deadline).await
    }

    /// `POST operations/{id}/confirm`.
    pub(crate) async fn confirm(
        &self,
        id: &str,
        asked: Asked<'_>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let call = Call {
            method: Method::POST,
            path: format!("operations/{id}/confirm"),
            body: json(&wire::NoRequest {})?,
        };
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    /// `GET logs/{log}/config?generation=N`.
    pub(crate) async fn config_at(
        &self,
        log: &str,
        generation: u64,
        deadline: Deadline,
    ) -> Result<ConfigAnswer, Error> {
        let path = format!("logs/{log}/config?generation={generation}");
        self.get(&path, deadline).await
    }

    /// `GET logs/{log}/merge`.
    pub(crate) async fn merge(&self, log: &str, deadline: Deadline) -> Result<MergeStatus, Error> {
        self.get(&format!("logs/{log}/merge"), deadline).await
    }

    /// `GET logs/{log}/qos`.
    pub(crate) async fn qos(&self, log: &str, deadline: Deadline) -> Result<QosStatus, Error> {
        self.get(&format!("logs/{log}/qos"), deadline).await
    }

    /// `POST logs/{log}/qos/simulate`: changes nothing.
    pub(crate) async fn simulate(
        &self,
        log: &str,
        document: &LogConfig,
        since: Span,
        deadline: Deadline,
    ) -> Result<Simulation, Error> {
        let call = Call {
            method: Method::POST,
            path: format!("logs/{log}/qos/simulate?since={since}"),
            body: json(document)?,
        };
        self.read(call, deadline).await
    }

    /// `GET tokens`.
    pub(crate) async fn tokens(&self, deadline: Deadline) -> Result<Tokens, Error> {
        self.get("tokens", deadline).await
    }

    /// `POST tokens`.
    pub(crate) async fn create_token(
        &self,
        request: &TokenRequest,
        asked: Asked<'_>,
        deadline: Deadline,
    ) -> Result<NewToken, Error> {
        let call = Call {
            method: Method::POST,
            path: "tokens".to_owned(),
            body: json(request)?,
        };
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    /// `DELETE tokens/{name}`.
    pub(crate) async fn revoke_token(
        &self,
        name: &str,
        asked: Asked<'_>,
        deadline: Deadline,
    ) -> Result<Revoked, Error> {
        let call = Call {
            method: Method::DELETE,
            path: format!("tokens/{name}"),
            body: json(&wire::NoRequest {})?,
        };
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    /// `GET audit`.
    pub(crate) async fn audit(
        &self,
        before: Option<u64>,
        limit: u16,
        log: Option<&str>,
        deadline: Deadline,
    ) -> Result<AuditPage, Error> {
        let mut path = format!("audit?limit={limit}");
        if let Some(before) = before {
            path.push_str(&format!("&before={before}"));
        }
        if let Some(log) = log {
            path.push_str(&format!("&log={log}"));
        }
        self.get(&path, deadline).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, deadline: Deadline) -> Result<T, Error> {
        let call = Call {
            method: Method::GET,
            path: path.to_owned(),
            body: Vec::new(),
        };
        self.read(call, deadline).await
    }

    /// A request that changes nothing, so that it needs no key to be repeated.
    async fn read<T: DeserializeOwned>(&self, call: Call, deadline: Deadline) -> Result<T, Error> {
        let Call { method, path, body } = call;
        let mut pause = FIRST_PAUSE;
        loop {
            let url = format!("{}/{path}", self.base);
            let mut request = self.http.request(method.clone(), url);
            if !body.is_empty() {
                request = request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone());
            }
            match self.attempt(request, false, deadline).await {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Refused(error) => return Err(looked_for(error, &path)),
                Attempt::Broken { cause, .. } => {
                    if pause > LAST_PAUSE || !deadline.pause(pause).await {
                        return Err(self.unreachable(cause));
                    }
                    pause *= 2;
                }
            }
        }
    }

    async fn write<T: DeserializeOwned>(
        &self,
        call: Call,
        base: Option<&str>,
        key: &str,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let Call { method, path, body } = call;
        let mut pause = FIRST_PAUSE;
        let mut broken: Option<(String, Option<String>)> = None;
        loop {
            let mut request = self
                .http
                .request(method.clone(), format!("{}/{path}", self.base))
                .header(CONTENT_TYPE, "application/json")
                .header("idempotency-key", key)
                .body(body.clone());
            if let Some(base) = base {
                request = request.header(IF_MATCH, format!("\"{base}\""));
            }
            match (self.attempt(request, true, deadline).await, broken.take()) {
                (Attempt::Answered(answer), _) => return Ok(answer),
                // What says nothing about an attempt that may have arrived is not "nothing was changed".
                (Attempt::Refused(error), Some((cause, operation))) if !is_answer(&error) => {
                    broken = Some((cause, operation));
                }
                (Attempt::Refused(error), _) => return Err(looked_for(error, &path)),
                (Attempt::Broken { cause, operation }, earlier) => {
                    broken = Some((cause, operation.or(earlier.and_then(|(_, id)| id))));
                }
            }
            if !deadline.pause(pause).await {
                let (cause, operation) = broken.unwrap_or_default();
                return Err(Error::OutcomeUnknown {
                    address: self.address(),
                    cause,
                    operation,
                    key: Some(key.to_owned()),
                    kept: false,
                });
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        write: bool,
        deadline: Deadline,
    ) -> Attempt<T> {
        let read = |body: &[u8]| serde_json::from_slice(body).map_err(|error| error.to_string());
        self.attempt_as(request, write, deadline, read).await
    }

    /// One attempt, whose good answer `read` understands.
    async fn attempt_as<T>(
        &self,
        request: reqwest::RequestBuilder,
        write: bool,
        deadline: Deadline,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Attempt<T> {
        let request = request.header(ACCEPT, "application/json");
        let answer = match self.send(request, deadline).await {
            Err(error) => return Attempt::Refused(error),
            Ok(answer) => answer,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => {
                return Attempt::Refused(self.no_connection(&error));
            }
            Err(error) if error.is_timeout() && !write => {
                return Attempt::Refused(self.silent(deadline));
            }
            Err(error) => {
                return Attempt::Broken {
                    cause: cause(&error),
                    operation: None,
                };
            }
        };
        let status = answer.status();
        let is_problem = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(PROBLEM_TYPE));
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) if error.is_timeout() && !write => {
                return Attempt::Refused(self.silent(deadline));
            }
            Err(error) => {
                return Attempt::Broken {
                    cause: cause(&error),
                    operation: None,
                };
            }
        };
        if status.is_success() {
            return match read(&body) {
                Ok(answer) => Attempt::Answered(answer),
                // Something was done, and the answer does not say what.
                Err(error) if write => Attempt::Broken {
                    cause: format!("the answer is not understood: {error}"),
                    operation: None,
                },
                Err(error) => Attempt::Refused(self.foreign(format!("{status}, {error}"))),
            };
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if is_problem && problem.code == codes::UNKNOWN_OUTCOME && write => {
                Attempt::Broken {
                    cause: problem.detail,
                    operation: problem.operation,
                }
            }
            Ok(problem) if is_problem => Attempt::Refused(Error::Problem(Box::new(problem))),
            // Something between here and the server gave up waiting for it.
            _ if write
                && matches!(
                    status,
                    StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
                ) =>
            {
                Attempt::Broken {
                    cause: format!("a gateway answered {status}"),
                    operation: None,
                }
            }
            _ => Attempt::Refused(self.foreign(format!("{status} without a problem document"))),
        }
    }

    /// Sends a request in the caller's name; once more when a session has ended meanwhile.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        deadline: Deadline,
    ) -> Result<reqwest::Result<reqwest::Response>, Error> {
        let exchange = format!("{}/sessions", self.base);
        let again = request.try_clone();
        let token = self.auth.token(&self.http, &exchange, deadline).await?;
        let signed = |request: reqwest::RequestBuilder, token: Option<Token>| match token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let answer = signed(request, token).timeout(deadline.left()).send().await;
        match (&answer, again) {
            (Ok(refused), Some(again))
                if refused.status() == StatusCode::UNAUTHORIZED && self.auth.refused() =>
            {
                let token = self.auth.token(&self.http, &exchange, deadline).await?;
                Ok(signed(again, token).timeout(deadline.left()).send().await)
            }
            _ => Ok(answer),
        }
    }

    fn foreign(&self, cause: String) -> Error {
        Error::Foreign {
            address: self.address(),
            cause,
        }
    }

    fn silent(&self, deadline: Deadline) -> Error {
        Error::Unreachable {
            address: self.address(),
            cause: format!("no answer within {}", seconds(deadline.limit())),
            hint: "the server is there but does not answer; --timeout waits longer".into(),
        }
    }

    /// No connection came to be.
    fn no_connection(&self, error: &reqwest::Error) -> Error {
        match tls::of(error) {
            Some(fault) => Error::Unreachable {
                address: self.address(),
                cause: tls::words(fault),
                hint: tls::hint(fault),
            },
            None => self.unreachable(cause(error)),
        }
    }

    fn unreachable(&self, cause: String) -> Error {
        let hint = match &self.address {
            Address::Unix(_) if cause.contains("ermission denied") => {
                "you may not open this socket: run as the user that runs logd, or ask for access"
                    .to_owned()
            }
            Address::Unix(path) => absent::hint(path),
            Address::Url(_) => {
                "is logd running there, with its admin endpoint on this address?".to_owned()
            }
        };
        Error::Unreachable {
            address: self.address(),
            cause,
            hint,
        }
    }
}

/// Whether a refusal speaks of the request, not of this one attempt to send it: then no earlier attempt was made either.
pub(crate) fn is_answer(refusal: &Error) -> bool {
    const OF_THE_ATTEMPT: [&str; 8] = [
        codes::UNAUTHENTICATED,
        codes::FORBIDDEN,
        codes::BROWSER_REFUSED,
        codes::TOO_MANY,
        codes::UNAVAILABLE,
        codes::HALTED,
        codes::FULL,
        codes::INTERNAL,
    ];
    match refusal {
        Error::Problem(problem) => !OF_THE_ATTEMPT.contains(&problem.code.as_str()),
        _ => false,
    }
}

/// With the command that lists what was looked for, where the server does not name one.
fn looked_for(error: Error, path: &str) -> Error {
    let Error::Problem(mut problem) = error else {
        return error;
    };
    if problem.code == codes::NOT_FOUND && problem.hint.is_none() {
        let path = path.split('?').next().unwrap_or_default();
        let listed = match path.split('/').collect::<Vec<_>>()[..] {
            ["logs", _, "config" | "history"] => {
                Some("`logctl config history` lists the generations, `logctl log list` the logs")
            }
            ["logs", _, "shards" | "rotations"] => {
                Some("`logctl shard list` lists the shards, `logctl log list` the logs")
            }
            ["logs", ..] | ["replicas"] => Some(
                "`logctl log list` lists the logs, `logctl log list --deleted` those that were deleted",
            ),
            ["operations", ..] => Some("`logctl op list` lists the operations"),
            ["tokens", ..] => Some("`logctl token list` lists the tokens"),
            _ => None,
        };
        problem.hint = listed.map(str::to_owned);
    }
    Error::Problem(problem)
}

/// Pauses between attempts double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// 128 random bits, hex: unique among all keys.
pub(crate) fn idempotency_key() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Bug(format!("no random numbers: {error}")))?;
    Ok(tlog::hex(&bytes))
}

/// `60 s`, `0.5 s`.
pub(crate) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

/// The innermost reason: the outer ones only say that a request failed.
pub fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if let Some(fault) = tls::of(error) {
        return tls::words(fault);
    }
    let mut reason = error.source();
    while let Some(inner) = reason.and_then(|reason| reason.source()) {
        reason = Some(inner);
    }
    reason.map_or_else(|| error.to_string(), ToString::to_string)
}
