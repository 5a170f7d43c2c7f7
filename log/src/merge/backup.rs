//! `backup`: cuts → secondaries, each at its own pace.

use std::sync::Arc;

use tokio::sync::watch;

use super::program::Done;
use crate::log::Core;

/// The copier of one log.
pub struct Backup {
    /// The log. What was verified is told through `core.merged`.
    pub core: Arc<Core>,
    /// Set when the log shuts down, or when it is to do only what there is to do: bring each secondary that answers to the last
    /// cut, then end.
    pub closing: watch::Receiver<bool>,
}

impl Backup {
    /// Runs until the log ends. Answers what it did.
    pub async fn run(mut self) -> Done {
        tokio::select! {
            _ = self.core.halt.halted() => {}
            _ = self.closing.wait_for(|closing| *closing) => {}
        }
        Done::default()
    }
}
