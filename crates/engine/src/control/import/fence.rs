//! What the object store has under the name of a log that is to be made with imported shards.
//!
//! The row of an import says what was written. The two stores can be separated, so the objects are looked at before anything relies on
//! them: a log may have been made of them already, and some may be gone.

use std::collections::HashSet;

use order::keys::RESTORING;
use store::{Objects, StoreError};
use tlog::{TileKind, TilePath};

use super::dropped::AT_ONCE;
use super::{Importing, ImportingShard};
use crate::control::ChangeError;
use crate::engine::Engine;
use crate::orphans;
use crate::times;

/// The objects of a shard that is imported whole, below its folder.
fn objects(shard: &ImportingShard) -> impl Iterator<Item = TilePath> {
    let size = shard.size.get();
    let at = move |kind| (0..).map_while(move |index| TilePath::at(kind, index, size));
    let levels = (0..).map(TileKind::Hashes);
    let levels = levels.map_while(move |kind| TilePath::at(kind, 0, size).map(|_| kind));
    levels.chain([TileKind::Entries]).flat_map(at)
}

impl Engine {
    /// Refuses to continue while a restore of this log into these stores is unfinished.
    pub(in crate::control) async fn not_restoring(&self, name: &str) -> Result<(), ChangeError> {
        match self.store.get(&format!("{RESTORING}{name}")).await? {
            Some(_) => Err(ChangeError::Conflict(format!(
                "`logd restore` of the log {name} into these stores is unfinished; run it again"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses an import over objects of a log: a folder that is not one of its trees, or anything that was signed. The coordination store
    /// is older than these.
    pub(in crate::control) async fn only_imported(
        &self,
        name: &str,
        importing: &Importing,
    ) -> Result<(), ChangeError> {
        match foreign(&*self.objects, name, importing).await?.pop() {
            Some(orphan) => Err(ChangeError::Conflict(orphans::occupied(name, &orphan))),
            None => Ok(()),
        }
    }

    /// An object that a process wrote for an import after the import was dropped.
    pub(super) async fn left_of(
        &self,
        name: &str,
        dropped: &Importing,
    ) -> Result<Option<orphans::Orphan>, StoreError> {
        for folder in dropped.folders() {
            if let Some(left) = orphans::of_shard(&*self.objects, name, &folder).await? {
                return Ok(Some(left));
            }
        }
        Ok(None)
    }

    /// Deletes the partial tiles that the pages of an import left, once the log is made: the shards have their sizes for good, so nothing needs them.
    /// If an error leaves some, they are harmless.
    pub(in crate::control) async fn partials_deleted(&self, name: &str, importing: &Importing) {
        for shard in &importing.shards {
            let folder = format!("{name}/{}/", shard.tree_id);
            let deleted = async {
                let mut left = self.objects.list(&folder).await?;
                left.retain(|path| {
                    let tile = path.strip_prefix(&folder).and_then(tile_of);
                    tile.is_some_and(|tile| {
                        let right = TilePath::at(tile.kind, tile.index, shard.size.get());
                        right.is_some_and(|right| right.width > tile.width)
                    })
                });
                for some in left.chunks(AT_ONCE) {
                    self.objects.delete(some.to_vec()).await?;
                }
                Ok::<_, StoreError>(())
            };
            if let Err(error) = deleted.await {
                tracing::warn!(log = name, %error, "partial tiles of an import are left");
            }
        }
    }

    /// Refuses to make a log over shards of which an object is missing, or which have one behind their end.
    pub(in crate::control) async fn has_all_of(
        &self,
        name: &str,
        importing: &Importing,
    ) -> Result<(), ChangeError> {
        let refused = |path: &str, what: &str| {
            ChangeError::Conflict(format!(
                "the object {path} of an imported shard {what}, so no log is made with it; drop the import with `logctl import rekor --drop --log {name}`, and import again"
            ))
        };
        for shard in &importing.shards {
            let folder = format!("{name}/{}/", shard.tree_id);
            let there = self.objects.list(&folder).await?;
            let there: HashSet<&str> = there
                .iter()
                .filter_map(|path| path.strip_prefix(&folder))
                .collect();
            for tile in objects(shard) {
                let times = (tile.kind == TileKind::Entries).then_some(tile);
                let names = [Some(tile.to_string()), times.map(times::path)];
                let mut names = names.into_iter().flatten();
                if let Some(path) = names.find(|path| !there.contains(path.as_str())) {
                    return Err(refused(&format!("{folder}{path}"), "is missing"));
                }
            }
            let beyond = there.iter().find(|path| {
                tile_of(path).is_some_and(|tile| {
                    let right = TilePath::at(tile.kind, tile.index, shard.size.get());
                    right.is_none_or(|right| right.width < tile.width)
                })
            });
            if let Some(path) = beyond {
                return Err(refused(&format!("{folder}{path}"), "is behind its end"));
            }
        }
        Ok(())
    }
}

/// The tile, bundle, or bundle's times that a path below a shard names.
fn tile_of(path: &str) -> Option<TilePath> {
    path.parse().ok().or_else(|| times::bundle(path))
}

/// Objects under the name of a log that no import wrote: of other folders than its trees, or signed.
pub(crate) async fn foreign(
    objects: &dyn Objects,
    name: &str,
    importing: &Importing,
) -> Result<Vec<orphans::Orphan>, StoreError> {
    let trees: HashSet<String> = importing.folders().collect();
    let mut found =
        orphans::of_others(objects, name, |folder| trees.contains(folder), usize::MAX).await?;
    for tree in importing.folders() {
        let orphan = orphans::of_shard(objects, name, &tree).await?;
        found.extend(orphan.filter(orphans::Orphan::was_signed));
    }
    Ok(found)
}
