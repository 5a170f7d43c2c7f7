//! When entries were ordered, kept beside the bundles of shards that Sigstore's clients read.
//!
//! Rekor's first API answers an entry with the time at which it was integrated, under a signature, so the answer must stay the same for
//! good, on every server. It is the time of the slot that ordered the entry. Slots are collected, so the cut that makes an entry's bundle
//! durable writes its time in the same step: 8 bytes for each entry, milliseconds since the Unix epoch, big-endian, in
//! `times/{index}[.p/{width}]`, named like the bundle. A shard without an ECDSA key has none of this.
//!
//! Nobody here can sign for an imported shard. Its times are those that the old Rekor gave, and beside each is the signed entry timestamp
//! that it gave, in as many bytes for every entry: 8 of the time, one with the signature's length, and 72 for the signature.
//!
//! What must never happen: two times for one entry. No root covers the times, so a digest before them shows damage: a damaged time must
//! not be signed. An entry whose time is not known (0) has no answer rather than another time.

use bytes::Bytes;
use store::record;
use tlog::{Hash, LeafIndex, TILE_WIDTH, TileKind, TilePath, TreeSize, UnixMillis};

use crate::entry_times::{LEN, MAX_SIGNATURE};
use crate::objects::LogObjects;
use crate::shard::Shard;
use order::slot::ShardIdentity;
use store::StoreError;

/// Bytes that an imported entry has here.
const WITH_SIGNATURE: usize = LEN + 1 + MAX_SIGNATURE;
/// The folder of a shard's times.
pub(crate) const FOLDER: &str = "times/";
const BUNDLES: &str = "tile/entries/";

/// Whether the times of a shard's entries are kept.
pub(crate) fn are_kept(shard: &ShardIdentity) -> bool {
    shard.ecdsa.is_some() || shard.imported.is_some()
}

/// Bytes that each entry of a shard has in its times.
pub(crate) fn each(shard: &ShardIdentity) -> usize {
    match shard.imported {
        Some(_) => WITH_SIGNATURE,
        None => LEN,
    }
}

/// What is kept of an imported entry. The signature is not longer than [`MAX_SIGNATURE`].
pub(crate) fn with_signature(time: UnixMillis, signature: &[u8]) -> Vec<u8> {
    let mut one = time.get().to_be_bytes().to_vec();
    one.push(signature.len() as u8);
    one.extend_from_slice(signature);
    one.resize(WITH_SIGNATURE, 0);
    one
}

/// The name of the times of a bundle, below its shard.
pub(crate) fn path(bundle: TilePath) -> String {
    bundle.to_string().replacen(BUNDLES, FOLDER, 1)
}

/// Whether an object below a shard has the name of times, and those of which bundle.
pub(crate) fn bundle(path: &str) -> Option<TilePath> {
    let rest = path.strip_prefix(FOLDER)?;
    format!("{BUNDLES}{rest}").parse().ok()
}

/// The object with the times of a bundle of a shard.
pub(crate) fn sealed(shard: &str, bundle: TilePath, times: &[u8]) -> Bytes {
    [&digest(shard, bundle, times).0, times].concat().into()
}

/// The times in an object; `None` if it is damaged, or another bundle's.
pub(crate) fn opened(shard: &str, bundle: TilePath, object: &Bytes) -> Option<Bytes> {
    let (found, times) = object.split_first_chunk::<{ Hash::LEN }>()?;
    let right = digest(shard, bundle, times).0 == *found;
    right.then(|| object.slice_ref(times))
}

fn digest(shard: &str, bundle: TilePath, times: &[u8]) -> Hash {
    let name = format!("{shard} {}\n", bundle.index);
    record::digest(&[name.as_bytes(), times].concat())
}

/// Times of one bundle, below the shard.
pub(crate) type TimesBytes = (TilePath, Bytes);

/// The times of the entries of a shard that grows, from the beginning of the bundle that is not full.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    open: Vec<u8>,
    /// The times of bundles that were completed since the last cut.
    full: Vec<TimesBytes>,
}

