//! The data plane of one engine over connections in memory: no socket, no settings, no process around it. For simulated lives.
//!
//! The listener, the parsing of requests and every handler are those that ship.

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use plane_http::{Error, Limits, Listener, Watch};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::data::DataPlane;
use crate::metrics::HttpMetrics;
use crate::readiness::Readiness;
use crate::settings::RekorRoots;

/// How long `Log-Ack: published` waits.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stop waits for requests in flight.
const GRACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that a connection takes before they are read.
const PIPE: usize = 64 << 10;

/// A data plane that serves. When it is dropped, its connections are closed.
pub struct MemoryPlane {
    readiness: Arc<Readiness>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Cancelled when the listener has ended.
    ended: CancellationToken,
    calls: UnboundedSender<DuplexStream>,
}

impl MemoryPlane {
    /// Serves the logs of an engine from now on. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// There are none for a listener in memory.
    pub fn serve(engine: Arc<Engine>) -> Result<Self, Error> {
        let readiness = Arc::new(Readiness::default());
        let limits = Limits::default();
        let plane = Arc::new(DataPlane::new(
            Arc::clone(&readiness),
            Arc::new(HttpMetrics::default()),
            limits.body_timeout,
            PUBLISH_TIMEOUT,
            RekorRoots::default(),
        ));
        readiness.open(engine);
        let (listener, calls) = Listener::memory();
        let (watch, stop) = (Watch::new(limits), CancellationToken::new());
        let serving = plane_http::serve(listener, plane, watch, stop.clone(), GRACE_TIMEOUT)?;
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let serving = tokio::spawn(async move {
            let _guard = guard;
            serving.await;
        });
        Ok(Self {
            readiness,
            stop,
            serving,
            ended,
            calls,
        })
    }

    /// The client's end of a new connection. Once the plane has stopped, nobody reads from it.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let _ = self.calls.send(theirs);
        ours
    }

    /// Ends at once, as if the process had died.
    pub fn close(&self) {
        self.serving.abort();
    }

    /// Stops as a server does after a signal: no connection is accepted any more; resolves when the requests in flight are answered or
    /// the grace time has passed.
    pub async fn stop(&self) {
        self.readiness.drain();
        self.readiness.close();
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

impl Drop for MemoryPlane {
    fn drop(&mut self) {
        self.close();
    }
}
