//! The readiness of a process: says whether it serves, and holds the engine once it does.
//!
//! Listeners are bound before the engine opens, so that a taken port is found first and probes get an answer.
//! What must never happen: `ready` before the engine has recovered, or after a stop was asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::indexes::Indexes;
use engine::{Engine, Log};

/// The state of this process.
#[derive(Default)]
pub(crate) struct Readiness {
    engine: OnceLock<Arc<Engine>>,
    indexes: OnceLock<Arc<Indexes>>,
    draining: AtomicBool,
    closing: AtomicBool,
    broken: OnceLock<String>,
}

/// Why this process is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// The engine still recovers.
    Starting,
    /// A task that this process needs ended for good, so the process ends.
    Broken(String),
    /// A stop was asked for.
    Draining,
    /// These logs are halted, with their reasons.
    Halted(Vec<(String, String)>),
}

impl Readiness {
    /// From now on requests reach the engine.
    pub(crate) fn open(&self, engine: Arc<Engine>) {
        // A second engine in one process would be a bug of `run`; the first one stays.
        let _ = self.engine.set(engine);
    }

    /// The engine; `None` while starting.
    pub(crate) fn engine(&self) -> Option<&Arc<Engine>> {
        self.engine.get()
    }

    /// From now on searches reach the indexes.
    pub(crate) fn search(&self, indexes: Arc<Indexes>) {
        let _ = self.indexes.set(indexes);
    }

    /// The search indexes; `None` while starting.
    pub(crate) fn indexes(&self) -> Option<&Arc<Indexes>> {
        self.indexes.get()
    }

    /// From now on the process is not ready; requests are still answered.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// From now on long requests must end.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether long requests must end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// From now on readiness says no, with this reason.
    pub(crate) fn break_down(&self, why: String) {
        // The first reason is the one that matters.
        let _ = self.broken.set(why);
    }

    /// The answer of `/readyz`: ready, with the logs that wait and the reasons. A server whose publication waits still accepts writes and serves
    /// signed checkpoints; the others behind the same balancer wait for the same secondaries.
    pub(crate) fn ready(&self) -> Result<Vec<(String, &'static str)>, NotReady> {
        if let Some(why) = self.broken.get() {
            return Err(NotReady::Broken(why.clone()));
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        let engine = self.engine.get().ok_or(NotReady::Starting)?;
        let halted = halted(engine);
        if !halted.is_empty() {
            return Err(NotReady::Halted(halted));
        }
        let held_up = |log: Arc<Log>| Some((log.name().to_owned(), log.held_up()?));
        let logs = engine.logs().into_iter().filter(|log| !log.is_deleted());
        Ok(logs.chain(engine.system()).filter_map(held_up).collect())
    }
}

/// The logs of this process that are halted, the server's own among them, with their reasons.
pub(crate) fn halted(engine: &Engine) -> Vec<(String, String)> {
    let logs = engine.logs().into_iter().chain(engine.system());
    let reason = |log: Arc<Log>| Some((log.name().to_owned(), log.halted()?));
    logs.filter_map(reason).collect()
}

/// The status for the service manager; empty while all is well.
pub(crate) fn halted_in_words(engine: &Engine) -> Option<String> {
    let halted = halted(engine);
    let names: Vec<&str> = halted.iter().map(|(log, _)| log.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "halted: {}; nothing is written or signed there (`logctl status` says why)",
            names.join(", ")
        )
    })
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Draining => f.write_str("draining"),
            Self::Halted(logs) => {
                f.write_str("halted:")?;
                logs.iter()
                    .try_for_each(|(log, reason)| write!(f, " {log} ({reason})"))
            }
        }
    }
}
