//! The search indexes of this server: one for each log with a front for version 1 of Rekor's API, extended by a follower of its own.
//!
//! An index is derived data in a file of this server. What must never happen: a write that waits for an index; a log that halts, or a
//! server that ends, because of one; an answer with entries that the log does not have.

mod follow;
mod rebuild;
mod seat;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Engine, Log};
use rekor::v1::{EntryId, Operator, Query, TreeId};
use rekor_index::{Found, Index};
use tlog::{GlobalIndex, Hash};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::rebuild::{Which, run as rebuild};
use self::seat::Seat;
pub(crate) use self::seat::View;

/// The most entries that a search answers with: the newest.
pub(crate) const MAX_FOUND: usize = 1000;
/// Memory for the pages of one index.
const CACHE: usize = 32 << 20;
/// Searches that read at a time, and look-ups of a name: each takes one of the threads for blocking work, which the stores need too. Searches
/// may be long, and let no name wait.
const SEARCHES: usize = 8;
const NAMES: usize = 8;
/// How long one waits for its turn.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server looks which logs have an index.
const LOGS_POLL: Duration = Duration::from_secs(1);

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// The server has just started, has just seen that the log has an index, or has too many searches under way.
    #[error("the search index is being opened, or is busy")]
    Opening,
    /// It cannot be used; the reason is for the operator.
    #[error("the search index can't be used: {0}")]
    Unusable(String),
}

/// The search indexes of this server.
pub(crate) struct Indexes {
    folder: PathBuf,
    /// The logs that are followed, by name. Held for moments, never over a wait.
    seats: Mutex<BTreeMap<String, Arc<Seat>>>,
    searches: Arc<Semaphore>,
    names: Arc<Semaphore>,
}

