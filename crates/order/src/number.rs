//! The numbers that the order gives out.

use serde::{Deserialize, Serialize};

tlog::position! {
    /// The position of a slot in the order of its log, from 0. As a number of slots it is also that of the first undecided one.
    #[derive(Serialize, Deserialize)]
    SlotNumber
}

tlog::number! {
    /// Counts the configurations of a log, from 1; 0 is before the first slot.
    #[derive(Serialize, Deserialize)]
    Generation
}

impl Generation {
    /// The generation of the next configuration.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The generation before it; before the first one that of no slot.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}
