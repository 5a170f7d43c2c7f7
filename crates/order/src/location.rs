//! Places: the committer that decides a slot writes down where a batch went, so that its author finds it however late it asks.
//!
//! A row lies under `placed/{key}` and is written in the slot's own transaction, also by a helper that found the batch in the
//! bag. So the row is there exactly when the batch is ordered, until it is swept long after. A row without entries is that of no
//! batch: it says that an upload ends there, under a key that no slot writes.

use serde::{Deserialize, Serialize};

use tlog::{GlobalIndex, UnixMillis};

use crate::SlotNumber;
use crate::chunk::UploadId;
use crate::mutant::{Mutant, left_out};
use crate::slot::BatchRef;

/// A part of an upload: no two batches with one part are ordered, even with different tokens.
pub type Part = (UploadId, u64);

/// The key of a batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Location {
    /// Its token, in a receipt: `placed/promise/{token}`.
    Promise,
    /// Its part of an upload: `placed/upload/{id}/{offset}`.
    Upload {
        /// The upload that it is a part of.
        id: UploadId,
        /// Entries of the upload before it.
        offset: u64,
    },
}

/// The row of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocationRow {
    /// The slot that ordered it.
    pub slot: SlotNumber,
    /// Global index of its first entry.
    pub index: GlobalIndex,
    /// Number of its entries.
    pub entries: u64,
    /// The time of that slot.
    pub time: UnixMillis,
    /// SHA-256 of its bytes.
    pub digest: tlog::Hash,
}

impl LocationRow {
    /// The location that says that nothing comes after this part of an upload.
    pub fn end(&self) -> Self {
        Self {
            index: self.index + self.entries,
            entries: 0,
            digest: store::record::digest(b""),
            ..*self
        }
    }

    /// Whether it says that nothing comes after the part before it.
    pub fn is_end(&self) -> bool {
        self.entries == 0
    }
}

impl BatchRef {
    /// The part of an upload that it is.
    pub fn part(&self) -> Option<Part> {
        match self.location {
            Some(Location::Upload { id, offset }) if !left_out(Mutant::PartIsOrderedTwice) => {
                Some((id, offset))
            }
            _ => None,
        }
    }
}
