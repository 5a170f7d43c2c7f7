//! Tiles, bundles and times that readers have asked for, kept in memory: answers of one time need the same few.
//!
//! An object never changes under its path and width, so what is kept is right as long as it was right when it was read. What does not prove
//! what it should is forgotten, and read again. Many who ask for one object at a time read it once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lru::LruCache;
use tlog::{HashTile, TilePath};
use tokio::sync::OnceCell;

use crate::entry_times::EntryTimes;

/// Bytes that the objects of all logs may take in memory.
const MOST_BYTES: usize = 64 << 20;
/// Objects that may be kept, however small they are.
const MOST_OBJECTS: NonZeroUsize = NonZeroUsize::new(16 << 10).unwrap();

/// How long readers wait for the one among them that reads an object; then each reads it.
const SHARED_READ: Duration = Duration::from_secs(1);

/// An object that is kept.
#[derive(Clone)]
pub(crate) enum Object {
    /// A hash tile, with the nodes inside it once a proof has needed them.
    Tile(Arc<HashTile>),
    /// The entries of a bundle.
    Bundle(Arc<Vec<Bytes>>),
    /// The times of the entries of a bundle.
    Times(Arc<EntryTimes>),
}

/// The name of an object below its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// A hash tile or a bundle.
    Tile(TilePath),
    /// The times of this bundle.
    Times(TilePath),
}

impl Object {
    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize {
        match self {
            // Each hash, and a node for each but one.
            Self::Tile(tile) => 2 * tlog::Hash::LEN * tile.width(),
            Self::Bundle(entries) => {
                let each = |entry: &Bytes| entry.len() + size_of::<Bytes>();
                entries.iter().map(each).sum()
            }
            Self::Times(times) => times.weight(),
        }
    }
}

/// The number of a log that is open, its shard, and the object.
type Key = (u64, Arc<str>, Name);
type Cell = Arc<OnceCell<Object>>;

/// An object, and how many bytes are counted for it; none while it is read.
struct Kept {
    cell: Cell,
    weight: usize,
}

struct Inner {
    objects: LruCache<Key, Kept>,
    bytes: usize,
}

/// The objects that are kept, of all logs of one engine.
pub(crate) struct ObjectCache {
    inner: Mutex<Inner>,
    logs: AtomicU64,
}

impl Default for ObjectCache {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                objects: LruCache::new(MOST_OBJECTS),
                bytes: 0,
            }),
            logs: AtomicU64::new(0),
        }
    }
}

/// The objects of one log among them.
pub(crate) struct LogCache {
    cache: Arc<ObjectCache>,
    log: u64,
}

