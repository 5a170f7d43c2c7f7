//! Finds the damaged object: checks everything that a proof for a bundle's leaves needs, from the signed root down.
//!
//! The right edge of the tree (the tiles that are not full) must lead to the signed root together; below it each tile must lead to
//! the hash that the checked tile above it has. For an object that does not, the candidates are computed from the objects below it and
//! fetched from other servers; the first that fits is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tlog::{
    Hash, LeafIndex, ShardTree, TILE_WIDTH, TileKind, TilePath, subtree_root, tile_bytes, walk,
};

use crate::position;
use crate::publish::publication::Publication;
use crate::repair::copies::Source;
use crate::shard::{Published, Shard};
use mirror::Tiles;
use store::StoreError;

/// The most combinations that are tried for the right edge.
const WAYS: usize = 4096;

/// The name of a copy that was computed from the tiles below.
const BELOW: &str = "the objects below it";

/// A tile's hashes, and where they are from.
type Candidate = (String, Vec<Hash>);

/// Checks everything from a bundle's leaves to the signed root, and repairs what it can.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn inspect(
    shared: &Publication,
    place: &(Arc<str>, LeafIndex),
) -> Result<(), StoreError> {
    let state = shared.ledger.state();
    let Some(shard) = shared.shards.get(&state, &place.0) else {
        return Ok(());
    };
    // Partial objects may go as soon as a newer checkpoint covers what they became.
    for _ in 0..4 {
        // Its checkpoint may be waiting for the damaged object.
        let at = match shard.at() {
            Some(at) => Some(at),
            None => {
                position::published(&*shared.ledger.store, &shared.ledger.keys, &shard.name).await?
            }
        };
        let Some(at) = at.filter(|at| place.1.is_in(at.size)) else {
            shared.objects.damage.forget(place, &BTreeSet::new());
            return Ok(());
        };
        let folder = format!("{}/{}", shared.ledger.name, shard.name);
        let mut inspector = Inspector {
            shared,
            shard: &shard,
            folder: &folder,
            at: &at,
            sources: None,
            wrong: BTreeMap::new(),
            written: Vec::new(),
        };
        inspector.look(place.1.get() / TILE_WIDTH).await?;
        if place.1 == LeafIndex::ZERO {
            inspector.notes(&state).await?;
        }
        let (wrong, written) = (inspector.wrong, inspector.written);
        let same = shard.at().is_none_or(|now| now == at);
        if !same && !wrong.is_empty() {
            continue;
        }
        let still = wrong
            .keys()
            .filter(|path| !written.iter().any(|(p, _)| p == *path));
        let still: BTreeSet<String> = still.cloned().collect();
        for (path, what) in wrong {
            shared.objects.damage.report(&path, what, place.clone());
        }
        for (path, from) in written {
            shared.objects.damage.repaired(&path, &from);
        }
        shared.objects.damage.forget(place, &still);
        return Ok(());
    }
    Ok(())
}

pub(crate) struct Inspector<'a> {
    pub(crate) shared: &'a Publication,
    pub(crate) shard: &'a Shard,
    pub(crate) folder: &'a str,
    pub(crate) at: &'a Published,
    /// Built once something is wrong.
    sources: Option<Vec<Source>>,
    /// The damaged objects, each with its fault.
    pub(crate) wrong: BTreeMap<String, String>,
    /// The repaired objects, each with the copy that was used.
    pub(crate) written: Vec<(String, String)>,
}

