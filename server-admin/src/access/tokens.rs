//! Tokens that operators make and revoke at run time: `GET tokens`, `POST tokens`, `DELETE tokens/{name}`.
//!
//! Each is one row in the memory that all replicas share, under its name, with the hash of its text. So a name is taken,
//! and a token revoked, everywhere at once. What must never happen: someone gives away more than they may do themselves, or a
//! token is made or revoked that the audit trail does not record.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tlog::{hex, unhex};
use wire::routes::Name;
use wire::{
    Finding, NewToken, NoQuery, NoRequest, ReasonQuery, Revoked, Token, TokenRequest, Tokens, codes,
};

use super::oidc::MAX_PERMISSIONS;
use super::secret::{HASH_PREFIX, Kind, Secret, hash, is_shared_name};
use super::{Access, Denial, Known, Principal};
use crate::body;
use crate::host::{Event, Host, HostError};
use crate::permission::{BadPermission, Permission};
use crate::problem::Refusal;
use crate::resources::{Segment, finding, idempotency_key, query, reason as said};
use crate::router::App;

/// The beginning of the keys of their rows.
const ROWS: &str = "token/";
/// The highest number of tokens.
const MAX_TOKENS: usize = 1000;
/// The longest life, in seconds.
const MAX_LIFE: u64 = 366 * 24 * 3600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    /// `sha256:…`, of the token's whole text.
    hash: String,
    scopes: Vec<Permission>,
    /// RFC 3339, as the next but one.
    expires: String,
    created_by: String,
    created_at: String,
    /// `sha256:…` of the caller, the idempotency key and the request: it identifies a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

