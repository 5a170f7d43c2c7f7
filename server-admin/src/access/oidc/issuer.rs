//! An issuer and its keys: OpenID Connect Discovery 1.0 and JSON Web Key Sets (RFC 7517).
//!
//! Keys are kept for ten minutes. For an unknown key id the server asks the issuer once in ten seconds at most, however many
//! callers name one, so that a new key works at once and nobody can make this server flood the issuer. A caller that names a
//! known key never waits for the issuer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rule::{IdentityRule, is_loopback, is_safe};
use crate::error::Error;

/// How long keys are used.
const FRESH: Duration = Duration::from_secs(600);
/// How often an unknown key id is asked for.
const REFETCH: Duration = Duration::from_secs(10);
/// How long an issuer that failed is left alone.
const ISSUER_BACKOFF: Duration = Duration::from_secs(2);
/// Time for one answer of the issuer's, connection and all.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 256 << 10;
/// More keys than any issuer has; the rest are left out.
const MAX_KEYS: usize = 100;

pub(super) struct Issuer {
    url: String,
    http: Client,
    /// Locked for a read or a replacement, never while the issuer is asked.
    cache: Mutex<Cache>,
    /// Held by the one task that asks the issuer.
    asking: tokio::sync::Mutex<()>,
}

type Keys = HashMap<(String, Algorithm), DecodingKey>;

#[derive(Default)]
struct Cache {
    keys: Option<(Keys, Instant)>,
    /// When an unknown key id was last asked for.
    refetched: Option<Instant>,
    /// When the issuer last failed, and how.
    failed: Option<(Instant, String)>,
}

/// Why there is no key.
pub(super) enum NoKey {
    /// The issuer has none of this id and kind.
    Unknown,
    /// The issuer can't be asked.
    Unreachable { why: String, retry: Duration },
}

/// The answer of the cache.
enum CachedKey {
    Key(DecodingKey),
    No(NoKey),
    /// Ask the issuer; whether that is because of an unknown key id.
    Ask {
        unknown: bool,
    },
}

/// `/.well-known/openid-configuration`, as far as it matters.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// A key as far as it matters (RFC 7517, RFC 7518 section 6, RFC 8037).
#[derive(Deserialize)]
struct Key {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.url).finish()
    }
}

