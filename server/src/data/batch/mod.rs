//! `POST /{log}/add-batch`: millions of entries in one body, in constant memory.
//!
//! The body is read frame by frame and cut into chunks ([`cut`]); each goes into the order as a whole, a bounded number of them at a time
//! ([`flight`]). A writer that sends faster than the log accepts is not refused; its body is read more slowly. One JSON line at the end has
//! the locations of all entries ([`ranges`]). A writer that sends too slowly ([`Pace`]) is refused, so that another gets its place.
//!
//! What must never happen: an entry of an upload (`?upload=ID`) is in the log twice because its writer sent it again ([`turns`]); memory
//! grows with the body; an answer hides what was accepted before an error.

mod ask;
mod cut;
mod fault;
mod in_flight;
mod lines;
mod ranges;
#[cfg(test)]
mod tests;
mod turns;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response as Routed;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use self::ask::Encoding;
use self::cut::{Cut, Cutter};
use self::fault::Fault;
use self::in_flight::InFlight;
use self::lines::Lines;
use self::ranges::Ranges;
use self::turns::NoTurn;
use super::advice;
use super::negotiate::wants_json;
use super::read::lines;
use super::refusal::{self, Refusal};
use super::{DataPlane, find, granted, stamp, unfronted};
use crate::readiness::Readiness;
use engine::{AppendError, Chunk, Log, UploadId, UploadPart, UploadRange, WriteKey};
use plane_http::{Body, JSON, Pace, Phase, Unread, Watched};
use qos::{Advice, Granted, TenantId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::data::{Batch, Progress, Range, codes};

pub(crate) use self::turns::Turns;

/// Bytes of a chunk: what a coordination store takes as one value, so that it needs no object of its own.
const CHUNK: usize = 64 << 10;
/// Bytes of a body that are held before they are in a chunk that waits in the queue: a chunk, and a line.
const HELD: usize = CHUNK + self::lines::MAX_LINE;
/// How long a chunk waits for room. The body is not read meanwhile; if nothing moves for this long, the writer is refused.
const ROOM: Duration = Duration::from_secs(60);
/// `Retry-After` where it cannot be computed.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a writer that is behind is checked again while nobody needs what it holds.
const WRITER_POLL: Duration = Duration::from_secs(1);
/// Ranges in an answer, at most. Entries of other writers between the chunks make more of them.
const MOST_RANGES: usize = 1 << 16;

/// Why a batch ended early, and what of it is in the log anyway.
struct Stopped {
    refusal: Refusal,
    /// The accepted part; `None` if the batch had not begun.
    done: Option<Batch>,
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            done: None,
        }
    }
}

/// The log that this request adds a batch to; `None` when it is another request.
pub(super) fn target<'a>(method: &Method, path: &'a str) -> Option<Cow<'a, str>> {
    super::posted(method, path, "/add-batch")
}

/// Adds the entries in the body to the log.
pub(super) async fn answer(
    plane: &DataPlane,
    watched: &Watched,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut unread = Unread::new(head.version, &head.headers, body);
    let json = wants_json(&head.headers);
    let name = target(&head.method, head.uri.path()).unwrap_or_default();
    let log = find(&plane.readiness, &name);
    let result = match &log {
        Ok(log) => add(plane, log, watched, &head, unread.body()).await,
        Err(refusal) => Err(refusal.clone().into()),
    };
    let mut response = match result {
        Ok((done, granted)) => respond(&done, granted.as_ref()),
        Err(Stopped {
            refusal,
            done: Some(done),
        }) => refusal
            .respond(true)
            .map(|_| Bytes::from(within(&done, &refusal))),
        Err(Stopped {
            refusal,
            done: None,
        }) => refusal.respond(json),
    };
    if let Ok(log) = &log {
        stamp(response.headers_mut(), log);
    }
    unread.finish().await;
    response.map(|answer| unread.answer(answer))
}

