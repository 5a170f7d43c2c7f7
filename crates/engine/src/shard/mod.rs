//! The shards of a log on this replica: their identities, signing keys and last signed checkpoints.
//!
//! What must never happen: a key in the clear outside this process, two checkpoints for one size, or a checkpoint that goes back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis, VerifierKey};
use zeroize::Zeroizing;

use order::Generation;
use order::keys::Keys;
use order::mutant::{Mutant, left_out};
use order::slot::ShardIdentity;
use order::state::{Phase, State};
use store::{Coordination, StoreError};

pub(crate) mod keys;
pub(crate) mod signers;

use signers::{Notes, Signers, Verifiers};

/// A published position, as its row says: guarded by its size, so that it never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Entries that the position covers.
    pub size: TreeSize,
    /// Root at that size.
    pub root: Hash,
    /// When it was published, milliseconds since the Unix epoch.
    pub time: UnixMillis,
}

/// A published position with its signed checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// The position that the checkpoint signs.
    pub at: Published,
    /// The checkpoint (C2SP tlog-checkpoint), signed.
    pub note: String,
    /// The same for Rekor's first API, once this process signed it; see [`Log::rekor_tree`](crate::Log::rekor_tree).
    pub rekor: OnceLock<String>,
}

impl Signed {
    /// A checkpoint that was signed here, or read.
    pub(crate) fn new(at: Published, note: String, rekor: Option<String>) -> Self {
        let rekor = rekor.map_or_else(OnceLock::new, OnceLock::from);
        Self { at, note, rekor }
    }
}

/// A shard on this replica.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Never changes after the shard is planned.
    pub identity: Arc<ShardIdentity>,
    /// The name, shared with every answer that carries it.
    pub name: Arc<str>,
    /// The last checkpoint; [`Shard::advance`] replaces it.
    signed: ArcSwapOption<Signed>,
    /// The end of a shard that is certainly sealed; its checkpoint is read on demand.
    settled: OnceLock<Published>,
    /// A generation that was there when its end was first known here.
    ended: OnceLock<Generation>,
    /// The keys that its identity names, once they were read: an answer of Rekor's APIs needs them.
    verifiers: OnceLock<Verifiers>,
    /// The key of the Rekor that it was imported from, once it was read.
    imported_key: OnceLock<VerifierKey>,
}

