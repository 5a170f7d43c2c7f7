//! The endpoint's own listeners, for those who don't mount [`router`](crate::router) in a server of theirs.
//!
//! They share nothing with the data plane: own sockets, own connection caps and, if wanted, an own thread and runtime, so
//! an overloaded log can still be administered. What must never happen: the endpoint is reachable from other machines
//! without TLS and authentication, or connections that do nothing keep out those that have something to ask.
//!
//! HTTP/1.1 only: an admin client gains nothing from multiplexing, and a byte that is never sent can't stall a choice of
//! protocol.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use wire::codes;

use crate::access::{Access, ClientCertificate, Peer};
use crate::bodies::{Bodies, SHORT};
use crate::error::Error;
use crate::host::Host;
use crate::limits::Limits;
use crate::places::{Place, Places};
use crate::problem::Refusal;
use crate::resources::events::Stopping;
use crate::router::{missing, router_with};
use crate::socket::{self, SocketFile};
use crate::tls::{Tls, TlsFiles};

/// Memory for a request's head, and for each direction of a connection.
const HEAD_BYTES: usize = 32 << 10;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to leave `accept` alone after it failed (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Unix socket, whose peers are known by their uid.
    pub socket: Option<SocketOptions>,
    /// The TCP address, whose peers need a token or a client certificate.
    pub tcp: Option<TcpOptions>,
    /// Limits of the listeners and of the router behind them.
    pub limits: Limits,
}

impl Options {
    /// Only a Unix socket, only for its owner (and root).
    pub fn on_socket(path: impl Into<PathBuf>) -> Self {
        let socket = SocketOptions {
            path: path.into(),
            mode: 0o600,
        };
        Self {
            socket: Some(socket),
            ..Self::default()
        }
    }
}

/// A Unix socket.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Its file. A dead server's is replaced.
    pub path: PathBuf,
    /// Its permission bits: who may connect at all. `0o600` is the owner (and root).
    pub mode: u32,
}

/// A TCP listener.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// The address; port 0 picks a free one.
    pub address: SocketAddr,
    /// Required unless the address is a loopback one.
    pub tls: Option<TlsFiles>,
}

/// The endpoint's open listeners: connections queue from here on, and are answered once it serves.
#[derive(Debug)]
pub struct Listeners {
    socket: Option<(SocketFile, UnixListener)>,
    tcp: Option<(TcpListener, Option<Tls>)>,
    address: Option<SocketAddr>,
    access: Arc<Access>,
    limits: Limits,
}

impl Listeners {
    /// Opens the listeners. Needs no runtime.
    ///
    /// # Errors
    /// [`Error::Plaintext`] and [`Error::Unauthenticated`] for a TCP address that would not be safe;
    /// [`Error::NoClientCa`] for one where client certificates could not be checked;
    /// [`Error::SocketInUse`] when another server answers on the socket; and what the system says.
    pub fn bind(access: Arc<Access>, options: Options) -> Result<Self, Error> {
        let Options {
            socket,
            tcp,
            limits,
        } = options;
        let tcp = match tcp {
            Some(TcpOptions { address, tls }) => {
                if tls.is_none() && !address.ip().is_loopback() {
                    return Err(Error::Plaintext(address));
                }
                if !access.authenticates_tcp() {
                    return Err(Error::Unauthenticated(address));
                }
                let client_ca = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
                if access.knows_certificates() && !client_ca {
                    return Err(Error::NoClientCa);
                }
                let tls = tls.map(Tls::open).transpose()?;
                let failed = |source| Error::Listen {
                    address: address.to_string(),
                    source,
                };
                let listener = TcpListener::bind(address).map_err(failed)?;
                // The standard library's queue is short: a flood would make others wait for their retries.
                rustix::net::listen(&listener, BACKLOG).map_err(|errno| failed(errno.into()))?;
                listener.set_nonblocking(true).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Some((listener, tls, address))
            }
            None => None,
        };
        let socket = match socket {
            Some(SocketOptions { path, mode }) => {
                Some(socket::listen(&path, mode).map(|(listener, file)| (file, listener))?)
            }
            None => None,
        };
        let address = tcp.as_ref().map(|(.., address)| *address);
        let tcp = tcp.map(|(listener, tls, _)| (listener, tls));
        Ok(Self {
            socket,
            tcp,
            address,
            access,
            limits,
        })
    }

