//! `/{log}/api/v1/…`: Sigstore's clients write and read here as in Rekor.
//!
//! - [`write`] adds entries;
//! - [`find`] reads them, by index, by name, by content;
//! - [`trees`] shows the shards: their trees, keys and consistency proofs.

mod find;
#[cfg(test)]
mod table;
mod trees;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use plane_http::{JSON, Watched, reply};
use rekor::v1;

use super::super::refusal::{self, Refusal};
use super::super::{DataPlane, decoded};
use super::{failed, refused};
use engine::{Log, ReadError, RekorEntry};
use wire::data::codes;

/// What all paths of this API begin with.
pub(super) const PREFIX: &str = "/api/v1/";
/// Where clients ask whether the server lives.
pub(super) const PING: &str = "/ping";

/// An operation of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Route<'a> {
    Ping,
    /// Add an entry: `POST log/entries`.
    Write,
    /// An entry by its index: `GET log/entries?logIndex=`.
    ByIndex,
    /// An entry by its hash: `GET log/entries/{uuid}`.
    ByName(&'a str),
    /// Several entries at once: `POST log/entries/retrieve`.
    Retrieve,
    /// A search for names: `POST index/retrieve`.
    Search,
    /// The trees of all shards: `GET log`.
    Trees,
    /// The key of a shard: `GET log/publicKey`.
    Key,
    /// A proof of consistency: `GET log/proof`.
    Proof,
    /// An operation with another method, which is named.
    Method(&'static str),
    Unknown,
}

impl<'a> Route<'a> {
    /// The operation at a path below [`PREFIX`]. Some clients end it with a slash.
    pub(super) fn of(method: &Method, path: &'a str) -> Self {
        let (wanted, route) = match path.strip_suffix('/').unwrap_or(path) {
            "log" => ("GET, HEAD", Self::Trees),
            "log/publicKey" => ("GET, HEAD", Self::Key),
            "log/proof" => ("GET, HEAD", Self::Proof),
            "log/entries/retrieve" => ("POST", Self::Retrieve),
            "index/retrieve" => ("POST", Self::Search),
            "log/entries" if *method == Method::POST => ("POST", Self::Write),
            "log/entries" => ("GET, HEAD, POST", Self::ByIndex),
            other => match other.strip_prefix("log/entries/") {
                Some(name) if !name.contains('/') => ("GET, HEAD", Self::ByName(name)),
                _ => return Self::Unknown,
            },
        };
        let is_read = *method == Method::GET || *method == Method::HEAD;
        match if wanted.starts_with("GET") {
            is_read
        } else {
            *method == wanted
        } {
            true => route,
            false => Self::Method(wanted),
        }
    }
}

/// Why there is no answer of the API.
#[derive(Debug)]
enum Stopped {
    /// It is answered in the words of Rekor.
    Rekor(v1::Error),
    /// The log refused it.
    Refused(Refusal),
}

impl From<v1::Error> for Stopped {
    fn from(error: v1::Error) -> Self {
        Self::Rekor(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Stopped {
    fn respond(self) -> Response<Bytes> {
        match self {
            Self::Rekor(error) => {
                let passes = error == v1::Error::Unavailable;
                failed(error.status(), JSON, error.body(), passes)
            }
            Self::Refused(refusal) => refused(&refusal, v1::refusal),
        }
    }
}

/// Answers an operation on a log, as Rekor would.
pub(super) async fn answer(
    plane: &DataPlane,
    log: Result<&Log, Refusal>,
    route: &Route<'_>,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Response<Bytes> {
    if let Route::Ping = route {
        return reply(StatusCode::OK, JSON, "no-store", "");
    }
    let done = match log {
        Ok(log) => match route {
            Route::Write => write::write(plane, log, watched, head, body).await,
            Route::ByIndex => find::by_index(log, head.uri.query()).await,
            Route::ByName(name) => find::by_name(plane, log, name).await,
            Route::Retrieve => find::retrieve(plane, log, watched, head, body).await,
            Route::Search => find::search(plane, log, watched, head, body).await,
            Route::Trees => trees::trees(log).await,
            Route::Key => trees::key(log, head.uri.query()),
            Route::Proof => trees::proof(log, head.uri.query()).await,
            Route::Method(allowed) => {
                let (method, names) = (&head.method, names(allowed));
                let why = format!("method {method} is not allowed, but [{names}] are");
                let why = Refusal::new(codes::METHOD_NOT_ALLOWED, why);
                let mut response = refused(&why, v1::refusal);
                let headers = response.headers_mut();
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
                Ok(response)
            }
            Route::Unknown | Route::Ping => {
                let path = head.uri.path().chars().take(200).collect();
                Err(v1::Error::NoPath(path).into())
            }
        },
        Err(refusal) => Err(refusal.into()),
    };
    done.unwrap_or_else(Stopped::respond)
}

/// The methods that a path has, as Rekor lists them: those that write first, and without HEAD, which it lacks.
fn names(allowed: &str) -> String {
    let mut names: Vec<_> = allowed.split(", ").filter(|name| *name != "HEAD").collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.join(",")
}

/// Why an entry could not be read, in the words of the API.
fn unread(log: &Log, error: &ReadError) -> Stopped {
    match error {
        ReadError::Untimed(_) => v1::Error::Untimed.into(),
        // Not an entry that this API ever had.
        ReadError::NoEcdsa(_) => v1::Error::NotFound.into(),
        error => refusal::read(log.name(), error).into(),
    }
}

/// An entry, and its answer by these parts.
fn parts(entry: &RekorEntry) -> Result<(v1::LogEntry<'_>, rekor::Inclusion<'_>), Refusal> {
    let tree = v1::TreeId::new(entry.tree_id);
    let tree = tree.ok_or_else(|| {
        Refusal::new(
            codes::STORE_FAILED,
            "the shard's tree ID is not valid in Rekor's API",
        )
    })?;
    let logged = v1::LogEntry {
        tree,
        log_id: entry.log_id,
        global_index: entry.index.get(),
        integrated_time: entry.time.get() / 1000,
        leaf: &entry.leaf,
    };
    let inclusion = rekor::Inclusion {
        index: entry.leaf_index.get(),
        tree_size: entry.tree.size.get(),
        root: entry.tree.root,
        proof: &entry.proof,
        checkpoint: &entry.tree.note,
    };
    Ok((logged, inclusion))
}

/// The value of a parameter of the URL, decoded.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query.unwrap_or_default().split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(decoded(value))
}

/// The value of a parameter that is a number, not negative.
fn number(query: Option<&str>, name: &str) -> Result<Option<u64>, v1::Error> {
    let Some(value) = parameter(query, name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let wrong = |rule, why: &str| v1::Error::Parameter(rule, format!("{name} in query {why}"));
    match value.parse::<i64>() {
        Ok(number) => match u64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(wrong(
                v1::Rule::Minimum,
                "should be greater than or equal to 0",
            )),
        },
        Err(_) => {
            let value: String = value.chars().take(100).collect();
            let why = format!("must be of type int64: {value:?}");
            Err(wrong(v1::Rule::Type, &why))
        }
    }
}
