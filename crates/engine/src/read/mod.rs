//! Answers readers of a log: entries by global index, proofs, checkpoints, tiles.
//!
//! What must never happen: a proof that does not hold leaves this process, an acknowledged entry that cannot be read, a reader that
//! halts the log. A published object that is not as it was written is reported ([`crate::damage`]), and only the read is refused.

mod checkpoint;
mod held;
mod rekor;

#[cfg(test)]
pub(crate) use rekor::is_as_imported;
pub use rekor::{Consistency, RekorEntry, RekorShard, RekorTree};

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tlog::{
    GlobalIndex, Hash, LeafIndex, TILE_WIDTH, TileKind, TilePath, TileSet, TreeSize, bundle,
    leaf_hash,
};

use crate::integrate::batch_bytes::read_batch;
use crate::log::Log;
use crate::object_cache::Object;
use crate::objects::LogObjects;
use crate::position;
use crate::shard::{Shard, Shards, SignError, Signed};
use order::batch;
use order::state::State;
use store::StoreError;

/// Why something could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// The contradiction that halted the log.
        reason: String,
    },
    /// The first checkpoint of a shard is not there yet: it waits for cosignatures of witnesses.
    #[error("the first checkpoint of shard {shard} waits for witnesses")]
    Unwitnessed {
        /// The shard that waits for cosignatures.
        shard: String,
    },
    /// The first checkpoint of a shard is not there yet, or its file is lost: whoever publishes signs it again.
    #[error("the first checkpoint of shard {shard} is not signed")]
    Unsigned {
        /// The shard that has no signed checkpoint.
        shard: String,
    },
    /// A published object is lost or not as it was written; the operator is told which.
    #[error("some of what shard {shard} has published is damaged in the store")]
    Damaged {
        /// The shard that is damaged.
        shard: String,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time at which an entry was ordered is not known.
    #[error("the time at which entry {0} was ordered is not known")]
    Untimed(GlobalIndex),
    /// The shard has no ECDSA key.
    #[error("shard {0} has no ECDSA key, which Sigstore's clients need")]
    NoEcdsa(String),
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// An entry and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// The shard that the entry is in.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: LeafIndex,
    /// Bytes of the entry, as they were written.
    pub bytes: Bytes,
}

/// Proof that an entry is under a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The shard that the entry is in.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: LeafIndex,
    /// From the leaf's sibling upward.
    pub proof: Vec<Hash>,
    /// Entries under that checkpoint.
    pub size: TreeSize,
    /// The root that it signs.
    pub root: Hash,
    /// The signed checkpoint it leads to.
    pub checkpoint: String,
    /// Verifier key of that checkpoint.
    pub vkey: String,
}

/// An entry under a signed checkpoint.
struct Proven {
    shard: Arc<Shard>,
    entry: EntryRecord,
    /// From the leaf's sibling upward.
    proof: Vec<Hash>,
    signed: Arc<Signed>,
}

impl LogObjects {
    /// Called when a reader met a lost or altered object of a shard: the repair looks for it, and this read is refused.
    fn damaged(&self, shard: &Arc<str>, leaf: LeafIndex) -> ReadError {
        self.damage.reads.add(1);
        self.damage.suspect(shard, leaf);
        ReadError::Damaged {
            shard: shard.to_string(),
        }
    }

    /// A published entry whose hash is the one in the tile; `None` where bundle or tile is not there.
    async fn published_entry(
        &self,
        shard: &Arc<str>,
        leaf: LeafIndex,
        published: TreeSize,
    ) -> Result<Option<Bytes>, ReadError> {
        let at = usize::try_from(leaf.get() % TILE_WIDTH).unwrap_or(0);
        // What was kept may be damaged; then it is read again.
        for _ in 0..2 {
            let bundle = self.held(TileKind::Entries, shard, leaf, published).await?;
            let tile = self
                .held(TileKind::Hashes(0), shard, leaf, published)
                .await?;
            let (Some((bundle, Object::Bundle(entries))), Some((path, Object::Tile(tile)))) =
                (bundle, tile)
            else {
                return Ok(None);
            };
            if let Some(entry) = entries.get(at)
                && tile.get(at) == Some(leaf_hash(entry))
            {
                return Ok(Some(entry.clone()));
            }
            self.forget(shard, [bundle, path]);
        }
        Err(self.damaged(shard, leaf))
    }
}

