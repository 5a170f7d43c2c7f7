//! The emergency stop of a log on one replica. It stays until the process restarts: a person must examine the contradiction, and the log
//! must never sign over it.
//!
//! All logs of a server, the system log included, are in one coordination store. What shows in one log that the store is an older copy stops
//! all of them. What must never happen: a server that knows that its store is old signs for another log, if only an entry of the audit trail.
//! The newest copy could not be put back any more. A process knows what it can see: where another one pushes to the frontends, only that one
//! is halted by what a frontend has.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{Notify, watch};

/// The halts of all logs of one coordination store.
#[derive(Debug, Default)]
pub(crate) struct StoreHalt {
    logs: Mutex<Vec<Weak<Halt>>>,
    /// Why the store is an older copy, once that is known.
    older: OnceLock<String>,
    /// Whether all logs that were there at the start were compared.
    compared: watch::Sender<bool>,
}

impl StoreHalt {
    /// The halt of one more log.
    pub(crate) fn log(self: &Arc<Self>) -> Arc<Halt> {
        let halt = Arc::new(Halt {
            store: Arc::clone(self),
            ..Halt::default()
        });
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&halt));
        drop(logs);
        if let Some(reason) = self.older.get() {
            halt.halt(reason);
        }
        halt
    }

    /// Why the store is an older copy, as far as this process knows.
    pub(crate) fn older(&self) -> Option<&str> {
        self.older.get().map(String::as_str)
    }

    /// Notes that all logs that were there at the start were compared.
    pub(crate) fn pass(&self) {
        self.compared.send_replace(true);
    }

    /// Resolves when they are.
    pub(crate) async fn compared(&self) {
        let mut compared = self.compared.subscribe();
        // This cannot fail while `self` lives.
        let _ = compared.wait_for(|compared| *compared).await;
    }
}

/// The halt of one log: the reason, once it is halted.
#[derive(Debug, Default)]
pub(crate) struct Halt {
    reason: OnceLock<String>,
    pulled: Notify,
    store: Arc<StoreHalt>,
}

impl Halt {
    /// Stops every log of the coordination store, because something made for the log `name` shows that the store is an older copy.
    pub(crate) fn halt_store(&self, name: &str, reason: String) {
        let others = format!("the log {name} of the same coordination store shows that {reason}");
        self.halt(reason);
        let others = self.store.older.get_or_init(|| others);
        let logs = self
            .store
            .logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for log in logs.iter().filter_map(Weak::upgrade) {
            if !log.is_halted() {
                log.halt(others);
            }
        }
    }
    /// Resolves when all logs that were there at the start were compared.
    pub(crate) async fn store_compared(&self) {
        self.store.compared().await;
    }

    /// Stops the log. The first reason stays.
    pub(crate) fn halt(&self, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::error!(reason, "HALT");
        let _ = self.reason.set(reason);
        self.pulled.notify_waiters();
    }
    /// Whether it is stopped.
    pub(crate) fn is_halted(&self) -> bool {
        self.reason.get().is_some()
    }
    /// Why it is stopped.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }
    /// Resolves when it is stopped.
    pub(crate) async fn halted(&self) -> String {
        loop {
            let notified = self.pulled.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason;
            }
            notified.await;
        }
    }
}
