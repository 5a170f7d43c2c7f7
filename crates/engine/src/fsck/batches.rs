//! The published entries of a shard against the batches that were ordered.

use order::SlotNumber;
use sha2::{Digest, Sha256};
use tlog::{Hash, LeafIndex, TILE_WIDTH, TileKind, TilePath, bundle};

use crate::fsck::tree::Tree;
use crate::fsck::{Findings, remedy};

/// A batch that must be found in the shard.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// Index in the shard of its first entry.
    pub(crate) first: LeafIndex,
    pub(crate) entries: u64,
    /// SHA-256 of its entries in bundle encoding.
    pub(crate) digest: Hash,
    pub(crate) slot: SlotNumber,
}

/// Compares the published entries with the batches that were ordered.
pub(crate) struct Batches<'a> {
    rest: std::slice::Iter<'a, Placed>,
    current: Option<(&'a Placed, Sha256, u64)>,
    /// The entry that comes next.
    at: LeafIndex,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(batches: &'a [Placed]) -> Self {
        Self {
            rest: batches.iter(),
            current: None,
            at: LeafIndex::ZERO,
        }
    }

    /// Takes the next `count` entries; those of a damaged bundle are skipped, with the batches they belong to.
    pub(crate) fn take(
        &mut self,
        bundle: Option<&[u8]>,
        count: u64,
        tree: &Tree<'_>,
        findings: &mut Findings<'_>,
    ) {
        let entries = bundle.and_then(|bytes| bundle::entries(bytes).ok());
        for n in 0..count {
            let entry = usize::try_from(n)
                .ok()
                .and_then(|n| entries.as_ref()?.get(n).copied());
            self.entry(entry, tree, findings);
        }
    }

    fn entry(&mut self, entry: Option<&[u8]>, tree: &Tree<'_>, findings: &mut Findings<'_>) {
        if self.current.is_none() {
            // A batch that began in a damaged bundle is skipped.
            while self
                .rest
                .as_slice()
                .first()
                .is_some_and(|next| next.first < self.at)
            {
                self.rest.next();
            }
            if self
                .rest
                .as_slice()
                .first()
                .is_some_and(|next| next.first == self.at)
            {
                self.current = self.rest.next().map(|next| (next, Sha256::new(), 0));
            }
        }
        self.at += 1;
        let (Some((placed, mut hasher, seen)), Some(entry)) = (self.current.take(), entry) else {
            return;
        };
        hasher.update(u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        hasher.update(entry);
        if seen + 1 < placed.entries {
            self.current = Some((placed, hasher, seen + 1));
        } else if Hash(hasher.finalize().into()) != placed.digest {
            let tile = TilePath::at(
                TileKind::Entries,
                placed.first.get() / TILE_WIDTH,
                tree.size.get(),
            );
            let path = tile.map_or_else(|| tree.shard.to_owned(), |tile| tree.path(&tile));
            let last = (placed.first + placed.entries).back(1);
            let what = format!(
                "entries {} to {last} of the shard are not those that slot {} ordered",
                placed.first, placed.slot
            );
            findings.object(path, what, remedy::CONFLICT);
        }
    }
}
