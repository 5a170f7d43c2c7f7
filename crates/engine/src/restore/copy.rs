//! One shard: its entries from one secondary, checked against what all of them have cosigned.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tlog::mirror::origin_hash;
use tlog::{Hash, TILE_WIDTH, TileKind, TilePath, bundle};

use crate::integrate::tree::ShardTree;
use crate::restore::sources::Source;
use crate::restore::{Restore, RestoreError};

/// Bundles on their way at once.
const AT_ONCE: usize = 8;
/// Tiles written at once.
const BATCH: usize = 256;

impl Restore {
    /// Copies a shard from the secondary that has most of it, and checks it against what all of them have cosigned. A failure
    /// says which source's it is.
    pub(crate) async fn shard(
        &self,
        log: &str,
        shard: &str,
        sources: &[Source],
    ) -> Result<(u64, Hash, String), (Option<usize>, RestoreError)> {
        let has = |source: &Source| source.has.get(shard).map(|c| c.size);
        let most = sources.iter().enumerate();
        let most = most.filter_map(|(at, source)| Some((has(source)?, at)));
        let Some((size, at)) = most.max_by_key(|(size, at)| (*size, std::cmp::Reverse(*at))) else {
            return Ok((0, tlog::empty_root(), String::new()));
        };
        let best = &sources[at];
        let copied = self.copied(log, shard, size, best, sources).await;
        copied.map_err(|e| match e {
            e @ RestoreError::Peer { .. } => (Some(at), e),
            e => (None, e),
        })
    }

    async fn copied(
        &self,
        log: &str,
        shard: &str,
        size: u64,
        best: &Source,
        sources: &[Source],
    ) -> Result<(u64, Hash, String), RestoreError> {
        let origin = best.has.get(shard).map_or("", |c| c.origin.as_str());
        let hash = origin_hash(origin);
        // Roots that were cosigned at smaller sizes must be those of this tree.
        let mut roots: BTreeMap<u64, Vec<(&str, Hash)>> = BTreeMap::new();
        for source in sources {
            if let Some(checkpoint) = source.has.get(shard) {
                let list = roots.entry(checkpoint.size).or_default();
                list.push((&source.url, checkpoint.root));
            }
        }
        tracing::info!(shard, size, from = best.url, "restoring");
        let mut tree = ShardTree::default();
        let mut differs = None;
        let mut check = |tree: &ShardTree| {
            let list = roots.get(&tree.size()).into_iter().flatten();
            for (url, root) in list.filter(|(_, root)| *root != tree.root()) {
                let why = format!(
                    "shard {shard} at size {}: the entries of {} lead to the root {}, {url} has cosigned {root}",
                    tree.size(),
                    best.url,
                    tree.root()
                );
                differs.get_or_insert(why);
            }
        };
        check(&tree);
        let bundles = size.div_ceil(TILE_WIDTH);
        let read = stream::iter(0..bundles)
            .map(|index| {
                let path = TilePath::at(TileKind::Entries, index, size);
                let path = path.unwrap_or(TilePath::entries(index, 256));
                let object = format!("{hash}/{path}");
                async move {
                    let most = 256 * (bundle::MAX_ENTRY + 2);
                    let bytes = self.get(&best.url, &object, most).await?;
                    let bytes = bytes.ok_or_else(|| RestoreError::Peer {
                        url: best.url.clone(),
                        why: format!("{path} is missing"),
                    })?;
                    Ok::<_, RestoreError>((path, bytes))
                }
            })
            .buffered(AT_ONCE);
        tokio::pin!(read);
        let mut out = Vec::new();
        while let Some((path, bytes)) = read.try_next().await? {
            let entries = bundle::entries(&bytes).map_err(|e| RestoreError::Peer {
                url: best.url.clone(),
                why: format!("{path}: {e}"),
            })?;
            if entries.len() != usize::from(path.width) {
                return Err(RestoreError::Peer {
                    url: best.url.clone(),
                    why: format!("{path} has {} entries", entries.len()),
                });
            }
            for entry in entries {
                tree.push(entry, &mut out);
                check(&tree);
            }
            if out.len() >= BATCH {
                self.put(log, shard, std::mem::take(&mut out)).await?;
            }
        }
        let own = best.has.get(shard).map(|checkpoint| checkpoint.root);
        if own.is_some_and(|root| root != tree.root()) {
            // Its storage is damaged; what the others have says nothing against it.
            return Err(RestoreError::Peer {
                url: best.url.clone(),
                why: format!("its entries do not lead to the root that it cosigned at size {size}"),
            });
        }
        if let Some(why) = differs {
            return Err(RestoreError::Contradiction(why));
        }
        out.extend(tree.partials());
        self.put(log, shard, out).await?;
        Ok((size, tree.root(), best.url.clone()))
    }

    async fn put(
        &self,
        log: &str,
        shard: &str,
        tiles: Vec<(TilePath, Bytes)>,
    ) -> Result<(), RestoreError> {
        let objects: Vec<_> = tiles
            .into_iter()
            .map(|(path, bytes)| (format!("{log}/{shard}/{path}"), bytes))
            .collect();
        if !objects.is_empty() {
            self.objects.put(objects).await?;
        }
        Ok(())
    }
}
