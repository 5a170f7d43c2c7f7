//! Answers for clients of Rekor's first API: entries with their times and signatures, and the note over each tree.
//!
//! A server signs both when it is asked first, over what its checkpoint already says: the note over the same size and root, and the timestamp
//! over an entry that this checkpoint covers. While they are in memory, later answers have the same ones; another server's signatures differ,
//! and each is valid. Those of an imported shard were made by the Rekor that it comes from, and are answered as they were given. What must
//! never happen: a signature over an entry or a position whose checkpoint readers do not have.

use std::collections::BTreeSet;

use bytes::Bytes;
use tlog::{
    Checkpoint, EntryTimestamp, GlobalIndex, Hash, LeafIndex, Note, TilePath, TreeSize, UnixMillis,
    VerifierKey,
};

use super::ReadError;
use crate::log::Log;
use crate::position;
use crate::shard::{Shard, Signed};
use crate::times;
use order::state::State;

/// An entry as Rekor's first API answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekorEntry {
    /// The number of the shard's tree.
    pub tree_id: u64,
    /// SHA-256 of the shard's ECDSA key (SubjectPublicKeyInfo, DER).
    pub log_id: Hash,
    /// Index in the whole log.
    pub index: GlobalIndex,
    /// Index in the shard's tree.
    pub leaf_index: LeafIndex,
    /// Bytes of the entry.
    pub leaf: Bytes,
    /// When it was ordered: the time of its slot. Answers give it in whole seconds.
    pub time: UnixMillis,
    /// The signed entry timestamp (ASN.1 DER).
    pub timestamp: Vec<u8>,
    /// From the leaf's sibling upward.
    pub proof: Vec<Hash>,
    /// The tree that the proof leads to.
    pub tree: RekorTree,
}

/// A shard with an ECDSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekorShard {
    /// The name, as in paths.
    pub name: String,
    /// The number of its tree.
    pub tree_id: u64,
    /// The index of its first entry.
    pub start: GlobalIndex,
    /// Whether it is the one that accepts entries.
    pub is_active: bool,
    /// The index after its last entry, if it was imported: then a server remembers none of them, and knows their names from its search
    /// index alone.
    pub imported_to: Option<GlobalIndex>,
}

/// The published tree of a shard as Rekor's first API answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekorTree {
    /// How many entries it has.
    pub size: TreeSize,
    /// Its root; of no entries, the hash of nothing.
    pub root: Hash,
    /// The note over both, with the tree's number in its first line and one line of signature.
    pub note: String,
}

/// The published tree of a shard, and a proof inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// How many entries the tree has.
    pub size: TreeSize,
    /// The root of all these entries.
    pub root: Hash,
    /// The consistency proof (RFC 9162 section 2.1.4); `None` where the asked sizes are no two sizes of this tree in their order.
    pub proof: Option<Vec<Hash>>,
}

/// Whether an imported shard has the entries, under the indexes, that the other Rekor signed. After a restore that was forced it may have
/// fewer, and the shards after it have moved: no signature here is over that. Other shards are always as they are.
pub(crate) fn is_as_imported(state: &State, name: &str) -> bool {
    let imported = |shard: &&order::state::Shard| shard.identity.imported.is_some();
    let mut shards = state.shards.iter().take_while(imported);
    let Some(at) = shards.position(|shard| shard.identity.name == name) else {
        return true;
    };
    // Its first index follows from the sizes of those before it.
    state.shards.iter().take(at + 1).all(|shard| {
        let note = shard.identity.imported.as_ref().map(|from| &from.note);
        let head = note.and_then(|note| Note::parse(note).ok());
        let head = head.and_then(|note| Checkpoint::parse(note.text).ok());
        head.map(|head| TreeSize::new(head.size)) == state.length(shard)
    })
}

