//! The HTTP client with which the engine talks to secondaries and witnesses.
//!
//! What must never happen: an answer fills the memory, a redirect leads to a server that nobody configured, or a TLS connection has an
//! unverified certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::{PeerAnswer, PeerClient, PeerError, PeerRequest};
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;

use crate::error::Error;
use crate::tls;
use mirror::http::{ALARM, INCARNATION, LIFE};
use tlog::TreeSize;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: longer than the pauses of a log that is in use.
const IDLE: Duration = Duration::from_secs(60);

/// A client that keeps its connections.
#[derive(Debug)]
pub(crate) struct HttpPeers {
    client: reqwest::Client,
}

impl HttpPeers {
    /// A client that trusts the authorities in `ca`, or otherwise the platform's.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Arc<Self>, Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(ca, "peers.ca")?)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| Error::Tls(format!("the client for peers: {e}")))?;
        Ok(Arc::new(Self { client }))
    }

    async fn exchange(&self, request: &PeerRequest) -> Result<PeerAnswer, PeerError> {
        let unreachable = |e: reqwest::Error| PeerError::Unreachable(causes(&e.without_url()));
        let builder = match &request.body {
            Some((kind, body)) => self
                .client
                .post(&request.url)
                .header(CONTENT_TYPE, *kind)
                .body(body.clone()),
            None => self.client.get(&request.url),
        };
        let builder = match &request.life {
            Some(life) => builder.header(LIFE, life.to_string()),
            None => builder,
        };
        let mut response = builder.send().await.map_err(unreachable)?;
        let header = |headers: &HeaderMap, name| {
            let value = headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let headers = response.headers();
        let mut answer = PeerAnswer {
            status: response.status().as_u16(),
            kind: header(headers, CONTENT_TYPE).unwrap_or_default(),
            incarnation: header(headers, INCARNATION),
            alarm: header(headers, ALARM)
                .and_then(|size| size.parse().ok())
                .map(TreeSize::new),
            life: header(headers, LIFE).and_then(|life| life.parse().ok()),
            body: Bytes::new(),
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > request.most {
                return Err(PeerError::TooLong(request.most));
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = body.freeze();
        Ok(answer)
    }
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl PeerClient for HttpPeers {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(async move {
            let exchange = self.exchange(&request);
            tokio::time::timeout(request.timeout, exchange)
                .await
                .unwrap_or(Err(PeerError::Timeout(request.timeout)))
        })
    }
}
