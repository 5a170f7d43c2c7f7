//! The emergency stop of one log on one replica. It stays until the process restarts: a person must examine the contradiction, and the log
//! must never sign over it.

use std::sync::OnceLock;

use tokio::sync::Notify;

/// The reason, once halted.
#[derive(Debug, Default)]
pub(crate) struct Halt {
    reason: OnceLock<String>,
    pulled: Notify,
}

impl Halt {
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
