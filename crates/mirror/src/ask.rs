//! A log's requests to its secondaries and witnesses. Neither the log nor this crate has an HTTP client; the server passes one.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tlog::TreeSize;

/// A request to a secondary or a witness.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// The absolute URL of the request.
    pub url: String,
    /// The body of a POST with its media type; a GET without it.
    pub body: Option<(&'static str, Bytes)>,
    /// The longest time for all of it.
    pub timeout: Duration,
    /// The longest answer, bytes; a longer one is an error.
    pub most: usize,
    /// The life of the log that asks (`Log-Life`), if it was restored.
    pub life: Option<PeerLife>,
}

/// A life of a log, as the header of requests to secondaries and of their answers has it: `ID ENTRIES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLife {
    /// Number of the life: each restore has a later one.
    pub id: u64,
    /// Entries: those that it was restored with; from a secondary, those that it has verified.
    pub entries: u64,
}

impl std::fmt::Display for PeerLife {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.entries)
    }
}

impl std::str::FromStr for PeerLife {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let two = text.split_once(' ');
        let (id, entries) = two.ok_or("not two numbers")?;
        let number = |text: &str| text.parse().map_err(|_| "not a number");
        Ok(Self {
            id: number(id)?,
            entries: number(entries)?,
        })
    }
}

/// The answer, with any status.
#[derive(Clone, Debug, Default)]
pub struct PeerAnswer {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The media type of the answer.
    pub kind: String,
    /// The storage that answered (`Mirror-Incarnation`), if the peer names it.
    pub incarnation: Option<String>,
    /// The peer saw two roots at this size (`Mirror-Alarm`).
    pub alarm: Option<TreeSize>,
    /// The life of the log that the peer takes something of (`Log-Life`); it refuses earlier ones.
    pub life: Option<PeerLife>,
    /// The body, as it was received.
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

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No answer within the limit.
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
pub trait PeerClient: std::fmt::Debug + Send + Sync + 'static {
    /// Sends a request. Dropping the answer gives up on it.
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>>;
}

/// Sends no request: every call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeerClient;

impl PeerClient for NoPeerClient {
    fn send(&self, _: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(std::future::ready(Err(PeerError::Unreachable(
            "this process has no client".to_owned(),
        ))))
    }
}
