//! One request and its answer: which requests are sent again after a failure, and what each failure means.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use wire::{PROBLEM_TYPE, Problem, codes};

use super::{Admin, Call, Deadline, absent, cause, seconds, tls};
use crate::auth::secret::Token;
use crate::error::Error;
use crate::settings::Address;
use crate::ui;

/// Pauses between attempts double from the first to the last.
pub(super) const REQUEST_BACKOFF_MIN: Duration = Duration::from_millis(50);
pub(super) const REQUEST_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// From this pause on the user is told, once: a short break is nobody's business.
const TOLD: Duration = Duration::from_millis(800);

/// Between half of a pause and all of it, so that many clients do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// How one attempt ended.
pub(super) enum Attempt<T> {
    Answered(T),
    Refused(Error),
    /// The request may have arrived; the same request may be sent again.
    Broken {
        cause: String,
        operation: Option<String>,
    },
}

impl Admin {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let call = Call {
            method: Method::GET,
            path: path.to_owned(),
            body: Vec::new(),
        };
        self.read(call, deadline).await
    }

    /// A request that changes nothing, so that it needs no key to be repeated.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        call: Call,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let Call { method, path, body } = call;
        let mut pause = REQUEST_BACKOFF_MIN;
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
                    if pause > REQUEST_BACKOFF_MAX || !deadline.pause(pause).await {
                        return Err(self.unreachable(cause));
                    }
                    pause *= 2;
                }
            }
        }
    }

    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        call: Call,
        base: Option<&str>,
        key: &str,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let Call { method, path, body } = call;
        let mut pause = REQUEST_BACKOFF_MIN;
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
                // A refusal that does not cover an attempt that may have arrived must not be reported as "nothing was changed".
                (Attempt::Refused(error), Some((cause, operation))) if !is_answer(&error) => {
                    broken = Some((cause, operation));
                }
                (Attempt::Refused(error), _) => return Err(looked_for(error, &path)),
                (Attempt::Broken { cause, operation }, earlier) => {
                    broken = Some((cause, operation.or(earlier.and_then(|(_, id)| id))));
                }
            }
            if pause == TOLD
                && let Some((cause, _)) = &broken
            {
                ui::aside(&format!(
                    "no answer from {} yet ({cause}); the same request is sent again until {} are over",
                    self.address(),
                    seconds(deadline.limit())
                ));
            }
            if !deadline.pause(jittered(pause)).await {
                let (cause, operation) = broken.unwrap_or_default();
                return Err(Error::OutcomeUnknown {
                    address: self.address(),
                    cause,
                    operation,
                    key: Some(key.to_owned()),
                    kept: false,
                });
            }
            pause = (pause * 2).min(REQUEST_BACKOFF_MAX);
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
    pub(super) async fn attempt_as<T>(
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
                // The server did something, and its answer cannot be read.
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
            // A proxy gave up waiting for the server.
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
    pub(super) async fn send(
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

    pub(super) fn foreign(&self, cause: String) -> Error {
        Error::Foreign {
            address: self.address(),
            cause,
        }
    }

    pub(super) fn silent(&self, deadline: Deadline) -> Error {
        Error::Unreachable {
            address: self.address(),
            cause: format!("no answer within {}", seconds(deadline.limit())),
            hint: "the server is there but does not answer; --timeout waits longer".into(),
        }
    }

    /// The error when no connection can be made.
    pub(super) fn no_connection(&self, error: &reqwest::Error) -> Error {
        match tls::of(error) {
            Some(fault) => Error::Unreachable {
                address: self.address(),
                cause: tls::words(fault),
                hint: tls::hint(fault),
            },
            None => self.unreachable(cause(error)),
        }
    }

    pub(super) fn unreachable(&self, cause: String) -> Error {
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

/// Whether a refusal is about the request, not about this one attempt to send it: then no earlier attempt was applied either.
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

/// Adds the command that lists what was looked for, if the server does not name one.
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
