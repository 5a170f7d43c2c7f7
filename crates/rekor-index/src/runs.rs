//! Sorted runs of rows, merged in small steps: a log-structured table.
//!
//! Names are hashes, so each row of a batch would change another page of one sorted table. Instead, a batch is a run of its own, and eight
//! runs of a level are merged into one of the next. Each transaction moves some rows, in proportion to what it adds, so none takes long, and
//! a row is in one run at any time. A search looks into every run.

use std::collections::VecDeque;

use redb::{ReadOnlyTable, ReadableTable as _, StorageError, WriteTransaction};
use tlog::GlobalIndex;

use crate::rows::{CHUNK_KEY, Name, ROW, ROWS, ROWS_PER_CHUNK, RUNS, Row, chunk_key};

/// Runs of a level that become one.
const FAN_IN: usize = 8;
/// The least number of rows that a transaction moves on each level, where there is something to merge.
const MIN_MOVED: usize = if cfg!(test) { 100 } else { 4_000 };
/// The bits of a run's number below its level.
const LEVEL_SHIFT: u32 = 56;

pub(crate) type RowTable = ReadOnlyTable<&'static [u8; CHUNK_KEY], &'static [u8]>;
type Rows<'tx> = redb::Table<'tx, &'static [u8; CHUNK_KEY], &'static [u8]>;

/// Adds rows, which are sorted, and merges a little. `next` is the number of the next run.
pub(crate) fn add(tx: &WriteTransaction, rows: &[Row], next: &mut u64) -> Result<(), StorageError> {
    let failed = |error: redb::TableError| match error {
        redb::TableError::Storage(error) => error,
        error => StorageError::Corrupted(error.to_string()),
    };
    let mut table = tx.open_table(ROWS).map_err(failed)?;
    let mut runs = tx.open_table(RUNS).map_err(failed)?;
    let mut fresh = |level: u64| {
        *next += 1;
        level << LEVEL_SHIFT | *next
    };
    if !rows.is_empty() {
        let run = fresh(0);
        runs.insert(run, 0)?;
        put(&mut table, run, rows)?;
    }
    let all = runs.iter()?.map(|run| {
        let (run, into) = run?;
        Ok::<_, StorageError>((run.value(), into.value()))
    });
    let all: Vec<(u64, u64)> = all.collect::<Result<_, _>>()?;
    let budget = (rows.len() * 2).max(MIN_MOVED);
    for of_level in all.chunk_by(|one, other| one.0 >> LEVEL_SHIFT == other.0 >> LEVEL_SHIFT) {
        let begun: Vec<_> = of_level.iter().filter(|(_, into)| *into != 0).collect();
        let (inputs, into) = match begun.first() {
            Some((_, into)) => (begun.iter().map(|(run, _)| *run).collect(), *into),
            None => {
                let unfinished = |run: u64| all.iter().any(|(_, into)| *into == run);
                let whole = of_level.iter().map(|(run, _)| *run);
                let whole = whole.filter(|run| !unfinished(*run));
                let oldest: Vec<u64> = whole.take(FAN_IN).collect();
                if oldest.len() < FAN_IN {
                    continue;
                }
                let into = fresh((oldest[0] >> LEVEL_SHIFT) + 1);
                runs.insert(into, 0)?;
                for run in &oldest {
                    runs.insert(*run, into)?;
                }
                (oldest, into)
            }
        };
        for empty in merge(&mut table, &inputs, into, budget)? {
            runs.remove(empty)?;
        }
    }
    Ok(())
}

