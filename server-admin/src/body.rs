//! Reading and understanding what a caller sends.
//!
//! A body is bounded in size and in time before it is parsed, and a compressed one is refused, since its real size would not be bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use logconfig::LogConfig;
use plane_http::Bodies;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use wire::{CreateLogRequest, Finding, codes};

use crate::Limits;
use crate::problem::Refusal;

/// A larger body is read and thrown away up to this size, so that its sender gets to read the refusal.
const DISCARD: usize = 16 << 20;

/// The finding about JSON of another shape than expected.
const UNEXPECTED: &str = "unexpected-value";

/// The limits of bodies.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) limits: Limits,
    /// The memory for the bodies of all requests.
    bodies: Arc<Bodies>,
}

impl Room {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            bodies: Bodies::new(limits.bodies),
        }
    }
}

/// Reads a whole body, which counts until it is dropped.
pub(crate) async fn read(headers: &HeaderMap, body: Body, room: &Room) -> Result<Bytes, Refusal> {
    let limits = &room.limits;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > DISCARD) {
        return Err(too_large(limits.body_bytes));
    }
    let most = limits.body_bytes;
    match tokio::time::timeout(limits.body_time, collect(body, most, &room.bodies)).await {
        Ok(read) => read,
        Err(_) => Err(too_slow(limits.body_time)),
    }
}

async fn collect(mut body: Body, most: usize, bodies: &Arc<Bodies>) -> Result<Bytes, Refusal> {
    // `None`: there is no room for it, and the rest of it is thrown away, too.
    let mut held = bodies.begin(0).ok();
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(codes::BAD_REQUEST, "the body broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > DISCARD {
            break;
        }
        if length > most {
            continue;
        }
        held = held.and_then(|mut held| held.grow(data.len()).map(|()| held).ok());
        if held.is_some() {
            whole.extend_from_slice(&data);
        } else {
            whole = BytesMut::new();
        }
    }
    match held {
        _ if length > most => Err(too_large(most)),
        None => Err(crowded()),
        Some(held) => Ok(held.keep(whole.freeze())),
    }
}

fn crowded() -> Refusal {
    Refusal::new(
        codes::UNAVAILABLE,
        "too many request bodies are under way; nothing was changed",
    )
    .retry_after(Duration::from_secs(1))
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(
        codes::TOO_LARGE,
        format!("the body is larger than {most} bytes"),
    )
}

fn too_slow(time: Duration) -> Refusal {
    Refusal::new(
        codes::REQUEST_TIMEOUT,
        format!("the body was not complete after {} ms", time.as_millis()),
    )
}

/// Refuses an encoded body, by whichever header it says so.
pub(crate) fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    let coded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if headers.get_all(CONTENT_ENCODING).iter().any(encoded)
        || headers.get_all(TRANSFER_ENCODING).iter().any(coded)
    {
        return Err(Refusal::new(
            codes::UNSUPPORTED_MEDIA_TYPE,
            "encoded bodies are not accepted",
        )
        .hint("send the body without Content-Encoding"));
    }
    Ok(())
}

/// The formats that bodies come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

fn format(headers: &HeaderMap, accepted: &[Format]) -> Result<Format, Refusal> {
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let mut parts = named.split(';').map(str::trim);
    let format = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
        "application/json" => Some(Format::Json),
        "application/yaml" => Some(Format::Yaml),
        _ => None,
    };
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    format
        .filter(|format| utf8 && accepted.contains(format))
        .ok_or_else(|| {
            let hint = match accepted {
                [Format::Json] => "send Content-Type: application/json",
                _ => "send Content-Type: application/yaml or application/json, in UTF-8",
            };
            Refusal::new(
                codes::UNSUPPORTED_MEDIA_TYPE,
                "the body's Content-Type is missing or not accepted",
            )
            .hint(hint)
        })
}

/// A JSON request. No body at all stands for `{}`.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() {
        b"{}"
    } else {
        format(headers, &[Format::Json])?;
        body
    };
    object(body)
}

/// JSON of an object.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| bad_json(String::new(), &error))?;
    // A list of its fields would pass for a struct.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::invalid(vec![Finding {
            code: UNEXPECTED.to_owned(),
            message: "expected an object".to_owned(),
            pointer: String::new(),
            line: None,
            column: None,
            hint: None,
        }]));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| bad_json(pointer(error.path()), error.inner()))
}

/// The first document of a log, with all that is wrong with it.
pub(crate) fn creation(headers: &HeaderMap, body: &[u8]) -> Result<CreateLogRequest, Refusal> {
    /// [`CreateLogRequest`], with a document that only has to be JSON.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        config: Box<RawValue>,
    }
    format(headers, &[Format::Json])?;
    let Raw { config } = object(body)?;
    let config = logconfig::parse(config.get()).map_err(|findings| {
        let below = |finding| {
            let finding = Finding::from(finding);
            // Its line and column are those in the document alone.
            Finding {
                pointer: format!("/config{}", finding.pointer),
                line: None,
                column: None,
                ..finding
            }
        };
        Refusal::invalid(findings.into_iter().map(below).collect())
    })?;
    Ok(CreateLogRequest { config })
}

/// A configuration document, YAML or JSON, with all that is wrong with it.
pub(crate) fn document(headers: &HeaderMap, body: &[u8]) -> Result<LogConfig, Refusal> {
    let format = format(headers, &[Format::Yaml, Format::Json])?;
    let text = std::str::from_utf8(body).map_err(|error| {
        Refusal::new(
            codes::BAD_REQUEST,
            format!("not UTF-8 at byte {}", error.valid_up_to()),
        )
    })?;
    if format == Format::Json {
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| bad_json(String::new(), &error))?;
    }
    logconfig::parse(text)
        .map_err(|findings| Refusal::invalid(findings.into_iter().map(Finding::from).collect()))
}

/// 400 for a body that is not JSON, 422 for JSON of another form.
fn bad_json(pointer: String, error: &serde_json::Error) -> Refusal {
    let (code, finding) = match error.classify() {
        Category::Data => (codes::INVALID, UNEXPECTED),
        Category::Io | Category::Syntax | Category::Eof => (codes::BAD_REQUEST, "json-syntax"),
    };
    let position = |number: usize| u32::try_from(number).ok().filter(|number| *number > 0);
    let text = error.to_string();
    let message = text
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned();
    Refusal::new(code, message.clone()).findings(vec![Finding {
        code: finding.to_owned(),
        message,
        pointer,
        line: position(error.line()),
        column: position(error.column()),
        hint: None,
    }])
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        let word = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&word);
    }
    pointer
}
