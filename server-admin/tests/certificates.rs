//! Client certificates, over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod common;

use ambient::Ambient;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::Endpoint;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PublicKeyData, SanType, date_time_ymd,
};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use server_admin::{
    Access, Error, Limits, ListenError, Listeners, Options, Permission, Running, TcpOptions,
    TlsFiles,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::{Problem, WhoAmI, codes};

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A client's certificate and key.
struct Client {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn certify(&self, change: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, "client");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Client {
            certificate: certificate.der().clone(),
            key,
        }
    }

    fn client(&self, uri: &str) -> Client {
        self.certify(|params| {
            let uri = SanType::URI(uri.try_into().unwrap());
            params.subject_alt_names = vec![uri];
        })
    }
}

impl Client {
    fn pin(&self) -> String {
        let digest = Sha256::digest(self.key.subject_public_key_info());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    }
}

/// An endpoint over TLS that knows clients of one authority.
struct Guarded {
    endpoint: Endpoint,
    running: Running,
    address: SocketAddr,
    ca: PathBuf,
    server: CertificateDer<'static>,
}

fn files(folder: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let mut files = TlsFiles::new(folder.join("tls.crt"), folder.join("tls.key"));
    files.client_ca = Some(folder.join("clients.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    (files, made.cert.der().clone())
}

fn options(tls: Option<TlsFiles>) -> Options {
    Options {
        tcp: Some(TcpOptions {
            address: ([127, 0, 0, 1], 0).into(),
            tls,
        }),
        ..Options::default()
    }
}

impl Guarded {
    fn start(authority: &Authority, access: impl FnOnce(Access) -> Access) -> Self {
        let endpoint = Endpoint::with(Limits::default(), access);
        let (files, server) = files(endpoint.folder.path());
        let ca = files.client_ca.clone().unwrap();
        fs::write(&ca, authority.pem()).unwrap();
        let running = Listeners::bind(endpoint.access.clone(), options(Some(files)))
            .unwrap()
            .serve_apart(endpoint.toy.clone())
            .unwrap();
        let address = running.address().unwrap();
        Self {
            endpoint,
            running,
            address,
            ca,
            server,
        }
    }

    fn config(&self, client: Option<&Client>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match client {
            None => builder.with_no_client_auth(),
            Some(Client { certificate, key }) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                let chain = vec![certificate.clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }

    async fn connect(&self, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// The endpoint's answer to `whoami`; an error when there is no connection.
    async fn ask(&self, client: Option<&Client>, token: Option<&str>) -> io::Result<String> {
        let mut stream = self.connect(self.config(client)).await?;
        whoami(&mut stream, token).await
    }
}

/// Asks on a connection, which stays open.
async fn whoami(stream: &mut TlsStream<TcpStream>, token: Option<&str>) -> io::Result<String> {
    let login = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let request = format!("GET /admin/v1/whoami HTTP/1.1\r\nHost: x\r\n{login}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let length = name.eq_ignore_ascii_case("content-length");
                length.then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap() {
                return Ok(body.to_owned());
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn actor(answer: io::Result<String>) -> String {
    let answer = answer.unwrap();
    serde_json::from_str::<WhoAmI>(&answer)
        .unwrap_or_else(|error| panic!("{error}: {answer}"))
        .actor
}

fn code(answer: io::Result<String>) -> String {
    serde_json::from_str::<Problem>(&answer.unwrap())
        .unwrap()
        .code
}

fn read_only() -> [Permission; 1] {
    ["log:read:*".parse().unwrap()]
}

#[tokio::test]
async fn a_client_is_known_by_its_uri_or_by_its_key() {
    let authority = Authority::new("clients");
    let uri = authority.client("spiffe://example.org/ci");
    let pinned = authority.certify(|_| {});
    let both = authority.certify(|params| {
        let uris = ["spiffe://example.org/x", "spiffe://example.org/late"];
        params.subject_alt_names = uris.map(|uri| SanType::URI(uri.try_into().unwrap())).into();
    });
    let guarded = Guarded::start(&authority, |access| {
        access
            .with_certificate("spiffe://example.org/ci".parse().unwrap(), read_only())
            .with_certificate(pinned.pin().parse().unwrap(), read_only())
            .with_certificate(both.pin().parse().unwrap(), read_only())
            .with_certificate("spiffe://example.org/late".parse().unwrap(), read_only())
    });
    let root = guarded.endpoint.root.clone();
    let ask = |client, token| guarded.ask(client, token);
    assert_eq!(
        actor(ask(Some(&uri), None).await),
        "cert:spiffe://example.org/ci"
    );
    let of_key = format!("cert:{}", pinned.pin());
    assert_eq!(actor(ask(Some(&pinned), None).await), of_key);
    let first = format!("cert:{}", both.pin());
    assert_eq!(
        actor(ask(Some(&both), None).await),
        first,
        "the first that fits"
    );

    // A token decides, and a wrong one does not fall back to the certificate.
    assert_eq!(actor(ask(Some(&uri), Some(&root)).await), "token:root");
    let wrong = format!("logctl_{}", "0".repeat(64));
    assert_eq!(
        code(ask(Some(&uri), Some(&wrong)).await),
        codes::UNAUTHENTICATED
    );
    // Without a certificate only a token helps; one that nobody named helps nothing.
    assert_eq!(code(ask(None, None).await), codes::UNAUTHENTICATED);
    assert_eq!(actor(ask(None, Some(&root)).await), "token:root");
    for uri in [
        "spiffe://example.org/c",
        "spiffe://example.org/ci/",
        "spiffe://example.org/CI",
    ] {
        let other = authority.client(uri);
        assert_eq!(
            code(guarded.ask(Some(&other), None).await),
            codes::FORBIDDEN,
            "{uri}"
        );
    }
    guarded.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_gets_no_connection_and_is_audited() {
    let authority = Authority::new("clients");
    let uri = "spiffe://example.org/ci";
    let guarded = Guarded::start(&authority, |access| {
        access.with_certificate(uri.parse().unwrap(), read_only())
    });
    let uris = || vec![SanType::URI(uri.try_into().unwrap())];
    let root = guarded.endpoint.root.clone();
    let namesake = Authority::new("clients");
    for (what, client) in [
        ("of another authority", Authority::new("others").client(uri)),
        ("of one of the same name", namesake.client(uri)),
        (
            "expired",
            authority.certify(|params| {
                params.subject_alt_names = uris();
                params.not_after = date_time_ymd(2020, 1, 1);
            }),
        ),
        (
            "for servers",
            authority.certify(|params| {
                params.subject_alt_names = uris();
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
    ] {
        let answer = guarded.ask(Some(&client), None).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        let answer = guarded.ask(Some(&client), Some(&root)).await;
        assert!(answer.is_err(), "{what}, with a good token: {answer:?}");
    }
    // The control.
    let good = authority.client(uri);
    assert_eq!(
        actor(guarded.ask(Some(&good), None).await),
        format!("cert:{uri}")
    );
    let events = guarded.endpoint.toy.memory.events.lock().unwrap().clone();
    assert_eq!(
        events.len(),
        1,
        "the others follow as one summary: {events:?}"
    );
    assert_eq!(events[0].actor, "ip:127.0.0.1");
    assert!(
        events[0].detail.contains("client certificate"),
        "{events:?}"
    );
    guarded.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_authority_is_replaced_without_a_dropped_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let uri = "spiffe://example.org/ci";
    let guarded = Guarded::start(&old, |access| {
        access.with_certificate(uri.parse().unwrap(), read_only())
    });
    let known = format!("cert:{uri}");
    let (of_old, of_new) = (old.client(uri), new.client(uri));
    let config = guarded.config(Some(&of_old));
    let mut open = guarded.connect(config.clone()).await.unwrap();
    assert_eq!(actor(whoami(&mut open, None).await), known);
    // An earlier session lets nobody in: the same client is checked again each time.
    let mut again = guarded.connect(config.clone()).await.unwrap();
    assert_eq!(actor(whoami(&mut again, None).await), known);
    let kind = again.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Full));
    assert!(guarded.ask(Some(&of_new), None).await.is_err());

    // Both for a while, as a rotation does it; then only the new one.
    fs::write(&guarded.ca, old.pem() + &new.pem()).unwrap();
    assert_eq!(actor(guarded.ask(Some(&of_new), None).await), known);
    assert_eq!(actor(guarded.ask(Some(&of_old), None).await), known);
    fs::write(&guarded.ca, new.pem()).unwrap();
    assert_eq!(actor(guarded.ask(Some(&of_new), None).await), known);
    assert!(guarded.ask(Some(&of_old), None).await.is_err());
    let resumed = async {
        let mut stream = guarded.connect(config).await?;
        whoami(&mut stream, None).await
    };
    assert!(
        resumed.await.is_err(),
        "not with what it kept of old sessions"
    );
    assert_eq!(actor(whoami(&mut open, None).await), known, "it goes on");

    // A broken file changes nothing.
    for broken in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(&guarded.ca, broken).unwrap();
        assert_eq!(
            actor(guarded.ask(Some(&of_new), None).await),
            known,
            "{broken}"
        );
        assert!(guarded.ask(Some(&of_old), None).await.is_err(), "{broken}");
    }
    fs::remove_file(&guarded.ca).unwrap();
    assert_eq!(actor(guarded.ask(Some(&of_new), None).await), known);
    assert_eq!(actor(whoami(&mut open, None).await), known);
    guarded.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = files(folder.path());
    let access = || {
        let name = "spiffe://example.org/ci".parse().unwrap();
        Arc::new(Access::new(Ambient::unset()).with_certificate(name, read_only()))
    };
    let bind = |tls| Listeners::bind(access(), options(tls)).unwrap_err();
    assert!(matches!(
        bind(Some(files.clone())),
        Error::Listener(ListenError::Pem { .. })
    ));
    fs::write(files.client_ca.as_ref().unwrap(), "").unwrap();
    assert!(matches!(
        bind(Some(files.clone())),
        Error::Listener(ListenError::ClientCa { .. })
    ));
    let mut without = files;
    without.client_ca = None;
    assert!(matches!(bind(Some(without)), Error::NoClientCa));
    assert!(matches!(bind(None), Error::NoClientCa));
}
