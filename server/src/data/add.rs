//! `POST /{log}/add`: the hot path.
//!
//! No timer, no routing, no copy of the entry. The request's header map is emptied and used for the answer, so that hyper gets it back for
//! the next request. What must never happen: an acknowledgement that the engine has not given.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use plane_http::{Body, HeldBytes, Phase, Unread, Watched};
use wire::data::Added;

use super::negotiate::{Ack, ack, wants_json};
use super::refusal::{self, Refusal};
use super::{DataPlane, advice, find, granted, promise, stamp, unfronted};
use engine::{AppendError, Appended, Log, Promise, WriteKey};
use qos::{Advice, Granted, TenantId};
use tlog::bundle::MAX_ENTRY;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The outcome of a write.
enum WriteAnswer {
    /// The entry is ordered.
    Ordered {
        status: StatusCode,
        text: Bytes,
        granted: Granted,
    },
    /// The entry is promised.
    Promised(Promise),
}

/// The log that this request adds to; `None` when it is another request.
pub(super) fn target<'a>(method: &Method, path: &'a str) -> Option<Cow<'a, str>> {
    super::posted(method, path, "/add")
}

/// Adds the body to the log.
pub(super) async fn answer(
    plane: &DataPlane,
    watched: &Watched,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut unread = Unread::new(parts.version, &parts.headers, body);
    let json = wants_json(&parts.headers);
    let name = target(&parts.method, parts.uri.path()).unwrap_or_default();
    let log = match find(&plane.readiness, &name) {
        Ok(log) => log,
        Err(refusal) => {
            unread.finish().await;
            return refusal.respond(json).map(|answer| unread.answer(answer));
        }
    };
    let added = add(plane, &log, watched, &parts, unread.body(), json).await;
    let mut response = match added {
        Ok(answer) => {
            let mut headers = parts.headers;
            headers.clear();
            let kind = if json { JSON } else { TEXT };
            match answer {
                WriteAnswer::Ordered {
                    status,
                    text,
                    granted,
                } => {
                    granted::stamp(&mut headers, &granted);
                    respond(headers, status, kind, text)
                }
                WriteAnswer::Promised(promise) => {
                    granted::stamp(&mut headers, &promise.granted);
                    let text = promise::accepted(&promise, log.name(), &mut headers, json);
                    respond(headers, StatusCode::ACCEPTED, kind, text)
                }
            }
        }
        Err(refusal) => {
            unread.finish().await;
            refusal.respond(json).map(|answer| unread.answer(answer))
        }
    };
    stamp(response.headers_mut(), &log);
    response
}

