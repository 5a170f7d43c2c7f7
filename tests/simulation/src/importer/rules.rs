//! The judge of an import: what operators were told of it, and what readers of the log find that it ended in.
//!
//! It knows the old log, and nothing of the engine. A drop may take back everything, so from the moment when one is sent until it is known
//! to have ended, nothing follows from what was told before.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{ImportedSoFar, ShardView};

use super::old::{Head, OldLog, OldTree};
use crate::judge::{Judge, Place};

/// The name of the log that imports end in.
pub const IMPORTED: &str = "imported";

const KEPT: &str = "what was imported stays until it is dropped";
const AS_IT_WAS: &str = "an imported log is as it was";

/// What is known of the import of one life.
#[derive(Debug)]
pub struct Imports {
    old: Option<&'static OldLog>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Somebody has asked for an import.
    begun: bool,
    /// By tree: so many entries are there, as somebody was told.
    there: BTreeMap<u64, u64>,
    /// How often it was possible that a drop took everything back.
    epoch: u64,
    /// Drops that were sent, and not answered yet.
    dropping: u64,
    /// The epoch in which a drop got no good answer: it may have done anything.
    doubt: Option<u64>,
    /// The log is made; whether with the later tree heads.
    made: Option<bool>,
    /// How many drops were acknowledged.
    dropped: u64,
}

/// What was known when a question was sent.
#[derive(Clone, Debug)]
pub struct Before {
    there: BTreeMap<u64, u64>,
    epoch: u64,
    made: Option<bool>,
}

