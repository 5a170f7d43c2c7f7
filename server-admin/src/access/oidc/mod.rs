//! Workload identity: a CI job proves what it is with a token that its provider signed (OpenID Connect Core 1.0).
//!
//! Each rule pins the issuer, the audience and claims, and says what a matching job may do. What must never happen: a token is trusted
//! whose signature was not checked with a key of its issuer, or whose kind of signature the token chose itself; or a rule admits everybody
//! with an account at the issuer.
//!
//! A key decides which algorithm its signatures have: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA. `none` and HMAC are
//! never any key's.

mod issuer;
mod rule;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tlog::hex;
use wire::codes;

use super::Denial;
use super::secret::hash;
use crate::error::Error;
use crate::problem::Refusal;
use issuer::{Issuer, NoKey};

pub use rule::IdentityRule;
pub(super) use rule::MAX_PERMISSIONS;

/// The longest identity token that is read.
const MAX_BYTES: usize = 16 << 10;
/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY: i64 = 30;
/// How much longer than it lives its use is remembered, in seconds: another replica's clock may be behind.
const MEMORY: i64 = 600;
/// How long an identity token may live, in seconds: so long its use is remembered.
const MAX_LIFETIME: i64 = 24 * 3600;

/// The claims of a token whose signature was checked.
type Claims = Map<String, Value>;

/// The rules, in order, and the issuers that they name.
#[derive(Debug, Default)]
pub(super) struct Identities {
    rules: Vec<(Arc<IdentityRule>, Arc<Issuer>)>,
}

/// An identity that a rule admits. It must still be used up.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) rule: Arc<IdentityRule>,
    /// Names this token among all, without any of its text: 64 hex digits.
    pub(super) id: String,
    /// From then on the token has expired by itself, whatever the clock of a replica says.
    pub(super) until: Timestamp,
    /// Its `sub`, for the audit trail.
    pub(super) subject: String,
}

/// A token's header, before anything is checked (RFC 7515, section 4.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// The claim that names the issuer, whose keys are tried.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

impl Identities {
    /// Adds a rule, after those that are there.
    pub(super) fn add(&mut self, rule: IdentityRule) -> Result<(), Error> {
        rule.check()?;
        if self.rules.iter().any(|(other, _)| other.name == rule.name) {
            return Err(rule.bad("another rule has this name"));
        }
        let known = self
            .rules
            .iter()
            .find(|(_, known)| known.url() == rule.issuer);
        let issuer = match known {
            Some((other, _)) if other.issuer_ca != rule.issuer_ca => {
                return Err(rule.bad("another rule has another issuer_ca for this issuer"));
            }
            Some((_, issuer)) => issuer.clone(),
            None => Arc::new(Issuer::new(&rule)?),
        };
        self.rules.push((Arc::new(rule), issuer));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks an identity token and finds the first rule that admits it.
    pub(super) async fn admit(&self, token: &str, now: Timestamp) -> Result<Admitted, Denial> {
        let malformed = || Denial::unknown("this is not an identity token");
        if token.len() > MAX_BYTES {
            return Err(malformed());
        }
        let (signed, _) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let header: Header = part(header).ok_or_else(malformed)?;
        let Unverified { iss } = part(claims).ok_or_else(malformed)?;

        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => {
                let detail = "the identity token's signature is not RS256, ES256 or EdDSA";
                return Err(Denial::unknown(detail));
            }
        };
        let jwt = |typ: &String| typ.eq_ignore_ascii_case("jwt");
        if header.crit.is_some() || !header.typ.as_ref().is_none_or(jwt) {
            return Err(malformed());
        }
        let known = self.rules.iter().find(|(_, issuer)| issuer.url() == iss);
        let (_, issuer) =
            known.ok_or_else(|| Denial::unknown("no rule is for this identity token's issuer"))?;
        let kid = header.kid.ok_or_else(malformed)?;
        let key = issuer
            .key(&kid, algorithm)
            .await
            .map_err(|no_key| match no_key {
                NoKey::Unknown => {
                    Denial::unknown("the issuer has no key with the identity token's key id")
                }
                NoKey::Unreachable { why, retry } => {
                    let detail = format!(
                        "the keys of the issuer {} can't be had: {why}",
                        issuer.url()
                    );
                    Refusal::new(codes::UNAVAILABLE, detail)
                    .hint("nothing is wrong with the identity token as far as is known; try again")
                    .retry_after(retry)
                    .into()
                }
            })?;

        // Only the signature is checked here; everything else is checked below, with better messages.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|_| Denial::unknown("the identity token's signature is wrong"))?
            .claims;

        let until = times(&claims, now).map_err(Denial::unknown)?;
        let rule = self.rule(&claims, &iss)?;
        Ok(Admitted {
            id: id(&iss, &claims, signed),
            until,
            subject: clip(claims.get("sub").and_then(Value::as_str).unwrap_or("")),
            rule,
        })
    }