fn respond(
    mut headers: HeaderMap,
    status: StatusCode,
    kind: HeaderValue,
    body: Bytes,
) -> Response<Body> {
    headers.insert(CONTENT_TYPE, kind);
    let mut response = Response::new(Body::Whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

async fn add(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &hyper::http::request::Parts,
    body: &mut Incoming,
    json: bool,
) -> Result<WriteAnswer, Refusal> {
    let ack = ack(&head.headers)?;
    let asked = advice::read(&head.headers, || log.now().get())?;
    let tenant = asked.tenant(log)?;
    if asked.encoded {
        return Err(Refusal::encoded("an entry"));
    }
    let announced = body.size_hint().lower();
    if announced > MAX_ENTRY as u64 {
        return Err(Refusal::too_large(MAX_ENTRY));
    }
    unfronted(log)?;
    let refused = |error| refusal::append(log.name(), error);
    let key = asked.key(log, tenant);
    if key.is_none() {
        // A write that can be refused without its body is refused before a byte of it is held. A write with a key may repeat an accepted
        // one.
        log.takes(&asked.advice).map_err(refused)?;
    }
    let held = watched.bodies().begin(announced as usize);
    let mut held = held.map_err(|_| Refusal::crowded())?;
    watched.enter(Phase::Body);
    let entry = if head.version == Version::HTTP_2 {
        // The watch sees no phases in a multiplexed connection, so the body gets a timer of its own.
        tokio::time::timeout(plane.body_timeout, collect(body, &mut held, MAX_ENTRY))
            .await
            .map_err(|_| Refusal::slow_body())??
    } else {
        collect(body, &mut held, MAX_ENTRY).await?
    };
    watched.enter(Phase::Working);
    let leaf_hash = json.then(|| tlog::leaf_hash(&entry));
    // A preference; with a key, the order is waited for.
    if asked.respond_async && key.is_none() {
        let promise = log.promise(entry, tenant, &asked.advice);
        return promise.await.map(WriteAnswer::Promised).map_err(refused);
    }
    let (appended, granted) = match key {
        None => {
            let ticket = log.submit(entry, tenant, &asked.advice).map_err(refused)?;
            drop(held);
            (ticket.answer.await, ticket.granted)
        }
        Some(key) => Box::pin(keyed(log, key, entry, tenant, &asked.advice)).await?,
    };
    let appended = appended.map_err(refused)?;
    let status = match ack {
        Ack::Ordered => StatusCode::OK,
        Ack::Published => {
            match tokio::time::timeout(plane.publish_timeout, log.wait_published(appended.index))
                .await
            {
                Ok(published) => {
                    // The entry is ordered anyway, so the answer must not invite another attempt.
                    if published.is_ok() {
                        StatusCode::OK
                    } else {
                        StatusCode::ACCEPTED
                    }
                }
                Err(_) => StatusCode::ACCEPTED,
            }
        }
    };
    Ok(WriteAnswer::Ordered {
        status,
        text: text(&appended, leaf_hash),
        granted,
    })
}

/// A write that may be a repeat.
async fn keyed(
    log: &Log,
    key: WriteKey,
    entry: Bytes,
    tenant: TenantId,
    advice: &Advice,
) -> Result<(Result<Appended, AppendError>, Granted), Refusal> {
    let ticket = log.submit_keyed(key, entry, tenant, advice).await;
    let ticket = ticket.map_err(|error| refusal::append(log.name(), error))?;
    Ok((ticket.answer.await, ticket.granted))
}

fn text(appended: &Appended, leaf_hash: Option<tlog::Hash>) -> Bytes {
    match leaf_hash {
        None => line(appended.index.get()),
        Some(leaf_hash) => {
            let added = Added {
                index: appended.index,
                shard: Arc::clone(&appended.shard),
                leaf_index: appended.leaf_index,
                leaf_hash,
            };
            let mut body = serde_json::to_vec(&added).unwrap_or_default();
            body.push(b'\n');
            Bytes::from(body)
        }
    }
}

/// `number` in decimal, and a newline.
fn line(mut number: u64) -> Bytes {
    let mut text = [b'\n'; 21];
    let mut at = text.len() - 1;
    loop {
        at -= 1;
        let digit = (number % 10) as u8;
        text[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            return Bytes::copy_from_slice(&text[at..]);
        }
    }
}

/// The whole body, at most `longest` bytes; a body in one piece is not copied.
pub(super) async fn collect(
    body: &mut Incoming,
    held: &mut HeldBytes,
    longest: usize,
) -> Result<Bytes, Refusal> {
    let first = match frame(body).await? {
        Some(first) => first,
        None => return Err(Refusal::bad("an entry has at least one byte")),
    };
    held.grow(first.len()).map_err(|_| Refusal::crowded())?;
    if body.is_end_stream() {
        return if first.len() > longest {
            Err(Refusal::too_large(longest))
        } else {
            Ok(first)
        };
    }
    let mut whole = BytesMut::from(first);
    while let Some(next) = frame(body).await? {
        if whole.len() + next.len() > longest {
            return Err(Refusal::too_large(longest));
        }
        held.grow(next.len()).map_err(|_| Refusal::crowded())?;
        whole.extend_from_slice(&next);
    }
    Ok(whole.freeze())
}

/// The next piece of data; `None` at the end. Trailers are not for us.
pub(super) async fn frame(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context))
                .await;
        match next {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Some(Err(error)) => return Err(Refusal::bad(format!("the body broke off: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_post_to_add_is_a_write() {
        for (method, path, expected) in [
            (Method::POST, "/dev/add", Some("dev")),
            (Method::POST, "/a.b-c/add", Some("a.b-c")),
            (Method::POST, "/d%65v/add", Some("dev")),
            (Method::POST, "/%64%65%76/add", Some("dev")),
            (Method::POST, "/d%2Fv/add", Some("d/v")),
            // Not UTF-8, and not hex digits: used unchanged, and no log has that name.
            (Method::POST, "/%ff/add", Some("%ff")),
            (Method::POST, "/d%6/add", Some("d%6")),
            (Method::POST, "/d%zzv/add", Some("d%zzv")),
            (Method::GET, "/dev/add", None),
            (Method::POST, "/add", None),
            (Method::POST, "//add", None),
            (Method::POST, "/dev/add/", None),
            (Method::POST, "/dev/2026a/add", None),
            (Method::POST, "/dev/xadd", None),
            (Method::POST, "dev/add", None),
            (Method::POST, "", None),
        ] {
            assert_eq!(
                target(&method, path).as_deref(),
                expected,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn the_first_line_is_the_index() {
        for number in [0, 1, 9, 10, 65_535, 1_048_576, u64::MAX - 1, u64::MAX] {
            assert_eq!(line(number), format!("{number}\n"));
        }
    }
}