impl ObjectCache {
    /// The objects of a log that is opened now: another one of its name, later, has another history.
    pub(crate) fn open_log(self: &Arc<Self>) -> LogCache {
        LogCache {
            cache: Arc::clone(self),
            log: self.logs.fetch_add(1, Relaxed),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of an object, and whether it is new: then the caller reads the object.
    fn cell(&self, key: &Key) -> (Cell, bool) {
        let mut inner = self.inner();
        if let Some(kept) = inner.objects.get(key) {
            return (Arc::clone(&kept.cell), false);
        }
        let cell = Cell::default();
        let kept = Kept {
            cell: Arc::clone(&cell),
            weight: 0,
        };
        if let Some((_, out)) = inner.objects.push(key.clone(), kept) {
            inner.bytes -= out.weight;
        }
        (cell, true)
    }

    /// Counts an object that has just been read, and drops those that nobody has asked for lately.
    fn weigh(&self, key: &Key, cell: &Cell, weight: usize) {
        let mut inner = self.inner();
        // It may be forgotten already.
        let kept = inner.objects.peek_mut(key);
        let Some(kept) = kept.filter(|kept| Arc::ptr_eq(&kept.cell, cell)) else {
            return;
        };
        kept.weight = weight;
        inner.bytes += weight;
        while inner.bytes > MOST_BYTES
            && let Some((_, out)) = inner.objects.pop_lru()
        {
            inner.bytes -= out.weight;
        }
    }
}

impl LogCache {
    /// The object, or what `read` finds; that is kept, unless it is nothing or an error.
    pub(crate) async fn get<'a, E>(
        &self,
        shard: &Arc<str>,
        name: Name,
        read: impl Fn() -> BoxFuture<'a, Result<Option<Object>, E>>,
    ) -> Result<Option<Object>, E> {
        let key = (self.log, Arc::clone(shard), name);
        let (cell, is_new) = self.cache.cell(&key);
        let mut added = false;
        let found = cell.get_or_try_init(|| async {
            let object = read().await.map_err(Some)?.ok_or(None)?;
            added = true;
            Ok(object)
        });
        let found = match is_new {
            true => Some(found.await.cloned()),
            // Readers of a store that does not answer would wait for one another, each for its whole time.
            false => {
                let found = tokio::time::timeout(SHARED_READ, found).await;
                found.ok().map(|found| found.cloned())
            }
        };
        let found = match found {
            Some(Err(Some(error))) => return Err(error),
            Some(found) => found.ok(),
            None => {
                let own = read().await?;
                added = own.clone().is_some_and(|own| cell.set(own).is_ok());
                own
            }
        };
        if let Some(found) = found.as_ref().filter(|_| added) {
            self.cache.weigh(&key, &cell, found.weight());
        }
        Ok(found)
    }

    /// Forgets an object, which does not prove what it should. True if it was kept.
    pub(crate) fn forget(&self, shard: &Arc<str>, name: Name) -> bool {
        let mut inner = self.cache.inner();
        let out = inner.objects.pop(&(self.log, Arc::clone(shard), name));
        out.is_some_and(|out| {
            inner.bytes -= out.weight;
            out.cell.initialized()
        })
    }

    /// Forgets everything, so that the next reader reads the store.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        let mut inner = self.cache.inner();
        inner.objects.clear();
        inner.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use store::StoreError;

    use super::*;

    fn path(index: u64) -> Name {
        Name::Tile(TilePath::entries(index, 256))
    }

    /// Whether the object was read, of which there are so many bytes.
    async fn get(cache: &LogCache, index: u64, length: usize) -> bool {
        let read = std::cell::Cell::new(false);
        let shard = Arc::from("a");
        let found = cache.get(&shard, path(index), || {
            read.set(true);
            let entry = Bytes::from(vec![0; length]);
            let found = (length > 0).then(|| Object::Bundle(Arc::new(vec![entry])));
            Box::pin(std::future::ready(Ok::<_, StoreError>(found)))
        });
        assert_eq!(found.await.unwrap().is_some(), length > 0);
        read.get()
    }

    #[tokio::test]
    async fn an_object_is_read_once_until_it_is_forgotten() {
        let all = Arc::new(ObjectCache::default());
        let (cache, other) = (all.open_log(), all.open_log());
        let nothing = get(&cache, 1, 0).await && get(&cache, 1, 10).await;
        assert!(nothing, "what is not there is looked for again");
        assert!(!get(&cache, 1, 10).await && get(&other, 1, 10).await);
        let shard = Arc::from("a");
        assert!(cache.forget(&shard, path(1)) && !cache.forget(&shard, path(1)));
        assert!(other.forget(&shard, path(1)));
        assert_eq!(all.inner().bytes, 0);
        assert!(get(&cache, 1, 10).await);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_the_latest_stays() {
        let all = Arc::new(ObjectCache::default());
        let cache = all.open_log();
        for index in 0..200 {
            get(&cache, index, MOST_BYTES / 64).await;
            assert!(all.inner().bytes <= MOST_BYTES);
        }
        assert!(!get(&cache, 199, 1).await && get(&cache, 0, 1).await);
    }

    /// Forgotten between the moment that it is read and the moment that it is counted.
    #[tokio::test]
    async fn what_is_forgotten_early_is_never_counted() {
        let all = Arc::new(ObjectCache::default());
        let cache = all.open_log();
        let key = (cache.log, Arc::from("a"), path(1));
        let (cell, _) = all.cell(&key);
        cell.set(Object::Bundle(Arc::default())).ok().unwrap();
        assert!(cache.forget(&key.1, path(1)));
        all.weigh(&key, &cell, 10);
        get(&cache, 2, 10).await;
        let counted = all.inner().bytes;
        assert_eq!(counted, 10 + size_of::<Bytes>());
    }
}
