//! The rule for deleting, as a function of slots and positions. Every sweep of a log's data uses it: batches, the bag and the queue,
//! places, slots, snapshots, objects on storage nodes, roots of cuts, partial tiles. A secondary has stores of its own, and deletes
//! nothing that it has cosigned (the crate `mirror`).
//!
//! What must never happen: a batch is deleted that a slot orders and no bundle has, or that may still be ordered. So the rule uses neither
//! the memory of a process nor a clock. It rests on four facts:
//!
//! 1. *A batch never lies in the coordination store alone.* Its bytes are put in one transaction with what points at them: an
//!    announcement, a row of promised work, or the slot that orders it. Each of these transactions is guarded by the floor
//!    (`floor ≤ seen`, `floor ≤ first slot`, `floor ≤ number`), so a copy of it that lands late, lands above the floor or not at all.
//! 2. *A batch is announced under one number, and ordered in `seen ..= seen + window` or never.* Its author gives it up after that
//!    (`CommitError::Overtaken`); only controls, which have no bytes, are announced again.
//! 3. *A raised floor lies `window` slots behind the last slot, and not above what is published whole.* So at a floor above `seen`
//!    every slot that could order the batch is decided: either a slot names it, or none ever will.
//! 4. *A slot that is published whole is in bundles*, synced before the position that covers it. Positions and floor only rise.
//!
//! So an announcement below the floor is deleted together with its batch, unless an unpublished slot orders the batch;
//! a slot below the floor is deleted together with its batches; and a batch is deleted with the last row that points at it,
//! so nothing is left to be swept by age.
//!
//! A process that is behind the others knows a lower floor, a lower position and fewer slots, each of which was true once; it
//! deletes less than it might, never more. One that has not read all slots up to `floor + window` deletes no announced batch.
//!
//! Objects are the exception to the first fact: a large batch is an object before anything points at it. Its author begins to
//! commit it at most [`STORED`] slots later, or gives it up. So an object that nothing points at is first noted, with the current
//! number of slots; once the floor is [`STORED`] above that number, it is deleted. So are rows that older versions left alone.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tlog::{GlobalIndex, TILE_WIDTH, TileKind, TilePath, TreeSize, partial_tiles};

use crate::slot::{BatchRef, Slot};
use crate::state::State;
use crate::token::Token;
use crate::work::Work;
use crate::{Limits, SlotNumber, StoreAge};

/// How many slots may be decided between the writing of a large batch and the beginning of its commit.
pub const STORED: u64 = 64 * crate::WINDOW;

/// The facts that decide deletions. Made from slots; nothing in it can be wrong in the direction of deleting too much, since all of
/// it only grows.
#[derive(Clone, Debug)]
pub struct Evidence {
    window: u64,
    floor: SlotNumber,
    /// Slots below this are published whole.
    published: SlotNumber,
    /// Slots below this were read, or are published whole.
    len: SlotNumber,
    /// Batches that are still needed, or may be.
    needed: HashSet<Token>,
}

/// The fate of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// It may still count.
    Stays,
    /// It is deleted; its batch stays.
    Goes,
    /// It is deleted with the bytes of its batch.
    GoesWithBatch,
    /// Its work is promised: it is ordered, or goes back to the queue.
    Settles,
}

/// The fate of a batch that no row and no slot points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// Something points at it. Its note is deleted.
    IsNeeded,
    /// It is noted, with the current number of slots.
    IsNoted(SlotNumber),
    /// It was noted, and may still be ordered.
    IsWatched,
    /// Nobody can order it any more.
    Goes,
}

