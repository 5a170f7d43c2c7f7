//! The objects that readers need, from memory where they were read before.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tlog::{HashTile, LeafIndex, TILE_WIDTH, TileKind, TilePath, TreeSize, bundle};

use super::ReadError;
use crate::entry_times::EntryTimes;
use crate::object_cache::{Name, Object};
use crate::objects::{self, LogObjects};
use crate::shard::Shard;
use crate::times;
use store::StoreError;

impl LogObjects {
    /// The bundle, or the tile of level 0, that holds a leaf, and its path.
    pub(super) async fn held(
        &self,
        kind: TileKind,
        shard: &Arc<str>,
        leaf: LeafIndex,
        published: TreeSize,
    ) -> Result<Option<(TilePath, Object)>, ReadError> {
        for path in objects::holders(kind, leaf, published) {
            if let Some(found) = self.kept(shard, leaf, path).await? {
                return Ok(Some((path, found)));
            }
        }
        Ok(None)
    }

    /// An object that is kept in memory, or read now; `leaf` is what it is read for.
    pub(super) async fn kept(
        &self,
        shard: &Arc<str>,
        leaf: LeafIndex,
        path: TilePath,
    ) -> Result<Option<Object>, ReadError> {
        let read = || -> BoxFuture<'_, Result<Option<Object>, ReadError>> {
            Box::pin(self.read_object(shard, leaf, path))
        };
        self.cache.get(shard, Name::Tile(path), read).await
    }

    async fn read_object(
        &self,
        shard: &Arc<str>,
        leaf: LeafIndex,
        path: TilePath,
    ) -> Result<Option<Object>, ReadError> {
        let object = self.path(shard, &path.to_string());
        let Some(bytes) = self.store.get(&object).await? else {
            return Ok(None);
        };
        let damaged = || self.damaged(shard, leaf);
        Ok(Some(match path.kind {
            TileKind::Entries => {
                let entries = bundle::entries(&bytes).map_err(|_| damaged())?;
                let entries = entries.into_iter().map(|entry| bytes.slice_ref(entry));
                Object::Bundle(Arc::new(entries.collect()))
            }
            TileKind::Hashes(_) => {
                let tile = HashTile::read(path, &bytes).map_err(|_| damaged())?;
                Object::Tile(Arc::new(tile))
            }
        }))
    }

    /// The times of the bundle that holds a leaf of a shard with `published` entries published.
    pub(super) async fn entry_times(
        &self,
        shard: &Shard,
        leaf: LeafIndex,
        published: TreeSize,
    ) -> Result<Option<Arc<EntryTimes>>, StoreError> {
        let bundle = TilePath::at(TileKind::Entries, leaf.get() / TILE_WIDTH, published.get());
        for path in bundle.as_ref().map(TilePath::names).into_iter().flatten() {
            let (name, each) = (Name::Times(path), times::each(&shard.identity));
            let read = || -> BoxFuture<'_, Result<Option<Object>, StoreError>> {
                Box::pin(async move {
                    let bytes = self.times_at(&shard.name, path).await?;
                    let read = |bytes: Bytes| Arc::new(EntryTimes::read(&bytes, each));
                    Ok(bytes.map(|bytes| Object::Times(read(bytes))))
                })
            };
            if let Some(Object::Times(times)) = self.cache.get(&shard.name, name, read).await? {
                // A repair may add what is not known.
                if times.of(leaf).is_none() {
                    self.cache.forget(&shard.name, name);
                }
                return Ok(Some(times));
            }
        }
        Ok(None)
    }

    /// Forgets objects that do not prove what they should. True if any of them was kept.
    pub(super) fn forget(
        &self,
        shard: &Arc<str>,
        paths: impl IntoIterator<Item = TilePath>,
    ) -> bool {
        let mut any = false;
        for path in paths {
            any |= self.cache.forget(shard, Name::Tile(path));
        }
        any
    }
}