fn respond(done: &Batch, granted: Option<&Granted>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(lines(done)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Some(granted) = granted {
        granted::stamp(headers, granted);
    }
    response
}

/// The refusal as a problem document that also says what was accepted.
fn within(done: &Batch, refusal: &Refusal) -> Vec<u8> {
    let mut all = serde_json::to_value(refusal.problem()).unwrap_or_default();
    if let (Some(all), Ok(serde_json::Value::Object(own))) =
        (all.as_object_mut(), serde_json::to_value(done))
    {
        all.extend(own);
    }
    lines(&all)
}

/// The entries in a body, whichever way they are written.
enum Reader {
    Bundle(Cutter),
    Lines(Lines, Cutter),
}

impl Reader {
    fn new(encoding: Encoding, cutter: Cutter) -> Self {
        match encoding {
            Encoding::Bundle => Self::Bundle(cutter),
            Encoding::Lines => Self::Lines(Lines::default(), cutter),
        }
    }

    fn feed(&mut self, piece: &mut Bytes) -> Result<Option<Cut>, Fault> {
        match self {
            Self::Bundle(cutter) => cutter.feed(piece),
            Self::Lines(lines, cutter) => lines.feed(piece, cutter),
        }
    }

    /// The chunks that are left at the end of the body: with lines there may be two.
    fn finish(&mut self) -> Result<[Option<Cut>; 2], Fault> {
        let (full, cutter) = match self {
            Self::Bundle(cutter) => (None, cutter),
            Self::Lines(lines, cutter) => (lines.finish(cutter)?, cutter),
        };
        let last = cutter.finish()?;
        if cutter.seen() == 0 {
            return Err(Fault::Nothing);
        }
        Ok([full, last])
    }
}

async fn add(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<(Batch, Option<Granted>), Stopped> {
    unfronted(log)?;
    let part = ask::part(head.uri.query())?;
    let encoding = ask::encoding(&head.headers)?;
    let asked = advice::read(&head.headers, || log.now().get())?;
    let tenant = asked.tenant(log)?;
    let key = asked.key(log, tenant);
    if key.is_some() && part.upload.is_some() {
        return Err(Refusal::bad(
            "an upload is repeatable by itself: send ?upload=ID or Idempotency-Key, not both",
        )
        .into());
    }
    let upload = key
        .map(WriteKey::upload)
        .or_else(|| own(log, tenant, part.upload));
    if upload.is_none() {
        // The answer for a complete upload is the same whether or not the log accepts more entries.
        log.takes(&asked.advice)
            .map_err(|error| refusal::append(log.name(), error))?;
    }
    // Under a key the first chunk has two entries, however long.
    let held = HELD + key.map_or(0, |_| CHUNK);
    let _held = watched
        .bodies()
        .begin(held)
        .and_then(|mut all| all.grow(held).map(|()| all))
        .map_err(|_| Refusal::crowded())?;
    watched.enter(Phase::Working);
    let turn = plane.turns.take(log.name(), upload, key.is_none());
    let turn = turn.await;
    let turn = turn.map_err(|why| Stopped::from(no_turn(why)))?;
    // Read when the requests before this one have come to their end.
    let (mut ranges, mut repeat) = (Ranges::default(), None);
    let accepted = match (key, upload) {
        (Some(key), _) => {
            let known = log.keyed_batch(key).await;
            let (known, before) =
                known.map_err(|error| refusal::read(log.name(), &error.into()))?;
            // The answer to a repeat is that to the first request.
            known.ranges.iter().for_each(|r| ranges.push(range(r)));
            repeat = Some(before);
            known.accepted
        }
        (None, Some(id)) => progress(log, id).await?.accepted,
        (None, None) => 0,
    };
    if part.offset > accepted {
        return Err(Refusal::new(
            codes::UPLOAD_OFFSET,
            format!(
                "offset={} leaves a gap: {accepted} entries of this upload were accepted, continue there",
                part.offset
            ),
        )
        .into());
    }
    let cutter = Cutter::new(CHUNK, accepted - part.offset).repeating(repeat);
    let mut reader = Reader::new(encoding, cutter);
    let begun = if key.is_some() { 0 } else { accepted };
    let mut sender = Sender {
        log,
        tenant,
        advice: &asked.advice,
        upload,
        keyed: key.is_some(),
        next: accepted,
        granted: None,
        newer: turn.newer(),
        flight: InFlight::new(turn, ranges),
        pace: Pace::new(plane.body_timeout),
        silence: plane.body_timeout,
        scarce: &|| plane.turns.are_scarce() || watched.bodies().is_scarce(),
    };
    let result = async {
        loop {
            watched.enter(Phase::Streaming);
            let piece = sender.read(body).await?;
            watched.enter(Phase::Working);
            let Some(mut piece) = piece else {
                break;
            };
            if plane.readiness.is_closing() {
                return Err(Refusal::shutting_down());
            }
            while let Some(cut) = reader.feed(&mut piece).map_err(faulty)? {
                sender.send(cut).await?;
            }
        }
        for cut in reader.finish().map_err(faulty)?.into_iter().flatten() {
            sender.send(cut).await?;
        }
        Ok(())
    }
    .await;
    watched.enter(Phase::Working);
    let landed = sender.flight.land_all().await;
    let mut result = match landed {
        // Takes precedence over what ended the body: no other answer leaves open whether more of it is in the log.
        Err(AppendError::Unknown) => Err(sender.refused(AppendError::Unknown)),
        landed => result.and(landed.map_err(|error| sender.refused(error))),
    };
    if let (Ok(()), Some(key)) = (&result, key) {
        let ended = log.end_keyed_batch(key, sender.next).await;
        result = ended.map_err(|error| sender.refused(error));
    }
    let done = Batch {
        entries: sender.flight.ranges.entries(),
        accepted: sender.flight.ranges.run(begun),
        ranges: sender.flight.ranges.all().to_vec(),
        shard: sender
            .flight
            .shard
            .take()
            .or_else(|| {
                let last = sender.flight.ranges.all().last()?;
                log.shard_of((last.index + last.entries).back(1))
            })
            .map(|shard| shard.to_string()),
    };
    if let Err(refusal) = result {
        let done = Some(done);
        return Err(Stopped { refusal, done });
    }
    Ok((done, sender.granted.take()))
}

/// Sends chunks into the order.
struct Sender<'a> {
    log: &'a Log,
    tenant: TenantId,
    advice: &'a Advice,
    upload: Option<UploadId>,
    /// Whether it belongs to an idempotency key.
    keyed: bool,
    /// Position of the next chunk in the upload.
    next: u64,
    granted: Option<Granted>,
    newer: CancellationToken,
    flight: InFlight,
    /// How long the writer may still be waited for. Time in which it is not read does not count.
    pace: Pace,
    /// How long it may be silent in any case.
    silence: Duration,
    /// Whether others need the place or the memory of a slow writer.
    scarce: &'a (dyn Fn() -> bool + Sync),
}

impl Sender<'_> {
    /// The next piece of the body; `None` at its end. Chunks land meanwhile.
    async fn read(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
        let begun = Instant::now();
        let mut until = begun + self.pace.left();
        loop {
            tokio::select! {
                biased;
                () = self.newer.cancelled() => return Err(superseded()),
                landed = self.flight.land() => self.landed(landed)?,
                piece = super::add::frame(body) => {
                    let piece = piece?;
                    let bytes = piece.as_ref().map_or(0, Bytes::len);
                    self.pace.came(begun.elapsed(), bytes);
                    return Ok(piece);
                }
                () = tokio::time::sleep_until(until) => {
                    if begun.elapsed() >= self.silence || (self.scarce)() {
                        return Err(Refusal::slow_batch());
                    }
                    until = (Instant::now() + WRITER_POLL).min(begun + self.silence);
                }
            }
        }
    }

    /// Sends one chunk, once there is room for it.
    async fn send(&mut self, cut: Cut) -> Result<(), Refusal> {
        while self.flight.is_full() {
            tokio::select! {
                biased;
                () = self.newer.cancelled() => return Err(superseded()),
                landed = self.flight.land() => self.landed(landed)?,
            }
        }
        let (first, entries) = (self.next, cut.entries);
        let chunk = Chunk {
            bytes: cut.bytes,
            entries,
            upload: self.upload.map(|id| UploadPart { id, offset: first }),
        };
        let submitted = self.log.submit_chunk(chunk, self.tenant, self.advice);
        let ticket = tokio::select! {
            biased;
            () = self.newer.cancelled() => return Err(superseded()),
            submitted = tokio::time::timeout(ROOM, submitted) => match submitted {
                Ok(submitted) => submitted.map_err(|error| self.refused(error))?,
                Err(_) => return Err(Refusal::no_room(ROOM)),
            },
        };
        self.flight.push(first, entries, ticket.answer);
        self.next += entries;
        self.granted = Some(ticket.granted);
        Ok(())
    }

    fn refused(&self, error: AppendError) -> Refusal {
        match error {
            // The same upload at another server, or another body: the answer to a repeat says which.
            AppendError::UploadAt { .. } if self.keyed => Refusal::new(
                codes::UPLOAD_BUSY,
                "another request with this idempotency key is under way; send this one again, with the same key",
            )
            .later(AGAIN),
            error => refusal::append(self.log.name(), error),
        }
    }

    fn landed(&self, landed: Result<(), AppendError>) -> Result<(), Refusal> {
        landed.map_err(|error| self.refused(error))?;
        if self.flight.ranges.all().len() < MOST_RANGES {
            return Ok(());
        }
        Err(Refusal::new(
            codes::TOO_MANY_RANGES,
            format!(
                "the entries of this body lie in more than {MOST_RANGES} ranges; send the remaining entries in another request"
            ),
        ))
    }
}