impl Issuer {
    /// Prepares to ask the rule's issuer; asks nothing yet.
    pub(super) fn new(rule: &IdentityRule) -> Result<Self, Error> {
        let url = Url::parse(&rule.issuer).map_err(|error| rule.bad(format!("issuer: {error}")))?;
        let mut builder = Client::builder()
            .user_agent("logd")
            .timeout(ANSWER_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls(&url, rule)?);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| rule.bad(format!("issuer: {error}")))?;
        Ok(Self {
            url: rule.issuer.clone(),
            http,
            cache: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// The issuer's URL, as tokens name it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The key with this id that makes this kind of signature.
    pub(super) async fn key(&self, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        let wanted = (kid.to_owned(), algorithm);
        if let Some(found) = self.cached(&wanted) {
            return found;
        }
        let _turn = self.asking.lock().await;
        // Another task may have asked meanwhile.
        let unknown = match self.look(&wanted, Instant::now()) {
            CachedKey::Key(key) => return Ok(key),
            CachedKey::No(no) => return Err(no),
            CachedKey::Ask { unknown } => unknown,
        };
        let answer = self.ask().await;
        {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if unknown {
                cache.refetched = Some(now);
            }
            match answer {
                Ok(keys) => {
                    tracing::info!(
                        issuer = self.url,
                        keys = keys.len(),
                        "keys of an issuer were fetched"
                    );
                    cache.keys = Some((keys, now));
                    cache.failed = None;
                }
                Err(why) => {
                    tracing::warn!(issuer = self.url, why, "an issuer's keys can't be had");
                    cache.failed = Some((now, why));
                }
            }
        }
        match self.look(&wanted, Instant::now()) {
            CachedKey::Key(key) => Ok(key),
            CachedKey::No(no) => Err(no),
            CachedKey::Ask { .. } => Err(NoKey::Unknown),
        }
    }

    /// The answer that needs no request to the issuer.
    fn cached(&self, wanted: &(String, Algorithm)) -> Option<Result<DecodingKey, NoKey>> {
        match self.look(wanted, Instant::now()) {
            CachedKey::Key(key) => Some(Ok(key)),
            CachedKey::No(no) => Some(Err(no)),
            CachedKey::Ask { .. } => None,
        }
    }

    fn look(&self, wanted: &(String, Algorithm), now: Instant) -> CachedKey {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.look(wanted, now)
    }

    /// Asks the issuer for its keys.
    async fn ask(&self) -> Result<Keys, String> {
        let at = format!(
            "{}/.well-known/openid-configuration",
            self.url.trim_end_matches('/')
        );
        let at = Url::parse(&at).map_err(|error| error.to_string())?;
        let plain = at.scheme() == "http";
        let discovery: Discovery = self.fetch(at).await?;
        if discovery.issuer != self.url {
            return Err("its discovery document is of another issuer".to_owned());
        }
        let jwks =
            Url::parse(&discovery.jwks_uri).map_err(|_| "its keys are nowhere".to_owned())?;
        if !is_safe(&jwks) || (jwks.scheme() == "http" && !plain) {
            return Err("its keys are not at an https:// address".to_owned());
        }
        let set: KeySet = self.fetch(jwks).await?;
        let usable = set.keys.into_iter().take(MAX_KEYS).filter_map(usable);
        Ok(usable.collect())
    }

    async fn fetch<T: DeserializeOwned>(&self, url: Url) -> Result<T, String> {
        // The full error is for the log; a caller that is not authenticated yet gets the short one.
        let short = |error: reqwest::Error| {
            tracing::warn!(
                issuer = self.url,
                error = chain(&error),
                "an issuer did not answer"
            );
            match error {
                error if error.is_timeout() => "it does not answer in time".to_owned(),
                error if error.is_connect() => "no connection".to_owned(),
                _ => "the connection broke".to_owned(),
            }
        };
        let mut response = self.http.get(url).send().await.map_err(short)?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(short)? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err("its answer is too large".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| "its answer is not understood".to_owned())
    }
}

impl Cache {
    fn look(&self, wanted: &(String, Algorithm), now: Instant) -> CachedKey {
        let within = |since: Instant, time| now.saturating_duration_since(since) < time;
        let fresh = self
            .keys
            .as_ref()
            .filter(|(_, fetched)| within(*fetched, FRESH));
        if let Some(key) = fresh.and_then(|(keys, _)| keys.get(wanted)) {
            return CachedKey::Key(key.clone());
        }
        if let Some((since, why)) = &self.failed
            && within(*since, ISSUER_BACKOFF)
        {
            return CachedKey::No(NoKey::Unreachable {
                why: why.clone(),
                retry: ISSUER_BACKOFF,
            });
        }
        let unknown = fresh.is_some();
        if unknown && self.refetched.is_some_and(|since| within(since, REFETCH)) {
            return CachedKey::No(NoKey::Unknown);
        }
        CachedKey::Ask { unknown }
    }
}

/// A key that signatures can be checked with, under its id and the one algorithm that its type has here. Others that an
/// issuer may have are no error.
fn usable(key: Value) -> Option<((String, Algorithm), DecodingKey)> {
    let key: Key = serde_json::from_value(key).ok()?;
    let (name, algorithm, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", None) => {
            let decoding = DecodingKey::from_rsa_components(&key.n?, &key.e?);
            ("RS256", Algorithm::RS256, decoding)
        }
        ("EC", Some("P-256")) => {
            let decoding = DecodingKey::from_ec_components(&key.x?, &key.y?);
            ("ES256", Algorithm::ES256, decoding)
        }
        ("OKP", Some("Ed25519")) => {
            let decoding = DecodingKey::from_ed_components(&key.x?);
            ("EdDSA", Algorithm::EdDSA, decoding)
        }
        _ => return None,
    };
    let fits =
        key.alg.is_none_or(|alg| alg == name) && key.usage.is_none_or(|usage| usage == "sig");
    fits.then_some(())?;
    Some(((key.kid, algorithm), decoding.ok()?))
}

/// TLS with the provider passed explicitly, and the authorities of the rule's file, or the platform's.
fn tls(url: &Url, rule: &IdentityRule) -> Result<ClientConfig, Error> {
    let failed = |error: rustls::Error| rule.bad(format!("authorities for HTTPS: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match &rule.issuer_ca {
        _ if url.scheme() != "https" => builder.with_root_certificates(RootCertStore::empty()),
        None => builder.with_platform_verifier().map_err(failed)?,
        Some(path) => {
            let bad = |source| Error::Pem {
                path: path.clone(),
                source,
            };
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(path).map_err(bad)? {
                roots.add(root.map_err(bad)?).map_err(failed)?;
            }
            if roots.is_empty() {
                return Err(rule.bad("issuer_ca holds no certificate"));
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(builder.with_no_client_auth())
}

/// An error with all that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key() -> DecodingKey {
        DecodingKey::from_ed_der(&[0; 32])
    }

    fn ask(cache: &Cache, kid: &str, now: Instant) -> &'static str {
        match cache.look(&(kid.to_owned(), Algorithm::EdDSA), now) {
            CachedKey::Key(_) => "key",
            CachedKey::No(NoKey::Unknown) => "unknown",
            CachedKey::No(NoKey::Unreachable { .. }) => "unreachable",
            CachedKey::Ask { unknown: true } => "ask again",
            CachedKey::Ask { unknown: false } => "ask",
        }
    }

    #[test]
    fn keys_are_fetched_when_missing_old_or_unknown_and_not_too_often() {
        let start = Instant::now();
        let mut cache = Cache::default();
        assert_eq!(ask(&cache, "a", start), "ask");
        cache.failed = Some((start, "down".to_owned()));
        assert_eq!(ask(&cache, "a", start), "unreachable");
        assert_eq!(ask(&cache, "a", start + ISSUER_BACKOFF), "ask");
        let keys = [(("a".to_owned(), Algorithm::EdDSA), key())].into();
        cache.keys = Some((keys, start));
        assert_eq!(
            ask(&cache, "a", start),
            "key",
            "also while the issuer is down"
        );
        cache.failed = None;
        assert_eq!(ask(&cache, "b", start), "ask again");
        cache.refetched = Some(start);
        assert_eq!(ask(&cache, "b", start), "unknown");
        assert_eq!(ask(&cache, "b", start + REFETCH), "ask again");
        assert_eq!(ask(&cache, "a", start + FRESH), "ask");
        let other_kind = ("a".to_owned(), Algorithm::RS256);
        assert!(!matches!(cache.look(&other_kind, start), CachedKey::Key(_)));
    }

    #[test]
    fn a_key_has_one_algorithm_and_others_are_left_out() {
        let rsa = json!({"kid": "1", "kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let with = |name: &str, value: Value| {
            let mut key = rsa.clone();
            key[name] = value;
            usable(key)
        };
        assert!(
            usable(rsa.clone()).is_some_and(|((_, algorithm), _)| algorithm == Algorithm::RS256)
        );
        assert!(with("alg", json!("RS256")).is_some() && with("use", json!("sig")).is_some());
        for (name, value) in [
            ("alg", json!("RS512")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("use", json!("enc")),
            ("kid", json!(null)),
            ("kty", json!("oct")),
            ("kty", json!("EC")),
            ("crv", json!("P-256")),
            ("n", json!(null)),
        ] {
            assert!(with(name, value.clone()).is_none(), "{name} {value}");
        }
        let secret = json!({"kid": "1", "kty": "oct", "k": "AAAA", "alg": "HS256"});
        assert!(usable(secret).is_none());
        let curve = |crv: &str| json!({"kid": "1", "kty": "EC", "crv": crv, "x": "AA", "y": "AA"});
        assert!(usable(curve("P-256")).is_some() && usable(curve("P-384")).is_none());
        assert!(usable(json!(7)).is_none());
    }
}