impl Imports {
    /// The import of this old log; without one, there is nothing to judge.
    pub fn new(old: Option<&'static OldLog>) -> Self {
        Self {
            old,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The old log of this life.
    pub fn old(&self) -> Option<&'static OldLog> {
        self.old
    }

    /// Whether somebody has asked for an import.
    pub fn has_begun(&self) -> bool {
        self.known().begun
    }

    /// Whether the log is made, as somebody was told; with which tree heads.
    pub fn made(&self) -> Option<bool> {
        self.known().made
    }

    /// Somebody asks for a step of the import.
    pub fn ask(&self, judge: &Judge) -> Before {
        let mut known = self.known();
        if !std::mem::replace(&mut known.begun, true) {
            let trees = self.old.iter().flat_map(|old| &old.trees);
            for entry in trees.flat_map(|tree| &tree.entries) {
                judge.asked(IMPORTED, &entry.leaf);
            }
        }
        Before {
            there: known.there.clone(),
            epoch: known.epoch,
            made: known.made,
        }
    }

    /// Somebody was told how far the import is, under the tree heads of this time, and may have added entries up to `added` of a tree.
    pub fn told(
        &self,
        judge: &Judge,
        before: &Before,
        later: bool,
        progress: &[ImportedSoFar],
        added: Option<(u64, u64)>,
    ) {
        let Some(old) = self.old else { return };
        let trees: Vec<_> = progress.iter().map(|tree| tree.tree_id).collect();
        if !trees.iter().eq(old.trees.iter().map(|tree| &tree.id)) {
            return judge.object(AS_IT_WAS, format!("it has the trees {trees:?}"));
        }
        let mut known = self.known();
        let is_sure = known.dropping == 0 && known.doubt.is_none() && known.epoch == before.epoch;
        for (tree, told) in old.trees.iter().zip(progress) {
            let (size, there) = (told.size.get(), told.imported.get());
            // An answer to entries that were added names the heads that are known by then.
            let heads = tree.heads.iter().map(|head| head.size);
            let heads: Vec<u64> = match added {
                Some(_) => heads.collect(),
                None => vec![tree.head(later).size],
            };
            if !heads.contains(&size) || there > size {
                judge.object(AS_IT_WAS, format!("{heads:?} entries, told {told:?}"));
            }
            let least = before.there.get(&tree.id).copied().unwrap_or(0);
            let added = added.filter(|(id, _)| *id == tree.id).map(|(_, end)| end);
            let least = least.max(added.unwrap_or(0));
            if is_sure && there < least {
                judge.object(KEPT, format!("{least} were there, then {told:?}"));
            }
            if before.made.is_some() && there != size {
                let what = format!("the log is made, and the import is at {told:?}");
                judge.object(AS_IT_WAS, what);
            }
            if is_sure {
                let most = known.there.entry(tree.id).or_default();
                *most = there.max(*most);
            }
        }
    }

    /// Somebody drops the import from now on.
    pub fn drops(&self) {
        let mut known = self.known();
        known.there.clear();
        known.epoch += 1;
        known.dropping += 1;
    }

    /// A drop has ended. `told`: whether there was an import, if the answer said so.
    pub fn dropped(&self, judge: &Judge, before: &Before, told: Option<bool>) {
        let mut known = self.known();
        known.there.clear();
        known.epoch += 1;
        known.dropping = known.dropping.saturating_sub(1);
        match told {
            // What was sent after the doubt arose has ended whatever was begun before.
            Some(_) if known.doubt.is_some_and(|then| then <= before.epoch) => known.doubt = None,
            Some(_) => {}
            None => known.doubt = Some(known.epoch),
        }
        known.dropped += u64::from(told == Some(true));
        if told == Some(true) && before.made.is_some() {
            judge.object(
                "a log that is made is not dropped",
                "the import of the log was dropped after it was made".to_owned(),
            );
        }
    }

    /// Nobody asks for anything any more, whatever was still under way.
    pub fn rests(&self) {
        let mut known = self.known();
        known.there.clear();
        known.epoch += 1;
        if std::mem::take(&mut known.dropping) > 0 {
            known.doubt = Some(known.epoch);
        }
    }

    /// A server shows the log that the import ended in. `told`: it has said that the log is made. Whether its shards are those of the later tree
    /// heads.
    pub fn shown(&self, judge: &Judge, told: bool, shards: &[ShardView]) -> Option<bool> {
        let old = self.old?;
        let is_of = |later: bool| {
            let mut trees = old.trees.iter().zip(old.heads(later)).zip(shards);
            let mut start = 0;
            let same = |((tree, head), shard): ((&OldTree, &Head), &ShardView)| {
                let starts = shard.start_index.map(|index| index.get()) == Some(start);
                start += head.size;
                starts
                    && shard.name == tree.name()
                    && shard.tree_id == tree.id
                    && shard.length.map(|length| length.get()) == Some(head.size)
            };
            shards.len() > old.trees.len() && trees.all(same)
        };
        let mut known = self.known();
        let found = [false, true].into_iter().find(|later| is_of(*later));
        let Some(later) = found.filter(|later| known.made.is_none_or(|made| made == *later)) else {
            let what = format!("made with {:?}, and shows {shards:?}", known.made);
            judge.object(AS_IT_WAS, what);
            return None;
        };
        if told && known.made.is_none() {
            known.made = Some(later);
            for (tree, head) in old.trees.iter().zip(old.heads(later)) {
                for (leaf, entry) in (0..head.size).zip(&tree.entries) {
                    let place = Place {
                        index: tree.start + leaf,
                        shard: tree.name(),
                        leaf,
                    };
                    judge.placed(IMPORTED, &entry.leaf, place);
                }
            }
        }
        Some(later)
    }

    /// Judges the entries of the audit trail: an import begins, and is dropped, only after the trail says so.
    pub fn trail(&self, judge: &Judge, trail: &[Vec<u8>]) {
        let events = |action: &str| {
            let events = trail.iter().filter(|entry| {
                let record: Option<serde_json::Value> = serde_json::from_slice(entry).ok();
                let is = |record: serde_json::Value| {
                    record["kind"] == "event"
                        && record["action"] == action
                        && record["log"] == IMPORTED
                };
                record.is_some_and(is)
            });
            events.count() as u64
        };
        let (begun, dropped) = (events("import-begin"), events("import-drop"));
        let known = self.known();
        if dropped < known.dropped || begun == 0 && known.made.is_some() {
            let what = format!("{begun} beginnings and {dropped} drops in the trail: {known:?}");
            judge.object("an import is in the trail", what);
        }
    }

    /// A reader got an entry of the log, which was made with the tree heads of this time.
    pub fn read(&self, judge: &Judge, index: u64, found: &engine::RekorEntry) {
        let Some((tree, entry)) = self.old.and_then(|old| old.entry(index)) else {
            return;
        };
        let same = found.leaf == entry.leaf
            && found.time.get() == entry.seconds * 1000
            && found.timestamp == entry.timestamp
            && found.tree_id == tree.id
            && found.index.get() == index
            && found.leaf_index.get() == index - tree.start;
        if !same {
            let what = format!("entry {index}: {:?}, found {found:?}", entry.leaf);
            judge.object(AS_IT_WAS, what);
        }
    }

    /// A reader got the tree head of a shard; it is the one that the old Rekor signed.
    pub fn tree(&self, judge: &Judge, tree: u64, later: bool, found: &engine::RekorTree) {
        let Some(old) = self.old else { return };
        let Some(tree) = old.trees.iter().find(|one| one.id == tree) else {
            return;
        };
        let head = tree.head(later);
        let is_same = found.size.get() == head.size
            && found.root == head.root
            && found.note == head.shard.note;
        if !is_same {
            judge.object(AS_IT_WAS, format!("tree {}: {found:?}", tree.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::old;
    use super::*;
    use tlog::TreeSize;

    fn imports() -> (Imports, Judge) {
        (Imports::new(old::log(0)), Judge::default())
    }

    fn at(imported: u64) -> Vec<ImportedSoFar> {
        let tree = &old::log(0).unwrap().trees[0];
        vec![ImportedSoFar {
            tree_id: tree.id,
            size: TreeSize::new(tree.head(true).size),
            imported: TreeSize::new(imported),
        }]
    }

    #[test]
    fn an_import_goes_back_only_if_it_is_dropped() {
        let (imports, judge) = imports();
        let mut before = imports.ask(&judge);
        imports.told(&judge, &before, true, &at(10), None);
        // What was asked before that may be answered as it was.
        imports.told(&judge, &before, true, &at(5), None);
        before = imports.ask(&judge);
        imports.drops();
        let during = imports.ask(&judge);
        imports.told(&judge, &during, true, &at(0), None);
        imports.dropped(&judge, &before, None);
        let doubtful = imports.ask(&judge);
        imports.told(&judge, &doubtful, true, &at(7), None);
        imports.told(&judge, &imports.ask(&judge), true, &at(0), None);
        before = imports.ask(&judge);
        imports.drops();
        imports.dropped(&judge, &before, Some(true));
        imports.told(&judge, &imports.ask(&judge), true, &at(9), None);
        assert_eq!(judge.broken(), None);
        imports.told(&judge, &imports.ask(&judge), true, &at(8), None);
        assert_eq!(judge.broken().unwrap().rule, KEPT);
    }

    #[test]
    fn entries_that_were_added_are_there() {
        let (imports, judge) = imports();
        let (before, tree) = (imports.ask(&judge), at(0)[0].tree_id);
        imports.told(&judge, &before, true, &at(3), Some((tree, 4)));
        assert_eq!(judge.broken().unwrap().rule, KEPT);
    }

    #[test]
    fn more_than_the_old_log_has_is_found() {
        let (imports, judge) = imports();
        let before = imports.ask(&judge);
        imports.told(&judge, &before, false, &at(3), None);
        assert_eq!(judge.broken().unwrap().rule, AS_IT_WAS);
    }

    #[test]
    fn a_drop_is_in_the_trail() {
        let (imports, judge) = imports();
        let before = imports.ask(&judge);
        imports.drops();
        imports.dropped(&judge, &before, Some(true));
        let event = br#"{"kind":"event","action":"import-drop","log":"imported"}"#;
        imports.trail(&judge, &[event.to_vec()]);
        assert_eq!(judge.broken(), None);
        imports.trail(&judge, &[]);
        assert!(judge.broken().is_some());
    }
}