impl Times {
    /// Continues behind the `size` entries of the last cut, of whose last bundle `stored` are the times, `each` bytes for an entry.
    pub(crate) fn resume(size: TreeSize, stored: Option<&[u8]>, each: usize) -> Self {
        let known = (size.get() % TILE_WIDTH) as usize * each;
        let mut open = stored.unwrap_or_default().to_vec();
        open.resize(known, 0);
        Self {
            open,
            full: Vec::new(),
        }
    }

    /// Adds entries ordered at one time; `size` is that of the shard before them.
    pub(crate) fn push(&mut self, size: u64, count: usize, time: UnixMillis) {
        for size in (size..).take(count) {
            self.push_one(size, &time.get().to_be_bytes());
        }
    }

    /// Adds what is kept of one entry.
    pub(crate) fn push_one(&mut self, size: u64, one: &[u8]) {
        self.open.extend_from_slice(one);
        if (size + 1).is_multiple_of(TILE_WIDTH) {
            let bundle = TilePath::entries(size / TILE_WIDTH, TILE_WIDTH as u16);
            self.full
                .push((bundle, std::mem::take(&mut self.open).into()));
        }
    }

    /// The times that a cut at this size writes.
    pub(crate) fn cut(&mut self, size: u64) -> Vec<TimesBytes> {
        let mut all = std::mem::take(&mut self.full);
        if let width @ 1.. = (size % TILE_WIDTH) as u16 {
            let bundle = TilePath::entries(size / TILE_WIDTH, width);
            all.push((bundle, Bytes::copy_from_slice(&self.open)));
        }
        all
    }
}

/// Whether the first entries of a bundle, so many of them, all have a time in the times of the bundle.
pub(crate) fn are_whole(times: &[u8], each: usize, count: usize) -> bool {
    let mut all = times.chunks_exact(each).take(count);
    all.len() == count && all.all(|one| one.iter().take(LEN).any(|byte| *byte != 0))
}

impl LogObjects {
    /// The times of a bundle as it is in a shard of `size` entries; the full ones where the partial ones are gone.
    pub(crate) async fn times(
        &self,
        shard: &str,
        leaf: LeafIndex,
        size: TreeSize,
    ) -> Result<Option<Bytes>, StoreError> {
        let bundle = TilePath::at(TileKind::Entries, leaf.get() / TILE_WIDTH, size.get());
        for name in bundle.as_ref().map(TilePath::names).into_iter().flatten() {
            if let Some(times) = self.times_at(shard, name).await? {
                return Ok(Some(times));
            }
        }
        Ok(None)
    }

