//! The row of an import: its shards, and how far each is.

use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, Hash, Note, TreeSize, UnixMillis, VerifierKey};

use super::{ImportedSoFar, OldShard};
use order::slot::{Imported, ShardIdentity};
use order::state::State;

/// The longest tree head, bytes.
const MAX_NOTE: usize = 1024;

/// An import, as its row has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Importing {
    /// When it began: what the number of the row is counted from.
    pub(super) begun: UnixMillis,
    /// The shards in the order of their indexes.
    pub(in crate::control) shards: Vec<ImportingShard>,
}

/// A shard that is being imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct ImportingShard {
    pub(in crate::control) tree_id: u64,
    /// Its key and its last tree head.
    pub(in crate::control) from: Imported,
    /// What the tree head says.
    pub(in crate::control) size: TreeSize,
    pub(in crate::control) root: Hash,
    /// What is here, and the root of that.
    pub(in crate::control) imported: TreeSize,
    pub(in crate::control) so_far: Hash,
}

impl Importing {
    /// The number of the row, which never falls: entries that are here, in all shards, above the second in which the import began. What a process
    /// still writes of an import that was dropped is below that, and is refused.
    pub(super) fn number(&self) -> u64 {
        let here: u64 = self.shards.iter().map(|shard| shard.imported.get()).sum();
        ((self.begun.get() / 1000) << 32).saturating_add(here)
    }

    pub(super) fn progress(&self) -> Vec<ImportedSoFar> {
        let shards = self.shards.iter();
        shards.map(ImportingShard::progress).collect()
    }
}

impl ImportingShard {
    fn progress(&self) -> ImportedSoFar {
        ImportedSoFar {
            tree_id: self.tree_id,
            size: self.size,
            imported: self.imported,
        }
    }

    /// The shard as it will be: whatever it gets in the end, its name and its times are these.
    pub(super) fn identity(&self) -> ShardIdentity {
        ShardIdentity {
            name: self.tree_id.to_string(),
            origin: String::new(),
            tree_id: self.tree_id,
            vkey: String::new(),
            ecdsa: None,
            imported: Some(self.from.clone()),
        }
    }

    /// What another Rekor says of a shard, once its signature is verified.
    pub(super) fn verified(old: &OldShard) -> Result<Self, String> {
        let id = old.tree_id;
        if id == 0 || i64::try_from(id).is_err() {
            return Err(format!(
                "{id} is not the number of a tree: a positive number of 63 bits"
            ));
        }
        let failed = |why: &dyn std::fmt::Display| format!("tree {id}: its tree head: {why}");
        if old.note.len() > MAX_NOTE {
            return Err(failed(&format_args!("it is longer than {MAX_NOTE} bytes")));
        }
        let note = Note::parse(&old.note).map_err(|e| failed(&e))?;
        let head = Checkpoint::parse(note.text).map_err(|e| failed(&e))?;
        let tree = format!(" - {id}");
        let name = head.origin.strip_suffix(&tree);
        let name =
            name.ok_or_else(|| failed(&format_args!("{} does not end with{tree}", head.origin)))?;
        let key = VerifierKey::from_p256(name, &old.key).map_err(|e| {
            format!("tree {id}: its key: {e}; only shards with a key of ECDSA over P-256 can be imported")
        })?;
        note.verify(&[&key]).map_err(|e| failed(&e))?;
        if head.size == 0 {
            return Err(failed(&"it covers no entries: leave this shard out"));
        }
        Ok(Self {
            tree_id: id,
            from: Imported {
                vkey: key.to_string(),
                note: old.note.clone(),
                since: UnixMillis::ZERO,
            },
            size: TreeSize::new(head.size),
            root: head.root,
            imported: TreeSize::ZERO,
            so_far: tlog::empty_root(),
        })
    }
}

impl Importing {
    /// The progress of an import that has ended in this log.
    pub(super) fn is_done(&self, state: &State) -> Option<Vec<ImportedSoFar>> {
        let begins = self.shards.iter().zip(state.shards.iter());
        let mut same = begins.map(|(old, shard)| {
            let from = shard.identity.imported.as_ref();
            let known = from.is_some_and(|from| from.vkey == old.from.vkey);
            known && shard.identity.tree_id == old.tree_id && state.length(shard) == Some(old.size)
        });
        let done = |shard: &ImportingShard| ImportedSoFar {
            imported: shard.size,
            ..shard.progress()
        };
        let all = self.shards.len() <= state.shards.len() && same.all(|same| same);
        all.then(|| self.shards.iter().map(done).collect())
    }

    /// Takes over how far an earlier beginning is: the same shards with the same keys, of which nothing was taken back.
    pub(super) fn continue_from(&mut self, before: &Self) -> Result<(), String> {
        self.begun = before.begun;
        let ids = |all: &Self| all.shards.iter().map(|s| s.tree_id).collect::<Vec<_>>();
        if ids(self) != ids(before) {
            return Err(format!(
                "it has the trees {:?}, not {:?}",
                ids(before),
                ids(self)
            ));
        }
        for (next, known) in self.shards.iter_mut().zip(&before.shards) {
            let id = known.tree_id;
            if next.from.vkey != known.from.vkey {
                return Err(format!("tree {id} has another key or name there"));
            }
            if next.size < known.imported {
                return Err(format!(
                    "of tree {id} it has {} entries already",
                    known.imported
                ));
            }
            (next.imported, next.so_far) = (known.imported, known.so_far);
            next.from.since = known.from.since;
        }
        // The indexes of later entries follow from the sizes of earlier shards.
        let mut pairs = self.shards.iter().zip(&before.shards);
        let grown = pairs.position(|(next, known)| next.size != known.size);
        let later = |at: usize| {
            before
                .shards
                .iter()
                .skip(at + 1)
                .any(|s| s.imported > TreeSize::ZERO)
        };
        match grown.filter(|at| later(*at)) {
            Some(at) => Err(format!(
                "tree {} had another size",
                before.shards[at].tree_id
            )),
            None => Ok(()),
        }
    }
}
