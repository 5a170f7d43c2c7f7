//! The faults of the body of a batch, with their positions.

use super::lines::MAX_LINE;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// An entry of no bytes.
    #[error(
        "entry {entry} of this body is empty (entries count from 0); an entry has at least one byte"
    )]
    Empty { entry: u64 },
    /// The body ended inside an entry.
    #[error(
        "the body ends inside entry {entry} (entries count from 0): {}; is a length wrong?",
        match wants { Some(wants) => format!("{has} of {wants} bytes came"), None => "half of its length came".to_owned() }
    )]
    Torn {
        entry: u64,
        /// How many of its bytes arrived.
        has: usize,
        /// The entry's length, if that arrived.
        wants: Option<usize>,
    },
    /// A line without an end.
    #[error("line {line} is longer than {MAX_LINE} bytes")]
    LongLine { line: u64 },
    /// A line that is not `{"entry":"…"}`.
    #[error("line {line}: {what}")]
    Line {
        line: u64,
        /// The fault of the line.
        what: String,
    },
    /// It differs from the body that was accepted under its idempotency key.
    #[error("the idempotency key was used for another body")]
    Reused,
    /// No entry at all.
    #[error("the body holds no entry")]
    Nothing,
}
