//! The search index beside a log: which entries have a search key, and which a leaf.
//!
//! It is derived data in one file per log, apart from the stores: a follower builds it from the published entries, and it can be built
//! again at any time. A crash may lose what was indexed last, never half of it, since the position moves in the transaction that adds the
//! keys. What must never happen: a position that is ahead of the keys, so that an entry is never found; a damaged file that ends the
//! program; a file that answers for another log.
//!
//! ```
//! use rekor_index::{Entry, Index};
//! use tlog::GlobalIndex;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("argon.redb");
//! let index = Index::open(&path, "log.example.org", 16 << 20)?;
//! let entry = Entry { leaf: tlog::leaf_hash(b"leaf"), keys: vec!["dev@example.org".to_owned()] };
//! index.extend(index.position()?, [entry])?;
//! let found = index.find_any(&["dev@example.org"], 10)?;
//! assert_eq!(found.entries[0].index, GlobalIndex::ZERO);
//! # Ok(())
//! # }
//! ```

mod error;
mod file;
mod rows;
mod runs;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use file::{Entry, Found, Index, Indexed, MAX_KEYS};
