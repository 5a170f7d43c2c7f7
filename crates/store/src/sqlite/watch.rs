//! The waiters for changes, by prefix.
//!
//! What must never happen: a change between the registration and the wait wakes nobody. So a waiter is registered when the wait is *asked
//! for*, not when it is first polled.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All waiters of one handle.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<Vec<Waiter>>);

struct Waiter {
    prefix: String,
    wake: oneshot::Sender<()>,
}

impl Waiters {
    /// Registers. The receiver resolves (either way) when something under `prefix` may have changed.
    pub(crate) fn register(&self, prefix: &str) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut waiters = self.lock();
        // Waiters that gave up would accumulate on a store that nobody writes to.
        if waiters.len() % 64 == 63 {
            waiters.retain(|waiter| !waiter.wake.is_closed());
        }
        waiters.push(Waiter {
            prefix: prefix.into(),
            wake,
        });
        woken
    }

    /// Whether a caller still waits.
    pub(crate) fn any(&self) -> bool {
        let mut waiters = self.lock();
        waiters.retain(|waiter| !waiter.wake.is_closed());
        !waiters.is_empty()
    }

    /// Wakes those whose prefix one of `keys` has.
    pub(crate) fn changed<'a>(&self, keys: impl Iterator<Item = &'a str> + Clone) {
        let mut waiters = self.lock();
        if waiters.is_empty() {
            return;
        }
        for waiter in waiters.extract_if(.., |waiter| {
            keys.clone().any(|key| key.starts_with(&waiter.prefix))
        }) {
            // A caller that no longer waits needs no wake-up.
            let _ = waiter.wake.send(());
        }
    }

    /// Wakes everybody: what changed is not known.
    pub(crate) fn all_changed(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
