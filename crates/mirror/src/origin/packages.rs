//! Packages: each is proven to be under the root that the upload leads to, before any entry of it counts.

use tlog::mirror::{Package, PackageBytes, read_package};
use tlog::{
    Hash, LeafIndex, TILE_WIDTH, TileBytes, TilePath, TreeSize, empty_root, leaf_hash, subtree_root,
};

use super::OriginState;
use super::upload::Progress;
use crate::files::Position;
use crate::refusal::Refusal;

impl OriginState {
    /// Verifies and takes the packages that are whole in `bytes`. The answer is the number of bytes used.
    pub(super) fn take(&mut self, upload: &mut Progress, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        let mut out = Vec::new();
        let mut wrong = None;
        while let Some(package) = Package::first(upload.at.get(), upload.end.get()) {
            let read = read_package(&bytes[used..], package.entries());
            let Some(read) = read.map_err(|e| Refusal::Malformed(e.to_string()))? else {
                break;
            };
            match self.take_package(&package, &read, upload, &mut out) {
                Ok(()) => {}
                Err(refusal) => {
                    wrong = Some(refusal);
                    break;
                }
            }
            used += read.length;
            upload.at = LeafIndex::new(package.end);
            upload.taken = true;
        }
        if let Err(e) = self.files.write(&out) {
            let why = format!("writing entries: {e}");
            self.broken = Some(why.clone());
            return Err(Refusal::Storage(why));
        }
        wrong.map_or(Ok(used), Err)
    }

    fn take_package(
        &mut self,
        package: &Package,
        read: &PackageBytes<'_>,
        upload: &Progress,
        out: &mut Vec<TileBytes>,
    ) -> Result<(), Refusal> {
        // The entries before the package in its bundle are here already: the upload begins at the next entry or below.
        let before = (package.start - package.base) as u16;
        let mut leaves = Vec::with_capacity(TILE_WIDTH as usize);
        if before > 0 {
            let tile = TilePath::hashes(0, package.base / TILE_WIDTH, before);
            let here = self.tree.partials().into_iter().find(|(path, _)| {
                path.kind == tile.kind && path.index == tile.index && path.width >= before
            });
            let hashes = match here {
                Some((_, bytes)) => bytes
                    .as_chunks::<{ Hash::LEN }>()
                    .0
                    .iter()
                    .copied()
                    .map(Hash)
                    .collect(),
                None => self
                    .files
                    .hashes(tile)
                    .map_err(|e| Refusal::Storage(e.to_string()))?,
            };
            leaves.extend(hashes.into_iter().take(usize::from(before)));
        }
        leaves.extend(read.entries.iter().map(|entry| leaf_hash(entry)));
        let hash = subtree_root(&leaves).unwrap_or_else(empty_root);
        tlog::verify_subtree(
            package.subtree(),
            upload.end.get(),
            &read.proof,
            &hash,
            &upload.root,
        )
        .map_err(|e| {
            Refusal::Wrong(format!("entries {} to {}: {e}", package.start, package.end))
        })?;
        let known = self.tree.size().saturating_sub(package.start) as usize;
        let new = read.entries.iter().zip(&leaves[usize::from(before)..]);
        for (entry, leaf) in new.skip(known) {
            self.tree.push_hashed(entry, *leaf, out);
        }
        Ok(())
    }

    /// Makes all accepted entries durable.
    pub(super) fn sync(&mut self) -> Result<Position, Refusal> {
        let synced = self.files.write(&self.tree.partials()).and_then(|()| {
            self.files
                .sync(TreeSize::new(self.tree.size()), self.tree.partial_bundle())
        });
        synced.map_err(|e| {
            let why = format!("syncing entries: {e}");
            self.broken = Some(why.clone());
            Refusal::Storage(why)
        })
    }
}
