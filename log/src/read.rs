//! What readers ask of a log: entries by global index, proofs, checkpoints, tiles.
//!
//! What must never happen: a proof that does not hold leaves this process, an acknowledged entry that cannot be read.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tlog::{Hash, TILE_WIDTH, TilePath, TileSet, bundle, leaf_hash};

use crate::log::{Core, Log};
use crate::merge::fetch::read_batch;
use crate::merge::position;
use crate::order::batch;
use crate::order::state::State;
use crate::shard::{Published, Shard, SignError};
use crate::store::StoreError;

/// How long a first checkpoint may take from its durable position to its signature, and the time between looks for it.
const SIGNING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Why something could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// Why.
        reason: String,
    },
    /// The first checkpoint of a shard is not there yet: it waits for cosignatures of witnesses.
    #[error("the first checkpoint of shard {shard} waits for witnesses")]
    Unwitnessed {
        /// The shard.
        shard: String,
    },
    /// The first checkpoint of a shard is not there yet, or its file is lost: whoever publishes signs it again.
    #[error("the first checkpoint of shard {shard} is not signed")]
    Unsigned {
        /// The shard.
        shard: String,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// An entry and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// The shard.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: u64,
    /// The entry.
    pub bytes: Bytes,
}

/// Proof that an entry is under a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The shard.
    pub shard: Arc<str>,
    /// Index in its tree.
    pub leaf_index: u64,
    /// From the leaf's sibling upward.
    pub proof: Vec<Hash>,
    /// The signed checkpoint it leads to.
    pub checkpoint: String,
    /// Verifier key of that checkpoint.
    pub vkey: String,
}

impl Core {
    /// The bundle that holds `leaf` of a shard with `published` entries published.
    async fn bundle(
        &self,
        shard: &str,
        leaf: u64,
        published: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let index = leaf / TILE_WIDTH;
        let full = TilePath::entries(index, 256);
        let whole = self.object_path(shard, &full.to_string());
        if (index + 1) * TILE_WIDTH <= published {
            return self.objects.get(&whole).await;
        }
        let partial = TilePath::entries(index, (published % TILE_WIDTH) as u16);
        match self
            .objects
            .get(&self.object_path(shard, &partial.to_string()))
            .await?
        {
            Some(bytes) => Ok(Some(bytes)),
            None => self.objects.get(&whole).await,
        }
    }

    /// Published entries as bundle-encoded bytes; `None` when they are not published.
    pub(crate) async fn published_range(
        &self,
        start: u64,
        count: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let state = self.order.state();
        let Some(shard) = state.shard_at(start) else {
            return Ok(None);
        };
        let first = start - shard.start().unwrap_or(start);
        let Some(row) =
            position::published(&*self.store, &self.order.keys, &shard.identity.name).await?
        else {
            return Ok(None);
        };
        if row.size < first + count {
            return Ok(None);
        }
        let mut out = BytesMut::new();
        let mut leaf = first;
        while leaf < first + count {
            let Some(bytes) = self.bundle(&shard.identity.name, leaf, row.size).await? else {
                return Ok(None);
            };
            let entries =
                bundle::entries(&bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let skip = usize::try_from(leaf % TILE_WIDTH).unwrap_or(0);
            let before = leaf;
            for entry in entries
                .into_iter()
                .skip(skip)
                .take(usize::try_from(first + count - leaf).unwrap_or(256))
            {
                batch::push(&mut out, entry);
                leaf += 1;
            }
            if leaf == before {
                return Ok(None);
            }
        }
        Ok(Some(out.freeze()))
    }
}

impl Log {
    fn alive(&self) -> Result<(), ReadError> {
        self.core
            .halt
            .reason()
            .map_or(Ok(()), |reason| Err(ReadError::Halted { reason }))
    }

    /// Waits until a signed checkpoint covers a global index.
    pub async fn wait_published(&self, index: u64) -> Result<(), ReadError> {
        let mut published = self.core.published.subscribe();
        tokio::select! {
            reached = published.wait_for(|at| *at > index) => drop(reached),
            reason = self.core.halt.halted() => return Err(ReadError::Halted { reason }),
        }
        Ok(())
    }

