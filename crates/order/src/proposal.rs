//! What a committer is asked to order: one work, its bytes, and what is known of where it may be already.

use bytes::Bytes;

use crate::view::View;
use crate::work::Work;
use crate::{Generation, SlotNumber};

/// One work to commit.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The batch or control.
    pub work: Work,
    /// The batch's entries, as they are stored; empty for a control.
    pub bytes: Bytes,
    /// For a part of an upload, which may have been sent before: the first slot that may have it. `None`: the token is fresh.
    pub first_slot: Option<SlotNumber>,
    /// For a large batch: what was known before its object was written.
    pub stored: Option<Stored>,
}

/// When a large batch became an object, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The number of slots.
    pub slots: SlotNumber,
    /// The generation whose storage nodes have it, or an earlier one.
    pub generation: Generation,
}

impl Proposal {
    /// Work that was not sent before.
    pub fn fresh(work: Work, bytes: Bytes) -> Self {
        Self {
            work,
            bytes,
            first_slot: None,
            stored: None,
        }
    }

    /// A batch whose bytes are an object of their own.
    pub fn is_object(&self) -> bool {
        self.work.batch().is_some_and(|batch| batch.object)
    }

    /// Whether its object is on nodes that may no longer be read.
    pub fn is_left(&self, view: &View) -> bool {
        self.stored
            .is_some_and(|stored| stored.generation < view.storage_from)
    }
}
