//! The file of one log: opened, extended, searched.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable,
};
use tlog::{GlobalIndex, Hash};

use crate::Error;
use crate::rows::{ABOUT, FORMAT, LEAVES, LEAVES_PER_ROW, Name, ROWS, RUNS};
use crate::runs::{self, Newest, RowTable};

/// The most keys of one entry; further ones are left out.
pub const MAX_KEYS: usize = 4096;
/// The most entries that a search for all of several keys looks at, for keys that many entries have and few share.
const MAX_STEPS: usize = 10_000;

/// What is indexed of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hash of its leaf.
    pub leaf: Hash,
    /// What it is found by, at most [`MAX_KEYS`].
    pub keys: Vec<String>,
}

/// An entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Where it is in the log.
    pub index: GlobalIndex,
    /// The hash of its leaf.
    pub leaf: Hash,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest entries, in the order of the log.
    pub entries: Vec<Indexed>,
    /// Whether older ones may have been left out.
    pub cut: bool,
}

/// The search index of one log; one process at a time has it open.
pub struct Index {
    path: PathBuf,
    /// There until it is dropped.
    db: Option<Database>,
}

impl Index {
    /// Opens the index of the log with this origin, with a cache of this many bytes; makes an empty one where there is no file.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::Foreign`], [`Error::Format`], [`Error::Damaged`], [`Error::Io`].
    pub fn open(path: &Path, origin: &str, cache: usize) -> Result<Self, Error> {
        let open = || Database::builder().set_cache_size(cache).create(path);
        let db = guarded(path, || open().map_err(|error| opened(path, error)))?;
        let index = Self {
            path: path.to_owned(),
            db: Some(db),
        };
        index.claim(origin)?;
        Ok(index)
    }

    /// Removes the file, for a rebuild. Does nothing where there is none.
    ///
    /// # Errors
    /// [`Error::Held`] if another process uses it, [`Error::Io`].
    pub fn remove(path: &Path) -> Result<(), Error> {
        let held = guarded(path, || {
            let db = Database::builder().set_cache_size(0).open(path);
            Ok(matches!(db, Err(DatabaseError::DatabaseAlreadyOpen)))
        });
        if matches!(held, Ok(true)) {
            let path = path.to_owned();
            return Err(Error::Held { path });
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
            _ => Ok(()),
        }
    }

