//! The objects that readers need, from memory where they were read before.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tlog::{HashTile, LeafIndex, TileKind, TilePath, TreeSize, bundle};

use super::ReadError;
use crate::object_cache::Object;
use crate::objects::{self, LogObjects};

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
        self.cache.get(shard, path, read).await
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

    /// Forgets objects that do not prove what they should. True if any of them was kept.
    pub(super) fn forget(
        &self,
        shard: &Arc<str>,
        paths: impl IntoIterator<Item = TilePath>,
    ) -> bool {
        let mut any = false;
        for path in paths {
            any |= self.cache.forget(shard, path);
        }
        any
    }
}
