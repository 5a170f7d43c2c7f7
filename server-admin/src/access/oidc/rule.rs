//! One rule: which identities may do what.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;
use serde_json::Value;

use super::Claims;
use crate::access::secret::is_shared_name;
use crate::error::Error;
use crate::permission::Permission;

/// GitHub Actions, where everybody can have a repository and name its environments as they like.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// GitHub's claims that no other repository or owner can have.
const GITHUB_OWN: [&str; 7] = [
    "sub",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
    "workflow_ref",
];
/// Claims that do not identify anybody, or have a field of their own in the rule.
const NO_PINS: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];
/// How many permissions fit into a session.
pub(in crate::access) const MAX_PERMISSIONS: usize = 64;

/// A caller with an identity token of this issuer, for this audience and with these claims, gets a session with these
/// permissions; its actor is `oidc:NAME`.
///
/// # Example: a rotation by a workflow of GitHub Actions
///
/// ```
/// # use server_admin::IdentityRule;
/// let rule = IdentityRule {
///     name: "nightly".to_owned(),
///     issuer: "https://token.actions.githubusercontent.com".to_owned(),
///     audience: "logd".to_owned(),
///     claims: [("repository_id", "1234"), ("environment", "production")]
///         .map(|(name, value)| (name.to_owned(), value.to_owned()))
///         .into(),
///     permissions: vec!["shard:rotate:argon".parse()?, "*:read:*".parse()?],
///     issuer_ca: None,
/// };
/// # Ok::<_, server_admin::BadPermission>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdentityRule {
    /// Its name: a-z, 0-9, `.` and `-`.
    pub name: String,
    /// The issuer's URL, exactly as the token's `iss` has it. HTTPS; plain HTTP only for a loopback address.
    pub issuer: String,
    /// The audience that the token's `aud` must name.
    pub audience: String,
    /// Claims and the value that each must have, exactly. A number or a truth value is compared as its text. At least one
    /// is needed, one that only your own workloads have: otherwise everybody with an account at the issuer could log in.
    pub claims: BTreeMap<String, String>,
    /// The permissions of the session; at most 64.
    pub permissions: Vec<Permission>,
    /// PEM file of the authorities behind the issuer's HTTPS; the platform's when absent.
    pub issuer_ca: Option<PathBuf>,
}

impl IdentityRule {
    /// The error about this rule, for an operator.
    pub(super) fn bad(&self, problem: impl Into<String>) -> Error {
        Error::IdentityRule {
            name: self.name.clone(),
            problem: problem.into(),
        }
    }

    /// Checks that the rule is valid.
    ///
    /// # Errors
    /// [`Error::IdentityRule`], with what to do.
    pub fn check(&self) -> Result<(), Error> {
        if !is_shared_name(&self.name) {
            return Err(
                self.bad("its name is not 1 to 63 of a-z 0-9 . -, starting with a letter or digit")
            );
        }
        let url = Url::parse(&self.issuer).map_err(|error| self.bad(format!("issuer: {error}")))?;
        if !is_safe(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(self.bad(
                "issuer is not an https:// URL without query (plain http:// is for loopback addresses only)",
            ));
        }
        if self.audience.is_empty() {
            return Err(self.bad("audience is empty: a token for any other service would do"));
        }
        if let Some(claim) = NO_PINS
            .iter()
            .find(|claim| self.claims.contains_key(**claim))
        {
            return Err(self.bad(format!("claims can't pin {claim}")));
        }
        if self.claims.is_empty() {
            return Err(self.bad(
                "it pins no claim: everybody with an account at the issuer could come in; pin sub, repository_id or the like",
            ));
        }
        if self.issuer == GITHUB
            && !GITHUB_OWN
                .iter()
                .any(|claim| self.claims.contains_key(*claim))
        {
            return Err(self.bad(format!(
                "its claims are any repository's: pin one of {}",
                GITHUB_OWN.join(", ")
            )));
        }
        if !(1..=MAX_PERMISSIONS).contains(&self.permissions.len()) {
            return Err(self.bad(format!(
                "it has no permissions, or more than {MAX_PERMISSIONS}"
            )));
        }
        Ok(())
    }

