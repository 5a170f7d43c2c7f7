//! The lines about a Rekor that does not answer now.
//!
//! What must never happen: a command that waits for minutes without a word, or several requests that say the same at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::numbers::grouped;
use crate::ui;

/// What is copied, and when the wait that was reported last ends.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    done: u64,
    /// Zero before the copying begins.
    total: u64,
    /// The bar that a line must not be written into.
    bar: Option<ProgressBar>,
    until: Option<Instant>,
    #[cfg(test)]
    told: Vec<String>,
}

impl Waits {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that so many entries are to be copied.
    pub(crate) fn begin(&self, total: u64, bar: Option<ProgressBar>) {
        let mut said = self.said();
        (said.total, said.bar) = (total, bar);
    }

    /// Notes how many are copied.
    pub(crate) fn set(&self, done: u64) {
        self.said().done = done;
    }

    /// Says that an attempt failed and when the next one is, unless another request has just said so.
    pub(super) fn report(&self, base: &str, why: &str, pause: Duration) {
        let now = Instant::now();
        let mut said = self.said();
        if said.until.is_some_and(|until| now < until) {
            return;
        }
        said.until = Some(now + pause);
        let copied = match said.total {
            0 => String::new(),
            total => format!(
                "; {} of {} entries are copied",
                grouped(said.done),
                grouped(total)
            ),
        };
        let pause = pause.as_secs().max(1);
        let text = format!("{base} does not answer ({why}); trying again in {pause} s{copied}");
        match &said.bar {
            Some(bar) => bar.suspend(|| ui::aside(&text)),
            None => ui::aside(&text),
        }
        #[cfg(test)]
        said.told.push(text);
    }

    /// The lines so far.
    #[cfg(test)]
    pub(super) fn told(&self) -> Vec<String> {
        self.said().told.clone()
    }
}
