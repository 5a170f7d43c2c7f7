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
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::track::Tracked;
use super::watch::{Order, Place, WINDOW, Watch, Watched};
use crate::data::{Body, Sent};
use crate::error::Error;

/// How long the loop rests after the system refused a connection, for instance for want of file descriptors.
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
pub(crate) trait Plane: Send + Sync + 'static {
    /// Answers one request on the connection `watched`.
    fn answer(
        &self,
        watched: &Watched,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<hyper::Response<Body>, Infallible>> + Send;
}

/// Binds an address; the answer knows the port that was given for port 0.
pub(crate) fn bind(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let open = || -> io::Result<_> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// Serves `listener` until `stop`, and then until every connection has ended: each finishes what is in flight, for at most
/// `grace`. Must run in a tokio runtime.
pub(crate) async fn serve<P: Plane>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    plane: Arc<P>,
    watch: Arc<Watch>,
    stop: CancellationToken,
    grace: Duration,
) {
    let connection = Arc::new(builder(&watch));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Before the next connection, so that a flood of them cannot keep the slow ones alive.
            _ = second.tick() => {
                let slow = watch.sweep();
                if slow > 0 {
                    tracing::debug!(connections = slow, "closed for being too slow");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &tls, &plane, &watch, &connection),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            },
        }
    }
    drop(listener);
    drain(&watch, grace).await;
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
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No timer for HTTP/1: the watch ends slow connections. One small answer is one write, copied together with its head.
    builder
        .http1()
        .max_buf_size(watch.limits().header_bytes)
        .keep_alive(true)
        // A client that has said all it has to say still waits for the answer.
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
        .max_header_list_size(u32::try_from(watch.limits().header_bytes).unwrap_or(u32::MAX));
    builder
}

fn admit<P: Plane>(
    stream: TcpStream,
    tls: &Option<TlsAcceptor>,
    plane: &Arc<P>,
    watch: &Arc<Watch>,
    builder: &Arc<auto::Builder<TokioExecutor>>,
) {
    let Some(place) = watch.join() else {
        if tls.is_none() {
            // What does not fit into an empty socket buffer at once is not worth waiting for.
            let _ = stream.try_write(FULL);
        }
        return;
    };
    // Answers are written whole, so waiting for more only delays them. An old kernel that refuses changes nothing else.
    let _ = stream.set_nodelay(true);
    let (plane, builder) = (Arc::clone(plane), Arc::clone(builder));
    match tls.clone() {
        None => drop(tokio::spawn(async move {
            connection(stream, plane, &place, &builder).await
        })),
        Some(acceptor) => drop(tokio::spawn(async move {
            if let Some(stream) = until_closed(&place, acceptor.accept(stream))
                .await
                .and_then(Result::ok)
            {
                connection(stream, plane, &place, &builder).await;
            }
        })),
    }
}

/// Drives `future` unless the connection is asked to end first.
async fn until_closed<F: Future>(place: &Place, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match place.watched().order(context) {
        Order::Serve => future.as_mut().poll(context).map(Some),
        Order::Drain | Order::Close => Poll::Ready(None),
    })
    .await
}

/// What all requests of a connection share, behind one counter.
struct Session<P> {
    plane: Arc<P>,
    watched: Arc<Watched>,
}

async fn connection<P: Plane, T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    plane: Arc<P>,
    place: &Place,
    builder: &auto::Builder<TokioExecutor>,
) {
    let watched = Arc::clone(place.watched());
    let stream = TokioIo::new(Tracked::new(stream, Arc::clone(&watched)));
    let session = Arc::new(Session { plane, watched });
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move {
            let multiplexed = request.version() == Version::HTTP_2;
            let stream = multiplexed.then(|| session.watched.begin());
            let answer = session.plane.answer(&session.watched, request).await;
            drop(stream);
            answer.map(|answer| answer.map(|body| Sent::new(body, &session.watched, multiplexed)))
        }
    });
    let mut connection = pin!(builder.serve_connection(stream, service));
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
        tracing::debug!(%error, "connection failed");
    }
}

#[cfg(test)]
mod tests;