    /// The next entry to be indexed: all before it are.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn position(&self) -> Result<GlobalIndex, Error> {
        self.read(|read| Ok(read.position))
    }

    /// The last entry that was indexed.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn last(&self) -> Result<Option<Indexed>, Error> {
        self.read(|read| {
            let last = (read.position > GlobalIndex::ZERO).then(|| read.position.back(1));
            last.map(|index| read.indexed(index)).transpose()
        })
    }

    /// Indexes the entries from `start`, which must be the [`position`](Self::position), all or none; returns the new position. What was
    /// written since the last [`sync`](Self::sync) may be lost in a crash, with its position.
    ///
    /// # Errors
    /// [`Error::Gap`], [`Error::Damaged`], [`Error::Io`].
    pub fn extend(
        &self,
        start: GlobalIndex,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<GlobalIndex, Error> {
        let mut rows = Vec::new();
        let mut leaves = Vec::new();
        let mut end = start;
        for entry in entries {
            rows.push(Name::of_leaf(&entry.leaf).row(end));
            let keys = entry.keys.iter().take(MAX_KEYS);
            rows.extend(keys.map(|key| Name::of_key(key).row(end)));
            leaves.push(entry.leaf);
            end += 1;
        }
        rows.sort_unstable();
        rows.dedup();
        self.write(Durability::None, |tx| {
            let mut about = tx.open_table(ABOUT)?;
            let position = GlobalIndex::new(number(&about, "position")?);
            if position != start {
                return Ok(Err(Error::Gap { position, start }));
            }
            let mut next = number(&about, "runs")?;
            runs::add(tx, &rows, &mut next)?;
            append(&mut tx.open_table(LEAVES)?, start, &leaves)?;
            about.insert("runs", next.to_be_bytes().as_slice())?;
            about.insert("position", end.get().to_be_bytes().as_slice())?;
            Ok(Ok(end))
        })?
    }

    /// Adds keys to entries, indexed or not yet. They are not in the log: a rebuild loses them.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn add<'k>(
        &self,
        keys: impl IntoIterator<Item = (GlobalIndex, &'k str)>,
    ) -> Result<(), Error> {
        let rows = keys.into_iter();
        let mut rows: Vec<_> = rows
            .map(|(index, key)| Name::of_key(key).row(index))
            .collect();
        rows.sort_unstable();
        rows.dedup();
        self.write(Durability::None, |tx| {
            let mut about = tx.open_table(ABOUT)?;
            let mut next = number(&about, "runs")?;
            runs::add(tx, &rows, &mut next)?;
            about.insert("runs", next.to_be_bytes().as_slice())?;
            Ok(())
        })
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.write(Durability::Immediate, |_| Ok(()))
    }

    /// The entries that have any of the keys: the newest `limit`, in the order of the log.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn find_any<K: AsRef<str>>(&self, keys: &[K], limit: usize) -> Result<Found, Error> {
        self.read(|read| {
            let mut found = BTreeSet::new();
            for key in keys {
                let mut newest = read.newest(Name::of_key(key.as_ref()));
                let (mut end, mut left) = (read.position, limit.saturating_add(1));
                while left > 0
                    && let Some(index) = newest.before(end)?
                {
                    found.insert(index);
                    (end, left) = (index, left - 1);
                }
            }
            let older = found.len().saturating_sub(limit);
            let newest = found.into_iter().skip(older);
            let entries = newest.map(|index| read.indexed(index));
            Ok(Found {
                entries: entries.collect::<Result<_, _>>()?,
                cut: older > 0,
            })
        })
    }

    /// The entries that have all of the keys: the newest `limit`, in the order of the log. No key: none.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn find_all<K: AsRef<str>>(&self, keys: &[K], limit: usize) -> Result<Found, Error> {
        self.read(|read| {
            let names = keys
                .iter()
                .map(|key| read.newest(Name::of_key(key.as_ref())));
            let mut names: Vec<_> = names.collect();
            let mut found = Vec::new();
            let (mut end, mut agreed, mut cut) = (read.position, 0, false);
            for step in 0..MAX_STEPS.saturating_add(1) {
                let of = step % names.len().max(1);
                // The newest entry of this key that those before it have not passed.
                let Some(index) = names.get_mut(of).map(|name| name.before(end)).transpose()?
                else {
                    break;
                };
                let Some(index) = index else { break };
                if step == MAX_STEPS {
                    cut = true;
                    break;
                }
                agreed = if index.next() == end { agreed + 1 } else { 1 };
                end = index.next();
                if agreed >= names.len() {
                    if found.len() == limit {
                        cut = true;
                        break;
                    }
                    found.push(index);
                    (end, agreed) = (index, 0);
                }
            }
            let entries = found.into_iter().rev().map(|index| read.indexed(index));
            Ok(Found {
                entries: entries.collect::<Result<_, _>>()?,
                cut,
            })
        })
    }

    /// The entries with a leaf: the newest `limit`, in the order of the log.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn by_leaf(&self, leaf: &Hash, limit: usize) -> Result<Vec<GlobalIndex>, Error> {
        self.read(|read| {
            let mut newest = read.newest(Name::of_leaf(leaf));
            let (mut found, mut end) = (Vec::new(), read.position);
            while found.len() < limit
                && let Some(index) = newest.before(end)?
            {
                // The name is a part of the hash.
                if read.indexed(index)?.leaf == *leaf {
                    found.push(index);
                }
                end = index;
            }
            found.reverse();
            Ok(found)
        })
    }

    /// Makes an empty file this log's, and refuses one that is another's.
    fn claim(&self, origin: &str) -> Result<(), Error> {
        let path = || self.path.clone();
        let found = guarded(&self.path, || {
            let look = || -> Result<_, redb::Error> {
                let tx = self.db()?.begin_read()?;
                if tx.list_tables()?.next().is_none() {
                    return Ok(None);
                }
                let about = tx.open_table(ABOUT)?;
                let text = |key| -> Result<_, redb::Error> {
                    Ok(about.get(key)?.map(|row| row.value().to_vec()))
                };
                Ok(Some((text("format")?, text("log")?)))
            };
            look().map_err(|error| self.failed(error))
        })?;
        let found =
            found.map(|(format, log)| (format.unwrap_or_default(), log.unwrap_or_default()));
        match found {
            None => self.write(Durability::Immediate, |tx| {
                let mut about = tx.open_table(ABOUT)?;
                about.insert("format", FORMAT)?;
                about.insert("log", origin.as_bytes())?;
                about.insert("position", [0; 8].as_slice())?;
                about.insert("runs", [0; 8].as_slice())?;
                tx.open_table(ROWS)?;
                tx.open_table(RUNS)?;
                tx.open_table(LEAVES)?;
                Ok(())
            }),
            Some((format, _)) if format != FORMAT => Err(Error::Format { path: path() }),
            Some((_, log)) if log != origin.as_bytes() => Err(Error::Foreign {
                path: path(),
                found: String::from_utf8_lossy(&log).into_owned(),
                expected: origin.to_owned(),
            }),
            Some(_) => Ok(()),
        }
    }

    fn read<T>(&self, search: impl FnOnce(&Read) -> Result<T, redb::Error>) -> Result<T, Error> {
        guarded(&self.path, || {
            let search = || {
                let tx = self.db()?.begin_read()?;
                let runs = tx.open_table(RUNS)?;
                let runs = runs.iter()?.map(|run| Ok(run?.0.value()));
                search(&Read {
                    position: GlobalIndex::new(number(&tx.open_table(ABOUT)?, "position")?),
                    runs: runs.collect::<Result<_, redb::Error>>()?,
                    rows: tx.open_table(ROWS)?,
                    leaves: tx.open_table(LEAVES)?,
                })
            };
            search().map_err(|error| self.failed(error))
        })
    }

    /// One transaction; nothing is written when `change` fails, or answers with an error.
    fn write<T>(
        &self,
        durability: Durability,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        guarded(&self.path, || {
            let change = || {
                let mut tx = self.db()?.begin_write()?;
                tx.set_durability(durability)?;
                // A start after a crash then reads the free pages instead of looking for them in the whole file.
                tx.set_quick_repair(matches!(durability, Durability::Immediate));
                let changed = change(&tx)?;
                tx.commit()?;
                Ok(changed)
            };
            change().map_err(|error: redb::Error| self.failed(error))
        })
    }

    fn db(&self) -> Result<&Database, redb::Error> {
        self.db.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    fn failed(&self, error: impl Into<redb::Error>) -> Error {
        failed(&self.path, error.into())
    }
}

