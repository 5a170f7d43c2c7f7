//! The stores of one log's objects, and their paths.

use std::sync::Arc;

use bytes::Bytes;
use tlog::{LeafIndex, TILE_WIDTH, TileKind, TilePath, TreeSize};

use crate::clock::Clock;
use crate::damage::Damage;
use crate::nodes::Nodes;
use crate::object_cache::{LogCache, ObjectCache};
use store::{Objects, StoreError};

pub(crate) struct LogObjects {
    log: String,
    /// Tiles, bundles, checkpoints, seals.
    pub(crate) store: Arc<dyn Objects>,
    /// The storage nodes of large batches.
    pub(crate) nodes: Nodes,
    /// Published objects that readers found damaged.
    pub(crate) damage: Damage,
    /// Objects that readers have asked for.
    pub(crate) cache: LogCache,
}

impl LogObjects {
    pub(crate) fn new(
        log: &str,
        store: Arc<dyn Objects>,
        nodes: Nodes,
        clock: Clock,
        cache: &Arc<ObjectCache>,
    ) -> Self {
        Self {
            log: log.to_owned(),
            store,
            nodes,
            damage: Damage::new(clock),
            cache: cache.open_log(),
        }
    }

    /// The path of an object of a shard.
    pub(crate) fn path(&self, shard: &str, rest: &str) -> String {
        format!("{}/{shard}/{rest}", self.log)
    }

    /// Deletes the partial tiles that became this full one, and returns their number. No reader needs them once a checkpoint covers the full
    /// tile (tlog-tiles, "Partial Tiles").
    pub(crate) async fn delete_partials(
        &self,
        shard: &str,
        full: TilePath,
    ) -> Result<u64, StoreError> {
        self.delete_below(&self.path(shard, &format!("{full}.p")))
            .await
    }

    /// Deletes the objects in a folder, and returns their number.
    pub(crate) async fn delete_below(&self, folder: &str) -> Result<u64, StoreError> {
        let paths = self.store.list(folder).await?;
        let count = paths.len() as u64;
        if count > 0 {
            self.store.delete(paths).await?;
        }
        Ok(count)
    }

    /// The bundle that holds `leaf` of a shard with `published` entries published.
    pub(crate) async fn bundle(
        &self,
        shard: &str,
        leaf: LeafIndex,
        published: TreeSize,
    ) -> Result<Option<Bytes>, StoreError> {
        for path in holders(TileKind::Entries, leaf, published) {
            let bytes = self.store.get(&self.path(shard, &path.to_string())).await?;
            if bytes.is_some() {
                return Ok(bytes);
            }
        }
        Ok(None)
    }
}

/// Where the bundle, or the tile of level 0, that holds `leaf` may be: the partial one first, and the full one where that is gone.
pub(crate) fn holders(
    kind: TileKind,
    leaf: LeafIndex,
    published: TreeSize,
) -> impl Iterator<Item = TilePath> {
    let index = leaf.get() / TILE_WIDTH;
    let full = TilePath {
        kind,
        index,
        width: 256,
    };
    let width = (published.get() % TILE_WIDTH) as u16;
    let is_partial = (index + 1) * TILE_WIDTH > published.get();
    let partial = is_partial.then_some(TilePath { width, ..full });
    partial.into_iter().chain([full])
}
