//! Who is calling, and may they: authentication and authorisation of each request.
//!
//! Default deny: a caller has only what [`Access`] names. What must never happen: a credential that is offered and wrong
//! falls back to another one, or its text gets into an answer or the log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use admin_api::codes;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jiff::Timestamp;

use crate::error::Error;
use crate::failures::{Failures, Source};
use crate::permission::{Need, Permission};
use crate::problem::Refusal;
use crate::tokens::{Login, Tokens};

/// Who is at the other end of a connection, as far as the listener knows it. The listener adds it to each request as
/// `Extension<Peer>`; without one, only bearer tokens work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    uid: Option<u32>,
    address: Option<SocketAddr>,
}

impl Peer {
    /// A local process of this user, as the kernel says (`SO_PEERCRED`).
    #[must_use]
    pub fn unix(uid: u32) -> Self {
        Self {
            uid: Some(uid),
            address: None,
        }
    }

    /// A TCP connection from this address. An address proves nothing: it only counts failed logins.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            uid: None,
            address: Some(address),
        }
    }

    fn source(&self) -> Source {
        match (self.uid, self.address) {
            (Some(uid), _) => Source::Uid(uid),
            (None, Some(address)) => Source::ip(address.ip()),
            (None, None) => Source::Other,
        }
    }
}

/// Who may do what. Starts with nobody.
#[derive(Debug, Default)]
pub struct Access {
    uids: BTreeMap<u32, Arc<[Permission]>>,
    tokens: Option<Tokens>,
    failures: Failures,
}

impl Access {
    /// Nobody may do anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Processes of this user have these permissions over the Unix socket.
    #[must_use]
    pub fn with_uid(mut self, uid: u32, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.uids.insert(uid, permissions.into_iter().collect());
        self
    }

    /// The bearer tokens of this file ([`issue`](crate::issue)), read again when it changes.
    ///
    /// # Errors
    /// The file can't be read, is malformed, or may be written by others than its owner.
    pub fn with_tokens(mut self, file: impl Into<PathBuf>) -> Result<Self, Error> {
        self.tokens = Some(Tokens::open(file.into())?);
        Ok(self)
    }

    /// Whether callers over TCP can authenticate.
    pub(crate) fn authenticates_tcp(&self) -> bool {
        self.tokens.is_some()
    }

    /// Finds out who is calling. A token that is offered decides, also over the Unix socket.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Principal, Refusal> {
        let mut offered = headers.get_all(AUTHORIZATION).iter();
        match (offered.next(), offered.next()) {
            (Some(_), Some(_)) => Err(Refusal::new(
                codes::BAD_REQUEST,
                "more than one Authorization header",
            )),
            (Some(value), None) => {
                let source = peer.map_or(Source::Other, Peer::source);
                self.by_token(value.to_str().unwrap_or(""), source)
            }
            (None, _) => self.by_uid(peer.and_then(|peer| peer.uid)),
        }
    }

    fn by_token(&self, value: &str, source: Source) -> Result<Principal, Refusal> {
        let token = match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => None,
        };
        let login = match (token, &self.tokens) {
            (Some(token), Some(tokens)) => tokens.login(token, Timestamp::now()),
            _ => Login::Unknown,
        };
        let detail = match login {
            Login::Known { name, scopes } => {
                return Ok(Principal {
                    actor: format!("token:{name}").into(),
                    permissions: scopes,
                });
            }
            Login::Expired { name } => format!("token {name} has expired"),
            Login::Unknown if token.is_none() => "only bearer tokens are accepted".to_owned(),
            Login::Unknown => "this token is not known here".to_owned(),
        };
        Err(self.failed(source, detail))
    }

    /// Every failed login passes here, and only failed ones.
    fn failed(&self, source: Source, detail: String) -> Refusal {
        match self.failures.count(source, Instant::now()) {
            Ok(()) => {
                tracing::warn!(target: "server_admin::audit", ?source, reason = detail, "login failed");
                Refusal::new(codes::UNAUTHENTICATED, detail)
            }
            Err(delay) => {
                tracing::debug!(target: "server_admin::audit", ?source, reason = detail, "login failed, over the limit");
                Refusal::new(codes::TOO_MANY, "too many failed logins").retry_after(delay)
            }
        }
    }

    fn by_uid(&self, uid: Option<u32>) -> Result<Principal, Refusal> {
        let Some(uid) = uid else {
            return Err(Refusal::new(codes::UNAUTHENTICATED, "no credentials")
                .hint("send Authorization: Bearer TOKEN, or use the Unix socket"));
        };
        let Some(permissions) = self.uids.get(&uid) else {
            return Err(Refusal::new(
                codes::FORBIDDEN,
                format!("uid {uid} has no role here"),
            ));
        };
        Ok(Principal {
            actor: format!("uid:{uid}").into(),
            permissions: permissions.clone(),
        })
    }
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    actor: Arc<str>,
    permissions: Arc<[Permission]>,
}

impl Principal {
    /// `uid:0`, `token:ci`.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    pub(crate) fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// Whether it may do this to this log.
    pub(crate) fn may(&self, need: Need, log: &str) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.allows(need, log))
    }

    /// Whether it may do this to at least one log.
    pub(crate) fn may_somewhere(&self, need: Need) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.covers(need))
    }

    /// Whether it may do this to all logs.
    pub(crate) fn may_everywhere(&self, need: Need) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.allows_everywhere(need))
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    /// The principal that the gate put there; a route outside the gate has none and stays closed.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = parts.extensions.get::<Self>().cloned();
        principal.ok_or_else(|| Refusal::new(codes::UNAUTHENTICATED, "no credentials"))
    }
}
