//! How version 1 names entries: by the tree and the leaf's hash.

use std::fmt;

use tlog::Hash;

use super::{Error, Rule};

/// The form of a name, as the API's description has it.
const NAME: &str = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$";

/// The number of a shard's tree: positive, with 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(i64);

impl TreeId {
    /// A tree's number; `None` for zero and what does not fit 63 bits.
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .map(Self)
    }

    /// The number as an integer, for instance to store it.
    pub fn get(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl fmt::Display for TreeId {
    /// In decimal digits, as in notes and in the answer to `GET /api/v1/log`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry's full name: 16 hexadecimal digits for the tree and 64 for the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId {
    /// The tree that has the entry.
    pub tree: TreeId,
    /// The hash of the entry's leaf (RFC 6962 section 2.1).
    pub leaf: Hash,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.tree.0, tlog::hex(&self.leaf.0))
    }
}

/// A UUID as clients send it: with the tree or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uuid {
    /// An entry of one tree.
    Entry(EntryId),
    /// An entry of any tree: search the active one first.
    Leaf(Hash),
}

impl Uuid {
    /// Reads what a client sent; `place` says where, for an error.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it has another form, [`Error::Query`] if no tree can have it.
    pub fn read(text: &str, place: impl FnOnce() -> String) -> Result<Self, Error> {
        let is_name = matches!(text.len(), 64 | 80) && text.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_name {
            let why = format!("{} should match '{NAME}'", place());
            return Err(Error::Parameter(Rule::Pattern, why));
        }
        Self::parse(text).ok_or_else(|| Error::Query(format!("invalid entryID {text}").into()))
    }

    /// Reads 80 or 64 hexadecimal digits; `None` for anything else, and for a tree that cannot be.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if let Some(leaf) = tlog::unhex(&text) {
            return Some(Self::Leaf(Hash(leaf)));
        }
        let (tree, leaf) = text.split_at_checked(16)?;
        let tree = TreeId::new(u64::from_be_bytes(tlog::unhex(tree)?))?;
        let leaf = Hash(tlog::unhex(leaf)?);
        Some(Self::Entry(EntryId { tree, leaf }))
    }
}
