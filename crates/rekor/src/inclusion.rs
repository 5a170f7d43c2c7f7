//! The place of an entry in its tree, as both APIs answer it.

use tlog::Hash;

/// An entry's proof, under one signed tree.
#[derive(Clone, Copy, Debug)]
pub struct Inclusion<'a> {
    /// The entry's index in its shard.
    pub index: u64,
    /// How many entries the signed tree has.
    pub tree_size: u64,
    /// The root of the signed tree.
    pub root: Hash,
    /// The audit path from the leaf to the root (RFC 9162 section 2.1.3), leaf first.
    pub proof: &'a [Hash],
    /// The note over size and root: a C2SP checkpoint in version 2, the note with the tree's ID in version 1.
    pub checkpoint: &'a str,
}