    /// The state, with the slots of other replicas read when `index` is not known yet.
    async fn state_with(&self, index: u64) -> Result<Option<Arc<State>>, ReadError> {
        let mut state = self.core.order.state();
        if index >= state.size && !self.core.halt.is_halted() {
            self.core.order.refresh().await?;
            state = self.core.order.state();
        }
        Ok((index < state.size).then_some(state))
    }

    /// The entry at a global index, from the moment it is ordered.
    pub async fn entry(&self, index: u64) -> Result<Option<EntryRecord>, ReadError> {
        let Some(state) = self.state_with(index).await? else {
            return Ok(None);
        };
        let Some(at) = state.shard_at(index) else {
            return Ok(None);
        };
        let leaf_index = index - at.start().unwrap_or(index);
        let Some(shard) = self.core.shards.get(&state, &at.identity.name) else {
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
        // Twice: it may be published and let go between the two places.
        for _ in 0..2 {
            if let Some(held) = self.core.pending.find(index)
                && let Some(bytes) = read_batch(&self.core, &held).await?
            {
                return nth(&bytes, index - held.start);
            }
            let published = match shard.published() {
                known if known > leaf_index => known,
                _ => position::published(&*self.core.store, &self.core.order.keys, &shard.name)
                    .await?
                    .map_or(0, |row| row.size),
            };
            if published > leaf_index
                && let Some(bytes) = self.core.bundle(&shard.name, leaf_index, published).await?
            {
                return nth(&bytes, leaf_index % TILE_WIDTH);
            }
        }
        Err(StoreError::Corrupt(format!(
            "entry {index} is ordered but its bytes are missing; run `logd fsck`"
        ))
        .into())
    }

    /// The entries of a range of global indexes, as far as they are ordered. Each bundle is read once.
    pub async fn entries(&self, range: Range<u64>) -> Result<Vec<EntryRecord>, ReadError> {
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
    async fn bundled(&self, index: u64, end: u64) -> Result<Vec<EntryRecord>, ReadError> {
        let state = self.core.order.state();
        let Some(shard) = state
            .shard_at(index)
            .and_then(|at| self.core.shards.get(&state, &at.identity.name))
        else {
            return Ok(Vec::new());
        };
        let start = state.shard_at(index).and_then(|at| at.start());
        let leaf = index - start.unwrap_or(index);
        let published = shard.published();
        if published <= leaf {
            return Ok(Vec::new());
        }
        let Some(bytes) = self.core.bundle(&shard.name, leaf, published).await? else {
            return Ok(Vec::new());
        };
        let entries = bundle::entries(&bytes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let room = (end - index).min(published - leaf);
        Ok(entries
            .into_iter()
            .skip(usize::try_from(leaf % TILE_WIDTH).unwrap_or(0))
            .take(usize::try_from(room).unwrap_or(usize::MAX))
            .zip(leaf..)
            .map(|(entry, leaf_index)| EntryRecord {
                shard: Arc::clone(&shard.name),
                leaf_index,
                bytes: bytes.slice_ref(entry),
            })
            .collect())
    }

    /// Proof that the entry at a global index is under a signed checkpoint; `None` until it is published. A proof that does not
    /// hold is never given out: the log halts.
    pub async fn inclusion(&self, index: u64) -> Result<Option<Inclusion>, ReadError> {
        self.alive()?;
        let Some(state) = self.state_with(index).await? else {
            return Ok(None);
        };
        let Some(at) = state.shard_at(index) else {
            return Ok(None);
        };
        let leaf_index = index - at.start().unwrap_or(index);
        let Some(shard) = self.core.shards.get(&state, &at.identity.name) else {
            return Ok(None);
        };
        for _ in 0..8 {
            let Some(signed) = shard.signed().filter(|s| s.at.size > leaf_index) else {
                return Ok(None);
            };
            // A partial tile may go as soon as the full one is there; then a newer checkpoint is, too.
            let Some(tiles) = self
                .tiles(
                    &shard.name,
                    tlog::inclusion_tiles(leaf_index, signed.at.size),
                )
                .await?
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(entry) = self.entry(index).await? else {
                return Ok(None);
            };
            let proof = tlog::inclusion_proof(leaf_index, signed.at.size, &tiles)
                .map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let leaf = leaf_hash(&entry.bytes);
            if let Err(e) =
                tlog::verify_inclusion(leaf_index, signed.at.size, &leaf, &proof, &signed.at.root)
            {
                let reason = format!(
                    "the tiles of shard {} do not lead from entry {index} to the signed root: {e}; run `logd fsck`",
                    shard.name
                );
                self.core.halt.halt(reason.clone());
                return Err(ReadError::Halted { reason });
            }
            return Ok(Some(Inclusion {
                shard: Arc::clone(&shard.name),
                leaf_index,
                proof,
                checkpoint: signed.note.clone(),
                vkey: shard.identity.vkey.clone(),
            }));
        }
        Err(StoreError::Corrupt(format!(
            "tiles of shard {} are missing; run `logd fsck`",
            shard.name
        ))
        .into())
    }

    async fn tiles(&self, shard: &str, paths: Vec<TilePath>) -> Result<Option<TileSet>, ReadError> {
        let mut set = TileSet::default();
        for path in paths {
            let object = self.core.object_path(shard, &path.to_string());
            let Some(bytes) = self.core.objects.get(&object).await? else {
                return Ok(None);
            };
            if let Err(e) = set.insert(path, &bytes) {
                let reason = format!("{object}: {e}; run `logd fsck`");
                self.core.halt.halt(reason.clone());
                return Err(ReadError::Halted { reason });
            }
        }
        Ok(Some(set))
    }

    /// The newest signed checkpoint of a shard; an empty one while it is planned or has nothing published. `None`: no such shard.
    pub async fn checkpoint(&self, shard: &str) -> Result<Option<String>, ReadError> {
        let state = self.core.order.state();
        let Some(shard) = self.core.shards.get(&state, shard) else {
            return Ok(None);
        };
        if let Some(signed) = shard.signed().as_ref() {
            return Ok(Some(signed.note.clone()));
        }
        self.alive()?;
        if let Some(row) =
            position::published(&*self.core.store, &self.core.order.keys, &shard.name).await?
            && row.size > 0
            // Its first checkpoint waits for witnesses: readers keep the empty one.
            && !self.core.replicas.unwitnessed(&shard.name)
        {
            return self.first_checkpoint(&shard, &row).await.map(Some);
        }
        Ok(Some(self.core.sign_empty(&shard).await?))
    }

    /// The first checkpoint of a shard whose position is durable: whoever publishes it is about to sign it, or has and this
    /// process has not read it yet.
    async fn first_checkpoint(&self, shard: &Shard, row: &Published) -> Result<String, ReadError> {
        let began = Instant::now();
        loop {
            self.core.adopt(shard, row).await?;
            if let Some(signed) = shard.signed().as_ref() {
                return Ok(signed.note.clone());
            }
            if began.elapsed() > SIGNING {
                let policy = self.core.config().witnesses.policy();
                let shard = shard.name.to_string();
                return Err(match policy.is_ok_and(|policy| !policy.is_none()) {
                    true => ReadError::Unwitnessed { shard },
                    false => ReadError::Unsigned { shard },
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A tile, a bundle or the seal of a shard: `tile/…` or `seal`. `None` for anything else and for what is not there.
    pub async fn object(&self, shard: &str, path: &str) -> Result<Option<Bytes>, ReadError> {
        let known = self
            .core
            .order
            .state()
            .shards
            .iter()
            .any(|s| s.identity.name == shard);
        if !known || (path != "seal" && path.parse::<TilePath>().is_err()) {
            return Ok(None);
        }
        Ok(self
            .core
            .objects
            .get(&self.core.object_path(shard, path))
            .await?)
    }
}