impl Log {
    /// A published entry for Rekor's first API; `None` until it is published.
    ///
    /// # Errors
    /// [`ReadError::Untimed`] for an entry from before servers kept times, and for an imported one that a forced restore moved,
    /// [`ReadError::NoEcdsa`], [`ReadError::Sign`] where this server does not have the shard's key, as after a restore.
    pub async fn rekor_entry(&self, index: GlobalIndex) -> Result<Option<RekorEntry>, ReadError> {
        let Some(proven) = self.proven(index).await? else {
            return Ok(None);
        };
        let (shard, leaf_index) = (&proven.shard, proven.entry.leaf_index);
        let size = proven.signed.at.size;
        if !is_as_imported(&self.ledger.state(), &shard.name) {
            return Err(ReadError::Untimed(index));
        }
        let lacks_key = || ReadError::NoEcdsa(shard.name.to_string());
        let key = shard.rekor_key()?.ok_or_else(lacks_key)?;
        let times = self.objects.entry_times(shard, leaf_index, size).await?;
        let known = times.as_ref().and_then(|times| times.of(leaf_index));
        let known = known.ok_or(ReadError::Untimed(index))?;
        let entry = EntryTimestamp {
            log_id: key.log_id(),
            index: index.get(),
            time: known.time.get() / 1000,
            leaf: &proven.entry.bytes,
        };
        let timestamp = match known.signature.get() {
            // That of an imported entry is always there: nobody here has the key of its shard.
            Some(signature) => signature,
            None => {
                let signed = self.guard.sign_entry(shard, &entry).await?;
                let signed = signed.ok_or_else(lacks_key)?;
                known.signature.get_or_init(|| signed)
            }
        };
        Ok(Some(RekorEntry {
            tree_id: shard.identity.tree_id,
            log_id: entry.log_id,
            index,
            leaf_index,
            time: known.time,
            timestamp: timestamp.clone(),
            tree: self.rekor_tree_of(shard, &proven.signed).await?,
            leaf: proven.entry.bytes,
            proof: proven.proof,
        }))
    }

    /// The published tree of a shard, for Rekor's first API; that of no entries while the shard is planned or has nothing published.
    /// `None`: no such shard, or an imported one that is not published yet.
    ///
    /// # Errors
    /// Those of [`Log::rekor_entry`].
    pub async fn rekor_tree(&self, shard: &str) -> Result<Option<RekorTree>, ReadError> {
        let state = self.ledger.state();
        let Some(shard) = self.shards.get(&state, shard) else {
            return Ok(None);
        };
        if !is_as_imported(&state, &shard.name) {
            return Ok(None);
        }
        if let Some(signed) = self.publication.signed(&shard).await? {
            let mut tree = self.rekor_tree_of(&shard, &signed).await?;
            // Rekor's own tests expect a signature of its own for each question about the shard that accepts entries.
            let is_active = self.active_shard().as_deref() == Some(&*shard.name);
            if is_active && shard.identity.imported.is_none() {
                tree.note = self.rekor_note(&shard, &signed).await?;
            }
            return Ok(Some(tree));
        }
        self.alive()?;
        // Another server may have published the first checkpoint; that of an old shard may be lost, and comes back.
        let row = position::published(&*self.ledger.store, &self.ledger.keys, &shard.name).await?;
        if let Some(row) = row.filter(|row| row.size > TreeSize::ZERO) {
            self.first_checkpoint(&shard, &row).await?;
            let signed = shard.signed().ok_or_else(|| ReadError::Unsigned {
                shard: shard.name.to_string(),
            })?;
            return self.rekor_tree_of(&shard, &signed).await.map(Some);
        }
        if shard.identity.imported.is_some() {
            return Ok(None);
        }
        let note = self.guard.sign_empty(&shard).await?.rekor;
        Ok(Some(RekorTree {
            size: TreeSize::ZERO,
            root: tlog::empty_root(),
            note: note.ok_or_else(|| ReadError::NoEcdsa(shard.name.to_string()))?,
        }))
    }

    /// The shards that have begun and have an ECDSA key, their own or that of the Rekor that they come from; oldest first.
    pub fn rekor_shards(&self) -> Vec<RekorShard> {
        let state = self.ledger.state();
        let active = state.active().map(|shard| &shard.identity.name);
        let shards = state.shards.iter();
        let shards = shards.filter(|shard| times::are_kept(&shard.identity));
        shards
            .filter_map(|shard| {
                Some(RekorShard {
                    name: shard.identity.name.clone(),
                    tree_id: shard.identity.tree_id,
                    start: shard.start()?,
                    is_active: Some(&shard.identity.name) == active,
                    imported_to: match (&shard.identity.imported, state.length(shard)) {
                        (Some(_), Some(length)) => Some(shard.start()? + length),
                        _ => None,
                    },
                })
            })
            .collect()
    }

