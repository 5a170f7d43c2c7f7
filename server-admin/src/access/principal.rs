//! An authenticated caller, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use wire::codes;

use crate::host::Caller;
use crate::permission::{Need, Permission};
use crate::problem::Refusal;
use crate::resources::Note;

#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(super) actor: Arc<str>,
    pub(super) permissions: Arc<[Permission]>,
    /// The connection that they call over, if the listener knows it.
    pub(super) connection: Option<u64>,
}

impl Principal {
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// The caller as the host sees them.
    pub(crate) fn caller(&self, note: Note) -> Caller {
        Caller {
            actor: self.actor.to_string(),
            idempotency_key: note.idempotency_key,
            reason: note.reason,
            connection: self.connection,
        }
    }

    pub(crate) fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// Whether the caller may do this to this log.
    pub(crate) fn may(&self, need: Need, log: &str) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.allows(need, log))
    }

    /// Whether the caller may do this to at least one log.
    pub(crate) fn may_somewhere(&self, need: Need) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.covers(need))
    }

    /// Whether the caller may do this to all logs.
    pub(crate) fn may_everywhere(&self, need: Need) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.allows_everywhere(need))
    }
    /// Whether one of the caller's own permissions covers this one, so that they can give it to others.
    pub(super) fn may_give(&self, permission: &Permission) -> bool {
        self.permissions.iter().any(|own| own.includes(permission))
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    /// The principal that the authentication put there; a route that skips it has none and stays closed.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = parts.extensions.get::<Self>().cloned();
        principal.ok_or_else(|| Refusal::new(codes::UNAUTHENTICATED, "no credentials"))
    }
}
