//! `POST /{log}/api/v2/log/entries`: Sigstore's clients write here as to rekor-tiles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use plane_http::{JSON, Watched, reply};
use rekor::v2;
use sha2::{Digest as _, Sha256};

use super::super::DataPlane;
use super::super::refusal::{self, Refusal};
use super::check;
use super::order::{self, Unordered};
use super::{GLOBAL_INDEX, failed, refused};
use engine::{Log, SignedOpening};

/// The path below a log, and at the root of a server that says which log answers there.
pub(super) const ENTRIES: &str = "/api/v2/log/entries";

/// The index of the entry in a conflict, as rekor-tiles names it.
const LOG_INDEX: HeaderName = HeaderName::from_static("x-log-index");

/// Why there is no 201.
enum Stopped {
    /// The request is not one that Rekor takes, or takes now.
    Rekor(v2::Error),
    /// The log refused the entry.
    Refused(Refusal),
}

impl From<v2::Error> for Stopped {
    fn from(error: v2::Error) -> Self {
        Self::Rekor(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unordered> for Stopped {
    fn from(unordered: Unordered) -> Self {
        match unordered {
            Unordered::Refused(refusal) => Self::Refused(refusal),
            Unordered::Exists(there) => v2::Error::Exists(there.leaf_index.get()).into(),
            Unordered::Frozen => v2::Error::Frozen.into(),
            Unordered::Unavailable => v2::Error::Unavailable.into(),
        }
    }
}

/// Adds an entry as rekor-tiles would.
pub(super) async fn answer(
    plane: &DataPlane,
    log: Result<&Log, Refusal>,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Response<Bytes> {
    let written = match log {
        Ok(log) => write(plane, log, watched, head, body).await,
        Err(refusal) => Err(refusal.into()),
    };
    match written {
        Ok((index, entry)) => {
            let mut response = reply(StatusCode::CREATED, JSON, "no-store", entry);
            let headers = response.headers_mut();
            headers.insert(GLOBAL_INDEX, HeaderValue::from(index));
            response
        }
        Err(stopped) => stopped.respond(),
    }
}

/// The entry's global index, and the answer.
async fn write(
    plane: &DataPlane,
    log: &Log,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
) -> Result<(u64, String), Stopped> {
    let tenant = check::tenant(log, head)?;
    let (body, held) = check::body(plane, watched, head, body, v2::MAX_BODY).await?;
    let leaf = move || Ok(v2::Request::parse(&body)?.verify()?.into_leaf());
    let (leaf, mut held): (Result<_, v2::Error>, _) = check::verify(plane, held, leaf).await?;
    let leaf = Bytes::from(leaf?);
    // Only the leaf, which is small, is held during the wait for the checkpoint, not the whole request.
    let _fits = held.set(leaf.len());
    let index = order::published(log, leaf.clone(), tenant, opening).await?;
    let inclusion = log.inclusion(index).await;
    let inclusion = inclusion.map_err(|error| refusal::read(log.name(), &error))?;
    let inclusion = inclusion.ok_or(v2::Error::Unavailable)?;
    let entry = rekor::Inclusion {
        index: inclusion.leaf_index.get(),
        tree_size: inclusion.size.get(),
        root: inclusion.root,
        proof: &inclusion.proof,
        checkpoint: &inclusion.checkpoint,
    };
    let log_id = log.rekor_log_id(&inclusion.shard);
    let log_id = log_id.map_err(|error| refusal::read(log.name(), &error))?;
    let log_id = log_id.ok_or(v2::Error::Unavailable)?;
    Ok((index.get(), v2::answer(&log_id, &leaf, &entry)))
}

/// The leaf of an opening statement.
fn opening(signed: &SignedOpening) -> Option<Vec<u8>> {
    let request = serde_json::json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(Sha256::digest(&signed.text)),
        "signature": {
            "content": STANDARD.encode(&signed.signature),
            "verifier": {
                "publicKey": {"rawBytes": STANDARD.encode(&signed.key)},
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    }});
    let entry = v2::Request::parse(request.to_string().as_bytes());
    Some(entry.ok()?.verify().ok()?.into_leaf())
}

impl Stopped {
    fn respond(self) -> Response<Bytes> {
        match self {
            Self::Rekor(error) => {
                let (kind, body) = error.body();
                let mut response =
                    failed(error.status(), kind, body, error == v2::Error::Unavailable);
                if let Some(index) = error.log_index() {
                    response
                        .headers_mut()
                        .insert(LOG_INDEX, HeaderValue::from(index));
                }
                response
            }
            Self::Refused(refusal) => refused(&refusal, v2::refusal),
        }
    }
}
