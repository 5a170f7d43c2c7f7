//! Brings back the times of entries, as far as a secondary has them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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

impl Source {
    /// Whether it has cosigned a part of a shard's first `size` entries, which was compared with what was copied.
    fn has_up_to(&self, shard: &str, size: TreeSize) -> bool {
        let has = self.has.get(shard).is_some_and(|c| c.size <= size.get());
        has && !self.failed.contains_key(shard) && !self.damaged.contains_key(shard)
    }
}

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
        // Whose entries were compared; one that does not answer is not asked again.
        let compared = |source: &&Source| source.has_up_to(&shard.name, size);
        let sources: Vec<_> = sources.iter().filter(compared).collect();
        let silent: Vec<_> = sources.iter().map(|_| AtomicBool::new(false)).collect();
        let (sources, silent) = (&sources[..], &silent[..]);
        let found = stream::iter(mirror::bundles(0, size.get()))
            .map(|bundle| async move {
                let asked = sources.iter().copied().zip(silent);
                let times = self.times_of(shard, bundle, key, asked).await;
                (bundle, times)
            })
            .buffered(AT_ONCE);
        let mut lacking = 0;
        let mut batches = found.chunks(BATCH).map(Ok::<_, RestoreError>).boxed();
        while let Some(batch) = batches.try_next().await? {
            let mut objects = Vec::new();
            for (bundle, times) in batch {
                let entries = usize::from(bundle.width);
                lacking += (entries - known(&times)) as u64;
                if !times.is_empty() {
                    let path = format!("{log}/{}/{}", shard.name, times::path(bundle));
                    objects.push((path, times::sealed(&shard.name, bundle, &times)));
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
        sources: impl Iterator<Item = (&Source, &AtomicBool)>,
    ) -> Bytes {
        let most = usize::from(bundle.width) * size_of::<u64>();
        let mut best = Vec::new();
        for (source, silent) in sources {
            if silent.load(Relaxed) {
                continue;
            }
            let path = format!("times/{}/{}", origin_hash(&shard.origin), bundle.index);
            // One that does not answer does not stop a restore: its entries were copied already.
            let answer = self.get(&source.url, &path, MAX_TIMES, None).await;
            silent.fetch_or(answer.is_err(), Relaxed);
            let Ok(Some(note)) = answer else { continue };
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
            merge(&mut best, &times);
            if best.len() == most && known(&best) == usize::from(bundle.width) {
                break;
            }
        }
        best.into()
    }
}

const LEN: usize = size_of::<u64>();

/// How many entries have a time.
fn known(times: &[u8]) -> usize {
    let times = times.as_chunks::<LEN>().0.iter();
    times.filter(|time| **time != [0; LEN]).count()
}

/// Adds the times that are not known yet.
fn merge(known: &mut Vec<u8>, more: &[u8]) {
    if known.len() < more.len() {
        known.resize(more.len(), 0);
    }
    for (known, more) in known.chunks_mut(LEN).zip(more.chunks(LEN)) {
        if known == [0; LEN] && more.len() == LEN {
            known.copy_from_slice(more);
        }
    }
}