    /// The TCP address, with its port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Serves on the current runtime until `stop` is ready. Then no connection is accepted any more, running requests
    /// finish (for at most [`Limits::drain_time`]), and the socket's file is removed.
    ///
    /// # Errors
    /// The listeners can't be registered with the runtime.
    pub async fn serve(
        self,
        host: Arc<dyn Host>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let Self {
            socket,
            tcp,
            access,
            limits,
            ..
        } = self;
        let app =
            router_with(host.clone(), access.clone(), limits).fallback(|| async { missing() });
        let (stopping, stopped) = watch::channel(false);
        let mut loops = JoinSet::new();
        let shared = Shared {
            app,
            host,
            access,
            limits,
            answers: Bodies::new(limits.bodies),
            stopped,
        };
        if let Some((file, listener)) = socket {
            let failed = |source| Error::Listen {
                address: "the socket".to_owned(),
                source,
            };
            let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
            loops.spawn(shared.clone().accept(Listener::Unix {
                _file: file,
                listener,
            }));
        }
        if let Some((listener, tls)) = tcp {
            let failed = |source| Error::Listen {
                address: "the TCP address".to_owned(),
                source,
            };
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            loops.spawn(shared.accept(Listener::Tcp(listener, tls.map(Arc::new))));
        }
        let ended = tokio::select! {
            () = stop => None,
            Some(ended) = loops.join_next() => Some(ended),
        };
        let _ = stopping.send(true);
        while loops.join_next().await.is_some() {}
        match ended {
            None => Ok(()),
            // An accept loop ends only when it is asked to.
            Some(ended) => Err(Error::Runtime(std::io::Error::other(match ended {
                Ok(()) => "a listener ended by itself".to_owned(),
                Err(error) => format!("a listener ended: {error}"),
            }))),
        }
    }

    /// Serves on a thread and runtime of its own, so that a saturated runtime of the caller does not delay it.
    ///
    /// # Errors
    /// The thread or its runtime can't be started.
    pub fn serve_apart(self, host: Arc<dyn Host>) -> Result<Running, Error> {
        let address = self.address;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (finished, done) = oneshot::channel();
        let serve = move || {
            let outcome = runtime.block_on(self.serve(host, async {
                let _ = stopped.await;
            }));
            // Nobody may be waiting any more.
            let _ = finished.send(outcome);
        };
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(serve)
            .map_err(Error::Runtime)?;
        Ok(Running {
            address,
            stop,
            done,
            ended: None,
        })
    }
}

/// An endpoint that serves on its own thread. Dropping it stops the endpoint without waiting.
#[derive(Debug)]
pub struct Running {
    address: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<Result<(), Error>>,
    /// What it ended with, where that was before it was stopped.
    ended: Option<Result<(), Error>>,
}

impl Running {
    /// The TCP address, with its port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until it ends by itself, which it should not, and says why.
    pub async fn ended(&mut self) -> String {
        let ended = match &mut self.ended {
            Some(ended) => ended,
            none => none.insert(outcome((&mut self.done).await)),
        };
        match ended {
            Ok(()) => "it stopped".to_owned(),
            Err(error) => crate::error::causes(error),
        }
    }

    /// Stops it as [`Listeners::serve`] says, and waits until it has.
    ///
    /// # Errors
    /// What [`Listeners::serve`] ended with.
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        match self.ended {
            Some(ended) => ended,
            None => outcome(self.done.await),
        }
    }
}

/// What a thread that serves ended with; it sends nothing when it panics.
fn outcome(done: Result<Result<(), Error>, oneshot::error::RecvError>) -> Result<(), Error> {
    let panicked = |_| Error::Runtime(std::io::Error::other("the endpoint's thread panicked"));
    done.map_err(panicked)?
}

/// Opens the listeners and serves until `stop` is ready: [`Listeners::bind`] and [`Listeners::serve`].
///
/// # Errors
/// Those of both.
pub async fn serve(
    host: Arc<dyn Host>,
    access: Arc<Access>,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    Listeners::bind(access, options)?.serve(host, stop).await
}

/// An open listener. The socket's file goes first: see [`SocketFile`].
enum Listener {
    Unix {
        _file: SocketFile,
        listener: tokio::net::UnixListener,
    },
    Tcp(tokio::net::TcpListener, Option<Arc<Tls>>),
}

/// An accepted connection.
enum Accepted {
    Unix(tokio::net::UnixStream, Peer),
    Tcp(tokio::net::TcpStream, Peer, Option<Arc<Tls>>),
}

impl Listener {
    async fn next(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::unix(stream.peer_cred()?.uid());
                Ok(Accepted::Unix(stream, peer))
            }
            Self::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, Peer::tcp(address), tls.clone()))
            }
        }
    }
}

