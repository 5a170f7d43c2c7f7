//! Brings back the times of entries, as far as a secondary has them.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mirror::{MAX_TIMES, SignedTimes};
use tlog::mirror::origin_hash;
use tlog::{TilePath, TreeSize, VerifierKey};

use crate::restore::source::Source;
use crate::restore::write::Begun;
use crate::restore::{Restore, RestoreError};
use crate::times;
use order::slot::ShardIdentity;

/// Bundles that are asked for at once.
const AT_ONCE: usize = 8;
/// How many questions in a row a secondary may leave without an answer. Each was asked three times.
const SILENT: u32 = 2 * AT_ONCE as u32;
/// Objects that are written at once.
const BATCH: usize = 256;

impl Source {
    /// Whether it has cosigned a part of a shard's first `size` entries, which was compared with what was copied.
    fn has_up_to(&self, shard: &str, size: TreeSize) -> bool {
        let has = self.has.get(shard).is_some_and(|c| c.size <= size.get());
        has && !self.discounted.contains_key(shard) && !self.faults.contains_key(shard)
    }
}

/// How many requests for times each source has left unanswered in a row, in the order of the sources.
pub(super) struct Unanswered(Vec<AtomicU32>);

impl Unanswered {
    pub(super) fn none(sources: &[Source]) -> Self {
        Self(sources.iter().map(|_| AtomicU32::new(0)).collect())
    }
}

impl Restore {
    /// Writes down the times of a restored shard's entries: for each bundle those of the secondary that knows most. Answers of how many
    /// entries none has any.
    pub(super) async fn times(
        &self,
        begun: &Begun,
        shard: &ShardIdentity,
        size: TreeSize,
        key: &VerifierKey,
        sources: &[Source],
        unanswered: &Unanswered,
    ) -> Result<u64, RestoreError> {
        // Those whose entries were compared.
        let compared = |(source, _): &(&Source, _)| source.has_up_to(&shard.name, size);
        let sources = sources.iter().zip(&unanswered.0);
        let sources: Vec<_> = sources.filter(compared).collect();
        let sources = &sources[..];
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
                lacking += (entries - known(&times, times::each(shard))) as u64;
                if !times.is_empty() {
                    let path = format!("{}/{}/{}", begun.log, shard.name, times::path(bundle));
                    objects.push((path, times::sealed(&shard.name, bundle, &times)));
                }
            }
            if !objects.is_empty() {
                self.still(begun).await?;
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
        sources: &[(&Source, &AtomicU32)],
    ) -> Bytes {
        let each = times::each(shard);
        let most = usize::from(bundle.width) * each;
        let mut best = Vec::new();
        for (source, unanswered) in sources {
            // One that fails again and again is not asked any more, in no shard.
            if unanswered.load(Relaxed) >= SILENT {
                continue;
            }
            let path = format!("times/{}/{}", origin_hash(&shard.origin), bundle.index);
            // One that does not answer does not stop a restore: its entries were copied already.
            let answer = self.get(&source.url, &path, MAX_TIMES, None).await;
            match answer {
                Ok(_) => unanswered.store(0, Relaxed),
                Err(_) => drop(unanswered.fetch_add(1, Relaxed)),
            }
            let Ok(Some(note)) = answer else { continue };
            let signed = std::str::from_utf8(&note).ok();
            let signed = signed.and_then(|note| SignedTimes::parse(note).ok());
            let signed = signed.filter(|signed| {
                signed.origin == shard.origin
                    && signed.bundle.index == bundle.index
                    && signed.each == each
                    && signed.verify(key).is_ok()
            });
            let Some(mut times) = signed.map(|signed| signed.times) else {
                continue;
            };
            times.truncate(most);
            merge(&mut best, &times, each);
            if best.len() == most && known(&best, each) == usize::from(bundle.width) {
                break;
            }
        }
        best.into()
    }
}

/// How many entries have a time, each of as many bytes.
fn known(times: &[u8], each: usize) -> usize {
    let times = times.chunks_exact(each);
    times.filter(|time| time.iter().any(|b| *b != 0)).count()
}

/// Adds the times that are not known yet.
fn merge(known: &mut Vec<u8>, more: &[u8], each: usize) {
    if known.len() < more.len() {
        known.resize(more.len(), 0);
    }
    for (known, more) in known.chunks_mut(each).zip(more.chunks(each)) {
        if known.iter().all(|b| *b == 0) && more.len() == known.len() {
            known.copy_from_slice(more);
        }
    }
}