fn faulty(fault: Fault) -> Refusal {
    if fault == Fault::Reused {
        return Refusal::reused();
    }
    Refusal::new(codes::BAD_BATCH, fault.to_string())
}

fn superseded() -> Refusal {
    Refusal::new(
        codes::UPLOAD_SUPERSEDED,
        "a newer request continues this upload",
    )
}

fn no_turn(why: NoTurn) -> Refusal {
    let (code, detail) = match why {
        NoTurn::Superseded => return superseded(),
        NoTurn::Crowded => (codes::TOO_MANY_BATCHES, "too many batches are under way"),
        NoTurn::Busy => (
            codes::UPLOAD_BUSY,
            "an earlier request for this upload still waits for its chunks",
        ),
    };
    Refusal::new(code, detail).later(AGAIN)
}

fn range(known: &UploadRange) -> Range {
    Range {
        first: known.first,
        index: known.index,
        entries: known.entries,
    }
}

async fn progress(log: &Log, id: UploadId) -> Result<Progress, Refusal> {
    let upload = log
        .upload(id)
        .await
        .map_err(|error| refusal::read(log.name(), &error.into()))?;
    let mut ranges = Ranges::default();
    upload.ranges.iter().for_each(|r| ranges.push(range(r)));
    Ok(Progress {
        accepted: upload.accepted,
        ranges: ranges.all().to_vec(),
    })
}

