//! Authentication and authorisation of each request.
//!
//! Default deny: a caller has only what [`Access`] names. What must never happen: a wrong credential falls back to another one, or its text
//! gets into an answer, the log or the audit trail.
//!
//! A bearer token decides if one is offered; else the client certificate; else the user id of the Unix socket's peer.

mod failures;
mod file;
mod oidc;
mod peer;
mod principal;
mod secret;
pub(crate) mod sessions;
pub(crate) mod tokens;
mod users;

use ambient::{Ambient, Time};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jiff::Timestamp;
use wire::{Token, codes};

use crate::error::Error;
use crate::host::{Host, HostError};
use crate::permission::Permission;
use crate::problem::Refusal;

use failures::{Failures, Source};
use file::{Login, TokenFile};
use oidc::Identities;
use secret::Kind;

pub use file::issue;
pub use oidc::IdentityRule;
pub use peer::{BadClientName, ClientCertificate, ClientName, Peer};
pub(crate) use principal::Principal;
pub use secret::Secret;

/// The callers and their permissions. Starts empty.
#[derive(Debug)]
pub struct Access {
    ambient: Ambient,
    uids: BTreeMap<u32, Arc<[Permission]>>,
    /// In the order in which they were named: the first that fits decides.
    clients: Vec<(ClientName, Arc<[Permission]>)>,
    file: Option<TokenFile>,
    identities: Identities,
    failures: Arc<Failures>,
}

/// Why a caller is not let in.
enum Denial {
    /// The credential is wrong. Counted, limited and audited as a failed login.
    Failed {
        code: &'static str,
        detail: String,
        hint: Option<&'static str>,
    },
    /// Another refusal, which is not a failure to log in.
    Refused(Refusal),
}

impl Denial {
    /// 401: the credential is invalid.
    fn unknown(detail: impl Into<String>) -> Self {
        Self::Failed {
            code: codes::UNAUTHENTICATED,
            detail: detail.into(),
            hint: None,
        }
    }

    /// 403: the caller is known, but allowed nothing.
    fn nobody(detail: impl Into<String>) -> Self {
        Self::Failed {
            code: codes::FORBIDDEN,
            detail: detail.into(),
            hint: None,
        }
    }

