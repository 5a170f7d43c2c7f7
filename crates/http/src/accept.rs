//! The accept loop, and the task of one connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, Sent};
use crate::error::Error;
use crate::listener::{Listener, Open};
use crate::tls::Tls;
use crate::track::Tracked;
use crate::watch::{ConnectionPlace, WINDOW, Watch};
use crate::watched::{Order, Phase, Watched};

/// Pause after the system refused a connection, for example for lack of file descriptors.
const REST: Duration = Duration::from_millis(100);
/// How often HTTP/2 peers are asked whether they are still there.
const PING: Duration = Duration::from_secs(20);
/// Streams of one HTTP/2 connection at a time.
const STREAMS: u32 = 32;
/// Bytes that a client may send on one HTTP/2 stream before they are read: the largest entry.
const STREAM_WINDOW: u32 = 64 << 10;
/// Bytes that may wait to be sent on one HTTP/2 stream.
const SEND: usize = 128 << 10;
/// The answer to a connection over the limit, before it is closed.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

/// Answers the requests of a listener.
pub trait Plane: Sized + Send + Sync + 'static {
    /// The service for a connection from `origin` whose client showed this verified certificate; without a service, the connection is
    /// closed.
    fn meet(
        self: &Arc<Self>,
        _origin: Origin,
        _certificate: Option<&CertificateDer<'_>>,
    ) -> Option<Arc<Self>> {
        Some(Arc::clone(self))
    }

    /// Is told that a TLS handshake failed.
    fn refused(&self, _origin: Origin, _error: &io::Error) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Answers one request on the connection `watched`.
    fn answer(
        &self,
        watched: &Watched,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The origin of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// An address, which proves nothing.
    Tcp(SocketAddr),
    /// A process of this user, as the kernel says.
    Unix {
        /// User id of the connecting process.
        uid: u32,
    },
}

enum Accepted {
    Tcp(TcpStream, Origin),
    Unix(UnixStream, Origin),
    #[cfg(feature = "testing")]
    Memory(tokio::io::DuplexStream),
}

impl Open {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, Origin::Tcp(address)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok(Accepted::Unix(stream, Origin::Unix { uid }))
            }
            #[cfg(feature = "testing")]
            Self::Memory(calls) => match calls.lock().await.recv().await {
                Some(stream) => Ok(Accepted::Memory(stream)),
                None => std::future::pending().await,
            },
        }
    }
}

/// Serves `listener` until `stop`, and then until every connection has ended: each finishes what is in flight, for at most
/// `grace`. One that is dropped closes its connections. Must be called in a tokio runtime.
///
/// # Errors
/// The listener can't be registered with the runtime.
pub fn serve<P: Plane>(
    listener: Listener,
    plane: Arc<P>,
    watch: Arc<Watch>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    let listener = listener.open()?;
    Ok(async move {
        let door = Arc::new(Door {
            builder: builder(&watch),
            plane,
            watch,
        });
        let _end = CloseAll(Arc::clone(&door.watch));
        accept(listener, &door, stop).await;
        drain(&door.watch, grace).await;
    })
}

/// The state that the connections of a listener share.
struct Door<P> {
    plane: Arc<P>,
    watch: Arc<Watch>,
    builder: auto::Builder<TokioExecutor>,
}

/// Closes all connections when no task watches them any more.
struct CloseAll(Arc<Watch>);

impl Drop for CloseAll {
    fn drop(&mut self) {
        self.0.ask_all(Order::Close);
    }
}

async fn accept<P: Plane>(listener: Open, door: &Arc<Door<P>>, stop: CancellationToken) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A connection that takes the place of an idle one comes first.
    let mut waiting = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Checked before the next connection, so that a flood of them cannot keep the slow ones alive.
            _ = second.tick() => {
                let slow = door.watch.sweep();
                if slow > 0 {
                    tracing::debug!(connections = slow, "closed for being too slow");
                }
            }
            place = door.watch.place(), if waiting.is_some() => {
                if let Some(accepted) = waiting.take() {
                    admit(accepted, place, &listener, door);
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok(accepted) => waiting = Some(accepted),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    let _ = tokio::time::timeout(REST, stop.cancelled()).await;
                }
            },
        }
    }
}

/// Asks all connections to finish, and closes those that do not in time.
async fn drain(watch: &Arc<Watch>, grace: Duration) {
    watch.ask_all(Order::Drain);
    if tokio::time::timeout(grace, watch.empty()).await.is_err() {
        tracing::warn!(
            connections = watch.count(),
            "closing connections that did not finish in time"
        );
        watch.ask_all(Order::Close);
        watch.empty().await;
    }
}

