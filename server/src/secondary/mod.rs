//! `logd secondary`: a process of its own that copies logs, with its own storage and key.
//!
//! What must never happen: two processes on one storage, or a copy of a log that the settings do not name.

mod key;
mod metrics;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambient::Ambient;
use engine::Faults;
use mirror::http::MirrorPlane;
use mirror::{Folder, Mirror, MirrorOptions};
use plane_http::{Listener, Watch};
use store::{Directory, Sqlite};
use tokio_util::sync::CancellationToken;

pub(crate) use key::show as show_key;

use crate::dev::reachable;
use crate::error::{Error, at};
use crate::lifecycle::{Lifecycle, Sources};
use crate::metrics::Exporter;

use crate::listen::{finish, secured};
use crate::run;
use crate::settings::{SecondarySettings, TlsFiles};

/// Runs a secondary until it is asked to stop.
pub(crate) async fn run(
    settings: &SecondarySettings,
    mut sources: Sources,
    drain: Option<Duration>,
) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new()?;
    let faults = Faults::default();
    let stop = CancellationToken::new();
    let (listener, address) = Listener::tcp(settings.listen)?;
    let metrics = settings
        .metrics
        .as_ref()
        .map(|metrics| Listener::tcp(metrics.listen))
        .transpose()?;
    let files = settings.tls.as_ref().map(TlsFiles::files);
    let (listener, scheme) = secured(listener, files, &mut sources)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&settings.dir)
        .map_err(at("create", &settings.dir))?;
    // Held until the process ends: two secondaries on one storage would write over each other.
    let _alone = alone(&settings.dir)?;
    let mirror = Arc::new(open(settings).await?);
    let watch = Watch::new(settings.bounds.listener());
    let plane = Arc::new(MirrorPlane::new(Arc::clone(&mirror), watch.limits()));
    let serving = plane_http::serve(
        listener,
        Arc::clone(&plane),
        Arc::clone(&watch),
        stop.clone(),
        settings.bounds.grace(),
    )?;
    let serving = tokio::spawn(faults.clone().watch("the listener", serving));
    let exporter = match metrics {
        None => None,
        Some((listener, address)) => {
            tracing::info!(%address, "metrics");
            let registry = metrics::registry(Arc::clone(&mirror));
            Some(run::export(
                listener,
                Exporter::of(registry),
                faults.clone(),
            )?)
        }
    };
    ready(&mirror, scheme, address);

    let served = lifecycle
        .serve(&mut sources, drain, Duration::ZERO, faults.reported())
        .await;
    plane.drain();
    lifecycle
        .drain(*served.as_ref().unwrap_or(&Duration::ZERO))
        .await;
    tracing::info!("stopping: finishing requests in flight");
    stop.cancel();
    finish(serving, &watch, &mut lifecycle).await;
    mirror.rest().await;
    if let Some(exporter) = exporter {
        exporter.cancel();
    }
    served.map(drop)
}

fn alone(dir: &Path) -> Result<File, Error> {
    let path = dir.join(".serving");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::Error(source)) => Err(at("lock", path)(source)),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Store {
            what: "mirror",
            path: dir.to_owned(),
            detail: "another secondary serves it; each needs a folder of its own".to_owned(),
        }),
    }
}

async fn open(settings: &SecondarySettings) -> Result<Mirror, Error> {
    let cosigner = key::read(&settings.key_file())?;
    let dir = &settings.dir;
    let failed = |what: &'static str, detail: String| Error::Store {
        what,
        path: dir.clone(),
        detail,
    };
    let rows =
        Sqlite::open(&dir.join("mirror.db")).map_err(|e| failed("coordination", e.to_string()))?;
    let objects =
        Directory::open(&dir.join("objects")).map_err(|e| failed("objects", e.to_string()))?;
    let options = MirrorOptions {
        disk: Arc::new(Folder::new(dir)),
        logs: settings.keys().map_err(Error::Secret)?,
        cosigner,
        rows: Arc::new(rows),
        objects: Arc::new(objects),
        min_free: settings.bounds.min_free.0,
        ambient: Ambient::system(),
    };
    Mirror::open(options)
        .await
        .map_err(|e| failed("mirror", e.to_string()))
}

/// The ready line: its address, its key and its incarnation.
fn ready(mirror: &Mirror, scheme: &str, address: SocketAddr) {
    for log in mirror.status() {
        if let Some(alarm) = &log.alarm {
            tracing::error!(
                origin = log.origin,
                size = alarm.size.get(),
                "ALARM: this log has signed two roots for one size; this secondary takes no more of it"
            );
        }
        if let Some(why) = &log.broken {
            tracing::error!(origin = log.origin, why, "this log is not mirrored");
        }
    }
    run::ready(&format!(
        "logd ready: {scheme}://{}, secondary {}, incarnation {}\n",
        reachable(address),
        mirror.verifier(),
        mirror.incarnation()
    ));
}