impl Log {
    fn alive(&self) -> Result<(), ReadError> {
        self.health
            .halt
            .reason()
            .map_or(Ok(()), |reason| Err(ReadError::Halted { reason }))
    }

    /// Waits until a signed checkpoint covers a global index.
    pub async fn wait_published(&self, index: GlobalIndex) -> Result<(), ReadError> {
        let mut published = self.progress.published.subscribe();
        tokio::select! {
            reached = published.wait_for(|at| *at > index) => drop(reached),
            reason = self.health.halt.halted() => return Err(ReadError::Halted { reason }),
        }
        Ok(())
    }

    /// The state, with the slots of other replicas read when `index` is not known yet.
    async fn state_with(&self, index: GlobalIndex) -> Result<Option<Arc<State>>, ReadError> {
        let mut state = self.ledger.state();
        if index >= state.size && !self.health.halt.is_halted() {
            self.ledger.refresh().await?;
            state = self.ledger.state();
        }
        Ok((index < state.size).then_some(state))
    }

    /// The shard that a global index is in, and the index in its tree; `None` while it is not ordered.
    async fn located(
        &self,
        index: GlobalIndex,
    ) -> Result<Option<(Arc<Shard>, LeafIndex)>, ReadError> {
        let Some(state) = self.state_with(index).await? else {
            return Ok(None);
        };
        let at = state.shard_at(index);
        Ok(at.and_then(|at| {
            let leaf = at.start().and_then(|start| index.leaf(start));
            let shard = self.shards.get(&state, &at.identity.name)?;
            Some((shard, leaf.unwrap_or_default()))
        }))
    }

