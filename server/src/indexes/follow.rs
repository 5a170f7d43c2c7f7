//! Follows one log: indexes what it publishes, a batch at a time.
//!
//! Whatever fails is stated and tried again, from the position that the file has.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{EntryRecord, Log, ReadError};
use futures_util::FutureExt as _;
use rekor_index::{Entry, Index, Indexed};
use tlog::{GlobalIndex, leaf_hash};
use tokio::time::Instant;

use super::open;
use super::seat::{Additional, Seat};

/// Entries that are indexed in one transaction: bounds the memory for them.
const BATCH: u64 = 512;
/// How often what was indexed is made durable. A crash loses the rest, and it is indexed again; only additional keys are not.
const SYNC_POLL: Duration = Duration::from_secs(5);
/// How long after a failure the file is opened again, at first and at last.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(60);

/// Why an index is not extended.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Index(#[from] rekor_index::Error),
    #[error("the entries from {from} can't be read: {error}")]
    Read {
        /// The first of them.
        from: GlobalIndex,
        error: ReadError,
    },
    #[error("a search found the index damaged")]
    Closed,
    #[error("entry {0} is published and can't be found")]
    Missing(GlobalIndex),
    #[error("a task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Never ends by itself.
pub(super) async fn run(log: Arc<Log>, path: PathBuf, seat: Arc<Seat>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let began = seat.position();
        let attempt = AssertUnwindSafe(follow(&log, &path, &seat)).catch_unwind();
        let why = match attempt.await {
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(never)) => match never {},
            Err(_) => "the follower ended".to_owned(),
        };
        if seat.fail(&why) {
            tracing::warn!(log = log.name(), why, "the search index is not extended");
        }
        if let Some(index) = seat.close() {
            let _ = tokio::task::spawn_blocking(move || drop(index)).await;
        }
        if seat.position() > began {
            backoff = FIRST_BACKOFF;
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

async fn follow(
    log: &Log,
    path: &Path,
    seat: &Seat,
) -> Result<std::convert::Infallible, FollowError> {
    let (index, mut position) = opened(log, path).await?;
    seat.open(index, position);
    tracing::info!(log = log.name(), %position, "the search index is open");
    let mut unsynced: Option<Instant> = None;
    loop {
        let published = log.watermarks().published;
        if seat.reached(position, published) {
            tracing::info!(log = log.name(), %position, "the search index is extended again");
        }
        let due = unsynced.is_some_and(|since| since.elapsed() >= SYNC_POLL);
        if published <= position && !due && !seat.has_waiting(position) {
            // A log without new entries takes no time here.
            tokio::select! {
                published = log.wait_published(position) => if published.is_err() {
                    // A halted log publishes nothing until the server is started again.
                    std::future::pending::<()>().await;
                },
                () = seat.woken() => {}
                () = until(unsynced.map(|since| since + SYNC_POLL)) => {}
            }
            seat.index().map_err(|_| FollowError::Closed)?;
            continue;
        }
        let end = log.watermarks().published.min(position + BATCH);
        if end > position {
            seat.behind();
        }
        let entries = read(log, position, end).await?;
        let additional = seat.take(position + entries.len() as u64);
        // Held by the seat alone at other times: closing it waits for the disk, and this task may be dropped at any wait.
        let index = seat.index().map_err(|_| FollowError::Closed)?;
        let (at, keys) = (position, additional.clone());
        let written = move || write(&index, at, &entries, keys, due);
        match tokio::task::spawn_blocking(written).await? {
            Ok(reached) => position = reached,
            Err(error) => {
                seat.put_back(additional);
                return Err(error.into());
            }
        }
        unsynced = match due {
            true => None,
            false => unsynced.or_else(|| Some(Instant::now())),
        };
    }
}

/// Waits until a moment, if there is one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The index of a log and its position; an empty one if the file has entries that the log does not have, as after a restore.
async fn opened(log: &Log, path: &Path) -> Result<(Arc<Index>, GlobalIndex), FollowError> {
    let origin = log.config().origin;
    let (again, at) = (origin.clone(), path.to_owned());
    let (index, last) = tokio::task::spawn_blocking(move || {
        let index = open(&at, &again)?;
        let last = index.last()?;
        Ok::<_, rekor_index::Error>((index, last))
    })
    .await??;
    let Some(last) = last else {
        return Ok((Arc::new(index), GlobalIndex::ZERO));
    };
    if has(log, last).await? {
        return Ok((Arc::new(index), last.index.next()));
    }
    tracing::warn!(
        log = log.name(),
        entry = %last.index,
        "the search index has an entry that the log does not have: it is built again"
    );
    let at = path.to_owned();
    let index = tokio::task::spawn_blocking(move || {
        drop(index);
        Index::remove(&at)?;
        open(&at, &origin)
    });
    Ok((Arc::new(index.await??), GlobalIndex::ZERO))
}

/// Whether the log has an entry, here or after asking the store.
async fn has(log: &Log, indexed: Indexed) -> Result<bool, FollowError> {
    let entry = log.entry(indexed.index).await;
    let from = indexed.index;
    let entry = entry.map_err(|error| FollowError::Read { from, error })?;
    Ok(entry.is_some_and(|entry| leaf_hash(&entry.bytes) == indexed.leaf))
}

/// The published entries of a range.
pub(super) async fn read(
    log: &Log,
    start: GlobalIndex,
    end: GlobalIndex,
) -> Result<Vec<EntryRecord>, FollowError> {
    if end <= start {
        return Ok(Vec::new());
    }
    let entries = log.entries(start..end).await;
    let entries = entries.map_err(|error| FollowError::Read { from: start, error })?;
    match entries.is_empty() {
        true => Err(FollowError::Missing(start)),
        false => Ok(entries),
    }
}

/// Indexes entries, which begin at `start`; returns the new position.
pub(super) fn write(
    index: &Index,
    start: GlobalIndex,
    entries: &[EntryRecord],
    mut additional: Additional,
    sync: bool,
) -> Result<GlobalIndex, rekor_index::Error> {
    let later = additional.split_off(&start);
    if !additional.is_empty() {
        let keys = additional.iter();
        index.add(keys.flat_map(|(at, keys)| keys.iter().map(|key| (*at, key.as_str()))))?;
    }
    let mut position = start;
    if !entries.is_empty() {
        let end = start + entries.len() as u64;
        let indexed = start.until(end).zip(entries).map(|(at, entry)| {
            // An entry that is none of version 1 is found by its leaf only.
            let mut keys = rekor::v1::search_keys(&entry.bytes).unwrap_or_default();
            keys.extend(later.get(&at).into_iter().flatten().cloned());
            Entry {
                leaf: leaf_hash(&entry.bytes),
                keys,
            }
        });
        position = index.extend(start, indexed)?;
    }
    if sync {
        index.sync()?;
    }
    Ok(position)
}