impl Access {
    /// The holder of this token.
    pub(super) async fn by_managed(
        &self,
        host: &dyn Host,
        name: &str,
        text: &str,
    ) -> Result<Known, Denial> {
        let unknown = || Denial::unknown("this token is not known here");
        let row = super::recall(host, &key(name)).await?;
        let row: Row = row
            .and_then(|row| serde_json::from_str(&row).ok())
            .ok_or_else(unknown)?;
        let kept = row.hash.strip_prefix(HASH_PREFIX).and_then(unhex::<32>);
        let kept = kept.ok_or_else(unknown)?;
        if !bool::from(kept[..].ct_eq(&hash(text)[..])) {
            return Err(unknown());
        }
        let over = |expires: Timestamp| expires <= self.now();
        if row.expires.parse().map_or(true, over) {
            return Err(Denial::unknown(format!("token {name} has expired")));
        }
        Ok((format!("token:{name}").into(), row.scopes.into()))
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    uri: Uri,
) -> Result<Json<Tokens>, Refusal> {
    let host = app.on_all(&who, Name::ListTokens)?;
    query::<NoQuery>(&uri)?;
    let mut tokens: BTreeMap<String, Token> = BTreeMap::new();
    for (name, row) in rows(host).await? {
        tokens.insert(name.clone(), row.show(name));
    }
    // A token in the file is read first, so it hides another of its name.
    for token in app.access.filed() {
        tokens.insert(token.name.clone(), token);
    }
    Ok(Json(Tokens {
        tokens: tokens.into_values().collect(),
    }))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    who: Principal,
    request: Request,
) -> Result<Json<NewToken>, Refusal> {
    let host = app.on_all(&who, Name::CreateToken)?;
    let (parts, body) = request.into_parts();
    let ReasonQuery { reason } = query(&parts.uri)?;
    let reason = said(reason)?;
    let key_of_caller = idempotency_key(&parts.headers)?;
    let body = body::read(&parts.headers, body, &app.room).await?;
    let request: TokenRequest = body::json(&parts.headers, &body)?;
    let scopes = understood(&request).map_err(Refusal::invalid)?;
    if let Some(scope) = scopes.iter().find(|scope| !who.may_give(scope)) {
        let detail = format!("{} lacks {scope} and can't give it", who.actor());
        return Err(Refusal::new(codes::FORBIDDEN, detail)
            .hint("each scope must be covered by one of your own permissions: see whoami"));
    }
    let mark = key_of_caller.map(|key| mark(who.actor(), &key, &request));
    let TokenRequest {
        name,
        lifetime_seconds,
        ..
    } = request;
    let taken = || {
        Refusal::new(codes::CONFLICT, format!("there is a token named {name}"))
            .hint("choose another name, or revoke that one first")
    };
    let known = rows(host).await?;
    // A repeat with the same key means that the first answer was lost, so nobody has its text, and it cannot be sent again. A new text
    // replaces it.
    let repeated = known
        .get(&name)
        .is_some_and(|row| mark.is_some() && row.request == mark);
    if (known.contains_key(&name) && !repeated)
        || app.access.filed().iter().any(|token| token.name == name)
    {
        return Err(taken());
    }
    if known.len() >= MAX_TOKENS && !repeated {
        let detail = format!("there are {MAX_TOKENS} tokens");
        return Err(Refusal::new(codes::CONFLICT, detail).hint("revoke unused tokens"));
    }

    let internal = |detail: String| Refusal::from(HostError::Internal(detail));
    let now = app.access.now();
    let life = SignedDuration::from_secs(i64::try_from(lifetime_seconds).unwrap_or(i64::MAX));
    let expires = now
        .checked_add(life)
        .map_err(|error| internal(error.to_string()))?;
    let kind = Kind::Managed { name: &name };
    let secret = Secret::new(kind, &app.access.ambient.random)
        .map_err(|error| internal(error.to_string()))?;
    let row = Row {
        hash: format!("{HASH_PREFIX}{}", hex(&hash(secret.expose()))),
        scopes,
        expires: expires.to_string(),
        created_by: who.actor().to_owned(),
        created_at: now.to_string(),
        request: mark,
    };
    let text = serde_json::to_string(&row).map_err(|error| internal(error.to_string()))?;
    let scopes: Vec<String> = row.scopes.iter().map(ToString::to_string).collect();
    let receipt = host
        .record(Event {
            actor: who.actor().to_owned(),
            action: "token-create",
            detail: because(
                format!(
                    "token {name}{} until {expires}: {}",
                    if repeated { ", a new text," } else { "" },
                    scopes.join(" ")
                ),
                reason,
            ),
        })
        .await?;
    if repeated {
        host.forget(&key(&name)).await?;
    }
    if !host.remember(&key(&name), &text, expires).await? {
        return Err(taken());
    }
    tracing::info!(target: "server_admin::audit", actor = who.actor(), name, "token made");
    Ok(Json(NewToken {
        secret: secret.expose().to_owned(),
        token: row.show(name),
        audit_index: receipt.as_ref().map(|receipt| receipt.index),
        audit: receipt,
    }))
}

/// A description of the change, with the reason if one was given.
fn because(what: String, reason: Option<String>) -> String {
    match reason {
        Some(reason) => format!("{what}; {reason}"),
        None => what,
    }
}

/// The mark that distinguishes a repeat from another request.
fn mark(actor: &str, key: &str, request: &TokenRequest) -> String {
    let TokenRequest {
        name,
        scopes,
        lifetime_seconds,
    } = request;
    // No part holds a line feed but, at worst, the scopes, which stand last and were understood.
    let text = format!(
        "{actor}\n{key}\n{name}\n{lifetime_seconds}\n{}",
        scopes.join(" ")
    );
    format!("{HASH_PREFIX}{}", hex(&hash(&text)))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    who: Principal,
    Segment(name): Segment,
    request: Request,
) -> Result<Json<Revoked>, Refusal> {
    let host = app.on_all(&who, Name::RevokeToken)?;
    let (parts, body) = request.into_parts();
    let ReasonQuery { reason } = query(&parts.uri)?;
    let reason = said(reason)?;
    let body = body::read(&parts.headers, body, &app.room).await?;
    let NoRequest {} = body::json(&parts.headers, &body)?;
    let missing = || Refusal::new(codes::NOT_FOUND, format!("no token named {name:?}"));
    if !super::secret::is_name(&name) {
        return Err(missing());
    }
    if app.access.filed().iter().any(|token| token.name == name) {
        let detail = format!("token {name} is in the server's token file");
        return Err(Refusal::new(codes::CONFLICT, detail)
            .hint("take it out of the file: it is read again when it changes"));
    }
    if !is_shared_name(&name) || super::recall(host, &key(&name)).await?.is_none() {
        return Err(missing());
    }
    let receipt = host
        .record(Event {
            actor: who.actor().to_owned(),
            action: "token-revoke",
            detail: because(format!("token {name}"), reason),
        })
        .await?;
    // Another request may have been faster; the token is revoked anyway.
    host.forget(&key(&name)).await?;
    tracing::info!(target: "server_admin::audit", actor = who.actor(), name, "token revoked");
    Ok(Json(Revoked {
        name,
        audit_index: receipt.as_ref().map(|receipt| receipt.index),
        audit: receipt,
    }))
}

impl Row {
    fn show(&self, name: String) -> Token {
        Token {
            name,
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            expires_at: self.expires.clone(),
            created_by: Some(self.created_by.clone()),
            created_at: Some(self.created_at.clone()),
            revocable: true,
        }
    }
}

/// All of them, by name. A host without a memory has none.
async fn rows(host: &dyn Host) -> Result<BTreeMap<String, Row>, Refusal> {
    let rows = match host.recall(ROWS).await {
        Err(HostError::Unsupported(_)) => Vec::new(),
        rows => rows?,
    };
    let named = |(key, row): (String, String)| {
        let name = key.strip_prefix(ROWS)?.strip_suffix('/')?.to_owned();
        Some((name, serde_json::from_str(&row).ok()?))
    };
    Ok(rows.into_iter().filter_map(named).collect())
}

/// The key of a token's row. No other key begins with it.
fn key(name: &str) -> String {
    format!("{ROWS}{name}/")
}

/// The scopes of a request; or everything that is wrong with it.
fn understood(request: &TokenRequest) -> Result<Vec<Permission>, Vec<Finding>> {
    let (mut scopes, mut findings) = (Vec::new(), Vec::new());
    if !is_shared_name(&request.name) {
        let message = "a token's name is 1 to 63 of a-z 0-9 . -, starting with a letter or digit";
        findings.push(finding("bad-name", "/name", message));
    }
    if !(1..=MAX_PERMISSIONS).contains(&request.scopes.len()) {
        let message = format!("a token has 1 to {MAX_PERMISSIONS} scopes");
        findings.push(finding("bad-scopes", "/scopes", message));
    }
    for (index, scope) in request.scopes.iter().enumerate().take(MAX_PERMISSIONS) {
        match scope.parse() {
            Ok(scope) => {
                let scope: Permission = scope;
                if let Some((unknown, meant)) = scope.unknown() {
                    let message = format!("the scope {unknown} allows nothing on this server");
                    let hint = match meant {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "openapi.json names the permission of each request".to_owned(),
                    };
                    findings.push(Finding {
                        hint: Some(hint),
                        ..finding("unknown-scope", &format!("/scopes/{index}"), message)
                    });
                }
                scopes.push(scope);
            }
            Err(error) => {
                let error: BadPermission = error;
                findings.push(finding(
                    "bad-scope",
                    &format!("/scopes/{index}"),
                    error.to_string(),
                ));
            }
        }
    }
    if !(1..=MAX_LIFE).contains(&request.lifetime_seconds) {
        let message = format!("a token lives 1 to {MAX_LIFE} seconds");
        findings.push(finding("bad-lifetime", "/lifetimeSeconds", message));
    }
    match findings.is_empty() {
        true => Ok(scopes),
        false => Err(findings),
    }
}
