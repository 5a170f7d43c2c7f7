//! Starts a server, serves, and stops it in order.
//!
//! What must never happen: the ready line before everything serves; a stop that loses acknowledged entries or cuts off requests in flight.
//! Order of a stop: readiness says no, no connection is accepted any more, requests finish, the engine publishes what is ordered, the
//! process ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Audited, Engine, Faults};
use plane_http::{Listener, Order, Watch};
use tokio_util::sync::CancellationToken;

use super::admin::{admin_error, admin_listeners, files};
use super::engine::{create, merge_options, open_engine};
use super::{export, ready, say_halted};
use crate::admin::EngineHost;
use crate::data::DataPlane;
use crate::dev;
use crate::error::{Error, at};
use crate::indexes::Indexes;
use crate::lifecycle::{DRAIN, Lifecycle, Sources};
use crate::listen::secured;
use crate::metrics::{Exporter, HttpMetrics};
use crate::readiness::{Readiness, halted_in_words};
use crate::settings::{self, Settings};

/// The directory of `logd dev`.
#[derive(Clone, Copy)]
pub(super) struct DevFolder<'a> {
    pub(super) dir: &'a Path,
    /// Whether this is the first server on it.
    pub(super) first: bool,
    /// Whether it has logs for Sigstore's clients.
    pub(super) rekor: bool,
}