    /// The entry at a global index, from the moment it is ordered.
    pub async fn entry(&self, index: GlobalIndex) -> Result<Option<EntryRecord>, ReadError> {
        let Some((shard, leaf_index)) = self.located(index).await? else {
            return Ok(None);
        };
        let nth = |bytes: &Bytes, n: u64| -> Result<Option<EntryRecord>, ReadError> {
            let entries = batch::entries(bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let found = usize::try_from(n)
                .ok()
                .and_then(|n| entries.get(n).copied());
            Ok(found.map(|e| EntryRecord {
                shard: Arc::clone(&shard.name),
                leaf_index,
                bytes: bytes.slice_ref(e),
            }))
        };
        // Tried again: the entry may be published and dropped between the two reads, and full objects replace partial ones.
        let mut covered = false;
        for _ in 0..4 {
            if let Some(held) = self.progress.pending.find(index)
                && let Some(bytes) = read_batch(&self.ledger, &self.objects, &held).await?
            {
                return nth(&bytes, index - held.start);
            }
            let published = match shard.published() {
                known if leaf_index.is_in(known) => known,
                _ => position::published(&*self.ledger.store, &self.ledger.keys, &shard.name)
                    .await?
                    .map_or(TreeSize::ZERO, |row| row.size),
            };
            covered = leaf_index.is_in(published);
            if covered
                && let Some(bytes) = self
                    .objects
                    .published_entry(&shard.name, leaf_index, published)
                    .await?
            {
                return Ok(Some(EntryRecord {
                    shard: Arc::clone(&shard.name),
                    leaf_index,
                    bytes,
                }));
            }
            tokio::task::yield_now().await;
        }
        if covered {
            return Err(self.objects.damaged(&shard.name, leaf_index));
        }
        Err(StoreError::Corrupt(format!(
            "entry {index} is ordered but its bytes are missing; run `logd fsck`"
        ))
        .into())
    }

    /// The entries of a range of global indexes, as far as they are ordered. Each bundle is read once.
    pub async fn entries(&self, range: Range<GlobalIndex>) -> Result<Vec<EntryRecord>, ReadError> {
        let mut found = Vec::new();
        let mut index = range.start;
        while index < range.end {
            let before = index;
            for entry in self.bundled(index, range.end).await? {
                found.push(entry);
                index += 1;
            }
            if index == before {
                // Not published yet, or not ordered.
                let Some(entry) = self.entry(index).await? else {
                    break;
                };
                found.push(entry);
                index += 1;
            }
        }
        Ok(found)
    }

    /// The published entries from `index` to the end of its bundle, at most up to `end`.
    async fn bundled(
        &self,
        index: GlobalIndex,
        end: GlobalIndex,
    ) -> Result<Vec<EntryRecord>, ReadError> {
        let state = self.ledger.state();
        let Some(shard) = state
            .shard_at(index)
            .and_then(|at| self.shards.get(&state, &at.identity.name))
        else {
            return Ok(Vec::new());
        };
        let start = state.shard_at(index).and_then(|at| at.start());
        let leaf = start
            .and_then(|start| index.leaf(start))
            .unwrap_or_default();
        let published = shard.published();
        if !leaf.is_in(published) {
            return Ok(Vec::new());
        }
        let Some(bytes) = self.objects.bundle(&shard.name, leaf, published).await? else {
            return Ok(Vec::new());
        };
        let entries =
            bundle::entries(&bytes).map_err(|_| self.objects.damaged(&shard.name, leaf))?;
        let room = (end - index).min(published.get() - leaf.get());
        Ok(entries
            .into_iter()
            .skip(usize::try_from(leaf.get() % TILE_WIDTH).unwrap_or(0))
            .take(usize::try_from(room).unwrap_or(usize::MAX))
            .zip((leaf.get()..).map(LeafIndex::new))
            .map(|(entry, leaf_index)| EntryRecord {
                shard: Arc::clone(&shard.name),
                leaf_index,
                bytes: bytes.slice_ref(entry),
            })
            .collect())
    }

    /// Proof that the entry at a global index is under a signed checkpoint; `None` until it is published. It always holds.
    pub async fn inclusion(&self, index: GlobalIndex) -> Result<Option<Inclusion>, ReadError> {
        let proven = self.proven(index).await?;
        Ok(proven.map(|proven| Inclusion {
            shard: proven.entry.shard,
            leaf_index: proven.entry.leaf_index,
            proof: proven.proof,
            size: proven.signed.at.size,
            root: proven.signed.at.root,
            checkpoint: proven.signed.note.clone(),
            vkey: proven.shard.identity.vkey.clone(),
        }))
    }

    /// A published entry with a proof that was checked; `None` until it is published.
    async fn proven(&self, index: GlobalIndex) -> Result<Option<Proven>, ReadError> {
        self.alive()?;
        let Some((shard, leaf_index)) = self.located(index).await? else {
            return Ok(None);
        };
        let mut again = false;
        for _ in 0..8 {
            if !leaf_index.is_in(shard.published()) {
                return Ok(None);
            }
            let Some(signed) = self.publication.signed(&shard).await? else {
                return Err(self.objects.damaged(&shard.name, leaf_index));
            };
            // A partial tile may go as soon as the full one is there; then a newer checkpoint is, too.
            let paths = tlog::inclusion_tiles(leaf_index.get(), signed.at.size.get());
            let Some(tiles) = self.tiles(&shard.name, leaf_index, paths).await? else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(entry) = self.entry(index).await? else {
                return Ok(None);
            };
            let (leaf, size) = (leaf_index.get(), signed.at.size.get());
            let hash = leaf_hash(&entry.bytes);
            let proof = tlog::inclusion_proof(leaf, size, &tiles).and_then(|proof| {
                tlog::verify_inclusion(leaf, size, &hash, &proof, &signed.at.root).map(|()| proof)
            });
            let Ok(proof) = proof else {
                // Read again: what was kept may be damaged.
                let paths = tlog::inclusion_tiles(leaf, size);
                if self.objects.forget(&shard.name, paths) && !again {
                    again = true;
                    continue;
                }
                break;
            };
            return Ok(Some(Proven {
                shard,
                entry,
                proof,
                signed,
            }));
        }
        Err(self.objects.damaged(&shard.name, leaf_index))
    }

    /// The tiles of a proof for a leaf; `None` when one is not there.
    async fn tiles(
        &self,
        shard: &Arc<str>,
        leaf: LeafIndex,
        paths: impl IntoIterator<Item = TilePath>,
    ) -> Result<Option<TileSet>, ReadError> {
        let mut set = TileSet::default();
        for path in paths {
            match self.objects.kept(shard, leaf, path).await? {
                Some(Object::Tile(tile)) => {
                    tile.compute();
                    set.keep(path, tile);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(set))
    }

    /// A tile, a bundle or the seal of a shard: `tile/…` or `seal`. `None` for anything else and for objects that do not exist.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] for what a signed checkpoint covers and is lost.
    pub async fn object(&self, shard: &str, path: &str) -> Result<Option<Bytes>, ReadError> {
        let state = self.ledger.state();
        let tile = path.parse::<TilePath>().ok();
        if path != "seal" && tile.is_none() {
            return Ok(None);
        }
        let Some(shard) = self.shards.get(&state, shard) else {
            return Ok(None);
        };
        let object = self.objects.path(&shard.name, path);
        // Again: a partial tile may go as soon as a newer checkpoint covers the full one.
        for _ in 0..2 {
            let bytes = self.objects.store.get(&object).await?;
            let Some(tile) = tile else {
                if bytes.is_none() && sealed(&state, &shard.name, &self.shards) {
                    self.objects.damage.suspect(&shard.name, LeafIndex::ZERO);
                }
                return Ok(bytes);
            };
            if let Some(bytes) = bytes {
                // A reader of tiles checks them, so it gets the stored bytes; the fault is reported to the operator.
                if !is_tile(tile, &bytes) {
                    self.objects.damage.suspect(&shard.name, first_leaf(tile));
                }
                return Ok(Some(bytes));
            }
            let current = TilePath::at(tile.kind, tile.index, shard.published().get());
            let full = self.objects.path(&shard.name, &tile.full().to_string());
            if current != Some(tile)
                || tile.is_partial() && self.objects.store.get(&full).await?.is_some()
            {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
        let Some(tile) = tile else { return Ok(None) };
        Err(self.objects.damaged(&shard.name, first_leaf(tile)))
    }
}

/// Whether a shard already has its seal: older shards come first, and its successor has published.
fn sealed(state: &State, name: &str, shards: &Shards) -> bool {
    let mut from = state.shards.iter().skip_while(|s| s.identity.name != *name);
    let next = from
        .nth(1)
        .and_then(|next| shards.get(state, &next.identity.name));
    next.is_some_and(|next| next.published() > TreeSize::ZERO)
}

/// The first leaf under a tile.
fn first_leaf(tile: TilePath) -> LeafIndex {
    let level = match tile.kind {
        TileKind::Entries => 0,
        TileKind::Hashes(level) => u32::from(level),
    };
    let leaves = TILE_WIDTH.checked_shl(8 * level);
    LeafIndex::new(tile.index.saturating_mul(leaves.unwrap_or(u64::MAX)))
}

/// Whether these bytes have the form of this tile or bundle.
fn is_tile(tile: TilePath, bytes: &[u8]) -> bool {
    let width = usize::from(tile.width);
    match tile.kind {
        TileKind::Hashes(_) => bytes.len() == width * Hash::LEN,
        TileKind::Entries => bundle::entries(bytes).is_ok_and(|all| all.len() == width),
    }
}