    fn hint(self, text: &'static str) -> Self {
        match self {
            Self::Failed { code, detail, .. } => Self::Failed {
                code,
                detail,
                hint: Some(text),
            },
            other => other,
        }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HostError> for Denial {
    fn from(error: HostError) -> Self {
        Self::Refused(error.into())
    }
}

/// The current time, to a millisecond.
fn now(time: &Time) -> Timestamp {
    let now = i64::try_from(time.now_ms()).map(Timestamp::from_millisecond);
    now.ok().and_then(Result::ok).unwrap_or(Timestamp::MAX)
}

/// An actor and their permissions.
type Known = (Arc<str>, Arc<[Permission]>);

impl Access {
    /// Starts with no permissions for anybody. Expiry follows this clock, and secrets are made of this randomness.
    #[must_use]
    pub fn new(ambient: Ambient) -> Self {
        Self {
            ambient,
            uids: BTreeMap::new(),
            clients: Vec::new(),
            file: None,
            identities: Identities::default(),
            failures: Arc::default(),
        }
    }

    fn now(&self) -> Timestamp {
        now(&self.ambient.time)
    }

    /// Processes of this user have these permissions over the Unix socket.
    #[must_use]
    pub fn with_uid(mut self, uid: u32, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.uids.insert(uid, permissions.into_iter().collect());
        self
    }

    /// A caller with a client certificate with this name, signed by the listener's client CA ([`TlsFiles::client_ca`](crate::TlsFiles)),
    /// has these permissions. If several names fit one certificate, the first one given here decides.
    #[must_use]
    pub fn with_certificate(
        mut self,
        client: ClientName,
        permissions: impl IntoIterator<Item = Permission>,
    ) -> Self {
        self.clients
            .push((client, permissions.into_iter().collect()));
        self
    }

    /// The bearer tokens of this file ([`issue`](crate::issue)), read again when it changes.
    ///
    /// # Errors
    /// The file can't be read, is malformed, or may be written by others than its owner.
    pub fn with_tokens(mut self, file: impl Into<PathBuf>) -> Result<Self, Error> {
        self.file = Some(TokenFile::open(file.into())?);
        Ok(self)
    }

    /// A caller with an identity token that fits this rule can exchange it for a session: `POST sessions`. If several rules fit, the first
    /// one given here decides.
    ///
    /// # Errors
    /// [`Error::IdentityRule`] for a rule that makes no sense or would let everybody in; the authorities for the issuer's
    /// HTTPS can't be read.
    pub fn with_identity(mut self, rule: IdentityRule) -> Result<Self, Error> {
        self.identities.add(rule)?;
        Ok(self)
    }

    /// How long the audit trail waits, after the first failed login of a source, to tell of those that followed; a minute
    /// unless this says otherwise.
    #[must_use]
    pub fn with_failure_window(mut self, window: Duration) -> Self {
        self.failures = Arc::new(Failures::with_window(window));
        self
    }

    /// Whether callers over TCP can authenticate.
    pub(crate) fn authenticates_tcp(&self) -> bool {
        self.file.is_some() || !self.clients.is_empty() || !self.identities.is_empty()
    }

    /// The tokens of the token file, as `GET tokens` shows them.
    fn filed(&self) -> Vec<Token> {
        self.file.as_ref().map(TokenFile::list).unwrap_or_default()
    }

    /// Whether client certificates are used at all.
    pub(crate) fn knows_certificates(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Authenticates the caller. If a token is offered, it decides, even over the Unix socket or with a certificate.
    pub(crate) async fn authenticate(
        &self,
        host: &Arc<dyn Host>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Principal, Refusal> {
        let found = match bearer(headers) {
            Ok(Some(token)) => self.by_token(&**host, token).await,
            Ok(None) => self.by_connection(peer),
            Err(denial) => Err(denial),
        };
        match found {
            Ok((actor, permissions)) => Ok(Principal {
                actor,
                permissions,
                connection: peer.map(Peer::connection),
            }),
            Err(denial) => Err(self.deny(host, peer, denial).await),
        }
    }

    async fn by_token(&self, host: &dyn Host, token: &str) -> Result<Known, Denial> {
        let unknown = || Denial::unknown("this token is not known here");
        match Kind::of(token) {
            Some(Kind::Filed) => {
                let file = self.file.as_ref().ok_or_else(unknown)?;
                match file.login(token, self.now()) {
                    Login::Known { name, scopes } => Ok((format!("token:{name}").into(), scopes)),
                    Login::Expired { name } => {
                        Err(Denial::unknown(format!("token {name} has expired")))
                    }
                    Login::Unknown => Err(unknown()),
                }
            }
            Some(Kind::Managed { name }) => self.by_managed(host, name, token).await,
            Some(Kind::Session) => self.by_session(host, token).await,
            None if token.split('.').count() == 3 => {
                let hint = "an identity token is good for POST sessions only, which answers with a session";
                Err(unknown().hint(hint))
            }
            None => Err(unknown().hint("a token of this endpoint begins with logctl_")),
        }
    }

    fn by_connection(&self, peer: Option<&Peer>) -> Result<Known, Denial> {
        if let Some(certificate) = peer.and_then(Peer::certificate) {
            let fits = |(name, _): &&(ClientName, _)| name.matches(certificate);
            let (name, permissions) = self.clients.iter().find(fits).ok_or_else(|| {
                let pin = certificate.pin();
                Denial::nobody(format!(
                    "the client certificate with key {pin} has no role here"
                ))
            })?;
            return Ok((format!("cert:{name}").into(), permissions.clone()));
        }
        let Some(uid) = peer.and_then(Peer::uid) else {
            // No credential was offered, so this is not a failed login.
            let refusal = Refusal::new(codes::UNAUTHENTICATED, "no credentials");
            let hint = "send Authorization: Bearer TOKEN, show a client certificate, or use the Unix socket";
            return Err(refusal.http_hint(hint).into());
        };
        match self.uids.get(&uid) {
            Some(permissions) => Ok((users::actor(uid).into(), permissions.clone())),
            None => Err(Denial::nobody(format!("uid {uid} has no role here"))),
        }
    }

    /// A client certificate that was refused in the handshake is a failed login too; there is no request to answer.
    pub(crate) async fn bad_certificate(
        &self,
        host: &Arc<dyn Host>,
        peer: &Peer,
        error: &rustls::CertificateError,
    ) {
        let detail = format!("the client certificate does not verify: {error}");
        // Nothing to limit: the caller has no connection.
        let _ = self.failures.failed(host, peer.source(), &detail).await;
    }

    /// Every failed login with a request passes here, and only failed ones.
    async fn deny(&self, host: &Arc<dyn Host>, peer: Option<&Peer>, denial: Denial) -> Refusal {
        let (code, detail, hint) = match denial {
            Denial::Refused(refusal) => return refusal,
            Denial::Failed { code, detail, hint } => (code, detail, hint),
        };
        let source = peer.map_or(Source::Other, Peer::source);
        let limited = self.failures.failed(host, source, &detail).await;
        match (limited, hint) {
            (Err(delay), _) => {
                Refusal::new(codes::TOO_MANY, "too many failed logins").retry_after(delay)
            }
            (Ok(()), Some(hint)) => Refusal::new(code, detail).hint(hint),
            (Ok(()), None) => Refusal::new(code, detail),
        }
    }
}

/// The row of the host's memory under just this key. A host without a memory has none.
async fn recall(host: &dyn Host, key: &str) -> Result<Option<String>, HostError> {
    let rows = match host.recall(key).await {
        Err(HostError::Unsupported(_)) => Vec::new(),
        rows => rows?,
    };
    let row = rows.into_iter().find(|(found, _)| found == key);
    Ok(row.map(|(_, row)| row))
}

/// The bearer token of a request, if it brings one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let mut offered = headers.get_all(AUTHORIZATION).iter();
    let value = match (offered.next(), offered.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().unwrap_or(""),
        (Some(_), Some(_)) => {
            let detail = "more than one Authorization header";
            return Err(Refusal::new(codes::BAD_REQUEST, detail).into());
        }
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Denial::unknown("only bearer tokens are accepted")),
    }
}
