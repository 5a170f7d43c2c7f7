//! What one client may take.

use std::time::Duration;

/// Limits of a listener.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Bytes of a request's head.
    pub(crate) header_bytes: usize,
    /// Time from the first byte of a request to the end of its head.
    pub(crate) header_timeout: Duration,
    /// Time from there to the end of its body.
    pub(crate) body_timeout: Duration,
    /// Time without a request, or without progress of an answer.
    pub(crate) idle_timeout: Duration,
    /// Bytes of request bodies that are held at a time, of all connections.
    pub(crate) bodies: usize,
}

#[cfg(test)]
impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            bodies: 128 << 20,
        }
    }
}
