//! What the follower of a log and those who ask about its index share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::SearchError;
use rekor_index::Index;
use tlog::GlobalIndex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Additional keys that may wait for the follower: some megabytes.
const MAX_WAITING: usize = 20_000;

/// How far an index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The next entry to be indexed.
    pub(crate) position: GlobalIndex,
    /// Published entries that are not indexed.
    pub(crate) lag: u64,
    /// Since when there are any.
    pub(crate) behind: Duration,
    /// Why the index is not extended; it is tried again.
    pub(crate) trouble: Option<String>,
}

/// The index of one log, as this process has it.
#[derive(Default)]
pub(super) struct Seat {
    /// Held for moments, never over a wait.
    state: Mutex<State>,
    /// Told when additional keys wait, and when the index was closed.
    wake: Notify,
}

/// Keys that are not in the log, by entry.
pub(super) type Additional = BTreeMap<GlobalIndex, Vec<String>>;

#[derive(Default)]
struct State {
    index: Option<Arc<Index>>,
    position: GlobalIndex,
    behind_since: Option<Instant>,
    trouble: Option<String>,
    waiting: Additional,
    /// The number of keys that wait.
    keys: usize,
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, or why it is not open.
    pub(super) fn index(&self) -> Result<Arc<Index>, SearchError> {
        let state = self.state();
        let why = || match &state.trouble {
            Some(trouble) => SearchError::Unusable(trouble.clone()),
            None => SearchError::Opening,
        };
        state.index.clone().ok_or_else(why)
    }

    pub(super) fn view(&self, published: GlobalIndex) -> View {
        let state = self.state();
        let lag = published - state.position;
        let since = state.behind_since.filter(|_| lag > 0);
        View {
            position: state.position,
            lag,
            behind: since.map_or(Duration::ZERO, |since| since.elapsed()),
            trouble: state.trouble.clone(),
        }
    }

    /// The next entry to be indexed, as far as is known.
    pub(super) fn position(&self) -> GlobalIndex {
        self.state().position
    }

    /// Takes an index that continues at `position`.
    pub(super) fn open(&self, index: Arc<Index>, position: GlobalIndex) {
        let mut state = self.state();
        state.index = Some(index);
        state.position = position;
    }

    /// Gives the index back; dropping it may wait for the disk.
    pub(super) fn close(&self) -> Option<Arc<Index>> {
        self.state().index.take()
    }

    /// Everything before `position` is indexed; a trouble there was is over. True if there was one.
    pub(super) fn reached(&self, position: GlobalIndex, published: GlobalIndex) -> bool {
        let mut state = self.state();
        state.position = position;
        if position >= published {
            state.behind_since = None;
        }
        state.trouble.take().is_some()
    }

    /// There are entries that are not indexed.
    pub(super) fn behind(&self) {
        self.state().behind_since.get_or_insert_with(Instant::now);
    }

    /// True if it is another trouble than before.
    pub(super) fn fail(&self, trouble: &str) -> bool {
        let mut state = self.state();
        state.behind_since.get_or_insert_with(Instant::now);
        let new = state.trouble.as_deref() != Some(trouble);
        state.trouble = Some(trouble.to_owned());
        new
    }

    pub(super) fn add(&self, index: GlobalIndex, keys: Vec<String>) {
        let mut state = self.state();
        if keys.is_empty() || state.keys + keys.len() > MAX_WAITING {
            return;
        }
        state.keys += keys.len();
        state.waiting.entry(index).or_default().extend(keys);
        // Those of later entries are written with them.
        if index < state.position {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits until there is something to do beside new entries.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Closes an index that a search found damaged, so that the follower opens it again.
    pub(super) fn condemn(&self) {
        drop(self.close());
        self.wake.notify_one();
    }

    /// Whether there are additional keys of entries before `position`.
    pub(super) fn has_waiting(&self, position: GlobalIndex) -> bool {
        let state = self.state();
        let first = state.waiting.first_key_value();
        first.is_some_and(|(index, _)| *index < position)
    }

    /// The additional keys of entries before `end`.
    pub(super) fn take(&self, end: GlobalIndex) -> Additional {
        let mut state = self.state();
        let later = state.waiting.split_off(&end);
        let taken = std::mem::replace(&mut state.waiting, later);
        state.keys -= taken.values().map(Vec::len).sum::<usize>();
        taken
    }

    /// Puts keys back that were not written.
    pub(super) fn put_back(&self, keys: Additional) {
        let mut state = self.state();
        for (index, keys) in keys {
            state.keys += keys.len();
            state.waiting.entry(index).or_default().extend(keys);
        }
    }
}