pub(super) async fn run(
    settings: &Settings,
    mut sources: Sources,
    drain: Option<Duration>,
    dev: Option<DevFolder<'_>>,
) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new()?;
    let (readiness, http) = (
        Arc::new(Readiness::default()),
        Arc::new(HttpMetrics::default()),
    );
    let watch = Watch::new(settings.bounds.listener());
    let stop = CancellationToken::new();
    let faults = Faults::default();

    // All addresses first: a taken port is the most likely thing to go wrong, and the cheapest to find.
    let socket = settings.admin.socket.as_deref();
    let tcp = |address| Listener::tcp(address).map_err(|e| taken(e.into(), socket));
    let (data, data_address) = tcp(settings.data.listen)?;
    let metrics = settings.metrics.as_ref().map(|metrics| tcp(metrics.listen));
    let metrics = metrics.transpose()?;
    let admin = admin_listeners(&settings.admin)?;
    let admin_address = admin.address();
    let tls = settings.data.tls.as_ref();
    let tls = tls.map(settings::TlsFiles::files);
    let (data, scheme) = secured(data, tls, &mut sources)?;
    let url = match &settings.data.url {
        Some(url) => url.clone(),
        None => format!("{scheme}://{}", dev::reachable(data_address)),
    };

    let plane = Arc::new(DataPlane::new(
        Arc::clone(&readiness),
        Arc::clone(&http),
        settings.bounds.body_timeout.duration(),
        settings.bounds.publish_timeout.duration(),
        settings.data.rekor.clone(),
    ));
    let serving = plane_http::serve(
        data,
        plane,
        Arc::clone(&watch),
        stop.clone(),
        settings.bounds.grace(),
    )?;
    let serving = tokio::spawn(faults.clone().watch("the data plane's listener", serving));
    let exporter = match metrics {
        None => None,
        Some((listener, address)) => {
            tracing::info!(%address, "metrics");
            let exporter = Exporter::new(Arc::clone(&readiness), http, Arc::clone(&watch));
            Some(export(listener, exporter, faults.clone())?)
        }
    };

    let started = async {
        let engine = open_engine(settings, merge_options(settings)?, "").await?;
        create_logs(&engine, settings, dev).await?;
        Ok::<_, Error>(engine)
    };
    let engine = tokio::select! {
        started = started => started?,
        () = lifecycle.stop() => {
            tracing::info!("stopped while starting");
            return Ok(());
        }
    };
    let audited = Audited::new(Arc::clone(&engine));
    let settling = tokio::spawn(Arc::clone(&audited).settle());
    let (one, other) = (Arc::clone(&audited), Arc::clone(&audited));
    let indexes = Indexes::new(settings.index_folder());
    readiness.search(Arc::clone(&indexes));
    let host = EngineHost::new(
        Arc::clone(&engine),
        audited,
        url.clone(),
        files(settings),
        Arc::clone(&indexes),
    );
    let probations = move || Arc::clone(&one).watch_probations();
    let shards = move || Arc::clone(&other).watch_shards();
    let (followed, following) = (Arc::clone(&engine), Arc::clone(&indexes));
    let searches = move || Arc::clone(&following).run(Arc::clone(&followed));
    let watching = [
        settling,
        tokio::spawn(faults.clone().keep("the search indexes", searches)),
        tokio::spawn(
            faults
                .clone()
                .keep("the watch over changes on probation", probations),
        ),
        tokio::spawn(faults.clone().keep("the watch over full shards", shards)),
    ];
    let mut admin = admin.serve_apart(host).map_err(admin_error)?;
    sources.follows(
        "the admin endpoint's TLS files and tokens (which are looked at with each connection)",
    );
    readiness.open(Arc::clone(&engine));
    let limited = Arc::clone(&engine);
    lifecycle.limited_by(move || halted_in_words(&limited));
    say_halted(&engine);
    if let Some(DevFolder {
        dir,
        first: true,
        rekor: true,
    }) = dev
    {
        dev::sigstore::write(dir, &engine, &url).await?;
    }
    if let Some(DevFolder {
        first: false,
        rekor: true,
        ..
    }) = dev
    {
        tracing::warn!(
            "another server is the first on this folder: the files for Sigstore's clients are left to it"
        );
    }
    let roots = [(1, &settings.data.rekor.v1), (2, &settings.data.rekor.v2)];
    for (version, name) in roots {
        let Some(name) = name else { continue };
        let rekor = engine.log(name.as_str()).map(|log| log.rekor());
        let open = rekor.is_some_and(|r| if version == 1 { r.v1 } else { r.v2 });
        if !open {
            tracing::warn!(
                "[data] rekor.v{version} names the log {name}, which does not exist or has its front closed: /api/v{version} answers 404 until it is open"
            );
        }
    }
    announce(settings, dev, &url, data_address, admin_address)?;

    let broken = async {
        tokio::select! {
            what = faults.reported() => what,
            what = engine.faults().reported() => what,
            why = admin.ended() => format!("the admin endpoint ended: {why}"),
        }
    };
    let otherwise = if dev.is_some() { Duration::ZERO } else { DRAIN };
    let asked = lifecycle
        .serve(&mut sources, drain, otherwise, broken)
        .await;
    let (time, outcome) = match asked {
        Ok(time) => (time, Ok(())),
        Err(error) => {
            tracing::error!(%error, "stopping");
            readiness.break_down(error.to_string());
            let time = drain.or(sources.drain()).unwrap_or(otherwise);
            (time, Err(error))
        }
    };
    readiness.drain();
    lifecycle.drain(time).await;
    tracing::info!("stopping: finishing requests in flight");
    readiness.close();
    stop.cancel();
    watching.iter().for_each(tokio::task::JoinHandle::abort);
    indexes.close().await;
    let finish = async {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the data plane failed while it stopped");
        }
        if let Err(error) = admin.stop().await {
            tracing::warn!(%error, "the admin endpoint failed while it stopped");
        }
    };
    tokio::pin!(finish);
    tokio::select! {
        () = &mut finish => {}
        () = lifecycle.stop() => {
            tracing::warn!("second stop signal: closing connections");
            watch.ask_all(Order::Close);
            finish.await;
        }
    }
    // Ordered entries are already durable: the next start finishes what a stop leaves undone.
    tokio::select! {
        finished = tokio::time::timeout(settings.bounds.grace(), engine.shutdown()) => {
            if finished.is_err() {
                tracing::warn!("publication did not finish in time; the next start continues it");
                engine.rest().await;
            }
        }
        () = lifecycle.stop() => tracing::warn!("second stop signal: the next start continues with publication"),
    }
    if let Some(exporter) = exporter {
        exporter.cancel();
    }
    tracing::info!("stopped");
    outcome
}

