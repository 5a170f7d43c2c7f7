//! `logd frontend`: a folder that `distribute` pushed to, served read-only. It knows no key and no store; everything that it serves was
//! signed.
//!
//! Immutable objects are cacheable forever and say so; a checkpoint is never cached. A path is a log's name, a shard's name and one of the
//! few things that a shard has: nothing else in the folder can be asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use engine::Faults;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use logconfig::{LogName, ShardName};
use mirror::Tiles;
use plane_http::{
    BYTES, Body, IMMUTABLE, Listener, NEVER, Phase, Plane, TEXT, TlsFiles, Unread, Watch, Watched,
    busy, reply, said,
};
use store::{Directory, Objects, StoreError};
use tlog::{TileKind, TilePath};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::args::FrontendOptions;
use crate::dev::reachable;
use crate::error::{Error, at};
use crate::lifecycle::{Lifecycle, Sources};
use crate::listen::{finish, secured};
use crate::run;
use crate::settings::Bounds;
use plane_http::packed;

/// Bundles that are read at a time.
const READS: usize = 32;

/// Serves a folder until it is asked to stop.
pub(crate) async fn run(options: &FrontendOptions) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new()?;
    let mut sources = Sources::default();
    let stop = CancellationToken::new();
    let faults = Faults::default();
    let bounds = Bounds::default();
    options.dir.metadata().map_err(at("read", &options.dir))?;
    let (listener, address) = Listener::tcp(options.listen)?;
    let files = options.tls.as_ref();
    let files = files.map(|(cert, key)| TlsFiles::new(cert, key));
    let (listener, scheme) = secured(listener, files, &mut sources)?;
    let objects = Directory::open(&options.dir).map_err(|e| Error::Store {
        what: "frontend",
        path: options.dir.clone(),
        detail: e.to_string(),
    })?;
    let watch = Watch::new(bounds.listener());
    let frontend = Arc::new(Frontend {
        objects,
        reads: Semaphore::new(READS),
        draining: AtomicBool::new(false),
    });
    let serving = plane_http::serve(
        listener,
        Arc::clone(&frontend),
        Arc::clone(&watch),
        stop.clone(),
        bounds.grace(),
    )?;
    let serving = tokio::spawn(faults.clone().watch("the listener", serving));
    run::ready(&format!(
        "logd ready: {scheme}://{}, frontend {}\n",
        reachable(address),
        options.dir.display()
    ));
    let drain = options.drain.map(|span| span.duration());
    let served = lifecycle
        .serve(&mut sources, drain, Duration::ZERO, faults.reported())
        .await;
    frontend.draining.store(true, Relaxed);
    lifecycle
        .drain(*served.as_ref().unwrap_or(&Duration::ZERO))
        .await;
    tracing::info!("stopping: finishing requests in flight");
    stop.cancel();
    finish(serving, &watch, &mut lifecycle).await;
    served.map(drop)
}

/// A folder behind HTTP.
struct Frontend {
    objects: Directory,
    /// Taken while a bundle is read.
    reads: Semaphore,
    /// A stop was asked for.
    draining: AtomicBool,
}

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
enum AskedObject {
    Health,
    Readiness,
    Checkpoint(String),
    Seal(String),
    Tile(String, TilePath),
}

/// Reads a path; `None` if it is not served.
fn asked(path: &str) -> Option<AskedObject> {
    if path == "/healthz" {
        return Some(AskedObject::Health);
    }
    if path == "/readyz" {
        return Some(AskedObject::Readiness);
    }
    let mut parts = path.strip_prefix('/')?.splitn(3, '/');
    let log: LogName = parts.next()?.parse().ok()?;
    let shard: ShardName = parts.next()?.parse().ok()?;
    let folder = format!("{log}/{shard}");
    match parts.next()? {
        "checkpoint" => Some(AskedObject::Checkpoint(folder)),
        "seal" => Some(AskedObject::Seal(folder)),
        tile => Some(AskedObject::Tile(folder, tile.parse().ok()?)),
    }
}