    /// The first rule that admits these claims.
    fn rule(&self, claims: &Claims, issuer: &str) -> Result<Arc<IdentityRule>, Denial> {
        let of_issuer = self.rules.iter().map(|(rule, _)| rule);
        let of_issuer = of_issuer.filter(|rule| rule.issuer == issuer);
        let mut audience = of_issuer.filter(|rule| rule.is_meant_by(claims)).peekable();
        if audience.peek().is_none() {
            let detail = "the identity token is for another audience";
            return Err(Denial::unknown(detail));
        }
        let mut missed = Vec::new();
        for rule in audience {
            match rule.differs(claims) {
                None => return Ok(rule.clone()),
                Some(claim) => missed.push(format!("{}: {claim}", rule.name)),
            }
        }
        // A caller that does not match must not learn which claims are pinned; the operator learns what was wrong.
        let subject = clip(claims.get("sub").and_then(Value::as_str).unwrap_or(""));
        tracing::warn!(target: "server_admin::audit", issuer, subject, differs = missed.join(", "), "no rule admits an identity");
        Err(Denial::nobody("no rule admits this identity")
            .hint("the server's log names each rule's first claim that differs"))
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Names a token by its `jti`, else by its signed part: the signature itself can be written in more than one way.
fn id(issuer: &str, claims: &Claims, signed: &str) -> String {
    let unique = match claims.get("jti").and_then(Value::as_str) {
        Some(jti) => format!("jti\n{issuer}\n{jti}"),
        None => format!("token\n{signed}"),
    };
    hex(&hash(&unique))
}

/// Whether a token is valid at this time (RFC 7519, section 4.1), and how long its use must be remembered.
fn times(claims: &Claims, now: Timestamp) -> Result<Timestamp, &'static str> {
    let now = now.as_second();
    let seconds = |name: &str| -> Result<Option<i64>, &'static str> {
        let Some(value) = claims.get(name) else {
            return Ok(None);
        };
        let number = value.as_i64().or_else(|| {
            let float = value.as_f64().filter(|float| float.abs() < 1e12)?;
            // In range, as just seen.
            Some(float as i64)
        });
        number
            .map(Some)
            .ok_or("a time in the identity token is not a number")
    };
    let exp = seconds("exp")?.ok_or("the identity token says not when it expires")?;
    let iat = seconds("iat")?.ok_or("the identity token says not when it was issued")?;
    let nbf = seconds("nbf")?.unwrap_or(iat);
    if iat.max(nbf) > now.saturating_add(LEEWAY) {
        return Err("the identity token is not valid yet");
    }
    let until = exp.saturating_add(LEEWAY);
    if until <= now {
        return Err("the identity token has expired");
    }
    if exp.saturating_sub(iat) > MAX_LIFETIME {
        return Err("the identity token lives longer than a day");
    }
    Timestamp::from_second(until.saturating_add(MEMORY))
        .map_err(|_| "the identity token never expires")
}

/// Text of another's, short and without control characters.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else {
            panic!("an object")
        };
        claims
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        /// Oracle: the three inequalities, for times around now.
        #[test]
        fn a_token_is_good_between_its_times(exp in 0i64..300_000, iat in 0i64..300_000, nbf in 0i64..300_000, now in 0i64..300_000) {
            let times = times(&claims(json!({"exp": exp, "iat": iat, "nbf": nbf})), at(now));
            let good = now < exp + LEEWAY && now + LEEWAY >= iat && now + LEEWAY >= nbf && exp - iat <= MAX_LIFETIME;
            prop_assert_eq!(times.is_ok(), good);
            if let Ok(until) = times {
                prop_assert!(until > at(now) && until > at(exp + LEEWAY));
            }
        }

        #[test]
        fn no_time_is_too_strange(exp: i64, iat: i64, now in 0i64..4_000_000_000) {
            let _ = times(&claims(json!({"exp": exp, "iat": iat})), at(now));
            let _ = times(&claims(json!({"exp": exp as f64, "iat": iat as f64 / 3.0})), at(now));
        }
    }

    #[test]
    fn times_must_be_there_and_numbers() {
        for bad in [
            json!({}),
            json!({"exp": 100}),
            json!({"iat": 100}),
            json!({"exp": "100", "iat": 50}),
            json!({"exp": null, "iat": 50}),
            json!({"exp": 1e300, "iat": 50}),
            json!({"exp": 100, "iat": 50, "nbf": "x"}),
        ] {
            assert!(times(&claims(bad.clone()), at(60)).is_err(), "{bad}");
        }
        assert!(times(&claims(json!({"exp": 100.5, "iat": 50})), at(60)).is_ok());
    }

    #[test]
    fn a_token_is_named_by_its_jti_or_by_what_was_signed() {
        let (one, two) = (claims(json!({"jti": "1"})), claims(json!({"jti": "2"})));
        let none = claims(json!({"jti": 1}));
        assert_eq!(id("i", &one, "a.b"), id("i", &one, "a.c"));
        assert_ne!(id("i", &one, "a.b"), id("i", &two, "a.b"));
        assert_ne!(id("i", &one, "a.b"), id("j", &one, "a.b"));
        assert_eq!(id("i", &none, "a.b"), id("j", &none, "a.b"));
        assert_ne!(id("i", &none, "a.b"), id("i", &none, "a.c"));
    }
}
