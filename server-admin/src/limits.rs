//! How much a caller may ask of the endpoint.

use std::time::Duration;

use plane_http::WhenFull;

/// Memory for a request's head, and for each direction of a connection.
const HEAD_BYTES: usize = 32 << 10;

/// The endpoint's limits. `..Limits::default()` fills in the usual ones.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body, in bytes. 4 MiB: a document of a log with thousands of shards.
    pub body_bytes: usize,
    /// Bytes of request bodies in memory at a time, of all connections; and as many of long answers. 32 MiB.
    pub bodies: usize,
    /// Time for a whole body to arrive. 10 s.
    pub body_time: Duration,
    /// Time for a TLS handshake and a request's headers to arrive; also how long a connection may idle, or its client be behind
    /// in reading an answer. Kept to the second. 10 s.
    pub header_time: Duration,
    /// Time for sent data to be acknowledged. 10 s.
    pub peer_time: Duration,
    /// Connections at a time; the socket and the TCP listener each have as many, so that neither starves the other. When all
    /// are taken, the next one gets the place of the one that has been idle longest. 64.
    pub connections: usize,
    /// Operations followed at a time (`Accept: text/event-stream`), over all listeners; fewer than `connections`. 32.
    pub streams: usize,
    /// How long one stream follows an operation; after that, a client asks again. 15 min.
    pub stream_time: Duration,
    /// Time for running requests to finish after a stop was asked for. 10 s.
    pub drain_time: Duration,
}

impl Limits {
    /// The limits of a listener.
    pub(crate) fn listener(&self) -> plane_http::Limits {
        plane_http::Limits {
            connections: self.connections,
            when_full: WhenFull::ReplaceIdle,
            http2: false,
            header_bytes: HEAD_BYTES,
            header_timeout: self.header_time,
            body_timeout: self.body_time,
            idle_timeout: self.header_time,
            peer_timeout: self.peer_time,
            bodies: self.bodies,
            answers: self.bodies,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        Self {
            body_bytes: 4 << 20,
            bodies: 32 << 20,
            body_time: patience,
            header_time: patience,
            peer_time: patience,
            connections: 64,
            streams: 32,
            stream_time: Duration::from_secs(15 * 60),
            drain_time: patience,
        }
    }
}
