//! An issuer of identity tokens on loopback: HTTPS, discovery, a key set, real keys. Tokens are put together here byte by
//! byte, with other code than the endpoint reads them with.
#![expect(
    clippy::disallowed_methods,
    reason = "keys of an issuer, which is no part of the product"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::generate_simple_self_signed;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use server_admin::IdentityRule;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) const AUDIENCE: &str = "logd";

/// How it answers for its discovery document.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Discovery {
    Right,
    Status(u16),
    OfAnother,
    Huge,
    Never,
    Garbage,
    PlainKeys,
}

pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
    site: Arc<Site>,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

struct Site {
    url: String,
    discovery: Mutex<Discovery>,
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
}

/// A key pair of an issuer.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": base64(n), "e": base64(e)})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64(&point[1..33]), "y": base64(&point[33..])})
            }
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": base64(pair.public_key())})
            }
        }
    }

    /// The public key in the form that a naive server might take for an HMAC key.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::P256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with this header and these claims.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            base64(header.to_string()),
            base64(claims.to_string())
        );
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", base64(signature))
    }

    /// A token as the issuer makes them.
    pub(crate) fn usual(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": kid});
        self.token(&header, claims)
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017, appendix A.1.1) of 2048 bits.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // SEQUENCE, INTEGER of 257 bytes of which the first is zero, INTEGER of 3 bytes.
    assert_eq!(der[4..9], [0x02, 0x82, 0x01, 0x01, 0x00], "{der:?}");
    let (modulus, rest) = der[9..].split_at(256);
    assert_eq!(rest[..2], [0x02, 0x03]);
    (modulus.to_vec(), rest[2..].to_vec())
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let ca = folder.path().join("issuer-ca.pem");
        fs::write(&ca, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let site = Arc::new(Site {
            url: url.clone(),
            discovery: Mutex::new(Discovery::Right),
            keys: Mutex::default(),
            asked: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(site.clone());
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let running = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, app) = (acceptor.clone(), app.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = TowerToHyperService::new(app);
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            url,
            ca,
            site,
            running,
            _folder: folder,
        }
    }

    /// From now on these are its keys.
    pub(crate) fn publish(&self, keys: &[(&str, &Signer)]) {
        let keys = keys.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
        *self.site.keys.lock().unwrap() = keys;
    }

    pub(crate) fn answer_with(&self, discovery: Discovery) {
        *self.site.discovery.lock().unwrap() = discovery;
    }

    /// How often its keys were fetched.
    pub(crate) fn asked(&self) -> usize {
        self.site.asked.load(Ordering::SeqCst)
    }

    /// Takes no connection any more.
    pub(crate) async fn stop(self) -> Self {
        self.running.abort();
        super::until("the issuer has stopped", async || {
            self.running.is_finished()
        })
        .await;
        self
    }

    /// Lets workflow 7 rotate `argon`.
    pub(crate) fn rule(&self) -> IdentityRule {
        IdentityRule {
            name: "nightly".to_owned(),
            issuer: self.url.clone(),
            audience: AUDIENCE.to_owned(),
            claims: [("repository_id", "7"), ("environment", "production")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            permissions: ["shard:rotate:argon", "log:read:argon"]
                .map(|text| text.parse().unwrap())
                .into(),
            issuer_ca: Some(self.ca.clone()),
        }
    }

    /// The claims of a good token, with a `jti` of its own.
    pub(crate) fn claims(&self) -> Value {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let now = super::now().as_second();
        json!({
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:example/logs:environment:production",
            "iat": now,
            "nbf": now - 600,
            "exp": now + 300,
            "jti": format!("token-{}", NEXT.fetch_add(1, Ordering::SeqCst)),
            "repository_id": "7",
            "environment": "production",
        })
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn discovery(State(site): State<Arc<Site>>) -> Response {
    let document = |issuer: &str, keys: String| {
        axum::Json(json!({"issuer": issuer, "jwks_uri": keys, "response_types_supported": []}))
            .into_response()
    };
    let keys = format!("{}/keys", site.url);
    let how = *site.discovery.lock().unwrap();
    match how {
        Discovery::Right => document(&site.url, keys),
        Discovery::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Discovery::OfAnother => document("https://example.org", keys),
        Discovery::Huge => format!("[{}]", "0,".repeat(1 << 20)).into_response(),
        Discovery::Never => std::future::pending().await,
        Discovery::Garbage => "<html>".into_response(),
        Discovery::PlainKeys => document(&site.url, keys.replace("https:", "http:")),
    }
}

async fn keys(State(site): State<Arc<Site>>) -> Response {
    site.asked.fetch_add(1, Ordering::SeqCst);
    axum::Json(json!({"keys": *site.keys.lock().unwrap()})).into_response()
}