    /// The times of a bundle of this name.
    pub(crate) async fn times_at(
        &self,
        shard: &str,
        name: TilePath,
    ) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(shard, &path(name));
        let Some(object) = self.store.get(&path).await? else {
            return Ok(None);
        };
        let times = opened(shard, name, &object);
        if times.is_none() {
            tracing::error!(path, "damaged: these entries have no time; run `logd fsck`");
        }
        Ok(times)
    }

    /// Deletes the partial tiles that became this full one, with the times beside a bundle, and returns their number.
    pub(crate) async fn delete_partials_and_times(
        &self,
        shard: &Shard,
        full: TilePath,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        if full.kind == TileKind::Entries && are_kept(&shard.identity) {
            let folder = self.path(&shard.name, &format!("{}.p", path(full)));
            count = self.delete_below(&folder).await?;
        }
        Ok(count + self.delete_partials(&shard.name, full).await?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry_times::{EntryTime, EntryTimes};

    #[test]
    fn times_are_those_of_their_entries_however_they_are_cut() {
        let (mut times, mut size) = (Times::default(), 0);
        let mut stored = std::collections::BTreeMap::new();
        for (step, count) in [3usize, 250, 5, 600, 0, 166].into_iter().enumerate() {
            times.push(size, count, UnixMillis::new(1000 + step as u64));
            size += count as u64;
            stored.extend(times.cut(size));
            // A server that starts here continues in the same way.
            let last = stored
                .iter()
                .rfind(|(bundle, _)| bundle.index == size / TILE_WIDTH);
            times = Times::resume(TreeSize::new(size), last.map(|(_, bytes)| &bytes[..]), LEN);
        }
        assert_eq!(size, 1024);
        let time = |leaf: u64| {
            let bundle = TilePath::entries(leaf / TILE_WIDTH, 256);
            let times = EntryTimes::read(&stored[&bundle], LEN);
            times.of(LeafIndex::new(leaf)).map(|found| found.time.get())
        };
        let found: Vec<_> = [0, 2, 3, 252, 253, 257, 258, 857, 858, 1023]
            .map(time)
            .into();
        let right = [1000, 1000, 1001, 1001, 1002, 1002, 1003, 1003, 1005, 1005].map(Some);
        assert_eq!(found, right);
        let partial = &stored[&TilePath::entries(0, 3)];
        assert_eq!(partial.len(), 3 * LEN);
        assert!(stored[&TilePath::entries(0, 256)].starts_with(partial));
    }

    #[test]
    fn what_is_not_known_has_no_time() {
        let mut times = Times::resume(TreeSize::new(259), None, LEN);
        times.push(259, 1, UnixMillis::new(7));
        let cut = times.cut(260);
        let [(bundle, bytes)] = &cut[..] else {
            panic!("{cut:?}")
        };
        assert_eq!(*bundle, TilePath::entries(1, 4));
        let times = EntryTimes::read(bytes, LEN);
        let found = |leaf| times.of(LeafIndex::new(leaf)).map(|found| found.time.get());
        assert_eq!([258, 259, 260].map(found), [None, Some(7), None]);
    }

    proptest! {
        /// Signatures of whatever lengths come back with the time that they are over, also where some entries have none.
        #[test]
        fn signatures_stay_with_their_times(
            all in prop::collection::vec(prop::option::of((1u64.., prop::collection::vec(any::<u8>(), 0..=MAX_SIGNATURE))), 1..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let record = |one: &Option<(u64, Vec<u8>)>| match one {
                Some((time, signature)) => with_signature(UnixMillis::new(*time), signature),
                None => vec![0; WITH_SIGNATURE],
            };
            let (mut times, mut stored) = (Times::default(), std::collections::BTreeMap::new());
            let cut = cut.index(all.len());
            for (size, one) in (0..).zip(&all) {
                if size == cut as u64 {
                    stored.extend(times.cut(size));
                    let last = stored.iter().rfind(|(bundle, _)| bundle.index == size / TILE_WIDTH);
                    times = Times::resume(TreeSize::new(size), last.map(|(_, bytes)| &bytes[..]), WITH_SIGNATURE);
                }
                times.push_one(size, &record(one));
            }
            let size = all.len() as u64;
            stored.extend(times.cut(size));
            for (leaf, one) in (0..).zip(&all) {
                let bundle = TilePath::at(TileKind::Entries, leaf / TILE_WIDTH, size).unwrap();
                let times = EntryTimes::read(&stored[&bundle], WITH_SIGNATURE);
                let right = one.as_ref().map(|(time, signature)| EntryTime {
                    time: UnixMillis::new(*time),
                    signature: signature.clone().into(),
                });
                prop_assert_eq!(times.of(LeafIndex::new(leaf)), right.as_ref());
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let bundle = TilePath::entries(2, 3);
        let object = sealed("a", bundle, &[7; 24]);
        assert_eq!(opened("a", bundle, &object).as_deref(), Some(&[7; 24][..]));
        // The full one, under whose name the partial one is looked for.
        assert!(opened("a", bundle.full(), &object).is_some());
        assert_eq!(opened("b", bundle, &object), None);
        assert_eq!(opened("a", TilePath::entries(3, 3), &object), None);
        for at in 0..object.len() {
            let mut bad = object.to_vec();
            bad[at] ^= 1;
            assert_eq!(opened("a", bundle, &bad.into()), None, "byte {at}");
        }
        assert_eq!(opened("a", bundle, &object.slice(..20)), None);
    }

    #[test]
    fn names_are_those_of_the_bundles() {
        let partial = TilePath::entries(1_234_067, 7);
        assert_eq!(path(partial), "times/x001/x234/067.p/7");
        assert_eq!(bundle("times/x001/x234/067.p/7"), Some(partial));
        assert_eq!(bundle("tile/entries/067"), None);
        assert_eq!(bundle("times/67"), None);
    }
}
