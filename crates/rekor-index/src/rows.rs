//! The rows of the file.
//!
//! | table | key | value |
//! |---|---|---|
//! | `about` | `format`, `log`, `position`, `runs` | the version of these tables, the log's origin, the next entry to be indexed, the number of the next run |
//! | `rows` | 8 bytes of a run, 24 of its first row | up to 168 rows in order: 16 bytes of a tagged hash, 8 of a global index |
//! | `runs` | a run | the run that it is being merged into, or 0 |
//! | `leaves` | a number n | the leaf hashes of the entries from n × 120, one after the other |
//!
//! Rows of 24 bytes keep the large table small. 168 rows fit one page, and so do 120 hashes.

use redb::TableDefinition;
use sha2::{Digest as _, Sha256};
use tlog::{GlobalIndex, Hash};

/// The version of the tables: another one is refused.
pub(crate) const FORMAT: &[u8] = b"1";

pub(crate) const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
pub(crate) const ROWS: TableDefinition<'_, &[u8; CHUNK_KEY], &[u8]> = TableDefinition::new("rows");
pub(crate) const RUNS: TableDefinition<'_, u64, u64> = TableDefinition::new("runs");
pub(crate) const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("leaves");

/// Rows that are one value.
pub(crate) const ROWS_PER_CHUNK: usize = 168;
/// Entries whose leaf hashes are one value.
pub(crate) const LEAVES_PER_ROW: u64 = 120;

const NAME: usize = 16;
pub(crate) const ROW: usize = NAME + 8;
pub(crate) const CHUNK_KEY: usize = 8 + ROW;

/// Says that an entry has a name; ordered by name, then by entry.
pub(crate) type Row = [u8; ROW];

/// What an entry is found by, cut to 16 bytes. Two texts with one name would be found by each other; nothing but a search rests on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name([u8; NAME]);

impl Name {
    /// Made of a search key.
    pub(crate) fn of_key(key: &str) -> Self {
        Self::tagged(b"key\0", key.as_bytes())
    }

    /// Made of a leaf's hash.
    pub(crate) fn of_leaf(leaf: &Hash) -> Self {
        Self::tagged(b"leaf\0", &leaf.0)
    }

    fn tagged(tag: &[u8], bytes: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(tag).chain_update(bytes);
        let digest: [u8; 32] = digest.finalize().into();
        let mut name = [0; NAME];
        name.copy_from_slice(&digest[..NAME]);
        Self(name)
    }

    pub(crate) fn row(self, index: GlobalIndex) -> Row {
        let mut row = [0; ROW];
        row[..NAME].copy_from_slice(&self.0);
        row[NAME..].copy_from_slice(&index.get().to_be_bytes());
        row
    }

    /// The entry of a row, if the row has this name.
    pub(crate) fn index(self, row: &Row) -> Option<GlobalIndex> {
        let (name, index) = row.split_last_chunk::<8>()?;
        (name == self.0).then(|| GlobalIndex::new(u64::from_be_bytes(*index)))
    }
}

/// The key of a run's rows from `first` on.
pub(crate) fn chunk_key(run: u64, first: &Row) -> [u8; CHUNK_KEY] {
    let mut key = [0; CHUNK_KEY];
    key[..8].copy_from_slice(&run.to_be_bytes());
    key[8..].copy_from_slice(first);
    key
}
