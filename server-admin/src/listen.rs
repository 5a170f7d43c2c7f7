//! The endpoint's own listeners, for servers that do not mount [`router`](crate::router) themselves.
//!
//! They share nothing with the data plane: separate sockets, separate connection limits and, if wanted, a separate thread and runtime, so
//! an overloaded log can still be administered. What must never happen: the endpoint is reachable from other machines without TLS and
//! authentication, or idle connections keep out active ones.
//!
//! HTTP/1.1 only: an admin client gains nothing from multiplexing.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use plane_http::{Audience, Body, Listener, Origin, Phase, Plane, Tls, TlsFiles, Watch, Watched};
use rustls_pki_types::CertificateDer;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wire::codes;

use crate::access::{Access, ClientCertificate, Peer};
use crate::error::Error;
use crate::host::Host;
use crate::limits::Limits;
use crate::problem::Refusal;
use crate::resources::events::Stopping;
use crate::router::{missing, router_with};

/// The addresses of an admin endpoint, and its limits.
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

/// A Unix socket, whose peers are known by their uid.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Its file. A dead server's is replaced.
    pub path: PathBuf,
    /// Its permission bits: who may connect at all. `0o600` is the owner (and root).
    pub mode: u32,
}

/// A TCP listener, whose peers have to authenticate.
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
    open: Vec<Listener>,
    address: Option<SocketAddr>,
    access: Arc<Access>,
    limits: Limits,
}

impl Listeners {
    /// Opens the listeners. Needs no runtime.
    ///
    /// # Errors
    /// [`Error::Plaintext`] and [`Error::Unauthenticated`] for a TCP address that would not be safe; [`Error::NoClientCa`] for one
    /// where client certificates could not be checked; [`Error::Listener`] for TLS files that can't be used, when another server answers on
    /// the socket; and the system's errors.
    pub fn bind(access: Arc<Access>, options: Options) -> Result<Self, Error> {
        let Options {
            socket,
            tcp,
            limits,
        } = options;
        let (mut open, mut address) = (Vec::new(), None);
        if let Some(options) = tcp {
            let (listener, bound) = tcp_listener(&access, options)?;
            open.push(listener);
            address = Some(bound);
        }
        if let Some(SocketOptions { path, mode }) = socket {
            open.push(Listener::unix(&path, mode)?);
        }
        Ok(Self {
            open,
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
            open,
            access,
            limits,
            ..
        } = self;
        let app =
            router_with(host.clone(), access.clone(), limits).fallback(|| async { missing() });
        let (stopping, stopped) = watch::channel(false);
        let endpoint = Arc::new(Endpoint {
            app,
            host,
            access,
            stopped,
            peer: None,
        });
        let (all, end) = (Watch::new(limits.listener()), CancellationToken::new());
        let mut loops = JoinSet::new();
        for listener in open {
            let serving = plane_http::serve(
                listener,
                endpoint.clone(),
                all.beside(),
                end.clone(),
                limits.drain_time,
            );
            loops.spawn(serving?);
        }
        let ended = tokio::select! {
            () = stop => None,
            Some(ended) = loops.join_next() => Some(ended),
        };
        let _ = stopping.send(true);
        end.cancel();
        while loops.join_next().await.is_some() {}
        match ended {
            None => Ok(()),
            // An accept loop ends only when it is asked to.
            Some(ended) => Err(Error::Runtime(io::Error::other(match ended {
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
            // The receiver may already be gone.
            let _ = finished.send(outcome);
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a host without a runtime gets one on a thread of its own"
        )]
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
    /// Its outcome, if it ended before it was stopped.
    ended: Option<Result<(), Error>>,
}

impl Running {
    /// The TCP address, with its port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until it ends by itself, which it should not, and returns the reason.
    pub async fn ended(&mut self) -> String {
        let ended = match &mut self.ended {
            Some(ended) => ended,
            none => none.insert(outcome((&mut self.done).await)),
        };
        match ended {
            Ok(()) => "it stopped".to_owned(),
            Err(error) => plane_http::causes(error),
        }
    }

    /// Stops it as [`Listeners::serve`] says, and waits until it has.
    ///
    /// # Errors
    /// The error of [`Listeners::serve`], if it ended with one.
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        match self.ended {
            Some(ended) => ended,
            None => outcome(self.done.await),
        }
    }
}

/// The outcome of a serving thread; it sends nothing when it panics.
fn outcome(done: Result<Result<(), Error>, oneshot::error::RecvError>) -> Result<(), Error> {
    let panicked = |_| Error::Runtime(io::Error::other("the endpoint's thread panicked"));
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

/// Binds the TCP address, if that is safe.
fn tcp_listener(access: &Access, options: TcpOptions) -> Result<(Listener, SocketAddr), Error> {
    let TcpOptions { address, tls } = options;
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
    let tls = tls
        .map(|files| Tls::open(files, Audience::Operators))
        .transpose()?;
    let (listener, address) = Listener::tcp(address)?;
    Ok((listener.with_tls(tls), address))
}

/// The endpoint, as all its connections know it, or one of them.
#[derive(Clone)]
struct Endpoint {
    app: Router,
    host: Arc<dyn Host>,
    access: Arc<Access>,
    stopped: watch::Receiver<bool>,
    /// The peer at the other end of the connection.
    peer: Option<Peer>,
}

fn peer(origin: Origin) -> Peer {
    match origin {
        Origin::Tcp(address) => Peer::tcp(address),
        Origin::Unix { uid } => Peer::unix(uid),
    }
}

impl Plane for Endpoint {
    fn meet(
        self: &Arc<Self>,
        origin: Origin,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Option<Arc<Self>> {
        let mut peer = peer(origin);
        if let Some(leaf) = certificate {
            match ClientCertificate::from_verified(leaf) {
                Ok(certificate) => peer = peer.with_certificate(certificate),
                Err(error) => {
                    tracing::warn!(%error, "a verified client certificate can't be read");
                    return None;
                }
            }
        }
        Some(Arc::new(Self {
            peer: Some(peer),
            ..Self::clone(self)
        }))
    }

    async fn refused(&self, origin: Origin, error: &io::Error) {
        if let Some(error) = bad_certificate(error) {
            let peer = peer(origin);
            self.access.bad_certificate(&self.host, &peer, error).await;
        }
    }

    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        watched.enter(Phase::Working);
        let read = request.method().is_safe();
        let mut request = request.map(axum::body::Body::new);
        let extensions = request.extensions_mut();
        if let Some(peer) = &self.peer {
            extensions.insert(peer.clone());
        }
        extensions.insert(Stopping::when(self.stopped.clone()));
        let Ok(answer) = self.app.clone().oneshot(request).await;
        let (head, body) = answer.into_parts();
        if body.size_hint().exact().is_none() {
            return Response::from_parts(head, Body::Events(body));
        }
        // It is whole in memory.
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let whole = Response::from_parts(head, bytes);
        let busy = || {
            Refusal::new(codes::UNAVAILABLE, "too many long answers are under way")
                .retry_after(Duration::from_secs(1))
                .respond()
        };
        // The answer to a change is always sent; it is short.
        let answer = match read {
            true => watched.counted(whole, busy),
            false => whole,
        };
        answer.map(Body::Whole)
    }
}

/// The fault of the client's certificate, if that is why a handshake failed.
fn bad_certificate(error: &io::Error) -> Option<&rustls::CertificateError> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}
