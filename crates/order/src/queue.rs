//! The meaning of a refused put of promised work into the durable queue.

/// The meaning of a refused put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueRefusal {
    /// An earlier put of this promise was applied: the work is promised.
    Promised,
    /// An earlier put of this promise was applied long ago, or may still be. It is never put again, or it could be ordered twice.
    Unknown,
    /// The log takes no promises.
    Closed,
    /// Slots since its `first_slot` were collected: the work gets a new `first_slot` and is put again.
    Again,
}

impl QueueRefusal {
    /// Judges by the rows that were read after the refusal. `doubt`: an earlier put's outcome is unknown; `somewhere`: the work is in queue
    /// or bag, or ordered; `closing`: the log is closing or frozen.
    pub fn of(doubt: bool, somewhere: bool, closing: bool) -> Self {
        match (doubt, somewhere, closing) {
            (true, true, _) => Self::Promised,
            (true, false, _) => Self::Unknown,
            (false, _, true) => Self::Closed,
            (false, _, false) => Self::Again,
        }
    }
}
