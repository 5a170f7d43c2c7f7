//! Limits for one client.

use std::time::Duration;

/// Limits of a listener. Times are kept to the second.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// How one more connection is handled.
    pub when_full: WhenFull,
    /// Whether HTTP/2 is offered. Without it, a client cannot stall the choice of protocol by sending nothing.
    pub http2: bool,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Time from the first byte of a request to the end of its head; for the first one of a connection, with the TLS handshake.
    pub header_timeout: Duration,
    /// Time from there to the end of its body.
    pub body_timeout: Duration,
    /// Time without a request, or without progress of an answer.
    pub idle_timeout: Duration,
    /// Time for sent bytes to be acknowledged by the peer's system.
    pub peer_timeout: Duration,
    /// Bytes of request bodies that are held at a time, of all connections.
    pub bodies: usize,
    /// Bytes of long answers that are held at a time, of all connections.
    pub answers: usize,
}

/// How a new connection is handled when there are as many as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is answered 503: an idle connection may already carry a client's next write.
    Refuse,
    /// It replaces the connection that has been idle longest. While all are being answered, it waits.
    ReplaceIdle,
}

#[cfg(any(test, feature = "testing"))]
impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            when_full: WhenFull::Refuse,
            http2: true,
            header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            peer_timeout: Duration::from_secs(75),
            bodies: 128 << 20,
            answers: 64 << 20,
        }
    }
}
