//! The listeners, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod common;

use ambient::Ambient;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{Endpoint, until};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use server_admin::{
    Access, Error, Limits, ListenError, Listeners, Options, Permission, Running, TcpOptions,
    TlsFiles,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use wire::{Problem, WhoAmI, codes};

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Sends a request as it is and reads until the server closes.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    // The server may refuse and close before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(path: &str, token: Option<&str>) -> String {
    let login = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{login}\r\n")
}

fn body<T: serde::de::DeserializeOwned>(answer: &str) -> T {
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{answer:?}"));
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn own_uid(endpoint: &Endpoint) -> u32 {
    fs::metadata(endpoint.folder.path()).unwrap().uid()
}

fn socket(path: &Path) -> Options {
    Options::on_socket(path)
}

fn tcp(address: impl Into<SocketAddr>, tls: Option<TlsFiles>) -> Options {
    Options {
        tcp: Some(TcpOptions {
            address: address.into(),
            tls,
        }),
        ..Options::default()
    }
}

fn start(endpoint: &Endpoint, options: Options) -> Running {
    Listeners::bind(endpoint.access.clone(), options)
        .unwrap()
        .serve_apart(endpoint.toy.clone())
        .unwrap()
}

/// A new self-signed certificate for `localhost`, in these files.
fn certificate(files: &TlsFiles) -> CertifiedKey<rcgen::KeyPair> {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    made
}

fn tls_files(folder: &Path) -> TlsFiles {
    TlsFiles::new(folder.join("tls.crt"), folder.join("tls.key"))
}

async fn over_tls(
    address: SocketAddr,
    trusted: &CertifiedKey<rcgen::KeyPair>,
    request: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(talk(stream, request).await)
}

/// A client that closes its sending side after a complete request waits for the answer.
#[tokio::test]
async fn a_client_that_shuts_down_its_sending_side_is_answered() {
    let endpoint = Endpoint::new();
    endpoint.toy.permits.forget_permits(usize::MAX);
    let running = start(&endpoint, tcp(ANY_PORT, None));
    let request = get("/admin/v1/logs/argon/freeze", Some(&endpoint.root)).replace("GET", "POST");
    let mut stream = TcpStream::connect(running.address().unwrap())
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    endpoint.toy.is_running(1).await;
    // Its end is seen before the answer is there.
    for _ in 0..3 {
        let other = TcpStream::connect(running.address().unwrap())
            .await
            .unwrap();
        talk(other, &get("/admin/v1/whoami", Some(&endpoint.root))).await;
    }
    endpoint.toy.permits.add_permits(1);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.contains("200 OK"), "{answer:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_socket_knows_its_peers_and_is_cleaned_up() {
    let mut endpoint = Endpoint::new();
    let path = endpoint.folder.path().join("admin.sock");
    let uid = own_uid(&endpoint);
    endpoint.access =
        Arc::new(Access::new(Ambient::unset()).with_uid(uid, [Permission::everything()]));
    let running = start(&endpoint, socket(&path));
    assert_eq!(running.address(), None);
    let answer = talk(
        UnixStream::connect(&path).await.unwrap(),
        &get("/admin/v1/whoami", None),
    )
    .await;
    let actor = body::<WhoAmI>(&answer).actor;
    assert_eq!(actor.split(' ').next(), Some(format!("uid:{uid}").as_str()));
    let answer = talk(
        UnixStream::connect(&path).await.unwrap(),
        &get("/elsewhere", None),
    )
    .await;
    assert_eq!(body::<Problem>(&answer).code, codes::NOT_FOUND);

    let second = Listeners::bind(endpoint.access.clone(), socket(&path));
    assert!(matches!(
        second,
        Err(Error::Listener(ListenError::SocketInUse(_)))
    ));
    running.stop().await.unwrap();
    assert!(!path.exists());

    endpoint.access =
        Arc::new(Access::new(Ambient::unset()).with_uid(uid + 1, [Permission::everything()]));
    let running = start(&endpoint, socket(&path));
    let answer = talk(
        UnixStream::connect(&path).await.unwrap(),
        &get("/admin/v1/whoami", None),
    )
    .await;
    assert_eq!(body::<Problem>(&answer).code, codes::FORBIDDEN);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn tcp_wants_a_token() {
    let endpoint = Endpoint::new();
    let running = start(&endpoint, tcp(ANY_PORT, None));
    let address = running.address().unwrap();
    let ask = |token: Option<String>| async move {
        talk(
            TcpStream::connect(address).await.unwrap(),
            &get("/admin/v1/whoami", token.as_deref()),
        )
        .await
    };
    let anonymous = ask(None).await;
    assert_eq!(body::<Problem>(&anonymous).code, codes::UNAUTHENTICATED);
    assert_eq!(
        body::<WhoAmI>(&ask(Some(endpoint.root.clone())).await).actor,
        "token:root"
    );
    for _ in 0..10 {
        ask(Some("logctl_wrong".to_owned())).await;
    }
    assert_eq!(
        body::<Problem>(&ask(Some("logctl_wrong".to_owned())).await).code,
        codes::TOO_MANY
    );
    assert_eq!(
        body::<WhoAmI>(&ask(Some(endpoint.root.clone())).await).actor,
        "token:root"
    );
    running.stop().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn tls_follows_its_files() {
    let endpoint = Endpoint::new();
    let files = tls_files(endpoint.folder.path());
    let first = certificate(&files);
    let running = start(&endpoint, tcp(ANY_PORT, Some(files.clone())));
    let address = running.address().unwrap();
    let request = get("/admin/v1/whoami", Some(&endpoint.root));
    let answer = over_tls(address, &first, &request).await.unwrap();
    assert_eq!(body::<WhoAmI>(&answer).actor, "token:root");

    // Half a replacement changes nothing; the whole one serves from the next connection on.
    let old_key = fs::read(&files.key).unwrap();
    let second = certificate(&files);
    let new_key = fs::read(&files.key).unwrap();
    fs::write(&files.key, &old_key).unwrap();
    assert!(
        over_tls(address, &first, &request).await.is_ok(),
        "the old pair serves on"
    );
    fs::write(&files.key, &new_key).unwrap();
    assert!(over_tls(address, &second, &request).await.is_ok());
    assert!(over_tls(address, &first, &request).await.is_err());
    fs::remove_file(&files.certificate).unwrap();
    assert!(over_tls(address, &second, &request).await.is_ok());

    let plain = talk(TcpStream::connect(address).await.unwrap(), &request).await;
    assert!(!plain.contains("HTTP"), "{plain}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_unsafe_set_up_is_refused() {
    let endpoint = Endpoint::new();
    let files = tls_files(endpoint.folder.path());
    certificate(&files);
    let bind =
        |access: Access, options: Options| Listeners::bind(Arc::new(access), options).unwrap_err();
    let tokens = || {
        Access::new(Ambient::unset())
            .with_tokens(endpoint.tokens())
            .unwrap()
    };
    for everywhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:127.0.0.1]:0"] {
        let address: SocketAddr = everywhere.parse().unwrap();
        assert!(
            matches!(bind(tokens(), tcp(address, None)), Error::Plaintext(_)),
            "{everywhere}"
        );
        let tls = Some(files.clone());
        assert!(
            matches!(
                bind(Access::new(Ambient::unset()), tcp(address, tls)),
                Error::Unauthenticated(_)
            ),
            "{everywhere}"
        );
    }
    assert!(matches!(
        bind(Access::new(Ambient::unset()), tcp(ANY_PORT, None)),
        Error::Unauthenticated(_)
    ));

    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        bind(tokens(), tcp(ANY_PORT, Some(files.clone()))),
        Error::Listener(ListenError::Exposed { .. })
    ));
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&files.key, "nonsense").unwrap();
    assert!(matches!(
        bind(tokens(), tcp(ANY_PORT, Some(files.clone()))),
        Error::Listener(ListenError::Pem { .. })
    ));
    let taken = std::net::TcpListener::bind(SocketAddr::from(ANY_PORT)).unwrap();
    assert!(matches!(
        bind(tokens(), tcp(taken.local_addr().unwrap(), None)),
        Error::Listener(ListenError::Listen { .. })
    ));
    assert!(matches!(
        Access::new(Ambient::unset()).with_tokens(PathBuf::from("/nonexistent")),
        Err(Error::File { .. })
    ));
}