    /// Whether a token is for this rule's audience.
    pub(super) fn is_meant_by(&self, claims: &Claims) -> bool {
        match claims.get("aud") {
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&self.audience)),
            _ => false,
        }
    }

    /// The first pinned claim that these differ in.
    pub(super) fn differs(&self, claims: &Claims) -> Option<&str> {
        let same = |name: &str, wanted: &str| match claims.get(name) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Number(number)) => number.to_string() == wanted,
            Some(Value::Bool(truth)) => truth.to_string() == wanted,
            _ => false,
        };
        let differs = |(name, wanted): &(&String, &String)| !same(name, wanted);
        self.claims
            .iter()
            .find(differs)
            .map(|(name, _)| name.as_str())
    }
}

/// Whether answers from this URL can be trusted.
pub(super) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn rule() -> IdentityRule {
        IdentityRule {
            name: "nightly".to_owned(),
            issuer: GITHUB.to_owned(),
            audience: "logd".to_owned(),
            claims: [("repository_id".to_owned(), "1234".to_owned())].into(),
            permissions: vec!["shard:rotate:argon".parse().unwrap()],
            issuer_ca: None,
        }
    }

    fn refused(change: impl FnOnce(&mut IdentityRule)) -> String {
        let mut rule = rule();
        change(&mut rule);
        rule.check().unwrap_err().to_string()
    }

    #[test]
    fn a_rule_that_lets_everybody_in_is_none() {
        rule().check().unwrap();
        assert!(refused(|rule| rule.claims.clear()).contains("everybody"));
        let environment = || [("environment".to_owned(), "production".to_owned())].into();
        assert!(refused(|rule| rule.claims = environment()).contains("repository_id"));
        let mut elsewhere = rule();
        elsewhere.issuer = "https://example.org".to_owned();
        elsewhere.claims = environment();
        elsewhere.check().unwrap();
        for claim in NO_PINS {
            assert!(
                refused(|rule| drop(rule.claims.insert(claim.to_owned(), "x".to_owned())))
                    .contains(claim)
            );
        }
        assert!(refused(|rule| rule.audience.clear()).contains("audience"));
        assert!(refused(|rule| rule.permissions.clear()).contains("permissions"));
        assert!(refused(|rule| rule.name = "A b".to_owned()).contains("name"));
        for issuer in [
            "http://example.org",
            "http://127.0.0.1.example.org",
            "ftp://127.0.0.1",
            "example.org",
            "https://example.org/?x",
            "https://example.org/#x",
            "",
        ] {
            assert!(
                refused(|rule| rule.issuer = issuer.to_owned()).contains("issuer"),
                "{issuer}"
            );
        }
        for issuer in [
            "http://127.0.0.1:1/x",
            "http://[::1]:1",
            "http://localhost",
            "https://example.org/x",
        ] {
            let mut rule = rule();
            rule.issuer = issuer.to_owned();
            rule.check().unwrap();
        }
    }

    #[test]
    fn audiences_and_claims_are_compared_exactly() {
        let claims = |value: serde_json::Value| value.as_object().unwrap().clone();
        for (aud, meant) in [
            (json!("logd"), true),
            (json!(["x", "logd"]), true),
            (json!("logd2"), false),
            (json!(["LOGD"]), false),
            (json!([["logd"]]), false),
            (json!({"logd": "logd"}), false),
            (json!(null), false),
        ] {
            assert_eq!(
                rule().is_meant_by(&claims(json!({"aud": aud}))),
                meant,
                "{aud}"
            );
        }
        for (id, same) in [
            (json!("1234"), true),
            (json!(1234), true),
            (json!("1234 "), false),
            (json!("01234"), false),
            (json!(1234.0), false),
            (json!(["1234"]), false),
            (json!(null), false),
        ] {
            let differs = rule()
                .differs(&claims(json!({"repository_id": id})))
                .is_some();
            assert_eq!(differs, !same, "{id}");
        }
        assert_eq!(rule().differs(&claims(json!({}))), Some("repository_id"));
    }

    proptest! {
        /// Oracle: equality of maps.
        #[test]
        fn all_pins_must_hold(
            pins in prop::collection::btree_map("[ab]", "[xy]", 1..3),
            shown in prop::collection::btree_map("[abc]", "[xy]", 0..4),
        ) {
            let mut rule = rule();
            rule.claims = pins.clone();
            let claims = shown.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let fits = pins.iter().all(|(name, value)| shown.get(name) == Some(value));
            prop_assert_eq!(rule.differs(&claims).is_none(), fits);
        }
    }
}
