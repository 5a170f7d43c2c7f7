//! A request that the user typed, and the server's answer.

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_MATCH};
use reqwest::{Method, StatusCode};

use super::{Admin, Deadline, cause, idempotency_key};
use crate::error::Error;

/// An answer exactly as the server sent it.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// The entity tag, without quotes.
    pub(crate) etag: Option<String>,
    pub(crate) media: String,
    /// The answer's body, as it came.
    pub(crate) body: Vec<u8>,
}

/// A larger answer is not for a terminal.
const LIMIT: usize = 64 << 20;

impl Admin {
    /// Sends one request, once. `path` is below the endpoint's base; problem documents become errors.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        base: Option<&str>,
        key: Option<&str>,
        deadline: Deadline,
    ) -> Result<Raw, Error> {
        let reads = method == Method::GET;
        let key = match key {
            Some(key) => Some(key.to_owned()),
            None if method == Method::POST => Some(idempotency_key()?),
            None => None,
        };
        let mut request = self
            .http
            .request(method.clone(), format!("{}/{path}", self.base))
            .header(ACCEPT, "*/*");
        if let Some(key) = &key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(base) = base {
            request = request.header(IF_MATCH, format!("\"{}\"", base.trim_matches('"')));
        }
        let broken = |cause: String| {
            if reads {
                self.unreachable(cause)
            } else {
                Error::OutcomeUnknown {
                    address: self.address(),
                    cause,
                    operation: None,
                    key: key.clone(),
                    kept: false,
                }
            }
        };
        let mut answer = match self.send(request, deadline).await? {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err(self.no_connection(&error)),
            Err(error) => return Err(broken(cause(&error))),
        };
        let header = |name| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let (status, media) = (answer.status(), header(CONTENT_TYPE).unwrap_or_default());
        let etag = header(ETAG).map(|tag| tag.trim_matches('"').to_owned());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= LIMIT => {
                    body.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => {
                    return Err(self.foreign(format!("the answer is larger than {LIMIT} bytes")));
                }
                Ok(None) => break,
                Err(error) => return Err(broken(cause(&error))),
            }
        }
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(Raw {
                status: status.as_u16(),
                etag,
                media,
                body,
            });
        }
        match serde_json::from_slice(&body) {
            Ok(problem) if media.starts_with(wire::PROBLEM_TYPE) => {
                Err(Error::Problem(Box::new(problem)))
            }
            _ => Err(self.foreign(format!("{status} without a problem document"))),
        }
    }
}