impl Inspector<'_> {
    async fn look(&mut self, bundle: u64) -> Result<(), StoreError> {
        // The tiles above the bundle, up to the first that is part of the right edge.
        let (mut chain, mut index) = (Vec::new(), bundle);
        for level in 0u8..8 {
            let Some(path) = TilePath::at(TileKind::Hashes(level), index, self.at.size.get())
            else {
                break;
            };
            chain.push(path);
            if path.is_partial() {
                break;
            }
            index /= TILE_WIDTH;
        }
        let Some(edge) = self.edge().await? else {
            return Ok(());
        };
        let Some(top) = chain.pop() else {
            return Ok(());
        };
        let Some(mut above) = edge.get(&top).cloned() else {
            return Ok(());
        };
        let mut full = chain.clone();
        for path in chain.into_iter().rev() {
            let wanted = above.get((path.index % TILE_WIDTH) as usize).copied();
            let Some(hashes) = self.tile(path, wanted).await? else {
                return Ok(());
            };
            above = hashes;
        }
        if let Some(path) = TilePath::at(TileKind::Entries, bundle, self.at.size.get()) {
            self.bundle(path, &above).await?;
            full.extend(Some(path).filter(|path| !path.is_partial()));
        }
        if self.wrong.is_empty() && self.shard.at().is_some() {
            self.leftovers(bundle, full).await;
        }
        Ok(())
    }

    /// Deletes the partial tiles that a crash left beside full ones. A tile above others is looked at with its first bundle alone.
    async fn leftovers(&self, bundle: u64, full: Vec<TilePath>) {
        for path in full {
            let level = match path.kind {
                TileKind::Hashes(level) => u32::from(level),
                TileKind::Entries => 0,
            };
            if path.index * TILE_WIDTH.pow(level) != bundle {
                continue;
            }
            let (objects, metrics) = (&self.shared.objects, &self.shared.progress.metrics);
            match objects.delete_partials_and_times(self.shard, path).await {
                Ok(count) => metrics.partials_deleted.add(count),
                Err(error) => tracing::warn!(%path, %error, "old partial tiles stay for now"),
            }
        }
    }

    /// The tiles of the right edge, where they lead to the signed root.
    async fn edge(&mut self) -> Result<Option<BTreeMap<TilePath, Vec<Hash>>>, StoreError> {
        let size = self.at.size;
        let paths: Vec<TilePath> = tlog::partial_tiles(size.get())
            .into_iter()
            .filter(|path| path.kind != TileKind::Entries)
            .collect();
        let mut stored = Vec::new();
        for path in &paths {
            stored.push(self.stored(*path).await?);
        }
        let whole: Option<Vec<Vec<Hash>>> =
            stored.iter().map(|s| s.as_ref().ok().cloned()).collect();
        if let Some(whole) = whole
            && self.leads(&paths, &whole)
        {
            return Ok(Some(paths.into_iter().zip(whole).collect()));
        }
        let mut candidates: Vec<Vec<Candidate>> = Vec::new();
        for (path, stored) in paths.iter().zip(&stored) {
            let mut all = Vec::new();
            if let Ok(hashes) = stored {
                all.push((String::new(), hashes.clone()));
            }
            all.extend(
                self.below(*path)
                    .await?
                    .map(|hashes| (BELOW.to_owned(), hashes)),
            );
            all.extend(self.copies(*path).await);
            all.dedup_by(|a, b| a.1 == b.1);
            candidates.push(all);
        }
        if let Some(chosen) = self.combine(&paths, &candidates) {
            for ((path, stored), (from, hashes)) in paths.iter().zip(&stored).zip(&chosen) {
                if stored.as_ref().ok() != Some(hashes) {
                    self.write(
                        *path,
                        stored.as_ref().err(),
                        tile_bytes(hashes).into(),
                        from,
                    )
                    .await?;
                }
            }
            let hashes = chosen.into_iter().map(|(_, hashes)| hashes);
            return Ok(Some(paths.into_iter().zip(hashes).collect()));
        }
        // It is not certain which of them is wrong. Listed are those that are not tiles, or do not match the objects below them.
        let before = self.wrong.len();
        for ((path, stored), all) in paths.iter().zip(&stored).zip(&candidates) {
            let below = all.iter().find(|(from, _)| from == BELOW);
            match stored {
                Err(what) => self.note(*path, what.clone()),
                Ok(stored) if below.is_some_and(|(_, hashes)| hashes != stored) => {
                    self.note(*path, "is not what the objects below it lead to".to_owned());
                }
                Ok(_) => {}
            }
        }
        if self.wrong.len() == before {
            let what = format!("the tiles do not lead to the signed root at size {size}");
            self.wrong.insert(format!("{}/tile", self.folder), what);
        }
        Ok(None)
    }

    /// One way to put the edge together that leads to the root.
    fn combine(&self, paths: &[TilePath], candidates: &[Vec<Candidate>]) -> Option<Vec<Candidate>> {
        let ways = candidates.iter().map(Vec::len).product::<usize>();
        (0..ways.min(WAYS)).find_map(|mut way| {
            let chosen: Vec<&Candidate> = candidates
                .iter()
                .map(|all| {
                    let one = &all[way % all.len()];
                    way /= all.len();
                    one
                })
                .collect();
            let hashes: Vec<Vec<Hash>> = chosen.iter().map(|(_, hashes)| hashes.clone()).collect();
            self.leads(paths, &hashes)
                .then(|| chosen.into_iter().cloned().collect())
        })
    }

    fn leads(&self, paths: &[TilePath], hashes: &[Vec<Hash>]) -> bool {
        let tree = ShardTree::resume(self.at.size.get(), Vec::new(), |path| {
            let found = paths.iter().zip(hashes).find(|(p, _)| **p == path);
            found.map(|(_, hashes)| hashes.clone()).ok_or(())
        });
        tree.is_ok_and(|tree| tree.root() == self.at.root)
    }

    /// The hashes of a full tile, where they lead to `wanted`.
    async fn tile(
        &mut self,
        path: TilePath,
        wanted: Option<Hash>,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        let stored = self.stored(path).await?;
        let fits = |hashes: &[Hash]| wanted.is_some() && subtree_root(hashes) == wanted;
        let what = match stored {
            Ok(hashes) if fits(&hashes) => return Ok(Some(hashes)),
            Ok(_) => "is not what was written: it does not lead to the signed root".to_owned(),
            Err(what) => what,
        };
        let below = self
            .below(path)
            .await?
            .map(|hashes| (BELOW.to_owned(), hashes));
        let mut good = below.filter(|(_, hashes)| fits(hashes));
        if good.is_none() {
            good = self
                .copies(path)
                .await
                .into_iter()
                .find(|(_, hashes)| fits(hashes));
        }
        match good {
            Some((from, hashes)) => {
                self.write(path, Some(&what), tile_bytes(&hashes).into(), &from)
                    .await?;
                Ok(Some(hashes))
            }
            None => {
                self.note(path, what);
                Ok(None)
            }
        }
    }

    /// Checks a bundle whose leaves must have these hashes.
    async fn bundle(&mut self, path: TilePath, wanted: &[Hash]) -> Result<(), StoreError> {
        let fits = |bytes: &Bytes| walk::hashes(path, bytes).is_ok_and(|leaves| leaves == wanted);
        let what = match self.read(path).await? {
            Ok(bytes) if fits(&bytes) => return Ok(()),
            Ok(_) => "is not what was written: its entries are not those of the tile beside it"
                .to_owned(),
            Err(what) => what,
        };
        let (peers, folder) = (&self.shared.guard.peers, self.folder);
        let mut good = None;
        for source in self.sources().await {
            if let Some(bytes) = source.get(peers, folder, path).await
                && fits(&bytes)
            {
                good = Some((source.name().to_owned(), bytes));
                break;
            }
        }
        match good {
            Some((from, bytes)) => self.write(path, Some(&what), bytes, &from).await,
            None => {
                self.note(path, what);
                Ok(())
            }
        }
    }

    fn object(&self, path: TilePath) -> String {
        format!("{}/{path}", self.folder)
    }

    fn note(&mut self, path: TilePath, what: String) {
        self.wrong.insert(self.object(path), what);
    }

    /// Repairs an object from a copy that was checked.
    async fn write(
        &mut self,
        path: TilePath,
        what: Option<&String>,
        bytes: Bytes,
        from: &str,
    ) -> Result<(), StoreError> {
        let object = self.object(path);
        let what = what.map_or(
            "is not what was written: it does not lead to the signed root",
            |w| w,
        );
        self.wrong.insert(object.clone(), what.to_owned());
        match self
            .shared
            .objects
            .store
            .put(vec![(object.clone(), bytes)])
            .await
        {
            Ok(()) => self.written.push((object, from.to_owned())),
            // It stays listed; the next check tries again.
            Err(error) => tracing::warn!(object, %error, "a damaged object can't be repaired"),
        }
        Ok(())
    }

    /// An object's bytes, or its fault.
    async fn read(&self, path: TilePath) -> Result<Result<Bytes, String>, StoreError> {
        let tiles = Tiles {
            objects: &*self.shared.objects.store,
            folder: self.folder,
        };
        match tiles.get(path).await {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(StoreError::Corrupt(_)) => {
                let there = self.shared.objects.store.get(&self.object(path)).await?;
                let what = if there.is_none() {
                    "is missing"
                } else {
                    "is too short"
                };
                Ok(Err(what.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn stored(&self, path: TilePath) -> Result<Result<Vec<Hash>, String>, StoreError> {
        let read = self.read(path).await?;
        Ok(read.and_then(|bytes| walk::hashes(path, &bytes).map_err(|flaw| flaw.to_string())))
    }

    /// A tile computed from the objects below it; `None` if one of them can't be read.
    async fn below(&self, path: TilePath) -> Result<Option<Vec<Hash>>, StoreError> {
        let TileKind::Hashes(level) = path.kind else {
            return Ok(None);
        };
        let Some(under) = level.checked_sub(1) else {
            let bundle = TilePath::entries(path.index, path.width);
            let Ok(bytes) = self.read(bundle).await? else {
                return Ok(None);
            };
            return Ok(walk::hashes(bundle, &bytes).ok());
        };
        let mut all = Vec::new();
        for n in 0..u64::from(path.width) {
            let child = TilePath::hashes(under, path.index * TILE_WIDTH + n, 256);
            let Ok(hashes) = self.stored(child).await? else {
                return Ok(None);
            };
            all.extend(subtree_root(&hashes));
        }
        Ok(Some(all))
    }

    async fn sources(&mut self) -> &[Source] {
        if self.sources.is_none() {
            self.sources = Some(Source::all(&self.shared.running, self.shard).await);
        }
        self.sources.as_deref().unwrap_or_default()
    }

    async fn copies(&mut self, path: TilePath) -> Vec<Candidate> {
        let (peers, folder) = (&self.shared.guard.peers, self.folder);
        let mut all = Vec::new();
        for source in self.sources().await {
            if let Some(bytes) = source.get(peers, folder, path).await
                && let Ok(hashes) = walk::hashes(path, &bytes)
            {
                all.push((source.name().to_owned(), hashes));
            }
        }
        all
    }
}