/// Whether a failed accept concerns only the connection that was to be accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn builder(watch: &Watch) -> auto::Builder<TokioExecutor> {
    let limits = watch.limits();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No timer for HTTP/1: the watch ends slow connections. One small answer is one write, copied together with its head.
    builder
        .http1()
        .max_buf_size(limits.header_bytes)
        .keep_alive(true)
        // A client that has closed its sending side still waits for the answer.
        .half_close(true)
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    match limits.http2 {
        true => builder,
        false => builder.http1_only(),
    }
}

fn admit<P: Plane>(
    accepted: Accepted,
    place: Option<ConnectionPlace>,
    listener: &Open,
    door: &Arc<Door<P>>,
) {
    let tls = match listener {
        Open::Tcp(_, tls) => tls.clone(),
        Open::Unix { .. } => None,
        #[cfg(feature = "testing")]
        Open::Memory(_) => None,
    };
    let Some(place) = place else {
        if let (Accepted::Tcp(stream, _), None) = (&accepted, &tls) {
            // Bytes that do not fit into an empty socket buffer at once are not worth waiting for.
            let _ = stream.try_write(FULL);
        }
        return;
    };
    if let Accepted::Tcp(stream, _) = &accepted {
        let patience = door.watch.limits().peer_timeout.as_millis();
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        // The watch ends a client that reads nothing; this option ends one that is gone. If an old kernel refuses it, nothing else changes.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, patience);
        // Answers are written whole, so waiting for more only delays them.
        let _ = stream.set_nodelay(true);
    }
    let door = Arc::clone(door);
    // A task for each kind, so that the smaller ones take less memory.
    match (accepted, tls) {
        (Accepted::Unix(stream, origin), _) => drop(tokio::spawn(async move {
            connection(stream, origin, None, &door, &place).await;
        })),
        #[cfg(feature = "testing")]
        (Accepted::Memory(stream), _) => drop(tokio::spawn(async move {
            let origin = Origin::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
            connection(stream, origin, None, &door, &place).await;
        })),
        (Accepted::Tcp(stream, origin), None) => drop(tokio::spawn(async move {
            connection(stream, origin, None, &door, &place).await;
        })),
        (Accepted::Tcp(stream, origin), Some(tls)) => drop(tokio::spawn(async move {
            secured(stream, origin, &tls, &door, &place).await;
        })),
    }
}

async fn secured<P: Plane>(
    stream: TcpStream,
    origin: Origin,
    tls: &Arc<Tls>,
    door: &Door<P>,
    place: &ConnectionPlace,
) {
    let handshake = async {
        let late = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the certificate files were not read in time",
            )
        };
        let config = tls.config().await.ok_or_else(late)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    match until_closed(place, handshake).await {
        None => tracing::debug!(?origin, "TLS handshake took too long"),
        Some(Err(error)) => {
            tracing::debug!(%error, ?origin, "TLS handshake failed");
            until_closed(place, door.plane.refused(origin, &error)).await;
        }
        Some(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(<[_]>::first).cloned();
            connection(stream, origin, shown.as_ref(), door, place).await;
        }
    }
}

/// Drives `future` unless the connection is asked to end first.
async fn until_closed<F: Future>(place: &ConnectionPlace, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match place.watched().order(context) {
        Order::Serve => future.as_mut().poll(context).map(Some),
        Order::Drain | Order::Close => Poll::Ready(None),
    })
    .await
}

/// The state that all requests of a connection share, behind one counter.
struct Session<P> {
    plane: Arc<P>,
    watched: Arc<Watched>,
}

async fn connection<P: Plane, T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    origin: Origin,
    certificate: Option<&CertificateDer<'_>>,
    door: &Door<P>,
    place: &ConnectionPlace,
) {
    let Some(plane) = door.plane.meet(origin, certificate) else {
        return;
    };
    let watched = Arc::clone(place.watched());
    let stream = TokioIo::new(Tracked::new(stream, Arc::clone(&watched)));
    let session = Arc::new(Session { plane, watched });
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move {
            let Session { plane, watched } = &*session;
            let multiplexed = request.version() == Version::HTTP_2;
            let busy = watched.busy();
            let stream = multiplexed.then(|| watched.begin());
            let answer = plane.answer(watched, request).await;
            drop(stream);
            watched.enter(match answer.body() {
                Body::Whole(_) | Body::Early(_) => Phase::Idle,
                Body::Events(_) => Phase::Events,
            });
            Ok::<_, Infallible>(answer.map(|body| Sent::new(body, watched, multiplexed, busy)))
        }
    });
    let mut connection = pin!(door.builder.serve_connection(stream, service));
    let mut draining = false;
    let ended = poll_fn(|context| match place.watched().order(context) {
        Order::Close => Poll::Ready(Ok(())),
        Order::Drain if !draining => {
            draining = true;
            connection.as_mut().graceful_shutdown();
            connection.as_mut().poll(context)
        }
        Order::Drain | Order::Serve => connection.as_mut().poll(context),
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, ?origin, "connection ended");
    }
}

#[cfg(test)]
mod tests;