    /// The ECDSA key of a shard, or of the Rekor that it was imported from; `None`: no such shard, or none of `ecdsa-p256`.
    ///
    /// # Errors
    /// [`ReadError::Sign`] where the key cannot be read.
    pub fn ecdsa_key(&self, shard: &str) -> Result<Option<VerifierKey>, ReadError> {
        let shard = self.shards.get(&self.ledger.state(), shard);
        Ok(match shard {
            Some(shard) => shard.rekor_key()?.cloned(),
            None => None,
        })
    }

    /// The ID under which Sigstore's clients know a shard: that of its ECDSA key, or else of its Ed25519 key. `None`: no such shard.
    ///
    /// # Errors
    /// [`ReadError::Sign`] where the key cannot be read.
    pub fn rekor_log_id(&self, shard: &str) -> Result<Option<Hash>, ReadError> {
        let Some(shard) = self.shards.get(&self.ledger.state(), shard) else {
            return Ok(None);
        };
        let keys = shard.verifiers()?;
        Ok(Some(keys.ecdsa.as_ref().unwrap_or(&keys.ed25519).log_id()))
    }

    /// The published tree of a shard, and the proof that its first `last` entries begin with its first `first`. `None`: no such shard.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] where its tiles do not lead to its root.
    pub async fn rekor_consistency(
        &self,
        shard: &str,
        first: TreeSize,
        last: TreeSize,
    ) -> Result<Option<Consistency>, ReadError> {
        let state = self.ledger.state();
        let Some(shard) = self.shards.get(&state, shard) else {
            return Ok(None);
        };
        self.alive()?;
        let mut again = false;
        for _ in 0..8 {
            let signed = self.publication.signed(&shard).await?;
            let (size, root) = signed.map_or((TreeSize::ZERO, tlog::empty_root()), |signed| {
                (signed.at.size, signed.at.root)
            });
            if first == TreeSize::ZERO || last > size || first > last {
                return Ok(Some(Consistency {
                    size,
                    root,
                    proof: None,
                }));
            }
            let (first, last, all) = (first.get(), last.get(), size.get());
            let edges = [tlog::edge_tiles(first), tlog::edge_tiles(last)];
            let proofs = [
                tlog::consistency_tiles(first, last),
                tlog::consistency_tiles(last, all),
            ];
            let paths = edges.into_iter().chain(proofs).flatten();
            let paths = paths.filter_map(|path| TilePath::at(path.kind, path.index, all));
            let paths: BTreeSet<TilePath> = paths.collect();
            let leaf = LeafIndex::new(first.saturating_sub(1));
            let tiles = self.tiles(&shard.name, leaf, paths.iter().copied());
            let Some(tiles) = tiles.await? else {
                tokio::task::yield_now().await;
                continue;
            };
            let proven = || {
                let old = tlog::edge_from_tiles(first, &tiles)?.root();
                let new = tlog::edge_from_tiles(last, &tiles)?.root();
                let above = tlog::consistency_proof(last, all, &tiles)?;
                tlog::verify_consistency(last, all, &above, &new, &root)?;
                let proof = tlog::consistency_proof(first, last, &tiles)?;
                tlog::verify_consistency(first, last, &proof, &old, &new).map(|()| proof)
            };
            let Ok(proof) = proven() else {
                // Read again: what was kept may be damaged.
                if self.objects.forget(&shard.name, paths) && !again {
                    again = true;
                    continue;
                }
                return Err(self.objects.damaged(&shard.name, leaf));
            };
            return Ok(Some(Consistency {
                size,
                root,
                proof: Some(proof),
            }));
        }
        Err(self.objects.damaged(&shard.name, LeafIndex::ZERO))
    }

    /// The published tree of a shard, with the note that was made first.
    async fn rekor_tree_of(&self, shard: &Shard, signed: &Signed) -> Result<RekorTree, ReadError> {
        let note = match (&shard.identity.imported, signed.rekor.get()) {
            (Some(imported), _) => imported.note.clone(),
            (None, Some(note)) => note.clone(),
            (None, None) => {
                let note = self.rekor_note(shard, signed).await?;
                signed.rekor.get_or_init(|| note).clone()
            }
        };
        Ok(RekorTree {
            size: signed.at.size,
            root: signed.at.root,
            note,
        })
    }

    /// A note over a position that readers have, signed now.
    async fn rekor_note(&self, shard: &Shard, signed: &Signed) -> Result<String, ReadError> {
        let note = self.guard.sign_rekor_note(shard, &signed.at).await?;
        note.ok_or_else(|| ReadError::NoEcdsa(shard.name.to_string()))
    }
}
