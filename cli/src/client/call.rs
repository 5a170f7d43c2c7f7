//! The form of a request with a body on the wire.

use std::time::Duration;

use logconfig::Span;
use reqwest::Method;
use serde::Serialize;
use wire::routes::Name;

use crate::error::Error;

/// The headers of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeHeaders<'a> {
    /// The idempotency key: however often it is sent, it is made once.
    pub(crate) key: &'a str,
    /// The reason, for the audit trail.
    pub(crate) reason: Option<&'a str>,
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) method: Method,
    /// Below the base of all resources, with its query.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// The request of a row of the table, about what its path leaves open: a log, an operation, a token.
    pub(crate) fn new(route: Name, about: &str, body: &impl Serialize) -> Result<Self, Error> {
        let bug = |error: &dyn std::fmt::Display| {
            Error::Bug(format!("cannot write the request: {error}"))
        };
        let row = route.route();
        let path = row.path.trim_start_matches('/');
        let path = match path.split_once('{').zip(path.split_once('}')) {
            Some(((before, _), (_, after))) => format!("{before}{about}{after}"),
            None => path.to_owned(),
        };
        Ok(Self {
            method: Method::from_bytes(row.method.as_str().as_bytes()).map_err(|e| bug(&e))?,
            path,
            body: serde_json::to_vec(body).map_err(|e| bug(&e))?,
        })
    }

    /// Has the change reverted unless somebody confirms it within this time.
    pub(crate) fn confirmed_within(mut self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.path = format!("{}?confirmWithin={}", self.path, Span::from_millis(millis));
        self
    }

    /// The same request, which the server only works out.
    pub(super) fn previewed(&self) -> Self {
        let path = match self.path.split_once('?') {
            Some((path, query)) => format!("{path}?dryRun=true&{query}"),
            None => format!("{}?dryRun=true", self.path),
        };
        Self {
            path,
            ..self.clone()
        }
    }

    /// Adds the reason for the audit trail.
    pub(super) fn because(self, reason: Option<&str>) -> Self {
        Self {
            path: with_reason(&self.path, reason),
            ..self
        }
    }

    /// The part that two runs of one command have in common: the request, without its base.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let line = format!("{} {}\n", self.method, self.path);
        [line.as_bytes(), &self.body].concat()
    }
}

/// A path with its query, and why the request is made.
pub(crate) fn with_reason(path: &str, reason: Option<&str>) -> String {
    let mut path = path.to_owned();
    let Some(reason) = reason else {
        return path;
    };
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str("reason=");
    for byte in reason.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
