//! The engine of a process: opened on the stores of its settings, with the logs that these name.

use ambient::Ambient;
use std::sync::Arc;

use engine::{Audited, ChangeError, ChangeOutcome, Engine, EngineOptions, Kek, MergeOptions};
use logconfig::LogConfig;
use store::{Coordination, DelayedCoordination, DelayedObjects, Directory, Objects, Sqlite};

use crate::error::Error;
use crate::peers::HttpPeers;
use crate::settings::{KekSource, Settings};

/// How a server takes part in the merge.
pub(crate) fn merge_options(settings: &Settings) -> Result<MergeOptions, Error> {
    let programs = settings.merge.programs.iter().copied();
    Ok(MergeOptions {
        programs: programs.map(engine::Program::from).collect(),
        writes: true,
        peers: HttpPeers::new(settings.peers.ca.as_deref())?,
        places: Arc::new(settings.places()?),
    })
}

/// For tests: with the environment variable, every operation of the stores takes at least this long.
const TEST_STORE_DELAY: &str = "LOGD_TEST_STORE_DELAY";

type Stores = (Arc<dyn Coordination>, Arc<dyn Objects>);

fn slowed(coordination: Arc<dyn Coordination>, objects: Arc<dyn Objects>) -> Result<Stores, Error> {
    let Some(text) = std::env::var_os(TEST_STORE_DELAY) else {
        return Ok((coordination, objects));
    };
    let delay: Option<logconfig::Span> = text.to_str().and_then(|text| text.parse().ok());
    let Some(delay) = delay.map(|span| span.duration()) else {
        let text = text.display();
        return Err(Error::Engine(format!(
            "{TEST_STORE_DELAY}: expected a time such as 5ms, found {text:?}"
        )));
    };
    tracing::warn!(
        ?delay,
        "{TEST_STORE_DELAY} is set: the stores are slow on purpose"
    );
    Ok((
        Arc::new(DelayedCoordination::new(coordination, delay)),
        Arc::new(DelayedObjects::new(objects, delay)),
    ))
}

/// Opens the engine on the stores that the settings name.
pub(crate) async fn open_engine(
    settings: &Settings,
    merge: MergeOptions,
    role: &str,
) -> Result<Arc<Engine>, Error> {
    let kek = match &settings.kek {
        KekSource::File(path) => Kek::from_file(path),
        KekSource::Env(name) => Kek::from_env(name),
    };
    let kek = kek.map_err(Error::Kek)?;
    let stores = &settings.stores;
    let coordination = Sqlite::open(&stores.coordination).map_err(|e| Error::Store {
        what: "coordination",
        path: stores.coordination.clone(),
        detail: e.to_string(),
    })?;
    let objects = Directory::open(&stores.objects).map_err(|e| Error::Store {
        what: "objects",
        path: stores.objects.clone(),
        detail: e.to_string(),
    })?;
    let (coordination, objects) = slowed(Arc::new(coordination), Arc::new(objects))?;
    let options = EngineOptions {
        coordination,
        objects,
        kek,
        label: label(role),
        min_free: settings.bounds.min_free.0,
        max_pending_bytes: settings.bounds.max_pending.bytes(),
        merge,
        ambient: Ambient::system(),
    };
    Engine::open(options)
        .await
        .map_err(|e| Error::Engine(e.to_string()))
}

/// Host name and process id, and the role of a process that is not a server.
fn label(role: &str) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let label = format!("{host}:{} {role}", std::process::id());
    label.trim_end().to_owned()
}

pub(crate) async fn create(engine: &Arc<Engine>, config: LogConfig) -> Result<(), Error> {
    let log = config.log.to_string();
    let audited = Audited::new(Arc::clone(engine));
    let applied = match audited.create_by_itself(config).await {
        Ok(applied) => applied,
        // Another server on these stores was first, and its operator has changed the log since.
        Err(ChangeError::Conflict(why)) if engine.log(&log).is_some() => {
            tracing::info!(log, why, "already exists");
            return Ok(());
        }
        Err(error) => {
            let detail = match &error {
                ChangeError::Invalid(findings) => {
                    let list: Vec<String> = findings.iter().map(plainly).collect();
                    list.join("\n  ")
                }
                _ => error.to_string(),
            };
            return Err(Error::Create { log, detail });
        }
    };
    for warning in &applied.warnings {
        tracing::warn!(log, %warning, "created anyway");
    }
    if applied.outcome == ChangeOutcome::Decided {
        tracing::info!(log, "created");
    }
    Ok(())
}

/// A finding about a generated document, which has no lines.
fn plainly(finding: &logconfig::Finding) -> String {
    let hint = finding.hint.as_ref();
    let hint = hint.map(|hint| format!(" ({hint})"));
    format!("{}{}", finding.message, hint.unwrap_or_default())
}
