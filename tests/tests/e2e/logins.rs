//! Logins with two servers on one folder: each of them knows what the other learns or forgets about a caller.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tests::http::{Answer, Http};
use tests::process::{Logd, Start};

use crate::{Done, audit, folder};

/// An issuer of identity tokens on loopback, until the test ends.
struct Issuer {
    url: String,
    key: SigningKey,
}

impl Issuer {
    fn start() -> Result<Self> {
        let key = SigningKey::from_bytes(&[7; 32]);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/issuer", listener.local_addr()?);
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]});
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = || -> std::io::Result<()> {
                    let mut stream = BufReader::new(stream?);
                    let mut first = String::new();
                    stream.read_line(&mut first)?;
                    let mut line = String::new();
                    while stream.read_line(&mut line)? > 2 {
                        line.clear();
                    }
                    let body = match first.contains("/keys") {
                        true => &keys,
                        false => &discovery,
                    };
                    let body = body.to_string();
                    let length = body.len();
                    write!(
                        stream.get_mut(),
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    )
                };
                // A client that went away.
                let _ = answer();
            }
        });
        Ok(Self { url, key })
    }

    fn token(&self, id: &str, environment: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({"alg": "EdDSA", "kid": "1", "typ": "JWT"});
        let claims = json!({
            "iss": self.url, "aud": "logd", "sub": "job", "jti": id,
            "iat": now, "exp": now + 300, "environment": environment,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A server, and its two ways in.
struct Server {
    logd: Logd,
    socket: Http,
    tcp: Http,
}

impl Server {
    /// Serves the stores of the folder as `name`.
    fn start(at: &Path, name: &str, issuer: &Issuer) -> Result<Self> {
        let settings = at.join(format!("{name}.toml"));
        let text = format!(
            "[data]\nlisten = '127.0.0.1:0'\n\
             [admin]\nsocket = '{name}.sock'\nlisten = '127.0.0.1:0'\n\
             [admin.roles]\noperator = ['shard:rotate:dev', 'log:read:*']\n\
             [[admin.identities]]\nname = 'nightly'\nissuer = '{}'\naudience = 'logd'\n\
             claims = {{ environment = 'production' }}\npermissions = ['operator']\n\
             [stores]\ncoordination = 'coordination.db'\nobjects = 'objects'\n[kek]\nfile = 'kek'\n",
            issuer.url
        );
        std::fs::write(&settings, text)?;
        let how = Start {
            settings: Some(settings),
            ..Start::default()
        };
        let logd = Logd::start_as(at, &how)?;
        let address = logd.admin.strip_prefix("http://").context("plain HTTP")?;
        let address: SocketAddr = address.parse()?;
        Ok(Self {
            logd,
            socket: Http::unix(at.join(format!("{name}.sock"))),
            tcp: Http::new(address),
        })
    }

    /// Asks over TCP, with this as the bearer.
    fn ask(&mut self, method: &str, path: &str, bearer: &str) -> Result<Answer> {
        let login = format!("Bearer {bearer}");
        let headers = [("Authorization", login.as_str())];
        let path = format!("/admin/v1/{path}");
        let body = (method != "GET").then_some(&b""[..]);
        let first = self.tcp.send(method, &path, &headers, body);
        // An idle connection is closed after a while.
        first.or_else(|_| self.tcp.send(method, &path, &headers, body))
    }

    fn actor(&mut self, bearer: &str) -> Result<Value> {
        let answer = self.ask("GET", "whoami", bearer)?.expect_status(200)?;
        Ok(answer.json()?["actor"].clone())
    }

    /// Sends a request over the socket, as the user that may do everything.
    fn own(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/admin/v1/{path}");
        let body = body.map(Value::to_string);
        let headers = [("Content-Type", "application/json")];
        let answer =
            self.socket
                .send(method, &path, &headers, body.as_deref().map(str::as_bytes))?;
        answer.expect_status(200)?.json()
    }
}

#[test]
fn two_servers_know_the_same_callers() -> Done {
    let folder = folder()?;
    let at = folder.path();
    // Makes the log, the stores and the key.
    Logd::start(at)?.terminate()?;
    let issuer = Issuer::start()?;
    let (mut one, mut two) = (
        Server::start(at, "one", &issuer)?,
        Server::start(at, "two", &issuer)?,
    );

    // A token that one makes works on the other, until the other revokes it.
    let wanted = json!({"name": "ci", "scopes": ["log:read:dev"], "lifetimeSeconds": 600});
    let made = one.own("POST", "tokens", Some(&wanted))?;
    let token = made["secret"].as_str().context("a secret")?.to_owned();
    let proof = &made["audit"]["checkpoint"];
    ensure!(
        made["auditIndex"].is_u64() && proof.is_string(),
        "a receipt: {}",
        made["audit"]
    );
    ensure!(two.actor(&token)? == "token:ci");
    two.ask("POST", "logs/dev/rotations", &token)?
        .expect_status(403)?;
    let again = two.ask("POST", "tokens", &token)?;
    again.expect_status(403)?;
    let listed = two.own("GET", "tokens", None)?;
    ensure!(listed["tokens"][0]["name"] == "ci" && listed["tokens"][0]["revocable"] == true);
    let revoked = two.own("DELETE", "tokens/ci", None)?;
    ensure!(revoked["auditIndex"].as_u64() > made["auditIndex"].as_u64());
    one.ask("GET", "whoami", &token)?.expect_status(401)?;

    // An identity token works once, wherever it is shown; its session works everywhere.
    let identity = issuer.token("first", "production")?;
    let session = one
        .ask("POST", "sessions", &identity)?
        .expect_status(200)?
        .json()?;
    let secret = session["secret"].as_str().context("a secret")?.to_owned();
    for server in [&mut one, &mut two] {
        let replay = server
            .ask("POST", "sessions", &identity)?
            .expect_status(401)?;
        ensure!(replay.text().contains("used before"), "{}", replay.text());
        ensure!(server.actor(&secret)? == "oidc:nightly");
    }
    let rotated = two.ask("POST", "logs/dev/rotations", &secret)?;
    let rotated = rotated.expect_status(200)?.json()?;
    ensure!(rotated["actor"] == "oidc:nightly", "{rotated}");
    two.ask("POST", "logs/dev/freeze", &secret)?
        .expect_status(403)?;
    two.ask("POST", "logs/other/rotations", &secret)?
        .expect_status(403)?;
    let staging = issuer.token("second", "staging")?;
    one.ask("POST", "sessions", &staging)?.expect_status(403)?;

    // A thousand wrong ones: refused, soon without a look at each; everybody else is served.
    let mut refused = [0, 0];
    for n in 0..1000u32 {
        let wrong = format!("logctl_t_ci_{n:064x}");
        match two.ask("GET", "whoami", &wrong)?.status {
            401 => refused[0] += 1,
            429 => refused[1] += 1,
            other => ensure!(false, "{other}"),
        }
        if n % 250 == 0 {
            ensure!(
                two.actor(&secret)? == "oidc:nightly",
                "from the same address"
            );
            two.logd.add(format!("entry {n}").as_bytes())?;
        }
    }
    ensure!(refused[0] >= 1 && refused[1] >= 900, "{refused:?}");
    let trail = two.own("GET", "audit?limit=1000", None)?;
    let entries = trail["entries"].as_array().context("entries")?;
    let count = |action: &str| {
        entries
            .iter()
            .filter(|entry| entry["action"] == action)
            .count()
    };
    ensure!(
        (1..=6).contains(&count("login-failed")),
        "{}",
        count("login-failed")
    );
    for action in ["token-create", "token-revoke", "session-create"] {
        ensure!(count(action) == 1, "{action}: {}", count(action));
    }

    // No secret is in the log, the trail, or the stores.
    let mut kept = vec![trail.to_string().into_bytes()];
    kept.extend([&one, &two].map(|server| server.logd.errors().into_bytes()));
    ensure!(
        String::from_utf8_lossy(&kept[2]).contains("login failed"),
        "the log is looked at"
    );
    for name in ["coordination.db", "coordination.db-wal"] {
        kept.push(std::fs::read(at.join(name)).unwrap_or_default());
    }
    ensure!(
        kept[3].len() + kept[4].len() > 4096,
        "the store is looked at"
    );
    for secret in [&token, &secret, &identity, &staging] {
        let end = &secret.as_bytes()[secret.len() - 40..];
        let found = kept
            .iter()
            .position(|text| text.windows(end.len()).any(|part| part == end));
        ensure!(found.is_none(), "a secret is in {found:?}");
    }
    two.logd.settled()?;
    audit(&two.logd, [])?;
    Ok(())
}