impl Drop for Index {
    /// Syncs. A file that is damaged may panic here as well.
    fn drop(&mut self) {
        let db = self.db.take();
        let _ = guarded(&self.path, || {
            drop(db);
            Ok(())
        });
    }
}

/// The index at one moment.
struct Read {
    position: GlobalIndex,
    runs: Vec<u64>,
    rows: RowTable,
    leaves: ReadOnlyTable<u64, &'static [u8]>,
}

impl Read {
    fn newest(&self, name: Name) -> Newest<'_> {
        Newest::new(&self.rows, &self.runs, name)
    }

    fn indexed(&self, index: GlobalIndex) -> Result<Indexed, redb::Error> {
        let row = self.leaves.get(index.get() / LEAVES_PER_ROW)?;
        let at = usize::try_from(index.get() % LEAVES_PER_ROW).unwrap_or(usize::MAX);
        let leaf = row.and_then(|row| {
            let hashes = row.value().as_chunks::<{ Hash::LEN }>().0;
            hashes.get(at).copied()
        });
        let leaf = leaf.ok_or_else(|| corrupted("the leaf of an entry is missing"))?;
        let leaf = Hash(leaf);
        Ok(Indexed { index, leaf })
    }
}

fn append(
    table: &mut redb::Table<'_, u64, &'static [u8]>,
    start: GlobalIndex,
    leaves: &[Hash],
) -> Result<(), redb::Error> {
    let mut leaves = leaves.iter();
    let (mut number, mut from) = (start.get() / LEAVES_PER_ROW, start.get() % LEAVES_PER_ROW);
    while !leaves.as_slice().is_empty() {
        let begun = table.get(number)?.map(|row| row.value().to_vec());
        let mut row = begun.unwrap_or_default();
        let room = usize::try_from(LEAVES_PER_ROW - from).unwrap_or(0);
        row.extend(leaves.by_ref().take(room).flat_map(|leaf| leaf.0));
        table.insert(number, row.as_slice())?;
        (number, from) = (number + 1, 0);
    }
    Ok(())
}

fn number(
    about: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<u64, redb::Error> {
    let bytes = about
        .get(key)?
        .and_then(|row| <[u8; 8]>::try_from(row.value()).ok());
    let bytes = bytes.ok_or_else(|| corrupted("a number is missing"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn corrupted(what: &str) -> redb::Error {
    redb::Error::Corrupted(what.to_owned())
}

/// Runs what uses the file: redb trusts a file that it has opened, and panics over a page that can't be.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::Damaged {
            path: path.to_owned(),
            detail: "a page is not as it was written".to_owned(),
        })
    })
}

fn opened(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Error::Held {
            path: path.to_owned(),
        },
        DatabaseError::UpgradeRequired(_) => Error::Format {
            path: path.to_owned(),
        },
        error => failed(path, error.into()),
    }
}

fn failed(path: &Path, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            io_error(path, source)
        }
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            io_error(path, io::Error::other("an earlier attempt failed"))
        }
        error => Error::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        },
    }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}
