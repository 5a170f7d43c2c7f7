//! Tiles and bundles that readers have asked for, kept in memory: proofs of one time need the same few.
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

/// Bytes that the objects of all logs may take in memory.
const MOST_BYTES: usize = 64 << 20;
/// Objects that may be kept, however small they are.
const MOST_OBJECTS: NonZeroUsize = NonZeroUsize::new(16 << 10).unwrap();

/// How long readers wait for the one among them that reads an object; then each reads it.
const SHARED_READ: Duration = Duration::from_secs(1);

/// An object that is kept.
#[derive(Clone)]
pub(crate) enum Object {
    /// A hash tile, with all nodes inside it.
    Tile(Arc<HashTile>),
    /// The entries of a bundle.
    Bundle(Arc<Vec<Bytes>>),
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
        }
    }
}

/// The number of a log that is open, its shard, and the object.
type Key = (u64, Arc<str>, TilePath);
type Cell = Arc<OnceCell<Object>>;

struct Kept {
    objects: LruCache<Key, Cell>,
    bytes: usize,
}

/// The objects that are kept, of all logs of one engine.
pub(crate) struct ObjectCache {
    kept: Mutex<Kept>,
    logs: AtomicU64,
}

impl Default for ObjectCache {
    fn default() -> Self {
        Self {
            kept: Mutex::new(Kept {
                objects: LruCache::new(MOST_OBJECTS),
                bytes: 0,
            }),
            logs: AtomicU64::new(0),
        }
    }
}

impl Kept {
    fn without(&mut self, cell: &Cell) {
        let weight = cell.get().map_or(0, Object::weight);
        self.bytes = self.bytes.saturating_sub(weight);
    }
}

impl ObjectCache {
    /// A number for a log that is opened now: another one of its name, later, has another history.
    pub(crate) fn open_log(&self) -> u64 {
        self.logs.fetch_add(1, Relaxed)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, key: &Key) -> Cell {
        let mut kept = self.kept();
        if let Some(cell) = kept.objects.get(key) {
            return Arc::clone(cell);
        }
        let cell = Cell::default();
        if let Some((_, out)) = kept.objects.push(key.clone(), Arc::clone(&cell)) {
            kept.without(&out);
        }
        cell
    }

    /// The object, or what `read` finds; that is kept, unless it is nothing or an error.
    pub(crate) async fn get<'a, E>(
        &self,
        key: &Key,
        read: impl Fn() -> BoxFuture<'a, Result<Option<Object>, E>>,
    ) -> Result<Option<Object>, E> {
        let cell = self.cell(key);
        let mut added = false;
        let found = cell.get_or_try_init(|| async {
            let object = read().await.map_err(Some)?.ok_or(None)?;
            added = true;
            Ok(object)
        });
        // Readers of a store that does not answer would wait for one another, each for its whole time.
        let found = match tokio::time::timeout(SHARED_READ, found).await {
            Ok(Ok(object)) => object.clone(),
            Ok(Err(None)) => return Ok(None),
            Ok(Err(Some(error))) => return Err(error),
            Err(_) => return read().await,
        };
        if added {
            self.weigh(key, &cell, found.weight());
        }
        Ok(Some(found))
    }

    /// Counts an object that has just been read, and drops those that nobody has asked for lately.
    fn weigh(&self, key: &Key, cell: &Cell, weight: usize) {
        let mut kept = self.kept();
        // It may be forgotten already.
        let is_kept = |there: &Cell| Arc::ptr_eq(there, cell);
        if !kept.objects.peek(key).is_some_and(is_kept) {
            return;
        }
        kept.bytes += weight;
        while kept.bytes > MOST_BYTES
            && let Some((_, out)) = kept.objects.pop_lru()
        {
            kept.without(&out);
        }
    }

    /// Forgets everything, so that the next reader reads the store.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        let mut kept = self.kept();
        kept.objects.clear();
        kept.bytes = 0;
    }

    /// Forgets an object, which does not prove what it should. True if it was kept.
    pub(crate) fn forget(&self, key: &Key) -> bool {
        let mut kept = self.kept();
        let out = kept.objects.pop(key);
        out.is_some_and(|cell| {
            kept.without(&cell);
            cell.initialized()
        })
    }
}

#[cfg(test)]
mod tests {
    use store::StoreError;

    use super::*;

    fn key(index: u64) -> Key {
        let path = format!("tile/entries/{index:03}").parse().unwrap();
        (0, Arc::from("a"), path)
    }

    async fn get(cache: &ObjectCache, index: u64, length: usize) -> bool {
        let read = std::cell::Cell::new(false);
        let key = key(index);
        let found = cache.get(&key, || {
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
        let cache = ObjectCache::default();
        assert!(
            get(&cache, 1, 0).await && get(&cache, 1, 10).await,
            "nothing is not kept"
        );
        assert!(!get(&cache, 1, 10).await);
        assert!(cache.forget(&key(1)) && !cache.forget(&key(1)));
        assert_eq!(cache.kept().bytes, 0);
        assert!(get(&cache, 1, 10).await);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_the_latest_stays() {
        let cache = ObjectCache::default();
        for index in 0..200 {
            get(&cache, index, MOST_BYTES / 64).await;
            assert!(cache.kept().bytes <= MOST_BYTES);
        }
        assert!(!get(&cache, 199, 1).await && get(&cache, 0, 1).await);
    }
}