impl Frontend {
    async fn read(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Response<Bytes>>, StoreError> {
        let Some(asked) = asked(path) else {
            return Ok(None);
        };
        let (bytes, kind, cache) = match asked {
            AskedObject::Health => (Some(Bytes::from_static(b"ok\n")), TEXT, NEVER),
            AskedObject::Readiness if self.draining.load(Relaxed) => {
                return Ok(Some(said(StatusCode::SERVICE_UNAVAILABLE, "draining")));
            }
            AskedObject::Readiness => (Some(Bytes::from_static(b"ready\n")), TEXT, NEVER),
            AskedObject::Checkpoint(folder) => {
                let note = self.objects.get(&format!("{folder}/checkpoint")).await?;
                (note, TEXT, NEVER)
            }
            AskedObject::Seal(folder) => {
                let note = self.objects.get(&format!("{folder}/seal")).await?;
                (note, TEXT, IMMUTABLE)
            }
            AskedObject::Tile(folder, tile) => {
                // A bundle can have 16 MiB: the budget for answers counts bytes only once they are read.
                let _turn = match tile.kind {
                    TileKind::Entries => Some(self.reads.acquire().await),
                    TileKind::Hashes(_) => None,
                };
                let Some(bytes) = self.tile(&folder, tile).await? else {
                    return Ok(None);
                };
                let whole = reply(StatusCode::OK, BYTES, IMMUTABLE, bytes);
                return Ok(Some(packed(whole, tile, headers).await));
            }
        };
        Ok(bytes.map(|bytes| reply(StatusCode::OK, kind, cache, bytes)))
    }

    /// A tile; of a partial one that is gone, the beginning of the full one, for readers of an older checkpoint.
    async fn tile(&self, folder: &str, tile: TilePath) -> Result<Option<Bytes>, StoreError> {
        if let Some(bytes) = self.objects.get(&format!("{folder}/{tile}")).await? {
            return Ok(Some(bytes));
        }
        let full = format!("{folder}/{}", tile.full());
        if !tile.is_partial() || self.objects.get(&full).await?.is_none() {
            return Ok(None);
        }
        let tiles = Tiles {
            objects: &self.objects,
            folder,
        };
        tiles.get(tile).await.map(Some)
    }
}

impl Plane for Frontend {
    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let unread = Unread::new(head.version, &head.headers, body);
        watched.enter(Phase::Working);
        let response = if matches!(head.method, Method::GET | Method::HEAD) {
            match self.read(head.uri.path(), &head.headers).await {
                Ok(Some(response)) => response,
                Ok(None) => said(StatusCode::NOT_FOUND, "there is nothing here"),
                Err(error) => {
                    tracing::error!(%error, path = head.uri.path(), "cannot read");
                    let text = "the folder cannot be read";
                    said(StatusCode::SERVICE_UNAVAILABLE, text)
                }
            }
        } else {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "this is read-only");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            response
        };
        let response = watched.counted(response, busy);
        response.map(|answer| unread.answer(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shard_has_can_be_asked_for() {
        let folder = || "dev/2026a".to_owned();
        assert_eq!(asked("/healthz"), Some(AskedObject::Health));
        assert_eq!(asked("/readyz"), Some(AskedObject::Readiness));
        assert_eq!(
            asked("/dev/2026a/checkpoint"),
            Some(AskedObject::Checkpoint(folder()))
        );
        assert_eq!(asked("/dev/2026a/seal"), Some(AskedObject::Seal(folder())));
        for tile in ["tile/0/000", "tile/1/x001/002.p/7", "tile/entries/003"] {
            let path = tile.parse().unwrap();
            assert_eq!(
                asked(&format!("/dev/2026a/{tile}")),
                Some(AskedObject::Tile(folder(), path))
            );
        }
        for bad in [
            "",
            "/",
            "/dev",
            "/dev/2026a",
            "/dev/2026a/",
            "/dev/2026a/tile",
            "/dev/2026a/tile/0/../../../x",
            "/../2026a/checkpoint",
            "/dev/../checkpoint",
            "/dev//checkpoint",
            "/dev/2026a/checkpoint/",
            "/dev/2026a/.tmp",
            "dev/2026a/checkpoint",
            "/dev/%2e%2e/checkpoint",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
