//! A CI job at work: an issuer of identity tokens on loopback with a real key, GitHub Actions' request protocol, a server
//! that trusts the issuer, and `logctl` with nothing but the job's environment.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tests::process::{Logd, Ran, Start, logctl_with};

use crate::{Done, folder};

const AUDIENCE: &str = "https://log.example.org";
/// The credential that the job shows to its runner for an identity token.
const REQUEST: &str = "r3quest-t0ken";

/// The issuer, and the endpoint of the runner that asks it.
struct Issuer {
    url: String,
    key: SigningKey,
    /// Tokens made so far: each has an id of its own.
    made: AtomicUsize,
}

impl Issuer {
    /// Listens on two ports of loopback: the issuer over HTTPS, whose certificate goes to `ca`, and the runner's endpoint.
    fn start(ca: &Path) -> Result<(Arc<Self>, String)> {
        let (site, runner) = (
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        );
        let issuer = Arc::new(Self {
            url: format!("https://localhost:{}", site.local_addr()?.port()),
            key: SigningKey::from_bytes(&[7; 32]),
            made: AtomicUsize::new(0),
        });
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(ca, pair.cert.pem())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)?;
        let (tls, served) = (Arc::new(tls), issuer.clone());
        std::thread::spawn(move || {
            for stream in site.incoming().flatten() {
                if let Ok(connection) = rustls::ServerConnection::new(tls.clone()) {
                    // A client that disconnects in the middle is not a failure here.
                    let _ = served.answer(rustls::StreamOwned::new(connection, stream));
                }
            }
        });
        let url = format!("http://{}/token?api-version=2.0", runner.local_addr()?);
        let asked = issuer.clone();
        std::thread::spawn(move || {
            for stream in runner.incoming().flatten() {
                let _: Result<TcpStream> = asked.answer(stream);
            }
        });
        Ok((issuer, url))
    }

    fn answer<S: Read + Write>(&self, stream: S) -> Result<S> {
        let mut stream = BufReader::new(stream);
        let (mut first, mut allowed) = (String::new(), false);
        stream.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            allowed |= line.trim() == format!("authorization: Bearer {REQUEST}");
            if line.trim().is_empty() {
                break;
            }
        }
        let path = first.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path.split_once('?') {
            None if path == "/.well-known/openid-configuration" => {
                let keys = format!("{}/keys", self.url);
                (200, json!({ "issuer": self.url, "jwks_uri": keys }))
            }
            None if path == "/keys" => (200, json!({ "keys": [self.jwk()] })),
            Some(("/token", query))
                if allowed && query.contains("&audience=https%3A%2F%2Flog.example.org") =>
            {
                (200, json!({ "value": self.token(AUDIENCE)? }))
            }
            _ => (404, json!({})),
        };
        let body = body.to_string();
        let mut stream = stream.into_inner();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
        Ok(stream)
    }

    fn jwk(&self) -> Value {
        let x = BASE64.encode(self.key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig", "alg": "EdDSA", "x": x })
    }

    /// A new identity token of this job (RFC 7519).
    fn token(&self, audience: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": "one" });
        let claims = json!({ "iss": self.url, "aud": audience, "sub": "repo:example/logs", "jti": format!("job-{id}"),
            "iat": now, "nbf": now, "exp": now + 300, "repository_id": "1234" });
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = BASE64.encode(self.key.sign(message.as_bytes()).to_bytes());
        Ok(format!("{message}.{signature}"))
    }
}

/// A server that gives sessions to jobs of this issuer, which may rotate `dev` and see what comes of it.
fn serve(at: &Path, issuer: &Issuer) -> Result<Logd> {
    let logd = Logd::start(at)?;
    ensure!(logd.terminate()?.success(), "stops");
    let settings = at.join("logd.toml");
    let mut text = std::fs::read_to_string(&settings)?;
    text.push_str(&format!(
        "\n[[admin.identities]]\nname = \"nightly\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nissuer_ca = \"issuer.pem\"\n\
         claims = {{ repository_id = \"1234\" }}\npermissions = [\"*:read:*\", \"shard:rotate:dev\"]\n",
        issuer.url
    ));
    std::fs::write(&settings, text)?;
    let how = Start {
        settings: Some(settings),
        ..Start::default()
    };
    Logd::start_as(at, &how)
}

