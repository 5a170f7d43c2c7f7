//! Bearer tokens and sessions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AuditReceipt;
use tlog::GlobalIndex;

/// A bearer token, without its text: an element of `GET tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Name of the token; its bearer is `token:NAME`.
    pub name: String,
    /// Permissions, each as `resource:verb:log`.
    pub scopes: Vec<String>,
    /// When the token expires, RFC 3339.
    pub expires_at: String,
    /// The actor that made it; absent for a token that was written into the token file by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made, RFC 3339; absent like `createdBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Whether it can be revoked over this API; a token of the server's token file is removed from the file instead.
    pub revocable: bool,
}

/// The answer to `GET tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// All tokens, in the order of their names.
    pub tokens: Vec<Token>,
}

/// `POST tokens`. Each scope must be covered by the caller's own permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// Name of the token: 1 to 63 of a-z, 0-9, `-`, `.`; 409 if it is in use.
    pub name: String,
    /// Permissions, each as `resource:verb:log`.
    pub scopes: Vec<String>,
    /// Lifetime in seconds; at most a year.
    pub lifetime_seconds: u64,
}

/// The answer to `POST tokens`, the only one that contains the token's text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// The token's text, to send as the bearer token.
    pub secret: String,
    /// The token without its text, as `GET tokens` lists it.
    pub token: Token,
    /// Index of the intent in the system log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub audit_index: Option<GlobalIndex>,
    /// Proof that this intent is in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The answer to `DELETE tokens/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Name of the token that was revoked.
    pub name: String,
    /// Index of the intent in the system log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub audit_index: Option<GlobalIndex>,
    /// Proof that this intent is in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReceipt>,
}

/// The answer to `POST sessions`, which exchanges an OIDC identity token (sent as the bearer token) for a short session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The session's secret, to send as the bearer token from now on.
    pub secret: String,
    /// The caller's name in the audit trail: `oidc:RULE`.
    pub actor: String,
    /// Permissions, each as `resource:verb:log`.
    pub permissions: Vec<String>,
    /// When the session expires, RFC 3339.
    pub expires_at: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
