//! Supervision of background tasks that end by themselves.
//!
//! What must never happen: a task that others rely on is gone, and the process continues without it. A task is started again if possible;
//! if not, or if it ends again and again, the process stops.

use std::any::Any;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

/// Pause before a task is started again.
const RESTART_BACKOFF: Duration = Duration::from_secs(1);
/// A task that ends more often than this…
const STARTS: u32 = 5;
/// …without running this long in between is not started any more.
const STEADY: Duration = Duration::from_secs(60);

/// The first task of this process that ended for good, if any.
#[derive(Clone, Debug)]
pub struct Faults(Arc<watch::Sender<Option<String>>>);

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Faults {
    /// Reports that a task ended for good. The first report counts.
    pub fn report(&self, what: String) {
        tracing::error!(what, "this process must stop");
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(what);
            }
            is_first
        });
    }

    /// The first report of a task that ended for good.
    pub fn first(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits for the first report.
    pub async fn reported(&self) -> String {
        let mut reports = self.0.subscribe();
        // This cannot fail while `self` lives.
        let _ = reports.wait_for(Option::is_some).await;
        self.first().unwrap_or_default()
    }

    /// Runs a task that cannot be started again, since it owns its state. Its panic is reported, and then continues.
    pub async fn watch<T>(self, name: impl Display, task: impl Future<Output = T>) -> T {
        match AssertUnwindSafe(task).catch_unwind().await {
            Ok(done) => done,
            Err(panic) => {
                self.report(format!("{name} ended: {}", message(&*panic)));
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// Runs a task that is started again when it panics; `start` makes it. One that returns has done its work.
    pub async fn keep<F: Future<Output = ()>>(
        self,
        name: impl Display,
        mut start: impl FnMut() -> F,
    ) {
        let mut ended = 0;
        loop {
            let began = Instant::now();
            let task = AssertUnwindSafe(async { start().await });
            let Err(panic) = task.catch_unwind().await else {
                return;
            };
            let why = message(&*panic);
            ended = match began.elapsed() < STEADY {
                true => ended + 1,
                false => 1,
            };
            if ended >= STARTS {
                return self.report(format!("{name} ended {ended} times in a row: {why}"));
            }
            tracing::error!(task = %name, why, "a task ended, and is started again");
            tokio::time::sleep(RESTART_BACKOFF).await;
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it does not say why".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_ends_is_started_again_until_it_is_hopeless() {
        let faults = Faults::default();
        let starts = AtomicU32::new(0);
        // It ends now and then, and stays.
        let now_and_then = || async {
            let n = starts.fetch_add(1, Relaxed);
            tokio::time::sleep(STEADY).await;
            assert!(n == 20, "the {n}th time");
        };
        faults.clone().keep("a watch", now_and_then).await;
        assert_eq!((starts.load(Relaxed), faults.first()), (21, None));

        let hopeless = || async { panic!("no space") };
        faults.clone().keep("the watch", hopeless).await;
        let told = faults.reported().await;
        assert!(
            told.contains("the watch") && told.contains("no space"),
            "{told}"
        );
        faults.report("later".to_owned());
        assert_eq!(faults.first(), Some(told));
    }

    #[tokio::test]
    async fn what_cannot_be_started_again_is_told_at_once() {
        let faults = Faults::default();
        assert_eq!(faults.clone().watch("a program", async { 7 }).await, 7);
        assert_eq!(faults.first(), None);
        let gone = tokio::spawn(faults.clone().watch("sth", async { panic!("{}", 7) }));
        assert!(gone.await.is_err_and(|e| e.is_panic()));
        assert_eq!(faults.reported().await, "sth ended: 7");
    }
}
