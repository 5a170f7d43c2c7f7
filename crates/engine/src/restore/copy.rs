//! Copies one shard: its entries come from one secondary and are checked against the checkpoints that all of them have cosigned.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tlog::mirror::origin_hash;
use tlog::walk::{self, Event, Object, Walk};
use tlog::{Hash, TileKind, TilePath, TreeSize, bundle, empty_root, tile_bytes, tiles_between};

use crate::restore::source::Source;
use crate::restore::write::Begun;
use crate::restore::{Restore, RestoreError};

/// Bundles on their way at once.
const AT_ONCE: usize = 8;
/// Tiles written at once.
const BATCH: usize = 256;

impl Restore {
    /// The entries of a shard that one secondary has, checked against its own checkpoint and those of all others up to that size, and
    /// written down if a restore is given. Returns the root.
    pub(super) async fn copied(
        &self,
        begun: Option<&Begun>,
        shard: &str,
        size: TreeSize,
        best: &Source,
        sources: &[Source],
    ) -> Result<Hash, RestoreError> {
        let origin = best.has.get(shard).map_or("", |c| c.origin.as_str());
        let hash = origin_hash(origin);
        // Roots that were cosigned at sizes up to its own must be those of this tree.
        let mut roots: BTreeMap<TreeSize, Vec<(&str, Hash)>> = BTreeMap::new();
        for source in sources {
            if let Some(checkpoint) = source.has.get(shard)
                && checkpoint.size <= size.get()
            {
                let list = roots.entry(TreeSize::new(checkpoint.size)).or_default();
                list.push((&source.url, checkpoint.root));
            }
        }
        tracing::info!(shard, size = size.get(), from = best.url, "reading");
        let damaged = |why: String| RestoreError::Damaged {
            url: best.url.clone(),
            why,
        };
        let own = best.has.get(shard).map_or(empty_root(), |c| c.root);
        let mut walk = Walk::new(size.get(), own, roots.keys().map(|size| size.get()));
        let mut differs = None;
        let mut check = |size: TreeSize, root: Hash| {
            let list = roots.get(&size).into_iter().flatten();
            for (url, cosigned) in list.filter(|(_, cosigned)| *cosigned != root) {
                let why = format!(
                    "shard {shard} at size {size}: the entries of {} lead to the root {root}, {url} has cosigned {cosigned}",
                    best.url
                );
                differs.get_or_insert(why);
            }
        };
        let storage = best.incarnation.as_deref();
        let bundles = walk::order(size.get()).filter(|path| path.kind == TileKind::Entries);
        let read = stream::iter(bundles)
            .map(|path| {
                let object = format!("{hash}/{path}");
                async move {
                    let most = 256 * (bundle::MAX_ENTRY + 2);
                    let bytes = self.get(&best.url, &object, most, storage).await?;
                    Ok::<_, RestoreError>((path, bytes))
                }
            })
            .buffered(AT_ONCE);
        tokio::pin!(read);
        let mut out = Vec::new();
        while let Some((path, bytes)) = read.try_next().await? {
            let object = Object::read(path, bytes.as_ref().map(|bytes| (path, &bytes[..])));
            for event in walk.take(object) {
                match event {
                    Event::Flawed { path, flaw } => return Err(damaged(format!("{path}: {flaw}"))),
                    Event::Root { size, root } => check(TreeSize::new(size), root),
                    event => out.extend(tile(event)),
                }
            }
            out.extend(bytes.map(|bytes| (path, bytes)));
            if out.len() >= BATCH {
                self.put(begun, shard, std::mem::take(&mut out)).await?;
            }
        }
        let (events, root) = walk.finish();
        if root != Some(own) {
            // Its storage is damaged; the copies of the others do not contradict it.
            return Err(damaged(format!(
                "its entries do not lead to the root that it cosigned at size {size}"
            )));
        }
        for event in events {
            match event {
                Event::Root { size, root } => check(TreeSize::new(size), root),
                event => out.extend(tile(event)),
            }
        }
        if let Some(why) = differs {
            return Err(RestoreError::Contradiction(why));
        }
        self.put(begun, shard, out).await?;
        Ok(own)
    }

    /// Deletes what a copy of `more` entries, which was then left out, has written beyond the `size` entries that stay: to a server, a bundle beyond
    /// its order would be evidence of an older store.
    pub(super) async fn forget(
        &self,
        begun: &Begun,
        shard: &str,
        size: TreeSize,
        more: TreeSize,
    ) -> Result<(), RestoreError> {
        let paths: Vec<TilePath> = tiles_between(size.get(), more.get()).collect();
        for paths in paths.chunks(BATCH) {
            let objects = paths
                .iter()
                .map(|path| format!("{}/{shard}/{path}", begun.log));
            self.still(begun).await?;
            self.objects.delete(objects.collect()).await?;
        }
        Ok(())
    }

    async fn put(
        &self,
        begun: Option<&Begun>,
        shard: &str,
        tiles: Vec<(TilePath, Bytes)>,
    ) -> Result<(), RestoreError> {
        let Some(begun) = begun else { return Ok(()) };
        let objects: Vec<_> = tiles
            .into_iter()
            .map(|(path, bytes)| (format!("{}/{shard}/{path}", begun.log), bytes))
            .collect();
        if !objects.is_empty() {
            self.still(begun).await?;
            self.objects.put(objects).await?;
        }
        Ok(())
    }
}

/// A hash tile that is finished.
fn tile(event: Event) -> Option<(TilePath, Bytes)> {
    match event {
        Event::Settled { path, hashes } if path.kind != TileKind::Entries => {
            Some((path, tile_bytes(&hashes).into()))
        }
        _ => None,
    }
}
