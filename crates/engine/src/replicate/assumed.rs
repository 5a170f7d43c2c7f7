//! What a copier assumes about its secondary, so that it need not ask before each request.
//!
//! What must never happen: something is assumed of a storage that was learned of another one, or of a newer copy of the same one. So all of it is
//! kept here, and forgotten together.

use std::collections::{HashMap, HashSet};

use tlog::{GlobalIndex, TreeSize};

use crate::position::UNNAMED;
use crate::replicate::describe::Sent;
use crate::replicate::times::Timed;
use mirror::PeerAnswer;

/// The assumed state of a secondary.
#[derive(Default)]
pub(super) struct Assumed {
    /// The storage that answered last.
    incarnation: Option<String>,
    /// The number in the row of its storage under which all of this was learned.
    row: Option<u64>,
    /// How often everything was forgotten, because another storage answered, or this one had less than before. Work that began under an older count
    /// starts again.
    met: u64,
    /// By shard: the size of the pending checkpoint that the secondary is believed to have.
    pending: HashMap<String, TreeSize>,
    /// Frozen shards that the secondary has completely.
    whole: HashSet<String>,
    /// By shard: the published size that the secondary was shown last.
    shown: HashMap<String, TreeSize>,
    /// How far the times of entries are, by shard.
    pub(super) timed: HashMap<String, Timed>,
    /// The contents of the manifest that the secondary has.
    pub(super) manifest: Option<Sent>,
    /// If its storage is not whole: the number of the row that says so, and the global index before which it must have verified everything
    /// to be called whole.
    owed: Option<(u64, GlobalIndex)>,
}

impl Assumed {
    /// Forgets everything except which storage this is about.
    fn forget(&mut self) {
        *self = Self {
            incarnation: self.incarnation.take(),
            row: self.row,
            met: self.met + 1,
            ..Self::default()
        };
    }

    /// A storage other than the last one answers; its row has this number.
    pub(super) fn meet(&mut self, incarnation: &str, row: u64) {
        (self.incarnation, self.row) = (Some(incarnation.to_owned()), Some(row));
        self.forget();
    }

    /// The storage has less than it had; its row, which says so, has this number.
    pub(super) fn is_older(&mut self, row: u64) {
        self.row = Some(row);
        self.forget();
    }

    /// The row of the storage was read, and has this number. If another process wrote it, that process may have seen another storage, or one that has
    /// less than it had verified.
    pub(super) fn read(&mut self, row: u64) {
        let known = self.row.replace(row);
        if known.is_some_and(|known| known != row) {
            self.forget();
        }
    }

    /// This process wrote the row of the storage, with this number.
    pub(super) fn wrote(&mut self, row: u64) {
        self.row = Some(row);
    }

    /// The next storage that answers is treated as a new one.
    pub(super) fn lose(&mut self) {
        self.incarnation = None;
    }

    pub(super) fn incarnation(&self) -> Option<&str> {
        self.incarnation.as_deref()
    }

    pub(super) fn row(&self) -> Option<u64> {
        self.row
    }

    pub(super) fn met(&self) -> u64 {
        self.met
    }

    /// Whether it is a third-party mirror, which never names a storage; a restore relies on nothing that it has.
    pub(super) fn is_foreign(&self) -> bool {
        self.incarnation() == Some(UNNAMED)
    }

    /// Whether the secondary may have given this answer, and not a proxy in front of it: a secondary that has named its storage names it in each
    /// answer.
    pub(super) fn gave(&self, answer: &PeerAnswer) -> bool {
        let named = answer.incarnation.as_deref().unwrap_or(UNNAMED);
        self.incarnation().unwrap_or(UNNAMED) == named
    }

    /// The size of its pending checkpoint of a shard.
    pub(super) fn pending(&self, shard: &str) -> TreeSize {
        self.pending.get(shard).copied().unwrap_or_default()
    }

    pub(super) fn set_pending(&mut self, shard: &str, size: TreeSize) {
        self.pending.insert(shard.to_owned(), size);
    }

    /// The published size of a shard that it was shown last.
    pub(super) fn shown(&self, shard: &str) -> Option<TreeSize> {
        self.shown.get(shard).copied()
    }

    pub(super) fn was_shown(&mut self, shard: &str, size: TreeSize) {
        self.shown.insert(shard.to_owned(), size);
    }

    /// Whether it has a frozen shard completely.
    pub(super) fn has_whole(&self, shard: &str) -> bool {
        self.whole.contains(shard)
    }

    pub(super) fn got_whole(&mut self, shard: &str) {
        self.whole.insert(shard.to_owned());
    }

    /// What its storage must have verified to be called whole, if that was found out under this number of the row.
    pub(super) fn owed(&self, row: u64) -> Option<GlobalIndex> {
        self.owed.filter(|(of, _)| *of == row).map(|(_, owed)| owed)
    }

    pub(super) fn owes(&mut self, owed: Option<(u64, GlobalIndex)>) {
        self.owed = owed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_the_storage_that_answered_before_may_be_that_of_a_proxy() {
        let answer = |incarnation: Option<&str>| PeerAnswer {
            incarnation: incarnation.map(str::to_owned),
            ..PeerAnswer::default()
        };
        let mut assumed = Assumed::default();
        assert!(assumed.gave(&answer(None)) && !assumed.is_foreign());
        assumed.meet(UNNAMED, 1);
        assert!(assumed.gave(&answer(None)) && assumed.is_foreign());
        assumed.meet("a", 2);
        assert!(!assumed.gave(&answer(None)) && !assumed.gave(&answer(Some("b"))));
        assert!(assumed.gave(&answer(Some("a"))) && !assumed.is_foreign());
    }

    #[test]
    fn what_another_process_wrote_about_the_storage_makes_everything_else_uncertain() {
        let mut assumed = Assumed::default();
        assumed.meet("a", 2);
        assumed.set_pending("s", TreeSize::new(5));
        assumed.got_whole("r");
        assumed.owes(Some((2, GlobalIndex::new(7))));
        assumed.read(2);
        assert_eq!((assumed.met(), assumed.pending("s").get()), (1, 5));
        assert_eq!(assumed.owed(3), None);
        assumed.wrote(3);
        assumed.read(3);
        assert!(assumed.has_whole("r"), "its own row says nothing new");
        assumed.read(4);
        assert_eq!((assumed.met(), assumed.row()), (2, Some(4)));
        assert_eq!(assumed.incarnation(), Some("a"));
        assert!(!assumed.has_whole("r") && assumed.pending("s") == TreeSize::ZERO);
        assert_eq!(assumed.owed(2), None);
    }
}