/// An address that is taken; names the server that answers on the `socket` of these settings, if one does.
fn taken(error: Error, socket: Option<&Path>) -> Error {
    let answers = |socket: &&Path| std::os::unix::net::UnixStream::connect(socket).is_ok();
    match (error, socket.filter(answers)) {
        (Error::Listen { address, source }, Some(socket))
            if source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            Error::Served {
                address,
                socket: socket.to_owned(),
            }
        }
        (other, _) => other,
    }
}

async fn create_logs(
    engine: &Arc<Engine>,
    settings: &Settings,
    dev: Option<DevFolder<'_>>,
) -> Result<(), Error> {
    if dev.is_some() && engine.log(dev::LOG).is_none() {
        create(engine, dev::first_config()?).await?;
    }
    if dev.is_some_and(|dev| dev.rekor) {
        for config in dev::sigstore::configs()? {
            if engine.log(config.log.as_str()).is_none() {
                create(engine, config).await?;
            }
        }
    }
    for path in &settings.create {
        let text = std::fs::read_to_string(path).map_err(at("read", path))?;
        let config = logconfig::parse(&text).map_err(|findings| {
            let list: Vec<String> = findings
                .iter()
                .map(|finding| format!("{}:{finding}", path.display()))
                .collect();
            Error::Create {
                log: path.display().to_string(),
                detail: list.join("\n  "),
            }
        })?;
        if engine.log(config.log.as_str()).is_none() {
            create(engine, config).await?;
        }
    }
    Ok(())
}

/// Writes the contexts and the ready line.
fn announce(
    settings: &Settings,
    dev: Option<DevFolder<'_>>,
    url: &str,
    data: SocketAddr,
    admin: Option<SocketAddr>,
) -> Result<(), Error> {
    let Some(DevFolder { dir, first, .. }) = dev else {
        let admin = match (&settings.admin.socket, admin) {
            (_, Some(address)) if settings.admin.tls.is_some() => {
                format!(", admin https://{address}")
            }
            (_, Some(address)) => format!(", admin http://{address}"),
            (Some(socket), None) => format!(", admin unix:{}", socket.display()),
            (None, None) => String::new(),
        };
        ready(&format!("logd ready: {url}{admin}\n"));
        return Ok(());
    };
    let admin = admin.unwrap_or(settings.data.listen);
    let socket = settings.admin.socket.as_deref();
    if first {
        dev::write_contexts(dir, socket, data, admin)?;
        if socket.is_none() {
            tracing::warn!(
                "the path of a Unix socket in {} would be too long: the admin endpoint is on TLS only",
                dir.display()
            );
        }
    } else {
        tracing::info!(
            "another server is the first on {}: its contexts and its socket stay",
            dir.display()
        );
    }
    let contexts = dir.join("logctl.toml");
    let log = dev::LOG;
    ready(&format!(
        "logd ready: log {log} at {url}/{log}, admin https://{admin}, contexts in {}\n",
        contexts.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_the_same_settings_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let first = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = || Error::from(Listener::tcp(first.1).map(drop).unwrap_err());
        let hint = |error: &Error| error.hint().unwrap().into_owned();
        let alone = taken(second(), Some(&socket));
        assert!(hint(&alone).starts_with("something else listens there"));
        let answers = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let other = taken(second(), Some(&socket));
        assert_eq!(
            other.to_string(),
            format!(
                "cannot listen on {}: another server runs with these settings and answers on {}",
                first.1,
                socket.display()
            )
        );
        assert!(hint(&other).starts_with("stop that one first"));
        drop(answers);
        assert!(hint(&taken(second(), Some(&socket))).starts_with("something else"));
    }
}
