//! Following an operation: `GET operations/{id}` with `Accept: text/event-stream`.
//!
//! The host is asked again and again, at growing intervals, and each answer that differs from the one before is an event.
//! What must never happen: streams take the places of all other requests, or keep a server from stopping. So their number
//! and their time are bounded, and a stop ends them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use wire::{Operation, OperationState, codes};

use crate::host::Host;
use crate::problem::Refusal;
use crate::router::App;

/// The first pause between two questions to the host; each is longer by a half, up to [`SLOWEST`]. A change starts again at the shortest
/// one.
const FASTEST: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_millis(500);
/// How often a silent stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Tells streams that the server stops: as `Extension<Stopping>` on each request, by whoever accepts the connections.
/// Without it, streams end by themselves or after [`Limits::stream_time`](crate::Limits::stream_time).
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Stopping begins when the value becomes true, or its sender is gone.
    #[must_use]
    pub fn when(stopped: watch::Receiver<bool>) -> Self {
        Self(stopped)
    }

    async fn begun(mut self) {
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// Whether the caller asks for events.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let kind = range.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("text/event-stream")
        })
}

/// The events of an operation, from this state of it on.
pub(crate) fn follow(
    app: &App,
    operation: Operation,
    stopping: Option<Stopping>,
) -> Result<Response, Refusal> {
    let Ok(place) = app.streams.clone().try_acquire_owned() else {
        return Err(
            Refusal::new(codes::TOO_MANY, "too many operations are followed")
                .hint("ask for the operation without Accept: text/event-stream, now and then")
                .retry_after(Duration::from_secs(1)),
        );
    };
    let following = Following {
        host: app.host(),
        operation,
        _place: place,
        pause: FASTEST,
        next: Next::Tell,
    };
    let end = Instant::now() + app.room.limits.stream_time;
    let ended = async move {
        let stopped = async {
            match stopping {
                Some(stopping) => stopping.begun().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped => {}
            () = tokio::time::sleep_until(end) => {}
        }
    };
    let events = futures_util::StreamExt::take_until(following.events(), Box::pin(ended));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// A stream on its way.
struct Following {
    host: Arc<dyn Host>,
    operation: Operation,
    /// Returned when the caller is gone or there are no more events.
    _place: OwnedSemaphorePermit,
    pause: Duration,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    Tell,
    Ask,
    End,
}

impl Following {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold(self, |mut following| async {
            let event = following.event().await?;
            Some((Ok(event), following))
        })
    }

    /// The next event: `operation` with the operation, or, as the last one, `problem` with why there are no more.
    async fn event(&mut self) -> Option<Event> {
        match self.next {
            Next::Tell => {}
            Next::Ask => match self.changed().await {
                Ok(operation) => self.operation = operation,
                Err(refusal) => {
                    self.next = Next::End;
                    return Some(Event::default().event("problem").data(refusal.json()));
                }
            },
            Next::End => return None,
        }
        self.next = match is_final(self.operation.state) {
            true => Next::End,
            false => Next::Ask,
        };
        self.pause = FASTEST;
        let data = serde_json::to_string(&self.operation).unwrap_or_default();
        Some(Event::default().event("operation").data(data))
    }

    /// Waits until the operation is another than it was.
    async fn changed(&mut self) -> Result<Operation, Refusal> {
        loop {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 3 / 2).min(SLOWEST);
            let mut now = self.host.operation(&self.operation.id).await?;
            // Ages grow by themselves: they are no news.
            for replica in &mut now.replicas {
                let known = self.operation.replicas.iter().find(|r| r.id == replica.id);
                replica.age_seconds = known.map_or(replica.age_seconds, |r| r.age_seconds);
            }
            if now != self.operation {
                return Ok(now);
            }
        }
    }
}

/// Whether an operation in this state stays as it is.
fn is_final(state: OperationState) -> bool {
    match state {
        OperationState::Unchanged
        | OperationState::Planned
        | OperationState::Done
        | OperationState::Reverted
        | OperationState::Refused => true,
        OperationState::Decided | OperationState::Unconfirmed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_when_named() {
        let accept = |value: &'static str| {
            wanted(&HeaderMap::from_iter([(
                ACCEPT,
                axum::http::HeaderValue::from_static(value),
            )]))
        };
        assert!(accept("text/event-stream"));
        assert!(accept("application/json;q=0.5, Text/Event-Stream; q=1"));
        for other in [
            "*/*",
            "application/json",
            "text/*",
            "",
            "text/event-streams",
        ] {
            assert!(!accept(other), "{other}");
        }
        assert!(!wanted(&HeaderMap::new()));
    }
}