#[tokio::test]
async fn slow_and_large_heads_are_cut_off() {
    let endpoint = Endpoint::new();
    let with = |header_time| {
        let limits = Limits {
            header_time,
            ..Limits::default()
        };
        let options = Options {
            limits,
            ..tcp(ANY_PORT, None)
        };
        start(&endpoint, options)
    };
    let connect = async |running: &Running| {
        let address = running.address().unwrap();
        TcpStream::connect(address).await.unwrap()
    };
    let hasty = with(Duration::from_millis(20));
    for beginning in [
        "",
        "GET /admin",
        "GET /admin/v1/whoami HTTP/1.1\r\nHost: x\r\nX-Y: ",
    ] {
        // `talk` returns only when the server closes.
        let answer = talk(connect(&hasty).await, beginning).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    hasty.stop().await.unwrap();

    // Whoever is answered needs the time to ask.
    let patient = with(Duration::from_secs(5));
    let keep_alive =
        get("/admin/v1/whoami", Some(&endpoint.root)).replace("Connection: close\r\n", "");
    let answer = talk(connect(&patient).await, &keep_alive).await;
    assert!(
        answer.contains("200 OK"),
        "answered, then closed while idle"
    );
    let large = get(&format!("/{}", "x".repeat(100_000)), None);
    let answer = talk(connect(&patient).await, &large).await;
    assert!(!answer.contains("200 OK"));
    patient.stop().await.unwrap();
}

#[tokio::test]
async fn a_large_body_gets_its_refusal() {
    let endpoint = Endpoint::new();
    let running = start(&endpoint, tcp(ANY_PORT, None));
    let size = 6 << 20;
    let head = get("/admin/v1/logs/argon/freeze", Some(&endpoint.root)).replace("GET", "POST");
    let head = head.replace(
        "\r\n\r\n",
        &format!("\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"),
    );
    let stream = TcpStream::connect(running.address().unwrap())
        .await
        .unwrap();
    let answer = talk(stream, &(head + &" ".repeat(size))).await;
    assert_eq!(body::<Problem>(&answer).code, codes::TOO_LARGE);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn connections_are_capped_and_the_socket_is_not_starved() {
    let mut endpoint = Endpoint::new();
    let path = endpoint.folder.path().join("admin.sock");
    let uid = own_uid(&endpoint);
    let access = Access::new(Ambient::unset())
        .with_tokens(endpoint.tokens())
        .unwrap()
        .with_uid(uid, [Permission::everything()]);
    endpoint.access = Arc::new(access);
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let options = Options {
        limits,
        socket: socket(&path).socket,
        ..tcp(ANY_PORT, None)
    };
    let running = start(&endpoint, options);
    let address = running.address().unwrap();
    let request = get("/admin/v1/whoami", Some(&endpoint.root));
    // Two that wait for the host hold both places.
    endpoint.toy.permits.forget_permits(usize::MAX);
    let freeze = |log: &str| {
        get(
            &format!("/admin/v1/logs/{log}/freeze"),
            Some(&endpoint.root),
        )
        .replace("GET", "POST")
    };
    let mut held = Vec::new();
    for log in ["argon", "boron"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(freeze(log).as_bytes()).await.unwrap();
        held.push(stream);
    }
    endpoint.toy.is_running(2).await;
    let third = tokio::spawn({
        let request = request.clone();
        async move { talk(TcpStream::connect(address).await.unwrap(), &request).await }
    });
    let answer = talk(
        UnixStream::connect(&path).await.unwrap(),
        &get("/admin/v1/whoami", None),
    )
    .await;
    let actor = body::<WhoAmI>(&answer).actor;
    assert_eq!(actor.split(' ').next(), Some(format!("uid:{uid}").as_str()));
    assert!(!third.is_finished());
    endpoint.toy.permits.add_permits(1);
    assert_eq!(body::<WhoAmI>(&third.await.unwrap()).actor, "token:root");
    endpoint.toy.permits.add_permits(1);
    for stream in held {
        assert!(talk(stream, "").await.contains("200 OK"));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish() {
    let endpoint = Endpoint::new();
    endpoint.toy.permits.forget_permits(usize::MAX);
    let running = start(&endpoint, tcp(ANY_PORT, None));
    let address = running.address().unwrap();
    let post = get("/admin/v1/logs/argon/freeze", Some(&endpoint.root))
        .replace("GET", "POST")
        .replace("close", "keep-alive");
    let asked =
        tokio::spawn(async move { talk(TcpStream::connect(address).await.unwrap(), &post).await });
    endpoint.toy.is_running(1).await;
    let stopped = tokio::spawn(running.stop());
    until("no connection is taken", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(!stopped.is_finished());
    endpoint.toy.permits.add_permits(1);
    assert!(asked.await.unwrap().contains("200 OK"));
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let endpoint = Endpoint::new();
    endpoint.toy.permits.forget_permits(usize::MAX);
    let limits = Limits {
        drain_time: Duration::from_millis(20),
        ..Limits::default()
    };
    let running = start(
        &endpoint,
        Options {
            limits,
            ..tcp(ANY_PORT, None)
        },
    );
    let address = running.address().unwrap();
    let post = get("/admin/v1/logs/argon/freeze", Some(&endpoint.root)).replace("GET", "POST");
    let asked =
        tokio::spawn(async move { talk(TcpStream::connect(address).await.unwrap(), &post).await });
    endpoint.toy.is_running(1).await;
    running.stop().await.unwrap();
    assert!(!asked.await.unwrap().contains("200 OK"));
}

#[tokio::test]
async fn serve_binds_and_serves_until_told_to_stop() {
    let endpoint = Endpoint::new();
    let path = endpoint.folder.path().join("admin.sock");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let access = Arc::new(
        Access::new(Ambient::unset()).with_uid(own_uid(&endpoint), [Permission::everything()]),
    );
    let server = tokio::spawn(server_admin::serve(
        endpoint.toy.clone(),
        access,
        socket(&path),
        async {
            let _ = stopped.await;
        },
    ));
    let mut connected = None;
    until("a connection is taken", async || {
        connected = UnixStream::connect(&path).await.ok();
        connected.is_some()
    })
    .await;
    assert!(
        talk(connected.unwrap(), &get("/admin/v1/logs", None))
            .await
            .contains("argon")
    );
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(!path.exists());
}
