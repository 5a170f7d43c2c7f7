//! What a change looks like on the wire.

use std::time::Duration;

use logconfig::{LogConfig, Span};
use reqwest::Method;
use serde::Serialize;

use crate::error::Error;

/// A change to ask for.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Configure {
        document: Box<LogConfig>,
        /// It is taken back unless somebody confirms it within this time.
        confirm_within: Option<Duration>,
    },
    /// Freeze the active shard, open the next.
    Rotate(wire::RotateRequest),
    Plan(wire::PlanRequest),
    Freeze(wire::FreezeRequest),
    Unfreeze(wire::UnfreezeRequest),
    /// Create the log with this document.
    Create(Box<LogConfig>),
    /// Delete the log: hide it and keep its data.
    Delete,
    Undelete,
}

/// How a change is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The idempotency key: however often it is sent, it is made once.
    pub(crate) key: &'a str,
    /// Why, for the audit trail.
    pub(crate) reason: Option<&'a str>,
}

/// A request that changes something.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below the base of all resources, with its query.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// With the reason that goes into the audit trail.
    pub(super) fn because(self, reason: Option<&str>) -> Self {
        Self {
            path: with_reason(&self.path, reason),
            ..self
        }
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

impl Write {
    /// A document without probation.
    pub(crate) fn configure(document: LogConfig) -> Self {
        Self::Configure {
            document: Box::new(document),
            confirm_within: None,
        }
    }

    /// What two runs of one command have in common: the request, without what it was made on top of.
    pub(crate) fn fingerprint(&self, log: &str) -> Result<Vec<u8>, Error> {
        let Call { method, path, body } = self.call(log, false)?;
        let line = format!("{method} {path}\n");
        Ok([line.as_bytes(), &body].concat())
    }

    /// The request that makes this change of `log`, or only works it out.
    pub(super) fn call(&self, log: &str, dry_run: bool) -> Result<Call, Error> {
        let under = |resource: &str| format!("logs/{log}/{resource}");
        let nothing = wire::NoRequest {};
        let (method, path, body) = match self {
            Self::Configure { document, .. } => (Method::PUT, under("config"), json(document)?),
            Self::Rotate(body) => (Method::POST, under("rotations"), json(body)?),
            Self::Plan(body) => (Method::POST, under("shards"), json(body)?),
            Self::Freeze(body) => (Method::POST, under("freeze"), json(body)?),
            Self::Unfreeze(body) => (Method::POST, under("unfreeze"), json(body)?),
            Self::Create(config) => {
                let config = config.as_ref().clone();
                let body = json(&wire::CreateLogRequest { config })?;
                (Method::POST, "logs".to_owned(), body)
            }
            Self::Delete => (Method::DELETE, format!("logs/{log}"), json(&nothing)?),
            Self::Undelete => (Method::POST, under("undelete"), json(&nothing)?),
        };
        let probation = match self {
            Self::Configure {
                confirm_within: Some(time),
                ..
            } => {
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                Some(format!("confirmWithin={}", Span::from_millis(millis)))
            }
            _ => None,
        };
        let query: Vec<String> = dry_run
            .then(|| "dryRun=true".to_owned())
            .into_iter()
            .chain(probation)
            .collect();
        let path = if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        };
        Ok(Call { method, path, body })
    }
}

pub(super) fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body)
        .map_err(|error| Error::Bug(format!("cannot write the request: {error}")))
}