impl Indexes {
    /// Keeps the files in `folder`, which is made with the first of them.
    pub(crate) fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder,
            seats: Mutex::default(),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            names: Arc::new(Semaphore::new(NAMES)),
        })
    }

    /// The entries that a query finds, with all or any of its keys: the newest [`MAX_FOUND`], in the order of the log. Entries that the
    /// follower has not reached are not found yet.
    ///
    /// # Errors
    /// [`SearchError`] while the index can't be used.
    pub(crate) async fn find(&self, log: &Log, query: &Query) -> Result<Vec<EntryId>, SearchError> {
        let Query { operator, keys } = query.clone();
        let search = move |index: &Index| match operator {
            Operator::And => index.find_all(&keys, MAX_FOUND),
            Operator::Or => index.find_any(&keys, MAX_FOUND),
        };
        let Found { entries, .. } = self.search(log, &self.searches, search).await?;
        let named = entries.into_iter().filter_map(|entry| {
            let tree = TreeId::new(log.tree_of(entry.index)?)?;
            let leaf = entry.leaf;
            Some(EntryId { tree, leaf })
        });
        Ok(named.collect())
    }

    /// The entries with a leaf, of all shards: the newest [`MAX_FOUND`], in the order of the log.
    ///
    /// # Errors
    /// [`SearchError`] while the index can't be used.
    pub(crate) async fn by_leaf(
        &self,
        log: &Log,
        leaf: Hash,
    ) -> Result<Vec<GlobalIndex>, SearchError> {
        let search = move |index: &Index| index.by_leaf(&leaf, MAX_FOUND);
        self.search(log, &self.names, search).await
    }

    /// Adds keys of an entry that its leaf does not have: the subjects of a statement that the log drops. The follower writes them, so this
    /// never waits; it does nothing for a log without an index, or when too many wait. They are not in the log, so a rebuild loses them.
    pub(crate) fn add(&self, log: &Log, index: GlobalIndex, keys: Vec<String>) {
        if let Some(seat) = self.seat(log.name()) {
            seat.add(index, keys);
        }
    }

    /// How far the index of a log is; `None` for a log without one.
    pub(crate) fn view(&self, log: &Log) -> Option<View> {
        let seat = self.seat(log.name())?;
        Some(seat.view(log.watermarks().published))
    }

    /// Follows the logs that have an index, for as long as they have one.
    pub(crate) async fn run(self: Arc<Self>, engine: Arc<Engine>) {
        let mut followers: BTreeMap<String, AbortOnDropHandle<()>> = BTreeMap::new();
        loop {
            let logs = engine.logs().into_iter().filter(|log| is_indexed(log));
            let logs: BTreeMap<_, _> = logs.map(|log| (log.name().to_owned(), log)).collect();
            followers.retain(|name, _| {
                let stays = logs.contains_key(name);
                if !stays {
                    self.leave(name);
                }
                stays
            });
            for (name, log) in logs {
                followers
                    .entry(name)
                    .or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(self.follow(log))));
            }
            tokio::time::sleep(LOGS_POLL).await;
        }
    }

    /// Follows one log, until this is dropped.
    fn follow(&self, log: Arc<Log>) -> impl Future<Output = ()> + Send + 'static + use<> {
        let seat = Arc::new(Seat::default());
        let name = log.name().to_owned();
        let path = file(&self.folder, &name);
        self.seats().insert(name, Arc::clone(&seat));
        follow::run(log, path, seat)
    }

    /// Forgets a log that is no longer followed; its file stays.
    fn leave(&self, name: &str) {
        if let Some(seat) = self.seats().remove(name) {
            // Closing it syncs.
            tokio::task::spawn_blocking(move || seat.close());
        }
    }

    /// Closes all indexes, after [`Self::run`] was dropped.
    pub(crate) async fn close(&self) {
        let seats = std::mem::take(&mut *self.seats());
        let closed = tokio::task::spawn_blocking(move || {
            seats.values().for_each(|seat| drop(seat.close()));
        });
        let _ = closed.await;
    }

    async fn search<T: Send + 'static>(
        &self,
        log: &Log,
        places: &Arc<Semaphore>,
        search: impl FnOnce(&Index) -> Result<T, rekor_index::Error> + Send + 'static,
    ) -> Result<T, SearchError> {
        let seat = self.seat(log.name()).ok_or(SearchError::Opening)?;
        seat.index()?;
        let place = Arc::clone(places).acquire_owned();
        let place = tokio::time::timeout(SEARCH_TIMEOUT, place).await;
        let place = place.map_err(|_| SearchError::Opening)?;
        // Taken with the place: the last one who has it closes it, which waits for the disk.
        let index = seat.index()?;
        let found = tokio::task::spawn_blocking(move || {
            // Kept by the thread: a client that hangs up makes no room for the next one.
            let _place = place;
            let found = search(&index);
            drop(index);
            if let Err(error) = &found {
                tracing::warn!(%error, "a search failed");
                seat.condemn();
            }
            found
        });
        let unusable = |error: &dyn std::error::Error| SearchError::Unusable(error.to_string());
        let found = found.await.map_err(|error| unusable(&error))?;
        found.map_err(|error| unusable(&error))
    }

    /// Gives a log an index that nobody extends.
    #[cfg(test)]
    pub(crate) fn stand_still(&self, log: &str, index: Index, position: GlobalIndex) {
        let seat = Seat::default();
        seat.open(Arc::new(index), position);
        self.seats().insert(log.to_owned(), Arc::new(seat));
    }

    fn seat(&self, log: &str) -> Option<Arc<Seat>> {
        self.seats().get(log).cloned()
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a log has a search index.
fn is_indexed(log: &Log) -> bool {
    log.rekor().v1 && !log.is_deleted()
}

/// The file of a log's index.
fn file(folder: &Path, log: &str) -> PathBuf {
    folder.join(format!("{log}.redb"))
}

/// Opens the index of a log on a thread that may wait.
fn open(path: &Path, origin: &str) -> Result<Index, rekor_index::Error> {
    if let Some(folder) = path.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|source| rekor_index::Error::Io {
            path: folder.to_owned(),
            source,
        })?;
    }
    Index::open(path, origin, CACHE)
}
