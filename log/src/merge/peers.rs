//! What the engine asks of other machines: secondaries and witnesses. It knows no HTTP; whoever runs it lends it a client.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// One request.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// Where to: an absolute URL.
    pub url: String,
    /// The body of a POST with its media type; a GET without it.
    pub body: Option<(&'static str, Bytes)>,
    /// The longest time for all of it.
    pub timeout: Duration,
    /// The longest answer, bytes; a longer one is an error.
    pub most: usize,
}

/// What came back, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct PeerAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub kind: String,
    /// Which storage answered (`Mirror-Incarnation`), where the peer says so.
    pub incarnation: Option<String>,
    /// The peer saw two roots at this size (`Mirror-Alarm`).
    pub alarm: Option<u64>,
    /// The body.
    pub body: Bytes,
}

impl PeerAnswer {
    /// The body as text for people: its first line, cut short.
    pub fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        format!("{}: {line}", self.status)
    }
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Too slow.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// More than was asked for.
    #[error("an answer of more than {0} bytes")]
    TooLong(usize),
}

/// A client of other machines: keeps connections open, follows no redirects, verifies certificates.
pub trait Peers: std::fmt::Debug + Send + Sync + 'static {
    /// Sends a request. Dropping the answer gives up on it.
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>>;
}

/// Asks nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send(&self, _: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(std::future::ready(Err(PeerError::Unreachable(
            "this process has no client".to_owned(),
        ))))
    }
}