/// Moves about `budget` rows, the lowest, from some runs into one; returns the runs that are empty now.
fn merge(
    table: &mut Rows<'_>,
    inputs: &[u64],
    into: u64,
    budget: usize,
) -> Result<Vec<u64>, StorageError> {
    let mut heads: Vec<(u64, VecDeque<Row>)> = Vec::new();
    heads.extend(inputs.iter().map(|run| (*run, VecDeque::new())));
    let mut empty = Vec::new();
    let mut moved = Vec::new();
    while moved.len() < budget && !heads.is_empty() {
        let mut exhausted = Vec::new();
        for (run, rows) in &mut heads {
            if rows.is_empty() {
                *rows = first(table, *run)?;
            }
            if rows.is_empty() {
                exhausted.push(*run);
            }
        }
        heads.retain(|(run, _)| !exhausted.contains(run));
        empty.extend(exhausted);
        // Up to the first end of a head, no run has a row that is not in its head.
        let Some(bound) = heads.iter().filter_map(|(_, rows)| rows.back()).min() else {
            break;
        };
        let bound = *bound;
        let from = moved.len();
        for (_, rows) in &mut heads {
            let count = rows.partition_point(|row| *row <= bound);
            moved.extend(rows.drain(..count));
        }
        moved[from..].sort_unstable();
    }
    for (run, rows) in heads {
        if !rows.is_empty() {
            put(table, run, &Vec::from(rows))?;
        }
    }
    // A row may have been written twice, as an additional key of an entry.
    moved.dedup();
    put(table, into, &moved)?;
    Ok(empty)
}

/// Takes the first rows of a run out of the table.
fn first(table: &mut Rows<'_>, run: u64) -> Result<VecDeque<Row>, StorageError> {
    let (low, high) = (chunk_key(run, &[0; ROW]), chunk_key(run, &[0xff; ROW]));
    let chunk = match table.range::<&[u8; CHUNK_KEY]>(&low..=&high)?.next() {
        None => None,
        Some(chunk) => {
            let (key, rows) = chunk?;
            Some((*key.value(), rows.value().as_chunks().0.to_vec()))
        }
    };
    let Some((key, rows)) = chunk else {
        return Ok(VecDeque::new());
    };
    table.remove(&key)?;
    Ok(rows.into())
}

/// Writes rows of a run that come after all that it has, or before all.
fn put(table: &mut Rows<'_>, run: u64, rows: &[Row]) -> Result<(), StorageError> {
    for chunk in rows.chunks(ROWS_PER_CHUNK) {
        table.insert(&chunk_key(run, &chunk[0]), chunk.as_flattened())?;
    }
    Ok(())
}

/// The entries of a name, from the newest to the oldest.
pub(crate) struct Newest<'a> {
    table: &'a RowTable,
    name: Name,
    /// The runs that may have older ones, each with the rows that were read last.
    runs: Vec<(u64, Vec<Row>)>,
}

impl<'a> Newest<'a> {
    pub(crate) fn new(table: &'a RowTable, runs: &[u64], name: Name) -> Self {
        let runs = runs.iter().map(|run| (*run, Vec::new())).collect();
        Self { table, name, runs }
    }

    /// The newest entry before `end`, which must not grow from call to call.
    pub(crate) fn before(&mut self, end: GlobalIndex) -> Result<Option<GlobalIndex>, StorageError> {
        let end = self.name.row(end);
        let mut newest = None;
        let mut failed = None;
        self.runs.retain_mut(|(run, rows)| {
            if rows.first().is_none_or(|first| *first >= end) {
                match below(self.table, *run, &end) {
                    Ok(read) => *rows = read,
                    Err(error) => failed = Some(error),
                }
            }
            let count = rows.partition_point(|row| *row < end);
            let last = count.checked_sub(1).and_then(|last| rows.get(last));
            let index = last.and_then(|row| self.name.index(row));
            newest = newest.max(index);
            index.is_some()
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(newest),
        }
    }
}

/// The rows of a run among which the last one below `end` is.
fn below(table: &RowTable, run: u64, end: &Row) -> Result<Vec<Row>, StorageError> {
    let (low, high) = (chunk_key(run, &[0; ROW]), chunk_key(run, end));
    let mut chunks = table.range::<&[u8; CHUNK_KEY]>(&low..&high)?;
    let Some(chunk) = chunks.next_back() else {
        return Ok(Vec::new());
    };
    Ok(chunk?.1.value().as_chunks().0.to_vec())
}