/// Why a shard's key cannot sign.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignError {
    /// No sealed key in the store.
    #[error("shard {0} has no signing key in the store")]
    Missing(String),
    /// The key-encryption key does not open it, or it is another shard's.
    #[error(
        "shard {shard}: {why}; most likely [kek] of logd.toml names another key-encryption key than the one that sealed it: put the right one back and restart, and never make a new one; what was acknowledged is kept meanwhile"
    )]
    Sealed {
        /// The shard whose key is sealed.
        shard: String,
        /// Why its key does not open.
        why: String,
    },
    /// The key-encryption key does not open the replication key.
    #[error(
        "the replication key in {key} can't be opened: {why}; most likely [kek] of logd.toml names another key-encryption key than the one that sealed it: put the right one back"
    )]
    Replication {
        /// The row with the sealed key.
        key: String,
        /// Why the key does not open.
        why: String,
    },
    /// The note could not be signed.
    #[error("shard {shard}: {why}")]
    Note {
        /// The shard whose note it is.
        shard: String,
        /// Why the note could not be signed.
        why: String,
    },
    /// The log is halted: nothing is signed.
    #[error("{0}")]
    Halted(String),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shard {
    fn new(identity: Arc<ShardIdentity>) -> Self {
        let name = Arc::from(identity.name.as_str());
        Self {
            identity,
            name,
            signed: ArcSwapOption::empty(),
            settled: OnceLock::new(),
            ended: OnceLock::new(),
            verifiers: OnceLock::new(),
            imported_key: OnceLock::new(),
        }
    }

    /// The Ed25519 key, which verifies everything that the shard signs.
    pub(crate) fn verifier(&self) -> Result<VerifierKey, SignError> {
        self.identity.vkey.parse().map_err(|e| self.note_error(&e))
    }

    /// All keys that its checkpoints are verified with.
    pub(crate) fn verifiers(&self) -> Result<&Verifiers, SignError> {
        if let Some(known) = self.verifiers.get() {
            return Ok(known);
        }
        let keys = Verifiers::of(&self.identity).map_err(|e| self.note_error(&e))?;
        Ok(self.verifiers.get_or_init(|| keys))
    }

    /// The ECDSA key that Rekor's first API shows: its own, or that of the Rekor that the shard was imported from.
    pub(crate) fn rekor_key(&self) -> Result<Option<&VerifierKey>, SignError> {
        let Some(imported) = &self.identity.imported else {
            return Ok(self.verifiers()?.ecdsa.as_ref());
        };
        if let Some(known) = self.imported_key.get() {
            return Ok(Some(known));
        }
        let key = imported.vkey.parse().map_err(|e| self.note_error(&e))?;
        Ok(Some(self.imported_key.get_or_init(|| key)))
    }

    pub(crate) fn note_error(&self, why: &dyn std::fmt::Display) -> SignError {
        SignError::Note {
            shard: self.identity.name.clone(),
            why: why.to_string(),
        }
    }

    /// The secrets of its keys, read from the store and opened.
    pub(crate) async fn secrets(
        &self,
        keys: &Keys,
        store: &dyn Coordination,
        kek: &keys::Kek,
    ) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let sealed = store.get(&keys.signing_key(self.identity.tree_id)).await?;
        let sealed = sealed.ok_or_else(|| SignError::Missing(self.identity.name.clone()))?;
        let opened = kek.open_bytes(&sealed, &self.identity.origin);
        opened.map_err(|e| SignError::Sealed {
            shard: self.identity.name.clone(),
            why: e.to_string(),
        })
    }

    /// The notes for a size and root. Every replica makes the same texts; only the ECDSA lines differ.
    pub(crate) fn notes(
        &self,
        signers: &Signers,
        size: TreeSize,
        root: Hash,
    ) -> Result<Notes, SignError> {
        let notes = signers.notes(&self.identity, size, root);
        notes.map_err(|e| self.note_error(&e))
    }

    /// The last checkpoint, if it is in memory; that of a settled shard is read on demand.
    pub(crate) fn signed(&self) -> Option<Arc<Signed>> {
        self.signed.load_full()
    }

    /// The end of the shard, if the coordination store alone says so.
    pub(crate) fn settled(&self) -> Option<&Published> {
        self.settled.get()
    }

    /// Notes that the shard is frozen, published whole and sealed. Nothing is signed by its key any more.
    pub(crate) fn settle(&self, at: Published) {
        let _ = self.settled.set(at);
    }

    /// A generation whose manifest names the successor of the shard, which has begun by `now`. It stays that of the first call: whoever waits
    /// for such a manifest is not held up by the changes that follow.
    pub(crate) fn ended(&self, now: Generation) -> Generation {
        *self.ended.get_or_init(|| now)
    }

    /// The position under its last checkpoint, whether or not that checkpoint is in memory.
    pub(crate) fn at(&self) -> Option<Published> {
        let signed = self.signed.load();
        let at = signed.as_ref().map(|signed| &signed.at);
        at.or(self.settled()).cloned()
    }

    /// Takes over a checkpoint, unless the current one has a larger size: what readers see never goes back.
    pub(crate) fn advance(&self, new: Signed) {
        let new = Arc::new(new);
        self.signed.rcu(|old| match old {
            Some(old) if old.at.size > new.at.size && !left_out(Mutant::CheckpointGoesBack) => {
                Some(Arc::clone(old))
            }
            _ => Some(Arc::clone(&new)),
        });
    }

    /// Entries covered by its checkpoint.
    pub(crate) fn published(&self) -> TreeSize {
        let signed = self.signed.load();
        let at = signed.as_ref().map(|signed| &signed.at);
        at.or(self.settled()).map_or(TreeSize::ZERO, |at| at.size)
    }
}

/// All shards of a log.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    by_name: RwLock<HashMap<String, Arc<Shard>>>,
    /// How many of the oldest shards are frozen and published whole here, for good: no publication reads them again.
    whole: AtomicUsize,
}

impl Shards {
    /// The shard called `name`, made from the state when it is new here.
    pub(crate) fn get(&self, state: &State, name: &str) -> Option<Arc<Shard>> {
        if let Some(shard) = self
            .by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return Some(Arc::clone(shard));
        }
        // Callers nearly always ask for one of the newest.
        let mut newest = state.shards.iter().rev();
        let identity = &newest.find(|s| s.identity.name == name)?.identity;
        let mut shards = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(shards.entry(name.to_owned()).or_insert_with(
            || Arc::new(Shard::new(Arc::clone(identity))),
        )))
    }

    /// How many of the oldest shards are frozen and published whole here.
    pub(crate) fn whole(&self) -> usize {
        self.whole.load(Relaxed)
    }

    /// The global index up to which everything is published: through the oldest shards that are whole, into the first that is not.
    pub(crate) fn published(&self, state: &State) -> GlobalIndex {
        // The last whole shard says where the earlier ones end. An older state may not have opened it.
        let opened = |n: &usize| state.shards.get(*n).is_some_and(|s| s.start().is_some());
        let from = self.whole().checked_sub(1).filter(opened).unwrap_or(0);
        let mut at = GlobalIndex::ZERO;
        for (n, shard) in state.shards.iter().enumerate().skip(from) {
            let (Some(start), Some(length)) = (shard.start(), state.length(shard)) else {
                break;
            };
            let known = self.get(state, &shard.identity.name);
            let published = known.as_ref().map_or(TreeSize::ZERO, |s| s.published());
            at = start + published;
            if published < length {
                break;
            }
            // Even an empty shard is whole only with its checkpoint, and no later shard is whole before it.
            let signed = known.is_some_and(|s| s.at().is_some());
            if signed && matches!(shard.phase, Phase::Frozen { .. }) && n <= self.whole() {
                self.whole.fetch_max(n + 1, Relaxed);
            }
        }
        at
    }
}
