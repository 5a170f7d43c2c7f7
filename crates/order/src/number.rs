//! The numbers that the order gives out, and the age of the store that it is kept in.

use std::time::Duration;

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

tlog::number! {
    /// How long the replicas of a store have lived, in milliseconds; it is no time of day, and no clock that is set moves it.
    #[derive(Serialize, Deserialize)]
    StoreAge
}

impl std::ops::Add<Duration> for StoreAge {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}