/// `logctl` as a job runs it. Nothing that is secret may be in what it prints.
fn job(at: &Path, line: &str, environment: &[(&str, &str)]) -> Result<Ran> {
    let config = at.join("ci.toml");
    let run = at.join("run");
    let mut all: Vec<(&str, &OsStr)> = vec![
        ("LOGCTL_CONFIG", config.as_os_str()),
        ("XDG_RUNTIME_DIR", run.as_os_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", OsStr::new(REQUEST)),
    ];
    all.extend(
        environment
            .iter()
            .map(|(name, value)| (*name, OsStr::new(*value))),
    );
    let words: Vec<&str> = line.split(' ').collect();
    let ran = logctl_with(at, &words, "", &all)?;
    for text in [&ran.stdout, &ran.stderr] {
        // Every identity token begins like this.
        ensure!(
            !text.contains("eyJ") && !text.contains(REQUEST),
            "{line}: {text}"
        );
    }
    Ok(ran)
}

#[test]
fn a_nightly_job_rotates_with_its_identity() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let (issuer, url) = Issuer::start(&at.join("issuer.pem"))?;
    let logd = serve(at, &issuer)?;
    logd.add(b"one")?;
    let actions = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str())];
    let ca = at.join("admin-cert.pem");
    let set = format!(
        "context set ci log=dev admin={} ca={} oidc.audience={AUDIENCE}",
        logd.admin,
        ca.to_str().context("UTF-8")?
    );
    job(at, &set, &actions)?.expect_code(0)?;

    let who = job(at, "context show --check -o json", &actions)?
        .expect_code(0)?
        .json()?;
    ensure!(who["caller"]["actor"] == "oidc:nightly", "{who}");
    let rotated = job(at, "shard rotate --yes -o json", &actions)?
        .expect_code(0)?
        .json()?;
    ensure!(rotated["operation"]["actor"] == "oidc:nightly", "{rotated}");
    // Missing permissions are named before a request, and after it.
    job(at, "shard rotate --explain-auth", &actions)?.expect_code(0)?;
    job(at, "shard freeze --explain-auth", &actions)?.expect_code(4)?;
    job(at, "shard freeze --yes", &actions)?.expect_code(4)?;
    // All that with one identity token.
    ensure!(
        issuer.made.load(Ordering::Relaxed) == 1,
        "one session for the job"
    );

    // GitLab: the token is in a variable, and works once.
    job(at, "context set gitlab log=dev oidc.token_env=LOGCTL_ID_TOKEN oidc.audience=https://log.example.org", &[])?.expect_code(0)?;
    job(at, &set.replace("set ci", "set gitlab"), &[])?.expect_code(0)?;
    let token = issuer.token(AUDIENCE)?;
    let gitlab = [
        ("LOGCTL_CONTEXT", "gitlab"),
        ("LOGCTL_ID_TOKEN", token.as_str()),
    ];
    job(at, "shard list", &gitlab)?.expect_code(0)?;
    job(at, "shard list", &gitlab)?.expect_code(0)?;
    std::fs::remove_dir_all(at.join("run"))?;
    let again = job(at, "shard list", &gitlab)?.expect_code(4)?;
    ensure!(again.stderr.contains("works once"), "{again:?}");
    let other = issuer.token("https://elsewhere.example.org")?;
    let wrong = [
        ("LOGCTL_CONTEXT", "gitlab"),
        ("LOGCTL_ID_TOKEN", other.as_str()),
    ];
    job(at, "shard list", &wrong)?.expect_code(4)?;
    Ok(())
}
