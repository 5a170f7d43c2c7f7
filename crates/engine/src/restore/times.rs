//! Brings back the times of entries, as far as a secondary has them.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mirror::{MAX_TIMES, SignedTimes};
use tlog::mirror::origin_hash;
use tlog::{TilePath, TreeSize, VerifierKey};

use crate::restore::sources::Source;
use crate::restore::{Restore, RestoreError};
use crate::times;
use order::slot::ShardIdentity;

/// Bundles that are asked for at once.
const AT_ONCE: usize = 8;
/// Objects that are written at once.
const BATCH: usize = 256;

impl Restore {
    /// Writes down the times of a restored shard's entries: for each bundle those of the secondary that knows most. Answers of how many
    /// entries none has any.
    pub(crate) async fn times(
        &self,
        log: &str,
        shard: &ShardIdentity,
        size: TreeSize,
        key: &VerifierKey,
        sources: &[Source],
    ) -> Result<u64, RestoreError> {
        let found = stream::iter(mirror::bundles(0, size.get()))
            .map(|bundle| async move {
                let times = self.times_of(shard, bundle, key, sources).await;
                (bundle, times)
            })
            .buffered(AT_ONCE);
        let mut lacking = 0;
        let mut batches = found.chunks(BATCH).map(Ok::<_, RestoreError>).boxed();
        while let Some(batch) = batches.try_next().await? {
            let mut objects = Vec::new();
            for (bundle, times) in batch {
                let entries = usize::from(bundle.width);
                let known = times.as_chunks::<{ size_of::<u64>() }>().0.iter();
                lacking += (entries - known.filter(|time| **time != [0; 8]).count()) as u64;
                if !times.is_empty() {
                    let path = format!("{log}/{}/{}", shard.name, times::path(bundle));
                    objects.push((path, times));
                }
            }
            if !objects.is_empty() {
                self.objects.put(objects).await?;
            }
        }
        Ok(lacking)
    }

    /// The times of a bundle's entries from the secondary that has most of them.
    async fn times_of(
        &self,
        shard: &ShardIdentity,
        bundle: TilePath,
        key: &VerifierKey,
        sources: &[Source],
    ) -> Bytes {
        let most = usize::from(bundle.width) * size_of::<u64>();
        let mut best = Vec::new();
        for source in sources {
            let path = format!("times/{}/{}", origin_hash(&shard.origin), bundle.index);
            // One that does not answer does not stop a restore: its entries were copied already.
            let Ok(Some(note)) = self.get(&source.url, &path, MAX_TIMES, None).await else {
                continue;
            };
            let signed = std::str::from_utf8(&note).ok();
            let signed = signed.and_then(|note| SignedTimes::parse(note).ok());
            let signed = signed.filter(|signed| {
                signed.origin == shard.origin
                    && signed.bundle.index == bundle.index
                    && signed.verify(key).is_ok()
            });
            let Some(mut times) = signed.map(|signed| signed.times) else {
                continue;
            };
            times.truncate(most);
            if times.len() > best.len() {
                best = times;
            }
            if best.len() == most {
                break;
            }
        }
        best.into()
    }
}
