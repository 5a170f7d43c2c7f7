//! Makes the proofs and packages for a secondary from the tiles and bundles of one shard.

use bytes::Bytes;
use futures_util::future::try_join_all;
use tlog::mirror::{EntriesHead, MAX_PACKAGES, Package, packages, push_proof};
use tlog::{Hash, TILE_WIDTH, TileKind, TilePath, TileSet, TreeSize, bundle};

use store::{Objects, StoreError};

/// About this many bytes of entries go into one request, at least one package.
const REQUEST: usize = 4 << 20;

/// The tiles of one shard.
#[derive(Clone, Copy)]
pub struct Tiles<'a> {
    /// The store of the tiles and bundles.
    pub objects: &'a dyn Objects,
    /// The shard's folder: `{log}/{shard}`.
    pub folder: &'a str,
}

fn corrupt(path: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{path}: {why}; run `logd fsck`"))
}

impl Tiles<'_> {
    /// A tile or bundle. If a partial one has been deleted, the full one begins with it.
    pub async fn get(&self, path: TilePath) -> Result<Bytes, StoreError> {
        let object = format!("{}/{path}", self.folder);
        if let Some(bytes) = self.objects.get(&object).await? {
            return Ok(bytes);
        }
        let full = format!("{}/{}", self.folder, path.full());
        let bytes = match self.objects.get(&full).await? {
            Some(bytes) if path.is_partial() => bytes,
            _ => return Err(corrupt(&object, &"missing")),
        };
        let length = match path.kind {
            TileKind::Hashes(_) => usize::from(path.width) * Hash::LEN,
            TileKind::Entries => bundle::entries(&bytes)
                .map_err(|e| corrupt(&full, &e))?
                .iter()
                .take(usize::from(path.width))
                .map(|entry| entry.len() + 2)
                .sum(),
        };
        if bytes.len() < length {
            return Err(corrupt(&full, &"too short"));
        }
        Ok(bytes.slice(..length))
    }

    async fn set(&self, paths: Vec<TilePath>) -> Result<TileSet, StoreError> {
        let bytes = try_join_all(paths.iter().map(|path| self.get(*path))).await?;
        let mut tiles = TileSet::new();
        for (path, bytes) in paths.iter().zip(bytes) {
            tiles
                .insert(*path, &bytes)
                .map_err(|e| corrupt(&path.to_string(), &e))?;
        }
        Ok(tiles)
    }

    /// The proof that the tree of `new` entries extends that of `old`; empty if there is nothing to prove.
    ///
    /// # Errors
    /// [`StoreError`] when a tile is missing.
    pub async fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, StoreError> {
        if old == TreeSize::ZERO || old >= new {
            return Ok(Vec::new());
        }
        let tiles = self
            .set(tlog::consistency_tiles(old.get(), new.get()))
            .await?;
        tlog::consistency_proof(old.get(), new.get(), &tiles).map_err(|e| corrupt(self.folder, &e))
    }

    /// The root at a size.
    ///
    /// # Errors
    /// [`StoreError`] when a tile is missing.
    pub async fn root(&self, size: TreeSize) -> Result<Hash, StoreError> {
        let tiles = self.set(tlog::edge_tiles(size.get())).await?;
        tlog::edge_from_tiles(size.get(), &tiles)
            .map(|edge| edge.root())
            .map_err(|e| corrupt(self.folder, &e))
    }

    /// The root at a size of the history that has a root at `new`: the tiles are proven to lead there. Another history may have left its
    /// own partial tiles beside them.
    ///
    /// # Errors
    /// [`StoreError`] when a tile is missing, or they do not lead there.
    pub async fn root_under(
        &self,
        size: TreeSize,
        (new, root): (TreeSize, Hash),
    ) -> Result<Hash, StoreError> {
        let edge = tlog::edge_tiles(size.get()).into_iter();
        // The edge tiles have their width at `new`.
        let edge = edge.filter_map(|path| TilePath::at(path.kind, path.index, new.get()));
        let mut paths = tlog::consistency_tiles(size.get(), new.get());
        paths.extend(edge);
        paths.sort_unstable();
        paths.dedup();
        let tiles = self.set(paths).await?;
        let proven = || {
            let old = tlog::edge_from_tiles(size.get(), &tiles)?.root();
            let proof = tlog::consistency_proof(size.get(), new.get(), &tiles)?;
            tlog::verify_consistency(size.get(), new.get(), &proof, &old, &root).map(|()| old)
        };
        proven().map_err(|e| {
            let why = format!("its tiles do not lead to the root {root} at size {new}: {e}");
            corrupt(self.folder, &why)
        })
    }

    /// The body of one add-entries request: as many packages of `head`'s upload as one request should have. The answer holds
    /// the first entry that is not in it.
    ///
    /// # Errors
    /// [`StoreError`] when a tile or bundle is missing.
    pub async fn request(&self, head: &EntriesHead) -> Result<(Bytes, u64), StoreError> {
        let mut out = Vec::with_capacity(64 << 10);
        if !head.write(&mut out) {
            return Err(corrupt(
                self.folder,
                &"the origin or the ticket is too long",
            ));
        }
        let all: Vec<Package> = packages(head.start, head.end)
            .take(MAX_PACKAGES as usize)
            .collect();
        let mut needed: Vec<TilePath> = all
            .iter()
            .flat_map(|package| tlog::subtree_tiles(package.subtree(), head.end))
            .collect();
        needed.sort_unstable();
        needed.dedup();
        let bundles = all.iter().map(|package| {
            let path = TilePath::at(TileKind::Entries, package.base / TILE_WIDTH, head.end);
            async move {
                match path {
                    Some(path) => self.get(path).await,
                    None => Err(corrupt(self.folder, &"an empty bundle")),
                }
            }
        });
        let (tiles, bundles) = tokio::try_join!(self.set(needed), try_join_all(bundles))?;
        let mut next = head.start;
        for (package, bytes) in all.iter().zip(bundles) {
            if out.len() + bytes.len() > REQUEST && next > head.start {
                break;
            }
            let skip = (package.start - package.base) as usize;
            let entries = bundle::entries(&bytes).map_err(|e| corrupt(self.folder, &e))?;
            if entries.len() != skip + package.entries() {
                return Err(corrupt(
                    self.folder,
                    &format!(
                        "the bundle at entry {} has {} entries",
                        package.base,
                        entries.len()
                    ),
                ));
            }
            let before: usize = entries[..skip].iter().map(|entry| entry.len() + 2).sum();
            out.extend_from_slice(&bytes[before..]);
            let proof = tlog::subtree_proof(package.subtree(), head.end, &tiles)
                .map_err(|e| corrupt(self.folder, &e))?;
            push_proof(&mut out, &proof);
            next = package.end;
        }
        Ok((Bytes::from(out), next))
    }
}
