//! The body of an answer: bytes that are all in memory, handed out in pieces, or events as they come.
//!
//! What must never happen: a connection takes more of an answer than it can send soon. On HTTP/1 hyper copies the bytes that it gets, so
//! they no longer count for any budget.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{EXPECT, HeaderMap};
use tokio::time::Sleep;

use crate::watched::{Busy, Phase, Watched};

/// The body of an answer, by how it is sent.
#[derive(Debug)]
pub enum Body {
    /// All of it; empty once sent.
    Whole(Bytes),
    /// All of it, before the request was read to its end.
    Early(Box<Early>),
    /// Parts that come over time, without a known end. Their author bounds their number and their time.
    Events(axum::body::Body),
}

/// An answer that cuts a request short. The rest of the request is read and dropped for a while: closing at once would reset the connection, and
/// the client could lose the answer that tells it why.
#[derive(Debug)]
pub struct Early {
    answer: Bytes,
    request: Incoming,
    /// Bytes of the request that are still taken.
    left: usize,
    until: Pin<Box<Sleep>>,
}

/// Bytes that are handed out at a time. An answer that is no longer is one write, together with its head.
const PIECE: usize = 64 << 10;

/// The next bytes of an answer.
fn piece(answer: &mut Bytes) -> Bytes {
    answer.split_to(answer.len().min(PIECE))
}

/// How much of a request is dropped, and for how long, before its connection is closed.
const DROPPED: usize = 64 << 20;
const DROPPING: Duration = Duration::from_secs(8);

/// Bytes of a request that are read before it is refused, and how long to wait for them.
const LITTLE: u64 = 64 << 10;
const SOON: Duration = Duration::from_millis(100);

/// The part of a request's body that was not read when it is answered.
pub struct Unread {
    body: Incoming,
    /// Whether there is a connection to lose: a stream of HTTP/2 ends alone, and a client that waits for `100 Continue` has not
    /// begun.
    drop: bool,
}

impl Unread {
    /// The unread body of a request with this head.
    pub fn new(version: Version, headers: &HeaderMap, body: Incoming) -> Self {
        let drop = version != Version::HTTP_2 && !headers.contains_key(EXPECT);
        Self { body, drop }
    }

    /// The body, to be read.
    pub fn body(&mut self) -> &mut Incoming {
        &mut self.body
    }

    /// Reads a short rest, so that the answer has its length and the connection stays open: a writer
    /// that is refused writes again.
    pub async fn finish(&mut self) {
        let little = self.body.size_hint().upper().is_some_and(|n| n <= LITTLE);
        if !self.drop || !little {
            return;
        }
        let body = &mut self.body;
        let rest = std::future::poll_fn(|context| {
            while let Some(Ok(_)) = std::task::ready!(Pin::new(&mut *body).poll_frame(context)) {}
            Poll::Ready(())
        });
        // Bytes that arrive later are dropped behind the answer.
        let _ = tokio::time::timeout(SOON, rest).await;
    }

    /// The answer's body. The rest of the request is dropped meanwhile.
    pub fn answer(self, answer: Bytes) -> Body {
        if !self.drop || self.body.is_end_stream() {
            return Body::Whole(answer);
        }
        Body::Early(Box::new(Early {
            answer,
            request: self.body,
            left: DROPPED,
            until: Box::pin(tokio::time::sleep(DROPPING)),
        }))
    }
}

impl Early {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.answer.is_empty() {
            return Poll::Ready(Some(piece(&mut self.answer)));
        }
        loop {
            if self.left == 0 || self.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match std::task::ready!(Pin::new(&mut self.request).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    self.left = self.left.saturating_sub(bytes);
                }
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(piece(bytes))))),
            Self::Early(early) => early
                .poll(context)
                .map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => Pin::new(events).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Early(_) => false,
            Self::Events(events) => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // Its end comes later than its last byte.
            Self::Early(early) => {
                let mut hint = SizeHint::default();
                hint.set_lower(early.answer.len() as u64);
                hint
            }
            Self::Events(events) => events.size_hint(),
        }
    }
}

/// An answer's body on its way: each piece that is sent is noted if it counts.
#[derive(Debug)]
pub(crate) struct Sent {
    body: Body,
    /// Set for a multiplexed connection, for events, and if the answer is in the budget.
    watched: Option<Arc<Watched>>,
    multiplexed: bool,
    counted: bool,
    _busy: Option<Busy>,
}

impl Sent {
    /// An answer on the connection `watched`.
    pub(crate) fn new(
        body: Body,
        watched: &Arc<Watched>,
        multiplexed: bool,
        busy: Option<Busy>,
    ) -> Self {
        let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let counted = watched.counts(length);
        let noted = multiplexed || counted || matches!(body, Body::Events(_));
        Self {
            body,
            watched: noted.then(|| Arc::clone(watched)),
            multiplexed,
            counted,
            _busy: busy,
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let (Body::Events(_), Some(watched)) = (&self.body, &self.watched) {
            watched.enter(Phase::Idle);
        }
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let next = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(watched) = &this.watched {
            if this.multiplexed {
                watched.progressed();
            }
            if this.counted
                && let Some(Ok(frame)) = &next
            {
                watched.took(frame.data_ref().map_or(0, Bytes::len));
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
