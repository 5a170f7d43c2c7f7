//! The row of an import: its shards, and how far each is.

use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, Hash, Note, TreeSize, UnixMillis, VerifierKey};

use super::{ImportedSoFar, OldShard, not_importable, unverified};
use crate::control::ChangeError;
use order::slot::{Imported, ShardIdentity};
use order::state::{Shard, State};
use store::record::{self, RecordError};

/// The longest tree head, bytes.
const MAX_NOTE: usize = 1024;

/// An import, as its row has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Importing {
    /// The number of the row. Each write raises it by one and is refused over any other row than the one it follows.
    #[serde(skip)]
    pub(in crate::control) edition: u64,
    pub(super) stage: Stage,
    /// When a run continued a drop that another run had begun, of this import or of an earlier one. That other run may still delete objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::control) continued: Option<UnixMillis>,
    /// The shards in the order of their indexes.
    pub(in crate::control) shards: Vec<ImportingShard>,
}

/// What may be done with an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// It gets entries, and a log may be made with it.
    Growing,
    /// Its objects are being deleted, some may be gone: it can only be dropped.
    Dropping,
    /// Only this row is left of it. The editions of the next import continue from it, so that a process that still writes this one is refused.
    Dropped,
}

/// A shard that is being imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportingShard {
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
    /// An import that begins with these shards.
    pub(super) fn of(shards: &[OldShard]) -> Result<Self, ChangeError> {
        let mut all: Vec<ImportingShard> = Vec::new();
        for (at, old) in shards.iter().enumerate() {
            let shard = ImportingShard::verified(at, old)?;
            if all.iter().any(|other| other.tree_id == shard.tree_id) {
                let twice = format!("tree {} is listed twice", shard.tree_id);
                return Err(not_importable(twice));
            }
            all.push(shard);
        }
        let mut sizes = all.iter().map(|shard| shard.size.get());
        let sum = sizes.try_fold(0, u64::checked_add);
        if sum.is_none_or(|sum| i64::try_from(sum).is_err()) {
            let why = "the shards have more entries than a log can have";
            return Err(not_importable(why.to_owned()));
        }
        Ok(Self {
            edition: 0,
            stage: Stage::Growing,
            continued: None,
            shards: all,
        })
    }

    /// The import in a row.
    pub(super) fn read(row: &[u8]) -> Result<Self, RecordError> {
        let (edition, read) = record::decode_numbered::<Self>(row)?;
        Ok(Self { edition, ..read })
    }

    /// The names of the shards, which are those of their folders.
    pub(crate) fn folders(&self) -> impl Iterator<Item = String> + '_ {
        self.shards.iter().map(|shard| shard.tree_id.to_string())
    }

    /// Whether the other one has the same shards up to the same sizes. A Rekor signs its tree head whenever it is asked, so the notes differ.
    pub(super) fn has_heads_of(&self, other: &Self) -> bool {
        let heads = |all: &Self| -> Vec<_> {
            let shards = all.shards.iter();
            let head = |s: &ImportingShard| (s.tree_id, s.from.vkey.clone(), s.size, s.root);
            shards.map(head).collect()
        };
        heads(self) == heads(other)
    }

    /// Its shards for the trail: what a person compares with what the other Rekor says.
    pub(super) fn described(&self) -> String {
        let shards = self.shards.iter().map(|shard| {
            let key = shard.from.vkey.parse::<VerifierKey>();
            let log_id = key.map_or_else(
                |e| e.to_string(),
                |key| {
                    let id = key.log_id();
                    format!(
                        "{} ({} in a trusted root)",
                        tlog::hex(&id.0),
                        id.to_base64()
                    )
                },
            );
            format!(
                "tree {} of log ID {log_id} with {} entries and root {}",
                shard.tree_id, shard.size, shard.root
            )
        });
        shards.collect::<Vec<_>>().join("; ")
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

    /// What an old Rekor says of the shard at this place of the list, once its signature is verified.
    pub(super) fn verified(at: usize, old: &OldShard) -> Result<Self, ChangeError> {
        let id = old.tree_id;
        if id == 0 || i64::try_from(id).is_err() {
            return Err(not_importable(format!(
                "{id} is not the number of a tree: a positive number of 63 bits"
            )));
        }
        let said = |why: &dyn std::fmt::Display| format!("tree {id}: its tree head: {why}");
        let failed = |why: &dyn std::fmt::Display| not_importable(said(why));
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
            not_importable(format!("tree {id}: its key: {e}; only shards with a key of ECDSA over P-256 can be imported"))
        })?;
        let verified = note.verify(&[&key]);
        verified.map_err(|e| unverified(said(&e), format!("/shards/{at}/signedTreeHead")))?;
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

/// What a log that already exists has of an import.
pub(super) enum Made {
    /// It was made with these shards.
    Whole(Vec<ImportedSoFar>),
    /// It was created with the same trees but with other sizes; the text says which.
    Otherwise(String),
    /// It was made without them.
    Other,
}

impl Importing {
    /// What a log has of this import.
    pub(super) fn is_in(&self, state: &State) -> Made {
        let imported = state.shards.iter();
        let imported =
            imported.filter_map(|shard| Some((shard, shard.identity.imported.as_ref()?)));
        let imported: Vec<_> = imported.collect();
        let same = |(old, (shard, from)): (&ImportingShard, &(&Shard, &Imported))| {
            from.vkey == old.from.vkey && shard.identity.tree_id == old.tree_id
        };
        if imported.is_empty() || !self.shards.iter().zip(&imported).all(same) {
            return Made::Other;
        }
        let (has, wants) = (imported.len(), self.shards.len());
        if has != wants {
            return Made::Otherwise(format!(
                "{has} imported shards, but this import has {wants}"
            ));
        }
        let mut pairs = self.shards.iter().zip(&imported);
        let differs = pairs.find_map(|(old, (shard, _))| {
            let length = state.length(shard)?;
            (length != old.size).then_some((old, length))
        });
        if let Some((old, length)) = differs {
            return Made::Otherwise(format!(
                "{length} entries of tree {}, but the tree has {} now",
                old.tree_id, old.size
            ));
        }
        let done = |shard: &ImportingShard| ImportedSoFar {
            imported: shard.size,
            ..shard.progress()
        };
        Made::Whole(self.shards.iter().map(done).collect())
    }

    /// Takes over how far an earlier beginning is: the same shards with the same keys, of which nothing was taken back. Shards that the old
    /// Rekor has made since may follow them.
    pub(super) fn continue_from(&mut self, before: &Self) -> Result<(), String> {
        (self.edition, self.continued) = (before.edition, before.continued);
        let ids = |all: &Self| all.shards.iter().map(|s| s.tree_id).collect::<Vec<_>>();
        if !ids(self).starts_with(&ids(before)) {
            return Err(format!(
                "it has the trees {:?}, and this list of trees does not begin with them: {:?}",
                ids(before),
                ids(self)
            ));
        }
        for (next, known) in self.shards.iter_mut().zip(&before.shards) {
            let id = known.tree_id;
            if next.from.vkey != known.from.vkey {
                return Err(format!("tree {id} has another key or name there"));
            }
            // A process may still write entries up to the larger size.
            if next.size < known.size {
                return Err(format!(
                    "of tree {id} it has a tree head over {} entries, and this one is over {}",
                    known.size, next.size
                ));
            }
            if next.size == known.size && next.root != known.root {
                return Err(format!(
                    "of tree {id} it has another root of {} entries",
                    known.size
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