/// An upload belongs to its tenant: to anybody else its name means another one.
fn own(log: &Log, tenant: TenantId, upload: Option<UploadId>) -> Option<UploadId> {
    let policy = log.policy();
    let name = policy.tenants().get(tenant.index()).map(|rule| &*rule.name);
    upload.map(|id| id.of(name.unwrap_or_default()))
}

/// `GET /{log}/add-batch?upload=ID`: the accepted part of an upload of this tenant.
pub(super) async fn asked(
    State(readiness): State<Arc<Readiness>>,
    Path(log): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Routed {
    let result = async {
        let log = find(&readiness, &log)?;
        let tenant = advice::read(&headers, || log.now().get())?.tenant(&log)?;
        let id = match ask::part(query.as_deref())? {
            ask::Part {
                upload: Some(id),
                offset: 0,
            } => id,
            _ => {
                return Err(Refusal::bad(
                    "name the upload, and nothing else: ?upload=ID",
                ));
            }
        };
        match own(&log, tenant, Some(id)) {
            Some(id) => progress(&log, id).await,
            None => Err(Refusal::absent("no such upload")),
        }
    };
    let response = match result.await {
        Ok(progress) => plane_http::reply(StatusCode::OK, JSON, "no-store", lines(&progress)),
        Err(refusal) => refusal.respond(wants_json(&headers)),
    };
    response.map(axum::body::Body::from)
}
