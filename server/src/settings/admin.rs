//! `[admin]`: the listeners of the admin endpoint, and the permissions of operators.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use server_admin::{ClientName, IdentityRule, Permission};
use toml::Spanned;

use super::Wrong;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Unix socket; peers are known by their uid.
    pub(crate) socket: Option<PathBuf>,
    /// Permissions over the socket; if absent, the user that runs the server may do everything.
    pub(crate) users: Option<Vec<User>>,
    /// TCP address; peers need a token or a client certificate.
    pub(crate) listen: Option<SocketAddr>,
    /// Required unless the address is a loopback one.
    pub(crate) tls: Option<AdminTls>,
    /// The file of hashed tokens.
    pub(crate) tokens: Option<PathBuf>,
    /// Names for lists of permissions.
    #[serde(default)]
    roles: BTreeMap<String, Vec<Permission>>,
    /// Permissions of client certificates; the first that matches decides.
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    /// Rules that give a session for an identity token; the first that matches decides.
    #[serde(default)]
    pub(crate) identities: Vec<Spanned<Identity>>,
}

/// Certificate and key of the admin endpoint, and the authorities of client certificates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminTls {
    /// PEM, the server's certificate first.
    pub(crate) cert: PathBuf,
    /// The certificate's private key, PEM.
    pub(crate) key: PathBuf,
    /// PEM: authorities of client certificates.
    pub(crate) client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) permissions: Grants,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    /// A SAN URI, or `sha256:` and the hash of the key.
    #[serde(deserialize_with = "client_name")]
    pub(crate) client: ClientName,
    pub(crate) permissions: Grants,
}

/// A workload, as its issuer's tokens describe it (OpenID Connect).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Its actor is `oidc:NAME`.
    name: String,
    /// Must equal the tokens' `iss`.
    issuer: String,
    /// Must be in the tokens' `aud`.
    audience: String,
    /// Claims that must have just these values.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    permissions: Grants,
    /// PEM: authorities behind the issuer's HTTPS; the platform's without it.
    issuer_ca: Option<PathBuf>,
}

/// Roles and permissions, each with its place in the file.
pub(crate) type Grants = Vec<Spanned<Grant>>;

/// A permission, or a role that stands for several.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Grant {
    Permission(Permission),
    Role(String),
}

impl TryFrom<String> for Grant {
    type Error = server_admin::BadPermission;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match is_role(&text) {
            true => Ok(Self::Role(text)),
            false => text.parse().map(Self::Permission),
        }
    }
}

fn is_role(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn client_name<'de, D: serde::Deserializer<'de>>(input: D) -> Result<ClientName, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Admin {
    /// Permissions, with each role replaced by what it stands for. Checked settings hold no unknown role.
    pub(crate) fn permissions(&self, grants: &Grants) -> Vec<Permission> {
        let each = |grant: &Spanned<Grant>| match grant.get_ref() {
            Grant::Permission(permission) => vec![permission.clone()],
            Grant::Role(name) => self.roles.get(name).cloned().unwrap_or_default(),
        };
        grants.iter().flat_map(each).collect()
    }

    /// The rules for identity tokens.
    pub(crate) fn identity_rules(&self) -> impl Iterator<Item = IdentityRule> {
        self.identities
            .iter()
            .map(|identity| self.rule(identity.get_ref()))
    }

    fn rule(&self, identity: &Identity) -> IdentityRule {
        IdentityRule {
            name: identity.name.clone(),
            issuer: identity.issuer.clone(),
            audience: identity.audience.clone(),
            claims: identity.claims.clone(),
            permissions: self.permissions(&identity.permissions),
            issuer_ca: identity.issuer_ca.clone(),
        }
    }

    /// Refuses settings that parse but make no sense.
    pub(super) fn wrongs(&self) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        for name in self.roles.keys().filter(|name| !is_role(name)) {
            let problem = format!(
                "not a name for a role: {name:?}; use a-z, 0-9 and -, starting with a letter"
            );
            wrongs.push(Wrong::key("[admin.roles]", problem));
        }
        let users = self.users.iter().flatten().map(|user| &user.permissions);
        let clients = self.certificates.iter().map(|client| &client.permissions);
        let workloads = self.identities.iter();
        let workloads = workloads.map(|identity| &identity.get_ref().permissions);
        let grants = users.chain(clients).chain(workloads).flatten();
        wrongs.extend(grants.filter_map(|grant| self.unknown_role(grant)));
        for identity in &self.identities {
            if let Err(error) = self.rule(identity.get_ref()).check() {
                wrongs.push(Wrong::at(identity.span().start, error.to_string()));
            }
        }
        let client_ca = self.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        match (client_ca, self.certificates.is_empty()) {
            (None, false) => {
                let problem = "admin.certificates needs admin.listen and client_ca in admin.tls: nobody could show one";
                wrongs.push(Wrong::key("[[admin.certificates]]", problem));
            }
            (Some(_), true) => {
                let problem =
                    "client_ca in admin.tls needs admin.certificates: no certificate has a role";
                wrongs.push(Wrong::key("[admin", problem));
            }
            _ => {}
        }
        let Some(listen) = self.listen else {
            return wrongs;
        };
        let nobody =
            self.tokens.is_none() && self.certificates.is_empty() && self.identities.is_empty();
        if nobody {
            let problem = format!(
                "admin.listen {listen} needs admin.tokens, admin.certificates or admin.identities: nobody could log in"
            );
            wrongs.push(Wrong::key("[admin]", problem));
        }
        if self.tls.is_none() && !listen.ip().is_loopback() {
            let problem =
                format!("admin.listen {listen} is not a loopback address and needs admin.tls");
            wrongs.push(Wrong::key("[admin]", problem));
        }
        wrongs
    }

    /// The authorities behind the issuers' HTTPS.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &PathBuf> {
        let identities = self.identities.iter();
        identities.filter_map(|identity| identity.get_ref().issuer_ca.as_ref())
    }

    fn unknown_role(&self, grant: &Spanned<Grant>) -> Option<Wrong> {
        let Grant::Role(name) = grant.get_ref() else {
            return None;
        };
        if self.roles.contains_key(name) {
            return None;
        }
        let roles = self.roles.keys().map(String::as_str);
        let hint = match logconfig::text::nearest(name, roles) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None if !self.roles.is_empty() => "[admin.roles] has no such role".to_owned(),
            None => {
                "there is no [admin.roles]; a permission looks like shard:rotate:argon".to_owned()
            }
        };
        Some(Wrong::at(
            grant.span().start,
            format!("no role named {name:?}: {hint}"),
        ))
    }

    /// All paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self.tls.iter_mut().flat_map(|tls| {
            [&mut tls.cert, &mut tls.key]
                .into_iter()
                .chain(&mut tls.client_ca)
        });
        let issuers = self.identities.iter_mut();
        let issuers = issuers.flat_map(|identity| &mut identity.get_mut().issuer_ca);
        tls.chain(&mut self.socket)
            .chain(&mut self.tokens)
            .chain(issuers)
    }
}