impl Evidence {
    /// Collects the slots that are not published whole, beginning with number `published`. Those behind a gap do not count.
    pub fn new<'a>(
        limits: Limits,
        published: SlotNumber,
        slots: impl IntoIterator<Item = &'a Slot>,
    ) -> Self {
        let mut evidence = Self {
            window: limits.window,
            floor: SlotNumber::ZERO,
            published,
            len: published,
            needed: HashSet::new(),
        };
        slots.into_iter().for_each(|slot| evidence.read(slot));
        evidence
    }

    /// Takes the next slot; one behind a gap does not count.
    pub fn read(&mut self, slot: &Slot) {
        if slot.number == self.len {
            self.len += 1;
            self.needed.extend(slot.batches.iter().map(|b| b.token));
        }
    }

    /// Slots that are known.
    pub fn len(&self) -> SlotNumber {
        self.len
    }

    /// Whether no slot is known.
    pub fn is_empty(&self) -> bool {
        self.len == SlotNumber::ZERO
    }

    /// The floor, which is durable.
    pub fn floor(&self) -> SlotNumber {
        self.floor
    }

    /// Adds a durable floor: read, or raised just now.
    #[must_use]
    pub fn with_floor(mut self, floor: SlotNumber) -> Self {
        self.floor = self.floor.max(floor);
        self
    }

    /// Notes that something else points at a batch: an announcement that may count, or promised work.
    pub fn need(&mut self, token: Token) {
        self.needed.insert(token);
    }

    /// Whether a batch is needed, as far as is known.
    pub fn needs(&self, token: Token) -> bool {
        self.needed.contains(&token)
    }

    /// An announcement made under `seen`.
    pub fn announced(&self, seen: SlotNumber, work: &Work) -> Announced {
        if seen >= self.floor || self.floor > self.published {
            return Announced::Stays;
        }
        match work {
            Work::Promised(_) => Announced::Settles,
            Work::Control(_) => Announced::Goes,
            // It may be in any slot up to `seen + window`, so those must be known.
            Work::Batch(_) if self.len <= seen + self.window => Announced::Stays,
            Work::Batch(batch) if self.needed.contains(&batch.token) => Announced::Goes,
            Work::Batch(_) => Announced::GoesWithBatch,
        }
    }

    /// Whether a slot is deleted, with the rest of its batches.
    pub fn slot_goes(&self, number: SlotNumber) -> bool {
        number < self.floor && number < self.published
    }

    /// Whether the snapshot of the state before slot `number` is deleted: one at `published` is durable.
    pub fn snapshot_goes(&self, number: SlotNumber) -> bool {
        number < self.published
    }

    /// Judges a batch that exists as a row or an object, by its earlier note. It was found first; then the bag and the queue were read,
    /// then the slots up to the last one.
    pub fn unnamed(&self, token: Token, noted: Option<SlotNumber>) -> Unnamed {
        match noted {
            _ if self.needs(token) => Unnamed::IsNeeded,
            None => Unnamed::IsNoted(self.len),
            Some(len) if self.floor > len + STORED => Unnamed::Goes,
            Some(_) => Unnamed::IsWatched,
        }
    }
}

/// The batches of the slots that a published position covers whole, up to a global index: they go in its own transaction.
pub fn covered<'a>(
    steps: impl IntoIterator<Item = (&'a Slot, &'a State)>,
    published: GlobalIndex,
) -> impl Iterator<Item = &'a BatchRef> {
    let steps = steps.into_iter();
    let covered = steps.take_while(move |(_, state)| state.size <= published);
    covered.flat_map(|(slot, _)| &slot.batches)
}

/// Whether the root of a cut is deleted: a position is only ever signed with the root of its own size, and positions only rise.
pub fn root_goes(cut: TreeSize, published: TreeSize) -> bool {
    cut < published
}

/// Whether the partial forms of a full tile or bundle are deleted from a store whose checkpoint covers this many entries (tlog-tiles,
/// "Partial Tiles"): readers find the full one, which is durable before the position that covers it.
pub fn partials_go(full: &TilePath, published: TreeSize) -> bool {
    let level = match full.kind {
        TileKind::Entries => 0,
        TileKind::Hashes(level) => level,
    };
    let hashes = published
        .get()
        .checked_shr(8 * u32::from(level))
        .unwrap_or(0);
    (full.index + 1).saturating_mul(TILE_WIDTH) <= hashes
}

/// The full tiles in a tree of `size` entries that were partial in one of `behind`: their partial ones may go (tlog-tiles,
/// "Partial Tiles").
pub fn completed(behind: &[TreeSize], size: TreeSize) -> BTreeSet<TilePath> {
    let partial = behind.iter().flat_map(|size| partial_tiles(size.get()));
    let full = partial.map(|tile| TilePath { width: 256, ..tile });
    full.filter(|tile| partials_go(tile, size)).collect()
}

/// A number of slots, and the age of the store when they were decided.
pub type Mark = (SlotNumber, StoreAge);

/// How many slots are older than `keep` in a store of this age.
pub fn aged(marks: &[Mark], age: StoreAge, keep: Duration) -> SlotNumber {
    let old = marks.iter().filter(|(_, at)| *at + keep <= age);
    old.map(|(slots, _)| *slots).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