/// What accept loops and connections share.
#[derive(Clone)]
struct Shared {
    app: Router,
    host: Arc<dyn Host>,
    access: Arc<Access>,
    limits: Limits,
    /// The memory of long answers.
    answers: Arc<Bodies>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Ready once the endpoint stops, however that comes about.
    async fn stop(&self) {
        let mut stopped = self.stopped.clone();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    async fn accept(self, listener: Listener) {
        let places = Places::new(self.limits.connections);
        let mut connections = JoinSet::new();
        loop {
            // A new connection may take the place of an idle one; so accept first.
            let next = async {
                let accepted = listener.next().await?;
                let place = places.take().await;
                place
                    .map(|place| (place, accepted))
                    .ok_or_else(|| std::io::Error::other("no places"))
            };
            let next = tokio::select! {
                () = self.stop() => break,
                next = next => next,
            };
            while connections.try_join_next().is_some() {}
            match next {
                Ok((place, accepted)) => {
                    let shared = self.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            () = shared.connection(accepted, &place) => {}
                            () = place.sent_away() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::select! {
                        () = self.stop() => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.drain_time, drained)
            .await
            .is_err()
        {
            tracing::warn!("connections were cut off: they did not finish in time");
        }
    }

    async fn connection(&self, accepted: Accepted, place: &Arc<Place>) {
        match accepted {
            Accepted::Unix(stream, peer) => self.http(stream, peer, place).await,
            Accepted::Tcp(stream, peer, tls) => {
                let patience = u32::try_from(self.limits.peer_time.as_millis()).unwrap_or(u32::MAX);
                // Without it a peer that stops reading would hold its place for many minutes.
                let bounded = rustix::net::sockopt::set_tcp_user_timeout(&stream, patience);
                if bounded.is_err() || stream.set_nodelay(true).is_err() {
                    return;
                }
                let Some(tls) = tls else {
                    return self.http(stream, peer, place).await;
                };
                let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                match tokio::time::timeout(self.limits.peer_time, handshake).await {
                    Ok(Ok(stream)) => match certified(peer, stream.get_ref().1) {
                        Ok(peer) => self.http(stream, peer, place).await,
                        Err(error) => {
                            tracing::warn!(%error, "a verified client certificate can't be read")
                        }
                    },
                    Ok(Err(error)) => {
                        tracing::debug!(%error, ?peer, "TLS handshake failed");
                        if let Some(error) = bad_certificate(&error) {
                            self.access.bad_certificate(&self.host, &peer, error).await;
                        }
                    }
                    Err(_) => tracing::debug!(?peer, "TLS handshake took too long"),
                }
            }
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        place: &Arc<Place>,
    ) {
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request
                .extensions_mut()
                .insert(Stopping::when(self.stopped.clone()));
            let busy = place.keep();
            let read = request.method().is_safe();
            let answer = self.app.clone().oneshot(request);
            // Until the last byte of the answer is handed over, the connection is not idle.
            let whole = |answer: Response| {
                answer.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _ = &busy;
                        frame
                    }))
                })
            };
            let answers = &self.answers;
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(whole(counted(answer, read, answers)))
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_time)
                // A client that has said all it has to say still waits for the answer. One that follows an operation and is gone is
                // noticed by the next line that it is sent.
                .half_close(true)
                .max_header_size(HEAD_BYTES)
                .max_buf_size(2 * HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
        );
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, ?peer, "connection ended");
        }
    }
}

/// An answer whose bytes count while they are under way. What was changed is told in any case, and it is short.
fn counted(answer: Response, read: bool, answers: &Arc<Bodies>) -> Response {
    let length = answer.body().size_hint().exact();
    let length = length.and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|length| read && *length > SHORT) else {
        return answer;
    };
    let Ok(mut held) = answers.begin(length).and_then(|mut held| {
        held.grow(length)?;
        Ok(Some(held))
    }) else {
        let refusal = Refusal::new(codes::UNAVAILABLE, "too many long answers are under way");
        return refusal.retry_after(Duration::from_secs(1)).into_response();
    };
    // One that is whole in memory comes in one piece.
    answer.map(|body| {
        Body::new(body.map_frame(move |frame| {
            frame.map_data(|bytes| match held.take() {
                Some(held) => held.keep(bytes),
                None => bytes,
            })
        }))
    })
}

/// The peer, with the client certificate that the handshake verified.
fn certified(peer: Peer, session: &rustls::ServerConnection) -> Result<Peer, webpki::Error> {
    match session.peer_certificates().and_then(<[_]>::first) {
        Some(leaf) => Ok(peer.with_certificate(ClientCertificate::from_verified(leaf)?)),
        None => Ok(peer),
    }
}

/// What is wrong with the client's certificate, if that is why a handshake failed.
fn bad_certificate(error: &std::io::Error) -> Option<&rustls::CertificateError> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}
