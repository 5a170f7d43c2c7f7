//! Sessions: what an identity token is exchanged for, once. `POST sessions`.
//!
//! A session is a row in the memory that all replicas share, so each of them knows it. What must never happen: one
//! identity token makes two sessions, or a session is made that the audit trail does not record.

use ambient::Random;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tlog::hex;
use wire::{NoQuery, NoRequest, Session, codes};

use super::oidc::Admitted;
use super::secret::{Kind, Secret, hash};
use super::{Access, Denial, Known, Peer, bearer};
use crate::host::{Event, Host, HostError};
use crate::permission::Permission;
use crate::problem::Refusal;
use crate::resources::query;
use crate::router::App;
use crate::{body, router};

/// How long a session lasts.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// The request's body is an empty object.
const BODY_BYTES: usize = 1 << 10;

/// A session's row, under `session/` and the hash of its secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    actor: String,
    permissions: Vec<Permission>,
    /// When it ends, RFC 3339.
    expires: String,
}

/// `POST sessions`: the bearer is an identity token, which is good for nothing else.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Result<Json<Session>, Refusal> {
    let (parts, body) = request.into_parts();
    router::no_browser(&parts.headers)?;
    body::plain(&parts.headers)?;
    query::<NoQuery>(&parts.uri)?;
    let mut room = app.room.clone();
    room.limits.body_bytes = BODY_BYTES;
    let body = body::read(&parts.headers, body, &room).await?;
    let NoRequest {} = body::json(&parts.headers, &body)?;
    let peer = peer.as_ref().map(|Extension(peer)| peer);
    let session = app.exchange(&parts.headers, peer).await?;
    Ok(Json(session))
}

impl Access {
    /// Exchanges the identity token of these headers for a session.
    pub(crate) async fn exchange(
        &self,
        host: &Arc<dyn Host>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Session, Refusal> {
        match self.session(&**host, headers).await {
            Ok(session) => Ok(session),
            Err(denial) => Err(self.deny(host, peer, denial).await),
        }
    }

    async fn session(&self, host: &dyn Host, headers: &HeaderMap) -> Result<Session, Denial> {
        if self.identities.is_empty() {
            let refusal = Refusal::new(codes::UNSUPPORTED, "this server takes no identity tokens");
            return Err(refusal.hint("use a token or a client certificate").into());
        }
        let Some(token) = bearer(headers)? else {
            let refusal = Refusal::new(codes::UNAUTHENTICATED, "no identity token");
            return Err(refusal
                .http_hint("send it as Authorization: Bearer TOKEN")
                .into());
        };
        let now = self.now();
        let admitted = self.identities.admit(token, now).await?;
        // The token is used up first, so that nobody else can use it whatever happens next.
        let used = format!("identity/{}", admitted.id);
        if !host.remember(&used, "", admitted.until).await? {
            return Err(
                Denial::unknown("this identity token was used before: it works once")
                    .hint("ask the issuer for another"),
            );
        }
        let opened = open(host, admitted, now, &self.ambient.random).await;
        if opened.is_err() {
            // No session was made, so its owner may try it again. A failure here costs them only that.
            let _ = host.forget(&used).await;
        }
        opened.map_err(Denial::from)
    }

    /// The holder of this session.
    pub(super) async fn by_session(&self, host: &dyn Host, secret: &str) -> Result<Known, Denial> {
        let unknown = || {
            Denial::unknown("this session has ended, or is not known here")
                .hint("exchange a new identity token: POST sessions")
        };
        let row = super::recall(host, &key(secret))
            .await?
            .ok_or_else(unknown)?;
        let row: Row = serde_json::from_str(&row).map_err(|_| unknown())?;
        let over = |expires: Timestamp| expires <= self.now();
        if row.expires.parse().map_or(true, over) {
            return Err(unknown());
        }
        Ok((row.actor.into(), row.permissions.into()))
    }
}

fn key(secret: &str) -> String {
    format!("session/{}", hex(&hash(secret)))
}

/// Makes a session: audited first, then remembered.
async fn open(
    host: &dyn Host,
    admitted: Admitted,
    now: Timestamp,
    random: &Random,
) -> Result<Session, HostError> {
    let internal = |detail: String| HostError::Internal(detail);
    let secret = Secret::new(Kind::Session, random).map_err(|error| internal(error.to_string()))?;
    let expires = now
        .checked_add(LIFE)
        .map_err(|error| internal(error.to_string()))?;
    let actor = format!("oidc:{}", admitted.rule.name);
    let event = Event {
        actor: actor.clone(),
        action: "session-create",
        detail: format!("identity {:?} until {expires}", admitted.subject),
    };
    host.record(event).await?;
    let permissions = &admitted.rule.permissions;
    let row = Row {
        actor: actor.clone(),
        permissions: permissions.clone(),
        expires: expires.to_string(),
    };
    let row = serde_json::to_string(&row).map_err(|error| internal(error.to_string()))?;
    if !host.remember(&key(secret.expose()), &row, expires).await? {
        return Err(internal("two sessions with one secret".to_owned()));
    }
    tracing::info!(target: "server_admin::audit", actor, subject = admitted.subject, "session made");
    Ok(Session {
        secret: secret.expose().to_owned(),
        actor,
        permissions: permissions.iter().map(ToString::to_string).collect(),
        expires_at: expires.to_string(),
    })
}
